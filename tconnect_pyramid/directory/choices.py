"""What can be chosen from, thousands of them: found by a text, and named by their ids, in a fixed number of statements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from tconnect_pyramid.directory.accounts import VIEW_FIELDS, AccountView, as_view, in_batches
from tconnect_pyramid.directory.paging import in_any_case
from tconnect_pyramid.directory.surroundings import Surroundings
from tconnect_pyramid.models import (
    Audience,
    Course,
    Group,
    Organisation,
    OrganisationFramework,
    OrganisationType,
    Position,
    PositionFramework,
    PositionType,
)

MOST_IDS = 2000
"""Ids that may be named at once."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that can be chosen: its id, its name, and what tells it from others of that name."""

    id: int
    name: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class Choices:
    """A kind of things.

    `find` gives the first `limit` with a text in name or number, by name; `named` those with these ids, in
    that order, without those that are gone.
    """

    find: Callable[[Session, Surroundings, str, int], list[Choice]]
    named: Callable[[Session, Surroundings, Sequence[int]], list[Choice]]


def _table(
    key: InstrumentedAttribute[int], name: InstrumentedAttribute[str], more: InstrumentedAttribute[str]
) -> Choices:
    def find(session: Session, around: Surroundings, words: str, limit: int) -> list[Choice]:
        del around
        sought = words.replace("\0", "")
        statement = (
            select(key, name, more)
            .where(or_(name.icontains(sought, autoescape=True), more.icontains(sought, autoescape=True)))
            .order_by(in_any_case(name), key)
            .limit(limit)
        )
        return [Choice(*row) for row in session.execute(statement)]

    def named(session: Session, around: Surroundings, ids: Sequence[int]) -> list[Choice]:
        del around
        return _in_order(
            ids,
            [
                Choice(*row)
                for some in in_batches(ids[:MOST_IDS])
                for row in session.execute(select(key, name, more).where(key.in_(some)))
            ],
        )

    return Choices(find, named)


def _find_people(session: Session, around: Surroundings, words: str, limit: int) -> list[Choice]:
    accounts = around.accounts
    statement = (
        accounts.select(VIEW_FIELDS)
        .where(accounts.not_deleted(), or_(*accounts.contain(words)))
        .order_by(in_any_case(accounts.columns.readable("username")), accounts.key)
        .limit(limit)
    )
    return [_person(as_view(row)) for row in session.execute(statement).mappings()]


def _named_people(session: Session, around: Surroundings, ids: Sequence[int]) -> list[Choice]:
    accounts = around.accounts
    statement = accounts.select(VIEW_FIELDS)
    return _in_order(
        ids,
        [
            _person(as_view(row))
            for some in in_batches(ids[:MOST_IDS])
            for row in session.execute(statement.where(accounts.key.in_(some))).mappings()
        ],
    )


def _person(person: AccountView) -> Choice:
    return Choice(person.key, person.fullname, person.email or person.username)


def _in_order(ids: Sequence[int], found: Sequence[Choice]) -> list[Choice]:
    by_id = {choice.id: choice for choice in found}
    return [by_id[id_] for id_ in dict.fromkeys(ids) if id_ in by_id]


CHOICES: Mapping[str, Choices] = MappingProxyType(
    {
        "audience": _table(Audience.id, Audience.name, Audience.idnumber),
        "group": _table(Group.id, Group.name, Group.idnumber),
        "course": _table(Course.id, Course.fullname, Course.shortname),
        "position": _table(Position.id, Position.fullname, Position.idnumber),
        "position_framework": _table(
            PositionFramework.id, PositionFramework.fullname, PositionFramework.idnumber
        ),
        "position_type": _table(PositionType.id, PositionType.fullname, PositionType.idnumber),
        "organisation": _table(Organisation.id, Organisation.fullname, Organisation.idnumber),
        "organisation_framework": _table(
            OrganisationFramework.id, OrganisationFramework.fullname, OrganisationFramework.idnumber
        ),
        "organisation_type": _table(
            OrganisationType.id, OrganisationType.fullname, OrganisationType.idnumber
        ),
        "person": Choices(_find_people, _named_people),
    }
)
"""By the kind of thing, as forms call it."""
