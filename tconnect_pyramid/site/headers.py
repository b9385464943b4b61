"""What every request and response of the site goes through: readable forms, protecting headers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyramid.events import NewRequest, NewResponse
from pyramid.httpexceptions import HTTPBadRequest
from pyramid.request import Request
from pyramid.response import Response

from tconnect_pyramid.security.cookies import without_unreadable
from tconnect_pyramid.views.deriver import check_size
from tconnect_pyramid.views.policy import policy_for

LARGEST_FORM = 1_000_000
"""Bytes."""

View = Callable[[Any, Request], Response]


def readable_form(view: View, info: Any) -> View:
    """Refuse requests whose query or form cannot be read at all, before anybody trips over them.

    A view deriver. Views without protection against forged requests are called by programs and read
    their own forms.
    """
    if info.options.get("require_csrf") is False or info.exception_only:
        return view

    def checked(context: Any, request: Request) -> Response:
        try:
            check_size(request, LARGEST_FORM)
            values = [*request.GET.values(), *request.POST.values()]
        except ValueError:
            raise HTTPBadRequest from None
        # No form of ours sends files.
        if not all(isinstance(value, str) for value in values):
            raise HTTPBadRequest
        return view(context, request)

    return checked


def readable_cookies(event: NewRequest) -> None:
    """Leave out the cookies that are no text.

    Any site of the same domain can plant one, which would keep all the others from being read.
    """
    environ = event.request.environ
    try:
        len(event.request.cookies)
    except UnicodeDecodeError:
        environ["HTTP_COOKIE"] = without_unreadable(environ["HTTP_COOKIE"])


def protect(event: NewResponse) -> None:
    """Set the headers that tell a browser what not to do with our pages."""
    headers = event.response.headers
    headers.setdefault("Content-Security-Policy", policy_for(event.request))
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("X-Frame-Options", "DENY")
    if event.response.content_type == "text/html":
        # Pages say who is logged in: the back button must not show them after a logout.
        headers.setdefault("Cache-Control", "no-store")
