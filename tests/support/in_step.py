"""Syncs of a story's two sites, and whether the client is then as the oracle says."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import Column, Table, select
from sqlalchemy.orm import Session
from support import oracle
from support.oracle import ACCOUNT, OURS, WORDS
from support.stories import Story

from tconnect_pyramid.client.runs import approve_run
from tconnect_pyramid.client.sync.engine import KINDS, run_sync
from tconnect_pyramid.client.sync.report import RunReport
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.audiences import list_audiences
from tconnect_pyramid.directory.hierarchies import HIERARCHIES
from tconnect_pyramid.directory.hierarchy_frameworks import list_frameworks
from tconnect_pyramid.directory.hierarchy_items import list_items
from tconnect_pyramid.directory.jobs import list_jobs
from tconnect_pyramid.directory.profiles import values_of
from tconnect_pyramid.models import Account, Base, Client, Collection, Counterpart, Link

SERVER = 1
"""The local id of the only server."""
DAY = 86_400
"""Seconds for which an approval holds."""
FLAGS = ("auth", "idnumber", "password", "deleted", "admin")
RUNS = "tconnect_run"
LINES = "tconnect_run_line"


def sync(story: Story, *, approves: bool) -> None:
    """A sync of all kinds makes the client as the oracle says, and a second one does nothing.

    `approves`: somebody lets through what is held.
    """
    story.sites.clock.tick(DAY + 1)
    server = dump(story.sites.server)
    expected = oracle.sync(story.server, story.client, approves=approves)

    states = {}
    for kind, report in run_all(story):
        is_held = kind in expected.held
        assert (report.state == "held") == is_held, report
        final = (
            approve_run(story.sites.client, report.run, actor="command") if is_held and approves else report
        )
        states[kind] = final.state
    story.client = expected.client

    assert states == expected.states
    learn(story)
    compare(story)
    does_nothing(story, expected)
    assert dump(story.sites.server) == server


def run_all(story: Story):
    """A run of each kind that is wanted."""
    for kind in KINDS:
        report = run_sync(story.sites.client, kind, SERVER)
        if report.asked:
            yield kind, report


def does_nothing(story: Story, expected: oracle.Sync) -> None:
    """Another sync writes nothing but its runs, and names whoever is skipped once more."""
    # A row that is written again would have another time.
    story.sites.clock.tick(60)
    before = dump(story.sites.client)
    for kind, report in run_all(story):
        assert report.state == expected.states[kind], report
        if report.state != "held":
            compare_report(report, expected.skipped if kind == "users" else set())
    after = dump(story.sites.client)
    if set(expected.states.values()) <= {"done"}:
        assert [row for row in after[RUNS] if row in before[RUNS]] == before[RUNS]
        assert len(after[RUNS]) == len(before[RUNS]) + len(expected.states)
        assert after[LINES] == before[LINES]
    assert without_runs(after) == without_runs(before)


def compare_report(report: RunReport, skipped: set[int]) -> None:
    assert {line.remote_id for line in report.lines} == skipped
    assert {line.action for line in report.lines} <= {"skipped"}
    assert {name for name, number in report.counts.items() if number} <= {"skipped", "unchanged"}


def dump(context: Context) -> dict[str, list[tuple]]:
    """Every row of every table, but for when a client has called last: that it has is no change."""
    with context.reading() as session:
        return {
            name: sorted(
                (tuple(row) for row in session.execute(select(*_told(table)))),
                key=repr,
            )
            for name, table in Base.metadata.tables.items()
        }


def _told(table: Table) -> list[Column]:
    return [column for column in table.c if column is not Client.__table__.c.last_call]


def without_runs(rows: dict[str, list[tuple]]) -> dict[str, list[tuple]]:
    return {name: each for name, each in rows.items() if name not in {RUNS, LINES}}


# --- local ids -------------------------------------------------------------------------------------------


def learn(story: Story) -> None:
    """Find the local ids of what is new; what was there before must have kept its own."""
    with story.sites.client.reading() as session:
        found: dict[str, dict[Any, int]] = defaultdict(dict)
        # A link to a row that is gone stays until its person is looked at.
        found["people"].update(
            session.execute(
                select(Link.person_id, Link.account_key).join(Account, Account.id == Link.account_key)
            ).all()
        )
        for it in session.scalars(select(Collection)):
            found["sets"][it.kind, it.remote_id] = it.local_id
        for it in session.scalars(select(Counterpart)):
            found[it.kind][it.remote_id] = it.local_id
    client = story.client
    keep(story, found["people"], {id_: it.birth for id_, it in client.people.items()})
    keep(story, found["sets"], {key: it.birth for key, it in client.sets.items()})
    jobs = [job for it in client.accounts() for job in it.jobs if job.remote is not None]
    keep(story, found["job"], {job.remote: job.birth for job in jobs})
    for word, tree in client.trees.items():
        births = {id_: birth for id_, (birth, _) in tree.frameworks.items()}
        keep(story, found[f"{word}_framework"], births)
        keep(story, found[word], {id_: it.birth for id_, it in tree.items.items()})


def keep(story: Story, found: dict[Any, int], births: dict[Any, int]) -> None:
    assert found.keys() == births.keys()
    for key, birth in births.items():
        assert story.ids.setdefault(birth, found[key]) == found[key], f"{key} has got another id"


# --- what is there ---------------------------------------------------------------------------------------


def compare(story: Story) -> None:
    """All of the client's directory, its own things included, is as the model says."""
    with story.sites.client.reading() as session:
        assert accounts(session) == {
            story.ids[it.birth]: wanted_account(story, it) for it in story.client.accounts()
        }
        assert {
            it.id: (it.name, it.description, it.idnumber, it.component, set(it.members or ()))
            for it in list_audiences(session, members=True)
        } == wanted_audiences(story)
        for word in WORDS:
            compare_tree(session, story, word)


def accounts(session: Session) -> dict[int, dict[str, Any]]:
    names = [*ACCOUNT, *FLAGS, "username", "suspended"]
    columns = [getattr(Account, name) for name in names]
    statement = select(Account.id, Link.suspended_by_sync, *columns)
    rows = session.execute(statement.outerjoin(Link, Link.account_key == Account.id)).mappings().all()
    values = values_of(session, [row["id"] for row in rows])
    jobs = defaultdict(list)
    for job in list_jobs(session):
        jobs[job.account].append(job)
        assert job.sortorder == len(jobs[job.account])
    assert jobs.keys() <= {row["id"] for row in rows}
    return {
        row["id"]: {name: row[name] for name in (*ACCOUNT, *FLAGS)}
        | {
            "username": "deleted" if row["username"].startswith("deleted_") else row["username"],
            "suspended": ("sync" if row["suspended_by_sync"] else "hand") if row["suspended"] else "",
            "values": values.get(row["id"], {}),
            "jobs": [
                (it.id, it.remote_id, it.idnumber, it.fullname, it.position, it.organisation)
                for it in jobs[row["id"]]
            ],
        }
        for row in rows
    }


def wanted_account(story: Story, it: oracle.Account) -> dict[str, Any]:
    flags = {name: getattr(it, name) for name in (*FLAGS, "username", "suspended", "values")}
    jobs = [
        (
            story.ids[job.birth],
            job.remote,
            job.idnumber,
            job.fullname,
            story.ids.get(job.position),
            story.ids.get(job.organisation),
        )
        for job in it.jobs
    ]
    return {**it.fields, **flags, "jobs": jobs}


def wanted_audiences(story: Story) -> dict[int, tuple]:
    found = {
        story.ids[it.birth]: (
            it.name,
            it.description,
            f"tc_{kind}_{id_}_{story.server.idnumber}",
            "auth_connect",
            {story.ids[birth] for birth in it.members},
        )
        for (kind, id_), it in story.client.sets.items()
    }
    found[story.ids[OURS]] = ("Ours", "", "", "", {story.ids[birth] for birth in story.client.ours})
    return found


def compare_tree(session: Session, story: Story, word: str) -> None:
    tree, ids = story.client.trees[word], story.ids
    frameworks = list_frameworks(session, HIERARCHIES[word])
    own = [it for it in frameworks if it.server is None]
    assert [(it.fullname, it.sortorder) for it in own] == [("Ours", 1)]
    assert [(it.id, it.fullname) for it in frameworks[1:]] == [
        (ids[birth], name) for birth, name in tree.frameworks.values()
    ]

    items = {it.id: it for it in list_items(session, HIERARCHIES[word])}
    local = {id_: ids[it.birth] for id_, it in tree.items.items()}
    strangers = {ids[birth] for birth in tree.strangers}
    own_items = {it.id for it in items.values() if it.framework == own[0].id}
    assert [items[id_].fullname for id_ in own_items] == ["Ours"]
    assert items.keys() == {*local.values(), *strangers, *own_items}
    for id_, it in tree.items.items():
        found = items[local[id_]]
        above = items[found.parent].path if found.parent else ""
        assert found.path == f"{above}/{found.id}"
        assert (found.framework, found.parent) == (
            ids[tree.frameworks[it.framework][0]],
            local.get(it.parent),
        )
        assert (found.depth, found.sortthread, found.fullname) == (it.depth, it.sortthread, it.fullname)
        assert (found.type, found.fields) == (it.type, it.values)
