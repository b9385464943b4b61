"""A real site, called by HTTP only, whose servers and clients are played by the test.

For tests that hold the protocol's page of single sign-on. The site and its database are shared by the tests of
a module, which therefore use peers, people and browsers of their own.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sqlalchemy import delete, func, select, update
from support import databases, lists
from support.peers import PlayedPeer, add_client, add_server
from support.sites import StillClock
from support.webapp import add_person, app_context, log_in, make_app
from webtest import TestApp

from tconnect_pyramid.errors import PeerError
from tconnect_pyramid.models import (
    Account,
    Client,
    ClientSession,
    Link,
    Notice,
    Server,
    ServerSession,
    SignIn,
)
from tconnect_pyramid.options import set_option
from tconnect_pyramid.protocol import jsend, paths
from tconnect_pyramid.secretbox import digest, new_token

HOME = "http://localhost/"
OPTIONS = {
    "client.enabled": "true",
    "server.enabled": "true",
    "client.auto_sign_in": "",
    "session.timeout": "7200",
}
NOTHING = jsend.Success()
REFUSED = jsend.Error("not today")
BAD_PARAMETER = jsend.Fail({"ssotoken": "not this one"})
A_PAGE = b"<html><body>Under maintenance</body></html>"
NO_BODY = b""
A_LIST = b'["success"]'
NO_STATUS = b'{"data":[]}'
ODD_STATUS = b'{"status":"fine","data":[]}'
DOWN = PeerError("POST", "the peer", "connect", "connection refused")
NOT_200 = PeerError("POST", "the peer", "http", "expected HTTP status 200, found 500")
NO_ANSWERS = {
    "an error": REFUSED,
    "a fail": BAD_PARAMETER,
    "a page instead of JSON": A_PAGE,
    "an empty reply": NO_BODY,
    "JSON that is no object": A_LIST,
    "an object without a status": NO_STATUS,
    "an object with another status": ODD_STATUS,
    "another HTTP status": NOT_200,
    "a peer that is down": DOWN,
}
"""What a peer may say instead of yes (protocol 1)."""


@dataclass(frozen=True)
class Played:
    """A peer of the site: its row there, and the two pairs of idnumber and secret."""

    id: int
    url: str
    serveridnumber: str
    serversecret: str
    clientidnumber: str
    clientsecret: str


@dataclass(frozen=True)
class SignedIn:
    """A browser that signed in by a server as a person, and by which ssotoken."""

    browser: TestApp
    server: Played
    person: dict
    ssotoken: str


class Site:
    """The site, what its played peers answer (`replies`, by service), and what they were asked."""

    def __init__(self, app) -> None:
        self.app = app
        self.context = app_context(app)
        self.clock = self.context.clock
        self.peer = self.context.transport
        self.peer.check_idle = self.context.database.assert_idle
        self.peer.answer = self._answer
        self._numbers = count(1)
        self.reset()

    def reset(self) -> None:
        """Answers, calls and options are as at first, and nobody is signed in; peers and people stay."""
        with self.context.unit() as session:
            for table in (Notice, ClientSession, ServerSession, SignIn):
                session.execute(delete(table))
        self.replies: dict[Any, Any] = {}
        self.peer.calls.clear()
        self.set(OPTIONS)

    def set(self, options: dict[str, str]) -> None:
        with self.context.unit() as session:
            for name, value in options.items():
                set_option(session, self.context.settings, name, value, self.clock())

    def _answer(self, url: str, form: dict[str, str]) -> object:
        service = form["service"]
        base = url.partition("/auth/connect/")[0].partition("/totara/connect/")[0]
        reply = self.replies.get((base, service), self.replies.get(service, NOTHING))
        return reply(form) if callable(reply) else reply

    # --- peers and people --------------------------------------------------------------------------

    def add_server(self, **more) -> Played:
        """One more server of this site; its address has a path."""
        number = next(self._numbers)
        tokens = [new_token() for _ in range(4)]
        url = f"http://server{number}.example/lms"
        id_ = add_server(
            self.context,
            name=f"Server {number}",
            url=url,
            idnumber=tokens[0],
            server_secret=self.context.box.seal(tokens[1]),
            client_idnumber=tokens[2],
            client_secret_hash=digest(tokens[3]),
            **more,
        )
        return Played(id_, url, *tokens)

    def add_client(self, **more) -> Played:
        """One more client of this site; its address has a path."""
        number = next(self._numbers)
        tokens = [new_token() for _ in range(4)]
        with self.context.reading() as session:
            tokens[0] = self.context.idnumber(session)
        url = f"http://client{number}.example/social"
        id_ = add_client(
            self.context,
            name=f"Client {number}",
            url=url,
            server_secret_hash=digest(tokens[1]),
            idnumber=tokens[2],
            client_secret=self.context.box.seal(tokens[3]),
            **more,
        )
        return Played(id_, url, *tokens)

    def change(self, peer: Played, **values: Any) -> None:
        """Change the row of a peer."""
        table = Client if peer.url.startswith("http://client") else Server
        with self.context.unit() as session:
            session.execute(update(table).where(table.id == peer.id).values(**values))

    def person(self, **fields: Any) -> dict:
        """A new person's record as a server sends it."""
        number = next(self._numbers) + 1000
        return {"picture": "0", "pictures": [], **lists.person(number), **fields}

    def add_person(self, **fields: Any) -> tuple[int, str]:
        """A local account; gives its key and username."""
        username = f"local{next(self._numbers)}"
        return add_person(self.context, username, **fields), username

    # --- browsers ----------------------------------------------------------------------------------

    def browser(self, username: str = "") -> TestApp:
        """A new browser, logged in by password if a username is given."""
        browser = TestApp(self.app)
        if username:
            log_in(browser, username)
        return browser

    def set_out(self, browser: TestApp, server: Played, **more: str) -> dict[str, str]:
        """By `sso_start` to the server; gives the parameters that arrive there."""
        away = browser.get(paths.SSO_START, {"serverid": server.id, **more}, status=303)
        address = urlsplit(away.location)
        assert f"{address.scheme}://{address.netloc}{address.path}" == server.url + paths.SSO_REQUEST
        return dict(parse_qsl(address.query))

    def come_back(self, browser: TestApp, asked: dict[str, str], **changes: str | None):
        """The server sends the browser back with `asked` and a new ssotoken, but for changes."""
        query = {**asked, "ssotoken": new_token(), "result": "success", **changes}
        return browser.get(
            paths.SSO_FINISH,
            {name: value for name, value in query.items() if value is not None},
            status="*",
        )

    def sign_in(
        self, person: dict | None = None, server: Played | None = None, browser: TestApp | None = None
    ) -> SignedIn:
        """A browser signs in by a server; the calls that it took are forgotten."""
        server = server or self.add_server()
        browser = browser or self.browser()
        person = person or self.person()
        token = new_token()
        self.replies["get_sso_user"] = jsend.Success(person)
        page = self.come_back(browser, self.set_out(browser, server), ssotoken=token)
        assert (page.status_int, page.location) == (303, HOME), page
        self.peer.calls.clear()
        return SignedIn(browser, server, person, token)

    # --- peers that call ---------------------------------------------------------------------------

    def call(self, peer: Played, service: str, **parameters: str) -> dict:
        """A peer calls a service; gives the parsed reply."""
        if peer.url.startswith("http://client"):
            path = paths.SERVER_SEP
            who = {"serveridnumber": peer.serveridnumber, "serversecret": peer.serversecret}
        else:
            path = paths.CLIENT_SEP
            who = {"clientidnumber": peer.clientidnumber, "clientsecret": peer.clientsecret}
        reply = TestApp(self.app).post(path, {**who, "service": service, **parameters})
        assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
        return reply.json

    @property
    def asked(self) -> list[tuple[str, dict[str, str]]]:
        """Whom the site has called, with what; newest last."""
        return list(self.peer.calls)

    # --- what can be seen --------------------------------------------------------------------------

    def who(self, browser: TestApp) -> str:
        """The home page's greeting; empty for nobody."""
        words = " ".join(browser.get("/").html.find("main").get_text(" ").split())
        return "" if "You are not logged in." in words else words.partition("Hello, ")[2]

    def account(self, server: Played, person: dict) -> Account | None:
        """The account of a server's person."""
        with self.context.reading() as session:
            return session.scalar(
                select(Account)
                .join(Link, Link.account_key == Account.id)
                .where(Link.server_id == server.id, Link.person_id == int(person["id"]))
            )

    def count(self, table, *conditions) -> int:
        with self.context.reading() as session:
            return session.scalar(select(func.count()).select_from(table).where(*conditions))

    def live(self, key: int) -> int:
        """In how many browsers an account is signed in."""
        return self.count(SignIn, SignIn.account_key == key, SignIn.ended.is_(None))


@contextmanager
def running(folder):
    """The site, both a server and a client, on an empty database."""
    with databases.maker("sqlite", folder) as make:
        app = make_app(make(), transport=PlayedPeer(lambda url, form: NOTHING), clock=StillClock())
        try:
            yield Site(app)
        finally:
            app_context(app).database.engine.dispose()


def words(page) -> str:
    """What a page says."""
    return " ".join(page.html.find("main").get_text(" ").split())


def parameters(page) -> tuple[str, dict[str, str]]:
    """Where a redirect goes: the address without its query, and the query."""
    assert page.status_int == 303, page
    address, _, query = page.location.partition("?")
    return address, dict(parse_qsl(query, keep_blank_values=True))
