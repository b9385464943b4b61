"""Where browsers are sent on their way between a client and a server (protocol 7)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response

from tconnect_pyramid.client import signin as client_signin
from tconnect_pyramid.client.signin import Arrived, Failed, GoHome
from tconnect_pyramid.protocol import paths
from tconnect_pyramid.protocol.values import canonical_int
from tconnect_pyramid.security.automatic import AFTER_A_FAILURE_SECONDS, stay_here
from tconnect_pyramid.security.cookies import Headers, read_browser_id, set_browser_id
from tconnect_pyramid.security.form_tokens import form_token
from tconnect_pyramid.security.signins import (
    current_sign_in,
    ensure_signed_in,
    is_acting,
    remember_browser,
)
from tconnect_pyramid.security.signins import stop_acting as become_oneself
from tconnect_pyramid.server import signin as server_signin
from tconnect_pyramid.server.signin import RequestingClient
from tconnect_pyramid.sessions import SignedIn, new_browser_id
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views import plain
from tconnect_pyramid.views.automatic import SHOW_THE_PAGE
from tconnect_pyramid.views.own_paths import own_path
from tconnect_pyramid.views.policy import forms_lead_to
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
        return plain.message(
            request,
            404,
            _("Unknown site"),
            _("The site that sent you here is not connected to this one."),
        )
    signed_in = ensure_signed_in(request)
    if signed_in is None:
        return HTTPSeeOther(plain.login(request))
    who, headers = signed_in
    requesttoken = request.GET.get("requesttoken", "")
    if is_acting(request, who):
        return _log_out_or_cancel(request, who, headers, client, requesttoken)
    url = server_signin.grant(context, who, client, requesttoken)
    return HTTPSeeOther(url, headers=headers)


def stop_acting(request: Request) -> Response:
    """Somebody who acts as another person becomes themselves again."""
    headers = become_oneself(request)
    wanted = own_path(request.tconnect.settings.site_url, request.POST.get("next", ""))
    return HTTPSeeOther(wanted or plain.home(request), headers=headers)


def sso_start(request: Request) -> Response:
    """Client: a browser sets out for a server (protocol 7.1)."""
    if current_sign_in(request) is not None or request.authenticated_userid is not None:
        return HTTPSeeOther(plain.home(request))
    browser_id = read_browser_id(request)
    headers = []
    if browser_id is None or request.tconnect_sign_in is not None:
        # A browser without an id of ours, or with that of a sign-in that has ended.
        browser_id = new_browser_id()
        headers = set_browser_id(request, browser_id)
    server_id = canonical_int(request.GET.get("serverid", ""))
    wanted = own_path(request.tconnect.settings.site_url, request.GET.get("next", "")) or ""
    url = client_signin.start(request.tconnect, server_id, browser_id, wanted)
    return HTTPSeeOther(plain.home(request)) if url is None else HTTPSeeOther(url, headers=headers)


def sso_finish(request: Request) -> Response:
    """Client: a browser comes back from a server (protocol 7.4)."""
    signed_in = current_sign_in(request) is not None or request.authenticated_userid is not None
    outcome = client_signin.finish(
        request.tconnect, request.GET, read_browser_id(request), signed_in=signed_in
    )
    match outcome:
        case Arrived(browser_id, account_key, wanted):
            headers = remember_browser(request, browser_id, account_key)
            if _goes_on_to_a_client(request, wanted):
                return _onward(request, wanted, headers)
            return HTTPSeeOther(wanted or plain.home(request), headers=headers)
        case Failed(message, server_id, wanted, cancelled):
            query = urlencode({"serverid": server_id, **({"next": wanted} if wanted else {})})
            response = plain.page(
                request,
                "sso_failed",
                {
                    "title": _("Log in cancelled") if cancelled else _("Single sign-on failed"),
                    "message": message,
                    # A link, not a redirect: trying again takes a click, so it cannot loop.
                    "retry_url": f"{request.script_name}{paths.SSO_START}?{query}",
                    "login_url": _login_page(request, wanted),
                    "home_url": plain.home(request),
                },
                200 if cancelled else 403,
            )
            response.headers.extend(stay_here(request, AFTER_A_FAILURE_SECONDS))
            return response
        case GoHome(already_signed_in):
            home = plain.home(request)
            return HTTPSeeOther(f"{home}?notice=already-signed-in" if already_signed_in else home)


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
    cancel_url = server_signin.cancel_url(client, query.get("requesttoken", ""))
    forms_lead_to(request, cancel_url)
    return WaitingClient(client.name, cancel_url)


def _log_out_or_cancel(
    request: Request, who: SignedIn, headers: Headers, client: RequestingClient, requesttoken: str
) -> Response:
    cancel_url = server_signin.cancel_url(client, requesttoken)
    forms_lead_to(request, cancel_url)
    response = plain.page(
        request,
        "acting",
        {
            "title": _("You are acting as somebody else"),
            "fullname": who.account.fullname,
            "client_name": client.name,
            "cancel_url": cancel_url,
            "wanted": request.path_qs,
            "form_token": form_token(request, who),
        },
    )
    response.headers.extend(headers)
    return response


def _login_page(request: Request, wanted: str) -> str | None:
    """The login page as it is shown to somebody who does not want to be sent on."""
    route = login_route(request)
    if route is None:
        return None
    return (
        f"{request.route_path(route)}?{urlencode({SHOW_THE_PAGE: 1, **({'next': wanted} if wanted else {})})}"
    )


def _goes_on_to_a_client(request: Request, wanted: str) -> bool:
    return urlsplit(wanted).path == f"{request.script_name}{paths.SSO_REQUEST}"


def _onward(request: Request, wanted: str, headers: Headers) -> Response:
    """The way on to a client of ours, for somebody who has come from a server of ours.

    Chromium checks every redirect after a form against the policy of the page that it was on, here the login page
    of the server, which does not know our clients. A page of our own begins anew. Programs, which know of no
    such policy and send no such header, are redirected.
    """
    if request.headers.get("Sec-Fetch-Mode") != "navigate":
        return HTTPSeeOther(wanted, headers=headers)
    response = plain.page(request, "onward", {"title": _("You are being signed in"), "onward_url": wanted})
    response.headers["Refresh"] = f"0; url={wanted}"
    response.headers.extend(headers)
    return response
