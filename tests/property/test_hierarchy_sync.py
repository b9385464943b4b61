"""Random histories of a server's trees, against an oracle small enough to be obvious."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select
from support import databases, lists, sites
from support.properties import examples

from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory.hierarchies import ORGANISATIONS, POSITIONS
from tconnect_pyramid.directory.hierarchy_frameworks import list_frameworks
from tconnect_pyramid.directory.hierarchy_items import list_items

SERVER = "5" * 40
HIERARCHIES = {"positions": POSITIONS, "organisations": ORGANISATIONS}
FRAMEWORKS = (1, 2, 3)
ITEMS = (1, 2, 3, 4, 5)
BALLAST = (9, 9)
"""A framework, and an item in it, that are always listed: an empty list would be held."""

# What a server lists: the place of each framework among the others, and of each item as (framework, parent).
listings = st.tuples(
    st.dictionaries(st.sampled_from(FRAMEWORKS), st.integers(1, 4)),
    st.dictionaries(
        st.sampled_from(ITEMS),
        st.tuples(st.sampled_from([*FRAMEWORKS, 4]), st.sampled_from([0, 0, *ITEMS, 7])),
    ),
)


def places(frameworks, items):
    """Protocol 9 in as few words as possible: the items that have a place, with framework and parent."""

    def has_place(id_, below=()):
        framework, parent = items[id_]
        if framework not in frameworks or id_ in below:
            return False
        if not parent:
            return True
        return parent in items and items[parent][0] == framework and has_place(parent, (*below, id_))

    return {id_: place for id_, place in items.items() if has_place(id_)}


def kept(client, hierarchy):
    """What is here of the server's: frameworks in their order, and items as on the server; local ids of both."""
    with client.reading() as session:
        frameworks = [it for it in list_frameworks(session, hierarchy) if it.server == SERVER]
        items = list_items(session, hierarchy)
    assert {it.server for it in items if it.fullname != "Ours"} <= {SERVER}
    remote = {it.id: it.remote_id for it in items} | {None: 0}
    home = {it.id: it.remote_id for it in frameworks}
    mine = [it for it in items if it.server == SERVER]
    above = {it.id: (it.path, it.depth) for it in mine} | {None: ("", 0)}
    for it in mine:
        path, depth = above[it.parent]
        assert (it.path, it.depth) == (f"{path}/{it.id}", depth + 1)
    return (
        [it.remote_id for it in frameworks],
        {it.remote_id: (home[it.framework], remote[it.parent]) for it in mine},
        {it.remote_id: it.id for it in mine},
    )


def add_stranger(client, hierarchy, framework_id, parent_id):
    """An item that somebody made in a framework of the server's, which no command allows."""
    with client.unit() as session:
        return session.scalar(
            insert(hierarchy.item)
            .values(
                fullname="Stranger",
                framework_id=framework_id,
                parent_id=parent_id,
                timecreated=1,
                timemodified=1,
            )
            .returning(hierarchy.item.id)
        )


def add_ours(client, hierarchy):
    """A framework of this site with an item; gives all that is kept of both."""
    with client.unit() as session:
        framework_id = session.scalar(
            insert(hierarchy.framework)
            .values(fullname="Ours", sortorder=1, timecreated=1, timemodified=1)
            .returning(hierarchy.framework.id)
        )
        session.execute(
            insert(hierarchy.item).values(
                fullname="Ours", framework_id=framework_id, timecreated=1, timemodified=1
            )
        )
    return ours(client, hierarchy)


def ours(client, hierarchy):
    with client.reading() as session:
        return [
            tuple(session.execute(select(model.__table__).where(model.fullname == "Ours")).one())
            for model in (hierarchy.framework, hierarchy.item)
        ]


@pytest.mark.parametrize("kind", HIERARCHIES)
@examples(20)
@given(history=st.lists(st.tuples(listings, st.booleans()), min_size=1, max_size=5))
def test_any_history_of_trees_ends_as_the_rules_say(kind, history):
    server = lists.ListingServer()
    hierarchy = HIERARCHIES[kind]
    with (
        tempfile.TemporaryDirectory() as folder,
        databases.maker("sqlite", Path(folder)) as make,
        sites.context(make(), transport=server, options=[("client.enabled", "true")]) as client,
    ):
        server_id = lists.connect(client)
        own = add_ours(client, hierarchy)
        before: dict[int, int] = {}
        for (orders, wishes), with_stranger in history:
            frameworks = {**orders, BALLAST[0]: 5}
            items = {**wishes, BALLAST[1]: (BALLAST[0], 0)}
            server.frameworks[kind] = [
                lists.framework(id_, kind=kind, sortorder=str(order)) for id_, order in frameworks.items()
            ]
            server.items[kind] = [lists.item(id_, *place, kind=kind) for id_, place in items.items()]
            expected = places(frameworks, items)

            report = run_sync(client, kind, server_id)

            assert report.state == ("done" if expected == items else "partial")
            order, tree, local_ids = kept(client, hierarchy)
            assert order == sorted(frameworks, key=lambda id_: (frameworks[id_], id_))
            assert tree == expected
            assert {id_: before[id_] for id_ in expected if id_ in before} == {
                id_: local_ids[id_] for id_ in expected if id_ in before
            }
            assert report.counts["created"] >= len(expected.keys() - before.keys())
            assert report.counts["skipped"] == len(items) - len(expected)
            assert ours(client, hierarchy) == own

            before = local_ids
            there = lists.dump(client)
            again = run_sync(client, kind, server_id)
            assert {line.action for line in again.lines} <= {"skipped"}
            assert lists.dump(client) == there
            if with_stranger:
                parent_id = max(local_ids.values())
                with client.reading() as session:
                    framework_id = session.scalar(
                        select(hierarchy.item.framework_id).where(hierarchy.item.id == parent_id)
                    )
                add_stranger(client, hierarchy, framework_id, parent_id)
