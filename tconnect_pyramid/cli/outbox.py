"""`tconnect outbox`: notices that have not reached their peer yet."""

from __future__ import annotations

import click
from sqlalchemy import select

from tconnect_pyramid.cli.base import ACTOR, command
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import DONE, FAILED, Answer, Row, Rows, moment, working
from tconnect_pyramid.delivery.outbox import retry_all, sweep
from tconnect_pyramid.models import Client, Notice, Server

COLUMNS = (
    ("Id", "id"),
    ("To", "peer"),
    ("Service", "service"),
    ("Since (UTC)", "since"),
    ("Tries", "attempts"),
    ("Next (UTC)", "next"),
    ("Last error", "last_error"),
)


@click.group()
def outbox() -> None:
    """Look after notices to peers: log-outs above all."""


@command(outbox, "list")
def list_(site: Site) -> Answer:
    """The notices that wait, and those that were given up."""
    context = site.migrated()
    with context.reading() as session:
        rows: list[Row] = [
            {
                "id": notice.id,
                "role": notice.role,
                "peer": client or server,
                "service": notice.service,
                "timecreated": notice.timecreated,
                "attempts": notice.attempts,
                "due": notice.due,
                "given_up": notice.given_up,
                "last_error": notice.last_error,
                "since": moment(notice.timecreated),
                "next": "given up" if notice.given_up else moment(notice.due),
            }
            for notice, client, server in session.execute(
                select(Notice, Client.idnumber, Server.idnumber)
                .outerjoin(Client, (Notice.role == "client") & (Client.id == Notice.peer_id))
                .outerjoin(Server, (Notice.role == "server") & (Server.id == Notice.peer_id))
                .order_by(Notice.id)
            )
        ]
    document = [{k: v for k, v in row.items() if k not in {"since", "next"}} for row in rows]
    return Answer(document, Rows(COLUMNS, rows, "Nothing waits."))


@command(outbox, "retry")
def retry(site: Site) -> Answer:
    """Send all of them now, given up ones too; status 1 when some did not arrive."""
    context = site.migrated()
    with context.unit() as session:
        waiting = retry_all(session, context.clock())
        context.audit(session, ACTOR, "outbox.retry", "", notices=waiting)
    with working("Calling the peers"):
        delivered = sweep(context)
    document = {"retried": waiting, "confirmed": delivered.confirmed, "failed": delivered.failed}
    return Answer(
        document,
        f"{delivered.confirmed} of {waiting} notices arrived, {delivered.failed} did not.",
        FAILED if delivered.failed else DONE,
    )
