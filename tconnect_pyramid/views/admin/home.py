"""*Site administration*: where everything is found, and *Advanced features*."""

from __future__ import annotations

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response
from wtforms import BooleanField

from tconnect_pyramid.server import clients
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.admin.pages import actor, is_https, options_of, path, show
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.forms import Attempt, PageForm
from tconnect_pyramid.views.notices import go


def includeme(config: Configurator) -> None:
    """Add the pages."""
    add_page(config, "home", "/", home)
    add_page(config, "bare", "", bare)
    add_page(config, "features", "/features", features)


class FeaturesForm(PageForm):
    """What a site can be besides itself."""

    server_enabled = BooleanField(
        _("Enable Totara Connect server"),
        description=_(
            "Other sites may sign people in through this one and keep accounts, audiences and courses in step with "
            "it. A new section appears under Users › Accounts › Totara Connect server. By itself it does nothing "
            "until a client is added there."
        ),
    )


def bare(request: Request) -> Response:
    """Somebody has typed the address without the slash at its end."""
    return HTTPSeeOther(path(request, "home"))


def home(request: Request) -> Response:
    """Every section with its pages."""
    return show(request, "home", "home", {"title": _("Site administration")})


def features(request: Request) -> Response:
    """Switch the server role on and off."""
    context = request.tconnect
    stored = options_of(request)
    form = FeaturesForm.of(request, {"server_enabled": stored.server_enabled})
    attempt = Attempt(request, form)
    if form.is_sent(request):
        on = form.server_enabled.data
        with attempt:
            if on != stored.server_enabled:
                with context.unit() as session:
                    clients.enable(session, context, on, actor=actor(request))
            return go(request, path(request, "features"), _("The features are saved."))
    return show(
        request,
        "features",
        "features",
        {
            "title": _("Advanced features"),
            "form": form,
            "refused": attempt.refused,
            "is_https": is_https(request),
            "fixed": "server.enabled" in context.settings.fixed,
        },
    )
