"""Custom profile fields of people who came from a server: what theirs must be, read and written in sets (protocol 9)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import cast

from sqlalchemy import Table, bindparam, delete, select
from sqlalchemy.orm import Session

from tconnect_pyramid.client.sync.plan import told
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.bulk import among, put
from tconnect_pyramid.directory.markup import clean_html
from tconnect_pyramid.models import ProfileField, ProfileValue
from tconnect_pyramid.protocol.users import ProfileFieldRecord

Values = Mapping[int, str]
"""What an account has, by the id of the field."""
Changes = Mapping[int, str | None]
"""What it is to have, by the id of the field; None for a value that goes."""

HTML = "textarea"
"""The only datatype whose values are HTML."""


class Fields:
    """The custom profile fields of this site."""

    def __init__(self, session: Session) -> None:
        rows = session.execute(select(ProfileField.id, ProfileField.shortname, ProfileField.datatype)).all()
        self.names = {row.id: row.shortname for row in rows}
        self._ids = {(row.shortname, row.datatype): row.id for row in rows}

    def read(self, session: Session, keys: Iterable[int]) -> dict[int, dict[int, str]]:
        """The values of these accounts, by key."""
        found: dict[int, dict[int, str]] = defaultdict(dict)
        if not self.names:
            return found
        connection = session.connection()
        for some in in_batches(keys):
            rows = connection.execute(
                select(ProfileValue.account_key, ProfileValue.field_id, ProfileValue.data).where(
                    among(ProfileValue.account_key, some)
                )
            )
            for key, field_id, data in rows.all():
                found[key][field_id] = data
        return found

    def changes(self, current: Values, sent: Iterable[ProfileFieldRecord]) -> dict[int, str | None]:
        """What must be written for the account to have what was sent and nothing else (protocol 9).

        Fields that this site does not have, by short name and datatype together, are passed over.
        """
        wanted: dict[int, str] = {}
        for value in sent:
            field_id = self._ids.get((value.shortname, value.datatype))
            if field_id is not None and value.data is not None:
                data = clean_html(value.data) if value.datatype == HTML else value.data
                wanted[field_id] = data
        changed: dict[int, str | None] = {
            field_id: data for field_id, data in wanted.items() if current.get(field_id) != data
        }
        changed.update((field_id, None) for field_id in current if field_id not in wanted)
        return changed

    def told(self, current: Values, changes: Changes) -> list[str]:
        """The changes, for a line of the run."""
        return [told(self.names[field_id], current.get(field_id), data) for field_id, data in changes.items()]


def write(session: Session, changes: Mapping[int, Changes], *, new: Collection[int] = ()) -> None:
    """Store changes, by the keys of accounts; those of `new` accounts replace nothing."""
    pairs = [(key, field_id, data) for key, each in changes.items() for field_id, data in each.items()]
    table = cast("Table", ProfileValue.__table__)
    for some in in_batches((key, field_id) for key, field_id, _ in pairs if key not in new):
        session.execute(
            delete(table).where(
                table.c.account_key == bindparam("key"), table.c.field_id == bindparam("field")
            ),
            [{"key": key, "field": field_id} for key, field_id in some],
        )
    put(session, table, ("account_key", "field_id", "data"), (pair for pair in pairs if pair[2] is not None))
