"""The servers this site is a client of, and switching the client role on and off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import InvalidInput, NotFound
from tconnect_pyramid.models import Server
from tconnect_pyramid.protocol.values import canonical_int, clean_text
from tconnect_pyramid.settings import Guard, format_option, parse_option
from tconnect_pyramid.texts import text as _

ACTIVE = "active"
LEAVING = "leaving"
"""This site has left the server, which has not confirmed it yet (protocol 9)."""
GUARDS = ("guard.people", "guard.members", "guard.items")
"""The options that a server may have of its own."""


@dataclass(frozen=True, slots=True)
class ServerView:
    """A server as an administrator sees it; plain data without its secret."""

    id: int
    idnumber: str
    state: str
    name: str
    url: str
    client_idnumber: str
    apiversion: int
    comment: str
    guards: Mapping[str, str]
    timecreated: int


def list_servers(session: Session, *, active_only: bool = False) -> list[ServerView]:
    """The servers in the order in which they were connected."""
    statement = select(Server).order_by(Server.id)
    if active_only:
        statement = statement.where(Server.state == ACTIVE)
    return [_view(row) for row in session.scalars(statement)]


def find_server(session: Session, who: str) -> ServerView:
    """The server with this id or serveridnumber. Raises NotFound."""
    row = session.scalar(select(Server).where(or_(Server.idnumber == who, Server.id == canonical_int(who))))
    if row is None:
        raise NotFound(
            _("There is no server ${who}; `tconnect client server list` shows them.", who=repr(who))
        )
    return _view(row)


def still_active(session: Session, server_id: int) -> bool:
    """Whether people may be brought here from this server; holds off leaving it until the caller's commit."""
    # Without the lock, an account could be linked to a server that is being left at the same moment.
    statement = select(Server.state).where(Server.id == server_id).with_for_update(read=True)
    return session.scalar(statement) == ACTIVE


def edit_server(
    session: Session,
    context: Context,
    server_id: int,
    *,
    comment: str | None = None,
    guards: Mapping[str, str] | None = None,
    actor: str,
) -> ServerView:
    """Change what this site notes of a server; None leaves it as it is.

    `guards` are values of `GUARDS` that hold for its runs instead of this site's; an empty one is this site's again.
    Raises NotFound, and InvalidInput.
    """
    row = session.get(Server, server_id)
    if row is None:
        raise NotFound(_("There is no server with the id ${id}.", id=str(server_id)))
    changed = {name: _guard(name, text) for name, text in (guards or {}).items()}
    if comment is not None:
        row.comment = clean_text(comment)
    row.guards = {name: text for name, text in {**row.guards, **changed}.items() if text}
    row.timemodified = context.clock()
    context.audit(session, actor, "client.server.edit", row.idnumber, **changed)
    return _view(row)


def guard_of(session: Session, context: Context, server_id: int, name: str) -> Guard:
    """How many may vanish in a run of a server: its own number and percentage, or this site's."""
    own = session.scalar(select(Server.guards).where(Server.id == server_id)) or {}
    guard = (
        parse_option(name, own[name])
        if name in own
        else getattr(context.options(session), name.replace(".", "_"))
    )
    return cast("Guard", guard)


def _guard(name: str, text: str) -> str:
    if name not in GUARDS:
        raise InvalidInput(
            name,
            _("A server has no ${name} of its own; there are ${names}.", name=name, names=", ".join(GUARDS)),
        )
    return format_option(parse_option(name, text)) if text.strip() else ""


def enable(session: Session, context: Context, on: bool, *, actor: str) -> None:
    """Switch the client role on or off. Raises Conflict when the ini fixes it, or it is not installed."""
    context.set_option(session, "client.enabled", "true" if on else "false")
    context.audit(session, actor, "client.enable" if on else "client.disable")


def _view(row: Server) -> ServerView:
    return ServerView(
        id=row.id,
        idnumber=row.idnumber,
        state=row.state,
        name=row.name,
        url=row.url,
        client_idnumber=row.client_idnumber,
        apiversion=row.apiversion,
        comment=row.comment,
        guards=dict(row.guards),
        timecreated=row.timecreated,
    )
