"""Positions and organisations of servers: each rule of protocol 9, for both kinds."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy import create_engine, event, func, select, text, update
from support import lists, sites
from support.lists import custom
from support.statements import listening

from tconnect_pyramid import people, sqlite
from tconnect_pyramid.client.runs import approve_run, reject_run
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.database import Database
from tconnect_pyramid.directory import hierarchy_frameworks, hierarchy_items, hierarchy_types, jobs
from tconnect_pyramid.directory.hierarchies import ORGANISATIONS, POSITIONS
from tconnect_pyramid.models import Approval, Counterpart, Run, Server
from tconnect_pyramid.options import set_option

SERVER = "5" * 40
OTHER = "7" * 40
OTHER_URL = "http://other.example"
HIERARCHIES = {"positions": POSITIONS, "organisations": ORGANISATIONS}


class TwoServers:
    """A transport that leads to one of two servers, by the address that is called."""

    def __init__(self) -> None:
        self.first = lists.ListingServer()
        self.second = lists.ListingServer()

    def post(self, url, form, *, timeout, limit):
        server = self.second if url.startswith(OTHER_URL) else self.first
        return server.post(url, form, timeout=timeout, limit=limit)


class World:
    """A client with its servers, for one of the two kinds. Ids are those of the server unless said otherwise."""

    def __init__(self, client, servers, kind) -> None:
        self.client = client
        self.servers = servers
        self.kind = kind
        self.hierarchy = HIERARCHIES[kind]
        self.server_id = lists.connect(client)
        self.other_id: int | None = None

    def framework(self, id_, **fields):
        return lists.framework(id_, kind=self.kind, **fields)

    def item(self, id_, framework_id, parent=0, **fields):
        return lists.item(id_, framework_id, parent, kind=self.kind, **fields)

    def send(self, frameworks, items, server=None):
        """Let the server list these from now on."""
        server = server or self.servers.first
        server.frameworks[self.kind], server.items[self.kind] = frameworks, items

    def run(self, server_id=None, **more):
        return run_sync(self.client, self.kind, server_id or self.server_id, **more)

    def sync(self, frameworks, items, **more):
        self.send(frameworks, items)
        return self.run(**more)

    def by_hand(self, change, *args, **more):
        """Do something as an administrator of this site does."""
        with self.client.unit() as session:
            return change(session, self.client, self.hierarchy, *args, **more)

    def write(self, statement):
        """Do something behind everybody's back."""
        with self.client.unit() as session:
            session.execute(statement)

    def rows(self):
        """The items as they are kept, by name."""
        with self.client.reading() as session:
            return {row.fullname: row for row in session.scalars(select(self.hierarchy.item))}

    def items(self, server=SERVER):
        with self.client.reading() as session:
            found = hierarchy_items.list_items(session, self.hierarchy)
        return {it.remote_id: it for it in found if it.server == server}

    def frameworks(self, server=SERVER):
        with self.client.reading() as session:
            found = hierarchy_frameworks.list_frameworks(session, self.hierarchy)
        return {it.remote_id: it for it in found if it.server == server}

    def order(self):
        """The names of all frameworks in their order."""
        with self.client.reading() as session:
            return [it.fullname for it in hierarchy_frameworks.list_frameworks(session, self.hierarchy)]

    def tree(self, server=SERVER):
        """Framework and parent of each item."""
        items, frameworks = self.items(server), self.frameworks(server)
        remote = {it.id: id_ for id_, it in items.items()} | {None: 0}
        home = {it.id: id_ for id_, it in frameworks.items()}
        return {id_: (home[it.framework], remote[it.parent]) for id_, it in items.items()}

    def holder(self, item_id):
        """Somebody whose job has an item (by its local id); gives the job's id."""
        with self.client.unit() as session:
            key = people.add_person(
                session,
                self.client,
                username=f"holder{item_id}",
                email=f"h{item_id}@example.com",
                firstname="H",
                lastname="H",
            ).key
            held = {self.hierarchy.word: item_id}
            return jobs.add_job(session, self.client, key, idnumber="J", **held).id

    def held(self, job_id):
        """The local id of the item that a job has."""
        with self.client.reading() as session:
            (job,) = (it for it in jobs.list_jobs(session) if it.id == job_id)
        return getattr(job, self.hierarchy.word)

    def types(self, **fields_by_type):
        """Make types by idnumber, with custom fields: shortname -> datatype."""
        for idnumber, fields in fields_by_type.items():
            made = self.by_hand(hierarchy_types.add_type, fullname=idnumber, idnumber=idnumber)
            for shortname, datatype in fields.items():
                self.by_hand(
                    hierarchy_types.add_type_field,
                    made.id,
                    shortname=shortname,
                    name=shortname,
                    datatype=datatype,
                )

    def kept(self):
        return lists.dump(self.client)


def lines(report, action=None):
    return [
        (line.action, line.remote_id, line.subject, line.detail)
        for line in report.lines
        if action in {None, line.action}
    ]


@pytest.fixture
def servers():
    return TwoServers()


@pytest.fixture(params=HIERARCHIES)
def world(request, make_database, servers):
    with sites.context(make_database(), transport=servers, options=[("client.enabled", "true")]) as client:
        yield World(client, servers, request.param)


@pytest.fixture
def tree(world):
    """Two frameworks, one with a tree of three levels: 1, 2 below 1, 3 below 2, 4 below 1; 5 in the other one.

    Gives the local ids of the items.
    """
    world.send(
        [world.framework(1), world.framework(2)],
        [
            world.item(1, 1, sortthread="01"),
            world.item(4, 1, 1, sortthread="01.02"),
            world.item(2, 1, 1, sortthread="01.01"),
            world.item(3, 1, 2, sortthread="01.01.01"),
            world.item(5, 2, sortthread="01"),
        ],
    )
    assert world.run().state == "done"
    return {id_: it.id for id_, it in world.items().items()}


# --- what is sent is here ------------------------------------------------------------------------


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


# --- the order of frameworks ---------------------------------------------------------------------


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


# --- moves ---------------------------------------------------------------------------------------


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


# --- what goes -----------------------------------------------------------------------------------


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


# --- what cannot be placed -----------------------------------------------------------------------


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


# --- records that are no good --------------------------------------------------------------------


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


# --- types and custom fields ---------------------------------------------------------------------


def test_types_are_matched_by_idnumber_and_fields_by_short_name_and_datatype(world):
    world.types(T1={"band": "text", "note": "textarea", "flag": "checkbox"}, T2={"band": "text"})
    fields = [
        custom("band", "A"),
        custom("note", "<p>n<script>x()</script></p>", "textarea", "1"),
        custom("flag", "1", "text"),
        custom("unknown", "x"),
        custom("band", "B"),
    ]

    world.sync(
        [world.framework(1)],
        [
            world.item(1, 1, typeidnumber="T1", custom_fields=fields),
            world.item(2, 1, typeidnumber="T2", custom_fields=fields),
            world.item(3, 1, typeidnumber="T3", custom_fields=fields),
            world.item(4, 1, typeidnumber=None, custom_fields=fields),
            world.item(5, 1, typeidnumber="", custom_fields=fields),
        ],
    )

    assert {id_: (it.type, it.fields) for id_, it in world.items().items()} == {
        1: ("T1", {"band": "A", "note": "<p>n</p>"}),
        2: ("T2", {"band": "A"}),
        3: (None, {}),
        4: (None, {}),
        5: (None, {}),
    }
    with world.client.reading() as session:
        table = world.hierarchy.value
        assert set(map(tuple, session.execute(select(table.data, table.value)))) == {
            ("A", None),
            ("<p>n</p>", "1"),
        }
    assert [*world.run().lines] == []


@dataclass(frozen=True)
class Values:
    """What is sent next of an item of type T1 with band A and note N; what it then has, and what is told."""

    sentence: str
    type: str | None
    fields: list[dict]
    kept: dict[str, str]
    detail: str


VALUES = [
    Values("a new value", "T1", [custom("band", "B"), custom("note", "N")], {"band": "B", "note": "N"}, "field band: 'A' → 'B'"),
    Values("a new parameter", "T1", [custom("band", "A", value="7"), custom("note", "N")], {"band": "A", "note": "N"}, "field band: 'A' → 'A'"),
    Values("a value that is not sent any more", "T1", [custom("note", "N")], {"note": "N"}, "field band: 'A' → ''"),
    Values("a value of null", "T1", [custom("band", None), custom("note", "N")], {"note": "N"}, "field band: 'A' → ''"),
    Values("another datatype", "T1", [custom("band", "A", "menu"), custom("note", "N")], {"note": "N"}, "field band: 'A' → ''"),
    Values("no fields at all", "T1", [], {}, "field band: 'A' → ''; field note: 'N' → ''"),
    Values("another type", "T2", [custom("note", "N")], {}, "type: 'T1' → 'T2'; field band: 'A' → ''; field note: 'N' → ''"),
    Values("a type unknown here", "T9", [custom("band", "A")], {}, "type: 'T1' → ''; field band: 'A' → ''; field note: 'N' → ''"),
    Values("no type", None, [], {}, "type: 'T1' → ''; field band: 'A' → ''; field note: 'N' → ''"),
]  # fmt: skip


@pytest.mark.parametrize("case", VALUES, ids=lambda case: case.sentence)
def test_custom_values_follow_the_server(world, case):
    world.types(T1={"band": "text", "note": "text"}, T2={"band": "text"})
    before = world.item(1, 1, typeidnumber="T1", custom_fields=[custom("band", "A"), custom("note", "N")])
    world.sync([world.framework(1)], [before])
    local_id = world.items()[1].id

    report = world.sync(
        [world.framework(1)], [world.item(1, 1, typeidnumber=case.type, custom_fields=case.fields)]
    )

    assert lists.nonzero(report.counts) == {"updated": 1, "unchanged": 1}
    (it,) = world.items().values()
    assert (it.id, it.fields) == (local_id, case.kept)
    assert [line[3] for line in lines(report)] == [case.detail]
    assert [*world.run().lines] == []


def test_a_change_of_type_drops_the_values_and_takes_those_of_the_new_one(world):
    world.types(T1={"band": "text"}, T2={"band": "text", "note": "text"})
    world.sync(
        [world.framework(1)], [world.item(1, 1, typeidnumber="T1", custom_fields=[custom("band", "A")])]
    )

    world.sync(
        [world.framework(1)], [world.item(1, 1, typeidnumber="T2", custom_fields=[custom("note", "N")])]
    )

    assert world.items()[1].fields == {"note": "N"}
    with world.client.reading() as session:
        assert session.scalars(select(world.hierarchy.value.data)).all() == ["N"]


def test_a_type_that_is_made_here_later_is_found_by_the_next_run(world):
    item = world.item(1, 1, typeidnumber="T1", custom_fields=[custom("band", "A")])
    world.sync([world.framework(1)], [item])
    world.types(T1={"band": "text"})

    report = world.run()

    assert lines(report, "updated")[0][3] == "type: '' → 'T1'; field band: '' → 'A'"
    assert (world.items()[1].type, world.items()[1].fields) == ("T1", {"band": "A"})


# --- nothing, and nothing at all -----------------------------------------------------------------


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


# --- all or nothing ------------------------------------------------------------------------------


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
