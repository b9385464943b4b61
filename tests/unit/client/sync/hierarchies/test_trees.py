"""What is sent of positions and organisations is here, in its order and place (protocol 9)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy import create_engine, event, select, text, update
from support import lists
from support.lists import custom
from support.statements import listening
from support.trees import lines

from tconnect_pyramid import sqlite
from tconnect_pyramid.database import Database
from tconnect_pyramid.directory import hierarchy_frameworks, hierarchy_types

# --- what is sent is here -------------------------------------------------------------------------


def test_frameworks_and_items_are_here_as_the_server_has_them(world):
    times = {"timevalidfrom": "100", "timevalidto": "200"} if world.kind == "positions" else {}
    report = world.sync(
        [
            world.framework(
                7,
                fullname="Über <b>all</b>",
                shortname="all",
                description="<p>D<script>x()</script></p>",
                hidecustomfields="1",
                visible="0",
            )
        ],
        [
            world.item(8, 7, fullname="A &\n <i>B</i>", description="<p onclick='x()'>E</p>", **times),
            world.item(9, 7, 8, visible="0", idnumber="", sortthread="08.01"),
        ],
    )

    assert report.state == "done"
    assert lists.nonzero(report.counts) == {"created": 3}
    with world.client.reading() as session:
        (kept,) = session.scalars(select(world.hierarchy.framework))
    assert (kept.fullname, kept.shortname, kept.idnumber, kept.description) == (
        "Über all",
        "all",
        "F7",
        "<p>D</p>",
    )
    assert (kept.visible, kept.hidecustomfields, kept.timecreated) == (0, 1, world.client.clock())
    rows = world.rows()
    top, below = rows["A & B"], rows["Item 9"]
    assert (top.description, top.idnumber, top.shortname, top.visible) == ("<p>E</p>", "I8", "i8", 1)
    assert (top.path, top.depthlevel, top.parent_id) == (f"/{top.id}", 1, None)
    assert (below.path, below.depthlevel, below.parent_id) == (f"/{top.id}/{below.id}", 2, top.id)
    assert (below.sortthread, below.visible, below.idnumber, below.component) == (
        "08.01",
        0,
        "",
        "auth_connect",
    )
    assert (below.timecreated, below.timemodified) == (world.client.clock(), world.client.clock())
    if times:
        assert (top.timevalidfrom, top.timevalidto, below.timevalidfrom) == (100, 200, None)
    assert lines(report) == [
        ("created", 7, "framework Über all", ""),
        ("created", 8, f"{world.hierarchy.word} A & B", ""),
        ("created", 9, f"{world.hierarchy.word} Item 9", ""),
    ]


def test_what_changes_on_the_server_changes_here_and_is_told(world, tree):
    world.client.clock.tick(60)
    frameworks = [world.framework(1, fullname="New"), world.framework(2)]
    items = world.servers.first.items[world.kind]
    items[0] = {**items[0], "fullname": "Boss", "description": "<b>b</b>", "visible": "0"}

    report = world.sync(frameworks, items)

    assert lists.nonzero(report.counts) == {"updated": 2, "unchanged": 5}
    assert lines(report) == [
        ("updated", 1, "framework New", "fullname: 'Framework 1' → 'New'"),
        (
            "updated",
            1,
            f"{world.hierarchy.word} Boss",
            "fullname: 'Item 1' → 'Boss'; description: '' → '<b>b</b>'; visible: '1' → '0'",
        ),
    ]
    rows = world.rows()
    assert (rows["Boss"].id, rows["Boss"].timemodified) == (tree[1], world.client.clock())
    assert rows["Item 2"].timemodified == world.client.clock() - 60


def test_a_second_run_changes_nothing(world, tree):
    before = world.kept()
    world.client.clock.tick(3600)

    report = world.run()

    assert ([*report.lines], lists.nonzero(report.counts)) == ([], {"unchanged": 7})
    assert world.kept() == before


def test_what_somebody_changed_here_is_set_right(world, tree):
    item, framework = world.hierarchy.item, world.hierarchy.framework
    before = world.kept()
    world.write(update(framework).where(framework.idnumber == "F1").values(shortname="mine"))
    world.write(
        update(item)
        .where(item.id == tree[3])
        .values(path="/77", depthlevel=9, fullname="Mine", parent_id=tree[4], component="")
    )

    report = world.run()

    assert world.kept() == before
    assert [line[:2] for line in lines(report)] == [("updated", 1), ("moved", 3)]


def test_equal_idnumbers_are_no_mistake(world):
    report = world.sync(
        [world.framework(1, idnumber="X"), world.framework(2, idnumber="X")],
        [world.item(1, 1, idnumber="Y"), world.item(2, 1, idnumber="Y"), world.item(3, 2, idnumber="Y")],
    )

    assert report.state == "done"
    assert [it.idnumber for it in world.items().values()] == ["Y"] * 3


def test_a_child_may_be_listed_before_its_parent(world):
    world.sync([world.framework(1)], [world.item(3, 1, 2), world.item(2, 1, 1), world.item(1, 1)])

    assert world.tree() == {1: (1, 0), 2: (1, 1), 3: (1, 2)}


# --- the order of frameworks ----------------------------------------------------------------------


def test_frameworks_follow_the_servers_order_and_those_made_here_keep_their_places(world):
    for name in ("Ours 1", "Ours 2"):
        world.by_hand(hierarchy_frameworks.add_framework, fullname=name)
    world.sync([world.framework(id_) for id_ in (1, 2)], [world.item(1, 1)])
    world.by_hand(hierarchy_frameworks.add_framework, fullname="Ours 3")
    assert world.order() == ["Ours 1", "Ours 2", "Framework 1", "Framework 2", "Ours 3"]

    report = world.sync(
        [
            world.framework(1, sortorder="9"),
            world.framework(2, sortorder="5"),
            world.framework(3, sortorder="7"),
        ],
        [world.item(1, 1)],
    )

    assert world.order() == ["Ours 1", "Ours 2", "Framework 2", "Framework 3", "Ours 3", "Framework 1"]
    assert ("updated", 1, "framework Framework 1", "sortorder: '3' → '6'") in lines(report)
    before = world.kept()
    assert [*world.run().lines] == []
    assert world.kept() == before


def test_frameworks_with_one_place_on_the_server_come_in_the_order_of_their_ids(world):
    world.sync([world.framework(id_, sortorder="1") for id_ in (3, 1, 2)], [world.item(1, 1)])

    assert world.order() == ["Framework 1", "Framework 2", "Framework 3"]
    assert [*world.run().lines] == []


def test_frameworks_that_came_to_share_a_place_here_are_parted_again(world):
    world.sync([world.framework(1), world.framework(2)], [world.item(1, 1)])
    world.write(update(world.hierarchy.framework).values(sortorder=4))
    world.sync([world.framework(1, sortorder="2"), world.framework(2, sortorder="1")], [world.item(1, 1)])

    assert world.order() == ["Framework 2", "Framework 1"]
    assert [*world.run().lines] == []


# --- moves ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Move:
    """New places of items of the tree, as (framework, parent); what a line tells of the first one."""

    sentence: str
    places: dict[int, tuple[int, int]]
    detail: str


MOVES = [
    Move("to the top", {3: (1, 0)}, "parent: 'Item 2' → ''"),
    Move("up", {3: (1, 1)}, "parent: 'Item 2' → 'Item 1'"),
    Move("to a deeper parent", {4: (1, 3)}, "parent: 'Item 1' → 'Item 3'"),
    Move("with what is below it", {2: (1, 4)}, "parent: 'Item 1' → 'Item 4'"),
    Move(
        "parent and child change places",
        {2: (1, 3), 3: (1, 1)},
        "parent: 'Item 1' → 'Item 3'",
    ),
    Move(
        "the whole line is turned round",
        {1: (1, 2), 2: (1, 3), 3: (1, 0)},
        "parent: '' → 'Item 2'",
    ),
    Move(
        "to another framework",
        {2: (2, 0), 3: (2, 2)},
        "framework: 'Framework 1' → 'Framework 2'; parent: 'Item 1' → ''",
    ),
    Move(
        "to another framework below an item there",
        {2: (2, 5), 3: (2, 2)},
        "framework: 'Framework 1' → 'Framework 2'; parent: 'Item 1' → 'Item 5'",
    ),
    Move(
        "a child alone to another framework",
        {3: (2, 5)},
        "framework: 'Framework 1' → 'Framework 2'; parent: 'Item 2' → 'Item 5'",
    ),
    Move(
        "frameworks change their trees",
        {1: (2, 0), 2: (2, 1), 3: (2, 2), 4: (2, 1), 5: (1, 0)},
        "framework: 'Framework 1' → 'Framework 2'",
    ),
]


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.sentence)
def test_items_keep_their_ids_through_every_move(world, tree, move):
    job = world.holder(tree[3])
    items = [
        {**record, "frameworkid": str(place[0]), "parentid": str(place[1])}
        if (place := move.places.get(int(record["id"])))
        else record
        for record in world.servers.first.items[world.kind]
    ]

    report = world.sync(world.servers.first.frameworks[world.kind], items)

    assert (report.state, report.counts["moved"]) == ("done", len(move.places))
    assert report.counts["updated"] == len(move.places)
    assert lists.nonzero(report.counts).keys() <= {"updated", "moved", "unchanged"}
    first = min(move.places)
    assert ("moved", first, f"{world.hierarchy.word} Item {first}", move.detail) in lines(report)
    kept = world.items()
    assert {id_: it.id for id_, it in kept.items()} == tree
    assert world.tree() == {
        1: (1, 0),
        2: (1, 1),
        3: (1, 2),
        4: (1, 1),
        5: (2, 0),
    } | dict(move.places)
    above = {it.id: it for it in kept.values()}
    for it in kept.values():
        parent = above.get(it.parent)
        assert it.path == f"{parent.path if parent else ''}/{it.id}"
        assert it.depth == (parent.depth if parent else 0) + 1
        assert parent is None or parent.framework == it.framework
    assert world.held(job) == tree[3]
    before = world.kept()
    assert [*world.run().lines] == []
    assert world.kept() == before


def test_an_item_moves_below_one_that_is_new(world, tree):
    items = [*world.servers.first.items[world.kind], world.item(9, 2, 5)]
    items[2] = {**items[2], "frameworkid": "2", "parentid": "9"}
    items[3] = {**items[3], "frameworkid": "2"}

    report = world.sync(world.servers.first.frameworks[world.kind], items)

    assert lists.nonzero(report.counts) == {"created": 1, "updated": 2, "moved": 2, "unchanged": 5}
    kept = world.items()
    assert kept[3].path == f"/{tree[5]}/{kept[9].id}/{tree[2]}/{tree[3]}"
    assert kept[3].depth == 4


def test_an_item_at_the_top_moves_below_one_that_is_new(world, tree):
    items = [*world.servers.first.items[world.kind], world.item(9, 2)]
    items[4] = {**items[4], "parentid": "9"}

    report = world.sync(world.servers.first.frameworks[world.kind], items)

    detail = "parent: '' → 'Item 9'"
    assert ("moved", 5, f"{world.hierarchy.word} Item 5", detail) in lines(report)
    assert (world.tree()[5], world.items()[5].id) == ((2, 9), tree[5])


def test_an_item_moves_into_a_framework_that_is_new(world, tree):
    frameworks = [world.framework(1), world.framework(2), world.framework(3)]
    items = [
        {**record, "frameworkid": "3"} if record["frameworkid"] == "1" else record
        for record in world.servers.first.items[world.kind]
    ]

    world.sync(frameworks, items)

    assert {id_: it.id for id_, it in world.items().items()} == tree
    assert world.tree() == {1: (3, 0), 2: (3, 1), 3: (3, 2), 4: (3, 1), 5: (2, 0)}


def test_what_moved_out_of_a_framework_outlives_it(world, tree):
    job = world.holder(tree[3])
    world.sync([world.framework(2)], [world.item(5, 2), world.item(3, 2, 5)])

    assert world.tree() == {5: (2, 0), 3: (2, 5)}
    assert {id_: it.id for id_, it in world.items().items()} == {3: tree[3], 5: tree[5]}
    assert world.held(job) == tree[3]
    assert world.frameworks().keys() == {2}


def test_what_moved_out_of_a_deleted_subtree_stays(world, tree):
    world.sync([world.framework(1), world.framework(2)], [world.item(3, 1), world.item(5, 2)])

    assert world.items().keys() == {3, 5}
    assert world.items()[3].id == tree[3]


def test_one_that_somebody_put_into_a_framework_of_ours_is_fetched_back(world, tree):
    ours = world.by_hand(hierarchy_frameworks.add_framework, fullname="Ours")
    item = world.hierarchy.item
    before = world.tree()
    world.write(update(item).where(item.id == tree[5]).values(framework_id=ours.id))

    report = world.run()

    assert lines(report) == [("moved", 5, f"{world.hierarchy.word} Item 5", "framework: '' → 'Framework 2'")]
    assert (world.tree(), world.items()[5].id) == (before, tree[5])


# --- all or nothing -------------------------------------------------------------------------------


def test_a_type_that_is_removed_between_plan_and_write_is_no_failure(world):
    world.types(T1={"band": "text"})
    elsewhere = create_engine(world.client.database.engine.url)
    sqlite.configure(elsewhere)
    done = []

    def remove_type(connection, cursor, statement, parameters, context, executemany):
        # The planner's last look: the plan is made, and nothing is written yet.
        if (
            f"FROM {world.hierarchy.type.__tablename__}" in statement
            and "type_field" not in statement
            and not done
        ):
            done.append(True)
            with Database(elsewhere).unit() as session:
                found = hierarchy_types.find_type(session, world.hierarchy, "T1")
                hierarchy_types.delete_type(session, world.client, world.hierarchy, found.id)

    event.listen(world.client.database.engine, "after_cursor_execute", remove_type)

    report = world.sync(
        [world.framework(1)], [world.item(1, 1, typeidnumber="T1", custom_fields=[custom("band", "A")])]
    )

    elsewhere.dispose()
    assert (report.state, done) == ("done", [True])
    assert world.items()[1].type is None


def test_a_database_that_refuses_undoes_everything(world, tree):
    before = world.kept()
    with world.client.unit() as session:
        session.execute(text("ALTER TABLE tconnect_run_line RENAME TO tconnect_no_such_table"))

    report = world.sync([world.framework(2), world.framework(3)], [world.item(2, 3), world.item(9, 3, 2)])

    with world.client.unit() as session:
        session.execute(text("ALTER TABLE tconnect_no_such_table RENAME TO tconnect_run_line"))

    assert report.state == "failed"
    assert world.kept() == before


@pytest.mark.parametrize("world", ["positions"], indirect=True)
def test_many_items_take_as_many_statements_as_few(world):
    world.types(T1={"band": "text"})

    def statements(first: int, last: int) -> int:
        items = [
            world.item(
                id_, 1, id_ - 1 if id_ % 5 else 0, typeidnumber="T1", custom_fields=[custom("band", str(id_))]
            )
            for id_ in range(first, last)
        ]
        with listening(world.client.database.engine) as made:
            report = world.sync([world.framework(1)], items)
        assert report.state == "done", report.message
        assert report.counts["created"] >= len(items)
        return len(made)

    statements(5, 10)
    # As many come as go the first time, and many more the second time; both stay within one batch.
    assert statements(10, 15) == statements(100, 400)
