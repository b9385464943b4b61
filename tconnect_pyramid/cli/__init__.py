"""The `tconnect` command: everything an administrator does, without a browser.

Thin on purpose: a command finds what it is about, makes one call into the rules of the site, and shows
the outcome. One module for each noun.
"""

from __future__ import annotations

import click

from tconnect_pyramid.cli import (
    audience,
    audit,
    auth,
    client,
    course,
    db,
    demo,
    doctor,
    field,
    hierarchy,
    job,
    outbox,
    schedule,
    server,
    session,
    settings,
    user,
)
from tconnect_pyramid.cli.base import Program
from tconnect_pyramid.cli.config import ENVIRONMENT, Site

__all__ = ["main"]


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c",
    "--config",
    "ini",
    metavar="FILE[#APP]",
    envvar=ENVIRONMENT,
    show_envvar=True,
    help="The ini file of the site; with its app where the file has several.",
)
@click.version_option(package_name="tconnect_pyramid", prog_name="tconnect")
@click.pass_context
def main(ctx: click.Context, ini: str | None) -> None:
    """Look after a Totara Connect site.

    Every command takes --json and prints one JSON document then. Exit status: 0 done, 1 failed or only partly
    done, 2 used wrongly, 3 held by the guard until an administrator approves.
    """
    site = Site(ini)
    ctx.obj = site
    ctx.call_on_close(site.close)


for noun in (
    db.db,
    demo.demo,
    settings.settings,
    user.user,
    audience.audience,
    audience.group,
    course.course,
    hierarchy.position,
    hierarchy.organisation,
    job.job,
    field.field,
    server.server,
    auth.auth,
    client.client,
    session.session,
    outbox.outbox,
    audit.audit,
):
    main.add_command(noun)
doctor.add_to(main)
schedule.add_to(main)
