"""`tconnect field`: custom profile fields."""

from __future__ import annotations

from dataclasses import asdict

import click

from tconnect_pyramid.cli.base import ACTOR, command
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import Answer, Rows, described
from tconnect_pyramid.directory import profiles

COLUMNS = (
    ("Id", "id"),
    ("Short name", "shortname"),
    ("Name", "name"),
    ("Type", "datatype"),
    ("Choices", "choices"),
    ("Place", "sortorder"),
)


@click.group()
def field() -> None:
    """Look after custom profile fields. FIELD is a short name or an id."""


@command(field, "list")
def list_(site: Site) -> Answer:
    """Every custom profile field."""
    context = site.migrated()
    with context.reading() as session:
        rows = [asdict(view) for view in profiles.list_fields(session)]
    return Answer(rows, Rows(COLUMNS, rows, "There are no custom profile fields."))


@command(field, "add")
@click.argument("shortname")
@click.option("--name", default="", help="What people are shown; without it, SHORTNAME.")
@click.option("--type", "datatype", type=click.Choice(profiles.DATATYPES), required=True)
@click.option("--choice", "choices", multiple=True, help="What a menu offers; is repeated.")
def add(site: Site, shortname: str, name: str, datatype: str, choices: tuple[str, ...]) -> Answer:
    """Make a custom profile field. Peers know it by SHORTNAME and type: the same on each site.

    People's values are changed by `tconnect user edit WHO profile_field_SHORTNAME=VALUE`.
    """
    context = site.migrated()
    with context.unit() as session:
        made = profiles.add_field(
            session, context, shortname, name=name, datatype=datatype, choices=choices, actor=ACTOR
        )
    row = asdict(made)
    return Answer(row, described(row))


@command(field, "edit")
@click.argument("field")
@click.option("--name", help="What people are shown; an empty one makes it the short name.")
@click.option("--shortname", help="By which peers know it: on a client it is another field then.")
@click.option("--choice", "choices", multiple=True, help="All that a menu offers from now on; is repeated.")
def edit(site: Site, field: str, name: str | None, shortname: str | None, choices: tuple[str, ...]) -> Answer:
    """Change a custom profile field; what is not named stays.

    Its type cannot be changed: peers know it by short name and type together, and everybody's values are of that
    type. Nor can a choice be taken away that somebody has.
    """
    context = site.migrated()
    with context.unit() as session:
        found = profiles.find_field(session, field)
        edited = profiles.edit_field(
            session,
            context,
            found.id,
            name=name,
            shortname=shortname,
            choices=choices or None,
            actor=ACTOR,
        )
    row = asdict(edited)
    return Answer(row, described(row))


@command(field, "move")
@click.argument("field")
@click.argument("place", type=click.IntRange(1))
def move(site: Site, field: str, place: int) -> Answer:
    """Give a custom profile field another place in the order, counted from 1."""
    context = site.migrated()
    with context.unit() as session:
        found = profiles.find_field(session, field)
        row = asdict(profiles.move_field(session, context, found.id, place, actor=ACTOR))
    return Answer(row, described(row))


@command(field, "delete")
@click.argument("field")
def delete(site: Site, field: str) -> Answer:
    """Remove a custom profile field with what everybody has in it."""
    context = site.migrated()
    with context.unit() as session:
        found = profiles.find_field(session, field)
        profiles.delete_field(session, context, found.id, actor=ACTOR)
    return Answer(asdict(found), f"The field {found.name} is gone.")
