"""A process that is killed in the middle of a run leaves nothing half done, and the next run ends where it would have."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select
from support import crashing, lists, sites
from support.databases import Snapshot
from support.lists import cohort, course, field, framework, item, job, person, tombstone
from support.webapp import app_context, make_app

from tconnect_pyramid.client.sync import lease, pause
from tconnect_pyramid.client.sync.engine import KINDS, run_sync
from tconnect_pyramid.client.undo import undo_run
from tconnect_pyramid.directory import profiles
from tconnect_pyramid.errors import SyncBusy
from tconnect_pyramid.models import Account, Run
from tconnect_pyramid.tasks import record
from tconnect_pyramid.tasks.glue import make_app as make_tasks
from tconnect_pyramid.tasks.jobs import JOBS

pytestmark = pytest.mark.slow

# A process that has imported everything and does nothing but fork those that are killed: each would take a second.
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["support.crashing"])
TESTS = Path(crashing.__file__).parents[1]
MANY = range(100, 160)
TREES = ("positions", "organisations")


def trees(*lists_of: Callable[[str], list]) -> dict[str, dict[str, list]]:
    """Frameworks and items of positions and of organisations."""
    return {
        name: {kind: make(kind) for kind in TREES}
        for name, make in zip(("frameworks", "items"), lists_of, strict=True)
    }


BEFORE = {
    "people": [
        *(person(number) for number in range(3, 8)),
        person(8, jobs=[job(81, "J81")], profile_fields=[field("badge", "eight")]),
        *(person(number) for number in MANY),
    ],
    "cohorts": [cohort(1, 3, 4, 5, 9), cohort(2, *MANY), cohort(3, 6)],
    "courses": [course(1, 3)],
    **trees(
        lambda kind: [framework(id_, kind=kind) for id_ in (1, 2, 3)],
        lambda kind: (
            [
                item(id_, *place, kind=kind)
                for id_, place in {1: (1,), 2: (1, 1), 3: (1, 1), 4: (2,), 5: (3,)}.items()
            ]
            + [item(id_, 1, 1, kind=kind) for id_ in MANY]
        ),
    ),
}
# Everything that can become of somebody: 2 takes over a local account, 5 is missing, 9 and 10 are new.
AFTER = {
    "people": [
        person(2, email="here@example.com"),
        person(3, city="Elsewhere", jobs=[job(31, "J31")]),
        person(4, suspended="1"),
        tombstone(6),
        person(7, profile_fields=[field("badge", "seven")]),
        person(8, jobs=[job(82, "J82")], profile_fields=[field("badge", "ocho")]),
        person(9, jobs=[job(91, "J91")]),
        person(10),
        *(person(number, city="New town") for number in MANY),
    ],
    "cohorts": [cohort(1, 3, 5, 8, 11), cohort(2, *MANY[10:], name="Another name"), cohort(4, 4, 7)],
    "courses": [course(1, 3, 4), course(2, 12)],
    # 3, 5 and some are gone with a framework, 2 and 4 move, 6 and 7 are new in a new framework.
    **trees(
        lambda kind: [
            framework(1, kind=kind, fullname="Another name", sortorder="3"),
            framework(2, kind=kind, sortorder="1"),
            framework(4, kind=kind),
        ],
        lambda kind: (
            [
                item(id_, *place, kind=kind)
                for id_, place in {1: (1,), 2: (2,), 4: (2, 2), 6: (4,), 7: (4, 6)}.items()
            ]
            + [item(id_, 1, 1, kind=kind, fullname="New name") for id_ in MANY[10:]]
        ),
    ),
}
OPTIONS = (
    ("client.enabled", "true"),
    ("client.migrate_accounts", "true"),
    ("client.account_mapping", "email"),
    ("guard.members", "1000 100"),
)


@pytest.fixture
def server():
    return lists.ListingServer()


@pytest.fixture
def url(make_database):
    return make_database()


@pytest.fixture
def client(url, server):
    with sites.context(url, transport=server, options=OPTIONS) as context:
        yield context


@pytest.fixture
def server_id(client, server):
    """The id of a server that was synchronised and has now changed its lists."""
    with client.unit() as session:
        profiles.add_field(session, client, "badge", name="Badge", datatype="text", actor="test")
        client.accounts.insert(session, [{"username": "here", "auth": "manual", "email": "here@example.com"}])
    connected = lists.connect(client)
    crashing.serve(server, BEFORE)
    for kind in KINDS:
        assert run_sync(client, kind, connected).state == "done"
    crashing.serve(server, AFTER)
    return connected


def written(folder: Path) -> Path:
    """A file with what the server says now."""
    said = folder / "lists.json"
    said.write_text(json.dumps(AFTER), encoding="utf-8")
    return said


@contextmanager
def another(*arguments: object, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that runs a sync; killed where it has not ended with the block."""
    url, kind, server_id, *when = arguments
    with subprocess.Popen(
        [sys.executable, "-m", "support.crashing", url, kind, str(server_id), written(folder), *when],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def kill_in(url: str, kind: str, server_id: int, folder: Path, moment: str) -> None:
    """Run it in another process until the moment has come, at which that is killed."""
    process = FORKED.Process(
        target=crashing.main, args=(url, kind, str(server_id), str(written(folder)), moment, "kill")
    )
    process.start()
    try:
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
    finally:
        process.kill()


def moments_of(client, kind: str, server_id: int) -> list[str]:
    """Runs it to its end; gives all moments of it."""
    seen: list[str] = []
    with crashing.moments(client, kind, seen.append):
        assert run_sync(client, kind, server_id).state == "done"
    return seen


def chosen(moments: list[str]) -> list[str]:
    """Each step's end, the middle of the plan, and of the apply its first statement, those between and its last."""
    plan, apply = ([each for each in moments if each.startswith(f"{step} ")] for step in ("plan", "apply"))
    some = [apply[0], *apply[1 : -1 : max(1, len(apply) // 3)], apply[-1]]
    return ["received", plan[len(plan) // 2], "planned", *some, "applied", "committed"]


def states(client) -> list[str]:
    with client.reading() as session:
        return list(session.scalars(select(Run.state).order_by(Run.id)))


def dump(client) -> dict[str, list[tuple]]:
    """All that is kept, whenever and by whichever of the runs it was written."""
    return {
        model.__tablename__: sorted(
            (tuple(map(same_by_any_run, model.__table__.columns.keys(), row)) for row in rows), key=repr
        )
        for model in lists.TABLES
        for rows in lists.dump(client, [model]).values()
    }


def same_by_any_run(name: str, value: object) -> object:
    if name in {"timecreated", "timemodified", "created_by_run"}:
        return bool(value)
    # What follows is drawn by lot.
    return "deleted" if name == "username" and str(value).startswith("deleted_") else value


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_killed_at_any_moment_ends_as_one_that_was_not(client, server_id, url, kind, tmp_path):
    database = Snapshot(client.database.engine)
    before = dump(client)
    moments = chosen(moments_of(client, kind, server_id))
    if kind == "organisations":
        # What brings positions, and is killed at all of them above, brings these.
        moments = moments[::3]
    after = dump(client)
    assert after != before

    for moment in moments:
        database.restore()
        client.clock.now = sites.NOW
        kill_in(url, kind, server_id, tmp_path, moment)

        is_done = moment == "committed"
        assert dump(client) == (after if is_done else before), moment
        assert states(client)[len(KINDS) :] == ["done" if is_done else "running"], moment
        with pytest.raises(SyncBusy):
            run_sync(client, kind, server_id)

        # A counter of PostgreSQL does not go back with its transaction; which ids were lost is no matter here.
        if not is_done:
            database.restore_counters(but=Run.__tablename__)
        client.clock.tick(lease.LEASE_SECONDS)
        assert run_sync(client, kind, server_id).state == "done", moment
        assert dump(client) == after, moment
        assert states(client)[len(KINDS) :] == ["done" if is_done else "failed", "done"], moment


def test_all_that_can_become_of_somebody_is_in_the_run_that_is_killed(client, server_id):
    counts = run_sync(client, "users", server_id).counts

    assert lists.nonzero(counts) == {
        "created": 2,
        "linked": 1,
        "updated": 63,
        "suspended": 2,
        "deleted": 1,
    }
    assert run_sync(client, "users", server_id).counts["unchanged"] == len(AFTER["people"])
    with client.reading() as session:
        assert session.scalar(select(Account.auth).where(Account.username == "here")) == "connect"


@pytest.mark.parametrize("kind", TREES)
def test_all_that_can_become_of_an_item_is_in_the_run_that_is_killed(client, server_id, kind):
    lines = [*run_sync(client, kind, server_id).lines]

    assert {line.action for line in lines} == {"created", "updated", "moved", "deleted"}
    assert {line.subject.split()[0] for line in lines} == {"framework", kind.removesuffix("s")}
    assert {line.action for line in lines if line.subject.startswith("framework")} >= {"created", "deleted"}
    assert not [*run_sync(client, kind, server_id).lines]


def test_undoing_that_is_killed_at_any_moment_has_done_nothing_and_can_be_done(
    client, server_id, url, tmp_path
):
    run_id = run_sync(client, "users", server_id).run
    database = Snapshot(client.database.engine)
    before = dump(client)
    moments: list[str] = []
    with crashing.moments_of_undoing(client, moments.append):
        assert undo_run(client, run_id, actor="command").counts["skipped"] == 0
    after = dump(client)
    assert after != before

    statements = moments[:-1]
    for moment in [statements[0], *statements[1 : -1 : len(statements) // 4], statements[-1], "committed"]:
        database.restore()
        client.clock.now = sites.NOW
        kill_in(url, "undo", run_id, tmp_path, moment)

        is_done = moment == "committed"
        assert dump(client) == (after if is_done else before), moment
        assert states(client)[-1] == ("undone" if is_done else "done"), moment
        with client.reading() as session:
            assert bool(pause.list_paused(session)) == is_done, moment
        if not is_done:
            with pytest.raises(SyncBusy):
                undo_run(client, run_id, actor="command")
            client.clock.tick(lease.LEASE_SECONDS)
            assert undo_run(client, run_id, actor="command").state == "undone", moment
            assert dump(client) == after, moment


# --- two workers ------------------------------------------------------------------------------------------


def test_of_two_workers_one_runs_and_the_other_waits_until_it_has(
    client, server, server_id, url, tmp_path, monkeypatch
):
    site = make_app(url, transport=server)
    worker = make_tasks()
    worker.config_from_object({"task_always_eager": True})
    worker.registry = site.registry
    users, attempts = JOBS["users"], []

    def try_it(*args, **more):
        # Eager retries follow at once: the minute between them is when the other ends.
        if len(attempts) == 1:
            other.stdin.write("go on\n")
            other.stdin.flush()
            assert other.stdout.readline() == "done\n"
        attempts.append(users(*args, **more))
        return attempts[-1]

    monkeypatch.setattr(record, "JOBS", {**JOBS, "users": try_it})
    with another(url, "users", server_id, "received", "wait", folder=tmp_path) as other:
        assert other.stdout.readline() == "received\n"
        result = worker.tasks["tconnect.users"].apply()

    assert result.get() == "Head office: done"
    assert [outcome.busy for outcome in attempts] == [(server_id,), ()]
    with client.reading() as session:
        first, second = session.scalars(select(Run).order_by(Run.id)).all()[len(KINDS) :]
        assert (first.origin, second.origin) == ("command", "schedule")
        assert first.counts["created"] == 2
        assert lists.nonzero(second.counts) == {"unchanged": len(AFTER["people"])}
    app_context(site).database.engine.dispose()


def test_a_worker_that_slept_through_its_lease_writes_nothing(client, server_id, url, tmp_path):
    with another(url, "users", server_id, "received", "wait", folder=tmp_path) as other:
        assert other.stdout.readline() == "received\n"
        with pytest.raises(SyncBusy):
            run_sync(client, "users", server_id)
        client.clock.tick(lease.LEASE_SECONDS)
        assert run_sync(client, "users", server_id).state == "done"
        after = dump(client)

        said, _ = other.communicate("go on\n", timeout=120)

    assert said == "failed\n"
    assert dump(client) == after
    assert states(client)[len(KINDS) :] == ["failed", "done"]
