"""Sample people, audiences and courses for a development site. Doing it again changes nothing."""

# ruff: noqa: RUF001 - letters that look like others are what such names are made of

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy.orm import Session

from tconnect_pyramid import people as keeping
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory import audiences, courses
from tconnect_pyramid.errors import Conflict

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
class Seeded:
    """How many were added."""

    people: int
    audiences: int
    courses: int


def seed(context: Context, *, people: int = 20) -> Seeded:
    """Add an administrator and `people` sample people, two audiences, three courses; whom and what is missing.

    With no people, the administrator only. Raises Conflict on a site that is not in development.
    """
    if not context.settings.development:
        raise Conflict(
            "Sample people have a password that everybody knows, so that they are added only where "
            "tconnect.development is true."
        )
    with context.unit() as session:
        added = _add_known(session, context, ADMIN_USER, firstname="Admin", lastname="User", admin=True)
        records = list(islice(_records(context.clock()), people))
        usernames = [record["username"] for record in records]
        if people:
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
        keys = list(context.accounts.by_username(session, usernames).values())
        made = _audiences(session, context, sorted(keys)) if people else 0
        taught = _courses(session, context, sorted(keys)) if people else 0
        seeded = Seeded(added + len(missing), made, taught)
        if missing:
            context.audit(session, "command", "demo.seeded", "", people=len(missing))
    return seeded


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
