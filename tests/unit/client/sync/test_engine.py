"""One run from beginning to end: replies that are no good, one run at a time, dry runs, interruptions."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, event, insert, select, text, update
from support import lists
from support.lists import cohort, framework, item, person

from tconnect_pyramid import sqlite
from tconnect_pyramid.client import accounts as rules
from tconnect_pyramid.client.sync import engine, lease
from tconnect_pyramid.client.sync.engine import KINDS, run_sync
from tconnect_pyramid.database import Database
from tconnect_pyramid.errors import InvalidInput, NotFound, SyncBusy
from tconnect_pyramid.models import Account, Base, Lease, Link, Run, RunLine, Server
from tconnect_pyramid.options import set_option
from tconnect_pyramid.protocol.users import read_user
from tconnect_pyramid.texts import read

SERVER = "5" * 40
EVERYTHING = tuple(mapper.class_ for mapper in Base.registry.mappers)


def success(data) -> bytes:
    return json.dumps({"status": "success", "data": data}).encode()


GOOD = {
    "positions": success({"frameworks": [framework(1)], "positions": [item(1, 1), item(2, 1, 1)]}),
    "organisations": success({"frameworks": [framework(1)], "organisations": [item(1, 1), item(2, 1, 1)]}),
    "users": success({"users": [person(3), person(4)]}),
    "collections": success({"cohort": [cohort(1, 3)], "course": []}),
}

LISTS = ("users", "cohort", "course", "frameworks", "positions", "organisations")
BAD = {
    "nothing": b"",
    "HTML": b"<!DOCTYPE html><title>502 Bad Gateway</title>",
    "an empty object": b"{}",
    "a list": b"[]",
    "a text": b'"success"',
    "null": b"null",
    "not UTF-8": b'{"status":"success","data":{"users":[{"id":"3","username":"\xff\xfe"}]}}',
    "deep nesting": b"[" * 20_000,
    "deep nesting in the data": b'{"status":"success","data":' + b"[" * 500 + b"]" * 500 + b"}",
    "no data": b'{"status":"success"}',
    "data of null": success(None),
    "data that is empty": success([]),
    "data of a number": success(7),
    "data of other things": success({"competencies": []}),
    "lists of null": success({"users": None, "cohort": None, "course": None, "frameworks": None}),
    "lists of text": success(dict.fromkeys(LISTS, "none")),
    "objects for lists": success({name: {} for name in LISTS}),
    "only one of two lists": success({"cohort": [], "frameworks": []}),
    "the other one of two lists": success({"course": [], "positions": [], "organisations": []}),
    "an error": b'{"status":"error","message":"connect client is not active"}',
    "a fail": b'{"status":"fail","data":{"service":"unknown"}}',
    "an unknown status": b'{"status":"ok","data":{"users":[]}}',
    "two documents": GOOD["users"] + GOOD["users"],
}


@pytest.fixture
def filled(client, server, server_id):
    """The client after a first sync of all kinds."""
    for kind in KINDS:
        server.body = GOOD[kind]
        assert run_sync(client, kind, server_id).state == "done"
    server.body = None
    return client


@pytest.mark.parametrize("kind", KINDS)
def test_no_reply_but_a_good_one_changes_anything(filled, server, server_id, kind):
    before = lists.dump(filled)
    cut = {f"cut at {size}": GOOD[kind][:size] for size in range(1, len(GOOD[kind]), 97)}
    for name, body in (BAD | cut).items():
        server.body = body

        report = run_sync(filled, kind, server_id)

        assert (name, report.state) == (name, "failed")
        assert report.message, name
        assert lists.dump(filled) == before, name


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_cannot_be_reached_is_a_failed_run(filled, server, server_id, kind):
    before = lists.dump(filled)
    server.down = True

    report = run_sync(filled, kind, server_id)

    assert (report.state, report.run is not None) == ("failed", True)
    assert "the connection was refused" in report.message
    assert lists.nonzero(report.counts) == {}
    assert lists.dump(filled) == before
    with filled.reading() as session:
        kept = session.get(Run, report.run)
        assert (kept.state, read(kept.message)) == ("failed", report.message)


def test_the_reason_of_a_refusal_is_told_and_no_secret(filled, server, server_id):
    server.body = BAD["an error"]

    report = run_sync(filled, "users", server_id)

    assert "connect client is not active" in report.message
    assert "6" * 40 not in report.message


def test_kinds_and_servers_that_are_not_there(client, server_id):
    with pytest.raises(InvalidInput, match="no sync of 'goals'; there are positions, organisations, users"):
        run_sync(client, "goals", server_id)
    with pytest.raises(NotFound, match="no server with the id 77"):
        run_sync(client, "users", 77)


def test_nothing_is_asked_while_the_client_role_is_disabled(client, server, server_id):
    with client.unit() as session:
        set_option(session, client.settings, "client.enabled", "false", client.clock())
    server.on_call = pytest.fail

    report = run_sync(client, "users", server_id)

    assert report.state == "failed"
    assert "The client role of this site is not enabled" in report.message


def test_nothing_is_asked_of_a_server_that_is_being_left(client, server, server_id):
    with client.unit() as session:
        session.execute(update(Server).values(state="leaving"))
    server.on_call = pytest.fail

    report = run_sync(client, "users", server_id)

    assert report.state == "failed"
    assert "is being ended" in report.message


def test_a_secret_that_cannot_be_decrypted_is_a_failed_run(client, server_id):
    other = replace(client, box=type(client.box)(["another-insecure-key-0123456789-0123456789"]))

    report = run_sync(other, "users", server_id)

    assert report.state == "failed"
    assert "tconnect.secret_keys" in report.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_dry_run_writes_nothing_and_says_what_a_run_would_do(client, server, server_id, kind):
    server.body = GOOD["users"]
    run_sync(client, "users", server_id)
    server.body = {**GOOD, "users": success({"users": [person(3, city="Nelson"), person(5)]})}[kind]
    before = lists.dump(client, EVERYTHING)

    planned = run_sync(client, kind, server_id, dry_run=True)

    assert lists.dump(client, EVERYTHING) == before
    assert (planned.state, planned.run) == ("planned", None)
    done = run_sync(client, kind, server_id)
    assert planned.counts == done.counts
    assert [(line.action, line.remote_id, line.detail) for line in planned.lines] == [
        (line.action, line.remote_id, line.detail) for line in done.lines
    ]


def test_a_dry_run_of_a_bad_reply_writes_nothing_either(client, server, server_id):
    server.body = b"{}"
    before = lists.dump(client, EVERYTHING)

    assert run_sync(client, "users", server_id, dry_run=True).state == "failed"
    assert lists.dump(client, EVERYTHING) == before


def test_a_run_is_kept_with_its_lines(client, server, server_id):
    server.people = [person(3), person(4, firstname=[])]

    report = run_sync(client, "users", server_id, origin="schedule")

    with client.reading() as session:
        row = session.get(Run, report.run)
        assert (row.state, row.origin, row.kind, row.server_idnumber) == (
            "partial",
            "schedule",
            "users",
            SERVER,
        )
        assert (row.counts, row.started) == (report.counts, client.clock())
        lines = session.scalars(select(RunLine).order_by(RunLine.id)).all()
        assert [(line.action, line.remote_id, line.account_key is not None) for line in lines] == [
            ("skipped", 4, False),
            ("created", 3, True),
        ]


def test_a_second_run_of_a_server_names_the_first_and_does_nothing(client, server, server_id):
    other_id = lists.connect(client, idnumber="7" * 40, url="http://other.example")
    server.people = [person(3)]
    busy = []

    def meanwhile():
        server.on_call = lambda: None
        with pytest.raises(SyncBusy) as caught:
            run_sync(client, "collections", server_id)
        busy.append(str(caught.value))
        assert run_sync(client, "users", other_id).state == "done"

    server.on_call = meanwhile

    assert run_sync(client, "users", server_id, origin="page").state == "done"

    assert "users, by page" in busy[0]
    with client.reading() as session:
        assert session.scalars(select(Lease.name)).all() == []
        assert len(session.scalars(select(Run.id)).all()) == 2


def test_a_run_whose_lease_was_taken_over_writes_nothing(client, server, server_id):
    server.people = [person(3)]

    def take_over():
        with client.unit() as session:
            session.execute(update(Lease).values(token="f" * 40))

    server.on_call = take_over

    report = run_sync(client, "users", server_id)

    assert report.state == "failed"
    assert "another run has taken its place" in report.message
    with client.reading() as session:
        assert session.scalars(select(Account.id)).all() == []
        assert session.scalars(select(Lease.token)).all() == ["f" * 40]


def test_a_run_whose_lease_was_taken_over_while_it_planned_writes_nothing(
    client, server, server_id, monkeypatch
):
    server.people = [person(3)]
    plan = engine._Sync._plan

    def plan_and_lose(sync, *about):
        planned = plan(sync, *about)
        with client.unit() as session:
            session.execute(update(Lease).values(token="f" * 40))
        return planned

    monkeypatch.setattr(engine._Sync, "_plan", plan_and_lose)

    report = run_sync(client, "users", server_id)

    assert report.state == "failed"
    assert "another run has taken its place" in report.message
    with client.reading() as session:
        assert session.scalars(select(Account.id)).all() == []


def test_a_run_that_was_killed_blocks_for_a_while_and_is_then_told_as_interrupted(client, server, server_id):
    server.people = [person(3)]
    with client.unit() as session:
        session.add(
            Run(
                kind="users",
                server_id=server_id,
                server_idnumber=SERVER,
                state="running",
                origin="schedule",
                started=client.clock(),
                counts={},
            )
        )
        expires = client.clock() + lease.LEASE_SECONDS
        session.add(
            Lease(name=f"server:{server_id}", token="e" * 40, holder="users, process 1", expires=expires)
        )
    with pytest.raises(SyncBusy, match="users, process 1"):
        run_sync(client, "users", server_id)
    client.clock.tick(lease.LEASE_SECONDS)

    assert run_sync(client, "users", server_id).state == "done"

    with client.reading() as session:
        assert session.scalars(select(Run.state).order_by(Run.id)).all() == ["failed", "done"]


class Stopped(BaseException):
    """What a worker's time limit or Ctrl-C raises."""


@pytest.mark.parametrize("exception", [Stopped, ZeroDivisionError])
def test_a_run_that_is_stopped_is_told_as_failed_and_lets_go(client, server, server_id, exception):
    def stop():
        raise exception

    server.on_call = stop

    with pytest.raises(exception):
        run_sync(client, "users", server_id)

    with client.reading() as session:
        (row,) = session.scalars(select(Run))
        assert (row.state, exception.__name__ in row.message) == ("failed", True)
        assert session.scalars(select(Lease.name)).all() == []


def test_a_database_that_refuses_undoes_everything_and_no_row_is_quoted(client, server, server_id):
    server.people = [person(3), person(4)]
    with client.unit() as session:
        # As late as possible: accounts and links are written by then.
        session.execute(text("ALTER TABLE tconnect_run_line RENAME TO tconnect_no_such_table"))

    report = run_sync(client, "users", server_id)

    with client.unit() as session:
        session.execute(text("ALTER TABLE tconnect_no_such_table RENAME TO tconnect_run_line"))

    assert report.state == "failed"
    assert "The database refused" in report.message
    assert "Last3" not in report.message
    with client.reading() as session:
        assert session.scalars(select(Account.id)).all() == []
        assert session.get(Run, report.run).state == "failed"


def test_a_sign_in_that_makes_the_same_account_meanwhile_is_no_failure(client, server, server_id):
    server.people = [person(3), person(4)]
    elsewhere = create_engine(client.database.engine.url)
    sqlite.configure(elsewhere)

    def sign_in(connection, cursor, statement, parameters, context, executemany):
        # The planner's last look at the links: the plan is made, and nothing is written yet.
        if "ORDER BY tconnect_link.person_id" in statement and not done:
            done.append(True)
            with Database(elsewhere).unit() as session:
                new = rules.new_account(read_user(person(3)), SERVER, client.clock())
                (key,) = client.accounts.insert(session, [new])
                link = {
                    "person_id": 3,
                    "server_id": server_id,
                    "account_key": key,
                    "suspended_by_sync": False,
                }
                session.execute(insert(Link).values(**link, timecreated=client.clock()))

    done = []
    event.listen(client.database.engine, "after_cursor_execute", sign_in)

    report = run_sync(client, "users", server_id)

    elsewhere.dispose()
    assert (report.state, done) == ("done", [True])
    assert lists.nonzero(report.counts) == {"created": 1, "unchanged": 1}


def add_tree(server, ids):
    """Let the server list one framework more of each kind, and these items in it, up to four deep."""
    for kind in ("positions", "organisations"):
        server.frameworks[kind].append(framework(ids[0], kind=kind))
        for id_ in ids:
            parent = 0 if id_ % 4 == 0 or id_ == ids[0] else id_ - 1
            server.items[kind].append(item(id_, ids[0], parent, kind=kind))


def statements_of(client, kind, server_id):
    """How many statements of each verb a run sends, and the tables it writes to."""
    seen = []

    def note(connection, cursor, statement, parameters, context, executemany):
        seen.append(statement)

    event.listen(client.database.engine, "before_cursor_execute", note)
    try:
        assert run_sync(client, kind, server_id).state == "done"
    finally:
        event.remove(client.database.engine, "before_cursor_execute", note)
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_finds_everything_in_order_writes_to_its_own_history_only(client, server, server_id, kind):
    server.people = [person(id_) for id_ in range(3, 8)]
    server.cohorts = [cohort(1, 3, 4, 99), cohort(2)]
    add_tree(server, range(1, 8))
    for each in KINDS:
        run_sync(client, each, server_id)

    writes = [text for text in statements_of(client, kind, server_id) if not text.startswith("SELECT")]

    touched = {word for text in writes for word in text.split() if word.startswith("tconnect_")}
    assert {name.partition(".")[0] for name in touched} == {"tconnect_run", "tconnect_lease"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fields", [{}, {"city": "Nelson", "suspended": "1"}])
def test_the_number_of_statements_does_not_grow_with_the_people(client, server, server_id, kind, fields):
    def prepare(count, base):
        ids = range(base, base + count)
        add_tree(server, ids)
        server.people.extend(person(id_) for id_ in ids)
        server.cohorts.append(cohort(base, *ids))

    numbers = []
    for count, base in ((2, 100), (200, 1000)):
        prepare(count, base)
        if kind == "collections" or fields:
            run_sync(client, "users", server_id)
        if fields:
            server.people = [{**record, **fields} for record in server.people]
            fields = {"city": "Elsewhere", "suspended": "0"}
        numbers.append(len(statements_of(client, kind, server_id)))

    assert numbers[1] <= numbers[0] + 6


def test_of_many_who_come_at_once_one_gets_the_lease(client):
    start, end = threading.Barrier(6), threading.Barrier(6)

    def come(number):
        start.wait()
        try:
            with lease.held(client, "server:1", f"number {number}"):
                end.wait()
                return True
        except SyncBusy:
            end.wait()
            return False

    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(come, range(6)))

    assert sorted(got) == [False] * 5 + [True]
    with client.reading() as session:
        assert session.scalars(select(Lease.name)).all() == []
