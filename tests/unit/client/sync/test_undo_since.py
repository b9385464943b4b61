"""What was changed, taken or is gone since a run: undoing it leaves that, tells it, and brings back the rest."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest
from sqlalchemy import delete, event, select, update
from support import host_accounts
from support.client_site import ANOTHER_HASH, HASH, add_field, client_site
from support.lists import dump, field, framework, item, job, person, tombstone
from support.undoing import counts, tables, undo, went

from tconnect_pyramid.client.runs import offered
from tconnect_pyramid.client.sync import pause
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory import audiences
from tconnect_pyramid.errors import Conflict
from tconnect_pyramid.models import (
    AudienceMember,
    Course,
    Enrolment,
    Group,
    GroupMember,
    Job,
    Link,
    Position,
    ProfileField,
    ProfileValue,
    Run,
    Undo,
)
from tconnect_pyramid.secretbox import CannotDecrypt, SecretBox

LOCAL_HASH = "$2b$04$formerformerformerformerfo"


@pytest.fixture
def site(make_database):
    with client_site(make_database()) as made:
        made.set(removed_person="suspend")
        yield made


def resume(site):
    with site.context.unit() as session:
        pause.resume(session, site.context, "users", site.server.id, actor="command")


def jobs_of(site, person_id=3):
    return {each.idnumber: each.fullname for each in site.jobs(site.key(person_id))}


def give_job(site, idnumber, person_id=3, **values):
    """A job that somebody makes by hand."""
    with site.context.unit() as session:
        session.add(
            Job(
                account_key=site.key(person_id), idnumber=idnumber, fullname="By hand", sortorder=9,
                positionassignmentdate=1, timecreated=1, timemodified=1, **values,
            )
        )  # fmt: skip


def only_line(report):
    (line,) = report.lines
    return line.action, line.detail


# --- jobs ------------------------------------------------------------------------------------------------


def test_a_job_that_somebody_changed_since_stays(site):
    before, after = [job(7, "J7"), job(8, "J8")], [job(7, "J7", fullname="X"), job(8, "J8", fullname="Y")]
    run, _ = went(site, [person(3, jobs=before)], [person(3, jobs=after)])
    with site.context.unit() as session:
        session.execute(update(Job).where(Job.idnumber == "J7").values(fullname="By hand"))

    assert only_line(undo(site, run)) == (
        "updated",
        "changed since, and left: job; job J8, fullname: 'Y' → 'Job 8'",
    )
    assert jobs_of(site) == {"J7": "By hand", "J8": "Job 8"}


def test_where_all_was_changed_since_nothing_is_said_to_be_updated(site):
    run, _ = went(site, [person(3, jobs=[job(7, "J7")])], [person(3, jobs=[job(7, "J7", fullname="X")])])
    with site.context.unit() as session:
        session.execute(update(Job).values(fullname="By hand"))

    assert only_line(undo(site, run)) == ("skipped", "changed since, and left: job")


@pytest.mark.parametrize(
    ("after", "then"),
    [
        ([job(7, "J8")], {"J7": "By hand", "J8": "Job 7"}),
        ([], {"J7": "By hand"}),
    ],
    ids=["renamed", "removed"],
)
def test_a_job_whose_id_number_another_one_has_by_now_is_not_lost(site, after, then):
    run, _ = went(site, [person(3, jobs=[job(7, "J7")])], [person(3, jobs=after)])
    give_job(site, "J7")

    assert only_line(undo(site, run)) == ("skipped", "changed since, and left: job")
    assert jobs_of(site) == then
    # Which job of the server it is, is still known: the next run neither loses nor doubles it.
    resume(site)
    site.sync()
    assert jobs_of(site) == then


def test_id_numbers_that_were_handed_on_are_handed_back_and_stay_where_one_is_in_the_way(site):
    before = [job(7, "A"), job(8, "B"), job(9, "C")]
    after = [job(7, "B"), job(8, "C"), job(9, "D")]
    run, was = went(site, [person(3, jobs=before)], [person(3, jobs=after)])
    undo(site, run)
    assert tables(site) == was

    resume(site)
    again = site.sync()
    give_job(site, "A")
    # None of them can give way to the next one.
    assert only_line(undo(site, again)) == ("skipped", "changed since, and left: job")
    assert jobs_of(site) == {"A": "By hand", "B": "Job 7", "C": "Job 8", "D": "Job 9"}


def test_a_job_comes_back_without_a_position_that_is_gone(site):
    site.server.frameworks["positions"], site.server.items["positions"] = [framework(1)], [item(1, 1)]
    site.sync("positions")
    run, _ = went(site, [person(3, jobs=[job(7, "J7", positionid="1")])], [person(3, jobs=[])])
    with site.context.unit() as session:
        session.execute(delete(Position))

    assert only_line(undo(site, run)) == ("updated", "changed since, and left: position; job J7 added")
    with site.context.reading() as session:
        assert session.execute(select(Job.idnumber, Job.position_id)).all() == [("J7", None)]


def test_a_job_that_a_later_run_changed_stays_and_so_does_what_it_is_at_the_server(site):
    run, _ = went(site, [person(3)], [person(3, jobs=[job(7, "J7")])])
    site.server.people = [person(3, jobs=[job(7, "J7", fullname="Later")])]
    site.sync()

    assert only_line(undo(site, run)) == ("skipped", "changed since, and left: job")
    resume(site)
    assert site.sync().state == "done"
    assert jobs_of(site) == {"J7": "Later"}


# --- custom profile fields, memberships ------------------------------------------------------------------


def test_custom_fields_come_back_but_for_those_changed_since_or_gone(site):
    for name in ("one", "two", "three"):
        add_field(site, name)
    before, after = (
        [person(3, profile_fields=[field(name, value) for name in ("one", "two", "three")])]
        for value in ("old", "new")
    )
    run, _ = went(site, before, after)
    with site.context.unit() as session:
        ids = dict(session.execute(select(ProfileField.shortname, ProfileField.id)).all())
        session.execute(update(ProfileValue).where(ProfileValue.field_id == ids["two"]).values(data="hand"))
        session.execute(delete(ProfileField).where(ProfileField.id == ids["three"]))

    assert only_line(undo(site, run)) == (
        "updated",
        "changed since, and left: profile_value; one: 'new' → 'old'",
    )
    assert site.person(3)["fields"] == {"one": "old", "two": "hand"}


def test_who_was_deleted_comes_back_with_the_memberships_that_are_left(site):
    add_field(site, "one")
    people = [person(3, jobs=[job(7, "J7")], profile_fields=[field("one", "x")])]
    site.server.people = people
    site.sync()
    kept, gone = (
        site.do(audiences.add_audience, name=name, idnumber=name, actor="command") for name in ("A", "B")
    )
    key = site.key(3)
    with site.context.unit() as session:
        group = Group(name="G", idnumber="g", timecreated=1, timemodified=1)
        course = Course(fullname="C", shortname="c", idnumber="c", timecreated=1, timemodified=1, summary="")
        session.add_all([group, course])
        session.flush()
        session.add_all(
            [
                AudienceMember(account_key=key, audience_id=kept.id),
                AudienceMember(account_key=key, audience_id=gone.id),
                GroupMember(account_key=key, group_id=group.id),
                Enrolment(account_key=key, course_id=course.id),
            ]
        )
    models = [AudienceMember, GroupMember, Enrolment, ProfileValue, Job]
    was = dump(site.context, models)
    site.server.people = [tombstone(3)]
    run = site.sync()
    assert not any(dump(site.context, models).values())
    site.do(audiences.delete_audience, gone.id, actor="command")
    report = undo(site, run)

    assert only_line(report) == ("undeleted", "changed since, and left: audience_member")
    assert site.key(3) == key
    now = dump(site.context, models)
    was[AudienceMember.__tablename__] = [
        row for row in was[AudienceMember.__tablename__] if gone.id not in row
    ]
    assert now == was


def test_who_is_deleted_again_loses_what_they_got_since(site):
    site.server.people = [person(3)]
    site.sync()
    run, _ = went(site, [tombstone(3)], [person(3)])
    key = site.key(3)
    audience = site.do(audiences.add_audience, name="A", idnumber="a", actor="command")
    with site.context.unit() as session:
        session.add(AudienceMember(account_key=key, audience_id=audience.id))
    site.write(key, username="another", email="another@example.org", password=HASH)

    assert counts(undo(site, run)) == {"deleted": 1}
    shown = site.shown(key)
    assert shown["deleted"]
    assert shown["username"].startswith("deleted_")
    assert (shown["email"], shown["password"]) == ("", None)
    with site.context.reading() as session:
        assert session.scalars(select(AudienceMember.account_key)).all() == []


# --- accounts that were taken over, values that somebody else has by now ------------------------------------


def taken_over(site, **sent):
    site.set(migrate_accounts="true")
    key = site.add("ana", auth="manual", password=LOCAL_HASH, city="Ulm")
    site.server.people = [person(3, username="ana", city="Riga", **sent)]
    run = site.sync()
    assert counts(run) == {"linked": 1}
    return run, key


def test_a_former_password_comes_back_although_a_later_run_brought_another(site):
    run, key = taken_over(site, password=None)
    site.server.people = [person(3, username="ana", city="Riga", password=HASH)]
    site.sync()
    site.server.people = [person(3, username="ana", city="Riga", password=ANOTHER_HASH)]
    site.sync()
    undo(site, run)

    shown = site.shown(key)
    assert (shown["auth"], shown["password"], shown["city"]) == ("manual", LOCAL_HASH, "Ulm")


def test_a_taken_over_account_whose_user_name_was_changed_since_keeps_that(site):
    run, key = taken_over(site)
    site.write(key, username="anna")

    action, detail = only_line(undo(site, run))
    assert action == "updated"
    assert detail.startswith("is a local account again; auth: 'connect' → 'manual'; city: 'Riga' → 'Ulm'; ")
    assert detail.endswith("; password changed")
    assert LOCAL_HASH not in detail
    shown = site.shown(key)
    assert (shown["auth"], shown["password"], shown["city"]) == ("manual", LOCAL_HASH, "Ulm")
    assert shown["username"] == "anna"
    assert site.key(3) is None


def test_what_somebody_has_put_back_already_is_told_as_that(site):
    run, was = went(site, [person(3, jobs=[job(7, "J7")])], [person(3, jobs=[], city="Riga")])
    site.server.people = [person(3, city=was[0][site.key(3)]["city"])]
    site.sync()
    give_job(site, "J8")
    undone = undo(site, run)
    assert only_line(undone) == ("updated", "job J7 added")
    assert jobs_of(site) == {"J7": "Job 7", "J8": "By hand"}

    resume(site)
    run, was = went(site, [person(3)], [person(3, city="Riga")])
    site.write(site.key(3), city=was[0][site.key(3)]["city"])
    assert only_line(undo(site, run)) == ("skipped", "is as it was before the run already")


def test_who_was_deleted_stays_so_while_another_has_the_name_and_the_others_come_back(site):
    site.server.people = [person(3), person(4)]
    site.sync()
    name = site.person(3)["username"]
    run, _ = went(site, [person(3), person(4)], [tombstone(3), tombstone(4)])
    site.add(name)

    report = undo(site, run)
    assert {line.remote_id: (line.action, line.detail) for line in report.lines} == {
        3: ("skipped", f"the user name {name} belongs to another account now"),
        4: ("undeleted", ""),
    }


def test_an_id_number_or_address_that_somebody_else_has_by_now(site):
    site.set(sync_idnumber="true")
    before, after = [person(3, email="a@x.org")], [person(3, idnumber="new", email="b@x.org")]
    run, _ = went(site, before, after)
    site.add("other", idnumber="N3", email="a@x.org")
    report = undo(site, run)

    assert only_line(report) == (
        "updated",
        "changed since, and left: idnumber; email: 'b@x.org' → 'a@x.org'",
    )
    shown = site.person(3)
    # Several accounts may have one email address.
    assert (shown["idnumber"], shown["email"]) == ("new", "a@x.org")


def test_id_numbers_that_two_people_exchanged_are_exchanged_back(site):
    site.set(sync_idnumber="true")
    one, two = [person(3), person(4)], [person(3, idnumber="N4"), person(4, idnumber="N3")]
    run, was = went(site, one, two)
    undo(site, run)

    assert tables(site) == was


# --- who changed since ---------------------------------------------------------------------------------


@pytest.mark.parametrize("admin", [True, False])
@pytest.mark.parametrize(
    ("before", "after"),
    [([tombstone(3)], [person(3)]), ([person(3, suspended="1")], [person(3)]), ([], [person(3)])],
    ids=["undeleted", "unsuspended", "created"],
)
def test_administrators_and_protected_accounts_are_neither_suspended_nor_deleted(site, before, after, admin):
    if before:
        site.server.people = [person(3)]
        site.sync()
    run, _ = went(site, before, after)
    if admin:
        site.write(site.key(3), admin=True)
    else:
        site.set(protected_accounts=site.person(3)["username"])

    assert only_line(undo(site, run)) == (
        "skipped",
        "an administrator's or a protected account is neither suspended nor deleted",
    )
    assert site.state(3) == "live"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda site, key: site.drop_row(key), "the account is gone"),
        (lambda site, key: site.write(key, auth="manual"), "the account is not this person's any more"),
        (lambda site, key: site.write(key, deleted=1), "the account was deleted since"),
    ],
)
def test_an_account_that_is_another_thing_since_is_left(site, change, reason):
    run, _ = went(site, [person(3), person(4)], [person(3, city="Riga"), person(4, city="Riga")])
    change(site, site.key(3))

    report = undo(site, run)
    assert {line.remote_id: (line.action, line.detail) for line in report.lines} == {
        3: ("skipped", reason),
        4: ("updated", "city: 'Riga' → 'Wellington'"),
    }


@pytest.mark.parametrize("state", ["running", "failed", "held", "approved", "rejected", "undone"])
def test_a_run_in_another_state_is_refused_and_not_offered(site, state):
    run, _ = went(site, [person(3)], [person(3, city="Riga")])
    with site.context.unit() as session:
        assert offered(session, site.context, run.run).undo
        session.get(Run, run.run).state = state

    with pytest.raises(Conflict, match=f"its state is {state}"):
        undo(site, run)
    with site.context.reading() as session:
        assert not offered(session, site.context, run.run).undo


# --- newer runs, going on ----------------------------------------------------------------------------------


def test_runs_are_undone_in_any_order_and_going_on_ends_as_if_they_never_were(site):
    one = [person(3, jobs=[job(7, "J7")]), person(4), person(5, suspended="1")]
    two = [person(3, city="Riga", jobs=[job(7, "J7", fullname="X")]), tombstone(4), person(5)]
    three = [person(3, city="Bonn", jobs=[job(7, "J7", fullname="X")]), tombstone(4), person(5), person(6)]
    older, _ = went(site, one, two)
    newer, _ = went(site, two, three)
    end = tables(site)
    undo(site, older)
    undo(site, newer)
    assert tables(site) != end
    assert site.sync().state == "held"
    shown = run_sync(site.context, "users", site.server.id, dry_run=True)
    assert (shown.state, counts(shown)["updated"]) == ("planned", 1)
    resume(site)
    assert site.sync().state == "done"

    now = tables(site)
    for accounts in (now[0], end[0]):
        # The name of somebody who is deleted is drawn by lot.
        assert accounts[site.key(4)].pop("username").startswith("deleted_")
    assert now == end


# --- what is kept ----------------------------------------------------------------------------------------


def kept_of(site):
    with site.context.reading() as session:
        return [site.context.box.open(sealed) for sealed in session.scalars(select(Undo.sealed))]


def test_no_hash_is_kept_but_that_of_an_account_that_was_taken_over(site):
    run, _ = went(site, [person(3, password=HASH)], [person(3, password=ANOTHER_HASH, city="Riga")])
    went(site, [person(3, password=HASH)], [tombstone(3)])
    assert not any("$2y$" in kept for kept in kept_of(site))
    undo(site, run)

    resume(site)
    site.server.people = [tombstone(3)]
    site.set(migrate_accounts="true")
    site.add("ana", auth="manual", password=LOCAL_HASH)
    site.server.people = [tombstone(3), person(4, username="ana", password=HASH)]
    site.sync()
    assert any(LOCAL_HASH in kept for kept in kept_of(site))
    with site.context.reading() as session:
        for sealed in session.scalars(select(Undo.sealed)):
            assert LOCAL_HASH.encode() not in sealed


def test_no_hash_is_told(site, caplog):
    caplog.set_level(logging.DEBUG)
    run, _key = taken_over(site, password=HASH)
    reports = [undo(site, run, dry_run=True), undo(site, run)]
    said = json.dumps([[line.subject, line.detail, line.action] for each in reports for line in each.lines])

    for hash_ in (HASH, LOCAL_HASH):
        assert hash_ not in caplog.text
        assert hash_ not in said


def test_without_the_key_by_which_it_was_encrypted_it_is_refused_and_nothing_is_done(site):
    run, _ = went(site, [person(3)], [person(3, city="Riga")])
    box = site.context.box
    now = tables(site)
    site.context = replace(site.context, box=SecretBox(["another key that is long enough, surely"]))
    with pytest.raises(CannotDecrypt, match=r"tconnect\.secret_keys"):
        undo(site, run)
    assert tables(site) == now
    with site.context.reading() as session:
        assert pause.list_paused(session) == []

    site.context = replace(site.context, box=box)
    assert counts(undo(site, run)) == {"updated": 1}


def test_the_statements_of_a_batch_are_as_many_however_many_it_has(site):
    def statements(number):
        people = range(3, 3 + number)
        run, _ = went(
            site, [person(id_) for id_ in people], [person(id_, city=f"C{number}") for id_ in people]
        )
        seen = []
        event.listen(site.context.database.engine, "after_cursor_execute", lambda *_: seen.append(1))
        report = undo(site, run)
        assert counts(report) == {"updated": number}
        assert len([*report.lines]) == number
        resume(site)
        return len(seen)

    assert statements(2) == statements(300)


def test_links_of_another_run_are_left(site):
    site.server.people = [person(3)]
    site.sync()
    site.server.people = [person(id_) for id_ in range(3, 1210)]
    run = site.sync()

    report = undo(site, run)
    assert counts(report) == {"suspended": 1206}
    assert len({line.remote_id for line in report.lines}) == 1206
    assert site.state(3) == "live"
    with site.context.reading() as session:
        assert session.scalars(select(Link.person_id).where(~Link.suspended_by_sync)).all() == [3]


def test_on_a_hosts_own_table_too(make_database):
    columns = host_accounts.columns()
    with client_site(make_database(), accounts=columns, before=host_accounts.make_tables) as site:
        site.set(removed_person="suspend")
        one = [person(3, city="Ulm"), person(4), person(5), person(6, suspended="1")]
        two = [person(3, city="Riga"), tombstone(4), person(6), person(7)]
        run, was = went(site, one, two)
        report = undo(site, run)

        assert counts(report) == {
            "updated": 1, "undeleted": 1, "unsuspended": 1, "suspended": 2,
        }  # fmt: skip
        now = tables(site)
        new = now[0].pop(site.key(7))
        assert new["suspended"]
        assert now[0] == was[0]
