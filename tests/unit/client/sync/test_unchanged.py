"""Who is as they were costs a look-up: what that must not overlook, and what a run that reconciles finds besides."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import delete, select, text, update
from support import lists, sites
from support.lists import field, job, person, tombstone
from support.statements import listening

from tconnect_pyramid import people
from tconnect_pyramid.client.sync import plan_users, receive
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.client.sync.plan import Changes
from tconnect_pyramid.directory import profiles
from tconnect_pyramid.models import (
    Account,
    Counterpart,
    Job,
    Link,
    Position,
    PositionFramework,
    ProfileField,
    ProfileValue,
)
from tconnect_pyramid.options import set_option
from tconnect_pyramid.protocol import stream

OUTSIDE = ("tconnect_run ", "tconnect_lease")


@pytest.fixture
def server():
    return lists.ListingServer()


@pytest.fixture
def client(make_database, server):
    options = [("client.enabled", "true")]
    with sites.context(make_database(), transport=server, options=options) as made:
        with made.unit() as session:
            profiles.add_field(session, made, "shirt", datatype="text")
        yield made


@pytest.fixture
def server_id(client):
    return lists.connect(client)


def sync(client, server_id, **how):
    return lists.nonzero(run_sync(client, "users", server_id, **how).counts)


def set_to(client, name, value):
    with client.unit() as session:
        set_option(session, client.settings, name, value, client.clock())


def account(client, id_):
    with client.reading() as session:
        key = session.scalar(select(Link.account_key).where(Link.person_id == id_))
        return session.get(Account, key)


def digests(client):
    with client.reading() as session:
        return [*session.scalars(select(Link.digest).order_by(Link.person_id))]


def writes(seen):
    return [each for each in seen if each.split()[0] in {"INSERT", "UPDATE", "DELETE"}]


def full(id_, **more):
    return person(id_, jobs=[job(id_, f"J{id_}")], profile_fields=[field("shirt", f"S{id_}")], **more)


def test_a_second_run_writes_nothing_and_looks_at_no_account(client, server, server_id):
    server.people = [full(id_) for id_ in range(3, 53)] + [tombstone(60)]
    assert sync(client, server_id) == {"created": 50, "unchanged": 1}

    with listening(client.database.engine, without=OUTSIDE) as seen:
        assert sync(client, server_id) == {"unchanged": 51}

    assert writes(seen) == []
    assert not any("tconnect_job" in each or "tconnect_profile_value" in each for each in seen)


def test_one_in_a_thousand_costs_one_batch_however_many_there_are(client, server, server_id):
    counted = []
    for size in (20, 200):
        server.people = [full(id_) for id_ in range(3, 3 + size)]
        sync(client, server_id)
        server.people[7] = full(10, city=f"City {size}")
        with listening(client.database.engine, without=OUTSIDE) as seen:
            assert sync(client, server_id) == {"updated": 1, "unchanged": size - 1}
        counted.append(len(seen))
    assert counted[0] == counted[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client.removed_person", "keep"),
        ("client.sync_profile_fields", "false"),
        ("client.sync_jobs", "false"),
        ("client.sync_positions", "false"),
        ("client.sync_organisations", "false"),
        ("client.sync_idnumber", "true"),
        ("client.protected_accounts", "somebody"),
    ],
)
def test_a_setting_that_shapes_accounts_lets_everybody_be_looked_at(client, server, server_id, name, value):
    server.people = [full(id_, idnumber="") for id_ in (3, 4)]
    sync(client, server_id)
    before = digests(client)
    set_to(client, name, value)

    sync(client, server_id)

    assert not {*before} & {*digests(client)}


def test_a_new_custom_field_is_filled_though_nothing_changed_there(client, server, server_id):
    server.people = [person(3, profile_fields=[field("shirt", "M"), field("badge", "7")])]
    sync(client, server_id)
    with client.unit() as session:
        made = profiles.add_field(session, client, "badge", datatype="text")

    assert sync(client, server_id) == {"updated": 1}

    with client.reading() as session:
        assert session.scalar(select(ProfileValue.data).where(ProfileValue.field_id == made.id)) == "7"


def test_the_order_of_keys_escapes_and_what_nobody_keeps_are_no_change(client, server, server_id):
    first = full(3, city="Köln", lastaccess="5", unknown="a")
    server.people = [first]
    sync(client, server_id)
    again = {**dict(reversed(first.items())), "lastaccess": "99", "timemodified": "7", "unknown": ["b"]}
    server.body = json.dumps({"status": "success", "data": {"users": [again]}}, ensure_ascii=False).encode()

    with listening(client.database.engine, without=OUTSIDE) as seen:
        assert sync(client, server_id) == {"unchanged": 1}
    assert writes(seen) == []


@pytest.mark.parametrize("name", ["city", "email", "suspended", "deleted", "description", "password"])
def test_every_field_that_is_kept_is_a_change(client, server, server_id, name):
    server.people = [full(3, password=f"$2y$10${'a' * 53}")]
    sync(client, server_id)
    (before,) = digests(client)
    value = {"suspended": "1", "deleted": "1", "password": f"$2y$10${'b' * 53}"}.get(
        name, "other@example.com"
    )
    server.people = [{**server.people[0], name: value}]

    assert "unchanged" not in sync(client, server_id) or name == "suspended"
    assert digests(client) != [before]


# --- what was changed here ---------------------------------------------------------------------------


def test_what_a_page_or_the_command_changed_is_set_right_by_the_next_run(client, server, server_id):
    server.people = [full(3), full(4)]
    sync(client, server_id)
    with client.unit() as session:
        client.accounts.update(session, {account(client, 3).id: {"city": "By hand"}})

    assert sync(client, server_id) == {"updated": 1, "unchanged": 1}
    assert account(client, 3).city == account(client, 4).city


def test_a_log_in_is_no_change(client, server, server_id):
    server.people = [full(3)]
    sync(client, server_id)
    before = digests(client)
    with client.unit() as session:
        client.accounts.note_sign_in(session, account(client, 3).id, client.clock())
    assert digests(client) == before != [None]


def test_what_was_changed_in_the_database_is_found_by_reconciling(client, server, server_id):
    server.people = [full(id_) for id_ in (3, 4, 5, 6)]
    sync(client, server_id)
    key = account(client, 3).id
    with client.unit() as session:
        session.execute(update(Account).where(Account.id == key).values(city="By hand"))
        session.execute(delete(ProfileValue).where(ProfileValue.account_key == account(client, 4).id))
        session.execute(delete(Job).where(Job.account_key == account(client, 5).id))
        session.execute(text("DELETE FROM tconnect_counterpart"))
    assert sync(client, server_id) == {"unchanged": 4}

    planned = sync(client, server_id, reconcile=True, dry_run=True)
    assert account(client, 3).city == "By hand"
    assert sync(client, server_id, reconcile=True) == planned
    assert planned["updated"] == 4

    with listening(client.database.engine, without=OUTSIDE) as seen:
        assert sync(client, server_id, reconcile=True) == {"unchanged": 4}
    assert writes(seen) == []
    with client.reading() as session:
        assert sorted(session.scalars(select(ProfileValue.data))) == ["S3", "S4", "S5", "S6"]
        assert sorted(session.scalars(select(Job.idnumber))) == ["J3", "J4", "J5", "J6"]


def test_a_suspension_by_hand_stays(client, server, server_id):
    server.people = [full(3)]
    sync(client, server_id)
    with client.unit() as session:
        people.suspend(session, client, account(client, 3).id)

    assert sync(client, server_id) == {"unchanged": 1}
    assert sync(client, server_id, reconcile=True) == {"unchanged": 1}
    assert account(client, 3).suspended


def test_a_restored_backup_is_found_by_reconciling(client, server, server_id):
    server.people = [full(3)]
    sync(client, server_id)
    old = digests(client)[0]
    server.people = [full(3, city="New")]
    sync(client, server_id)
    with client.unit() as session:
        # The accounts of yesterday with the links of today.
        session.execute(update(Account).where(Account.username.startswith("tc_3_")).values(city="Old"))
    assert digests(client) != [old]

    assert sync(client, server_id, reconcile=True) == {"updated": 1}
    assert account(client, 3).city == "New"


# --- what is to be looked at again -------------------------------------------------------------------


def test_a_bad_record_is_told_by_every_run(client, server, server_id):
    server.people = [full(3), full(4, firstname=["no", "text"])]
    for _ in range(3):
        report = run_sync(client, "users", server_id)
        assert (report.state, report.counts["skipped"]) == ("partial", 1)


def test_a_position_that_comes_later_is_the_jobs_by_the_next_run(client, server, server_id):
    server.people = [person(3, jobs=[job(1, "A", positionid="9")])]
    sync(client, server_id)
    with client.unit() as session:
        now = client.clock()
        tree = PositionFramework(fullname="F", sortorder=1, timecreated=now, timemodified=now)
        session.add(tree)
        session.flush()
        row = Position(fullname="P", framework_id=tree.id, timecreated=now, timemodified=now)
        session.add(row)
        session.flush()
        session.add(Counterpart(remote_id=9, kind="position", server_id=server_id, local_id=row.id))
        position = row.id

    assert sync(client, server_id) == {"updated": 1}
    with client.reading() as session:
        assert session.scalar(select(Job.position_id)) == position
    assert sync(client, server_id) == {"unchanged": 1}


def test_an_id_number_that_becomes_free_is_given(client, server, server_id):
    set_to(client, "client.sync_idnumber", "true")
    with client.unit() as session:
        (holder,) = client.accounts.insert(
            session, [{"username": "local", "email": "l@example.com", "idnumber": "N1"}]
        )
    server.people = [full(3, idnumber="N1"), full(4, idnumber="N2")]
    sync(client, server_id)
    assert [account(client, id_).idnumber for id_ in (3, 4)] == ["", "N2"]
    with listening(client.database.engine, without=OUTSIDE) as seen:
        sync(client, server_id)
    assert writes(seen) == []
    with client.unit() as session:
        client.accounts.update(session, {holder: {"idnumber": ""}})

    assert sync(client, server_id) == {"updated": 1, "unchanged": 1}
    assert account(client, 3).idnumber == "N1"


def test_a_job_that_somebody_else_took_comes_back(client, server, server_id):
    server.people = [person(3, jobs=[]), person(4, jobs=[job(1, "A")])]
    sync(client, server_id)
    server.people = [person(3, jobs=[job(1, "A")]), person(4, jobs=[job(1, "A")])]
    assert run_sync(client, "users", server_id).state == "partial"
    server.people = [person(3, jobs=[]), person(4, jobs=[job(1, "A")])]
    sync(client, server_id)
    with client.reading() as session:
        assert session.scalar(select(Job.account_key)) == account(client, 4).id


# --- who is missing ----------------------------------------------------------------------------------


def test_who_is_missing_is_seen_to_once(client, server, server_id):
    set_to(client, "client.removed_person", "suspend")
    server.people = [full(3), full(4)]
    sync(client, server_id)
    server.people = [full(3)]
    assert sync(client, server_id) == {"suspended": 1, "unchanged": 1}

    with listening(client.database.engine, without=OUTSIDE) as seen:
        assert sync(client, server_id) == {"unchanged": 1}
    assert writes(seen) == []

    server.people = [full(3), full(4)]
    assert sync(client, server_id) == {"unsuspended": 1, "unchanged": 1}
    assert not account(client, 4).suspended


def test_who_has_been_missing_is_looked_at_when_the_rule_for_them_changes(client, server, server_id):
    set_to(client, "client.removed_person", "keep")
    server.people = [full(3), full(4)]
    sync(client, server_id)
    server.people = [full(3)]
    sync(client, server_id)
    assert not account(client, 4).suspended
    set_to(client, "client.removed_person", "suspend")

    sync(client, server_id)

    assert account(client, 4).suspended


# --- how the list comes, and what does not fit into memory -----------------------------------------------


def test_the_same_becomes_of_a_list_in_one_piece_and_in_many(client, server, server_id, monkeypatch):
    server.people = [full(id_, city=f"Ä {id_}") for id_ in range(3, 103)]
    monkeypatch.setattr(stream, "PIECE", 2000)
    monkeypatch.setattr(plan_users, "TOGETHER", 7)
    monkeypatch.setattr(Changes, "AT_ONCE", 3)
    report = run_sync(client, "users", server_id)

    assert (report.state, report.counts["created"]) == ("done", 100)
    assert [line.remote_id for line in report.lines] == [*range(3, 103)]
    assert len({*(line.account for line in report.lines)}) == 100
    with client.reading() as session:
        assert len(session.scalars(select(Job.id)).all()) == 100
        assert len(session.scalars(select(ProfileValue.data)).all()) == 100
        assert session.scalar(select(ProfileField.id)) is not None


@pytest.mark.parametrize("users", [[], [{"id": "3"}]])
def test_a_layout_that_cannot_be_cut_is_read_whole(client, server, server_id, users):
    """What the document says decides, not what could be cut off it."""
    records = [full(id_) for id_ in range(3, 9)]
    cut = json.dumps({"status": "success", "data": {"users": records}})
    # A key that comes twice: the last one counts.
    server.body = (cut.removesuffix("]}}") + f'],"users":{json.dumps(users)}}}}}').encode()

    report = run_sync(client, "users", server_id)

    assert report.counts["created"] == 0


def test_a_layout_that_cannot_be_cut_has_a_limit(client, server, server_id, monkeypatch):
    monkeypatch.setattr(receive, "LARGEST_WHOLE", 1000)
    server.body = json.dumps({"data": {"users": [full(3)]}, "status": "success", "more": "x" * 900}).encode()

    report = run_sync(client, "users", server_id)

    assert report.state == "failed"
    assert "more than 1000 bytes" in report.message


def test_a_reply_that_breaks_off_changes_nothing(client, server, server_id, monkeypatch):
    server.people = [full(3)]
    sync(client, server_id)
    before = lists.dump(client)
    monkeypatch.setattr(stream, "PIECE", 500)
    whole = json.dumps({"status": "success", "data": {"users": [full(3, city="New"), full(4), full(5)]}})
    server.body = whole[:-200].encode()

    assert run_sync(client, "users", server_id).state == "failed"
    assert lists.dump(client) == before
