"""The services that clients call: who may, in which order they are refused, what they get (protocol 4, 5)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import BinaryIO

from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.hierarchies import ORGANISATIONS, POSITIONS, Hierarchy
from tconnect_pyramid.errors import Conflict, PeerError, Refused
from tconnect_pyramid.failures import log_bug
from tconnect_pyramid.models import Client
from tconnect_pyramid.plugins import Peer, own_parameters
from tconnect_pyramid.protocol import jsend, replies, services, versions
from tconnect_pyramid.protocol.services import ServiceCall
from tconnect_pyramid.server import clients, lists, renewal, signin
from tconnect_pyramid.server.callers import Caller, authenticate
from tconnect_pyramid.server.clients import ACTIVE
from tconnect_pyramid.server.overview import note_call
from tconnect_pyramid.server.records import person

Reply = bytes | BinaryIO
"""A whole JSend document: as bytes, or as a file at its start which the caller closes."""

Form = Mapping[str, str]
Service = Callable[[Context, Caller, Form], Reply]

log = logging.getLogger(__name__)


def answer(context: Context, form: Form) -> Reply:
    """Answer a client's call. Whatever happens, what comes out is a JSend document."""
    try:
        return _answer(context, form)
    except Refused as refused:
        return jsend.write(jsend.from_refusal(refused))
    except Exception as error:  # noqa: BLE001 - a Totara peer discards anything but JSend (protocol 1)
        log_bug(log, "A service call of a client failed", error)
        return jsend.write(jsend.Error("internal error"))


def _answer(context: Context, form: Form) -> Reply:
    call = services.read_server_call(form)
    with context.reading() as session:
        caller = authenticate(session, context, call)
    if caller.state == ACTIVE:
        _note(context, caller)
    if caller.has_next_secret and (call.component or call.name != services.GET_API_VERSION):
        renewal.confirm(context, caller.id, call.secret)
    if call.component and call.component != services.OUR_COMPONENT:
        return _plugin_service(context, caller, call)
    service = (OUR_SERVICES if call.component else SERVICES).get(call.name)
    if service is None:
        raise services.invalid_server_service(call.service)
    return service(context, caller, call.form)


def _note(context: Context, caller: Caller) -> None:
    try:
        note_call(context, caller.id, caller.last_call)
    except OperationalError as error:
        # A database that is busy: the call itself matters, not when it was.
        log.info("When %s called was not noted: %s", caller.idnumber, type(error).__name__)


def _plugin_service(context: Context, caller: Caller, call: ServiceCall) -> Reply:
    plugins = context.plugins
    if not caller.plugin_services or not plugins.has_component("server", call.component):
        raise services.invalid_component(call.component)
    service = plugins.find("server", call.component, call.name)
    if service is None:
        raise services.invalid_server_service(call.service)
    peer = Peer(caller.id, caller.idnumber, caller.apiversion)
    return _success(service(context, peer, own_parameters(call.form)))


def _success(data: object = None) -> bytes:
    return jsend.write(jsend.Success(data))


def _get_api_version(context: Context, caller: Caller, form: Form) -> Reply:
    del context, caller
    services.read_clienttype(form)
    return _success(replies.write_versions())


def _update_api_version(context: Context, caller: Caller, form: Form) -> Reply:
    apiversion = services.read_apiversion(form)
    clienttype = services.read_clienttype(form)
    with context.unit() as session:
        session.execute(
            update(Client).where(Client.id == caller.id).values(apiversion=apiversion, clienttype=clienttype)
        )
    return _success()


def _get_users(context: Context, caller: Caller, form: Form) -> Reply:
    del form
    return lists.write_users(context, caller)


def _get_user(context: Context, caller: Caller, form: Form) -> Reply:
    userid = services.read_userid(form)
    with context.reading() as session:
        return _success(replies.write_person(person(session, context, caller, userid)))


def _get_user_collections(context: Context, caller: Caller, form: Form) -> Reply:
    del form
    return lists.write_user_collections(context, caller)


def _get_positions(context: Context, caller: Caller, form: Form) -> Reply:
    del form
    return _hierarchy(context, caller, services.GET_POSITIONS, POSITIONS)


def _get_organisations(context: Context, caller: Caller, form: Form) -> Reply:
    del form
    return _hierarchy(context, caller, services.GET_ORGANISATIONS, ORGANISATIONS)


def _hierarchy(context: Context, caller: Caller, service: str, hierarchy: Hierarchy) -> Reply:
    if caller.apiversion < versions.FIRST_VERSION_WITH_JOBS:
        raise services.not_in_version(service, caller.apiversion)
    reply = lists.write_hierarchy(context, caller, hierarchy)
    # A site that has none answers null, which tells the client to leave its own alone (protocol 5).
    return _success(replies.write_no_hierarchy(hierarchy.plural)) if reply is None else reply


def _get_sso_user(context: Context, caller: Caller, form: Form) -> Reply:
    return _success(signin.redeem(context, caller, services.read_ssotoken(form)))


def _force_sso_logout(context: Context, caller: Caller, form: Form) -> Reply:
    signin.end_by_client(context, caller, services.read_ssotoken(form))
    return _success()


def _delete_client(context: Context, caller: Caller, form: Form) -> Reply:
    del form
    clients.leave(context, caller)
    return _success()


def _renew_secrets(context: Context, caller: Caller, form: Form) -> Reply:
    del form
    try:
        renewal.rotate_secrets(context, caller.id, actor=f"peer:{caller.idnumber}")
    except (Conflict, PeerError) as error:
        raise Refused(f"the secrets stay as they are: {error}") from error
    return _success()


OUR_SERVICES: Mapping[str, Service] = MappingProxyType({services.RENEW_SECRETS: _renew_secrets})
"""Those of `services.OUR_COMPONENT`, which sites of this project offer each other."""
SERVICES: Mapping[str, Service] = MappingProxyType(
    {
        services.GET_API_VERSION: _get_api_version,
        services.UPDATE_API_VERSION: _update_api_version,
        services.GET_USERS: _get_users,
        services.GET_USER: _get_user,
        services.GET_USER_COLLECTIONS: _get_user_collections,
        services.GET_POSITIONS: _get_positions,
        services.GET_ORGANISATIONS: _get_organisations,
        services.GET_SSO_USER: _get_sso_user,
        services.FORCE_SSO_LOGOUT: _force_sso_logout,
        services.DELETE_CLIENT: _delete_client,
    }
)
