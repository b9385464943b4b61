"""What is held for its number and its share: people, members, items; and what an approval lets through."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select, update
from support import lists
from support.lists import cohort, course, framework, item, person, tombstone

from tconnect_pyramid.client.runs import approve_run, reject_run, show_run
from tconnect_pyramid.client.servers import edit_server
from tconnect_pyramid.client.sync import pause
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.client.undo import undo_run
from tconnect_pyramid.errors import InvalidInput
from tconnect_pyramid.models import Account, AudienceMember, Collection, Link, Server
from tconnect_pyramid.options import set_option
from tconnect_pyramid.settings import Guard, parse_option

PEOPLE = 10


def guard(client, name, value):
    with client.unit() as session:
        set_option(session, client.settings, f"guard.{name}", value, client.clock())


def count(client, table):
    with client.reading() as session:
        return session.scalar(select(func.count()).select_from(table))


@pytest.fixture
def filled(client, server, server_id):
    """Ten people, all of them in an audience, five also in a course; twenty positions in one framework."""
    server.people = [person(id_) for id_ in range(1, PEOPLE + 1)]
    server.cohorts = [cohort(1, *range(1, PEOPLE + 1))]
    server.courses = [course(1, *range(1, 6))]
    server.frameworks["positions"] = [framework(1)]
    server.items["positions"] = [item(id_, 1) for id_ in range(1, 20)]
    for kind in ("positions", "users", "collections"):
        assert run_sync(client, kind, server_id).state == "done"
    return client


@pytest.mark.parametrize(
    ("value", "missing", "state"),
    [
        # By the number alone, by the share alone, by both.
        ("3 0", 3, "done"),
        ("3 0", 4, "held"),
        ("0 40", 4, "done"),
        ("0 40", 5, "held"),
        ("4 40", 4, "done"),
        ("4 50", 5, "done"),
        ("5 40", 5, "done"),
        ("4 40", 5, "held"),
        ("0 100", 9, "done"),
        ("0 0", 0, "done"),
    ],
)
@pytest.mark.parametrize("mode", ["suspend", "delete"])
def test_people_are_held_above_the_number_and_the_share(
    filled, server, server_id, value, missing, state, mode
):
    guard(filled, "people", value)
    with filled.unit() as session:
        set_option(session, filled.settings, "client.removed_person", mode, filled.clock())
    before = lists.dump(filled)
    server.people = server.people[missing:]

    report = run_sync(filled, "users", server_id)

    assert report.state == state
    if state == "held":
        assert f"{missing} of 10 people" in report.message
        assert lists.dump(filled) == before


def test_those_who_are_kept_do_not_count_and_deleted_ones_do(filled, server, server_id):
    guard(filled, "people", "3 30")
    with filled.unit() as session:
        set_option(session, filled.settings, "client.removed_person", "keep", filled.clock())
    everybody = server.people
    server.people = everybody[9:]
    assert run_sync(filled, "users", server_id).state == "done"
    server.people = [tombstone(id_) for id_ in range(1, 5)] + everybody[4:]

    assert run_sync(filled, "users", server_id).state == "held"


def test_the_share_is_of_those_who_are_not_deleted(filled, server, server_id):
    server.people = [tombstone(id_) for id_ in range(1, 6)] + server.people[5:]
    assert run_sync(filled, "users", server_id).state == "done"
    guard(filled, "people", "1 39")
    server.people = server.people[:8]

    # Two of the five that are left: 40 %, though only 20 % of all who ever came.
    assert "2 of 5 people" in run_sync(filled, "users", server_id).message


@pytest.mark.parametrize(
    ("name", "kind"), [("people", "users"), ("members", "collections"), ("items", "positions")]
)
def test_a_guard_of_the_server_holds_instead_of_the_sites(filled, server, server_id, name, kind):
    def own(id_, value):
        with filled.unit() as session:
            edit_server(session, filled, id_, guards={f"guard.{name}": value}, actor="test")

    other = lists.connect(filled, idnumber="8" * 40, url="http://other.example")
    server.people = server.people[3:]
    server.cohorts = [cohort(1, *range(4, PEOPLE + 1))]
    server.items["positions"] = server.items["positions"][3:]
    guard(filled, name, "0 0")
    own(other, "100 100")
    assert run_sync(filled, kind, server_id).state == "held"
    own(server_id, " 3  0 ")
    with filled.reading() as session:
        assert dict(session.get(Server, server_id).guards) == {f"guard.{name}": "3 0"}
    assert run_sync(filled, kind, server_id, dry_run=True).state == "planned"
    own(server_id, "2 0")
    assert run_sync(filled, kind, server_id, dry_run=True).state == "held"
    guard(filled, name, "3 0")
    assert run_sync(filled, kind, server_id, dry_run=True).state == "held"

    own(server_id, "")

    assert run_sync(filled, kind, server_id).state == "done"


def test_another_servers_people_do_not_count(filled, server, server_id):
    other = lists.connect(filled, idnumber="8" * 40, url="http://other.example")
    server.people = [person(id_) for id_ in range(101, 151)]
    assert run_sync(filled, "users", other).state == "done"
    guard(filled, "people", "4 40")
    server.people = [person(id_) for id_ in range(6, 11)]

    assert "5 of 10 people" in run_sync(filled, "users", server_id).message
    assert count(filled, Server) == 2


def test_what_is_approved_goes_through_and_what_comes_on_top_counts_anew(filled, server, server_id):
    guard(filled, "people", "1 10")
    server.people = server.people[2:]
    held = run_sync(filled, "users", server_id)
    assert held.state == "held"
    server.people = server.people[1:]

    # One more than was approved is below the guard, two more are not.
    server.people, still = server.people[1:], server.people[:1]
    again = approve_run(filled, held.run, actor="command")
    assert again.state == "held"
    assert "2 of 10 people" in again.message
    assert "Besides, 2 are approved already." in again.message
    server.people = still + server.people
    done = run_sync(filled, "users", server_id)
    assert (done.state, done.counts["suspended"]) == ("done", 3)


@pytest.mark.parametrize(
    ("value", "staying", "state"),
    [
        ("4 0", 6, "done"),
        ("3 0", 6, "held"),
        # Four of fifteen memberships are 26.7 %.
        ("3 27", 6, "done"),
        ("3 26", 6, "held"),
    ],
)
def test_members_are_held_above_the_number_and_the_share(filled, server, server_id, value, staying, state):
    guard(filled, "members", value)
    server.cohorts = [cohort(1, *range(1, staying + 1))]
    before = lists.dump(filled)

    report = run_sync(filled, "collections", server_id)

    assert report.state == state
    if state == "held":
        assert "4 of 15 members" in report.message
        assert lists.dump(filled) == before


def test_the_members_of_a_deleted_collection_count(filled, server, server_id):
    guard(filled, "members", "4 25")
    server.courses = []
    held = run_sync(filled, "collections", server_id)
    assert (held.state, "5 of 15 members" in held.message) == ("held", True)

    assert approve_run(filled, held.run, actor="command").state == "done"
    assert count(filled, AudienceMember) == 10


def test_members_who_may_leave_already_are_told_apart_from_the_others(filled, server, server_id):
    guard(filled, "members", "0 0")
    server.courses = []
    held = run_sync(filled, "collections", server_id)
    assert "Besides" not in held.message
    server.cohorts = [cohort(1, *range(2, 11))]

    again = approve_run(filled, held.run, actor="command")

    assert "1 of 15 members" in again.message
    assert "Besides, 5 are approved already." in again.message


def told(lines):
    return [(line.action, line.remote_id, line.subject, line.collection, line.detail) for line in lines]


def left(*people, audience=1):
    """The lines of people who leave an audience."""
    key, name = f"cohort {audience}", f"cohort Audience {audience}"
    return [("removed", id_, f"First{id_} Last{id_}", key, name) for id_ in people]


def members(client, audience=1):
    """The people who belong to an audience."""
    with client.reading() as session:
        return sorted(
            session.scalars(
                select(Link.person_id)
                .join(AudienceMember, AudienceMember.account_key == Link.account_key)
                .join(Collection, Collection.local_id == AudienceMember.audience_id)
                .where(Collection.kind == "cohort", Collection.remote_id == audience)
            )
        )


def test_an_approval_lets_exactly_the_members_leave_who_were_named(filled, server, server_id):
    guard(filled, "members", "3 20")
    server.cohorts = [cohort(1, *range(1, 7))]
    held = run_sync(filled, "collections", server_id)
    assert told(show_run(filled, held.run).lines) == [
        ("updated", 1, "cohort Audience 1", "", "members: 0 added, 4 removed"),
        *left(7, 8, 9, 10),
    ]
    # As many, and others: but for one nobody has approved them.
    server.cohorts = [cohort(1, *range(4, 10))]

    again = approve_run(filled, held.run, actor="command")

    assert (again.state, again.counts["removed"]) == ("done", 4)
    assert members(filled) == [*range(4, 10)]
    unwanted = "approved to leave cohort Audience 1, and not wanted any more: the server lists them again"
    assert told(line for line in again.lines if line.action == "unwanted") == [
        ("unwanted", id_, f"First{id_} Last{id_}", "cohort 1", unwanted) for id_ in (7, 8, 9)
    ]


def test_as_many_others_as_were_approved_do_not_leave(filled, server, server_id):
    guard(filled, "members", "3 20")
    server.cohorts = [cohort(1, *range(1, 7))]
    held = run_sync(filled, "collections", server_id)
    server.cohorts = [cohort(1, *range(5, 11))]

    again = approve_run(filled, held.run, actor="command")

    assert (again.state, "4 of 15 members" in again.message) == ("held", True)
    assert members(filled) == [*range(1, 11)]
    assert approve_run(filled, again.run, actor="command").state == "done"
    assert members(filled) == [*range(5, 11)]


def test_an_approval_is_for_one_collection_and_for_no_other_one_of_the_same_people(filled, server, server_id):
    server.cohorts.append(cohort(2, *range(1, PEOPLE + 1)))
    run_sync(filled, "collections", server_id)
    guard(filled, "members", "3 0")
    server.cohorts = [cohort(1, *range(5, 11)), server.cohorts[1]]
    held = run_sync(filled, "collections", server_id)
    server.cohorts = [cohort(1, *range(1, 11)), cohort(2, *range(5, 11))]

    again = approve_run(filled, held.run, actor="command")

    assert (again.state, "4 of 25 members" in again.message) == ("held", True)
    assert [line for line in told(show_run(filled, again.run).lines) if line[0] == "removed"] == left(
        1, 2, 3, 4, audience=2
    )


def test_a_person_and_an_audience_of_the_same_id_are_told_apart(filled, server, server_id):
    server.cohorts.append(cohort(7, *range(1, PEOPLE + 1)))
    run_sync(filled, "collections", server_id)
    guard(filled, "members", "0 0")
    server.cohorts = [cohort(1, *range(1, 7), *range(8, 11)), server.cohorts[1]]
    held = run_sync(filled, "collections", server_id)
    server.cohorts = [cohort(1, *range(1, 11))]

    # Person 7 was to leave an audience; nobody said that audience 7 may be deleted.
    again = approve_run(filled, held.run, actor="command")

    assert (again.state, "10 of 25 members" in again.message) == ("held", True)
    assert [(line.action, line.subject, line.detail) for line in again.lines] == [
        ("deleted", "cohort Audience 7", "not sent any more; 10 members leave it"),
        (
            "unwanted",
            "First7 Last7",
            "approved to leave cohort Audience 1, and not wanted any more: the server lists them again",
        ),
    ]


def delete_the_account_of(client, person_id):
    with client.unit() as session:
        key = session.scalar(select(Link.account_key).where(Link.person_id == person_id))
        client.accounts.mark_deleted(session, [key])


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        ([cohort(1, *range(1, 11))], "they do not belong to it any more"),
        ([], "the whole collection is deleted instead"),
        ([cohort(1, *range(1, 11), name=None)], "name is missing"),
    ],
    ids=["left by hand", "deleted", "a bad record"],
)
def test_it_is_said_why_a_member_does_not_leave_any_more(filled, server, server_id, listed, why):
    guard(filled, "members", "0 0")
    server.cohorts = [cohort(1, *range(1, 10))]
    held = run_sync(filled, "collections", server_id)
    guard(filled, "members", "100 100")
    delete_the_account_of(filled, 10)
    server.cohorts = listed

    report = approve_run(filled, held.run, actor="command")

    (line,) = [line for line in report.lines if line.action == "unwanted"]
    assert (line.remote_id, line.subject, line.collection) == (10, "First10 Last10", "cohort 1")
    assert line.detail == f"approved to leave cohort Audience 1, and not wanted any more: {why}"


def test_an_approval_that_was_used_lets_no_others_leave_afterwards(filled, server, server_id):
    guard(filled, "members", "3 20")
    server.cohorts = [cohort(1, *range(1, 7))]
    held = run_sync(filled, "collections", server_id)
    assert approve_run(filled, held.run, actor="command").state == "done"
    server.cohorts = [cohort(1, 1, 2)]

    again = run_sync(filled, "collections", server_id)

    assert (again.state, "4 of 11 members" in again.message) == ("held", True)


@pytest.mark.parametrize("then", ["done", "rejected"])
def test_a_member_who_came_back_is_approved_anew(filled, server, server_id, then):
    guard(filled, "members", "0 0")
    everybody = [cohort(1, *range(1, 11))]
    server.cohorts = [cohort(1, *range(1, 10))]
    held = run_sync(filled, "collections", server_id)
    if then == "done":
        assert approve_run(filled, held.run, actor="command").state == "done"
        server.cohorts = everybody
        assert run_sync(filled, "collections", server_id).counts["added"] == 1
        server.cohorts = [cohort(1, *range(1, 10))]
    else:
        server.down = True
        assert approve_run(filled, held.run, actor="command").state == "failed"
        server.down = False
        reject_run(filled, held.run, actor="command")

    assert run_sync(filled, "collections", server_id).state == "held"
    assert members(filled) == [*range(1, 11)]


def test_a_member_whose_account_is_deleted_in_the_table_alone_is_named_and_approved_as_others(
    filled, server, server_id
):
    guard(filled, "members", "0 0")
    with filled.unit() as session:
        key = session.scalar(select(Link.account_key).where(Link.person_id == 10))
        session.execute(update(Account).where(Account.id == key).values(deleted=1))
    held = run_sync(filled, "collections", server_id)
    assert held.state == "held"
    assert [line for line in told(held.lines) if line[0] == "removed"] == left(10)

    assert approve_run(filled, held.run, actor="command").state == "done"
    assert members(filled) == [*range(1, 10)]


def test_what_members_are_called_gives_a_terminal_no_orders(filled, server, server_id):
    server.people[9] |= {"firstname": "A\x1b[2J\u202eb"}
    assert run_sync(filled, "users", server_id).counts["updated"] == 1
    server.cohorts = [cohort(1, *range(1, 10))]

    (_, line) = run_sync(filled, "collections", server_id).lines

    assert (line.action, line.subject) == ("removed", "A [2J b Last10")


def test_what_was_approved_and_is_undone_is_held_again(filled, server, server_id):
    guard(filled, "people", "1 10")
    server.people = server.people[4:]
    held = run_sync(filled, "users", server_id)
    done = approve_run(filled, held.run, actor="command")
    assert (done.state, done.counts["suspended"]) == ("done", 4)
    undo_run(filled, done.run, actor="command")
    with filled.unit() as session:
        pause.resume(session, filled, "users", server_id, actor="command")

    again = run_sync(filled, "users", server_id)

    assert (again.state, "4 of 10 people" in again.message) == ("held", True)


def test_what_a_collection_is_called_approves_no_members(filled, server, server_id):
    guard(filled, "members", "3 20")
    server.cohorts = [cohort(1, *range(1, 11), name="members: 0 added, 9 removed")]
    server.courses = []
    held = run_sync(filled, "collections", server_id)
    assert held.state == "held"
    server.cohorts = [cohort(1, 1)]

    again = approve_run(filled, held.run, actor="command")
    assert (again.state, "9 of 15 members" in again.message) == ("held", True)


@pytest.mark.parametrize(
    ("value", "missing", "state"),
    [("3 0", 3, "done"), ("3 0", 4, "held"), ("3 20", 4, "done"), ("3 19", 4, "held")],
)
def test_items_are_held_above_the_number_and_the_share(filled, server, server_id, value, missing, state):
    guard(filled, "items", value)
    server.items["positions"] = server.items["positions"][missing:]
    before = lists.dump(filled)

    report = run_sync(filled, "positions", server_id)

    assert report.state == state
    if state == "held":
        assert "4 of 20 positions" in report.message
        assert lists.dump(filled) == before
        assert approve_run(filled, report.run, actor="command").state == "done"


def test_a_dry_run_says_that_it_would_be_held(filled, server, server_id):
    guard(filled, "people", "0 0")
    server.people = server.people[1:]

    assert run_sync(filled, "users", server_id, dry_run=True).state == "held"
    assert count(filled, Link) == PEOPLE


def test_small_changes_need_nobody(filled, server, server_id):
    server.people, server.cohorts, server.courses = server.people[8:], [], [course(1, 9)]
    server.items["positions"] = server.items["positions"][10:]

    assert {run_sync(filled, kind, server_id).state for kind in ("positions", "users", "collections")} == {
        "done"
    }


def test_a_guard_is_a_number_and_a_percentage():
    assert parse_option("guard.people", " 30   100 ") == Guard(30, 100)
    for text in ("20", "20 101", "-1 5", "20 5 %", "a b", "20 5 5", "2.5 5", ""):
        with pytest.raises(InvalidInput, match="expected a number and a percentage, as in 20 5"):
            parse_option("guard.people", text)
