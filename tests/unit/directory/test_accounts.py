from __future__ import annotations

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from support import sites
from support.statements import listening

from tconnect_pyramid import people
from tconnect_pyramid.directory import audiences, courses, jobs, pictures, profiles
from tconnect_pyramid.directory.accounts import MatchCandidate
from tconnect_pyramid.directory.audiences import GROUPS
from tconnect_pyramid.directory.columnmap import STANDARD_FIELDS, ColumnMap, inverted
from tconnect_pyramid.directory.paging import Asked
from tconnect_pyramid.models import (
    Account,
    AudienceMember,
    Counterpart,
    Enrolment,
    FormerMember,
    GroupMember,
    Job,
    Picture,
    ProfileValue,
    Server,
)


class Host(DeclarativeBase):
    pass


class User(Host):
    """A host's table that keeps neither pictures nor whether somebody is deleted."""

    __tablename__ = "host_user"

    uid: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    mail: Mapped[str]
    is_active: Mapped[bool] = mapped_column(default=True)
    is_gone: Mapped[int] = mapped_column(default=0)


FIELDS = {"username": User.login, "email": User.mail, "suspended": inverted(User.is_active)}
WITHOUT_DELETED = ColumnMap(User, FIELDS)
WITHOUT_PICTURE = ColumnMap(User, {**FIELDS, "deleted": User.is_gone})


@pytest.fixture
def context(make_database):
    with sites.context(make_database()) as made:
        yield made


@pytest.fixture
def session(context):
    with context.unit() as made:
        yield made


def person(session, context, username, **fields):
    return people.add_person(session, context, username=username, **fields).key


def furnish(session, context, key, *, in_audience):
    """Give an account something of all that an account can have; gives the id of its synchronised job."""
    audiences.add_members(session, context, in_audience, [key])
    group = audiences.add_audience(session, context, name=f"G{key}", kept=GROUPS)
    audiences.add_members(session, context, group.id, [key], kept=GROUPS)
    course = courses.add_course(session, context, fullname=f"C{key}")
    courses.enrol(session, context, course.id, [key])
    profiles.add_field(session, context, f"f{key}", datatype="text")
    profiles.set_value(session, context, key, f"f{key}", "x")
    pictures.put(session, context, key, {"f1.png": b"x"}, 4)
    job = jobs.add_job(session, context, key, idnumber="1").id
    server = Server(
        state="active",
        name="S",
        url="http://s.example",
        idnumber=f"{key:040}",
        server_secret=b"",
        client_idnumber=f"{key:040}",
        client_secret_hash="h",
        timecreated=1,
        timemodified=1,
    )
    session.add(server)
    session.flush()
    for kind in ("job", "position"):
        session.add(Counterpart(remote_id=key, kind=kind, server_id=server.id, local_id=job))
    session.flush()
    return job


THINGS = (AudienceMember, GroupMember, Enrolment, ProfileValue, Job, Picture)


def owners(session):
    """Whose each thing is, table by table."""
    return {
        table.__name__: session.scalars(select(table.account_key).order_by(table.account_key)).all()
        for table in THINGS
    }


def former(session):
    return session.execute(
        select(FormerMember.account_key, FormerMember.audience_id).order_by(
            FormerMember.account_key, FormerMember.audience_id
        )
    ).all()


def test_a_deleted_account_keeps_its_name_and_loses_all_that_made_it_usable(session, context):
    ana = person(session, context, "ana", email="ana@x.example", idnumber="E1", firstname="Ana", admin=True)
    bo = person(session, context, "bo")
    audience = audiences.add_audience(session, context, name="A")
    furnish(session, context, ana, in_audience=audience.id)
    kept_job = furnish(session, context, bo, in_audience=audience.id)
    context.accounts.update(session, {ana: {"suspended": 1, "password": "$2b$", "picture": 4}})

    context.accounts.mark_deleted(session, [ana])

    row = session.get(Account, ana, populate_existing=True)
    assert (row.deleted, row.email, row.idnumber, row.password, row.picture) == (1, "", "", None, 0)
    assert (row.firstname, row.suspended, row.auth, row.admin) == ("Ana", 1, "manual", False)
    assert row.username.startswith("deleted_")
    assert len(row.username) == 40
    assert owners(session) == {table.__name__: [bo] for table in THINGS}
    # Only of jobs: a position may have the same id.
    left = session.execute(select(Counterpart.kind, Counterpart.remote_id)).all()
    assert sorted(left) == [("job", bo), ("position", ana), ("position", bo)]
    assert jobs.list_jobs(session)[0].id == kept_job


def test_it_is_remembered_in_which_audiences_a_deleted_account_was(session, context):
    ana, bo, eva = (person(session, context, name) for name in ("ana", "bo", "eva"))
    first, second = (audiences.add_audience(session, context, name=name).id for name in "AB")
    audiences.add_members(session, context, first, [ana, bo, eva])
    audiences.add_members(session, context, second, [ana])

    context.accounts.mark_deleted(session, [ana, bo])
    assert former(session) == [(ana, first), (ana, second), (bo, first)]

    # A second deletion neither forgets nor stumbles, also when a sync has let the account in again.
    audiences.add_members(session, context, second, [eva])
    session.add(AudienceMember(account_key=bo, audience_id=first))
    session.add(AudienceMember(account_key=bo, audience_id=second))
    session.flush()
    context.accounts.mark_deleted(session, [ana, bo])
    assert former(session) == [(ana, first), (ana, second), (bo, first), (bo, second)]

    context.accounts.forget_former(session, [ana, 999])
    assert former(session) == [(bo, first), (bo, second)]
    audiences.delete_audience(session, context, first)
    assert former(session) == [(bo, second)]


@pytest.mark.parametrize(
    ("columns", "row_stays"),
    [(WITHOUT_DELETED, False), (WITHOUT_PICTURE, True)],
    ids=["row goes", "row stays"],
)
def test_an_account_of_a_host_is_deleted_with_all_that_it_had(make_database, columns, row_stays):
    with sites.context(make_database(), accounts=columns) as context:
        Host.metadata.create_all(context.database.engine)
        try:
            with context.unit() as session:
                ana = person(session, context, "ana", email="ana@x.example")
                audience = audiences.add_audience(session, context, name="A").id
                furnish(session, context, ana, in_audience=audience)
                # Kept from a time when the host kept pictures.
                session.add(Picture(account_key=ana, name="f1.png", content=b"x"))
                session.add(FormerMember(account_key=ana, audience_id=audience))
                session.flush()

                context.accounts.mark_deleted(session, [ana])

                assert owners(session) == {table.__name__: [] for table in THINGS}
                assert session.scalar(select(func.count()).select_from(User)) == int(row_stays)
                # A key that is given to somebody else says nothing about that one.
                assert former(session) == ([(ana, audience)] if row_stays else [])
        finally:
            Host.metadata.drop_all(context.database.engine)


def test_a_host_that_keeps_no_number_of_a_picture_gets_no_picture(make_sqlite):
    with sites.context(make_sqlite(), accounts=WITHOUT_PICTURE) as context:
        Host.metadata.create_all(context.database.engine)
        with context.unit() as session:
            ana = person(session, context, "ana")
            pictures.put(session, context, ana, {"f1.png": b"x"}, 4)
            assert pictures.files_of(session, [ana]) == {}


def test_what_a_new_account_does_not_say_has_its_default(session, context):
    (key,) = context.accounts.insert(session, [{"username": "ana", "city": "Riga"}])

    assert context.accounts.fetch(session, [key]) == {
        key: {**STANDARD_FIELDS, "username": "ana", "city": "Riga"}
    }


def names(found):
    return {value: [candidate.username for candidate in some] for value, some in found.items()}


def test_accounts_are_found_by_a_field_for_many_values_at_once(session, context):
    ana = person(session, context, "ana", email="Ana@X.example", idnumber="E1", admin=True)
    person(session, context, "bo", email="bo@x.example", idnumber="E1")
    gone = person(session, context, "eva", email="eva@x.example")
    person(session, context, "twin", email="ANA@x.example")
    people.delete_person(session, context, gone)
    (connected,) = context.accounts.insert(
        session, [{"username": "tc_7_s", "auth": "connect", "email": "c@x.example"}]
    )
    accounts = context.accounts
    deleted = accounts.view(session, gone).username

    found = accounts.matching(session, "username", ["ana", "ana", "tc_7_s", deleted, "Ana", "nobody", ""])
    assert found == {
        "ana": [MatchCandidate(ana, "ana", "manual", deleted=False, admin=True)],
        "tc_7_s": [MatchCandidate(connected, "tc_7_s", "connect", deleted=False, admin=False)],
        deleted: [MatchCandidate(gone, deleted, "manual", deleted=True, admin=False)],
    }
    assert names(accounts.matching(session, "email", ["ana@x.EXAMPLE", "ana@x.example", "bo@x.example"])) == {
        "ana@x.EXAMPLE": ["ana", "twin"],
        "ana@x.example": ["ana", "twin"],
        "bo@x.example": ["bo"],
    }
    assert names(accounts.matching(session, "idnumber", ["E1", "e1", "", "E2"])) == {"E1": ["ana", "bo"]}
    assert accounts.matching(session, "idnumber", []) == {}
    many = [f"user{number}" for number in range(1200)]
    assert names(accounts.matching(session, "username", [*many, "bo"])) == {"bo": ["bo"]}


def test_looking_for_many_takes_few_statements(session, context):
    with listening(session.get_bind()) as spoken:
        context.accounts.matching(session, "email", [f"u{number}@x.example" for number in range(1000)])

    assert [statement.split()[0] for statement in spoken].count("SELECT") == 2


def test_a_host_without_the_field_has_nobody_who_matches(make_sqlite):
    with sites.context(make_sqlite(), accounts=WITHOUT_DELETED) as context:
        Host.metadata.create_all(context.database.engine)
        with context.unit() as session:
            ana = person(session, context, "ana", email="ana@x.example")
            assert context.accounts.matching(session, "idnumber", ["", "E1"]) == {}
            assert context.accounts.matching(session, "email", ["ANA@x.example"]) == {
                "ANA@x.example": [MatchCandidate(ana, "ana", "manual", deleted=False, admin=False)]
            }


def test_a_hosts_flags_may_be_booleans_as_they_are(make_database):
    flags = {"username": User.login, "email": User.mail, "suspended": User.is_active, "admin": User.is_active}
    with sites.context(make_database(), accounts=ColumnMap(User, flags)) as context:
        Host.metadata.create_all(context.database.engine)
        try:
            with context.unit() as session:
                session.add_all(
                    [
                        User(uid=1, login="ada", mail="a@example.org", is_active=True),
                        User(uid=2, login="bob", mail="b@example.org", is_active=False),
                    ]
                )
                session.flush()
                shown = {
                    only: [
                        row.username for row in context.accounts.page_of_people(session, Asked(), only).rows
                    ]
                    for only in ("active", "suspended", "admin")
                }
            assert shown == {"active": ["bob"], "suspended": ["ada"], "admin": ["ada"]}
        finally:
            Host.metadata.drop_all(context.database.engine)
