"""The rules of the collections sync: audiences (on a social site: groups) and their members (protocol 9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace
from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid.client.sync.ids import IdFile, Ids, KeptIds
from tconnect_pyramid.client.sync.plan import (
    COLLECTIONS,
    MEMBER,
    Action,
    Change,
    Changes,
    Plan,
    collection_key,
    members_told,
    visible,
)
from tconnect_pyramid.client.sync.plan_members import MemberPlanner, Membership, Movers
from tconnect_pyramid.client.sync.read import Fault, Sets
from tconnect_pyramid.client.sync.receive import Reply
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.audiences import AUDIENCES, GROUPS, Kept
from tconnect_pyramid.directory.markup import clean_html
from tconnect_pyramid.models import Collection
from tconnect_pyramid.peers import ServerPeer
from tconnect_pyramid.protocol.collections import CollectionRecord
from tconnect_pyramid.texts import Text, plural
from tconnect_pyramid.texts import text as _

COMPONENT = "auth_connect"
"""Marks an audience that a sync owns, so that nobody edits it by hand."""
SOCIAL = "social"

PERSON = "person"
IN_DOUBT = _(
    "the id is somebody else's at the server now, as the synchronisation of users says; the memberships of the account "
    "here stay as they are"
)
BATCH = 100
"""The most collections whose members are looked up together."""
BATCH_MEMBERS = 100_000
"""As many members close a batch."""


@dataclass(slots=True)
class Target:
    """One collection as it is to be. `collection_id` and `local_id` are None for one that is new here.

    `values` are what is to be written to the audience, `join` and `leave` keys of accounts, `await_`
    and `unawait` ids of people who have no account here.
    """

    kind: str
    remote_id: int
    collection_id: int | None
    local_id: int | None
    values: dict[str, Any]
    join: KeptIds
    leave: KeptIds
    await_: KeptIds
    unawait: KeptIds


@dataclass(frozen=True, slots=True)
class Known:
    """A collection that came from the server before. `row` is its audience, None when that is gone."""

    id: int
    kind: str
    remote_id: int
    local_id: int
    row: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Gone:
    """A collection that is to be deleted, and how many people of the server belong to it."""

    known: Known
    members: int


@dataclass(slots=True)
class CollectionsPlan(Plan):
    """`targets` are the collections with anything to be written; `gone` those to be deleted."""

    targets: list[Target] = field(default_factory=list)
    gone: list[Gone] = field(default_factory=list)


def kept_as(context: Context) -> Kept:
    """The tables that collections are kept in on this site."""
    return GROUPS if context.settings.client_type == SOCIAL else AUDIENCES


def local_idnumber(kind: str, remote_id: int, serveridnumber: str) -> str:
    """The ID number of the audience of a server's collection."""
    return f"tc_{kind}_{remote_id}_{serveridnumber}"


def plan_collections(session: Session, context: Context, peer: ServerPeer, reply: Reply) -> CollectionsPlan:
    """What a reply's lists ask for; a fixed number of statements for each batch of collections. Writes nothing.

    Raises BadReply when the reply is no success, is not whole, or lacks one of its lists (protocol 5).
    """
    planner = _Planner(session, context, peer)
    sets = Sets(reply)
    for records in _batches(sets):
        planner.decide(records)
    planner.plan.lists_nobody = sets.lists_nothing
    planner.tell_faults(sets.faults)
    planner.decide_missing(sets)
    planner.tell_left_alone()
    return planner.plan


def _batches(records: Iterable[CollectionRecord]) -> Iterator[list[CollectionRecord]]:
    batch: list[CollectionRecord] = []
    members = 0
    for record in records:
        batch.append(record)
        members += len(record.members)
        if len(batch) == BATCH or members >= BATCH_MEMBERS:
            yield batch
            batch, members = [], 0
    if batch:
        yield batch


class _Planner:
    def __init__(self, session: Session, context: Context, peer: ServerPeer) -> None:
        self.session = session
        self.peer = peer
        self.now = context.clock()
        self.kept = kept_as(context)
        self.plan = CollectionsPlan(kind=COLLECTIONS)
        self.ids = IdFile()
        self.members = MemberPlanner(session, context, peer, self.kept)
        self.known = self._known()

    def tell_faults(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            self.plan.changes.append(
                Change(
                    Action.SKIPPED,
                    fault.kind,
                    fault.remote_id,
                    None,
                    f"{fault.kind} {fault.name}".rstrip(),
                    reason=fault.reason,
                    is_fault=True,
                )
            )

    def decide(self, records: Sequence[CollectionRecord]) -> None:
        known = [self.known.get((record.kind, record.id)) for record in records]
        memberships = [
            Membership(
                Ids(record.members),
                None if it is None or it.row is None else it.local_id,
                None if it is None else it.id,
            )
            for record, it in zip(records, known, strict=True)
        ]
        self.members.compare(memberships)
        self._tell(
            change
            for record, it, membership in zip(records, known, memberships, strict=True)
            for change in self._decide_one(record, None if it is None else it.row, membership)
        )

    def _decide_one(
        self, record: CollectionRecord, row: Mapping[str, Any] | None, membership: Membership
    ) -> Iterator[Change]:
        """The changes of a collection and of its members, who are yet to be named."""
        values = self._values(record)
        changed = {name: v for name, v in values.items() if row is None or row[name] != v}
        join, leave = membership.join, membership.leave
        await_, unawait = membership.await_, membership.unawait
        if not (changed or join or leave or await_ or unawait):
            self.plan.unchanged += 1
            return
        target = Target(
            record.kind,
            record.id,
            membership.collection,
            membership.audience,
            {**changed, "timemodified": self.now} if changed else {},
            *map(self.ids.keep, (join.keys, leave.keys, await_, unawait)),
        )
        self.plan.targets.append(target)
        if not (changed or join or leave):
            self.plan.unchanged += 1
            return
        name = _called(record.kind, record.name)
        yield Change(
            Action.CREATED if row is None else Action.UPDATED,
            record.kind,
            record.id,
            None,
            name,
            target.values,
            {} if row is None else row,
            members_told(len(join), len(leave)) if join or leave else "",
            also=_waited_for(len(await_)),
        )
        key = collection_key(record.kind, record.id)
        yield from _moves(Action.ADDED, join, name, key)
        yield from _moves(Action.REMOVED, leave, name, key)

    def _tell(self, changes: Iterable[Change]) -> None:
        """Add changes to the plan; members get their names, many at once."""
        for some in in_batches(changes, Changes.AT_ONCE):
            names = self.members.names(
                change.account_key for change in some if change.account_key is not None
            )
            for change in some:
                if change.account_key is None:
                    self.plan.changes.append(change)
                    continue
                name = names.get(change.account_key) or f"{PERSON} {change.remote_id}"
                self.plan.changes.append(replace(change, subject=name))

    def tell_left_alone(self) -> None:
        """Say of whom it is in doubt who they are, where that left a membership as it is."""
        for person in sorted(self.members.left_alone):
            self.plan.changes.append(
                Change(
                    Action.SKIPPED,
                    PERSON,
                    person,
                    self.members.doubted[person],
                    f"{PERSON} {person}",
                    reason=IN_DOUBT,
                    is_fault=True,
                )
            )

    def decide_missing(self, sets: Sets) -> None:
        listed = sets.listed
        unsure = sets.nameless_kinds()
        for (kind, remote_id), it in self.known.items():
            if (kind, remote_id) in listed:
                continue
            if kind in unsure:
                self.plan.unchanged += 1
                self.plan.note = _(
                    "A record of the list has no usable id, so it cannot be told which collections are gone; "
                    "none of its kind was deleted."
                )
                continue
            members = self.members.here.get(it.local_id, 0) if it.row is not None else 0
            self.plan.gone.append(Gone(it, members))
            self.plan.changes.append(
                Change(
                    Action.DELETED,
                    kind,
                    remote_id,
                    None,
                    _called(kind, it.row["name"] if it.row is not None else ""),
                    reason=_not_sent(members),
                )
            )

    # --- inside --------------------------------------------------------------------------------

    def _values(self, record: CollectionRecord) -> dict[str, Any]:
        return {
            "name": record.name,
            "description": clean_html(record.description),
            "idnumber": local_idnumber(record.kind, record.id, self.peer.idnumber),
            "component": COMPONENT,
        }

    def _known(self) -> dict[tuple[str, int], Known]:
        mapped = self.session.execute(
            select(Collection.id, Collection.kind, Collection.remote_id, Collection.local_id)
            .where(Collection.server_id == self.peer.id)
            .order_by(Collection.id)
        ).all()
        table = self.kept.table
        rows: dict[int, dict[str, Any]] = {}
        for some in in_batches([it.local_id for it in mapped]):
            statement = select(
                table.id, table.name, table.description, table.idnumber, table.component
            ).where(table.id.in_(some))
            rows.update({row["id"]: dict(row) for row in self.session.execute(statement).mappings()})
        known = {}
        for it in mapped:
            row = rows.get(it.local_id)
            expected = local_idnumber(it.kind, it.remote_id, self.peer.idnumber)
            if row is not None and row["idnumber"] != expected:
                # Not the one that was made: the site's type was changed, and the id is another table's.
                row = None
            known[it.kind, it.remote_id] = Known(it.id, it.kind, it.remote_id, it.local_id, row)
        return known


def _called(kind: str, name: str) -> str:
    # The first word tells audiences from courses, whose ids do not, see `kind_of_line`.
    return f"{kind} {visible(name)}"


def _moves(action: Action, movers: Movers, name: str, collection: str) -> Iterator[Change]:
    return (
        Change(action, MEMBER, person, key, "", reason=name, collection=collection) for key, person in movers
    )


def _waited_for(people: int) -> tuple[Text, ...]:
    if not people:
        return ()
    return (
        plural(
            "${number} member has no account here yet, and joins with it",
            "${number} members have no account here yet, and join with it",
            people,
        ),
    )


def _not_sent(members: int) -> Text:
    if not members:
        return _("not sent any more")
    return plural(
        "not sent any more; ${number} member leaves it",
        "not sent any more; ${number} members leave it",
        members,
    )
