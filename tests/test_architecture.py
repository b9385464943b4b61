"""The shape of the package: which room may import what. Read with `ast`, so nothing is run.

A room is a module or a package directly below `tconnect_pyramid`; the package's own `__init__` is one too.
"""

from __future__ import annotations

import ast
import re
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
        "models interfaces secretbox database plugins failures",
        "protocol settings sqlite",
        "errors",
        "texts garbage",
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

# Errors whose sentence a page may show, and which of their arguments it is. Refused is a word of the protocol, and
# a ConfigurationProblem is read where the site does not start.
SENTENCES = {
    "InvalidInput": 1,
    "NotFound": 0,
    "Conflict": 0,
    "PeerError": 3,
    "BadReply": 0,
    "BadRecord": 1,
    "SignInFailed": 0,
    "ActingAsAnother": 0,
    "SyncBusy": 0,
    "LeaseLost": 0,
    "TransactionOpen": 0,
    "CannotDecrypt": 0,
    "PictureProblem": 0,
}
# What only a command line says, which is in English.
ENGLISH_ONLY = ("cli/", "tasks/", "site/seed.py")
# Puts sentences that the rules wrote together again.
UNPACKERS = ("texts.py",)


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


def is_in(module: Module, places: tuple[str, ...]) -> bool:
    return module.path.relative_to(FOLDER).as_posix().startswith(places)


def made_here(node: ast.AST) -> bool:
    """Whether text is put together on the spot, by any of Python's ways to do it."""
    match node:
        case ast.JoinedStr() | ast.Constant(value=str()):
            return True
        case ast.BinOp(left=left, right=right):
            return made_here(left) or made_here(right)
        case ast.IfExp(body=body, orelse=orelse):
            return made_here(body) or made_here(orelse)
        case ast.BoolOp(values=values):
            return any(made_here(value) for value in values)
        case ast.Call(func=ast.Attribute(value=value, attr="format" | "join" | "rstrip")):
            return made_here(value)
    return False


def sentences_in_english_only(module: Module) -> Iterator[str]:
    if is_in(module, ENGLISH_ONLY):
        return
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in SENTENCES:
                named = [each.value for each in node.keywords if each.arg in {"message", "reason"}]
                for said in [*node.args[SENTENCES[name] :][:1], *named]:
                    if made_here(said):
                        yield f"{module.at(node)}: {name} says a plain str; make it by texts.text or plural"


def templates_that_cannot_be_found(module: Module) -> Iterator[str]:
    if is_in(module, UNPACKERS):
        return
    makers = {
        alias.asname or alias.name: {"text": 1, "plural": 2}.get(alias.name, 0)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module == f"{PACKAGE}.texts"
        for alias in node.names
    }
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if makers.get(name):
                templates = [
                    each.value
                    for each in node.args[: makers[name]]
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                ]
                if len(templates) < makers[name]:
                    yield f"{module.at(node)}: the template is no literal, so that nobody finds it"
                    continue
                places = {place for each in templates for place in re.findall(r"\$\{([^}]*)\}", each)}
                given = {each.arg or "**" for each in node.keywords}
                if "**" not in given and places - ({"number"} if makers[name] > 1 else set()) != given:
                    yield f"{module.at(node)}: has the places {sorted(places)} and values for {sorted(given)}"
                if not all(re.fullmatch("[a-z][a-z0-9_]*", place) for place in places):
                    yield f"{module.at(node)}: a place has a name with more than a-z, 0-9 and _"


RULES: tuple[Callable[[Module], Iterator[str]], ...] = (
    upward_imports,
    libraries_of_others,
    impure_imports,
    relative_imports,
    imports_inside_functions,
    readers_of_raw_settings,
    hidden_state,
    sentences_in_english_only,
    templates_that_cannot_be_found,
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


TEXT = "from tconnect_pyramid.texts import text as _"
PLURAL = "from tconnect_pyramid.texts import plural"


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
        (sentences_in_english_only, "people", "raise Conflict(f'The account {name} is deleted.')"),
        (sentences_in_english_only, "server", "raise errors.NotFound('There is no such client.')"),
        (sentences_in_english_only, "client", "raise InvalidInput('name', 'a' if x else _('b'))"),
        (sentences_in_english_only, "client", "raise Conflict(why or 'It is so.')"),
        (sentences_in_english_only, "transport", "raise PeerError('POST', url, 'dns', 'no host: ' + host)"),
        (sentences_in_english_only, "protocol", "raise BadRecord(7, reason='{} is missing'.format(name))"),
        (sentences_in_english_only, "site", "return SignInFailed('%s said no' % name)"),
        (templates_that_cannot_be_found, "server", f"{TEXT}\n_(sentence)"),
        (templates_that_cannot_be_found, "server", f"{TEXT}\n_(f'no {{name}}')"),
        (templates_that_cannot_be_found, "client", f"{TEXT}\n_('no ${{name}}', who=1)"),
        (templates_that_cannot_be_found, "client", f"{TEXT}\n_('no ${{Name}}', Name=1)"),
        (templates_that_cannot_be_found, "views", f"{PLURAL}\nplural('1', many, 2)"),
        (templates_that_cannot_be_found, "views", f"{PLURAL}\nplural('a ${{x}}', '${{number}} ${{x}}', 2)"),
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
        (
            sentences_in_english_only,
            "people",
            "raise Conflict(_('It is deleted.'))\nraise NotFound(error.text)",
        ),
        (sentences_in_english_only, "people", "raise InvalidInput(f'field{n}', _('It is empty.'))"),
        (sentences_in_english_only, "protocol", "raise Refused('invalid server secret or idnumber')"),
        (sentences_in_english_only, "cli", "raise NotFound(f'There is no setting {name!r}.')"),
        (templates_that_cannot_be_found, "client", f"{TEXT}\n_('no ${{name}}', name=repr(name))"),
        (templates_that_cannot_be_found, "client", "from sqlalchemy import text\ntext(sentence)"),
        (
            templates_that_cannot_be_found,
            "views",
            f"{PLURAL}\nplural('1 of ${{x}}', '${{number}} of ${{x}}', 2, x=1)",
        ),
    ],
)
def test_no_rule_finds_what_is_right(rule, room, source):
    assert not list(rule(module(room, source)))
