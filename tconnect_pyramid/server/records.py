"""What is sent of one person: the account as a user record (protocol 6)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select
from sqlalchemy.orm import Session

from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.columnmap import STANDARD_FIELDS
from tconnect_pyramid.protocol.users import USER_FIELDS, write_user
from tconnect_pyramid.server.callers import Caller, inside

PASSWORD = "password"  # noqa: S105 - the name of a field

# Pictures are not kept: a number without files would make a client drop the files it has.
FIELDS = tuple(
    field.name for field in USER_FIELDS if field.name in STANDARD_FIELDS and field.name != "picture"
)

_CRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")


def select_people(context: Context, caller: Caller, *conditions: ColumnElement[bool]) -> Select[Any]:
    """A select of what the caller is sent of each person whom it may see, lowest id first."""
    accounts = context.accounts
    # A hash that is not to be sent does not even leave the database.
    fields = [name for name in FIELDS if name != PASSWORD or caller.sends_passwords]
    return (
        accounts.select(fields)
        .where(inside(accounts, caller.restrict_audience_id), *conditions)
        .order_by(accounts.key)
    )


def as_record(
    row: Mapping[Any, Any], caller: Caller, *, pictures: Mapping[str, str] | None = None
) -> dict[str, object]:
    """The user record of a row of `select_people`; with `pictures` as `get_user` gives it."""
    values = {**row, "id": row["key"], PASSWORD: _sendable(row.get(PASSWORD))}
    return write_user(values, version=caller.apiversion, pictures=pictures)


def person(session: Session, context: Context, caller: Caller, account_key: int) -> dict[str, object] | None:
    """One person with pictures, or None when there is none whom the caller may see."""
    statement = select_people(context, caller, context.accounts.key == account_key)
    row = session.execute(statement).mappings().first()
    return None if row is None else as_record(row, caller, pictures={})


def _sendable(password: object) -> str | None:
    """A hash of the one kind that every client can check; any other is worth nothing there."""
    return password if isinstance(password, str) and _CRYPT.fullmatch(password) else None
