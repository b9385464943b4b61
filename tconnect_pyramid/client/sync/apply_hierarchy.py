"""Doing what a plan of positions or organisations says, set by set, in the caller's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, cast

from sqlalchemy import Table, bindparam, delete, insert, update
from sqlalchemy.orm import Session

from tconnect_pyramid.client.sync.history import Applied, tell
from tconnect_pyramid.client.sync.plan_hierarchy import PLACE_COLUMNS, HierarchyPlan, Node, hierarchy_of
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.hierarchies import Hierarchy
from tconnect_pyramid.directory.hierarchy_removal import remove_frameworks, remove_items
from tconnect_pyramid.models import Base, Counterpart
from tconnect_pyramid.peers import ServerPeer


def apply_hierarchy(
    session: Session, context: Context, peer: ServerPeer, plan: HierarchyPlan, run_id: int
) -> Applied:
    """Change frameworks and items. What goes, goes last: by then, what moved is out of it."""
    del context
    hierarchy = hierarchy_of(plan.kind)
    _forget(session, peer, hierarchy.framework_kind, plan.stale_frameworks)
    _forget(session, peer, hierarchy.kind, plan.stale_items)
    frameworks = _write_frameworks(session, peer, hierarchy, plan)
    items = _make_items(session, peer, hierarchy, frameworks, plan.nodes)
    _write_items(session, hierarchy, frameworks, items, plan.nodes)
    _write_fields(session, hierarchy, items, plan.nodes)
    remove_items(session, hierarchy, plan.gone_items)
    remove_frameworks(session, hierarchy, plan.gone_frameworks)
    tell(session, run_id, (change.line() for change in plan.changes))
    return Applied()


def _forget(session: Session, peer: ServerPeer, kind: str, remote_ids: Iterable[int]) -> None:
    for some in in_batches(remote_ids):
        session.execute(
            delete(Counterpart).where(
                Counterpart.remote_id.in_(some), Counterpart.kind == kind, Counterpart.server_id == peer.id
            )
        )


def _write_frameworks(
    session: Session, peer: ServerPeer, hierarchy: Hierarchy, plan: HierarchyPlan
) -> dict[int, int]:
    """Make and change frameworks; gives the local ids of all that stay or came, by their ids at the server."""
    local_ids: dict[int, int] = {}
    made: dict[int, int] = {}
    table = _table(hierarchy.framework)
    for some in in_batches([target for target in plan.frameworks if target.local_id is None]):
        rows = [{**target.values, "timecreated": target.values["timemodified"]} for target in some]
        ids = session.scalars(insert(table).returning(table.c.id, sort_by_parameter_order=True), rows)
        made.update(zip([target.remote_id for target in some], ids, strict=True))
    _remember(session, peer, hierarchy.framework_kind, made)
    changes: dict[int, dict[str, Any]] = {}
    for target in plan.frameworks:
        if target.local_id is not None:
            local_ids[target.remote_id] = target.local_id
            changes[target.local_id] = target.values
    _update(session, hierarchy.framework, changes)
    return {**local_ids, **made}


def _make_items(
    session: Session,
    peer: ServerPeer,
    hierarchy: Hierarchy,
    frameworks: Mapping[int, int],
    nodes: Iterable[Node],
) -> dict[int, int]:
    """Make items; gives the local ids of all that stay or came, by their ids at the server.

    They stand at the top of their frameworks at first: only with all ids known can each get its place.
    """
    made: dict[int, int] = {}
    table = _table(hierarchy.item)
    for some in in_batches([node for node in nodes if node.local_id is None]):
        rows = [
            {
                **node.values,
                "framework_id": frameworks[node.framework],
                # Which row is whose: in the order of the rows, SQLite would add one after the other.
                "path": str(node.remote_id),
                "timecreated": node.values["timemodified"],
            }
            for node in some
        ]
        ids = session.execute(insert(table).returning(table.c.path, table.c.id), rows)
        made.update((int(remote_id), local_id) for remote_id, local_id in ids)
    _remember(session, peer, hierarchy.kind, made)
    return {node.remote_id: node.local_id for node in nodes if node.local_id is not None} | made


def _write_items(
    session: Session,
    hierarchy: Hierarchy,
    frameworks: Mapping[int, int],
    items: Mapping[int, int],
    nodes: Iterable[Node],
) -> None:
    changes: dict[int, dict[str, Any]] = {}
    # The local id, path and depth of what was placed already, by the id at the server.
    placed: dict[int | None, tuple[int | None, str, int]] = {None: (None, "", 0)}
    for node in nodes:
        local_id = items[node.remote_id]
        parent_id, above, depth = placed[node.parent]
        path = f"{above}/{local_id}"
        placed[node.remote_id] = (local_id, path, depth + 1)
        place = (frameworks[node.framework], parent_id, path, depth + 1)
        # A new one was written a moment ago, all but its place.
        values = {} if node.local_id is None else node.values
        if place != node.here:
            values = values | dict(zip(PLACE_COLUMNS, place, strict=True))
        changes[local_id] = values
    _update(session, hierarchy.item, changes)


def _write_fields(
    session: Session, hierarchy: Hierarchy, items: Mapping[int, int], nodes: Iterable[Node]
) -> None:
    old: list[dict[str, Any]] = []
    new: list[dict[str, Any]] = []
    for node in nodes:
        item_id = items[node.remote_id]
        for field_id, value in node.fields.items():
            if node.local_id is not None:
                old.append({"of_item": item_id, "of_field": field_id})
            if value is not None:
                new.append({"item_id": item_id, "field_id": field_id, "data": value[0], "value": value[1]})
    table = _table(hierarchy.value)
    if old:
        session.execute(
            delete(table).where(
                table.c.item_id == bindparam("of_item"), table.c.field_id == bindparam("of_field")
            ),
            old,
        )
    if new:
        session.execute(insert(table), new)


def _update(session: Session, mapped_class: type[Base], changes: Mapping[int, Mapping[str, Any]]) -> None:
    """Set exactly these values of each row; rows with the same columns go together."""
    grouped: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for local_id, values in changes.items():
        if values:
            grouped[tuple(sorted(values))].append({"row_id": local_id, **values})
    table = _table(mapped_class)
    for names, rows in grouped.items():
        session.execute(
            update(table)
            .where(table.c.id == bindparam("row_id"))
            .values({name: bindparam(name) for name in names}),
            rows,
        )


def _remember(session: Session, peer: ServerPeer, kind: str, made: Mapping[int, int]) -> None:
    for some in in_batches(made.items()):
        session.execute(
            insert(Counterpart),
            [
                {"remote_id": remote_id, "kind": kind, "server_id": peer.id, "local_id": local_id}
                for remote_id, local_id in some
            ],
        )


def _table(mapped_class: type[Base]) -> Table:
    return cast(Table, mapped_class.__table__)
