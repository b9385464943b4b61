"""An administrator's options: kept in the database, read once a request or task; the ini wins."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tconnect_pyramid.errors import Conflict, InvalidInput
from tconnect_pyramid.models import Option
from tconnect_pyramid.plugins import CONNECT, HostMethod, HostMethods
from tconnect_pyramid.settings import OPTIONS, Guard, Settings, format_option, parse_option
from tconnect_pyramid.texts import text as _

WAYS_IN = ("auth.manual", "client.enabled", "auth.enabled", "auth.disabled", "auth.uninstalled")
"""The options that decide by what people can log in: something must be left, or nobody could."""

_NO_METHODS = HostMethods()


@dataclass(frozen=True, slots=True)
class Options:
    """All options of one site at one moment. `server.enabled` is the attribute `server_enabled`."""

    server_enabled: bool
    server_sync_passwords: bool
    client_enabled: bool
    client_auto_sign_in: int | None
    client_migrate_accounts: bool
    client_account_mapping: str
    client_removed_person: str
    client_protected_accounts: tuple[str, ...]
    client_sync_profile_fields: bool
    client_sync_jobs: bool
    client_sync_positions: bool
    client_sync_organisations: bool
    client_sync_idnumber: bool
    client_plugin_services: bool
    client_undo_days: int
    guard_people: Guard
    guard_members: Guard
    guard_items: Guard
    auth_manual: bool
    auth_order: tuple[str, ...]
    auth_enabled: tuple[str, ...]
    auth_disabled: tuple[str, ...]
    auth_uninstalled: tuple[str, ...]
    session_timeout: int


@dataclass(frozen=True, slots=True)
class OptionState:
    """One option as an administrator sees it; `source` is `ini`, `database` or `default`."""

    name: str
    value: str
    source: str
    help: str


def read_options(session: Session, settings: Settings) -> Options:
    """The options in force: the ini over the database over the defaults."""
    values = _values(session, settings)
    return Options(**{field.name: values[_name_of(field.name)][0] for field in fields(Options)})


def list_options(session: Session, settings: Settings) -> list[OptionState]:
    """Every option with its value and where that comes from, in the order of the settings table."""
    values = _values(session, settings)
    return [
        OptionState(name, format_option(values[name][0]), values[name][1], setting.help)
        for name, setting in OPTIONS.items()
    ]


def is_enabled(options: Options, method: HostMethod) -> bool:
    """Whether a way to log in of the host is installed and enabled."""
    if method.name in options.auth_uninstalled or method.name in options.auth_disabled:
        return False
    return method.enabled or method.name in options.auth_enabled


def host_lets_in(options: Options, host: HostMethods) -> bool:
    """Whether somebody can log in by a means of the host."""
    return any(method.is_way_in and is_enabled(options, method) for method in host.methods.values())


def set_option(
    session: Session, settings: Settings, name: str, text: str, now: int, *, host: HostMethods = _NO_METHODS
) -> None:
    """Store an option given as text; an empty text takes the default back. `host`: what else lets people in.

    Raises InvalidInput for an unknown name or a value that does not fit, Conflict when the ini fixes the
    option, when it switches off the last way to log in, and when it enables what is not installed.
    """
    if name not in OPTIONS:
        raise InvalidInput(
            "name", _("There is no option ${name}; `tconnect settings list` shows them.", name=repr(name))
        )
    if name in settings.fixed:
        raise Conflict(
            _("tconnect.${name} is fixed by the ini file of this site; change it there.", name=name)
        )
    there_was_one = name in WAYS_IN and _has_way_in(read_options(session, settings), host)
    session.execute(delete(Option).where(Option.name == name))
    if text != "":
        parse_option(name, text)
        session.add(Option(name=name, value=text, timemodified=now))
    if name not in WAYS_IN:
        return
    options = read_options(session, settings)
    if options.client_enabled and CONNECT in options.auth_uninstalled:
        raise Conflict(
            _(
                "${name}: the Totara Connect client is not installed; `tconnect auth install connect` does that.",
                name=name,
            )
        )
    if there_was_one and not _has_way_in(options, host):
        raise Conflict(
            _(
                "${name} is the last way to log in to this site that is left: without it nobody could. Enable another "
                "one first; `tconnect auth list` shows them.",
                name=name,
            )
        )


def _has_way_in(options: Options, host: HostMethods) -> bool:
    return options.auth_manual or options.client_enabled or host_lets_in(options, host)


def _name_of(attribute: str) -> str:
    return attribute.replace("_", ".", 1)


def _values(session: Session, settings: Settings) -> dict[str, tuple[Any, str]]:
    stored: dict[str, Any] = dict(session.execute(select(Option.name, Option.value)).all())
    values: dict[str, tuple[Any, str]] = {}
    for name, setting in OPTIONS.items():
        if name in settings.fixed:
            values[name] = (settings.fixed[name], "ini")
        elif name in stored:
            values[name] = (parse_option(name, stored[name]), "database")
        else:
            values[name] = (setting.default, "default")
    return values
