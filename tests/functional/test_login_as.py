"""An administrator acts as another person, and is nobody else at any client (protocol 7.2)."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from pyramid.config import Configurator
from sqlalchemy import func, select
from support import sites as test_sites
from support.peers import CLIENTIDNUMBER, add_client
from support.webapp import add_person, connect, log_in, one_site, two_sites
from webtest import TestApp

from tconnect_pyramid import context_of, people, sessions
from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.models import Account, AuditEntry, ClientSession, SignIn
from tconnect_pyramid.protocol import paths
from tconnect_pyramid.server.keepalive import end_idle_sign_ins

SIGN_IN = "Log in using your account on: Test server"
ACTING = "You are acting as Ada Lovelace"


@pytest.fixture
def site(make_database):
    """Root, an administrator, is logged in; Ada is a person."""
    with one_site(make_database()) as (browser, context):
        add_person(context)
        add_person(context, "root", admin=True, firstname="Root", lastname="Rot")
        log_in(browser, "root")
        yield browser, context


@pytest.fixture
def browser(site):
    return site[0]


@pytest.fixture
def context(site):
    return site[1]


@pytest.fixture
def sites(make_sqlite):
    """Root is logged in on the server, and through it on the client."""
    with two_sites(make_sqlite(), make_sqlite()) as sites:
        add_person(sites.server)
        add_person(sites.server, "root", admin=True, firstname="Root", lastname="Rot")
        connect(sites)
        log_in(sites.browser, "root", url=sites.server_url)
        yield sites


def text(page) -> str:
    return " ".join(page.html.find("body").get_text(" ").split())


def begin(browser, who="ada", url="", **more):
    form = browser.get(f"{url}/admin/act-as").forms["act-as"]
    form["who"] = who
    return form.submit(**more)


def act(browser, who="ada", url=""):
    return begin(browser, who, url, status=303).follow()


def back(page):
    return page.forms["stop-acting"].submit(status=303).follow()


def rows(context) -> list:
    with context.reading() as session:
        return list(session.scalars(select(SignIn).order_by(SignIn.id)))


def cookies(browser) -> dict[str, str]:
    return {cookie.name: cookie.value for cookie in browser.cookiejar if cookie.name.startswith("tconnect_")}


def test_every_page_says_as_whom_one_acts_and_leads_back(browser):
    page = act(browser)
    assert "Hello, Ada Lovelace" in text(page)
    for path in ("/", "/profile", "/user/edit.php", "/logout"):
        page = browser.get(path)
        assert ACTING in text(page)
        assert page.forms["stop-acting"]
    page = back(page)

    assert "Hello, Root Rot" in text(page)
    assert "You are acting" not in text(page)


def test_it_is_written_down_who_acted_as_whom_and_what_they_did(browser, context):
    page = act(browser)
    form = browser.get("/user/edit.php").forms["profile"]
    form["city"] = "London"
    page = form.submit(status=303).follow()
    back(page)

    with context.reading() as session:
        trail = session.execute(
            select(AuditEntry.actor, AuditEntry.action, AuditEntry.subject)
            .where(AuditEntry.actor == "account:2")
            .order_by(AuditEntry.id)
        ).all()
    assert [tuple(entry) for entry in trail] == [
        ("account:2", "account.acting_began", "ada"),
        ("account:2", "account.edited", "ada"),
        ("account:2", "account.acting_ended", "ada"),
    ]


def test_the_browser_has_a_new_id_at_each_change_and_the_old_ones_are_worth_nothing(browser, context):
    before = cookies(browser)
    page = act(browser)
    between = cookies(browser)
    back(page)
    after = cookies(browser)

    assert len({*before.values(), *between.values(), *after.values()}) == 3
    for old in (before, between):
        thief = TestApp(browser.app)
        for name, value in old.items():
            thief.set_cookie(name, value)
        assert "You are not logged in." in text(thief.get("/"))


def test_the_sign_in_says_who_acts_and_the_persons_own_is_not_touched(browser, context):
    other = TestApp(browser.app)
    log_in(other)
    page = act(browser)
    root, ada, acting = rows(context)
    assert (root.acted_by, ada.acted_by, acting.acted_by, acting.acted_from) == (None, None, 2, root.id)
    with context.reading() as session:
        seen = session.get(Account, 1).lastaccess
    back(page)

    assert "Hello, Ada" in text(other.get("/"))
    assert [row.ended is None for row in rows(context)] == [True, True, False]
    with context.reading() as session:
        assert session.get(Account, 1).lastaccess == seen


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("", "Enter a username"),
        ("nobody", "There is no account"),
        ("root", "Nobody can act as Root"),
        ("boss", "Nobody can act as"),
        ("gone", "Nobody can act as"),
    ],
)
def test_nobody_acts_as_an_administrator_or_as_somebody_who_is_kept_out(browser, context, who, said):
    add_person(context, "boss", admin=True)
    key = add_person(context, "gone")
    with context.unit() as session:
        people.suspend(session, context, key)
    before = cookies(browser)
    page = begin(browser, who, status=200)

    assert said in page.html.find(id="who-error").get_text()
    assert cookies(browser) == before
    assert all(row.acted_by is None for row in rows(context))


def test_only_administrators_act_as_others(browser, context):
    other = TestApp(browser.app)
    other.get("/admin/act-as", status=303)
    log_in(other)
    other.get("/admin/act-as", status=403)
    token = other.get("/logout").forms["logout"]["csrf_token"].value
    other.post("/admin/act-as", {"csrf_token": token, "who": "root"}, status=403)
    assert "Act as" not in text(other.get("/"))

    page = act(browser)
    assert "Act as" not in text(page)
    browser.get("/admin/act-as", status=403)
    token = browser.get("/logout").forms["logout"]["csrf_token"].value
    browser.post("/admin/act-as", {"csrf_token": token, "who": "ada"}, status=403)
    assert [row.acted_by for row in rows(context)].count(2) == 1


@pytest.mark.parametrize("path", ["/admin/act-as", "/tconnect/stop-acting"])
def test_a_form_of_another_site_makes_nobody_act_or_stop(browser, path):
    if path != "/admin/act-as":
        act(browser)
    before = cookies(browser)
    browser.get(path, status="*")
    browser.post(path, {"who": "ada"}, status=400)
    browser.post(path, {"who": "ada", "csrf_token": "1.abc"}, status=400)

    assert cookies(browser) == before


def test_logging_out_while_acting_is_logging_out(browser, context):
    act(browser)
    browser.get("/logout").forms["logout"].submit(status=303)

    assert "You are not logged in." in text(browser.get("/"))
    assert all(row.ended is not None for row in rows(context))


@pytest.mark.parametrize(
    "fault", ["admin suspended", "no admin any more", "admin signed out", "person is admin"]
)
def test_who_may_not_act_any_more_stops_at_once(browser, context, fault):
    act(browser)
    with context.unit() as session:
        if fault == "admin suspended":
            people.suspend(session, context, 2)
        elif fault == "no admin any more":
            people.set_admin(session, context, 2, on=False)
        elif fault == "admin signed out":
            sessions.end(session, context, [rows(context)[0].id], "ended")
        else:
            people.set_admin(session, context, 1, on=True)

    assert "You are not logged in." in text(browser.get("/"))


def test_a_person_who_is_suspended_is_nobody_to_act_as(browser, context):
    act(browser)
    with context.unit() as session:
        people.suspend(session, context, 1)

    assert "You are not logged in." in text(browser.get("/"))


def test_both_sign_ins_live_while_the_administrator_is_active(browser, context):
    act(browser)
    for _ in range(4):
        context.clock.tick(3000)
        page = browser.get("/")
        assert ACTING in text(page)
        end_idle_sign_ins(context)

    assert "Hello, Root" in text(back(page))


# --- for a client -------------------------------------------------------------------------------------


def start(sites):
    return sites.browser.get(f"{sites.client_url}/login").click(SIGN_IN).maybe_follow()


def test_nobody_is_signed_in_at_a_client_as_somebody_else(sites):
    act(sites.browser, url=sites.server_url)
    page = start(sites)

    assert "asks who you are, but on this site you are acting as Ada Lovelace" in text(page)
    with sites.server.reading() as session:
        assert session.scalar(select(func.count()).select_from(ClientSession)) == 0

    page = page.click("Cancel and return to Test client", index=0).maybe_follow()
    assert page.request.url.startswith(sites.client_url)
    assert "Log in cancelled" in text(page)
    assert ACTING in text(sites.browser.get(f"{sites.server_url}/"))


def test_after_logging_out_of_it_one_is_signed_in_as_oneself(sites):
    act(sites.browser, url=sites.server_url)
    page = start(sites).forms["stop-acting-first"].submit(status=303).maybe_follow()

    assert page.request.url == f"{sites.client_url}/"
    assert "Hello, Root Rot" in text(page)
    assert "Hello, Root Rot" in text(sites.browser.get(f"{sites.server_url}/"))


def test_the_clients_of_both_stay_signed_in(sites):
    ada = sites.new_browser()
    log_in(ada, url=sites.server_url)
    ada.get(f"{sites.client_url}/login").click(SIGN_IN).maybe_follow()
    start(sites)
    page = act(sites.browser, url=sites.server_url)

    for _ in range(2):
        assert "Hello, Root" in text(sites.browser.get(f"{sites.client_url}/"))
        assert "Hello, Ada" in text(ada.get(f"{sites.client_url}/"))
        page = back(page) if "stop-acting" in page.forms else page
    # The administrator's own sign-in is the one it was: logging out reaches its client.
    sites.browser.get(f"{sites.server_url}/logout").forms["logout"].submit(status=303)
    assert "You are not logged in." in text(sites.browser.get(f"{sites.client_url}/"))
    assert "Hello, Ada" in text(ada.get(f"{sites.client_url}/"))


def test_logging_out_at_a_client_ends_the_acting_too(sites):
    start(sites)
    act(sites.browser, url=sites.server_url)
    sites.browser.get(f"{sites.client_url}/logout").forms["logout"].submit(status=303)

    assert "You are not logged in." in text(sites.browser.get(f"{sites.server_url}/"))


def test_a_profile_is_edited_there_as_whoever_one_acts_as(sites):
    """Acting on the client as somebody of the server opens nothing at the server."""
    ada = sites.new_browser()
    log_in(ada, url=sites.server_url)
    ada.get(f"{sites.client_url}/login").click(SIGN_IN).maybe_follow()
    add_person(sites.client, "boss", admin=True)
    add_person(sites.server, "cleo")
    with sites.client.reading() as session:
        username = session.scalar(select(Account.username).where(Account.auth == "connect"))
    boss = sites.new_browser()
    log_in(boss, "boss", url=sites.client_url)
    log_in(boss, "cleo", url=sites.server_url)
    act(boss, username, url=sites.client_url)
    sent = boss.get(f"{sites.client_url}/profile").click("Edit on Test server")
    assert urlsplit(sent.location).path == paths.USER_EDIT

    assert "You may edit your own profile only." in text(sent.follow(status=403))


# --- on a host ----------------------------------------------------------------------------------------


@pytest.fixture
def make_host(make_sqlite):
    engines = []

    def make(acting):
        config = Configurator(
            settings={
                **test_sites.ini("http://localhost", **{"tconnect.server.enabled": "true"}),
                "sqlalchemy.url": make_sqlite(),
                "tm.manager_hook": "pyramid_tm.explicit_manager",
            }
        )
        config.include("tconnect_pyramid")
        config.set_security_policy(Host())
        config.set_tconnect_acting_as(acting)
        config.add_route("enter", "/enter")
        config.set_tconnect_login_route("enter")
        app = config.make_wsgi_app()
        context = context_of(app.registry)
        engines.append(context.database.engine)
        add_person(context)
        add_client(context)
        return TestApp(app), context

    yield make
    for engine in engines:
        engine.dispose()


class Host:
    """A host that knows a way of its own to act as somebody: a cookie."""

    def identity(self, request):
        return request.cookies.get("host_user")

    authenticated_userid = identity

    def permits(self, request, context, permission):
        return True

    def remember(self, request, userid, **kw):
        return []

    def forget(self, request, **kw):
        return [("Set-Cookie", f"{name}=; Max-Age=0; Path=/") for name in ("host_user", "host_acting")]


def is_acting(request):
    return "host_acting" in request.cookies


def test_a_host_says_who_acts_as_somebody_else(make_host):
    app, context = make_host(is_acting)
    app.set_cookie("host_user", "1")
    app.set_cookie("host_acting", "1")
    query = {"clientidnumber": CLIENTIDNUMBER, "requesttoken": "a" * 40}
    page = app.get(paths.SSO_REQUEST, query, status=200)
    assert "you are acting as Ada Lovelace" in text(page)
    assert page.html.find("a", string=lambda said: "Cancel" in said)["href"].endswith("&result=cancel")

    gone = page.forms["stop-acting-first"].submit(status=303)
    assert gone.location.startswith(f"http://localhost{paths.SSO_REQUEST}?")
    forgotten = {header.partition("=")[0] for header in gone.headers.getall("Set-Cookie")}
    assert {"host_user", "host_acting"} < forgotten
    app.reset()
    assert gone.follow(status=303).location.startswith("http://localhost/enter?next=")
    with context.reading() as session:
        assert session.scalar(select(ClientSession.id)) is None


def test_who_does_not_act_is_carried_on(make_host):
    app, _ = make_host(is_acting)
    app.set_cookie("host_user", "1")
    query = {"clientidnumber": CLIENTIDNUMBER, "requesttoken": "a" * 40}

    # This client does not answer; it is asked.
    assert "result=error" in app.get(paths.SSO_REQUEST, query, status=303).location


def test_what_cannot_be_called_stops_the_site(make_host):
    with pytest.raises(ConfigurationProblem, match="set_tconnect_acting_as: 42 cannot be called"):
        make_host(42)
