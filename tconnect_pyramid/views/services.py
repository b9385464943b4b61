"""The service end points: a form in, a JSend body out."""

from __future__ import annotations

import os
from typing import BinaryIO

from pyramid.request import Request
from pyramid.response import FileIter, Response

from tconnect_pyramid.client import connecting
from tconnect_pyramid.client import services as client_services
from tconnect_pyramid.protocol import forms, jsend
from tconnect_pyramid.server import services as server_services
from tconnect_pyramid.views.deriver import service_response


def server_sep(request: Request) -> Response:
    """A client calls a service of this server."""
    reply = server_services.answer(request.tconnect, _form(request))
    return service_response(reply) if isinstance(reply, bytes) else _file_response(reply)


def client_sep(request: Request) -> Response:
    """A server calls a service of this client."""
    return service_response(client_services.answer(request.tconnect, _form(request)))


def client_setup(request: Request) -> Response:
    """A server registers itself here."""
    return service_response(connecting.answer_setup(request.tconnect, _form(request)))


def _form(request: Request) -> dict[str, str]:
    # Parameters of the address are never read, so that secrets stay out of logs (protocol 1). One byte
    # more than is allowed tells a body that is too long; it counts as an empty form.
    if request.method != "POST":
        return {}
    body = request.body_file.read(forms.MAX_FORM_BYTES + 1)
    return forms.read_form(body)


def _file_response(file: BinaryIO) -> Response:
    # The list was produced and the database let go before this: a reader of one byte a second holds
    # nothing but the file.
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    response = Response(app_iter=FileIter(file), content_length=size)
    response.headers["Content-Type"] = jsend.CONTENT_TYPE
    response.headers["Cache-Control"] = "no-store"
    return response
