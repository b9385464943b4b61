"""The general clean-up of the client role (protocol 10)."""

from __future__ import annotations

from sqlalchemy import delete

from tconnect_pyramid.context import Context
from tconnect_pyramid.models import Approval, SignInRequest

REQUEST_SECONDS = 3600
"""Sign-in requests older than this are removed; they have been useless for most of that time."""


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
    return removed
