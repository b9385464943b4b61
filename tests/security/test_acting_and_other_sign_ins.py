"""Sign-ins that change while somebody acts as another person, or that a host knows otherwise than we do."""

from __future__ import annotations

import pytest
from pyramid.config import Configurator
from sqlalchemy import func, select
from support import sites as test_sites
from support.host import HostPolicy
from support.webapp import add_person, connect, log_in, one_site, two_sites
from webtest import TestApp

from tconnect_pyramid import context_of, people, sessions
from tconnect_pyramid.delivery.outbox import deliver_now
from tconnect_pyramid.errors import Conflict
from tconnect_pyramid.models import Account, ServerSession, SignIn
from tconnect_pyramid.protocol import paths

EDIT = "/user/edit.php"
SIGN_IN = "Log in using your account on: Test server"


def text(page) -> str:
    return " ".join(page.html.find("body").get_text(" ").split())


def act(browser, who, url="", status=303):
    form = browser.get(f"{url}/admin/act-as").forms["act-as"]
    form["who"] = who
    return form.submit(status=status)


def living(context) -> int:
    with context.reading() as session:
        return session.scalar(select(func.count()).select_from(SignIn).where(SignIn.ended.is_(None)))


@pytest.fixture
def sites(make_sqlite):
    """Root, an administrator on both sites, is signed in on the client through the server."""
    with two_sites(make_sqlite(), make_sqlite()) as sites:
        add_person(sites.server, "root", firstname="Root")
        connect(sites)
        log_in(sites.browser, "root", url=sites.server_url)
        sites.browser.get(f"{sites.client_url}/login").click(SIGN_IN).maybe_follow()
        add_person(sites.client)
        with sites.client.unit() as session:
            key = session.scalar(select(Account.id).where(Account.auth == "connect"))
            people.set_admin(session, sites.client, key, on=True)
        yield sites


def test_logging_out_at_the_server_ends_acting_at_the_client(sites):
    act(sites.browser, "ada", sites.client_url)
    assert "Hello, Ada" in text(sites.browser.get(f"{sites.client_url}/"))
    assert living(sites.client) == 2

    sites.browser.get(f"{sites.server_url}/logout").forms["logout"].submit(status=303)
    assert living(sites.client) == 0
    assert "You are not logged in." in text(sites.browser.get(f"{sites.client_url}/"))


def test_an_administrator_who_is_suspended_acts_as_nobody(sites):
    act(sites.browser, "ada", sites.client_url)
    with sites.client.unit() as session:
        key = session.scalar(select(Account.id).where(Account.auth == "connect"))
        notices = people.suspend(session, sites.client, key)
    deliver_now(sites.client, notices)
    assert living(sites.client) == 0
    form = sites.browser.get(f"{sites.client_url}/login")
    assert "Ada" not in text(form)


def test_whoever_acts_keeps_no_session_with_the_server_in_the_name_of_the_other(sites):
    act(sites.browser, "ada", sites.client_url)
    sites.browser.get(f"{sites.client_url}{paths.SSO_START}?serverid=1", status=303)
    with sites.client.reading() as session:
        ada = session.scalar(select(Account.id).where(Account.username == "ada"))
        assert session.scalar(select(ServerSession.id).where(ServerSession.account_key == ada)) is None


def test_nobody_begins_to_act_from_a_sign_in_that_a_peer_has_just_ended(make_database):
    with one_site(make_database()) as (_, context):
        ada, root = add_person(context), add_person(context, "root", admin=True)
        browser = sessions.new_browser_id()
        with context.unit() as session:
            signin_id = sessions.start(session, browser, root, context.clock())
        with context.reading() as session:
            seen = sessions.look_up(session, context, browser)
        with context.unit() as session:
            sessions.end(session, context, [signin_id], "peer")

        with pytest.raises(Conflict, match="Your own sign-in has ended meanwhile"), context.unit() as session:
            sessions.act_as(session, context, seen, ada, sessions.new_browser_id())
        assert living(context) == 0


@pytest.fixture
def host(make_sqlite):
    """A host that says itself who is there; it is a server, and its people edit their profiles by our form."""
    config = Configurator(
        settings={
            **test_sites.ini("http://localhost", **{"tconnect.server.enabled": "true"}),
            "sqlalchemy.url": make_sqlite(),
            "tm.manager_hook": "pyramid_tm.explicit_manager",
        }
    )
    config.include("tconnect_pyramid")
    config.set_security_policy(HostPolicy())
    config.add_route("enter", "/enter")
    config.set_tconnect_login_route("enter")
    app = config.make_wsgi_app()
    context = context_of(app.registry)
    yield TestApp(app), context
    context.database.engine.dispose()


def test_a_form_of_the_former_person_of_a_browser_changes_nothing_of_the_next_one(host):
    browser, context = host
    eve, bob = add_person(context, "eve"), add_person(context, "bob")
    browser.set_cookie("host_user", str(eve))
    form = browser.get(EDIT).forms["profile"]
    form["email"] = "eve@evil.example"
    browser.set_cookie("host_user", str(bob))

    assert form.submit(status="*").status_int == 400
    with context.reading() as session:
        kept = {key: session.get(Account, key).email for key in (eve, bob)}
    assert kept == {eve: "eve@example.org", bob: "bob@example.org"}

    form = browser.get(EDIT).forms["profile"]
    form["city"] = "Oslo"
    form.submit(status=303)
    with context.reading() as session:
        assert session.get(Account, bob).city == "Oslo"
