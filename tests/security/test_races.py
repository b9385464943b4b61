"""Two at the same moment: one wins, nobody trips."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import func, select
from support import peers, sites

from tconnect_pyramid.client import signin
from tconnect_pyramid.models import SignInRequest


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
