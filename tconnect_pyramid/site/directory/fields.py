"""*Custom profile fields*: what the site asks people besides the usual."""

from __future__ import annotations

from collections.abc import Mapping

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from wtforms import SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired

from tconnect_pyramid.directory.profiles import (
    DATATYPES,
    FieldView,
    add_field,
    count_values,
    delete_field,
    list_fields,
)
from tconnect_pyramid.errors import TConnectError
from tconnect_pyramid.site.directory.frame import show
from tconnect_pyramid.texts import Text, plural
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.admin.pages import actor, ask, id_of, path, present
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.forms import PageForm, trimmed
from tconnect_pyramid.views.notices import go

TYPES: Mapping[str, Text] = {
    "checkbox": _("Yes or no"),
    "date": _("A day"),
    "datetime": _("A day and time"),
    "menu": _("One of a list"),
    "text": _("A line of text"),
    "textarea": _("A longer text"),
}


def includeme(config: Configurator) -> None:
    """Add the pages."""
    add_page(config, "fields", "/fields", index)
    add_page(config, "fields.add", "/fields/add", add)
    add_page(config, "fields.delete", "/fields/{id}/delete", delete, recent=True)


class FieldForm(PageForm):
    """A new field."""

    shortname = StringField(
        _("Short name"),
        [DataRequired(_("Enter a short name."))],
        filters=[trimmed],
        description=_(
            "By which other sites know it: on a client a field of the same short name and kind is filled."
        ),
    )
    name = StringField(
        _("Name"), filters=[trimmed], description=_("Shown to people. Without one it is the short name.")
    )
    datatype = SelectField(
        _("Kind"), choices=[SelectChoice(name, TYPES.get(name, name)) for name in DATATYPES]
    )
    choices = TextAreaField(
        _("Choices"),
        filters=[trimmed],
        description=_("For one of a list: what can be chosen, one on each line."),
        render_kw={"rows": "5"},
    )


def index(request: Request) -> Response:
    """The fields in their order."""
    with request.tconnect.reading() as session:
        fields = list_fields(session)
    return show(
        request,
        "fields",
        "fields",
        {"title": _("Custom profile fields"), "fields": fields, "types": TYPES},
    )


def add(request: Request) -> Response:
    """Make one, the last."""
    context = request.tconnect
    form = FieldForm.of(request)
    refused: str | None = None
    if form.is_sent(request):
        try:
            with context.unit() as session:
                made = add_field(
                    session,
                    context,
                    form.shortname.data,
                    name=form.name.data,
                    datatype=form.datatype.data,
                    choices=[line.strip() for line in form.choices.data.split("\n") if line.strip()],
                    actor=actor(request),
                )
        except TConnectError as error:
            refused = form.refuse(request, error)
        else:
            said = _("Profiles have the field ${name} now.", name=made.name)
            return go(request, path(request, "fields"), said)
    return show(
        request,
        "form",
        "fields",
        {
            "title": _("Add a field"),
            "form": form,
            "refused": refused,
            "back": path(request, "fields"),
            "kept_elsewhere": False,
        },
    )


def delete(request: Request) -> Response:
    """Ask, and remove one with what everybody has in it."""
    context = request.tconnect
    with context.reading() as session:
        found: FieldView = present([each for each in list_fields(session) if each.id == id_of(request)])
        number = count_values(session, found.id)
    refused: str | None = None
    if request.method == "POST":
        try:
            with context.unit() as session:
                delete_field(session, context, found.id, actor=actor(request))
        except TConnectError as error:
            refused = request.tconnect_words.said(error.text)
        else:
            return go(request, path(request, "fields"), _("${name} is deleted.", name=found.name))
    return ask(
        request,
        "fields",
        title=_("Delete ${name}?", name=found.name),
        consequences=[
            plural(
                "${number} person has something in it, which is lost.",
                "${number} people have something in it, which is lost.",
                number,
            ),
            _("On the clients it is emptied with the next synchronisation."),
        ],
        button=_("Delete"),
        cancel=path(request, "fields"),
        refused=refused,
    )
