"""Signing browsers in and out: where a request meets the registry of sign-ins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pyramid.interfaces import IAuthenticationPolicy, ISecurityPolicy
from pyramid.request import Request
from pyramid.security import remember
from sqlalchemy.exc import OperationalError

from tconnect_pyramid import sessions
from tconnect_pyramid.client.servers import list_servers
from tconnect_pyramid.delivery.outbox import Told, deliver_now, tell_now
from tconnect_pyramid.errors import Conflict
from tconnect_pyramid.protocol import paths
from tconnect_pyramid.security.automatic import stay_here
from tconnect_pyramid.security.cookies import (
    HOST_POLICY,
    Headers,
    forget_browser_id,
    forget_note,
    read_browser_id,
    set_browser_id,
)
from tconnect_pyramid.sessions import Ended, SignedIn
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.wiring import acting_as


@dataclass(frozen=True, slots=True)
class SignInLink:
    """*Log in using your account on: `server_name`*."""

    server_name: str
    url: str


def looked_up(request: Request) -> SignedIn | Ended | None:
    """What the registry knows of this browser; asked once a request (`request.tconnect_sign_in`).

    It is read in a session that is closed at once, so that a view may go on to call a peer.
    """
    browser_id = read_browser_id(request)
    if browser_id is None:
        return None
    context = request.tconnect
    with context.reading() as session:
        found = sessions.look_up(session, context, browser_id)
    if isinstance(found, Ended):
        request.add_response_callback(_forget)
    elif found is not None and context.clock() - found.last_seen >= sessions.TOUCH_SECONDS:
        request.add_finished_callback(_touch)
    return found


def current_sign_in(request: Request) -> SignedIn | None:
    """The live sign-in of this browser that we made, or None."""
    found = request.tconnect_sign_in
    return found if isinstance(found, SignedIn) else None


def has_ended(request: Request) -> bool:
    """Whether this browser's sign-in was ended, so that nothing it carries counts any more."""
    return isinstance(request.tconnect_sign_in, Ended)


def ensure_signed_in(request: Request) -> tuple[SignedIn, Headers] | None:
    """The sign-in of whoever is signed in to this site, by our means or the host's; None for nobody.

    Somebody whom the host knows gets a row in the registry, so that this sign-in can be ended too;
    the headers then carry its cookie. A row of ours for another account than the host's present
    one is discarded, never honoured.
    """
    current = current_sign_in(request)
    if not request.registry[HOST_POLICY]:
        return None if current is None else (current, [])
    key = request.authenticated_userid
    if key is None:
        return None
    if current is not None and current.account.key == int(key):
        return current, []
    context = request.tconnect
    browser_id = sessions.new_browser_id()
    with context.unit() as session:
        notices = [] if current is None else sessions.end(session, context, [current.signin_id], "ended")
        account = context.accounts.view(session, int(key))
        if account is None or account.suspended or account.deleted:
            return None
        now = context.clock()
        signin_id = sessions.start(session, browser_id, account.key, now)
    deliver_now(context, notices)
    made = SignedIn(signin_id, account, now, proved=now)
    # The forms of the page that is shown now are sent in this sign-in.
    request.tconnect_sign_in = made
    return made, set_browser_id(request, browser_id)


def sign_in(request: Request, account_key: int) -> Headers:
    """Sign the browser in as an account whose owner has proved who they are; gives the headers.

    Its former sign-in, if any, ends; the browser gets a new id, so that nobody can have known it.
    """
    context = request.tconnect
    browser_id = sessions.new_browser_id()
    current = current_sign_in(request)
    with context.unit() as session:
        notices = [] if current is None else sessions.end(session, context, _both(current), "logout")
        sessions.start(session, browser_id, account_key, context.clock())
        context.accounts.note_sign_in(session, account_key, context.clock())
    deliver_now(context, notices)
    return remember_browser(request, browser_id, account_key)


def remember_browser(request: Request, browser_id: str, account_key: int) -> Headers:
    """Headers for a sign-in whose row is there: our cookie, and whatever the host's policy remembers by."""
    return [
        *set_browser_id(request, browser_id),
        *forget_note(request, "stay"),
        *remember(request, str(account_key)),
    ]


def act_as(request: Request, account_key: int) -> Headers:
    """Let the administrator who asks act as another person; gives the headers of a new browser id.

    Raises NotFound, and Conflict when nobody may act as this account.
    """
    context = request.tconnect
    current = current_sign_in(request)
    if current is None:
        raise Conflict(_("Log in first."))
    browser_id = sessions.new_browser_id()
    with context.unit() as session:
        sessions.act_as(session, context, current, account_key, browser_id)
    return set_browser_id(request, browser_id)


def stop_acting(request: Request) -> Headers:
    """Take an administrator back to their own sign-in; gives the headers of a new browser id.

    Where that has ended meanwhile, the browser is signed out. Whoever acts as nobody is signed out as well:
    a host that knows another way of acting as somebody is left by its own log-out.
    """
    context = request.tconnect
    current = current_sign_in(request)
    if current is None or current.acted_by is None:
        return sign_out(request)
    browser_id = sessions.new_browser_id()
    with context.unit() as session:
        is_back = sessions.stop_acting(session, context, current, browser_id)
    return set_browser_id(request, browser_id) if is_back else forget_browser_id(request)


def is_acting(request: Request, signed_in: SignedIn) -> bool:
    """Whether somebody else acts as this person: by our means, or by the host's, as its directive says."""
    if signed_in.acted_by is not None:
        return True
    asked = acting_as(request)
    return asked is not None and bool(asked(request))


def sign_out(request: Request) -> Headers:
    """End the sign-in here and everywhere it was carried on to; gives the headers, see `sign_out_everywhere`."""
    return sign_out_everywhere(request)[0]


def sign_out_everywhere(request: Request) -> tuple[Headers, Told]:
    """End the sign-in here and everywhere it was carried on to; gives the headers, and which peers know.

    Peers that are down are told later: signing out always succeeds (protocol 7.7). Automatic single
    sign-on then leaves this browser alone, or nobody could log out.
    """
    context = request.tconnect
    current = current_sign_in(request)
    told = Told()
    if current is not None:
        with context.unit() as session:
            notices = sessions.end(session, context, _both(current), "logout")
        told = tell_now(context, notices)
    policy = _policy(request)
    return [*policy.forget(request), *stay_here(request)], told


def sign_in_links(request: Request, wanted: str = "") -> list[SignInLink]:
    """The servers somebody may log in by, with the addresses that begin it; `wanted` is where to go after."""
    context = request.tconnect
    with context.reading() as session:
        if not context.options(session).client_enabled:
            return []
        servers = list_servers(session, active_only=True)
    return [
        SignInLink(
            server.name,
            f"{request.script_name}{paths.SSO_START}?"
            + urlencode({"serverid": server.id, **({"next": wanted} if wanted else {})}),
        )
        for server in servers
    ]


def _both(current: SignedIn) -> list[int]:
    # Whoever logs out while acting as somebody means all of it.
    return [id_ for id_ in (current.signin_id, current.acted_from) if id_ is not None]


def _policy(request: Request) -> Any:
    registry = request.registry
    return registry.queryUtility(IAuthenticationPolicy) or registry.queryUtility(ISecurityPolicy)


def _forget(request: Request, response: Any) -> None:
    # A view that has just signed somebody in sets a cookie of its own, which must stay.
    headers = _policy(request).forget(request)
    ours = {header.partition("=")[0] for header in response.headers.getall("Set-Cookie")}
    for name, value in headers:
        if value.partition("=")[0] not in ours:
            response.headers.add(name, value)


def _touch(request: Request) -> None:
    context = request.tconnect
    current = current_sign_in(request)
    if current is None:
        return
    try:
        with context.unit() as session:
            sessions.touch(session, current.signin_id, context.clock())
    except OperationalError:
        # A busy database must not fail a request for a time stamp; the next request notes it.
        return
