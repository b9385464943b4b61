"""`tconnect settings`: what the ini says, and the options that an administrator may change."""

from __future__ import annotations

import click
from sqlalchemy.exc import DBAPIError

from tconnect_pyramid import schema
from tconnect_pyramid.cli.base import ACTOR, command
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import Answer, Row, Rows, say
from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import NotFound
from tconnect_pyramid.options import OptionState, list_options
from tconnect_pyramid.settings import OPTIONS, SETTINGS, Settings, format_option, parse_option

INI = "ini"
COLUMNS = (("Name", "name"), ("Value", "value"), ("From", "source"))


@click.group()
def settings() -> None:
    """Show the settings; change the options among them."""


@command(settings, "list")
def list_(site: Site) -> Answer:
    """Every setting and option with its value and where that comes from: ini, database or default.

    Works without the database; the options that are kept there are then not shown.
    """
    rows = _all(site.context())
    return Answer(rows, Rows(COLUMNS, rows, "There are no settings."))


@command(settings, "get")
@click.argument("name")
def get(site: Site, name: str) -> Answer:
    """One setting or option, named without `tconnect.` before it."""
    for row in _all(site.context()):
        if row["name"] == name:
            return Answer(row, str(row["value"]))
    raise NotFound(f"There is no setting {name!r}; `tconnect settings list` shows them.")


@command(settings, "set")
@click.argument("name")
@click.argument("value")
def set_(site: Site, name: str, value: str) -> Answer:
    """Give an option a value; an empty one ("") takes the default back."""
    # First of all, as it knows the best answer to a misspelt name.
    parse_option(name, value or format_option(OPTIONS[name].default) if name in OPTIONS else value)
    context = site.migrated()
    with context.unit() as session:
        context.set_option(session, name, value)
        context.audit(session, ACTOR, "option.set", name, value=value)
        row = next(
            _option_row(state) for state in list_options(session, context.settings) if state.name == name
        )
    return Answer(row, f"{name} is {row['value'] or 'empty'} now.")


def _all(context: Context) -> list[Row]:
    return [*_of_ini(context.settings), *map(_option_row, _options(context))]


def _options(context: Context) -> list[OptionState]:
    try:
        if schema.current_version(context.database.engine) is not None:
            with context.reading() as session:
                return list_options(session, context.settings)
        say("The database has no tables yet: options are shown without it.")
    except DBAPIError:
        say("The database cannot be reached: options are shown without it.")
    fixed = context.settings.fixed
    return [
        OptionState(
            name,
            format_option(fixed.get(name, setting.default)),
            INI if name in fixed else "default",
            setting.help,
        )
        for name, setting in OPTIONS.items()
    ]


def _of_ini(read: Settings) -> list[Row]:
    values: dict[str, object] = {
        "site_url": read.site_url,
        "site_name": read.site_name,
        "secret_keys": f"({len(read.secret_keys)} not shown)",
        "development": read.development,
        "request_timeout": read.request_timeout,
        "network.private": read.private_networks,
        "network.allow_http": read.allow_http,
        "network.ca_file": read.ca_file,
        "client.type": read.client_type,
    }
    return [
        {
            "name": setting.name,
            "value": format_option(values[setting.name]),
            "source": INI,
            "help": setting.help,
        }
        for setting in SETTINGS
        if not setting.option
    ]


def _option_row(state: OptionState) -> Row:
    return {"name": state.name, "value": state.value, "source": state.source, "help": state.help}
