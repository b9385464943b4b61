"""A server that lies, or sends what harms: nothing half-done, no fault of ours, nobody's account taken."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select
from support import lists, peers
from support.peers import PlayedPeer
from support.webapp import add_person, one_site

from tconnect_pyramid.client import servers
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.models import Account, Link, ServerSession, SignIn
from tconnect_pyramid.protocol import jsend

TOKEN = "7" * 40


class LyingServer:
    """Answers `get_sso_user` with whatever the test wants."""

    def __init__(self) -> None:
        self.answer: object = jsend.Success(lists.person(3))
        self.peer = PlayedPeer(lambda url, form: self.answer)


@pytest.fixture
def server():
    return LyingServer()


@pytest.fixture
def site(make_database, server):
    with one_site(make_database(), "http://localhost:6544", transport=server.peer) as (browser, context):
        with context.unit() as session:
            servers.enable(session, context, on=True, actor="command")
        peers.add_server(context)
        yield browser, context


def come_back(browser, ssotoken=TOKEN):
    """Begin a sign-in and come back from the server, which says that all is well."""
    sent = browser.get("/auth/connect/sso_start.php?serverid=1", status=303).location
    requesttoken = sent.partition("requesttoken=")[2]
    return browser.get(
        "/auth/connect/sso_finish.php",
        params={
            "clientidnumber": peers.CLIENTIDNUMBER,
            "requesttoken": requesttoken,
            "ssotoken": ssotoken,
            "result": "success",
        },
        status="*",
    )


def rows(context, table) -> int:
    with context.reading() as session:
        return session.scalar(select(func.count()).select_from(table))


def accounts(context) -> list[Account]:
    with context.reading() as session:
        return list(session.scalars(select(Account).order_by(Account.id)))


def test_an_ssotoken_that_the_server_confirms_twice_signs_in_once(site):
    browser, context = site
    assert come_back(browser).status_int == 303
    browser.reset()
    again = come_back(browser)
    assert again.status_int == 403
    assert "Try again" in again
    assert (rows(context, ServerSession), rows(context, SignIn)) == (1, 1)


def test_nobody_is_signed_in_as_the_servers_guest(site, server):
    browser, context = site
    server.answer = jsend.Success(lists.person(1, username="Guest"))
    assert come_back(browser).status_int == 403
    assert (rows(context, Account), rows(context, Link)) == (0, 0)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b'{"status":"success"}',
        b'{"status":"success","data":[]}',
        b'{"status":"success","data":{"id":"3"}}',
        b'{"status":"success","data":"3"}',
        b'{"status":"fail","data":{"x":["y"]}}',
        b'{"status":"error","message":"\xff"}',
        b'{"status":"success","data":' + b"[" * 100_000,
        b'{"status":"success","data":{"id":' + b"9" * 5000 + b"}}",
        b'{"status":"success","data":{"id":"\\ud800","n":' + b"9" * 5000 + b"}}",
        jsend.write(jsend.Success(lists.person(3, id="1e3"))),
        jsend.write(jsend.Success(lists.person(3, id=3.0))),
        jsend.write(jsend.Success(lists.person(3, id=-3))),
        jsend.write(jsend.Success(lists.person(3, id=True))),
        jsend.write(jsend.Success(lists.person(3, id=str(2**63)))),
        jsend.write(jsend.Success(lists.person(3, suspended="yes"))),
        jsend.write(jsend.Success(lists.person(3, suspended="1"))),
        jsend.write(jsend.Success(lists.person(3, maildisplay=str(2**62)))),
        jsend.write(jsend.Success(lists.person(3, firstname={"a": "b"}))),
        jsend.write(jsend.Success(lists.person(3, email="x" * 101))),
        jsend.write(jsend.Success(lists.tombstone(3))),
    ],
    ids=lambda reply: repr(reply[:40]),
)
def test_a_bad_answer_at_the_last_step_signs_nobody_in_and_makes_nothing(site, server, reply):
    browser, context = site
    server.answer = reply
    assert come_back(browser).status_int == 403
    assert [rows(context, table) for table in (Account, Link, SignIn, ServerSession)] == [0, 0, 0, 0]


def test_a_record_gives_no_rights_and_takes_no_account(site, server):
    browser, context = site
    ada = add_person(context)
    server.answer = jsend.Success(
        lists.person(
            ada,
            username="ada",
            email="ada@example.org",
            admin="1",
            auth="manual",
            confirmed="0",
            key=str(ada),
            account_key=str(ada),
            password="$2y$31$" + "a" * 53,
            trustbitmask="7",
            policyagreed="1",
            totarasync="1",
        )
    )
    assert come_back(browser).status_int == 303
    local, made = accounts(context)
    assert (local.id, local.username, local.auth, local.firstname) == (ada, "ada", "manual", "Ada")
    assert made.username == f"tc_{ada}_{peers.SERVERIDNUMBER}"
    assert (made.admin, made.auth, made.confirmed) == (False, "connect", 1)
    assert (made.password, made.trustbitmask, made.policyagreed, made.totarasync) == (None, 0, 0, 0)


def test_what_a_record_says_is_text_on_a_page_and_never_markup(site, server):
    browser, _ = site
    harm = "<script>alert(1)</script>"
    server.answer = jsend.Success(
        lists.person(
            3,
            firstname=f"Fir{harm}st&lt;img src=x onerror=alert(1)&gt;",
            lastname="\"'><svg onload=alert(1)>",
            email=f"a@b.c{harm}",
            city=harm,
            institution=f"</textarea>{harm}",
            timezone=harm,
            country="<b",
            description=f"<p onclick=alert(1)>Hello{harm}<a href='javascript:alert(1)'>x</a></p>",
        )
    )
    assert come_back(browser).status_int == 303
    for path in ("/", "/profile", "/logout"):
        page = browser.get(path).text
        for markup in ("<script>", "<svg", "<img", "onclick", 'href="javascript'):
            assert markup not in page.replace("&lt;", "(lt)"), path


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", " JavaScript:alert(1)", "data:text/html,x", "//x", "x"]
)
def test_the_web_page_of_a_person_is_one_of_the_web(site, server, url):
    browser, context = site
    server.answer = jsend.Success(lists.person(3, url=url))
    assert come_back(browser).status_int == 303
    assert [account.url for account in accounts(context)] == [""]


def test_the_web_page_of_a_person_stays_what_a_sync_brought(site, server):
    _, context = site
    people = [lists.person(3, url="https://example.org/~ana"), lists.person(4, url="javascript:alert(1)")]
    server.answer = jsend.Success({"users": people})
    assert run_sync(context, "users", 1).state == "done"
    assert [account.url for account in accounts(context)] == ["https://example.org/~ana", ""]
    assert run_sync(context, "users", 1).counts["unchanged"] == 2
