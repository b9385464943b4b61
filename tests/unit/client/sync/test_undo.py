"""Undoing a run of people: everything is as before, but for what somebody has changed since."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select
from support.client_site import HASH, client_site
from support.lists import person, tombstone
from support.undoing import counts, tables, undo, went

from tconnect_pyramid.client.cleanup import cleanup
from tconnect_pyramid.client.sync import pause
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.client.undo import undo_run
from tconnect_pyramid.directory import audiences
from tconnect_pyramid.errors import Conflict, NotFound
from tconnect_pyramid.models import AudienceMember, Link, Pause, Run, Undo

JOB = {
    "id": "7", "fullname": "Cook", "shortname": "c", "idnumber": "j7", "description": None, "startdate": None,
    "enddate": None, "timecreated": "1", "timemodified": "1", "usermodified": "2", "positionid": None,
    "positionassignmentdate": "1", "organisationid": None, "sortorder": "1", "totarasync": "0",
    "synctimemodified": "0",
}  # fmt: skip


@pytest.fixture
def site(make_database):
    with client_site(make_database()) as made:
        made.set(removed_person="suspend")
        yield made


@pytest.mark.parametrize(
    ("before", "after", "counted"),
    [
        ([person(3), person(4)], [person(3, city="Riga", lastname="Neu"), person(4)], {"updated": 1}),
        ([person(3), person(4)], [person(4)], {"unsuspended": 1}),
        ([person(3), person(4)], [tombstone(3), person(4)], {"undeleted": 1}),
        ([person(3, jobs=[JOB])], [tombstone(3)], {"undeleted": 1}),
        ([person(3, jobs=[JOB])], [person(3, jobs=[{**JOB, "fullname": "Baker"}])], {"updated": 1}),
        ([person(3, jobs=[JOB])], [person(3, jobs=[])], {"updated": 1}),
        ([person(3), person(4)], [person(3, suspended="1"), person(4)], {"unsuspended": 1}),
        ([person(3, suspended="1"), person(4)], [person(3), person(4)], {"suspended": 1}),
    ],
)
def test_everything_is_as_before(site, before, after, counted):
    run, was = went(site, before, after)

    assert counts(undo(site, run, dry_run=True)) == counted
    assert tables(site) != was
    assert counts(undo(site, run)) == counted
    if counted == {"undeleted": 1}:
        # No hash is kept of somebody who was deleted: it comes back with the next run.
        assert was[0][site.key(3)].pop("password") == HASH
        was[0][site.key(3)]["password"] = None
    assert tables(site) == was


def test_who_was_deleted_comes_back_into_their_audiences(site):
    site.server.people = [person(3)]
    site.sync()
    audience = site.do(audiences.add_audience, name="A", idnumber="a", actor="command")
    with site.context.unit() as session:
        session.add(AudienceMember(account_key=site.key(3), audience_id=audience.id))
    run, was = went(site, [person(3)], [tombstone(3)])
    undo(site, run)
    was[0][site.key(3)]["password"] = None

    assert tables(site) == was


def test_who_came_back_is_deleted_again(site):
    site.server.people = [person(3)]
    site.sync()
    run, was = went(site, [tombstone(3)], [person(3)])

    assert counts(undo(site, run)) == {"deleted": 1}
    assert tables(site) == was


@pytest.mark.parametrize("mode", ["suspend", "keep", "delete"])
def test_who_was_made_is_suspended_and_lifted_when_it_goes_on(site, mode):
    site.set(removed_person=mode)
    site.server.people = [person(3), person(4), person(5)]
    run = site.sync()

    assert counts(undo(site, run)) == {"suspended": 3}
    assert all(site.shown(site.key(id_))["suspended"] for id_ in (3, 4, 5))
    with site.context.unit() as session:
        # By hand since, and on the server.
        session.get(Link, (4, site.server.id)).suspended_by_sync = False
        pause.resume(session, site.context, "users", site.server.id, actor="command")
    site.server.people[2] = person(5, suspended="1")
    assert counts(site.sync()) == {"unsuspended": 1, "unchanged": 2}
    assert [site.shown(site.key(id_))["suspended"] for id_ in (3, 4, 5)] == [False, True, True]
    assert counts(site.sync()) == {"unchanged": 3}


@pytest.mark.parametrize("sent", [None, HASH])
def test_who_was_taken_over_logs_in_as_before_and_nothing_kept_can_be_read(site, sent):
    site.set(migrate_accounts="true")
    secret = "$2b$04$formerformerformerformerfo"
    site.add("ana", auth="manual", password=secret, city="Ulm (Donau)")
    run, was = went(site, [person(9)], [person(9), person(3, username="ana", password=sent, city="Riga")])
    with site.context.reading() as session:
        assert all(b"Ulm (Donau)" not in sealed for sealed in session.scalars(select(Undo.sealed)))
    report = undo(site, run)

    assert counts(report) == {"updated": 1}
    assert tables(site) == was
    assert secret not in json.dumps([line.detail for line in report.lines])


def test_what_was_changed_since_is_left_and_told(site):
    run, _ = went(site, [person(3)], [person(3, city="Riga", address="Street")])
    key = site.key(3)
    site.write(key, city="By hand")
    (line,) = undo(site, run).lines

    assert (line.action, line.detail) == (
        "updated",
        "changed since, and left: city; address: 'Street' → ''",
    )
    assert (site.shown(key)["city"], site.shown(key)["address"]) == ("By hand", "")


def test_a_suspension_by_hand_since_stays(site):
    run, _ = went(site, [person(3), person(4)], [person(4)])
    with site.context.unit() as session:
        session.get(Link, (3, site.server.id)).suspended_by_sync = False
    assert counts(undo(site, run)) == {"skipped": 1}
    assert site.shown(site.key(3))["suspended"]


def test_an_older_run_leaves_what_newer_ones_did(site):
    run, _ = went(site, [person(3)], [person(3, city="Riga", address="Street")])
    site.server.people = [person(3, city="Bonn", address="Street")]
    site.sync()
    undo(site, run)

    assert (site.shown(site.key(3))["city"], site.shown(site.key(3))["address"]) == ("Bonn", "")


def test_it_is_undone_once_and_paused_until_resumed(site):
    run, was = went(site, [person(3)], [person(3, city="Riga")])
    undo(site, run)

    with pytest.raises(Conflict, match="undone"):
        undo(site, run)
    paused = site.sync()
    assert (paused.state, paused.run) == ("held", None)
    assert "--resume" in paused.message
    assert tables(site) == was
    with site.context.unit() as session:
        (stopped,) = pause.list_paused(session)
        assert (stopped.kind, stopped.server_id, stopped.run) == ("users", site.server.id, run.run)
        assert stopped.remedy in paused.message
        pause.resume(session, site.context, "users", site.server.id, actor="command")
        with pytest.raises(Conflict, match="not paused"):
            pause.resume(session, site.context, "users", site.server.id, actor="command")
    assert counts(site.sync()) == {"updated": 1}


def test_what_changed_nothing_or_is_no_run_of_people_cannot_be_undone(site):
    site.server.people = []
    for run in (site.sync(), site.sync("collections")):
        with pytest.raises(Conflict):
            undo(site, run)
    with pytest.raises(NotFound):
        undo_run(site.context, 999, actor="command")


def test_a_held_run_cannot_be_undone(site):
    site.server.people = [person(3)]
    site.sync()
    site.server.people = []
    held = site.sync()
    assert held.state == "held"
    with pytest.raises(Conflict, match="held"):
        undo(site, held)


def test_after_its_days_nothing_is_kept_any_more(site):
    run, _ = went(site, [person(3)], [person(3, city="Riga")])
    with site.context.unit() as session:
        session.get(Run, run.run).started -= 31 * 86_400
    cleanup(site.context)

    with pytest.raises(Conflict, match="undo_days"):
        undo(site, run)


def test_nothing_is_kept_where_no_day_is_wanted(site):
    site.set(undo_days="0")
    run, _ = went(site, [person(3)], [person(3, city="Riga")])
    with site.context.reading() as session:
        assert session.scalars(select(Undo.id)).all() == []
    with pytest.raises(Conflict):
        undo(site, run)


def test_an_administrator_is_not_suspended(site):
    site.server.people = [person(3)]
    run = site.sync()
    site.write(site.key(3), admin=True)

    assert counts(undo(site, run)) == {"skipped": 1}
    assert not site.shown(site.key(3))["suspended"]


def test_others_are_not_paused(site):
    run, _ = went(site, [person(3)], [person(3, city="Riga")])
    undo(site, run)

    assert run_sync(site.context, "collections", site.server.id).state == "done"
    with site.context.reading() as session:
        assert session.scalars(select(Pause.kind)).all() == ["users"]
