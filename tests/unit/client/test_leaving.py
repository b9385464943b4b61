"""Leaving a server: what becomes of its people and things here, and until when it is asked (protocol 9)."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from sqlalchemy import event, func, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from support import lists, peers, sites
from support.lists import cohort, course, person, tombstone

from tconnect_pyramid import people, sessions
from tconnect_pyramid.client import leaving, signin
from tconnect_pyramid.client.signin import Failed
from tconnect_pyramid.client.sync import lease
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.delivery import outbox
from tconnect_pyramid.directory import audiences
from tconnect_pyramid.directory.audiences import AUDIENCES, GROUPS
from tconnect_pyramid.directory.columnmap import ColumnMap
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound, PeerError, SyncBusy
from tconnect_pyramid.models import (
    Account,
    Approval,
    Audience,
    AuditEntry,
    AwaitedMember,
    ClientSession,
    Collection,
    Counterpart,
    Group,
    Job,
    Link,
    Notice,
    Organisation,
    OrganisationFramework,
    Position,
    PositionFramework,
    Run,
    Server,
    ServerSession,
    SignIn,
    SignInRequest,
)
from tconnect_pyramid.options import set_option
from tconnect_pyramid.protocol import jsend
from tconnect_pyramid.secretbox import digest, new_token

SERVER = "5" * 40
OTHER = "7" * 40
HASH = "$2y$04$abcdefghijklmnopqrstuuKeTU2.m0.7oTnRi2D5GIlmMl2ZtzVNW"
MAPPINGS = (
    Link,
    Collection,
    AwaitedMember,
    Counterpart,
    ServerSession,
    SignInRequest,
    Approval,
)


class LeftServer(lists.ListingServer):
    """A server that lists people, and answers everything else with `reply`: a result, or an exception."""

    def __init__(self):
        super().__init__()
        self.reply = jsend.Success()
        self.calls = []
        self.check_idle = lambda: None
        self.on_other_call = lambda service: None

    def post(self, url, form, *, timeout, limit):
        self.check_idle()
        service = dict(form)["service"]
        if service in {"get_users", "get_user_collections"}:
            return super().post(url, form, timeout=timeout, limit=limit)
        self.calls.append(service)
        self.on_other_call(service)
        if isinstance(self.reply, Exception):
            raise self.reply
        return io.BytesIO(jsend.write(self.reply))


@pytest.fixture
def server():
    return LeftServer()


@pytest.fixture
def context(make_database, server):
    with sites.context(make_database(), transport=server, options=[("client.enabled", "true")]) as context:
        server.check_idle = context.database.assert_idle
        yield context


@pytest.fixture
def server_id(context):
    return lists.connect(context)


def bring(context, server_id, *records):
    """Bring these people over from the server."""
    context.transport.people = list(records)
    report = run_sync(context, "users", server_id)
    assert report.state == "done", report.message


def leave(context, server_id, accounts="keep", **more):
    return leaving.leave(context, server_id, accounts=accounts, actor="command", **more)


def account(context, person_id, serveridnumber=SERVER):
    """An account by the user name that its server's person has."""
    with context.reading() as session:
        return session.scalar(select(Account).where(Account.username == f"tc_{person_id}_{serveridnumber}"))


def key_of(context, person_id):
    with context.reading() as session:
        return session.scalar(select(Link.account_key).where(Link.person_id == person_id))


def count(context, table, *conditions):
    with context.reading() as session:
        return session.scalar(select(func.count()).select_from(table).where(*conditions))


def state(context, server_id):
    with context.reading() as session:
        return session.scalar(select(Server.state).where(Server.id == server_id))


def add(context, *rows):
    with context.unit() as session:
        session.add_all(rows)
        session.flush()
        return [row.id for row in rows]


def sign_in_from(context, server_id, person_id):
    """Sign a person of the server in; gives the browser's id."""
    token, browser = new_token(), sessions.new_browser_id()
    key = key_of(context, person_id)
    with context.unit() as session:
        signin_id = sessions.start(session, browser, key, context.clock())
        session.add(
            ServerSession(
                token_hash=digest(token),
                token=context.box.seal(token),
                server_id=server_id,
                signin_id=signin_id,
                person_id=person_id,
                account_key=key,
                timecreated=context.clock(),
            )
        )
    return browser


def is_signed_in(context, browser):
    with context.reading() as session:
        return isinstance(sessions.look_up(session, context, browser), sessions.SignedIn)


# --- people ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("new_auth", ["manual", "nologin"])
@pytest.mark.parametrize(("accounts", "suspended"), [("keep", 0), ("suspend", 1)])
def test_people_who_stay_keep_their_account_and_user_name_and_log_in_otherwise(
    context, server_id, accounts, suspended, new_auth
):
    bring(context, server_id, person(3, password=HASH), person(4))
    keys = {key_of(context, 3), key_of(context, 4)}

    left = leave(context, server_id, accounts, new_auth=new_auth)

    rows = [account(context, 3), account(context, 4)]
    assert {row.id for row in rows} == keys
    assert [(row.auth, row.suspended, row.deleted) for row in rows] == [(new_auth, suspended, 0)] * 2
    assert rows[0].password == HASH
    assert (left.accounts, left.effect.suspended, left.effect.kept) == (2, 2 * suspended, 2 * (1 - suspended))


def test_people_may_be_deleted(context, server_id):
    bring(context, server_id, person(3), person(4))
    key = key_of(context, 3)

    left = leave(context, server_id, "delete", new_auth="nologin")

    with context.reading() as session:
        row = session.get(Account, key)
    assert (row.deleted, row.email, row.firstname, row.auth) == (1, "", "First3", "connect")
    assert row.username.startswith("deleted_")
    assert (left.accounts, left.effect.deleted) == (2, 2)


@pytest.mark.parametrize("accounts", ["suspend", "delete"])
def test_administrators_and_protected_accounts_are_kept_and_named(context, server_id, accounts):
    bring(context, server_id, person(3), person(4), person(5))
    protected = f"tc_4_{SERVER}"
    with context.unit() as session:
        people.set_admin(session, context, key_of(context, 3), on=True)
        set_option(session, context.settings, "client.protected_accounts", protected, context.clock())

    left = leave(context, server_id, accounts, new_auth="nologin")

    for kept in (3, 4):
        row = account(context, kept)
        assert (row.auth, row.suspended, row.deleted) == ("nologin", 0, 0)
    assert left.effect.spared == (f"tc_3_{SERVER}", protected)
    assert (left.effect.kept, left.effect.suspended + left.effect.deleted) == (2, 1)


def test_who_was_suspended_or_deleted_before_stays_so(context, server_id):
    bring(context, server_id, person(3, suspended="1"), person(4))
    bring(context, server_id, person(3, suspended="1"), tombstone(4))
    deleted = key_of(context, 4)

    left = leave(context, server_id, "keep")

    assert account(context, 3).suspended == 1
    with context.reading() as session:
        assert session.get(Account, deleted).auth == "connect"
    assert left.accounts == 1


def test_others_are_left_alone(context, server_id):
    other_id = lists.connect(context, idnumber=OTHER, url="http://other.example")
    bring(context, server_id, person(3))
    bring(context, other_id, person(3))
    with context.unit() as session:
        local = people.add_person(session, context, username="local").key
    before = account(context, 3, OTHER)

    leave(context, server_id, "delete")

    after = account(context, 3, OTHER)
    assert (after.auth, after.deleted, after.timemodified) == ("connect", 0, before.timemodified)
    assert count(context, Link, Link.server_id == other_id) == 1
    with context.reading() as session:
        assert session.get(Account, local).deleted == 0
    assert state(context, other_id) == "active"


def test_a_synchronised_hash_becomes_the_password(context, server_id):
    # The hash of "secret1234", as PHP writes it.
    bring(context, server_id, person(3, password=known_hash("secret1234")))

    def log_in():
        with context.reading() as session:
            return people.authenticate(session, context, f"tc_3_{SERVER}", "secret1234")

    assert log_in() is None
    leave(context, server_id, "keep", new_auth="manual")
    assert log_in() is not None


def test_nobody_logs_in_by_nologin(context, server_id):
    bring(context, server_id, person(3, password=known_hash("secret1234")))
    leave(context, server_id, "keep", new_auth="nologin")
    with context.reading() as session:
        assert people.authenticate(session, context, f"tc_3_{SERVER}", "secret1234") is None


def known_hash(password):
    hashed = people.hash_password(password)
    return hashed.replace("$2b$", "$2y$")


def test_the_same_statements_serve_ten_people_and_a_batch_of_them(context, server_id):
    other_id = lists.connect(context, idnumber=OTHER, url="http://other.example")
    bring(context, server_id, *map(person, range(1, 11)))
    bring(context, other_id, *map(person, range(1, 401)))
    numbers = []
    for each in (server_id, other_id):
        seen = []
        event.listen(
            context.database.engine, "before_cursor_execute", lambda *args, seen=seen: seen.append(args[2])
        )
        leave(context, each, "delete")
        numbers.append(len(seen))
    few, many = numbers
    assert many <= few


# --- sign-ins -------------------------------------------------------------------------------------


def test_sign_ins_end_and_the_server_is_not_asked_to_end_its_own(context, server, server_id):
    bring(context, server_id, person(3))
    browser = sign_in_from(context, server_id, 3)
    local = sessions.new_browser_id()
    with context.unit() as session:
        sessions.start(session, local, key_of(context, 3), context.clock())

    left = leave(context, server_id, "keep")

    assert not is_signed_in(context, browser)
    assert not is_signed_in(context, local)
    assert left.effect.sign_ins == 2
    assert server.calls == ["delete_client"]
    assert count(context, Notice) == 0


def test_clients_of_this_site_are_told_of_ended_sign_ins(context, server_id):
    client_id = peers.add_client(context)
    bring(context, server_id, person(3))
    sign_in_from(context, server_id, 3)
    with context.unit() as session:
        token = new_token()
        session.add(
            ClientSession(
                token_hash=digest(token),
                token=context.box.seal(token),
                client_id=client_id,
                signin_id=session.scalar(select(SignIn.id)),
                account_key=key_of(context, 3),
                timecreated=context.clock(),
            )
        )

    leave(context, server_id, "keep")

    assert sorted(context.transport.calls) == ["delete_client", "kill_sso_user"]


def test_log_outs_that_wait_are_sent_before_the_server_forgets_this_client(context, server, server_id):
    with context.unit() as session:
        notice = outbox.Outgoing("server", server_id, "force_sso_logout", (("ssotoken", new_token()),))
        outbox.enqueue(session, context.box, [notice], context.clock())

    leave(context, server_id, "keep")

    assert server.calls == ["force_sso_logout", "delete_client"]
    assert count(context, Notice) == 0


def test_log_outs_that_the_server_will_never_take_go_with_it(context, server, server_id):
    server.reply = jsend.Error("connect client is not active")
    other_id = lists.connect(context, idnumber=OTHER, url="http://other.example")
    with context.unit() as session:
        notices = [
            outbox.Outgoing("server", peer_id, "force_sso_logout", (("ssotoken", new_token()),))
            for peer_id in (server_id, other_id)
        ]
        outbox.enqueue(session, context.box, notices, context.clock())

    leave(context, server_id, "keep")

    assert count(context, Notice, Notice.peer_id == server_id) == 0
    assert count(context, Notice, Notice.peer_id == other_id) == 1


def test_nobody_gets_in_who_was_on_the_way(context, server, server_id):
    """The server is left while it is asked who somebody is."""
    token = signin.start(context, server_id, "browser", "").partition("requesttoken=")[2]
    with context.reading() as session:
        clientidnumber = session.scalar(select(Server.client_idnumber))
    record = lists.recording("get_sso_user")["response"]["data"]
    replies = {
        "get_sso_user": jsend.Success(record),
        "delete_client": PeerError("POST", "", "connect", "down"),
    }

    def on_other_call(service):
        server.reply = replies[service]
        if service == "get_sso_user":
            leave(context, server_id, "keep")
            server.reply = replies[service]

    server.on_other_call = on_other_call
    query = {
        "clientidnumber": clientidnumber,
        "requesttoken": token,
        "ssotoken": new_token(),
        "result": "success",
    }
    outcome = signin.finish(context, query, "browser", signed_in=False)

    assert isinstance(outcome, Failed)
    assert "not connected" in outcome.message
    assert count(context, Link) == count(context, Account) == count(context, ServerSession) == 0
    assert signin.start(context, server_id, "browser", "") is None


def test_no_profile_is_fetched_from_a_server_that_is_left_meanwhile(context, server, server_id):
    bring(context, server_id, person(3))
    record = lists.recording("get_sso_user")["response"]["data"]

    def on_other_call(service):
        if service == "get_user":
            server.reply = jsend.Error("not now")
            leave(context, server_id, "keep")
            server.reply = jsend.Success({"user": record})

    server.on_other_call = on_other_call
    with pytest.raises(NotFound, match="leaving"):
        signin.refresh_person(context, server_id, 3)
    assert count(context, Link) == 0


# --- things ---------------------------------------------------------------------------------------


def test_collections_become_ordinary_audiences_with_their_members(context, server, server_id):
    bring(context, server_id, person(3), person(4))
    server.cohorts, server.courses = [cohort(1, 3, 4, 99)], [course(1, 4)]
    run_sync(context, "collections", server_id)
    with context.reading() as session:
        before = audiences.list_audiences(session, members=True)
    assert count(context, AwaitedMember) == 1

    left = leave(context, server_id, "keep")

    with context.unit() as session:
        after = audiences.list_audiences(session, members=True)
        assert [(it.id, it.name, it.idnumber, it.members) for it in after] == [
            (it.id, it.name, it.idnumber, it.members) for it in before
        ]
        assert {it.component for it in after} == {""}
        edited = audiences.edit_audience(session, context, after[0].id, {"name": "Ours"}, kept=AUDIENCES)
    assert edited.name == "Ours"
    assert left.effect.audiences == 2


def test_groups_of_a_social_site_likewise_and_those_of_another_server_stay(context, server, server_id):
    context = replace(context, settings=replace(context.settings, client_type="social"))
    other_id = lists.connect(context, idnumber=OTHER, url="http://other.example")
    server.cohorts = [cohort(1)]
    for each in (server_id, other_id):
        run_sync(context, "collections", each)

    leave(context, server_id, "keep")

    with context.reading() as session:
        found = {it.idnumber: it.component for it in audiences.list_audiences(session, kept=GROUPS)}
    assert found == {f"tc_cohort_1_{SERVER}": "", f"tc_cohort_1_{OTHER}": "auth_connect"}
    assert count(context, Audience) == 0
    assert count(context, Group) == 2


def test_positions_organisations_and_jobs_become_local_ones(context, server_id):
    other_id = lists.connect(context, idnumber=OTHER, url="http://other.example")
    bring(context, server_id, person(3))
    key, now = key_of(context, 3), context.clock()
    times = {"timecreated": now, "timemodified": now}
    for framework, item, kind in (
        (PositionFramework, Position, "position"),
        (OrganisationFramework, Organisation, "organisation"),
    ):
        (framework_id,) = add(context, framework(fullname="Ours", sortorder=1, **times))
        ids = add(
            context,
            *(
                item(fullname=name, framework_id=framework_id, component="auth_connect", **times)
                for name in ("theirs", "another server's")
            ),
        )
        with context.unit() as session:
            session.execute(
                insert(Counterpart),
                [
                    {
                        "remote_id": 1,
                        "kind": f"{kind}_framework",
                        "server_id": server_id,
                        "local_id": framework_id,
                    },
                    {"remote_id": 1, "kind": kind, "server_id": server_id, "local_id": ids[0]},
                    {"remote_id": 1, "kind": kind, "server_id": other_id, "local_id": ids[1]},
                ],
            )
    (job_id,) = add(
        context,
        Job(account_key=key, idnumber="J1", position_id=1, positionassignmentdate=0, sortorder=1, **times),
    )
    with context.unit() as session:
        session.execute(
            insert(Counterpart).values(remote_id=1, kind="job", server_id=server_id, local_id=job_id)
        )

    left = leave(context, server_id, "keep")

    with context.reading() as session:
        for item in (Position, Organisation):
            found = dict(session.execute(select(item.fullname, item.component)).all())
            assert found == {"theirs": "", "another server's": "auth_connect"}
        assert session.get(Job, job_id).account_key == key
        assert set(session.scalars(select(Counterpart.server_id))) == {other_id}
    assert (left.effect.positions, left.effect.organisations) == (1, 1)


def test_no_mapping_is_left_while_the_server_has_not_confirmed(context, server, server_id):
    bring(context, server_id, person(3))
    server.cohorts = [cohort(1, 3, 99)]
    run_sync(context, "collections", server_id)
    sign_in_from(context, server_id, 3)
    signin.start(context, server_id, "browser", "")
    with context.unit() as session:
        session.execute(
            insert(Approval).values(
                remote_id=3, kind="users", action="deleted", server_id=server_id, expires=context.clock() + 9
            )
        )
        session.execute(insert(Counterpart).values(remote_id=3, kind="job", server_id=server_id, local_id=3))
    assert [count(context, table) for table in MAPPINGS] == [1] * len(MAPPINGS)
    server.reply = jsend.Error("internal error")

    leave(context, server_id, "keep")

    assert [count(context, table) for table in MAPPINGS] == [0] * len(MAPPINGS)


def test_a_held_run_is_rejected_and_the_others_are_history(context, server, server_id):
    bring(context, server_id, person(3))
    server.people = []
    assert run_sync(context, "users", server_id).state == "held"

    leave(context, server_id, "keep")

    with context.reading() as session:
        rows = session.execute(select(Run.state, Run.message).order_by(Run.id)).all()
    assert [row.state for row in rows] == ["done", "rejected"]
    assert "has left the server" in rows[1].message


def test_the_login_page_no_longer_goes_to_that_server(context, server_id):
    def chosen():
        with context.reading() as session:
            return context.options(session).client_auto_sign_in

    other_id = lists.connect(context, idnumber=OTHER, url="http://other.example")
    for of, remains in ((other_id, other_id), (server_id, None)):
        with context.unit() as session:
            set_option(session, context.settings, "client.auto_sign_in", str(of), context.clock())
        if of == server_id:
            leave(context, server_id, "keep")
        assert chosen() == remains


def test_an_automatic_server_that_the_ini_fixes_does_not_keep_anybody_from_leaving(context, server_id):
    fixed = replace(context, settings=replace(context.settings, fixed={"client.auto_sign_in": server_id}))
    assert leave(fixed, server_id, "keep").confirmed


# --- the server's answer --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        jsend.Success(),
        jsend.Error("invalid server secret or idnumber"),
        jsend.Error("connect client is not active"),
    ],
    ids=str,
)
def test_a_server_that_does_not_know_this_client_any_more_has_confirmed(context, server, server_id, reply):
    server.reply = reply
    left = leave(context, server_id, "keep")
    assert (left.confirmed, left.ended) == (True, True)
    assert state(context, server_id) is None


@pytest.mark.parametrize(
    "reply",
    [
        PeerError("POST", "http://x", "connect", "connection refused"),
        jsend.Error("connect server not enabled"),
        jsend.Fail({"x": "connect client is not active"}),
        jsend.Error("internal error"),
    ],
    ids=str,
)
def test_until_it_is_confirmed_the_server_stays_and_is_asked_again(context, server, server_id, reply):
    server.reply = reply
    bring(context, server_id, person(3))

    left = leave(context, server_id, "suspend")

    assert (left.confirmed, left.ended, left.accounts) == (False, False, 1)
    assert state(context, server_id) == "leaving"
    assert account(context, 3).auth == "manual"
    # Asked again, nothing is done twice, and no choice is needed.
    with context.unit() as session:
        people.unsuspend(session, context, account(context, 3).id)
    again = leave(context, server_id, None)
    assert (again.confirmed, again.accounts, again.effect) == (False, 0, None)
    assert account(context, 3).suspended == 0
    server.reply = jsend.Success()
    (done,) = leaving.retry_leaving(context)
    assert done.confirmed
    assert state(context, server_id) is None
    assert leaving.retry_leaving(context) == []


def test_one_server_that_is_down_does_not_keep_the_others_from_being_asked(context, server, server_id):
    server.reply = PeerError("POST", "http://x", "connect", "connection refused")
    other_id = lists.connect(context, idnumber=OTHER, url="http://other.example")
    leave(context, server_id, "keep")
    leave(context, other_id, "keep")
    asked = []

    def on_other_call(service):
        asked.append(service)
        server.reply = PeerError("POST", "", "connect", "down") if len(asked) == 1 else jsend.Success()

    server.on_other_call = on_other_call
    assert [left.confirmed for left in leaving.retry_leaving(context)] == [False, True]
    assert (state(context, server_id), state(context, other_id)) == ("leaving", None)


def test_force_ends_it_without_the_server(context, server, server_id):
    server.reply = PeerError("POST", "http://x", "connect", "connection refused")
    bring(context, server_id, person(3))

    left = leave(context, server_id, "keep", force=True)

    assert (left.confirmed, left.ended, left.accounts) == (False, True, 1)
    assert "connection refused" in left.message
    assert state(context, server_id) is None
    assert account(context, 3).auth == "manual"


def test_force_still_tells_a_server_that_answers(context, server, server_id):
    assert leave(context, server_id, "keep", force=True).confirmed
    assert server.calls == ["delete_client"]


def test_a_lost_key_needs_force(context, server, server_id):
    with context.unit() as session:
        session.execute(update(Server).values(server_secret=b"sealed with a key that is gone"))

    left = leave(context, server_id, "keep")
    assert not left.confirmed
    assert "secret_keys" in left.message
    assert leave(context, server_id, None, force=True).ended
    assert state(context, server_id) is None
    assert server.calls == []


def test_who_left_what_is_noted(context, server_id):
    bring(context, server_id, person(3))
    leave(context, server_id, "suspend", new_auth="nologin")
    with context.reading() as session:
        entries = session.scalars(
            select(AuditEntry).where(AuditEntry.action.like("client.server.le%")).order_by(AuditEntry.id)
        ).all()
    assert [entry.action for entry in entries] == ["client.server.leave", "client.server.left"]
    assert {entry.subject for entry in entries} == {SERVER}
    assert entries[0].detail == {
        "name": "Head office",
        "accounts": "suspend",
        "new_auth": "nologin",
        "kept": 0,
        "suspended": 1,
        "deleted": 0,
    }
    assert entries[1].detail == {"name": "Head office", "confirmed": True}


# --- what is refused ------------------------------------------------------------------------------


def test_a_server_is_not_left_while_a_sync_of_it_is_under_way(context, server, server_id):
    bring(context, server_id, person(3))
    with lease.held(context, f"server:{server_id}", "a test"), pytest.raises(SyncBusy):
        leave(context, server_id, "delete")
    assert state(context, server_id) == "active"
    assert account(context, 3).auth == "connect"
    assert server.calls == []


def test_nothing_is_synchronised_with_a_server_that_is_being_left(context, server, server_id):
    server.reply = jsend.Error("internal error")
    leave(context, server_id, "keep")
    server.people = [person(3)]
    report = run_sync(context, "users", server_id)
    assert report.state == "failed"
    assert count(context, Account) == 0


def test_the_only_way_to_log_in_is_not_left(context, server_id):
    bring(context, server_id, person(3))
    with context.unit() as session:
        set_option(session, context.settings, "auth.manual", "false", context.clock())
    with pytest.raises(Conflict, match="tconnect auth enable manual"):
        leave(context, server_id, "keep")
    assert state(context, server_id) == "active"
    assert account(context, 3).auth == "connect"
    lists.connect(context, idnumber=OTHER, url="http://other.example")
    assert leave(context, server_id, "keep").confirmed


def test_a_choice_is_needed_and_a_server(context, server_id):
    with pytest.raises(InvalidInput, match="keep, suspend or delete"):
        leave(context, server_id, None)
    with pytest.raises(NotFound):
        leave(context, server_id + 1, "keep")
    assert state(context, server_id) == "active"


class HostBase(DeclarativeBase):
    pass


class Member(HostBase):
    """A host's account that does not say how people log in."""

    __tablename__ = "member"

    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    mail: Mapped[str] = mapped_column(default="")
    locked: Mapped[int] = mapped_column(default=0)


def test_a_host_without_auth_methods_has_no_nologin_and_its_rows_can_be_deleted(make_database, server):
    accounts = ColumnMap(Member, {"username": Member.login, "email": Member.mail, "suspended": Member.locked})
    options = [("client.enabled", "true")]
    with sites.context(make_database(), transport=server, accounts=accounts, options=options) as context:
        HostBase.metadata.create_all(context.database.engine)
        try:
            server_id = lists.connect(context)
            bring(context, server_id, person(3), person(4))
            with pytest.raises(InvalidInput, match="choose manual"):
                leave(context, server_id, "keep", new_auth="nologin")
            assert leave(context, server_id, "delete").effect.deleted == 2
            assert count(context, Member) == count(context, Link) == 0
        finally:
            HostBase.metadata.drop_all(context.database.engine)


def test_a_preview_says_the_same_and_changes_nothing(context, server, server_id):
    bring(context, server_id, person(3))
    sign_in_from(context, server_id, 3)
    with context.reading() as session:
        planned = leaving.preview(session, context, server_id, "suspend")
    assert (state(context, server_id), server.calls) == ("active", [])
    assert leave(context, server_id, "suspend").effect == planned
