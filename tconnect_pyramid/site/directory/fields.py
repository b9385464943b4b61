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
    edit_field,
    list_fields,
    move_field,
)
from tconnect_pyramid.site.directory.frame import show
from tconnect_pyramid.texts import Text, plural
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.admin.pages import actor, ask, id_of, path, present, steps_asked
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.forms import Attempt, PageForm, trimmed
from tconnect_pyramid.views.notices import go

TYPES: Mapping[str, Text] = {
    "checkbox": _("Yes or no"),
    "date": _("A day"),
    "datetime": _("A day and time"),
    "menu": _("One of a list"),
    "text": _("A line of text"),
    "textarea": _("A longer text"),
}
MENU = "menu"


def includeme(config: Configurator) -> None:
    """Add the pages."""
    add_page(config, "fields", "/fields", index)
    add_page(config, "fields.add", "/fields/add", add)
    add_page(config, "fields.edit", "/fields/{id}", edit)
    add_page(config, "fields.move", "/fields/{id}/move", move)
    add_page(config, "fields.delete", "/fields/{id}/delete", delete, recent=True)


class FieldForm(PageForm):
    """What can be said of a field at any time; `choices` only of a menu."""

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
    choices = TextAreaField(
        _("Choices"),
        filters=[trimmed],
        description=_("For one of a list: what can be chosen, one on each line."),
        render_kw={"rows": "5"},
    )

    @property
    def offered(self) -> list[str]:
        """The choices, without the lines that are empty."""
        return [line.strip() for line in self.choices.data.split("\n") if line.strip()]


class NewFieldForm(FieldForm):
    """A new field, whose kind it keeps for life."""

    datatype = SelectField(
        _("Kind"),
        choices=[SelectChoice(name, TYPES.get(name, name)) for name in DATATYPES],
        description=_("It cannot be changed later: everybody's values are of this kind."),
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
    form = NewFieldForm.of(request)
    attempt = Attempt(request, form)
    if form.is_sent(request):
        with attempt:
            with context.unit() as session:
                made = add_field(
                    session,
                    context,
                    form.shortname.data,
                    name=form.name.data,
                    datatype=form.datatype.data,
                    choices=form.offered,
                    actor=actor(request),
                )
            said = _("Profiles have the field ${name} now.", name=made.name)
            return go(request, path(request, "fields"), said)
    return _form(request, _("Add a field"), form, attempt)


def edit(request: Request) -> Response:
    """Change one."""
    context = request.tconnect
    found = _found(request)
    form = FieldForm.of(
        request,
        {"shortname": found.shortname, "name": found.name, "choices": "\n".join(found.choices)},
    )
    form.shortname.description = _(
        "By which other sites know it. With another one it is another field on the clients: what they have of this one "
        "is emptied by the next synchronisation."
    )
    if found.datatype != MENU:
        del form.choices
    attempt = Attempt(request, form)
    if form.is_sent(request):
        with attempt:
            with context.unit() as session:
                edited = edit_field(
                    session,
                    context,
                    found.id,
                    shortname=form.shortname.data,
                    name=form.name.data,
                    choices=form.offered if found.datatype == MENU else None,
                    actor=actor(request),
                )
            return go(request, path(request, "fields"), _("${name} is saved.", name=edited.name))
    return _form(request, _("Edit ${name}", name=found.name), form, attempt)


def move(request: Request) -> Response:
    """Give a field the place before or behind its neighbour: the value of the button."""
    context = request.tconnect
    found = _found(request)
    back = path(request, "fields")
    steps = steps_asked(request)
    if steps is None:
        return go(request, back)
    attempt = Attempt(request)
    with attempt:
        with context.unit() as session:
            order = [each.id for each in list_fields(session)]
            move_field(session, context, found.id, order.index(found.id) + 1 + steps, actor=actor(request))
        return go(request, back, _("${name} has another place now.", name=found.name))
    return attempt.told_at(back)


def delete(request: Request) -> Response:
    """Ask, and remove one with what everybody has in it."""
    context = request.tconnect
    found = _found(request)
    with context.reading() as session:
        number = count_values(session, found.id)
    attempt = Attempt(request)
    if request.method == "POST":
        with attempt:
            with context.unit() as session:
                delete_field(session, context, found.id, actor=actor(request))
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
        refused=attempt.refused,
    )


def _found(request: Request) -> FieldView:
    id_ = id_of(request)
    with request.tconnect.reading() as session:
        return present([each for each in list_fields(session) if each.id == id_])


def _form(request: Request, title: Text, form: FieldForm, attempt: Attempt) -> Response:
    return show(
        request,
        "form",
        "fields",
        {
            "title": title,
            "form": form,
            "refused": attempt.refused,
            "back": path(request, "fields"),
            "kept_elsewhere": False,
        },
    )
