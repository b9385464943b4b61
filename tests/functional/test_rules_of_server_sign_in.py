"""The rules of the protocol's page for `get_sso_user` and `force_sso_logout` of a server: section 5, and 7.7.

Each row is a sentence of the page and names its section. A played client answers `kill_sso_user`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from support import server_by_http
from support.server_by_http import DATABASES, ServerByHttp, error, fail, success, table
from support.server_site import ClientSite

from tconnect_pyramid import people, sessions
from tconnect_pyramid.delivery.outbox import deliver_now
from tconnect_pyramid.directory.audiences import remove_members
from tconnect_pyramid.models import SignIn
from tconnect_pyramid.secretbox import new_token

EXPIRED = error("session expired")
INVALID = error("invalid user session")
REUSED = error("reused ssotoken")
BAD_TOKEN = fail("ssotoken", "invalid sso token")
NOTHING = success([])


@pytest.fixture(scope="module", params=DATABASES)
def server(request, tmp_path_factory):
    with server_by_http.running(request.param, tmp_path_factory.mktemp("server")) as made:
        yield made


class Stage:
    """Somebody who is signed in at the server and on the way to one client, and signed in at another."""

    def __init__(self, server: ServerByHttp) -> None:
        self.server = server
        self.person = server.add_person()
        self.audience = server.add_audience(self.person)
        self.client = server.add_client(restrict_audience_id=self.audience)
        self.other = server.add_client()
        self.signed_in = server.sign_in(self.person)
        self.token = server.ssotoken(self.signed_in, self.client)
        self.client.sessions.add(self.token)
        self.other_token = server.open_session(self.signed_in, self.other)

    def ask(self, client: ClientSite | None = None) -> dict:
        return self.server.call(client or self.client, "get_sso_user", ssotoken=self.token)

    @property
    def is_signed_in(self) -> bool:
        with self.server.context.reading() as session:
            return session.get_one(SignIn, self.signed_in.signin_id).ended is None

    @property
    def was_killed(self) -> bool:
        return self.token not in self.client.sessions


def _is_used(stage):
    assert stage.ask()["status"] == "success"


def _is_suspended(stage):
    stage.server.change_person(stage.person, suspended=1)


def _is_deleted(stage):
    stage.server.change_person(stage.person, deleted=1)


def _is_somebody_elses(stage):
    stranger = stage.server.add_person()
    with stage.server.context.unit() as session:
        session.get_one(SignIn, stage.signed_in.signin_id).account_key = stranger


def _has_timed_out(stage):
    """Only that sign-in, not the token: as if the person had not been seen for a week."""
    with stage.server.context.unit() as session:
        session.get_one(SignIn, stage.signed_in.signin_id).last_seen -= 7 * 24 * 3600


def _left_the_audience(stage):
    stage.server.do(remove_members, stage.audience, [stage.person])


def _audience_is_gone(stage):
    stage.server.drop_audience(stage.audience)


@dataclass(frozen=True)
class Redeeming:
    """What happened before `get_sso_user`, its error, and whether the client is told to end that SSO session."""

    says: str
    before: tuple[Callable[[Stage], None], ...]
    expected: object
    kills: bool


@table(
    Redeeming("5 get_sso_user: the sign-in has timed out", (_has_timed_out,), EXPIRED, kills=True),
    Redeeming("5 get_sso_user: the session is another's", (_is_somebody_elses,), INVALID, kills=True),
    Redeeming("5 get_sso_user: the person is suspended", (_is_suspended,), INVALID, kills=True),
    Redeeming("5 get_sso_user: the person is deleted", (_is_deleted,), INVALID, kills=True),
    Redeeming("5 get_sso_user: the token was used", (_is_used,), REUSED, kills=False),
    Redeeming("5 order: expired before invalid", (_has_timed_out, _is_suspended), EXPIRED, kills=True),
    Redeeming("5 order: expired before reused", (_is_used, _has_timed_out), EXPIRED, kills=True),
    Redeeming("5 order: suspended before reused", (_is_used, _is_suspended), INVALID, kills=True),
    Redeeming("5 order: deleted before reused", (_is_used, _is_deleted), INVALID, kills=True),
    Redeeming("5 order: another's before reused", (_is_used, _is_somebody_elses), INVALID, kills=True),
    Redeeming(
        "5 get_user: the restriction applies at sign-in too", (_left_the_audience,), INVALID, kills=True
    ),
    Redeeming(
        "5 get_users: without the audience nobody can sign in", (_audience_is_gone,), INVALID, kills=True
    ),
)
def test_an_ssotoken_is_refused(server, row):
    stage = Stage(server)
    for happens in row.before:
        happens(stage)

    assert stage.ask() == row.expected
    assert stage.was_killed is row.kills


def test_5_an_ssotoken_works_once_and_a_second_use_ends_nothing(server):
    stage = Stage(server)

    assert stage.ask()["data"]["id"] == str(stage.person)
    assert [stage.ask(), stage.ask()] == [REUSED, REUSED]
    assert (stage.is_signed_in, stage.was_killed) == (True, False)
    assert server.call(stage.client, "force_sso_logout", ssotoken=stage.token) == NOTHING
    assert (stage.is_signed_in, stage.was_killed) == (False, True)


def test_5_an_error_ends_that_sso_session_and_no_other(server):
    stage = Stage(server)
    _left_the_audience(stage)

    assert stage.ask() == INVALID
    assert stage.ask() == BAD_TOKEN
    assert stage.is_signed_in
    assert stage.other_token in stage.other.sessions


def test_5_a_token_belongs_to_one_client(server):
    stage = Stage(server)

    assert stage.ask(stage.other) == BAD_TOKEN
    assert stage.ask()["status"] == "success"


def test_5_get_sso_user_gives_the_record_with_pictures(server):
    stage = Stage(server)

    record = stage.ask()["data"]

    assert record == server.user(stage.client, stage.person)
    assert (record["picture"], record["pictures"]) == ("0", [])


@dataclass(frozen=True)
class LogOut:
    """Who asks for a log-out by which token, and what is over then: the sign-in, and both SSO sessions."""

    says: str
    by: Callable[[Stage], ClientSite]
    token: Callable[[Stage], str]
    ended: bool


@table(
    LogOut(
        "5 force_sso_logout: of the calling client", lambda it: it.client, lambda it: it.token, ended=True
    ),
    LogOut(
        "5 force_sso_logout: of another client", lambda it: it.other, lambda it: it.other_token, ended=True
    ),
    LogOut("5 force_sso_logout: an unknown token", lambda it: it.client, lambda it: new_token(), ended=False),
    LogOut(
        "5 force_sso_logout: a token of another client", lambda it: it.other, lambda it: it.token, ended=False
    ),
)
def test_a_log_out_at_a_client(server, row):
    stage = Stage(server)

    reply = server.call(row.by(stage), "force_sso_logout", ssotoken=row.token(stage))

    assert reply == NOTHING
    assert stage.is_signed_in is not row.ended
    assert stage.was_killed is row.ended
    assert (stage.other_token not in stage.other.sessions) is row.ended


def test_5_force_sso_logout_asks_every_client_by_kill_sso_user(server):
    stage = Stage(server)
    server.peers.asked.clear()

    server.call(stage.client, "force_sso_logout", ssotoken=stage.token)

    asked = {(url, form["service"], form["ssotoken"]) for url, form in server.peers.asked}
    assert asked == {
        (f"{site.url}/auth/connect/sep.php", "kill_sso_user", token)
        for site, token in ((stage.client, stage.token), (stage.other, stage.other_token))
    }
    assert {form["clientidnumber"] for _, form in server.peers.asked} == {
        stage.client.idnumber,
        stage.other.idnumber,
    }


@pytest.mark.parametrize("down", ["client", "other"])
def test_5_force_sso_logout_succeeds_while_a_client_is_down(server, down):
    stage = Stage(server)
    getattr(stage, down).down = True

    assert server.call(stage.client, "force_sso_logout", ssotoken=stage.token) == NOTHING
    assert not stage.is_signed_in


@dataclass(frozen=True)
class Ending:
    says: str
    end: Callable[[Stage], list[int]]


def _log_out(stage):
    return stage.server.do(sessions.end, [stage.signed_in.signin_id], "logout")


@table(
    Ending("7.7 with us: a log-out here", _log_out),
    Ending("7.7 with us: a suspension", lambda it: it.server.do(people.suspend, it.person)),
    Ending("7.7 with us: a deletion", lambda it: it.server.do(people.delete_person, it.person)),
)
def test_whoever_ends_a_sign_in_its_clients_are_told_and_its_tokens_are_over(server, row):
    stage = Stage(server)
    assert stage.ask()["status"] == "success"

    deliver_now(server.context, row.end(stage))

    assert stage.was_killed
    assert stage.other_token not in stage.other.sessions
    assert stage.ask()["status"] != "success"
