from __future__ import annotations

import pytest
from sqlalchemy import func, select
from support import sites

from tconnect_pyramid import people
from tconnect_pyramid.directory import hierarchy_frameworks, hierarchy_items, jobs
from tconnect_pyramid.directory.hierarchies import ORGANISATIONS, POSITIONS
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound
from tconnect_pyramid.models import AuditEntry, Counterpart, Job, Server


@pytest.fixture
def context(make_database):
    with sites.context(make_database()) as made:
        yield made


@pytest.fixture
def session(context):
    with context.unit() as made:
        yield made


@pytest.fixture
def ana(session, context):
    return people.add_person(session, context, username="ana").key


@pytest.fixture
def bo(session, context):
    return people.add_person(session, context, username="bo").key


def item(session, context, kind, name="Boss", idnumber=""):
    framework = hierarchy_frameworks.add_framework(session, context, kind, fullname=f"F of {name}")
    return hierarchy_items.add_item(
        session, context, kind, fullname=name, idnumber=idnumber, framework=framework.id
    )


def from_server(session, job_id, remote_id=7):
    row = session.scalar(select(Server))
    if row is None:
        row = Server(
            state="active",
            name="Mother site",
            url="http://s.example",
            idnumber="5" * 40,
            server_secret=b"",
            client_idnumber="c" * 40,
            client_secret_hash="h",
            timecreated=1,
            timemodified=1,
        )
        session.add(row)
        session.flush()
    session.add(Counterpart(remote_id=remote_id, kind="job", server_id=row.id, local_id=job_id))
    session.flush()


def order(session, key):
    return [(job.sortorder, job.idnumber) for job in jobs.list_jobs(session, key)]


def test_a_person_has_jobs_the_main_one_first(session, context, ana, bo):
    position = item(session, context, POSITIONS)
    unit = item(session, context, ORGANISATIONS)
    jobs.add_job(session, context, bo, idnumber="1")

    made = jobs.add_job(
        session,
        context,
        ana,
        idnumber=" 1 ",
        fullname="Utvecklare",
        shortname="dev",
        position=position.id,
        organisation=unit.id,
        startdate=1_400_000_000,
        enddate=1_500_000_000,
        description="<p>hi</p><script>x</script>",
    )
    second = jobs.add_job(session, context, ana, idnumber="J2")

    assert made == jobs.JobView(
        id=made.id,
        account=ana,
        server=None,
        remote_id=None,
        idnumber="1",
        fullname="Utvecklare",
        shortname="dev",
        description="<p>hi</p>",
        position=position.id,
        organisation=unit.id,
        startdate=1_400_000_000,
        enddate=1_500_000_000,
        sortorder=1,
    )
    assert (second.fullname, second.shortname, second.position, second.startdate) == (None, None, None, None)
    assert order(session, ana) == [(1, "1"), (2, "J2")]
    assert [job.account for job in jobs.list_jobs(session)] == sorted([ana, ana, bo])
    row = session.get(Job, made.id)
    assert (row.description, row.positionassignmentdate, row.timecreated) == (
        "<p>hi</p>",
        sites.NOW,
        sites.NOW,
    )


def test_jobs_are_found_by_id_and_by_whose_they_are(session, context, ana, bo):
    of_ana = jobs.add_job(session, context, ana, idnumber="same")
    of_bo = jobs.add_job(session, context, bo, idnumber="same")
    hidden = jobs.add_job(session, context, bo, idnumber=str(of_ana.id))

    assert jobs.find_job(session, str(of_ana.id)).id == of_ana.id
    assert jobs.find_job(session, "same", account=bo).id == of_bo.id
    assert jobs.find_job(session, str(of_ana.id), account=bo).id == hidden.id
    with pytest.raises(NotFound, match="Several"):
        jobs.find_job(session, "same")
    with pytest.raises(NotFound, match="no job"):
        jobs.find_job(session, "other", account=ana)


def test_a_job_is_edited(session, context, ana):
    made = jobs.add_job(session, context, ana, idnumber="1", fullname="Dev", startdate=100)
    position = item(session, context, POSITIONS, idnumber="P1")
    unit = item(session, context, ORGANISATIONS, idnumber="U1")
    context.clock.tick(60)

    edited = jobs.edit_job(
        session,
        context,
        made.id,
        {
            "idnumber": "one",
            "fullname": "",
            "startdate": "",
            "enddate": "2024-05-31",
            "position": "P1",
            "organisation": str(unit.id),
        },
    )

    assert (edited.idnumber, edited.fullname, edited.startdate, edited.enddate) == (
        "one",
        None,
        None,
        1717113600,
    )
    assert (edited.position, edited.organisation) == (position.id, unit.id)
    assigned = select(Job.positionassignmentdate, Job.timemodified).where(Job.id == made.id)
    assert tuple(session.execute(assigned).one()) == (sites.NOW + 60, sites.NOW + 60)

    context.clock.tick(60)
    jobs.edit_job(session, context, made.id, {"position": str(position.id), "organisation": ""})
    jobs.edit_job(session, context, made.id, {"description": "<p>x</p>"})
    assert tuple(session.execute(assigned).one()) == (sites.NOW + 60, sites.NOW + 120)
    assert jobs.edit_job(session, context, made.id, {}).idnumber == "one"
    assert jobs.get_job(session, made.id).organisation is None


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"idnumber": " "}, InvalidInput),
        ({"idnumber": "x" * 101}, InvalidInput),
        ({"idnumber": "taken"}, Conflict),
        ({"fullname": "x" * 256}, InvalidInput),
        ({"shortname": "x" * 101}, InvalidInput),
        ({"startdate": "soon"}, InvalidInput),
        ({"startdate": "-1"}, InvalidInput),
        ({"startdate": "1969-12-31"}, InvalidInput),
        ({"startdate": "200", "enddate": "100"}, InvalidInput),
        ({"enddate": "99"}, InvalidInput),
        ({"position": "none"}, NotFound),
        ({"organisation": "999"}, NotFound),
        ({"sortorder": "1"}, InvalidInput),
    ],
)
def test_what_cannot_be_stored_is_refused(session, context, ana, changes, error):
    jobs.add_job(session, context, ana, idnumber="taken")
    made = jobs.add_job(session, context, ana, idnumber="mine", startdate=100)

    with pytest.raises(error):
        jobs.edit_job(session, context, made.id, changes)
    assert jobs.get_job(session, made.id) == made


def test_an_idnumber_is_unique_for_a_person_and_never_empty(session, context, ana, bo):
    jobs.add_job(session, context, ana, idnumber="1")
    jobs.add_job(session, context, bo, idnumber="1")

    with pytest.raises(Conflict, match="'1'"):
        jobs.add_job(session, context, ana, idnumber="1 ")
    with pytest.raises(InvalidInput, match="idnumber"):
        jobs.add_job(session, context, ana, idnumber="")
    with pytest.raises(InvalidInput, match="enddate"):
        jobs.add_job(session, context, ana, idnumber="2", startdate=2, enddate=1)
    # The id is meant, whatever idnumber an item has.
    position = item(session, context, POSITIONS, idnumber="77")
    with pytest.raises(NotFound, match="77"):
        jobs.add_job(session, context, ana, idnumber="2", position=77)
    assert position.idnumber == "77"
    assert order(session, ana) == [(1, "1")]


def test_only_living_accounts_have_jobs(session, context, ana):
    people.delete_person(session, context, ana)

    for key in (ana, 999):
        with pytest.raises(InvalidInput, match=str(key)):
            jobs.add_job(session, context, key, idnumber="1")


def test_jobs_change_places_and_are_counted_without_gaps(session, context, ana, bo):
    made = {name: jobs.add_job(session, context, ana, idnumber=name).id for name in "abcd"}
    jobs.add_job(session, context, bo, idnumber="other")

    assert jobs.move_job(session, context, made["c"], 1).sortorder == 1
    assert order(session, ana) == [(1, "c"), (2, "a"), (3, "b"), (4, "d")]
    jobs.move_job(session, context, made["c"], 99)
    jobs.move_job(session, context, made["d"], -5)
    assert order(session, ana) == [(1, "d"), (2, "a"), (3, "b"), (4, "c")]

    jobs.delete_job(session, context, made["a"])
    assert order(session, ana) == [(1, "d"), (2, "b"), (3, "c")]
    assert order(session, bo) == [(1, "other")]
    with pytest.raises(NotFound):
        jobs.delete_job(session, context, made["a"])
    assert session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()[-4:] == [
        *("job.moved", "job.moved", "job.moved", "job.deleted")
    ]


def test_what_came_from_a_server_is_shown_and_changed_by_nobody_else(session, context, ana):
    foreign = jobs.add_job(session, context, ana, idnumber="theirs", fullname="Dev")
    mine = jobs.add_job(session, context, ana, idnumber="mine")
    from_server(session, foreign.id)

    shown = jobs.get_job(session, foreign.id)
    assert (shown.server, shown.remote_id) == ("5" * 40, 7)
    for change in (
        lambda: jobs.edit_job(session, context, foreign.id, {"fullname": "x"}),
        lambda: jobs.move_job(session, context, foreign.id, 2),
        lambda: jobs.delete_job(session, context, foreign.id),
    ):
        with pytest.raises(Conflict, match="Mother site"):
            change()
    with pytest.raises(Conflict, match="theirs"):
        jobs.edit_job(session, context, mine.id, {"idnumber": "theirs"})
    assert jobs.move_job(session, context, mine.id, 1).sortorder == 1
    assert order(session, ana) == [(1, "mine"), (2, "theirs")]


def test_removing_for_a_sync_takes_the_counterparts_and_closes_the_gaps(session, context, ana, bo):
    made = [jobs.add_job(session, context, key, idnumber=name).id for key in (ana, bo) for name in "abc"]
    for number, job_id in enumerate(made):
        from_server(session, job_id, number)

    jobs.remove_jobs(session, [made[0], made[4], 999])

    assert order(session, ana) == [(1, "b"), (2, "c")]
    assert order(session, bo) == [(1, "a"), (2, "c")]
    left = session.scalars(select(Counterpart.local_id).order_by(Counterpart.local_id)).all()
    assert left == [job_id for job_id in made if job_id not in {made[0], made[4]}]


def test_an_account_that_is_deleted_has_no_jobs_left(session, context, ana, bo):
    gone, kept = (jobs.add_job(session, context, key, idnumber="1") for key in (ana, bo))
    from_server(session, gone.id, 1)
    from_server(session, kept.id, 2)

    people.delete_person(session, context, ana)

    assert [job.id for job in jobs.list_jobs(session)] == [kept.id]
    assert session.scalars(select(Counterpart.local_id)).all() == [kept.id]
    assert session.scalar(select(func.count()).select_from(Job)) == 1
