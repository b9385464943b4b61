"""*Totara Connect server › Settings*."""

from __future__ import annotations

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from wtforms import BooleanField, Field, Form, IntegerField
from wtforms.validators import InputRequired, ValidationError

from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.admin.pages import actor, is_https, options_of, path, show
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.forms import Attempt, PageForm
from tconnect_pyramid.views.notices import go

OPTIONS = {"sync_passwords": "server.sync_passwords", "session_timeout": "session.timeout"}
"""The options of the form, by the name of their field."""


def includeme(config: Configurator) -> None:
    """Add the page."""
    add_page(config, "server.settings", "/server/settings", settings, recent=True)


def _is_possible(form: Form, field: Field) -> None:
    # Not NumberRange, which fails with numbers that no float can hold.
    del form
    if field.data is None or not 60 <= field.data <= 31_536_000:  # noqa: PLR2004 - as the sentence says
        raise ValidationError(_("Enter a number of seconds from 60 to 31536000, which is a year."))


class SettingsForm(PageForm):
    """What holds for all clients of this server, and for every sign-in."""

    sync_passwords = BooleanField(
        _("Sync user passwords"),
        description=_(
            "If you want to send user password hashes from your server site to client sites, enable this option."
        ),
    )
    session_timeout = IntegerField(
        _("A sign-in ends after this time without any request (seconds)"),
        [
            InputRequired(_("Enter a number of seconds.")),
            _is_possible,
        ],
        description=_(
            "Before a sign-in ends here by time, the clients are asked whether somebody is active there. 7200 "
            "seconds are two hours."
        ),
        render_kw={"inputmode": "numeric", "min": "60", "max": "31536000"},
    )


def settings(request: Request) -> Response:
    """Show and store the settings."""
    context = request.tconnect
    stored = options_of(request)
    form = SettingsForm.of(
        request,
        {"sync_passwords": stored.server_sync_passwords, "session_timeout": stored.session_timeout},
    )
    attempt = Attempt(request, form)
    if form.is_sent(request):
        with attempt:
            with context.unit() as session:
                values = {OPTIONS[field.name]: field.data for field in form}
                context.change_options(session, values, actor=actor(request))
            return go(request, path(request, "server.settings"), _("The settings are saved."))
    return show(
        request,
        "server_settings",
        "server.settings",
        {
            "title": _("Totara Connect server settings"),
            "form": form,
            "refused": attempt.refused,
            "is_https": is_https(request),
            "fixed": {field for field, name in OPTIONS.items() if name in context.settings.fixed},
        },
    )
