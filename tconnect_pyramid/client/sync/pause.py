"""A kind that is not synchronised with a server, since a run of it was undone and the next would do the same again."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import Conflict
from tconnect_pyramid.models import Pause, Server
from tconnect_pyramid.texts import text as _


@dataclass(frozen=True, slots=True)
class Paused:
    """A kind that is paused with a server, since the run with this id was undone."""

    server_id: int
    server: str
    kind: str
    run: int

    @property
    def remedy(self) -> str:
        """The command that lets it go on."""
        return f"tconnect client sync {self.kind} --server {self.server_id} --resume"


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


def list_paused(session: Session) -> list[Paused]:
    """All that is paused, by server and kind."""
    rows = session.execute(
        select(Pause.server_id, Server.name, Pause.kind, Pause.run_id)
        .join(Server, Server.id == Pause.server_id)
        .order_by(Pause.server_id, Pause.kind)
    )
    return [Paused(*row) for row in rows]


def resume(session: Session, context: Context, kind: str, server_id: int, *, actor: str) -> None:
    """Let a paused kind be synchronised again. Raises Conflict when it is not paused."""
    row = session.scalar(
        delete(Pause).where(Pause.server_id == server_id, Pause.kind == kind).returning(Pause.run_id)
    )
    if row is None:
        raise Conflict(_("The sync of ${kind} with this server is not paused.", kind=kind))
    server = session.get_one(Server, server_id)
    context.audit(session, actor, "sync.resumed", server.idnumber, kind=kind)
