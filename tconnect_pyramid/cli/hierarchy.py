"""`tconnect position` and `tconnect organisation`: frameworks, trees and types. One code for both nouns."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from tconnect_pyramid.cli.base import ACTOR, NONE, assignments, command
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import Answer, Row, Rows, described
from tconnect_pyramid.directory import hierarchy_frameworks, hierarchy_items, hierarchy_types
from tconnect_pyramid.directory.hierarchies import ORGANISATIONS, POSITIONS, Hierarchy
from tconnect_pyramid.errors import NotFound

FRAMEWORK_COLUMNS = (
    ("Id", "id"),
    ("Idnumber", "idnumber"),
    ("Name", "fullname"),
    ("Place", "sortorder"),
    ("From", "server"),
)
ITEM_COLUMNS = (
    ("Id", "id"),
    ("Framework", "framework"),
    ("Place", "sortthread"),
    ("Parent", "parent"),
    ("Idnumber", "idnumber"),
    ("Name", "fullname"),
    ("Type", "type"),
    ("Fields", "fields"),
    ("From", "server"),
)
TYPE_COLUMNS = (("Id", "id"), ("Idnumber", "idnumber"), ("Name", "fullname"), ("Fields", "fields"))

FIELD = click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="SHORTNAME=VALUE",
    help="A custom field of its type; may be repeated.",
)
IDNUMBER = click.option(
    "--idnumber", default="", help="Its name in your own systems, by which commands find it."
)
DESCRIPTION = click.option("--description", default="")
CHANGES = click.argument("changes", nargs=-1, metavar="FIELD=VALUE...")


def _noun(hierarchy: Hierarchy) -> click.Group:
    group = click.Group(
        hierarchy.word,
        help=f"Look after {hierarchy.plural}: frameworks, the trees in them, types with custom fields. All are "
        "named by an id or an idnumber. What came from a server is changed there.",
    )
    _items(group, hierarchy)
    _moving(group, hierarchy)
    _frameworks(group, hierarchy)
    _types(group, hierarchy)
    return group


def _items(group: click.Group, hierarchy: Hierarchy) -> None:
    item = click.argument("who", metavar=hierarchy.word.upper())

    @command(group, "list")
    @click.option("--frameworks", is_flag=True, help="The frameworks instead.")
    @click.option("--framework", metavar="FRAMEWORK", help="Only what is in this framework.")
    def list_(site: Site, frameworks: bool, framework: str | None) -> Answer:
        """All of them, framework by framework, in the order of the trees."""
        if frameworks and framework is not None:
            raise click.UsageError("--frameworks and --framework contradict each other.")
        context = site.migrated()
        with context.reading() as session:
            if frameworks:
                rows = [asdict(view) for view in hierarchy_frameworks.list_frameworks(session, hierarchy)]
                return Answer(
                    rows, Rows(FRAMEWORK_COLUMNS, rows, f"There are no frameworks of {hierarchy.plural}.")
                )
            within = (
                None
                if framework is None
                else hierarchy_frameworks.find_framework(session, hierarchy, framework).id
            )
            rows = [asdict(view) for view in hierarchy_items.list_items(session, hierarchy, within)]
        return Answer(rows, Rows(ITEM_COLUMNS, rows, f"There are no {hierarchy.plural}."))

    @command(group, "add")
    @click.argument("name")
    @click.option("--framework", metavar="FRAMEWORK", help="Where; not needed with --parent.")
    @click.option("--parent", help="Below which one; without it, at the top.")
    @click.option("--type", "type_", metavar="TYPE", help="Its type, which decides what fields it may have.")
    @IDNUMBER
    @click.option("--short-name", "shortname", default="")
    @DESCRIPTION
    @FIELD
    def add(
        site: Site,
        framework: str | None,
        parent: str | None,
        type_: str | None,
        fields: tuple[str, ...],
        name: str,
        **texts: str,
    ) -> Answer:
        """Make one called NAME; it comes last."""
        given = assignments(fields)
        context = site.migrated()
        with context.unit() as session:
            above = None if parent is None else hierarchy_items.find_item(session, hierarchy, parent)
            if framework is not None:
                within = hierarchy_frameworks.find_framework(session, hierarchy, framework).id
            elif above is not None:
                within = above.framework
            else:
                raise click.UsageError("Say where: --framework or --parent.")
            return _one(
                hierarchy_items.add_item(
                    session,
                    context,
                    hierarchy,
                    fullname=name,
                    framework=within,
                    parent=None if above is None else above.id,
                    type_id=None
                    if type_ is None
                    else hierarchy_types.find_type(session, hierarchy, type_).id,
                    fields=given,
                    actor=ACTOR,
                    **texts,
                )
            )

    @command(group, "edit")
    @item
    @CHANGES
    @FIELD
    def edit(site: Site, who: str, changes: tuple[str, ...], fields: tuple[str, ...]) -> Answer:
        """Change the fullname, shortname, idnumber, description, visible (0 or 1) or type, or its custom fields.

        An empty value takes a custom field or the type away. With another type the custom fields are lost.
        """
        if not changes and not fields:
            raise click.UsageError("Say what to change: FIELD=VALUE, or --field SHORTNAME=VALUE.")
        wanted, given = assignments(changes), assignments(fields)
        context = site.migrated()
        with context.unit() as session:
            found = hierarchy_items.find_item(session, hierarchy, who)
            return _one(
                hierarchy_items.edit_item(
                    session, context, hierarchy, found.id, wanted, fields=given, actor=ACTOR
                )
            )

    @command(group, "delete")
    @item
    def delete(site: Site, who: str) -> Answer:
        """Remove one with everything below it; job assignments lose them."""
        context = site.migrated()
        with context.unit() as session:
            found = hierarchy_items.find_item(session, hierarchy, who)
            hierarchy_items.delete_item(session, context, hierarchy, found.id, actor=ACTOR)
        return Answer(asdict(found), f"The {hierarchy.word} {found.fullname} is gone.")


def _moving(group: click.Group, hierarchy: Hierarchy) -> None:
    @command(group, "move")
    @click.argument("who", metavar=hierarchy.word.upper())
    @click.option("--parent", metavar=f"PARENT|{NONE}", help=f"Below this one; {NONE}: to the top.")
    @click.option(
        "--framework", metavar="FRAMEWORK", help="To the top of this framework, or with --parent into it."
    )
    @click.option(
        "--before", metavar=hierarchy.word.upper(), help="Before this one, and not as the last one there."
    )
    def move(site: Site, who: str, parent: str | None, framework: str | None, before: str | None) -> Answer:
        """Put one elsewhere, with everything below it. With --before alone it goes to where that one is."""
        if parent is None and framework is None and before is None:
            raise click.UsageError("Say where to: --parent, --framework or --before.")
        context = site.migrated()
        with context.unit() as session:
            found = hierarchy_items.find_item(session, hierarchy, who)
            within = (
                None
                if framework is None
                else hierarchy_frameworks.find_framework(session, hierarchy, framework).id
            )
            above = (
                None
                if parent in {None, NONE}
                else hierarchy_items.find_item(session, hierarchy, str(parent)).id
            )
            later = None if before is None else hierarchy_items.find_item(session, hierarchy, before)
            if later is not None and parent is None and framework is None:
                within, above = later.framework, later.parent
            return _one(
                hierarchy_items.move_item(
                    session,
                    context,
                    hierarchy,
                    found.id,
                    framework=within,
                    parent=above,
                    before=None if later is None else later.id,
                    actor=ACTOR,
                )
            )


def _frameworks(group: click.Group, hierarchy: Hierarchy) -> None:
    framework = click.argument("who", metavar="FRAMEWORK")

    @command(group, "add-framework")
    @click.argument("name")
    @IDNUMBER
    @DESCRIPTION
    def add_framework(site: Site, name: str, idnumber: str, description: str) -> Answer:
        """Make a framework called NAME; it comes last."""
        context = site.migrated()
        with context.unit() as session:
            return _one(
                hierarchy_frameworks.add_framework(
                    session,
                    context,
                    hierarchy,
                    fullname=name,
                    idnumber=idnumber,
                    description=description,
                    actor=ACTOR,
                )
            )

    @command(group, "edit-framework")
    @framework
    @click.argument("changes", nargs=-1, required=True, metavar="FIELD=VALUE...")
    def edit_framework(site: Site, who: str, changes: tuple[str, ...]) -> Answer:
        """Change the fullname, shortname, idnumber, description or visible of a framework."""
        wanted = assignments(changes)
        context = site.migrated()
        with context.unit() as session:
            found = hierarchy_frameworks.find_framework(session, hierarchy, who)
            return _one(
                hierarchy_frameworks.edit_framework(
                    session, context, hierarchy, found.id, wanted, actor=ACTOR
                )
            )

    @command(group, "move-framework")
    @framework
    @click.argument("place", type=click.IntRange(1))
    def move_framework(site: Site, who: str, place: int) -> Answer:
        """Give a framework another PLACE among them all, counted from 1."""
        context = site.migrated()
        with context.unit() as session:
            found = hierarchy_frameworks.find_framework(session, hierarchy, who)
            return _one(
                hierarchy_frameworks.move_framework(session, context, hierarchy, found.id, place, actor=ACTOR)
            )

    @command(group, "delete-framework")
    @framework
    def delete_framework(site: Site, who: str) -> Answer:
        """Remove a framework with everything in it; job assignments lose that."""
        context = site.migrated()
        with context.unit() as session:
            found = hierarchy_frameworks.find_framework(session, hierarchy, who)
            hierarchy_frameworks.delete_framework(session, context, hierarchy, found.id, actor=ACTOR)
        return Answer(asdict(found), f"The framework {found.fullname} is gone.")


def _types(group: click.Group, hierarchy: Hierarchy) -> None:
    type_ = click.argument("who", metavar="TYPE")

    @command(group, "list-types")
    def list_types(site: Site) -> Answer:
        """Every type with its custom fields."""
        context = site.migrated()
        with context.reading() as session:
            rows = [asdict(view) for view in hierarchy_types.list_types(session, hierarchy)]
        return Answer(
            rows,
            Rows(TYPE_COLUMNS, [_shown(row) for row in rows], f"There are no types of {hierarchy.plural}."),
        )

    @command(group, "add-type")
    @click.argument("name")
    @click.option("--idnumber", required=True, help="By this, peers know it: the same on each site.")
    def add_type(site: Site, name: str, idnumber: str) -> Answer:
        """Make a type called NAME."""
        context = site.migrated()
        with context.unit() as session:
            return _type(
                hierarchy_types.add_type(
                    session, context, hierarchy, fullname=name, idnumber=idnumber, actor=ACTOR
                )
            )

    @command(group, "delete-type")
    @type_
    def delete_type(site: Site, who: str) -> Answer:
        """Remove a type with its custom fields, also from what is of that type."""
        context = site.migrated()
        with context.unit() as session:
            found = hierarchy_types.find_type(session, hierarchy, who)
            hierarchy_types.delete_type(session, context, hierarchy, found.id, actor=ACTOR)
        return Answer(asdict(found), f"The type {found.fullname} is gone.")

    @command(group, "add-field")
    @type_
    @click.argument("shortname")
    @click.option("--name", default="", help="What people are shown; without it, SHORTNAME.")
    @click.option("--datatype", type=click.Choice(hierarchy_types.DATATYPES), required=True)
    def add_field(site: Site, who: str, shortname: str, name: str, datatype: str) -> Answer:
        """Give a type a custom field. Peers know it by SHORTNAME and datatype: the same on each site."""
        context = site.migrated()
        with context.unit() as session:
            found = hierarchy_types.find_type(session, hierarchy, who)
            return _one(
                hierarchy_types.add_type_field(
                    session,
                    context,
                    hierarchy,
                    found.id,
                    shortname=shortname,
                    name=name,
                    datatype=datatype,
                    actor=ACTOR,
                )
            )

    @command(group, "delete-field")
    @type_
    @click.argument("shortname")
    def delete_field(site: Site, who: str, shortname: str) -> Answer:
        """Remove a custom field of a type with all its values."""
        context = site.migrated()
        with context.unit() as session:
            of = hierarchy_types.find_type(session, hierarchy, who)
            found = next((field for field in of.fields if field.shortname == shortname), None)
            if found is None:
                raise NotFound(f"The type {of.fullname} has no field {shortname!r}.")
            hierarchy_types.delete_type_field(session, context, hierarchy, found.id, actor=ACTOR)
        return Answer(asdict(found), f"The field {found.name} is gone.")


def _one(view: Any) -> Answer:
    row = asdict(view)
    return Answer(row, described(row))


def _type(view: hierarchy_types.TypeView) -> Answer:
    row = asdict(view)
    return Answer(row, described(_shown(row)))


def _shown(type_: dict[str, Any]) -> Row:
    return {**type_, "fields": [f"{field['shortname']} ({field['datatype']})" for field in type_["fields"]]}


position = _noun(POSITIONS)
organisation = _noun(ORGANISATIONS)
