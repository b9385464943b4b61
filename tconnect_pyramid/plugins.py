"""What a host adds to a site: service calls under component names of its own (protocol 4), and ways to log in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.protocol.services import CLIENT_COMPONENT, OUR_COMPONENT, SERVER_COMPONENT
from tconnect_pyramid.protocol.values import is_component

Role = Literal["server", "client"]

ROLES: tuple[Role, ...] = ("server", "client")

# What a form says about the call itself: a plugin needs no secret of the connection.
_OF_THE_CALL = frozenset(
    {"serveridnumber", "serversecret", "clientidnumber", "clientsecret", "service", "component"}
)

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Peer:
    """The authenticated site that calls a plugin's service.

    `id` is that of its row here: a client's when this site is called as a server, else a server's.
    `idnumber` is its `clientidnumber` or `serveridnumber`; `apiversion` the version spoken with it.
    """

    id: int
    idnumber: str
    apiversion: int


PluginService = Callable[[Any, Peer, Mapping[str, str]], object]
"""Takes the site's `Context`, the peer and its parameters; gives JSON-able data, may raise `Refused`."""

ServiceKey = tuple[Role, str, str]
"""In which role the service is offered, its component, its name in small letters."""


def service_key(role: str, component: str, name: str) -> ServiceKey:
    """The key of a service that is to be added. Raises ConfigurationProblem, telling all that is wrong."""
    problems = []
    if role not in ROLES:
        problems.append(f"the role is 'server' or 'client', not {role!r}")
    if not is_component(component):
        problems.append(
            f"{component!r} is no component name: small letters, digits and _, as in 'local_catalogue'"
        )
    elif component in {SERVER_COMPONENT, CLIENT_COMPONENT, OUR_COMPONENT}:
        problems.append(f"{component!r} names the built-in services; choose a component name of your own")
    if not _NAME.fullmatch(name):
        problems.append(f"{name!r} is no service name: small letters, digits and _, as in 'get_prices'")
    if problems:
        raise ConfigurationProblem([f"add_tconnect_service: {problem}." for problem in problems])
    return "server" if role == "server" else "client", component, name


def own_parameters(form: Mapping[str, str]) -> dict[str, str]:
    """The fields of a posted form that are meant for the plugin."""
    return {name: value for name, value in form.items() if name not in _OF_THE_CALL}


@dataclass(frozen=True, slots=True)
class PluginServices:
    """All services that the host has added, in both roles."""

    services: Mapping[ServiceKey, PluginService] = field(default_factory=lambda: MappingProxyType({}))

    def has_component(self, role: Role, component: str) -> bool:
        """Whether this component offers anything in this role."""
        return any(key[:2] == (role, component) for key in self.services)

    def find(self, role: Role, component: str, name: str) -> PluginService | None:
        """The service with this name in small letters, or None."""
        return self.services.get((role, component, name))


MANUAL = "manual"
CONNECT = "connect"
NOLOGIN = "nologin"
OWN_METHODS = (MANUAL, CONNECT, NOLOGIN)
"""The ways to log in that every site has."""

# What the column `auth` of an account takes, here and at a Totara peer.
_METHOD = re.compile(r"[a-z][a-z0-9_]{0,19}")


@dataclass(frozen=True, slots=True)
class HostMethod:
    """A way to log in that the host has added: `name` is what `auth` of its accounts says.

    `enabled` is what it is until an administrator says otherwise. `settings_route` leads to a page of the host.
    `test` takes the site's `Context` and gives a sentence, or raises a `TConnectError`. By one that is no
    way in nobody logs in, as by `nologin`.
    """

    name: str
    title: str
    enabled: bool = True
    settings_route: str | None = None
    test: Callable[[Any], str] | None = None
    is_way_in: bool = True


def check_method(method: HostMethod) -> None:
    """Raises ConfigurationProblem for a method that cannot be added, telling all that is wrong."""
    problems = []
    if not _METHOD.fullmatch(method.name):
        problems.append(
            f"{method.name!r} is no name of an auth method: at most 20 small letters, digits and _, as in 'ldap'"
        )
    elif method.name in OWN_METHODS:
        problems.append(f"{method.name!r} is one of our own; choose another name")
    if not method.title.strip():
        problems.append(f"{method.name!r} needs a title")
    if problems:
        raise ConfigurationProblem([f"add_tconnect_auth_method: {problem}." for problem in problems])


@dataclass(frozen=True, slots=True)
class HostMethods:
    """All ways to log in that the host has added, by name."""

    methods: Mapping[str, HostMethod] = field(default_factory=lambda: MappingProxyType({}))
