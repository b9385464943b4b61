"""Forms of the add-on come from its own pages in the same sign-in, whatever a host does about its own forms."""

from __future__ import annotations

from pyramid.exceptions import BadCSRFToken
from pyramid.request import Request

from tconnect_pyramid.security.signins import current_sign_in
from tconnect_pyramid.sessions import SignedIn

FIELD = "csrf_token"
PURPOSE = "form"


def form_token(request: Request, signed_in: SignedIn) -> str:
    """What the hidden field `FIELD` of a form must hold.

    It is a signature over the sign-in: no cookie to be planted, nothing to be kept, and worth nothing
    after that sign-in.
    """
    token: str = request.tconnect.box.sign(str(signed_in.signin_id), PURPOSE)
    return token


def form_token_of(request: Request) -> str:
    """The token of this request's own sign-in, empty without one (`request.tconnect_form_token`)."""
    current = current_sign_in(request)
    return "" if current is None else form_token(request, current)


def posting_sign_in(request: Request) -> SignedIn:
    """The sign-in that a form is posted in; to be asked before the form is read, which may be long.

    Raises BadCSRFToken without one, and where a host by now knows this browser as somebody else: the token
    is that of the former person, who may have kept it.
    """
    current = current_sign_in(request)
    userid = request.authenticated_userid
    if current is None or (userid is not None and int(userid) != current.account.key):
        raise _forged()
    return current


def check_form_token(request: Request, current: SignedIn) -> None:
    """Raise BadCSRFToken unless the posted form is a page of ours in this sign-in."""
    sent = request.POST.get(FIELD, "")
    signed = request.tconnect.box.verify(sent, PURPOSE) if isinstance(sent, str) else None
    if signed != str(current.signin_id):
        raise _forged()


def _forged() -> BadCSRFToken:
    return BadCSRFToken("This form was opened too long ago, or elsewhere: reload the page and send it again.")
