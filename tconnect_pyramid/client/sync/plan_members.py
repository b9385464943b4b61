"""Who joins, leaves or is waited for, of collections that may have a million members each: a few bytes for each.

The members that are here are read once, in no order, and marked in the server's list; who is left unmarked is new.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Select, and_, case, func, select
from sqlalchemy.orm import Session

from tconnect_pyramid.client.sync.ids import Ids
from tconnect_pyramid.client.sync.plan import visible
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.audiences import Kept
from tconnect_pyramid.directory.bulk import among
from tconnect_pyramid.models import AwaitedMember, Collection, Link
from tconnect_pyramid.peers import ServerPeer

_ROWS = 1000


def _none() -> array[int]:
    return array("q")


@dataclass(slots=True)
class Movers:
    """Those who join or leave: keys of their accounts, and their ids at the server, in the same order."""

    keys: array[int] = field(default_factory=_none)
    people: array[int] = field(default_factory=_none)

    def append(self, key: int, person: int) -> None:
        """Add one."""
        self.keys.append(key)
        self.people.append(person)

    def __len__(self) -> int:
        """How many."""
        return len(self.keys)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Key and person of each."""
        return zip(self.keys, self.people, strict=True)


@dataclass(slots=True)
class Membership:
    """The members of one collection as they are to be, compared with those who are here.

    `audience` is its audience here, `collection` the id of its `Collection`, both None where there is none yet.
    `await_` and `unawait` are ids of people who have no account here.
    """

    listed: Ids
    audience: int | None
    collection: int | None
    join: Movers = field(default_factory=Movers)
    leave: Movers = field(default_factory=Movers)
    await_: array[int] = field(default_factory=_none)
    unawait: array[int] = field(default_factory=_none)


def count_members(session: Session, kept: Kept, server_id: int) -> dict[int, int]:
    """How many people of a server belong to each audience of its collections, by the audience's id."""
    ours = select(Collection.local_id).where(Collection.server_id == server_id)
    rows = session.execute(
        select(kept.owner, func.count())
        .join(Link, Link.account_key == kept.members.account_key)
        .where(kept.owner.in_(ours), Link.server_id == server_id)
        .group_by(kept.owner)
    )
    return {owner: number for owner, number in rows}  # noqa: C416 - the rows are no pairs to mypy


class MemberPlanner:
    """Compares memberships with what is here, several collections at once, and writes nothing.

    `doubted` are the keys of accounts of which it is in doubt whose they are, by the person's id: they keep the
    memberships they have. `left_alone` are those of them for whom a membership stayed as it is.
    """

    def __init__(self, session: Session, context: Context, peer: ServerPeer, kept: Kept) -> None:
        self._session = session
        self._accounts = context.accounts
        self._server_id = peer.id
        self._kept = kept
        self.doubted: dict[int, int] = {
            person: key for some in self._rows(self._people().where(Link.in_doubt)) for person, key in some
        }
        self.left_alone: set[int] = set()

    def compare(self, memberships: Sequence[Membership]) -> None:
        """Find out what becomes of the members of each; two statements for all of them, and one for each run."""
        self._compare_present({it.audience: it for it in memberships if it.audience is not None})
        unknown = [Ids(self._find_accounts(it)) for it in memberships]
        self._compare_awaited(
            {
                it.collection: (it, people)
                for it, people in zip(memberships, unknown, strict=True)
                if it.collection is not None
            }
        )
        for it, people in zip(memberships, unknown, strict=True):
            it.await_.extend(people.unmarked())

    def names(self, keys: Iterable[int]) -> dict[int, str]:
        """What the people with these accounts are called; one whose account's row is gone is not among them."""
        accounts = self._accounts
        statement = accounts.select(("firstname", "lastname", "username"))
        found: dict[int, str] = {}
        for some in in_batches(keys, _ROWS):
            rows = self._session.connection().execute(statement.where(among(accounts.key, some))).all()
            for key, first, last, username in rows:
                found[key] = visible(f"{first or ''} {last or ''}".strip() or str(username))
        return found

    @cached_property
    def here(self) -> dict[int, int]:
        """How many people of the server belong to each audience of its collections, by the audience's id."""
        return count_members(self._session, self._kept, self._server_id)

    def _compare_present(self, memberships: Mapping[int, Membership]) -> None:
        """Mark those who are members here, and note who is not to be one."""
        if not memberships:
            return
        accounts, members, owner = self._accounts, self._kept.members, self._kept.owner
        is_there = and_(accounts.key.is_not(None), accounts.not_deleted())
        rows = self._rows(
            # Below zero nobody is listed: so they leave, and are named all the same.
            select(owner, case((is_there, Link.person_id), else_=-Link.person_id), members.account_key)
            .join(Link, Link.account_key == members.account_key)
            .outerjoin(accounts.columns.mapped_class, accounts.key == members.account_key)
            .where(owner.in_([*memberships]), Link.server_id == self._server_id)
        )
        for some in rows:
            for audience, found in groupby(some, key=itemgetter(0)):
                self._note_present(memberships[audience], [*found])

    def _note_present(self, it: Membership, rows: Sequence[Any]) -> None:
        # Mostly they are listed just as they come, which is found out at once.
        if it.listed.mark_run(array("q", [row[1] for row in rows])):
            return
        for _, person, key in rows:
            if it.listed.mark(person):
                continue
            if person in self.doubted:
                self.left_alone.add(person)
            else:
                it.leave.append(key, abs(person))

    def _find_accounts(self, it: Membership) -> array[int]:
        """Let those join who have an account; gives those who have none."""
        unknown = array("q")
        for person in it.listed.unmarked():
            if person in self.doubted:
                self.left_alone.add(person)
                continue
            people, keys = self._usable
            place = people.find(person)
            if place is None:
                unknown.append(person)
            else:
                it.join.append(keys[place], person)
        return unknown

    def _compare_awaited(self, waiting: Mapping[int, tuple[Membership, Ids]]) -> None:
        """Mark those who are waited for already, and note who is not to be any more."""
        if not waiting:
            return
        rows = self._rows(
            select(AwaitedMember.collection_id, AwaitedMember.person_id).where(
                AwaitedMember.collection_id.in_([*waiting])
            )
        )
        for some in rows:
            for collection, person in some:
                it, people = waiting[collection]
                if not people.mark(person):
                    it.unawait.append(person)

    @cached_property
    def _usable(self) -> tuple[Ids, array[int]]:
        """The people who have an account here that is not deleted, and its keys; read when somebody is new."""
        people, keys = array("q"), array("q")
        for some in self._rows(self._people().order_by(Link.person_id)):
            people.extend([person for person, _ in some])
            keys.extend([key for _, key in some])
        return Ids(people), keys

    def _people(self) -> Select[*tuple[Any, ...]]:
        accounts = self._accounts
        return (
            select(Link.person_id, Link.account_key)
            .join(accounts.columns.mapped_class, accounts.key == Link.account_key)
            .where(Link.server_id == self._server_id, accounts.not_deleted())
        )

    def _rows(self, statement: Select[*tuple[Any, ...]]) -> Iterator[Sequence[Any]]:
        # Without the session's way of making rows, which takes as long as the database.
        rows = self._session.connection().execute(statement, execution_options={"yield_per": _ROWS})
        return rows.partitions(_ROWS)
