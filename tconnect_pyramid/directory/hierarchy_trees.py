"""The trees of positions and organisations: what is below an item, and the order of all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.hierarchies import Hierarchy, table_of
from tconnect_pyramid.directory.nouns import MANY
from tconnect_pyramid.errors import Conflict
from tconnect_pyramid.texts import text as _

LONGEST_SORTTHREAD = 255


def with_subtrees(session: Session, hierarchy: Hierarchy, ids: Iterable[int]) -> list[int]:
    """The items that exist of these and all below them, parents before what is below, each once."""
    item = hierarchy.item
    found: dict[int, None] = {}
    level = list(ids)
    column: InstrumentedAttribute[Any] = item.id
    while level:
        below: list[int] = []
        for some in in_batches(level):
            below.extend(session.scalars(select(item.id).where(column.in_(some))))
        level = [id_ for id_ in below if id_ not in found]
        found.update(dict.fromkeys(level))
        column = item.parent_id
    return list(found)


def renumber(
    session: Session,
    hierarchy: Hierarchy,
    frameworks: Iterable[int],
    *,
    before: Mapping[int, int] | None = None,
) -> None:
    """Write path, depth and place of all items of these frameworks anew, where they differ.

    An item without a place comes last among its siblings, or before the one that `before` names.
    """
    item = hierarchy.item
    children: dict[int | None, list[Any]] = defaultdict(list)
    rows = session.execute(
        select(item.id, item.parent_id, item.framework_id, item.path, item.depthlevel, item.sortthread).where(
            item.framework_id.in_(list(frameworks))
        )
    ).all()
    # Sorted here: a database may have an order of its own for texts.
    for row in sorted(rows, key=lambda it: (not it.sortthread, it.sortthread, it.id)):
        children[row.parent_id].append(row)
    changes: list[dict[str, Any]] = []
    tops: dict[int, list[Any]] = defaultdict(list)
    for row in children[None]:
        tops[row.framework_id].append(row)
    waiting = [(top, "", "", 1) for top in tops.values()]
    while waiting:
        siblings, path, thread, depth = waiting.pop()
        siblings = _arranged(siblings, before or {})
        width = max(2, len(str(len(siblings))))
        for number, row in enumerate(siblings, start=1):
            place = f"{thread}.{number:0{width}}".removeprefix(".")
            if len(place) > LONGEST_SORTTHREAD:
                raise Conflict(
                    _(
                        "The tree of ${kinds} would become too deep (${depth} levels).",
                        kinds=MANY[hierarchy.word],
                        depth=depth,
                    )
                )
            new = (f"{path}/{row.id}", depth, place)
            if new != (row.path, row.depthlevel, row.sortthread):
                changes.append(
                    dict(zip(("row_id", "path_", "depth_", "thread_"), (row.id, *new), strict=True))
                )
            if row.id in children:
                waiting.append((children[row.id], new[0], place, depth + 1))
    if changes:
        table = table_of(item)
        session.execute(
            update(table)
            .where(table.c.id == bindparam("row_id"))
            .values(path=bindparam("path_"), depthlevel=bindparam("depth_"), sortthread=bindparam("thread_")),
            changes,
        )


def _arranged(siblings: list[Any], before: Mapping[int, int]) -> list[Any]:
    """Siblings in their order, with those that go before another one put there."""
    staying = [row for row in siblings if row.id not in before]
    for row in siblings:
        if row.id in before:
            staying.insert(next(i for i, it in enumerate(staying) if it.id == before[row.id]), row)
    return staying
