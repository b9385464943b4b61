"""Custom fields of people and of positions or organisations: how a value is shown, and what a form asks for (protocol 6)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

from wtforms import SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice

from tconnect_pyramid.directory.profiles import FieldView
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.prose import to_html, to_text
from tconnect_pyramid.views.words import Words

YES_OR_NO = {"1": _("Yes"), "0": _("No")}
NOT_SAID = SelectChoice("", _("Not said"))


class CustomField(Protocol):
    """What is known of a field."""

    @property
    def name(self) -> str:
        """As people read it."""

    @property
    def datatype(self) -> str:
        """One of `directory.profiles.DATATYPES`, or `url`."""

    @property
    def choices(self) -> tuple[str, ...]:
        """Those of a menu."""


def form_name(field: FieldView) -> str:
    """The name of a custom field in a form: short names are anything, and could be those of other fields."""
    return f"profile_field_{field.id}"


def form_field(field: CustomField, filters: Any) -> Any:
    """What a form asks for. An empty answer removes the value."""
    attributes = {"autocomplete": "off"}
    match field.datatype:
        case "checkbox":
            choices = [NOT_SAID, *(SelectChoice(value, label) for value, label in YES_OR_NO.items())]
            return SelectField(field.name, choices=choices, render_kw=attributes)
        case "menu":
            choices = [NOT_SAID, *(SelectChoice(choice) for choice in field.choices)]
            return SelectField(field.name, choices=choices, render_kw=attributes)
        case "date":
            return StringField(field.name, filters=filters, render_kw={**attributes, "type": "date"})
        case "datetime":
            return StringField(
                _("${field} (UTC)", field=field.name),
                filters=filters,
                render_kw={**attributes, "type": "datetime-local"},
            )
        case "url":
            return StringField(field.name, filters=filters, render_kw={**attributes, "type": "url"})
        case "textarea":
            return TextAreaField(field.name, filters=filters, render_kw={**attributes, "rows": "4"})
        case _:
            return StringField(field.name, filters=filters, render_kw=attributes)


def typed(field: CustomField, data: str) -> str:
    """A stored value as somebody would type it into the form."""
    match field.datatype:
        case "date":
            return _moment(data, "%Y-%m-%d")
        case "datetime":
            return _moment(data, "%Y-%m-%dT%H:%M")
        case "textarea":
            return to_text(data)
        case _:
            return data


def stored(field: CustomField, text: str) -> str:
    """What was typed, as `people.set_profile_value` takes it."""
    return to_html(text) if field.datatype == "textarea" else text


def shown(field: CustomField, data: str, words: Words) -> str:
    """A stored value in words."""
    match field.datatype:
        case "checkbox":
            return YES_OR_NO.get(data, data)
        case "datetime" if _moment(data, "%Y") != data:
            return words.moment(int(data))
        case "date" if _moment(data, "%Y") != data:
            return words.day(int(data))
        case _:
            return typed(field, data)


def _moment(data: str, form: str) -> str:
    # A peer may have sent what is no date, or one that no calendar has.
    try:
        return datetime.fromtimestamp(int(data), UTC).strftime(form)
    except (ValueError, OverflowError, OSError):
        return data
