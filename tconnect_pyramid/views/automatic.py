"""Automatic single sign-on: the login page, ours or a host's, goes straight to the chosen server (protocol 7).

It is a view deriver: only that knows that the login view itself is about to answer, whatever its path and
its predicates are. A tween would have to guess it from the path, or run the view in vain; a subscriber can
only raise, and a host's exception views may catch what it raises.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response
from pyramid.viewderivers import INGRESS

from tconnect_pyramid.protocol import paths
from tconnect_pyramid.security.automatic import sent, server_to_go_to
from tconnect_pyramid.security.signins import current_sign_in
from tconnect_pyramid.views.deriver import View
from tconnect_pyramid.views.own_paths import own_path
from tconnect_pyramid.wiring import login_route

SHOW_THE_PAGE = "nosso"
"""With this parameter, and any value but 0, the login page is shown all the same."""


def includeme(config: Configurator) -> None:
    """Register the deriver outside of everything, so that no cache or permission of the view comes before."""
    config.add_view_deriver(sent_on, "tconnect_automatic", under=INGRESS, over="secured_view")


def sent_on(view: View, info: Any) -> View:
    """The view derived: as it is, unless it is the login page's and a browser can be sent on from there."""
    route = info.options.get("route_name")
    if route is None or info.exception_only:
        return view

    def answer(context: Any, request: Request) -> Response:
        if route == login_route(request) and request.method in {"GET", "HEAD"}:
            response = _sent_on(request)
            if response is not None:
                return response
        return view(context, request)

    return answer


def _sent_on(request: Request) -> Response | None:
    try:
        if request.GET.get(SHOW_THE_PAGE, "0") not in {"", "0"}:
            return None
        wanted = own_path(request.tconnect.settings.site_url, request.GET.get("next", "")) or ""
    except UnicodeDecodeError:
        # The login page says by itself what it makes of such an address.
        return None
    if current_sign_in(request) is not None or request.authenticated_userid is not None:
        return None
    for_a_client = urlsplit(wanted).path == f"{request.script_name}{paths.SSO_REQUEST}"
    server_id = server_to_go_to(request, for_a_client=for_a_client)
    if server_id is None:
        return None
    query = urlencode({"serverid": server_id, **({"next": wanted} if wanted else {})})
    response = HTTPSeeOther(f"{request.script_name}{paths.SSO_START}?{query}", headers=sent(request))
    response.headers["Cache-Control"] = "no-store"
    return response
