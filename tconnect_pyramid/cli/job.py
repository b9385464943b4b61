"""`tconnect job`: what people are, where, and since when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import click
from sqlalchemy.orm import Session

from tconnect_pyramid.cli.base import ACTOR, NONE, assignments, command
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import Answer, Row, Rows, described, moment
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory import jobs, values
from tconnect_pyramid.directory.hierarchies import ORGANISATIONS, POSITIONS
from tconnect_pyramid.directory.hierarchy_items import find_item
from tconnect_pyramid.directory.jobs import JobView

COLUMNS = (
    ("Id", "id"),
    ("Who", "username"),
    ("Idnumber", "idnumber"),
    ("Name", "fullname"),
    ("Position", "position"),
    ("Organisation", "organisation"),
    ("From (UTC)", "begins"),
    ("Until (UTC)", "ends"),
    ("Place", "sortorder"),
    ("Came from", "server"),
)
HELD = ("position", "organisation")


def _named(function: Callable[..., Any]) -> Callable[..., Any]:
    of = click.option(
        "--of", metavar="WHO", help="Whose; needed where several people have the same idnumber."
    )
    return click.argument("job")(of(function))


@click.group()
def job() -> None:
    """Look after job assignments. JOB is an id or an idnumber, WHO as in `tconnect user`."""


@command(job, "list")
@click.argument("who", required=False)
def list_(site: Site, who: str | None) -> Answer:
    """The job assignments of everybody or of one person; the first of a person is the main one."""
    context = site.migrated()
    with context.reading() as session:
        account = None if who is None else context.accounts.find(session, who).key
        found = jobs.list_jobs(session, account)
        rows = [asdict(view) for view in found]
        return Answer(rows, Rows(COLUMNS, _shown(session, context, found), "There are no job assignments."))


@command(job, "add")
@click.argument("who")
@click.option("--idnumber", required=True, help="Its name in your own systems; each of a person has another.")
@click.option("--fullname", default="", help="What people are shown as its name.")
@click.option("--short-name", "shortname", default="")
@click.option("--position", metavar="POSITION", help="An id or idnumber.")
@click.option("--organisation", metavar="ORGANISATION", help="An id or idnumber.")
@click.option("--start", metavar="DATE", help="Its first day, as 2024-05-31.")
@click.option("--end", metavar="DATE", help="Its last day.")
@click.option("--description", default="")
def add(
    site: Site,
    who: str,
    position: str | None,
    organisation: str | None,
    start: str | None,
    end: str | None,
    **texts: str,
) -> Answer:
    """Give a person a job assignment; it comes last."""
    context = site.migrated()
    with context.unit() as session:
        made = jobs.add_job(
            session,
            context,
            context.accounts.find(session, who).key,
            position=None if position is None else find_item(session, POSITIONS, position).id,
            organisation=None if organisation is None else find_item(session, ORGANISATIONS, organisation).id,
            startdate=None if start is None else values.moment("start", start),
            enddate=None if end is None else values.moment("end", end),
            actor=ACTOR,
            **texts,
        )
    return _one(made)


@command(job, "edit")
@_named
@click.argument("changes", nargs=-1, required=True, metavar="FIELD=VALUE...")
def edit(site: Site, job: str, of: str | None, changes: tuple[str, ...]) -> Answer:
    """Change the idnumber, fullname, shortname, description, startdate, enddate, position or organisation.

    An empty value clears a field; dates are written as 2024-05-31.
    """
    wanted = assignments(changes)
    wanted.update({name: "" for name in HELD if wanted.get(name) == NONE})
    context = site.migrated()
    with context.unit() as session:
        found = _find(session, context, job, of)
        return _one(jobs.edit_job(session, context, found.id, wanted, actor=ACTOR))


@command(job, "move")
@_named
@click.argument("place", type=click.IntRange(1))
def move(site: Site, job: str, of: str | None, place: int) -> Answer:
    """Give a job assignment another PLACE among those of its person, counted from 1, the main one."""
    context = site.migrated()
    with context.unit() as session:
        found = _find(session, context, job, of)
        return _one(jobs.move_job(session, context, found.id, place, actor=ACTOR))


@command(job, "delete")
@_named
def delete(site: Site, job: str, of: str | None) -> Answer:
    """Take a job assignment from its person."""
    context = site.migrated()
    with context.unit() as session:
        found = _find(session, context, job, of)
        jobs.delete_job(session, context, found.id, actor=ACTOR)
    return Answer(asdict(found), f"The job assignment {found.fullname or found.idnumber} is gone.")


def _find(session: Session, context: Context, job: str, of: str | None) -> JobView:
    account = None if of is None else context.accounts.find(session, of).key
    return jobs.find_job(session, job, account=account)


def _shown(session: Session, context: Context, found: Sequence[JobView]) -> list[Row]:
    names = context.accounts.fetch(session, [view.account for view in found], ("username",))
    return [
        {
            **asdict(view),
            "username": names.get(view.account, {}).get("username", ""),
            "begins": moment(view.startdate),
            "ends": moment(view.enddate),
        }
        for view in found
    ]


def _one(view: JobView) -> Answer:
    row = asdict(view)
    return Answer(row, described(row))
