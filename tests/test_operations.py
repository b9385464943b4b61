"""Commands and pages call the same functions: every operation that changes something, with both its ways to call it.

Which function a command or a page calls is read in its source, with the helpers of `cli`, `views` and `site`.
"""

from __future__ import annotations

import ast
import functools
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType

import click
import pytest
from support.sites import ini

from tconnect_pyramid.cli import main
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.hierarchies import HIERARCHIES
from tconnect_pyramid.site import configure

PACKAGE = "tconnect_pyramid."
HELPERS = ("cli", "views", "site")
PAGE = "tconnect.admin."
TAKES_A_FORM = {"POST", "is_sent", "method"}
"""What a view asks a request, or its form, for when it answers POST."""

OF_A_HIERARCHY = [
    # function, command, page
    ("hierarchy_items.add_item", "add", "add"),
    ("hierarchy_items.edit_item", "edit", "edit"),
    ("hierarchy_items.move_item", "move", "move"),
    ("hierarchy_items.delete_item", "delete", "delete"),
    ("hierarchy_frameworks.add_framework", "add-framework", "add_framework"),
    ("hierarchy_frameworks.edit_framework", "edit-framework", "edit_framework"),
    ("hierarchy_frameworks.move_framework", "move-framework", "move_framework"),
    ("hierarchy_frameworks.delete_framework", "delete-framework", "delete_framework"),
    ("hierarchy_types.add_type", "add-type", "types"),
    ("hierarchy_types.delete_type", "delete-type", "delete_type"),
    ("hierarchy_types.add_type_field", "add-field", "type"),
    ("hierarchy_types.delete_type_field", "delete-field", "delete_type_field"),
]
OPERATIONS = [
    # function, command, page
    ("context.Context.set_option", "settings set", "client.settings"),
    ("context.Context.set_option", "settings set", "client.migration"),
    ("context.Context.set_option", "settings set", "server.settings"),
    ("people.add_person", "user add", "people.add"),
    ("people.set_auth", "user edit", "people.act"),
    ("people.set_password", "user password", "people.password"),
    ("people.suspend", "user suspend", "people.act"),
    ("people.unsuspend", "user unsuspend", "people.act"),
    ("people.delete_person", "user delete", "people.delete"),
    ("people.set_admin", "user admin", "people.admin"),
    ("sessions.end", "session end", "people.act"),
    ("directory.audiences.add_audience", "audience add", "audiences.add"),
    ("directory.audiences.edit_audience", "audience edit", "audiences.edit"),
    ("directory.audiences.delete_audience", "audience delete", "audiences.delete"),
    ("directory.audiences.add_members", "audience add-member", "audiences.members"),
    ("directory.audiences.remove_members", "audience remove-member", "audiences.members"),
    ("directory.courses.add_course", "course add", "courses.add"),
    ("directory.courses.edit_course", "course edit", "courses.edit"),
    ("directory.courses.delete_course", "course delete", "courses.delete"),
    ("directory.courses.enrol", "course enrol", "courses.enrolled"),
    ("directory.courses.unenrol", "course unenrol", "courses.enrolled"),
    *(
        (f"directory.{function}", f"{kind.word} {command}", f"{kind.plural}.{page}")
        for kind in HIERARCHIES.values()
        for function, command, page in OF_A_HIERARCHY
    ),
    ("directory.jobs.add_job", "job add", "jobs.add"),
    ("directory.jobs.edit_job", "job edit", "jobs.edit"),
    ("directory.jobs.move_job", "job move", "jobs.move"),
    ("directory.jobs.delete_job", "job delete", "jobs.delete"),
    ("directory.profiles.add_field", "field add", "fields.add"),
    ("directory.profiles.edit_field", "field edit", "fields.edit"),
    ("directory.profiles.move_field", "field move", "fields.move"),
    ("directory.profiles.delete_field", "field delete", "fields.delete"),
    ("server.clients.enable", "server enable", "features"),
    ("server.clients.enable", "server disable", "features"),
    ("server.clients.register_client", "server client add", "clients.add"),
    ("server.clients.edit_client", "server client edit", "clients.edit"),
    ("server.renewal.rotate_secrets", "server client rotate", "clients.rotate"),
    ("client.renewal.rotate_secrets", "client server rotate", "servers.rotate"),
    ("server.clients.remove_client", "server client remove", "clients.remove"),
    ("client.authmethods.enable_method", "auth enable", "auth.enable"),
    ("client.authmethods.enable_method", "auth disable", "auth.enable"),
    ("client.authmethods.move_method", "auth move", "auth.move"),
    ("client.authmethods.install", "auth install", "auth.install"),
    ("client.authmethods.uninstall", "auth uninstall", "auth.uninstall"),
    ("client.servers.enable", "client enable", "auth.enable"),
    ("client.servers.enable", "client disable", "auth.enable"),
    ("client.connecting.open_invitation", "client connect", "servers.connect"),
    ("client.connecting.cancel_invitation", "client connect", "servers.cancel"),
    ("client.servers.edit_server", "client server edit", "servers.edit"),
    ("client.leaving.leave", "client server leave", "servers.leave"),
    ("client.syncing.do_one", "client sync", "servers.sync"),
    ("client.runs.approve_run", "client run approve", "runs.approve"),
    ("client.runs.reject_run", "client run reject", "runs.reject"),
    ("client.undo.undo_run", "client run undo", "runs.undo"),
    ("client.sync.pause.resume", "client sync", "runs.resume"),
    ("client.links.sync_person", "client person sync", "people.sync"),
    ("client.links.unlink_person", "client person unlink", "people.unlink"),
    ("client.links.relink_person", "client person relink", "people.relink"),
]
BY_WAY_OF = {
    "context.Context.change_options": "context.Context.set_option",
    "client.authmethods.enable_method": "client.servers.enable",
    "client.syncing.synchronise": "client.syncing.do_one",
    "sessions.end_one": "sessions.end",
}
"""Rules that a page calls, and what they call in turn: the function that the command calls."""

READS = {
    *("audience list", "audit list", "auth list", "client explain", "client run list", "client run show"),
    *("client server list", "client status", "course list", "db check", "doctor", "field list"),
    *("group list", "job list"),
    *("organisation list", "organisation list-types", "outbox list", "position list", "position list-types"),
    *("schedule", "server client list", "server status", "session list", "settings get", "settings list"),
    *("user list", "user show"),
}
"""Commands that change nothing."""
WITHOUT_A_PAGE = {
    "db upgrade": "pages need the tables",
    "demo seed": "for development only",
    "outbox retry": "the page of tasks sends what waits",
    "user picture": "people's pictures belong to the form of their profile, which no administration page is",
}
WITHOUT_A_COMMAND = {
    "auth.test": "changes nothing; the command is doctor",
    "client.tasks.run": "a worker runs tasks; client sync does what most of them are for",
    "clients.card": "its test of the connection changes nothing; the command is doctor",
    "groups.add": "groups are those of audiences on a social site, whose command lists them",
    "groups.delete": "as groups.add",
    "groups.edit": "as groups.add",
    "groups.members": "as groups.add",
    "log_in_again": "the command has no log-in",
    "prove": "the command has no log-in",
    "server.tasks.run": "as client.tasks.run",
    "servers.test": "changes nothing; the command is doctor",
}


@functools.cache
def commands() -> dict[str, Callable]:
    """Every command by its words, with the function that was made one."""
    return dict(_commands(main, ""))


def _commands(group: click.Group, before: str) -> Iterator[tuple[str, Callable]]:
    for name, found in group.commands.items():
        words = f"{before} {name}".strip()
        if isinstance(found, click.Group):
            yield from _commands(found, words)
        else:
            yield words, inspect.unwrap(found.callback)


@functools.cache
def pages() -> dict[str, Callable]:
    """Every administration page of the reference site by its name, with its view."""
    config = configure({**ini(), "sqlalchemy.url": "sqlite://"})
    config.commit()
    views = [found["introspectable"] for found in config.introspector.get_category("views")]
    return {
        view["route_name"].removeprefix(PAGE): view["callable"]
        for view in views
        if (view["route_name"] or "").startswith(PAGE)
    }


@functools.cache
def called(function: Callable) -> frozenset[str]:
    """The rules that a command or a view names, itself or through its helpers, and the attributes it asks for."""
    found: set[str] = set()
    waiting, seen = [function], set()
    while waiting:
        one = waiting.pop()
        one = one.func if isinstance(one, functools.partial) else one
        if one in seen:
            continue
        seen.add(one)
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(one)))):
            meant = _meant(node, one.__globals__)
            if isinstance(meant, FunctionType) and meant.__module__.startswith(PACKAGE):
                name = f"{meant.__module__}.{meant.__qualname__}".removeprefix(PACKAGE)
                if name.split(".")[0] in HELPERS:
                    waiting.append(meant)
            elif isinstance(node, ast.Attribute):
                name = node.attr
            else:
                continue
            found |= {name, BY_WAY_OF.get(name, name)}
    return frozenset(found)


def _meant(node: ast.AST, names: dict[str, object]) -> object:
    """What a name, a name of a module, or a method of a context stands for."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        module = names.get(node.value.id)
        return getattr(module if isinstance(module, ModuleType) else Context, node.attr, None)
    return None


def rule(name: str) -> Callable:
    """The function of this name."""
    function: Callable = pkgutil.resolve_name(f"{PACKAGE}{name}")
    return function


@pytest.mark.parametrize(("function", "command", "page"), OPERATIONS)
def test_the_command_and_the_page_call_the_same_function(function, command, page):
    assert function in called(commands()[command])
    assert function in called(pages()[page])


@pytest.mark.parametrize(("outer", "inner"), BY_WAY_OF.items())
def test_what_a_page_calls_calls_what_the_command_calls(outer, inner):
    assert inner in called(rule(outer))


def test_every_command_that_changes_something_has_a_page_or_says_why_not():
    with_a_page = {command for _function, command, _page in OPERATIONS}
    assert not with_a_page & WITHOUT_A_PAGE.keys()
    assert with_a_page | WITHOUT_A_PAGE.keys() == commands().keys() - READS


@pytest.mark.parametrize("command", sorted(READS))
def test_a_command_that_is_said_to_change_nothing_writes_nothing(command):
    assert "context.Context.unit" not in called(commands()[command])


def test_every_page_that_takes_a_form_has_a_command_or_says_why_not():
    with_a_command = {page for _function, _command, page in OPERATIONS}
    assert not with_a_command & WITHOUT_A_COMMAND.keys()
    takes_a_form = {page for page, view in pages().items() if TAKES_A_FORM & called(view)}
    assert with_a_command | WITHOUT_A_COMMAND.keys() == takes_a_form
