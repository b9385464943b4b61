"""Pages for what is not there, not allowed, or broken."""

from __future__ import annotations

import logging

from pyramid.httpexceptions import HTTPBadRequest, HTTPClientError, HTTPException, HTTPSeeOther
from pyramid.request import Request

from tconnect_pyramid.texts import text as _

log = logging.getLogger(__name__)

Message = dict[str, str]

BACK = _("Go back, and try again from there.")
EXPLAINED = {
    400: (_("This request cannot be read"), BACK),
    413: (_("This is too much"), _("Go back, and send less at once.")),
}


def not_found(request: Request) -> Message:
    """Nothing lies at this address."""
    request.response.status_code = 404
    return {"title": _("Page not found"), "message": _("There is no page at this address.")}


def forbidden(request: Request) -> Message | HTTPException:
    """Whoever is not logged in may do so first; for everybody else the page is closed."""
    if request.identity is None:
        return HTTPSeeOther(request.route_path("login", _query={"next": request.path_qs}))
    request.response.status_code = 403
    return {"title": _("Not allowed"), "message": _("Your account may not see this page.")}


def forged(request: Request) -> Message:
    """The form was not one of this site's pages in this browser, or that page was open for too long."""
    request.response.status_code = 400
    return {
        "title": _("This form has expired"),
        "message": _(
            "It was opened too long ago, or your browser keeps no cookies. Nothing was changed. Go back, reload the "
            "page, and send it again."
        ),
    }


def client_error(error: HTTPClientError, request: Request) -> Message:
    """Any other request that cannot be answered."""
    request.response.status_code = error.code
    title, message = EXPLAINED.get(error.code, (error.title, BACK))
    return {"title": title, "message": message}


def unreadable(request: Request) -> Message:
    """The address itself is no text."""
    return client_error(HTTPBadRequest(), request)


def broken(error: Exception, request: Request) -> Message:
    """Something of ours went wrong: the log tells what, the page does not."""
    # Without the query, which may hold the tokens of a sign-in; undecoded, for that may be what failed.
    log.error("%s %s failed", request.method, request.environ["PATH_INFO"], exc_info=error)
    request.response.status_code = 500
    return {
        "title": _("Something went wrong"),
        "message": _(
            "This is a mistake of the site, not of yours. Try again in a little while; if it happens again, tell the "
            "people who run this site."
        ),
    }
