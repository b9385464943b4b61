"""`tconnect session`: who is signed in, and ending that."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid import sessions
from tconnect_pyramid.cli.base import ACTOR, command
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import Answer, Rows, moment
from tconnect_pyramid.context import Context
from tconnect_pyramid.delivery.outbox import deliver_now
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.errors import NotFound
from tconnect_pyramid.models import Client, ClientSession, Server, ServerSession, SignIn

COLUMNS = (
    ("Id", "id"),
    ("Who", "username"),
    ("Acted by", "administrator"),
    ("Since (UTC)", "since"),
    ("Last seen (UTC)", "seen"),
    ("Came from", "server"),
    ("Went on to", "clients"),
)


@click.group()
def session() -> None:
    """Look after sign-ins. SESSION is the id of one, WHO as in `tconnect user`."""


@command(session, "list")
@click.argument("who", required=False)
def list_(site: Site, who: str | None) -> Answer:
    """The sign-ins that have not ended, of everybody or of one person."""
    context = site.migrated()
    with context.reading() as reading:
        statement = select(SignIn).where(SignIn.ended.is_(None)).order_by(SignIn.id)
        if who is not None:
            statement = statement.where(SignIn.account_key == context.accounts.find(reading, who).key)
        rows = _rows(reading, context, list(reading.scalars(statement)))
        names = context.accounts.fetch(
            reading, [row["acted_by"] for row in rows if row["acted_by"]], ("username",)
        )
    shown = [
        {
            **row,
            "administrator": names.get(row["acted_by"], {}).get("username"),
            "since": moment(row["timecreated"]),
            "seen": moment(row["last_seen"]),
        }
        for row in rows
    ]
    return Answer(rows, Rows(COLUMNS, shown, "Nobody is signed in."))


@command(session, "end")
@click.argument("session", type=int, required=False)
@click.option("--user", "who", metavar="WHO", help="All sign-ins of this person.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def end(site: Site, session: int | None, who: str | None, dry_run: bool) -> Answer:
    """End a sign-in, or all of one person, here and at the peers."""
    if (session is None) == (who is None):
        raise click.UsageError("Name either a SESSION or --user WHO.")
    context = site.migrated()
    with context.unit() as unit:
        ids = _live(unit, context, session, who)
        notices: list[int] = []
        if not dry_run and ids:
            notices = sessions.end(unit, context, ids, "ended")
            context.audit(unit, ACTOR, "session.ended", who or "", sessions=ids)
    delivered = deliver_now(context, notices)
    document = {"ended": ids, "told": delivered.confirmed, "waiting": len(notices) - delivered.confirmed}
    if dry_run:
        return Answer({**document, "ended": [], "would_end": ids}, f"{len(ids)} sign-ins would be ended.")
    text = f"{len(ids)} sign-ins ended."
    if notices:
        text += f" {delivered.confirmed} of {len(notices)} notices to peers arrived."
        if document["waiting"]:
            text += " The rest is tried again."
    return Answer(document, text)


def _live(unit: Session, context: Context, session: int | None, who: str | None) -> list[int]:
    statement = select(SignIn.id).where(SignIn.ended.is_(None)).order_by(SignIn.id)
    if who is not None:
        person = context.accounts.find(unit, who)
        return list(unit.scalars(statement.where(SignIn.account_key == person.key)))
    found = list(unit.scalars(statement.where(SignIn.id == session)))
    if not found:
        raise NotFound(f"There is no sign-in {session}, or it has ended; `tconnect session list` shows them.")
    return found


def _rows(reading: Session, context: Context, signins: list[SignIn]) -> list[dict[str, Any]]:
    names = context.accounts.fetch(reading, [row.account_key for row in signins], ("username",))
    came_from: dict[int, str] = {}
    went_on_to: dict[int, list[str]] = defaultdict(list)
    for some in in_batches([row.id for row in signins]):
        came_from.update(
            reading.execute(
                select(ServerSession.signin_id, Server.idnumber)
                .join(Server, Server.id == ServerSession.server_id)
                .where(ServerSession.signin_id.in_(some))
            ).all()
        )
        for signin_id, idnumber in reading.execute(
            select(ClientSession.signin_id, Client.idnumber)
            .join(Client, Client.id == ClientSession.client_id)
            .where(ClientSession.signin_id.in_(some))
            .order_by(ClientSession.id)
        ):
            went_on_to[signin_id].append(idnumber)
    return [
        {
            "id": row.id,
            "account": row.account_key,
            "username": names.get(row.account_key, {}).get("username", ""),
            "acted_by": row.acted_by,
            "timecreated": row.timecreated,
            "last_seen": row.last_seen,
            "server": came_from.get(row.id),
            "clients": went_on_to[row.id],
        }
        for row in signins
    ]
