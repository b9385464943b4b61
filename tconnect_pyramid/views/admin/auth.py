"""*Manage authentication*: the ways to log in, ours and the host's, their order, tests, and taking one away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPNotFound
from pyramid.interfaces import IRoutesMapper
from pyramid.request import Request
from pyramid.response import Response

from tconnect_pyramid.client import authmethods
from tconnect_pyramid.client.authmethods import AuthMethod, Uninstalling
from tconnect_pyramid.client.health import ask_server
from tconnect_pyramid.client.leaving import Effect, Settled
from tconnect_pyramid.client.servers import list_servers
from tconnect_pyramid.peers import Unwell
from tconnect_pyramid.plugins import CONNECT, MANUAL, NOLOGIN
from tconnect_pyramid.texts import Text, plural
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.admin.pages import actor, ask, path, show
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.admin.servers import LeaveForm, told_of_spared
from tconnect_pyramid.views.forms import Attempt
from tconnect_pyramid.views.notices import go

ENTRY = "auth"
"""The entry of the menu."""
CLIENT_SETTINGS = "tconnect.admin.client.settings"

WHAT_IT_IS = {
    MANUAL: _(
        "Accounts with a password that is kept on this site. An administrator makes them and gives them a password. "
        "While this is disabled, no password is accepted."
    ),
    NOLOGIN: _("Accounts by which nobody can log in. It is always there, for accounts that are only kept."),
}


def includeme(config: Configurator) -> None:
    """Add the pages."""
    for name, pattern, view, recent in (
        (ENTRY, "/auth", index, False),
        ("auth.enable", "/auth/{way}/enable", enable, False),
        ("auth.move", "/auth/{way}/move", move, False),
        ("auth.settings", "/auth/{way}/settings", settings, False),
        ("auth.test", "/auth/{way}/test", test, False),
        ("auth.install", "/auth/{way}/install", install, False),
        ("auth.uninstall", "/auth/{way}/uninstall", uninstall, True),
    ):
        add_page(config, name, pattern, view, recent=recent)


@dataclass(frozen=True, slots=True)
class Row:
    """A way to log in, and what can be done with it. `settings` is the address of its page, or empty."""

    method: AuthMethod
    settings: str
    can_switch: bool
    can_test: bool
    can_rise: bool
    can_sink: bool
    can_uninstall: bool


@dataclass(frozen=True, slots=True)
class Result:
    """What a test has found: about what, and unless it is well what to do."""

    about: str
    found: str
    remedy: str = ""
    is_well: bool = True


def index(request: Request) -> Response:
    """The table of the ways to log in."""
    context = request.tconnect
    with context.reading() as session:
        methods = authmethods.list_methods(session, context)
    last = max(method.order or 0 for method in methods)
    rows = [
        Row(
            method,
            settings=_settings_of(request, method.name) if method.installed else "",
            can_switch=method.installed and method.name != NOLOGIN,
            can_test=method.installed and _has_test(request, method.name),
            can_rise=method.order is not None and method.order > 1,
            can_sink=method.order is not None and method.order < last,
            can_uninstall=method.installed and method.name not in authmethods.ALWAYS_THERE,
        )
        for method in methods
    ]
    return show(request, "auth", ENTRY, {"title": _("Manage authentication"), "rows": rows})


def enable(request: Request) -> Response:
    """Enable a way to log in, or disable it."""
    name = _name(request)
    wanted = {"true": True, "false": False}.get(request.POST.get("on", ""))
    if wanted is None:
        return go(request, path(request, ENTRY))
    context = request.tconnect
    attempt = Attempt(request)
    with attempt:
        with context.unit() as session:
            method = authmethods.enable_method(session, context, name, wanted, actor=actor(request))
        said = (
            _("${title} is enabled.", title=method.title)
            if wanted
            else _("${title} is disabled.", title=method.title)
        )
        return go(request, path(request, ENTRY), said)
    return attempt.told_at(path(request, ENTRY))


def move(request: Request) -> Response:
    """Let the login page offer a way earlier or later."""
    name = _name(request)
    direction = request.POST.get("direction", "")
    if direction not in {"up", "down"}:
        return go(request, path(request, ENTRY))
    context = request.tconnect
    attempt = Attempt(request)
    with attempt:
        with context.unit() as session:
            method = authmethods.move_method(session, context, name, direction, actor=actor(request))
        return go(
            request,
            path(request, ENTRY),
            _("${title} is number ${order} on the login page now.", title=method.title, order=method.order),
        )
    return attempt.told_at(path(request, ENTRY))


def settings(request: Request) -> Response:
    """What one of our ways is that has no other page."""
    name = _name(request)
    if name not in WHAT_IT_IS:
        raise HTTPNotFound
    context = request.tconnect
    with context.reading() as session:
        method = authmethods.get_method(session, context, name)
        able = authmethods.count_with_password(session, context) if name == MANUAL else 0
    return show(
        request,
        "auth_settings",
        ENTRY,
        {
            "title": method.title,
            "method": method,
            "what": WHAT_IT_IS[name],
            "able": able,
            "is_manual": name == MANUAL,
            "fixed": "auth.manual" in context.settings.fixed,
        },
    )


def test(request: Request) -> Response:
    """Ask before, and test whether people can log in this way."""
    name = _name(request)
    if not _has_test(request, name):
        raise HTTPNotFound
    results = None
    if request.method == "POST":
        results = _results(request, name)
    return show(
        request,
        "auth_test",
        ENTRY,
        {
            "title": _("Test settings: ${title}", title=authmethods.titles_of(request.tconnect)[name]),
            "results": results,
        },
    )


def install(request: Request) -> Response:
    """Bring back what was uninstalled."""
    name = _name(request)
    if request.method != "POST":
        return go(request, path(request, ENTRY))
    context = request.tconnect
    attempt = Attempt(request)
    with attempt:
        with context.unit() as session:
            method = authmethods.install(session, context, name, actor=actor(request))
        said = (
            _("${title} is installed.", title=method.title)
            if method.enabled
            else _(
                "${title} is installed. Nobody can log in this way before you enable it.", title=method.title
            )
        )
        return go(request, path(request, ENTRY), said)
    return attempt.told_at(path(request, ENTRY))


def uninstall(request: Request) -> Response:
    """Ask what becomes of the accounts, and take a way to log in away."""
    context = request.tconnect
    name = _name(request)
    form = LeaveForm.of(request)
    # A server that does not confirm is asked again; ending it without that is done on its own page.
    del form.force
    attempt = Attempt(request, form)
    if form.is_sent(request):
        with attempt:
            done = authmethods.uninstall(
                context,
                name,
                accounts=form.accounts.data,
                new_auth=form.new_auth.data,
                actor=actor(request),
            )
            return go(
                request,
                path(request, ENTRY),
                _("${title} is not installed any more.", title=done.title),
                is_bad=not all(left.confirmed for left in done.left),
                points=[left.message for left in done.left],
            )
    possible = Attempt(request)
    with possible:
        with context.reading() as session:
            # The choice that spares nobody but those who are always kept, so that both numbers are known.
            planned = authmethods.uninstalling(session, context, name, "delete")
        return ask(
            request,
            ENTRY,
            title=_("Uninstall ${title}?", title=authmethods.titles_of(context)[name]),
            consequences=_consequences(name, planned),
            button=_("Uninstall"),
            cancel=path(request, ENTRY),
            refused=attempt.refused,
            form=form,
        )
    return possible.told_at(path(request, ENTRY))


def _name(request: Request) -> str:
    """The way in the address of the page. Raises HTTPNotFound for what is none."""
    name: str = request.matchdict["way"]
    if name not in authmethods.titles_of(request.tconnect):
        raise HTTPNotFound
    return name


def _settings_of(request: Request, name: str) -> str:
    if name in WHAT_IT_IS:
        return path(request, "auth.settings", way=name)
    host = request.tconnect.auth_methods.methods
    route = host[name].settings_route if name in host else CLIENT_SETTINGS
    mapper = request.registry.getUtility(IRoutesMapper)
    if route is None or mapper.get_route(route) is None:
        return ""
    found: str = request.route_path(route)
    return found


def _has_test(request: Request, name: str) -> bool:
    host = request.tconnect.auth_methods.methods
    return name in {MANUAL, CONNECT} or (name in host and host[name].test is not None)


def _results(request: Request, name: str) -> list[Result]:
    context = request.tconnect
    if name == CONNECT:
        return _results_of_servers(request)
    if name == MANUAL:
        with context.reading() as session:
            able = authmethods.count_with_password(session, context)
        found = plural(
            "${number} person can log in with a password.",
            "${number} people can log in with a password.",
            able,
        )
        return [Result(authmethods.TITLES[MANUAL], found, is_well=able > 0)]
    method = context.auth_methods.methods[name]
    attempt = Attempt(request)
    with attempt:
        return [Result(method.title, method.test(context))]
    return [Result(method.title, attempt.refused or "", is_well=False)]


def _results_of_servers(request: Request) -> list[Result]:
    context = request.tconnect
    with context.reading() as session:
        is_on = context.options(session).client_enabled
        servers = list_servers(session, active_only=True)
    results = []
    if not is_on:
        results.append(
            Result(
                authmethods.TITLES[CONNECT],
                _("It is disabled, so that nobody can log in through a server."),
                _("Enable it in the table."),
                is_well=False,
            )
        )
    if not servers:
        results.append(
            Result(
                authmethods.TITLES[CONNECT],
                _("This site is connected to no server."),
                _("Choose “Connect to new server” on the page of servers."),
                is_well=False,
            )
        )
    for server in servers:
        answer = ask_server(context, server.id)
        if isinstance(answer, Unwell):
            results.append(Result(server.name, answer.found, answer.remedy, is_well=False))
        else:
            results.append(Result(server.name, answer))
    return results


def _consequences(name: str, planned: Uninstalling) -> Sequence[Text]:
    told = [_("This site leaves ${name}.", name=server) for server, _effect in planned.effects]
    every: list[Effect | Settled] = [planned.settled, *(effect for _server, effect in planned.effects)]
    told += [
        plural(
            "${number} account that has it becomes what you choose below.",
            "${number} accounts that have it become what you choose below.",
            sum(each.deleted for each in every),
        ),
        plural(
            "${number} sign-in is ended.",
            "${number} sign-ins are ended.",
            sum(each.sign_ins for each in every),
        ),
    ]
    spared = sorted({username for each in every for username in each.spared})
    if spared:
        told.insert(-1, told_of_spared(spared))
    if name == CONNECT:
        told.append(
            _(
                "An open invitation to a server is withdrawn, and the settings of the client and of its guards go back "
                "to what they are at first."
            )
        )
    told.append(_("Nobody logs in this way any more until it is installed and enabled again."))
    return told
