"""Single sign-on as seen from the client (protocol 7.1 and 7.4, 9)."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from support import peers, sites

from tconnect_pyramid.client import signin
from tconnect_pyramid.client.signin import Arrived, Failed, GoHome
from tconnect_pyramid.directory.columnmap import ColumnMap, inverted, joined
from tconnect_pyramid.errors import NotFound, PeerError
from tconnect_pyramid.models import Link, ServerSession, SignInRequest
from tconnect_pyramid.protocol import jsend
from tconnect_pyramid.secretbox import digest, new_token

RECORDED = Path(__file__).parents[2] / "data" / "wire"
PERSON = json.loads((RECORDED / "get_sso_user.json").read_text(encoding="utf-8"))["response"]["data"]
USERNAME = f"tc_3_{peers.SERVERIDNUMBER}"


@pytest.fixture
def clock():
    return sites.StillClock()


@pytest.fixture
def peer():
    return peers.always(jsend.Success(PERSON))


@pytest.fixture
def context(make_database, clock, peer):
    options = [("client.enabled", "true")]
    with sites.context(make_database(), clock=clock, transport=peer, options=options) as context:
        peer.check_idle = context.database.assert_idle
        yield context


@pytest.fixture
def server_id(context) -> int:
    return peers.add_server(context)


def request_token(context, server_id, browser="browser", wanted="") -> str:
    return signin.start(context, server_id, browser, wanted).partition("requesttoken=")[2]


def query(requesttoken: str, **changes: str) -> dict[str, str]:
    return {
        "clientidnumber": peers.CLIENTIDNUMBER,
        "requesttoken": requesttoken,
        "ssotoken": new_token(),
        "result": "success",
        **changes,
    }


def arrive(context, server_id, browser="browser") -> Arrived:
    outcome = signin.finish(
        context, query(request_token(context, server_id, browser)), browser, signed_in=False
    )
    assert isinstance(outcome, Arrived), outcome
    return outcome


def account(context, key) -> dict:
    with context.reading() as session:
        return context.accounts.fetch(session, [key])[key]


def count(context, table) -> int:
    with context.reading() as session:
        return session.scalar(select(func.count()).select_from(table))


def test_a_browser_is_sent_to_the_server_with_a_token_of_its_own(context, server_id):
    url = signin.start(context, server_id, "browser", "/profile")
    base, _, token = url.partition("&requesttoken=")
    assert base == (
        f"http://127.0.0.1:8101/totara/connect/sso_request.php?clientidnumber={peers.CLIENTIDNUMBER}"
    )
    with context.reading() as session:
        row = session.scalar(select(SignInRequest))
        assert (row.token_hash, row.browser_hash) == (digest(token), digest("browser"))


@pytest.mark.parametrize("seconds", [600, 120])
def test_a_young_request_is_reused_by_the_same_browser_and_server_only(context, clock, server_id, seconds):
    context = replace(context, settings=replace(context.settings, request_timeout=seconds))
    first = request_token(context, server_id)
    clock.tick(seconds - 1)
    assert request_token(context, server_id) == first
    assert request_token(context, server_id, "another browser") != first
    clock.tick(1)
    assert request_token(context, server_id) != first


@pytest.mark.parametrize("why", ["unknown", "none", "leaving", "disabled"])
def test_there_is_nothing_to_start(context, server_id, why):
    with context.unit() as session:
        if why == "leaving":
            session.get(peers.Server, server_id).state = "leaving"
        if why == "disabled":
            sites.set_option(session, context.settings, "client.enabled", "false", context.clock())
    wanted = {"unknown": server_id + 1, "none": None}.get(why, server_id)
    assert signin.start(context, wanted, "browser", "") is None


def test_a_new_person_gets_an_account_and_is_signed_in(context, peer, server_id):
    token = request_token(context, server_id, wanted="/courses?x=1")
    asked = query(token)
    outcome = signin.finish(context, asked, "browser", signed_in=False)
    assert isinstance(outcome, Arrived)
    assert outcome.wanted == "/courses?x=1"
    assert outcome.browser_id != "browser", "the session id is renewed"
    assert peer.calls[-1][1] == {
        "serveridnumber": peers.SERVERIDNUMBER,
        "serversecret": peers.SERVERSECRET,
        "service": "get_sso_user",
        "ssotoken": asked["ssotoken"],
    }
    made = account(context, outcome.account_key)
    assert (made["username"], made["auth"], made["lastname"]) == (USERNAME, "connect", "Ångström")
    assert made["idnumber"] == "", "single sign-on does not copy the ID number"
    assert made["currentlogin"] == context.clock()
    with context.reading() as session:
        kept = session.scalar(select(ServerSession))
        assert kept.token_hash == digest(asked["ssotoken"])
        assert (kept.person_id, kept.account_key) == (3, outcome.account_key)
        assert session.scalar(select(Link.account_key)) == outcome.account_key


def test_the_same_person_gets_the_same_account_again_brought_up_to_date(context, peer, server_id):
    first = arrive(context, server_id)
    with context.unit() as session:
        context.accounts.update(session, {first.account_key: {"lang": "de", "maildigest": 2, "city": "Wien"}})
    peer.answer = lambda url, form: jsend.Success({**PERSON, "firstname": "Alicia", "lang": "en"})
    second = arrive(context, server_id)
    assert second.account_key == first.account_key
    now = account(context, first.account_key)
    assert (now["firstname"], now["city"], now["lang"], now["maildigest"]) == (
        "Alicia",
        "Wellington",
        "de",
        2,
    )
    assert count(context, Link) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"clientidnumber": "0" * 40},
        {"clientidnumber": ""},
        {"requesttoken": ""},
        {"requesttoken": "0" * 40},
        {"requesttoken": "x"},
    ],
)
def test_a_bookmark_or_a_reopened_tab_goes_home_silently(context, peer, server_id, change):
    asked = query(request_token(context, server_id)) | change
    assert signin.finish(context, asked, "browser", signed_in=False) == GoHome()
    assert peer.calls == []


def test_a_request_is_used_once(context, peer, server_id):
    asked = query(request_token(context, server_id))
    assert isinstance(signin.finish(context, asked, "browser", signed_in=False), Arrived)
    assert signin.finish(context, asked, "browser", signed_in=False) == GoHome()
    assert peer.services == ["get_sso_user"]


def test_of_many_uses_at_once_one_succeeds(context, server_id):
    asked = query(request_token(context, server_id))
    outcomes = []
    threads = [
        threading.Thread(
            target=lambda: outcomes.append(signin.finish(context, asked, "browser", signed_in=False))
        )
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Arrived"] + ["GoHome"] * 19


@pytest.mark.parametrize("browser", [None, "another browser"])
def test_another_browser_cannot_use_the_request(context, peer, server_id, browser):
    outcome = signin.finish(context, query(request_token(context, server_id)), browser, signed_in=False)
    assert isinstance(outcome, Failed)
    assert "another browser" in outcome.message
    assert peer.calls == []


@pytest.mark.parametrize("limit", [600, 120])
def test_it_must_not_take_longer_than_the_setting_allows(context, clock, server_id, limit):
    context = replace(context, settings=replace(context.settings, request_timeout=limit))
    for seconds, expected in ((limit - 1, Arrived), (limit, Failed)):
        asked = query(request_token(context, server_id, f"browser {seconds}"))
        clock.tick(seconds)
        outcome = signin.finish(context, asked, f"browser {seconds}", signed_in=False)
        assert isinstance(outcome, expected)


@pytest.mark.parametrize(
    ("change", "cancelled"),
    [
        ({"result": "error"}, False),
        ({"result": ""}, False),
        ({"result": "cancel"}, True),
        ({"ssotoken": ""}, False),
        ({"ssotoken": "x"}, False),
    ],
)
def test_a_server_that_says_no(context, peer, server_id, change, cancelled):
    asked = query(request_token(context, server_id)) | change
    outcome = signin.finish(context, asked, "browser", signed_in=False)
    assert isinstance(outcome, Failed)
    assert (outcome.cancelled, outcome.server_id) == (cancelled, server_id)
    assert peer.calls == []


def test_somebody_who_is_signed_in_by_then_is_told_so(context, peer, server_id):
    asked = query(request_token(context, server_id))
    assert signin.finish(context, asked, "browser", signed_in=True) == GoHome(already_signed_in=True)
    assert peer.calls == []


@pytest.mark.parametrize(
    "reply",
    [
        jsend.Error("reused ssotoken"),
        jsend.Fail({"ssotoken": "invalid sso token"}),
        b"<html>",
        PeerError("POST", "http://x", "timeout", "too slow"),
        jsend.Success(),
        jsend.Success([]),
        jsend.Success({}),
        jsend.Success({**PERSON, "id": None}),
        jsend.Success({**PERSON, "firstname": ["a"]}),
        jsend.Success({**PERSON, "city": "x" * 1000}),
        jsend.Success({**PERSON, "deleted": "1"}),
        jsend.Success({**PERSON, "suspended": "1"}),
    ],
)
def test_an_answer_that_is_no_person_signs_nobody_in_and_makes_nothing(context, peer, server_id, reply):
    peer.answer = lambda url, form: reply
    asked = query(request_token(context, server_id))
    outcome = signin.finish(context, asked, "browser", signed_in=False)
    assert isinstance(outcome, Failed)
    assert outcome.message
    with context.reading() as session:
        assert context.accounts.count(session) == 0
    assert count(context, ServerSession) == 0


def test_a_stranger_with_the_persons_user_name_is_left_alone(context, server_id):
    with context.unit() as session:
        context.accounts.insert(session, [{"username": USERNAME, "email": "stranger@example.com"}])
    asked = query(request_token(context, server_id))
    outcome = signin.finish(context, asked, "browser", signed_in=False)
    assert isinstance(outcome, Failed)
    assert USERNAME in outcome.message
    assert count(context, Link) == 0


def test_a_suspended_account_stays_out(context, server_id):
    key = arrive(context, server_id).account_key
    with context.unit() as session:
        context.accounts.update(session, {key: {"suspended": 1}})
    asked = query(request_token(context, server_id))
    outcome = signin.finish(context, asked, "browser", signed_in=False)
    assert isinstance(outcome, Failed)
    assert "suspended" in outcome.message


def test_an_account_deleted_by_hand_comes_back_with_its_key(context, server_id):
    key = arrive(context, server_id).account_key
    with context.unit() as session:
        context.accounts.mark_deleted(session, [key])
    assert arrive(context, server_id).account_key == key
    back = account(context, key)
    assert (back["username"], back["deleted"], back["email"]) == (USERNAME, 0, "alice@example.com")


def test_a_profile_is_refreshed_by_its_servers_record(context, peer, server_id):
    key = arrive(context, server_id).account_key
    peer.answer = lambda url, form: jsend.Success({"user": {**PERSON, "city": "Oslo"}})
    assert signin.refresh_person(context, server_id, 3).key == key
    assert account(context, key)["city"] == "Oslo"
    assert peer.calls[-1][1]["userid"] == "3"


@pytest.mark.parametrize("user", [None, {**PERSON, "deleted": "1", "city": "Oslo"}])
def test_a_null_or_deleted_person_changes_nothing(context, peer, server_id, user):
    key = arrive(context, server_id).account_key
    peer.answer = lambda url, form: jsend.Success({"user": user})
    assert signin.refresh_person(context, server_id, 3) is None
    assert account(context, key)["city"] == "Wellington"


def test_only_people_with_a_link_are_refreshed(context, server_id):
    with pytest.raises(NotFound):
        signin.refresh_person(context, server_id, 3)
    with pytest.raises(NotFound):
        signin.refresh_person(context, server_id + 1, 3)


class _Hosts(DeclarativeBase):
    pass


class _User(_Hosts):
    """A host's table that keeps the whole name in one column."""

    __tablename__ = "host_users"

    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    mail: Mapped[str]
    full_name: Mapped[str]
    is_active: Mapped[bool]


def test_a_new_name_reaches_a_hosts_one_column_for_it(make_sqlite, peer):
    columns = ColumnMap(
        _User,
        {
            "username": _User.login,
            "email": _User.mail,
            "suspended": inverted(_User.is_active),
            "firstname": joined(_User.full_name, "firstname", "lastname"),
        },
    )
    options = [("client.enabled", "true")]
    with sites.context(make_sqlite(), transport=peer, accounts=columns, options=options) as context:
        _Hosts.metadata.create_all(context.database.engine)
        server_id = peers.add_server(context)
        key = arrive(context, server_id).account_key
        peer.answer = lambda url, form: jsend.Success({**PERSON, "firstname": "Alicia"})
        assert arrive(context, server_id).account_key == key
        with context.reading() as session:
            assert session.get(_User, key).full_name == "Alicia Ångström"
