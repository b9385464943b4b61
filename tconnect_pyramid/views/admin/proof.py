"""Asks administrators who they are, before they do what cannot be undone: their screen may have been left open."""

from __future__ import annotations

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response
from wtforms import PasswordField
from wtforms.validators import DataRequired

from tconnect_pyramid import people, sessions
from tconnect_pyramid.security.signins import sign_out
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views import plain
from tconnect_pyramid.views.admin.pages import path, show
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.forms import PageForm
from tconnect_pyramid.views.own_paths import own_path


def includeme(config: Configurator) -> None:
    """Add the page, and the button that leads to the login page."""
    add_page(config, "prove", "/prove", prove)
    add_page(config, "log_in_again", "/log-in-again", log_in_again)


class ProofForm(PageForm):
    """The password of whoever is logged in."""

    password = PasswordField(
        _("Your password"),
        [DataRequired(_("Enter your password."))],
        render_kw={"autocomplete": "current-password"},
    )


def prove(request: Request) -> Response:
    """Ask for the password; whoever has none here logs in again."""
    context = request.tconnect
    wanted = _wanted(request)
    who = request.tconnect_admin
    form = ProofForm.of(request)
    with context.reading() as session:
        has_password = people.has_password(session, context, who.account.key)
    if has_password and form.is_sent(request):
        with context.reading() as session:
            found = people.authenticate(session, context, who.account.username, form.password.data)
        if found is not None and found.key == who.account.key:
            with context.unit() as session:
                sessions.prove(session, who.signin_id, context.clock())
            return HTTPSeeOther(wanted)
        form.password.errors = [_("This is not your password.")]
    return show(
        request,
        "prove",
        "",
        {
            "title": _("Is it you?"),
            "form": form,
            "has_password": has_password,
            "wanted": wanted,
            "again": path(request, "log_in_again", {"next": wanted}),
        },
    )


def log_in_again(request: Request) -> Response:
    """Log out, and lead to the login page, from where one comes back."""
    wanted = _wanted(request)
    if request.method != "POST":
        return HTTPSeeOther(path(request, "prove", {"next": wanted}))
    headers = sign_out(request)
    return HTTPSeeOther(plain.login_to(request, wanted), headers=headers)


def _wanted(request: Request) -> str:
    found = own_path(request.tconnect.settings.site_url, request.GET.get("next", ""))
    return found or path(request, "home")
