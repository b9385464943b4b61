"""Frameworks of positions and organisations, kept by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from tconnect_pyramid.directory.hierarchies import (
    LONGEST,
    Hierarchy,
    column_value,
    find_id,
    refuse_taken,
    table_of,
)
from tconnect_pyramid.directory.hierarchy_removal import remove_frameworks
from tconnect_pyramid.directory.nouns import ONE
from tconnect_pyramid.directory.origins import origins_of, refuse_foreign
from tconnect_pyramid.directory.surroundings import Surroundings
from tconnect_pyramid.errors import NotFound
from tconnect_pyramid.texts import text as _

FRAMEWORK_EDITABLE = (*LONGEST, "description", "visible", "hidecustomfields")


@dataclass(frozen=True, slots=True)
class FrameworkView:
    """A framework as plain data.

    `server` is the idnumber of the server that it came from, `remote_id` its id there; None for one made here.
    `description` is HTML.
    """

    id: int
    server: str | None
    remote_id: int | None
    idnumber: str
    fullname: str
    description: str
    sortorder: int


def list_frameworks(
    session: Session, hierarchy: Hierarchy, *, ids: Sequence[int] | None = None
) -> list[FrameworkView]:
    """All frameworks (or those with these ids) in their order."""
    table = hierarchy.framework
    statement = select(table.id, table.idnumber, table.fullname, table.description, table.sortorder).order_by(
        table.sortorder, table.id
    )
    if ids is not None:
        statement = statement.where(table.id.in_(ids))
    origins = origins_of(session, hierarchy.framework_kind, ids)
    return [
        FrameworkView(
            id=row.id,
            server=origins[row.id].server if row.id in origins else None,
            remote_id=origins[row.id].remote_id if row.id in origins else None,
            idnumber=row.idnumber,
            fullname=row.fullname,
            description=row.description,
            sortorder=row.sortorder,
        )
        for row in session.execute(statement)
    ]


def find_framework(session: Session, hierarchy: Hierarchy, who: str) -> FrameworkView:
    """The framework named by an administrator: its id or its idnumber. Raises NotFound."""
    (found,) = list_frameworks(
        session,
        hierarchy,
        ids=[find_id(session, hierarchy.framework, hierarchy.framework_kind, who)],
    )
    return found


def get_framework(session: Session, hierarchy: Hierarchy, framework_id: int) -> FrameworkView:
    """One framework. Raises NotFound."""
    found = list_frameworks(session, hierarchy, ids=[framework_id])
    if not found:
        raise NotFound(
            _(
                "There is no ${kind} with the id ${id}.",
                kind=ONE[hierarchy.framework_kind],
                id=str(framework_id),
            )
        )
    return found[0]


def own_framework(session: Session, hierarchy: Hierarchy, framework_id: int) -> FrameworkView:
    """One framework that is kept here. Raises NotFound, and Conflict for a server's."""
    found = get_framework(session, hierarchy, framework_id)
    refuse_foreign(session, hierarchy.framework_kind, found.id, found.fullname)
    return found


def add_framework(
    session: Session,
    around: Surroundings,
    hierarchy: Hierarchy,
    *,
    fullname: str,
    idnumber: str = "",
    description: str = "",
    actor: str = "command",
) -> FrameworkView:
    """Make a framework; it comes last. Raises InvalidInput, and Conflict when the idnumber is taken."""
    table = hierarchy.framework
    now = around.clock()
    values = _framework_values(
        session, hierarchy, {"fullname": fullname, "idnumber": idnumber, "description": description}
    )
    last = session.scalar(select(func.max(table.sortorder))) or 0
    made = session.scalar(
        insert(table)
        .values(**values, sortorder=last + 1, timecreated=now, timemodified=now)
        .returning(table.id)
    )
    around.audit(
        session,
        actor,
        f"{hierarchy.framework_kind}.added",
        values["fullname"],
        id=made,
        idnumber=values["idnumber"],
    )
    return get_framework(session, hierarchy, made or 0)


def edit_framework(
    session: Session,
    around: Surroundings,
    hierarchy: Hierarchy,
    framework_id: int,
    changes: Mapping[str, str],
    *,
    actor: str = "command",
) -> FrameworkView:
    """Change any of `FRAMEWORK_EDITABLE`. Raises NotFound, InvalidInput and Conflict."""
    row = own_framework(session, hierarchy, framework_id)
    values = _framework_values(session, hierarchy, changes, but=framework_id)
    table = hierarchy.framework
    if values:
        session.execute(
            update(table).where(table.id == framework_id).values(**values, timemodified=around.clock())
        )
        around.audit(
            session,
            actor,
            f"{hierarchy.framework_kind}.edited",
            row.fullname,
            id=framework_id,
            fields=sorted(values),
        )
    return get_framework(session, hierarchy, framework_id)


def move_framework(
    session: Session,
    around: Surroundings,
    hierarchy: Hierarchy,
    framework_id: int,
    place: int,
    *,
    actor: str = "command",
) -> FrameworkView:
    """Give a framework another place in the order, counted from 1. Raises NotFound and Conflict."""
    row = own_framework(session, hierarchy, framework_id)
    others = [it.id for it in list_frameworks(session, hierarchy) if it.id != framework_id]
    others.insert(max(place, 1) - 1, framework_id)
    table = table_of(hierarchy.framework)
    session.execute(
        update(table).where(table.c.id == bindparam("row_id")).values(sortorder=bindparam("place")),
        [{"row_id": id_, "place": number} for number, id_ in enumerate(others, start=1)],
    )
    moved = get_framework(session, hierarchy, framework_id)
    around.audit(
        session,
        actor,
        f"{hierarchy.framework_kind}.moved",
        row.fullname,
        id=framework_id,
        place=moved.sortorder,
    )
    return moved


def delete_framework(
    session: Session, around: Surroundings, hierarchy: Hierarchy, framework_id: int, *, actor: str = "command"
) -> None:
    """Remove a framework with all its items; jobs lose these. Raises NotFound and Conflict."""
    row = own_framework(session, hierarchy, framework_id)
    remove_frameworks(session, hierarchy, [framework_id])
    around.audit(
        session,
        actor,
        f"{hierarchy.framework_kind}.deleted",
        row.fullname,
        id=framework_id,
        idnumber=row.idnumber,
    )


def _framework_values(
    session: Session, hierarchy: Hierarchy, given: Mapping[str, str], *, but: int | None = None
) -> dict[str, Any]:
    kind = hierarchy.framework_kind
    values = {name: column_value(name, text, kind, FRAMEWORK_EDITABLE) for name, text in given.items()}
    refuse_taken(session, hierarchy.framework, kind, values.get("idnumber"), but)
    return values
