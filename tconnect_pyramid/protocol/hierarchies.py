"""Positions and organisations: frameworks and the items in them, written and read (protocol 5).

Both are built alike; only the order of their keys differs, and that positions may be limited to a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass
from typing import Literal

from tconnect_pyramid.errors import BadRecord, BadReply
from tconnect_pyramid.protocol.columns import (
    MOST_OF_ONE,
    Field,
    Warn,
    number,
    read_id,
    read_int,
    read_int_or_none,
    read_text,
    read_text_or_none,
    text,
    time,
    write_record,
    write_value,
)
from tconnect_pyramid.protocol.values import clean_text
from tconnect_pyramid.texts import Text
from tconnect_pyramid.texts import text as _

Kind = Literal["position", "organisation"]

POSITION: Literal["position"] = "position"
ORGANISATION: Literal["organisation"] = "organisation"

KINDS: tuple[Kind, ...] = (POSITION, ORGANISATION)

FRAMEWORKS = "frameworks"
ITEMS: Mapping[Kind, str] = {POSITION: "positions", ORGANISATION: "organisations"}
"""The key of the items in a reply."""


def _by_name(*fields: Field) -> dict[str, Field]:
    return {field.name: field for field in fields}


def _ordered(fields: Mapping[str, Field], names: str) -> tuple[Field, ...]:
    return tuple(fields[name] for name in names.split())


_FRAMEWORK = _by_name(
    number("id"),
    text("shortname", 100),
    text("idnumber", 100, whole=True),
    text("description", None),
    number("sortorder"),
    number("timecreated"),
    number("timemodified"),
    number("usermodified", 2),
    number("visible", 1),
    number("hidecustomfields"),
    text("fullname", 1024),
)
FRAMEWORK_FIELDS: Mapping[Kind, tuple[Field, ...]] = {
    POSITION: _ordered(
        _FRAMEWORK,
        "id shortname idnumber description sortorder timecreated timemodified usermodified visible "
        "hidecustomfields fullname",
    ),
    ORGANISATION: _ordered(
        _FRAMEWORK,
        "id shortname idnumber description sortorder visible hidecustomfields timecreated timemodified "
        "usermodified fullname",
    ),
}

_ITEM = _by_name(
    number("id"),
    text("shortname", 100),
    text("idnumber", 100, whole=True),
    text("description", None),
    number("frameworkid"),
    text("path", None),
    number("visible", 1),
    time("timevalidfrom"),
    time("timevalidto"),
    number("timecreated"),
    number("timemodified"),
    number("usermodified", 2),
    text("fullname", 1024),
    number("parentid"),
    number("depthlevel", 1),
    number("typeid"),
    text("sortthread", 255),
    number("totarasync"),
)
ITEM_FIELDS: Mapping[Kind, tuple[Field, ...]] = {
    POSITION: _ordered(
        _ITEM,
        "id shortname idnumber description frameworkid path visible timevalidfrom timevalidto timecreated "
        "timemodified usermodified fullname parentid depthlevel typeid sortthread totarasync",
    ),
    ORGANISATION: _ordered(
        _ITEM,
        "id shortname description idnumber frameworkid path parentid visible timecreated timemodified "
        "usermodified fullname depthlevel typeid sortthread totarasync",
    ),
}

_TYPE_IDNUMBER = text("typeidnumber", 100, None, whole=True)
_SHORTNAME = text("shortname", 100)
_DATATYPE = text("datatype", 255)
_DATA = text("data", None, None)
_VALUE = text("value", None, None)


def write_framework(kind: Kind, values: Mapping[str, object], *, warn: Warn) -> dict[str, object]:
    """A framework, its keys in the order of the wire.

    `values` by the names of `FRAMEWORK_FIELDS`; what is absent gets the field's default. `warn` is
    told of what a Totara client could not store. Raises `ValueError` without a usable id.
    """
    return write_record(f"{kind} framework", FRAMEWORK_FIELDS[kind], values, warn)


def write_item(
    kind: Kind,
    values: Mapping[str, object],
    *,
    typeidnumber: str | None,
    custom_fields: Iterable[Mapping[str, object]],
    warn: Warn,
) -> dict[str, object]:
    """An item, its keys in the order of the wire.

    `values` by the names of `ITEM_FIELDS`, otherwise as `write_framework`; a `parentid` or `typeid`
    of None is sent as 0. `typeidnumber` is that of its type, None without one. Each of
    `custom_fields` has shortname, datatype, data and value.
    """
    record = write_record(kind, ITEM_FIELDS[kind], values, warn)
    record["typeidnumber"] = write_value(_TYPE_IDNUMBER, typeidnumber, f"{kind} {record['id']}", warn)
    record["custom_fields"] = [
        {name: _clean(field.get(name)) for name in ("shortname", "datatype", "data", "value")}
        for field in custom_fields
    ]
    return record


def _clean(value: object) -> str | None:
    return None if value is None else clean_text(str(value))


@dataclass(frozen=True, slots=True)
class CustomField:
    """What an item has in a custom field of its type; `value` is a parameter beside it, mostly None."""

    shortname: str
    datatype: str
    data: str | None
    value: str | None


@dataclass(frozen=True, slots=True)
class FrameworkRecord:
    """A framework as a server sends it; `sortorder` is its place among the server's frameworks."""

    id: int
    idnumber: str
    fullname: str
    shortname: str
    description: str
    sortorder: int
    visible: int
    hidecustomfields: int


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """A position or organisation as a server sends it; framework and parent are ids there.

    `parent_id` is None at the top. `timevalidfrom` and `timevalidto` are Unix seconds, of positions only.
    `type_idnumber` is None for an item without a type, or with one that has no idnumber. Of custom
    fields that repeat shortname and datatype only the first is here, as with Totara.
    """

    id: int
    framework_id: int
    parent_id: int | None
    idnumber: str
    fullname: str
    shortname: str
    description: str
    sortthread: str
    visible: int
    timevalidfrom: int | None
    timevalidto: int | None
    type_idnumber: str | None
    custom_fields: tuple[CustomField, ...]


def read_hierarchy(kind: Kind, data: object) -> tuple[list[object], list[object]] | None:
    """The raw frameworks and the raw items of a reply; None when both are null: leave all alone.

    Raises `BadReply` when a list is absent, odd or alone null: taken for empty it would delete
    everything of this kind.
    """
    if not isinstance(data, dict):
        raise BadReply(_("the reply holds no ${items}", items=ITEMS[kind]))
    for name in (FRAMEWORKS, ITEMS[kind]):
        if name not in data:
            raise BadReply(_("the reply holds no list called ${name}", name=name))
    frameworks, items = data[FRAMEWORKS], data[ITEMS[kind]]
    if frameworks is None and items is None:
        return None
    if not isinstance(frameworks, list) or not isinstance(items, list):
        raise BadReply(
            _(
                "${frameworks} and ${items} of the reply are neither both lists nor both null",
                frameworks=FRAMEWORKS,
                items=ITEMS[kind],
            )
        )
    return frameworks, items


def read_framework(raw: object) -> FrameworkRecord:
    """One framework, its strings cleaned; raises `BadRecord` when it cannot be used."""
    if not isinstance(raw, dict):
        raise BadRecord(None, _("the framework is not an object"))
    remote_id = read_id(raw)
    _require(raw, remote_id, "fullname")
    return FrameworkRecord(
        id=remote_id,
        idnumber=read_text(_FRAMEWORK["idnumber"], raw, remote_id),
        fullname=read_text(_FRAMEWORK["fullname"], raw, remote_id),
        shortname=read_text(_FRAMEWORK["shortname"], raw, remote_id),
        description=read_text(_FRAMEWORK["description"], raw, remote_id),
        sortorder=read_int(_FRAMEWORK["sortorder"], raw, remote_id),
        visible=read_int(_FRAMEWORK["visible"], raw, remote_id),
        hidecustomfields=read_int(_FRAMEWORK["hidecustomfields"], raw, remote_id),
    )


def read_item(kind: Kind, raw: object) -> ItemRecord:
    """One item, its strings cleaned; raises `BadRecord` when it cannot be used.

    A missing framework, parent, type or list of custom fields makes the whole record unusable: taken
    for none it would move the item or empty its fields.
    """
    if not isinstance(raw, dict):
        raise BadRecord(None, _("the ${kind} is not an object", kind=kind))
    remote_id = read_id(raw)
    _require(raw, remote_id, "fullname", "frameworkid", "parentid")
    if "typeidnumber" not in raw:
        raise BadRecord(remote_id, _("typeidnumber is missing"))
    framework_id = read_int(_ITEM["frameworkid"], raw, remote_id)
    parent_id = read_int(_ITEM["parentid"], raw, remote_id) or None
    if not framework_id:
        raise BadRecord(remote_id, _("frameworkid is not a whole number above 0"))
    is_timed = kind == POSITION
    return ItemRecord(
        id=remote_id,
        framework_id=framework_id,
        parent_id=parent_id,
        idnumber=read_text(_ITEM["idnumber"], raw, remote_id),
        fullname=read_text(_ITEM["fullname"], raw, remote_id),
        shortname=read_text(_ITEM["shortname"], raw, remote_id),
        description=read_text(_ITEM["description"], raw, remote_id),
        sortthread=read_text(_ITEM["sortthread"], raw, remote_id),
        visible=read_int(_ITEM["visible"], raw, remote_id),
        timevalidfrom=read_int_or_none(_ITEM["timevalidfrom"], raw, remote_id) if is_timed else None,
        timevalidto=read_int_or_none(_ITEM["timevalidto"], raw, remote_id) if is_timed else None,
        type_idnumber=read_text_or_none(_TYPE_IDNUMBER, raw, remote_id) or None,
        custom_fields=_read_custom_fields(raw.get("custom_fields"), remote_id),
    )


def _require(raw: Mapping[str, object], remote_id: int, *names: str) -> None:
    for name in names:
        if raw.get(name) is None:
            raise BadRecord(remote_id, _("${name} is missing", name=name))


def _read_custom_fields(raw: object, remote_id: int) -> tuple[CustomField, ...]:
    if not isinstance(raw, list):
        raise BadRecord(remote_id, _("custom_fields is not a list"))
    if len(raw) > MOST_OF_ONE:
        raise BadRecord(remote_id, _("there are more than ${number} custom fields", number=MOST_OF_ONE))
    fields: dict[tuple[str, str], CustomField] = {}
    for position, entry in enumerate(raw, start=1):
        if not isinstance(entry, dict):
            raise BadRecord(remote_id, _("${where} is not an object", where=_field_at(position, raw)))
        try:
            field = CustomField(
                shortname=read_text(_SHORTNAME, entry, remote_id),
                datatype=read_text(_DATATYPE, entry, remote_id),
                data=read_text_or_none(_DATA, entry, remote_id),
                value=read_text_or_none(_VALUE, entry, remote_id),
            )
        except BadRecord as error:
            raise BadRecord(
                remote_id, _("${where}: ${reason}", where=_field_at(position, raw), reason=error.reason)
            ) from None
        if not field.shortname or not field.datatype:
            raise BadRecord(
                remote_id, _("${where} has no shortname or no datatype", where=_field_at(position, raw))
            )
        fields.setdefault((field.shortname, field.datatype), field)
    return tuple(fields.values())


def _field_at(position: int, raw: Sized) -> Text:
    return _("custom field ${position} of ${total}", position=position, total=len(raw))
