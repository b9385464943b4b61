"""Who may call a service, in which order calls are refused, and the small services."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest
from sqlalchemy import text

from tconnect_pyramid.errors import Refused
from tconnect_pyramid.models import (
    Client,
    ClientAudience,
    ClientCourse,
    ClientSession,
    Notice,
)
from tconnect_pyramid.plugins import PluginServices
from tconnect_pyramid.secretbox import new_token
from tconnect_pyramid.server import services


def error(message: str) -> dict:
    return {"status": "error", "message": message}


OK = {"status": "success", "data": []}
SECRET = "9e5fd840889cb8c885e4af0a154a5377b65998f5"
WRONG = error("invalid server secret or idnumber")


@pytest.mark.parametrize("name", ["serveridnumber", "serversecret", "service"])
@pytest.mark.parametrize("value", [None, "", "0"])
def test_a_call_without_one_of_its_three_parameters_is_refused_first(make_server, name, value):
    server = make_server(("server.enabled", "false"))
    form = {"serveridnumber": "x", "serversecret": "y", "service": "z"}
    form.pop(name) if value is None else form.update({name: value})

    assert server.answer(form) == error("invalid parameters")


def test_the_refusals_come_in_the_order_of_the_protocol(server):
    client = server.add_client(state="registering", apiversion=3)
    form = {
        "serveridnumber": new_token(),
        "serversecret": client.server_secret,
        "service": "nope",
        "component": "mod_forum",
    }
    server.option("server.enabled", "false")

    assert server.answer(form) == WRONG
    form["serveridnumber"] = server.idnumber
    assert server.answer({**form, "serversecret": new_token()}) == WRONG
    assert server.answer({**form, "serversecret": client.server_secret.upper()}) == WRONG
    assert server.answer(form) == error("connect server not enabled")
    server.option("server.enabled", "true")
    assert server.answer(form) == error("connect client is not active")
    set_client(server, client, state="active")
    assert server.answer(form) == error("unsupported api version")
    set_client(server, client, apiversion=1)
    assert server.answer(form) == error("invalid server service component: mod_forum")
    assert server.answer({**form, "component": "Mod Forum"}) == error("invalid server service name: nope")
    assert server.answer({**form, "component": "totara_connect", "service": "Nope"}) == error(
        "invalid server service name: Nope"
    )


def test_the_name_of_a_service_is_matched_without_regard_to_case(server):
    assert server.call(server.add_client(), "Get_API_version", clienttype="totaralms") == {
        "status": "success",
        "data": {"minapiversion": 1, "maxapiversion": 2},
    }


@pytest.mark.parametrize("service", sorted(services.SERVICES))
def test_a_registering_client_may_only_shake_hands(server, service):
    client = server.add_client(state="registering")

    reply = server.call(client, service, clienttype="totaralms", apiversion="2")

    if service in {"get_api_version", "update_api_version"}:
        assert reply["status"] == "success"
    else:
        assert reply == error("connect client is not active")


def test_the_version_and_type_of_a_client_are_kept(server):
    client = server.add_client(apiversion=1)

    assert server.call(client, "update_api_version", apiversion="2", clienttype="totarasocial") == OK

    assert (get_client(server, client).apiversion, get_client(server, client).clienttype) == (
        2,
        "totarasocial",
    )


def test_a_refused_version_changes_nothing(server):
    client = server.add_client(apiversion=1)

    for form in ({"apiversion": "02", "clienttype": "totaralms"}, {"apiversion": "2", "clienttype": "lms"}):
        assert server.call(client, "update_api_version", **form)["status"] == "fail"

    assert get_client(server, client).apiversion == 1


@pytest.mark.parametrize("items", ["positions", "organisations"])
def test_a_site_without_positions_says_so(server, items):
    assert server.call(server.add_client(), f"get_{items}") == {
        "status": "success",
        "data": {"frameworks": None, items: None},
    }
    assert server.call(server.add_client(apiversion=1), f"get_{items}") == error(
        f"get_{items} not available in api version 1"
    )


@pytest.fixture
def shop(server):
    """The server with plugin services: one that tells what it was given, one that refuses, one that breaks."""

    def tell(context, peer, parameters):
        with context.reading() as session:
            clients = session.query(Client).count()
        return {"peer": [peer.id, peer.idnumber, peer.apiversion], "clients": clients, **parameters}

    def refuse(context, peer, parameters):
        raise Refused("no such price", parameter="product")

    def break_(context, peer, parameters):
        raise ValueError(f"no {SECRET}")

    offered = {
        "tell": tell,
        "refuse": refuse,
        "break": break_,
        "nothing": lambda *_: None,
        "odd": lambda *_: {3j},
    }
    plugins = PluginServices(
        {
            **{("server", "local_shop", name): service for name, service in offered.items()},
            ("client", "local_till", "tell"): tell,
        }
    )
    server.context = replace(server.context, plugins=plugins)
    return server


def test_a_plugin_answers_a_client_that_may_use_its_services(shop):
    client = shop.add_client(plugin_services=True, apiversion=1)

    assert shop.call(client, "Tell", component="local_shop", product="3") == {
        "status": "success",
        "data": {"peer": [client.id, client.idnumber, 1], "clients": 1, "product": "3"},
    }
    assert shop.call(client, "nothing", component="local_shop") == OK
    assert shop.call(client, "refuse", component="local_shop") == {
        "status": "fail",
        "data": {"product": "no such price"},
    }


def test_a_plugin_is_refused_where_the_switch_is_off_or_it_offers_nothing(shop):
    allowed, other = shop.add_client(plugin_services=True), shop.add_client()

    assert shop.call(other, "tell", component="local_shop") == error(
        "invalid server service component: local_shop"
    )
    for component in ("local_till", "local_shops"):
        assert shop.call(allowed, "tell", component=component) == error(
            f"invalid server service component: {component}"
        )
    assert shop.call(allowed, "Get_users", component="local_shop") == error(
        "invalid server service name: Get_users"
    )
    assert shop.call(allowed, "tell") == error("invalid server service name: tell")
    assert (
        shop.call(allowed, "get_api_version", component="totara_connect", clienttype="totaralms")["status"]
        == "success"
    )


@pytest.mark.parametrize("service", ["break", "odd"])
def test_a_bug_of_a_plugin_is_an_error_without_details(shop, service, caplog):
    client = shop.add_client(plugin_services=True)

    reply = shop.call(client, service, component="local_shop")

    assert reply == error("internal error")
    assert len(caplog.records) == 1
    assert SECRET not in caplog.text


def test_a_client_that_leaves_is_told_so_again_and_again(server):
    audience, course, person = server.add_audience(), server.add_course(), server.add_person()
    client = server.add_client(audiences=[audience], courses=[course])
    other = server.add_client(audiences=[audience])
    server.open_session(server.sign_in(person), client)

    assert server.call(client, "delete_client") == OK
    assert server.call(client, "delete_client") == OK
    assert server.call(client, "DELETE_CLIENT", component="totara_connect") == OK

    assert server.call(client, "delete_client", component="mod_forum") == error(
        "connect client is not active"
    )
    assert server.call(client, "get_users") == error("connect client is not active")
    assert get_client(server, client).state == "deleted"
    assert get_client(server, client).client_secret == b""
    with server.context.reading() as session:
        assert session.query(ClientAudience.client_id).all() == [(other.id,)]
        assert session.query(ClientCourse).all() == []
        assert session.query(ClientSession).all() == []


def test_notices_to_a_client_that_left_are_dropped(server):
    client, other = server.add_client(), server.add_client()
    signed_in = server.sign_in(server.add_person())
    server.open_session(signed_in, client)
    token = server.open_session(signed_in, other)
    client.down = True
    assert server.call(other, "force_sso_logout", ssotoken=token) == OK

    server.call(client, "delete_client")

    with server.context.reading() as session:
        assert session.query(Notice).all() == []


def test_a_bug_is_answered_as_an_error_and_logged_without_secrets(server, caplog):
    client = server.add_client()
    token = new_token()
    with server.context.unit() as session:
        session.execute(text("DROP TABLE tconnect_client_session"))

    with caplog.at_level(logging.ERROR):
        reply = server.call(client, "get_sso_user", ssotoken=token)

    assert reply == error("internal error")
    (record,) = caplog.records
    assert "signin.py" in record.getMessage()
    for secret in (token, client.server_secret, server.idnumber):
        assert secret not in caplog.text


def test_odd_forms_get_a_reply_all_the_same(server):
    client = server.add_client()
    for value in ("\ud800", "x" * 100_000, "%s", "{}", "\n", "ü", "9" * 400):
        for name in ("serveridnumber", "serversecret", "service", "component", "userid", "ssotoken"):
            form = {
                "serveridnumber": server.idnumber,
                "serversecret": client.server_secret,
                "service": "get_user",
                name: value,
            }
            assert json.loads(services.answer(server.context, form))["status"] in {"error", "fail"}


def get_client(server, client) -> Client:
    with server.context.reading() as session:
        return session.get_one(Client, client.id)


def set_client(server, client, **values) -> None:
    with server.context.unit() as session:
        for name, value in values.items():
            setattr(session.get_one(Client, client.id), name, value)
