"""Custom profile fields of the site, and what accounts have in them (protocol 6).

Values are stored as they are sent: a checkbox as `0` or `1`, a date as Unix seconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Table, bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from tconnect_pyramid.directory.accounts import forget_digests, in_batches
from tconnect_pyramid.directory.surroundings import Surroundings, known_members, line
from tconnect_pyramid.directory.values import checked
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound
from tconnect_pyramid.models import ProfileField, ProfileValue
from tconnect_pyramid.texts import plural
from tconnect_pyramid.texts import text as _

DATATYPES = ("checkbox", "date", "datetime", "menu", "text", "textarea")
LONGEST_SHORTNAME = 255
LONGEST_NAME = 1024
LONGEST_CHOICE = 255


@dataclass(frozen=True, slots=True)
class FieldView:
    """A custom profile field as plain data. `choices` are those of a menu; `sortorder` counts from 1."""

    id: int
    shortname: str
    name: str
    datatype: str
    choices: tuple[str, ...]
    sortorder: int


def list_fields(session: Session) -> list[FieldView]:
    """All fields in their order."""
    return [
        FieldView(
            id=row.id,
            shortname=row.shortname,
            name=row.name,
            datatype=row.datatype,
            choices=tuple(row.choices.split("\n")) if row.choices else (),
            sortorder=row.sortorder,
        )
        for row in session.scalars(select(ProfileField).order_by(ProfileField.sortorder, ProfileField.id))
    ]


def count_values(session: Session, field_id: int) -> int:
    """How many accounts have something in a field."""
    return session.scalar(select(func.count()).where(ProfileValue.field_id == field_id)) or 0


def find_field(session: Session, who: str) -> FieldView:
    """The field with this short name, else the one with this id. Raises NotFound."""
    fields = list_fields(session)
    for found in fields:
        if found.shortname == who:
            return found
    for found in fields:
        if str(found.id) == who:
            return found
    raise NotFound(
        _("There is no custom profile field ${who}: give its short name or its id.", who=repr(who))
    )


def add_field(
    session: Session,
    around: Surroundings,
    shortname: str,
    *,
    name: str = "",
    datatype: str,
    choices: Sequence[str] = (),
    actor: str = "command",
) -> FieldView:
    """Make a field, the last one; `choices` are those of a menu, which needs some.

    Peers know it by short name and datatype together. Raises InvalidInput, and Conflict when the short name
    is taken.
    """
    if datatype not in DATATYPES:
        raise InvalidInput(
            "datatype", _("datatype: expected one of ${datatypes}.", datatypes=", ".join(DATATYPES))
        )
    short = _shortname(session, shortname)
    row = ProfileField(
        shortname=short,
        name=line("name", name, LONGEST_NAME) or short,
        datatype=datatype,
        choices="\n".join(_choices(datatype, choices)),
        sortorder=(session.scalar(select(func.max(ProfileField.sortorder))) or 0) + 1,
    )
    session.add(row)
    session.flush()
    around.audit(session, actor, "field.added", short, id=row.id, datatype=datatype)
    return find_field(session, short)


def edit_field(
    session: Session,
    around: Surroundings,
    field_id: int,
    *,
    shortname: str | None = None,
    name: str | None = None,
    choices: Sequence[str] | None = None,
    actor: str = "command",
) -> FieldView:
    """Change what is given of a field; its datatype stays, as everybody's values are of it.

    An empty `name` makes the short name the name. A choice that somebody has cannot be taken away: it would be a
    value that they may not give themselves. Raises NotFound, InvalidInput and Conflict.
    """
    row = _row(session, field_id)
    changes: dict[str, str] = {}
    if shortname is not None:
        changes["shortname"] = _shortname(session, shortname, but=field_id)
    if name is not None:
        changes["name"] = line("name", name, LONGEST_NAME) or changes.get("shortname", row.shortname)
    if choices is not None:
        offered = _choices(row.datatype, choices)
        _check_unused(session, row, offered)
        changes["choices"] = "\n".join(offered)
    changed = {what: value for what, value in changes.items() if getattr(row, what) != value}
    if changed:
        for what, value in changed.items():
            setattr(row, what, value)
        session.flush()
        around.audit(session, actor, "field.edited", row.shortname, id=field_id, fields=sorted(changed))
    return _one(session, field_id)


def move_field(
    session: Session, around: Surroundings, field_id: int, place: int, *, actor: str = "command"
) -> FieldView:
    """Give a field another place in the order, counted from 1. Raises NotFound."""
    row = _row(session, field_id)
    others = [each.id for each in list_fields(session) if each.id != field_id]
    others.insert(max(place, 1) - 1, field_id)
    table = cast("Table", ProfileField.__table__)
    session.execute(
        update(table).where(table.c.id == bindparam("row_id")).values(sortorder=bindparam("place")),
        [{"row_id": id_, "place": number} for number, id_ in enumerate(others, start=1)],
    )
    session.expire_all()
    moved = _one(session, field_id)
    around.audit(session, actor, "field.moved", row.shortname, id=field_id, place=moved.sortorder)
    return moved


def delete_field(session: Session, around: Surroundings, field_id: int, *, actor: str = "command") -> None:
    """Remove a field with what everybody has in it. Raises NotFound."""
    row = _row(session, field_id)
    short = row.shortname
    session.execute(delete(ProfileValue).where(ProfileValue.field_id == field_id))
    session.delete(row)
    session.flush()
    around.audit(session, actor, "field.deleted", short, id=field_id)


def values_of(session: Session, keys: Iterable[int]) -> dict[int, dict[str, str]]:
    """What accounts have, by short name in the order of the fields; who has nothing is left out."""
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for some in in_batches(keys):
        for key, shortname, data in session.execute(
            select(ProfileValue.account_key, ProfileField.shortname, ProfileValue.data)
            .join(ProfileField, ProfileField.id == ProfileValue.field_id)
            .where(ProfileValue.account_key.in_(some))
            .order_by(ProfileValue.account_key, ProfileField.sortorder, ProfileField.id)
        ):
            found[key][shortname] = data
    return dict(found)


def set_value(
    session: Session,
    around: Surroundings,
    key: int,
    shortname: str,
    text: str,
    *,
    actor: str = "command",
) -> None:
    """Give an account a value as somebody types it, such as 2024-05-31 for a date; an empty one removes it.

    One that stays the same is passed over. Asks nobody whether the field of this account is a server's: `people.set_profile_value` does. Raises
    NotFound and InvalidInput.
    """
    found = find_field(session, shortname)
    known_members(session, around, [key])
    data = checked(shortname, found.datatype, text, found.choices) if text.strip() else ""
    mine = (ProfileValue.account_key == key, ProfileValue.field_id == found.id)
    if data == (session.scalar(select(ProfileValue.data).where(*mine)) or ""):
        return
    forget_digests(session, [key])
    session.execute(delete(ProfileValue).where(*mine))
    if data:
        session.execute(insert(ProfileValue).values(account_key=key, field_id=found.id, data=data))
    around.audit(session, actor, "account.field_set", found.shortname, id=key)


def _row(session: Session, field_id: int) -> ProfileField:
    row = session.get(ProfileField, field_id)
    if row is None:
        raise NotFound(_("There is no custom profile field with the id ${id}.", id=str(field_id)))
    return row


def _one(session: Session, field_id: int) -> FieldView:
    return next(found for found in list_fields(session) if found.id == field_id)


def _shortname(session: Session, shortname: str, *, but: int | None = None) -> str:
    short = line("shortname", shortname, LONGEST_SHORTNAME, needed=True)
    if any(character.isspace() for character in short):
        raise InvalidInput("shortname", _("shortname: has blanks; leave them out."))
    holder = session.scalar(select(ProfileField.id).where(ProfileField.shortname == short))
    if holder is not None and holder != but:
        raise Conflict(_("There is already a custom profile field ${short}.", short=repr(short)))
    return short


def _choices(datatype: str, choices: Sequence[str]) -> list[str]:
    offered = [line("choices", choice, LONGEST_CHOICE, needed=True) for choice in choices]
    if bool(offered) != (datatype == "menu"):
        raise InvalidInput("choices", _("choices: a menu needs some, and other types have none."))
    if len(set(offered)) < len(offered):
        raise InvalidInput("choices", _("choices: one is given twice."))
    return offered


def _check_unused(session: Session, row: ProfileField, offered: Sequence[str]) -> None:
    for gone in row.choices.split("\n") if row.choices else ():
        if gone in offered:
            continue
        number = session.scalar(
            select(func.count()).where(ProfileValue.field_id == row.id, ProfileValue.data == gone)
        )
        if number:
            raise InvalidInput(
                "choices",
                plural(
                    "choices: ${number} person has ${choice}; it cannot be taken away before they have another one.",
                    "choices: ${number} people have ${choice}; it cannot be taken away before they have another one.",
                    number,
                    choice=repr(gone),
                ),
            )
