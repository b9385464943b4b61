"""Automatic single sign-on: the one server whose people need no login page here (protocol 7)."""

from __future__ import annotations

from sqlalchemy.orm import Session

from tconnect_pyramid.client.servers import ACTIVE
from tconnect_pyramid.context import Context
from tconnect_pyramid.models import Server


def automatic_server(session: Session, context: Context) -> int | None:
    """The id of the server that an administrator has chosen; None when nobody can sign in by it now."""
    options = context.options(session)
    if options.client_auto_sign_in is None or not options.client_enabled:
        return None
    server = session.get(Server, options.client_auto_sign_in)
    return None if server is None or server.state != ACTIVE else server.id
