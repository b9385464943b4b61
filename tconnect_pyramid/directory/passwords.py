"""Passwords of local accounts: bcrypt, in the crypt style that travels between sites (protocol 6)."""

from __future__ import annotations

import re

import bcrypt

from tconnect_pyramid.errors import InvalidInput
from tconnect_pyramid.texts import text as _

COST = 12
SHORTEST = 8
"""Characters."""
LONGEST = 72
"""Bytes of UTF-8. bcrypt looks at no more, so a longer password would match by its beginning alone."""

# A higher cost would keep a thread busy for seconds; no hash of that kind is taken over (protocol 9).
_USABLE = re.compile(r"\$2[aby]\$(0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}")

# The hash of nothing that anybody can type. Comparing with it takes as long as with a real one, so that the
# time of an answer does not tell whether there is such an account.
_NOBODY = b"$2b$12$......................lllllllllllllllllllllllllllllll"


def hash_password(text: str) -> str:
    """The hash to store for a new password: `$2b$`, cost 12.

    Raises InvalidInput for fewer than 8 characters or more than 72 bytes of UTF-8.
    """
    if len(text) < SHORTEST:
        raise InvalidInput(
            "password",
            _(
                "The password has ${length} characters; it needs at least ${shortest}.",
                length=len(text),
                shortest=SHORTEST,
            ),
        )
    try:
        typed = text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(
            "password", _("The password has characters that are no text; use others.")
        ) from None
    if len(typed) > LONGEST:
        raise InvalidInput(
            "password",
            _(
                "The password has ${length} bytes; at most ${limit} are possible (a letter with an accent has "
                "two, a letter of many scripts three).",
                length=len(typed),
                limit=LONGEST,
            ),
        )
    return bcrypt.hashpw(typed, bcrypt.gensalt(COST)).decode()


def check_password(text: str, hashed: str | None) -> bool:
    """Whether `text` is the password behind `hashed` (`$2a$`, `$2b$` or `$2y$`).

    Takes the same work where there is no hash. More than 72 bytes are wrong, whatever they begin with.
    """
    try:
        typed = text.encode()
    except UnicodeEncodeError:
        typed = b""
    fits = 0 < len(typed) <= LONGEST
    usable = hashed is not None and _USABLE.fullmatch(hashed) is not None
    against = hashed.encode() if hashed is not None and usable else _NOBODY
    return bcrypt.checkpw(typed[:LONGEST], against) and fits and usable
