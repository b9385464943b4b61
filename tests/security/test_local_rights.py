"""What a hostile server may not do: take, change, lock out or delete whom this site relies on, or give anybody rights."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update
from support.client_site import ANOTHER_HASH, add_field, client_site, lines
from support.lists import cohort, course, field, job, nonzero, person, tombstone

from tconnect_pyramid import people
from tconnect_pyramid.directory import audiences
from tconnect_pyramid.errors import Conflict
from tconnect_pyramid.models import Account, AudienceMember

RIGHTS = {
    "admin": "1",
    "siteadmin": "1",
    "is_admin": True,
    "role": "manager",
    "roles": ["admin"],
    "capabilities": ["tconnect.admin"],
    "trustbitmask": "1",
    "auth": "manual",
    "policyagreed": "1",
    "account_key": "1",
    "protected": "1",
}
OF_THE_KEPT = [{"city": "Elsewhere"}, {"email": "thief@example.com"}, {"password": ANOTHER_HASH}]
SUSPENDS, DELETES, LISTS_NOT = "suspends", "deletes", "does not list"


@pytest.fixture
def site(make_database):
    """A client with three of the server's people: 3 is an administrator here, 4 protected, 5 anybody."""
    with client_site(make_database(), options=[("client.sync_idnumber", "true")]) as made:
        add_field(made, "badge")
        made.server.people = [full(id_) for id_ in (3, 4, 5)]
        assert made.sync().state == "done"
        made.do(people.set_admin, made.key(3), True)
        made.set(protected_accounts=made.person(4)["username"])
        assert nonzero(made.sync().counts) == {"unchanged": 3}
        yield made


def full(id_, **more):
    return person(id_, jobs=[job(id_, f"J{id_}")], profile_fields=[field("badge", f"B{id_}")], **more)


def kept(site):
    return [site.person(id_) for id_ in (3, 4)]


@pytest.mark.parametrize("fields", [*OF_THE_KEPT, {"idnumber": "X"}], ids=lambda it: next(iter(it)))
@pytest.mark.parametrize("reconciles", [False, True])
def test_administrators_and_protected_accounts_are_not_changed(site, fields, reconciles):
    before = kept(site)
    site.server.people = [
        person(
            id_,
            jobs=[],
            profile_fields=[],
            **fields,
            **({} if "idnumber" in fields else {"idnumber": f"Y{id_}"}),
        )
        for id_ in (3, 4)
    ] + [full(5)]

    report = site.sync()

    assert report.state == "done"
    assert kept(site) == before
    assert {"updated", "suspended", "deleted"}.isdisjoint(nonzero(report.counts))
    if "idnumber" not in fields:
        told = lines(report)
        assert "they are an administrator of this site" in told[3]
        assert "tconnect.client.protected_accounts lists the account" in told[4]


@pytest.mark.parametrize("mode", ["keep", "suspend", "delete"])
@pytest.mark.parametrize("what", [SUSPENDS, DELETES, LISTS_NOT])
def test_administrators_and_protected_accounts_are_not_suspended_or_deleted(site, mode, what):
    site.set(removed_person=mode)
    before = kept(site)
    gone = {
        SUSPENDS: [full(3, suspended="1"), full(4, suspended="1")],
        DELETES: [tombstone(3), tombstone(4)],
        LISTS_NOT: [],
    }
    site.server.people = [*gone[what], full(5)]

    for _ in range(2):
        report = site.sync()
        assert {"updated", "suspended", "deleted"}.isdisjoint(nonzero(report.counts))
        assert kept(site) == before


def test_signing_in_changes_nothing_of_them(site):
    before = [{**it, "lastlogin": 0} for it in kept(site)]
    for id_ in (3, 4):
        record = full(id_, email="thief@example.com", firstname="Thief", password=ANOTHER_HASH)
        assert site.sign_in(record).signed_in
        assert site.refresh(record)

    for was, now in zip(before, kept(site), strict=True):
        changed = {name for name in was if was[name] != now[name]}
        assert changed <= {"firstaccess", "lastaccess", "lastlogin", "currentlogin", "lastip"}


def test_who_is_an_administrator_no_longer_is_synchronised_again(site):
    site.server.people = [full(3, city="Elsewhere"), full(4, city="Elsewhere"), full(5)]
    assert nonzero(site.sync().counts) == {"skipped": 2, "unchanged": 1}

    site.do(people.set_admin, site.key(3), False)
    site.set(protected_accounts="")

    assert nonzero(site.sync().counts) == {"updated": 2, "unchanged": 1}
    assert [it["city"] for it in kept(site)] == ["Elsewhere", "Elsewhere"]


def test_no_sync_lifts_the_suspension_of_who_has_become_an_administrator(site):
    site.server.people = [full(3), full(4), full(5, suspended="1")]
    site.sync()
    site.do(people.set_admin, site.key(5), True)
    site.server.people = [full(3), full(4), full(5)]

    report = site.sync()

    assert nonzero(report.counts) == {"skipped": 1, "unchanged": 2}
    assert "administrator" in next(iter(report.lines)).detail
    assert site.state(5) == "suspended"


@pytest.mark.parametrize("comes", ["created", "updated", "undeleted", "signs in"])
def test_no_field_gives_anybody_a_right(site, comes):
    record = full(6 if comes in {"created", "signs in"} else 5, city="Elsewhere", **RIGHTS)
    if comes == "undeleted":
        site.server.people = [full(3), full(4), tombstone(5)]
        site.sync()
    site.server.people = [full(3), full(4), record]
    if comes == "signs in":
        assert site.sign_in(record).signed_in
    else:
        assert site.sync().counts[comes] == 1

    shown = site.person(int(record["id"]))

    assert not shown["admin"]
    assert (shown["auth"], shown["trustbitmask"], shown["policyagreed"]) == ("connect", 0, 0)
    browser = site.sign_in(record).browser
    browser.get("/admin/people", status=403)


def test_who_was_an_administrator_and_is_deleted_comes_back_without_the_right(site):
    site.do(people.delete_person, site.key(3))
    site.server.people = [full(3, **RIGHTS), full(4), full(5)]

    assert site.sync().counts["undeleted"] == 1
    assert not site.person(3)["admin"]


def test_signing_in_does_not_bring_back_one_who_keeps_the_right_though_deleted(site):
    site.do(people.delete_person, site.key(3))
    with site.context.unit() as session:
        # As a host's table that leaves the right to a deleted account.
        session.execute(update(Account).where(Account.id == site.key(3)).values(admin=True))
    before = site.person(3)

    visit = site.sign_in(full(3))

    assert not visit.signed_in
    assert "an account that may be yours" in visit.page.text
    with pytest.raises(Conflict, match="administrator of this site"):
        site.refresh(full(3))
    assert site.person(3) == before


@pytest.mark.parametrize("mapping", ["username", "email", "idnumber", "uniqueid"])
def test_nobody_becomes_a_local_administrator_by_looking_like_one(site, mapping):
    site.set(migrate_accounts="true", account_mapping=mapping)
    alike = {"username": f"tc_7_{site.server.idnumber}", "email": "root@example.com", "idnumber": "ROOT"}
    root = site.add(**alike, auth="manual", admin=True)
    before = site.shown(root)
    if mapping == "uniqueid":
        alike = {}
    site.server.people.append(full(7, **{**alike, **RIGHTS}))

    report = site.sync()

    assert lines(report)[7].startswith("skipped: ")
    assert site.key(7) is None
    assert not site.sign_in(full(7, **{**alike, **RIGHTS})).signed_in
    assert site.shown(root) == before


def test_collections_bring_no_local_account_into_anything(site):
    root = site.add("root", auth="manual", admin=True)
    site.server.cohorts = [cohort(1, root, 5, idnumber="admins", name="Administrators")]
    site.server.courses = [course(1, root, 5)]

    assert site.sync("collections").state == "done"

    with site.context.reading() as session:
        members = {*session.scalars(select(AudienceMember.account_key))}
    assert site.key(5) in members
    assert root not in members


def test_collections_move_administrators_in_the_servers_own_audiences_and_nowhere_else(site):
    name = f"tc_cohort_1_{site.server.idnumber}x"
    ours = site.do(audiences.add_audience, name="Administrators", idnumber=name).id
    site.do(audiences.add_members, ours, [site.key(3), site.key(4)])
    before = kept(site)

    for listed in ((3, 4, 5), (5,)):
        site.server.cohorts = [cohort(1, *listed, idnumber="admins", name="Administrators")]
        assert site.sync("collections").state == "done"

        with site.context.reading() as session:
            belongs = select(AudienceMember.account_key).order_by(AudienceMember.account_key)
            own = session.scalars(belongs.where(AudienceMember.audience_id == ours)).all()
            servers = session.scalars(belongs.where(AudienceMember.audience_id != ours)).all()
        assert own == [site.key(3), site.key(4)]
        assert servers == [site.key(id_) for id_ in listed]
        assert kept(site) == before


def test_a_right_that_was_given_in_the_table_itself_is_seen_by_the_run_that_would_suspend(site):
    with site.context.unit() as session:
        session.execute(update(Account).where(Account.id == site.key(5)).values(admin=True))
    site.server.people = [full(3), full(4)]

    assert nonzero(site.sync().counts) == {"skipped": 1, "unchanged": 2}
    assert site.state(5) == "live"
