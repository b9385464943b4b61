"""Two sites that sign in as one: the whole path by HTTP, in one browser with one cookie jar."""

from __future__ import annotations

import json
import threading
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import func, select
from support.webapp import add_person, log_in, log_out, two_sites

from tconnect_pyramid import sessions
from tconnect_pyramid.client import connecting
from tconnect_pyramid.client.servers import list_servers
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.delivery import outbox
from tconnect_pyramid.directory import audiences
from tconnect_pyramid.errors import TConnectError
from tconnect_pyramid.models import Audience, AudienceMember, Client, ClientSession, Notice, ServerSession
from tconnect_pyramid.options import set_option
from tconnect_pyramid.server import clients
from tconnect_pyramid.server.clients import ClientWishes
from tconnect_pyramid.server.keepalive import end_idle_sign_ins


def switch(context, name, value) -> None:
    with context.unit() as session:
        set_option(session, context.settings, name, value, context.clock())


def wishes(sites, **more) -> ClientWishes:
    values = {
        "name": "Test client",
        "url": sites.client_url,
        "restrict_audience_id": None,
        "add_new_audiences": False,
        "add_new_courses": False,
        "audiences": (),
        "courses": (),
        "comment": "",
    }
    return ClientWishes(**{**values, **more})


def connect(sites, **more):
    """As two administrators do it: invite, then add."""
    switch(sites.server, "server.enabled", "true")
    switch(sites.client, "client.enabled", "true")
    with sites.client.unit() as session:
        invitation = connecting.open_invitation(session, sites.client, actor="command")
    return clients.register_client(
        sites.server, wishes(sites, **more), invitation.setup_secret, actor="command", timeout=10
    )


@pytest.fixture
def make_sites(make_database):
    with two_sites(make_database(), make_database()) as sites:
        yield sites


@pytest.fixture
def sites(make_sites):
    add_person(make_sites.server)
    connect(make_sites)
    return make_sites


def server_id(sites) -> int:
    with sites.client.reading() as session:
        return list_servers(session)[0].id


def click_sign_in_link(browser, sites):
    """On the client's login page: *Log in using your account on: Test server*; follows to where it ends."""
    page = browser.get(f"{sites.client_url}/login")
    return follow(page.click(description="Test server"))


def follow(response):
    """Follow redirects across both sites, as a browser does."""
    hops = 0
    while response.status_int in {302, 303}:
        hops += 1
        assert hops < 10, "redirects loop"
        response = response.follow(expect_errors=True)
    return response


def sign_in(browser, sites):
    log_in(browser, url=sites.server_url)
    return click_sign_in_link(browser, sites)


def who(browser, url) -> str:
    """Who the site's home page says one is; empty when nobody."""
    page = browser.get(f"{url}/")
    return "Ada Lovelace" if "Ada Lovelace" in page.text else ""


def is_signed_in(browser, sites) -> tuple[bool, bool]:
    return bool(who(browser, sites.server_url)), bool(who(browser, sites.client_url))


def count(context, table) -> int:
    with context.reading() as session:
        return session.scalar(select(func.count()).select_from(table))


# --- connecting ---------------------------------------------------------------------------------------


def test_connecting_leaves_both_sides_knowing_each_other(sites):
    with sites.server.reading() as session:
        (client,) = clients.list_clients(session)
        idnumber = sites.server.idnumber(session)
    with sites.client.reading() as session:
        (server,) = list_servers(session)
    assert (client.state, client.url, client.apiversion, client.clienttype) == (
        "active",
        sites.client_url,
        2,
        "totaralms",
    )
    assert (server.state, server.url, server.name) == ("active", sites.server_url, "Test server")
    assert server.idnumber == idnumber
    assert server.client_idnumber == client.idnumber


@pytest.mark.parametrize(
    "fault", ["wrong secret", "client down", "server down for the call-back", "disabled"]
)
def test_a_registration_that_fails_leaves_no_trace(make_sites, fault):
    sites = make_sites
    switch(sites.server, "server.enabled", "true")
    switch(sites.client, "client.enabled", "true")
    with sites.client.unit() as session:
        secret = connecting.open_invitation(session, sites.client, actor="command").setup_secret
    if fault == "wrong secret":
        secret = "0" * 40
    if fault == "client down":
        sites.transport.down.add(sites.client_url)
    if fault == "server down for the call-back":
        sites.transport.down.add(sites.server_url)
    if fault == "disabled":
        switch(sites.client, "client.enabled", "false")
    with pytest.raises(TConnectError):
        clients.register_client(sites.server, wishes(sites), secret, actor="command", timeout=10)
    assert count(sites.server, Client) == 0
    with sites.client.reading() as session:
        assert list_servers(session) == []


# --- signing in ---------------------------------------------------------------------------------------


def test_a_person_signed_in_on_the_server_is_known_on_the_client_by_one_click(sites):
    page = sign_in(sites.browser, sites)
    assert page.request.url.startswith(sites.client_url)
    assert "Ada Lovelace" in page
    assert "Test server" in page, "the page says where one comes from"
    with sites.client.reading() as session:
        account = sites.client.accounts.page(session)[0]
        idnumber = list_servers(session)[0].idnumber
    assert (account.auth, account.email) == ("connect", "ada@example.org")
    assert account.username.startswith("tc_")
    assert account.username.endswith(idnumber)


def test_who_is_signed_in_nowhere_logs_in_on_the_way(sites):
    login = click_sign_in_link(sites.browser, sites)
    assert login.request.url.startswith(f"{sites.server_url}/login")
    assert "Test client" in login, "the page says which site asks"
    form = login.forms["login"]
    form["username"], form["password"] = "ada", "correct horse battery"
    page = follow(form.submit())
    assert page.request.url == f"{sites.client_url}/"
    assert is_signed_in(sites.browser, sites) == (True, True)


def test_one_gets_where_one_wanted_to_go(sites):
    log_in(sites.browser, url=sites.server_url)
    login = follow(sites.browser.get(f"{sites.client_url}/profile", expect_errors=True))
    assert urlsplit(login.request.url).path == "/login"
    page = follow(login.click(description="Test server"))
    assert page.request.url == f"{sites.client_url}/profile"


def test_the_browsers_id_is_renewed_and_the_old_one_is_worth_nothing(sites):
    click_sign_in_link(sites.browser, sites)
    before = {cookie.name: cookie.value for cookie in sites.browser.cookiejar}
    log_in(sites.browser, url=sites.server_url)
    click_sign_in_link(sites.browser, sites)
    after = {cookie.name: cookie.value for cookie in sites.browser.cookiejar}
    changed = [name for name in after if name.startswith("tconnect_") and before.get(name) != after[name]]
    assert len(changed) == 2, "one cookie of each site, both new"
    thief = sites.new_browser()
    for name, value in before.items():
        thief.set_cookie(name, value)
    assert is_signed_in(thief, sites) == (False, False)


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(sites):
    page = sites.browser.get(f"{sites.client_url}/auth/connect/sso_start.php?serverid={server_id(sites)}")
    (cookie,) = page.headers.getall("Set-Cookie")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "path=/" in cookie.lower()
    assert "max-age" not in cookie.lower(), "it ends with the browser"


def test_who_is_signed_in_already_is_sent_home(sites):
    sign_in(sites.browser, sites)
    start = f"{sites.client_url}/auth/connect/sso_start.php?serverid={server_id(sites)}"
    assert sites.browser.get(start).location == f"{sites.client_url}/"
    assert count(sites.client, ServerSession) == 1


@pytest.mark.parametrize("query", ["", "?serverid=", "?serverid=99", "?serverid=abc", "?serverid=1%27"])
def test_an_unknown_server_leads_home(sites, query):
    start = f"{sites.client_url}/auth/connect/sso_start.php{query}"
    assert sites.browser.get(start).location == f"{sites.client_url}/"


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "/a\nb"]
)
def test_a_foreign_page_to_go_to_is_forgotten(sites, wanted):
    log_in(sites.browser, url=sites.server_url)
    start = sites.browser.get(
        f"{sites.client_url}/auth/connect/sso_start.php", {"serverid": str(server_id(sites)), "next": wanted}
    )
    assert follow(start).request.url == f"{sites.client_url}/"


@pytest.mark.parametrize("clientidnumber", ["", "0" * 40, "x", "' OR 1=1 --"])
def test_a_client_that_is_not_connected_gets_an_error_page(sites, clientidnumber):
    page = sites.browser.get(
        f"{sites.server_url}/totara/connect/sso_request.php",
        {"clientidnumber": clientidnumber, "requesttoken": "a" * 40},
        status=404,
    )
    assert "not connected" in page


def test_cancelling_on_the_server_returns_to_the_client(sites):
    login = click_sign_in_link(sites.browser, sites)
    page = follow(login.click(description="Return to Test client"))
    assert page.request.url.startswith(sites.client_url)
    assert "cancelled" in page
    assert is_signed_in(sites.browser, sites) == (False, False)
    assert count(sites.client, ServerSession) == 0


def test_a_page_after_a_failure_does_not_loop_but_offers_to_try_again(sites):
    sites.transport.down.add(sites.server_url)
    page = sign_in(sites.browser, sites)
    assert page.status_int == 403
    assert "could not be reached" in page
    sites.transport.down.clear()
    assert "Ada Lovelace" in follow(page.click(description="Try again"))


def test_a_sign_in_that_took_longer_than_ten_minutes_is_refused(sites):
    login = click_sign_in_link(sites.browser, sites)
    sites.clock.tick(601)
    form = login.forms["login"]
    form["username"], form["password"] = "ada", "correct horse battery"
    page = follow(form.submit())
    assert page.status_int == 403
    assert is_signed_in(sites.browser, sites) == (True, False)


def test_a_request_token_of_another_browser_is_refused(sites):
    """An attacker begins, and sends the victim, who is signed in on the server, the link to go on."""
    attacker, victim = sites.new_browser(), sites.browser
    log_in(victim, url=sites.server_url)
    link = attacker.get(f"{sites.client_url}/auth/connect/sso_start.php?serverid={server_id(sites)}").location
    page = follow(victim.get(link))
    assert page.status_int == 403
    assert "another browser" in page
    assert who(victim, sites.client_url) == ""
    assert who(attacker, sites.client_url) == ""


def test_the_address_a_person_came_back_by_is_worth_nothing_afterwards(sites):
    log_in(sites.browser, url=sites.server_url)
    start = sites.browser.get(f"{sites.client_url}/auth/connect/sso_start.php?serverid={server_id(sites)}")
    finish = start.follow().location
    assert "ssotoken=" in finish
    sites.browser.get(finish)
    thief = sites.new_browser()
    assert thief.get(finish).location == f"{sites.client_url}/"
    assert who(thief, sites.client_url) == ""


def test_a_person_outside_the_restricting_audience_stays_outside(make_sites):
    sites = make_sites
    key = add_person(sites.server)
    with sites.server.unit() as session:
        row = Audience(name="Managers", idnumber="MGR", timecreated=1, timemodified=1)
        session.add(row)
        session.flush()
        audience_id = row.id
    connect(sites, restrict_audience_id=audience_id)
    page = sign_in(sites.browser, sites)
    assert page.status_int == 403
    assert is_signed_in(sites.browser, sites) == (True, False)
    with sites.server.unit() as session:
        session.add(AudienceMember(audience_id=audience_id, account_key=key))
    assert "Ada Lovelace" in follow(page.click(description="Try again"))
    with sites.server.unit() as session:
        session.delete(session.get(Audience, audience_id))
    log_out(sites.browser, url=sites.client_url)
    assert sign_in(sites.browser, sites).status_int == 403, "the audience is gone: nobody"


def test_a_suspended_person_is_signed_in_nowhere(sites):
    sign_in(sites.browser, sites)
    with sites.server.unit() as session:
        key = sites.server.accounts.find(session, "ada").key
        sites.server.accounts.update(session, {key: {"suspended": 1}})
    assert who(sites.browser, sites.server_url) == ""


def test_of_a_hundred_uses_of_one_ssotoken_exactly_one_succeeds(sites):
    log_in(sites.browser, url=sites.server_url)
    start = sites.browser.get(f"{sites.client_url}/auth/connect/sso_start.php?serverid={server_id(sites)}")
    token = parse_qs(urlsplit(start.follow().location).query)["ssotoken"][0]
    with sites.client.reading() as session:
        row = session.scalar(select(connecting.Server))
        form = {
            "serveridnumber": row.idnumber,
            "serversecret": sites.client.box.open(row.server_secret),
            "service": "get_sso_user",
            "ssotoken": token,
        }
    replies = []

    def use():
        replies.append(sites.new_browser().post(f"{sites.server_url}/totara/connect/sep.php", form).json)

    threads = [threading.Thread(target=use) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(reply["status"] == "success" for reply in replies) == 1
    others = [reply for reply in replies if reply["status"] != "success"]
    assert others == [{"status": "error", "message": "reused ssotoken"}] * 99


# --- signing out --------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["server_url", "client_url"])
def test_one_click_on_either_side_signs_out_of_both(sites, where):
    sign_in(sites.browser, sites)
    assert is_signed_in(sites.browser, sites) == (True, True)
    log_out(sites.browser, url=getattr(sites, where))
    assert is_signed_in(sites.browser, sites) == (False, False)
    assert count(sites.server, ClientSession) == 0
    assert count(sites.client, ServerSession) == 0
    assert (count(sites.server, Notice), count(sites.client, Notice)) == (0, 0)


def test_another_browser_of_the_same_person_stays_signed_in(sites):
    other = sites.new_browser()
    for browser in (sites.browser, other):
        sign_in(browser, sites)
    log_out(sites.browser, url=sites.client_url)
    assert is_signed_in(sites.browser, sites) == (False, False)
    assert is_signed_in(other, sites) == (True, True)


@pytest.mark.parametrize(("where", "down"), [("client_url", "server_url"), ("server_url", "client_url")])
def test_signing_out_works_while_the_peer_is_down_and_arrives_when_it_is_back(sites, where, down):
    sign_in(sites.browser, sites)
    sites.transport.down.add(getattr(sites, down))
    log_out(sites.browser, url=getattr(sites, where))
    assert who(sites.browser, getattr(sites, where)) == ""
    assert who(sites.browser, getattr(sites, down)) == "Ada Lovelace"
    sites.transport.down.clear()
    sites.clock.tick(60)
    outbox.sweep(sites.client if where == "client_url" else sites.server)
    assert is_signed_in(sites.browser, sites) == (False, False)


def test_an_administrator_on_the_server_ends_a_sign_in_everywhere(sites):
    sign_in(sites.browser, sites)
    with sites.server.unit() as session:
        key = sites.server.accounts.find(session, "ada").key
        notices = sessions.end_of_accounts(session, sites.server, [key], "ended")
    outbox.deliver_now(sites.server, notices)
    assert is_signed_in(sites.browser, sites) == (False, False)


def test_the_servers_sign_in_lives_while_the_client_is_used_and_ends_with_it(sites):
    sign_in(sites.browser, sites)
    for _ in range(4):
        sites.clock.tick(3000)
        assert who(sites.browser, sites.client_url)
        end_idle_sign_ins(sites.server)
    assert is_signed_in(sites.browser, sites) == (True, True)
    sites.clock.tick(7300)
    end_idle_sign_ins(sites.server)
    assert is_signed_in(sites.browser, sites) == (False, False)
    assert count(sites.server, ClientSession) == 0


# --- staying in step ----------------------------------------------------------------------------------


def test_people_and_audiences_of_the_client_follow_the_servers(make_sites):
    sites = make_sites
    ada, bob = (add_person(sites.server, name, lastname="Ωmega") for name in ("ada", "bob"))
    with sites.server.unit() as session:
        row = Audience(name="All staff", idnumber="STAFF", timecreated=1, timemodified=1)
        session.add(row)
        session.flush()
        session.add(AudienceMember(audience_id=row.id, account_key=ada))
        session.add(AudienceMember(audience_id=row.id, account_key=bob))
        audience_id = row.id
    connect(sites, audiences=(audience_id,))
    id_ = server_id(sites)
    assert run_sync(sites.client, "users", id_).counts["created"] == 2
    assert run_sync(sites.client, "collections", id_).state == "done"
    with sites.client.reading() as session:
        people = sites.client.accounts.page(session)
        (audience,) = audiences.list_audiences(session)
        assert [person.lastname for person in people] == ["Ωmega", "Ωmega"]
        assert count(sites.client, AudienceMember) == 2
        first_id = audience.id
    with sites.server.unit() as session:
        sites.server.accounts.update(session, {bob: {"suspended": 1}, ada: {"firstname": "Augusta"}})
        session.delete(session.get(AudienceMember, (bob, audience_id)))
    report = run_sync(sites.client, "users", id_)
    assert (report.counts["updated"], report.counts["suspended"]) == (1, 1)
    run_sync(sites.client, "collections", id_)
    with sites.client.reading() as session:
        now = {person.firstname: person for person in sites.client.accounts.page(session)}
        assert "Augusta" in now
        assert [person.suspended for person in now.values()] == [False, True]
        assert audiences.list_audiences(session)[0].id == first_id, "ours keep their id for life"
        assert count(sites.client, AudienceMember) == 1
    again = run_sync(sites.client, "users", id_)
    assert (again.state, again.counts["unchanged"], [*again.lines]) == ("done", 2, [])


def test_a_sign_in_before_the_first_sync_is_the_account_of_the_sync(sites):
    sign_in(sites.browser, sites)
    report = run_sync(sites.client, "users", server_id(sites))
    assert report.counts["created"] == 0
    assert json.dumps(report.counts)
    with sites.client.reading() as session:
        assert sites.client.accounts.count(session) == 1
