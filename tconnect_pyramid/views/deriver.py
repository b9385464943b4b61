"""What holds for every view of the add-on, declared on the view and enforced here.

A guest sets no defaults for its host's views; and a view of ours that forgot to say what it is
stops the site from starting.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadRequest, HTTPMethodNotAllowed
from pyramid.request import Request
from pyramid.response import Response

from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.protocol import jsend

log = logging.getLogger(__name__)

OUR_ROUTES = "tconnect."

View = Callable[[Any, Request], Response]


def includeme(config: Configurator) -> None:
    """Register the deriver outermost, so that nothing of a host can answer a peer in our stead."""
    guarded.options = ("tconnect_view",)  # type: ignore[attr-defined]
    config.add_view_deriver(guarded, "tconnect_view")


def guarded(view: View, info: Any) -> View:
    """The view derived according to its declaration `tconnect_view`; other people's views as they are."""
    kind = info.options.get("tconnect_view")
    if kind == "service":
        return _service(view)
    if kind == "page":
        return _page(view)
    route = info.options.get("route_name") or ""
    if route.startswith(OUR_ROUTES):
        raise ConfigurationProblem(
            [f"The view of the route {route} does not declare tconnect_view='service' or 'page'."]
        )
    return view


def _service(view: View) -> View:
    def answer(context: Any, request: Request) -> Response:
        try:
            return view(context, request)
        except Exception:
            # A Totara peer discards every status but 200 unread (protocol 1).
            log.exception("a service view failed")
            return service_response(jsend.write(jsend.Error("internal error")))

    return answer


def _page(view: View) -> View:
    def show(context: Any, request: Request) -> Response:
        if request.method not in {"GET", "HEAD"}:
            raise HTTPMethodNotAllowed("This address is for following links only.")
        try:
            len(request.GET)
        except UnicodeDecodeError:
            raise HTTPBadRequest("The parameters of this address are no text.") from None
        response = view(context, request)
        # Addresses here carry tokens: they must not be stored, nor named to other sites.
        response.headers["Cache-Control"] = "no-store"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "DENY"
        return response

    return show


def service_response(body: bytes) -> Response:
    """The reply to a service call."""
    response = Response(body=body)
    response.headers["Content-Type"] = jsend.CONTENT_TYPE
    response.headers["Cache-Control"] = "no-store"
    return response
