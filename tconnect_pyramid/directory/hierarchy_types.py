"""Types of positions and organisations with their custom fields, kept by hand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from tconnect_pyramid.directory.hierarchies import LONGEST, Hierarchy, find_id, refuse_taken
from tconnect_pyramid.directory.nouns import ONE
from tconnect_pyramid.directory.surroundings import Surroundings, line
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound
from tconnect_pyramid.texts import text as _

DATATYPES = ("checkbox", "datetime", "text", "textarea", "url")
"""The types of custom fields that can be made by hand."""


@dataclass(frozen=True, slots=True)
class TypeFieldView:
    """A custom field of a type as plain data."""

    choices: ClassVar[tuple[str, ...]] = ()
    """A menu is none of `DATATYPES`."""

    id: int
    shortname: str
    name: str
    datatype: str
    sortorder: int


@dataclass(frozen=True, slots=True)
class TypeView:
    """A type of items as plain data, with its custom fields in their order."""

    id: int
    idnumber: str
    fullname: str
    fields: tuple[TypeFieldView, ...]


def list_types(session: Session, hierarchy: Hierarchy, *, ids: Sequence[int] | None = None) -> list[TypeView]:
    """All types (or those with these ids) in the order of their ids."""
    table, field = hierarchy.type, hierarchy.type_field
    statement = select(table.id, table.idnumber, table.fullname).order_by(table.id)
    if ids is not None:
        statement = statement.where(table.id.in_(ids))
    fields: dict[int, list[TypeFieldView]] = defaultdict(list)
    for row in session.scalars(select(field).order_by(field.type_id, field.sortorder, field.id)):
        fields[row.type_id].append(
            TypeFieldView(row.id, row.shortname, row.name, row.datatype, row.sortorder)
        )
    return [
        TypeView(row.id, row.idnumber, row.fullname, tuple(fields.get(row.id, ())))
        for row in session.execute(statement)
    ]


def find_type(session: Session, hierarchy: Hierarchy, who: str) -> TypeView:
    """The type named by an administrator: its id or its idnumber. Raises NotFound."""
    (found,) = list_types(
        session, hierarchy, ids=[find_id(session, hierarchy.type, hierarchy.type_kind, who)]
    )
    return found


def get_type(session: Session, hierarchy: Hierarchy, type_id: int) -> TypeView:
    """One type. Raises NotFound."""
    found = list_types(session, hierarchy, ids=[type_id])
    if not found:
        raise NotFound(
            _("There is no ${kind} with the id ${id}.", kind=ONE[hierarchy.type_kind], id=str(type_id))
        )
    return found[0]


def add_type(
    session: Session,
    around: Surroundings,
    hierarchy: Hierarchy,
    *,
    fullname: str,
    idnumber: str,
    actor: str = "command",
) -> TypeView:
    """Make a type of items. Peers know it by its idnumber (protocol 9).

    Raises InvalidInput, and Conflict when the idnumber is taken.
    """
    table = hierarchy.type
    now = around.clock()
    name = line("fullname", fullname, LONGEST["fullname"], needed=True)
    number = line("idnumber", idnumber, LONGEST["idnumber"], needed=True)
    refuse_taken(session, table, hierarchy.type_kind, number, None)
    made = session.scalar(
        insert(table)
        .values(fullname=name, idnumber=number, timecreated=now, timemodified=now)
        .returning(table.id)
    )
    around.audit(session, actor, f"{hierarchy.word}_type.added", name, id=made, idnumber=number)
    return get_type(session, hierarchy, made or 0)


def delete_type(
    session: Session, around: Surroundings, hierarchy: Hierarchy, type_id: int, *, actor: str = "command"
) -> None:
    """Remove a type with its custom fields; items of it lose both. Raises NotFound."""
    found = get_type(session, hierarchy, type_id)
    value, field, item = hierarchy.value, hierarchy.type_field, hierarchy.item
    of_type = select(field.id).where(field.type_id == type_id)
    session.execute(delete(value).where(value.field_id.in_(of_type)))
    session.execute(delete(field).where(field.type_id == type_id))
    session.execute(update(item).where(item.type_id == type_id).values(type_id=None))
    session.execute(delete(hierarchy.type).where(hierarchy.type.id == type_id))
    around.audit(
        session,
        actor,
        f"{hierarchy.word}_type.deleted",
        found.fullname,
        id=type_id,
        idnumber=found.idnumber,
    )


def add_type_field(
    session: Session,
    around: Surroundings,
    hierarchy: Hierarchy,
    type_id: int,
    *,
    shortname: str,
    name: str = "",
    datatype: str,
    actor: str = "command",
) -> TypeFieldView:
    """Give a type a custom field, one of `DATATYPES`. Peers know it by short name and datatype.

    Raises NotFound, InvalidInput, and Conflict when the type has a field of that short name.
    """
    of = get_type(session, hierarchy, type_id)
    short = line("shortname", shortname, LONGEST["shortname"], needed=True)
    shown = line("name", name, LONGEST["fullname"]) or short
    if datatype not in DATATYPES:
        raise InvalidInput(
            "datatype", _("datatype: expected one of ${datatypes}.", datatypes=", ".join(DATATYPES))
        )
    if any(it.shortname == short for it in of.fields):
        raise Conflict(
            _("The type ${name} already has a field ${short}.", name=repr(of.fullname), short=repr(short))
        )
    last = max((it.sortorder for it in of.fields), default=0)
    session.execute(
        insert(hierarchy.type_field).values(
            type_id=type_id, shortname=short, name=shown, datatype=datatype, sortorder=last + 1
        )
    )
    around.audit(
        session, actor, f"{hierarchy.word}_type.field_added", of.fullname, id=type_id, shortname=short
    )
    return get_type(session, hierarchy, type_id).fields[-1]


def delete_type_field(
    session: Session, around: Surroundings, hierarchy: Hierarchy, field_id: int, *, actor: str = "command"
) -> None:
    """Remove a custom field of a type with all its values. Raises NotFound."""
    value, field = hierarchy.value, hierarchy.type_field
    row = session.execute(select(field.type_id, field.shortname).where(field.id == field_id)).first()
    if row is None:
        raise NotFound(
            _(
                "There is no field of a ${kind} with the id ${id}.",
                kind=ONE[hierarchy.type_kind],
                id=str(field_id),
            )
        )
    session.execute(delete(value).where(value.field_id == field_id))
    session.execute(delete(field).where(field.id == field_id))
    of = get_type(session, hierarchy, row.type_id)
    around.audit(
        session,
        actor,
        f"{hierarchy.word}_type.field_deleted",
        of.fullname,
        id=of.id,
        shortname=row.shortname,
    )
