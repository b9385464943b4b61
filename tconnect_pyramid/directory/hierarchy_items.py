"""Positions and organisations, kept by hand, with the values of their custom fields."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.orm import Session

from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.hierarchies import (
    LONGEST,
    POSITIONS,
    TIMES,
    Hierarchy,
    column_value,
    find_id,
    refuse_taken,
)
from tconnect_pyramid.directory.hierarchy_frameworks import own_framework
from tconnect_pyramid.directory.hierarchy_removal import remove_items
from tconnect_pyramid.directory.hierarchy_trees import renumber, with_subtrees
from tconnect_pyramid.directory.hierarchy_types import find_type, get_type
from tconnect_pyramid.directory.nouns import ONE
from tconnect_pyramid.directory.origins import origins_of, refuse_foreign
from tconnect_pyramid.directory.surroundings import Surroundings
from tconnect_pyramid.directory.values import checked
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound
from tconnect_pyramid.texts import text as _

ITEM_EDITABLE = (*LONGEST, "description", "visible", "type")
"""What `edit_item` changes; of positions `timevalidfrom` and `timevalidto` too."""


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
    return get_item(session, hierarchy, find_id(session, hierarchy.item, hierarchy.word, who))


def get_item(session: Session, hierarchy: Hierarchy, item_id: int) -> ItemView:
    """One item. Raises NotFound."""
    found = list_items(session, hierarchy, ids=[item_id])
    if not found:
        raise NotFound(_("There is no ${kind} with the id ${id}.", kind=ONE[hierarchy.word], id=str(item_id)))
    return found[0]


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
    own_framework(session, hierarchy, framework)
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
        get_type(session, hierarchy, type_id)
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
    renumber(session, hierarchy, [framework])
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
    own_framework(session, hierarchy, target)
    moved = with_subtrees(session, hierarchy, [item_id])
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
    renumber(
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
    renumber(session, hierarchy, [row.framework_id])
    around.audit(
        session,
        actor,
        f"{hierarchy.word}.deleted",
        row.fullname,
        id=item_id,
        idnumber=row.idnumber,
        count=len(gone),
    )


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


def _item_values(
    session: Session, hierarchy: Hierarchy, given: Mapping[str, str], *, but: int | None = None
) -> dict[str, Any]:
    allowed = (*ITEM_EDITABLE, *TIMES) if hierarchy is POSITIONS else ITEM_EDITABLE
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name == "type":
            values["type_id"] = find_type(session, hierarchy, text.strip()).id if text.strip() else None
        else:
            values[name] = column_value(name, text, hierarchy.word, allowed)
    refuse_taken(session, hierarchy.item, hierarchy.word, values.get("idnumber"), but)
    return values


def _write_fields(
    session: Session, hierarchy: Hierarchy, item_id: int, type_id: int | None, given: Mapping[str, str]
) -> None:
    if not given:
        return
    known = (
        {} if type_id is None else {it.shortname: it for it in get_type(session, hierarchy, type_id).fields}
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
