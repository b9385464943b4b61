"""*Positions* and *Organisations*: frameworks, the trees in them, and the types of what stands there.

One code for both, as in the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from wtforms import SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired

from tconnect_pyramid.directory import hierarchy_frameworks, hierarchy_items, hierarchy_types
from tconnect_pyramid.directory.hierarchies import HIERARCHIES, LONGEST, Hierarchy
from tconnect_pyramid.directory.hierarchy_frameworks import FrameworkView
from tconnect_pyramid.directory.hierarchy_items import ItemView
from tconnect_pyramid.directory.hierarchy_pages import below, jobs_held, page_of_items, sizes
from tconnect_pyramid.directory.hierarchy_types import DATATYPES, TypeView
from tconnect_pyramid.directory.surroundings import as_id
from tconnect_pyramid.site.directory.frame import show
from tconnect_pyramid.texts import Text, plural
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views import custom_fields
from tconnect_pyramid.views.admin.pages import (
    actor,
    ask,
    asked_of,
    id_of,
    listing,
    path,
    present,
    steps_asked,
)
from tconnect_pyramid.views.admin.picking import fill
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.forms import Attempt, PageForm, PickerField, at_most, trimmed, with_fields
from tconnect_pyramid.views.notices import go
from tconnect_pyramid.views.prose import to_html, to_text

TITLES: Mapping[str, Text] = {"position": _("Positions"), "organisation": _("Organisations")}
KINDS: Mapping[str, Text] = {
    "checkbox": _("Yes or no"),
    "datetime": _("A day and time"),
    "text": _("A line of text"),
    "textarea": _("A longer text"),
    "url": _("A web address"),
}


def includeme(config: Configurator) -> None:
    """Add the pages of both."""
    for hierarchy in HIERARCHIES.values():
        name = hierarchy.plural
        frameworks, items, types = f"/{name}/frameworks", f"/{name}/items", f"/{name}/types"
        for page, pattern, view, recent in (
            (name, f"/{name}", index, False),
            (f"{name}.add_framework", f"{frameworks}/add", add_framework, False),
            (f"{name}.framework", f"{frameworks}/{{id}}", framework, False),
            (f"{name}.edit_framework", f"{frameworks}/{{id}}/edit", edit_framework, False),
            (f"{name}.move_framework", f"{frameworks}/{{id}}/move", move_framework, False),
            (f"{name}.delete_framework", f"{frameworks}/{{id}}/delete", delete_framework, True),
            (f"{name}.add", f"{frameworks}/{{id}}/items/add", add_item, False),
            (f"{name}.edit", f"{items}/{{id}}", edit_item, False),
            (f"{name}.move", f"{items}/{{id}}/move", move_item, False),
            (f"{name}.delete", f"{items}/{{id}}/delete", delete_item, True),
            (f"{name}.types", f"{types}", types_page, False),
            (f"{name}.type", f"{types}/{{id}}", type_page, False),
            (f"{name}.delete_type", f"{types}/{{id}}/delete", delete_type, True),
            (f"{name}.delete_type_field", f"{types}/{{id}}/fields/{{field}}/delete", delete_type_field, True),
        ):
            add_page(config, page, pattern, partial(view, hierarchy), recent=recent)


class FrameworkForm(PageForm):
    """What an administrator says of a framework."""

    fullname = StringField(
        _("Full name"), [DataRequired(_("Enter a name.")), at_most(LONGEST["fullname"])], filters=[trimmed]
    )
    idnumber = StringField(
        _("ID number"),
        [at_most(LONGEST["idnumber"])],
        filters=[trimmed],
        description=_("The number by which other systems know it; nothing else may have the same."),
    )
    description = TextAreaField(_("Description"), filters=[trimmed], render_kw={"rows": "4"})


class ItemForm(PageForm):
    """What an administrator says of a position or organisation. More is asked where it is known."""

    fullname = StringField(
        _("Full name"), [DataRequired(_("Enter a name.")), at_most(LONGEST["fullname"])], filters=[trimmed]
    )
    shortname = StringField(_("Short name"), [at_most(LONGEST["shortname"])], filters=[trimmed])
    idnumber = StringField(
        _("ID number"),
        [at_most(LONGEST["idnumber"])],
        filters=[trimmed],
        description=_("The number by which other systems know it; nothing else may have the same."),
    )
    description = TextAreaField(_("Description"), filters=[trimmed], render_kw={"rows": "4"})


class TypeForm(PageForm):
    """A new type."""

    fullname = StringField(
        _("Full name"), [DataRequired(_("Enter a name.")), at_most(LONGEST["fullname"])], filters=[trimmed]
    )
    idnumber = StringField(
        _("ID number"),
        [DataRequired(_("Enter an ID number: clients know the type by it.")), at_most(LONGEST["idnumber"])],
        filters=[trimmed],
    )


class TypeFieldForm(PageForm):
    """A new custom field of a type."""

    shortname = StringField(_("Short name"), [DataRequired(_("Enter a short name."))], filters=[trimmed])
    name = StringField(_("Name"), filters=[trimmed])
    datatype = SelectField(_("Kind"), choices=[SelectChoice(name, KINDS[name]) for name in DATATYPES])


# --- frameworks ------------------------------------------------------------------------------------


def index(hierarchy: Hierarchy, request: Request) -> Response:
    """The frameworks in their order."""
    with request.tconnect.reading() as session:
        frameworks = hierarchy_frameworks.list_frameworks(session, hierarchy)
        number = sizes(session, hierarchy)
    return show(
        request,
        "frameworks",
        hierarchy.plural,
        {
            "title": TITLES[hierarchy.word],
            "frameworks": frameworks,
            "sizes": number,
            "name": hierarchy.plural,
        },
    )


def add_framework(hierarchy: Hierarchy, request: Request) -> Response:
    """Make one, the last."""
    context = request.tconnect
    form = FrameworkForm.of(request)
    attempt = Attempt(request, form)
    if form.is_sent(request):
        with attempt:
            with context.unit() as session:
                made = hierarchy_frameworks.add_framework(
                    session,
                    context,
                    hierarchy,
                    fullname=form.fullname.data,
                    idnumber=form.idnumber.data,
                    description=to_html(form.description.data),
                    actor=actor(request),
                )
            return go(request, _framework_path(hierarchy, request, made.id), _saved(made.fullname))
    return _form(hierarchy, request, _("Add a framework"), form, attempt, path(request, hierarchy.plural))


def framework(hierarchy: Hierarchy, request: Request) -> Response:
    """The tree of a framework, a part at a time."""
    found = _framework(hierarchy, request)
    asked = asked_of(request)
    with request.tconnect.reading() as session:
        page = page_of_items(session, hierarchy, found.id, asked)
    return show(
        request,
        "framework",
        hierarchy.plural,
        {
            "title": found.fullname,
            "framework": found,
            "list": listing(request, asked, page),
            "name": hierarchy.plural,
        },
    )


def edit_framework(hierarchy: Hierarchy, request: Request) -> Response:
    """Change a framework."""
    context = request.tconnect
    found = _framework(hierarchy, request)
    form = FrameworkForm.of(
        request,
        {
            "fullname": found.fullname,
            "idnumber": found.idnumber,
            "description": to_text(found.description),
        },
    )
    attempt = Attempt(request, form)
    back = _framework_path(hierarchy, request, found.id)
    if form.is_sent(request):
        changes = _changes(form, ("fullname", "idnumber"))
        with attempt:
            with context.unit() as session:
                hierarchy_frameworks.edit_framework(
                    session, context, hierarchy, found.id, changes, actor=actor(request)
                )
            return go(request, back, _saved(form.fullname.data))
    title = _("Edit ${name}", name=found.fullname)
    return _form(hierarchy, request, title, form, attempt, back, is_foreign=found.server is not None)


def move_framework(hierarchy: Hierarchy, request: Request) -> Response:
    """Give a framework the place before or behind its neighbour: the value of the button."""
    context = request.tconnect
    found = _framework(hierarchy, request)
    back = path(request, hierarchy.plural)
    steps = steps_asked(request)
    if steps is None:
        return go(request, back)
    attempt = Attempt(request)
    with attempt:
        with context.unit() as session:
            order = [each.id for each in hierarchy_frameworks.list_frameworks(session, hierarchy)]
            place = min(max(order.index(found.id) + 1 + steps, 1), len(order))
            hierarchy_frameworks.move_framework(
                session, context, hierarchy, found.id, place, actor=actor(request)
            )
        return go(request, back, _("${name} has another place now.", name=found.fullname))
    return attempt.told_at(back)


def delete_framework(hierarchy: Hierarchy, request: Request) -> Response:
    """Ask, and remove a framework with all that is in it."""
    context = request.tconnect
    found = _framework(hierarchy, request)
    attempt = Attempt(request)
    if request.method == "POST":
        with attempt:
            with context.unit() as session:
                hierarchy_frameworks.delete_framework(
                    session, context, hierarchy, found.id, actor=actor(request)
                )
            return go(request, path(request, hierarchy.plural), _gone(found.fullname))
    with context.reading() as session:
        number = sizes(session, hierarchy).get(found.id, 0)
    return ask(
        request,
        hierarchy.plural,
        title=_("Delete ${name}?", name=found.fullname),
        consequences=[
            plural("${number} item in it goes too.", "${number} items in it go too.", number),
            _("Job assignments lose what they have of it, here and on the clients."),
        ],
        button=_("Delete"),
        cancel=_framework_path(hierarchy, request, found.id),
        refused=attempt.refused,
    )


# --- items -----------------------------------------------------------------------------------------


def add_item(hierarchy: Hierarchy, request: Request) -> Response:
    """Make an item of a framework, the last one below its parent."""
    context = request.tconnect
    found = _framework(hierarchy, request)
    form = _item_form(hierarchy, request, {})
    attempt = Attempt(request, form)
    if form.is_sent(request):
        with attempt:
            with context.unit() as session:
                made = hierarchy_items.add_item(
                    session,
                    context,
                    hierarchy,
                    fullname=form.fullname.data,
                    shortname=form.shortname.data,
                    idnumber=form.idnumber.data,
                    description=to_html(form.description.data),
                    framework=found.id,
                    parent=form.parent.one,
                    type_id=form.type.one,
                    actor=actor(request),
                )
            after = path(request, f"{hierarchy.plural}.edit", id=made.id) if made.type else None
            where = after or _framework_path(hierarchy, request, found.id)
            return go(request, where, _saved(made.fullname))
    title = _("Add to ${name}", name=found.fullname)
    back = _framework_path(hierarchy, request, found.id)
    return _form(hierarchy, request, title, form, attempt, back, is_foreign=found.server is not None)


def edit_item(hierarchy: Hierarchy, request: Request) -> Response:
    """Change an item and its custom fields."""
    context = request.tconnect
    found = _item(hierarchy, request)
    with context.reading() as session:
        kind = next(
            (each for each in hierarchy_types.list_types(session, hierarchy) if each.idnumber == found.type),
            None,
        )
    fields = {f"field_{each.id}": each for each in kind.fields} if kind is not None else {}
    asked = {name: custom_fields.form_field(each, [trimmed]) for name, each in fields.items()}
    asked["type"] = PickerField(
        _("Type"),
        kind=hierarchy.type_kind,
        most=1,
        description=_("With another type the values of its custom fields are lost."),
    )
    stored = {
        "fullname": found.fullname,
        "shortname": found.shortname,
        "idnumber": found.idnumber,
        "description": to_text(found.description),
        "type": None if kind is None else kind.id,
        **{
            name: custom_fields.typed(each, found.fields.get(each.shortname, ""))
            for name, each in fields.items()
        },
    }
    form = with_fields(ItemForm, asked).of(request, stored)
    # Only what was changed: a peer may have sent what nobody could type here.
    changed = [name for name in fields if form[name].data != form[name].object_data]
    attempt = Attempt(request, form, {fields[name].shortname: name for name in changed})
    back = _framework_path(hierarchy, request, found.framework)
    if form.is_sent(request):
        changes = _changes(form, ("fullname", "shortname", "idnumber"))
        chosen = form["type"].one
        custom = {
            fields[name].shortname: custom_fields.stored(fields[name], form[name].data) for name in changed
        }
        if chosen != stored["type"]:
            changes["type"] = "" if chosen is None else str(chosen)
            custom = {}
        with attempt:
            with context.unit() as session:
                hierarchy_items.edit_item(
                    session, context, hierarchy, found.id, changes, fields=custom, actor=actor(request)
                )
            return go(request, back, _saved(form.fullname.data))
    title = _("Edit ${name}", name=found.fullname)
    return _form(hierarchy, request, title, form, attempt, back, is_foreign=found.server is not None)


def move_item(hierarchy: Hierarchy, request: Request) -> Response:
    """Put an item elsewhere with all below it."""
    context = request.tconnect
    found = _item(hierarchy, request)
    asked = {
        "parent": PickerField(
            _("Below"), kind=hierarchy.kind, most=1, description=_("Nothing chosen: at the top.")
        ),
        "framework": PickerField(
            _("In the framework"),
            kind=hierarchy.framework_kind,
            most=1,
            description=_("For a place at the top; below another one it is in the framework of that."),
        ),
        "before": PickerField(
            _("Before"), kind=hierarchy.kind, most=1, description=_("Nothing chosen: the last one there.")
        ),
    }
    form = with_fields(PageForm, asked).of(request, {"parent": found.parent, "framework": found.framework})
    attempt = Attempt(request, form)
    back = _framework_path(hierarchy, request, found.framework)
    if form.is_sent(request):
        with attempt:
            with context.unit() as session:
                hierarchy_items.move_item(
                    session,
                    context,
                    hierarchy,
                    found.id,
                    framework=form["framework"].one if form["parent"].one is None else None,
                    parent=form["parent"].one,
                    before=form["before"].one,
                    actor=actor(request),
                )
            return go(request, back, _("${name} has another place now.", name=found.fullname))
    title = _("Move ${name}", name=found.fullname)
    return _form(hierarchy, request, title, form, attempt, back, is_foreign=found.server is not None)


def delete_item(hierarchy: Hierarchy, request: Request) -> Response:
    """Ask, and remove an item with all below it."""
    context = request.tconnect
    found = _item(hierarchy, request)
    attempt = Attempt(request)
    back = _framework_path(hierarchy, request, found.framework)
    if request.method == "POST":
        with attempt:
            with context.unit() as session:
                hierarchy_items.delete_item(session, context, hierarchy, found.id, actor=actor(request))
            return go(request, back, _gone(found.fullname))
    with context.reading() as session:
        lower, jobs = below(session, hierarchy, found), jobs_held(session, hierarchy, found)
    return ask(
        request,
        hierarchy.plural,
        title=_("Delete ${name}?", name=found.fullname),
        consequences=[
            plural("${number} item below it goes too.", "${number} items below it go too.", lower),
            plural("${number} job assignment loses it.", "${number} job assignments lose it.", jobs),
        ],
        button=_("Delete"),
        cancel=back,
        refused=attempt.refused,
    )


# --- types -----------------------------------------------------------------------------------------


def types_page(hierarchy: Hierarchy, request: Request) -> Response:
    """The types, and a form for one more."""
    context = request.tconnect
    form = TypeForm.of(request)
    attempt = Attempt(request, form)
    if form.is_sent(request):
        with attempt:
            with context.unit() as session:
                made = hierarchy_types.add_type(
                    session,
                    context,
                    hierarchy,
                    fullname=form.fullname.data,
                    idnumber=form.idnumber.data,
                    actor=actor(request),
                )
            where = path(request, f"{hierarchy.plural}.type", id=made.id)
            return go(request, where, _saved(made.fullname))
    with context.reading() as session:
        types = hierarchy_types.list_types(session, hierarchy)
    return show(
        request,
        "types",
        hierarchy.plural,
        {
            "title": _("Types of positions") if hierarchy.word == "position" else _("Types of organisations"),
            "types": types,
            "form": form,
            "refused": attempt.refused,
            "name": hierarchy.plural,
        },
    )


def type_page(hierarchy: Hierarchy, request: Request) -> Response:
    """One type with its custom fields, and a form for one more."""
    context = request.tconnect
    found = _type(hierarchy, request)
    form = TypeFieldForm.of(request)
    attempt = Attempt(request, form)
    if form.is_sent(request):
        with attempt:
            with context.unit() as session:
                hierarchy_types.add_type_field(
                    session,
                    context,
                    hierarchy,
                    found.id,
                    shortname=form.shortname.data,
                    name=form.name.data,
                    datatype=form.datatype.data,
                    actor=actor(request),
                )
            return go(request, request.path, _saved(form.name.data or form.shortname.data))
    return show(
        request,
        "type",
        hierarchy.plural,
        {
            "title": found.fullname,
            "type": found,
            "kinds": KINDS,
            "form": form,
            "refused": attempt.refused,
            "name": hierarchy.plural,
        },
    )


def delete_type(hierarchy: Hierarchy, request: Request) -> Response:
    """Ask, and remove a type."""
    context = request.tconnect
    found = _type(hierarchy, request)
    attempt = Attempt(request)
    if request.method == "POST":
        with attempt:
            with context.unit() as session:
                hierarchy_types.delete_type(session, context, hierarchy, found.id, actor=actor(request))
            return go(request, path(request, f"{hierarchy.plural}.types"), _gone(found.fullname))
    return ask(
        request,
        hierarchy.plural,
        title=_("Delete ${name}?", name=found.fullname),
        consequences=[
            _("Whatever is of this type has none any more, and loses what stands in its custom fields.")
        ],
        button=_("Delete"),
        cancel=path(request, f"{hierarchy.plural}.type", id=found.id),
        refused=attempt.refused,
    )


def delete_type_field(hierarchy: Hierarchy, request: Request) -> Response:
    """Ask, and remove a custom field of a type."""
    context = request.tconnect
    found = _type(hierarchy, request)
    field = present([each for each in found.fields if each.id == as_id(request.matchdict["field"])])
    back = path(request, f"{hierarchy.plural}.type", id=found.id)
    attempt = Attempt(request)
    if request.method == "POST":
        with attempt:
            with context.unit() as session:
                hierarchy_types.delete_type_field(session, context, hierarchy, field.id, actor=actor(request))
            return go(request, back, _gone(field.name))
    return ask(
        request,
        hierarchy.plural,
        title=_("Delete ${name}?", name=field.name),
        consequences=[_("Whatever stands in it is lost.")],
        button=_("Delete"),
        cancel=back,
        refused=attempt.refused,
    )


# --- inside ----------------------------------------------------------------------------------------


def _item_form(hierarchy: Hierarchy, request: Request, stored: Mapping[str, object]) -> PageForm:
    asked = {
        "parent": PickerField(
            _("Below"), kind=hierarchy.kind, most=1, description=_("Nothing chosen: at the top.")
        ),
        "type": PickerField(
            _("Type"),
            kind=hierarchy.type_kind,
            most=1,
            description=_("Its custom fields can be filled in afterwards."),
        ),
    }
    form: PageForm = with_fields(ItemForm, asked).of(request, stored)
    return form


def _changes(form: PageForm, names: Sequence[str]) -> dict[str, str]:
    """What the rules are told: these fields, and the description where it was changed, as it may have markup."""
    changes = {name: form[name].data for name in names}
    if form["description"].data != form["description"].object_data:
        changes["description"] = to_html(form["description"].data)
    return changes


def _framework(hierarchy: Hierarchy, request: Request) -> FrameworkView:
    with request.tconnect.reading() as session:
        return present(hierarchy_frameworks.list_frameworks(session, hierarchy, ids=[id_of(request)]))


def _item(hierarchy: Hierarchy, request: Request) -> ItemView:
    with request.tconnect.reading() as session:
        return present(hierarchy_items.list_items(session, hierarchy, ids=[id_of(request)]))


def _type(hierarchy: Hierarchy, request: Request) -> TypeView:
    with request.tconnect.reading() as session:
        return present(hierarchy_types.list_types(session, hierarchy, ids=[id_of(request)]))


def _framework_path(hierarchy: Hierarchy, request: Request, framework_id: int) -> str:
    return path(request, f"{hierarchy.plural}.framework", id=framework_id)


def _saved(name: str) -> Text:
    return _("${name} is saved.", name=name)


def _gone(name: str) -> Text:
    return _("${name} is deleted.", name=name)


def _form(
    hierarchy: Hierarchy,
    request: Request,
    title: Text,
    form: PageForm,
    attempt: Attempt,
    back: str,
    *,
    is_foreign: bool = False,
) -> Response:
    context = request.tconnect
    with context.reading() as session:
        fill(session, context, form)
    return show(
        request,
        "form",
        hierarchy.plural,
        {
            "title": title,
            "form": form,
            "refused": attempt.refused,
            "back": back,
            "kept_elsewhere": is_foreign,
        },
    )
