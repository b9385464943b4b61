"""Held runs and the decision about them: an empty list removes nobody without an administrator's word."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import delete, select, update
from support import lists
from support.lists import cohort, course, person, tombstone

from tconnect_pyramid import people
from tconnect_pyramid.client.runs import approve_run, list_runs, reject_run, show_run, unwanted_of
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.client.sync.guard import APPROVAL_SECONDS
from tconnect_pyramid.errors import Conflict, NotFound, SyncBusy
from tconnect_pyramid.models import Account, Approval, Audience, AuditEntry, Collection, Lease, Link, Server
from tconnect_pyramid.options import set_option

ACTIONS = {"suspend": "suspended", "delete": "deleted"}


def sync(client, server_id, kind="users"):
    return run_sync(client, kind, server_id)


def set_mode(client, mode):
    with client.unit() as session:
        set_option(session, client.settings, "client.removed_person", mode, client.clock())


def states(client):
    with client.reading() as session:
        rows = session.execute(
            select(Link.person_id, Account.suspended, Account.deleted).join(
                Account, Account.id == Link.account_key
            )
        )
        return {
            person_id: "deleted" if gone else "suspended" if out else "live" for person_id, out, gone in rows
        }


def run_states(client):
    with client.reading() as session:
        return {report.run: report.state for report in list_runs(session)}


@pytest.fixture
def filled(client, server, server_id):
    """The client with two people and two collections; the server's lists are empty from now on."""
    server.people = [person(3), person(4)]
    server.cohorts, server.courses = [cohort(1, 3)], [course(1, 4)]
    for kind in ("users", "collections"):
        assert sync(client, server_id, kind).state == "done"
    server.people, server.cohorts, server.courses = [], [], []
    return client


@pytest.mark.parametrize("mode", ["suspend", "delete"])
def test_an_empty_list_is_held_and_changes_nothing(filled, server_id, mode):
    set_mode(filled, mode)
    before = lists.dump(filled)

    report = sync(filled, server_id)

    assert report.state == "held"
    assert "no people at all" in report.message
    assert lists.dump(filled) == before
    kept = show_run(filled, report.run)
    assert replace(kept, lines=[*kept.lines]) == replace(report, lines=[*report.lines])
    assert [(line.action, line.remote_id) for line in kept.lines] == [(ACTIONS[mode], 3), (ACTIONS[mode], 4)]


def test_two_empty_lists_of_collections_are_held(filled, server_id):
    before = lists.dump(filled)

    report = sync(filled, server_id, "collections")

    assert report.state == "held"
    assert lists.dump(filled) == before
    assert [(line.action, line.subject) for line in report.lines] == [
        ("deleted", "cohort Audience 1"),
        ("deleted", "course Course 1"),
    ]


def test_one_empty_list_of_two_is_not(filled, server, server_id):
    server.courses = [course(1, 4)]

    assert lists.nonzero(sync(filled, server_id, "collections").counts) == {"deleted": 1, "unchanged": 1}


def test_an_empty_list_with_nothing_linked_is_fine(client, server_id):
    for kind in ("users", "collections"):
        report = sync(client, server_id, kind)
        assert (report.state, lists.nonzero(report.counts)) == ("done", {})


def test_an_empty_list_with_only_deleted_accounts_is_fine(filled, server, server_id):
    server.people = [tombstone(3), tombstone(4)]
    sync(filled, server_id)
    server.people = []

    assert sync(filled, server_id).state == "done"


def test_an_empty_list_that_would_remove_nobody_is_fine(filled, server_id):
    set_mode(filled, "keep")

    report = sync(filled, server_id)

    assert (report.state, lists.nonzero(report.counts)) == ("done", {"unchanged": 2})


def test_a_dry_run_of_an_empty_list_says_held_and_keeps_nothing(filled, server_id):
    before = run_states(filled)

    assert run_sync(filled, "users", server_id, dry_run=True).state == "held"
    assert run_states(filled) == before


def test_a_newer_plan_takes_the_place_of_a_held_one(filled, server, server_id):
    first = sync(filled, server_id)
    collections = sync(filled, server_id, "collections")
    second = sync(filled, server_id)
    assert run_states(filled)[first.run] == "rejected"
    assert run_states(filled)[second.run] == "held"

    server.people = [person(3), person(4)]
    sync(filled, server_id)

    assert run_states(filled)[second.run] == "rejected"
    assert run_states(filled)[collections.run] == "held"


def test_a_failed_run_leaves_a_held_one_waiting(filled, server, server_id):
    held = sync(filled, server_id)
    server.down = True

    sync(filled, server_id)

    assert run_states(filled)[held.run] == "held"


@pytest.mark.parametrize("mode", ["suspend", "delete"])
def test_approving_lets_exactly_those_removals_through(filled, server_id, mode):
    set_mode(filled, mode)
    held = sync(filled, server_id)

    report = approve_run(filled, held.run, actor="command")

    assert report.state == "done"
    assert lists.nonzero(report.counts) == {ACTIONS[mode]: 2}
    assert states(filled) == dict.fromkeys((3, 4), ACTIONS[mode])
    assert run_states(filled)[held.run] == "approved"
    with filled.reading() as session:
        assert session.execute(select(AuditEntry.action, AuditEntry.actor, AuditEntry.detail)).all()[-1] == (
            "run.approved",
            "command",
            {"kind": "users", "removals": 2},
        )
    assert sync(filled, server_id).state == "done"


def test_approving_deletes_collections_of_both_kinds(filled, server_id):
    held = sync(filled, server_id, "collections")

    report = approve_run(filled, held.run, actor="account:1")

    assert (report.state, lists.nonzero(report.counts)) == ("done", {"deleted": 2})
    with filled.reading() as session:
        assert session.scalars(select(Audience.id)).all() == []


def test_what_was_not_approved_is_held_again(filled, server, server_id):
    held = sync(filled, server_id)
    server.people = [person(3), person(4), person(5)]

    def arrives_meanwhile():
        server.on_call = lambda: None
        with filled.unit() as session:
            new = people.add_person(
                session, filled, username="new", email="n@example.com", firstname="N", lastname="N"
            )
            session.add(Link(person_id=5, server_id=server_id, account_key=new.key, timecreated=1))
        server.people = []

    server.on_call = arrives_meanwhile

    report = approve_run(filled, held.run, actor="command")

    assert report.state == "held"
    assert states(filled) == {3: "live", 4: "live", 5: "live"}
    again = approve_run(filled, report.run, actor="command")
    assert again.state == "done"
    assert states(filled) == dict.fromkeys((3, 4, 5), "suspended")


def test_another_removal_of_the_same_people_was_not_approved(filled, server_id):
    held = sync(filled, server_id)
    set_mode(filled, "delete")

    assert approve_run(filled, held.run, actor="command").state == "held"
    assert states(filled) == {3: "live", 4: "live"}


def test_who_came_back_before_the_approval_stays(filled, server, server_id):
    held = sync(filled, server_id)
    server.people = [person(3), person(4)]

    report = approve_run(filled, held.run, actor="command")

    assert lists.nonzero(report.counts) == {"unchanged": 2}
    assert unwanted(filled, report) == dict.fromkeys((3, 4), f"{SUSPENSION}the server lists them again")
    # Told once, by the run that took its place.
    assert unwanted(filled, sync(filled, server_id)) == {}


ADMINISTRATOR = "they are an administrator of this site, whose account no server changes"
SUSPENSION = "approved to be suspended, and not wanted any more: "


def unwanted(client, report):
    told = {line.remote_id: line.detail for line in unwanted_of(report)}
    assert told == {line.remote_id: line.detail for line in unwanted_of(show_run(client, report.run))}
    return told


def key_of(client, person_id):
    with client.reading() as session:
        return session.scalar(select(Link.account_key).where(Link.person_id == person_id))


@pytest.mark.parametrize(
    ("meanwhile", "why"),
    [
        ({"deleted": 1}, "the account is deleted already"),
        ({"suspended": 1}, "the account is suspended already"),
        (
            {"admin": 1},
            f"not in the server's list any more, but {ADMINISTRATOR}",
        ),
        (None, "the account is gone"),
        ("keep", "the server lists them again, or client.removed_person keeps them now"),
        ("delete", "deleted instead"),
    ],
)
def test_what_is_approved_and_not_wanted_any_more_is_told_with_the_reason(
    filled, server, server_id, meanwhile, why
):
    server.people = [person(5), person(6)]
    assert sync(filled, server_id).state == "done"
    with filled.unit() as session:
        set_option(session, filled.settings, "guard.people", "0 0", filled.clock())
    server.people = [person(3), person(4)]
    set_mode(filled, "suspend")
    held = sync(filled, server_id)
    if isinstance(meanwhile, str):
        set_mode(filled, meanwhile)
    else:
        with filled.unit() as session:
            here = Account.id == key_of(filled, 5)
            if meanwhile is None:
                session.execute(delete(Account).where(here))
            else:
                session.execute(update(Account).where(here).values(meanwhile))

    report = approve_run(filled, held.run, actor="command")

    assert unwanted(filled, report)[5] == SUSPENSION + why
    assert ({*unwanted(filled, report)} == {5, 6}) is isinstance(meanwhile, str)


def test_what_a_dry_run_tells_of_an_approval_is_kept_for_the_run(filled, server, server_id):
    held = sync(filled, server_id)
    server.down = True
    assert approve_run(filled, held.run, actor="command").state == "failed"
    server.down, server.people = False, [person(3)]

    planned = run_sync(filled, "users", server_id, dry_run=True)

    assert [line.remote_id for line in unwanted_of(planned)] == [3]
    report = run_sync(filled, "users", server_id, origin="schedule")
    assert [*unwanted(filled, report)] == [3]
    assert states(filled) == {3: "live", 4: "suspended"}


def test_what_is_approved_of_collections_and_not_wanted_any_more_is_told(filled, server, server_id):
    server.people = [person(id_) for id_ in range(3, 7)]
    sync(filled, server_id)
    server.cohorts = [cohort(1, 3, 4, 5, 6), cohort(2, 3), cohort(3, 3), cohort(4, 3, 4)]
    server.courses = [course(1, 4), course(2, 3)]
    assert sync(filled, server_id, "collections").state == "done"
    with filled.unit() as session:
        set_option(session, filled.settings, "guard.members", "0 0", filled.clock())
    server.cohorts, server.courses = [cohort(1, 3), cohort(4)], [course(1)]
    held = sync(filled, server_id, "collections")
    assert held.state == "held"
    server.cohorts, server.courses = [cohort(1, 3, 4), cohort(2, 3)], [course(1, 4)]
    with filled.unit() as session:
        session.execute(delete(Collection).where(Collection.remote_id == 3))

    report = approve_run(filled, held.run, actor="command")

    left = "approved to leave {}, and not wanted any more: {}"
    assert [(line.subject, line.collection, line.detail) for line in unwanted_of(report)] == [
        ("First4 Last4", "cohort 1", left.format("cohort Audience 1", "the server lists them again")),
        *(
            (
                f"First{id_} Last{id_}",
                "cohort 4",
                left.format("cohort Audience 4", "the whole collection is deleted instead"),
            )
            for id_ in (3, 4)
        ),
        ("First4 Last4", "course 1", left.format("course Course 1", "the server lists them again")),
        (
            "cohort Audience 2",
            "",
            "approved to be deleted, and not wanted any more: the server lists it again",
        ),
        ("cohort Audience 3", "", "approved to be deleted, and not wanted any more: it is gone here already"),
    ]


@pytest.mark.parametrize("ends", ["busy", "failed"])
@pytest.mark.parametrize("kind", ["users", "collections"])
def test_an_approval_that_could_not_be_used_at_once_is_noted_and_used_by_the_schedule(
    filled, server, server_id, kind, ends
):
    held = sync(filled, server_id, kind)
    if ends == "busy":
        with filled.unit() as session:
            session.add(
                Lease(name=f"server:{server_id}", token="e" * 40, holder="x", expires=filled.clock() + 60)
            )
        with pytest.raises(SyncBusy, match=f"Run {held.run} stays approved: the next run within 24 hours"):
            approve_run(filled, held.run, actor="account:7")
        with filled.unit() as session:
            session.execute(delete(Lease))
    else:
        server.down = True
        failed = approve_run(filled, held.run, actor="account:7")
        assert (failed.state, f"Run {held.run} stays approved" in failed.message) == ("failed", True)
        server.down = False
    noted = show_run(filled, held.run)
    assert (noted.state, noted.approved_by, noted.approved) == ("held", "account:7", filled.clock())
    filled.clock.tick(APPROVAL_SECONDS - 1)

    report = run_sync(filled, kind, server_id, origin="schedule")

    assert report.state == "done"
    used = show_run(filled, held.run)
    assert (used.state, used.approved_by) == ("approved", "account:7")
    assert f"Run {report.run} took its place" in used.message


def test_an_approval_that_nobody_used_for_a_day_is_told_of_with_the_run_that_is_rejected(
    filled, server, server_id
):
    held = sync(filled, server_id)
    server.down = True
    approve_run(filled, held.run, actor="command")
    server.down = False
    filled.clock.tick(APPROVAL_SECONDS)

    assert sync(filled, server_id).state == "held"
    kept = show_run(filled, held.run)
    assert (kept.state, kept.approved_by) == ("rejected", "command")


@pytest.mark.parametrize("kind", ["users", "collections"])
def test_rejecting_withdraws_an_approval(filled, server, server_id, kind):
    held = sync(filled, server_id, kind)
    before = lists.dump(filled)
    server.down = True
    approve_run(filled, held.run, actor="command")
    server.down = False

    reject_run(filled, held.run, actor="command")

    kept = show_run(filled, held.run)
    assert (kept.state, kept.approved_by, kept.approved) == ("rejected", None, None)
    assert sync(filled, server_id, kind).state == "held"
    assert lists.dump(filled) == before


def test_rejecting_what_took_the_place_of_an_approved_run_withdraws_that_too(filled, server, server_id):
    held = sync(filled, server_id)
    set_mode(filled, "delete")
    again = approve_run(filled, held.run, actor="command")
    assert again.state == "held"
    set_mode(filled, "suspend")

    reject_run(filled, again.run, actor="command")

    assert sync(filled, server_id).state == "held"


def test_rejecting_people_leaves_what_is_approved_of_collections(filled, server, server_id):
    people_held, sets_held = sync(filled, server_id), sync(filled, server_id, "collections")
    server.down = True
    approve_run(filled, sets_held.run, actor="command")
    server.down = False

    reject_run(filled, people_held.run, actor="command")

    assert sync(filled, server_id, "collections").state == "done"


def test_an_approval_holds_for_a_day(filled, server, server_id):
    held = sync(filled, server_id)
    server.down = True
    assert approve_run(filled, held.run, actor="command").state == "failed"
    assert run_states(filled)[held.run] == "held"
    server.down = False
    filled.clock.tick(APPROVAL_SECONDS)
    assert sync(filled, server_id).state == "held"

    newest = max(run_states(filled))
    server.down = True
    approve_run(filled, newest, actor="command")
    server.down = False
    filled.clock.tick(APPROVAL_SECONDS - 1)

    assert sync(filled, server_id).state == "done"


def test_an_approval_stands_when_another_run_is_under_way(filled, server_id):
    held = sync(filled, server_id)
    with filled.unit() as session:
        session.add(
            Lease(name=f"server:{server_id}", token="e" * 40, holder="x", expires=filled.clock() + 60)
        )

    with pytest.raises(SyncBusy):
        approve_run(filled, held.run, actor="command")

    with filled.unit() as session:
        session.execute(delete(Lease))
    assert sync(filled, server_id).state == "done"


def test_rejecting_is_the_end_of_it(filled, server_id):
    held = sync(filled, server_id)

    reject_run(filled, held.run, actor="command")

    assert run_states(filled)[held.run] == "rejected"
    with pytest.raises(Conflict, match="waits for no decision"):
        approve_run(filled, held.run, actor="command")
    with pytest.raises(Conflict, match="waits for no decision"):
        reject_run(filled, held.run, actor="command")
    assert sync(filled, server_id).state == "held"


def test_runs_that_are_not_there_or_not_held(filled, server_id):
    done = min(run_states(filled))
    with pytest.raises(Conflict, match="waits for no decision"):
        approve_run(filled, done, actor="command")
    with pytest.raises(NotFound):
        approve_run(filled, 999, actor="command")
    with pytest.raises(NotFound):
        reject_run(filled, 999, actor="command")
    with pytest.raises(NotFound):
        show_run(filled, 999)


def test_a_run_of_a_server_that_is_gone_cannot_be_approved(filled, server_id):
    held = sync(filled, server_id)
    with filled.unit() as session:
        session.execute(delete(Server))

    with pytest.raises(Conflict, match="not connected any more"):
        approve_run(filled, held.run, actor="command")
    with filled.reading() as session:
        assert session.scalars(select(Approval.remote_id)).all() == []


def test_the_newest_runs_come_first_and_without_lines(filled, server_id):
    newest = sync(filled, server_id).run

    with filled.reading() as session:
        listed = list_runs(session, limit=2)

    assert [report.run for report in listed] == [newest, newest - 1]
    assert [report.lines for report in listed] == [(), ()]
