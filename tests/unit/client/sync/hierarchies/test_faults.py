"""Items without a place and records that are no good are skipped; the rest is in step (protocol 9)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from support import lists
from support.trees import lines

# --- what cannot be placed ------------------------------------------------------------------------


@dataclass(frozen=True)
class Unplaced:
    """New places of items of the tree, as (framework, parent), and the reason for which each is skipped."""

    sentence: str
    places: dict[int, tuple[int, int]]
    reasons: dict[int, str]


UNPLACED = [
    Unplaced(
        "an unknown framework",
        {2: (9, 0), 3: (9, 2)},
        {2: "its framework 9 is unknown", 3: "its framework 9 is unknown"},
    ),
    Unplaced(
        "an unknown parent",
        {2: (1, 99)},
        {2: "its parent 99 is unknown", 3: "its parent 2 was skipped"},
    ),
    Unplaced(
        "a parent in another framework",
        {2: (1, 5)},
        {2: "its parent 5 is in another framework", 3: "its parent 2 was skipped"},
    ),
    Unplaced(
        "moved without what is below it",
        {2: (2, 5)},
        {3: "its parent 2 is in another framework"},
    ),
    Unplaced("its own parent", {3: (1, 3)}, {3: "its parents go round in a circle"}),
    Unplaced(
        "a circle of two, with one below it",
        {2: (1, 3), 4: (1, 3)},
        dict.fromkeys((2, 3, 4), "its parents go round in a circle"),
    ),
    Unplaced(
        "a circle over two frameworks",
        {2: (2, 3), 3: (1, 2)},
        dict.fromkeys((2, 3), "its parents go round in a circle"),
    ),
]


@pytest.mark.parametrize("case", UNPLACED, ids=lambda case: case.sentence)
@pytest.mark.parametrize("is_here", [True, False], ids=["is deleted here", "is not made"])
def test_an_item_without_a_place_is_skipped_with_its_reason_and(world, case, is_here, request):
    if is_here:
        request.getfixturevalue("tree")
    before = [(1, 1, 0), (2, 1, 1), (3, 1, 2), (4, 1, 1), (5, 2, 0)]
    items = [world.item(id_, *case.places.get(id_, (home, parent))) for id_, home, parent in before]

    report = world.sync([world.framework(1), world.framework(2)], items)

    assert report.state == "partial"
    assert {id_: reason for _, id_, _, reason in lines(report, "skipped")} == case.reasons
    gone = {id_: reason for _, id_, _, reason in lines(report, "deleted")}
    assert gone == (case.reasons if is_here else {})
    assert world.items().keys() == {1, 2, 3, 4, 5} - case.reasons.keys()
    kept = world.kept()
    again = world.run()
    assert (again.state, again.counts["skipped"]) == ("partial", len(case.reasons))
    assert world.kept() == kept


def test_a_tree_has_an_end(world):
    deep = [world.item(id_, 1, id_ - 1) for id_ in range(1, 110)]

    report = world.sync([world.framework(1)], deep)

    assert report.state == "partial"
    assert max(it.depth for it in world.items().values()) == 100
    assert lines(report, "skipped")[0][1::2] == (101, "it is more than 100 levels deep")
    assert lines(report, "skipped")[-1][1::2] == (109, "its parent 108 was skipped")


# --- records that are no good ---------------------------------------------------------------------


def test_a_bad_item_is_skipped_and_one_that_is_here_stays_as_it_is(world, tree):
    items = world.servers.first.items[world.kind]
    items[0] = {**items[0], "fullname": []}
    items[2] = {**items[2], "fullname": None}
    items.append(world.item(8, 1, custom_fields=None))
    items.append(world.item(9, 1, 8))
    before = world.kept()

    report = world.run()

    assert report.state == "partial"
    assert lines(report, "skipped") == [
        ("skipped", 1, f"{world.hierarchy.word} 1", "fullname is neither a text nor a number"),
        ("skipped", 2, f"{world.hierarchy.word} 2", "fullname is missing"),
        ("skipped", 8, f"{world.hierarchy.word} Item 8", "custom_fields is not a list"),
        ("skipped", 9, f"{world.hierarchy.word} Item 9", "its parent 8 was skipped"),
    ]
    assert lists.nonzero(report.counts) == {"skipped": 4, "unchanged": 5}
    assert world.kept() == before


def test_a_bad_item_goes_where_its_parent_goes(world, tree):
    items = world.servers.first.items[world.kind]
    items[2] = {**items[2], "fullname": None}
    items[0] = {**items[0], "frameworkid": "2"}
    items[1] = {**items[1], "frameworkid": "2"}
    items[3] = {**items[3], "frameworkid": "2"}

    world.run()

    assert world.tree() == {1: (2, 0), 2: (2, 1), 3: (2, 2), 4: (2, 1), 5: (2, 0)}
    assert {id_: it.id for id_, it in world.items().items()} == tree


def test_a_bad_item_goes_with_the_item_above_it(world, tree):
    items = world.servers.first.items[world.kind]
    items[3] = {**items[3], "fullname": None}

    report = world.sync(world.servers.first.frameworks[world.kind], [items[0], items[1], items[3], items[4]])

    assert [line[1] for line in lines(report, "deleted")] == [2, 3]
    assert world.items().keys() == {1, 4, 5}


def test_a_bad_framework_that_is_here_stays_with_its_items(world, tree):
    frameworks = [world.framework(1, fullname=None), world.framework(2), world.framework(3, sortorder=[])]
    items = [*world.servers.first.items[world.kind], world.item(9, 3)]
    items[0] = {**items[0], "fullname": "Boss"}

    report = world.sync(frameworks, items)

    assert report.state == "partial"
    assert [line[1:] for line in lines(report, "skipped")] == [
        (1, "framework 1", "fullname is missing"),
        (3, "framework Framework 3", "sortorder is neither a text nor a number"),
        (9, f"{world.hierarchy.word} Item 9", "its framework 3 is unknown"),
    ]
    assert lists.nonzero(report.counts) == {"updated": 1, "skipped": 3, "unchanged": 5}
    assert world.rows()["Boss"].id == tree[1]


@pytest.mark.parametrize("what", ["frameworks", "items"])
def test_a_record_without_an_id_may_be_anybodys_so_none_of_its_kind_is_gone(world, tree, what):
    stranger = world.framework("x") if what == "frameworks" else world.item("x", 1)
    before = world.kept()
    if what == "frameworks":
        world.send([world.framework(2), stranger], world.servers.first.items[world.kind])
    else:
        world.send(
            world.servers.first.frameworks[world.kind],
            [world.servers.first.items[world.kind][0], stranger],
        )

    report = world.run()

    assert report.state == "partial"
    assert "cannot be told which are gone" in report.message
    assert lists.nonzero(report.counts) == {"skipped": 1, "unchanged": 7}
    assert world.kept() == before


def test_of_records_with_one_id_the_first_counts(world):
    report = world.sync(
        [world.framework(1), world.framework(1, fullname="Again")],
        [world.item(1, 1), world.item(1, 1, fullname="Again")],
    )

    assert lists.nonzero(report.counts) == {"created": 2, "skipped": 2}
    assert (world.order(), list(world.rows())) == (["Framework 1"], ["Item 1"])


@pytest.mark.parametrize("number", ["2147483648", "9223372036854775807"])
def test_numbers_of_any_size_do_no_harm(world, number):
    report = world.sync(
        [world.framework(int(number), visible=number, hidecustomfields=number, sortorder=number)],
        [world.item(int(number), int(number), visible=number)],
    )

    assert (report.state, lists.nonzero(report.counts)) == ("done", {"created": 2})
    assert world.rows()[f"Item {number}"].visible == 1
