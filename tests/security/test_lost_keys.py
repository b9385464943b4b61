"""A key that was taken out of `tconnect.secret_keys`, as after a leak: what it sealed must be in nobody's way."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select
from support import peers
from support.webapp import add_person, app_context, log_in, make_app, one_site

from tconnect_pyramid import people, sessions
from tconnect_pyramid.delivery import outbox
from tconnect_pyramid.models import ClientSession, Notice, ServerSession, SignIn
from tconnect_pyramid.protocol import services
from tconnect_pyramid.secretbox import SecretBox, digest, new_token
from tconnect_pyramid.server.keepalive import end_idle_sign_ins

LOST = SecretBox(["a-key-that-nobody-has-any-more-0123456789"])


@pytest.fixture
def site(make_database):
    with one_site(make_database(), transport=peers.always()) as (browser, context):
        yield browser, context


def carried_on(context, key, *, redeemed=True) -> None:
    """The person's sign-ins came from a server and went on to a client, under the lost key."""
    client_id, server_id = peers.add_client(context), peers.add_server(context)
    now = context.clock()
    with context.unit() as session:
        for signin_id in session.scalars(select(SignIn.id).where(SignIn.account_key == key)):
            shared = {"signin_id": signin_id, "account_key": key, "timecreated": now}
            one, other = new_token(), new_token()
            session.add(
                ClientSession(
                    token=LOST.seal(one),
                    token_hash=digest(one),
                    client_id=client_id,
                    redeemed=now if redeemed else None,
                    **shared,
                )
            )
            session.add(
                ServerSession(
                    token=LOST.seal(other),
                    token_hash=digest(other),
                    server_id=server_id,
                    person_id=1,
                    **shared,
                )
            )


def living(context) -> int:
    with context.reading() as session:
        return session.scalar(select(func.count()).select_from(SignIn).where(SignIn.ended.is_(None)))


def test_somebody_can_still_log_out(site):
    browser, context = site
    key = add_person(context)
    log_in(browser)
    carried_on(context, key)
    browser.get("/logout").forms["logout"].submit(status=303)
    assert living(context) == 0


def test_an_administrator_can_still_keep_somebody_out(site):
    browser, context = site
    key = add_person(context)
    log_in(browser)
    carried_on(context, key)
    with context.unit() as session:
        people.suspend(session, context, key)
    assert living(context) == 0


def test_sign_ins_still_time_out(site):
    browser, context = site
    key = add_person(context)
    log_in(browser)
    carried_on(context, key)
    other = add_person(context, "bea")
    with context.unit() as session:
        sessions.start(session, "another browser", other, context.clock())
    context.clock.tick(8000)
    assert end_idle_sign_ins(context) == 2
    assert living(context) == 0


@pytest.mark.parametrize("sealed", ["notice", "secret of the client"])
def test_notices_to_others_are_still_sent(site, sealed):
    _, context = site
    readable = context.box.seal
    unreadable = LOST.seal(peers.CLIENTSECRET)
    bad = peers.add_client(
        context, **({"client_secret": unreadable} if sealed == "secret of the client" else {})
    )
    good = peers.add_client(context, idnumber="1" * 40, server_secret_hash="1" * 64)
    parameters = '[["ssotoken", "x"]]'
    with context.unit() as session:
        for peer_id in (bad, good):
            seal = LOST.seal if sealed == "notice" and peer_id == bad else readable
            session.add(
                Notice(
                    role="client",
                    peer_id=peer_id,
                    service=services.KILL_SSO_USER,
                    parameters=seal(parameters),
                    timecreated=context.clock(),
                    due=context.clock(),
                )
            )
    assert outbox.sweep(context).confirmed == 1
    with context.reading() as session:
        (left,) = session.scalars(select(Notice))
    assert left.peer_id == bad
    assert "tconnect.secret_keys" in left.last_error


def test_a_browser_of_the_former_key_is_nobody_and_may_log_in_again(make_database):
    url = make_database()
    keys = ["insecure-test-key-0123456789-0123456789", "insecure-test-key-after-the-leak-9876543210"]
    with one_site(url) as (browser, context):
        add_person(context)
        log_in(browser)
        cookies = {cookie.name: cookie.value for cookie in browser.cookiejar}
    app = make_app(url, secret_keys=keys[1])
    try:
        browser.app = app
        for name, value in cookies.items():
            browser.set_cookie(name, value)
        assert "You are not logged in" in browser.get("/")
        log_in(browser)
        assert "Ada Lovelace" in browser.get("/")
    finally:
        app_context(app).database.engine.dispose()
