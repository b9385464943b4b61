"""The ways of a browser between two sites, walked by somebody who means harm."""

from __future__ import annotations

import pytest
from pyramid.config import Configurator
from sqlalchemy import func, select
from support import peers, sites
from support.webapp import add_person, connect, log_in, two_sites
from webtest import TestApp

from tconnect_pyramid import context_of
from tconnect_pyramid.client import connecting, servers
from tconnect_pyramid.models import ClientSession, ConnectionRequest, Server, SignInRequest
from tconnect_pyramid.protocol import jsend, paths
from tconnect_pyramid.transport import HttpTransport


@pytest.fixture
def pair(make_sqlite):
    with two_sites(make_sqlite(), make_sqlite()) as pair:
        add_person(pair.server)
        connect(pair)
        yield pair


def rows(context, table) -> int:
    with context.reading() as session:
        return session.scalar(select(func.count()).select_from(table))


def set_out(browser, pair) -> str:
    """Gives the address at the server that the client sends the browser to."""
    return browser.get(f"{pair.client_url}{paths.SSO_START}?serverid=1", status=303).location


def is_in(browser, pair) -> bool:
    return "Ada Lovelace" in browser.get(f"{pair.client_url}/")


def test_a_link_of_an_attacker_gives_them_nothing_of_the_victim(pair):
    attacker, victim = pair.browser, pair.new_browser()
    log_in(victim, url=pair.server_url)
    bait = set_out(attacker, pair)
    back = victim.get(bait, status=303)
    assert back.follow(status=403).headers["Referrer-Policy"] == "same-origin"
    # Even with the whole address that the victim's browser was sent to.
    attacker.get(back.location, status=303)
    assert not is_in(attacker, pair)
    assert not is_in(victim, pair)


def test_an_attackers_way_back_does_not_sign_the_victim_in_as_the_attacker(pair):
    attacker, victim = pair.browser, pair.new_browser()
    log_in(attacker, url=pair.server_url)
    set_out(victim, pair)
    back = attacker.get(set_out(attacker, pair), status=303).location
    victim.get(back, status=403)
    assert not is_in(victim, pair)


def test_a_browser_id_that_was_planted_is_not_the_one_that_is_signed_in(pair):
    attacker, victim = pair.browser, pair.new_browser()
    sent = set_out(attacker, pair)
    for cookie in attacker.cookiejar:
        victim.cookiejar.set_cookie(cookie)
    log_in(victim, url=pair.server_url)
    victim.get(sent).maybe_follow()
    assert is_in(victim, pair)
    assert not is_in(attacker, pair)


def test_a_way_back_is_walked_once(pair):
    browser = pair.browser
    log_in(browser, url=pair.server_url)
    back = browser.get(set_out(browser, pair), status=303)
    back.follow(status=303)
    assert is_in(browser, pair)
    kept = back.location
    browser.get(f"{pair.client_url}/logout").forms["logout"].submit(status=303)
    assert browser.get(kept).location == f"{pair.client_url}/"
    assert not is_in(browser, pair)


@pytest.mark.parametrize("changed", ["requesttoken", "clientidnumber"])
def test_the_server_sends_a_browser_to_nobody_but_its_clients(pair, changed):
    browser = pair.browser
    log_in(browser, url=pair.server_url)
    clientidnumber, requesttoken = "0" * 40, "0" * 40
    if changed == "requesttoken":
        with pair.client.reading() as session:
            clientidnumber = session.scalar(select(Server.client_idnumber))
    page = browser.get(
        f"{pair.server_url}{paths.SSO_REQUEST}",
        params={"clientidnumber": clientidnumber, "requesttoken": requesttoken, "url": "http://evil.example"},
        headers={"Referer": "http://evil.example", "X-Forwarded-Host": "evil.example"},
        status="*",
    )
    if changed == "requesttoken":
        assert page.location.startswith(f"{pair.client_url}{paths.SSO_FINISH}?")
        assert page.location.endswith("result=error")
    else:
        assert page.status_int == 404
    assert rows(pair.server, ClientSession) == 0


@pytest.mark.parametrize("path", [paths.SSO_REQUEST, paths.SSO_START, paths.SSO_FINISH])
@pytest.mark.parametrize(
    "query", ["clientidnumber=%ff", "%ff=x", "serverid=%00", "next=%0d%0aX:y&serverid=1", "&" * 3000]
)
def test_an_address_that_is_no_text_is_no_fault_of_ours(pair, path, query):
    for url in (pair.server_url, pair.client_url):
        page = pair.browser.get(f"{url}{path}?{query}", status="*")
        assert page.status_int in {303, 400, 404}
        assert "X" not in page.headers


def test_a_host_that_reads_no_addresses_is_spared_those_that_are_no_text(make_sqlite):
    from_host = sites.ini("http://localhost")
    app = TestApp(_host(make_sqlite(), from_host))
    for path in (paths.SSO_REQUEST, paths.SSO_START, paths.SSO_FINISH):
        assert app.get(f"{path}?clientidnumber=%ff", status="*").status_int == 400
    app.app.registry["engine"].dispose()


def _host(database_url, settings):
    """The smallest site that includes the add-on."""
    with Configurator(settings={**settings, "sqlalchemy.url": database_url}) as config:
        config.include("tconnect_pyramid")
    app = config.make_wsgi_app()
    app.registry["engine"] = context_of(app.registry).database.engine
    return app


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_the_ways_are_links_only(pair, method):
    for path in (paths.SSO_START, paths.SSO_FINISH, paths.SSO_REQUEST):
        page = getattr(pair.browser, method)(f"{pair.client_url}{path}", status="*")
        assert page.status_int in {400, 405}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1",
        "http://localhost",
        "http://0x7f.1",
        "http://2130706433",
        "http://[::1]",
        "http://[::ffff:127.0.0.1]",
        "http://[64:ff9b::7f00:1]",
        "http://169.254.169.254",
        "http://0",
        "http://10.1.2.3",
        "file:///etc/passwd",
        "gopher://x",
        "http://user:pass@server.example",
        "http://server.example/?x",
        "http://server.example/\r\nX: y",
        "http://server.example\\@127.0.0.1",
        "//127.0.0.1",
        "",
    ],
)
def test_a_setup_calls_back_nobody_inside_and_leaves_the_invitation_open(make_sqlite, url):
    transport = HttpTransport(private_networks=(), allow_http=True)
    with sites.context(make_sqlite(), transport=transport) as context:
        with context.unit() as session:
            servers.enable(session, context, on=True, actor="command")
            secret = connecting.open_invitation(session, context, actor="command").setup_secret
        answer = jsend.read(
            connecting.answer_setup(
                context,
                {
                    "setupsecret": secret,
                    "serveridnumber": peers.SERVERIDNUMBER,
                    "serversecret": peers.SERVERSECRET,
                    "serverurl": url,
                    "servername": "Server",
                    "clientidnumber": peers.CLIENTIDNUMBER,
                    "clientsecret": peers.CLIENTSECRET,
                    "minapiversion": "1",
                    "maxapiversion": "2",
                },
            )
        )
        assert isinstance(answer, jsend.Error)
        assert "expected a public address" in answer.message or answer.message == "invalid parameters"
        assert (rows(context, Server), rows(context, ConnectionRequest)) == (0, 1)


def test_requests_of_one_browser_do_not_pile_up(pair):
    browser = pair.browser
    for wanted in ("/a", "/b", "/c"):
        browser.get(f"{pair.client_url}{paths.SSO_START}?serverid=1&next={wanted}", status=303)
    assert rows(pair.client, SignInRequest) == 1
