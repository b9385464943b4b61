"""The collections sync: audiences that keep their id, and members of this server only (protocol 9)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import delete, select, update
from support import lists
from support.lists import cohort, course, person

from tconnect_pyramid import people
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.models import (
    Account,
    Audience,
    AudienceMember,
    AwaitedMember,
    Client,
    ClientAudience,
    Collection,
    Group,
    GroupMember,
    Link,
)

SERVER = "5" * 40
PEOPLE = (3, 4, 5)


@pytest.fixture
def synced(client, server, server_id):
    """The client after the users sync of `PEOPLE`."""
    server.people = [person(id_) for id_ in PEOPLE]
    run_sync(client, "users", server_id)
    return client


def sync(client, server_id):
    return run_sync(client, "collections", server_id)


def audiences(context, item=Audience):
    with context.reading() as session:
        return {row.idnumber: row for row in session.scalars(select(item))}


def members(context, idnumber, item=Audience, member=AudienceMember, owner="audience_id"):
    """The people of a server, or the user names of others, who belong to an audience."""
    with context.reading() as session:
        found = session.execute(
            select(Link.person_id, Account.username)
            .select_from(member)
            .join(item, item.id == getattr(member, owner))
            .join(Account, Account.id == member.account_key)
            .outerjoin(Link, Link.account_key == Account.id)
            .where(item.idnumber == idnumber)
        )
        return {person_id or username for person_id, username in found}


def awaited(context):
    with context.reading() as session:
        return set(session.scalars(select(AwaitedMember.person_id)))


def local_person(context, username="local"):
    with context.unit() as session:
        return people.add_person(
            session, context, username=username, email="l@example.com", firstname="L", lastname="L"
        ).key


def test_collections_become_audiences_named_and_described_as_on_the_server(synced, server, server_id):
    server.cohorts = [cohort(1, 3, 4, name="Alle Ångström", description="<p>Hi<script>x()</script></p>")]
    server.courses = [course(1, 5, fullname="Feuer & Flamme", summary="<b>Stop</b>")]

    report = sync(synced, server_id)

    assert report.state == "done"
    assert lists.nonzero(report.counts) == {"created": 2, "added": 3}
    made = audiences(synced)
    staff, fire = made[f"tc_cohort_1_{SERVER}"], made[f"tc_course_1_{SERVER}"]
    assert (staff.name, staff.description, staff.component) == (
        "Alle Ångström",
        "<p>Hi</p>",
        "auth_connect",
    )
    assert (fire.name, fire.description, fire.component) == (
        "Feuer & Flamme",
        "<b>Stop</b>",
        "auth_connect",
    )
    assert members(synced, staff.idnumber) == {3, 4}
    assert members(synced, fire.idnumber) == {5}


def test_a_client_of_this_site_that_gets_each_new_audience_gets_those_of_a_sync(synced, server, server_id):
    """A site may hold both roles (protocol 2 and 8)."""
    with synced.unit() as session:
        for number, wants in ((1, True), (2, False)):
            session.add(
                Client(
                    state="active",
                    name="C",
                    url=f"http://c{number}.example",
                    idnumber=str(number) * 40,
                    client_secret=b"",
                    server_secret_hash=str(number),
                    add_new_audiences=wants,
                    timecreated=1,
                    timemodified=1,
                )
            )
    server.cohorts = [cohort(1, 3), cohort(2, 4)]

    def offered():
        with synced.reading() as session:
            return session.execute(
                select(Client.url, Audience.idnumber)
                .join(ClientAudience, ClientAudience.client_id == Client.id)
                .join(Audience, Audience.id == ClientAudience.audience_id)
                .order_by(Audience.idnumber)
            ).all()

    sync(synced, server_id)
    sync(synced, server_id)
    assert offered() == [("http://c1.example", f"tc_cohort_{number}_{SERVER}") for number in (1, 2)]

    server.cohorts = [cohort(2, 4)]
    sync(synced, server_id)
    assert offered() == [("http://c1.example", f"tc_cohort_2_{SERVER}")]


def test_an_audience_keeps_its_id_through_every_change(synced, server, server_id):
    server.courses = [course(1, 3)]
    sync(synced, server_id)
    (before,) = audiences(synced).values()
    synced.clock.tick(60)
    server.courses = [course(1, 4, fullname="New name", summary="New text")]

    report = sync(synced, server_id)

    (after,) = audiences(synced).values()
    assert lists.nonzero(report.counts) == {"updated": 1, "added": 1, "removed": 1}
    assert (after.id, after.name, after.description) == (before.id, "New name", "New text")
    assert (after.timecreated, after.timemodified) == (before.timecreated, synced.clock())
    assert members(synced, after.idnumber) == {4}


def test_a_collection_that_is_not_sent_any_more_is_deleted_with_its_members(synced, server, server_id):
    server.cohorts = [cohort(1, 3), cohort(2, 3, 999)]
    sync(synced, server_id)
    server.cohorts = [cohort(1, 3)]

    report = sync(synced, server_id)

    assert lists.nonzero(report.counts) == {"deleted": 1, "unchanged": 1}
    assert audiences(synced).keys() == {f"tc_cohort_1_{SERVER}"}
    assert awaited(synced) == set()
    with synced.reading() as session:
        assert len(session.scalars(select(Collection.id)).all()) == 1
        assert len(session.scalars(select(AudienceMember.account_key)).all()) == 1


def test_hand_added_members_of_others_stay_and_our_own_follow_the_server(synced, server, server_id):
    server.cohorts = [cohort(1, 3)]
    sync(synced, server_id)
    key = local_person(synced)
    with synced.unit() as session:
        (audience_id,) = session.scalars(select(Audience.id))
        linked = session.scalar(select(Link.account_key).where(Link.person_id == 5))
        for account_key in (key, linked):
            session.add(AudienceMember(audience_id=audience_id, account_key=account_key))

    report = sync(synced, server_id)

    assert lists.nonzero(report.counts) == {"updated": 1, "removed": 1}
    assert members(synced, f"tc_cohort_1_{SERVER}") == {3, "local"}


def test_audiences_made_by_hand_are_left_alone(synced, server, server_id):
    with synced.unit() as session:
        session.add(Audience(name="Own", idnumber="tc_cohort_7", timecreated=1, timemodified=1))
    server.cohorts = [cohort(1, 3)]

    sync(synced, server_id)
    server.cohorts = [cohort(2, 3)]
    sync(synced, server_id)

    assert audiences(synced).keys() == {"tc_cohort_7", f"tc_cohort_2_{SERVER}"}


def test_suspended_people_belong_and_deleted_ones_do_not(synced, server, server_id):
    with synced.unit() as session:
        keys = dict(session.execute(select(Link.person_id, Link.account_key)).all())
        people.suspend(session, synced, keys[3])
        people.delete_person(session, synced, keys[4])
    server.cohorts = [cohort(1, 3, 4, 5)]

    sync(synced, server_id)

    assert members(synced, f"tc_cohort_1_{SERVER}") == {3, 5}
    assert awaited(synced) == {4}


def test_members_not_known_here_are_awaited_until_they_are_not_sent_any_more(synced, server, server_id):
    server.cohorts = [cohort(1, 3, 8, 9)]
    sync(synced, server_id)
    assert awaited(synced) == {8, 9}
    server.cohorts = [cohort(1, 3, 9)]

    report = sync(synced, server_id)

    assert awaited(synced) == {9}
    assert lists.nonzero(report.counts) == {"unchanged": 1}


def test_the_order_of_the_two_syncs_makes_no_difference(client, server, server_id):
    server.people = [person(id_) for id_ in PEOPLE]
    server.cohorts = [cohort(1, *PEOPLE)]

    sync(client, server_id)
    run_sync(client, "users", server_id)

    assert members(client, f"tc_cohort_1_{SERVER}") == set(PEOPLE)
    assert awaited(client) == set()
    assert lists.nonzero(sync(client, server_id).counts) == {"unchanged": 1}


def test_a_second_sync_changes_nothing(synced, server, server_id):
    server.cohorts = [cohort(1, 3, 4), cohort(2)]
    server.courses = [course(1, 5, 77), course(2, 3)]
    sync(synced, server_id)
    before = lists.dump(synced)
    synced.clock.tick(3600)

    report = sync(synced, server_id)

    assert lists.dump(synced) == before
    assert lists.nonzero(report.counts) == {"unchanged": 4}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (cohort(1, 3, members=None), "members is not a list"),
        (cohort(1, 3, members=[{"id": "3"}, {"id": "x"}]), "member 2 of 2 has no usable id"),
        (cohort(1, 3, name=None), "name is missing"),
        (cohort(1, 3, name="x" * 10_000_000), "name has 10000000 characters, more than 254"),
    ],
)
def test_a_bad_record_is_skipped_and_its_audience_untouched(synced, server, server_id, bad, reason):
    server.cohorts = [cohort(1, 3), cohort(2)]
    sync(synced, server_id)
    server.cohorts = [bad, cohort(2, 4)]

    report = sync(synced, server_id)

    assert report.state == "partial"
    assert lists.nonzero(report.counts) == {"updated": 1, "skipped": 1, "added": 1}
    assert [line.detail for line in report.lines if line.action == "skipped"] == [reason]
    assert members(synced, f"tc_cohort_1_{SERVER}") == {3}


def test_of_two_records_with_one_id_the_first_is_used(synced, server, server_id):
    server.cohorts = [cohort(1, 3), cohort(1, 4)]

    report = sync(synced, server_id)

    assert report.state == "partial"
    assert members(synced, f"tc_cohort_1_{SERVER}") == {3}


def test_a_record_without_an_id_may_be_any_of_its_kind_so_none_of_them_is_gone(synced, server, server_id):
    server.cohorts = [cohort(1, 3)]
    server.courses = [course(1, 3)]
    sync(synced, server_id)
    server.cohorts = [{"name": "no id", "members": []}]
    server.courses = [course(2, 3)]

    report = sync(synced, server_id)

    assert lists.nonzero(report.counts) == {
        "created": 1,
        "deleted": 1,
        "skipped": 1,
        "unchanged": 1,
        "added": 1,
    }
    assert audiences(synced).keys() == {f"tc_cohort_1_{SERVER}", f"tc_course_2_{SERVER}"}


def test_an_audience_whose_row_is_gone_is_made_again(synced, server, server_id):
    server.cohorts = [cohort(1, 3)]
    sync(synced, server_id)
    with synced.unit() as session:
        session.execute(delete(Audience))

    report = sync(synced, server_id)

    assert lists.nonzero(report.counts) == {"created": 1, "added": 1}
    assert members(synced, f"tc_cohort_1_{SERVER}") == {3}
    assert lists.nonzero(sync(synced, server_id).counts) == {"unchanged": 1}


def test_an_audience_that_is_not_the_one_that_was_made_is_never_written_to(synced, server, server_id):
    server.cohorts = [cohort(1, 3)]
    sync(synced, server_id)
    with synced.unit() as session:
        session.execute(update(Audience).values(idnumber="SOMEBODY ELSE'S", name="Kept", component=""))

    sync(synced, server_id)
    server.cohorts = [cohort(2)]
    sync(synced, server_id)

    found = audiences(synced)
    assert found.keys() == {"SOMEBODY ELSE'S", f"tc_cohort_2_{SERVER}"}
    assert found["SOMEBODY ELSE'S"].name == "Kept"


def test_on_a_social_site_collections_become_groups(client, server, server_id):
    site = replace(client, settings=replace(client.settings, client_type="social"))
    server.people = [person(3), person(4)]
    server.cohorts = [cohort(1, 3, 8), cohort(2)]

    run_sync(site, "users", server_id)
    sync(site, server_id)
    server.people.append(person(8))
    run_sync(site, "users", server_id)
    server.cohorts = [cohort(1, 3, 8)]
    sync(site, server_id)

    assert audiences(site) == {}
    assert audiences(site, Group).keys() == {f"tc_cohort_1_{SERVER}"}
    assert members(site, f"tc_cohort_1_{SERVER}", Group, GroupMember, "group_id") == {3, 8}
