from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tconnect_pyramid.errors import Refused
from tconnect_pyramid.protocol import jsend, paths, services, versions
from tconnect_pyramid.protocol.services import (
    Setup,
    call_client,
    call_server,
    read_apiversion,
    read_client_call,
    read_clienttype,
    read_requesttoken,
    read_server_call,
    read_setup,
    read_setupsecret,
    read_ssotoken,
    read_userid,
    setup_form,
)

SERVER_IDNUMBER = "5f41a34102c491d0a74b0384be69b1f360c3897b"
SERVER_SECRET = "9e5fd840889cb8c885e4af0a154a5377b65998f5"
CLIENT_IDNUMBER = "65bc1ec1a2c9f2e9a11eea57e7dd3379cdc3f720"
CLIENT_SECRET = "cb4ec3bea562f1675bcb95525ff3326e75af1d7f"
TOKEN = "b1dec78b56a4b4bfc5bc931e3301d41ea2988df8"

REFUSALS = json.loads((Path(__file__).parents[2] / "data" / "wire" / "refusals.json").read_bytes())


# --- what we send ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "service", "params"),
    [
        ("get_api_version", services.GET_API_VERSION, {"clienttype": "totaralms"}),
        # Given the other way round: the order on the wire is ours to keep, not the caller's.
        ("update_api_version", services.UPDATE_API_VERSION, {"clienttype": "totaralms", "apiversion": 2}),
        ("get_users", services.GET_USERS, {}),
        ("get_user", services.GET_USER, {"userid": 3}),
        ("get_user_collections", services.GET_USER_COLLECTIONS, {}),
        ("get_positions", services.GET_POSITIONS, {}),
        ("get_organisations", services.GET_ORGANISATIONS, {}),
        ("get_sso_user", services.GET_SSO_USER, {"ssotoken": TOKEN}),
        ("force_sso_logout", services.FORCE_SSO_LOGOUT, {"ssotoken": TOKEN}),
    ],
)
def test_calls_a_server_with_the_recorded_form(
    name: str, service: str, params: dict[str, Any], recording: Callable[[str], Any]
) -> None:
    recorded = [(key, str(value)) for key, value in recording(name)["form"].items()]
    assert call_server(SERVER_IDNUMBER, SERVER_SECRET, service, **params) == recorded


def test_calls_a_client_with_the_recorded_form(recording: Callable[[str], Any]) -> None:
    recorded = list(recording("kill_sso_user")["form"].items())
    assert call_client(CLIENT_IDNUMBER, CLIENT_SECRET, services.KILL_SSO_USER, ssotoken=TOKEN) == recorded
    recorded = list(recording("validate_sso_request_token")["form"].items())
    requesttoken = recorded[-1][1]
    assert recorded == call_client(
        CLIENT_IDNUMBER, CLIENT_SECRET, services.VALIDATE_SSO_REQUEST_TOKEN, requesttoken=requesttoken
    )


def test_a_built_in_service_is_called_with_its_own_parameters_only() -> None:
    with pytest.raises(TypeError, match="get_user takes userid, not no parameters"):
        call_server(SERVER_IDNUMBER, SERVER_SECRET, services.GET_USER)
    with pytest.raises(TypeError, match="get_users takes no parameters, not userid"):
        call_server(SERVER_IDNUMBER, SERVER_SECRET, services.GET_USERS, userid=3)


def test_a_plugins_service_is_called_with_its_component_before_its_parameters() -> None:
    form = call_client(CLIENT_IDNUMBER, CLIENT_SECRET, "ping", depth=2, component="mod_forum")
    assert form[2:] == [("service", "ping"), ("component", "mod_forum"), ("depth", "2")]


SETUP = {
    "setupsecret": "1733badaa80292e7223dfe374438bfbef2c99b76",
    "serveridnumber": SERVER_IDNUMBER,
    "serversecret": SERVER_SECRET,
    "serverurl": "http://127.0.0.1:8101",
    "servername": "Totara server",
    "clientidnumber": CLIENT_IDNUMBER,
    "clientsecret": CLIENT_SECRET,
}


def test_registers_with_the_recorded_form(recording: Callable[[str], Any]) -> None:
    assert setup_form(**SETUP) == [(key, str(value)) for key, value in recording("sep_setup")["form"].items()]


def test_registers_within_the_limits_of_a_totara_client() -> None:
    form = dict(setup_form(**SETUP | {"servername": "Å" * 300, "serverurl": "https://a.example/learn/"}))
    assert form["servername"] == "Å" * 255
    assert form["serverurl"] == "https://a.example/learn"


def test_our_own_forms_are_accepted_by_our_own_readers() -> None:
    setup = read_setup(dict(setup_form(**SETUP)))
    assert setup == Setup(**SETUP, minapiversion=1, maxapiversion=2)
    call = read_server_call(dict(call_server(SERVER_IDNUMBER, SERVER_SECRET, "get_user", userid=3)))
    assert (call.idnumber, call.secret, call.name, call.component) == (
        SERVER_IDNUMBER,
        SERVER_SECRET,
        "get_user",
        "",
    )
    assert read_userid(call.form) == 3


# --- what we answer -------------------------------------------------------------------------------


def answer(path: str, form: Mapping[str, str]) -> jsend.Result:
    """Answers as sites do that know the recorded peer, no person and no session."""
    try:
        if path == paths.CLIENT_SETUP:
            read_setupsecret(form)
            raise services.invalid_setup_secret()
        return answer_client(form) if path == paths.CLIENT_SEP else answer_server(form)
    except Refused as refused:
        return jsend.from_refusal(refused)


def answer_server(form: Mapping[str, str]) -> jsend.Result:
    call = read_server_call(form)
    if (call.idnumber, call.secret) != (SERVER_IDNUMBER, SERVER_SECRET):
        raise services.invalid_server_secret()
    if call.component:
        raise services.invalid_component(call.component)
    match call.name:
        case services.GET_API_VERSION:
            read_clienttype(call.form)
            return jsend.Success(
                {"minapiversion": versions.MIN_VERSION, "maxapiversion": versions.MAX_VERSION}
            )
        case services.UPDATE_API_VERSION:
            read_apiversion(call.form)
            read_clienttype(call.form)
            return jsend.Success()
        case services.GET_USER:
            read_userid(call.form)
            return jsend.Success({"user": None})
        case services.GET_SSO_USER:
            read_ssotoken(call.form)
            raise services.invalid_ssotoken()
        case services.FORCE_SSO_LOGOUT:
            read_ssotoken(call.form)
            return jsend.Success()
    raise services.invalid_server_service(call.service)


def answer_client(form: Mapping[str, str]) -> jsend.Result:
    call = read_client_call(form)
    if (call.idnumber, call.secret) != (CLIENT_IDNUMBER, CLIENT_SECRET):
        raise services.invalid_client_secret()
    if call.component:
        raise services.invalid_component(call.component)
    match call.name:
        case services.VALIDATE_SSO_REQUEST_TOKEN:
            read_requesttoken(call.form)
            raise services.sso_request_timed_out()
        case services.IS_SSO_USER_ACTIVE:
            read_ssotoken(call.form)
            return jsend.Success({"active": False})
        case services.KILL_SSO_USER:
            read_ssotoken(call.form)
            return jsend.Success()
    raise services.invalid_client_service(call.service)


@pytest.mark.parametrize("exchange", REFUSALS, ids=lambda exchange: str(REFUSALS.index(exchange)))
def test_every_recorded_refusal_is_answered_alike(exchange: dict[str, Any]) -> None:
    body = jsend.write(answer(exchange["path"], exchange["form"]))
    assert json.dumps(json.loads(body)) == json.dumps(exchange["response"])
    assert exchange["content_type"] == jsend.CONTENT_TYPE


def test_every_refusal_is_made_anew() -> None:
    # A shared exception would carry the traceback, and with it the variables, of another request.
    assert services.session_expired() is not services.session_expired()


def refusal(function: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(Refused) as caught:
        function(*arguments)
    return str(caught.value)


@pytest.mark.parametrize("missing", ["serveridnumber", "serversecret", "service"])
@pytest.mark.parametrize("value", [None, "", "0"])
def test_a_call_needs_all_three_by_phps_idea_of_empty(missing: str, value: str | None) -> None:
    form = dict(call_server(SERVER_IDNUMBER, SERVER_SECRET, services.GET_USERS))
    if value is None:
        del form[missing]
    else:
        form[missing] = value
    assert refusal(read_server_call, form) == "invalid parameters"


@pytest.mark.parametrize("missing", ["clientidnumber", "clientsecret", "service"])
def test_a_call_of_a_client_needs_all_three(missing: str) -> None:
    form = dict(call_client(CLIENT_IDNUMBER, CLIENT_SECRET, services.KILL_SSO_USER, ssotoken=TOKEN))
    assert read_client_call(form).idnumber == CLIENT_IDNUMBER
    del form[missing]
    assert refusal(read_client_call, form) == "invalid parameters"


def test_a_services_name_is_matched_without_case_and_shown_as_given() -> None:
    call = read_server_call(dict(call_server(SERVER_IDNUMBER, SERVER_SECRET, "Get_USERS")))
    assert (call.name, call.service) == ("get_users", "Get_USERS")
    # The Kelvin sign's lower case is a plain k, which PHP does not know.
    call = read_client_call(dict(call_client(CLIENT_IDNUMBER, CLIENT_SECRET, "\u212aill_sso_user")))
    assert call.name not in services.CLIENT_SERVICES


@pytest.mark.parametrize(
    ("component", "on_server", "on_client"),
    [
        (None, "", ""),
        ("", "", ""),
        ("totara_connect", "", "totara_connect"),
        ("auth_connect", "auth_connect", ""),
        ("mod_forum", "mod_forum", "mod_forum"),
        ("core", "core", "core"),
        ("Mod_Forum", "", ""),
        ("mod-forum", "", ""),
        ("mod_", "", ""),
        ("0", "", ""),
        ("../etc", "", ""),
        ("mod_forum\n", "", ""),
    ],
)
def test_what_is_no_component_counts_as_absent(component: str | None, on_server: str, on_client: str) -> None:
    extra = {} if component is None else {"component": component}
    server = dict(call_server(SERVER_IDNUMBER, SERVER_SECRET, "get_users")) | extra
    client = dict(call_client(CLIENT_IDNUMBER, CLIENT_SECRET, "ping")) | extra
    assert read_server_call(server).component == on_server
    assert read_client_call(client).component == on_client


def test_a_call_keeps_its_secrets_out_of_logs() -> None:
    call = read_server_call(dict(call_server(SERVER_IDNUMBER, SERVER_SECRET, "get_sso_user", ssotoken=TOKEN)))
    assert SERVER_SECRET not in repr(call)
    assert TOKEN not in repr(call)
    setup = repr(read_setup(dict(setup_form(**SETUP))))
    assert not any(SETUP[name] in setup for name in ("setupsecret", "serversecret", "clientsecret"))


def test_the_clients_type_is_one_of_two() -> None:
    assert [read_clienttype({"clienttype": name}) for name in versions.CLIENT_TYPES] == [
        "totaralms",
        "totarasocial",
    ]
    for form in ({}, {"clienttype": ""}, {"clienttype": "TotaraLMS"}):
        assert refusal(read_clienttype, form) == "clienttype: incorrect or missing clienttype name"


def test_a_version_is_missing_or_unsupported() -> None:
    assert [read_apiversion({"apiversion": number}) for number in ("1", "2")] == [1, 2]
    for form in ({}, {"apiversion": ""}, {"apiversion": "0"}):
        assert refusal(read_apiversion, form) == "apiversion: missing api version number"
    for number in ("3", "02", "-1", "two", "2.0"):
        assert (
            refusal(read_apiversion, {"apiversion": number}) == "apiversion: unsupported api version number"
        )


def test_a_userid_is_a_canonical_number_above_zero() -> None:
    assert read_userid({"userid": "10011"}) == 10011
    for form in (
        {},
        *({"userid": value} for value in ("", "0", "03", "+3", " 3", "-3", "3.0", "abc", "9" * 30)),
    ):
        assert refusal(read_userid, form) == "if: missing server user id number"


def test_an_empty_ssotoken_is_badly_formed_and_not_missing() -> None:
    assert read_ssotoken({"ssotoken": TOKEN}) == TOKEN
    assert refusal(read_ssotoken, {}) == "ssotoken: missing sso token"
    for value in ("", "0", "abc", TOKEN.upper(), TOKEN + " "):
        assert refusal(read_ssotoken, {"ssotoken": value}) == "ssotoken: invalid sso token format"


def test_an_empty_requesttoken_is_missing() -> None:
    assert read_requesttoken({"requesttoken": TOKEN}) == TOKEN
    for form in ({}, {"requesttoken": ""}, {"requesttoken": "0"}):
        assert refusal(read_requesttoken, form) == "requesttoken: missing sso request token"
    for value in ("00", "abc", TOKEN.upper()):
        assert refusal(read_requesttoken, {"requesttoken": value}) == "ssotoken: invalid request token format"


@pytest.mark.parametrize("secret", [None, "", "abc", TOKEN.upper()])
def test_the_setup_secret_is_judged_before_everything_else(secret: str | None) -> None:
    form = {} if secret is None else {"setupsecret": secret}
    assert refusal(read_setupsecret, form) == "invalid setup secret"
    assert refusal(read_setup, form) == "invalid setup secret"


@pytest.mark.parametrize(
    "changed",
    [
        {"serveridnumber": "abc"},
        {"serversecret": ""},
        {"clientidnumber": CLIENT_IDNUMBER.upper()},
        {"clientsecret": "0"},
        {"minapiversion": "01"},
        {"maxapiversion": ""},
        {"servername": " "},
        {"servername": "x" * 256},
        {"serverurl": ""},
        {"serverurl": "127.0.0.1:8101"},
        {"serverurl": "//a.example"},
        {"serverurl": "javascript:alert(1)"},
        {"serverurl": "ftp://a.example"},
        {"serverurl": "http://"},
        {"serverurl": "http://:80"},
        {"serverurl": "http://a.example:port"},
        {"serverurl": "http://a.example:0"},
        {"serverurl": "http://a.example:99999"},
        {"serverurl": "http://[::1"},
        {"serverurl": "http://user@a.example"},
        {"serverurl": "http://a.example\\b.example"},
        {"serverurl": "http://a.example?x=1"},
        {"serverurl": "http://a.example#x"},
        {"serverurl": "http://a .example"},
        {"serverurl": "http://a\t.example"},
        {"serverurl": "http://ångström.example"},
        {"serverurl": "http://a.example/" + "x" * 240},
    ],
)
def test_a_registration_must_be_whole(changed: dict[str, str]) -> None:
    form = dict(setup_form(**SETUP))
    assert refusal(read_setup, form | changed) == "invalid parameters"
    (name,) = changed
    del form[name]
    assert refusal(read_setup, form) == "invalid parameters"


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example",
        "http://127.0.0.1:8101/learn",
        "https://xn--ngstrm-jua7l.example",
        "http://[::1]:8101",
    ],
)
def test_a_servers_address_is_taken_without_its_final_slash(url: str) -> None:
    form = dict(setup_form(**SETUP)) | {"serverurl": url + "/"}
    assert read_setup(form).serverurl == url


READERS = [
    function
    for name, function in inspect.getmembers(services, inspect.isfunction)
    if name.startswith("read_")
]
NAMES = st.sampled_from(
    [*dict(setup_form(**SETUP)), "service", "component", "clienttype", "apiversion", "userid", "ssotoken"]
)
VALUES = st.text() | st.sampled_from(
    [TOKEN, "0", "1", "http://[", "https://a.example:x", "http://a.example/"]
)


@given(st.dictionaries(NAMES, VALUES), st.sampled_from(READERS))
def test_readers_raise_nothing_but_refused(
    form: dict[str, str], reader: Callable[[Mapping[str, str]], object]
) -> None:
    with contextlib.suppress(Refused):
        reader(form)
