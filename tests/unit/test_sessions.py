"""Sign-ins that can be ended, and whom their end is told to."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, func, select
from support import peers, sites
from support.statements import listening

from tconnect_pyramid import sessions
from tconnect_pyramid.models import Account, ClientSession, Notice, ServerSession, SignIn
from tconnect_pyramid.secretbox import digest, new_token
from tconnect_pyramid.sessions import Ended, SignedIn


@pytest.fixture
def clock():
    return sites.StillClock()


@pytest.fixture
def context(make_database, clock):
    with sites.context(make_database(), clock=clock) as context:
        yield context


def add_account(context, username="ann", **more) -> int:
    with context.unit() as session:
        return context.accounts.insert(session, [{"username": username, "email": "a@example.com", **more}])[0]


def sign_in(context, key) -> tuple[str, int]:
    browser_id = sessions.new_browser_id()
    with context.unit() as session:
        return browser_id, sessions.start(session, browser_id, key, context.clock())


def look_up(context, browser_id):
    with context.reading() as session:
        return sessions.look_up(session, context, browser_id)


def end(context, signin_id, reason="logout") -> list[int]:
    with context.unit() as session:
        return sessions.end(session, context, [signin_id], reason)


def carry_on(context, signin_id, key, *, client_id=None, server_id=None) -> str:
    token = new_token()
    common = {
        "token_hash": digest(token),
        "token": context.box.seal(token),
        "signin_id": signin_id,
        "account_key": key,
        "timecreated": context.clock(),
    }
    with context.unit() as session:
        if client_id is not None:
            session.add(ClientSession(client_id=client_id, **common))
        else:
            session.add(ServerSession(server_id=server_id, person_id=3, **common))
    return token


def test_a_browser_is_known_after_signing_in_and_only_its_hash_is_kept(context):
    key = add_account(context, firstname="Ann")
    browser_id, signin_id = sign_in(context, key)
    found = look_up(context, browser_id)
    assert isinstance(found, SignedIn)
    assert (found.signin_id, found.account.key, found.account.firstname) == (signin_id, key, "Ann")
    assert look_up(context, sessions.new_browser_id()) is None
    with context.reading() as session:
        assert session.scalar(select(SignIn.browser_hash)) == digest(browser_id)


def test_an_ended_sign_in_stays_known_as_ended(context):
    browser_id, signin_id = sign_in(context, add_account(context))
    end(context, signin_id)
    assert look_up(context, browser_id) == Ended()


@pytest.mark.parametrize("field", ["suspended", "deleted"])
def test_a_suspended_or_deleted_account_is_signed_in_nowhere(context, field):
    key = add_account(context)
    browser_id, _ = sign_in(context, key)
    with context.unit() as session:
        context.accounts.update(session, {key: {field: 1}})
    assert look_up(context, browser_id) == Ended()


def test_a_sign_in_whose_account_is_gone_has_ended(context):
    key = add_account(context)
    browser_id, _ = sign_in(context, key)
    with context.unit() as session:
        session.execute(delete(Account).where(Account.id == key))
    assert look_up(context, browser_id) == Ended()


def test_looking_up_costs_two_statements(context):
    browser_id, _ = sign_in(context, add_account(context))
    with listening(context.database.engine) as statements:
        look_up(context, browser_id)
    assert len([text for text in statements if text.startswith("SELECT")]) == 2, statements


@pytest.mark.parametrize("timeout", [7200, 60])
def test_a_sign_in_times_out_unless_it_is_used(context, clock, timeout):
    with context.unit() as session:
        sites.set_option(session, context.settings, "session.timeout", str(timeout), clock())
    browser_id, signin_id = sign_in(context, add_account(context))
    clock.tick(timeout)
    assert isinstance(look_up(context, browser_id), SignedIn)
    clock.tick(1)
    assert look_up(context, browser_id) == Ended()
    with context.unit() as session:
        sessions.touch(session, signin_id, clock())
    assert isinstance(look_up(context, browser_id), SignedIn)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        # protocol 7.7: an end on this site is told to every client; to the server only if it began here.
        ("logout", {"kill_sso_user", "force_sso_logout"}),
        ("ended", {"kill_sso_user", "force_sso_logout"}),
        ("suspended", {"kill_sso_user", "force_sso_logout"}),
        ("deleted", {"kill_sso_user", "force_sso_logout"}),
        ("timeout", {"kill_sso_user"}),
        ("peer", {"kill_sso_user"}),
        ("sync", {"kill_sso_user"}),
    ],
)
def test_whom_the_end_is_told_to(context, reason, told):
    key = add_account(context)
    _, signin_id = sign_in(context, key)
    carry_on(context, signin_id, key, client_id=peers.add_client(context))
    carry_on(context, signin_id, key, server_id=peers.add_server(context))
    ids = end(context, signin_id, reason)
    with context.reading() as session:
        assert set(session.scalars(select(Notice.service))) == told
        assert sorted(ids) == sorted(session.scalars(select(Notice.id)))
        assert session.scalar(select(func.count()).select_from(ClientSession)) == 0
        assert session.scalar(select(func.count()).select_from(ServerSession)) == 0


def test_ending_twice_tells_once(context):
    key = add_account(context)
    _, signin_id = sign_in(context, key)
    carry_on(context, signin_id, key, client_id=peers.add_client(context))
    assert len(end(context, signin_id)) == 1
    assert end(context, signin_id) == []


def test_all_sign_ins_of_an_account_end_and_no_other(context):
    ann, bob = add_account(context, "ann"), add_account(context, "bob")
    browsers = [sign_in(context, ann)[0], sign_in(context, ann)[0]]
    other, _ = sign_in(context, bob)
    with context.unit() as session:
        sessions.end_of_accounts(session, context, [ann], "suspended")
    assert [look_up(context, browser) for browser in browsers] == [Ended(), Ended()]
    assert isinstance(look_up(context, other), SignedIn)


def test_where_a_sign_in_came_from(context):
    key = add_account(context)
    _, signin_id = sign_in(context, key)
    with context.reading() as session:
        assert sessions.origin(session, signin_id) is None
    carry_on(context, signin_id, key, server_id=peers.add_server(context, name="Head office"))
    with context.reading() as session:
        assert sessions.origin(session, signin_id) == "Head office"


def test_ended_rows_go_when_no_cookie_can_be_left(context, clock):
    browser_id, signin_id = sign_in(context, add_account(context))
    end(context, signin_id)
    clock.tick(sessions.KEEP_ENDED_SECONDS)
    for expected in (0, 1):
        with context.unit() as session:
            assert sessions.forget_old(session, clock()) == expected
        clock.tick(1)
    assert look_up(context, browser_id) is None
