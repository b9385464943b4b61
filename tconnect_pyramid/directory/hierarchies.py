"""Positions and organisations kept by hand, and what a sync shares with that: one code for both.

Frameworks and items that came from a server are shown here, and changed by its sync alone (protocol 9).
A host's SQLite may not follow foreign keys, so whatever hangs on a row is removed by name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, Table, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.nouns import MANY, ONE
from tconnect_pyramid.directory.origins import origins_of, refuse_foreign
from tconnect_pyramid.directory.surroundings import Surroundings, as_id, line
from tconnect_pyramid.directory.values import checked, long_text, moment
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound
from tconnect_pyramid.models import (
    Base,
    ClientOrganisationFramework,
    ClientPositionFramework,
    Counterpart,
    Job,
    Organisation,
    OrganisationFramework,
    OrganisationType,
    OrganisationTypeField,
    OrganisationValue,
    Position,
    PositionFramework,
    PositionType,
    PositionTypeField,
    PositionValue,
    SiteValue,
)
from tconnect_pyramid.texts import text as _

LONGEST = {"fullname": 1024, "shortname": 100, "idnumber": 100}
LONGEST_SORTTHREAD = 255
DATATYPES = ("checkbox", "datetime", "text", "textarea", "url")
"""The types of custom fields that can be made by hand."""
FRAMEWORK_EDITABLE = (*LONGEST, "description", "visible", "hidecustomfields")
ITEM_EDITABLE = (*LONGEST, "description", "visible", "type")
"""What `edit_item` changes; of positions `timevalidfrom` and `timevalidto` too."""
TIMES = ("timevalidfrom", "timevalidto")


# Named here, because a class that has a field `type` cannot speak of `type[…]`.
FrameworkClass = type[PositionFramework]
TypeClass = type[PositionType]
TypeFieldClass = type[PositionTypeField]
ItemClass = type[Position]
ValueClass = type[PositionValue]
SentToClass = type[ClientPositionFramework]


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Which of the two sets of tables is meant. They have the same columns, so they are typed as one.

    `kind` is also the kind of an item's `Counterpart`; `held_as` is a job's column for such an item.
    """

    kind: Literal["position", "organisation"]
    plural: str
    framework: FrameworkClass
    type: TypeClass
    type_field: TypeFieldClass
    item: ItemClass
    value: ValueClass
    sent_to: SentToClass
    held_as: InstrumentedAttribute[int | None]

    @property
    def word(self) -> str:
        """What one item is called."""
        return self.kind

    @property
    def framework_kind(self) -> str:
        """The kind of a framework's `Counterpart`."""
        return f"{self.kind}_framework"

    @property
    def type_kind(self) -> str:
        """What the code calls a type of items."""
        return f"{self.kind}_type"


POSITIONS = Hierarchy(
    kind="position",
    plural="positions",
    framework=PositionFramework,
    type=PositionType,
    type_field=PositionTypeField,
    item=Position,
    value=PositionValue,
    sent_to=ClientPositionFramework,
    held_as=Job.position_id,
)
ORGANISATIONS = Hierarchy(
    kind="organisation",
    plural="organisations",
    framework=cast(FrameworkClass, OrganisationFramework),
    type=cast(TypeClass, OrganisationType),
    type_field=cast(TypeFieldClass, OrganisationTypeField),
    item=cast(ItemClass, Organisation),
    value=cast(ValueClass, OrganisationValue),
    sent_to=cast(SentToClass, ClientOrganisationFramework),
    held_as=Job.organisation_id,
)
HIERARCHIES: Mapping[str, Hierarchy] = {it.word: it for it in (POSITIONS, ORGANISATIONS)}


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


@dataclass(frozen=True, slots=True)
class ItemView:
    """A position or organisation as plain data.

    `framework` and `parent` are local ids; `type` is the type's idnumber; `fields` are its custom values
    by short name, as they are kept; `description` is HTML.
    """

    id: int
    server: str | None
    remote_id: int | None
    framework: int
    parent: int | None
    idnumber: str
    fullname: str
    shortname: str
    description: str
    path: str
    depth: int
    sortthread: str
    type: str | None
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class TypeFieldView:
    """A custom field of a type as plain data."""

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


# --- reading -------------------------------------------------------------------------------------


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
        ids=[_find(session, hierarchy.framework, hierarchy.framework_kind, who)],
    )
    return found


def list_items(
    session: Session,
    hierarchy: Hierarchy,
    framework: int | None = None,
    *,
    ids: Sequence[int] | None = None,
) -> list[ItemView]:
    """All items (of one framework, or those with these ids), framework by framework, parents first."""
    item, value, field = hierarchy.item, hierarchy.value, hierarchy.type_field
    wanted: list[ColumnElement[bool]] = []
    if framework is not None:
        wanted.append(item.framework_id == framework)
    if ids is not None:
        wanted.append(item.id.in_(ids))
    fields: dict[int, dict[str, str]] = defaultdict(dict)
    for item_id, shortname, data in session.execute(
        select(value.item_id, field.shortname, value.data)
        .join(field, field.id == value.field_id)
        .join(item, item.id == value.item_id)
        .where(*wanted)
        .order_by(value.item_id, field.sortorder, field.id)
    ):
        fields[item_id][shortname] = data
    origins = origins_of(session, hierarchy.kind, ids)
    rows = session.execute(
        select(
            item.id,
            item.framework_id,
            item.parent_id,
            item.idnumber,
            item.fullname,
            item.shortname,
            item.description,
            item.path,
            item.depthlevel,
            item.sortthread,
            hierarchy.type.idnumber.label("type"),
        )
        .join(hierarchy.framework, hierarchy.framework.id == item.framework_id)
        .outerjoin(hierarchy.type, hierarchy.type.id == item.type_id)
        .where(*wanted)
        .order_by(hierarchy.framework.sortorder, item.framework_id, item.sortthread, item.id)
    )
    return [
        ItemView(
            id=row.id,
            server=origins[row.id].server if row.id in origins else None,
            remote_id=origins[row.id].remote_id if row.id in origins else None,
            framework=row.framework_id,
            parent=row.parent_id,
            idnumber=row.idnumber,
            fullname=row.fullname,
            shortname=row.shortname,
            description=row.description,
            path=row.path,
            depth=row.depthlevel,
            sortthread=row.sortthread,
            type=row.type,
            fields=fields.get(row.id, {}),
        )
        for row in rows
    ]


def find_item(session: Session, hierarchy: Hierarchy, who: str) -> ItemView:
    """The item named by an administrator: its id or its idnumber. Raises NotFound."""
    return get_item(session, hierarchy, _find(session, hierarchy.item, hierarchy.word, who))


def get_item(session: Session, hierarchy: Hierarchy, item_id: int) -> ItemView:
    """One item. Raises NotFound."""
    found = list_items(session, hierarchy, ids=[item_id])
    if not found:
        raise NotFound(_("There is no ${kind} with the id ${id}.", kind=ONE[hierarchy.word], id=str(item_id)))
    return found[0]


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
    (found,) = list_types(session, hierarchy, ids=[_find(session, hierarchy.type, hierarchy.type_kind, who)])
    return found


# --- frameworks ----------------------------------------------------------------------------------


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
    return _get_framework(session, hierarchy, made or 0)


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
    row = _own_framework(session, hierarchy, framework_id)
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
    return _get_framework(session, hierarchy, framework_id)


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
    row = _own_framework(session, hierarchy, framework_id)
    others = [it.id for it in list_frameworks(session, hierarchy) if it.id != framework_id]
    others.insert(max(place, 1) - 1, framework_id)
    table = _table(hierarchy.framework)
    session.execute(
        update(table).where(table.c.id == bindparam("row_id")).values(sortorder=bindparam("place")),
        [{"row_id": id_, "place": number} for number, id_ in enumerate(others, start=1)],
    )
    moved = _get_framework(session, hierarchy, framework_id)
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
    row = _own_framework(session, hierarchy, framework_id)
    remove_frameworks(session, hierarchy, [framework_id])
    around.audit(
        session,
        actor,
        f"{hierarchy.framework_kind}.deleted",
        row.fullname,
        id=framework_id,
        idnumber=row.idnumber,
    )


# --- types and custom fields ---------------------------------------------------------------------


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
    _refuse_taken(session, table, hierarchy.type_kind, number, None)
    made = session.scalar(
        insert(table)
        .values(fullname=name, idnumber=number, timecreated=now, timemodified=now)
        .returning(table.id)
    )
    around.audit(session, actor, f"{hierarchy.word}_type.added", name, id=made, idnumber=number)
    return _get_type(session, hierarchy, made or 0)


def delete_type(
    session: Session, around: Surroundings, hierarchy: Hierarchy, type_id: int, *, actor: str = "command"
) -> None:
    """Remove a type with its custom fields; items of it lose both. Raises NotFound."""
    found = _get_type(session, hierarchy, type_id)
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
    of = _get_type(session, hierarchy, type_id)
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
    return _get_type(session, hierarchy, type_id).fields[-1]


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
    of = _get_type(session, hierarchy, row.type_id)
    around.audit(
        session,
        actor,
        f"{hierarchy.word}_type.field_deleted",
        of.fullname,
        id=of.id,
        shortname=row.shortname,
    )


# --- items ---------------------------------------------------------------------------------------


def add_item(  # noqa: PLR0913 - what an item may have from the start
    session: Session,
    around: Surroundings,
    hierarchy: Hierarchy,
    *,
    fullname: str,
    framework: int,
    parent: int | None = None,
    idnumber: str = "",
    shortname: str = "",
    description: str = "",
    type_id: int | None = None,
    fields: Mapping[str, str] | None = None,
    actor: str = "command",
) -> ItemView:
    """Make an item, the last one below `parent` (None: at the top). `fields` are custom values by short name.

    Raises NotFound, InvalidInput, and Conflict for a server's framework or an idnumber that is taken.
    """
    _own_framework(session, hierarchy, framework)
    if parent is not None and _own_item(session, hierarchy, parent).framework_id != framework:
        raise InvalidInput(
            "parent",
            _(
                "parent: the ${kind} ${parent} is in another framework.",
                kind=ONE[hierarchy.word],
                parent=str(parent),
            ),
        )
    if type_id is not None:
        _get_type(session, hierarchy, type_id)
    now = around.clock()
    values = _item_values(
        session,
        hierarchy,
        {"fullname": fullname, "idnumber": idnumber, "shortname": shortname, "description": description},
    )
    made = session.scalar(
        insert(hierarchy.item)
        .values(
            **values,
            framework_id=framework,
            parent_id=parent,
            type_id=type_id,
            timecreated=now,
            timemodified=now,
        )
        .returning(hierarchy.item.id)
    )
    item_id = made or 0
    _write_fields(session, hierarchy, item_id, type_id, fields or {})
    _renumber(session, hierarchy, [framework])
    around.audit(
        session,
        actor,
        f"{hierarchy.word}.added",
        values["fullname"],
        id=item_id,
        idnumber=values["idnumber"],
    )
    return get_item(session, hierarchy, item_id)


def edit_item(
    session: Session,
    around: Surroundings,
    hierarchy: Hierarchy,
    item_id: int,
    changes: Mapping[str, str],
    *,
    fields: Mapping[str, str] | None = None,
    actor: str = "command",
) -> ItemView:
    """Change any of `ITEM_EDITABLE`, and custom values by short name (an empty one removes the value).

    `type` is a type's id or idnumber, empty for none; another type drops the custom values (protocol 9).
    Raises NotFound, InvalidInput and Conflict.
    """
    row = _own_item(session, hierarchy, item_id)
    values = _item_values(session, hierarchy, changes, but=item_id)
    type_id = values.get("type_id", row.type_id)
    if type_id != row.type_id:
        session.execute(delete(hierarchy.value).where(hierarchy.value.item_id == item_id))
    _write_fields(session, hierarchy, item_id, type_id, fields or {})
    if values or fields:
        table = hierarchy.item
        session.execute(
            update(table).where(table.id == item_id).values(**values, timemodified=around.clock())
        )
        around.audit(
            session,
            actor,
            f"{hierarchy.word}.edited",
            row.fullname,
            id=item_id,
            fields=sorted([*values, *(fields or ())]),
        )
    return get_item(session, hierarchy, item_id)


def move_item(
    session: Session,
    around: Surroundings,
    hierarchy: Hierarchy,
    item_id: int,
    *,
    framework: int | None = None,
    parent: int | None = None,
    before: int | None = None,
    actor: str = "command",
) -> ItemView:
    """Move an item with all below it under `parent`, or to the top of `framework` (None: the one it is in).

    It becomes the last one there, or comes before the item `before`. Raises NotFound, InvalidInput for a
    parent in another framework or below the item itself, and Conflict.
    """
    row = _own_item(session, hierarchy, item_id)
    above = None if parent is None else _own_item(session, hierarchy, parent)
    target = framework or (row.framework_id if above is None else above.framework_id)
    _own_framework(session, hierarchy, target)
    moved = _with_subtrees(session, hierarchy, [item_id])
    if above is not None and above.framework_id != target:
        raise InvalidInput(
            "parent",
            _(
                "parent: the ${kind} ${parent} is in another framework.",
                kind=ONE[hierarchy.word],
                parent=str(parent),
            ),
        )
    if parent in moved:
        raise InvalidInput(
            "parent",
            _(
                "parent: the ${kind} ${parent} is below the one to be moved.",
                kind=ONE[hierarchy.word],
                parent=str(parent),
            ),
        )
    if before is not None:
        next_ = _own_item(session, hierarchy, before)
        if before == item_id or (next_.framework_id, next_.parent_id) != (target, parent):
            raise InvalidInput(
                "before",
                _(
                    "before: the ${kind} ${before} is not in that place.",
                    kind=ONE[hierarchy.word],
                    before=str(before),
                ),
            )
    table = hierarchy.item
    for some in in_batches(moved):
        session.execute(update(table).where(table.id.in_(some)).values(framework_id=target))
    session.execute(
        update(table)
        .where(table.id == item_id)
        .values(parent_id=parent, sortthread="", timemodified=around.clock())
    )
    _renumber(
        session, hierarchy, {row.framework_id, target}, before={} if before is None else {item_id: before}
    )
    around.audit(
        session,
        actor,
        f"{hierarchy.word}.moved",
        row.fullname,
        id=item_id,
        framework=target,
        parent=parent,
    )
    return get_item(session, hierarchy, item_id)


def delete_item(
    session: Session, around: Surroundings, hierarchy: Hierarchy, item_id: int, *, actor: str = "command"
) -> None:
    """Remove an item with all below it; jobs lose them. Raises NotFound and Conflict."""
    row = _own_item(session, hierarchy, item_id)
    gone = remove_items(session, hierarchy, [item_id])
    _renumber(session, hierarchy, [row.framework_id])
    around.audit(
        session,
        actor,
        f"{hierarchy.word}.deleted",
        row.fullname,
        id=item_id,
        idnumber=row.idnumber,
        count=len(gone),
    )


# --- removing, whoever made them -----------------------------------------------------------------


def remove_items(session: Session, hierarchy: Hierarchy, ids: Iterable[int]) -> list[int]:
    """Remove items with all below them, their custom values and counterparts; jobs lose them.

    Gives the ids of all that are gone.
    """
    gone = _with_subtrees(session, hierarchy, ids)
    for some in in_batches(gone):
        session.execute(update(Job).where(hierarchy.held_as.in_(some)).values({hierarchy.held_as: None}))
        session.execute(delete(hierarchy.value).where(hierarchy.value.item_id.in_(some)))
        _remove_counterparts(session, hierarchy.kind, some)
    # The deepest first: a parent never goes before what is below it, whatever the database follows.
    for some in in_batches(reversed(gone)):
        session.execute(delete(hierarchy.item).where(hierarchy.item.id.in_(some)))
    return gone


def remove_frameworks(session: Session, hierarchy: Hierarchy, ids: Iterable[int]) -> None:
    """Remove frameworks with all that is in them, their counterparts, and what clients were to get of them."""
    for some in in_batches(ids):
        within = session.scalars(select(hierarchy.item.id).where(hierarchy.item.framework_id.in_(some)))
        remove_items(session, hierarchy, within.all())
        _remove_counterparts(session, hierarchy.framework_kind, some)
        session.execute(delete(hierarchy.sent_to).where(hierarchy.sent_to.framework_id.in_(some)))
        session.execute(delete(hierarchy.framework).where(hierarchy.framework.id.in_(some)))
        if session.scalar(select(SiteValue.name).where(SiteValue.name == had_some(hierarchy))) is None:
            session.execute(insert(SiteValue).values(name=had_some(hierarchy), value="yes"))


def had_some(hierarchy: Hierarchy) -> str:
    """The name of the site's value that says that it had frameworks of the kind, even if none is left."""
    return f"had_{hierarchy.plural}"


def _remove_counterparts(session: Session, kind: str, ids: Sequence[int]) -> None:
    session.execute(delete(Counterpart).where(Counterpart.kind == kind, Counterpart.local_id.in_(ids)))


def _with_subtrees(session: Session, hierarchy: Hierarchy, ids: Iterable[int]) -> list[int]:
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


# --- the order of items --------------------------------------------------------------------------


def _renumber(
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
        table = _table(item)
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


# --- inside --------------------------------------------------------------------------------------


def _find(session: Session, table: type[Any], kind: str, who: str) -> int:
    number = as_id(who)
    named = table.idnumber == who
    ids = session.scalars(
        select(table.id).where(named if number is None else or_(table.id == number, named)).limit(3)
    ).all()
    # An id is what a script holds, so that no idnumber of another may get in its way.
    exact = [id_ for id_ in ids if id_ == number] or list(ids)
    if not exact or not who:
        raise NotFound(
            _("There is no ${kind} ${who}: give its id or its idnumber.", kind=ONE[kind], who=repr(who))
        )
    if len(exact) > 1:
        raise NotFound(
            _("Several ${kinds} have the idnumber ${who}: give an id.", kinds=MANY[kind], who=repr(who))
        )
    return int(exact[0])


def _get_framework(session: Session, hierarchy: Hierarchy, framework_id: int) -> FrameworkView:
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


def _get_type(session: Session, hierarchy: Hierarchy, type_id: int) -> TypeView:
    found = list_types(session, hierarchy, ids=[type_id])
    if not found:
        raise NotFound(
            _("There is no ${kind} with the id ${id}.", kind=ONE[hierarchy.type_kind], id=str(type_id))
        )
    return found[0]


def _own_framework(session: Session, hierarchy: Hierarchy, framework_id: int) -> FrameworkView:
    found = _get_framework(session, hierarchy, framework_id)
    refuse_foreign(session, hierarchy.framework_kind, found.id, found.fullname)
    return found


def _own_item(session: Session, hierarchy: Hierarchy, item_id: int) -> Any:
    item = hierarchy.item
    row = session.execute(
        select(
            item.id,
            item.framework_id,
            item.parent_id,
            item.type_id,
            item.idnumber,
            item.fullname,
            item.component,
        ).where(item.id == item_id)
    ).first()
    if row is None:
        raise NotFound(_("There is no ${kind} with the id ${id}.", kind=ONE[hierarchy.word], id=str(item_id)))
    refuse_foreign(session, hierarchy.kind, row.id, row.fullname)
    if row.component:
        raise Conflict(
            _(
                "The ${kind} ${name} is kept by ${owner}.",
                kind=ONE[hierarchy.word],
                name=repr(row.fullname),
                owner=row.component,
            )
        )
    return row


def _refuse_taken(session: Session, table: type[Any], kind: str, idnumber: object, but: int | None) -> None:
    taken = select(table.id).where(table.idnumber == idnumber, table.id != (but or 0)).limit(1)
    if idnumber and session.scalar(taken) is not None:
        raise Conflict(
            _(
                "Another ${kind} has the idnumber ${idnumber}; choose one of its own.",
                kind=ONE[kind],
                idnumber=repr(idnumber),
            )
        )


def _framework_values(
    session: Session, hierarchy: Hierarchy, given: Mapping[str, str], *, but: int | None = None
) -> dict[str, Any]:
    kind = hierarchy.framework_kind
    values = {name: _value(name, text, kind, FRAMEWORK_EDITABLE) for name, text in given.items()}
    _refuse_taken(session, hierarchy.framework, kind, values.get("idnumber"), but)
    return values


def _item_values(
    session: Session, hierarchy: Hierarchy, given: Mapping[str, str], *, but: int | None = None
) -> dict[str, Any]:
    allowed = (*ITEM_EDITABLE, *TIMES) if hierarchy is POSITIONS else ITEM_EDITABLE
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name == "type":
            values["type_id"] = find_type(session, hierarchy, text.strip()).id if text.strip() else None
        else:
            values[name] = _value(name, text, hierarchy.word, allowed)
    _refuse_taken(session, hierarchy.item, hierarchy.word, values.get("idnumber"), but)
    return values


def _value(name: str, text: str, kind: str, allowed: Sequence[str]) -> str | int | None:
    if name not in allowed:
        raise InvalidInput(
            name,
            _(
                "${name}: ${kinds} have no such field; these are: ${allowed}.",
                name=name,
                kinds=MANY[kind],
                allowed=", ".join(allowed),
            ),
        )
    if name in LONGEST:
        return line(name, text, LONGEST[name], needed=name == "fullname")
    if name == "description":
        return long_text(name, text)
    if name in TIMES:
        return moment(name, text) if text.strip() else None
    return int(checked(name, "checkbox", text))


def _write_fields(
    session: Session, hierarchy: Hierarchy, item_id: int, type_id: int | None, given: Mapping[str, str]
) -> None:
    if not given:
        return
    known = (
        {} if type_id is None else {it.shortname: it for it in _get_type(session, hierarchy, type_id).fields}
    )
    value = hierarchy.value
    rows: list[dict[str, Any]] = []
    for shortname, text in given.items():
        if shortname not in known:
            names = ", ".join(known) or _("none")
            raise InvalidInput(
                shortname,
                _(
                    "${name}: is no field of the type; these are: ${names}.",
                    name=shortname,
                    names=names,
                ),
            )
        if text.strip():
            data = checked(shortname, known[shortname].datatype, text)
            rows.append({"item_id": item_id, "field_id": known[shortname].id, "data": data})
    session.execute(
        delete(value).where(value.item_id == item_id, value.field_id.in_([known[name].id for name in given]))
    )
    if rows:
        session.execute(insert(value), rows)


def _table(mapped_class: type[Base]) -> Table:
    return cast(Table, mapped_class.__table__)
