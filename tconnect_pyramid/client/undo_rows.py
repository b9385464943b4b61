"""Putting back what belonged to accounts before a run: memberships, custom profile fields, jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, and_, delete, insert, or_, select
from sqlalchemy.orm import Session

from tconnect_pyramid.client.jobs import KIND
from tconnect_pyramid.client.sync.former import TABLES, read_rows
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.models import Counterpart, Job

JOB, COUNTERPART = Job.__tablename__, Counterpart.__tablename__


def restore_rows(
    session: Session, server_id: int, changes: Mapping[int, Mapping[str, Any]]
) -> tuple[set[int], dict[int, list[str]]]:
    """Put back rows that went, and remove those that came.

    `changes` are, by account and table, the rows before and after the run. Gives the accounts of which some came or
    went, and by account what was changed since, or cannot come back.
    """
    changed: set[int] = set()
    left: dict[int, list[str]] = {}
    keys = [key for key, tables in changes.items() if tables]
    current = read_rows(session, keys, TABLES)
    jobs_left: set[int] = set()
    for name, table in TABLES.items():
        swaps: list[_Swap] = []
        for key, tables in changes.items():
            before, after = tables.get(name, ((), ()))
            swaps += _swaps(table, key, before, after, current[name].get(key, ()))
        _leave_impossible(session, server_id, name, swaps, jobs_left)
        _remove(session, table, [each.now for each in swaps if each.now and not each.left])
        for some in in_batches(each.old for each in swaps if each.old and not each.left):
            session.execute(insert(table), some)
        for each in swaps:
            if not each.left:
                changed.add(each.key)
            left.setdefault(each.key, []).extend([each.left] if each.left else each.without)
    return changed, left


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
    table: Table, key: int, before: Iterable[Any], after: Iterable[Any], current: Iterable[Any]
) -> Iterator[_Swap]:
    old, new, now = (_by_key(table, rows) for rows in (before, after, current))
    for id_ in sorted(old.keys() | new.keys()):
        if old.get(id_) != new.get(id_) and old.get(id_) != now.get(id_):
            left = "" if now.get(id_) == new.get(id_) else _told(table.name)
            yield _Swap(key, old.get(id_, {}), now.get(id_, {}), left)


def _leave_impossible(
    session: Session, server_id: int, name: str, swaps: list[_Swap], jobs_left: set[int]
) -> None:
    """Note what is left as it is, as what it refers to is gone, or what only one may have is another's by now.

    `jobs_left` are the ids of jobs that are left: which job of the server they are is left with them.
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
    taken = _taken(session, server_id, name, swaps)
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
            for id_ in session.scalars(select(target).where(target.in_(some)))
        }
        for column, target in targets.items()
    }


def _taken(session: Session, server_id: int, name: str, swaps: list[_Swap]) -> set[Any]:
    """What only one may have, and stays with another: ID numbers of an account's jobs, ids of jobs at the server."""
    rows = [each.old for each in swaps if each.old]
    taken: set[Any] = set()
    if name == JOB:
        for some in in_batches({row["account_key"] for row in rows}):
            asked = select(Job.account_key, Job.idnumber).where(Job.account_key.in_(some))
            taken.update((key, idnumber) for key, idnumber in session.execute(asked))
    elif name == COUNTERPART:
        for some in in_batches({row["remote_id"] for row in rows}):
            counterparts = select(Counterpart.remote_id).where(
                Counterpart.remote_id.in_(some),
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


def _by_key(table: Table, rows: Iterable[Any]) -> dict[tuple[Any, ...], dict[str, Any]]:
    names = table.columns.keys()
    keys = table.primary_key.columns.keys()
    found = (dict(zip(names, row, strict=True)) for row in rows)
    return {tuple(row[name] for name in keys): row for row in found}


def _remove(session: Session, table: Table, rows: list[dict[str, Any]]) -> None:
    keys = [*table.primary_key.columns]
    for some in in_batches(rows, 100):
        session.execute(
            delete(table).where(or_(*(and_(*(column == row[column.key] for column in keys)) for row in some)))
        )
