"""What keeping the directory needs of the site around it."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy.orm import Session

from tconnect_pyramid.directory.accounts import Accounts
from tconnect_pyramid.errors import InvalidInput
from tconnect_pyramid.interfaces import Clock
from tconnect_pyramid.texts import text as _

MOST_NOTED = 100


class Surroundings(Protocol):
    """As much of a site's context as this room may know; `context.Context` is one."""

    @property
    def accounts(self) -> Accounts:
        """The accounts that may be members."""
        ...

    @property
    def clock(self) -> Clock:
        """Tells the time in Unix seconds."""
        ...

    def audit(self, session: Session, actor: str, action: str, subject: str = "", **detail: object) -> None:
        """Write down who did what."""
        ...


def line(field: str, text: str, limit: int, *, needed: bool = False) -> str:
    """A value of one line without blanks around it. Raises InvalidInput when it cannot be stored as it is."""
    value = text.strip()
    if needed and not value:
        raise InvalidInput(field, _("${field}: is empty; give it a value.", field=field))
    if len(value) > limit:
        raise InvalidInput(
            field,
            _(
                "${field}: has ${length} characters; at most ${limit} are possible.",
                field=field,
                length=len(value),
                limit=limit,
            ),
        )
    if not value.isprintable():
        raise InvalidInput(
            field,
            _("${field}: has line ends or other invisible characters; write it on one line.", field=field),
        )
    return value


def noted(keys: list[int]) -> dict[str, object]:
    """Accounts as the audit trail keeps them: by their keys while these can be read, else their number."""
    return {"accounts": sorted(keys)} if len(keys) <= MOST_NOTED else {"count": len(keys)}


def as_id(who: str) -> int | None:
    """The id that `who` may be: up to 18 digits; else None."""
    return int(who) if who.isascii() and who.isdigit() and len(who) <= 18 else None  # noqa: PLR2004 - surely 64 bits


def known_members(session: Session, around: Surroundings, keys: list[int]) -> list[int]:
    """The keys, each once. Raises InvalidInput when one is no account or a deleted one."""
    found = around.accounts.fetch(session, keys, ("deleted",))
    for key in keys:
        if key not in found or found[key]["deleted"]:
            raise InvalidInput(
                "member", _("There is no account with the id ${id}, or it is deleted.", id=str(key))
            )
    return list(dict.fromkeys(keys))
