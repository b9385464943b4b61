"""An id that has become somebody else's at the server, as after its database was restored, changes nobody's account."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update
from support.client_site import client_site, lines
from support.lists import TABLES, cohort, dump, nonzero, person, tombstone

from tconnect_pyramid import people
from tconnect_pyramid.client.linked import SOMEBODY_ELSE
from tconnect_pyramid.client.links import unlink_person
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.client.sync.plan_collections import IN_DOUBT
from tconnect_pyramid.errors import BadRecord
from tconnect_pyramid.models import Audience, AudienceMember, AwaitedMember, Link

OTHERS = tuple(table for table in TABLES if table is not Link)
ADDED, LATER = "1700000000", "1750000000"


@pytest.fixture
def site(make_database):
    with client_site(make_database()) as made:
        made.server.people = [ana(), person(4, timecreated=ADDED)]
        made.server.cohorts = [cohort(1, 3)]
        assert made.sync().state == "done"
        yield made


def ana(**more):
    return person(3, username="ana", timecreated=ADDED, **more)


def boris(**more):
    return person(3, username="boris", timecreated=LATER, email="boris@example.com", city="Riga", **more)


def doubts(site):
    with site.context.reading() as session:
        rows = session.execute(select(Link.person_id, Link.in_doubt))
        return {person_id: in_doubt for person_id, in_doubt in rows}  # noqa: C416 - no pairs to mypy


def identities(site):
    with site.context.reading() as session:
        asked = select(Link.person_id, Link.person_username, Link.person_timecreated).order_by(Link.person_id)
        return [tuple(row) for row in session.execute(asked)]


def counts(site, **how):
    return nonzero(run_sync(site.context, "users", site.server.id, **how).counts)


@pytest.mark.parametrize("another", [boris(), boris(suspended="1"), tombstone(3, timecreated=LATER)])
def test_somebody_else_is_skipped_by_each_run_and_told(site, another):
    before = dump(site.context, OTHERS)
    site.server.people = [another, person(4, timecreated=ADDED)]

    for reconcile in (False, False, True):
        report = run_sync(site.context, "users", site.server.id, reconcile=reconcile)
        assert report.state == "partial"
        assert nonzero(report.counts) == {"skipped": 1, "unchanged": 1}
        assert lines(report)[3] == f"skipped: {SOMEBODY_ELSE}"
        assert dump(site.context, OTHERS) == before
        assert doubts(site) == {3: True, 4: False}


def memberships(site):
    """Which people belong to which audience, by its name."""
    with site.context.reading() as session:
        rows = session.execute(
            select(Audience.name, Link.person_id)
            .join(AudienceMember, AudienceMember.audience_id == Audience.id)
            .join(Link, Link.account_key == AudienceMember.account_key)
        )
        found: dict[str, set[int]] = {}
        for name, person_id in rows:
            found.setdefault(name, set()).add(person_id)
        return found


def awaited(site):
    with site.context.reading() as session:
        return {*session.scalars(select(AwaitedMember.person_id))}


def test_the_account_in_doubt_keeps_its_memberships_until_it_is_known_whose_it_is(site):
    site.server.cohorts = [cohort(1, 3, 4), cohort(2, 4), cohort(3, 3, 4)]
    assert site.sync("collections").state == "done"
    assert memberships(site) == {"Audience 1": {3, 4}, "Audience 2": {4}, "Audience 3": {3, 4}}
    site.server.people = [boris(), person(4, timecreated=ADDED)]
    site.sync()
    site.server.cohorts = [cohort(1, 4), cohort(2, 3), cohort(3, 3, 4, 5)]

    for _again in range(2):
        report = site.sync("collections")
        assert report.state == "partial"
        assert [(line.remote_id, line.subject) for line in report.lines if line.action == "skipped"] == [
            (3, "person 3")
        ]
        assert lines(report)[3] == f"skipped: {IN_DOUBT}"
        # Who is not in doubt goes and comes.
        assert memberships(site) == {"Audience 1": {3, 4}, "Audience 3": {3, 4}}
        assert awaited(site) == {5}

    site.server.people = [ana(), person(4, timecreated=ADDED)]
    assert counts(site) == {"unchanged": 2}
    assert doubts(site) == {3: False, 4: False}
    assert site.sync("collections").state == "done"
    assert memberships(site) == {"Audience 1": {4}, "Audience 2": {3}, "Audience 3": {3, 4}}


def test_audiences_do_not_await_an_id_in_doubt_that_is_unlinked_while_the_server_is_down(site):
    assert site.sync("collections").state == "done"
    assert memberships(site) == {"Audience 1": {3}}
    site.server.people = [boris(), person(4, timecreated=ADDED)]
    site.sync()
    assert doubts(site)[3]
    site.server.down = True

    unlink_person(site.context, site.key(3), actor="command")

    assert memberships(site) == {}
    assert awaited(site) == set()


def test_what_leaves_no_membership_as_it_is_needs_no_line(site):
    site.sync("collections")
    site.server.people = [boris(), person(4, timecreated=ADDED)]
    site.sync()

    assert site.sync("collections").state == "done"
    assert memberships(site) == {"Audience 1": {3}}


def test_where_the_account_in_doubt_is_deleted_the_new_one_gets_the_memberships(site):
    site.sync("collections")
    site.server.people = [boris(), person(4, timecreated=ADDED)]
    site.sync()
    old = site.key(3)
    site.do(people.delete_person, old)

    assert counts(site) == {"created": 1, "unchanged": 1}
    assert doubts(site) == {3: False, 4: False}
    assert site.sync("collections").state == "done"
    assert site.key(3) != old
    assert memberships(site) == {"Audience 1": {3}}


@pytest.mark.parametrize(
    ("mode", "done"),
    [
        ("suspend", {"suspended": 1, "unchanged": 1}),
        ("delete", {"deleted": 1, "unchanged": 1}),
        ("keep", {"unchanged": 2}),
    ],
)
def test_who_is_in_doubt_and_listed_no_more_is_treated_as_anybody_who_is_missing(site, mode, done):
    site.set(removed_person=mode)
    site.server.people = [boris(), person(4, timecreated=ADDED)]
    site.sync()
    site.server.people = [person(4, timecreated=ADDED)]

    assert counts(site) == done
    assert doubts(site) == {3: False, 4: False}


def test_who_is_there_again_is_as_before(site):
    site.server.people = [boris(), person(4, timecreated=ADDED)]
    site.sync()
    site.server.people = [ana(), person(4, timecreated=ADDED)]

    assert counts(site) == {"unchanged": 2}


@pytest.mark.parametrize(
    "same",
    [
        person(3, username="ana.new", timecreated=ADDED, city="Riga"),
        person(3, username="ana", timecreated=LATER, city="Riga"),
        # Nobody knows when.
        person(3, username="ana.new", timecreated="0", city="Riga"),
    ],
)
def test_who_differs_in_one_of_them_is_the_same_and_known_by_both_from_then_on(site, same):
    site.server.people = [same, person(4, timecreated=ADDED)]

    assert counts(site) == {"updated": 1, "unchanged": 1}

    assert site.person(3)["city"] == "Riga"
    assert identities(site)[0] == (3, same["username"], int(same["timecreated"]))


def test_the_links_of_an_older_release_learn_it_silently(site):
    known = identities(site)
    with site.context.unit() as session:
        session.execute(update(Link).values(person_username=None, person_timecreated=None, digest=None))

    assert counts(site) == {"unchanged": 2}
    assert identities(site) == known


def test_who_is_deleted_and_comes_back_is_known_by_the_name_of_before(site):
    known = identities(site)
    site.server.people = [tombstone(3, timecreated=ADDED), person(4, timecreated=ADDED)]
    assert counts(site) == {"deleted": 1, "unchanged": 1}
    assert identities(site) == known
    site.server.people = [ana(), person(4, timecreated=ADDED)]
    assert counts(site) == {"undeleted": 1, "unchanged": 1}


@pytest.mark.parametrize("arrives", ["by the sync", "by signing in"])
def test_where_the_account_is_deleted_somebody_else_gets_a_new_one(site, arrives):
    old = site.key(3)
    site.do(people.delete_person, old)
    site.server.people = [boris(), person(4, timecreated=ADDED)]

    if arrives == "by the sync":
        assert counts(site) == {"created": 1, "unchanged": 1}
    else:
        assert site.sign_in(boris()).signed_in

    assert site.key(3) != old
    assert site.person(3)["city"] == "Riga"
    assert site.shown(old)["deleted"]
    assert identities(site)[0] == (3, "boris", int(LATER))


def test_somebody_else_cannot_sign_in(site):
    before = dump(site.context)

    visit = site.sign_in(boris())

    assert not visit.signed_in
    assert "the id is somebody else's at the server now" in visit.page.text.replace("&#39;", "'")
    with pytest.raises(BadRecord, match="somebody else's"):
        site.refresh(boris())
    assert dump(site.context) == before


def test_a_sign_in_keeps_who_somebody_is(site):
    new = person(5, username="cleo", timecreated=ADDED)
    assert site.sign_in(new).signed_in
    assert identities(site)[-1] == (5, "cleo", int(ADDED))

    assert site.sign_in({**new, "username": "cleopatra"}).signed_in
    assert identities(site)[-1] == (5, "cleopatra", int(ADDED))
    # Both together would be somebody else: each is compared with what was said last.
    assert site.sign_in({**new, "username": "cleopatra", "timecreated": LATER}).signed_in
    assert not site.sign_in({**new, "username": "caesar", "timecreated": ADDED}).signed_in


def test_one_whose_account_is_taken_over_is_known_from_then_on(make_database):
    options = [("client.migrate_accounts", "true"), ("client.account_mapping", "email")]
    with client_site(make_database(), options=options) as site:
        site.add("local", email="boris@example.com")
        site.server.people = [boris()]
        assert counts(site) == {"linked": 1}
        assert identities(site) == [(3, "boris", int(LATER))]
