"""Notices reach their peers, even those that are down today."""

from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy import func, select
from support import peers, sites

from tconnect_pyramid.delivery import outbox
from tconnect_pyramid.delivery.outbox import Delivered, Outgoing
from tconnect_pyramid.models import Client, Notice
from tconnect_pyramid.protocol import jsend

TOKEN = "b1dec78b56a4b4bfc5bc931e3301d41ea2988df8"


@pytest.fixture
def clock():
    return sites.StillClock()


@pytest.fixture
def make_context(make_database, clock):
    made = []

    def make(transport):
        manager = sites.context(make_database(), clock=clock, transport=transport)
        context = manager.__enter__()
        made.append(manager)
        transport.check_idle = context.database.assert_idle
        return context

    yield make
    for manager in made:
        manager.__exit__(None, None, None)


def kill(peer_id: int) -> Outgoing:
    return Outgoing("client", peer_id, "kill_sso_user", (("ssotoken", TOKEN),))


def enqueue(context, *notices: Outgoing) -> list[int]:
    with context.unit() as session:
        return outbox.enqueue(session, context.box, notices, context.clock())


def waiting(context) -> list[Notice]:
    with context.reading() as session:
        return list(session.scalars(select(Notice).order_by(Notice.id)))


def test_a_notice_is_sent_as_recorded_and_gone_when_confirmed(make_context):
    peer = peers.always()
    context = make_context(peer)
    ids = enqueue(context, kill(peers.add_client(context)))
    assert outbox.deliver_now(context, ids) == Delivered(1, 0)
    assert peer.calls == [
        ("http://127.0.0.1:8102/auth/connect/sep.php", peers.client_call("kill_sso_user", ssotoken=TOKEN))
    ]
    assert waiting(context) == []


def test_a_notice_to_a_server_goes_to_the_server(make_context):
    peer = peers.always()
    context = make_context(peer)
    server = Outgoing("server", peers.add_server(context), "force_sso_logout", (("ssotoken", TOKEN),))
    outbox.deliver_now(context, enqueue(context, server))
    (url, form) = peer.calls[0]
    assert url == "http://127.0.0.1:8101/totara/connect/sep.php"
    assert (form["serversecret"], form["ssotoken"]) == (peers.SERVERSECRET, TOKEN)


def test_its_parameters_are_not_readable_in_the_database(make_context):
    context = make_context(peers.always())
    enqueue(context, kill(peers.add_client(context)))
    assert TOKEN.encode() not in waiting(context)[0].parameters


def test_a_peer_that_is_down_is_told_later(make_context, clock):
    peer = peers.unreachable()
    context = make_context(peer)
    ids = enqueue(context, kill(peers.add_client(context)))
    assert outbox.deliver_now(context, ids) == Delivered(0, 1)
    (notice,) = waiting(context)
    assert "connection refused" in notice.last_error
    assert outbox.sweep(context) == Delivered(0, 0), "it must not be tried again at once"
    clock.tick(outbox.BACK_OFF[0])
    outbox.sweep(context)
    assert (waiting(context)[0].attempts, waiting(context)[0].due - clock()) == (2, outbox.BACK_OFF[1])
    peer.answer = lambda url, form: jsend.Success()
    clock.tick(outbox.BACK_OFF[1])
    assert outbox.sweep(context) == Delivered(1, 0)
    assert waiting(context) == []


@pytest.mark.parametrize(
    ("reply", "stays"),
    [
        (jsend.Success(), False),
        (jsend.Fail({"ssotoken": "invalid sso token format"}), False),
        (jsend.Error("connect client not enabled"), True),
        (b"<html>", True),
    ],
)
def test_what_counts_as_confirmed(make_context, reply, stays):
    context = make_context(peers.always(reply))
    outbox.deliver_now(context, enqueue(context, kill(peers.add_client(context))))
    assert bool(waiting(context)) is stays


def test_a_notice_is_given_up_visibly_after_a_week_and_can_be_tried_again(make_context, clock):
    peer = peers.unreachable()
    context = make_context(peer)
    enqueue(context, kill(peers.add_client(context)))
    clock.tick(outbox.GIVE_UP_AFTER + 1)
    outbox.sweep(context)
    assert waiting(context)[0].given_up == clock()
    clock.tick(10 * 24 * 3600)
    assert outbox.sweep(context) == Delivered(0, 0)
    peer.answer = lambda url, form: jsend.Success()
    with context.unit() as session:
        assert outbox.retry_all(session, clock()) == 1
    assert outbox.sweep(context) == Delivered(1, 0)


def test_a_notice_to_a_client_that_was_removed_is_dropped(make_context):
    peer = peers.always()
    context = make_context(peer)
    client_id = peers.add_client(context)
    ids = enqueue(context, kill(client_id))
    with context.unit() as session:
        session.get(Client, client_id).state = "deleted"
    outbox.deliver_now(context, ids)
    assert (peer.calls, waiting(context)) == ([], [])


def test_a_few_overdue_ones_go_along_and_many_are_left_to_the_sweep(make_context):
    peer = peers.always()
    context = make_context(peer)
    client_id = peers.add_client(context)
    enqueue(context, *[kill(client_id)] * 10)
    own = enqueue(context, kill(client_id))
    assert outbox.deliver_now(context, own) == Delivered(1 + outbox.OVERDUE_LIMIT, 0)
    many = enqueue(context, *[kill(client_id)] * (outbox.NOW_LIMIT + 1))
    assert outbox.deliver_now(context, many) == Delivered(0, 0)
    assert outbox.sweep(context).confirmed == len(many) + 10 - outbox.OVERDUE_LIMIT


def test_two_senders_send_each_notice_once(make_context):
    peer = peers.PlayedPeer(lambda url, form: time.sleep(0.05) or jsend.Success())
    context = make_context(peer)
    enqueue(context, *[kill(peers.add_client(context))] * 8)
    threads = [threading.Thread(target=outbox.sweep, args=(context,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(peer.calls) == 8
    with context.reading() as session:
        assert session.scalar(select(func.count()).select_from(Notice)) == 0


def test_a_delivery_ends_in_time_though_peers_hang(make_context, clock):
    def hang(url, form):
        time.sleep(0.4)
        return jsend.Success()

    context = make_context(peers.PlayedPeer(hang))
    enqueue(context, *[kill(peers.add_client(context))] * 40)
    began = time.monotonic()
    delivered = outbox.sweep(context, seconds=0.5)
    assert time.monotonic() - began < 2
    assert 0 < delivered.confirmed < 40
    assert delivered.failed == 40 - delivered.confirmed
    clock.tick(60)
    assert outbox.sweep(context).confirmed == delivered.failed
