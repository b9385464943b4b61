"""From a Pyramid registry to a site's `Context`: the directives of a host, and what follows from them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pyramid.config import PHASE3_CONFIG, Configurator
from pyramid.interfaces import IRoutesMapper
from pyramid.registry import Registry
from pyramid.request import Request
from sqlalchemy import Engine, create_engine, make_url

from tconnect_pyramid import sqlite
from tconnect_pyramid.context import Context
from tconnect_pyramid.database import Database
from tconnect_pyramid.directory.accounts import Accounts
from tconnect_pyramid.directory.columnmap import STANDARD_FIELDS, ColumnMap, own_accounts
from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.interfaces import Clock, IContext, ITransport, Transport
from tconnect_pyramid.plugins import (
    HostMethod,
    HostMethods,
    PluginService,
    PluginServices,
    Role,
    ServiceKey,
    check_method,
    service_key,
)
from tconnect_pyramid.secretbox import SecretBox
from tconnect_pyramid.settings import Settings, expand, read_settings
from tconnect_pyramid.transport import HttpTransport

AFTER_ALL_DIRECTIVES = PHASE3_CONFIG + 10


class Directed:
    """The settings, and what a host has said by directives, until the context is built from it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.columns: ColumnMap | None = None
        self.engine: Engine | None = None
        self.transport: Transport | None = None
        self.clock: Clock | None = None
        self.login_route: str | None = None
        self.profile_route: str | None = None
        self.profile_fields: frozenset[str] | None = None
        self.layout: str = "tconnect_pyramid:templates/tconnect/base.jinja2"
        self.acting_as: Callable[[Request], bool] | None = None
        self.services: dict[ServiceKey, PluginService] = {}
        self.auth_methods: dict[str, HostMethod] = {}


def includeme(config: Configurator) -> None:
    """Add the directives, and build the site's context once all of them have been heard."""
    raw = {name: str(value) for name, value in config.registry.settings.items()}
    config.registry["tconnect.directed"] = Directed(read_settings(raw))
    for directive in (
        set_tconnect_accounts,
        set_tconnect_dbsession,
        set_tconnect_login_route,
        set_tconnect_profile_route,
        set_tconnect_profile_fields,
        set_tconnect_layout,
        set_tconnect_acting_as,
        set_tconnect_transport,
        set_tconnect_clock,
        add_tconnect_service,
        add_tconnect_auth_method,
    ):
        config.add_directive(directive.__name__, directive)
    config.add_request_method(lambda request: context_of(request.registry), "tconnect", reify=True)
    config.add_request_method(
        lambda request: request.registry["tconnect.directed"].layout, "tconnect_layout", reify=True
    )
    config.action("tconnect context", lambda: register_context(config.registry), order=AFTER_ALL_DIRECTIVES)


def context_of(registry: Registry) -> Context:
    """The context of a configured site. Raises ConfigurationProblem when the add-on was not included."""
    context = registry.queryUtility(IContext)
    if context is None:
        raise ConfigurationProblem(
            ['This application does not include tconnect_pyramid: call config.include("tconnect_pyramid").']
        )
    return context  # type: ignore[no-any-return]


def login_route(request: Request) -> str | None:
    """The name of the route where people log in to this site, if the host has said so."""
    return request.registry["tconnect.directed"].login_route  # type: ignore[no-any-return]


def profile_route(request: Request) -> str | None:
    """The name of the route where people see their profile, if the host has said so."""
    return request.registry["tconnect.directed"].profile_route  # type: ignore[no-any-return]


def profile_fields(request: Request) -> frozenset[str] | None:
    """The standard fields that may be changed by our form of a profile; None for all that are mapped."""
    return request.registry["tconnect.directed"].profile_fields  # type: ignore[no-any-return]


def acting_as(request: Request) -> Callable[[Request], bool] | None:
    """What a host has named to tell whether somebody acts as another person."""
    return request.registry["tconnect.directed"].acting_as  # type: ignore[no-any-return]


def set_tconnect_accounts(
    config: Configurator, mapped_class: type[Any], *, fields: Mapping[str, Any], defaults: Any = None
) -> None:
    """Use the host's own mapped class as the account table.

    `fields`: standard field -> column attribute or `directory.columnmap.Mapped`; `defaults`: values
    for the class's other columns that may not be NULL. Raises ConfigurationProblem naming what is wrong.
    """
    columns = ColumnMap(mapped_class, fields, defaults)
    _direct(config, "accounts", "columns", columns, mapped_class.__name__)


def set_tconnect_dbsession(config: Configurator, factory: Any) -> None:
    """Use the host's engine: `factory` is its sessionmaker (or the engine itself)."""
    engine = factory if isinstance(factory, Engine) else factory.kw.get("bind")
    if not isinstance(engine, Engine):
        raise ConfigurationProblem(["set_tconnect_dbsession: give a sessionmaker bound to an engine."])
    _direct(config, "dbsession", "engine", engine, str(engine.url))


def set_tconnect_login_route(config: Configurator, name: str) -> None:
    """Name the route of the host's login page. It is given `?next=<own path>` and should honour it."""
    _direct(config, "login_route", "login_route", name, name)


def set_tconnect_profile_route(config: Configurator, name: str) -> None:
    """Name the route of the page where people see their own profile; it may be given `?notice=<word>`."""
    _direct(config, "profile_route", "profile_route", name, name)


def set_tconnect_profile_fields(config: Configurator, names: Iterable[str]) -> None:
    """Say which standard fields people may change by our form of a profile, instead of all that are mapped.

    Raises ConfigurationProblem for what is no standard field.
    """
    wanted = frozenset(names)
    unknown = sorted(wanted - set(STANDARD_FIELDS))
    if unknown:
        raise ConfigurationProblem(
            [
                (
                    f"set_tconnect_profile_fields: {', '.join(unknown)} is no standard field; the fields are those "
                    "of the user record, see docs/hosts.md."
                )
            ]
        )
    _direct(config, "profile_fields", "profile_fields", wanted, ", ".join(sorted(wanted)))


def set_tconnect_layout(config: Configurator, template: str) -> None:
    """Put our pages into a Jinja2 template of the host's, with the blocks `title` and `main`."""
    _direct(config, "layout", "layout", template, template)


def set_tconnect_acting_as(config: Configurator, acting: Callable[[Request], bool]) -> None:
    """Tell who is not themselves: `acting(request)` says whether somebody acts as another person.

    `acting` is a callable or its dotted name. Nobody is signed in at a client as somebody else (protocol 7.2).
    """
    found = config.maybe_dotted(acting)
    if not callable(found):
        raise ConfigurationProblem([f"set_tconnect_acting_as: {acting!r} cannot be called."])
    _direct(config, "acting_as", "acting_as", found, repr(found))


def set_tconnect_transport(config: Configurator, transport: Transport) -> None:
    """Replace the way calls reach peers (tests wire two sites of one process together by it)."""
    _direct(config, "transport", "transport", transport, type(transport).__name__)


def set_tconnect_clock(config: Configurator, clock: Clock) -> None:
    """Replace the clock: a callable that gives Unix seconds."""
    _direct(config, "clock", "clock", clock, repr(clock))


def add_tconnect_service(
    config: Configurator, component: str, name: str, service: Any, *, role: Role = "server"
) -> None:
    """Offer a service of the host's own to peers that may use plugin services (protocol 4).

    `service`, a callable or its dotted name, is called with the site's context, the `plugins.Peer` and
    the parameters by name; what it gives is sent as data, a `Refused` it raises as the refusal. `role` is
    the one in which this site is called. Raises ConfigurationProblem for names that cannot be used.
    """
    key = service_key(role, component, name)
    service = config.maybe_dotted(service)
    if not callable(service):
        raise ConfigurationProblem(
            [f"add_tconnect_service: {component} {name}: {service!r} cannot be called."]
        )
    directed: Directed = config.registry["tconnect.directed"]
    introspectable = config.introspectable(
        "tconnect_pyramid services", key, f"{component} {name} ({role})", "add_tconnect_service"
    )
    introspectable.update(component=component, name=name, role=role, service=service)

    def register() -> None:
        directed.services[key] = service

    config.action(("tconnect service", *key), register, introspectables=(introspectable,))


def add_tconnect_auth_method(
    config: Configurator,
    name: str,
    title: str,
    *,
    enabled: bool = True,
    settings_route: str | None = None,
    test: Any = None,
    is_way_in: bool = True,
) -> None:
    """Name a way to log in of the host's own, so that administrators look after it beside ours.

    `name` is what `auth` of its accounts says. See `plugins.HostMethod` for the rest; `test` may be a dotted
    name. Raises ConfigurationProblem for what cannot be used.
    """
    found = config.maybe_dotted(test)
    if found is not None and not callable(found):
        raise ConfigurationProblem(
            [f"add_tconnect_auth_method: the test of {name}, {test!r}, cannot be called."]
        )
    method = HostMethod(name, title, enabled, settings_route, found, is_way_in)
    check_method(method)
    directed: Directed = config.registry["tconnect.directed"]
    introspectable = config.introspectable(
        "tconnect_pyramid auth methods", name, title, "add_tconnect_auth_method"
    )
    introspectable.update(name=name, title=title, method=method)

    def register() -> None:
        directed.auth_methods[name] = method

    config.action(("tconnect auth method", name), register, introspectables=(introspectable,))


def _direct(config: Configurator, directive: str, attribute: str, value: Any, title: str) -> None:
    directed = config.registry["tconnect.directed"]
    introspectable = config.introspectable("tconnect_pyramid", directive, title, f"set_tconnect_{directive}")
    config.action(
        f"tconnect {directive}",
        lambda: setattr(directed, attribute, value),
        introspectables=(introspectable,),
    )


def register_context(registry: Registry) -> None:
    """Build the site's context from its settings and what the host has said, for `context_of` to find."""
    directed: Directed = registry["tconnect.directed"]
    settings = directed.settings
    _check_routes(registry, directed.auth_methods)
    database = Database(directed.engine or _engine(registry))
    context = Context(
        settings=settings,
        database=database,
        accounts=Accounts(directed.columns or own_accounts()),
        box=SecretBox(settings.secret_keys),
        clock=directed.clock or _now,
        transport=directed.transport or _transport(settings, database),
        plugins=PluginServices(MappingProxyType(directed.services)),
        auth_methods=HostMethods(MappingProxyType(directed.auth_methods)),
    )
    registry.registerUtility(context, IContext)
    registry.registerUtility(context.transport, ITransport)


def _check_routes(registry: Registry, methods: Mapping[str, HostMethod]) -> None:
    mapper = registry.queryUtility(IRoutesMapper)
    problems = [
        f"add_tconnect_auth_method: the settings_route of {name!r}, {method.settings_route!r}, is no route."
        for name, method in methods.items()
        if method.settings_route and (mapper is None or mapper.get_route(method.settings_route) is None)
    ]
    if problems:
        raise ConfigurationProblem(problems)


def _engine(registry: Registry) -> Engine:
    factory = registry.get("dbsession_factory")
    if factory is not None:
        # Where Pyramid's cookiecutter keeps the session factory.
        engine = factory.kw.get("bind")
        if isinstance(engine, Engine):
            return engine
    url = expand(registry.settings.get("sqlalchemy.url", ""))
    if not url:
        raise ConfigurationProblem(
            [
                (
                    "No database: set sqlalchemy.url in the ini file, or call config.set_tconnect_dbsession("
                    "session_factory)."
                )
            ]
        )
    # Values would stand in the text of every error, and so in the log: people's data and their hashes.
    engine = create_engine(url, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        database = make_url(url).database
        if database:
            Path(database).parent.mkdir(parents=True, exist_ok=True)
        sqlite.configure(engine)
    return engine


def _transport(settings: Settings, database: Database) -> HttpTransport:
    if settings.development:
        # A call with a transaction open is a mistake in the code: found here, not in production.
        return HttpTransport(
            private_networks=settings.private_networks,
            allow_http=settings.allow_http,
            ca_file=settings.ca_file,
            check_idle=database.assert_idle,
        )
    return HttpTransport(
        private_networks=settings.private_networks,
        allow_http=settings.allow_http,
        ca_file=settings.ca_file,
    )


def _now() -> int:
    return int(time.time())
