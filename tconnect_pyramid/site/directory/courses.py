"""*Courses*, and who is enrolled in them."""

from __future__ import annotations

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from wtforms import StringField, TextAreaField
from wtforms.validators import DataRequired

from tconnect_pyramid.directory.courses import (
    LONGEST,
    CourseView,
    add_course,
    delete_course,
    edit_course,
    enrol,
    list_courses,
    page_of_courses,
    page_of_enrolled,
    unenrol,
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


def includeme(config: Configurator) -> None:
    """Add the pages."""
    add_page(config, "courses", "/courses", index)
    add_page(config, "courses.add", "/courses/add", add)
    add_page(config, "courses.edit", "/courses/{id}", edit)
    add_page(config, "courses.enrolled", "/courses/{id}/enrolled", enrolled)
    add_page(config, "courses.delete", "/courses/{id}/delete", delete, recent=True)


class CourseForm(PageForm):
    """What an administrator says of a course."""

    fullname = StringField(
        _("Full name"),
        [DataRequired(_("Enter a name.")), at_most(LONGEST["fullname"])],
        filters=[trimmed],
    )
    shortname = StringField(
        _("Short name"),
        [at_most(LONGEST["shortname"])],
        filters=[trimmed],
        description=_("No other course may have the same. Without one it is the full name."),
    )
    idnumber = StringField(
        _("ID number"),
        [at_most(LONGEST["idnumber"])],
        filters=[trimmed],
        description=_("The number by which other systems know it; nothing else may have the same."),
    )
    summary = TextAreaField(_("Summary"), filters=[trimmed], render_kw={"rows": "4"})


def index(request: Request) -> Response:
    """The list."""
    asked = asked_of(request)
    with request.tconnect.reading() as session:
        page = page_of_courses(session, asked)
    return show(request, "courses", "courses", {"title": _("Courses"), "list": listing(request, asked, page)})


def add(request: Request) -> Response:
    """Make one."""
    context = request.tconnect
    form = CourseForm.of(request)
    attempt = Attempt(request, form)
    if form.is_sent(request):
        with attempt:
            with context.unit() as session:
                made = add_course(
                    session,
                    context,
                    fullname=form.fullname.data,
                    shortname=form.shortname.data,
                    idnumber=form.idnumber.data,
                    summary=to_html(form.summary.data),
                    actor=actor(request),
                )
            said = _("${name} is there. Now enrol people.", name=made.fullname)
            return go(request, path(request, "courses.enrolled", id=made.id), said)
    return _form(request, _("Add a course"), form, attempt.refused)


def edit(request: Request) -> Response:
    """Change one."""
    context = request.tconnect
    found = _found(request)
    stored = {name: getattr(found, name) for name in LONGEST}
    form = CourseForm.of(request, {**stored, "summary": to_text(found.summary)})
    attempt = Attempt(request, form)
    if form.is_sent(request):
        changes = {name: form[name].data for name in LONGEST}
        if form.summary.data != form.summary.object_data:
            changes["summary"] = to_html(form.summary.data)
        with attempt:
            with context.unit() as session:
                edit_course(session, context, found.id, changes, actor=actor(request))
            return go(request, path(request, "courses"), _("${name} is saved.", name=form.fullname.data))
    return _form(request, _("Edit ${name}", name=found.fullname), form, attempt.refused)


def enrolled(request: Request) -> Response:
    """Who is enrolled."""
    context = request.tconnect
    found = _found(request)
    who = actor(request)
    return members_page(
        request,
        title=_("Enrolled in ${name}", name=found.fullname),
        current="courses",
        page_of=lambda session, asked: page_of_enrolled(session, context, found.id, asked),
        add=lambda session, keys: enrol(session, context, found.id, keys, actor=who),
        remove=lambda session, keys: unenrol(session, context, found.id, keys, actor=who),
    )


def delete(request: Request) -> Response:
    """Ask, and remove it."""
    context = request.tconnect
    found = _found(request)
    attempt = Attempt(request)
    if request.method == "POST":
        with attempt:
            with context.unit() as session:
                delete_course(session, context, found.id, actor=actor(request))
            return go(request, path(request, "courses"), _("${name} is deleted.", name=found.fullname))
    return ask(
        request,
        "courses",
        title=_("Delete ${name}?", name=found.fullname),
        consequences=[
            plural("${number} person is enrolled in it.", "${number} people are enrolled in it.", found.size),
            _("On the clients it is synchronised to, it will be gone after the next synchronisation."),
        ],
        button=_("Delete"),
        cancel=path(request, "courses"),
        refused=attempt.refused,
    )


def _found(request: Request) -> CourseView:
    with request.tconnect.reading() as session:
        return present(list_courses(session, ids=[id_of(request)]))


def _form(request: Request, title: Text, form: CourseForm, refused: str | None) -> Response:
    return show(
        request,
        "form",
        "courses",
        {
            "title": title,
            "form": form,
            "refused": refused,
            "back": path(request, "courses"),
            "kept_elsewhere": False,
        },
    )
