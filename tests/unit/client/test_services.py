"""What servers ask a client: every recorded refusal, and the rules of sign-in requests and sessions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, text
from support import peers, sites

from tconnect_pyramid import sessions
from tconnect_pyramid.client import connecting, services, signin
from tconnect_pyramid.errors import Refused
from tconnect_pyramid.models import ServerSession, SignIn
from tconnect_pyramid.plugins import Peer, PluginServices
from tconnect_pyramid.protocol.forms import read_form, write_form
from tconnect_pyramid.secretbox import digest, new_token

RECORDED = Path(__file__).parents[2] / "data" / "wire"
REFUSALS = [
    recorded
    for recorded in json.loads((RECORDED / "refusals.json").read_text(encoding="utf-8"))
    if recorded["path"].startswith("/auth/connect/")
]
SUCCESS = {"status": "success", "data": []}


@pytest.fixture
def clock():
    return sites.StillClock()


@pytest.fixture
def context(make_database, clock):
    options = [("client.enabled", "true")]
    with sites.context(make_database(), clock=clock, transport=peers.always(), options=options) as context:
        yield context


@pytest.fixture
def server_id(context) -> int:
    return peers.add_server(context)


def ask(context, service: str, **parameters: str) -> dict:
    return json.loads(services.answer(context, peers.client_call(service, **parameters)))


def error(message: str) -> dict:
    return {"status": "error", "message": message}


def set_option(context, name: str, value: str) -> None:
    with context.unit() as session:
        sites.set_option(session, context.settings, name, value, context.clock())


def signed_in(context, server_id, username="tc_3") -> tuple[str, str]:
    """A browser that came from the server: its id and its ssotoken."""
    token, browser_id = new_token(), sessions.new_browser_id()
    with context.unit() as session:
        (key,) = context.accounts.insert(session, [{"username": username, "email": ""}])
        session.add(
            ServerSession(
                token_hash=digest(token),
                token=context.box.seal(token),
                server_id=server_id,
                signin_id=sessions.start(session, browser_id, key, context.clock()),
                person_id=3,
                account_key=key,
                timecreated=context.clock(),
            )
        )
    return browser_id, token


def is_signed_in(context, browser_id) -> bool:
    with context.reading() as session:
        return session.scalar(select(SignIn.ended).where(SignIn.browser_hash == digest(browser_id))) is None


@pytest.mark.parametrize("recorded", REFUSALS, ids=lambda r: f"{r['path'][14:]} {sorted(r['form'].items())}")
def test_every_recorded_refusal_is_answered_alike(context, server_id, recorded):
    form = read_form(write_form(recorded["form"].items()))
    answer = connecting.answer_setup if recorded["path"].endswith("sep_setup.php") else services.answer
    assert json.loads(answer(context, form)) == recorded["response"]


def test_refusals_come_in_the_order_of_the_protocol(context, server_id):
    wrong = {"service": "nope", "component": "mod_forum"}
    call = peers.client_call("x") | wrong
    set_option(context, "client.enabled", "false")
    with context.unit() as session:
        server = session.get(peers.Server, server_id)
        server.state, server.apiversion = "leaving", 9
    expected = iter(
        [
            "invalid client secret or idnumber",
            "connect client not enabled",
            "connect server is not active",
            "unsupported api version",
            "invalid server service component: mod_forum",
            "invalid client service name: nope",
        ]
    )
    assert json.loads(services.answer(context, call | {"clientsecret": "0" * 40})) == error(next(expected))
    assert json.loads(services.answer(context, call)) == error(next(expected))
    set_option(context, "client.enabled", "true")
    assert json.loads(services.answer(context, call)) == error(next(expected))
    for change in ({"state": "active"}, {"apiversion": 2}):
        with context.unit() as session:
            for name, value in change.items():
                setattr(session.get(peers.Server, server_id), name, value)
        assert json.loads(services.answer(context, call)) == error(next(expected))
    assert json.loads(services.answer(context, call | {"component": "auth_connect"})) == error(next(expected))


@pytest.mark.parametrize("seconds", [600, 120])
def test_a_sign_in_request_is_valid_for_its_time_and_for_its_server_only(context, clock, server_id, seconds):
    context = replace(context, settings=replace(context.settings, request_timeout=seconds))
    url = signin.start(context, server_id, "browser", "")
    token = url.partition("requesttoken=")[2]
    assert ask(context, "validate_sso_request_token", requesttoken=token) == SUCCESS
    clock.tick(seconds)
    assert ask(context, "VALIDATE_sso_request_token", requesttoken=token) == SUCCESS
    clock.tick(1)
    assert ask(context, "validate_sso_request_token", requesttoken=token) == error("sso request timed out")
    other = peers.add_server(context, idnumber="1" * 40, client_idnumber="2" * 40)
    token = signin.start(context, other, "browser", "").partition("requesttoken=")[2]
    assert ask(context, "validate_sso_request_token", requesttoken=token) == error("sso request timed out")


@pytest.mark.parametrize("timeout", [7200, 60])
def test_an_active_person_is_active_until_the_time_out_and_asking_prolongs_nothing(
    context, clock, server_id, timeout
):
    set_option(context, "session.timeout", str(timeout))
    browser_id, token = signed_in(context, server_id)
    clock.tick(timeout)
    assert ask(context, "is_sso_user_active", ssotoken=token)["data"] == {"active": True}
    clock.tick(1)
    assert ask(context, "is_sso_user_active", ssotoken=token)["data"] == {"active": False}
    assert not is_signed_in(context, browser_id), "a timed-out session is ended there and then"


def test_a_session_whose_browser_belongs_to_somebody_else_is_ended(context, server_id):
    browser_id, token = signed_in(context, server_id)
    with context.unit() as session:
        session.scalar(select(SignIn)).account_key += 1
    assert ask(context, "is_sso_user_active", ssotoken=token)["data"] == {"active": False}
    assert not is_signed_in(context, browser_id)


def test_a_server_ends_its_own_session_and_no_other(context, server_id):
    other = peers.add_server(context, idnumber="1" * 40, client_idnumber="2" * 40)
    mine, token = signed_in(context, server_id)
    theirs, their_token = signed_in(context, other, "tc_4")
    assert ask(context, "is_sso_user_active", ssotoken=their_token)["data"] == {"active": False}
    assert ask(context, "kill_sso_user", ssotoken=their_token) == SUCCESS
    assert is_signed_in(context, theirs)
    assert ask(context, "kill_sso_user", ssotoken=token) == SUCCESS
    assert not is_signed_in(context, mine)
    assert ask(context, "kill_sso_user", ssotoken=token) == SUCCESS


def with_plugins(context, **services_by_name):
    """The site with services of a plugin `local_shop`, in the client role, and one of the server role."""
    offered = {("client", "local_shop", name): service for name, service in services_by_name.items()}
    offered["server", "local_prices", "get_prices"] = lambda context, peer, form: 1
    return replace(context, plugins=PluginServices(offered))


def test_a_plugin_answers_servers_when_it_may(context, server_id):
    asked = []

    def echo(site, peer, form):
        asked.append((site, peer, form))
        return {"prices": [1, 2]}

    site = with_plugins(context, get_prices=echo)
    call = {"component": "local_shop", "page": "2"}
    assert ask(site, "get_prices", **call) == error("invalid server service component: local_shop")
    set_option(context, "client.plugin_services", "true")
    assert ask(site, "GET_Prices", **call) == {"status": "success", "data": {"prices": [1, 2]}}
    assert asked == [(site, Peer(server_id, peers.SERVERIDNUMBER, 2), {"page": "2"})]


@pytest.mark.parametrize(
    ("component", "service", "message"),
    [
        ("local_shop", "Get_Money", "invalid client service name: Get_Money"),
        ("local_shop", "kill_sso_user", "invalid client service name: kill_sso_user"),
        ("local_prices", "get_prices", "invalid server service component: local_prices"),
        ("local_other", "get_prices", "invalid server service component: local_other"),
        ("auth_connect", "get_prices", "invalid client service name: get_prices"),
        ("", "get_prices", "invalid client service name: get_prices"),
        ("Local_Shop", "get_prices", "invalid client service name: get_prices"),
        ("totara_connect", "get_prices", "invalid server service component: totara_connect"),
    ],
)
def test_a_plugin_offers_what_it_registered_and_no_more(context, server_id, component, service, message):
    site = with_plugins(context, get_prices=lambda context, peer, form: 1)
    set_option(context, "client.plugin_services", "true")
    assert ask(site, service, component=component) == error(message)


def test_a_plugin_may_refuse_and_its_faults_stay_in_the_log(context, server_id, caplog):
    def refuse(context, peer, form):
        raise Refused("too many", parameter="page")

    def break_down(context, peer, form):
        raise RuntimeError(form["page"])

    site = with_plugins(
        context, refuse=refuse, break_down=break_down, no_json=lambda context, peer, form: object()
    )
    set_option(context, "client.plugin_services", "true")
    assert ask(site, "refuse", component="local_shop") == {"status": "fail", "data": {"page": "too many"}}
    for service in ("break_down", "no_json"):
        answer = ask(site, service, component="local_shop", page="secret plans")
        assert answer == error("internal error")
    assert [word in caplog.text for word in ("RuntimeError", "in break_down", "TypeError")] == [True] * 3
    # It may quote what a server has sent.
    assert "secret plans" not in caplog.text
    assert peers.CLIENTSECRET not in caplog.text


def test_a_plugin_answers_no_server_that_is_being_left(context, server_id):
    site = with_plugins(context, get_prices=lambda context, peer, form: 1)
    set_option(context, "client.plugin_services", "true")
    with context.unit() as session:
        session.get(peers.Server, server_id).state = "leaving"
    assert ask(site, "get_prices", component="local_shop") == error("connect server is not active")


def test_a_fault_of_our_own_is_an_error_without_detail(make_sqlite, caplog):
    url = make_sqlite()
    with sites.context(url, options=[("client.enabled", "true")]) as context:
        peers.add_server(context)
        with context.unit() as session:
            session.execute(text("DROP TABLE tconnect_signin_request"))
        reply = ask(context, "validate_sso_request_token", requesttoken="0" * 40)
    assert reply == error("internal error")
    assert "OperationalError" in caplog.text
    for secret in (peers.CLIENTSECRET, "0" * 40, digest("0" * 40)):
        assert secret not in caplog.text
