"""`tconnect audience` and `tconnect group`: sets of people."""

from __future__ import annotations

import click
from sqlalchemy.orm import Session

from tconnect_pyramid.cli.base import ACTOR, assignments, command
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import Answer, Row, Rows, described
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory import audiences
from tconnect_pyramid.directory.audiences import AUDIENCES, GROUPS, AudienceView, Kept

COLUMNS = (
    ("Id", "id"),
    ("Idnumber", "idnumber"),
    ("Name", "name"),
    ("Kind", "kind"),
    ("Kept by", "component"),
    ("Members", "size"),
)
MEMBERS = click.option("--members", is_flag=True, help="With the ids of the accounts that belong to each.")


@click.group()
def audience() -> None:
    """Look after audiences. AUDIENCE is an id or an idnumber, WHO as in `tconnect user`."""


@click.group()
def group() -> None:
    """Show groups: what collections become on a social site."""


@command(audience, "list")
@MEMBERS
def list_(site: Site, members: bool) -> Answer:
    """Every audience."""
    return _list(site, AUDIENCES, members=members)


@command(group, "list")
@MEMBERS
def list_groups(site: Site, members: bool) -> Answer:
    """Every group."""
    return _list(site, GROUPS, members=members)


@command(audience, "add")
@click.argument("name")
@click.option("--idnumber", default="", help="Its name in your own systems, by which commands find it.")
@click.option("--description", default="")
def add(site: Site, name: str, idnumber: str, description: str) -> Answer:
    """Make an audience called NAME."""
    context = site.migrated()
    with context.unit() as session:
        made = audiences.add_audience(
            session, context, name=name, idnumber=idnumber, description=description, actor=ACTOR
        )
    return _one(made)


@command(audience, "edit")
@click.argument("audience")
@click.argument("changes", nargs=-1, required=True, metavar="FIELD=VALUE...")
def edit(site: Site, audience: str, changes: tuple[str, ...]) -> Answer:
    """Change the name, idnumber or description of an audience."""
    wanted = assignments(changes)
    context = site.migrated()
    with context.unit() as session:
        found = audiences.find_audience(session, audience)
        return _one(audiences.edit_audience(session, context, found.id, wanted, actor=ACTOR))


@command(audience, "delete")
@click.argument("audience")
def delete(site: Site, audience: str) -> Answer:
    """Remove an audience. A client restricted to it is then sent nobody."""
    context = site.migrated()
    with context.unit() as session:
        found = audiences.find_audience(session, audience)
        audiences.delete_audience(session, context, found.id, actor=ACTOR)
    return Answer(audience_row(found), f"The audience {found.name} is gone.")


@command(audience, "add-member")
@click.argument("audience")
@click.argument("who", nargs=-1, required=True)
def add_member(site: Site, audience: str, who: tuple[str, ...]) -> Answer:
    """Let people belong to an audience."""
    context = site.migrated()
    with context.unit() as session:
        found = audiences.find_audience(session, audience)
        keys = keys_of(session, context, who)
        count = audiences.add_members(session, context, found.id, keys, actor=ACTOR)
        return _changed(audiences.get_audience(session, found.id), f"{count} added")


@command(audience, "remove-member")
@click.argument("audience")
@click.argument("who", nargs=-1, required=True)
def remove_member(site: Site, audience: str, who: tuple[str, ...]) -> Answer:
    """Let people belong to an audience no longer."""
    context = site.migrated()
    with context.unit() as session:
        found = audiences.find_audience(session, audience)
        keys = keys_of(session, context, who)
        count = audiences.remove_members(session, context, found.id, keys, actor=ACTOR)
        return _changed(audiences.get_audience(session, found.id), f"{count} removed")


def keys_of(session: Session, context: Context, who: tuple[str, ...]) -> list[int]:
    """The keys of the accounts that an administrator named. Raises NotFound."""
    return [context.accounts.find(session, each).key for each in who]


def audience_row(view: AudienceView) -> Row:
    """An audience as the command shows it."""
    row = {
        "id": view.id,
        "idnumber": view.idnumber,
        "name": view.name,
        "description": view.description,
        "kind": view.kind,
        "component": view.component,
        "size": view.size,
    }
    return row if view.members is None else {**row, "members": list(view.members)}


def _list(site: Site, kept: Kept, *, members: bool) -> Answer:
    context = site.migrated()
    with context.reading() as session:
        rows = [audience_row(view) for view in audiences.list_audiences(session, kept=kept, members=members)]
    columns = (*COLUMNS, ("Accounts", "members")) if members else COLUMNS
    return Answer(rows, Rows(columns, rows, f"There are no {kept.word}s."))


def _one(view: AudienceView) -> Answer:
    row = audience_row(view)
    return Answer(row, described(row))


def _changed(view: AudienceView, what: str) -> Answer:
    return Answer(audience_row(view), f"{what}; {view.size} belong to {view.name} now.")
