"""Positions and organisations as pages show them: a part of a tree at a time, and what hangs on an item."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from tconnect_pyramid.directory.hierarchies import Hierarchy
from tconnect_pyramid.directory.hierarchy_items import ItemView, list_items
from tconnect_pyramid.directory.paging import Asked, Page, page_of
from tconnect_pyramid.models import Job


def page_of_items(session: Session, hierarchy: Hierarchy, framework_id: int, asked: Asked) -> Page[ItemView]:
    """A page of a framework's items in the order of its tree, parents first."""
    item = hierarchy.item
    found = page_of(
        session,
        select(item.id).where(item.framework_id == framework_id),
        asked,
        key=item.id,
        orders={"tree": item.sortthread},
        searched=(item.fullname, item.idnumber, item.shortname),
    )
    return found.map(lambda rows: _in_order(session, hierarchy, [row.id for row in rows]))


def sizes(session: Session, hierarchy: Hierarchy) -> dict[int, int]:
    """How many items each framework has, by its id."""
    item = hierarchy.item
    rows = session.execute(select(item.framework_id, func.count()).group_by(item.framework_id))
    return {framework: number for framework, number in rows}  # noqa: C416 - rows are no pairs to a type checker


def below(session: Session, hierarchy: Hierarchy, item: ItemView) -> int:
    """How many items stand below this one, at any depth."""
    table = hierarchy.item
    return session.scalar(select(func.count()).where(table.path.like(f"{item.path}/%"))) or 0


def jobs_held(session: Session, hierarchy: Hierarchy, item: ItemView) -> int:
    """How many job assignments are for this item or one below it."""
    table = hierarchy.item
    ids = select(table.id).where(or_(table.id == item.id, table.path.like(f"{item.path}/%")))
    return session.scalar(select(func.count()).select_from(Job).where(hierarchy.held_as.in_(ids))) or 0


def _in_order(session: Session, hierarchy: Hierarchy, ids: Sequence[int]) -> list[ItemView]:
    by_id = {view.id: view for view in list_items(session, hierarchy, ids=ids)}
    return [by_id[id_] for id_ in ids]
