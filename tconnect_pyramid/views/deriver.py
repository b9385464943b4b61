"""What holds for every view of the add-on, declared on the view and enforced here.

A guest sets no defaults for its host's views; and a view of ours that forgot to say what it is
stops the site from starting.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator
from pyramid.exceptions import BadCSRFToken
from pyramid.httpexceptions import (
    HTTPBadRequest,
    HTTPForbidden,
    HTTPLengthRequired,
    HTTPMethodNotAllowed,
    HTTPRequestEntityTooLarge,
    HTTPSeeOther,
)
from pyramid.request import Request
from pyramid.response import Response
from webob.compat import parse_header

from tconnect_pyramid.directory.pictures import MOST_UPLOADED
from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.failures import log_bug
from tconnect_pyramid.protocol import jsend
from tconnect_pyramid.security.form_tokens import check_form_token, posting_sign_in
from tconnect_pyramid.security.signins import ensure_signed_in, is_acting
from tconnect_pyramid.views import plain

log = logging.getLogger(__name__)

OUR_ROUTES = "tconnect."

PROOF_SECONDS = 900
"""How long after somebody has proved who they are they may do what cannot be undone."""
LARGEST_FORM = MOST_UPLOADED + 1_000_000
"""Bytes."""
MOST_FIELDS = 5000
"""In one form. Reading them takes time by the square of how many there are: 1 MB of nothing but fields, 9 seconds."""
LONGEST_HEAD = 4096
"""Bytes before each field of a form with files: its name, the file's and its type."""
_BLANK_LINE = re.compile(rb"\n\r?\n")
FILES = frozenset({"picture"})
"""The fields of our forms that hold a file."""

View = Callable[[Any, Request], Response]


def includeme(config: Configurator) -> None:
    """Register the deriver outermost, so that nothing of a host can answer a peer in our stead."""
    guarded.options = ("tconnect_view", "tconnect_recent")  # type: ignore[attr-defined]
    config.add_view_deriver(guarded, "tconnect_view")


def guarded(view: View, info: Any) -> View:
    """The view derived according to its declaration `tconnect_view`; other people's views as they are."""
    kind = info.options.get("tconnect_view")
    if kind == "service":
        return _service(view)
    if kind == "page":
        return _page(view, methods=frozenset({"GET", "HEAD"}))
    if kind == "form":
        return _page(_form(view), methods=frozenset({"GET", "HEAD", "POST"}))
    if kind == "admin":
        needs_proof = bool(info.options.get("tconnect_recent"))
        return _page(_admin(_form(view), needs_proof=needs_proof), methods=frozenset({"GET", "HEAD", "POST"}))
    route = info.options.get("route_name") or ""
    if route.startswith(OUR_ROUTES):
        raise ConfigurationProblem(
            [
                f"The view of the route {route} does not declare tconnect_view='service', 'page', 'form' or 'admin'."
            ]
        )
    return view


def _service(view: View) -> View:
    def answer(context: Any, request: Request) -> Response:
        try:
            return view(context, request)
        except Exception as error:  # noqa: BLE001 - a Totara peer discards every status but 200 unread (protocol 1)
            log_bug(log, "A service view failed", error)
            return service_response(jsend.write(jsend.Error("internal error")))

    return answer


def _form(view: View) -> View:
    def take(context: Any, request: Request) -> Response:
        if request.method == "POST":
            current = posting_sign_in(request)
            _check_readable(request)
            check_form_token(request, current)
        return view(context, request)

    return take


def _admin(view: View, *, needs_proof: bool) -> View:
    def show(context: Any, request: Request) -> Response:
        signed_in = ensure_signed_in(request)
        if signed_in is None:
            if request.method == "POST":
                # Nothing can be done with it; what was typed is still there behind the browser's back button.
                raise BadCSRFToken
            return HTTPSeeOther(plain.login(request))
        who, headers = signed_in
        # Also with a refusal: a browser without the cookie would be given another sign-in each time.
        request.add_response_callback(lambda request, response: response.headers.extend(headers))  # noqa: ARG005
        if not who.account.admin or is_acting(request, who):
            raise HTTPForbidden
        if needs_proof and request.tconnect.clock() - who.proved > PROOF_SECONDS:
            return HTTPSeeOther(plain.prove(request))
        request.tconnect_admin = who
        return view(context, request)

    return show


def check_size(request: Request, largest: int) -> None:
    """Raise a client error for a form that must not be read: longer than `largest` bytes, or of too many fields.

    What reading it puts on the disk is closed after the request.
    """
    if request.method in {"GET", "HEAD"}:
        # Nobody reads their body, and waitress says of every request that there may be one.
        return
    received = request.body_file_raw
    request.add_finished_callback(lambda request: _close_files(request, received))
    if request.content_length is None and request.is_body_readable:
        raise HTTPLengthRequired
    if (request.content_length or 0) > largest:
        raise HTTPRequestEntityTooLarge
    if request.content_type != "multipart/form-data":
        parts = request.body.split(b"&", MOST_FIELDS + 1)
    else:
        _, parameters = parse_header(request.headers["Content-Type"])
        # No browser writes anything before the first part.
        _, *parts = request.body.split(f"--{parameters.get('boundary')}".encode("latin-1"), MOST_FIELDS + 1)
        for part in parts:
            end = _BLANK_LINE.search(part, 0, LONGEST_HEAD)
            is_head = end is not None and b"multipart" not in part[: end.start()].lower()
            if not is_head and not part.startswith(b"--"):
                raise HTTPBadRequest("This form is written as no browser does.")
    if len(parts) > MOST_FIELDS:
        raise HTTPRequestEntityTooLarge


def _check_readable(request: Request) -> None:
    try:
        check_size(request, LARGEST_FORM)
        sent = list(request.POST.items())
    except ValueError:
        raise HTTPBadRequest("This form is no text.") from None
    # A field for a file holds b"" when none was chosen.
    if not all(isinstance(value, str) or (name in FILES) for name, value in sent):
        raise HTTPBadRequest("A file stands in the place of a text.")


def _close_files(request: Request, received: Any) -> None:
    """Close what reading the form has put on the disk: files that were sent, and a copy of the whole body."""
    parsed, _ = request.environ.get("webob._parsed_post_vars", ({}, None))
    body = request.body_file_raw
    for value in parsed.values():
        file = getattr(value, "file", None)
        if file is not None:
            file.close()
    if body is not received:
        body.close()


def _page(view: View, methods: frozenset[str]) -> View:
    def show(context: Any, request: Request) -> Response:
        if request.method not in methods:
            raise HTTPMethodNotAllowed(f"This address answers {' and '.join(sorted(methods))} only.")
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
