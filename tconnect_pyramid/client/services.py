"""What servers may ask this site: is a sign-in request ours, is somebody active, end a sign-in (protocol 7)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid import sessions
from tconnect_pyramid.client.renewal import take_secrets
from tconnect_pyramid.client.servers import ACTIVE
from tconnect_pyramid.context import Context
from tconnect_pyramid.delivery.outbox import deliver_now
from tconnect_pyramid.errors import Refused
from tconnect_pyramid.failures import log_bug
from tconnect_pyramid.models import Server, ServerSession, SignIn, SignInRequest
from tconnect_pyramid.plugins import Peer, own_parameters
from tconnect_pyramid.protocol import jsend, replies, services, versions
from tconnect_pyramid.protocol.services import ServiceCall
from tconnect_pyramid.secretbox import digest, same

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Call:
    """An authenticated call: of which server, and its parameters."""

    server_id: int
    form: Mapping[str, str]


def answer(context: Context, form: Mapping[str, str]) -> bytes:
    """Answer a server's call: the reply's body. Never raises: a fault of ours, or of a plugin, is an `error` too."""
    try:
        return jsend.write(jsend.Success(_answer(context, form)))
    except Refused as refused:
        return jsend.write(jsend.from_refusal(refused))
    except Exception as error:  # noqa: BLE001 - a Totara peer discards anything but JSend (protocol 1)
        log_bug(log, "A service call of a server failed", error)
        return jsend.write(jsend.Error("internal error"))


def _answer(context: Context, form: Mapping[str, str]) -> object:
    call = services.read_client_call(form)
    with context.reading() as session:
        server, allows_plugins = _authenticate(session, context, call)
    if call.component and call.component != services.OUR_COMPONENT:
        return _plugin_service(context, server, call, allowed=allows_plugins)
    service = (OUR_SERVICES if call.component else SERVICES).get(call.name)
    if service is None:
        raise services.invalid_client_service(call.service)
    return service(context, _Call(server.id, call.form))


def _authenticate(session: Session, context: Context, call: ServiceCall) -> tuple[Peer, bool]:
    """The server that calls, and whether it may call services of plugins; refusals in the order of protocol 4."""
    row = session.scalar(select(Server).where(Server.client_idnumber == call.idnumber))
    # Compared even when the idnumber is unknown, so that time tells nothing.
    expected = digest("") if row is None else row.client_secret_hash
    if not same(expected, digest(call.secret)) or row is None:
        raise services.invalid_client_secret()
    options = context.options(session)
    if not options.client_enabled:
        raise services.client_not_enabled()
    if row.state != ACTIVE:
        raise services.server_not_active()
    if not versions.MIN_VERSION <= row.apiversion <= versions.MAX_VERSION:
        raise services.unsupported_api_version()
    return Peer(row.id, row.idnumber, row.apiversion), options.client_plugin_services


def _plugin_service(context: Context, server: Peer, call: ServiceCall, *, allowed: bool) -> object:
    if not allowed or not context.plugins.has_component("client", call.component):
        raise services.invalid_component(call.component)
    service = context.plugins.find("client", call.component, call.name)
    if service is None:
        raise services.invalid_client_service(call.service)
    return service(context, server, own_parameters(call.form))


def _validate_sso_request_token(context: Context, call: _Call) -> object:
    token = services.read_requesttoken(call.form)
    with context.reading() as session:
        began = session.scalar(
            select(SignInRequest.timecreated).where(
                SignInRequest.token_hash == digest(token), SignInRequest.server_id == call.server_id
            )
        )
    if began is None or context.clock() - began > context.settings.request_timeout:
        raise services.sso_request_timed_out()
    return None


def _is_sso_user_active(context: Context, call: _Call) -> object:
    token = services.read_ssotoken(call.form)
    with context.reading() as session:
        row = session.execute(
            select(
                ServerSession.signin_id,
                ServerSession.account_key,
                SignIn.account_key.label("signed_in"),
                SignIn.last_seen,
            )
            .join(SignIn, SignIn.id == ServerSession.signin_id)
            .where(
                ServerSession.token_hash == digest(token),
                ServerSession.server_id == call.server_id,
                SignIn.ended.is_(None),
            )
        ).first()
        timeout = context.options(session).session_timeout
    if row is None:
        return replies.write_activity(False)
    if row.account_key == row.signed_in and row.last_seen + timeout >= context.clock():
        return replies.write_activity(True)
    _end(context, row.signin_id, "timeout")
    return replies.write_activity(False)


def _kill_sso_user(context: Context, call: _Call) -> object:
    token = services.read_ssotoken(call.form)
    with context.reading() as session:
        signin_id = session.scalar(
            select(ServerSession.signin_id).where(
                ServerSession.token_hash == digest(token), ServerSession.server_id == call.server_id
            )
        )
    if signin_id is not None:
        _end(context, signin_id, "peer")
    return None


def _end(context: Context, signin_id: int, reason: sessions.EndReason) -> None:
    with context.unit() as session:
        notices = sessions.end(session, context, [signin_id], reason)
    deliver_now(context, notices)


def _renew_secrets(context: Context, call: _Call) -> object:
    take_secrets(context, call.server_id, call.form)
    return None


OUR_SERVICES: Mapping[str, Callable[[Context, _Call], object]] = {services.RENEW_SECRETS: _renew_secrets}
"""Those of `services.OUR_COMPONENT`, which sites of this project offer each other."""
SERVICES: Mapping[str, Callable[[Context, _Call], object]] = {
    services.VALIDATE_SSO_REQUEST_TOKEN: _validate_sso_request_token,
    services.IS_SSO_USER_ACTIVE: _is_sso_user_active,
    services.KILL_SSO_USER: _kill_sso_user,
}
"""A service's name -> what it does; gives the data of the reply, raises Refused."""
