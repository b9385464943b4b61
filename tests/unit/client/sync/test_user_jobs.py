"""Job assignments of people, rule by rule (protocol 9)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy import select, update
from support import lists
from support.lists import job, person, tombstone

from tconnect_pyramid import people
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory import jobs
from tconnect_pyramid.models import (
    Counterpart,
    Job,
    Link,
    Organisation,
    OrganisationFramework,
    Position,
    PositionFramework,
)
from tconnect_pyramid.options import set_option

LEAVE_ALONE = None


@dataclass(frozen=True)
class Rule:
    """Jobs by idnumber in their order; `*` before one made by hand.

    `first` and `then` are what the server sends, `by_hand` what is added in between; `has` what is there then.
    """

    sentence: str
    first: str
    by_hand: str
    then: str | None
    has: str


RULES = [
    Rule("new ones are added", "", "", "A B", "A B"),
    Rule("those no longer sent are removed", "A B C", "", "B", "B"),
    Rule("[] means: has none", "A B", "", "", ""),
    Rule("null leaves all", "A B", "", LEAVE_ALONE, "A B"),
    Rule("order follows the server when there are no hand-made ones", "A B C", "", "C A B", "C A B"),
    Rule("a new one may come first", "A B", "", "C A B", "C A B"),
    Rule("hand-made ones are untouched", "A", "X", "A", "A *X"),
    Rule("hand-made ones are untouched by [] too", "A", "X Y", "", "*X *Y"),
    Rule("one with the same idnumber gives way", "A", "X", "A X", "A X"),
    Rule("a new one comes after the hand-made ones", "A", "X", "A B", "A *X B"),
    Rule("synced ones keep their order around hand-made ones", "A B", "X", "B A", "B A *X"),
    Rule("a hand-made one does not move when another order is sent", "A B", "X", "C B A", "C B *X A"),
]
NUMBERED = dict(enumerate(RULES, start=100))


def sync(client, server_id, **how):
    return run_sync(client, "users", server_id, **how)


def key_of(session, id_):
    return session.scalar(select(Link.account_key).where(Link.person_id == id_))


def sent(id_, idnumbers):
    if idnumbers is LEAVE_ALONE:
        return person(id_, jobs=None)
    return person(
        id_,
        jobs=[
            job(id_ * 100 + ord(idnumber), idnumber, sortorder=str(place))
            for place, idnumber in enumerate(idnumbers.split(), start=1)
        ],
    )


def jobs_of(client, id_):
    with client.reading() as session:
        return jobs.list_jobs(session, key_of(session, id_))


def shown(client, id_):
    found = jobs_of(client, id_)
    assert [each.sortorder for each in found] == list(range(1, len(found) + 1))
    return " ".join(f"{'' if each.remote_id else '*'}{each.idnumber}" for each in found)


def add_by_hand(client, id_, idnumbers):
    with client.unit() as session:
        for idnumber in idnumbers.split():
            jobs.add_job(session, client, key_of(session, id_), idnumber=idnumber)


def test_every_rule(client, server, server_id):
    server.people = [sent(id_, rule.first) for id_, rule in NUMBERED.items()]
    sync(client, server_id)
    for id_, rule in NUMBERED.items():
        add_by_hand(client, id_, rule.by_hand)
    server.people = [sent(id_, rule.then) for id_, rule in NUMBERED.items()]

    assert sync(client, server_id).state == "done"

    assert {rule.sentence: shown(client, id_) for id_, rule in NUMBERED.items()} == {
        rule.sentence: rule.has for rule in RULES
    }
    kept = lists.dump(client)
    assert lists.nonzero(sync(client, server_id).counts) == {"unchanged": len(RULES)}
    assert lists.dump(client) == kept


def test_a_job_is_kept_as_it_is_sent(client, server, server_id):
    server.people = [
        person(
            3,
            jobs=[
                job(
                    7,
                    "J",
                    fullname="Dev <b>",
                    shortname=None,
                    description="<p>Half<script>x()</script></p>",
                    startdate="1400000000",
                    enddate=None,
                    positionassignmentdate="1795436403",
                )
            ],
        )
    ]

    sync(client, server_id)

    with client.reading() as session:
        kept = session.scalar(select(Job))
    assert (kept.idnumber, kept.fullname, kept.shortname, kept.description) == (
        "J",
        "Dev <b>",
        None,
        "<p>Half</p>",
    )
    assert (kept.startdate, kept.enddate, kept.positionassignmentdate) == (1400000000, None, 1795436403)
    assert (kept.timecreated, kept.timemodified) == (client.clock(), client.clock())


def test_jobs_may_swap_their_idnumbers_and_keep_their_ids(client, server, server_id):
    server.people = [person(3, jobs=[job(1, "A"), job(2, "B"), job(3, "C")])]
    sync(client, server_id)
    before = {each.remote_id: each.id for each in jobs_of(client, 3)}
    server.people = [person(3, jobs=[job(1, "B"), job(2, "C"), job(3, "A")])]

    (line,) = sync(client, server_id).lines

    assert {each.remote_id: (each.id, each.idnumber) for each in jobs_of(client, 3)} == {
        1: (before[1], "B"),
        2: (before[2], "C"),
        3: (before[3], "A"),
    }
    assert line.detail.startswith("job A, idnumber: 'A' → 'B'; job B, ")
    assert lists.nonzero(sync(client, server_id).counts) == {"unchanged": 1}


@pytest.mark.parametrize("other", ["listed", "leaves its jobs alone", "missing", "deleted", "new here"])
def test_a_job_that_turns_up_at_another_person_is_theirs(client, server, server_id, other):
    server.people = [person(3, jobs=[job(1, "A"), job(2, "B")]), person(4, jobs=[job(5, "A")])]
    if other == "new here":
        server.people.pop()
    sync(client, server_id)
    server.people = {
        "listed": [person(3, jobs=[job(2, "B")])],
        "leaves its jobs alone": [person(3, jobs=None)],
        "missing": [],
        "deleted": [tombstone(3)],
        "new here": [person(3, jobs=[job(2, "B")])],
    }[other]
    server.people.append(person(4, jobs=[job(5, "C"), job(1, "A")]))

    assert sync(client, server_id).state == "done"

    assert [(each.remote_id, each.idnumber) for each in jobs_of(client, 4)] == [(1, "A"), (5, "C")]
    assert [each.idnumber for each in jobs_of(client, 3)] == ([] if other == "deleted" else ["B"])
    kept = lists.dump(client)
    assert [*sync(client, server_id).lines] == []
    assert lists.dump(client) == kept


def test_a_job_that_is_listed_for_two_people_is_the_first_ones(client, server, server_id):
    server.people = [person(3, jobs=[job(1, "A")]), person(4, jobs=[job(1, "A"), job(2, "B")])]

    report = sync(client, server_id)

    assert report.state == "partial"
    assert [line.detail for line in report.lines if line.action == "skipped"] == [
        "job 1 is listed for the person 3 too; it was left out here"
    ]
    assert (shown(client, 3), shown(client, 4)) == ("A", "B")
    assert lists.nonzero(sync(client, server_id).counts) == {"skipped": 1, "unchanged": 1}


def test_the_run_says_which_jobs_changed(client, server, server_id):
    server.people = [person(3, jobs=[job(1, "J1"), job(2, "J2"), job(4, "J4"), job(5, "J5")])]
    sync(client, server_id)
    add_by_hand(client, 3, "J3")
    server.people = [
        person(
            3,
            jobs=[
                job(2, "J2", fullname="Lead"),
                job(3, "J3"),
                job(5, "J5", sortorder="5"),
                job(4, "J4", sortorder="6"),
            ],
        )
    ]

    (line,) = sync(client, server_id).lines

    assert line.action == "updated"
    assert line.detail == (
        "job J1 removed; job J3, made by hand, gave way; job J2, fullname: 'Job 2' → 'Lead'; job J3 added; "
        "jobs in another order"
    )


def test_of_very_many_changes_the_line_tells_the_first(client, server, server_id):
    server.people = [person(3)]
    sync(client, server_id)
    server.people = [person(3, jobs=[job(n, f"J{n}") for n in range(1, 601)])]

    (line,) = sync(client, server_id).lines

    assert line.detail.endswith("job J20 added; and 580 more changes")
    assert len(jobs_of(client, 3)) == 600


def test_with_the_setting_off_nothing_is_touched(client, server, server_id):
    server.people = [person(3, jobs=[job(1, "A")])]
    sync(client, server_id)
    with client.unit() as session:
        set_option(session, client.settings, "client.sync_jobs", "false", client.clock())
    server.people = [person(3, jobs=[]), person(4, jobs=[job(2, "B")])]

    assert sync(client, server_id).state == "done"

    assert (shown(client, 3), shown(client, 4)) == ("A", "")


def make_places(client, server_id):
    """A position (9 at the server) and an organisation (8 there); gives their local ids."""
    with client.unit() as session:
        now = client.clock()
        made = []
        for framework, item, remote_id in (
            (PositionFramework, Position, 9),
            (OrganisationFramework, Organisation, 8),
        ):
            tree = framework(fullname="F", sortorder=1, timecreated=now, timemodified=now)
            session.add(tree)
            session.flush()
            row = item(fullname=item.__name__, framework_id=tree.id, timecreated=now, timemodified=now)
            session.add(row)
            session.flush()
            kind = item.__tablename__.removeprefix("tconnect_")
            session.add(Counterpart(remote_id=remote_id, kind=kind, server_id=server_id, local_id=row.id))
            made.append(row.id)
        return tuple(made)


def places_of(client, id_):
    return [(each.position, each.organisation) for each in jobs_of(client, id_)]


def test_position_and_organisation_are_mapped_and_unknown_ones_are_none(client, server, server_id):
    known = make_places(client, server_id)
    server.people = [
        person(3, jobs=[job(1, "A", positionid="9", organisationid="8")]),
        person(4, jobs=[job(2, "A", positionid="8", organisationid="9")]),
    ]

    sync(client, server_id)

    assert (places_of(client, 3), places_of(client, 4)) == ([known], [(None, None)])
    server.people = [person(3, jobs=[job(1, "A")]), person(4, jobs=[job(2, "A", positionid="9")])]
    assert lists.nonzero(sync(client, server_id).counts) == {"updated": 2}
    assert (places_of(client, 3), places_of(client, 4)) == ([(None, None)], [(known[0], None)])


def test_a_position_that_comes_later_is_filled_in_by_the_next_sync(client, server, server_id):
    server.people = [person(3, jobs=[job(1, "A", positionid="9", organisationid="8")])]
    sync(client, server_id)
    assert places_of(client, 3) == [(None, None)]
    known = make_places(client, server_id)

    (line,) = sync(client, server_id).lines

    assert places_of(client, 3) == [known]
    assert line.detail == "job A, position: '' → 'Position'; job A, organisation: '' → 'Organisation'"


def test_a_line_says_what_positions_are_called_also_those_that_are_left(client, server, server_id):
    make_places(client, server_id)
    server.people = [person(3, jobs=[job(1, "A", positionid="9")])]
    sync(client, server_id)
    server.people = [person(3, jobs=[job(1, "A", organisationid="8")])]

    (line,) = sync(client, server_id).lines

    assert line.detail == "job A, position: 'Position' → ''; job A, organisation: '' → 'Organisation'"


@pytest.mark.parametrize("off", ["positions", "organisations"])
def test_what_is_not_synchronised_is_not_touched_in_jobs(client, server, server_id, off):
    position, organisation = make_places(client, server_id)
    with client.unit() as session:
        set_option(session, client.settings, f"client.sync_{off}", "false", client.clock())
    server.people = [person(3, jobs=[job(1, "A", positionid="9", organisationid="8")])]

    sync(client, server_id)

    assert places_of(client, 3) == [(None, organisation) if off == "positions" else (position, None)]
    with client.unit() as session:
        session.execute(update(Job).values(position_id=position, organisation_id=organisation))
    server.people = [person(3, jobs=[job(1, "A")])]
    sync(client, server_id)
    assert places_of(client, 3) == [(position, None) if off == "positions" else (None, organisation)]


def test_the_same_ids_at_two_servers_are_different_jobs(client, server, server_id):
    other_id = lists.connect(client, idnumber="7" * 40, url="http://other.example")
    server.people = [person(3, jobs=[job(1, "A")])]
    sync(client, server_id)
    server.people = [person(3, jobs=[job(1, "B")])]

    assert lists.nonzero(sync(client, other_id).counts) == {"created": 1}

    with client.reading() as session:
        names = session.execute(
            select(Counterpart.server_id, Job.idnumber).join(Job, Job.id == Counterpart.local_id)
        )
        assert sorted(names.all()) == [(server_id, "A"), (other_id, "B")]


def test_a_job_that_came_from_another_server_stays_beside_those_of_this_one(client, server, server_id):
    other_id = lists.connect(client, idnumber="7" * 40, url="http://other.example")
    server.people = [person(3, jobs=[job(1, "A")])]
    sync(client, server_id)
    with client.unit() as session:
        session.execute(update(Counterpart).values(server_id=other_id))
    server.people = [person(3, jobs=[job(1, "B")])]

    sync(client, server_id)

    assert [each.idnumber for each in jobs_of(client, 3)] == ["A", "B"]
    assert lists.nonzero(sync(client, server_id).counts) == {"unchanged": 1}


def test_positions_of_another_server_are_none_of_this_ones(client, server, server_id):
    other_id = lists.connect(client, idnumber="7" * 40, url="http://other.example")
    make_places(client, other_id)
    server.people = [person(3, jobs=[job(1, "A", positionid="9", organisationid="8")])]

    sync(client, server_id)

    assert places_of(client, 3) == [(None, None)]


def test_a_job_that_goes_takes_nothing_along_that_has_its_number_here(client, server, server_id):
    places = make_places(client, server_id)
    server.people = [person(3, jobs=[job(1, "A")])]
    sync(client, server_id)
    assert jobs_of(client, 3)[0].id in places
    server.people = [person(3, jobs=[])]

    sync(client, server_id)

    with client.reading() as session:
        kept = {(it.kind, it.local_id) for it in session.scalars(select(Counterpart))}
    assert kept == {("position", places[0]), ("organisation", places[1])}


def test_jobs_go_with_the_account_and_come_back_with_it(client, server, server_id):
    server.people = [person(3, jobs=[job(1, "A")]), person(4)]
    sync(client, server_id)
    with client.unit() as session:
        people.delete_person(session, client, key_of(session, 3))
    assert jobs_of(client, 3) == []

    assert lists.nonzero(sync(client, server_id).counts) == {"undeleted": 1, "unchanged": 1}

    assert shown(client, 3) == "A"


def test_jobs_of_an_account_whose_row_is_gone_are_made_anew(client, server, server_id):
    server.people = [person(3, jobs=[job(1, "A")])]
    sync(client, server_id)
    with client.unit() as session:
        key = key_of(session, 3)
        session.delete(session.get(client.accounts.columns.mapped_class, key))

    sync(client, server_id)

    assert shown(client, 3) == "A"
    with client.reading() as session:
        assert len(session.scalars(select(Job.id)).all()) == 1


def test_an_order_that_somebody_disturbed_is_set_right(client, server, server_id):
    server.people = [person(3, jobs=[job(1, "A"), job(2, "B")])]
    sync(client, server_id)
    with client.unit() as session:
        session.execute(update(Job).where(Job.idnumber == "A").values(sortorder=9))

    (line,) = sync(client, server_id, reconcile=True).lines

    assert (shown(client, 3), line.detail) == ("A B", "jobs in another order")


@pytest.mark.parametrize(
    "odd",
    [
        [job(1, "J", id="x")],
        [job(1, "J"), job(1, "J")],
        [job(1, "J", fullname=[])],
        "none",
        7,
        {"id": "1"},
        ["1"],
        [{}],
    ],
    ids=lambda it: str(it)[:20],
)
def test_what_the_record_of_somebody_deleted_says_of_jobs_ends_no_run(client, server, server_id, odd):
    """It is not read, and neither is it by the next run, which looks at nothing but the ids."""
    server.people = [person(3), person(4)]
    run_sync(client, "users", server_id)
    server.people = [{**tombstone(3), "jobs": odd}, person(4)]

    assert lists.nonzero(run_sync(client, "users", server_id).counts) == {"deleted": 1, "unchanged": 1}

    server.people[1] = person(4, city="Elsewhere")
    assert lists.nonzero(run_sync(client, "users", server_id).counts) == {"updated": 1, "unchanged": 1}


@pytest.mark.parametrize("deleted", ["1", 1, True])
def test_somebody_deleted_has_no_job_that_is_listed_for_another(client, server, server_id, deleted):
    """Neither in the first run nor in one that finds them as they were."""
    gone = {**tombstone(3), "deleted": deleted, "jobs": [job(1, "J")]}
    for people_listed in (
        [person(3), person(4)],
        *[[gone, person(4, city=c, jobs=[job(1, "J")])] for c in "ABC"],
    ):
        server.people = people_listed
        assert run_sync(client, "users", server_id).state == "done"

    with client.reading() as session:
        assert session.scalars(select(Job.idnumber)).all() == ["J"]
