"""The rules of the protocol's page for a browser that comes back from a server: section 7.4, and 7.1 to 7.4 as a whole.

Each row is a sentence of the page and names its section. The server is played by the test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from sqlalchemy import select
from support import sign_on
from support.server_by_http import table
from support.sign_on import BAD_PARAMETER, HOME, NO_ANSWERS, REFUSED, parameters, words
from support.webapp import add_person, connect, log_in, two_sites

from tconnect_pyramid import people
from tconnect_pyramid.models import Link, ServerSession, SignIn
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


def nothing(stage) -> None:
    """All is as it should be."""


class ComingBack:
    """A browser that set out, and what the server will say of the person."""

    def __init__(self, site) -> None:
        self.site = site
        self.server = site.add_server()
        self.browser = site.browser()
        self.person = site.person()
        site.replies["get_sso_user"] = lambda form: jsend.Success(self.person)
        self.asked = site.set_out(self.browser, self.server)

    def come_back(self, **changes: str | None):
        return self.site.come_back(self.browser, self.asked, **changes)

    def used(self) -> None:
        self.site.come_back(self.browser, self.asked, result="cancel")

    def used_by_another_browser(self) -> None:
        self.site.come_back(self.site.browser(), self.asked)

    def in_another_browser(self) -> None:
        self.browser = self.site.browser()

    def in_another_session(self) -> None:
        self.browser = self.site.browser()
        self.site.set_out(self.browser, self.site.add_server())

    def without_cookies(self) -> None:
        self.browser.reset()

    def inactive(self) -> None:
        self.site.change(self.server, state="leaving")

    def disabled(self) -> None:
        self.site.set({"client.enabled": "false"})

    def signed_in(self) -> None:
        """Not in the browser's own way: by password, which gives it another session."""
        _, username = self.site.add_person()
        log_in(self.browser, username)

    def late(self) -> None:
        self.site.clock.tick(600)

    def just_in_time(self) -> None:
        self.site.clock.tick(599)

    def stranger(self) -> None:
        self.site.context.clock.tick(1)
        with self.site.context.unit() as session:
            username = f"tc_{self.person['id']}_{self.server.serveridnumber}"
            self.site.context.accounts.insert(session, [{"username": username, "auth": "manual"}])

    def known_here(self) -> None:
        """The person has an account here by an earlier sign-in, in another browser."""
        self.site.sign_in(self.person, self.server)

    def suspended_here(self) -> None:
        visit = self.site.sign_in(self.person, self.server)
        key = self.site.account(self.server, self.person).id
        with self.site.context.unit() as session:
            people.suspend(session, self.site.context, key)
        self.site.peer.calls.clear()
        assert self.site.who(visit.browser) == ""

    def sso_sessions(self) -> int:
        return self.site.count(ServerSession, ServerSession.server_id == self.server.id)


@dataclass(frozen=True)
class Back:
    """How a browser comes back: `changes` of the parameters, what was before, what `get_sso_user` gives."""

    says: str
    before: Callable[[ComingBack], None] = nothing
    changes: dict[str, str | None] = field(default_factory=dict)
    reply: object = None
    calls: int = 0


@table(
    *(
        Back(f"7.4 silently home: an unknown client, {value!r}", changes={"clientidnumber": value})
        for value in ("0" * 40, "x")
    ),
    *(
        Back(f"7.4 silently home: {name} is {how}", changes={name: value})
        for name in ("clientidnumber", "requesttoken")
        for how, value in (("empty", ""), ("absent", None))
    ),
    Back(
        "7.4 silently home: nothing at all",
        changes=dict.fromkeys(("clientidnumber", "requesttoken", "ssotoken", "result")),
    ),
    Back("7.4 silently home: an unknown request token", changes={"requesttoken": "0" * 40}),
    Back("7.4 silently home: a used one", ComingBack.used),
    Back("7.4 silently home: one that another browser has used up", ComingBack.used_by_another_browser),
    Back("7.4 silently home: a server that is being left", ComingBack.inactive),
    Back("7.4 silently home: connect is disabled", ComingBack.disabled),
)
def test_a_bookmark_or_a_reopened_tab_goes_silently_home(site, row):
    stage = ComingBack(site)
    row.before(stage)

    page = stage.come_back(**row.changes)

    assert (page.status_int, page.location) == (303, HOME)
    assert site.who(stage.browser) == ""
    assert (site.asked, stage.sso_sessions()) == ([], 0)


FAILURES = [
    Back("7.4 this browser: another, without a session", ComingBack.in_another_browser),
    Back("7.4 this browser: another, with a session of its own", ComingBack.in_another_session),
    Back("7.4 this browser: one that keeps no cookies", ComingBack.without_cookies),
    Back("7.4 younger than 600 s", ComingBack.late),
    *(
        Back(f"7.4 the result must be success: {value!r}", changes={"result": value})
        for value in ("error", "cancel", "", None, "SUCCESS", "succes", "1")
    ),
    *(
        Back(f"7.4 an ssotoken {value!r}", changes={"ssotoken": value})
        for value in ("", None, "x", "a" * 39, "A" * 40)
    ),
    *(
        Back(f"7.4 get_sso_user: {what}", reply=reply, calls=1)
        for what, reply in {
            "session expired": jsend.Error("session expired"),
            "invalid user session": jsend.Error("invalid user session"),
            "reused ssotoken": jsend.Error("reused ssotoken"),
            **NO_ANSWERS,
            "success without data": b'{"status":"success"}',
            "nothing": jsend.Success(None),
            "a list": jsend.Success([]),
            "a list of people": jsend.Success([{"id": "3"}]),
            "a text": jsend.Success("3"),
            "a record without an id": jsend.Success({"username": "ada"}),
            "a record with the id 0": jsend.Success({"id": "0", "username": "ada"}),
            "a record in pieces": jsend.Success({"id": "3"}),
        }.items()
    ),
    Back("7.4 and 9: the user name belongs to a stranger", ComingBack.stranger, calls=1),
    Back("7.4 and 9: the account is suspended here", ComingBack.suspended_here, calls=1),
]


@table(*FAILURES)
def test_another_failure_is_a_plain_page_with_a_retry_that_cannot_loop(site, row):
    stage = ComingBack(site)
    row.before(stage)
    sessions = stage.sso_sessions()
    if row.reply is not None:
        site.replies["get_sso_user"] = row.reply

    page = stage.come_back(**row.changes)

    assert page.status_int == (200 if row.changes.get("result") == "cancel" else 403)
    assert len(site.asked) == row.calls
    assert stage.sso_sessions() == sessions
    for by_itself in ("<script>", "http-equiv", "onload"):
        assert by_itself not in page.text.lower()
    assert not {"Refresh", "Location"} & set(page.headers)
    assert site.who(stage.browser) == ""
    # Going on takes a click, and a new request.
    away, query = parameters(page.click("Try again"))
    assert away == stage.server.url + paths.SSO_REQUEST
    assert query["requesttoken"] != stage.asked["requesttoken"]


@table(
    Back("7.4 younger than 600 s", ComingBack.just_in_time),
    Back("7.4 all is well"),
)
def test_the_person_is_signed_in(site, row):
    stage = ComingBack(site)
    row.before(stage)

    page = stage.come_back()

    assert (page.status_int, page.location) == (303, HOME)
    assert stage.person["lastname"] in site.who(stage.browser)


@table(
    Back("7.4 and 9: deleted at the server", reply={"deleted": "1"}),
    Back("7.4 and 9: suspended at the server", reply={"suspended": "1"}),
    Back("7.4 and 9: deleted since the last time", ComingBack.known_here, reply={"deleted": "1"}),
    Back("7.4 and 9: suspended since the last time", ComingBack.known_here, reply={"suspended": "1"}),
)
def test_who_is_kept_out_at_the_server_is_kept_out_here(site, row):
    stage = ComingBack(site)
    row.before(stage)
    sessions = stage.sso_sessions()
    stage.person.update(row.reply)
    site.replies["get_sso_user"] = jsend.Success(stage.person)

    assert stage.come_back().status_int == 403
    assert site.who(stage.browser) == ""
    assert stage.sso_sessions() == sessions


def test_7_4_the_server_is_asked_who_it_is_and_an_sso_session_is_stored(site):
    stage = ComingBack(site)
    token = new_token()

    stage.come_back(ssotoken=token)

    assert site.asked == [
        (
            f"{stage.server.url}/totara/connect/sep.php",
            {
                "serveridnumber": stage.server.serveridnumber,
                "serversecret": stage.server.serversecret,
                "service": "get_sso_user",
                "ssotoken": token,
            },
        )
    ]
    account = site.account(stage.server, stage.person)
    with site.context.reading() as session:
        kept = session.scalar(select(ServerSession).where(ServerSession.token_hash == digest(token)))
        signed_in = session.get_one(SignIn, kept.signin_id)
    assert (kept.server_id, kept.person_id, kept.account_key) == (
        stage.server.id,
        int(stage.person["id"]),
        account.id,
    )
    assert (signed_in.account_key, signed_in.ended) == (account.id, None)


def test_7_4_the_account_is_created_then_updated(site):
    server = site.add_server()
    person = site.person(city="Wien")
    site.sign_in(person, server)
    first = site.account(server, person)
    site.sign_in({**person, "city": "Linz"}, server)
    second = site.account(server, person)

    assert (first.auth, first.username) == ("connect", f"tc_{person['id']}_{server.serveridnumber}")
    assert (first.city, second.city, second.id) == ("Wien", "Linz", first.id)
    assert site.count(Link, Link.server_id == server.id) == 1


def test_7_4_the_session_id_is_renewed_and_the_anonymous_one_is_worth_nothing(site):
    stage = ComingBack(site)
    before = {it.name: it.value for it in stage.browser.cookiejar}
    stage.come_back()
    after = {it.name: it.value for it in stage.browser.cookiejar}
    thief = site.browser()
    for name, value in before.items():
        thief.set_cookie(name, value)

    (name,) = before
    assert after[name] != before[name]
    assert site.who(thief) == ""


def test_7_4_the_anonymous_session_id_survives_from_start_to_finish_in_a_lax_cookie(site):
    server, browser = site.add_server(), site.browser()
    away = browser.get(paths.SSO_START, {"serverid": server.id}, status=303)
    (cookie,) = away.headers.getall("Set-Cookie")
    assert "samesite=lax" in cookie.lower()
    before = {it.name: it.value for it in browser.cookiejar}
    for path in ("/", "/profile", f"{paths.SSO_START}?serverid={server.id}", paths.SSO_FINISH):
        browser.get(path)

    assert before.items() <= {it.name: it.value for it in browser.cookiejar}.items()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param("/profile?x=1", "http://localhost/profile?x=1", id="7.4 the page first asked for"),
        pytest.param("", HOME, id="7.4 else the home page"),
        pytest.param("http://evil.example/", HOME, id="7.4 on this site"),
        pytest.param("//evil.example/", HOME, id="7.4 on this site: no scheme"),
    ],
)
def test_the_person_goes_to(site, wanted, expected):
    server, browser = site.add_server(), site.browser()
    asked = site.set_out(browser, server, next=wanted)
    site.replies["get_sso_user"] = jsend.Success(site.person())

    assert site.come_back(browser, asked).location == expected


def test_7_4_who_is_signed_in_by_then_goes_home_with_a_notice(site):
    stage = ComingBack(site)
    stage.signed_in()
    before = site.who(stage.browser)

    page = stage.come_back()

    assert page.location.startswith(HOME)
    assert "already" in words(page.follow())
    assert site.who(stage.browser) == before
    assert (site.asked, stage.sso_sessions()) == ([], 0)
    assert stage.come_back().location == HOME, "the request token is deleted on first use"


@table(
    Back("7.4 deleted on first use: after success"),
    Back("7.4 deleted on first use: after an error", changes={"result": "error"}),
    Back("7.4 deleted on first use: after a cancel", changes={"result": "cancel"}),
    Back("7.4 deleted on first use: in another browser", ComingBack.in_another_session),
    Back("7.4 deleted on first use: too late", ComingBack.late),
    Back("7.4 deleted on first use: the server refuses", reply=REFUSED),
    Back("7.4 deleted on first use: the server fails", reply=BAD_PARAMETER),
)
def test_a_request_token_is_used_once(site, row):
    stage = ComingBack(site)
    own = stage.browser
    row.before(stage)
    if row.reply is not None:
        site.replies["get_sso_user"] = row.reply
    stage.come_back(**row.changes)
    stage.browser.get("/logout")
    calls = len(site.asked)
    sessions = stage.sso_sessions()
    site.replies["get_sso_user"] = jsend.Success(stage.person)

    for browser in (own, stage.browser):
        page = site.come_back(browser, stage.asked)
        assert page.location.startswith(HOME)
    assert (len(site.asked), stage.sso_sessions()) == (calls, sessions)


# --- all of it, with a real site on either side -----------------------------------------------------------


def test_7_1_to_7_4_between_two_sites_of_ours(make_sqlite):
    with two_sites(make_sqlite(), make_sqlite()) as sites:
        add_person(sites.server)
        connect(sites)
        log_in(sites.browser, url=sites.server_url)
        page = sites.browser.get(f"{sites.client_url}{paths.SSO_START}?serverid=1&next=/profile", status=303)
        hops = []
        while page.status_int == 303:
            hops.append(parameters(page))
            page = page.follow()

    assert [there for there, _ in hops] == [
        f"{sites.server_url}/totara/connect/sso_request.php",
        f"{sites.client_url}/auth/connect/sso_finish.php",
        f"{sites.client_url}/profile",
    ]
    assert [set(query) for _, query in hops] == [
        {"clientidnumber", "requesttoken"},
        {"clientidnumber", "requesttoken", "ssotoken", "result"},
        set(),
    ]
    assert hops[0][1].items() <= hops[1][1].items()
    assert "Test server" in words(page)
