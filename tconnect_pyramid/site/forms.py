"""The forms of the site: which fields, how they are labelled, and what can be said of them at once.

What an account may hold is decided in `people`; lengths come from there, so that all that is too long
is told together.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from wtforms import Field, Form, HiddenField, PasswordField, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, ValidationError

from tconnect_pyramid import people
from tconnect_pyramid.directory.countries import COUNTRIES

LONGEST_DESCRIPTION = 5_000
"""Characters."""

SITE_TIMEZONE = "99"
"""The value of an account that goes by the site's time zone (protocol 6)."""

CONTINENTS = frozenset(
    {
        "Africa",
        "America",
        "Antarctica",
        "Arctic",
        "Asia",
        "Atlantic",
        "Australia",
        "Europe",
        "Indian",
        "Pacific",
    }
)


def _at_most(limit: int) -> Any:
    def check(form: Form, field: Field) -> None:
        del form
        if len(field.data or "") > limit:
            raise ValidationError(f"At most {limit} characters are possible; this has {len(field.data)}.")

    return check


def _line(label: str, name: str, *, autocomplete: str, needed: str = "", kind: str = "text") -> StringField:
    length = _at_most(people.LENGTHS[name])
    attributes = {"autocomplete": autocomplete, "type": kind}
    validators = [DataRequired(needed), length] if needed else [length]
    return StringField(label, validators, filters=[_trimmed], render_kw=attributes)


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


class ProfileForm(Form):
    """What people say of themselves. Field names are those of the user record (protocol 6)."""

    firstname = _line("First name", "firstname", autocomplete="given-name", needed="Enter your first name.")
    lastname = _line("Last name", "lastname", autocomplete="family-name", needed="Enter your last name.")
    email = _line(
        "Email address", "email", autocomplete="email", needed="Enter your email address.", kind="email"
    )
    phone1 = _line("Phone", "phone1", autocomplete="tel", kind="tel")
    city = _line("City or town", "city", autocomplete="address-level2")
    country = SelectField("Country", render_kw={"autocomplete": "country"})
    institution = _line("Institution", "institution", autocomplete="organization")
    department = _line("Department", "department", autocomplete="off")
    timezone = SelectField("Time zone", render_kw={"autocomplete": "off"})
    description = TextAreaField(
        "About you",
        [_at_most(LONGEST_DESCRIPTION)],
        filters=[_trimmed],
        description="Plain text. Others may read it.",
        render_kw={"autocomplete": "off", "rows": "6"},
    )


def profile_form(stored: Mapping[str, str], sent: Any = None) -> ProfileForm:
    """The form filled with what is stored, or with what was `sent`.

    Its lists also offer what is stored but is in no list: the command or a peer may have set it.
    """
    form = ProfileForm(sent, data=stored)
    for name, choices in (("country", _countries()), ("timezone", _timezones())):
        if stored[name] not in {choice.value for choice in choices}:
            choices.append(SelectChoice(stored[name]))
        form[name].choices = choices
    return form


def shown(form: ProfileForm, name: str, value: str) -> str:
    """How a stored value is called on the page: a choice by its name in the list."""
    choices = getattr(form[name], "choices", ())
    return next((str(choice.label) for choice in choices if choice.value == value), value)


def _countries() -> list[SelectChoice]:
    return [SelectChoice("", "Not chosen"), *(SelectChoice(code, name) for code, name in COUNTRIES)]


@cache
def _zones() -> tuple[str, ...]:
    # Looked for once: it reads hundreds of files.
    return tuple(sorted(zone for zone in available_timezones() if zone.split("/")[0] in CONTINENTS))


def _timezones() -> list[SelectChoice]:
    return [
        SelectChoice(SITE_TIMEZONE, "As this site"),
        SelectChoice("UTC"),
        *(SelectChoice(zone, zone.replace("_", " "), optgroup=zone.split("/")[0]) for zone in _zones()),
    ]
