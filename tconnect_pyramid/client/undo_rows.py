"""Putting back what belonged to accounts before a run: memberships, custom profile fields, jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import Table, bindparam, delete, select
from sqlalchemy.orm import Session

from tconnect_pyramid.client.jobs import (
    KIND,
    OTHER_ORDER,
    places_called,
    told_added,
    told_changed,
    told_removed,
)
from tconnect_pyramid.client.profiles import Fields
from tconnect_pyramid.client.sync.former import TABLES, read_rows
from tconnect_pyramid.client.sync.plan import told
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.bulk import among, put
from tconnect_pyramid.models import Counterpart, Job, Organisation, Position, ProfileValue

_KEYS = {
    name: itemgetter(*(table.columns.keys().index(column) for column in table.primary_key.columns.keys()))  # noqa: SIM118
    for name, table in TABLES.items()
}
"""The primary key of a row, by table."""
FIELD, JOB, COUNTERPART = (each.__tablename__ for each in (ProfileValue, Job, Counterpart))
_PLACES: Mapping[str, type[Position | Organisation]] = {
    "position_id": Position,
    "organisation_id": Organisation,
}
_UNTOLD = frozenset({"id", "account_key", "sortorder", "timecreated", "timemodified"})
"""What a line does not tell of a job that becomes another."""


@dataclass(slots=True)
class Restored:
    """What became of what accounts have besides: `changed` are those of which some came or went.

    By account, `told` says which custom profile fields and jobs did, and `left` what was changed since, or cannot come back.
    """

    changed: set[int] = field(default_factory=set)
    told: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    left: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))


def restore_rows(session: Session, server_id: int, changes: Mapping[int, Mapping[str, Any]]) -> Restored:
    """Put back rows that went, and remove those that came.

    `changes` are, by account and table, the rows before and after the run.
    """
    restored = Restored()
    concerned = {name: [key for key, tables in changes.items() if name in tables] for name in TABLES}
    # All is read before anything is written: a job's counterpart is found by the job.
    current = {name: read_rows(session, keys, (name,))[name] for name, keys in concerned.items()}
    jobs_left: set[int] = set()
    for name, table in TABLES.items():
        swaps = [
            swap
            for key in concerned[name]
            for swap in _swaps(table, key, changes[key][name], current[name].get(key, ()))
        ]
        _leave_impossible(session, server_id, name, swaps, current[name], jobs_left)
        done = [each for each in swaps if not each.left]
        _remove(session, table, [each.now for each in done if each.now])
        columns = table.columns.keys()
        put(session, table, columns, ([each.old[column] for column in columns] for each in done if each.old))
        for each in swaps:
            restored.left[each.key] += [each.left] if each.left else each.without
        restored.changed.update(each.key for each in done)
        if name == FIELD:
            _tell_fields(session, done, restored.told)
        elif name == JOB:
            _tell_jobs(session, done, restored.told)
    return restored


@dataclass(slots=True)
class _Swap:
    """A row of an account that comes back, one that goes, or one that gives way to its former self.

    `left` says what is left as it is instead; `without` what the row comes back without.
    """

    key: int
    old: dict[str, Any]
    now: dict[str, Any]
    left: str = ""
    without: list[str] = field(default_factory=list)


def _swaps(
    table: Table, key: int, run: tuple[Iterable[Any], Iterable[Any]], current: Iterable[Any]
) -> Iterator[_Swap]:
    key_of, columns = _KEYS[table.name], table.columns.keys()
    old, new, now = ({key_of(row): row for row in rows} for rows in (*run, current))
    for id_ in sorted(old.keys() | new.keys()):
        was, made, is_ = (rows.get(id_, ()) for rows in (old, new, now))
        if was not in (made, is_):
            back, gone = (dict(zip(columns, row, strict=True)) if row else {} for row in (was, is_))
            yield _Swap(key, back, gone, "" if is_ == made else _told(table.name))


def _leave_impossible(
    session: Session,
    server_id: int,
    name: str,
    swaps: list[_Swap],
    current: Mapping[int, Iterable[Any]],
    jobs_left: set[int],
) -> None:
    """Note what is left as it is, as what it refers to is gone, or what only one may have is another's by now.

    `current` has the rows of the accounts that these are about; `jobs_left` are the ids of jobs that are left: which job of the server they are is left with them.
    """
    there = _there(session, name, [each.old for each in swaps if each.old])
    for each in swaps:
        rows = [row for row in (each.old, each.now) if row]
        if name == COUNTERPART and any(row["local_id"] in jobs_left for row in rows):
            each.left = "job"
        if not each.old or each.left:
            continue
        gone = [
            column
            for column, ids in there.items()
            if each.old[column.key] is not None and each.old[column.key] not in ids
        ]
        if any(not column.nullable for column in gone):
            each.left = _told(name)
        each.without = [column.key.removesuffix("_id") for column in gone]
        each.old.update((column.key, None) for column in gone)
    taken = _taken(session, server_id, name, swaps, current)
    while taken:
        stuck = [
            each for each in swaps if each.old and not each.left and _unique_value(name, each.old) in taken
        ]
        for each in stuck:
            each.left = _told(name)
        # What they would have given up is in the way of others.
        taken = {_unique_value(name, each.now) for each in stuck if each.now}
    if name == JOB:
        jobs_left.update(row["id"] for each in swaps if each.left for row in (each.old, each.now) if row)


def _there(session: Session, name: str, rows: list[dict[str, Any]]) -> dict[Any, set[int]]:
    """By the columns that refer to something: what of it is there."""
    targets = {
        column: reference.column for column in TABLES[name].columns for reference in column.foreign_keys
    }
    if name == COUNTERPART:
        targets[TABLES[name].c.local_id] = TABLES[JOB].c.id
    return {
        column: {
            id_
            for some in in_batches({row[column.key] for row in rows if row[column.key] is not None})
            for id_ in session.scalars(select(target).where(among(target, some)))
        }
        for column, target in targets.items()
    }


def _taken(
    session: Session,
    server_id: int,
    name: str,
    swaps: list[_Swap],
    current: Mapping[int, Iterable[Any]],
) -> set[Any]:
    """What only one may have, and stays with another: ID numbers of an account's jobs, ids of jobs at the server."""
    taken: set[Any] = set()
    if name == JOB:
        columns = TABLES[JOB].columns.keys()
        idnumber = columns.index("idnumber")
        taken.update((key, row[idnumber]) for key, rows in current.items() for row in rows)
    elif name == COUNTERPART:
        for some in in_batches({each.old["remote_id"] for each in swaps if each.old}):
            counterparts = select(Counterpart.remote_id).where(
                among(Counterpart.remote_id, some),
                Counterpart.kind == KIND,
                Counterpart.server_id == server_id,
            )
            taken.update(session.scalars(counterparts))
    if not taken:
        return taken
    return taken - {_unique_value(name, each.now) for each in swaps if each.now and not each.left}


def _unique_value(name: str, row: Mapping[str, Any]) -> Any:
    """What no other row of the table may have: see `_taken`."""
    return (row["account_key"], row["idnumber"]) if name == JOB else row["remote_id"]


def _told(name: str) -> str:
    return name.removeprefix("tconnect_")


def _remove(session: Session, table: Table, rows: list[dict[str, Any]]) -> None:
    keys = [*table.primary_key.columns]
    statement = delete(table).where(*(column == bindparam(column.key) for column in keys))
    for some in in_batches(rows):
        session.execute(statement, [{column.key: row[column.key] for column in keys} for row in some])


def _tell_fields(session: Session, done: Iterable[_Swap], tells: Mapping[int, list[str]]) -> None:
    """Say which values come, go or become others, as a run of people does."""
    names = Fields(session).names
    for each in done:
        field_id = (each.old or each.now)["field_id"]
        tells[each.key].append(told(names[field_id], each.now.get("data"), each.old.get("data")))


def _tell_jobs(session: Session, done: Sequence[_Swap], tells: Mapping[int, list[str]]) -> None:
    """Say which jobs come, go or become others, as a run of people does."""
    names: dict[str, Mapping[int, str]] = {}
    for column, table in _PLACES.items():
        ids = {
            row[column] for each in done for row in (each.old, each.now) if row and row[column] is not None
        }
        names[column] = places_called(session, table, ids)
    for key, of_one in groupby(done, attrgetter("key")):
        swaps = [*of_one]
        said: list[str] = []
        for each in swaps:
            if not each.now:
                said.append(told_added(each.old))
            elif not each.old:
                said.append(told_removed(each.now))
            else:
                changed = {
                    name: value
                    for name, value in each.old.items()
                    if name not in _UNTOLD and value != each.now[name]
                }
                said += told_changed(each.now, changed, names)
        staying = [each for each in swaps if each.old and each.now]
        was = sorted(staying, key=lambda each: each.old["sortorder"])
        if was != sorted(staying, key=lambda each: each.now["sortorder"]) or not said:
            said.append(OTHER_ORDER)
        tells[key] += said
