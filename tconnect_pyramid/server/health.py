"""Whether a client of this server is well: one call that changes nothing."""

from __future__ import annotations

from functools import partial

from tconnect_pyramid.context import Context
from tconnect_pyramid.models import Client
from tconnect_pyramid.peers import TEST_SECONDS, Unwell, call_client, client_peer, looked_at, refusing
from tconnect_pyramid.protocol import jsend, services
from tconnect_pyramid.secretbox import new_token
from tconnect_pyramid.texts import text as _


def ask_client(context: Context, client_id: int) -> str | Unwell:
    """The version that is spoken with a client, or what is wrong. Outside of any transaction."""
    return looked_at(partial(_ask, context, client_id))


def _ask(context: Context, client_id: int) -> str | Unwell:
    with context.reading() as session:
        client = session.get_one(Client, client_id)
        peer, version = client_peer(context.box, client), client.apiversion
        is_renewing = client.next_client_secret is not None
    # A call that changes nothing there: no browser ever had this token.
    result = call_client(
        context,
        peer,
        services.VALIDATE_SSO_REQUEST_TOKEN,
        timeout=TEST_SECONDS,
        requesttoken=new_token(),
    )
    if result == jsend.Error(services.sso_request_timed_out().reason):
        return _("version ${version}", version=version)
    if isinstance(result, jsend.Success):
        return Unwell(
            _("it accepts any sign-in request"), _("tell its administrator: it must not be used so")
        )
    unwell = refusing(result)
    if is_renewing and result == jsend.Error(services.invalid_client_secret().reason):
        again = _(
            "renewing its secrets broke off: `tconnect server client rotate ${id}` ends it", id=str(client_id)
        )
        return Unwell(unwell.found, again)
    return unwell
