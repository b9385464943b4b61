"""Members by the hundred thousand: what becomes of them, and that neither statements nor objects grow with them."""

from __future__ import annotations

import json
import random
from array import array

import pytest
from sqlalchemy import func, insert, select, text, update
from support import lists
from support.lists import cohort, course, person
from support.statements import listening

from tconnect_pyramid.client.sync import apply_users, plan_collections
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.models import Account, Audience, AudienceMember, AwaitedMember, Collection, Link
from tconnect_pyramid.protocol import stream

KNOWN = range(3, 63)
READING = {"BEGIN", "SELECT", "FETCH"}
OUTSIDE = ("tconnect_run", "tconnect_lease")


@pytest.fixture
def synced(client, server, server_id):
    """The client after the users sync of `KNOWN`."""
    server.people = [person(id_) for id_ in KNOWN]
    run_sync(client, "users", server_id)
    return client


def belonging(context):
    """Who belongs to each collection and who is waited for, by its ID number's beginning."""
    with context.reading() as session:
        joined = session.execute(
            select(Audience.idnumber, Link.person_id)
            .select_from(AudienceMember)
            .join(Audience, Audience.id == AudienceMember.audience_id)
            .join(Link, Link.account_key == AudienceMember.account_key)
        )
        awaited = session.execute(
            select(Collection.kind, Collection.remote_id, AwaitedMember.person_id).join(
                Collection, Collection.id == AwaitedMember.collection_id
            )
        )
        found = {(*idnumber.split("_")[1:3], person_id) for idnumber, person_id in joined}
        return found, {(kind, str(remote_id), person_id) for kind, remote_id, person_id in awaited}


@pytest.mark.parametrize("members_of_a_batch", [1, 50, 100_000])
def test_whatever_was_there_the_members_are_those_that_were_sent_last(
    synced, server, server_id, members_of_a_batch, monkeypatch
):
    monkeypatch.setattr(plan_collections, "BATCH_MEMBERS", members_of_a_batch)
    monkeypatch.setattr(stream, "PIECE", 500)
    chance = random.Random(7)  # noqa: S311 - no secret
    everybody = range(1, 90)
    before = set(), set()
    for _ in range(6):
        sent = {
            (make, id_): chance.sample(everybody, chance.randint(0, 60))
            for make in (cohort, course)
            for id_ in chance.sample(range(1, 7), 4)
        }
        server.cohorts = [cohort(id_, *ids) for (make, id_), ids in sent.items() if make is cohort]
        server.courses = [course(id_, *ids) for (make, id_), ids in sent.items() if make is course]
        report = run_sync(synced, "collections", server_id)

        listed = {(make.__name__, str(id_), it) for (make, id_), ids in sent.items() for it in ids}
        joined = {it for it in listed if it[2] in KNOWN}
        assert belonging(synced) == (joined, listed - joined)
        stayed = {it[:2] for it in joined | before[0] if (make_of(it[0]), int(it[1])) in sent}
        gone = {it for it in before[0] - joined if it[:2] in stayed}
        assert (report.counts["added"], report.counts["removed"]) == (len(joined - before[0]), len(gone))
        before = joined, listed - joined


def make_of(kind):
    return {"cohort": cohort, "course": course}[kind]


def test_statements_are_as_many_for_ten_members_as_for_hundreds(client, server, server_id):
    counted = []
    for size in (10, 400):
        server.people = [person(id_) for id_ in range(3, 3 + size)]
        run_sync(client, "users", server_id)
        everybody, strangers = range(3, 3 + size), range(1000, 1000 + size)
        server.cohorts = [cohort(size)]
        run_sync(client, "collections", server_id)
        one = []
        for sent in (everybody, everybody, [*everybody[2:], *strangers], everybody):
            server.cohorts = [cohort(size, *sent)]
            with listening(client.database.engine, without=OUTSIDE) as seen:
                assert run_sync(client, "collections", server_id).state == "done"
            one.append([each.split()[0] for each in seen if not each.startswith("FETCH")])
        counted.append(one)
    assert counted[0] == counted[1]


def test_what_is_unchanged_takes_as_many_statements_for_one_collection_as_for_fifty(
    synced, server, server_id
):
    counted = []
    for number in (1, 50):
        server.cohorts = [cohort(id_, *KNOWN, 99) for id_ in range(1, 1 + number)]
        run_sync(synced, "collections", server_id)
        with listening(synced.database.engine, without=OUTSIDE) as seen:
            report = run_sync(synced, "collections", server_id)
        assert lists.nonzero(report.counts) == {"unchanged": number}
        assert {each.split()[0] for each in seen} <= READING
        counted.append(len([each for each in seen if each.startswith("SELECT")]))
    assert counted[0] == counted[1]


def test_planning_only_reads(synced, server, server_id):
    server.cohorts = [cohort(1, *KNOWN, 99), cohort(2, 3)]
    run_sync(synced, "collections", server_id)
    server.cohorts = [cohort(1, 4, 98), cohort(3, 5)]

    with listening(synced.database.engine, without=OUTSIDE) as seen:
        report = run_sync(synced, "collections", server_id, dry_run=True)

    assert lists.nonzero(report.counts)["removed"] == len(KNOWN) - 1
    assert {each.split()[0] for each in seen} <= READING


def test_those_whose_account_is_deleted_in_the_table_alone_leave_and_are_waited_for(
    synced, server, server_id
):
    server.cohorts = [cohort(1, 3, 4)]
    run_sync(synced, "collections", server_id)
    with synced.unit() as session:
        key = session.scalar(select(Link.account_key).where(Link.person_id == 4))
        session.execute(update(Account).where(Account.id == key).values(deleted=1))

    run_sync(synced, "collections", server_id)

    assert belonging(synced) == ({("cohort", "1", 3)}, {("cohort", "1", 4)})


def test_who_is_not_listed_leaves_whatever_the_order_they_came_in(synced, server, server_id):
    server.cohorts = [cohort(1, *reversed(KNOWN))]
    run_sync(synced, "collections", server_id)
    stranger = KNOWN[-1] + 1
    server.people.append(person(stranger))
    run_sync(synced, "users", server_id)
    with synced.unit() as session:
        (audience,) = session.scalars(select(Audience.id))
        key = session.scalar(select(Link.account_key).where(Link.person_id == stranger))
        session.execute(insert(AudienceMember), {"audience_id": audience, "account_key": key})

    report = run_sync(synced, "collections", server_id)

    assert lists.nonzero(report.counts) == {"updated": 1, "removed": 1}
    assert belonging(synced)[0] == {("cohort", "1", id_) for id_ in KNOWN}


def test_a_plan_of_many_members_is_a_file_and_no_objects(synced, server, server_id, monkeypatch):
    kept = []
    whole = plan_collections.IdFile.keep
    monkeypatch.setattr(
        plan_collections.IdFile, "keep", lambda self, ids: kept.append(ids) or whole(self, ids)
    )
    server.cohorts = [cohort(1, *KNOWN, *range(100, 200))]
    run_sync(synced, "collections", server_id)
    assert [(type(ids), len(ids)) for ids in kept] == [
        (array, len(KNOWN)),
        (array, 0),
        (array, 100),
        (array, 0),
    ]


@pytest.mark.parametrize("end", ["", "]", "]}", "]}}x"])
def test_a_list_that_breaks_off_after_many_members_changes_nothing(
    synced, server, server_id, end, monkeypatch
):
    monkeypatch.setattr(stream, "PIECE", 500)
    server.cohorts = [cohort(1, 3, 4), cohort(2, 5)]
    run_sync(synced, "collections", server_id)
    before = lists.dump(synced)
    sent = {"status": "success", "data": {"cohort": [cohort(1, *KNOWN)], "course": []}}
    server.body = json.dumps(sent, separators=(",", ":")).encode().removesuffix(b"]}}") + end.encode()

    assert run_sync(synced, "collections", server_id).state == "failed"
    assert lists.dump(synced) == before


@pytest.mark.parametrize(
    "make_database", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)
def test_the_database_has_looked_at_the_members_that_a_first_run_made(synced, server, server_id, monkeypatch):
    many = apply_users.MANY
    server.cohorts = [cohort(1, *KNOWN, *range(100, 100 + many))]
    run_sync(synced, "collections", server_id)
    sizes = text("SELECT reltuples FROM pg_class WHERE oid = 'tconnect_awaited_member'::regclass")
    with synced.reading() as session:
        assert (
            session.scalar(sizes) == session.scalar(select(func.count()).select_from(AwaitedMember)) == many
        )
