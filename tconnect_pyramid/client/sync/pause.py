"""A kind that is not synchronised with a server, since a run of it was undone and the next would do the same again."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import Conflict
from tconnect_pyramid.models import Pause, Server
from tconnect_pyramid.texts import text as _


def pause(session: Session, kind: str, server_id: int, run_id: int) -> None:
    """Do not synchronise a kind with a server from now on: this run of it was undone."""
    session.merge(Pause(server_id=server_id, kind=kind, run_id=run_id))


def paused_by(session: Session, kind: str, server_id: int) -> str:
    """Why a kind is paused, and how it goes on; empty when it is not."""
    row = session.get(Pause, (server_id, kind))
    if row is None:
        return ""
    return _(
        "Paused, as run ${run} was undone: nothing was asked and nothing was changed. "
        "`tconnect client sync ${kind} --server ${server} --resume` lets it go on.",
        run=str(row.run_id),
        kind=kind,
        server=str(server_id),
    )


def paused_kinds(session: Session) -> dict[int, list[str]]:
    """The kinds that are paused, by the server's id."""
    found: dict[int, list[str]] = {}
    for server_id, kind in session.execute(select(Pause.server_id, Pause.kind).order_by(Pause.kind)):
        found.setdefault(server_id, []).append(kind)
    return found


def resume(session: Session, context: Context, kind: str, server_id: int, *, actor: str) -> None:
    """Let a paused kind be synchronised again. Raises Conflict when it is not paused."""
    row = session.scalar(
        delete(Pause).where(Pause.server_id == server_id, Pause.kind == kind).returning(Pause.run_id)
    )
    if row is None:
        raise Conflict(_("The sync of ${kind} with this server is not paused.", kind=kind))
    server = session.get_one(Server, server_id)
    context.audit(session, actor, "sync.resumed", server.idnumber, kind=kind)
