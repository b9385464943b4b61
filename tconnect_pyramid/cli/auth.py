"""`tconnect auth`: the ways to log in to a site."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

import click
from sqlalchemy.orm import Session

from tconnect_pyramid.cli.base import ACTOR, command
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import Answer, Rows, say
from tconnect_pyramid.client import authmethods
from tconnect_pyramid.client.servers import list_servers
from tconnect_pyramid.context import Context

COLUMNS = (
    ("Name", "name"),
    ("Title", "title"),
    ("Users", "users"),
    ("Enabled", "enabled"),
    ("Order", "order"),
)


@click.group()
def auth() -> None:
    """Look after the ways to log in: manual (a password kept here), connect (through a server), nologin."""


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


def _switch(site: Site, method: str, *, on: bool) -> Answer:
    context = site.migrated()
    with context.unit() as session:
        switched = authmethods.enable_method(session, context, method, on, actor=ACTOR)
        has_password = context.options(session).auth_manual
        if not has_password and not list_servers(session, active_only=True):
            say("This site is connected to no server, so that nobody can log in before it is.")
        return Answer(asdict(switched), _table(session, context))


def _table(session: Session, context: Context) -> Rows:
    rows = [asdict(method) for method in authmethods.list_methods(session, context)]
    return Rows(COLUMNS, rows, "There is no way to log in.")
