"""What administrators do about the link of one account: bring it in step, end it, make it."""

from __future__ import annotations

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from wtforms import RadioField, SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired

from tconnect_pyramid.client import links
from tconnect_pyramid.client.links import Tie, Unlinked
from tconnect_pyramid.client.runs import PAGE
from tconnect_pyramid.client.servers import list_servers
from tconnect_pyramid.client.sync.report import RunReport
from tconnect_pyramid.directory import usernames
from tconnect_pyramid.site.directory.people import person_of, refuse_oneself
from tconnect_pyramid.texts import plural
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.admin.pages import actor, ask, path, present
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.forms import Attempt, PageForm, at_most, trimmed
from tconnect_pyramid.views.notices import go

ENTRY = "people"
"""The entry of the menu."""
_LONGEST_NUMBER = 20


def includeme(config: Configurator) -> None:
    """Add the pages."""
    add_page(config, "people.sync", "/people/{id}/sync", sync)
    add_page(config, "people.unlink", "/people/{id}/unlink", unlink, recent=True)
    add_page(config, "people.relink", "/people/{id}/relink", relink, recent=True)


class UnlinkForm(PageForm):
    """How an account goes on as this site's own."""

    new_auth = RadioField(
        _("How they log in from then on"),
        choices=[SelectChoice("manual", _("Manual accounts")), SelectChoice("nologin", _("No login"))],
        default="manual",
    )
    username = StringField(
        _("Username from then on"),
        [at_most(usernames.LONGEST)],
        filters=[trimmed],
        description=_("Small letters, digits, and no blanks. Empty: the one it has."),
        render_kw={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"},
    )


class RelinkForm(PageForm):
    """Whose account it becomes."""

    server = SelectField(_("Server"))
    person = StringField(
        _("Number of the person"),
        [DataRequired(_("Enter the number that the person has at the server.")), at_most(_LONGEST_NUMBER)],
        filters=[trimmed],
        description=_("The id of the account at the server, as its administrator sees it."),
        render_kw={"autocomplete": "off", "inputmode": "numeric"},
    )


def sync(request: Request) -> Response:
    """Ask the server for the person, and bring the account in step."""
    person = person_of(request)
    back = path(request, "people.card", id=person.key)
    if request.method != "POST":
        return go(request, back)
    attempt = Attempt(request)
    with attempt:
        tie = _tie(request, person.key)
        report = links.sync_person(request.tconnect, tie.server_id, tie.person_id, origin=PAGE)
        said = (
            _("${name} is in step with ${server}.", name=person.fullname, server=tie.server)
            if report.state == "done"
            else _not_done(report)
        )
        return go(request, back, said, is_bad=report.state != "done", points=_points(report))
    return attempt.told_at(back)


def unlink(request: Request) -> Response:
    """Ask, and let the account be this site's own."""
    context = request.tconnect
    person = person_of(request)
    back = path(request, "people.card", id=person.key)
    form = UnlinkForm.of(request)
    tie = _tie(request, person.key)
    attempt = Attempt(request, form)
    if form.is_sent(request):
        with attempt:
            refuse_oneself(request, person)
            done = links.unlink_person(
                context,
                person.key,
                new_auth=form.new_auth.data,
                username=form.username.data,
                actor=actor(request),
            )
            said = _(
                "${name} is this site's own account, and no more that of the person ${person} of ${server}.",
                name=person.fullname,
                person=str(tie.person_id),
                server=tie.server,
            )
            return go(request, back, said, points=done.outlook)
    looked = Attempt(request)
    with looked:
        planned = links.unlink_person(context, person.key, actor=actor(request), dry_run=True)
        return ask(
            request,
            ENTRY,
            title=_("Unlink ${name}?", name=person.fullname),
            consequences=_unlinking(planned),
            button=_("Unlink"),
            cancel=back,
            refused=attempt.refused,
            form=form,
        )
    return looked.told_at(back)


def relink(request: Request) -> Response:
    """Ask whose account it is to be, and let it be that."""
    context = request.tconnect
    person = person_of(request)
    back = path(request, "people.card", id=person.key)
    with context.reading() as session:
        if not links.can_be_linked(session, context, person):
            return go(request, back)
        found = list_servers(session, active_only=True)
    form = RelinkForm.of(request)
    form.server.choices = [(str(each.id), each.name) for each in found]
    attempt = Attempt(request, form)
    refused: str | None = None
    if form.is_sent(request):
        with attempt:
            number = links.person_number(form.person.data)
            report = links.relink_person(
                context, person.key, int(form.server.data), number, origin=PAGE, actor=actor(request)
            )
            if report.state == "done":
                said = _(
                    "${name} is the account of the person ${person} now.",
                    name=person.fullname,
                    person=str(number),
                )
                return go(request, back, said, points=_points(report))
            refused = " ".join([_not_done(report), *_points(report)])
    return ask(
        request,
        ENTRY,
        title=_("Whose account is ${name}?", name=person.fullname),
        consequences=[
            _(
                "The account keeps its username, memberships and hand-made job assignments; the rest becomes the server's."
            ),
            _(
                "Its password is not accepted here any more, and its sign-ins end: the person logs in through the server."
            ),
            _("It is listed with the synchronisations, where it can be undone."),
        ],
        button=_("Link"),
        cancel=back,
        refused=attempt.refused or refused,
        form=form,
    )


def _unlinking(planned: Unlinked) -> list[str]:
    return [
        _(
            "The account stays, and is no more that of the person ${person} of ${server}.",
            person=str(planned.tie.person_id),
            server=planned.tie.server,
        ),
        _("It leaves the audiences that came from there; its job assignments stay, as this site's own."),
        plural("${number} sign-in is ended.", "${number} sign-ins are ended.", planned.sign_ins),
        *planned.outlook,
    ]


def _tie(request: Request, key: int) -> Tie:
    with request.tconnect.reading() as session:
        tie = links.tie_of(session, key)
    return present([] if tie is None else [tie])


def _not_done(report: RunReport) -> str:
    return report.message if report.state == "failed" else _("Something had to be left out.")


def _points(report: RunReport) -> list[str]:
    """What a run did to the one person, in short."""
    return [line.detail for line in report.lines if line.detail]
