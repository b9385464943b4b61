"""Names, parameters and refusals of the service calls (protocol 3, 4, 5 and 7).

What is decided here is only what the form itself tells; whether a secret, token or person is the
right one is for `server` and `client` to say, with the refusals below. A refusal is made anew each time
(`raise invalid_server_secret()`), as an exception carries the traceback of its raise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tconnect_pyramid.errors import Refused
from tconnect_pyramid.protocol import versions
from tconnect_pyramid.protocol.values import canonical_int, is_component, is_token, one_line, php_empty

GET_API_VERSION = "get_api_version"
UPDATE_API_VERSION = "update_api_version"
GET_USERS = "get_users"
GET_USER = "get_user"
GET_USER_COLLECTIONS = "get_user_collections"
GET_POSITIONS = "get_positions"
GET_ORGANISATIONS = "get_organisations"
GET_SSO_USER = "get_sso_user"
FORCE_SSO_LOGOUT = "force_sso_logout"
DELETE_CLIENT = "delete_client"

VALIDATE_SSO_REQUEST_TOKEN = "validate_sso_request_token"  # noqa: S105 - the name of a service
IS_SSO_USER_ACTIVE = "is_sso_user_active"
KILL_SSO_USER = "kill_sso_user"

# The components whose services are the built-in ones (protocol 4).
SERVER_COMPONENT = "totara_connect"
CLIENT_COMPONENT = "auth_connect"

OUR_COMPONENT = "tconnect"
"""The component of what sites of this project offer each other besides; a Totara site answers it with an error."""
RENEW_SECRETS = "renew_secrets"

_MAX_URL = 255
_MAX_NAME = 255
_VISIBLE_ASCII = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Service:
    """A built-in service: its name and its parameters in the order in which they are sent."""

    name: str
    parameters: tuple[str, ...]


def _table(*services: Service) -> dict[str, Service]:
    return {service.name: service for service in services}


SERVER_SERVICES: Mapping[str, Service] = _table(
    Service(GET_API_VERSION, ("clienttype",)),
    Service(UPDATE_API_VERSION, ("apiversion", "clienttype")),
    Service(GET_USERS, ()),
    Service(GET_USER, ("userid",)),
    Service(GET_USER_COLLECTIONS, ()),
    Service(GET_POSITIONS, ()),
    Service(GET_ORGANISATIONS, ()),
    Service(GET_SSO_USER, ("ssotoken",)),
    Service(FORCE_SSO_LOGOUT, ("ssotoken",)),
    Service(DELETE_CLIENT, ()),
)

CLIENT_SERVICES: Mapping[str, Service] = _table(
    Service(VALIDATE_SSO_REQUEST_TOKEN, ("requesttoken",)),
    Service(IS_SSO_USER_ACTIVE, ("ssotoken",)),
    Service(KILL_SSO_USER, ("ssotoken",)),
)


# --- refusals -------------------------------------------------------------------------------------


def _refusal(reason: str, parameter: str | None = None) -> Callable[[], Refused]:
    return lambda: Refused(reason, parameter=parameter)


# Of every call (protocol 4), in the order in which they are to be checked.
invalid_parameters = _refusal("invalid parameters")
invalid_server_secret = _refusal("invalid server secret or idnumber")
server_not_enabled = _refusal("connect server not enabled")
client_not_active = _refusal("connect client is not active")
invalid_client_secret = _refusal("invalid client secret or idnumber")
client_not_enabled = _refusal("connect client not enabled")
server_not_active = _refusal("connect server is not active")
unsupported_api_version = _refusal("unsupported api version")

# Of the registration (protocol 3); the spelling is Totara's.
invalid_setup_secret = _refusal("invalid setup secret")
api_version_not_supported = _refusal("api version not supported")
duplicate_server_idnumber = _refusal("dupplicate server idnumber")
duplicate_client_idnumber = _refusal("dupplicate client idnumber")

# Of parameters (protocol 5 and 7).
invalid_clienttype = _refusal("incorrect or missing clienttype name", "clienttype")
missing_apiversion = _refusal("missing api version number", "apiversion")
unsupported_apiversion = _refusal("unsupported api version number", "apiversion")
missing_userid = _refusal("missing server user id number", "if")
missing_ssotoken = _refusal("missing sso token", "ssotoken")
malformed_ssotoken = _refusal("invalid sso token format", "ssotoken")
invalid_ssotoken = _refusal("invalid sso token", "ssotoken")
missing_requesttoken = _refusal("missing sso request token", "requesttoken")
malformed_requesttoken = _refusal("invalid request token format", "ssotoken")

# Of single sign-on (protocol 5 and 7).
session_expired = _refusal("session expired")
invalid_user_session = _refusal("invalid user session")
reused_ssotoken = _refusal("reused ssotoken")
sso_request_timed_out = _refusal("sso request timed out")


def invalid_component(component: str) -> Refused:
    """The component offers nothing to this peer; a client uses the server's words here (protocol 4)."""
    return Refused(f"invalid server service component: {component}")


def invalid_server_service(service: str) -> Refused:
    """A server has no service of this name, given as the peer wrote it."""
    return Refused(f"invalid server service name: {service}")


def invalid_client_service(service: str) -> Refused:
    """A client has no service of this name, given as the peer wrote it."""
    return Refused(f"invalid client service name: {service}")


def not_in_version(service: str, version: int) -> Refused:
    """The service exists only in a later version than the one spoken with this peer (protocol 5)."""
    return Refused(f"{service} not available in api version {version}")


# --- calling --------------------------------------------------------------------------------------


def call_server(
    serveridnumber: str, serversecret: str, service: str, **params: str | int
) -> list[tuple[str, str]]:
    """The form of a client's call of a server's service, in the order of a Totara client.

    `params` are those of the service; `component` names a plugin's own one. Raises `TypeError` when
    a built-in service is called without one of its parameters or with others.
    """
    credentials = [("serveridnumber", serveridnumber), ("serversecret", serversecret)]
    return credentials + _call(SERVER_SERVICES, service, params)


def call_client(
    clientidnumber: str, clientsecret: str, service: str, **params: str | int
) -> list[tuple[str, str]]:
    """The form of a server's call of a client's service, in the order of a Totara server.

    `params` and errors as in `call_server`.
    """
    credentials = [("clientidnumber", clientidnumber), ("clientsecret", clientsecret)]
    return credentials + _call(CLIENT_SERVICES, service, params)


def _call(known: Mapping[str, Service], name: str, params: dict[str, str | int]) -> list[tuple[str, str]]:
    order = list(params)
    if "component" in params:
        order.sort(key=lambda parameter: parameter != "component")
    elif name in known:
        if set(params) != set(known[name].parameters):
            expected = ", ".join(known[name].parameters) or "no parameters"
            raise TypeError(f"{name} takes {expected}, not {', '.join(params) or 'no parameters'}")
        order = list(known[name].parameters)
    return [("service", name), *((parameter, str(params[parameter])) for parameter in order)]


def setup_form(
    *,
    setupsecret: str,
    serveridnumber: str,
    serversecret: str,
    serverurl: str,
    servername: str,
    clientidnumber: str,
    clientsecret: str,
) -> list[tuple[str, str]]:
    """The form by which a server registers itself at a client (protocol 3)."""
    return [
        ("setupsecret", setupsecret),
        ("serveridnumber", serveridnumber),
        ("serversecret", serversecret),
        ("serverurl", serverurl.rstrip("/")),
        ("servername", servername[:_MAX_NAME]),
        ("clientidnumber", clientidnumber),
        ("clientsecret", clientsecret),
        ("minapiversion", str(versions.MIN_VERSION)),
        ("maxapiversion", str(versions.MAX_VERSION)),
    ]


# --- answering ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServiceCall:
    """A call as a peer made it; nothing of it is believed yet.

    `service` is as given (refusals show it so), `name` as it is to be matched. `component` is empty
    for the built-in services. `form` holds all fields.
    """

    idnumber: str
    secret: str = field(repr=False)
    service: str
    component: str
    form: dict[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """The service's name for matching: PHP disregards the case of ASCII letters only."""
        return self.service.lower() if self.service.isascii() else self.service


def read_server_call(form: Mapping[str, str]) -> ServiceCall:
    """A client's call that arrived at a server; raises `Refused` without idnumber, secret or service."""
    return _read_call(form, "serveridnumber", "serversecret", SERVER_COMPONENT)


def read_client_call(form: Mapping[str, str]) -> ServiceCall:
    """A server's call that arrived at a client; raises `Refused` without idnumber, secret or service."""
    return _read_call(form, "clientidnumber", "clientsecret", CLIENT_COMPONENT)


def _read_call(form: Mapping[str, str], idnumber: str, secret: str, built_in: str) -> ServiceCall:
    if any(php_empty(form.get(name)) for name in (idnumber, secret, "service")):
        raise invalid_parameters()
    component = form.get("component", "")
    if component == built_in or not is_component(component):
        component = ""
    return ServiceCall(form[idnumber], form[secret], form["service"], component, dict(form))


def read_clienttype(form: Mapping[str, str]) -> str:
    """The parameter `clienttype`, one of `versions.CLIENT_TYPES`; raises `Refused`."""
    clienttype = form.get("clienttype")
    if clienttype not in versions.CLIENT_TYPES:
        raise invalid_clienttype()
    return clienttype


def read_apiversion(form: Mapping[str, str]) -> int:
    """The parameter `apiversion`, a version that we speak; raises `Refused`.

    `update_api_version` reads this one first and `read_clienttype` second.
    """
    apiversion = form.get("apiversion")
    if php_empty(apiversion):
        raise missing_apiversion()
    version = canonical_int(apiversion)
    if version is None or not versions.MIN_VERSION <= version <= versions.MAX_VERSION:
        raise unsupported_apiversion()
    return version


def read_userid(form: Mapping[str, str]) -> int:
    """The parameter `userid`, above 0; raises `Refused`, whose parameter is called `if` (protocol 5)."""
    userid = canonical_int(form.get("userid"))
    if not userid:
        raise missing_userid()
    return userid


def read_ssotoken(form: Mapping[str, str]) -> str:
    """The parameter `ssotoken`, well formed; raises `Refused`. An empty one is badly formed (protocol 1)."""
    ssotoken = form.get("ssotoken")
    if ssotoken is None:
        raise missing_ssotoken()
    if not is_token(ssotoken):
        raise malformed_ssotoken()
    return ssotoken


def read_requesttoken(form: Mapping[str, str]) -> str:
    """The parameter `requesttoken`, well formed; raises `Refused`. An empty one, or `0`, is missing."""
    requesttoken = form.get("requesttoken")
    if requesttoken is None or php_empty(requesttoken):
        raise missing_requesttoken()
    if not is_token(requesttoken):
        raise malformed_requesttoken()
    return requesttoken


def read_new_secrets(form: Mapping[str, str]) -> tuple[str, str]:
    """The parameters `newserversecret` and `newclientsecret` of a server's `renew_secrets`; raises `Refused`."""
    secrets = form.get("newserversecret", ""), form.get("newclientsecret", "")
    if not all(map(is_token, secrets)):
        raise invalid_parameters()
    return secrets


@dataclass(frozen=True, slots=True)
class Setup:
    """A server's registration as it arrived at a client (protocol 3). `serverurl` has no final slash."""

    setupsecret: str = field(repr=False)
    serveridnumber: str
    serversecret: str = field(repr=False)
    serverurl: str
    servername: str
    clientidnumber: str
    clientsecret: str = field(repr=False)
    minapiversion: int
    maxapiversion: int


def read_setupsecret(form: Mapping[str, str]) -> str:
    """The setup secret of a registration, well formed; raises `Refused`.

    To be compared before `read_setup` looks at the rest: a stranger without the secret is told
    `invalid setup secret` and nothing else (protocol 3).
    """
    setupsecret = form.get("setupsecret")
    if setupsecret is None or not is_token(setupsecret):
        raise invalid_setup_secret()
    return setupsecret


def read_setup(form: Mapping[str, str]) -> Setup:
    """A whole registration; raises `Refused`, first of all about the setup secret."""
    setupsecret = read_setupsecret(form)
    tokens = [
        form.get(name, "") for name in ("serveridnumber", "serversecret", "clientidnumber", "clientsecret")
    ]
    lowest, highest = (canonical_int(form.get(name)) for name in ("minapiversion", "maxapiversion"))
    url = form.get("serverurl", "").rstrip("/")
    name = one_line(form.get("servername", ""))
    if not all(is_token(token) for token in tokens) or lowest is None or highest is None:
        raise invalid_parameters()
    if not _is_base_url(url) or not 0 < len(name) <= _MAX_NAME:
        raise invalid_parameters()
    return Setup(
        setupsecret=setupsecret,
        serveridnumber=tokens[0],
        serversecret=tokens[1],
        serverurl=url,
        servername=name,
        clientidnumber=tokens[2],
        clientsecret=tokens[3],
        minapiversion=lowest,
        maxapiversion=highest,
    )


def _is_base_url(url: str) -> bool:
    # urlsplit drops tabs and line ends before it looks, so they are refused here.
    if len(url) > _MAX_URL or _VISIBLE_ASCII.fullmatch(url) is None or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        has_good_port = parts.port != 0
    except ValueError:
        return False
    return (
        parts.scheme in {"http", "https"}
        and bool(parts.hostname)
        and has_good_port
        and "@" not in parts.netloc
        and "?" not in url
        and "#" not in url
    )
