"""`tconnect db`: the tables of a site."""

from __future__ import annotations

import click

from tconnect_pyramid import schema
from tconnect_pyramid.cli.base import command
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import DONE, FAILED, Answer
from tconnect_pyramid.context import make_idnumber


@click.group()
def db() -> None:
    """Make and check the tables."""


@command(db, "upgrade")
def upgrade(site: Site) -> Answer:
    """Bring the tables to the version of this program; the first time, make them and the site's identity."""
    context = site.context()
    before = schema.current_version(context.database.engine)
    with context.unit() as session:
        schema.upgrade(session.connection())
        make_idnumber(session)
    version = schema.newest_version()
    document = {"version": version, "before": before, "changed": version != before}
    if version == before:
        return Answer(document, f"The tables are of version {version}; there was nothing to do.")
    return Answer(document, f"The tables are of version {version} now.")


@command(db, "check")
def check(site: Site) -> Answer:
    """Compare the database with what this program expects; status 1 when they disagree."""
    engine = site.context().database.engine
    version, needed = schema.current_version(engine), schema.newest_version()
    # Without any table, the list of what is missing would be the list of all.
    differences = [] if version is None else schema.differences(engine)
    agree = version == needed and not differences
    document = {"agree": agree, "version": version, "needed": needed, "differences": differences}
    if agree:
        return Answer(document, f"The tables agree with version {needed}.", DONE)
    lines = [
        f"The database has {'no tables' if version is None else f'version {version}'}, this program needs "
        f"version {needed}: run `tconnect db upgrade`."
        if version != needed
        else f"The tables differ from version {needed}; somebody changed them by hand:",
        *differences,
    ]
    return Answer(document, "\n".join(lines), FAILED)
