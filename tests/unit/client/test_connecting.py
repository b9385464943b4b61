"""Being registered by a server: the invitation, the call-back, every refusal (protocol 3)."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import func, select
from support import peers, sites

from tconnect_pyramid.client import connecting
from tconnect_pyramid.client.servers import list_servers
from tconnect_pyramid.errors import Conflict, PeerError
from tconnect_pyramid.models import Server
from tconnect_pyramid.protocol import jsend
from tconnect_pyramid.secretbox import digest


@pytest.fixture
def peer():
    return peers.always()


@pytest.fixture
def context(make_database, peer):
    with sites.context(make_database(), transport=peer, options=[("client.enabled", "true")]) as context:
        peer.check_idle = context.database.assert_idle
        yield context


@pytest.fixture
def secret(context) -> str:
    with context.unit() as session:
        return connecting.open_invitation(session, context, actor="command").setup_secret


def form(secret: str, **changes: str) -> dict[str, str]:
    return {
        "setupsecret": secret,
        "serveridnumber": peers.SERVERIDNUMBER,
        "serversecret": peers.SERVERSECRET,
        "serverurl": "http://127.0.0.1:8101/",
        "servername": "Totara server",
        "clientidnumber": peers.CLIENTIDNUMBER,
        "clientsecret": peers.CLIENTSECRET,
        "minapiversion": "1",
        "maxapiversion": "2",
        **changes,
    }


def answer(context, form) -> dict:
    return json.loads(connecting.answer_setup(context, form))


def error(message: str) -> dict:
    return {"status": "error", "message": message}


def servers(context) -> list:
    with context.reading() as session:
        return list_servers(session)


def test_a_server_registers_and_is_called_back_in_the_middle(context, peer, secret):
    seen = []

    def call_back(url, posted):
        seen.append(servers(context))
        return jsend.Success()

    peer.answer = call_back
    assert answer(context, form(secret)) == {"status": "success", "data": []}
    assert seen == [[]], "nothing may be stored before the call-back succeeded"
    assert peer.calls == [
        (
            "http://127.0.0.1:8101/totara/connect/sep.php",
            {
                "serveridnumber": peers.SERVERIDNUMBER,
                "serversecret": peers.SERVERSECRET,
                "service": "update_api_version",
                "apiversion": "2",
                "clienttype": "totaralms",
            },
        )
    ]
    (server,) = servers(context)
    assert (server.url, server.name, server.state, server.apiversion) == (
        "http://127.0.0.1:8101",
        "Totara server",
        "active",
        2,
    )
    with context.reading() as session:
        row = session.scalar(select(Server))
        assert row.client_secret_hash == digest(peers.CLIENTSECRET)
        assert peers.SERVERSECRET.encode() not in row.server_secret
        assert context.box.open(row.server_secret) == peers.SERVERSECRET
        assert connecting.current_invitation(session, context) is None


def test_the_invitation_is_the_same_until_it_is_used_or_cancelled(context, secret):
    with context.unit() as session:
        assert connecting.open_invitation(session, context, actor="command").setup_secret == secret
        assert connecting.cancel_invitation(session, context, actor="command")
        assert not connecting.cancel_invitation(session, context, actor="command")
        assert connecting.open_invitation(session, context, actor="command").setup_secret != secret
    assert answer(context, form(secret)) == error("invalid setup secret")


def test_no_invitation_while_the_role_is_disabled(make_sqlite):
    with (
        sites.context(make_sqlite()) as context,
        context.unit() as session,
        pytest.raises(Conflict, match="tconnect client enable"),
    ):
        connecting.open_invitation(session, context, actor="command")


@pytest.mark.parametrize(
    ("changes", "reply"),
    [
        ({"setupsecret": ""}, error("invalid setup secret")),
        ({"setupsecret": "abc"}, error("invalid setup secret")),
        ({"setupsecret": "a" * 40}, error("invalid setup secret")),
        ({"setupsecret": "a" * 40, "serverurl": "ftp://x"}, error("invalid setup secret")),
        ({"minapiversion": "3", "maxapiversion": "4"}, error("api version not supported")),
        ({"serversecret": "x"}, error("invalid parameters")),
        ({"serverurl": "ftp://x"}, error("invalid parameters")),
        ({"servername": ""}, error("invalid parameters")),
    ],
)
def test_refusals_call_nobody_and_leave_the_invitation_open(context, peer, secret, changes, reply):
    assert answer(context, form(secret, **changes)) == reply
    assert peer.calls == []
    assert servers(context) == []
    assert answer(context, form(secret))["status"] == "success"


@pytest.mark.parametrize("state", ["active", "leaving"])
@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"client_idnumber": "0" * 40}, "dupplicate server idnumber"),
        ({"idnumber": "0" * 40}, "dupplicate client idnumber"),
    ],
)
def test_a_server_that_is_known_cannot_register_again(context, peer, secret, known, message, state):
    peers.add_server(context, state=state, **known)
    assert answer(context, form(secret)) == error(message)
    assert peer.calls == []


def test_disabled_the_role_says_no_more_than_a_wrong_secret(context, secret):
    with context.unit() as session:
        connecting_options = [("client.enabled", "false")]
        for name, value in connecting_options:
            sites.set_option(session, context.settings, name, value, context.clock())
    assert answer(context, form(secret)) == error("invalid setup secret")


@pytest.mark.parametrize(
    "refusal", [jsend.Error("connect client is not active"), jsend.Fail({"apiversion": "unsupported"})]
)
def test_a_call_back_that_is_refused_is_passed_on(context, peer, secret, refusal):
    peer.answer = lambda url, posted: refusal
    assert answer(context, form(secret)) == json.loads(jsend.write(refusal))
    assert servers(context) == []
    peer.answer = lambda url, posted: jsend.Success()
    assert answer(context, form(secret))["status"] == "success"


def test_a_call_back_that_fails_says_why(context, peer, secret):
    peer.answer = lambda url, posted: PeerError("POST", url, "connect", "connection refused")
    reply = answer(context, form(secret))
    assert reply == error("the client could not call this server back: connection refused")
    assert servers(context) == []


def test_two_servers_cannot_use_one_invitation(context, peer, secret):
    """The second one comes while the first is being called back."""
    replies = []

    def second_comes(url, posted):
        peer.answer = lambda url, posted: jsend.Success()
        other = form(secret, serveridnumber="1" * 40, clientidnumber="2" * 40)
        replies.append(answer(context, other))
        return jsend.Success()

    peer.answer = second_comes
    assert answer(context, form(secret)) == error("invalid setup secret")
    assert replies == [{"status": "success", "data": []}]
    with context.reading() as session:
        assert session.scalar(select(func.count()).select_from(Server)) == 1


def offering(lowest: object, highest: object):
    """A server that says that it speaks these versions."""

    def answer(url, posted):
        if posted["service"] == "get_api_version":
            return jsend.Success({"minapiversion": lowest, "maxapiversion": highest})
        return jsend.Success()

    return answer


def version(context) -> int:
    (server,) = servers(context)
    assert server.state == "active"
    return server.apiversion


@pytest.mark.parametrize(
    ("before", "offered", "now"),
    [
        (2, (1, 1), 1),
        (1, (1, 1), 1),
        (1, (1, 2), 2),
        (2, (1, 2), 2),
        (1, (1, 3), 2),
        (2, (1, 3), 2),
        (1, (2, 5), 2),
        (2, (2, 5), 2),
        (1, ("1", "9"), 2),
    ],
)
def test_the_handshake_agrees_on_the_highest_common_version(context, peer, before, offered, now):
    server_id = peers.add_server(context, apiversion=before)
    peer.answer = offering(*offered)

    assert connecting.handshake(context, server_id) == now

    told = [] if before == now else ["update_api_version"]
    assert peer.services == ["get_api_version", *told]
    assert peer.calls[0][1]["clienttype"] == "totaralms"
    if told:
        assert peer.calls[1][1]["apiversion"] == str(now)
    assert version(context) == now


def test_a_server_is_followed_up_and_down_and_never_lost(context, peer):
    server_id = peers.add_server(context, apiversion=2)
    seen = []
    for offered in ((1, 1), (1, 2), (1, 3), (3, 4), (1, 1), (2, 5)):
        peer.answer = offering(*offered)
        with suppress(Conflict):
            connecting.handshake(context, server_id)
        seen.append(version(context))
    assert seen == [1, 2, 2, 2, 1, 2]


@pytest.mark.parametrize("before", [1, 2])
@pytest.mark.parametrize("offered", [(3, 4), (3, 3), (2, 1), (0, 0)])
def test_without_a_common_version_the_connection_stays_and_it_is_said_what_to_do(
    context, peer, before, offered
):
    server_id = peers.add_server(context, apiversion=before)
    peer.answer = offering(*offered)
    with pytest.raises(Conflict, match=r"this site 1 to 2.*Bring the older of the two sites up to date"):
        connecting.handshake(context, server_id)
    assert version(context) == before
    assert peer.services == ["get_api_version"]


@pytest.mark.parametrize(
    "data", [[], {}, None, "2", {"minapiversion": 1}, {"minapiversion": "x", "maxapiversion": 2}]
)
def test_a_server_that_names_no_versions_changes_nothing(context, peer, data):
    server_id = peers.add_server(context)
    peer.answer = lambda url, posted: jsend.Success(data)
    with pytest.raises(Conflict, match="did not say which versions"):
        connecting.handshake(context, server_id)
    assert version(context) == 2


@pytest.mark.parametrize(
    "refusal",
    [
        jsend.Fail({"apiversion": "unsupported api version number"}),
        PeerError("POST", "http://x", "timeout", "no answer in time"),
    ],
    ids=["refused", "down"],
)
def test_a_version_that_the_server_did_not_take_is_not_used(context, peer, refusal):
    server_id = peers.add_server(context, apiversion=1)
    offer = offering(1, 2)
    peer.answer = lambda url, posted: (
        refusal if posted["service"] == "update_api_version" else offer(url, posted)
    )
    with pytest.raises(PeerError):
        connecting.handshake(context, server_id)
    assert version(context) == 1
    peer.answer = offer
    assert connecting.handshake(context, server_id) == version(context) == 2


def test_there_is_no_handshake_with_a_server_that_is_being_left(context, peer):
    server_id = peers.add_server(context, state="leaving")
    with pytest.raises(Conflict, match="leaving"):
        connecting.handshake(context, server_id)
    assert peer.calls == []


def test_a_social_site_says_so(context, peer):
    site = replace(context, settings=replace(context.settings, client_type="social"))
    server_id = peers.add_server(context, apiversion=1)
    peer.answer = offering(1, 2)
    connecting.handshake(site, server_id)
    assert {posted["clienttype"] for _, posted in peer.calls} == {"totarasocial"}


@pytest.mark.parametrize(("lowest", "highest", "chosen"), [(1, 1, 1), (1, 2, 2), (1, 3, 2), (2, 5, 2)])
def test_a_server_registers_with_the_highest_common_version(context, peer, secret, lowest, highest, chosen):
    posted = form(secret, minapiversion=str(lowest), maxapiversion=str(highest))
    assert answer(context, posted)["status"] == "success"
    assert peer.calls[0][1]["apiversion"] == str(chosen)
    assert version(context) == chosen
