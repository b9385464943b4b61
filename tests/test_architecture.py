"""The shape of the package: which room may import what. Read with `ast`, so nothing is run.

A room is a module or a package directly below `tconnect_pyramid`; the package's own `__init__` is one too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = "tconnect_pyramid"
FOLDER = Path(__file__).parents[1] / PACKAGE
WIRING = "__init__"

# Arrows point down: a room may import itself and what lies in a lower row, never a neighbour in its row.
LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(row.split())
    for row in (
        "cli",
        "site",
        WIRING,
        "views",
        "tasks",
        "security",
        "wiring",
        "server client people",
        "sessions",
        "delivery",
        "peers",
        "context",
        "directory options transport schema migrations",
        "models interfaces secretbox database plugins",
        "protocol settings sqlite",
        "errors",
        "texts",
    )
)
DEPTH = {room: depth for depth, row in enumerate(LAYERS) for room in row}

# The rooms that may know of what a library is about; nobody else may import it.
OUTSIDE: dict[str, tuple[str, str]] = {
    "pyramid": ("views security wiring tasks cli site __init__", "rules take values and never a request"),
    "webob": ("views security", "rules take values and never a request"),
    "celery": ("tasks", "only tasks/ says when, how often and how many retries"),
    "kombu": ("tasks", "only tasks/ says when, how often and how many retries"),
    "urllib3": ("transport", "transport.py is the only place that opens a socket to a peer"),
    "urllib.request": ("transport", "transport.py is the only place that opens a socket to a peer"),
    "http.client": ("transport", "transport.py is the only place that opens a socket to a peer"),
    "socket": ("transport", "transport.py is the only place that opens a socket to a peer"),
    "ssl": ("transport", "transport.py is the only place that opens a socket to a peer"),
    "click": ("cli tasks", "command lines are spoken in cli/ and, for Celery's --ini, in tasks/"),
    "rich": ("cli", "only cli/ talks to a terminal"),
    "alembic": ("schema migrations", "tables are made and compared in schema.py"),
}

# Rooms that must stay pure: the libraries they may import besides the standard library.
PURE: dict[str, frozenset[str]] = {
    "texts": frozenset(),
    "errors": frozenset(),
    "settings": frozenset(),
    "protocol": frozenset({"msgspec"}),
}

RAW_SETTINGS = frozenset({"settings", "wiring", "site"})


@dataclass(frozen=True)
class Module:
    """One file of the package, parsed."""

    path: Path
    room: str
    tree: ast.Module

    def at(self, node: ast.AST) -> str:
        return f"{self.path.relative_to(FOLDER.parent)}:{getattr(node, 'lineno', 1)}"


def room_of(path: Path) -> str:
    first = path.relative_to(FOLDER).parts[0]
    return first.removesuffix(".py")


@cache
def modules() -> tuple[Module, ...]:
    return tuple(
        Module(path, room_of(path), ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted(FOLDER.rglob("*.py"))
    )


def imports(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Every imported thing with its full dotted name: `from a import b` gives `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node, f"{'.' * node.level}{node.module or ''}.{alias.name}"


def imported_rooms(module: Module) -> Iterator[tuple[ast.AST, str]]:
    for node, name in imports(module.tree):
        parts = name.split(".")
        if parts[0] == PACKAGE:
            second = parts[1] if len(parts) > 1 else WIRING
            yield node, second if second in DEPTH or (FOLDER / second).exists() else WIRING


def is_within(name: str, library: str) -> bool:
    return name == library or name.startswith(f"{library}.")


def upward_imports(module: Module) -> Iterator[str]:
    for node, room in imported_rooms(module):
        if not {room, module.room} <= DEPTH.keys():
            continue  # reported by test_every_room_has_its_place
        if room != module.room and DEPTH[room] <= DEPTH[module.room]:
            yield f"{module.at(node)}: {module.room} imports {room}, which is not below it"


def libraries_of_others(module: Module) -> Iterator[str]:
    for node, name in imports(module.tree):
        for library, (rooms, why) in OUTSIDE.items():
            if is_within(name, library) and module.room not in rooms.split():
                yield f"{module.at(node)}: {module.room} imports {library}, but {why}"


def impure_imports(module: Module) -> Iterator[str]:
    if module.room not in PURE:
        return
    for node, name in imports(module.tree):
        top = name.split(".")[0]
        if top not in sys.stdlib_module_names | PURE[module.room] | {PACKAGE}:
            yield f"{module.at(node)}: {module.room} is pure and imports {top}"


def relative_imports(module: Module) -> Iterator[str]:
    for node, name in imports(module.tree):
        if name.startswith("."):
            yield f"{module.at(node)}: {name} is relative; write the whole name, so that arrows can be read"


def imports_inside_functions(module: Module) -> Iterator[str]:
    for function in ast.walk(module.tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node, name in imports(function):
                yield f"{module.at(node)}: {function.name} imports {name} inside; move it up or break the cycle"


def readers_of_raw_settings(module: Module) -> Iterator[str]:
    if module.room in RAW_SETTINGS:
        return
    for node in ast.walk(module.tree):
        match node:
            case ast.Attribute(
                attr="settings", value=ast.Attribute(attr="registry") | ast.Name(id="registry")
            ):
                yield f"{module.at(node)}: reads registry.settings; take a value of Settings instead"
            case ast.Attribute(attr="get_settings"):
                yield f"{module.at(node)}: reads the raw settings; take a value of Settings instead"


def hidden_state(module: Module) -> Iterator[str]:
    for node, name in imports(module.tree):
        if name in {
            "threading.local",
            "pyramid.threadlocal",
            "pyramid.threadlocal.get_current_request",
            "pyramid.threadlocal.get_current_registry",
        }:
            yield f"{module.at(node)}: imports {name}; pass the value instead"
    for node in ast.walk(module.tree):
        match node:
            case ast.Attribute(attr="local", value=ast.Name(id="threading")):
                yield f"{module.at(node)}: uses threading.local; pass the value instead"
            case ast.Attribute(attr="get_current_request" | "get_current_registry"):
                yield f"{module.at(node)}: uses {node.attr}; pass the value instead"
            case ast.Global(names=names):
                yield f"{module.at(node)}: changes the module's {', '.join(names)}; keep it in the registry"


RULES: tuple[Callable[[Module], Iterator[str]], ...] = (
    upward_imports,
    libraries_of_others,
    impure_imports,
    relative_imports,
    imports_inside_functions,
    readers_of_raw_settings,
    hidden_state,
)


def test_every_room_has_its_place():
    unplaced = sorted({module.room for module in modules()} - DEPTH.keys())

    assert not unplaced, f"give these rooms a row in LAYERS: {', '.join(unplaced)}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_there_are_no(rule):
    found = [line for module in modules() for line in rule(module)]

    assert not found, "\n" + "\n".join(found)


def module(room: str, source: str) -> Module:
    path = FOLDER / "__init__.py" if room == WIRING else FOLDER / room / "example.py"
    return Module(path, room, ast.parse(source))


@pytest.mark.parametrize(
    ("rule", "room", "source"),
    [
        (upward_imports, "server", "from tconnect_pyramid.client import sync"),
        (upward_imports, "client", "import tconnect_pyramid.server.registration"),
        (upward_imports, "server", "from tconnect_pyramid import views"),
        (upward_imports, "errors", "from tconnect_pyramid.settings import Settings"),
        (upward_imports, "tasks", "from tconnect_pyramid.views import routes"),
        (upward_imports, "models", "from tconnect_pyramid import includeme"),
        (libraries_of_others, "server", "from pyramid.request import Request"),
        (libraries_of_others, "client", "import celery"),
        (libraries_of_others, "views", "import urllib3"),
        (libraries_of_others, "site", "import http.client"),
        (impure_imports, "protocol", "import sqlalchemy"),
        (impure_imports, "settings", "import msgspec"),
        (relative_imports, "views", "from . import forms"),
        (imports_inside_functions, "cli", "def f():\n    if True:\n        import json"),
        (readers_of_raw_settings, "views", "request.registry.settings['tconnect.site_url']"),
        (readers_of_raw_settings, "tasks", "config.get_settings()"),
        (hidden_state, "views", "import threading\nvalue = threading.local()"),
        (hidden_state, "site", "from pyramid.threadlocal import get_current_request"),
        (hidden_state, "options", "def f():\n    global cache\n    cache = {}"),
    ],
)
def test_each_rule_finds_what_it_is_for(rule, room, source):
    assert list(rule(module(room, source)))


@pytest.mark.parametrize(
    ("rule", "room", "source"),
    [
        (upward_imports, "site", "from tconnect_pyramid import includeme"),
        (
            upward_imports,
            "server",
            "from tconnect_pyramid.server import clients\nfrom tconnect_pyramid import errors",
        ),
        (libraries_of_others, "transport", "import urllib3\nimport socket"),
        (libraries_of_others, "client", "from urllib.parse import urlsplit"),
        (impure_imports, "protocol", "import json, msgspec\nfrom tconnect_pyramid.errors import BadReply"),
        (readers_of_raw_settings, "wiring", "config.registry.settings"),
        (readers_of_raw_settings, "server", "context.settings.site_url"),
    ],
)
def test_no_rule_finds_what_is_right(rule, room, source):
    assert not list(rule(module(room, source)))
