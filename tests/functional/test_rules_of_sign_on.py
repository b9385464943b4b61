"""The rules of the protocol's page for single sign-on: sections 2 and 7.1 to 7.3.

Each row is a sentence of the page and names its section. The page is read, not the code: where both
differ, the row stays as the page says. The peers are played by the test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select
from support import sign_on
from support.server_by_http import error, fail, success, table
from support.sign_on import HOME, NO_ANSWERS, parameters, words
from support.webapp import PASSWORD, log_in

from tconnect_pyramid import people
from tconnect_pyramid.directory.audiences import add_audience, add_members, delete_audience
from tconnect_pyramid.models import ClientSession, SignIn, SignInRequest
from tconnect_pyramid.protocol import jsend, paths
from tconnect_pyramid.secretbox import digest, new_token


@pytest.fixture(scope="module")
def running_site(tmp_path_factory):
    with sign_on.running(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def site(running_site):
    yield running_site
    running_site.reset()


# --- paths (2) ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Path:
    """What is at a path, for a stranger without parameters."""

    says: str
    method: str
    path: str
    status: int
    contains: str


LOGIN = "http://localhost/login"

PATHS = [
    Path("2 server: services", "POST", "/totara/connect/sep.php", 200, "invalid parameters"),
    Path("2 server: a browser arrives", "GET", "/totara/connect/sso_request.php", 404, "not connected"),
    Path("2 server: editing a profile", "GET", "/user/edit.php", 303, LOGIN),
    Path("2 client: a server registers itself", "POST", "/auth/connect/sep_setup.php", 200, "setup secret"),
    Path("2 client: services", "POST", "/auth/connect/sep.php", 200, "invalid parameters"),
    Path("2 client: a browser starts", "GET", "/auth/connect/sso_start.php", 303, HOME),
    Path("2 client: a browser returns", "GET", "/auth/connect/sso_finish.php", 303, HOME),
    Path("2 client: to the server's profile page", "GET", "/auth/connect/user_edit.php", 303, LOGIN),
    Path("2 client: back from there", "GET", "/auth/connect/user_edit_finish.php", 303, LOGIN),
]


@table(*PATHS)
def test_a_path_is_served(site, row):
    page = site.browser().request(row.path, method=row.method, expect_errors=True)

    assert page.status_int == row.status
    assert row.contains in (page.location if row.status == 303 else page.text)
    assert (page.content_type == "application/json") is (row.method == "POST")


@table(*(row for row in PATHS if row.method == "GET"))
def test_2_pages_are_no_service_end_points(site, row):
    page = site.browser().post(row.path, {}, expect_errors=True)

    assert page.status_int in {303, 400, 403, 405}
    assert page.content_type != "application/json"


def test_2_one_site_holds_both_roles_at_once_for_different_peers(site):
    """Who came from a server is carried on to a client."""
    visit = site.sign_in()
    client = site.add_client()
    there, query = parameters(
        visit.browser.get(
            paths.SSO_REQUEST, {"clientidnumber": client.clientidnumber, "requesttoken": new_token()}
        )
    )

    assert (there, query["result"]) == (client.url + paths.SSO_FINISH, "success")
    told = site.call(client, "get_sso_user", ssotoken=query["ssotoken"])
    assert told["data"]["lastname"] == visit.person["lastname"]


# --- a browser sets out (7.1) ----------------------------------------------------------------------------


class SettingOut:
    """A browser at the client, and a server."""

    def __init__(self, site) -> None:
        self.site = site
        self.server = site.add_server()
        self.browser = site.browser()
        self.query: dict[str, Any] = {"serverid": self.server.id}

    def local(self) -> None:
        _, username = self.site.add_person()
        log_in(self.browser, username)

    def connected(self) -> None:
        self.site.sign_in(server=self.server, browser=self.browser)

    def inactive(self) -> None:
        self.site.change(self.server, state="leaving")

    def disabled(self) -> None:
        self.site.set({"client.enabled": "false"})

    def requests(self) -> int:
        return self.site.count(SignInRequest, SignInRequest.server_id == self.server.id)


def nothing(stage) -> None:
    """All is as it should be."""


@dataclass(frozen=True)
class Home:
    says: str
    before: Callable[[Any], None] = nothing
    serverid: str | None = ""


@table(
    *(
        Home(f"7.1 home: an unknown server, {value!r}", serverid=value)
        for value in ("99999999", "0", "-1", "x", "1 or 1", "9" * 40)
    ),
    Home("7.1 home: no server", serverid=None),
    Home("7.1 home: an inactive server", SettingOut.inactive),
    Home("7.1 home: connect is disabled", SettingOut.disabled),
    Home("7.1 home: signed in already, by password", SettingOut.local),
    Home("7.1 home: signed in already, by that server", SettingOut.connected),
)
def test_a_browser_stays_at_home(site, row):
    stage = SettingOut(site)
    row.before(stage)
    query = {} if row.serverid is None else {"serverid": row.serverid or stage.server.id}

    assert stage.browser.get(paths.SSO_START, query, status=303).location == HOME
    assert stage.requests() == 0
    assert site.asked == []


def test_7_1_the_client_stores_a_request_and_redirects_to_the_server(site):
    stage = SettingOut(site)

    page = stage.browser.get(paths.SSO_START, stage.query, status=303)

    there, query = parameters(page)
    assert there == f"{stage.server.url}/totara/connect/sso_request.php"
    assert list(query) == ["clientidnumber", "requesttoken"]
    assert query["clientidnumber"] == stage.server.clientidnumber
    assert len(query["requesttoken"]) == 40
    assert set(query["requesttoken"]) <= set("0123456789abcdef")
    with site.context.reading() as session:
        request = session.scalar(
            select(SignInRequest).where(SignInRequest.token_hash == digest(query["requesttoken"]))
        )
    assert (request.server_id, request.timecreated) == (stage.server.id, site.clock())


def _finished(stage, first):
    stage.site.come_back(stage.browser, first, result="cancel")


def _elsewhere(stage, first):
    stage.browser = stage.site.browser()


def _to_another(stage, first):
    stage.server = stage.site.add_server()


def _there_and_back(stage, first):
    other = stage.site.add_server()
    stage.site.set_out(stage.browser, other)


def _validated(stage, first):
    stage.site.call(stage.server, "validate_sso_request_token", requesttoken=first["requesttoken"])


@dataclass(frozen=True)
class Again:
    """Setting out a second time, so many seconds later: whether the request is reused."""

    says: str
    seconds: int
    reused: bool
    between: Callable[[SettingOut, dict[str, str]], None] = lambda stage, first: None


@table(
    Again("7.1 reused: at once", 0, reused=True),
    Again("7.1 reused: while younger than 600 s", 599, reused=True),
    Again("7.1 reused: not at 600 s", 600, reused=False),
    Again("7.1 reused: not when older", 601, reused=False),
    Again("7.1 reused: not by another browser", 1, reused=False, between=_elsewhere),
    Again("7.1 with us: one per session and server: not for another server", 1, False, _to_another),
    Again(
        "7.1 with us: one per session and server: that for another changes nothing", 1, True, _there_and_back
    ),
    Again("7.1 reused: validating does not use it up", 1, reused=True, between=_validated),
    Again("7.4 deleted on first use: not once it came back", 1, reused=False, between=_finished),
)
def test_a_request_is_reused(site, row):
    stage = SettingOut(site)
    first = site.set_out(stage.browser, stage.server)
    row.between(stage, first)
    site.clock.tick(row.seconds)

    second = site.set_out(stage.browser, stage.server)

    assert (second["requesttoken"] == first["requesttoken"]) is row.reused


def test_7_1_requests_to_two_servers_live_at_the_same_time(site):
    browser = site.browser()
    servers = [site.add_server(), site.add_server()]
    asked = [site.set_out(browser, server) for server in servers]

    for server, query in zip(servers, asked, strict=True):
        said = site.call(server, "validate_sso_request_token", requesttoken=query["requesttoken"])
        assert said == success([])


# --- at the server (7.2) --------------------------------------------------------------------------------


class Arriving:
    """A browser, logged in at the server, that comes from a client."""

    def __init__(self, site) -> None:
        self.site = site
        self.key, username = site.add_person()
        self.browser = site.browser(username)
        self.requesttoken = new_token()
        self.client = site.add_client()

    @property
    def query(self) -> dict[str, str]:
        return {"clientidnumber": self.client.clientidnumber, "requesttoken": self.requesttoken}

    def arrive(self, **changes: str):
        return self.browser.get(paths.SSO_REQUEST, {**self.query, **changes}, status="*")

    def restrict(self, *members: int) -> int:
        with self.site.context.unit() as session:
            audience = add_audience(session, self.site.context, name="Some")
            add_members(session, self.site.context, audience.id, list(members))
        self.site.change(self.client, restrict_audience_id=audience.id)
        return audience.id

    def outside(self) -> None:
        self.restrict()

    def inside(self) -> None:
        self.restrict(self.key)

    def without_the_audience(self) -> None:
        audience_id = self.restrict(self.key)
        with self.site.context.unit() as session:
            delete_audience(session, self.site.context, audience_id)
        self.site.change(self.client, restrict_audience_id=audience_id)

    def signed_out(self) -> None:
        self.browser = self.site.browser()

    def suspended(self) -> None:
        with self.site.context.unit() as session:
            people.suspend(session, self.site.context, self.key)

    def acting(self) -> None:
        _, root = self.site.add_person(admin=True)
        _, other = self.site.add_person()
        self.browser = self.site.browser(root)
        form = self.browser.get("/admin/act-as").forms["act-as"]
        form["who"] = other
        form.submit(status=303)

    def refused(self) -> None:
        self.site.replies["validate_sso_request_token"] = jsend.Error("sso request timed out")

    def disabled(self) -> None:
        self.site.set({"server.enabled": "false"})

    def left(self) -> None:
        self.site.call(self.client, "delete_client")

    def sso_sessions(self) -> list[ClientSession]:
        with self.site.context.reading() as session:
            return list(
                session.scalars(select(ClientSession).where(ClientSession.client_id == self.client.id))
            )


@dataclass(frozen=True)
class Unknown:
    says: str
    before: Callable[[Arriving], None] = nothing
    clientidnumber: str | None = None


@table(
    *(
        Unknown(f"7.2 unknown client: {value!r}", clientidnumber=value)
        for value in ("", "0", "x", "0" * 40, "a" * 39, "' OR ''='")
    ),
    Unknown("7.2 unknown client: one that has left", Arriving.left),
    Unknown("7.2 unknown client: also for somebody who is not signed in", Arriving.signed_out, "0" * 40),
    Unknown("7.2 with us: while the server role is off nobody is known", Arriving.disabled),
)
def test_an_unknown_client_gets_an_error_page(site, row):
    stage = Arriving(site)
    row.before(stage)
    site.peer.calls.clear()
    changes = {} if row.clientidnumber is None else {"clientidnumber": row.clientidnumber}

    page = stage.arrive(**changes)

    assert (page.status_int, page.content_type) == (404, "text/html")
    assert "not connected" in words(page)
    assert (site.asked, stage.sso_sessions()) == ([], [])


@dataclass(frozen=True)
class Sent:
    """With what result the browser is sent back to the client."""

    says: str
    result: str
    before: Callable[[Arriving], None] = nothing
    reply: object = None


@table(
    Sent("7.2 the token validates", "success"),
    Sent("7.2 the token validates, with data of some kind", "success", reply=jsend.Success({"a": 1})),
    Sent("7.2 the token does not validate", "error", Arriving.refused),
    *(
        Sent(f"7.2 and 1, the token does not validate: {what}", "error", reply=reply)
        for what, reply in NO_ANSWERS.items()
    ),
    Sent("7.2 within the restricting audience", "success", Arriving.inside),
    Sent("7.2 outside the restricting audience", "error", Arriving.outside),
    Sent("5 the restricting audience is gone: nobody can sign in", "error", Arriving.without_the_audience),
)
def test_the_server_sends_the_browser_back(site, row):
    stage = Arriving(site)
    row.before(stage)
    if row.reply is not None:
        site.replies["validate_sso_request_token"] = row.reply

    there, query = parameters(stage.arrive())

    assert there == f"{stage.client.url}/auth/connect/sso_finish.php"
    ssotoken = query.pop("ssotoken", None)
    assert query == {**stage.query, "result": row.result}
    assert (ssotoken is not None) is (row.result == "success")
    assert len(stage.sso_sessions()) == (row.result == "success")


@pytest.mark.parametrize("requesttoken", ["", "0", "a" * 39, "A" * 40, "x" * 40, "<script>"])
def test_7_2_a_badly_formed_request_token_does_not_validate(site, requesttoken):
    stage = Arriving(site)

    there, query = parameters(stage.arrive(requesttoken=requesttoken))

    assert (there, query["result"]) == (stage.client.url + paths.SSO_FINISH, "error")
    assert "ssotoken" not in query
    assert stage.sso_sessions() == []


def test_7_2_the_server_asks_that_client_and_makes_an_sso_session(site):
    stage = Arriving(site)

    _, query = parameters(stage.arrive())

    assert site.asked == [
        (
            f"{stage.client.url}/auth/connect/sep.php",
            {
                "clientidnumber": stage.client.clientidnumber,
                "clientsecret": stage.client.clientsecret,
                "service": "validate_sso_request_token",
                "requesttoken": stage.requesttoken,
            },
        )
    ]
    (made,) = stage.sso_sessions()
    assert set(query["ssotoken"]) <= set("0123456789abcdef")
    assert len(query["ssotoken"]) == 40
    with site.context.reading() as session:
        signed_in = session.scalar(
            select(SignIn).where(SignIn.account_key == stage.key, SignIn.ended.is_(None))
        )
    assert (made.account_key, made.signin_id) == (stage.key, signed_in.id)
    assert made.token_hash == digest(query["ssotoken"])


def test_7_2_each_time_there_is_another_ssotoken(site):
    stage = Arriving(site)
    tokens = set()
    for _ in range(3):
        stage.requesttoken = new_token()
        tokens.add(parameters(stage.arrive())[1]["ssotoken"])

    assert len(tokens) == 3


@table(
    Unknown("7.2 not signed in", Arriving.signed_out),
    Unknown("7.2 not signed in any more: suspended meanwhile", Arriving.suspended),
)
def test_who_is_not_signed_in_sees_the_login_page_and_can_cancel(site, row):
    stage = Arriving(site)
    row.before(stage)

    page = stage.arrive().follow()

    assert page.request.path == "/login"
    client = f"Client {stage.client.url.partition('client')[2].partition('.')[0]}"
    way_back = page.html.find("a", string=f"Return to {client}")["href"]
    there, _, sent = way_back.partition("?")
    assert there == stage.client.url + paths.SSO_FINISH
    assert sent == (
        f"clientidnumber={stage.client.clientidnumber}&requesttoken={stage.requesttoken}&result=cancel"
    )
    assert (site.asked, stage.sso_sessions()) == ([], [])


def test_7_2_after_login_one_comes_back_to_the_request(site):
    stage = Arriving(site)
    _, username = site.add_person()
    stage.signed_out()
    form = stage.arrive().follow().forms["login"]
    form["username"], form["password"] = username, "wrong"
    form = form.submit(status=200).forms["login"]
    form["username"], form["password"] = username, PASSWORD

    back = form.submit(status=303)
    there, query = parameters(back.follow())

    assert parameters(back) == (f"http://localhost{paths.SSO_REQUEST}", stage.query)
    assert (there, query["result"]) == (stage.client.url + paths.SSO_FINISH, "success")
    assert query["requesttoken"] == stage.requesttoken


def test_7_2_who_acts_as_another_must_log_out_or_cancel_first(site):
    stage = Arriving(site)
    stage.acting()

    page = stage.arrive()

    assert page.status_int == 200
    assert "you are acting as" in words(page)
    assert (site.asked, stage.sso_sessions()) == ([], [])
    cancel = page.html.find("a", string=lambda said: said and said.startswith("Cancel"))["href"]
    assert cancel.startswith(stage.client.url + paths.SSO_FINISH)
    assert cancel.endswith(f"requesttoken={stage.requesttoken}&result=cancel")
    again = page.forms["stop-acting-first"].submit(status=303).follow()
    assert parameters(again)[1]["result"] == "success"
    (made,) = stage.sso_sessions()
    with site.context.reading() as session:
        assert site.context.accounts.view(session, made.account_key).admin


# --- the server asks whether it was the client (7.3) -------------------------------------------------------


@dataclass(frozen=True)
class Validation:
    """Asked for the token of a request that is so old; `form` makes another parameter of it."""

    says: str
    expected: object
    seconds: int = 0
    token: Callable[[str], str | None] = lambda token: token
    by_another: bool = False


MISSING = fail("requesttoken", "missing sso request token")
ODD = fail("ssotoken", "invalid request token format")
TIMED_OUT = error("sso request timed out")


@table(
    Validation("7.3 a young request", success([])),
    Validation("7.3 not older than 600 s", success([]), 600),
    Validation("7.3 older than 600 s", TIMED_OUT, 601),
    Validation("7.3 unknown", TIMED_OUT, token=lambda _: "0" * 40),
    Validation("7.3 unknown: that of another server", TIMED_OUT, by_another=True),
    Validation("7.3 missing: absent", MISSING, token=lambda _: None),
    Validation("7.3 and 1, missing: empty", MISSING, token=lambda _: ""),
    Validation("7.3 and 1, missing: 0", MISSING, token=lambda _: "0"),
    *(
        Validation(f"7.3 format: {what}", ODD, token=change)
        for what, change in (
            ("too short", lambda token: token[:-1]),
            ("too long", lambda token: token + "0"),
            ("capitals", lambda _: "A" * 40),
            ("another letter", lambda _: "g" * 40),
            ("a line end", lambda token: token + "\n"),
            ("a blank", lambda token: f" {token}"),
        )
    ),
)
def test_a_request_token_is_validated(site, row):
    server = site.add_server()
    token = row.token(site.set_out(site.browser(), server)["requesttoken"])
    site.clock.tick(row.seconds)
    caller = site.add_server() if row.by_another else server

    form = {} if token is None else {"requesttoken": token}

    assert site.call(caller, "validate_sso_request_token", **form) == row.expected


def test_7_3_a_request_that_was_used_is_unknown(site):
    server = site.add_server()
    asked = site.set_out(site.browser(), server)
    for expected in (success([]), success([])):
        assert site.call(server, "validate_sso_request_token", requesttoken=asked["requesttoken"]) == expected
    site.come_back(site.browser(), asked)

    assert site.call(server, "validate_sso_request_token", requesttoken=asked["requesttoken"]) == TIMED_OUT
