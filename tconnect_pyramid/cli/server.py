"""`tconnect server`: this site as a server, and its clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import click
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tconnect_pyramid.cli.base import ACTOR, NONE, command, secret
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import Answer, Row, Rows, described, working
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory import audiences, courses
from tconnect_pyramid.directory.hierarchies import HIERARCHIES, ORGANISATIONS, POSITIONS, Hierarchy
from tconnect_pyramid.directory.hierarchy_frameworks import find_framework
from tconnect_pyramid.models import ClientSession
from tconnect_pyramid.server import clients, renewal
from tconnect_pyramid.server.clients import ClientView, ClientWishes
from tconnect_pyramid.transport import CALL_TIMEOUT

COLUMNS = (
    ("Id", "id"),
    ("Name", "name"),
    ("Address", "url"),
    ("State", "state"),
    ("Restricted to", "restrict_to"),
    ("Audiences", "audiences"),
    ("Courses", "courses"),
    ("Position frameworks", "position_frameworks"),
    ("Organisation frameworks", "organisation_frameworks"),
    ("Version", "apiversion"),
    ("Idnumber", "idnumber"),
)


@click.group()
def server() -> None:
    """Let other sites sign people in through this one."""


@server.group()
def client() -> None:
    """Look after the clients of this server. CLIENT is an id or an idnumber."""


@command(server, "enable")
def enable(site: Site) -> Answer:
    """Be a server."""
    return _switch(site, on=True)


@command(server, "disable")
def disable(site: Site) -> Answer:
    """Be no server for now: clients get no answer until it is enabled again."""
    return _switch(site, on=False)


@command(server, "status")
def status(site: Site) -> Answer:
    """Whether this site is a server, and what its peers know it by."""
    context = site.migrated()
    with context.reading() as session:
        return _status(session, context)


@command(client, "list")
@click.option("--deleted", is_flag=True, help="Those that are gone, too.")
def list_(site: Site, deleted: bool) -> Answer:
    """The clients of this server."""
    context = site.migrated()
    with context.reading() as session:
        rows = [asdict(view) for view in clients.list_clients(session, deleted=deleted)]
    return Answer(rows, Rows(COLUMNS, rows, "This server has no clients."))


def _choices(*, adding: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of `add` and of `edit`, which leaves alone what is not given."""
    unsaid = False if adding else None
    options: list[Callable[[Callable[..., Any]], Callable[..., Any]]] = [
        click.option("--name", required=adding, help="What people are shown as its name."),
        click.option("--url", required=adding, help="Its address, as its own ini file says it."),
        click.option(
            "--restrict-to",
            metavar="AUDIENCE",
            help=f"Only members of this audience are sent and can sign in; {NONE}: everybody.",
        ),
        click.option(
            "--audience",
            "audience",
            multiple=True,
            metavar="AUDIENCE",
            help=f"An audience to synchronise; may be repeated{'' if adding else f'; {NONE} clears the list'}.",
        ),
        click.option(
            "--course",
            "course",
            multiple=True,
            metavar="COURSE",
            help=f"A course to synchronise; may be repeated{'' if adding else f'; {NONE} clears the list'}.",
        ),
        click.option(
            "--add-new-audiences/--no-add-new-audiences",
            default=unsaid,
            help="Whether each audience that is made later is added.",
        ),
        click.option(
            "--add-new-courses/--no-add-new-courses",
            default=unsaid,
            help="Whether each course that is made later is added.",
        ),
        *(_framework_option(hierarchy, adding=adding) for hierarchy in HIERARCHIES.values()),
        click.option(
            "--profile-fields/--no-profile-fields",
            default=True if adding else None,
            help="Whether people are sent with their custom profile fields.",
        ),
        click.option(
            "--jobs/--no-jobs",
            default=True if adding else None,
            help="Whether people are sent with their job assignments.",
        ),
        click.option(
            "--plugin-services/--no-plugin-services",
            default=unsaid,
            help="Whether the client may call services that plugins have added to this site.",
        ),
        click.option("--comment", help="A note for administrators of this server."),
    ]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _framework_option(
    hierarchy: Hierarchy, *, adding: bool
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        f"--{hierarchy.word}-framework",
        multiple=True,
        metavar="FRAMEWORK",
        help=f"A framework of {hierarchy.plural} to synchronise; may be repeated"
        f"{'' if adding else f'; {NONE} clears the list'}.",
    )


@command(client, "add")
@_choices(adding=True)
@click.option(
    "--setup-secret",
    metavar="SECRET",
    help="What `tconnect client connect` showed there; - reads it from standard input.",
)
def add(site: Site, setup_secret: str | None, **given: Any) -> Answer:
    """Connect a client site that has opened a connection request."""
    context = site.migrated()
    with context.reading() as session:
        wishes = _wishes(session, ClientWishes(name="", url=""), given)
    # Worth nothing once it is used, so that it may stand on the command line.
    typed = (
        setup_secret
        if setup_secret not in {None, "-"}
        else secret(setup_secret, "Setup secret", what="setup secret")
    )
    with working(f"Connecting {wishes.url}"):
        view = clients.register_client(context, wishes, str(typed).strip(), actor=ACTOR, timeout=CALL_TIMEOUT)
    return _one(view)


@command(client, "edit")
@click.argument("client")
@_choices(adding=False)
def edit(site: Site, client: str, **given: Any) -> Answer:
    """Change what a client is sent; what is not named stays."""
    context = site.migrated()
    with context.unit() as session:
        found = clients.find_client(session, client)
        wishes = _wishes(session, _wishes_of(found), given)
        return _one(clients.edit_client(session, context, found.id, wishes, actor=ACTOR))


@command(client, "remove")
@click.argument("client")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def remove(site: Site, client: str, dry_run: bool) -> Answer:
    """End the connection with a client; people signed in there through this server are signed out first."""
    context = site.migrated()
    with context.reading() as session:
        found = clients.find_client(session, client)
        sign_ins = session.scalar(
            select(func.count()).select_from(ClientSession).where(ClientSession.client_id == found.id)
        )
    document = {**asdict(found), "sign_ins": sign_ins, "removed": not dry_run}
    if dry_run:
        return Answer(document, f"{found.name} would be removed and {sign_ins} sign-ins there ended.")
    with working(f"Signing people out of {found.name}"):
        clients.remove_client(context, found.id, actor=ACTOR)
    return Answer(
        {**document, "state": clients.DELETED}, f"{found.name} is removed, {sign_ins} sign-ins there ended."
    )


@command(client, "rotate")
@click.argument("client")
def rotate(site: Site, client: str) -> Answer:
    """Give a client new secrets in both directions; the old ones are refused from then on.

    The client has to be a site of this project. Where its answer is lost, give the command again.
    """
    context = site.migrated()
    with context.reading() as session:
        found = clients.find_client(session, client)
    with working(f"Renewing the secrets of {found.name}"):
        view = renewal.rotate_secrets(context, found.id, actor=ACTOR)
    return Answer(asdict(view), f"{view.name} has new secrets, and the old ones are refused.")


def _switch(site: Site, *, on: bool) -> Answer:
    context = site.migrated()
    with context.unit() as session:
        clients.enable(session, context, on, actor=ACTOR)
        return _status(session, context)


def _status(session: Session, context: Context) -> Answer:
    document: Row = {
        "enabled": context.options(session).server_enabled,
        "url": context.settings.site_url,
        "name": context.settings.site_name,
        "idnumber": context.idnumber(session),
        "clients": len(clients.list_clients(session)),
    }
    return Answer(document, described(document))


def _one(view: ClientView) -> Answer:
    row = asdict(view)
    return Answer(row, described(row))


def _wishes_of(view: ClientView) -> ClientWishes:
    return ClientWishes(
        name=view.name,
        url=view.url,
        restrict_audience_id=view.restrict_to,
        add_new_audiences=view.add_new_audiences,
        add_new_courses=view.add_new_courses,
        audiences=view.audiences,
        courses=view.courses,
        profile_fields=view.profile_fields,
        jobs=view.jobs,
        plugin_services=view.plugin_services,
        position_frameworks=view.position_frameworks,
        organisation_frameworks=view.organisation_frameworks,
        comment=view.comment,
    )


def _wishes(session: Session, before: ClientWishes, given: dict[str, Any]) -> ClientWishes:
    restrict_to = given.pop("restrict_to")
    named_audiences = _named(given.pop("audience"), lambda who: audiences.find_audience(session, who).id)
    named_courses = _named(given.pop("course"), lambda who: courses.find_course(session, who).id)
    named_positions = _named(
        given.pop("position_framework"), lambda who: find_framework(session, POSITIONS, who).id
    )
    named_organisations = _named(
        given.pop("organisation_framework"), lambda who: find_framework(session, ORGANISATIONS, who).id
    )
    wishes = replace(before, **{name: value for name, value in given.items() if value is not None})
    if restrict_to == NONE:
        wishes = replace(wishes, restrict_audience_id=None)
    elif restrict_to is not None:
        wishes = replace(wishes, restrict_audience_id=audiences.find_audience(session, restrict_to).id)
    return replace(
        wishes,
        audiences=wishes.audiences if named_audiences is None else named_audiences,
        courses=wishes.courses if named_courses is None else named_courses,
        position_frameworks=wishes.position_frameworks if named_positions is None else named_positions,
        organisation_frameworks=(
            wishes.organisation_frameworks if named_organisations is None else named_organisations
        ),
    )


def _named(words: Sequence[str], find: Callable[[str], int]) -> tuple[int, ...] | None:
    """The ids of what was named, none for `none`; None where nothing was said."""
    return tuple(find(word) for word in words if word != NONE) if words else None
