"""What is not sent any more goes, and an empty list is held (protocol 9)."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select, update
from support import lists
from support.trees import HIERARCHIES, OTHER, OTHER_URL, lines

from tconnect_pyramid.client.runs import approve_run, reject_run
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory import hierarchy_frameworks, hierarchy_items
from tconnect_pyramid.models import Approval, Counterpart, Run, Server
from tconnect_pyramid.options import set_option

# --- what goes ------------------------------------------------------------------------------------


def test_a_deleted_item_takes_what_is_below_it_and_jobs_lose_them(world, tree):
    lost, kept = world.holder(tree[3]), world.holder(tree[4])
    items = [record for record in world.servers.first.items[world.kind] if record["id"] not in "23"]

    report = world.sync(world.servers.first.frameworks[world.kind], items)

    assert (report.state, lists.nonzero(report.counts)) == ("done", {"deleted": 2, "unchanged": 5})
    assert world.items().keys() == {1, 4, 5}
    assert (world.held(lost), world.held(kept)) == (None, tree[4])
    assert [line[:2] for line in lines(report)] == [("deleted", 2), ("deleted", 3)]


def test_a_framework_that_is_not_sent_any_more_goes_with_its_items(world, tree):
    lost = world.holder(tree[3])

    report = world.sync([world.framework(2)], [world.item(5, 2, sortthread="01")])

    assert lists.nonzero(report.counts) == {"deleted": 5, "unchanged": 2}
    assert lines(report)[:2] == [
        ("deleted", 1, "framework Framework 1", "not sent any more"),
        ("deleted", 1, f"{world.hierarchy.word} Item 1", "its framework is not sent any more"),
    ]
    assert (world.frameworks().keys(), world.items().keys()) == ({2}, {5})
    assert world.held(lost) is None
    with world.client.reading() as session:
        assert session.scalar(select(func.count()).select_from(Counterpart)) == 2


def test_items_in_a_synced_framework_that_did_not_come_from_its_server_are_removed(world, tree):
    item = world.hierarchy.item
    ours = world.by_hand(hierarchy_frameworks.add_framework, fullname="Ours")
    for name in ("Stranger", "Below"):
        world.by_hand(hierarchy_items.add_item, fullname=name, framework=ours.id)
    rows = world.rows()
    job = world.holder(rows["Below"].id)
    homes = {name: it.framework for name, it in zip(("F1",), (world.items()[1],), strict=True)}
    world.write(
        update(item).where(item.fullname == "Stranger").values(framework_id=homes["F1"], parent_id=tree[1])
    )
    world.write(
        update(item)
        .where(item.fullname == "Below")
        .values(framework_id=homes["F1"], parent_id=rows["Stranger"].id)
    )
    # One of the server's own that hangs below it belongs elsewhere, and survives.
    world.write(update(item).where(item.id == tree[3]).values(parent_id=rows["Stranger"].id))

    report = world.run()

    assert report.state == "done"
    assert world.rows().keys() == {f"Item {id_}" for id_ in range(1, 6)}
    assert world.tree()[3] == (1, 2)
    assert world.held(job) is None
    assert lines(report, "deleted") == [
        (
            "deleted",
            None,
            f"{world.hierarchy.word} {name}",
            "did not come from the server that keeps its framework",
        )
        for name in ("Stranger", "Below")
    ]


def test_two_servers_and_what_was_made_here_do_not_touch_each_other(world, tree):
    ours = world.by_hand(hierarchy_frameworks.add_framework, fullname="Ours")
    own = world.by_hand(hierarchy_items.add_item, fullname="Own", framework=ours.id)
    other_id = lists.connect(world.client, idnumber=OTHER, url=OTHER_URL)
    second = world.servers.second
    world.send([world.framework(1, fullname="Theirs")], [world.item(1, 1, fullname="T")], second)
    first_tree = world.kept()

    assert lists.nonzero(world.run(other_id).counts) == {"created": 2}
    theirs = world.items(OTHER)
    assert world.order() == ["Framework 1", "Framework 2", "Ours", "Theirs"]
    after = world.kept()
    assert {name: set(rows) - set(after[name]) for name, rows in first_tree.items() if rows} == {
        name: set() for name, rows in first_tree.items() if rows
    }

    world.sync([world.framework(2)], [world.item(5, 2)])
    assert world.items(OTHER) == theirs
    world.send([world.framework(2, fullname="Later")], [world.item(5, 2, fullname="L")], second)
    world.run(other_id)

    assert world.order() == ["Framework 2", "Ours", "Later"]
    assert world.items(None)[None].id == own.id
    assert (world.items().keys(), world.items(OTHER).keys()) == ({5}, {5})
    assert world.items()[5].id == tree[5]


def test_a_row_that_somebody_removed_here_is_made_anew(world, tree):
    with world.client.unit() as session:
        # As a host's own script would: the mapping stays behind.
        for table, column, key in (
            (world.hierarchy.item, world.hierarchy.item.id, tree[3]),
            (world.hierarchy.item, world.hierarchy.item.id, tree[5]),
            (world.hierarchy.framework, world.hierarchy.framework.idnumber, "F2"),
        ):
            session.execute(table.__table__.delete().where(column == key))

    report = world.run()

    assert lists.nonzero(report.counts) == {"created": 3, "unchanged": 4}
    assert world.tree() == {1: (1, 0), 2: (1, 1), 3: (1, 2), 4: (1, 1), 5: (2, 0)}
    assert world.items()[3].id > tree[5]
    assert [*world.run().lines] == []


def test_what_is_made_anew_for_one_server_is_still_there_for_another(world, tree):
    other_id = lists.connect(world.client, idnumber=OTHER, url=OTHER_URL)
    world.send([world.framework(1)], [world.item(3, 1)], world.servers.second)
    world.run(other_id)
    theirs = world.items(OTHER)
    with world.client.unit() as session:
        session.execute(world.hierarchy.item.__table__.delete().where(world.hierarchy.item.id == tree[3]))

    assert lists.nonzero(world.run().counts) == {"created": 1, "unchanged": 6}

    assert world.items(OTHER) == theirs
    assert lists.nonzero(world.run(other_id).counts) == {"unchanged": 2}


# --- nothing, and nothing at all ------------------------------------------------------------------


EMPTY = {
    "two empty lists": ([], []),
    "no frameworks": ([], [1]),
    "no items": ([1, 2], []),
}


@pytest.mark.parametrize("case", EMPTY)
def test_an_empty_list_is_held_and_changes_nothing(world, tree, case):
    frameworks, items = EMPTY[case]
    before = world.kept()

    report = world.sync([world.framework(id_) for id_ in frameworks], [world.item(id_, 1) for id_ in items])

    assert report.state == "held"
    assert f"no {world.kind} at all" in report.message
    assert world.kept() == before


def test_of_frameworks_without_items_one_goes_unasked(world):
    world.sync([world.framework(1), world.framework(2)], [])

    report = world.sync([world.framework(2)], [])

    assert (report.state, lists.nonzero(report.counts)) == ("done", {"deleted": 1, "unchanged": 1})
    assert world.order() == ["Framework 2"]


def test_two_empty_lists_remove_all_of_this_server_once_that_is_approved(world, tree):
    ours = world.by_hand(hierarchy_frameworks.add_framework, fullname="Ours")
    stranger = world.by_hand(hierarchy_items.add_item, fullname="Stranger", framework=ours.id)
    item = world.hierarchy.item
    world.write(update(item).where(item.id == stranger.id).values(framework_id=world.frameworks()[1].id))
    job = world.holder(tree[3])
    held = world.sync([], [])
    assert (held.state, held.counts["deleted"]) == ("held", 8)

    report = approve_run(world.client, held.run, actor="command")

    assert (report.state, lists.nonzero(report.counts)) == ("done", {"deleted": 8})
    assert (world.order(), world.rows()) == (["Ours"], {})
    assert world.held(job) is None
    with world.client.reading() as session:
        assert session.scalars(select(Counterpart.local_id)).all() == []
        # Each was approved once, and is done.
        assert session.scalars(select(Approval)).all() == []


def test_approving_one_kind_allows_nothing_of_the_other(world, tree):
    other = next(kind for kind in HIERARCHIES if kind != world.kind)
    first = world.servers.first
    first.frameworks[other] = [lists.framework(id_, kind=other) for id_ in (1, 2)]
    first.items[other] = [lists.item(id_, 1, kind=other) for id_ in range(1, 6)]
    run_sync(world.client, other, world.server_id)
    held = world.sync([], [])
    approve_run(world.client, held.run, actor="command")
    first.frameworks[other], first.items[other] = [], []

    assert run_sync(world.client, other, world.server_id).state == "held"


def test_approving_the_items_does_not_allow_to_remove_their_frameworks(world):
    frameworks = [world.framework(1), world.framework(2)]
    world.sync(frameworks, [world.item(1, 1), world.item(2, 1)])
    held = world.sync(frameworks, [])
    assert approve_run(world.client, held.run, actor="command").counts["deleted"] == 2

    assert world.sync([], []).state == "held"
    assert world.order() == ["Framework 1", "Framework 2"]


def test_a_rejected_run_is_held_again(world, tree):
    held = world.sync([], [])
    reject_run(world.client, held.run, actor="command")

    assert world.run().state == "held"


def test_an_empty_list_with_nothing_here_is_fine(world):
    assert (world.sync([], []).state, lists.nonzero(world.run().counts)) == ("done", {})


def test_nulls_leave_all_alone(world, tree):
    before = world.kept()

    report = world.sync(None, None)

    assert (report.state, lists.nonzero(report.counts)) == ("done", {})
    assert report.message == f"The server has no {world.kind}; nothing was changed."
    assert world.kept() == before


@pytest.mark.parametrize("why", ["off", "version 1"])
@pytest.mark.parametrize(("dry_run", "state"), [(False, "done"), (True, "planned")])
def test_nothing_is_asked_when_the_kind_is_not_synchronised(world, tree, why, dry_run, state):
    if why == "off":
        with world.client.unit() as session:
            set_option(
                session, world.client.settings, f"client.sync_{world.kind}", "false", world.client.clock()
            )
    else:
        world.write(update(Server).values(apiversion=1))
    world.servers.first.asked.clear()
    with world.client.reading() as session:
        runs = session.scalar(select(func.count()).select_from(Run))

    report = world.run(dry_run=dry_run)

    assert (report.state, report.run, report.asked) == (state, None, False)
    assert ("client.sync_" if why == "off" else "Version 1") in report.message
    assert world.servers.first.asked == []
    with world.client.reading() as session:
        assert session.scalar(select(func.count()).select_from(Run)) == runs
