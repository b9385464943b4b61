"""User names that people choose for accounts; the others are given by the protocol."""

from __future__ import annotations

from tconnect_pyramid.errors import InvalidInput
from tconnect_pyramid.texts import text as _

LONGEST = 100
"""Characters (protocol 6)."""
# Names that the protocol gives to accounts itself (protocol 9): nobody may take one by hand.
RESERVED_BEGINNINGS = ("deleted_", "tc_")
GUEST = "guest"


def chosen_username(text: str) -> str:
    """A user name that somebody chose for an account. Raises InvalidInput when it cannot be one."""
    if not 1 <= len(text) <= LONGEST:
        raise InvalidInput(
            "username",
            _("username: has ${length} characters; expected 1 to ${limit}.", length=len(text), limit=LONGEST),
        )
    if not text.isprintable() or any(character.isspace() for character in text):
        raise InvalidInput("username", _("username: has blanks or invisible characters; leave them out."))
    if text != text.lower():
        raise InvalidInput(
            "username", _("username: write it in small letters: ${username}", username=text.lower())
        )
    if text == GUEST or text.startswith(RESERVED_BEGINNINGS):
        one, other = RESERVED_BEGINNINGS
        raise InvalidInput(
            "username",
            _(
                "username: ${username} is reserved: ${guest}, and what begins with "
                "${beginnings}, cannot be chosen.",
                username=text,
                guest=GUEST,
                beginnings=_("${one} or ${other}", one=one, other=other),
            ),
        )
    return text
