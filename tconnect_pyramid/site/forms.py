"""The forms of the site that the add-on has not: logging in, and choosing whom to act as."""

from __future__ import annotations

from wtforms import Form, HiddenField, PasswordField, StringField
from wtforms.validators import DataRequired


def _trimmed(text: str | None) -> str:
    return (text or "").strip()


class LoginForm(Form):
    """Name, password, and where to go afterwards."""

    username = StringField(
        "Username",
        [DataRequired("Enter your username.")],
        filters=[_trimmed],
        render_kw={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"},
    )
    password = PasswordField(
        "Password", [DataRequired("Enter your password.")], render_kw={"autocomplete": "current-password"}
    )
    next = HiddenField()


class ActAsForm(Form):
    """Whom an administrator wants to act as."""

    who = StringField(
        "Person",
        [DataRequired("Enter a username, an id or an email address.")],
        filters=[_trimmed],
        description="A username, an id or an email address.",
        render_kw={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"},
    )
