"""Removing what the server role left half done."""

from __future__ import annotations

from sqlalchemy import delete, or_, select

from tconnect_pyramid.context import Context
from tconnect_pyramid.models import Client, ClientSession
from tconnect_pyramid.server.clients import ACTIVE, REGISTERING, forget

REGISTRATION_SECONDS = 600
"""A registration takes a minute at most; an older one broke off."""
UNREDEEMED_SECONDS = 3600
"""An ssotoken is worth nothing after a minute; for an hour its refusal still says that it came late."""


def cleanup(context: Context) -> int:
    """Remove registrations that broke off and SSO sessions that never began; gives how many rows."""
    now = context.clock()
    with context.unit() as session:
        broken_off = session.scalars(
            select(Client.id).where(
                Client.state == REGISTERING, Client.timecreated < now - REGISTRATION_SECONDS
            )
        ).all()
        forget(session, broken_off)
        inactive = select(Client.id).where(Client.state != ACTIVE)
        stale = session.scalars(
            delete(ClientSession)
            .where(
                or_(
                    ClientSession.redeemed.is_(None) & (ClientSession.timecreated < now - UNREDEEMED_SECONDS),
                    ClientSession.client_id.in_(inactive),
                )
            )
            .returning(ClientSession.id)
        ).all()
    return len(broken_off) + len(stale)
