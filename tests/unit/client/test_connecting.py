"""Being registered by a server: the invitation, the call-back, every refusal (protocol 3)."""

from __future__ import annotations

import json

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


@pytest.mark.parametrize(
    ("offered", "now", "services"),
    [
        ({"minapiversion": 1, "maxapiversion": 2}, 2, ["get_api_version"]),
        ({"minapiversion": "1", "maxapiversion": "9"}, 2, ["get_api_version"]),
        ({"minapiversion": 1, "maxapiversion": 1}, 1, ["get_api_version", "update_api_version"]),
    ],
)
def test_the_handshake_agrees_on_the_highest_common_version(context, peer, offered, now, services):
    server_id = peers.add_server(context)
    peer.answer = lambda url, posted: jsend.Success(
        offered if posted["service"] == "get_api_version" else None
    )
    assert connecting.handshake(context, server_id) == now
    assert peer.services == services
    assert servers(context)[0].apiversion == now


@pytest.mark.parametrize("offered", [{"minapiversion": 3, "maxapiversion": 4}, [], {}, None, "2"])
def test_a_handshake_without_a_common_version_changes_nothing(context, peer, offered):
    server_id = peers.add_server(context)
    peer.answer = lambda url, posted: jsend.Success(offered)
    with pytest.raises(Conflict):
        connecting.handshake(context, server_id)
    assert servers(context)[0].apiversion == 2
