"""Positions and organisations: which tables each is kept in, and what their rows have in common. One code for both.

Frameworks, types and items each have a module of their own beside this one. Frameworks and items that came
from a server are shown here, and changed by its sync alone (protocol 9).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import Table, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from tconnect_pyramid.directory.nouns import MANY, ONE
from tconnect_pyramid.directory.surroundings import as_id, line
from tconnect_pyramid.directory.values import checked, long_text, moment
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound
from tconnect_pyramid.models import (
    Base,
    ClientOrganisationFramework,
    ClientPositionFramework,
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
)
from tconnect_pyramid.texts import text as _

LONGEST = {"fullname": 1024, "shortname": 100, "idnumber": 100}
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


def find_id(session: Session, table: type[Any], kind: str, who: str) -> int:
    """The id of the row of `table` named by an administrator: its id or its idnumber. Raises NotFound."""
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


def refuse_taken(session: Session, table: type[Any], kind: str, idnumber: object, but: int | None) -> None:
    """Raise Conflict when a row of `table` other than `but` has the idnumber."""
    taken = select(table.id).where(table.idnumber == idnumber, table.id != (but or 0)).limit(1)
    if idnumber and session.scalar(taken) is not None:
        raise Conflict(
            _(
                "Another ${kind} has the idnumber ${idnumber}; choose one of its own.",
                kind=ONE[kind],
                idnumber=repr(idnumber),
            )
        )


def column_value(name: str, text: str, kind: str, allowed: Sequence[str]) -> str | int | None:
    """The value to store for a field of a framework or item, from what was typed. Raises InvalidInput."""
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


def table_of(mapped_class: type[Base]) -> Table:
    """The table of a mapped class, for statements of many rows."""
    return cast(Table, mapped_class.__table__)
