"""A process that is killed in the middle of a run leaves nothing half done, and the next run ends where it would have."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select
from support import crashing, lists, sites
from support.databases import Snapshot
from support.lists import cohort, course, field, job, person, tombstone

from tconnect_pyramid.client.sync import lease
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory import profiles
from tconnect_pyramid.errors import SyncBusy
from tconnect_pyramid.models import Account, Run

pytestmark = pytest.mark.slow

TESTS = Path(crashing.__file__).parents[1]
MANY = range(100, 160)
BEFORE = {
    "people": [
        *(person(number) for number in range(3, 8)),
        person(8, jobs=[job(81, "J81")], profile_fields=[field("badge", "eight")]),
        *(person(number) for number in MANY),
    ],
    "cohorts": [cohort(1, 3, 4, 5, 9), cohort(2, *MANY), cohort(3, 6)],
    "courses": [course(1, 3)],
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
    for kind in ("users", "collections"):
        assert run_sync(client, kind, connected).state == "done"
    crashing.serve(server, AFTER)
    return connected


def kill_in(url: str, kind: str, server_id: int, folder: Path, moment: str) -> None:
    """Run it in a process of its own until the moment has come, at which that is killed."""
    said = folder / "lists.json"
    said.write_text(json.dumps(AFTER), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "support.crashing", url, kind, str(server_id), said, moment],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr


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


@pytest.mark.parametrize("kind", ["users", "collections"])
def test_a_run_that_is_killed_at_any_moment_ends_as_one_that_was_not(client, server_id, url, kind, tmp_path):
    database = Snapshot(client.database.engine)
    before = dump(client)
    moments = chosen(moments_of(client, kind, server_id))
    after = dump(client)
    assert after != before

    for moment in moments:
        database.restore()
        client.clock.now = sites.NOW
        kill_in(url, kind, server_id, tmp_path, moment)

        is_done = moment == "committed"
        assert dump(client) == (after if is_done else before), moment
        assert states(client)[2:] == ["done" if is_done else "running"], moment
        with pytest.raises(SyncBusy):
            run_sync(client, kind, server_id)

        # A counter of PostgreSQL does not go back with its transaction; which ids were lost is no matter here.
        if not is_done:
            database.restore_counters(but=Run.__tablename__)
        client.clock.tick(lease.LEASE_SECONDS)
        assert run_sync(client, kind, server_id).state == "done", moment
        assert dump(client) == after, moment
        assert states(client)[2:] == ["done" if is_done else "failed", "done"], moment


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
