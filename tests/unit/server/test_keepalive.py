"""Time-outs: whoever is active at a client stays signed in, everybody else is signed out everywhere."""

from __future__ import annotations

import threading

import pytest

from tconnect_pyramid.errors import PeerError
from tconnect_pyramid.models import Client, ClientSession, Notice, SignIn
from tconnect_pyramid.server import keepalive
from tconnect_pyramid.server.cleanup import cleanup

TIMEOUT = 7200


def sign_in(server, signed_in) -> SignIn:
    with server.context.reading() as session:
        return session.get_one(SignIn, signed_in.signin_id)


def count(server, table) -> int:
    with server.context.reading() as session:
        return session.query(table).count()


def test_one_active_client_keeps_a_sign_in_alive(server):
    client, other = server.add_client(), server.add_client()
    signed_in = server.sign_in(server.add_person())
    server.open_session(signed_in, client)
    other.active = {server.open_session(signed_in, other)}
    client.down = True
    server.clock.tick(TIMEOUT + 1)

    assert keepalive.end_idle_sign_ins(server.context) == 0

    assert sign_in(server, signed_in).last_seen == server.clock()
    assert len(client.sessions) == len(other.sessions) == 1


@pytest.mark.parametrize("timeout", [TIMEOUT, 60])
def test_an_idle_sign_in_ends_everywhere(server, timeout):
    server.option("session.timeout", str(timeout))
    clients = [server.add_client(), server.add_client()]
    idle, busy, local = (server.sign_in(server.add_person()) for _ in range(3))
    for client in clients:
        server.open_session(idle, client)
    server.clock.tick(timeout)
    busy = server.sign_in(server.add_person())
    kept = server.open_session(busy, clients[0])
    server.clock.tick(1)

    assert keepalive.end_idle_sign_ins(server.context) == 3

    assert [client.sessions for client in clients] == [{kept}, set()]
    assert (sign_in(server, idle).ended, sign_in(server, idle).end_reason) == (server.clock(), "timeout")
    assert sign_in(server, local).end_reason == "timeout"
    assert sign_in(server, busy).ended is None
    assert keepalive.end_idle_sign_ins(server.context) == 0


@pytest.mark.parametrize("data", [[], {}, {"active": False}, {"active": "0"}, {"active": []}, None])
def test_only_a_clear_yes_counts(server, data):
    client = server.add_client()
    server.open_session(server.sign_in(server.add_person()), client)
    client.answer = lambda form: {"status": "success", "data": data}
    server.clock.tick(TIMEOUT + 1)

    assert keepalive.end_idle_sign_ins(server.context) == 1


def test_a_client_that_is_down_does_not_keep_a_sign_in_alive(server):
    client = server.add_client()
    client.active = {server.open_session(server.sign_in(server.add_person()), client)}
    client.down = True
    server.clock.tick(TIMEOUT + 1)

    assert keepalive.end_idle_sign_ins(server.context) == 1

    assert count(server, Notice) == 1


def test_an_ssotoken_that_was_never_redeemed_keeps_nothing_alive(server):
    client = server.add_client()
    client.active = {server.ssotoken(server.sign_in(server.add_person()), client)}
    server.clock.tick(TIMEOUT + 1)

    assert keepalive.end_idle_sign_ins(server.context) == 1


def test_who_is_active_elsewhere_is_asked_for_before_the_time_is_up(server):
    client, signed_in = server.add_client(), server.sign_in(server.add_person())
    client.active = {server.open_session(signed_in, client)}
    server.clock.tick(TIMEOUT - 60)
    other = server.sign_in(server.add_person())

    assert keepalive.end_idle_sign_ins(server.context) == 0

    assert sign_in(server, signed_in).last_seen == server.clock()
    assert sign_in(server, other).last_seen == server.clock()


def test_nobody_is_signed_out_before_the_time_is_up(server):
    client, signed_in = server.add_client(), server.sign_in(server.add_person())
    token = server.open_session(signed_in, client)
    began = server.clock()
    server.clock.tick(TIMEOUT)

    assert keepalive.end_idle_sign_ins(server.context) == 0

    assert (sign_in(server, signed_in).ended, sign_in(server, signed_in).last_seen) == (None, began)
    assert client.sessions == {token}


def test_who_comes_back_while_the_clients_answer_stays(server):
    client, signed_in = server.add_client(), server.sign_in(server.add_person())
    server.open_session(signed_in, client)
    server.clock.tick(TIMEOUT + 1)

    def come_back(form):
        with server.context.unit() as session:
            session.get_one(SignIn, signed_in.signin_id).last_seen = server.clock()
        return {"status": "success", "data": {"active": False}}

    client.answer = come_back

    assert keepalive.end_idle_sign_ins(server.context) == 0

    assert sign_in(server, signed_in).ended is None


def test_who_could_not_be_asked_about_in_time_is_left_to_the_next_round(server):
    client = server.add_client()
    shared, local = (server.sign_in(server.add_person()) for _ in range(2))
    server.open_session(shared, client)
    server.clock.tick(TIMEOUT + 1)

    assert keepalive.end_idle_sign_ins(server.context, seconds=0) == 1

    assert sign_in(server, shared).ended is None
    assert sign_in(server, local).end_reason == "timeout"
    assert keepalive.end_idle_sign_ins(server.context) == 1


def test_all_clients_are_asked_at_the_same_time(server):
    signed_in = server.sign_in(server.add_person())
    clients = [server.add_client() for _ in range(20)]
    together = threading.Barrier(len(clients))

    def answer(form):
        # Nobody answers before the last one was asked.
        if form["service"] == "is_sso_user_active":
            together.wait(10)
        return {"status": "success", "data": {"active": False}}

    for client in clients:
        server.open_session(signed_in, client)
    for client in clients:
        client.answer = answer
    server.clients.timeouts.clear()
    server.clock.tick(TIMEOUT + 1)

    keepalive.end_idle_sign_ins(server.context)

    assert not together.broken
    assert server.clients.timeouts[: len(clients)] == [10.0] * len(clients)


def test_a_client_that_hangs_keeps_nobody_from_being_asked_about_elsewhere(server):
    hanging, other = server.add_client(), server.add_client()
    stuck = [server.sign_in(server.add_person()) for _ in range(30)]
    active = server.sign_in(server.add_person())
    for signed_in in stuck:
        server.open_session(signed_in, hanging)
    other.active = {server.open_session(active, other)}
    asked = threading.Event()

    def hang(form):
        # Answers only when the other client was asked meanwhile.
        if not asked.wait(10):
            raise PeerError("POST", hanging.url, "timeout", "no answer")
        return {"status": "success", "data": {"active": True}}

    def answer(form):
        asked.set()
        return {"status": "success", "data": {"active": form["ssotoken"] in other.active}}

    hanging.answer, other.answer = hang, answer
    server.clock.tick(TIMEOUT + 1)

    assert keepalive.end_idle_sign_ins(server.context) == 0

    assert sign_in(server, active).ended is None


def test_every_question_is_asked_once_however_many_there_are(server):
    client = server.add_client()
    everybody = [server.sign_in(server.add_person()) for _ in range(30)]
    client.active = {server.open_session(signed_in, client) for signed_in in everybody[::2]}
    for signed_in in everybody[1::2]:
        server.open_session(signed_in, client)
    server.clock.tick(TIMEOUT + 1)
    server.clients.timeouts.clear()

    assert keepalive.end_idle_sign_ins(server.context) == 15

    assert server.clients.timeouts.count(10.0) >= 30
    assert [sign_in(server, signed_in).ended is None for signed_in in everybody] == [True, False] * 15


def test_cleaning_up_removes_what_was_left_half_done(server):
    audience = server.add_audience()
    client = server.add_client()
    gone = server.add_client()
    signed_in = server.sign_in(server.add_person())
    used = server.open_session(signed_in, client)
    server.ssotoken(signed_in, client)
    server.open_session(signed_in, gone)
    broken_off = server.add_client(state="registering", audiences=[audience])
    server.clock.tick(1)
    under_way = server.add_client(state="registering")
    server.clock.tick(600)
    with server.context.unit() as session:
        session.get_one(Client, gone.id).state = "deleted"

    assert cleanup(server.context) == 2
    server.clock.tick(3000)
    assert cleanup(server.context) == 2

    with server.context.reading() as session:
        assert session.get(Client, broken_off.id) is None
        assert session.get(Client, under_way.id) is None
        (row,) = session.query(ClientSession).all()
        assert server.context.box.open(row.token) == used
        assert {row.id for row in session.query(Client)} == {client.id, gone.id}
    assert cleanup(server.context) == 0
