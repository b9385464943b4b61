"""The users sync on a host's own table: `is_active` the other way round, one column for the name, no `deleted`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Enum, SmallInteger, String, Text, orm, select
from sqlalchemy.orm import DeclarativeBase, mapped_column
from support import lists, sites
from support.lists import cohort, field, job, person, tombstone

from tconnect_pyramid.client.runs import offered
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.client.undo import undo_run
from tconnect_pyramid.directory import profiles
from tconnect_pyramid.directory.accounts import Accounts
from tconnect_pyramid.directory.columnmap import ColumnMap, Mapped, inverted, joined
from tconnect_pyramid.errors import ConfigurationProblem, Conflict
from tconnect_pyramid.models import AudienceMember, Counterpart, Job, Link, ProfileValue, Undo
from tconnect_pyramid.options import set_option

SERVER = "5" * 40


class Host(DeclarativeBase):
    pass


class User(Host):
    __tablename__ = "host_user"

    uid: orm.Mapped[int] = mapped_column(primary_key=True)
    login: orm.Mapped[str] = mapped_column(String(80), unique=True)
    mail: orm.Mapped[str] = mapped_column(String(100))
    full_name: orm.Mapped[str] = mapped_column(String(205))
    is_active: orm.Mapped[bool]
    town: orm.Mapped[str | None] = mapped_column(String(12))
    staff_number: orm.Mapped[str | None] = mapped_column(String(12))
    tenant: orm.Mapped[str]


COLUMNS = ColumnMap(
    User,
    {
        "username": User.login,
        "email": User.mail,
        "firstname": joined(User.full_name, "firstname", "lastname"),
        "suspended": inverted(User.is_active),
        "city": User.town,
        "idnumber": User.staff_number,
    },
    defaults={"tenant": "main"},
)


@pytest.fixture
def client(make_database, server):
    with sites.context(
        make_database(), transport=server, accounts=COLUMNS, options=[("client.enabled", "true")]
    ) as context:
        Host.metadata.create_all(context.database.engine)
        with context.unit() as session:
            session.add(
                User(login="own", mail="own@example.com", full_name="Own User", is_active=True, tenant="x")
            )
        yield context


def users(client):
    with client.reading() as session:
        rows = session.scalars(select(User).order_by(User.uid))
        return [
            (user.login, user.mail, user.full_name, user.is_active, user.town, user.tenant) for user in rows
        ]


OWN = ("own", "own@example.com", "Own User", True, None, "x")


def row(id_, name, *, active=True, town="Wellington"):
    return (f"tc_{id_}_{SERVER}", f"person{id_}@example.com", name, active, town, "main")


def test_people_become_the_hosts_own_users(client, server, server_id):
    server.people = [person(3), person(4, suspended="1")]

    report = run_sync(client, "users", server_id)

    assert lists.nonzero(report.counts) == {"created": 2}
    assert users(client) == [OWN, row(3, "First3 Last3"), row(4, "First4 Last4", active=False)]
    assert lists.nonzero(run_sync(client, "users", server_id).counts) == {"unchanged": 2}


def test_changes_arrive_in_the_columns_that_hold_them(client, server, server_id):
    server.people = [person(3), person(4, suspended="1"), person(5)]
    run_sync(client, "users", server_id)
    server.people = [
        person(3, lastname="Ångström", department="not kept here"),
        person(4),
        person(5, suspended="1"),
    ]

    report = run_sync(client, "users", server_id)

    assert lists.nonzero(report.counts) == {"updated": 1, "unsuspended": 1, "suspended": 1}
    assert users(client) == [
        OWN,
        row(3, "First3 Ångström"),
        row(4, "First4 Last4"),
        row(5, "First5 Last5", active=False),
    ]
    assert lists.nonzero(run_sync(client, "users", server_id).counts) == {"unchanged": 3}


def test_a_value_too_long_for_the_hosts_column_skips_the_record_only(client, server, server_id):
    server.people = [person(3, city="Llanfairpwllgwyngyll"), person(4)]

    report = run_sync(client, "users", server_id)

    assert report.state == "partial"
    assert users(client) == [OWN, row(4, "First4 Last4")]
    assert "city has 20 characters, more than the 12" in next(iter(report.lines)).detail


def switch_on(client, *names):
    with client.unit() as session:
        for name in names:
            set_option(session, client.settings, f"client.{name}", "true", client.clock())


def test_a_user_of_the_host_is_taken_over_and_keeps_the_login(client, server, server_id):
    switch_on(client, "migrate_accounts")
    with client.unit() as session:
        set_option(session, client.settings, "client.account_mapping", "email", client.clock())
    server.people = [person(3, email="OWN@example.com"), person(4)]

    report = run_sync(client, "users", server_id)

    assert lists.nonzero(report.counts) == {"linked": 1, "created": 1}
    taken = ("own", "OWN@example.com", "First3 Last3", True, "Wellington", "x")
    assert users(client) == [taken, row(4, "First4 Last4")]
    assert lists.nonzero(run_sync(client, "users", server_id).counts) == {"unchanged": 2}


def test_a_user_of_the_host_is_taken_over_once_though_the_table_has_no_auth_method(client, server, server_id):
    switch_on(client, "migrate_accounts")
    with client.unit() as session:
        set_option(session, client.settings, "client.account_mapping", "email", client.clock())
    server.people = [person(3, email="own@example.com")]
    run_sync(client, "users", server_id)
    other_id = lists.connect(client, idnumber="7" * 40, url="http://other.example")

    assert lists.nonzero(run_sync(client, "users", other_id).counts) == {"created": 1}


def test_a_number_too_long_for_the_hosts_column_skips_the_record(client, server, server_id):
    switch_on(client, "sync_idnumber")
    server.people = [person(3, idnumber="1234567890123"), person(4, idnumber="B")]

    report = run_sync(client, "users", server_id)

    assert lists.nonzero(report.counts) == {"created": 1, "skipped": 1}
    assert "idnumber has 13 characters, more than the 12" in next(iter(report.lines)).detail


def test_staff_numbers_swap_and_are_not_given_twice(client, server, server_id):
    switch_on(client, "sync_idnumber")
    server.people = [person(3, idnumber="A"), person(4, idnumber="B"), person(5, idnumber="B")]
    run_sync(client, "users", server_id)
    server.people = [person(3, idnumber="B"), person(4, idnumber="A"), person(5, idnumber="")]

    assert lists.nonzero(run_sync(client, "users", server_id).counts) == {"updated": 2, "unchanged": 1}

    with client.reading() as session:
        numbers = session.scalars(select(User.staff_number).order_by(User.uid)).all()
    assert numbers == [None, "B", "A", ""]
    assert lists.nonzero(run_sync(client, "users", server_id).counts) == {"unchanged": 3}


def test_fields_and_jobs_are_kept_beside_the_hosts_table_and_go_with_its_rows(client, server, server_id):
    with client.unit() as session:
        profiles.add_field(session, client, "shirt", datatype="text")
    server.people = [
        person(3, jobs=[job(1, "A")], profile_fields=[field("shirt", "M")]),
        person(4, profile_fields=[]),
    ]
    run_sync(client, "users", server_id)
    assert kept_beside(client) == (["A"], ["M"], 1)
    assert lists.nonzero(run_sync(client, "users", server_id).counts) == {"unchanged": 2}

    server.people = [tombstone(3), person(4, profile_fields=[])]
    run_sync(client, "users", server_id)

    assert kept_beside(client) == ([], [], 0)


def kept_beside(client):
    with client.reading() as session:
        return (
            list(session.scalars(select(Job.idnumber))),
            list(session.scalars(select(ProfileValue.data))),
            len(session.scalars(select(Counterpart.local_id)).all()),
        )


def test_without_a_column_for_it_a_deleted_person_loses_the_row_and_comes_back_as_another(
    client, server, server_id
):
    server.people = [person(3), person(4)]
    server.cohorts = [cohort(1, 3, 4)]
    for kind in ("users", "collections"):
        run_sync(client, kind, server_id)
    server.people = [tombstone(3), person(4)]

    assert lists.nonzero(run_sync(client, "users", server_id).counts) == {"deleted": 1, "unchanged": 1}

    assert users(client) == [OWN, row(4, "First4 Last4")]
    with client.reading() as session:
        assert session.scalars(select(Link.person_id)).all() == [4]
        assert len(session.scalars(select(AudienceMember.account_key)).all()) == 1
    assert lists.nonzero(run_sync(client, "users", server_id).counts) == {"unchanged": 2}
    server.people = [person(3), person(4)]
    assert lists.nonzero(run_sync(client, "users", server_id).counts) == {"created": 1, "unchanged": 1}


def test_a_deleted_flag_that_cannot_be_read_is_refused():
    blind = Mapped(read=None, write=lambda record: {"town": str(record["deleted"])})

    with pytest.raises(ConfigurationProblem, match="deleted must be readable"):
        ColumnMap(User, {**COLUMNS.fields, "deleted": blind}, {"tenant": "main"})


def test_a_list_that_empties_is_held_here_too(client, server, server_id):
    server.people = [person(3)]
    run_sync(client, "users", server_id)
    server.people = []

    assert run_sync(client, "users", server_id).state == "held"
    assert users(client) == [OWN, row(3, "First3 Last3")]


def test_that_deleting_is_final_is_said_before_and_no_run_can_be_undone(client, server, server_id):
    final = "Deleting is final here"
    server.people = [person(id_) for id_ in range(3, 9)]
    made = run_sync(client, "users", server_id)
    assert final not in made.message
    server.people[0] = tombstone(3)

    planned = run_sync(client, "users", server_id, dry_run=True)
    assert planned.state == "planned"
    assert final in planned.message
    with client.unit() as session:
        set_option(session, client.settings, "guard.people", "1 1", client.clock())
    server.people[1] = tombstone(4)
    held = run_sync(client, "users", server_id)
    assert held.state == "held"
    assert final in held.message

    with client.reading() as session:
        assert session.scalars(select(Undo.id)).all() == []
        assert not offered(session, client, made.run).undo
    for dry_run in (True, False):
        with pytest.raises(Conflict, match="the account table of this site keeps nobody who is deleted"):
            undo_run(client, made.run, actor="command", dry_run=dry_run)
    assert len(users(client)) == 7


def test_a_field_that_a_host_begins_to_keep_is_brought_to_everybody(client, server, server_id):
    """What a server says has not changed: it is the table that has."""
    fewer = ColumnMap(
        User, {name: where for name, where in COLUMNS.fields.items() if name != "city"}, COLUMNS.defaults
    )
    server.people = [person(3, city="Riga"), person(4, city="Riga")]
    before = replace(client, accounts=Accounts(fewer))
    assert run_sync(before, "users", server_id).counts["created"] == 2
    assert run_sync(before, "users", server_id).counts["unchanged"] == 2
    assert {town for *_, town, _ in users(client)} == {None}

    assert run_sync(client, "users", server_id).counts["updated"] == 2
    assert [town for *_, town, _ in users(client)] == [None, "Riga", "Riga"]


class Choosy(Host):
    __tablename__ = "host_choosy"

    uid: orm.Mapped[int] = mapped_column(primary_key=True)
    login: orm.Mapped[str] = mapped_column(String(100), unique=True)
    mail: orm.Mapped[str] = mapped_column(String(100))
    is_active: orm.Mapped[bool]
    full_name: orm.Mapped[str] = mapped_column(String(15))
    home: orm.Mapped[str] = mapped_column(Enum("NZ", "FR", name="host_home"))
    display: orm.Mapped[int] = mapped_column(SmallInteger)
    in_html: orm.Mapped[bool]
    about: orm.Mapped[str] = mapped_column(Text)


CHOOSY = ColumnMap(
    Choosy,
    {
        "username": Choosy.login,
        "email": Choosy.mail,
        "suspended": inverted(Choosy.is_active),
        "firstname": joined(Choosy.full_name, "firstname", "lastname"),
        "country": Choosy.home,
        "maildisplay": Choosy.display,
        "mailformat": Choosy.in_html,
        "description": Choosy.about,
    },
)
NOT_TAKEN = [
    (
        {"firstname": "Ten letter", "lastname": "Names"},
        "firstname, lastname has 16 characters, more than the 15",
    ),
    ({"country": "DE"}, "country is nothing that an account here may have"),
    ({"country": None}, "country is nothing that an account here may have"),
    ({"maildisplay": "32768"}, "maildisplay is a larger number than an account here holds"),
    ({"mailformat": "2"}, "mailformat is nothing that an account here may have"),
    ({"description": None}, "description is empty, which it may not be of an account here"),
]


def whole(id_, **fields):
    return person(id_, **{"country": "NZ", "description": "", **fields})


@pytest.fixture
def choosy(make_database, server):
    with sites.context(
        make_database(), transport=server, accounts=CHOOSY, options=[("client.enabled", "true")]
    ) as context:
        Host.metadata.create_all(context.database.engine)
        yield context
        Host.metadata.drop_all(context.database.engine)


@pytest.mark.parametrize(
    ("fields", "reason"), NOT_TAKEN, ids=lambda it: next(iter(it)) if isinstance(it, dict) else ""
)
def test_what_a_column_of_the_host_does_not_take_skips_the_record_only(choosy, server, fields, reason):
    """Without that the database refuses the whole run, or a column holds what can never be read again."""
    server_id = lists.connect(choosy)
    without = whole(4, **fields)
    if fields == {"country": None}:
        # What is not sent has the standard field's default, which is no choice here.
        del without["country"]
    server.people = [whole(3), without, whole(5)]

    report = run_sync(choosy, "users", server_id)

    assert (report.state, lists.nonzero(report.counts)) == ("partial", {"created": 2, "skipped": 1})
    (said,) = (line.detail for line in report.lines if line.action == "skipped")
    assert said.startswith(reason)


@pytest.mark.parametrize(
    ("fields", "reason"), [case for case in NOT_TAKEN if case[0] != {"country": None}], ids=list(range(5))
)
def test_what_a_column_of_the_host_does_not_take_leaves_the_account_as_it_is(choosy, server, fields, reason):
    server_id = lists.connect(choosy)
    server.people = [whole(3), whole(4)]
    assert run_sync(choosy, "users", server_id).state == "done"
    server.people = [whole(3, description="New"), whole(4, email="new@example.com", **fields)]

    report = run_sync(choosy, "users", server_id)

    assert (report.state, lists.nonzero(report.counts)) == ("partial", {"updated": 1, "skipped": 1})
    (said,) = (line.detail for line in report.lines if line.action == "skipped")
    assert said.startswith(reason)
    with choosy.reading() as session:
        kept = session.execute(select(Choosy.about, Choosy.mail).order_by(Choosy.uid)).all()
    assert [tuple(row) for row in kept] == [("New", "person3@example.com"), ("", "person4@example.com")]
