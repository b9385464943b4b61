"""The general clean-up of the client role (protocol 10)."""

from __future__ import annotations

from sqlalchemy import delete, select

from tconnect_pyramid.context import Context
from tconnect_pyramid.models import Approval, Run, SignInRequest, Undo

REQUEST_SECONDS = 3600
"""Sign-in requests older than this are removed; they have been useless for most of that time."""
DAY = 86_400


def cleanup(context: Context) -> int:
    """Remove what is of no use any more; gives the number of sign-in requests removed.

    While the client role is disabled nobody can come back from a server: all requests go.
    """
    now = context.clock()
    with context.unit() as session:
        statement = delete(SignInRequest).returning(SignInRequest.id)
        if context.options(session).client_enabled:
            statement = statement.where(SignInRequest.timecreated < now - REQUEST_SECONDS)
        removed = len(session.scalars(statement).all())
        session.execute(delete(Approval).where(Approval.expires < now))
        kept_since = now - context.options(session).client_undo_days * DAY
        session.execute(delete(Undo).where(Undo.run_id.in_(select(Run.id).where(Run.started <= kept_since))))
    return removed
