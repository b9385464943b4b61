"""Editing the profile of somebody from a server: it happens there, and what was changed is fetched (protocol 7.8)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tconnect_pyramid.client.servers import ACTIVE
from tconnect_pyramid.client.signin import refresh_person
from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import TConnectError
from tconnect_pyramid.models import Link, Server
from tconnect_pyramid.protocol import paths
from tconnect_pyramid.protocol.values import canonical_int

RETURN_TO = "tc_"
"""What stands before our idnumber in the parameter that asks a server to send the browser back."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Keeper:
    """The server that keeps an account, who it is there, and whether it can be asked now."""

    server_id: int
    server_name: str
    server_url: str
    person_id: int
    client_idnumber: str
    is_active: bool


def keeper_of(session: Session, context: Context, account_key: int) -> Keeper | None:
    """The server that an account is linked to, or None."""
    row = session.execute(
        select(Server, Link.person_id)
        .join(Link, Link.server_id == Server.id)
        .where(Link.account_key == account_key)
        .order_by(Server.id)
    ).first()
    if row is None:
        return None
    server, person_id = row
    return Keeper(
        server_id=server.id,
        server_name=server.name,
        server_url=server.url,
        person_id=person_id,
        client_idnumber=server.client_idnumber,
        is_active=server.state == ACTIVE and context.options(session).client_enabled,
    )


def edit_url(keeper: Keeper) -> str:
    """The address at the server where the person edits their profile and comes back from."""
    query = urlencode({"id": keeper.person_id, "returnto": f"{RETURN_TO}{keeper.client_idnumber}"})
    return f"{paths.join(keeper.server_url, paths.USER_EDIT)}?{query}"


def came_back(context: Context, account_key: int, query: Mapping[str, str]) -> bool | None:
    """Fetch the one person again who has just edited their profile at the server.

    `account_key`: who asks; `query`: the parameters of the address. Gives None, and nothing is asked,
    unless these name the very person behind the account; else whether the profile was fetched.
    """
    with context.reading() as session:
        keeper = keeper_of(session, context, account_key)
    if (
        keeper is None
        or not keeper.is_active
        or keeper.client_idnumber != query.get("clientidnumber", "")
        or keeper.person_id != canonical_int(query.get("serveruserid", ""))
    ):
        return None
    try:
        return refresh_person(context, keeper.server_id, keeper.person_id) is not None
    except (TConnectError, IntegrityError) as error:
        said = str(error.orig).partition("\n")[0] if isinstance(error, IntegrityError) else error
        log.warning("The person %s of %s was not refreshed: %s", keeper.person_id, keeper.server_url, said)
        return False
