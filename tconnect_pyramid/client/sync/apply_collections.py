"""Doing what a plan of the collections sync says, set by set, in the caller's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from sqlalchemy import Table, bindparam, delete, insert, update
from sqlalchemy.orm import Session

from tconnect_pyramid.client.sync.apply_users import MANY
from tconnect_pyramid.client.sync.history import Applied, tell
from tconnect_pyramid.client.sync.ids import KeptIds
from tconnect_pyramid.client.sync.plan_collections import CollectionsPlan, Target, kept_as
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.audiences import Kept, offer_new, remove_audiences
from tconnect_pyramid.directory.bulk import among, know_size, put
from tconnect_pyramid.models import AwaitedMember, Base, Collection
from tconnect_pyramid.peers import ServerPeer

Owned = Iterable[tuple[int | None, KeptIds]]
"""Ids with what they belong to."""


def apply_collections(
    session: Session, context: Context, peer: ServerPeer, plan: CollectionsPlan, run_id: int
) -> Applied:
    """Change audiences, their members, and who is awaited."""
    kept = kept_as(context)
    _delete_gone(session, kept, plan)
    _write_existing(session, kept, [target for target in plan.targets if target.local_id is not None])
    _make(session, kept, peer, [target for target in plan.targets if target.local_id is None])
    _write_members(session, kept, plan.targets)
    _write_awaited(session, plan.targets)
    tell(session, run_id, (change.line() for change in plan.changes))
    return Applied()


def _delete_gone(session: Session, kept: Kept, plan: CollectionsPlan) -> None:
    gone = [it.known for it in plan.gone]
    remove_audiences(session, [it.local_id for it in gone if it.row is not None], kept=kept)
    for some in in_batches([it.id for it in gone]):
        session.execute(delete(AwaitedMember).where(AwaitedMember.collection_id.in_(some)))
        session.execute(delete(Collection).where(Collection.id.in_(some)))


def _write_existing(session: Session, kept: Kept, targets: Sequence[Target]) -> None:
    grouped: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for target in targets:
        if target.values:
            grouped[tuple(sorted(target.values))].append({"row_id": target.local_id, **target.values})
    table = _table(kept.table)
    for names, rows in grouped.items():
        session.execute(
            update(table)
            .where(table.c.id == bindparam("row_id"))
            .values({name: bindparam(name) for name in names}),
            rows,
        )


def _make(session: Session, kept: Kept, peer: ServerPeer, targets: Sequence[Target]) -> None:
    """Make audiences; each keeps its id for life, which is noted with the collection."""
    for some in in_batches(targets):
        rows = [{**target.values, "timecreated": target.values["timemodified"]} for target in some]
        ids = session.scalars(insert(kept.table).returning(kept.table.id, sort_by_parameter_order=True), rows)
        for target, local_id in zip(some, ids.all(), strict=True):
            target.local_id = local_id
    offer_new(session, [target.local_id for target in targets if target.local_id is not None], kept=kept)
    known = [
        {"row_id": target.collection_id, "local_id": target.local_id}
        for target in targets
        if target.collection_id is not None
    ]
    if known:
        table = _table(Collection)
        session.execute(
            update(table).where(table.c.id == bindparam("row_id")).values(local_id=bindparam("local_id")),
            known,
        )
    for some in in_batches([target for target in targets if target.collection_id is None]):
        ids = session.scalars(
            insert(Collection).returning(Collection.id, sort_by_parameter_order=True),
            [
                {
                    "remote_id": target.remote_id,
                    "kind": target.kind,
                    "server_id": peer.id,
                    "local_id": target.local_id,
                }
                for target in some
            ],
        )
        for target, collection_id in zip(some, ids.all(), strict=True):
            target.collection_id = collection_id


def _write_members(session: Session, kept: Kept, targets: Sequence[Target]) -> None:
    names = ("account_key", kept.owner.key)
    leaving = ((target.local_id, target.leave) for target in targets)
    coming = ((target.local_id, target.join) for target in targets)
    _remove(session, _table(kept.members), names, leaving)
    _add(session, _table(kept.members), names, coming)


def _write_awaited(session: Session, targets: Sequence[Target]) -> None:
    names = ("person_id", "collection_id")
    leaving = ((target.collection_id, target.unawait) for target in targets)
    coming = ((target.collection_id, target.await_) for target in targets)
    _remove(session, _table(AwaitedMember), names, leaving)
    _add(session, _table(AwaitedMember), names, coming)


def _remove(session: Session, table: Table, names: tuple[str, str], leaving: Owned) -> None:
    """Remove rows, some hundred of one collection at a time."""
    one, owner = (table.c[name] for name in names)
    for owned_by, ids in leaving:
        for some in in_batches(ids):
            session.execute(delete(table).where(owner == owned_by, among(one, some)))


def _add(session: Session, table: Table, names: tuple[str, str], coming: Owned) -> None:
    """Add rows, those of all collections at once."""
    number = 0

    def rows() -> Iterator[tuple[int, int | None]]:
        nonlocal number
        for owned_by, ids in coming:
            number += len(ids)
            yield from ((id_, owned_by) for id_ in ids)

    put(session, table, names, rows())
    if number >= MANY:
        know_size(session, [table])


def _table(mapped_class: type[Base]) -> Table:
    return cast(Table, mapped_class.__table__)
