"""Courses and who is enrolled in them, as a server offers them to its clients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from tconnect_pyramid.directory.accounts import AccountView, in_batches
from tconnect_pyramid.directory.paging import Asked, Page, in_any_case, page_of
from tconnect_pyramid.directory.surroundings import Surroundings, as_id, known_members, line, noted
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound
from tconnect_pyramid.models import Client, ClientCourse, Course, Enrolment
from tconnect_pyramid.texts import text as _

LONGEST = {"fullname": 254, "shortname": 255, "idnumber": 100}
NEEDED = ("fullname", "shortname")
EDITABLE = (*LONGEST, "summary")


@dataclass(frozen=True, slots=True)
class CourseView:
    """A course as plain data.

    `members` are the keys of the accounts that are actively enrolled, or None where they were not asked
    for; `size` is how many there are.
    """

    id: int
    idnumber: str
    fullname: str
    shortname: str
    summary: str
    timecreated: int
    timemodified: int
    size: int
    members: tuple[int, ...] | None = None


def list_courses(
    session: Session, *, members: bool = False, ids: Sequence[int] | None = None
) -> list[CourseView]:
    """All courses (or those with these ids) in the order of their ids, with who is enrolled if wanted."""
    statement = select(Course).order_by(Course.id)
    sizes = select(Enrolment.course_id, func.count()).where(Enrolment.active).group_by(Enrolment.course_id)
    enrolled = (
        select(Enrolment.course_id, Enrolment.account_key)
        .where(Enrolment.active)
        .order_by(Enrolment.course_id, Enrolment.account_key)
    )
    if ids is not None:
        statement = statement.where(Course.id.in_(ids))
        sizes = sizes.where(Enrolment.course_id.in_(ids))
        enrolled = enrolled.where(Enrolment.course_id.in_(ids))
    counted: dict[int, int] = dict(session.execute(sizes).all())
    keys: dict[int, list[int]] = {}
    if members:
        for course_id, key in session.execute(enrolled):
            keys.setdefault(course_id, []).append(key)
    return [
        CourseView(
            id=row.id,
            idnumber=row.idnumber,
            fullname=row.fullname,
            shortname=row.shortname,
            summary=row.summary,
            timecreated=row.timecreated,
            timemodified=row.timemodified,
            size=counted.get(row.id, 0),
            members=tuple(keys.get(row.id, ())) if members else None,
        )
        for row in session.scalars(statement)
    ]


def page_of_courses(session: Session, asked: Asked) -> Page[CourseView]:
    """A page of the courses; sorted by `fullname`, `shortname`, `idnumber` or `timecreated`."""
    found = page_of(
        session,
        select(Course.id),
        asked,
        key=Course.id,
        orders={
            "fullname": in_any_case(Course.fullname),
            "shortname": in_any_case(Course.shortname),
            "idnumber": in_any_case(Course.idnumber),
            "timecreated": Course.timecreated,
        },
        searched=(Course.fullname, Course.shortname, Course.idnumber),
    )
    return found.map(lambda rows: _in_order(session, [row.id for row in rows]))


def page_of_enrolled(
    session: Session, around: Surroundings, course_id: int, asked: Asked
) -> Page[AccountView]:
    """A page of who is actively enrolled in a course, see `Accounts.page_of_members`."""
    belongs = and_(Enrolment.course_id == course_id, Enrolment.active)
    return around.accounts.page_of_members(session, Enrolment.account_key, belongs, asked)


def courses_of(session: Session, key: int) -> list[CourseView]:
    """The courses an account is actively enrolled in, by name."""
    ids = session.scalars(
        select(Enrolment.course_id).where(Enrolment.account_key == key, Enrolment.active)
    ).all()
    return sorted(list_courses(session, ids=ids), key=lambda view: view.fullname.lower())


def find_course(session: Session, who: str) -> CourseView:
    """The course named by an administrator: its id, its idnumber or its short name. Raises NotFound."""
    number = as_id(who)
    named = or_(Course.idnumber == who, Course.shortname == who)
    rows = session.execute(
        select(Course.id, Course.idnumber, Course.shortname)
        .where(named if number is None else or_(Course.id == number, named))
        .limit(10)
    ).all()
    for wanted in (
        [row.id for row in rows if row.id == number],
        [row.id for row in rows if row.idnumber == who and who],
        [row.id for row in rows if row.shortname == who],
    ):
        if len(wanted) > 1:
            raise NotFound(
                _("Several courses have the idnumber ${who}: give an id or a short name.", who=repr(who))
            )
        if wanted:
            return get_course(session, wanted[0])
    raise NotFound(
        _("There is no course ${who}: give its id, its idnumber or its short name.", who=repr(who))
    )


def get_course(session: Session, course_id: int) -> CourseView:
    """One course with who is enrolled. Raises NotFound."""
    found = list_courses(session, members=True, ids=[course_id])
    if not found:
        raise NotFound(_("There is no course with the id ${id}.", id=str(course_id)))
    return found[0]


def add_course(
    session: Session,
    around: Surroundings,
    *,
    fullname: str,
    shortname: str = "",
    idnumber: str = "",
    summary: str = "",
    actor: str = "command",
) -> CourseView:
    """Make a course; without a short name, the name is it. Clients that get each new one get this too.

    Raises InvalidInput, and Conflict when the short name or the idnumber is taken.
    """
    now = around.clock()
    values = _values(
        session,
        {
            "fullname": fullname,
            "shortname": shortname.strip() or fullname,
            "idnumber": idnumber,
            "summary": summary,
        },
    )
    row = Course(**values, timecreated=now, timemodified=now)
    session.add(row)
    session.flush()
    offer_new(session, [row.id])
    around.audit(session, actor, "course.added", row.fullname, id=row.id, idnumber=row.idnumber)
    return get_course(session, row.id)


def edit_course(
    session: Session,
    around: Surroundings,
    course_id: int,
    changes: Mapping[str, str],
    *,
    actor: str = "command",
) -> CourseView:
    """Change `fullname`, `shortname`, `idnumber` or `summary`. Raises NotFound, InvalidInput, Conflict."""
    row = _get(session, course_id)
    values = _values(session, changes, but=course_id)
    changed = {name: value for name, value in values.items() if getattr(row, name) != value}
    if changed:
        for name, value in changed.items():
            setattr(row, name, value)
        row.timemodified = around.clock()
        session.flush()
        around.audit(session, actor, "course.edited", row.fullname, id=row.id, fields=sorted(changed))
    return get_course(session, course_id)


def delete_course(session: Session, around: Surroundings, course_id: int, *, actor: str = "command") -> None:
    """Remove a course with its enrolments. Raises NotFound."""
    row = _get(session, course_id)
    name, idnumber = row.fullname, row.idnumber
    session.execute(delete(Enrolment).where(Enrolment.course_id == course_id))
    session.execute(delete(ClientCourse).where(ClientCourse.course_id == course_id))
    session.delete(row)
    session.flush()
    around.audit(session, actor, "course.deleted", name, id=course_id, idnumber=idnumber)


def offer_new(session: Session, ids: Iterable[int]) -> None:
    """Add courses that were just made for each active client that gets each new one (protocol 8)."""
    for some in in_batches(ids):
        wanted = (
            select(Client.id, Course.id)
            .join(Course, Course.id.in_(some))
            .where(Client.state == "active", Client.add_new_courses.is_(True))
        )
        session.execute(insert(ClientCourse).from_select(["client_id", "course_id"], wanted))


def enrol(
    session: Session,
    around: Surroundings,
    course_id: int,
    keys: Iterable[int],
    *,
    actor: str = "command",
) -> int:
    """Enrol accounts; gives how many were not actively enrolled before.

    Raises NotFound, and InvalidInput when a key is no account or a deleted one.
    """
    row = _get(session, course_id)
    wanted = known_members(session, around, list(keys))
    present: dict[int, bool] = dict(
        session.execute(
            select(Enrolment.account_key, Enrolment.active).where(Enrolment.course_id == course_id)
        ).all()
    )
    new = [key for key in wanted if key not in present]
    resumed = [key for key in wanted if present.get(key) is False]
    if new:
        session.execute(
            insert(Enrolment), [{"account_key": key, "course_id": course_id, "active": True} for key in new]
        )
    for some in in_batches(resumed):
        session.execute(
            update(Enrolment)
            .where(Enrolment.course_id == course_id, Enrolment.account_key.in_(some))
            .values(active=True)
        )
    if new or resumed:
        around.audit(session, actor, "course.enrolled", row.fullname, id=course_id, **noted(new + resumed))
    return len(new) + len(resumed)


def unenrol(
    session: Session,
    around: Surroundings,
    course_id: int,
    keys: Iterable[int],
    *,
    actor: str = "command",
) -> int:
    """End enrolments; gives how many there were. Raises NotFound."""
    row = _get(session, course_id)
    gone: list[int] = []
    for some in in_batches(keys):
        gone.extend(
            session.scalars(
                delete(Enrolment)
                .where(Enrolment.course_id == course_id, Enrolment.account_key.in_(some))
                .returning(Enrolment.account_key)
            )
        )
    if gone:
        around.audit(session, actor, "course.unenrolled", row.fullname, id=course_id, **noted(gone))
    return len(gone)


def _in_order(session: Session, ids: Sequence[int]) -> list[CourseView]:
    by_id = {view.id: view for view in list_courses(session, ids=ids)}
    return [by_id[id_] for id_ in ids]


def _get(session: Session, course_id: int) -> Course:
    row = session.get(Course, course_id)
    if row is None:
        raise NotFound(_("There is no course with the id ${id}.", id=str(course_id)))
    return row


def _values(session: Session, given: Mapping[str, str], *, but: int | None = None) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, text in given.items():
        if name in LONGEST:
            values[name] = line(name, text, LONGEST[name], needed=name in NEEDED)
        elif name == "summary":
            values[name] = text.replace("\0", "").strip()
        else:
            raise InvalidInput(
                name,
                _(
                    "${name}: a field of a course is one of ${fields}.",
                    name=name,
                    fields=", ".join(EDITABLE),
                ),
            )
    for column in (Course.shortname, Course.idnumber):
        value = values.get(column.key)
        if not value:
            continue
        taken = select(Course.id).where(column == value, Course.id != (but or 0)).limit(1)
        if session.scalar(taken) is not None:
            raise Conflict(
                _(
                    "Another course has the ${field} ${value}; choose one of its own.",
                    field=column.key,
                    value=repr(value),
                )
            )
    return values
