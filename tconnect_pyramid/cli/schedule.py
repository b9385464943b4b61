"""`tconnect schedule`: when the tasks of a site run."""

from __future__ import annotations

from dataclasses import asdict

import click

from tconnect_pyramid.cli.base import command
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import Answer, Rows
from tconnect_pyramid.tasks.config import schedule_of

COLUMNS = (("Name", "name"), ("Task", "task"), ("When", "when"), ("What it does", "does"))


def add_to(main: click.Group) -> None:
    """Add the command to `main`."""
    command(main, "schedule")(schedule)


def schedule(site: Site) -> Answer:
    """When which task runs, as the ini file says it."""
    rows = [asdict(task) for task in schedule_of(site.uri())]
    return Answer(rows, Rows(COLUMNS, rows, "No task is scheduled."))
