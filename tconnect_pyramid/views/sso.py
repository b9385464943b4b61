"""Where browsers are sent on their way between a client and a server (protocol 7)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.renderers import render_to_response
from pyramid.request import Request
from pyramid.response import Response

from tconnect_pyramid.client import signin as client_signin
from tconnect_pyramid.client.signin import Arrived, Failed
from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.protocol import paths
from tconnect_pyramid.protocol.values import canonical_int
from tconnect_pyramid.security.cookies import read_browser_id, set_browser_id
from tconnect_pyramid.security.signins import current_sign_in, ensure_signed_in, remember_browser
from tconnect_pyramid.server import signin as server_signin
from tconnect_pyramid.sessions import new_browser_id
from tconnect_pyramid.views.own_paths import own_path
from tconnect_pyramid.wiring import login_route


@dataclass(frozen=True, slots=True)
class WaitingClient:
    """The client site on whose behalf somebody is asked to log in here."""

    name: str
    cancel_url: str


def sso_request(request: Request) -> Response:
    """Server: a browser arrives from a client to be signed in there (protocol 7.2)."""
    context = request.tconnect
    with context.reading() as session:
        client = server_signin.requesting_client(session, context, request.GET.get("clientidnumber", ""))
    if client is None:
        return _message(
            request, 404, "Unknown site", "The site that sent you here is not connected to this one."
        )
    signed_in = ensure_signed_in(request)
    if signed_in is None:
        return HTTPSeeOther(_login_url(request))
    who, headers = signed_in
    url = server_signin.grant(context, who, client, request.GET.get("requesttoken", ""))
    return HTTPSeeOther(url, headers=headers)


def sso_start(request: Request) -> Response:
    """Client: a browser sets out for a server (protocol 7.1)."""
    if current_sign_in(request) is not None or request.authenticated_userid is not None:
        return HTTPSeeOther(_home(request))
    browser_id = read_browser_id(request)
    headers = []
    if browser_id is None or request.tconnect_sign_in is not None:
        # A browser without an id of ours, or with that of a sign-in that has ended.
        browser_id = new_browser_id()
        headers = set_browser_id(request, browser_id)
    server_id = canonical_int(request.GET.get("serverid", ""))
    wanted = own_path(request.tconnect.settings.site_url, request.GET.get("next", "")) or ""
    url = client_signin.start(request.tconnect, server_id, browser_id, wanted)
    return HTTPSeeOther(_home(request)) if url is None else HTTPSeeOther(url, headers=headers)


def sso_finish(request: Request) -> Response:
    """Client: a browser comes back from a server (protocol 7.4)."""
    signed_in = current_sign_in(request) is not None or request.authenticated_userid is not None
    outcome = client_signin.finish(
        request.tconnect, request.GET, read_browser_id(request), signed_in=signed_in
    )
    match outcome:
        case Arrived(browser_id, account_key, wanted):
            headers = remember_browser(request, browser_id, account_key)
            return HTTPSeeOther(wanted or _home(request), headers=headers)
        case Failed(message, server_id, cancelled):
            response = render_to_response(
                "tconnect_pyramid:templates/sso_failed.jinja2",
                {
                    "title": "Log in cancelled" if cancelled else "Single sign-on failed",
                    "message": message,
                    # A link, not a redirect: trying again takes a click, so it cannot loop.
                    "retry_url": f"{request.script_name}{paths.SSO_START}?serverid={server_id}",
                    "home_url": _home(request),
                },
                request=request,
            )
            response.status_int = 200 if cancelled else 403
            return response
        case _:
            home = _home(request)
            return HTTPSeeOther(f"{home}?notice=already-signed-in" if outcome.already_signed_in else home)


def waiting_client(request: Request, wanted: str) -> WaitingClient | None:
    """The client that waits for somebody to log in, when `wanted`, the page to go to, is its request."""
    parts = urlsplit(wanted)
    if parts.path != f"{request.script_name}{paths.SSO_REQUEST}":
        return None
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    context = request.tconnect
    with context.reading() as session:
        client = server_signin.requesting_client(session, context, query.get("clientidnumber", ""))
    if client is None:
        return None
    return WaitingClient(client.name, server_signin.cancel_url(client, query.get("requesttoken", "")))


def _login_url(request: Request) -> str:
    route = login_route(request)
    if route is None:
        raise ConfigurationProblem(
            [
                "Nobody can log in here for a client: name the login page by config.set_tconnect_login_route(name)."
            ]
        )
    return f"{request.route_path(route)}?{urlencode({'next': request.path_qs})}"


def _home(request: Request) -> str:
    return f"{request.script_name}/"


def _message(request: Request, status: int, title: str, message: str) -> Response:
    response = render_to_response(
        "tconnect_pyramid:templates/tconnect/message.jinja2",
        {"title": title, "message": message, "home_url": _home(request)},
        request=request,
    )
    response.status_int = status
    return response
