"""Automatic single sign-on: the login page goes straight to the chosen server, and nothing goes round in circles."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from sqlalchemy import update
from support import sites as test_sites
from support.host import HostPolicy
from support.peers import add_server
from support.webapp import (
    PASSWORD,
    Browser,
    TwoSites,
    _Dispatcher,
    add_person,
    app_context,
    connect,
    log_in,
    log_out,
    make_app,
    two_sites,
)
from support.wsgi_transport import WsgiTransport
from webtest import TestApp

from tconnect_pyramid import context_of
from tconnect_pyramid.models import Server
from tconnect_pyramid.options import set_option
from tconnect_pyramid.protocol import paths
from tconnect_pyramid.security import sign_out

SIGN_IN = "Log in using your account on: "
MOST_REDIRECTS = 20
"""What browsers bear."""


def switch(context, name, value) -> None:
    with context.unit() as session:
        set_option(session, context.settings, name, value, context.clock())


@pytest.fixture
def sites(make_sqlite):
    """A client whose login page goes to its server."""
    with two_sites(make_sqlite(), make_sqlite()) as sites:
        add_person(sites.server)
        connect(sites)
        switch(sites.client, "client.auto_sign_in", "1")
        yield sites


def text(page) -> str:
    return " ".join(page.html.find("main").get_text(" ").split())


def follow(page):
    """Go where redirects lead, as a browser does, which gives up some time."""
    hops = 0
    while page.status_int in {302, 303}:
        hops += 1
        assert hops <= MOST_REDIRECTS, f"redirects loop: {page.location}"
        page = page.follow(status="*")
    return page


def path_of(page) -> str:
    return urlsplit(page.request.url).path


def give_password(page):
    form = page.forms["login"]
    form["username"], form["password"] = "ada", PASSWORD
    return follow(form.submit(status=303))


# --- going there --------------------------------------------------------------------------------------


def test_who_is_logged_in_at_the_server_needs_no_click_at_all(sites):
    log_in(sites.browser, url=sites.server_url)
    page = follow(sites.browser.get(f"{sites.client_url}/profile"))

    assert page.request.url == f"{sites.client_url}/profile"
    assert "comes from Test server" in text(page)


def test_who_is_logged_in_nowhere_is_asked_by_the_server_and_gets_where_they_wanted(sites):
    sent = sites.browser.get(f"{sites.client_url}/login?next=/profile", status=303)
    query = parse_qs(urlsplit(sent.location).query)
    assert (urlsplit(sent.location).path, query) == (
        paths.SSO_START,
        {"serverid": ["1"], "next": ["/profile"]},
    )
    assert sent.headers["Cache-Control"] == "no-store"
    page = follow(sent)
    assert page.request.url.startswith(f"{sites.server_url}/login")

    assert give_password(page).request.url == f"{sites.client_url}/profile"


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_a_foreign_page_to_go_to_is_forgotten(sites, wanted):
    sent = sites.browser.get(f"{sites.client_url}/login", {"next": wanted}, status=303)

    assert "next" not in parse_qs(urlsplit(sent.location).query)


def test_an_address_that_is_no_text_is_the_login_pages_business(sites):
    sites.browser.get(f"{sites.client_url}/login?next=%ff", status=400)
    sites.browser.get(f"{sites.client_url}/login?%ff=1", status=400)


# --- staying here -------------------------------------------------------------------------------------


def is_shown(page) -> bool:
    return page.status_int == 200 and path_of(page) == "/login" and "login" in page.forms


def test_nosso_shows_the_page(sites):
    page = sites.browser.get(f"{sites.client_url}/login?nosso=1&next=/profile")
    assert is_shown(page)
    assert f"{SIGN_IN}Test server" in text(page)
    assert sites.browser.get(f"{sites.client_url}/login?nosso=0", status=303)


def test_a_posted_form_is_answered_here(sites):
    add_person(sites.client, "bob", firstname="Bob")
    form = sites.browser.get(f"{sites.client_url}/login?nosso=1").forms["login"]
    form["username"], form["password"] = "bob", "wrong"
    page = form.submit(status=200)
    assert "wrong" in text(page)
    form = page.forms["login"]
    form["username"], form["password"] = "bob", PASSWORD

    assert "Hello, Bob" in text(form.submit(status=303).follow())
    # Logged in, the login page leads on at once, and to no server.
    assert sites.browser.get(f"{sites.client_url}/login", status=303).location == f"{sites.client_url}/"


@pytest.mark.parametrize("fault", ["server not active", "no such server", "client disabled", "not chosen"])
def test_without_a_server_in_use_the_page_is_shown(sites, fault):
    with sites.client.unit() as session:
        if fault == "server not active":
            session.execute(update(Server).values(state="leaving"))
    if fault == "no such server":
        switch(sites.client, "client.auto_sign_in", "99")
    if fault == "client disabled":
        switch(sites.client, "client.enabled", "false")
    if fault == "not chosen":
        switch(sites.client, "client.auto_sign_in", "")
    page = sites.browser.get(f"{sites.client_url}/login")

    assert is_shown(page)
    assert not [cookie for cookie in sites.browser.cookiejar if cookie.name.startswith("tconnect_")]


def test_after_a_failure_the_page_is_shown_until_it_worked(sites):
    log_in(sites.browser, url=sites.server_url)
    sites.transport.down.add(sites.server_url)
    page = follow(sites.browser.get(f"{sites.client_url}/login"))
    assert (page.status_int, "could not be reached" in text(page)) == (403, True)

    other_way = page.click("Log in another way")
    assert other_way.request.url == f"{sites.client_url}/login?nosso=1"
    assert is_shown(other_way)
    assert is_shown(follow(sites.browser.get(f"{sites.client_url}/profile")))
    assert is_shown(page.click("To the home page").click("Log in", index=0))

    sites.transport.down.clear()
    assert "Hello, Ada" in text(follow(page.click("Try again")))
    # It worked: from now on the page is passed over again.
    sites.clock.tick(8000)
    assert follow(sites.browser.get(f"{sites.client_url}/login")).request.url.startswith(sites.server_url)


def test_after_cancelling_the_page_is_shown_for_ten_minutes(sites):
    page = follow(sites.browser.get(f"{sites.client_url}/login"))
    page = follow(page.click("Return to Test client"))
    assert "You did not log in." in text(page)
    (cookie,) = [header for header in page.headers.getall("Set-Cookie") if "_stay_" in header]
    assert "Max-Age=600" in cookie
    assert "HttpOnly" in cookie

    assert is_shown(sites.browser.get(f"{sites.client_url}/login"))


def test_after_logging_out_one_stays_logged_out(sites):
    log_in(sites.browser, url=sites.server_url)
    follow(sites.browser.get(f"{sites.client_url}/login"))
    log_out(sites.browser, url=sites.client_url)
    (cookie,) = [cookie for cookie in sites.browser.cookiejar if "_stay_" in cookie.name]
    assert cookie.expires is None, "until the browser is closed"

    page = sites.browser.get(f"{sites.client_url}/login")
    assert is_shown(page)
    assert give_password(follow(page.click(f"{SIGN_IN}Test server"))).request.url == f"{sites.client_url}/"
    assert not [cookie for cookie in sites.browser.cookiejar if "_stay_" in cookie.name]


def test_a_site_without_a_chosen_server_keeps_no_note_of_a_log_out(sites):
    log_in(sites.browser, url=sites.server_url)
    log_out(sites.browser, url=sites.server_url)

    assert not [cookie for cookie in sites.browser.cookiejar if "_stay_" in cookie.name]


def test_a_sign_in_that_ended_elsewhere_begins_anew_by_itself(sites):
    log_in(sites.browser, url=sites.server_url)
    follow(sites.browser.get(f"{sites.client_url}/login"))
    log_out(sites.browser, url=sites.server_url)
    page = follow(sites.browser.get(f"{sites.client_url}/profile"))

    assert page.request.url.startswith(f"{sites.server_url}/login")


def test_a_browser_without_cookies_ends_at_a_page_not_in_a_circle(sites):
    app = sites.browser.app
    page = TestApp(app).get(f"{sites.client_url}/login", status=303)
    hops = 0
    while page.status_int == 303:
        hops += 1
        assert hops < MOST_REDIRECTS
        page = TestApp(app).get(page.location, status="*")

    assert path_of(page) == "/login"


# --- sites that are servers of each other --------------------------------------------------------------


@pytest.fixture
def circle(make_sqlite):
    """Gives a function that makes sites, each of which sends its people to the next one, round and round."""
    made = []

    def make(number):
        apps, clock = {}, test_sites.StillClock()
        transport = WsgiTransport(apps)
        urls = [f"http://localhost:{6550 + index}" for index in range(number)]
        for index, url in enumerate(urls):
            apps[url] = make_app(make_sqlite(), url, transport, clock, site_name=f"Site {index}")
            made.append(app_context(apps[url]))
            add_person(made[-1])
        browser = Browser(_Dispatcher(apps))
        for index in range(number):
            server, client = (index + 1) % number, index
            connect(
                TwoSites(browser, made[server], made[client], transport, clock, urls[server], urls[client])
            )
            switch(made[client], "client.auto_sign_in", "1")
        return browser, urls

    yield make
    for context in made:
        context.database.engine.dispose()


@pytest.mark.parametrize("number", [2, 3])
def test_in_a_circle_of_sites_one_of_them_asks(circle, number):
    browser, urls = circle(number)
    page = follow(browser.get(f"{urls[0]}/profile"))
    assert is_shown(page)
    # Asked once more, at once or after a while, it does not go round either.
    assert is_shown(follow(browser.get(f"{urls[0]}/profile")))

    page = give_password(page)
    assert page.status_int == 200, text(page)
    assert "Ada Lovelace" in browser.get(f"{urls[0]}/")


def test_a_site_in_the_middle_passes_people_on_to_its_own_server(circle):
    browser, urls = circle(3)
    log_in_at_last = browser.get(f"{urls[2]}/login?nosso=1").forms["login"]
    log_in_at_last["username"], log_in_at_last["password"] = "ada", PASSWORD
    log_in_at_last.submit(status=303)

    # From the first by the second to the third, where the person is known, and back, without a click.
    page = follow(browser.get(f"{urls[0]}/profile"))
    assert page.request.url == f"{urls[0]}/profile"
    assert "comes from Site 1" in text(page)


# --- on a host ----------------------------------------------------------------------------------------


@pytest.fixture
def make_host(make_sqlite):
    engines = []

    def make(*, login_first=True):
        config = Configurator(
            settings={
                **test_sites.ini("http://localhost", **{"tconnect.client.enabled": "true"}),
                "tconnect.client.auto_sign_in": "1",
                "sqlalchemy.url": make_sqlite(),
                "tm.manager_hook": "pyramid_tm.explicit_manager",
            }
        )
        seen = []

        def enter(request):
            seen.append(request.method)
            return Response("the host's own page")

        def views():
            config.add_route("enter", "/people/{lang}/enter")
            config.add_view(enter, route_name="enter", http_cache=3600)
            config.add_route("other", "/other")
            config.add_view(lambda request: Response("other"), route_name="other")
            config.add_route("leave", "/leave")
            config.add_view(lambda request: HTTPSeeOther("/", headers=sign_out(request)), route_name="leave")

        if login_first:
            views()
        config.include("tconnect_pyramid")
        config.set_tconnect_login_route("enter")
        config.set_security_policy(HostPolicy())
        if not login_first:
            views()
        app = config.make_wsgi_app()
        context = context_of(app.registry)
        engines.append(context.database.engine)
        add_server(context)
        return TestApp(app), seen

    yield make
    for engine in engines:
        engine.dispose()


LOGIN = "/people/sv/enter"


@pytest.mark.parametrize("login_first", [True, False])
def test_a_hosts_own_login_page_is_passed_over_without_being_run(make_host, login_first):
    app, seen = make_host(login_first=login_first)
    sent = app.get(f"{LOGIN}?next=/other", status=303)

    assert sent.location == f"http://localhost{paths.SSO_START}?serverid=1&next=%2Fother"
    assert sent.headers["Cache-Control"] == "no-store", "whatever the page itself may be kept for"
    assert seen == []
    assert app.get("/other").text == "other"


def test_a_hosts_login_page_is_shown_when_it_is_asked_for_posted_to_or_somebody_is_there(make_host):
    app, seen = make_host()
    app.get(f"{LOGIN}?nosso=1")
    app.post(LOGIN)
    app.set_cookie("host_user", "1")
    app.get(LOGIN)

    assert seen == ["GET", "POST", "GET"]


def test_after_logging_out_of_a_host_its_login_page_is_shown(make_host):
    app, seen = make_host()
    app.get("/leave", status=303)
    app.get(LOGIN, status=200)

    assert seen == ["GET"]
