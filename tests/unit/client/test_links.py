"""One person's link: brought in step alone, ended, and made by an administrator."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from support import host_accounts
from support.client_site import FIRST, HASH, SECOND, client_site, photographed
from support.lists import TABLES, cohort, dump, job, nonzero, person, tombstone

from tconnect_pyramid.client import links, undo
from tconnect_pyramid.client.runs import show_run
from tconnect_pyramid.client.sync import lease
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound, SyncBusy
from tconnect_pyramid.models import AudienceMember, AuditEntry, Counterpart, GroupMember, Run, SignIn
from tconnect_pyramid.protocol import jsend

TC_3 = f"tc_3_{FIRST}"
MEMBERS = (AudienceMember, GroupMember)


@pytest.fixture
def site(make_database):
    with client_site(make_database()) as made:
        made.server.people = [person(3, city="Riga"), person(4)]
        made.sync()
        yield made


def sync(site, person_id=3, **how):
    return links.sync_person(site.context, site.server.id, person_id, origin="command", **how)


def unlink(site, key, **how):
    return links.unlink_person(site.context, key, actor="command", **how)


def relink(site, key, person_id=3, server=None, **how):
    server_id = (server or site.server).id
    return links.relink_person(
        site.context, key, server_id, person_id, origin="command", actor="command", **how
    )


def told(report):
    """What became of whom."""
    return [(line.action, line.remote_id) for line in report.lines]


def audited(site, action):
    with site.context.reading() as session:
        return session.scalars(select(AuditEntry).where(AuditEntry.action == action)).all()


# --- in step -------------------------------------------------------------------------------------------


def test_only_the_one_is_brought_in_step_and_it_is_a_run(site):
    site.server.people = [person(3, city="Oslo"), person(4, city="Oslo")]
    site.server.asked.clear()
    report = sync(site)

    assert (report.kind, report.state, told(report)) == ("users", "done", [("updated", 3)])
    assert site.server.asked == ["get_user"]
    assert (site.person(3)["city"], site.person(4)["city"]) == ("Oslo", "Wellington")
    kept = show_run(site.context, report.run)
    assert (kept.kind, kept.state, told(kept)) == ("users", "done", [("updated", 3)])
    assert "Only the person 3" in kept.message
    assert nonzero(sync(site).counts) == {"unchanged": 1}


def test_a_dry_run_changes_nothing(site):
    site.server.people = [person(3, city="Oslo")]
    before = dump(site.context, (*TABLES, Run))
    report = sync(site, dry_run=True)

    assert (report.state, report.run, told(report)) == ("planned", None, [("updated", 3)])
    assert dump(site.context, (*TABLES, Run)) == before


@pytest.mark.parametrize(
    ("mode", "people", "becomes"),
    [
        ("keep", [], "live"),
        ("suspend", [], "suspended"),
        ("delete", [], "deleted"),
        ("keep", [tombstone(3)], "deleted"),
        ("suspend", [person(3, suspended="1")], "suspended"),
    ],
)
def test_who_is_gone_is_treated_as_the_settings_say_and_nobody_else(site, mode, people, becomes):
    site.set(removed_person=mode)
    site.server.people = people
    assert sync(site).state == "done"

    assert (site.state(3), site.state(4)) == (becomes, "live")


def test_no_guard_holds_one_person_and_a_held_run_stays(site):
    with site.context.unit() as session:
        site.context.set_option(session, "guard.people", "0 0")
    site.server.people = []
    held = site.sync()
    assert (held.state, sync(site).state) == ("held", "done")
    assert site.state(3) == "suspended"
    assert show_run(site.context, held.run).state == "held"


def test_who_is_not_here_yet_is_brought(site):
    site.server.people = [person(3), person(5)]
    report = sync(site, 5)
    assert (told(report), site.person(5)["username"]) == ([("created", 5)], f"tc_5_{FIRST}")
    report = sync(site, 6)
    assert (told(report), site.person(6)) == ([], None)
    assert "nobody with the id 6" in report.message


def test_the_picture_comes_along_but_not_to_a_protected_account(site):
    site.server.people = [photographed(person(3)), photographed(person(4))]
    assert "picture" in sync(site).message
    assert site.person(3)["picture"] == 7
    assert "picture" not in sync(site).message
    site.set(protected_accounts=f"tc_4_{FIRST}")
    sync(site, 4)
    assert site.person(4)["picture"] == 0


def test_a_pause_after_undoing_does_not_hold_it(site):
    site.server.people = [person(3, city="Oslo"), person(4)]
    run = site.sync()
    undo.undo_run(site.context, run.run, actor="command")
    assert site.sync().state == "held"
    assert (sync(site).state, site.person(3)["city"]) == ("done", "Oslo")


def test_one_at_a_time(site):
    with lease.held(site.context, f"server:{site.server.id}", "somebody"), pytest.raises(SyncBusy):
        sync(site)


@pytest.mark.parametrize("data", [{}, [], {"user": []}, {"user": {**person(4)}}, {"user": person(3, id="x")}])
def test_an_answer_that_says_nothing_of_the_person_removes_nobody(site, data):
    site.set(removed_person="delete")
    site.server.answers["get_user"] = jsend.Success(data)
    assert sync(site).state == "failed"
    assert (site.state(3), site.state(4)) == ("live", "live")


def test_a_server_that_is_down_is_told(site):
    site.server.down = True
    report = sync(site)
    assert (report.state, "refused" in report.message) == ("failed", True)
    with pytest.raises(NotFound):
        links.sync_person(site.context, 99, 3, origin="command")


def test_it_says_the_same_as_the_list(site):
    """Afterwards a run of all finds the person in order, by the digest."""
    site.server.people = [person(3, city="Oslo", jobs=[job(30, "J")]), person(4)]
    sync(site)
    before = dump(site.context)
    assert nonzero(site.sync().counts) == {"unchanged": 2}
    assert dump(site.context) == before


# --- ended ---------------------------------------------------------------------------------------------


def test_an_account_stays_with_another_way_to_log_in(site):
    site.server.people = [person(3, password=HASH)]
    visit = site.sign_in(site.server.people[0])
    key = site.key(3)
    done = unlink(site, key, new_auth="nologin")

    shown = site.shown(key)
    assert (shown["auth"], shown["suspended"], shown["server"], site.key(3)) == ("nologin", False, None, None)
    assert (done.sign_ins, visit.signed_in) == (1, False)
    with site.context.reading() as session:
        assert session.scalars(select(SignIn.end_reason)).all() == ["left"]
    (entry,) = audited(site, "account.unlinked")
    assert (entry.subject, entry.detail["person"], entry.detail["id"]) == (TC_3, 3, key)
    with pytest.raises(Conflict, match="came from no server"):
        unlink(site, key)


def test_what_the_next_run_does_is_said_and_so_it_is(site):
    key = site.key(3)
    planned = unlink(site, key, dry_run=True)
    assert site.key(3) == key
    done = unlink(site, key)

    assert planned.outlook == done.outlook
    assert TC_3 in done.outlook[0]
    assert "another user name" in done.outlook[1]
    run = site.sync()
    assert (run.state, told(run)) == ("partial", [("skipped", 3)])


def test_with_another_user_name_the_person_gets_a_new_account(site):
    key = site.key(3)
    done = unlink(site, key, username="ana")
    assert done.outlook == ("A run now would make an account for this person.",)
    assert (done.account.username, told(site.sync())) == ("ana", [("created", 3)])
    assert site.key(3) != key


@pytest.mark.parametrize(("people", "says"), [([], "nothing about"), ([tombstone(3)], "nothing about")])
def test_nothing_comes_of_who_is_not_there_any_more(site, people, says):
    site.server.people = people
    (outlook,) = unlink(site, site.key(3)).outlook
    assert says in outlook
    assert site.sync().counts["created"] == 0


def test_what_would_be_linked_again_at_once_is_refused(site):
    site.set(migrate_accounts="true", account_mapping="email")
    key = site.key(3)
    for how in ({"dry_run": True}, {}):
        with pytest.raises(Conflict, match="email address"):
            unlink(site, key, **how)
    assert site.key(3) == key
    site.set(protected_accounts=TC_3)
    unlink(site, key)
    assert told(site.sync()) == [("skipped", 3)]


def test_a_server_that_is_down_hinders_nobody(site):
    site.server.down = True
    key = site.key(3)
    outlook = unlink(site, key).outlook
    assert (len(outlook), "not known" in outlook[0], TC_3 in outlook[1]) == (2, True, True)
    assert site.key(3) is None


@pytest.mark.parametrize("client_type", ["lms", "social"])
def test_memberships_and_jobs_are_let_go_and_come_back(make_database, client_type):
    with client_site(make_database(), client_type=client_type) as site:
        site.server.people = [person(3, jobs=[job(30, "J")]), person(4)]
        site.server.cohorts = [cohort(1, 3, 4)]
        for kind in ("users", "collections"):
            site.sync(kind)
        before = dump(site.context, MEMBERS)
        key = site.key(3)
        unlink(site, key)
        with site.context.reading() as session:
            assert session.scalars(select(Counterpart.remote_id)).all() == []
        members = dump(site.context, MEMBERS)
        assert before != members
        site.sync("collections")
        assert dump(site.context, MEMBERS) == members

        assert relink(site, key).state == "done"
        assert dump(site.context, MEMBERS) == before
        assert [each.idnumber for each in site.jobs(key)] == ["J"]
        assert nonzero(site.sync().counts) == {"unchanged": 2}


def test_user_names_are_checked(site):
    site.add("taken")
    for name, error in (("taken", Conflict), ("tc_9", InvalidInput), ("A b", InvalidInput)):
        with pytest.raises(error):
            unlink(site, site.key(3), username=name)
    assert site.person(3)["username"] == TC_3


def test_an_administrator_and_a_deleted_account_can_be_unlinked(site):
    admin, gone = site.key(3), site.key(4)
    site.write(admin, admin=True)
    with site.context.unit() as session:
        site.context.accounts.mark_deleted(session, [gone])
    unlink(site, admin)
    unlink(site, gone)
    assert (site.shown(admin)["auth"], site.shown(admin)["admin"]) == ("manual", True)
    assert (site.shown(gone)["deleted"], site.key(4)) == (True, None)


def test_not_while_a_run_is_under_way(site):
    with lease.held(site.context, f"server:{site.server.id}", "a run"):
        with pytest.raises(SyncBusy):
            unlink(site, site.key(3))
        assert unlink(site, site.key(3), dry_run=True).outlook
    assert site.key(3) is not None


# --- made ----------------------------------------------------------------------------------------------


def test_a_local_account_becomes_the_persons_and_that_can_be_undone(site):
    secret = "$2b$04$formerformerformerformerfo"
    key = site.add("ana", auth="manual", password=secret, city="Ulm")
    site.server.people.append(person(5, city="Oslo", password=HASH))
    planned = relink(site, key, 5, dry_run=True)
    assert (planned.state, told(planned), site.key(5)) == ("planned", [("linked", 5)], None)
    before = site.shown(key)
    report = relink(site, key, 5)

    assert (report.state, told(report), site.key(5)) == ("done", [("linked", 5)], key)
    (line,) = show_run(site.context, report.run).lines
    assert "as an administrator said" in line.detail
    shown = site.shown(key)
    assert (shown["username"], shown["auth"], shown["city"]) == ("ana", "connect", "Oslo")
    (entry,) = audited(site, "account.linked")
    assert (entry.subject, entry.detail["person"], entry.detail["run"]) == ("ana", 5, report.run)
    assert site.sync().counts["created"] == 0

    undo.undo_run(site.context, report.run, actor="command")
    after = site.shown(key)
    assert {**before, "timemodified": 0} == {**after, "timemodified": 0}
    assert site.key(5) is None


def test_migration_by_a_setting_does_not_choose_another(site):
    site.set(migrate_accounts="true", account_mapping="username")
    site.add("person5")
    key = site.add("ana")
    site.server.people.append(person(5))
    relink(site, key, 5)
    assert site.key(5) == key


def test_an_account_that_was_unlinked_by_mistake_is_given_back(site):
    key = site.key(3)
    before = site.shown(key)
    unlink(site, key)
    relink(site, key)
    after = site.shown(key)
    assert {name: after[name] for name in before} == before


def test_after_somebody_else_got_the_id(site):
    old = site.key(3)
    site.server.people[0].update(username="new", timecreated="5", firstname="New")
    assert told(site.sync()) == [("skipped", 3)]
    new = site.add("new")
    with pytest.raises(Conflict, match="unlink that one first"):
        relink(site, new)
    with pytest.raises(Conflict, match="already"):
        relink(site, old)
    unlink(site, old)
    assert (relink(site, new).state, site.key(3)) == ("done", new)
    assert nonzero(site.sync().counts) == {"unchanged": 2}


def test_whoever_got_the_id_does_not_come_into_the_audiences_of_the_one_who_had_it(site):
    site.server.cohorts = [cohort(1, 3, 4)]
    site.sync("collections")
    site.server.people[0].update(username="new", timecreated="5")
    unlink(site, site.key(3), username="old")
    site.sync()
    (staff,) = site.sets().values()
    assert list(staff.members) == [site.key(4)]
    site.sync("collections")
    (staff,) = site.sets().values()
    assert sorted(staff.members) == sorted([site.key(3), site.key(4)])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"admin": True}, "administrator"),
        ({"username": "boss"}, "protected_accounts"),
        ({"username": "guest"}, "nobody in particular"),
        ({"auth": "connect"}, "without its server"),
        ({"deleted": 1}, "deleted"),
    ],
)
def test_who_is_never_taken_over(site, fields, says):
    site.set(protected_accounts="boss")
    key = site.add(**fields)
    site.server.people.append(person(5))
    before = dump(site.context)
    for how in ({}, {"dry_run": True}):
        with pytest.raises(Conflict, match=says):
            relink(site, key, 5, **how)
    assert dump(site.context) == before


def test_the_account_of_another_person_is_refused(site):
    other = site.connect(SECOND, "http://other.example")
    with pytest.raises(Conflict, match="unlink it first"):
        relink(site, site.key(4), 3, other)
    with pytest.raises(NotFound):
        relink(site, 999)


@pytest.mark.parametrize(
    ("people", "says"),
    [
        ([], "nobody with that id"),
        ([tombstone(5)], "deleted there"),
        ([person(5, username="guest")], "in particular"),
    ],
)
def test_nobody_can_be_given_an_account_who_is_not_there(site, people, says):
    key = site.add("ana")
    site.server.people = people
    report = relink(site, key, 5)
    assert (report.state, says in report.message) == ("failed", True)
    assert (site.key(5), site.shown(key)["auth"]) == (None, "manual")


def test_a_record_that_cannot_be_used_is_skipped(site):
    key = site.add("ana")
    site.server.people = [person(5, username="x" * 101)]
    report = relink(site, key, 5)
    assert (report.state, told(report), site.key(5)) == ("partial", [("skipped", 5)], None)


def test_a_row_that_is_gone_keeps_nobody_from_another_account(site):
    site.drop_row(site.key(3))
    key = site.add("ana")
    assert (relink(site, key).state, site.key(3)) == ("done", key)


def test_an_account_that_became_an_administrators_meanwhile_is_left(site):
    key = site.add("ana")
    site.server.people.append(person(5))
    site.server.on_call = lambda: site.write(key, admin=True)
    report = relink(site, key, 5)
    assert (report.state, "administrator" in report.message) == ("failed", True)


def test_on_a_hosts_own_table(make_database):
    host = {"accounts": host_accounts.columns(), "before": host_accounts.make_tables}
    with client_site(make_database(), **host) as site:
        site.server.people = [person(3), person(4)]
        site.sync()
        key = site.key(3)
        with pytest.raises(InvalidInput, match="choose manual"):
            unlink(site, key, new_auth="nologin")
        done = unlink(site, key, username="ana")
        assert done.outlook == ("A run now would make an account for this person.",)
        site.server.people[0]["city"] = "Oslo"
        assert relink(site, key).state == "done"
        shown = site.shown(key)
        assert (shown["username"], shown["city"], shown["person_id"]) == ("ana", "Oslo", 3)
        site.server.people = []
        assert told(sync(site)) == [("suspended", 3)]
        assert (site.shown(key)["suspended"], site.state(4)) == (True, "live")


# --- who is meant --------------------------------------------------------------------------------------


def test_who_is_meant(site):
    first = site.server.id
    assert links.find_person(site.context, TC_3) == (first, 3)
    assert links.find_person(site.context, "person:8") == (first, 8)
    for who in ("person:x", "person:0"):
        with pytest.raises(InvalidInput):
            links.find_person(site.context, who)
    site.add("ana")
    with pytest.raises(Conflict, match="came from no server"):
        links.find_person(site.context, "ana")
    other = site.connect(SECOND, "http://other.example")
    with pytest.raises(InvalidInput, match="several servers"):
        links.find_person(site.context, "person:8")
    assert links.find_person(site.context, "person:8", SECOND) == (other.id, 8)
    with pytest.raises(Conflict, match="came from"):
        links.find_person(site.context, TC_3, SECOND)
