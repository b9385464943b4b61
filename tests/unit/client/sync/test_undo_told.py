"""What a line of undoing a run says of what people have besides their accounts: the same as that of a run of people."""

from __future__ import annotations

import pytest
from support.client_site import add_field, client_site
from support.lists import field, framework, item, job, person, tombstone
from support.undoing import undo, went

from tconnect_pyramid.client.sync.plan_extras import MOST_TOLD


@pytest.fixture
def site(make_database):
    with client_site(make_database()) as made:
        made.set(removed_person="suspend")
        yield made


def told(site, before, after):
    """The action and detail of the only line, which a dry run tells just as well."""
    run, _ = went(site, before, after)
    (planned,) = undo(site, run, dry_run=True).lines
    (line,) = undo(site, run).lines
    assert line == planned
    return line.action, line.detail


@pytest.mark.parametrize(
    ("before", "after", "detail"),
    [
        ([job(7, "J7")], [job(7, "J7", fullname="Cook")], "job J7, fullname: 'Cook' → 'Job 7'"),
        ([job(7, "J7")], [job(7, "J8")], "job J8, idnumber: 'J8' → 'J7'"),
        ([job(7, "J7")], [], "job J7 added"),
        ([], [job(7, "J7")], "job J7 removed"),
        ([job(7, "J7")], [job(8, "J8")], "job J7 added; job J8 removed"),
        (
            [job(7, "J7"), job(8, "J8")],
            [job(7, "J7", sortorder="9"), job(8, "J8")],
            "jobs in another order",
        ),
        (
            [job(7, "J7"), job(8, "J8")],
            [job(7, "J7", sortorder="9"), job(8, "J8", fullname="Cook")],
            "job J8, fullname: 'Cook' → 'Job 8'; jobs in another order",
        ),
        ([job(7, "J7"), job(8, "J8")], [job(8, "J8")], "job J7 added"),
    ],
    ids=["changed", "renumbered", "removed", "added", "other", "order", "changed and order", "moved up"],
)
def test_which_jobs_come_back(site, before, after, detail):
    assert told(site, [person(3, jobs=before)], [person(3, jobs=after)]) == ("updated", detail)


def test_what_positions_and_organisations_are_called(site):
    for kind in ("positions", "organisations"):
        site.server.frameworks[kind] = [framework(1, kind=kind)]
        site.server.items[kind] = [item(1, 1, kind=kind), item(2, 1, kind=kind)]
        site.sync(kind)
    before, after = (
        [person(3, jobs=[job(7, "J7", positionid=position, organisationid=organisation)])]
        for position, organisation in (("1", "2"), ("2", None))
    )

    assert told(site, before, after) == (
        "updated",
        "job J7, position: 'Item 2' → 'Item 1'; job J7, organisation: '' → 'Item 2'",
    )


def test_which_custom_profile_fields_come_back(site):
    for name in ("one", "two", "three"):
        add_field(site, name)
    before = [person(3, profile_fields=[field("one", "old"), field("two", "gone")], jobs=[job(7, "J7")])]
    after = [person(3, profile_fields=[field("one", "new"), field("three", "come")], jobs=[], city="Riga")]

    assert told(site, before, after) == (
        "updated",
        "city: 'Riga' → 'Wellington'; one: 'new' → 'old'; two: '' → 'gone'; three: 'come' → ''; job J7 added",
    )


def test_one_line_tells_a_suspension_and_what_comes_back_besides(site):
    before = [person(3, jobs=[job(7, "J7")])]
    after = [person(3, jobs=[], city="Riga", suspended="1")]

    assert told(site, before, after) == ("unsuspended", "city: 'Riga' → 'Wellington'; job J7 added")


@pytest.mark.parametrize("gone_first", [False, True])
def test_of_who_is_deleted_or_comes_back_nothing_is_listed(site, gone_first):
    site.server.people = [person(3)]
    site.sync()
    before, after = [person(3, jobs=[job(7, "J7")])], [tombstone(3)]
    if gone_first:
        before, after = after, before

    assert told(site, before, after) == ("deleted" if gone_first else "undeleted", "")


def test_no_more_is_told_than_by_a_run(site):
    number = MOST_TOLD + 2
    before, after = (
        [person(3, jobs=[job(id_, f"J{id_}", fullname=name) for id_ in range(1, number + 1)])]
        for name in ("Old", "New")
    )
    _, detail = told(site, before, after)

    assert detail.count(" → ") == MOST_TOLD
    assert detail.endswith("; and 2 more changes")
