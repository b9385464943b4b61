"""Administrators and protected accounts lose nothing by a run, also those who become one while it is under way."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError
from support import databases
from support.client_site import HASH, client_site, lines
from support.lists import TABLES, dump, field, job, nonzero, person, tombstone

from tconnect_pyramid import people
from tconnect_pyramid.client import migration
from tconnect_pyramid.client.sync import guard
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.models import Account, Link, ProfileField, Run

ADMINISTRATOR = "they are an administrator of this site, whose account no server changes"
LISTED = "tconnect.client.protected_accounts lists the account"
OTHERS = tuple(table for table in TABLES if table is not Link)


@pytest.fixture
def site(make_database):
    with client_site(make_database()) as made:
        yield made


def promote(site, how, person_id=3, key=None):
    """Make somebody's account an administrator's, or protect it; gives the reason to leave it alone."""
    key = key or site.key(person_id)
    if how == "admin":
        site.write(key, admin=True)
        return ADMINISTRATOR
    site.set(protected_accounts=site.shown(key)["username"])
    return LISTED


def after_the_plan(monkeypatch, do):
    """Let this happen when the first plan is made, and not yet applied."""
    decided, done = guard.objection, []

    def objection(*given):
        if not done:
            done.append(do())
        return decided(*given)

    monkeypatch.setattr(guard, "objection", objection)
    return done


def without_rights(site):
    return {name: rows for name, rows in dump(site.context, OTHERS).items() if name != Account.__tablename__}


CHANGES = {
    "updated": (person(3), person(3, city="Riga")),
    "suspended": (person(3), person(3, suspended="1")),
    "unsuspended": (person(3, suspended="1"), person(3)),
    "deleted": (person(3), tombstone(3)),
    "missing": (person(3), None),
    "jobs": (person(3, jobs=[job(1, "A")]), person(3, jobs=[])),
    "fields": (person(3), person(3, profile_fields=[field("floor", "1")])),
}


@pytest.mark.parametrize("how", ["admin", "protected"])
@pytest.mark.parametrize("what", CHANGES)
def test_who_is_protected_after_the_plan_was_made_is_left_alone(site, monkeypatch, how, what):
    first, then = CHANGES[what]
    with site.context.unit() as session:
        session.add(ProfileField(shortname="floor", name="Floor", datatype="text", sortorder=1))
    site.server.people = [first, person(4)]
    site.sync()
    key = site.key(3)
    before, others = site.shown(key), without_rights(site)
    site.server.people = [*([then] if then else []), person(4, city="Riga")]
    done = after_the_plan(monkeypatch, lambda: promote(site, how))

    report = site.sync()

    assert report.state == "done"
    told = [line for line in report.lines if line.account == key]
    assert [line.action for line in told] == ([] if what in {"jobs", "fields"} else ["skipped"])
    assert all(line.detail.endswith(f", but {done[0]}") for line in told)
    assert {**site.shown(key), "admin": False} == {**before, "admin": False}
    assert without_rights(site) == others
    # Everybody else is as the server says.
    assert site.person(4)["city"] == "Riga"


BY_HAND = {
    "suspends as well": (person(3), person(3, suspended="1")),
    "would lift its own": (person(3, suspended="1"), person(3)),
    "changes something else": (person(3, suspended="1"), person(3, suspended="1", city="Riga")),
    "changes somebody": (person(3), person(3, city="Riga")),
}


@pytest.mark.parametrize("run", BY_HAND)
def test_no_run_lifts_a_suspension_by_hand_that_came_after_its_plan(site, monkeypatch, run):
    first, then = BY_HAND[run]
    site.server.people = [first, person(4)]
    site.sync()
    site.server.people = [then, person(4)]
    after_the_plan(monkeypatch, lambda: site.do(people.suspend, site.key(3)))

    assert site.sync().state == "done"
    assert site.state(3) == "suspended"

    for city in ("One", "Two"):
        site.server.people = [person(3, city=city), person(4)]
        assert site.sync().state == "done"
        assert (site.state(3), site.person(3)["city"]) == ("suspended", city)


@pytest.mark.parametrize("how", ["admin", "protected"])
def test_who_is_protected_after_the_plan_was_made_is_not_taken_over(site, monkeypatch, how):
    site.set(migrate_accounts="true")
    key = site.add("ana", password=HASH)
    site.server.people = [person(3, username="ana"), person(4)]
    after_the_plan(monkeypatch, lambda: promote(site, how, key=key))

    report = site.sync()

    assert nonzero(report.counts) == {"created": 1, "skipped": 1}
    assert "never taken over" in lines(report)[3] or "protected_accounts" in lines(report)[3]
    assert site.shown(key)["auth"] == "manual"


def test_one_who_is_protected_after_each_plan_fails_the_run_that_changes_nothing(site, monkeypatch):
    site.server.people = [person(3), person(4), person(5)]
    site.sync()
    site.server.people = [person(3, city="Riga"), person(4, city="Riga"), person(5, city="Riga")]
    decided, waiting = guard.objection, [3, 4]
    before = dump(site.context, OTHERS)

    def objection(*given):
        if waiting:
            promote(site, "admin", waiting.pop())
        return decided(*given)

    monkeypatch.setattr(guard, "objection", objection)

    report = site.sync()

    assert (report.state, "has become an administrator's or a protected one" in report.message) == (
        "failed",
        True,
    )
    assert site.person(5)["city"] != "Riga"
    assert {**dump(site.context, OTHERS), "tconnect_account": 0} == {**before, "tconnect_account": 0}
    assert nonzero(site.sync().counts) == {"updated": 1, "skipped": 2}


@pytest.mark.postgresql
def test_nobody_becomes_an_administrator_while_a_run_changes_them(tmp_path, monkeypatch):
    with databases.maker("postgresql", tmp_path) as make, client_site(make()) as site:
        site.server.people = [person(3), person(4)]
        site.sync()
        site.server.people = [person(3, city="Riga"), person(4)]
        refused, keys = [], {person_id: site.key(person_id) for person_id in (3, 4)}
        checked = migration.refuse_if_changed

        def meanwhile(*given):
            for person_id, key in keys.items():
                with site.context.database.engine.connect() as another:
                    another.execute(text("SET LOCAL lock_timeout = '50ms'"))
                    try:
                        another.execute(update(Account).where(Account.id == key).values(admin=True))
                    except OperationalError:
                        refused.append(person_id)
            checked(*given)

        monkeypatch.setattr(migration, "refuse_if_changed", meanwhile)

        assert site.sync().state == "done"
        assert refused == [3]


@pytest.mark.parametrize("how", ["admin", "protected"])
@pytest.mark.parametrize("to", ["somebody known", "somebody new", "somebody taken over"])
@pytest.mark.parametrize("when", ["before", "after the plan"])
def test_a_job_stays_with_an_account_that_no_server_changes(site, monkeypatch, how, to, when):
    site.set(migrate_accounts="true")
    site.add("cleo")
    site.server.people = [
        person(3, jobs=[job(1, "A"), job(2, "B")]),
        *([person(4, jobs=[])] if to == "somebody known" else []),
    ]
    site.sync()
    key = site.key(3)
    was = [each.idnumber for each in site.jobs(key)]
    if when == "before":
        promote(site, how)
    else:
        after_the_plan(monkeypatch, lambda: promote(site, how))
    moved = {"somebody taken over": "cleo"}.get(to, "four")
    site.server.people = [
        person(3, jobs=[job(2, "B")]),
        person(4, username=moved, jobs=[job(1, "A"), job(7, "C", sortorder="2")]),
    ]

    for _again in range(2):
        report = site.sync()
        assert report.state == "done"
        assert [line.detail for line in report.lines if line.action == "skipped"] == [
            "job 1 stays with the account here that had it, as no server changes that one; it was left out here"
        ]
        assert [each.idnumber for each in site.jobs(key)] == was
        assert [each.idnumber for each in site.jobs(site.key(4))] == ["C"]

    site.set(protected_accounts="")
    site.write(key, admin=False)
    report = run_sync(site.context, "users", site.server.id, reconcile=True)
    assert report.counts["skipped"] == 0
    assert [each.idnumber for each in site.jobs(key)] == ["B"]
    assert [each.idnumber for each in site.jobs(site.key(4))] == ["A", "C"]


def test_a_job_stays_with_one_whom_the_plan_does_not_name_and_who_is_protected_after_it(site, monkeypatch):
    site.set(removed_person="keep")
    site.server.people = [person(3, jobs=[job(1, "A")]), person(4, jobs=[])]
    site.sync()
    key = site.key(3)
    after_the_plan(monkeypatch, lambda: promote(site, "admin"))
    site.server.people = [person(4, jobs=[job(1, "A")])]

    assert site.sync().state == "done"

    assert [each.idnumber for each in site.jobs(key)] == ["A"]
    assert site.jobs(site.key(4)) == []


def test_the_runs_of_somebody_unprotected_are_made_once(site, monkeypatch):
    site.server.people = [person(3)]
    site.sync()
    site.server.people = [person(3, city="Riga")]
    plans = after_the_plan(monkeypatch, lambda: None)

    assert nonzero(site.sync().counts) == {"updated": 1}
    assert plans == [None]
    with site.context.reading() as session:
        assert [*session.scalars(select(Run.state))] == ["done", "done"]
