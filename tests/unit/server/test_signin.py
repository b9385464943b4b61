"""Single sign-on and log-out as the server sees them."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
from support import peers

from tconnect_pyramid import sessions
from tconnect_pyramid.errors import ActingAsAnother
from tconnect_pyramid.models import Client, ClientSession, Notice, ServerSession, SignIn
from tconnect_pyramid.secretbox import digest, new_token
from tconnect_pyramid.server import signin

OK = {"status": "success", "data": []}
EXPIRED = {"status": "error", "message": "session expired"}
INVALID_SESSION = {"status": "error", "message": "invalid user session"}
REUSED = {"status": "error", "message": "reused ssotoken"}
INVALID = {"status": "fail", "data": {"ssotoken": "invalid sso token"}}


def query(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


def count(server, table) -> int:
    with server.context.reading() as session:
        return session.query(table).count()


def is_signed_in(server, signed_in) -> bool:
    with server.context.reading() as session:
        return session.get_one(SignIn, signed_in.signin_id).ended is None


def end(server, signed_in) -> None:
    """End a sign-in while its notices stay where they are."""
    with server.context.unit() as session:
        session.get_one(SignIn, signed_in.signin_id).ended = server.clock()


# --- the browser's arrival ------------------------------------------------------------------------


def test_a_browser_may_come_from_an_active_client_of_an_enabled_server_only(server):
    client = server.add_client()
    others = [server.add_client(state=state) for state in ("registering", "deleted")]

    found = server.requesting(client)
    assert (found.id, found.idnumber, found.url) == (client.id, client.idnumber, client.url)
    assert [server.requesting(other) for other in others] == [None, None]
    with server.context.reading() as session:
        for odd in ("", "0", "abc", "'", new_token()):
            assert signin.requesting_client(session, server.context, odd) is None
    server.option("server.enabled", "false")
    assert server.requesting(client) is None


def test_a_sign_in_is_carried_on_by_a_token_of_its_own(server):
    client = server.add_client()
    request = new_token()
    client.requests.add(request)
    signed_in = server.sign_in(server.add_person())

    urls = [signin.grant(server.context, signed_in, server.requesting(client), request) for _ in range(2)]

    for url in urls:
        assert url.startswith(f"{client.url}/auth/connect/sso_finish.php?")
        assert [name for name, _ in query(url)] == ["clientidnumber", "requesttoken", "ssotoken", "result"]
    parameters, again = (dict(query(url)) for url in urls)
    assert (parameters["clientidnumber"], parameters["requesttoken"]) == (client.idnumber, request)
    assert parameters["result"] == "success"
    assert parameters["ssotoken"] != again["ssotoken"]
    with server.context.reading() as session:
        row = session.query(ClientSession).filter_by(token_hash=digest(parameters["ssotoken"])).one()
    assert parameters["ssotoken"].encode() not in row.token
    assert row.signin_id == signed_in.signin_id


def no_member(server, client, signed_in):
    set_client(server, client, restrict_audience_id=server.add_audience(server.add_person()))


def no_audience(server, client, signed_in):
    audience = server.add_audience(signed_in.account.key)
    set_client(server, client, restrict_audience_id=audience)
    server.drop_audience(audience)


def suspended(server, client, signed_in):
    server.change_person(signed_in.account.key, suspended=1)


def deleted(server, client, signed_in):
    server.change_person(signed_in.account.key, deleted=1)


def signed_out(server, client, signed_in):
    end(server, signed_in)


def not_enabled(server, client, signed_in):
    server.option("server.enabled", "false")


def client_left(server, client, signed_in):
    set_client(server, client, state="deleted")


def client_down(server, client, signed_in):
    client.down = True


def client_does_not_know_the_request(server, client, signed_in):
    client.requests.clear()


def client_breaks(server, client, signed_in):
    del server.clients.sites[client.url]


FAILURES = (
    no_member,
    no_audience,
    suspended,
    deleted,
    signed_out,
    not_enabled,
    client_left,
    client_down,
    client_does_not_know_the_request,
    client_breaks,
)


@pytest.mark.parametrize("go_wrong", FAILURES)
def test_whatever_goes_wrong_sends_the_browser_back_with_an_error(server, go_wrong):
    client, signed_in = server.add_client(), server.sign_in(server.add_person())
    request = new_token()
    client.requests.add(request)
    requesting = server.requesting(client)
    go_wrong(server, client, signed_in)

    url = signin.grant(server.context, signed_in, requesting, request)

    assert query(url) == [
        ("clientidnumber", client.idnumber),
        ("requesttoken", request),
        ("result", "error"),
    ]
    assert count(server, ClientSession) == 0


@pytest.mark.parametrize(
    "go_wrong", [no_member, no_audience, suspended, deleted, signed_out, not_enabled, client_left]
)
def test_what_goes_wrong_while_the_client_answers_is_noticed(server, go_wrong):
    client, signed_in = server.add_client(), server.sign_in(server.add_person())
    requesting = server.requesting(client)
    client.answer = lambda form: (go_wrong(server, client, signed_in), OK)[1]

    url = signin.grant(server.context, signed_in, requesting, new_token())

    assert dict(query(url))["result"] == "error"
    assert count(server, ClientSession) == 0


def test_a_request_token_that_is_none_is_not_even_asked_about(server):
    client = server.add_client()
    client.requests.add("a&result=success")
    signed_in = server.sign_in(server.add_person())

    url = signin.grant(server.context, signed_in, server.requesting(client), "a&result=success")

    assert query(url)[1:] == [("requesttoken", "a&result=success"), ("result", "error")]


def acted_by_an_administrator(server, key: int) -> sessions.SignedIn:
    admin = server.sign_in(server.add_person("boss", admin=True))
    browser = sessions.new_browser_id()
    with server.context.unit() as session:
        sessions.act_as(session, server.context, admin, key, browser)
    return server.signed_in(browser)


def test_who_acts_as_somebody_must_end_that_first(server):
    client = server.add_client()
    request = new_token()
    client.requests.add(request)
    acting = acted_by_an_administrator(server, server.add_person("ada", lastname="Byron"))

    with pytest.raises(ActingAsAnother, match=r"acting as Ada Byron.*Client"):
        signin.grant(server.context, acting, server.requesting(client), request)

    assert count(server, ClientSession) == 0


def test_nobody_is_signed_in_as_the_person_they_act_as_whatever_the_caller_knows(server):
    client = server.add_client()
    acting = acted_by_an_administrator(server, server.add_person())

    url = server.grant(replace(acting, acted_by=None), client)

    assert dict(query(url))["result"] == "error"
    assert count(server, ClientSession) == 0


def test_a_token_of_a_sign_in_in_which_somebody_acts_is_worth_nothing(server):
    client, signed_in = server.add_client(), server.sign_in(server.add_person())
    token = server.ssotoken(signed_in, client)
    admin = server.add_person(admin=True)
    with server.context.unit() as session:
        session.get_one(SignIn, signed_in.signin_id).acted_by = admin

    assert server.call(client, "get_sso_user", ssotoken=token) == INVALID_SESSION


def test_a_person_may_turn_back(server):
    client = server.add_client()

    url = signin.cancel_url(server.requesting(client), "r")

    assert query(url) == [("clientidnumber", client.idnumber), ("requesttoken", "r"), ("result", "cancel")]


def returning(server, clientidnumber: str, key: int) -> str | None:
    with server.context.reading() as session:
        return signin.profile_return_url(session, server.context, clientidnumber, key)


def test_somebody_goes_back_to_the_client_for_which_the_profile_was_edited(server):
    key = server.add_person()
    client = server.add_client(restrict_audience_id=server.add_audience(key))

    assert returning(server, client.idnumber, key) == (
        f"{client.url}/auth/connect/user_edit_finish.php?serveruserid={key}&clientidnumber={client.idnumber}"
    )


@pytest.mark.parametrize("go_wrong", [no_member, no_audience, suspended, deleted, not_enabled, client_left])
def test_nobody_goes_back_to_a_client_that_may_not_see_them(server, go_wrong):
    client, signed_in = server.add_client(), server.sign_in(server.add_person())
    go_wrong(server, client, signed_in)

    assert returning(server, client.idnumber, signed_in.account.key) is None


@pytest.mark.parametrize("clientidnumber", ["", "0", "abc", "a" * 40, "//evil.example"])
def test_nobody_goes_back_to_an_unknown_client(server, clientidnumber):
    server.add_client()

    assert returning(server, clientidnumber, server.add_person()) is None


# --- redeeming ------------------------------------------------------------------------------------


def test_a_token_tells_the_person_once(server):
    key = server.add_person("zoë", picture=9)
    client = server.add_client()
    token = server.ssotoken(server.sign_in(key), client)

    reply = server.call(client, "get_sso_user", ssotoken=token)

    assert reply["data"]["username"] == "zoë"
    assert (reply["data"]["id"], reply["data"]["picture"], reply["data"]["pictures"]) == (str(key), "0", [])
    assert server.call(client, "get_sso_user", ssotoken=token) == REUSED


def test_a_second_use_ends_nothing_however_late(server):
    client, signed_in = server.add_client(), server.sign_in(server.add_person())
    token = server.open_session(signed_in, client)
    server.clock.tick(3600)

    assert server.call(client, "get_sso_user", ssotoken=token) == REUSED

    assert client.sessions == {token}
    assert count(server, ClientSession) == 1
    assert is_signed_in(server, signed_in)


@pytest.mark.parametrize(("timeout", "succeeds"), [(7200, True), (600, True), (599, False)])
def test_a_token_of_a_sign_in_that_has_timed_out_is_worth_nothing(server, timeout, succeeds):
    server.option("session.timeout", str(timeout))
    client, signed_in = server.add_client(), server.sign_in(server.add_person())
    server.clock.tick(570)
    token = server.ssotoken(signed_in, client)
    server.clock.tick(30)

    reply = server.call(client, "get_sso_user", ssotoken=token)

    assert (reply["status"] == "success") is succeeds
    assert succeeds or reply == EXPIRED


@pytest.mark.parametrize(("seconds", "succeeds"), [(60, True), (61, False)])
def test_a_token_is_redeemable_for_a_minute(server, seconds, succeeds):
    client = server.add_client()
    token = server.ssotoken(server.sign_in(server.add_person()), client)
    client.sessions.add(token)
    server.clock.tick(seconds)

    reply = server.call(client, "get_sso_user", ssotoken=token)

    if succeeds:
        assert reply["status"] == "success"
    else:
        assert reply == EXPIRED
        assert client.sessions == set()
        assert count(server, ClientSession) == 0


@pytest.mark.parametrize("go_wrong", [suspended, deleted, no_member, no_audience])
@pytest.mark.parametrize("is_used", [False, True])
def test_a_person_who_may_not_be_there_is_refused_and_signed_out_at_the_client(server, go_wrong, is_used):
    client, other = server.add_client(), server.add_client()
    signed_in = server.sign_in(server.add_person())
    elsewhere = server.open_session(signed_in, other)
    token = (server.open_session if is_used else server.ssotoken)(signed_in, client)
    client.sessions.add(token)
    go_wrong(server, client, signed_in)

    assert server.call(client, "get_sso_user", ssotoken=token) == INVALID_SESSION

    assert client.sessions == set()
    assert other.sessions == {elsewhere}
    assert server.call(client, "get_sso_user", ssotoken=token) == INVALID


def test_a_session_of_somebody_else_is_refused(server):
    client, signed_in = server.add_client(), server.sign_in(server.add_person())
    token = server.ssotoken(signed_in, client)
    client.sessions.add(token)
    other = server.add_person()
    with server.context.unit() as session:
        session.get_one(SignIn, signed_in.signin_id).account_key = other

    assert server.call(client, "get_sso_user", ssotoken=token) == INVALID_SESSION

    assert client.sessions == set()


def test_a_sign_in_that_ended_is_told_before_anything_else(server):
    client, signed_in = server.add_client(), server.sign_in(server.add_person())
    token = server.open_session(signed_in, client)
    suspended(server, client, signed_in)
    end(server, signed_in)

    assert server.call(client, "get_sso_user", ssotoken=token) == EXPIRED

    assert client.sessions == set()


@pytest.mark.parametrize(("seconds", "succeeds"), [(7200, True), (7201, False)])
def test_a_sign_in_that_timed_out_is_over(server, seconds, succeeds):
    client, signed_in = server.add_client(), server.sign_in(server.add_person())
    server.clock.tick(seconds)
    with server.context.unit() as session:
        token = new_token()
        session.add(
            ClientSession(
                token_hash=digest(token),
                token=server.context.box.seal(token),
                client_id=client.id,
                signin_id=signed_in.signin_id,
                account_key=signed_in.account.key,
                timecreated=server.clock(),
            )
        )
    client.sessions.add(token)

    reply = server.call(client, "get_sso_user", ssotoken=token)

    assert (reply["status"] == "success") == succeeds
    assert (client.sessions == {token}) == succeeds


def test_a_log_out_at_a_client_that_is_down_waits(server):
    client, signed_in = server.add_client(), server.sign_in(server.add_person())
    token = server.ssotoken(signed_in, client)
    suspended(server, client, signed_in)
    client.down = True

    assert server.call(client, "get_sso_user", ssotoken=token) == INVALID_SESSION

    assert count(server, Notice) == 1


def test_a_token_is_worth_nothing_to_another_client(server):
    client, thief = server.add_client(), server.add_client()
    signed_in = server.sign_in(server.add_person())
    token = server.ssotoken(signed_in, client)

    assert server.call(thief, "get_sso_user", ssotoken=token) == INVALID
    assert server.call(thief, "force_sso_logout", ssotoken=token) == OK

    assert is_signed_in(server, signed_in)
    assert server.call(client, "get_sso_user", ssotoken=token)["status"] == "success"


@pytest.mark.parametrize("service", ["get_sso_user", "force_sso_logout"])
@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({}, "missing sso token"),
        ({"ssotoken": ""}, "invalid sso token format"),
        ({"ssotoken": "abc"}, "invalid sso token format"),
        ({"ssotoken": "A" * 40}, "invalid sso token format"),
    ],
)
def test_tokens_must_be_well_formed(server, service, form, reason):
    assert server.call(server.add_client(), service, **form) == {
        "status": "fail",
        "data": {"ssotoken": reason},
    }


def test_of_a_hundred_uses_at_once_exactly_one_succeeds(server):
    client = server.add_client()
    token = server.ssotoken(server.sign_in(server.add_person()), client)
    together = threading.Barrier(100)

    def redeem(_: int) -> str:
        together.wait()
        reply = server.call(client, "get_sso_user", ssotoken=token)
        return reply.get("message", reply["status"])

    with ThreadPoolExecutor(max_workers=100) as pool:
        outcomes = Counter(pool.map(redeem, range(100)))

    assert outcomes == {"success": 1, "reused ssotoken": 99}


# --- log-out by a client --------------------------------------------------------------------------


def test_a_log_out_at_one_client_is_one_everywhere(server):
    client, other, bystander = (server.add_client() for _ in range(3))
    key = server.add_person()
    signed_in, elsewhere = server.sign_in(key), server.sign_in(key)
    token = server.open_session(signed_in, client)
    server.open_session(signed_in, other)
    kept = server.open_session(elsewhere, bystander)

    assert server.call(client, "force_sso_logout", ssotoken=token) == OK

    assert (client.sessions, other.sessions, bystander.sessions) == (set(), set(), {kept})
    assert not is_signed_in(server, signed_in)
    assert is_signed_in(server, elsewhere)
    assert count(server, Notice) == 0
    assert server.call(client, "force_sso_logout", ssotoken=token) == OK
    assert server.call(client, "get_sso_user", ssotoken=token) == INVALID


def test_a_log_out_goes_on_to_the_server_that_this_site_is_itself_a_client_of(server):
    client = server.add_client()
    key = server.add_person()
    signed_in = server.sign_in(key)
    token = server.open_session(signed_in, client)
    upstream = peers.add_server(server.context)
    came_from = new_token()
    server.add(
        ServerSession(
            token_hash=digest(came_from),
            token=server.context.box.seal(came_from),
            server_id=upstream,
            signin_id=signed_in.signin_id,
            person_id=3,
            account_key=key,
            timecreated=server.clock(),
        )
    )

    assert server.call(client, "force_sso_logout", ssotoken=token) == OK

    with server.context.reading() as session:
        (notice,) = session.query(Notice)
    assert (notice.role, notice.peer_id, notice.service) == ("server", upstream, "force_sso_logout")


def test_a_log_out_succeeds_while_a_client_is_down(server):
    client, other = server.add_client(), server.add_client()
    signed_in = server.sign_in(server.add_person())
    token = server.open_session(signed_in, client)
    server.open_session(signed_in, other)
    other.down = True

    assert server.call(client, "force_sso_logout", ssotoken=token) == OK

    assert not is_signed_in(server, signed_in)
    assert client.sessions == set()
    assert count(server, Notice) == 1


def test_a_log_out_here_ends_the_sessions_at_the_clients(server):
    client, signed_in = server.add_client(), server.sign_in(server.add_person())
    token = server.open_session(signed_in, client)

    with server.context.unit() as session:
        sessions.end(session, server.context, [signed_in.signin_id], "logout")

    assert server.call(client, "get_sso_user", ssotoken=token) == INVALID


def set_client(server, client, **values) -> None:
    with server.context.unit() as session:
        for name, value in values.items():
            setattr(session.get_one(Client, client.id), name, value)
