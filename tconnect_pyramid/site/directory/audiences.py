"""*Audiences*, and the *Groups* of a social site: the same pages for both."""

from __future__ import annotations

from functools import partial

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from wtforms import StringField, TextAreaField
from wtforms.validators import DataRequired

from tconnect_pyramid.directory.audiences import (
    AUDIENCES,
    GROUPS,
    LONGEST_IDNUMBER,
    LONGEST_NAME,
    AudienceView,
    Kept,
    add_audience,
    add_members,
    delete_audience,
    edit_audience,
    list_audiences,
    page_of_audiences,
    page_of_members,
    remove_members,
)
from tconnect_pyramid.site.directory.frame import show
from tconnect_pyramid.site.directory.members import members_page
from tconnect_pyramid.texts import Text, plural
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.admin.pages import actor, ask, asked_of, id_of, listing, path, present
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.forms import Attempt, PageForm, at_most, trimmed
from tconnect_pyramid.views.notices import go
from tconnect_pyramid.views.prose import to_html, to_text

TITLES = {"audience": _("Audiences"), "group": _("Groups")}
ADD = {"audience": _("Add audience"), "group": _("Add group")}


def includeme(config: Configurator) -> None:
    """Add the pages of both."""
    for kept in (AUDIENCES, GROUPS):
        name = f"{kept.word}s"
        for page, pattern, view, recent in (
            (name, f"/{name}", index, False),
            (f"{name}.add", f"/{name}/add", add, False),
            (f"{name}.edit", f"/{name}/{{id}}", edit, False),
            (f"{name}.members", f"/{name}/{{id}}/members", members, False),
            (f"{name}.delete", f"/{name}/{{id}}/delete", delete, True),
        ):
            add_page(config, page, pattern, partial(view, kept), recent=recent)


class AudienceForm(PageForm):
    """What an administrator says of an audience."""

    name = StringField(
        _("Name"), [DataRequired(_("Enter a name.")), at_most(LONGEST_NAME)], filters=[trimmed]
    )
    idnumber = StringField(
        _("ID number"),
        [at_most(LONGEST_IDNUMBER)],
        filters=[trimmed],
        description=_("The number by which other systems know it; nothing else may have the same."),
    )
    description = TextAreaField(_("Description"), filters=[trimmed], render_kw={"rows": "4"})


def index(kept: Kept, request: Request) -> Response:
    """The list."""
    asked = asked_of(request)
    with request.tconnect.reading() as session:
        page = page_of_audiences(session, asked, kept=kept)
    return show(
        request,
        "audiences",
        f"{kept.word}s",
        {
            "title": TITLES[kept.word],
            "list": listing(request, asked, page),
            "word": kept.word,
            "add": path(request, f"{kept.word}s.add"),
            "add_label": ADD[kept.word],
        },
    )


def add(kept: Kept, request: Request) -> Response:
    """Make one."""
    context = request.tconnect
    form = AudienceForm.of(request)
    attempt = Attempt(request, form)
    if form.is_sent(request):
        with attempt:
            with context.unit() as session:
                made = add_audience(
                    session,
                    context,
                    name=form.name.data,
                    idnumber=form.idnumber.data,
                    description=to_html(form.description.data),
                    kept=kept,
                    actor=actor(request),
                )
            return go(request, path(request, f"{kept.word}s.members", id=made.id), _added(made.name))
    return _form(kept, request, ADD[kept.word], form, attempt)


def edit(kept: Kept, request: Request) -> Response:
    """Change one. Those that a server keeps are only shown."""
    context = request.tconnect
    found = _found(kept, request)
    form = AudienceForm.of(
        request,
        {"name": found.name, "idnumber": found.idnumber, "description": to_text(found.description)},
    )
    attempt = Attempt(request, form)
    if form.is_sent(request):
        changes = {"name": form.name.data, "idnumber": form.idnumber.data}
        if form.description.data != form.description.object_data:
            changes["description"] = to_html(form.description.data)
        with attempt:
            with context.unit() as session:
                edit_audience(session, context, found.id, changes, kept=kept, actor=actor(request))
            return go(request, path(request, f"{kept.word}s"), _("${name} is saved.", name=form.name.data))
    return _form(kept, request, _("Edit ${name}", name=found.name), form, attempt, found)


def members(kept: Kept, request: Request) -> Response:
    """Who belongs to it."""
    context = request.tconnect
    found = _found(kept, request)
    who = actor(request)
    return members_page(
        request,
        title=_("Members of ${name}", name=found.name),
        current=f"{kept.word}s",
        page_of=lambda session, asked: page_of_members(session, context, found.id, asked, kept=kept),
        add=lambda session, keys: add_members(session, context, found.id, keys, kept=kept, actor=who),
        remove=lambda session, keys: remove_members(session, context, found.id, keys, kept=kept, actor=who),
        kept_elsewhere=bool(found.component),
    )


def delete(kept: Kept, request: Request) -> Response:
    """Ask, and remove it."""
    context = request.tconnect
    found = _found(kept, request)
    attempt = Attempt(request)
    if request.method == "POST":
        with attempt:
            with context.unit() as session:
                delete_audience(session, context, found.id, kept=kept, actor=actor(request))
            return go(request, path(request, f"{kept.word}s"), _("${name} is deleted.", name=found.name))
    return ask(
        request,
        f"{kept.word}s",
        title=_("Delete ${name}?", name=found.name),
        consequences=[
            plural("${number} person belongs to it.", "${number} people belong to it.", found.size),
            _("On the clients it is synchronised to, it will be gone after the next synchronisation."),
            _("To a client that is restricted to it, nobody is sent any more, and nobody can sign in there."),
        ],
        button=_("Delete"),
        cancel=path(request, f"{kept.word}s"),
        refused=attempt.refused,
    )


def _found(kept: Kept, request: Request) -> AudienceView:
    with request.tconnect.reading() as session:
        return present(list_audiences(session, kept=kept, ids=[id_of(request)]))


def _form(
    kept: Kept,
    request: Request,
    title: Text,
    form: AudienceForm,
    attempt: Attempt,
    found: AudienceView | None = None,
) -> Response:
    return show(
        request,
        "form",
        f"{kept.word}s",
        {
            "title": title,
            "form": form,
            "refused": attempt.refused,
            "back": path(request, f"{kept.word}s"),
            "kept_elsewhere": found is not None and bool(found.component),
        },
    )


def _added(name: str) -> Text:
    return _("${name} is there. Now add who belongs to it.", name=name)
