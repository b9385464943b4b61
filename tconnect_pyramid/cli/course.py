"""`tconnect course`: courses and who is enrolled."""

from __future__ import annotations

import click

from tconnect_pyramid.cli.audience import MEMBERS, keys_of
from tconnect_pyramid.cli.base import ACTOR, assignments, command
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import Answer, Row, Rows, described
from tconnect_pyramid.directory import courses
from tconnect_pyramid.directory.courses import CourseView

COLUMNS = (
    ("Id", "id"),
    ("Idnumber", "idnumber"),
    ("Short name", "shortname"),
    ("Name", "fullname"),
    ("Enrolled", "size"),
)


@click.group()
def course() -> None:
    """Look after courses. COURSE is an id, an idnumber or a short name, WHO as in `tconnect user`."""


@command(course, "list")
@MEMBERS
def list_(site: Site, members: bool) -> Answer:
    """Every course."""
    context = site.migrated()
    with context.reading() as session:
        rows = [course_row(view) for view in courses.list_courses(session, members=members)]
    columns = (*COLUMNS, ("Accounts", "members")) if members else COLUMNS
    return Answer(rows, Rows(columns, rows, "There are no courses."))


@command(course, "add")
@click.argument("name")
@click.option("--shortname", default="", help="A short name of its own; without it, NAME.")
@click.option("--idnumber", default="", help="Its name in your own systems, by which commands find it.")
@click.option("--summary", default="")
def add(site: Site, name: str, shortname: str, idnumber: str, summary: str) -> Answer:
    """Make a course called NAME."""
    context = site.migrated()
    with context.unit() as session:
        return _one(
            courses.add_course(
                session,
                context,
                fullname=name,
                shortname=shortname,
                idnumber=idnumber,
                summary=summary,
                actor=ACTOR,
            )
        )


@command(course, "edit")
@click.argument("course")
@click.argument("changes", nargs=-1, required=True, metavar="FIELD=VALUE...")
def edit(site: Site, course: str, changes: tuple[str, ...]) -> Answer:
    """Change the fullname, shortname, idnumber or summary of a course."""
    wanted = assignments(changes)
    context = site.migrated()
    with context.unit() as session:
        found = courses.find_course(session, course)
        return _one(courses.edit_course(session, context, found.id, wanted, actor=ACTOR))


@command(course, "delete")
@click.argument("course")
def delete(site: Site, course: str) -> Answer:
    """Remove a course with its enrolments."""
    context = site.migrated()
    with context.unit() as session:
        found = courses.find_course(session, course)
        courses.delete_course(session, context, found.id, actor=ACTOR)
    return Answer(course_row(found), f"The course {found.fullname} is gone.")


@command(course, "enrol")
@click.argument("course")
@click.argument("who", nargs=-1, required=True)
def enrol(site: Site, course: str, who: tuple[str, ...]) -> Answer:
    """Enrol people in a course."""
    context = site.migrated()
    with context.unit() as session:
        found = courses.find_course(session, course)
        count = courses.enrol(session, context, found.id, keys_of(session, context, who), actor=ACTOR)
        return _changed(courses.get_course(session, found.id), f"{count} enrolled")


@command(course, "unenrol")
@click.argument("course")
@click.argument("who", nargs=-1, required=True)
def unenrol(site: Site, course: str, who: tuple[str, ...]) -> Answer:
    """End the enrolment of people in a course."""
    context = site.migrated()
    with context.unit() as session:
        found = courses.find_course(session, course)
        count = courses.unenrol(session, context, found.id, keys_of(session, context, who), actor=ACTOR)
        return _changed(courses.get_course(session, found.id), f"{count} taken out")


def course_row(view: CourseView) -> Row:
    """A course as the command shows it."""
    row = {
        "id": view.id,
        "idnumber": view.idnumber,
        "shortname": view.shortname,
        "fullname": view.fullname,
        "summary": view.summary,
        "size": view.size,
    }
    return row if view.members is None else {**row, "members": list(view.members)}


def _one(view: CourseView) -> Answer:
    row = course_row(view)
    return Answer(row, described(row))


def _changed(view: CourseView, what: str) -> Answer:
    return Answer(course_row(view), f"{what}; {view.size} are enrolled in {view.fullname} now.")
