"""`tconnect auth`: the ways to log in to a site."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

import click
from sqlalchemy.orm import Session

from tconnect_pyramid.cli.base import ACTOR, command
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import DONE, FAILED, Answer, Rows, say, working
from tconnect_pyramid.client import authmethods, leaving
from tconnect_pyramid.client.servers import list_servers
from tconnect_pyramid.context import Context
from tconnect_pyramid.plugins import CONNECT

COLUMNS = (
    ("Name", "name"),
    ("Title", "title"),
    ("Users", "users"),
    ("Enabled", "enabled"),
    ("Order", "order"),
    ("Installed", "installed"),
)


@click.group()
def auth() -> None:
    """Look after the ways to log in: manual (a password kept here), connect (through a server), nologin.

    A site that the add-on is a guest of may have more, by the names it gave them.
    """


@command(auth, "list")
def list_(site: Site) -> Answer:
    """The ways to log in, in the order of the login page."""
    context = site.migrated()
    with context.reading() as session:
        table = _table(session, context)
    return Answer(table.rows, table)


@command(auth, "enable")
@click.argument("method")
def enable(site: Site, method: str) -> Answer:
    """Let people log in this way."""
    return _switch(site, method, on=True)


@command(auth, "disable")
@click.argument("method")
def disable(site: Site, method: str) -> Answer:
    """Let nobody log in this way for now. The last way that is left cannot be disabled."""
    return _switch(site, method, on=False)


@command(auth, "move")
@click.argument("method")
@click.argument("direction", type=click.Choice(["up", "down"]))
def move(site: Site, method: str, direction: Literal["up", "down"]) -> Answer:
    """Let the login page offer a way earlier (up) or later (down)."""
    context = site.migrated()
    with context.unit() as session:
        moved = authmethods.move_method(session, context, method, direction, actor=ACTOR)
        return Answer(asdict(moved), _table(session, context))


@command(auth, "uninstall")
@click.argument("method")
@click.option(
    "--accounts",
    required=True,
    type=click.Choice(["keep", "suspend", "delete"]),
    help="What becomes of its accounts. Administrators and protected accounts are always kept.",
)
@click.option(
    "--new-auth",
    type=click.Choice(["manual", "nologin"]),
    default="manual",
    show_default=True,
    help="How those who stay log in from then on.",
)
def uninstall(site: Site, method: str, accounts: leaving.Choice, new_auth: leaving.NewAuth) -> Answer:
    """Take a way to log in away; connect leaves every server and forgets its options.

    Its people are signed out. Status 1 while a server has not confirmed; it is asked again every hour.
    """
    context = site.migrated()
    with working(f"Uninstalling {method}"):
        done = authmethods.uninstall(context, method, accounts=accounts, new_auth=new_auth, actor=ACTOR)
    confirmed = all(left.confirmed for left in done.left)
    document = {
        "name": done.name,
        "accounts": done.accounts,
        "servers": [{"confirmed": left.confirmed, "message": left.message} for left in done.left],
    }
    told = [
        f"{done.title} is not installed any more. Accounts that became this site's own: {done.accounts}.",
        *(left.message for left in done.left),
    ]
    return Answer(document, "\n".join(told), DONE if confirmed else FAILED)


@command(auth, "install")
@click.argument("method")
def install(site: Site, method: str) -> Answer:
    """Bring back a way to log in that was uninstalled; connect is disabled at first."""
    context = site.migrated()
    with context.unit() as session:
        installed = authmethods.install(session, context, method, actor=ACTOR)
        return Answer(asdict(installed), _table(session, context))


def _switch(site: Site, method: str, *, on: bool) -> Answer:
    context = site.migrated()
    with context.unit() as session:
        switched = authmethods.enable_method(session, context, method, on, actor=ACTOR)
        only_servers = authmethods.ways_in(session, context) == [CONNECT]
        if only_servers and not list_servers(session, active_only=True):
            say("This site is connected to no server, so that nobody can log in before it is.")
        return Answer(asdict(switched), _table(session, context))


def _table(session: Session, context: Context) -> Rows:
    rows = [asdict(method) for method in authmethods.list_methods(session, context)]
    return Rows(COLUMNS, rows, "There is no way to log in.")
