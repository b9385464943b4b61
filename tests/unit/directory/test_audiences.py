from __future__ import annotations

import pytest
from sqlalchemy import event, insert, select
from support import sites

from tconnect_pyramid import people
from tconnect_pyramid.directory import audiences, courses
from tconnect_pyramid.directory.audiences import AUDIENCES, GROUPS
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound
from tconnect_pyramid.models import (
    Audience,
    AudienceMember,
    AuditEntry,
    Client,
    ClientAudience,
    ClientCourse,
    Collection,
    Enrolment,
    FormerMember,
    Group,
    Server,
)


@pytest.fixture
def context(make_database):
    with sites.context(make_database()) as made:
        yield made


@pytest.fixture
def session(context):
    with context.unit() as made:
        yield made


def person(session, context, username):
    return people.add_person(session, context, username=username).key


def client(session, **values):
    row = Client(
        **{
            "state": "active",
            "name": "C",
            "url": "http://c.example",
            "idnumber": "c" * 40,
            "client_secret": b"",
            "server_secret_hash": "h",
            "timecreated": 1,
            "timemodified": 1,
            **values,
        }
    )
    session.add(row)
    session.flush()
    return row


def actions(session):
    return session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()


@pytest.mark.parametrize("kept", [AUDIENCES, GROUPS], ids=lambda kept: kept.word)
def test_one_is_made_kept_and_removed(session, context, kept):
    ana, bo = person(session, context, "ana"), person(session, context, "bo")

    made = audiences.add_audience(session, context, name=" Alla på kontoret ", idnumber="office", kept=kept)
    assert (made.name, made.idnumber, made.kind, made.component) == (
        "Alla på kontoret",
        "office",
        "cohort",
        "",
    )
    assert made.timecreated == sites.NOW

    assert audiences.add_members(session, context, made.id, [bo, ana, bo], kept=kept) == 2
    assert audiences.add_members(session, context, made.id, [ana], kept=kept) == 0
    assert audiences.find_audience(session, "office", kept=kept).members == (ana, bo)
    assert audiences.remove_members(session, context, made.id, [ana], kept=kept) == 1
    assert audiences.remove_members(session, context, made.id, [ana], kept=kept) == 0

    edited = audiences.edit_audience(session, context, made.id, {"name": "Office", "idnumber": ""}, kept=kept)
    assert (edited.name, edited.idnumber, edited.members) == ("Office", "", (bo,))
    (listed,) = audiences.list_audiences(session, kept=kept)
    assert (listed.size, listed.members) == (1, None)

    audiences.delete_audience(session, context, made.id, kept=kept)
    assert audiences.list_audiences(session, kept=kept) == []
    with pytest.raises(NotFound, match="There is no"):
        audiences.find_audience(session, str(made.id), kept=kept)
    assert actions(session)[2:] == [
        f"{kept.word}.{done}" for done in ("added", "members_added", "members_removed", "edited", "deleted")
    ]


def test_groups_and_audiences_are_apart(session, context):
    audiences.add_audience(session, context, name="G", idnumber="g", kept=GROUPS)

    assert audiences.list_audiences(session) == []
    assert session.scalars(select(Audience)).all() == []
    assert [row.name for row in session.scalars(select(Group))] == ["G"]


def test_an_id_is_not_hidden_by_an_idnumber(session, context):
    first = audiences.add_audience(session, context, name="First")
    audiences.add_audience(session, context, name="Second", idnumber=str(first.id))

    assert audiences.find_audience(session, str(first.id)).name == "First"


def test_an_idnumber_of_several_names_none(session, context):
    for _ in range(2):
        session.add(Audience(name="Came twice", idnumber="twice", timecreated=1, timemodified=1))
    session.flush()

    with pytest.raises(NotFound, match="Several"):
        audiences.find_audience(session, "twice")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"name": " "}, InvalidInput),
        ({"name": "x" * 255}, InvalidInput),
        ({"name": "two\nlines"}, InvalidInput),
        ({"idnumber": "x" * 101}, InvalidInput),
        ({"component": "auth_connect"}, InvalidInput),
        ({"idnumber": "taken"}, Conflict),
    ],
)
def test_what_cannot_be_stored_is_refused(session, context, changes, error):
    audiences.add_audience(session, context, name="Other", idnumber="taken")
    made = audiences.add_audience(session, context, name="Mine", idnumber="mine")

    with pytest.raises(error):
        audiences.edit_audience(session, context, made.id, changes)


def test_what_a_sync_owns_is_shown_with_its_kind_and_changed_by_nobody_else(session, context):
    server = Server(
        state="active",
        name="S",
        url="http://s.example",
        idnumber="s" * 40,
        server_secret=b"",
        client_idnumber="c" * 40,
        client_secret_hash="h",
        timecreated=1,
        timemodified=1,
    )
    row = Audience(name="Course at S", component="auth_connect", timecreated=1, timemodified=1)
    session.add_all([server, row])
    session.flush()
    session.add(Collection(remote_id=7, kind="course", server_id=server.id, local_id=row.id))
    session.flush()
    ana = person(session, context, "ana")

    assert audiences.get_audience(session, row.id).kind == "course"
    for change in (
        lambda: audiences.edit_audience(session, context, row.id, {"name": "Mine"}),
        lambda: audiences.delete_audience(session, context, row.id),
        lambda: audiences.add_members(session, context, row.id, [ana]),
        lambda: audiences.remove_members(session, context, row.id, [ana]),
    ):
        with pytest.raises(Conflict, match="auth_connect"):
            change()


def test_only_living_accounts_can_belong(session, context):
    made = audiences.add_audience(session, context, name="A")
    course = courses.add_course(session, context, fullname="C")
    ana = person(session, context, "ana")
    people.delete_person(session, context, ana)

    for key in (ana, 999):
        with pytest.raises(InvalidInput, match=str(key)):
            audiences.add_members(session, context, made.id, [key])
        with pytest.raises(InvalidInput, match=str(key)):
            courses.enrol(session, context, course.id, [key])


def test_a_client_that_gets_each_new_one_gets_it(session, context):
    wants = client(session, add_new_audiences=True, add_new_courses=True)
    made = audiences.add_audience(session, context, name="A")
    audiences.add_audience(session, context, name="G", kept=GROUPS)
    course = courses.add_course(session, context, fullname="C")

    offered = session.execute(select(ClientAudience.client_id, ClientAudience.audience_id)).all()
    assert offered == [(wants.id, made.id)]
    assert session.execute(select(ClientCourse.client_id, ClientCourse.course_id)).all() == [
        (wants.id, course.id)
    ]


def test_many_new_ones_are_offered_at_once_and_only_to_active_clients(session, context):
    made = [audiences.add_audience(session, context, name=name).id for name in "AB"]
    taught = [courses.add_course(session, context, fullname=name).id for name in "CD"]
    wants = client(session, add_new_audiences=True, add_new_courses=True)
    client(
        session,
        state="deleted",
        idnumber="d" * 40,
        server_secret_hash="i",
        add_new_audiences=True,
        add_new_courses=True,
    )

    audiences.offer_new(session, made)
    audiences.offer_new(session, made, kept=GROUPS)
    audiences.offer_new(session, [])
    courses.offer_new(session, taught)

    offered = select(ClientAudience.client_id, ClientAudience.audience_id).order_by(
        ClientAudience.audience_id
    )
    assert session.execute(offered).all() == [(wants.id, id_) for id_ in made]
    offered = select(ClientCourse.client_id, ClientCourse.course_id).order_by(ClientCourse.course_id)
    assert session.execute(offered).all() == [(wants.id, id_) for id_ in taught]


def test_a_client_that_does_not_want_new_ones_gets_none(session, context):
    client(session)
    audiences.add_audience(session, context, name="A")
    courses.add_course(session, context, fullname="C")

    assert session.scalars(select(ClientAudience)).all() == []
    assert session.scalars(select(ClientCourse)).all() == []


def test_removing_an_audience_does_not_open_the_client_that_it_restricts(session, context):
    made = audiences.add_audience(session, context, name="A")
    restricted = client(session, restrict_audience_id=made.id)
    session.execute(insert(ClientAudience), [{"client_id": restricted.id, "audience_id": made.id}])

    audiences.delete_audience(session, context, made.id)

    session.refresh(restricted)
    assert restricted.restrict_audience_id == made.id
    assert session.scalars(select(ClientAudience)).all() == []


def test_a_course_is_made_kept_and_removed(session, context):
    ana, bo = person(session, context, "ana"), person(session, context, "bo")

    made = courses.add_course(session, context, fullname="Första hjälpen", shortname="aid", idnumber="c1")
    assert courses.enrol(session, context, made.id, [ana, bo, ana]) == 2
    assert courses.find_course(session, "aid").members == (ana, bo)
    assert courses.find_course(session, "c1").id == courses.find_course(session, str(made.id)).id == made.id
    assert courses.unenrol(session, context, made.id, [ana]) == 1

    edited = courses.edit_course(session, context, made.id, {"fullname": "First aid", "summary": "<b>!</b>"})
    assert (edited.fullname, edited.summary, edited.size) == ("First aid", "<b>!</b>", 1)

    courses.delete_course(session, context, made.id)
    assert courses.list_courses(session) == []
    assert session.scalars(select(Enrolment)).all() == []
    with pytest.raises(NotFound):
        courses.find_course(session, "aid")


def test_an_enrolment_that_rests_counts_only_when_it_is_resumed(session, context):
    ana = person(session, context, "ana")
    made = courses.add_course(session, context, fullname="C")
    session.add(Enrolment(account_key=ana, course_id=made.id, active=False))
    session.flush()

    assert courses.get_course(session, made.id).members == ()
    assert courses.enrol(session, context, made.id, [ana]) == 1
    assert courses.get_course(session, made.id).members == (ana,)


@pytest.mark.parametrize("taken", ["shortname", "idnumber"])
def test_names_of_courses_are_their_own(session, context, taken):
    courses.add_course(session, context, fullname="A", shortname="a", idnumber="1")

    with pytest.raises(Conflict, match=taken):
        courses.add_course(
            session, context, fullname="B", **{"shortname": "b", taken: "a" if taken == "shortname" else "1"}
        )


def test_nothing_hangs_on_a_removed_audience_where_keys_are_not_followed(make_sqlite):
    """A host's own SQLite engine may not follow foreign keys."""
    with sites.context(make_sqlite()) as context:
        event.listen(
            context.database.engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA foreign_keys = OFF")
        )
        with context.unit() as session:
            wants = client(session, add_new_audiences=True)
            gone, kept = (audiences.add_audience(session, context, name=name).id for name in "AB")
            ana = person(session, context, "ana")
            for audience in (gone, kept):
                audiences.add_members(session, context, audience, [ana])
                session.add(FormerMember(account_key=99, audience_id=audience))
            session.flush()

            audiences.remove_audiences(session, [gone])

            assert [row.id for row in audiences.list_audiences(session)] == [kept]
            for table in (ClientAudience, AudienceMember, FormerMember):
                assert session.scalars(select(table.audience_id)).all() == [kept]
            assert session.scalar(select(ClientAudience.client_id)) == wants.id
