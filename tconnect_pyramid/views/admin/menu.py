"""The tree of *Site administration*: every page that an administrator finds by themselves, in its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyramid.interfaces import IRoutesMapper
from pyramid.request import Request

from tconnect_pyramid.options import Options
from tconnect_pyramid.texts import Text
from tconnect_pyramid.texts import text as _


@dataclass(frozen=True, slots=True)
class Entry:
    """A page of the tree: the name of its route without `tconnect.admin.`, and whether it is shown."""

    label: Text
    route: str
    shown: Callable[[Options], bool] = lambda options: True  # noqa: ARG005 - always


@dataclass(frozen=True, slots=True)
class Section:
    """Pages that belong together, under the words of their place (`Users › Accounts`)."""

    label: Text
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """A page as this request shows it."""

    label: Text
    path: str
    is_current: bool


def _server(options: Options) -> bool:
    return options.server_enabled


def _client(options: Options) -> bool:
    return options.client_enabled


MENU: Sequence[Section] = (
    Section(
        _("Site"),
        (
            Entry(_("Site administration"), "home"),
            Entry(_("Advanced features"), "features"),
        ),
    ),
    Section(
        _("Users › Accounts"),
        (
            Entry(_("People"), "people"),
            Entry(_("Custom profile fields"), "fields"),
            Entry(_("Audiences"), "audiences"),
            Entry(_("Groups"), "groups"),
        ),
    ),
    Section(
        _("Users › Accounts › Totara Connect server"),
        (
            Entry(_("Settings"), "server.settings", _server),
            Entry(_("Client systems"), "clients", _server),
            Entry(_("Scheduled tasks"), "server.tasks", _server),
        ),
    ),
    Section(
        _("Courses and hierarchies"),
        (
            Entry(_("Courses"), "courses"),
            Entry(_("Positions"), "positions"),
            Entry(_("Organisations"), "organisations"),
            Entry(_("Job assignments"), "jobs"),
        ),
    ),
    Section(_("Plugins › Authentication"), (Entry(_("Manage authentication"), "auth"),)),
    Section(
        _("Plugins › Authentication › Totara Connect client"),
        (
            Entry(_("Settings"), "client.settings", _client),
            Entry(_("Servers"), "servers", _client),
            Entry(_("Scheduled tasks"), "client.tasks", _client),
            Entry(_("Synchronisations"), "runs", _client),
        ),
    ),
)


def menu_for(request: Request, options: Options, current: str) -> list[tuple[Text, list[ShownEntry]]]:
    """The sections with pages that this site has, `current` being the route of the entry one is in."""
    mapper = request.registry.getUtility(IRoutesMapper)
    sections = []
    for section in MENU:
        entries = [
            ShownEntry(entry.label, request.route_path(route), entry.route == current)
            for entry in section.entries
            if entry.shown(options) and mapper.get_route(route := f"tconnect.admin.{entry.route}") is not None
        ]
        if entries:
            sections.append((section.label, entries))
    return sections
