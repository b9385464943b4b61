"""Two at the same moment: one wins, nobody trips."""

from __future__ import annotations

import contextlib
import threading

import pytest
from sqlalchemy import func, select, update
from support import lists, peers, sites
from support.webapp import add_person

from tconnect_pyramid import people, sessions
from tconnect_pyramid.client import signin
from tconnect_pyramid.client.runs import approve_run
from tconnect_pyramid.client.sync import approvals
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.client.sync.report import RunReport
from tconnect_pyramid.errors import Conflict, SyncBusy
from tconnect_pyramid.models import Link, Run, SignInRequest


@pytest.fixture
def context(make_database):
    with sites.context(make_database(), options=[("client.enabled", "true")]) as context:
        yield context


def at_once(number, act) -> list[object]:
    """What `act` gave or raised in that many threads that began together."""
    outcomes: list[object] = []
    together = threading.Barrier(number)

    def run() -> None:
        together.wait()
        try:
            outcomes.append(act())
        except Exception as error:  # noqa: BLE001 - it is what the test is about
            outcomes.append(error)

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_tabs_that_set_out_together_share_one_request(context):
    server_id = peers.add_server(context)
    for browser in ("one", "two", "three", "four"):
        outcomes = at_once(4, lambda browser=browser: signin.start(context, server_id, browser, "/x"))
        assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
        assert len(set(outcomes)) == 1
    with context.reading() as session:
        assert session.scalar(select(func.count()).select_from(SignInRequest)) == 4


def test_a_tab_that_sets_out_while_another_comes_back_gets_an_address(context):
    server_id = peers.add_server(context)
    for _ in range(6):
        token = signin.start(context, server_id, "browser", "").partition("requesttoken=")[2]
        query = {"clientidnumber": peers.CLIENTIDNUMBER, "requesttoken": token, "result": "cancel"}
        acts = [
            lambda: signin.start(context, server_id, "browser", "/x"),
            lambda query=query: signin.finish(context, query, "browser", signed_in=False),
        ]
        outcomes = at_once(2, lambda acts=acts: acts.pop()())
        assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []


@pytest.mark.parametrize("act", [people.suspend, people.unsuspend, people.delete_person])
def test_who_suspends_or_deletes_somebody_and_a_sync_do_not_wait_for_each_other(context, act):
    """The sync has the account, then its link and its sign-ins; whoever had one of these first made it fail."""
    server_id = peers.add_server(context)
    key = add_person(context)
    with context.unit() as session:
        session.add(Link(person_id=3, server_id=server_id, account_key=key, timecreated=1))
        sessions.start(session, "browser", key, context.clock())
        if act is people.unsuspend:
            context.accounts.update(session, {key: {"suspended": 1}})
    has_account = threading.Event()
    outcomes = []

    def by_hand():
        has_account.wait()
        try:
            with context.unit() as session:
                act(session, context, key)
        except Exception as error:  # noqa: BLE001 - it is what the test is about
            outcomes.append(error)

    thread = threading.Thread(target=by_hand)
    thread.start()
    with context.unit() as session:
        context.accounts.update(session, {key: {"city": "Riga"}})
        has_account.set()
        # Time to get at least as far as the account.
        thread.join(0.5)
        session.execute(update(Link).where(Link.account_key == key).values(suspended_by_sync=True))
        sessions.end_of_accounts(session, context, [key], "sync")
    thread.join()

    assert outcomes == []
    with context.reading() as session:
        view = context.accounts.view(session, key)
    assert (view.suspended, view.deleted) == (act is people.suspend, act is people.delete_person)


def test_of_two_who_approve_a_run_together_nobody_trips(make_database, monkeypatch):
    server = lists.ListingServer()
    server.people = [lists.person(id_) for id_ in range(1, 4)]
    options = [("client.enabled", "true"), ("guard.people", "0 0")]
    with sites.context(make_database(), transport=server, options=options) as context:
        server_id = lists.connect(context)
        run_sync(context, "users", server_id)
        server.people = server.people[1:]
        held = run_sync(context, "users", server_id).run
        forget, together = approvals._forget, threading.Barrier(2)

        def forget_together(*args):
            forget(*args)
            # SQLite lets the second one begin when the first one is done.
            with contextlib.suppress(threading.BrokenBarrierError):
                together.wait(timeout=0.5)

        monkeypatch.setattr(approvals, "_forget", forget_together)

        outcomes = at_once(2, lambda: approve_run(context, held, actor="command"))

        # Who is a moment later finds nothing left to do, which is no mistake either.
        told = [each for each in outcomes if not (isinstance(each, RunReport) and each.state == "done")]
        assert len(told) < 2
        assert [each for each in told if not isinstance(each, Conflict | SyncBusy)] == []
        with context.reading() as session:
            assert session.get(Run, held).state == "approved"
