"""Cleaning up the client role: what is too old, and everything of its kind while the role is off (protocol 10)."""

from __future__ import annotations

import pytest
from sqlalchemy import func, insert, select
from support import peers, sites

from tconnect_pyramid.client import connecting, signin
from tconnect_pyramid.client.cleanup import cleanup
from tconnect_pyramid.models import Approval, Link, Server, SignInRequest
from tconnect_pyramid.options import set_option


@pytest.fixture
def clock():
    return sites.StillClock()


@pytest.fixture
def context(make_database, clock):
    with sites.context(make_database(), clock=clock, options=[("client.enabled", "true")]) as context:
        yield context


def count(context, table):
    with context.reading() as session:
        return session.scalar(select(func.count()).select_from(table))


def test_requests_older_than_an_hour_are_removed(context, clock):
    server_id = peers.add_server(context)
    signin.start(context, server_id, "first", "")
    clock.tick(3600)
    signin.start(context, server_id, "second", "")
    assert cleanup(context) == 0
    clock.tick(1)
    assert cleanup(context) == 1
    assert count(context, SignInRequest) == 1


def test_while_the_role_is_off_every_request_goes_and_connections_stay(context, clock):
    server_id = peers.add_server(context)
    with context.unit() as session:
        connecting.open_invitation(session, context, actor="command")
        session.add(Link(person_id=3, server_id=server_id, account_key=1, timecreated=0))
    token = signin.start(context, server_id, "browser", "").partition("requesttoken=")[2]
    with context.unit() as session:
        set_option(session, context.settings, "client.enabled", "false", clock())

    assert cleanup(context) == 1

    assert count(context, SignInRequest) == 0
    assert (count(context, Server), count(context, Link)) == (1, 1)
    with context.unit() as session:
        assert connecting.current_invitation(session, context) is not None
        set_option(session, context.settings, "client.enabled", "true", clock())
    assert signin.start(context, server_id, "browser", "").partition("requesttoken=")[2] != token


def test_approvals_that_have_run_out_are_removed(context, clock):
    server_id = peers.add_server(context)
    with context.unit() as session:
        for remote_id, expires in ((3, clock()), (4, clock() - 1)):
            session.execute(
                insert(Approval).values(
                    remote_id=remote_id, kind="users", action="deleted", server_id=server_id, expires=expires
                )
            )
    cleanup(context)
    with context.reading() as session:
        assert session.scalars(select(Approval.remote_id)).all() == [3]
