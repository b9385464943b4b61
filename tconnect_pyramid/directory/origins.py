"""Which rows here came from a server, so that nobody but its sync changes them (protocol 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid.directory.nouns import ONE
from tconnect_pyramid.errors import Conflict
from tconnect_pyramid.models import Counterpart, Server
from tconnect_pyramid.texts import text as _


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a row came from: the server's idnumber, and the row's id there."""

    server: str
    remote_id: int


def origins_of(session: Session, kind: str, ids: Sequence[int] | None = None) -> dict[int, Origin]:
    """Where the rows of a kind of `Counterpart` (or those with these local ids) came from, by local id."""
    statement = (
        select(Counterpart.local_id, Server.idnumber, Counterpart.remote_id)
        .join(Server, Server.id == Counterpart.server_id)
        .where(Counterpart.kind == kind)
    )
    if ids is not None:
        statement = statement.where(Counterpart.local_id.in_(ids))
    return {row.local_id: Origin(row.idnumber, row.remote_id) for row in session.execute(statement)}


def refuse_foreign(session: Session, kind: str, local_id: int, name: str) -> None:
    """Raise Conflict, naming the server, when the row came from one."""
    server = session.scalar(
        select(Server.name)
        .join(Counterpart, Counterpart.server_id == Server.id)
        .where(Counterpart.kind == kind, Counterpart.local_id == local_id)
    )
    if server is not None:
        raise Conflict(
            _(
                "The ${kind} ${name} is kept as the server ${server} has it; change it there.",
                kind=ONE[kind],
                name=repr(name),
                server=server,
            )
        )
