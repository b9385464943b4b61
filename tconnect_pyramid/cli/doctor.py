"""`tconnect doctor`: looks at everything a site needs, names what fails and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import click
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from tconnect_pyramid import schema, sqlite
from tconnect_pyramid.cli.base import command
from tconnect_pyramid.cli.config import CannotStart, Site
from tconnect_pyramid.cli.output import DONE, FAILED, Answer, moment, working
from tconnect_pyramid.client.health import ask_server
from tconnect_pyramid.client.servers import LEAVING
from tconnect_pyramid.client.sync.pause import list_paused
from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.models import Client, Notice, Server
from tconnect_pyramid.peers import Unwell
from tconnect_pyramid.server.health import ask_client
from tconnect_pyramid.tasks.config import read_config
from tconnect_pyramid.tasks.glue import make_app

State = Literal["ok", "warning", "problem"]

CLOCK_SECONDS = 5
"""How far the clocks of the site and of its database may be apart."""
SWEEP_SECONDS = 3600
"""How long a notice may be overdue before nobody can be sweeping."""
BROKER_SECONDS = 5
WORKER_SECONDS = 1.0

NOW_IN_DATABASE = {
    "sqlite": "SELECT CAST(strftime('%s', 'now') AS INTEGER)",
    "postgresql": "SELECT CAST(extract(epoch FROM clock_timestamp()) AS BIGINT)",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: what was found and, unless it is well, what to do."""

    name: str
    state: State
    found: str
    remedy: str = ""


def add_to(main: click.Group) -> None:
    """Add the command to `main`."""
    command(main, "doctor")(doctor)


def doctor(site: Site) -> Answer:
    """Look at the settings, broker, database, accounts, clock, outbox and every peer; status 1 on a problem."""
    uri = site.uri()
    with working("Looking at everything"):
        checks = list(_checks(site, uri))
    well = all(check.state != "problem" for check in checks)
    document = {"ok": well, "checks": [{"ok": check.state != "problem", **asdict(check)} for check in checks]}
    lines = []
    for check in checks:
        lines.append(f"{check.state:<8} {check.name}: {check.found}")
        if check.remedy:
            lines.append(f"{'':<8} → {check.remedy}")
    return Answer(document, "\n".join(lines), DONE if well else FAILED)


def _checks(site: Site, uri: str) -> Iterator[Check]:
    try:
        context = site.context()
    except ConfigurationProblem as problem:
        for each in problem.problems:
            yield Check("settings", "problem", each, "mend the ini file")
        return
    except CannotStart as error:
        yield Check("settings", "problem", str(error), "mend the ini file or the application")
        return
    yield Check("settings", "ok", f"{context.settings.site_name}, {context.settings.site_url}")
    yield from _tasks(uri)
    database = list(_database(context))
    yield from database
    if all(check.state != "problem" for check in database):
        yield _outbox(context)
        yield from _peers(context)


def _database(context: Context) -> Iterator[Check]:
    engine = context.database.engine
    where = engine.url.render_as_string(hide_password=True)
    try:
        version = schema.current_version(engine)
    except SQLAlchemyError as error:
        yield Check("database", "problem", f"{where}: {_reason(error)}", "start it, or mend sqlalchemy.url")
        return
    needed = schema.newest_version()
    if version != needed:
        found = f"{where}: version {version or 'none'}, needed is {needed}"
        yield Check("database", "problem", found, "run `tconnect db upgrade`")
        return
    yield Check("database", "ok", f"{where}, version {version}")
    if engine.dialect.name == "sqlite" and not sqlite.is_configured(engine):
        yield Check(
            "sqlite",
            "problem",
            "the engine of this site is not set up for several processes",
            "call tconnect_pyramid.sqlite.configure(engine) after creating it",
        )
    yield _accounts(context)
    yield from _clock(context)


def _accounts(context: Context) -> Check:
    table = context.accounts.columns.table.name
    try:
        with context.reading() as session:
            # Names every mapped column: a host's table may be older than its program.
            context.accounts.fetch(session, [0])
            count = context.accounts.count(session)
    except SQLAlchemyError as error:
        return Check(
            "accounts", "problem", f"{table}: {_reason(error)}", "make this site's own tables, or mend them"
        )
    return Check("accounts", "ok", f"{table}, {count} {'person' if count == 1 else 'people'}")


def _reason(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def _clock(context: Context) -> Iterator[Check]:
    question = NOW_IN_DATABASE.get(context.database.engine.dialect.name)
    if question is None:
        return
    with context.reading() as session:
        there = int(session.scalar(text(question)) or 0)
    apart = abs(context.clock() - there)
    if apart > CLOCK_SECONDS:
        found = f"{apart} s apart from the database's"
        yield Check("clock", "problem", found, "let both computers follow a time server")
    else:
        yield Check("clock", "ok", f"{moment(there)} UTC, as in the database")


def _tasks(uri: str) -> Iterator[Check]:
    start = f"start one: celery -A tconnect_pyramid.tasks worker --ini {uri}"
    try:
        config = read_config(uri)
    except ConfigurationProblem as problem:
        for each in problem.problems:
            yield Check("broker", "problem", each, "mend the ini file")
        return
    options = config.settings.get("broker_transport_options", {})
    if "data_folder_in" in options and not Path(options["data_folder_in"]).is_dir():
        yield Check("broker", "ok", "embedded; its folders are made when a worker starts")
        yield Check("worker", "warning", "none has run here yet", start)
        return
    app = make_app()
    app.config_from_object(dict(config.settings), force=True)
    try:
        with app.connection_for_write() as connection:
            where = connection.as_uri()
            connection.ensure_connection(max_retries=1, timeout=BROKER_SECONDS)
        workers = [name for answer in app.control.ping(timeout=WORKER_SECONDS) for name in answer]
    except Exception as error:  # noqa: BLE001 - every broker's library raises its own
        found = f"{type(error).__name__}: {error}"
        yield Check("broker", "problem", found, "start it, or mend broker_url in [celery]")
        return
    yield Check("broker", "ok", where)
    if workers:
        yield Check("worker", "ok", ", ".join(workers))
    else:
        yield Check("worker", "warning", "none answers", start)


def _outbox(context: Context) -> Check:
    with context.reading() as session:
        waiting = session.scalar(select(func.count()).where(Notice.given_up.is_(None))) or 0
        given_up = session.scalar(select(func.count()).where(Notice.given_up.is_not(None))) or 0
        oldest = session.scalar(select(func.min(Notice.due)).where(Notice.given_up.is_(None)))
    found = f"{waiting} notices wait, {given_up} were given up"
    if oldest is not None and oldest < context.clock() - SWEEP_SECONDS:
        return Check(
            "outbox",
            "problem",
            f"{found}; nobody has sent them for an hour",
            "start the worker and beat, or run `tconnect outbox retry`",
        )
    if given_up:
        return Check("outbox", "warning", found, "see `tconnect outbox list`, then `tconnect outbox retry`")
    return Check("outbox", "ok", found)


def _peers(context: Context) -> Iterator[Check]:
    with context.reading() as session:
        servers = session.execute(
            select(Server.id, Server.name, Server.url).where(Server.state == "active").order_by(Server.id)
        ).all()
        leaving = session.execute(
            select(Server.id, Server.name).where(Server.state == LEAVING).order_by(Server.id)
        ).all()
        paused = list_paused(session)
        automatic = context.options(session).client_auto_sign_in
        clients = session.execute(
            select(Client.id, Client.name, Client.url).where(Client.state == "active").order_by(Client.id)
        ).all()
    if automatic is not None and automatic not in {server.id for server in servers}:
        yield Check(
            "client.auto_sign_in",
            "warning",
            f"there is no connected server {automatic}, so nobody is sent to one",
            "see `tconnect client server list`, then `tconnect settings set client.auto_sign_in ID`",
        )
    for id_, name in leaving:
        yield Check(
            f"server {name}",
            "warning",
            "this site has left it, and it has not confirmed yet",
            f"run `tconnect client server leave {id_}`, with --force when the server is gone for good",
        )
    for each in paused:
        yield Check(
            f"server {each.server}",
            "warning",
            f"{each.kind} are not synchronised since run {each.run} was undone",
            f"run `{each.remedy}`",
        )
    for id_, name, url in servers:
        yield _peer(f"server {name}", url, partial(ask_server, context, id_))
    for id_, name, url in clients:
        yield _peer(f"client {name}", url, partial(ask_client, context, id_))


def _peer(name: str, url: str, ask: Callable[[], str | Unwell]) -> Check:
    answer = ask()
    if isinstance(answer, str):
        return Check(name, "ok", f"{url}: {answer}")
    return Check(name, "problem", f"{url}: {answer.found}", answer.remedy)
