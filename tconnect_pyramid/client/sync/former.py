"""What a run of people replaces, kept so that the run can be undone: fields, memberships, custom fields, jobs.

Of everybody it is what was before and what the run made of it: undoing leaves alone what is neither any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
from sqlalchemy import Select, Table, insert, select
from sqlalchemy.orm import Session

from tconnect_pyramid.client.jobs import KIND
from tconnect_pyramid.client.sync.plan import TOLD_ONLY, Action, Change
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import USE, in_batches
from tconnect_pyramid.directory.bulk import among
from tconnect_pyramid.directory.columnmap import STANDARD_FIELDS
from tconnect_pyramid.models import (
    AudienceMember,
    Counterpart,
    Enrolment,
    FormerMember,
    GroupMember,
    Job,
    ProfileValue,
    Undo,
)

TABLES: Mapping[str, Table] = {
    model.__tablename__: cast("Table", model.__table__)
    for model in (AudienceMember, GroupMember, Enrolment, FormerMember, ProfileValue, Job, Counterpart)
}
"""What belongs to an account, in an order in which it can be written."""
EXTRAS = (ProfileValue.__tablename__, Job.__tablename__, Counterpart.__tablename__)
FIELDS = tuple(sorted(STANDARD_FIELDS.keys() - USE - {"password", "admin", "picture", "timemodified"}))
"""The fields that come back. Nobody gets a right of this site or a file by undoing."""
LOCAL = (*FIELDS, "password")
"""Those of a local account that was taken over: what it logged in with comes back too."""

Rows = dict[str, dict[int, list[list[Any]]]]
"""What accounts have, by table and key; the values of a row in the order of the table's columns."""

_WHOLE = frozenset({Action.LINKED, Action.DELETED, Action.UNDELETED})
_FLAGS = {Action.SUSPENDED: {"suspended": 0}, Action.UNSUSPENDED: {"suspended": 1}}


class Former:
    """What a part of a plan replaces: made before it is applied, kept afterwards, in the same transaction."""

    def __init__(self, session: Session, context: Context, changes: Iterable[Change]) -> None:
        self.session = session
        self.context = context
        self.records: dict[int, dict[str, Any]] = {}
        self.whole: set[int] = set()
        self.extras: set[int] = set()
        for change in changes:
            if change.account_key is not None and change.action not in TOLD_ONLY:
                self._note(change, change.account_key)
        self.fields = context.accounts.fetch(session, self.whole, LOCAL)
        self.rows = self._read()

    def keep(self, run_id: int) -> None:
        """Keep it with the run, now that the part is applied."""
        if not self.records:
            return
        after = self.context.accounts.fetch(self.session, self.whole, LOCAL)
        rows = self._read()
        for key, record in self.records.items():
            if key in self.whole:
                is_linked = Action.LINKED in record["actions"]
                pairs = (
                    (name, self.fields[key][name], after[key][name])
                    for name in (LOCAL if is_linked else FIELDS)
                )
                record["fields"] = {
                    name: [old, new]
                    for name, old, new in pairs
                    # A later run may bring a password to somebody who keeps theirs for now.
                    if old != new or (is_linked and name == "password")
                }
            pairs_of_rows = {
                name: (self.rows[name].get(key, []), found.get(key, [])) for name, found in rows.items()
            }
            record["rows"] = {name: pair for name, pair in pairs_of_rows.items() if pair[0] != pair[1]}
        keep(self.session, self.context, run_id, [*self.records.values()])

    def _note(self, change: Change, key: int) -> None:
        record = self.records.setdefault(
            key,
            {
                "key": key,
                "person": change.remote_id,
                "subject": change.subject,
                "actions": [],
                "fields": {},
                "rows": {},
            },
        )
        record["actions"].append(str(change.action))
        if change.action in _WHOLE:
            self.whole.add(key)
        elif change.extras is not None:
            self.extras.add(key)
        before = {**change.before, **_FLAGS.get(change.action, {})}
        record["fields"].update(
            (name, [before[name], value])
            for name, value in change.values.items()
            if name in FIELDS and name in before and before[name] != value
        )

    def _read(self) -> Rows:
        found = read_rows(self.session, self.whole, TABLES)
        for name, rows in read_rows(self.session, self.extras - self.whole, EXTRAS).items():
            found[name].update(rows)
        return found


def keep(session: Session, context: Context, run_id: int, records: Sequence[Mapping[str, Any]]) -> None:
    """Keep what was replaced, and that the run can be undone, though it may have made accounts only."""
    # What a host's column holds besides texts and numbers is never what it was, so it stays, and is told.
    sealed = context.box.seal(msgspec.json.encode(records, enc_hook=str).decode())
    session.execute(insert(Undo).values(run_id=run_id, sealed=sealed))


def read_rows(session: Session, keys: Collection[int], names: Iterable[str]) -> Rows:
    """What these accounts have in the named ones of `TABLES`."""
    found: Rows = {}
    for name in names:
        found[name] = defaultdict(list)
        for some in in_batches(sorted(keys)):
            for key, *row in session.execute(_of_accounts(TABLES[name], some)):
                found[name][key].append(row)
    return found


def open_kept(session: Session, context: Context, run_id: int) -> Iterator[list[dict[str, Any]]]:
    """What a run replaced, the last part first."""
    ids: Sequence[int] = session.scalars(
        select(Undo.id).where(Undo.run_id == run_id).order_by(Undo.id.desc())
    ).all()
    for id_ in ids:
        sealed = session.scalars(select(Undo.sealed).where(Undo.id == id_)).one()
        yield msgspec.json.decode(context.box.open(sealed))


def _of_accounts(table: Table, keys: Sequence[int]) -> Select[Any]:
    order = [*table.primary_key.columns]
    if table is TABLES[Counterpart.__tablename__]:
        return (
            select(Job.account_key, *table.columns)
            .join(table, (table.c.local_id == Job.id) & (table.c.kind == KIND))
            .where(among(Job.account_key, keys))
            .order_by(*order)
        )
    owner = table.c.account_key.label("owner")
    return select(owner, *table.columns).where(among(table.c.account_key, keys)).order_by(*order)
