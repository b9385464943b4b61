"""The forms of the site that the add-on has not: logging in, and choosing whom to act as."""

from __future__ import annotations

from wtforms import HiddenField, PasswordField, StringField
from wtforms.validators import DataRequired

from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.forms import PageForm, trimmed


class LoginForm(PageForm):
    """Name, password, and where to go afterwards."""

    username = StringField(
        _("Username"),
        [DataRequired(_("Enter your username."))],
        filters=[trimmed],
        render_kw={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"},
    )
    password = PasswordField(
        _("Password"),
        [DataRequired(_("Enter your password."))],
        render_kw={"autocomplete": "current-password"},
    )
    next = HiddenField()


class ActAsForm(PageForm):
    """Whom an administrator wants to act as."""

    who = StringField(
        _("Person"),
        [DataRequired(_("Enter a username, an id or an email address."))],
        filters=[trimmed],
        description=_("A username, an id or an email address."),
        render_kw={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"},
    )
