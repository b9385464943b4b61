"""Service calls that a host adds to those of the protocol, under component names of its own (protocol 4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.protocol.services import CLIENT_COMPONENT, SERVER_COMPONENT
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
    elif component in {SERVER_COMPONENT, CLIENT_COMPONENT}:
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
