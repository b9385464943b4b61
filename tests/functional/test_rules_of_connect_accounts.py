"""The rules of the protocol's page for people of a server: editing a profile (7.8), and the lines below it.

Each row is a sentence of the page and names its section. The peers are played by the test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import bcrypt
import pytest
from support import sign_on
from support.server_by_http import table
from support.sign_on import HOME, NO_ANSWERS, REFUSED, parameters, words
from support.webapp import PASSWORD, log_in, log_out

from tconnect_pyramid import people
from tconnect_pyramid.client import leaving
from tconnect_pyramid.errors import TConnectError
from tconnect_pyramid.protocol import jsend, paths

LOGIN = "http://localhost/login"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
"""Of the password that `log_in` types, as a Totara would send it."""


@pytest.fixture(scope="module")
def running_site(tmp_path_factory):
    with sign_on.running(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def site(running_site):
    yield running_site
    running_site.reset()


def nothing(stage) -> None:
    """All is as it should be."""


# --- editing a profile, at the client (7.8) --------------------------------------------------------------------


class Editing:
    """Somebody of a server, signed in at the client."""

    def __init__(self, site) -> None:
        self.site = site
        self.person = site.person(city="Wien")
        self.visit = site.sign_in(self.person)
        self.server = self.visit.server
        self.browser = self.visit.browser
        self.account = site.account(self.server, self.person)
        self.userid = str(self.account.id)
        self.serveruserid = self.person["id"]
        self.clientidnumber = self.server.clientidnumber
        site.replies["get_user"] = jsend.Success({"user": {**self.person, "city": "Linz"}})

    def edit(self):
        return self.browser.get(paths.CLIENT_USER_EDIT, {"userid": self.userid}, status=303)

    def finish(self):
        query = {"serveruserid": self.serveruserid, "clientidnumber": self.clientidnumber}
        return self.browser.get(paths.CLIENT_USER_EDIT_FINISH, query, status=303)

    def signed_out(self) -> None:
        self.browser = self.site.browser()

    def local(self) -> None:
        key, username = self.site.add_person()
        self.browser = self.site.browser(username)
        self.userid = str(key)

    def somebody_else(self) -> None:
        self.browser = self.site.sign_in(server=self.server).browser
        self.site.replies["get_user"] = jsend.Success({"user": {**self.person, "city": "Linz"}})

    def inactive(self) -> None:
        self.site.change(self.server, state="leaving")

    def disabled(self) -> None:
        self.site.set({"client.enabled": "false"})

    def another_server(self) -> None:
        self.clientidnumber = self.site.add_server().clientidnumber

    @property
    def city(self) -> str:
        return self.site.account(self.server, self.person).city


@dataclass(frozen=True)
class Stays:
    """Where the two pages of the client lead."""

    says: str
    before: Callable[[Editing], None] = nothing
    ids: dict[str, str] = field(default_factory=dict)
    pages: tuple[str, ...] = ("edit", "finish")
    there: str = HOME


@table(
    Stays("7.8 both pages need a local sign-in", Editing.signed_out, there=LOGIN),
    Stays("7.8 anything unknown goes home: not a connect account", Editing.local),
    Stays("7.8 anything unknown goes home: somebody else's", Editing.somebody_else),
    Stays("7.8 anything unknown goes home: the server is not active", Editing.inactive),
    Stays("7.8 anything unknown goes home: connect is disabled", Editing.disabled),
    Stays(
        "7.8 anything unknown goes home: another server's id number",
        Editing.another_server,
        pages=("finish",),
    ),
    *(
        Stays(f"7.8 anything unknown goes home: {name} is {value!r}", ids={name: value}, pages=(page,))
        for page, name in (("edit", "userid"), ("finish", "serveruserid"), ("finish", "clientidnumber"))
        for value in ("", "0", "99999999", "x", "0" * 40)
    ),
)
def test_who_has_nothing_to_edit(site, row):
    stage = Editing(site)
    row.before(stage)
    for name, value in row.ids.items():
        setattr(stage, name, value)
    site.peer.calls.clear()

    for page in row.pages:
        assert getattr(stage, page)().location.partition("?")[0] == row.there
    assert stage.city == "Wien"
    assert site.asked == []


def test_7_8_the_profile_link_goes_to_the_clients_page_and_on_to_the_servers(site):
    stage = Editing(site)
    profile = stage.browser.get("/profile")
    link = profile.html.find("a", href=lambda it: it and paths.CLIENT_USER_EDIT in it)["href"]

    there, query = parameters(stage.browser.get(link))

    assert link == f"/auth/connect/user_edit.php?userid={stage.account.id}"
    assert there == f"{stage.server.url}/user/edit.php"
    assert query == {"id": stage.person["id"], "returnto": f"tc_{stage.server.clientidnumber}"}


def test_7_8_coming_back_fetches_that_person_updates_the_account_and_shows_the_profile(site):
    stage = Editing(site)

    page = stage.finish().follow()

    assert site.asked == [
        (
            f"{stage.server.url}/totara/connect/sep.php",
            {
                "serveridnumber": stage.server.serveridnumber,
                "serversecret": stage.server.serversecret,
                "service": "get_user",
                "userid": stage.person["id"],
            },
        )
    ]
    assert page.request.path == "/profile"
    assert "Linz" in words(page)
    assert stage.city == "Linz"
    assert "could not" not in words(page)


@dataclass(frozen=True)
class Fetched:
    says: str
    reply: Callable[[dict], Any]


def always(reply) -> Callable[[dict], Any]:
    return lambda person: reply


@table(
    *(Fetched(f"7.8 a message if that failed: {what}", always(reply)) for what, reply in NO_ANSWERS.items()),
    Fetched("7.8 a null person changes nothing", always(jsend.Success({"user": None}))),
    Fetched(
        "7.8 a deleted person changes nothing",
        lambda person: jsend.Success({"user": {**person, "deleted": "1", "city": "Linz"}}),
    ),
    Fetched(
        "7.8 that one user: another person's record changes nothing",
        lambda person: jsend.Success({"user": {**person, "id": "999999", "city": "Linz"}}),
    ),
    Fetched("7.8 a message if that failed: no user", always(jsend.Success([]))),
)
def test_a_person_who_cannot_be_fetched(site, row):
    stage = Editing(site)
    site.replies["get_user"] = row.reply(stage.person)
    before = site.account(stage.server, stage.person)

    page = stage.finish().follow()

    assert page.request.path == "/profile"
    assert "could not be fetched" in words(page)
    after = site.account(stage.server, stage.person)
    for name in ("username", "firstname", "email", "city", "deleted", "suspended", "auth"):
        assert getattr(after, name) == getattr(before, name)
    assert site.who(stage.browser)


# --- editing a profile, at the server (7.8) --------------------------------------------------------------------


class AtTheServer:
    """Somebody who is logged in at the server, and a client."""

    def __init__(self, site) -> None:
        self.site = site
        self.client = site.add_client()
        self.key, self.username = site.add_person()
        self.browser = site.browser(self.username)
        self.returnto = f"tc_{self.client.clientidnumber}"
        self.home = (
            f"{self.client.url}/auth/connect/user_edit_finish.php",
            {"serveruserid": str(self.key), "clientidnumber": self.client.clientidnumber},
        )

    def open(self):
        return self.browser.get(paths.USER_EDIT, {"id": self.key, "returnto": self.returnto}, status="*")

    def left(self) -> None:
        self.site.call(self.client, "delete_client")


def test_7_8_after_saving_the_server_sends_the_browser_to_that_client(site):
    stage = AtTheServer(site)
    form = stage.open().forms["profile"]
    form["city"] = "Linz"

    assert parameters(form.submit()) == stage.home
    assert site.call(stage.client, "get_user", userid=str(stage.key))["data"]["user"]["city"] == "Linz"


def test_7_8_cancelling_comes_back_the_same_way(site):
    stage = AtTheServer(site)
    there = stage.open().html.find("a", string="Cancel")["href"]

    address, query = stage.home
    assert there == f"{address}?serveruserid={query['serveruserid']}&clientidnumber={query['clientidnumber']}"


def test_7_8_who_is_not_signed_in_at_the_server_logs_in_and_comes_back_to_the_form(site):
    stage = AtTheServer(site)
    stage.browser = site.browser()
    form = stage.open().follow().forms["login"]
    form["username"], form["password"] = stage.username, PASSWORD
    page = form.submit(status=303).follow()

    assert parameters(page.forms["profile"].submit()) == stage.home


@dataclass(frozen=True)
class WayBack:
    says: str
    before: Callable[[AtTheServer], None] = nothing
    returnto: str | None = None


@table(
    WayBack("7.8 that client: one that has left", AtTheServer.left),
    *(
        WayBack(f"7.8 that client: {value!r}", returnto=value)
        for value in ("", "tc_", f"tc_{'0' * 40}", "http://evil.example/", "profile")
    ),
)
def test_after_saving_for_nobody_one_stays_at_the_server(site, row):
    stage = AtTheServer(site)
    row.before(stage)
    stage.returnto = stage.returnto if row.returnto is None else row.returnto

    page = stage.open().forms["profile"].submit(status=303)

    assert page.location.startswith("http://localhost/profile")


# --- passwords (below 7.8) ---------------------------------------------------------------------------------------


def try_password(site, username: str):
    browser = site.browser()
    form = browser.get("/login?nosso=1").forms["login"]
    form["username"], form["password"] = username, PASSWORD
    form.submit(status="*")
    return browser


@dataclass(frozen=True)
class Kept:
    says: str
    password: str | None


@table(
    Kept("7 a connect account cannot log in by password", None),
    Kept("7 a connect account cannot log in by password: a synchronised hash is only stored", HASH),
)
def test_a_connect_account_cannot_log_in_by_password(site, row):
    person = site.person(password=row.password)
    visit = site.sign_in(person)
    account = site.account(visit.server, person)

    assert account.password == row.password
    for username in (account.username, account.email, person["username"]):
        assert site.who(try_password(site, username)) == ""
    assert site.who(visit.browser), "it still signs in by its server"


def test_7_a_connect_account_cannot_be_given_a_password(site):
    person = site.person(password=HASH)
    visit = site.sign_in(person)
    key = site.account(visit.server, person).id

    with pytest.raises(TConnectError, match="password"), site.context.unit() as session:
        people.set_password(session, site.context, key, "another long password")
    assert site.account(visit.server, person).password == HASH
    for path in ("/profile", paths.USER_EDIT):
        assert not visit.browser.get(path).html.find("input", {"type": "password"})


def test_7_a_connect_account_cannot_be_remembered(site):
    """Its cookie ends with the browser."""
    visit = site.sign_in()
    cookies = [it for it in visit.browser.cookiejar if it.name.startswith("tconnect_")]

    assert cookies
    assert {it.expires for it in cookies} == {None}


def test_7_a_synchronised_hash_becomes_the_password_on_leaving_the_server(site):
    person = site.person(password=HASH)
    visit = site.sign_in(person)
    username = site.account(visit.server, person).username
    left = leaving.leave(site.context, visit.server.id, accounts="keep", new_auth="manual", actor="command")

    assert left.confirmed
    assert site.who(visit.browser) == "", "sessions end"
    assert person["lastname"] in site.who(try_password(site, username))


def test_7_without_a_synchronised_hash_there_is_no_password_after_leaving_either(site):
    person = site.person(password=None)
    visit = site.sign_in(person)
    username = site.account(visit.server, person).username
    leaving.leave(site.context, visit.server.id, accounts="keep", new_auth="manual", actor="command")

    assert site.who(try_password(site, username)) == ""


# --- automatic single sign-on (below 7.8) --------------------------------------------------------------------------


class Automatic:
    """A browser at a client whose login page goes to a server."""

    def __init__(self, site) -> None:
        self.site = site
        self.server = site.add_server()
        self.browser = site.browser()
        site.set({"client.auto_sign_in": str(self.server.id)})

    def not_chosen(self) -> None:
        self.site.set({"client.auto_sign_in": ""})

    def inactive(self) -> None:
        self.site.change(self.server, state="leaving")

    def gone(self) -> None:
        self.site.set({"client.auto_sign_in": "99999999"})

    def disabled(self) -> None:
        self.site.set({"client.enabled": "false"})

    def failed(self) -> None:
        self._come_back(result="error")

    def refused(self) -> None:
        self.site.replies["get_sso_user"] = REFUSED
        self._come_back()

    def cancelled(self) -> None:
        self._come_back(result="cancel")

    def failed_elsewhere(self) -> None:
        self.failed()
        self.browser = self.site.browser()

    def worked_since(self) -> None:
        self.failed()
        self.site.sign_in(server=self.server, browser=self.browser)
        self.site.clock.tick(8000)

    def logged_out(self) -> None:
        self.site.sign_in(server=self.server, browser=self.browser)
        log_out(self.browser)

    def _come_back(self, **changes: str) -> None:
        self.site.come_back(self.browser, self.site.set_out(self.browser, self.server), **changes)


@dataclass(frozen=True)
class LoginPage:
    says: str
    goes: bool
    before: Callable[[Automatic], None] = nothing
    query: str = ""


@table(
    LoginPage("7 automatic: goes straight to sso_start", goes=True),
    LoginPage("7 automatic: with other parameters too", goes=True, query="?next=/profile"),
    LoginPage("7 automatic: not without a server chosen", False, Automatic.not_chosen),
    LoginPage("7 automatic: not for ?nosso=1", goes=False, query="?nosso=1"),
    LoginPage("7 automatic: not for ?nosso=1 among others", goes=False, query="?next=/profile&nosso=1"),
    LoginPage("7 automatic: not when the server is not active", False, Automatic.inactive),
    LoginPage("7 automatic: not when the server is gone", False, Automatic.gone),
    LoginPage("7 automatic: not when connect is disabled", False, Automatic.disabled),
    LoginPage("7 with us: not after a failed attempt", False, Automatic.failed),
    LoginPage("7 with us: not after an attempt that the server refused", False, Automatic.refused),
    LoginPage("7 with us: not after a cancelled attempt", False, Automatic.cancelled),
    LoginPage("7 with us: not after logging out", False, Automatic.logged_out),
    LoginPage("7 with us: another browser is not kept from it", True, Automatic.failed_elsewhere),
    LoginPage("7 with us: again once it worked", True, Automatic.worked_since),
)
def test_the_login_page(site, row):
    stage = Automatic(site)
    row.before(stage)

    page = stage.browser.get(f"/login{row.query}", status="*")

    if row.goes:
        there, query = parameters(page)
        assert there == f"http://localhost{paths.SSO_START}"
        assert query["serverid"] == str(stage.server.id)
        assert parameters(page.follow())[0] == stage.server.url + paths.SSO_REQUEST
    else:
        assert page.status_int == 200
        assert page.forms["login"]


def test_7_automatic_not_for_a_posted_form(site):
    stage = Automatic(site)
    _, username = site.add_person()
    form = stage.browser.get("/login?nosso=1").forms["login"]
    form["username"], form["password"] = username, "wrong"
    assert "wrong" in words(form.submit(status=200))
    token = form["csrf_token"].value
    sent = {"csrf_token": token, "username": username, "password": PASSWORD}

    assert stage.browser.post("/login", sent, status=303).location == HOME
    assert site.who(stage.browser)


def test_7_automatic_somebody_who_is_logged_in_goes_nowhere(site):
    stage = Automatic(site)
    site.set({"client.auto_sign_in": ""})
    _, username = site.add_person()
    log_in(stage.browser, username)
    site.set({"client.auto_sign_in": str(stage.server.id)})

    assert stage.browser.get("/login", status=303).location == HOME
