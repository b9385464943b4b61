"""The rules of the protocol's page for sessions that live and end on both sides: sections 7.5 to 7.7.

Each row is a sentence of the page and names its section. The peers are played by the test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import func, select, update
from support import sign_on
from support.server_by_http import fail, success, table
from support.sign_on import NO_ANSWERS, Played, parameters
from support.webapp import log_out

from tconnect_pyramid import people, sessions
from tconnect_pyramid.delivery.outbox import deliver_now
from tconnect_pyramid.models import ClientSession, ServerSession, SignIn
from tconnect_pyramid.protocol import jsend, paths
from tconnect_pyramid.secretbox import digest, new_token
from tconnect_pyramid.server.keepalive import end_idle_sign_ins

TIMEOUT = 7200
NOTHING = success([])
ACTIVE = success({"active": True})
INACTIVE = success({"active": False})
MISSING = fail("ssotoken", "missing sso token")
ODD = fail("ssotoken", "invalid sso token format")


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


class AtTheClient:
    """Somebody who signed in by a server; the same person in another browser; another server."""

    def __init__(self, site) -> None:
        self.site = site
        self.visit = site.sign_in()
        self.server = self.visit.server
        self.token = self.visit.ssotoken
        self.twin = site.sign_in(self.visit.person, self.server)
        self.stranger = site.add_server()
        self.key = site.account(self.server, self.visit.person).id

    def ask(self, service: str, *, by: Played | None = None, token: str | None = None) -> dict:
        return self.site.call(by or self.server, service, ssotoken=token or self.token)

    @property
    def has_ended(self) -> bool:
        """Whether this sign-in has been ended, without a visit of the browser that could end it."""
        with self.site.context.reading() as session:
            ended = session.scalar(
                select(SignIn.ended)
                .join(ServerSession, ServerSession.signin_id == SignIn.id)
                .where(ServerSession.token_hash == digest(self.token))
            )
            left = session.scalar(
                select(func.count())
                .select_from(ServerSession)
                .where(ServerSession.token_hash == digest(self.token))
            )
        return ended is not None or not left

    def do(self, rule: Callable[..., list[int]]) -> None:
        with self.site.context.unit() as session:
            notices = rule(session, self.site.context, self.key)
        deliver_now(self.site.context, notices)

    def suspend(self) -> None:
        self.do(people.suspend)

    def delete(self) -> None:
        self.do(people.delete_person)

    def end(self) -> None:
        """As an administrator does by the command."""
        self.do(lambda session, context, key: sessions.end_of_accounts(session, context, [key], "ended"))

    def log_out(self) -> None:
        log_out(self.visit.browser)

    def wait(self, seconds: int) -> None:
        self.site.clock.tick(seconds)

    def visit_a_page(self) -> None:
        self.visit.browser.get("/")

    def become_anothers(self) -> None:
        stranger, _ = self.site.add_person()
        with self.site.context.unit() as session:
            signin_id = session.scalar(
                select(ServerSession.signin_id).where(ServerSession.token_hash == digest(self.token))
            )
            session.execute(update(SignIn).where(SignIn.id == signin_id).values(account_key=stranger))


def steps(*todo: Callable[[Any], Any]) -> Callable[[Any], None]:
    def run(stage) -> None:
        for step in todo:
            step(stage)

    return run


def after(seconds: int) -> Callable[[Any], None]:
    return lambda stage: stage.wait(seconds)


# --- is_sso_user_active, at the client (7.5) -----------------------------------------------------------------


@dataclass(frozen=True)
class Activity:
    """What was before the server asks, what it is told, and whether the sign-in has ended by then."""

    says: str
    expected: object
    before: Callable[[AtTheClient], None] = nothing
    ended: bool = False
    by_another: bool = False
    token: str | None = None
    timeout: int = TIMEOUT


def _asked(stage) -> None:
    assert stage.ask("is_sso_user_active") == ACTIVE


@table(
    Activity("7.5 true: signed in just now", ACTIVE),
    Activity("7.5 true: within the session time-out", ACTIVE, after(TIMEOUT - 1)),
    Activity("7.5 the client's own session time-out: within", ACTIVE, after(59), timeout=60),
    Activity("7.5 the client's own session time-out: after it", INACTIVE, after(61), ended=True, timeout=60),
    Activity("7.5 a timed-out session is ended there and then", INACTIVE, after(TIMEOUT + 1), ended=True),
    Activity(
        "7.5 activity: a page that was visited counts",
        ACTIVE,
        steps(after(TIMEOUT - 100), AtTheClient.visit_a_page, after(TIMEOUT - 100)),
    ),
    Activity(
        "7.5 asking prolongs nothing",
        INACTIVE,
        steps(after(TIMEOUT - 100), _asked, after(101)),
        ended=True,
    ),
    Activity("7.5 a wrong-owner session is ended", INACTIVE, AtTheClient.become_anothers, ended=True),
    Activity("7.5 only for this server's token", INACTIVE, by_another=True),
    Activity("7.5 an unknown token", INACTIVE, token="0" * 40),
    Activity("7.5 not once logged out", INACTIVE, AtTheClient.log_out, ended=True),
    Activity("7.5 and 7.7, not once suspended by hand", INACTIVE, AtTheClient.suspend, ended=True),
    Activity("7.5 and 7.7, not once deleted by hand", INACTIVE, AtTheClient.delete, ended=True),
    Activity("7.5 not once an administrator ended it", INACTIVE, AtTheClient.end, ended=True),
)
def test_the_client_says_who_is_active(site, row):
    stage = AtTheClient(site)
    site.set({"session.timeout": str(row.timeout)})
    row.before(stage)

    said = stage.ask("is_sso_user_active", by=stage.stranger if row.by_another else None, token=row.token)

    assert said == row.expected
    assert stage.has_ended is row.ended


def test_7_5_whose_session_timed_out_is_signed_in_no_more(site):
    stage = AtTheClient(site)
    stage.wait(TIMEOUT + 1)
    stage.ask("is_sso_user_active")

    assert site.who(stage.visit.browser) == ""


# --- kill_sso_user, at the client (7.6) ----------------------------------------------------------------------


@dataclass(frozen=True)
class Kill:
    says: str
    ended: bool
    before: Callable[[AtTheClient], None] = nothing
    by_another: bool = False
    token: str | None = None


@table(
    Kill("7.6 that session ends", ended=True),
    Kill("7.6 always []: an unknown token", ended=False, token="0" * 40),
    Kill("7.6 always []: another server's token", ended=False, by_another=True),
    Kill("7.6 always []: once more", True, lambda stage: stage.ask("kill_sso_user")),
    Kill("7.6 always []: logged out meanwhile", True, AtTheClient.log_out),
    Kill("7.6 always []: timed out meanwhile", True, after(TIMEOUT + 1)),
)
def test_the_server_ends_a_session_at_the_client(site, row):
    stage = AtTheClient(site)
    row.before(stage)
    twin_lived = site.who(stage.twin.browser) != ""

    said = stage.ask("kill_sso_user", by=stage.stranger if row.by_another else None, token=row.token)

    assert said == NOTHING
    assert stage.has_ended is row.ended
    assert (site.who(stage.visit.browser) == "") is row.ended
    # The same person in another browser has a session, and an ssotoken, of their own.
    assert (site.who(stage.twin.browser) != "") is twin_lived


def test_7_6_the_server_is_not_told_what_it_did_itself(site):
    stage = AtTheClient(site)

    stage.ask("kill_sso_user")

    assert site.asked == []


# --- tokens that are none (below 7.8) ------------------------------------------------------------------------


@dataclass(frozen=True)
class Odd:
    says: str
    service: str
    token: str | None
    expected: object


@table(
    *(
        Odd(f"7 fail answers: {service}, {what}", service, token, expected)
        for service in ("is_sso_user_active", "kill_sso_user")
        for what, token, expected in (
            ("missing", None, MISSING),
            ("'' is badly formed, not missing (1)", "", ODD),
            ("0", "0", ODD),
            ("too short", "a" * 39, ODD),
            ("too long", "a" * 41, ODD),
            ("capitals", "A" * 40, ODD),
            ("another letter", "g" * 40, ODD),
            ("a line end", "a" * 40 + "\n", ODD),
            ("a blank", " " + "a" * 40, ODD),
        )
    )
)
def test_a_malformed_ssotoken_fails(site, row):
    form = {} if row.token is None else {"ssotoken": row.token}

    assert site.call(site.add_server(), row.service, **form) == row.expected


# --- the server asks before it times out (7.5) -----------------------------------------------------------------


class AtTheServer:
    """Somebody who is logged in at the server and signed in at two clients; another browser of theirs at one."""

    def __init__(self, site) -> None:
        self.site = site
        self.clients = [site.add_client(), site.add_client()]
        self.key, self.username = site.add_person()
        self.browser = site.browser(self.username)
        self.tokens = [self.carry_on(self.browser, client) for client in self.clients]
        self.twin = site.browser(self.username)
        self.twins_token = self.carry_on(self.twin, self.clients[0])
        site.peer.calls.clear()

    def carry_on(self, browser, client: Played) -> str:
        query = {"clientidnumber": client.clientidnumber, "requesttoken": new_token()}
        token = parameters(browser.get(paths.SSO_REQUEST, query))[1]["ssotoken"]
        assert self.site.call(client, "get_sso_user", ssotoken=token)["status"] == "success"
        return token

    def answer(self, service: str, *replies: object) -> None:
        """What each of the clients answers, in their order."""
        for client, reply in zip(self.clients, replies, strict=True):
            self.site.replies[client.url, service] = reply

    def told(self, service: str) -> set[tuple[str, str]]:
        """The clients that were asked this, and by which ssotoken."""
        return {(url, form["ssotoken"]) for url, form in self.site.asked if form["service"] == service}

    @property
    def own(self) -> set[tuple[str, str]]:
        """The clients of this browser's session, with its tokens."""
        return {
            (f"{client.url}/auth/connect/sep.php", token)
            for client, token in zip(self.clients, self.tokens, strict=True)
        }

    def do(self, rule: Callable[..., list[int]]) -> None:
        with self.site.context.unit() as session:
            notices = rule(session, self.site.context, self.key)
        deliver_now(self.site.context, notices)

    def log_out(self) -> None:
        log_out(self.browser)

    def suspend(self) -> None:
        self.do(people.suspend)

    def delete(self) -> None:
        self.do(people.delete_person)

    def end(self) -> None:
        self.do(lambda session, context, key: sessions.end_of_accounts(session, context, [key], "ended"))

    def time_out(self) -> None:
        self.site.clock.tick(TIMEOUT + 1)
        self.answer("is_sso_user_active", *[jsend.Success({"active": False})] * 2)
        end_idle_sign_ins(self.site.context)


YES, NO = jsend.Success({"active": True}), jsend.Success({"active": False})


@dataclass(frozen=True)
class KeptAlive:
    """What the two clients say when the server's time is up, and whether the session there lives on."""

    says: str
    replies: tuple[object, object]
    lives: bool
    seconds: int = TIMEOUT + 1


@table(
    KeptAlive("7.5 every client says yes", (YES, YES), lives=True),
    KeptAlive("7.5 one active client keeps it alive: the first", (YES, NO), lives=True),
    KeptAlive("7.5 one active client keeps it alive: the second", (NO, YES), lives=True),
    KeptAlive("7.5 nobody is active", (NO, NO), lives=False),
    KeptAlive("7.5 its time is not up", (NO, NO), lives=True, seconds=TIMEOUT - 1),
    KeptAlive("1 numbers count like booleans: 1", (jsend.Success({"active": 1}), NO), lives=True),
    KeptAlive("1 texts count like booleans: 1", (jsend.Success({"active": "1"}), NO), lives=True),
    KeptAlive("1 texts count like booleans: 0", (jsend.Success({"active": "0"}), NO), lives=False),
    *(
        KeptAlive(f"7.5 an error counts as inactive: {what}", (reply, reply), lives=False)
        for what, reply in NO_ANSWERS.items()
    ),
    *(
        KeptAlive(f"7.5 an error does not outweigh an active client: {what}", (reply, YES), lives=True)
        for what, reply in NO_ANSWERS.items()
    ),
)
def test_the_server_asks_before_it_times_out(site, row):
    stage = AtTheServer(site)
    stage.answer("is_sso_user_active", *row.replies)
    site.clock.tick(row.seconds)

    end_idle_sign_ins(site.context)

    assert stage.own <= stage.told("is_sso_user_active")
    assert (stage.own <= stage.told("kill_sso_user")) is not row.lives
    assert (site.who(stage.browser) != "") is row.lives


def test_7_5_somebody_who_is_active_at_the_server_is_not_asked_about(site):
    stage = AtTheServer(site)

    end_idle_sign_ins(site.context)

    assert site.asked == []
    assert site.who(stage.browser)


# --- logging out (7.7) -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    says: str
    reply: object = jsend.Success()


@table(
    Answer("7.7 client: the server answers"),
    *(Answer(f"7.7 client: whatever it answers: {what}", reply) for what, reply in NO_ANSWERS.items()),
)
def test_a_log_out_at_the_client_ends_the_local_session_and_asks_the_server(site, row):
    stage = AtTheClient(site)
    site.replies["force_sso_logout"] = row.reply

    stage.log_out()

    url, form = site.asked[0]
    assert url == f"{stage.server.url}/totara/connect/sep.php"
    assert form == {
        "serveridnumber": stage.server.serveridnumber,
        "serversecret": stage.server.serversecret,
        "service": "force_sso_logout",
        "ssotoken": stage.token,
    }
    assert site.who(stage.visit.browser) == ""
    assert stage.has_ended
    assert site.who(stage.twin.browser), "the other browser has a session of its own"


@table(
    Answer("7.7 server: the clients answer"),
    *(Answer(f"7.7 server: never fails: {what}", reply) for what, reply in NO_ANSWERS.items()),
)
def test_a_log_out_at_the_server_ends_its_session_and_asks_every_client_of_it(site, row):
    stage = AtTheServer(site)
    stage.answer("kill_sso_user", row.reply, row.reply)

    stage.log_out()

    assert stage.told("kill_sso_user") == stage.own
    assert site.who(stage.browser) == ""
    assert site.who(stage.twin), "the other browser has a session of its own"


def test_7_7_a_client_that_is_down_does_not_keep_another_from_being_told(site):
    for down in (0, 1):
        stage = AtTheServer(site)
        stage.answer("kill_sso_user", *(sign_on.DOWN if it == down else jsend.Success() for it in (0, 1)))
        stage.log_out()

        assert stage.told("kill_sso_user") == stage.own


@dataclass(frozen=True)
class Ending:
    says: str
    by: Callable[[Any], None]


@table(
    Ending("7.7 with us the clients are told: a log-out", AtTheServer.log_out),
    Ending("7.7 with us the clients are told: a time-out", AtTheServer.time_out),
    Ending("7.7 with us the clients are told: an administrator's kill", AtTheServer.end),
    Ending("7.7 with us the clients are told: a suspension", AtTheServer.suspend),
    Ending("7.7 with us the clients are told: a deletion", AtTheServer.delete),
)
def test_however_a_session_ends_at_the_server(site, row):
    stage = AtTheServer(site)

    row.by(stage)

    others = {(f"{stage.clients[0].url}/auth/connect/sep.php", stage.twins_token)}
    assert stage.told("kill_sso_user") - others == stage.own
    assert site.who(stage.browser) == ""
    assert not site.count(ClientSession, ClientSession.token_hash.in_([digest(it) for it in stage.tokens]))


@table(
    Ending("7.7 with us the server is told: a log-out", AtTheClient.log_out),
    Ending("7.7 with us the server is told: an administrator's kill", AtTheClient.end),
    Ending("7.7 with us the server is told: a suspension", AtTheClient.suspend),
    Ending("7.7 with us the server is told: a deletion", AtTheClient.delete),
)
def test_however_a_session_ends_at_the_client(site, row):
    stage = AtTheClient(site)

    row.by(stage)

    assert stage.token in {
        form["ssotoken"] for _, form in site.asked if form["service"] == "force_sso_logout"
    }
    assert stage.has_ended
    assert site.who(stage.visit.browser) == ""


def test_7_5_a_time_out_at_one_client_does_not_end_the_servers_session(site):
    """One active client keeps that alive: the server learns of this one by asking."""
    stage = AtTheClient(site)
    stage.wait(TIMEOUT + 1)
    end_idle_sign_ins(site.context)

    assert stage.has_ended
    assert "force_sso_logout" not in site.peer.services


@pytest.mark.parametrize("by", ["the person", "the server above", "the client below"])
def test_2_and_7_7_a_site_with_both_roles_tells_both_sides(site, by):
    visit = site.sign_in()
    client = site.add_client()
    query = {"clientidnumber": client.clientidnumber, "requesttoken": new_token()}
    token = parameters(visit.browser.get(paths.SSO_REQUEST, query))[1]["ssotoken"]
    site.call(client, "get_sso_user", ssotoken=token)
    site.peer.calls.clear()

    if by == "the person":
        log_out(visit.browser)
    elif by == "the server above":
        site.call(visit.server, "kill_sso_user", ssotoken=visit.ssotoken)
    else:
        site.call(client, "force_sso_logout", ssotoken=token)

    asked = {(form["service"], form["ssotoken"]) for _, form in site.asked}
    above = {("force_sso_logout", visit.ssotoken)}
    assert asked == {("kill_sso_user", token)} | (set() if by == "the server above" else above)
    assert site.who(visit.browser) == ""
