"""*People*: the accounts of the site, and what administrators do with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import get_args

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from sqlalchemy.orm import Session
from wtforms import BooleanField, HiddenField, PasswordField, StringField
from wtforms.validators import DataRequired

from tconnect_pyramid import people, sessions
from tconnect_pyramid.client import links
from tconnect_pyramid.delivery.outbox import deliver_now
from tconnect_pyramid.directory.accounts import AccountView, Only
from tconnect_pyramid.directory.audiences import audiences_of
from tconnect_pyramid.directory.courses import courses_of
from tconnect_pyramid.directory.surroundings import as_id
from tconnect_pyramid.errors import Conflict, NotFound
from tconnect_pyramid.plugins import CONNECT, MANUAL, NOLOGIN
from tconnect_pyramid.site.directory.frame import show
from tconnect_pyramid.texts import Text, plural
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.admin.pages import actor, ask, asked_of, id_of, listing, path, present
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.forms import Attempt, PageForm, at_most, trimmed
from tconnect_pyramid.views.notices import go
from tconnect_pyramid.views.profile_form import (
    custom_labelled,
    labelled,
    read_profile,
    shown_jobs,
)
from tconnect_pyramid.views.user_edit import picture_path

FILTERS: Mapping[Only, Text] = {
    "": _("All"),
    "active": _("Active"),
    "suspended": _("Suspended"),
    "deleted": _("Deleted"),
    "admin": _("Administrators"),
}
METHODS: Mapping[str, Text] = {
    MANUAL: _("Manual accounts"),
    NOLOGIN: _("No login"),
    CONNECT: _("Totara Connect client"),
}

Rule = Callable[[Session, AccountView], Sequence[int] | None]
"""What is done with an account; gives the notices that are to be delivered, if any."""


def includeme(config: Configurator) -> None:
    """Add the pages."""
    add_page(config, "people", "/people", index)
    # It can make an administrator, with a password that whoever sits there chooses.
    add_page(config, "people.add", "/people/add", add, recent=True)
    add_page(config, "people.card", "/people/{id}", card)
    add_page(config, "people.act", "/people/{id}/do", act)
    add_page(config, "people.password", "/people/{id}/password", password, recent=True)
    add_page(config, "people.admin", "/people/{id}/administrator", administrator, recent=True)
    add_page(config, "people.delete", "/people/{id}/delete", delete, recent=True)


class PersonForm(PageForm):
    """A new account."""

    username = StringField(
        _("Username"),
        [DataRequired(_("Enter a username.")), at_most(people.LENGTHS["username"])],
        filters=[trimmed],
        description=_("By which the person logs in: small letters, digits, and no blanks."),
        render_kw={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"},
    )
    firstname = StringField(_("First name"), [at_most(people.LENGTHS["firstname"])], filters=[trimmed])
    lastname = StringField(_("Last name"), [at_most(people.LENGTHS["lastname"])], filters=[trimmed])
    email = StringField(
        _("Email address"),
        [at_most(people.LENGTHS["email"])],
        filters=[trimmed],
        render_kw={"type": "email", "autocomplete": "off"},
    )
    idnumber = StringField(
        _("ID number"),
        [at_most(people.LENGTHS["idnumber"])],
        filters=[trimmed],
        description=_("The number by which other systems know the person."),
    )
    password = PasswordField(
        _("Password"),
        description=_("At least 8 characters. Without one nobody can log in with the account yet."),
        render_kw={"autocomplete": "new-password"},
    )
    admin = BooleanField(_("Administrator"), description=_("May see and change everything on this site."))


class NewPasswordForm(PageForm):
    """A password for somebody else."""

    password = PasswordField(
        _("New password"),
        [DataRequired(_("Enter a password."))],
        description=_("At least 8 characters."),
        render_kw={"autocomplete": "new-password"},
    )


class RightsForm(PageForm):
    """Whether somebody is to be an administrator."""

    on = HiddenField()


def index(request: Request) -> Response:
    """The list."""
    asked = asked_of(request)
    wanted = request.GET.get("only", "")
    only: Only = next((each for each in get_args(Only) if each == wanted), "")
    context = request.tconnect
    with context.reading() as session:
        page = context.accounts.page_of_people(session, asked, only)
        servers = people.servers_of(session, [each.key for each in page.rows if each.auth == CONNECT])
    return show(
        request,
        "people",
        "people",
        {
            "title": _("People"),
            "list": listing(request, asked, page, only=only),
            "filters": [
                (label, path(request, "people", {"only": name} if name else None), name == only)
                for name, label in FILTERS.items()
            ],
            "methods": METHODS,
            "servers": servers,
        },
    )


def add(request: Request) -> Response:
    """Make an account."""
    context = request.tconnect
    form = PersonForm.of(request)
    attempt = Attempt(request, form)
    if form.is_sent(request):
        with attempt:
            with context.unit() as session:
                made = people.add_person(
                    session,
                    context,
                    username=form.username.data,
                    password=form.password.data or None,
                    admin=form.admin.data,
                    actor=actor(request),
                    **{name: form[name].data for name in ("firstname", "lastname", "email", "idnumber")},
                )
            said = _("${name} has an account now.", name=made.fullname)
            return go(request, path(request, "people.card", id=made.key), said)
    return show(
        request,
        "form",
        "people",
        {
            "title": _("Add a person"),
            "form": form,
            "refused": attempt.refused,
            "back": path(request, "people"),
            "kept_elsewhere": False,
        },
    )


def card(request: Request) -> Response:
    """One account: what this site keeps of it, and what can be done."""
    context = request.tconnect
    words = request.tconnect_words
    person = person_of(request)
    with context.reading() as session:
        values: dict[str, object] = {"fields": [], "jobs": [], "picture": None, "kept_by": None}
        if not person.deleted:
            profile = read_profile(session, context, person)
            values = {
                "fields": [
                    *((label, value) for _name, label, value in labelled(profile, words) if value),
                    *custom_labelled(profile, words),
                ],
                "jobs": shown_jobs(session, profile.jobs, words),
                "picture": picture_path(request, profile),
                "kept_by": profile.kept_by,
            }
        values.update(
            audiences=audiences_of(session, person.key),
            courses=courses_of(session, person.key),
            sign_ins=sessions.open_ones(session, person.key),
            tie=links.tie_of(session, person.key),
            can_be_linked=links.can_be_linked(session, context, person),
        )
    return show(
        request,
        "person",
        "people",
        {
            "title": person.fullname,
            "person": person,
            "method": METHODS.get(person.auth, person.auth),
            "is_oneself": person.key == request.tconnect_admin.account.key,
            "is_local": person.auth in {MANUAL, NOLOGIN},
            "edit": request.route_path("tconnect.server.user_edit", _query={"id": person.key}),
            "act_as": request.route_path("act_as", _query={"who": person.username}),
            "do": path(request, "people.act", id=person.key),
            **values,
        },
    )


def act(request: Request) -> Response:
    """What is done at once, by a button of the card: suspend, unsuspend, change the way to log in, end a sign-in."""
    context = request.tconnect
    person = person_of(request)
    key, who = person.key, actor(request)
    name = person.fullname
    rules: Mapping[str, tuple[Rule, Text]] = {
        "suspend": (
            lambda session, _: people.suspend(session, context, key, actor=who),
            _("${name} is suspended, and logged out everywhere.", name=name),
        ),
        "unsuspend": (
            lambda session, _: people.unsuspend(session, context, key, actor=who),
            _("${name} may log in again.", name=name),
        ),
        MANUAL: (
            lambda session, _: people.set_auth(session, context, key, MANUAL, actor=who),
            _("${name} may log in by a password that is kept here.", name=name),
        ),
        NOLOGIN: (
            lambda session, _: people.set_auth(session, context, key, NOLOGIN, actor=who),
            _("${name} cannot log in any more.", name=name),
        ),
        "end": (
            lambda session, _: sessions.end_one(
                session, context, key, as_id(request.POST.get("sign_in", "")) or 0, actor=who
            ),
            _("The sign-in has ended, here and at the peers."),
        ),
    }
    back = path(request, "people.card", id=key)
    rule, said = rules.get(request.POST.get("what", ""), (None, None))
    if request.method != "POST" or rule is None:
        return go(request, back)
    refused = _do(request, person, rule, harms=request.POST["what"] in {"suspend", NOLOGIN})
    return go(request, back, refused or said or "", is_bad=refused is not None)


def password(request: Request) -> Response:
    """Give somebody a new password."""
    context = request.tconnect
    person = person_of(request)
    form = NewPasswordForm.of(request)
    attempt = Attempt(request, form)
    back = path(request, "people.card", id=person.key)
    if form.is_sent(request):
        with attempt:
            with context.unit() as session:
                people.set_password(session, context, person.key, form.password.data, actor=actor(request))
            return go(request, back, _("${name} has a new password.", name=person.fullname))
    return show(
        request,
        "form",
        "people",
        {
            "title": _("New password for ${name}", name=person.fullname),
            "form": form,
            "refused": attempt.refused,
            "back": back,
            "kept_elsewhere": False,
            "username": person.username,
        },
    )


def administrator(request: Request) -> Response:
    """Let somebody administer this site, or not any more."""
    context = request.tconnect
    person = person_of(request)
    # What was asked, and not the other way round of what is: it may be sent twice, or by two at once.
    form = RightsForm.of(request, {"on": "false" if person.admin else "true"})
    if form.on.data not in {"true", "false"}:
        return go(request, path(request, "people.card", id=person.key))
    on = form.on.data == "true"
    return _asked(
        request,
        person,
        lambda session, _: _nothing(people.set_admin(session, context, person.key, on, actor=actor(request))),
        title=_("Make ${name} an administrator?", name=person.fullname)
        if on
        else _("Take the rights of an administrator from ${name}?", name=person.fullname),
        consequences=[
            _("They may then see and change everything on this site, of everybody.")
            if on
            else _("They keep their account, and see no page of Site administration any more.")
        ],
        button=_("Make administrator") if on else _("Take the rights away"),
        said=_("${name} is an administrator now.", name=person.fullname)
        if on
        else _("${name} is no administrator any more.", name=person.fullname),
        form=form,
    )


def delete(request: Request) -> Response:
    """Ask, and delete an account."""
    context = request.tconnect
    person = person_of(request)
    with context.reading() as session:
        audiences = len(audiences_of(session, person.key))
        courses = len(courses_of(session, person.key))
    return _asked(
        request,
        person,
        lambda session, _: people.delete_person(session, context, person.key, actor=actor(request)),
        title=_("Delete ${name}?", name=person.fullname),
        consequences=[
            _("The account loses its username, email address, ID number, password and picture."),
            _(
                "Its custom profile fields and job assignments go, and its sign-ins end, here and at the peers."
            ),
            plural("It leaves ${number} audience.", "It leaves ${number} audiences.", audiences),
            plural("It leaves ${number} course.", "It leaves ${number} courses.", courses),
            _("On the clients the account is deleted with the next synchronisation."),
        ],
        button=_("Delete"),
        said=_("${name} is deleted.", name=person.fullname),
    )


def _asked(
    request: Request,
    person: AccountView,
    rule: Rule,
    *,
    title: Text,
    consequences: Sequence[Text],
    button: Text,
    said: Text,
    form: PageForm | None = None,
) -> Response:
    refused: str | None = None
    back = path(request, "people.card", id=person.key)
    if request.method == "POST":
        refused = _do(request, person, rule, harms=True)
        if refused is None:
            return go(request, back, said)
    return ask(
        request,
        "people",
        title=title,
        consequences=consequences,
        button=button,
        cancel=back,
        refused=refused,
        form=form,
    )


def _do(request: Request, person: AccountView, rule: Rule, *, harms: bool) -> str | None:
    """Apply a rule to an account and deliver what follows; gives what was refused. Nobody shuts themselves out."""
    context = request.tconnect
    attempt = Attempt(request)
    with attempt:
        if harms:
            refuse_oneself(request, person)
        with context.unit() as session:
            notices = rule(session, person)
        deliver_now(context, list(notices or ()))
    return attempt.refused


def _nothing(view: AccountView) -> None:
    del view


def refuse_oneself(request: Request, person: AccountView) -> None:
    """Raises Conflict for the administrator's own account."""
    if person.key == request.tconnect_admin.account.key:
        raise Conflict(
            _("This is your own account. Let another administrator do this, so that one is always left.")
        )


def person_of(request: Request) -> AccountView:
    """The account in the address of the page. Raises HTTPNotFound."""
    context = request.tconnect
    try:
        with context.reading() as session:
            return people.get_person(session, context, id_of(request))
    except NotFound:
        return present([])
