"""The rules of the collections sync: audiences (on a social site: groups) and their members (protocol 9)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid.client.sync.plan import COLLECTIONS, Action, Change, Plan, members_told, visible
from tconnect_pyramid.client.sync.read import Sets
from tconnect_pyramid.client.sync.report import COUNTED_MEMBERS
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.audiences import AUDIENCES, GROUPS, Kept
from tconnect_pyramid.directory.markup import clean_html
from tconnect_pyramid.models import AwaitedMember, Collection, Link
from tconnect_pyramid.peers import ServerPeer
from tconnect_pyramid.protocol.collections import CollectionRecord
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
"""Collections whose members are looked up together."""


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
    values: dict[str, Any] = field(default_factory=dict)
    join: list[int] = field(default_factory=list)
    leave: list[int] = field(default_factory=list)
    await_: list[int] = field(default_factory=list)
    unawait: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Known:
    """A collection that came from the server before. `row` is its audience, None when that is gone."""

    id: int
    kind: str
    remote_id: int
    local_id: int
    row: Mapping[str, Any] | None


@dataclass(slots=True)
class CollectionsPlan(Plan):
    """`targets` are the collections with anything to be written; `gone` those to be deleted."""

    targets: list[Target] = field(default_factory=list)
    gone: list[Known] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Also how many memberships come and go."""
        added = sum(len(target.join) for target in self.targets)
        removed = sum(len(target.leave) for target in self.targets)
        return Plan.counts(self) | dict(zip(COUNTED_MEMBERS, (added, removed), strict=True))


def kept_as(context: Context) -> Kept:
    """The tables that collections are kept in on this site."""
    return GROUPS if context.settings.client_type == SOCIAL else AUDIENCES


def local_idnumber(kind: str, remote_id: int, serveridnumber: str) -> str:
    """The ID number of the audience of a server's collection."""
    return f"tc_{kind}_{remote_id}_{serveridnumber}"


def plan_collections(session: Session, context: Context, peer: ServerPeer, sets: Sets) -> CollectionsPlan:
    """What the lists ask for; a fixed number of statements for each batch of collections. Writes nothing."""
    planner = _Planner(session, context, peer, sets)
    for records in in_batches(sets.records, BATCH):
        planner.decide(records)
    planner.decide_missing()
    planner.tell_left_alone()
    return planner.plan


class _Planner:
    def __init__(self, session: Session, context: Context, peer: ServerPeer, sets: Sets) -> None:
        self.session = session
        self.context = context
        self.peer = peer
        self.sets = sets
        self.now = context.clock()
        self.kept = kept_as(context)
        self.plan = CollectionsPlan(kind=COLLECTIONS, lists_nobody=sets.lists_nothing)
        for fault in sets.faults:
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
        self.known = self._known()
        # Whose link is in doubt: their accounts keep the memberships they have.
        self.doubted: dict[int, int] = {}
        self.left_alone: set[int] = set()
        self.key_by_person = self._usable_people()
        self.person_by_doubted_key = {key: person for person, key in self.doubted.items()}

    def decide(self, records: Sequence[CollectionRecord]) -> None:
        known = [self.known.get((record.kind, record.id)) for record in records]
        present = [it for it in known if it is not None]
        members = self._members([it.local_id for it in present if it.row is not None])
        awaited = self._awaited([it.id for it in present])
        for record, it in zip(records, known, strict=True):
            here = members[it.local_id] if it is not None and it.row is not None else set()
            waiting = awaited[it.id] if it is not None else set()
            self._decide_one(record, it, here, waiting)

    def _decide_one(
        self, record: CollectionRecord, it: Known | None, here: set[int], waiting: set[int]
    ) -> None:
        wanted = {self.key_by_person[person] for person in record.members if person in self.key_by_person}
        unknown = {person for person in record.members if person not in self.key_by_person}
        if self.doubted:
            here, unknown = self._without_doubted(here, unknown)
        row = None if it is None else it.row
        values = self._values(record)
        changed = {name: v for name, v in values.items() if row is None or row[name] != v}
        target = Target(
            record.kind,
            record.id,
            None if it is None else it.id,
            None if it is None or row is None else it.local_id,
            values={**changed, "timemodified": self.now} if changed else {},
            join=sorted(wanted - here),
            leave=sorted(here - wanted),
            await_=sorted(unknown - waiting),
            unawait=sorted(waiting - unknown),
        )
        if target.values or target.join or target.leave or target.await_ or target.unawait:
            self.plan.targets.append(target)
        if target.values or target.join or target.leave:
            action = Action.CREATED if row is None else Action.UPDATED
            self._change(action, record.kind, record.id, record.name, target, {} if row is None else row)
        else:
            self.plan.unchanged += 1

    def _without_doubted(self, here: set[int], unknown: set[int]) -> tuple[set[int], set[int]]:
        """Those who are members here, and those in the list whom nobody is known as, without all who are in doubt."""
        listed = unknown & self.doubted.keys()
        staying = here & self.person_by_doubted_key.keys()
        self.left_alone |= listed ^ {self.person_by_doubted_key[key] for key in staying}
        return here - staying, unknown - listed

    def tell_left_alone(self) -> None:
        """Say of whom it is in doubt who they are, where that left a membership as it is."""
        for person in sorted(self.left_alone):
            self.plan.changes.append(
                Change(
                    Action.SKIPPED,
                    PERSON,
                    person,
                    self.doubted[person],
                    f"{PERSON} {person}",
                    reason=IN_DOUBT,
                    is_fault=True,
                )
            )

    def decide_missing(self) -> None:
        listed = self.sets.listed()
        unsure = self.sets.nameless_kinds()
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
            self.plan.gone.append(it)
            name = it.row["name"] if it.row is not None else ""
            self._change(Action.DELETED, kind, remote_id, name, None, {}, reason=_("not sent any more"))

    # --- inside --------------------------------------------------------------------------------

    def _values(self, record: CollectionRecord) -> dict[str, Any]:
        return {
            "name": record.name,
            "description": clean_html(record.description),
            "idnumber": local_idnumber(record.kind, record.id, self.peer.idnumber),
            "component": COMPONENT,
        }

    def _change(
        self,
        action: Action,
        kind: str,
        remote_id: int,
        name: str,
        target: Target | None,
        before: Mapping[str, Any],
        reason: str = "",
    ) -> None:
        values = {} if target is None else target.values
        if target is not None and (target.join or target.leave):
            reason = members_told(len(target.join), len(target.leave))
        self.plan.changes.append(
            # The first word of the subject tells audiences from courses, whose ids are not.
            Change(action, kind, remote_id, None, f"{kind} {visible(name)}", values, before, reason)
        )

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

    def _usable_people(self) -> dict[int, int]:
        """The keys of accounts that came from this server and are not deleted, by the person's id; `doubted` apart."""
        accounts = self.context.accounts
        rows = self.session.execute(
            select(Link.person_id, Link.account_key, Link.in_doubt)
            .join(accounts.columns.mapped_class, accounts.key == Link.account_key)
            .where(Link.server_id == self.peer.id, accounts.not_deleted())
        )
        usable: dict[int, int] = {}
        for person, key, in_doubt in rows:
            (self.doubted if in_doubt else usable)[person] = key
        return usable

    def _members(self, local_ids: Iterable[int]) -> dict[int, set[int]]:
        """The members who are linked to this server, whoever made them members, by audience."""
        members = self.kept.members
        found: dict[int, set[int]] = defaultdict(set)
        for owner, key in self.session.execute(
            select(self.kept.owner, members.account_key)
            .join(Link, Link.account_key == members.account_key)
            .where(self.kept.owner.in_(list(local_ids)), Link.server_id == self.peer.id)
        ):
            found[owner].add(key)
        return found

    def _awaited(self, collection_ids: Iterable[int]) -> dict[int, set[int]]:
        found: dict[int, set[int]] = defaultdict(set)
        for collection_id, person in self.session.execute(
            select(AwaitedMember.collection_id, AwaitedMember.person_id).where(
                AwaitedMember.collection_id.in_(list(collection_ids))
            )
        ):
            found[collection_id].add(person)
        return found
