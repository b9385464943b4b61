"""*Job assignments*: who is what, where, and since when."""

from __future__ import annotations

from datetime import UTC, datetime

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from sqlalchemy.orm import Session
from wtforms import StringField, TextAreaField
from wtforms.validators import DataRequired

from tconnect_pyramid.context import Context
from tconnect_pyramid.directory import values
from tconnect_pyramid.directory.choices import CHOICES
from tconnect_pyramid.directory.jobs import (
    LONGEST,
    JobView,
    add_job,
    delete_job,
    edit_job,
    list_jobs,
    move_job,
    page_of_jobs,
)
from tconnect_pyramid.site.directory.frame import show
from tconnect_pyramid.texts import Text
from tconnect_pyramid.texts import text as _
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
from tconnect_pyramid.views.forms import Attempt, PageForm, PickerField, at_most, trimmed
from tconnect_pyramid.views.notices import go
from tconnect_pyramid.views.prose import to_html, to_text
from tconnect_pyramid.views.words import FIRST, LAST

HELD = ("position", "organisation")
DATES = ("startdate", "enddate")


def includeme(config: Configurator) -> None:
    """Add the pages."""
    add_page(config, "jobs", "/jobs", index)
    add_page(config, "jobs.add", "/jobs/add", add)
    add_page(config, "jobs.edit", "/jobs/{id}", edit)
    add_page(config, "jobs.move", "/jobs/{id}/move", move)
    add_page(config, "jobs.delete", "/jobs/{id}/delete", delete, recent=True)


class JobForm(PageForm):
    """What an administrator says of a job assignment. Fields are named as the rules call them."""

    person = PickerField(_("Person"), kind="person", most=1)
    idnumber = StringField(
        _("ID number"),
        [DataRequired(_("Enter an ID number.")), at_most(LONGEST["idnumber"])],
        filters=[trimmed],
        description=_("Its name in your own systems; each job assignment of a person has another."),
    )
    fullname = StringField(_("Full name"), [at_most(LONGEST["fullname"])], filters=[trimmed])
    shortname = StringField(_("Short name"), [at_most(LONGEST["shortname"])], filters=[trimmed])
    position = PickerField(_("Position"), kind="position", most=1)
    organisation = PickerField(_("Organisation"), kind="organisation", most=1)
    description = TextAreaField(_("Description"), filters=[trimmed], render_kw={"rows": "4"})
    startdate = StringField(_("First day"), filters=[trimmed], render_kw={"type": "date"})
    enddate = StringField(_("Last day"), filters=[trimmed], render_kw={"type": "date"})


def index(request: Request) -> Response:
    """The list, person by person."""
    context = request.tconnect
    asked = asked_of(request)
    with context.reading() as session:
        page = page_of_jobs(session, context, asked)
        people = _named(session, context, "person", [job.account for job in page.rows])
        places = {
            kind: _named(session, context, kind, [getattr(job, kind) for job in page.rows]) for kind in HELD
        }
    return show(
        request,
        "jobs",
        "jobs",
        {
            "title": _("Job assignments"),
            "list": listing(request, asked, page),
            "people": people,
            "places": places,
        },
    )


def add(request: Request) -> Response:
    """Give a person a job assignment, their last one."""
    context = request.tconnect
    form = JobForm.of(request)
    attempt = Attempt(request, form)
    if form.is_sent(request) and _has_person(form):
        with attempt:
            with context.unit() as session:
                made = add_job(
                    session,
                    context,
                    form.person.one,
                    idnumber=form.idnumber.data,
                    fullname=form.fullname.data,
                    shortname=form.shortname.data,
                    description=to_html(form.description.data),
                    position=form.position.one,
                    organisation=form.organisation.one,
                    startdate=_moment(form, "startdate"),
                    enddate=_moment(form, "enddate"),
                    actor=actor(request),
                )
            return go(request, path(request, "jobs"), _saved(made))
    return _form(request, _("Add a job assignment"), form, attempt)


def edit(request: Request) -> Response:
    """Change one. Those that came from a server are only shown."""
    context = request.tconnect
    found = _found(request)
    form = JobForm.of(
        request,
        {
            **{name: getattr(found, name) or "" for name in LONGEST},
            "description": to_text(found.description or ""),
            **{name: getattr(found, name) for name in HELD},
            **{name: _typed(getattr(found, name)) for name in DATES},
        },
    )
    del form.person
    attempt = Attempt(request, form)
    if form.is_sent(request):
        changes = {name: form[name].data for name in (*LONGEST, *DATES)}
        changes |= {name: "" if form[name].one is None else str(form[name].one) for name in HELD}
        if form.description.data != form.description.object_data:
            changes["description"] = to_html(form.description.data)
        with attempt:
            with context.unit() as session:
                edit_job(session, context, found.id, changes, actor=actor(request))
            return go(request, path(request, "jobs"), _saved(found))
    title = _("Edit ${name}", name=found.fullname or found.idnumber)
    return _form(request, title, form, attempt, is_foreign=found.server is not None)


def move(request: Request) -> Response:
    """Make it an earlier or later one of its person: the value of the button."""
    context = request.tconnect
    found = _found(request)
    back = path(request, "jobs")
    steps = steps_asked(request)
    if steps is None:
        return go(request, back)
    attempt = Attempt(request)
    with attempt:
        with context.unit() as session:
            most = len(list_jobs(session, found.account))
            place = min(max(found.sortorder + steps, 1), most)
            move_job(session, context, found.id, place, actor=actor(request))
        return go(request, back, _("${name} has another place now.", name=found.fullname or found.idnumber))
    return attempt.told_at(back)


def delete(request: Request) -> Response:
    """Ask, and take it from its person."""
    context = request.tconnect
    found = _found(request)
    name = found.fullname or found.idnumber
    attempt = Attempt(request)
    if request.method == "POST":
        with attempt:
            with context.unit() as session:
                delete_job(session, context, found.id, actor=actor(request))
            return go(request, path(request, "jobs"), _("${name} is deleted.", name=name))
    return ask(
        request,
        "jobs",
        title=_("Delete ${name}?", name=name),
        consequences=[
            _(
                "The person does not have it any more, here and, with the next synchronisation, on the clients."
            )
        ],
        button=_("Delete"),
        cancel=path(request, "jobs"),
        refused=attempt.refused,
    )


def _found(request: Request) -> JobView:
    with request.tconnect.reading() as session:
        return present(list_jobs(session, ids=[id_of(request)]))


def _has_person(form: JobForm) -> bool:
    if form.person.one is None:
        form.person.errors = [_("Choose a person.")]
    return form.person.one is not None


def _moment(form: JobForm, name: str) -> int | None:
    text = form[name].data
    return values.moment(name, text) if text else None


def _typed(seconds: int | None) -> str:
    return (
        ""
        if seconds is None
        else datetime.fromtimestamp(min(max(seconds, FIRST), LAST), UTC).strftime("%Y-%m-%d")
    )


def _named(session: Session, context: Context, kind: str, ids: list[int | None]) -> dict[int, str]:
    wanted = [id_ for id_ in ids if id_ is not None]
    return {choice.id: choice.name for choice in CHOICES[kind].named(session, context, wanted)}


def _saved(job: JobView) -> Text:
    return _("${name} is saved.", name=job.fullname or job.idnumber)


def _form(
    request: Request, title: Text, form: JobForm, attempt: Attempt, *, is_foreign: bool = False
) -> Response:
    context = request.tconnect
    with context.reading() as session:
        fill(session, context, form)
    return show(
        request,
        "form",
        "jobs",
        {
            "title": title,
            "form": form,
            "refused": attempt.refused,
            "back": path(request, "jobs"),
            "kept_elsewhere": is_foreign,
        },
    )
