"""The rules of the protocol's page for a server that is called: sections 1, 4 and 5 (hand shake, leaving).

Each row is a sentence of the page and names its section. The page is read, not the code: where both
differ, the row stays as the page says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pytest
from support import server_by_http
from support.server_by_http import (
    DATABASES,
    OFF,
    ON,
    ServerByHttp,
    error,
    fail,
    success,
    table,
)
from support.server_site import ORGANISATIONS, POSITIONS, ClientSite

from tconnect_pyramid.secretbox import new_token
from tconnect_pyramid.server import clients

BAD_PARAMETERS = error("invalid parameters")
STRANGER = error("invalid server secret or idnumber")
NOT_ENABLED = error("connect server not enabled")
NOT_ACTIVE = error("connect client is not active")
UNSUPPORTED = error("unsupported api version")
VERSIONS = success({"minapiversion": 1, "maxapiversion": 2})
BAD_TYPE = fail("clienttype", "incorrect or missing clienttype name")
NO_VERSION = fail("apiversion", "missing api version number")
BAD_VERSION = fail("apiversion", "unsupported api version number")
NO_USERID = fail("if", "missing server user id number")
NO_TOKEN = fail("ssotoken", "missing sso token")
ODD_TOKEN = fail("ssotoken", "invalid sso token format")
BAD_TOKEN = fail("ssotoken", "invalid sso token")
NOTHING = success([])

BUILT_IN = (
    "get_api_version",
    "update_api_version",
    "get_users",
    "get_user",
    "get_user_collections",
    "get_positions",
    "get_organisations",
    "get_sso_user",
    "force_sso_logout",
    "delete_client",
)


def not_a_component(name: str) -> dict:
    return error(f"invalid server service component: {name}")


def not_a_service(name: str) -> dict:
    return error(f"invalid server service name: {name}")


@pytest.fixture(scope="module", params=DATABASES)
def server(request, tmp_path_factory):
    with server_by_http.running(request.param, tmp_path_factory.mktemp("server")) as made:
        yield made


# --- calls: who is refused, and how parameters are read -------------------------------------------------


@dataclass(frozen=True)
class Call:
    """A call of `get_api_version` but for these fields of the form; None leaves one out."""

    says: str
    expected: object
    form: dict[str, str | None] = field(default_factory=dict)
    client: dict[str, Any] = field(default_factory=dict)


HANDSHAKE = {"service": "update_api_version"}
SHOP = {"component": "local_shop", "service": "echo", "clienttype": None}
ALLOWED = {"plugin_services": True}

CALLS = [
    # Section 1: PHP's idea of empty; numbers, names, tokens.
    *(
        Call(f"1 and 4: {what} is {how}: missing", BAD_PARAMETERS, {what: value})
        for what in ("serveridnumber", "serversecret", "service")
        for how, value in (("absent", None), ("empty", ""), ("0", "0"))
    ),
    *(
        Call(f"1 empty: a user id {how}", NO_USERID, {"service": "get_user", "userid": value})
        for how, value in (("absent", None), ("empty", ""), ("of 0", "0"))
    ),
    Call("1 empty: an absent ssotoken is missing", NO_TOKEN, {"service": "get_sso_user"}),
    Call("1 empty: an ssotoken '' is badly formed", ODD_TOKEN, {"service": "get_sso_user", "ssotoken": ""}),
    *(
        Call(f"1 canonical numbers: a user id {value!r}", NO_USERID, {"service": "get_user", "userid": value})
        for value in ("03", " 3", "3 ", "+3", "-3", "3.0", "3e0", "0x3", "three", "٣")
    ),
    *(
        Call(
            f"1 canonical numbers: an apiversion {value!r}",
            BAD_VERSION,
            {**HANDSHAKE, "apiversion": value},
        )
        for value in ("02", " 2", "+2", "2.0", "two")
    ),
    *(
        Call(f"1 service names: {name} is matched without regard to case", VERSIONS, {"service": name})
        for name in ("GET_API_VERSION", "Get_Api_Version", "get_api_VERSION")
    ),
    *(
        Call(
            f"1 components: {name!r} is no component name and counts as absent", VERSIONS, {"component": name}
        )
        for name in (
            "Totara",
            "local-shop",
            "local shop",
            "1shop",
            "_shop",
            "shop_",
            "a",
            "löcal",
            "*",
            "0",
            "local__a",
            "local_a",
        )
    ),
    *(
        Call(f"1 components: {name!r} is a component name", not_a_component(name), {"component": name})
        for name in ("mod_forum", "core", "ab", "a1", "local_a_b", "local_shop2", "local_a_bc")
    ),
    # Section 4: the three parameters, and what of them is wrong.
    Call("4 all is well", VERSIONS),
    Call("4 another secret", STRANGER, {"serversecret": "0" * 40}),
    Call("4 another idnumber", STRANGER, {"serveridnumber": "0" * 40}),
    Call(
        "4 a client that is being registered", NOT_ACTIVE, {"service": "get_users"}, {"state": "registering"}
    ),
    Call("4 a client that was deleted", NOT_ACTIVE, {}, {"state": "deleted"}),
    *(
        Call(f"4 a client whose version is {version}", UNSUPPORTED, {}, {"apiversion": version})
        for version in (0, 3, 9)
    ),
    *(
        Call(f"4 {name!r} is no service", not_a_service(name), {"service": name})
        for name in (
            "nope",
            "get_api_version ",
            "kill_sso_user",
            "validate_sso_request_token",
            "__class__",
            "1",
        )
    ),
    # Section 4: components.
    Call("4 component: absent means the built-in services", VERSIONS, {"component": None}),
    Call("4 component: empty means the built-in services", VERSIONS, {"component": ""}),
    Call(
        "4 component: totara_connect means the built-in services", VERSIONS, {"component": "totara_connect"}
    ),
    Call(
        "4 component: auth_connect means them on a client, not here",
        not_a_component("auth_connect"),
        {"component": "auth_connect"},
        ALLOWED,
    ),
    Call(
        "4 component: totara_connect_x is another one",
        not_a_component("totara_connect_x"),
        {"component": "totara_connect_x"},
        ALLOWED,
    ),
    Call("4 plugin: a client that may not", not_a_component("local_shop"), SHOP),
    Call(
        "4 plugin: a component that nobody registered",
        not_a_component("local_xy"),
        {**SHOP, "component": "local_xy"},
        ALLOWED,
    ),
    Call(
        "4 plugin: one that answers servers only",
        not_a_component("local_other"),
        {**SHOP, "component": "local_other", "service": "price_changed"},
        ALLOWED,
    ),
    Call(
        "4 plugin: a service that it did not register",
        not_a_service("nope"),
        {**SHOP, "service": "nope"},
        ALLOWED,
    ),
    Call(
        "4 plugin: the built-in services are not the plugin's",
        not_a_service("get_users"),
        {**SHOP, "service": "get_users"},
        ALLOWED,
    ),
    Call("4 plugin: no data is []", NOTHING, {**SHOP, "service": "nothing"}, ALLOWED),
    Call(
        "4 plugin: names of services without regard to case", NOTHING, {**SHOP, "service": "NOTHING"}, ALLOWED
    ),
    *(
        Call(f"1 an error is JSend too: {what}", error("internal error"), {**SHOP, "service": name}, ALLOWED)
        for what, name in (("a plugin that breaks", "break"), ("one whose answer is no JSON", "odd"))
    ),
    Call("4 plugin: it refuses", error("no prices today"), {**SHOP, "service": "refuse"}, ALLOWED),
    Call(
        "4 plugin: it refuses a parameter",
        fail("currency", "unknown currency"),
        {**SHOP, "service": "refuse_parameter"},
        ALLOWED,
    ),
    Call("4 plugin: being allowed changes nothing for the built-in services", VERSIONS, {}, ALLOWED),
    # Section 5: the hand shake.
    Call("5 get_api_version: to a totaralms", VERSIONS, {"clienttype": "totaralms"}),
    Call("5 get_api_version: to a totarasocial", VERSIONS, {"clienttype": "totarasocial"}),
    *(
        Call(f"5 get_api_version: the client type {value!r}", BAD_TYPE, {"clienttype": value})
        for value in (None, "", "0", "x", "TotaraLMS", "totaralms ", "moodle")
    ),
    *(
        Call(f"5 update_api_version: to version {value}", NOTHING, {**HANDSHAKE, "apiversion": value})
        for value in ("1", "2")
    ),
    *(
        Call(f"5 update_api_version: the version {value!r}", NO_VERSION, {**HANDSHAKE, "apiversion": value})
        for value in (None, "", "0")
    ),
    *(
        Call(f"5 update_api_version: the version {value!r}", BAD_VERSION, {**HANDSHAKE, "apiversion": value})
        for value in ("3", "9", "-1", "99999999999999999999")
    ),
    *(
        Call(
            f"5 update_api_version: the client type {value!r}",
            BAD_TYPE,
            {**HANDSHAKE, "apiversion": "2", "clienttype": value},
        )
        for value in (None, "", "x", "TOTARALMS")
    ),
    Call(
        "5 update_api_version: the version is looked at first",
        BAD_VERSION,
        {**HANDSHAKE, "apiversion": "9", "clienttype": "x"},
    ),
    Call(
        "3.3 and 5: a client that is being registered calls back with update_api_version",
        NOTHING,
        {**HANDSHAKE, "apiversion": "2"},
        {"state": "registering", "apiversion": 1},
    ),
    # Section 5: the rest of what can be told without people.
    *(
        Call(f"5 {service}: {how}", expected, {"service": service, "ssotoken": value})
        for service, unknown in (("get_sso_user", BAD_TOKEN), ("force_sso_logout", NOTHING))
        for how, value, expected in (
            ("no token", None, NO_TOKEN),
            ("a token that is too short", "a" * 39, ODD_TOKEN),
            ("a token that is too long", "a" * 41, ODD_TOKEN),
            ("a token in capitals", "A" * 40, ODD_TOKEN),
            ("a token with another letter", "g" * 40, ODD_TOKEN),
            ("a token with a line end", "a" * 40 + "\n", ODD_TOKEN),
            ("a token with a blank", " " + "a" * 40, ODD_TOKEN),
            ("an unknown token", "a" * 40, unknown),
        )
    ),
    Call(
        "5 get_user: somebody who is not there",
        success({"user": None}),
        {"service": "get_user", "userid": "99999999"},
    ),
    Call("5 delete_client", NOTHING, {"service": "delete_client"}),
    *(
        Call(
            f"5 {service}: in version 1",
            error(f"{service} not available in api version 1"),
            {"service": service},
            {"apiversion": 1},
        )
        for service in ("get_positions", "get_organisations")
    ),
]


@table(*CALLS)
def test_a_call_is_answered(server, row):
    client = server.add_client(**row.client)
    form = {
        "serveridnumber": server.idnumber,
        "serversecret": client.server_secret,
        "service": "get_api_version",
        "clienttype": "totaralms",
        **row.form,
    }

    assert server.answer({name: value for name, value in form.items() if value is not None}) == row.expected


def test_1_secrets_with_other_characters_are_refused_not_stripped(server):
    client = server.add_client()
    good = {"serveridnumber": server.idnumber, "serversecret": client.server_secret}

    for name, value in good.items():
        for odd in (
            value.upper(),
            f" {value}",
            f"{value} ",
            f"{value}\n",
            f"{value}-",
            value[:-1],
            f"{value}0",
        ):
            form = {**good, "service": "get_api_version", "clienttype": "totaralms", name: odd}
            assert server.answer(form) == STRANGER, (name, odd)


# Section 4, "refusals in this order": each row is wrong in one way; the earlier one of two is told.
ORDER = [
    Call("a parameter is missing", BAD_PARAMETERS, {"serversecret": None}),
    Call("another idnumber", STRANGER, {"serveridnumber": "0" * 40}),
    Call("the server is not enabled", NOT_ENABLED),
    Call("the client is not active", NOT_ACTIVE, {}, {"state": "deleted"}),
    Call("an unsupported version", UNSUPPORTED, {}, {"apiversion": 3}),
    Call("a component", not_a_component("mod_forum"), {"component": "mod_forum"}),
    Call("a service", not_a_service("nope"), {"service": "nope"}),
    Call("a parameter of the service", BAD_TYPE, {"clienttype": "x"}),
]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(*pair, id=f"4 order: {pair[0].says}, and {pair[1].says}")
        for pair in combinations(ORDER, 2)
    ],
)
def test_of_two_things_that_are_wrong_the_earlier_is_told(server, first, second):
    client = server.add_client(**first.client, **second.client)
    form = {
        "serveridnumber": server.idnumber,
        "serversecret": client.server_secret,
        "service": "get_api_version",
        "clienttype": "totaralms",
        **first.form,
        **second.form,
    }
    is_off = NOT_ENABLED in (first.expected, second.expected)

    with server.switched("server.enabled", OFF if is_off else ON, back=ON):
        reply = server.answer({name: value for name, value in form.items() if value is not None})

    assert reply == first.expected


def test_4_a_plugin_gets_the_peer_and_its_own_parameters_only(server):
    client = server.add_client(plugin_services=True)

    told = server.data(client, "ECHO", component="local_shop", currency="NZD")

    assert told == {"peer": client.idnumber, "form": {"currency": "NZD"}}


# --- transport (1) --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """A request with good credentials in its body, but for what is said here. `{form}` stands for them."""

    says: str
    expected: object
    request: dict[str, Any] = field(default_factory=dict)


REQUESTS = [
    Request("1 a POST of a form", VERSIONS),
    Request("1 parameters of the address are never read", BAD_PARAMETERS, {"query": "?{form}", "body": b""}),
    Request("1 parameters of the address do not win", VERSIONS, {"query": "?service=nope&serversecret=x"}),
    Request(
        "1 a GET is answered as JSON", BAD_PARAMETERS, {"method": "GET", "query": "?{form}", "body": b""}
    ),
    *(
        Request(f"1 a {method} is no call, and is answered as JSON", BAD_PARAMETERS, {"method": method})
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS")
    ),
    Request("1 a form without a content type", VERSIONS, {"content_type": ""}),
    Request("1 an empty body", BAD_PARAMETERS, {"body": b""}),
    Request("1 a body that is no form", BAD_PARAMETERS, {"body": b"\xff\xfe\x00&=&&%zz=%"}),
    Request("1 a body that is JSON", BAD_PARAMETERS, {"body": b'{"service":"get_users"}'}),
    Request(
        "1 strings are cleaned of NUL bytes and invalid UTF-8",
        not_a_service("nöpe"),
        {"body": b"{form}&service=n%c3%b6p%00e%ff%c3"},
    ),
    Request(
        "1 a name that is given twice counts as the last one",
        not_a_service("nope"),
        {"body": b"{form}&service=nope"},
    ),
    Request("1 a body of two megabytes", BAD_PARAMETERS, {"body": b"a=" + b"b" * 2**21}),
    Request("1 never redirected: to a language", VERSIONS, {"headers": {"Accept-Language": "de"}}),
    Request("1 never redirected: to a log-in", VERSIONS, {"headers": {"Cookie": "tconnect=unknown"}}),
    Request("1 whatever is accepted, JSON comes", VERSIONS, {"headers": {"Accept": "text/html"}}),
    Request("1 a call of a robot", VERSIONS, {"headers": {"User-Agent": "TotaraBot/1.0"}}),
    Request("1 a call from another site", VERSIONS, {"headers": {"Origin": "http://evil.example"}}),
]


def credentials(server, client) -> str:
    return (
        f"serveridnumber={server.idnumber}&serversecret={client.server_secret}"
        "&service=get_api_version&clienttype=totaralms"
    )


@table(*REQUESTS)
def test_a_request_is_answered_with_200_and_jsend(server, row):
    form = credentials(server, server.add_client())
    request = {"body": b"{form}", **row.request}
    request["body"] = request["body"].replace(b"{form}", form.encode())
    if "query" in request:
        request["query"] = request["query"].replace("{form}", form)

    assert server.post(**request) == row.expected


@pytest.mark.parametrize(
    "url", ["http://localhost/learn", "http://localhost/learn/", "https://localhost/a/b"]
)
def test_1_paths_are_appended_to_a_base_url_with_a_prefix(tmp_path, url):
    """And nothing leads from http to https there, nor to another slash."""
    prefix = url.partition("localhost")[2].rstrip("/")
    with server_by_http.running("sqlite", tmp_path, url=url) as server:
        form = credentials(server, server.add_client())

        reply = server.post(form.encode(), base_url=f"http://localhost{prefix}")

    assert reply == VERSIONS


def leaves(value: object):
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    else:
        yield value


@pytest.mark.parametrize(
    "service", ["get_users", "get_user_collections", "get_positions", "get_organisations"]
)
def test_1_what_is_read_from_a_database_travels_as_strings_and_null(server, service):
    person = server.add_person(description=None, policyagreed=1)
    server.set_value(person, server.add_field(new_token()), "7")
    server.add_job(person)
    wishes = {}
    for tables, name in ((POSITIONS, "position_frameworks"), (ORGANISATIONS, "organisation_frameworks")):
        wishes[name] = [server.add_framework(tables)]
        server.add_item(tables, wishes[name][0])
    client = server.add_client(
        audiences=[server.add_audience(person)], courses=[server.add_course(person)], **wishes
    )

    found = list(leaves(server.data(client, service)))

    assert len(found) > 20
    assert {type(value) for value in found} <= {str, type(None)}


class Registered(ClientSite):
    """A new client site, which keeps what the server registers itself with."""

    setup: dict[str, str]

    def answer(self, form):
        if "setupsecret" in form:
            self.setup = form
            return NOTHING
        return super().answer(form)


def registered(server: ServerByHttp) -> Registered:
    site = Registered(f"http://new{new_token()}.example")
    server.peers.sites[site.url] = site
    clients.register_client(
        server.context, clients.ClientWishes("New", site.url), new_token(), actor="command", timeout=5
    )
    return site


def test_1_identifiers_secrets_and_tokens_are_40_lowercase_hex_characters(server):
    client = server.add_client()
    setup = registered(server).setup
    token = server.ssotoken(server.sign_in(server.add_person()), client)

    drawn = [setup[name] for name in ("serveridnumber", "serversecret", "clientidnumber", "clientsecret")]
    assert all(re.fullmatch("[0-9a-f]{40}", value) for value in [*drawn, token])
    assert len({*drawn, token}) == 5


def test_1_and_6_name_and_url_that_a_client_can_store(tmp_path):
    with server_by_http.running(
        "sqlite", tmp_path, url=f"http://localhost/{'p' * 237}/", **{"tconnect.site_name": "n" * 255}
    ) as server:
        setup = registered(server).setup

    assert setup["serverurl"] == f"http://localhost/{'p' * 237}"
    assert len(setup["serverurl"]) == 254
    assert setup["servername"] == "n" * 255


# --- version and client type are stored (5) -------------------------------------------------------------


@dataclass(frozen=True)
class Update:
    says: str
    parameters: dict[str, str]
    stored: tuple[int, str]


@table(
    Update(
        "5 update_api_version: both are stored",
        {"apiversion": "1", "clienttype": "totarasocial"},
        (1, "totarasocial"),
    ),
    Update(
        "5 update_api_version: again the same",
        {"apiversion": "2", "clienttype": "totaralms"},
        (2, "totaralms"),
    ),
    Update(
        "5 update_api_version: a bad version stores neither",
        {"apiversion": "3", "clienttype": "totarasocial"},
        (2, "totaralms"),
    ),
    Update(
        "5 update_api_version: a bad type stores neither",
        {"apiversion": "1", "clienttype": "x"},
        (2, "totaralms"),
    ),
    Update(
        "5 update_api_version: no version stores neither", {"clienttype": "totarasocial"}, (2, "totaralms")
    ),
)
def test_the_version_and_type_of_a_client(server, row):
    client = server.add_client()

    server.call(client, "update_api_version", **row.parameters)

    view = server.view(client)
    assert (view.apiversion, view.clienttype) == row.stored


def test_5_the_version_is_spoken_from_the_next_call_on(server):
    client = server.add_client()
    person = server.add_person()
    seen = []
    for version in ("1", "2"):
        server.call(client, "update_api_version", apiversion=version, clienttype="totaralms")
        seen.append(("jobs" in server.user(client, person), server.call(client, "get_positions")["status"]))

    assert seen == [(False, "error"), (True, "success")]


# --- leaving (5 delete_client) ---------------------------------------------------------------------------


def attached(server, client) -> tuple:
    view = server.view(client)
    return view.audiences, view.courses, view.position_frameworks, view.organisation_frameworks


def test_5_delete_client_keeps_the_row_as_deleted_and_purges_what_is_attached(server):
    person = server.add_person()
    everything = {
        "audiences": [server.add_audience(person)],
        "courses": [server.add_course(person)],
        "position_frameworks": [server.add_framework(POSITIONS)],
        "organisation_frameworks": [server.add_framework(ORGANISATIONS)],
    }
    leaving, staying = server.add_client(**everything), server.add_client(**everything)
    before = attached(server, staying)
    signed_in = server.sign_in(person)
    token = server.open_session(signed_in, leaving)

    assert server.call(leaving, "delete_client") == NOTHING

    assert server.view(leaving).state == "deleted"
    assert attached(server, leaving) == ((), (), (), ())
    assert (server.view(staying).state, attached(server, staying)) == ("active", before)
    assert server.call(leaving, "get_sso_user", ssotoken=token) == NOT_ACTIVE


@pytest.mark.parametrize("service", BUILT_IN)
def test_5_after_delete_client_every_other_call_is_refused(server, service):
    client = server.add_client()
    server.call(client, "delete_client")

    reply = server.call(
        client, service, userid="1", ssotoken=new_token(), clienttype="totaralms", apiversion="2"
    )

    assert reply == (NOTHING if service == "delete_client" else NOT_ACTIVE)


@dataclass(frozen=True)
class Leaving:
    says: str
    before: Callable[[ServerByHttp, ClientSite], object]
    expected: object
    form: dict[str, str] = field(default_factory=dict)


def _remove(server, client):
    clients.remove_client(server.context, client.id, actor="command")


def _leave(server, client):
    server.call(client, "delete_client")


def _leave_twice(server, client):
    _leave(server, client)
    _leave(server, client)


@table(
    Leaving("5 delete_client: the answer was lost, and it is repeated", _leave, NOTHING),
    Leaving("5 delete_client: and repeated", _leave_twice, NOTHING),
    Leaving("5 delete_client: in other letters", _leave, NOTHING, {"service": "Delete_Client"}),
    Leaving("5 delete_client: the built-in component", _leave, NOTHING, {"component": "totara_connect"}),
    Leaving("5 delete_client: after an administrator has removed the client", _remove, NOTHING),
    Leaving(
        "5 delete_client: a plugin's service of that name is not meant",
        _leave,
        NOT_ACTIVE,
        {"component": "local_shop"},
    ),
    Leaving("4 delete_client repeated: with a wrong secret", _leave, STRANGER, {"serversecret": "0" * 40}),
    Leaving("4 delete_client repeated: without a secret", _leave, BAD_PARAMETERS, {"serversecret": ""}),
)
def test_a_client_that_has_left_leaves_again(server, row):
    client = server.add_client(plugin_services=True)
    row.before(server, client)

    form = {
        "serveridnumber": server.idnumber,
        "serversecret": client.server_secret,
        "service": "delete_client",
    }
    assert server.answer({**form, **row.form}) == row.expected
    assert server.view(client).state == "deleted"
