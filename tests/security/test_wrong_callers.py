"""Service calls by those who may not, or who write them oddly: told as little as possible, and nothing is done."""

from __future__ import annotations

import json
import socket

import pytest
from sqlalchemy import func, select
from support.listening import listening
from support.webapp import add_person, connect, log_in, two_sites

from tconnect_pyramid.client.services import SERVICES as CLIENT_SERVICES
from tconnect_pyramid.models import Client, ClientSession, Server, ServerSession, SignIn
from tconnect_pyramid.protocol import paths
from tconnect_pyramid.secretbox import digest, new_token
from tconnect_pyramid.server.services import SERVICES as SERVER_SERVICES

STRANGER = "invalid server secret or idnumber"


class Pair:
    """Two sites that sign in as one, Ada signed in at both, and a second client and server that exist on paper."""

    def __init__(self, sites) -> None:
        self.sites = sites
        self.browser = sites.browser
        add_person(sites.server)
        connect(sites)
        log_in(self.browser, url=sites.server_url)
        self.browser.get(f"{sites.client_url}/login").click(description="Test server").maybe_follow()
        with sites.client.reading() as session:
            server = session.scalar(select(Server))
            shared = session.scalar(select(ServerSession))
            self.ssotoken = sites.client.box.open(shared.token)
            self.serversecret = sites.client.box.open(server.server_secret)
            self.serveridnumber = server.idnumber
        with sites.server.reading() as session:
            client = session.scalar(select(Client))
            self.clientsecret = sites.server.box.open(client.client_secret)
            self.clientidnumber = client.idnumber
        self.other_serversecret = self.add(
            sites.server,
            Client,
            name="Other client",
            url="http://other.example",
            idnumber=new_token(),
            client_secret=b"",
            clienttype="totaralms",
        )
        self.other_clientidnumber = new_token()
        self.other_clientsecret = self.add(
            sites.client,
            Server,
            name="Other server",
            url="http://other.example",
            idnumber=new_token(),
            server_secret=b"",
            client_idnumber=self.other_clientidnumber,
        )

    def add(self, context, model, **values) -> str:
        secret = new_token()
        column = "server_secret_hash" if model is Client else "client_secret_hash"
        now = context.clock()
        with context.unit() as session:
            session.add(
                model(
                    state="active",
                    apiversion=2,
                    timecreated=now,
                    timemodified=now,
                    **{column: digest(secret)},
                    **values,
                )
            )
        return secret

    def post(self, url, body, **more):
        page = self.browser.post(url, body, status="*", **more)
        assert (page.status_int, page.content_type) == (200, "application/json")
        return json.loads(page.body)

    def call_server(self, service, serveridnumber=None, serversecret=None, **parameters):
        form = {
            "serveridnumber": serveridnumber or self.serveridnumber,
            "serversecret": serversecret or self.serversecret,
            "service": service,
            **parameters,
        }
        return self.post(self.sites.server_url + paths.SERVER_SEP, form)

    def call_client(self, service, clientidnumber=None, clientsecret=None, **parameters):
        form = {
            "clientidnumber": clientidnumber or self.clientidnumber,
            "clientsecret": clientsecret or self.clientsecret,
            "service": service,
            **parameters,
        }
        return self.post(self.sites.client_url + paths.CLIENT_SEP, form)

    def living(self) -> tuple[int, int]:
        return tuple(
            self._count(context, select(func.count()).select_from(SignIn).where(SignIn.ended.is_(None)))
            for context in (self.sites.server, self.sites.client)
        )

    def _count(self, context, statement) -> int:
        with context.reading() as session:
            return session.scalar(statement)


@pytest.fixture
def pair(make_sqlite):
    with two_sites(make_sqlite(), make_sqlite()) as sites:
        yield Pair(sites)


PARAMETERS = {"ssotoken": "0" * 40, "userid": "1", "apiversion": "1", "clienttype": "totaralms"}


def test_a_server_tells_a_stranger_one_thing_whatever_is_wrong(pair):
    wrong = [
        {"serversecret": "0" * 40},
        {"serversecret": pair.clientsecret},
        {"serversecret": pair.serversecret.upper()},
        {"serversecret": pair.serversecret + " "},
        {"serversecret": pair.serversecret[:-1]},
        {"serversecret": digest(pair.serversecret)},
        {"serversecret": "%"},
        {"serveridnumber": pair.clientidnumber},
        {"serveridnumber": pair.serveridnumber.upper()},
        {"serveridnumber": "0" * 40, "serversecret": "0" * 40},
    ]
    for service in SERVER_SERVICES:
        for credentials in wrong:
            answer = pair.call_server(service, **credentials, **PARAMETERS)
            assert answer == {"status": "error", "message": STRANGER}, (service, credentials)
    assert pair.living() == (1, 1)


def test_a_client_tells_a_stranger_one_thing_whatever_is_wrong(pair):
    wrong = [
        {"clientsecret": "0" * 40},
        {"clientsecret": pair.serversecret},
        {"clientsecret": pair.other_clientsecret},
        {"clientsecret": digest(pair.clientsecret)},
        {"clientidnumber": pair.other_clientidnumber},
        {"clientidnumber": pair.serveridnumber},
        {"clientidnumber": "0" * 40},
    ]
    for service in CLIENT_SERVICES:
        for credentials in wrong:
            answer = pair.call_client(service, **credentials, ssotoken=pair.ssotoken, requesttoken="0" * 40)
            assert answer == {"status": "error", "message": "invalid client secret or idnumber"}
    assert pair.living() == (1, 1)


def test_another_client_can_do_nothing_with_a_sign_in_that_is_not_its_own(pair):
    def other(service):
        return pair.call_server(service, serversecret=pair.other_serversecret, ssotoken=pair.ssotoken)

    assert other("get_sso_user") == {"status": "fail", "data": {"ssotoken": "invalid sso token"}}
    assert other("force_sso_logout") == {"status": "success", "data": []}
    assert other("delete_client") == {"status": "success", "data": []}
    assert pair.living() == (1, 1)


def test_another_server_can_do_nothing_with_a_sign_in_that_is_not_its_own(pair):
    def other(service, **parameters):
        return pair.call_client(service, pair.other_clientidnumber, pair.other_clientsecret, **parameters)

    browser = pair.sites.new_browser()
    sent = browser.get(f"{pair.sites.client_url}{paths.SSO_START}?serverid=1", status=303).location
    requesttoken = sent.partition("requesttoken=")[2]
    answer = other("validate_sso_request_token", requesttoken=requesttoken)
    assert answer == {"status": "error", "message": "sso request timed out"}
    assert other("is_sso_user_active", ssotoken=pair.ssotoken)["data"] == {"active": False}
    assert other("kill_sso_user", ssotoken=pair.ssotoken) == {"status": "success", "data": []}
    assert pair.living() == (1, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"serveridnumber[]=x&serversecret[]=y&service[]=get_users",
        b"{}",
        b"=" * 1000,
        b"&" * 2000,
        b"%",
        b"service=get_users" + b"&a=b" * 2000,
        b"x" * 10_000,
    ],
    ids=lambda body: repr(body[:20]),
)
@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "text/xml"])
def test_what_is_no_form_is_answered_all_the_same(pair, body, content_type):
    for url, reason in (
        (pair.sites.server_url + paths.SERVER_SEP, "invalid parameters"),
        (pair.sites.client_url + paths.CLIENT_SEP, "invalid parameters"),
        (pair.sites.client_url + paths.CLIENT_SETUP, "invalid setup secret"),
    ):
        answer = pair.post(url, body, content_type=content_type)
        assert answer == {"status": "error", "message": reason}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_only_a_post_is_a_call(pair, method):
    query = f"serveridnumber={pair.serveridnumber}&serversecret={pair.serversecret}&service=delete_client"
    page = pair.browser.request(
        f"{pair.sites.server_url}{paths.SERVER_SEP}?{query}",
        method=method,
        body=b"" if method in {"GET", "HEAD"} else query.encode(),
        status="*",
    )
    assert page.status_int == 200
    assert method == "HEAD" or page.json == {"status": "error", "message": "invalid parameters"}
    assert pair.call_server("get_user", userid="1")["status"] == "success"


@pytest.mark.parametrize(
    "userid", ["1e0", "1.0", "01", "+1", " 1", "1 ", "-1", "0x1", "１", "1\0x", "9" * 400, "1;2"]
)
def test_an_id_is_written_in_one_way(pair, userid):
    assert pair.call_server("get_user", userid=userid)["status"] == "fail"


@pytest.mark.parametrize("userid", [str(2**63 - 1), "2147483648"])
def test_an_id_may_be_large(pair, userid):
    assert pair.call_server("get_user", userid=userid) == {"status": "success", "data": {"user": None}}


def test_an_ssotoken_of_another_moment_is_worth_nothing(pair):
    answer = pair.call_server("get_sso_user", ssotoken=pair.ssotoken)
    assert answer == {"status": "error", "message": "reused ssotoken"}
    assert pair.living() == (1, 1)
    assert pair.call_server("force_sso_logout", ssotoken=pair.ssotoken)["status"] == "success"
    assert pair.living() == (0, 0)
    assert pair.call_server("get_sso_user", ssotoken=pair.ssotoken)["status"] == "fail"
    with pair.sites.server.reading() as session:
        assert session.scalars(select(ClientSession)).all() == []


def test_cookies_of_one_site_are_worth_nothing_on_the_other(pair):
    cookies = {cookie.name: cookie.value for cookie in pair.browser.cookiejar}
    names = sorted(name for name in cookies if name.startswith("tconnect_"))
    assert len(names) == 2
    stranger = pair.sites.new_browser()
    swapped = "; ".join(f"{one}={cookies[other]}" for one, other in zip(names, reversed(names), strict=True))
    for url in (pair.sites.server_url, pair.sites.client_url):
        assert "Ada Lovelace" not in stranger.get(f"{url}/", headers={"Cookie": swapped})


def test_the_cookie_of_an_ended_sign_in_never_counts_again(pair):
    kept = "; ".join(f"{cookie.name}={cookie.value}" for cookie in pair.browser.cookiejar)
    assert pair.call_client("kill_sso_user", ssotoken=pair.ssotoken)["status"] == "success"
    thief = pair.sites.new_browser()
    for _ in range(2):
        page = thief.get(f"{pair.sites.client_url}/", headers={"Cookie": kept})
        assert "Ada Lovelace" not in page
        page = thief.get(f"{pair.sites.client_url}/profile", headers={"Cookie": kept})
        assert page.status_int == 303


def test_a_token_in_a_page_of_the_client_is_told_to_nobody(pair):
    stranger = pair.sites.new_browser()
    sent = stranger.get(f"{pair.sites.client_url}{paths.SSO_START}?serverid=1", status=303).location
    requesttoken = sent.partition("requesttoken=")[2]
    # Somebody else's browser comes back with it.
    page = pair.sites.new_browser().get(
        f"{pair.sites.client_url}{paths.SSO_FINISH}?clientidnumber={pair.clientidnumber}"
        f"&requesttoken={requesttoken}&ssotoken={'1' * 40}&result=success",
        status=403,
    )
    assert requesttoken not in page.text
    assert "1" * 40 not in page.text
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert page.headers["Cache-Control"] == "no-store"


RAW = {
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n5\r\na=b&c\r\n0\r\n\r\n",
    "chunked, never ending": b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\na",
    "no length": b"\r\n",
    "two lengths": b"Content-Length: 3\r\nContent-Length: 5\r\n\r\na=bcd",
    "length and chunked": b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "too short": b"Content-Length: 1000\r\n\r\na=b",
    "negative length": b"Content-Length: -1\r\n\r\na=b",
}


@pytest.mark.parametrize("rest", RAW.values(), ids=RAW)
def test_a_real_server_survives_odd_requests(make_sqlite, rest):
    with listening(make_sqlite(), "Site") as (_, url):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as sock:
            sock.sendall(f"POST {paths.SERVER_SEP} HTTP/1.1\r\nHost: {host}:{port}\r\n".encode() + rest)
            sock.shutdown(socket.SHUT_WR)
            answer = sock.makefile("rb").read()
        assert b" 500 " not in answer[:15]
        with socket.create_connection((host, int(port)), timeout=5) as sock:
            sock.sendall(f"GET /login HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
            assert sock.makefile("rb").read().startswith(b"HTTP/1.0 200 OK")
