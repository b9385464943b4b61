"""Sample people and what belongs to them, for a development site. Doing it again changes nothing."""

# ruff: noqa: RUF001 - letters that look like others are what such names are made of

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from tconnect_pyramid import people as keeping
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory import (
    audiences,
    courses,
    hierarchy_frameworks,
    hierarchy_items,
    hierarchy_types,
    pictures,
    profiles,
)
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.hierarchies import ORGANISATIONS, POSITIONS, Hierarchy
from tconnect_pyramid.directory.values import checked
from tconnect_pyramid.errors import Conflict
from tconnect_pyramid.models import Job, ProfileValue
from tconnect_pyramid.site.portraits import portrait

SAMPLE_USER = "maja"
"""The sample person who can log in, besides the administrator."""
SAMPLE_PASSWORD = "blueberry-pie"  # noqa: S105 - known to everybody, and on development sites only
"""The password of the sample person and of the administrator."""
ADMIN_USER = "admin"

# The first is SAMPLE_USER. Names of many scripts, as every part of a site must bear them.
_PEOPLE: tuple[tuple[str, str, str, str, str], ...] = (
    (SAMPLE_USER, "Maja", "Östberg", "Göteborg", "SE"),
    ("soren", "Søren", "Kjærgård", "Ærøskøbing", "DK"),
    ("zoe", "Zoë", "Müller-Groß", "Köln", "DE"),
    ("lukasz", "Łukasz", "Żółkiewski", "Łódź", "PL"),
    ("renee", "Renée", "Lefèvre", "Orléans", "FR"),
    ("inigo", "Íñigo", "Núñez", "A Coruña", "ES"),
    ("dvorak", "Kateřina", "Dvořáková", "Plzeň", "CZ"),
    ("eleni", "Ελένη", "Παπαδοπούλου", "Θεσσαλονίκη", "GR"),
    ("olena", "Олена", "Шевченко", "Київ", "UA"),
    ("ayse", "Ayşe", "Yıldız", "İstanbul", "TR"),
    ("noa", "נועה", "כהן", "חיפה", "IL"),
    ("layla", "ليلى", "حسن", "القاهرة", "EG"),
    ("priya", "प्रिया", "शर्मा", "मुंबई", "IN"),
    ("linh", "Linh", "Nguyễn", "Đà Nẵng", "VN"),
    ("haruto", "陽翔", "佐藤", "京都", "JP"),
    ("xiu", "秀英", "王", "上海", "CN"),
    ("minjun", "민준", "김", "부산", "KR"),
    ("siobhan", "Siobhán", "O’Connor", "Dún Laoghaire", "IE"),
    ("tane", "Tāne", "Ngāti-Whātua", "Whangārei", "NZ"),
    ("ana", "Ana", "D'Angelo", "São Paulo", "BR"),
)


@dataclass(frozen=True, slots=True)
class _Node:
    """A sample position or organisation with what is below it. With `fields` it is of the sample type."""

    idnumber: str
    fullname: str
    fields: Mapping[str, str] = field(default_factory=dict)
    below: tuple[_Node, ...] = ()


@dataclass(frozen=True, slots=True)
class _Trees:
    """The sample frameworks of a hierarchy, and the type of items that have custom fields."""

    hierarchy: Hierarchy
    type: tuple[str, str]
    type_fields: tuple[tuple[str, str, str], ...]
    frameworks: tuple[tuple[str, str, tuple[_Node, ...]], ...]


_TREES = (
    _Trees(
        POSITIONS,
        ("role", "Role"),
        (("about", "What it is about", "textarea"), ("remote", "Can be done anywhere", "checkbox")),
        (
            (
                "professions",
                "Yrken – Professions",
                (
                    _Node(
                        "management",
                        "Geschäftsführung",
                        {"about": "<p>Says where to go, and listens.</p>", "remote": "0"},
                        (
                            _Node(
                                "production-lead",
                                "Ledare för produktionen",
                                {"about": "<p>Sees that things get made.</p>", "remote": "0"},
                                (
                                    _Node("baker", "Pâtissière", {"remote": "0"}),
                                    _Node("taster", "Дегустаторка"),
                                ),
                            ),
                            _Node(
                                "office-lead",
                                "Head of the office",
                                {"remote": "1"},
                                (
                                    _Node("accountant", "Contable", {"remote": "1"}),
                                    _Node("translator", "翻訳者", {"remote": "1"}),
                                ),
                            ),
                        ),
                    ),
                ),
            ),
            (
                "duties",
                "Besides – Nebenämter",
                (
                    _Node(
                        "safety",
                        "Safety",
                        {},
                        (
                            _Node(
                                "first-aider",
                                "Första hjälpen-ansvarig",
                                {"remote": "0"},
                                (_Node("first-aid-stand-in", "Stand-in for first aid"),),
                            ),
                            _Node("fire-warden", "Πυρασφάλεια"),
                        ),
                    ),
                ),
            ),
        ),
    ),
    _Trees(
        ORGANISATIONS,
        ("unit", "Unit"),
        (
            ("cost-centre", "Cost centre", "text"),
            ("opened", "Opened on", "datetime"),
            ("page", "Page", "url"),
        ),
        (
            (
                "company",
                "Företaget – The company",
                (
                    _Node(
                        "blueberry",
                        "Blåbär & Söner AB",
                        {"cost-centre": "1000", "opened": "1987-05-31", "page": "https://example.org/"},
                        (
                            _Node(
                                "kitchens",
                                "Kök – Kitchens",
                                {"cost-centre": "1100", "opened": "1991-08-19"},
                                (
                                    _Node("pies", "Пироги", {"cost-centre": "1110"}),
                                    _Node("jams", "Confitures", {"cost-centre": "1120"}),
                                ),
                            ),
                            _Node(
                                "offices",
                                "Büros – Offices",
                                {"cost-centre": "1200"},
                                (_Node("books", "Libros y cuentas"), _Node("words", "言葉")),
                            ),
                        ),
                    ),
                ),
            ),
            (
                "places",
                "Platser – Places",
                (
                    _Node(
                        "europe",
                        "Ευρώπη",
                        {},
                        (
                            _Node("sweden", "Sverige", {}, (_Node("gothenburg", "Göteborg"),)),
                            _Node("greece", "Ελλάδα", {}, (_Node("thessaloniki", "Θεσσαλονίκη"),)),
                        ),
                    ),
                ),
            ),
        ),
    ),
)

# One of each type, each with what the people have in it, in turn.
_FIELDS: tuple[tuple[str, str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("first_aid", "Has learned first aid", "checkbox", (), ("1", "0", "0")),
    ("hired", "Hired on", "date", (), ("2015-03-02", "2019-08-19", "2023-01-09", "2024-05-31")),
    ("briefed", "Safety briefing", "datetime", (), ("2024-02-29T09:30", "2024-09-12T14:00")),
    ("food", "Eats", "menu", ("Allt", "Végétarien", "Веганское"), ("Allt", "Végétarien", "Веганское")),
    ("desk", "Desk", "text", (), ("Ö-12", "Ö-13", "3. Stock, links", "窓側")),
    ("hobbies", "Besides work", "textarea", (), ("<p>Baking &amp; <b>eating</b>.</p>", "<p>Χορός</p>")),
)

_FIRST_DAY = 1_420_070_400  # 2015-01-01
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Seeded:
    """How many were added; of `fields`, how many people got values in them."""

    people: int
    audiences: int
    courses: int
    positions: int = 0
    organisations: int = 0
    jobs: int = 0
    fields: int = 0
    pictures: int = 0


def seed(context: Context, *, people: int = 20) -> Seeded:
    """Add an administrator and `people` sample people with all that people have here; whom and what is missing.

    With no people, the administrator, and the types and custom fields by which a client recognises what a
    server with sample people sends. Raises Conflict on a site that is not in development.
    """
    if not context.settings.development:
        raise Conflict(
            "Sample people have a password that everybody knows, so that they are added only where "
            "tconnect.development is true."
        )
    with context.unit() as session:
        added = _add_known(session, context, ADMIN_USER, firstname="Admin", lastname="User", admin=True)
        _define(session, context)
        records = list(islice(_records(context.clock()), people))
        if not records:
            return Seeded(added, 0, 0)
        usernames = [record["username"] for record in records]
        first = records[0]
        added += _add_known(
            session,
            context,
            SAMPLE_USER,
            **{name: first[name] for name in ("firstname", "lastname", "city", "country", "idnumber")},
        )
        present = context.accounts.by_username(session, usernames)
        missing = [record for record in records if record["username"] not in present]
        context.accounts.insert(session, missing)
        found = context.accounts.by_username(session, usernames)
        keys = sorted(found.values())
        in_order = [found[username] for username in usernames]
        if missing:
            context.audit(session, "command", "demo.seeded", "", people=len(missing))
        return Seeded(
            people=added + len(missing),
            audiences=_audiences(session, context, keys),
            courses=_courses(session, context, keys),
            **{trees.hierarchy.plural: _trees(session, context, trees) for trees in _TREES},
            jobs=_jobs(session, context, in_order),
            fields=_values(session, in_order),
            pictures=_pictures(session, context, usernames[: len(_PEOPLE)], in_order),
        )


def _records(now: int) -> Iterator[dict[str, Any]]:
    number = 0
    while True:
        username, firstname, lastname, city, country = _PEOPLE[number % len(_PEOPLE)]
        if number >= len(_PEOPLE):
            username, lastname = f"{username}{number}", f"{lastname} {number}"
        number += 1
        yield {
            "username": username,
            "auth": keeping.LOCAL,
            "confirmed": 1,
            "firstname": firstname,
            "lastname": lastname,
            "email": f"{username}@example.org",
            "idnumber": f"E{number:05}",
            "city": city,
            "country": country,
            "timecreated": now,
            "timemodified": now,
        }


def _add_known(
    session: Session, context: Context, username: str, *, admin: bool = False, **fields: str
) -> int:
    if context.accounts.by_username(session, [username]):
        return 0
    keeping.add_person(
        session,
        context,
        username=username,
        email=f"{username}@example.org",
        password=SAMPLE_PASSWORD,
        admin=admin,
        **fields,
    )
    return 1


def _audiences(session: Session, context: Context, keys: list[int]) -> int:
    there = {audience.idnumber for audience in audiences.list_audiences(session)}
    wanted = (("everybody", "Alla på företaget", keys), ("managers", "Managers", keys[::4]))
    for idnumber, name, members in wanted:
        if idnumber not in there:
            made = audiences.add_audience(session, context, name=name, idnumber=idnumber)
            audiences.add_members(session, context, made.id, members)
    return sum(idnumber not in there for idnumber, _, _ in wanted)


def _courses(session: Session, context: Context, keys: list[int]) -> int:
    there = {course.shortname for course in courses.list_courses(session)}
    wanted = (
        ("first-aid", "Första hjälpen – First aid", keys[::2]),
        ("safety", "Safety at work", keys),
        ("leading", "Führen für Anfänger", keys[::4]),
    )
    for shortname, fullname, members in wanted:
        if shortname not in there:
            made = courses.add_course(
                session, context, fullname=fullname, shortname=shortname, idnumber=shortname
            )
            courses.enrol(session, context, made.id, members)
    return sum(shortname not in there for shortname, _, _ in wanted)


def _define(session: Session, context: Context) -> None:
    for trees in _TREES:
        hierarchy = trees.hierarchy
        idnumber, fullname = trees.type
        if idnumber not in {type_.idnumber for type_ in hierarchy_types.list_types(session, hierarchy)}:
            made = hierarchy_types.add_type(session, context, hierarchy, fullname=fullname, idnumber=idnumber)
            for shortname, name, datatype in trees.type_fields:
                hierarchy_types.add_type_field(
                    session, context, hierarchy, made.id, shortname=shortname, name=name, datatype=datatype
                )
    there = {field.shortname for field in profiles.list_fields(session)}
    for shortname, name, datatype, choices, _ in _FIELDS:
        if shortname not in there:
            profiles.add_field(session, context, shortname, name=name, datatype=datatype, choices=choices)


def _trees(session: Session, context: Context, trees: _Trees) -> int:
    hierarchy = trees.hierarchy
    there = {framework.idnumber for framework in hierarchy_frameworks.list_frameworks(session, hierarchy)}
    type_id = hierarchy_types.find_type(session, hierarchy, trees.type[0]).id
    count = 0
    for idnumber, fullname, nodes in trees.frameworks:
        if idnumber not in there:
            made = hierarchy_frameworks.add_framework(
                session, context, hierarchy, fullname=fullname, idnumber=idnumber
            )
            count += _plant(
                session, context, hierarchy, nodes, framework=made.id, parent=None, type_id=type_id
            )
    return count


def _plant(
    session: Session,
    context: Context,
    hierarchy: Hierarchy,
    nodes: Iterable[_Node],
    *,
    framework: int,
    parent: int | None,
    type_id: int,
) -> int:
    count = 0
    for node in nodes:
        made = hierarchy_items.add_item(
            session,
            context,
            hierarchy,
            fullname=node.fullname,
            framework=framework,
            parent=parent,
            idnumber=node.idnumber,
            shortname=node.idnumber,
            type_id=type_id if node.fields else None,
            fields=node.fields,
        )
        count += 1 + _plant(
            session, context, hierarchy, node.below, framework=framework, parent=made.id, type_id=type_id
        )
    return count


def _jobs(session: Session, context: Context, keys: list[int]) -> int:
    """Give those who have no job one, and every third a second one. Many at once, as people may be many."""
    places = {
        trees.hierarchy.word: [
            hierarchy_items.list_items(session, trees.hierarchy, framework.id)
            for framework in hierarchy_frameworks.list_frameworks(session, trees.hierarchy)
            if framework.idnumber in {idnumber for idnumber, _, _ in trees.frameworks}
        ]
        for trees in _TREES
    }
    has_one = _having(session, Job.account_key, keys)
    now = context.clock()
    rows: list[dict[str, Any]] = []
    for number, key in enumerate(keys):
        if key in has_one:
            continue
        for place in (1, 2) if number % 3 == 0 else (1,):
            positions, organisations = (
                _framework(places[word], place) for word in ("position", "organisation")
            )
            position = positions[number % len(positions)] if positions else None
            organisation = organisations[number % len(organisations)] if organisations else None
            begins = _FIRST_DAY + number * 97 % 3400 * _DAY
            rows.append(
                {
                    "account_key": key,
                    "idnumber": f"J{number + 1:05}-{place}",
                    "fullname": None if position is None else position.fullname,
                    "shortname": None,
                    "description": None,
                    "startdate": begins,
                    "enddate": begins + 3650 * _DAY if place > 1 else None,
                    "position_id": None if position is None else position.id,
                    "positionassignmentdate": begins,
                    "organisation_id": None if organisation is None else organisation.id,
                    "sortorder": place,
                    "timecreated": now,
                    "timemodified": now,
                }
            )
    for some in in_batches(rows):
        session.execute(insert(Job), some)
    return len(rows)


def _framework(
    frameworks: list[list[hierarchy_items.ItemView]], place: int
) -> list[hierarchy_items.ItemView]:
    """What is in the framework for the first or second job; somebody may have removed it."""
    return frameworks[place - 1] if len(frameworks) >= place else []


def _values(session: Session, keys: list[int]) -> int:
    """Give those who have nothing in any custom profile field a value in each of ours."""
    kept = {(field.shortname, field.datatype): field.id for field in profiles.list_fields(session)}
    stored = [
        (
            kept[shortname, datatype],
            [checked(shortname, datatype, value, choices) for value in values],
        )
        for shortname, _, datatype, choices, values in _FIELDS
        if (shortname, datatype) in kept
    ]
    has_some = _having(session, ProfileValue.account_key, keys)
    lacking = [(number, key) for number, key in enumerate(keys) if key not in has_some] if stored else []
    for some in in_batches(lacking):
        session.execute(
            insert(ProfileValue),
            [
                {"account_key": key, "field_id": field_id, "data": values[number % len(values)]}
                for number, key in some
                for field_id, values in stored
            ],
        )
    return len(lacking)


def _pictures(session: Session, context: Context, usernames: list[str], keys: list[int]) -> int:
    """Give every other one of the first people a picture, where pictures are kept and they have none."""
    if not context.accounts.columns.keeps("picture"):
        return 0
    wanted = list(zip(range(len(usernames)), usernames, keys, strict=False))[::2]
    has_one = pictures.names_of(session, [key for _, _, key in wanted])
    lacking = [(number, username, key) for number, username, key in wanted if key not in has_one]
    for number, username, key in lacking:
        keeping.set_picture(session, context, key, portrait(username, number))
    return len(lacking)


def _having(session: Session, column: InstrumentedAttribute[int], keys: list[int]) -> set[int]:
    found: set[int] = set()
    for some in in_batches(keys):
        found.update(session.scalars(select(column).where(column.in_(some)).distinct()))
    return found
