"""Positions and organisations on a client, sentence by sentence of protocol 9."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from sqlalchemy import insert
from support import client_site
from support.client_site import FIRST, SECOND, body, lines
from support.lists import custom, framework, item, job, person

from tconnect_pyramid.client.runs import approve_run, reject_run
from tconnect_pyramid.directory import hierarchy_frameworks, hierarchy_items, hierarchy_types
from tconnect_pyramid.directory.hierarchies import ORGANISATIONS, POSITIONS
from tconnect_pyramid.errors import Conflict
from tconnect_pyramid.protocol import jsend

KINDS = [
    pytest.param((database, kept), id=f"{kept.plural} on {database}", marks=marks)
    for database, marks in (("sqlite", ()), ("postgresql", pytest.mark.postgresql))
    for kept in (POSITIONS, ORGANISATIONS)
]


@dataclass(frozen=True)
class Sent:
    """What the server sends: ids of frameworks in their order, and items such as `12<11@2`.

    That is the item 12 below 11 in the framework 2; without `<` it is at the top, without `@` in framework 1.
    `more` has other values of an item by its id.
    """

    frameworks: str
    items: str
    more: dict[int, dict] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """What was sent, sync by sync, and the tree that it makes: each framework with the paths of its items."""

    rule: str
    history: tuple[Sent, ...]
    ends: dict[str, list[str]]
    state: str = "done"
    """Of the last run; `partial` where something is skipped and reported."""
    new_ids: tuple[str, ...] = ()
    """Items that went in between and came again; all others keep their ids."""

    def __str__(self) -> str:
        return f"9 positions: {self.rule}"


TREE = Sent("1", "11 12<11 13<12 14")
# fmt: off
ROWS = [
    Row("frameworks and items, parents and order", (TREE,), {"F1": ["I11", "I11/I12", "I11/I12/I13", "I14"]}),
    Row("two frameworks", (Sent("1 2", "11 21@2 22<21@2"),), {"F1": ["I11"], "F2": ["I21", "I21/I22"]}),
    Row("a framework without items", (Sent("1 2", "11"),), {"F1": ["I11"], "F2": []}),
    Row("frameworks in the server's order", (Sent("2 1 3", "11"),), {"F2": [], "F1": ["I11"], "F3": []}),
    Row("frameworks in the server's order, ours follows it", (Sent("1 2 3", "11"), Sent("3 1 2", "11")), {"F3": [], "F1": ["I11"], "F2": []}),
    Row("items in the server's order", (TREE, Sent("1", "11 12<11 13<12 14", {14: {"sortthread": "00"}})), {"F1": ["I14", "I11", "I11/I12", "I11/I12/I13"]}),
    Row("mapped by id, not by idnumber", (Sent("1", "11 12"), Sent("1", "11 12", {11: {"idnumber": "I12"}, 12: {"idnumber": "I11"}})), {"F1": ["I12", "I11"]}),
    Row("items may share an idnumber", (Sent("1", "11 12", {12: {"idnumber": "I11"}}),), {"F1": ["I11", "I11"]}),
    Row("items may have no idnumber", (Sent("1", "11 12", {11: {"idnumber": ""}, 12: {"idnumber": ""}}),), {"F1": ["", ""]}),

    Row("a new item", (TREE, Sent("1", "11 12<11 13<12 14 15<14")), {"F1": ["I11", "I11/I12", "I11/I12/I13", "I14", "I14/I15"]}),
    Row("an item that is not sent any more", (TREE, Sent("1", "11 12<11 13<12")), {"F1": ["I11", "I11/I12", "I11/I12/I13"]}),
    Row("a deleted item takes its subtree", (TREE, Sent("1", "11 13<12 14")), {"F1": ["I11", "I14"]}, "partial"),
    Row("a deleted item takes its subtree", (TREE, Sent("1", "14")), {"F1": ["I14"]}),
    Row("a deleted item's child that has moved stays", (TREE, Sent("1", "11 13<11 14")), {"F1": ["I11", "I11/I13", "I14"]}),
    Row("a deleted item's child that has moved to the top stays", (TREE, Sent("1", "13 14")), {"F1": ["I13", "I14"]}),
    Row("an item comes again", (TREE, Sent("1", "11 12<11 13<12"), TREE), {"F1": ["I11", "I11/I12", "I11/I12/I13", "I14"]}, new_ids=("I14",)),

    Row("items move between parents with their subtree", (TREE, Sent("1", "11 14 12<14 13<12")), {"F1": ["I11", "I14", "I14/I12", "I14/I12/I13"]}),
    Row("items move to the top", (TREE, Sent("1", "11 12 13<12 14")), {"F1": ["I11", "I12", "I12/I13", "I14"]}),
    Row("items move below what was below them", (TREE, Sent("1", "12 11<12 13<11 14")), {"F1": ["I12", "I12/I11", "I12/I11/I13", "I14"]}),
    Row("a whole branch turns round", (TREE, Sent("1", "13 12<13 11<12 14")), {"F1": ["I13", "I13/I12", "I13/I12/I11", "I14"]}),
    Row("items move below a new one", (TREE, Sent("1", "15 11<15 12<11 13<12 14<15")), {"F1": ["I15", "I15/I11", "I15/I11/I12", "I15/I11/I12/I13", "I15/I14"]}),
    Row("items move between frameworks", (Sent("1 2", "11 12<11 21@2"), Sent("1 2", "12 21@2 11<21@2")), {"F1": ["I12"], "F2": ["I21", "I21/I11"]}),
    Row("a branch moves between frameworks", (Sent("1 2", "11 12<11 21@2"), Sent("1 2", "11@2 12<11@2 21@2")), {"F1": [], "F2": ["I11", "I11/I12", "I21"]}),
    Row("frameworks exchange their items", (Sent("1 2", "11 21@2"), Sent("1 2", "11@2 21")), {"F1": ["I21"], "F2": ["I11"]}),
    Row("items move to a new framework", (Sent("1", "11 12<11"), Sent("1 2", "11@2 12<11@2")), {"F1": [], "F2": ["I11", "I11/I12"]}),

    Row("a framework no longer sent goes with its items", (Sent("1 2", "11 21@2 22<21@2"), Sent("1", "11")), {"F1": ["I11"]}),
    Row("a framework no longer sent goes after moves", (Sent("1 2", "11 21@2 22<21@2"), Sent("1", "11 22<11")), {"F1": ["I11", "I11/I22"]}),
    Row("a framework no longer sent, its branch has moved", (Sent("1 2", "11 21@2 22<21@2"), Sent("1", "11 21 22<21")), {"F1": ["I11", "I21", "I21/I22"]}),
    Row("a framework that is replaced by a new one", (Sent("1", "11 12<11"), Sent("2", "11@2 12<11@2")), {"F2": ["I11", "I11/I12"]}),

    Row("items of an unknown framework are skipped", (Sent("1", "11 21@9"),), {"F1": ["I11"]}, "partial"),
    Row("items of an unknown framework are deleted if they exist", (Sent("1", "11 12<11 14"), Sent("1", "11 12<11 14@9")), {"F1": ["I11", "I11/I12"]}, "partial"),
    Row("items of an unknown framework, with what is below", (TREE, Sent("1", "11@9 12<11 13<12 14")), {"F1": ["I14"]}, "partial"),
    Row("items of an unknown parent are skipped", (Sent("1", "11 12<99"),), {"F1": ["I11"]}, "partial"),
    Row("items of an unknown parent are deleted if they exist", (TREE, Sent("1", "11 12<99 13<12 14")), {"F1": ["I11", "I14"]}, "partial"),
    Row("items below one that is skipped are skipped", (Sent("1", "11 12<99 13<12 14<13"),), {"F1": ["I11"]}, "partial"),
    Row("an item that is its own parent has no known one", (Sent("1", "11 12<12 13<12"),), {"F1": ["I11"]}, "partial"),
    Row("an item that has become its own parent", (TREE, Sent("1", "11 12<12 13<12 14")), {"F1": ["I11", "I14"]}, "partial"),
    Row("items in a circle have no known parent", (Sent("1", "11 12<13 13<12"),), {"F1": ["I11"]}, "partial"),
    Row("items that have come into a circle", (TREE, Sent("1", "11 12<13 13<12 14")), {"F1": ["I11", "I14"]}, "partial"),
    Row("a skipped item that is in order again", (Sent("1", "11 12<99"), Sent("1", "11 12<11")), {"F1": ["I11", "I11/I12"]}),
    Row("listed twice, it is there once", (Sent("1", "11 12 12<11"),), {"F1": ["I11", "I12"]}, "partial"),
]
# fmt: on


def send(site, kept, sent: Sent, server=None) -> None:
    """Let the server send this from now on."""
    server = server or site.server
    server.frameworks[kept.plural] = [
        framework(int(id_), kind=kept.plural, sortorder=str(place))
        for place, id_ in enumerate(sent.frameworks.split(), start=1)
    ]
    server.items[kept.plural] = []
    for place, text in enumerate(sent.items.split(), start=1):
        text_of_item, _, of = text.partition("@")
        id_, _, parent = text_of_item.partition("<")
        values = {"sortthread": f"{place:02}", **sent.more.get(int(id_), {})}
        server.items[kept.plural].append(
            item(int(id_), int(of or 1), int(parent or 0), kind=kept.plural, **values)
        )


def tree(site, kept) -> dict[str, list[str]]:
    """The tree as an administrator sees it, by the paths; what is shown must fit together."""
    with site.context.reading() as session:
        frameworks = hierarchy_frameworks.list_frameworks(session, kept)
        items = hierarchy_items.list_items(session, kept)
    names = {it.id: it.idnumber for it in items}
    found: dict[str, list[str]] = {it.idnumber: [] for it in frameworks}
    within = {it.id: it.idnumber for it in frameworks}
    by_id = {it.id: it for it in items}
    for it in items:
        ids = [int(part) for part in it.path.strip("/").split("/")]
        assert ids[-1] == it.id, "path uses local ids"
        assert (it.depth, it.parent) == (len(ids), ids[-2] if len(ids) > 1 else None)
        if it.parent is not None:
            assert it.path == f"{by_id[it.parent].path}/{it.id}"
            assert it.framework == by_id[it.parent].framework
        found[within[it.framework]].append("/".join(names[id_] for id_ in ids))
    return found


@pytest.fixture(params=KINDS)
def place(request):
    """A client, and which of the two trees is meant."""
    database, kept = request.param
    with client_site.fresh(database) as site:
        yield site, kept


def sync(place, sent: Sent | None = None, server=None):
    site, kept = place
    if sent is not None:
        send(site, kept, sent, server)
    return site.sync(kept.plural, server)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_rule_of_trees(place, row):
    site, kept = place
    ids: dict[int, set[int]] = {}
    report = None
    for sent in row.history:
        report = sync(place, sent)
        for it in site.items(kept).values():
            ids.setdefault(it.remote_id, set()).add(it.id)

    assert tree(site, kept) == row.ends
    assert list(tree(site, kept)) == list(row.ends), "in the server's order"
    assert report.state == row.state
    changed = {f"I{remote}" for remote, local in ids.items() if len(local) > 1}
    assert changed == set(row.new_ids), "items keep their ids for life"
    again = sync(place)
    assert {line.action for line in again.lines} <= {"skipped"}, "the same once more changes nothing"


def test_9_every_value_is_kept_and_brought_up_to_date(place):
    site, kept = place
    for name in ("One", "Two"):
        values = {
            "fullname": f"{name} item",
            "shortname": name,
            "idnumber": name,
            "sortthread": f"0{len(name)}.01",
        }
        sync(place, Sent("1", "11", {11: values}))
        (it,) = site.items(kept).values()
        assert (it.fullname, it.shortname, it.idnumber, it.sortthread) == tuple(values.values())
        assert (it.server, it.remote_id) == (FIRST, 11)
    site.server.frameworks[kept.plural][0].update(fullname="Renamed", idnumber="G")
    sync(place)
    (found,) = site.frameworks(kept).values()
    assert (found.fullname, found.idnumber, found.server, found.remote_id) == ("Renamed", "G", FIRST, 1)


# --- types and custom fields ------------------------------------------------------------------------


@dataclass(frozen=True)
class Typed:
    """What an item has of types and custom fields. Each step: the type's idnumber and the fields sent."""

    rule: str
    history: tuple[tuple[str | None, list[dict]], ...]
    type: str | None
    fields: dict[str, str]

    def __str__(self) -> str:
        return f"9 positions, types: {self.rule}"


BAND = custom("band", "A")
TYPED = [
    Typed("matched by idnumber", (("T1", []),), "T1", {}),
    Typed("an unknown one is none", (("T9", [BAND]),), None, {}),
    Typed("none", ((None, [BAND]),), None, {}),
    Typed("custom fields by shortname and datatype", (("T1", [BAND, custom("open", "1", "checkbox")]),), "T1", {"band": "A", "open": "1"}),
    Typed("another datatype does not match", (("T1", [custom("band", "1", "checkbox")]),), "T1", {}),
    Typed("an unknown field is ignored", (("T1", [BAND, custom("hat", "7")]),), "T1", {"band": "A"}),
    Typed("a field of another type is unknown", (("T1", [custom("only2", "x")]),), "T1", {}),
    Typed("of a repeated shortname the first is taken", (("T1", [BAND, custom("band", "B")]),), "T1", {"band": "A"}),
    Typed("another value", (("T1", [BAND]), ("T1", [custom("band", "B")])), "T1", {"band": "B"}),
    Typed("a value that is not sent any more", (("T1", [BAND]), ("T1", [])), "T1", {}),
    Typed("a change of type drops the values", (("T1", [BAND]), ("T2", [])), "T2", {}),
    Typed("a change of type, with a field of the same name", (("T1", [BAND]), ("T2", [custom("band", "C")])), "T2", {"band": "C"}),
    Typed("a change of type to an unknown one", (("T1", [BAND]), ("T9", [BAND])), None, {}),
    Typed("no type any more", (("T1", [BAND]), (None, [])), None, {}),
    Typed("a type again", (("T1", [BAND]), (None, []), ("T1", [BAND])), "T1", {"band": "A"}),
]  # fmt: skip


@pytest.mark.parametrize("row", TYPED, ids=str)
def test_every_rule_of_types(place, row):
    site, kept = place
    for idnumber, fields in (
        ("T1", (("band", "text"), ("open", "checkbox"))),
        ("T2", (("band", "text"), ("only2", "text"))),
    ):
        made = site.do(hierarchy_types.add_type, kept, fullname=idnumber, idnumber=idnumber)
        for shortname, datatype in fields:
            site.do(hierarchy_types.add_type_field, kept, made.id, shortname=shortname, datatype=datatype)
    for idnumber, fields in row.history:
        values = {
            "typeid": "0" if idnumber is None else "1",
            "typeidnumber": idnumber,
            "custom_fields": fields,
        }
        sync(place, Sent("1", "11", {11: values}))
    (it,) = site.items(kept).values()
    assert (it.type, it.fields) == (row.type, row.fields)
    assert not sync(place).lines


def test_9_a_type_that_is_made_here_later_is_found_by_the_next_run(place):
    site, kept = place
    sync(place, Sent("1", "11", {11: {"typeid": "1", "typeidnumber": "T1", "custom_fields": [BAND]}}))
    made = site.do(hierarchy_types.add_type, kept, fullname="T1", idnumber="T1")
    site.do(hierarchy_types.add_type_field, kept, made.id, shortname="band", datatype="text")
    sync(place)
    (it,) = site.items(kept).values()
    assert (it.type, it.fields) == ("T1", {"band": "A"})


# --- what did not come from the server --------------------------------------------------------------


def test_9_frameworks_of_others_are_never_touched(place):
    site, kept = place
    own = site.do(hierarchy_frameworks.add_framework, kept, fullname="Own", idnumber="F1x")
    site.do(hierarchy_items.add_item, kept, fullname="Own", framework=own.id, idnumber="I11")
    for sent in (TREE, Sent("1", "14"), Sent("2", "11@2")):
        sync(place, sent)
        assert tree(site, kept)["F1x"] == ["I11"]
    assert tree(site, kept) == {"F1x": ["I11"], "F2": ["I11"]}


def test_9_items_in_a_synced_framework_that_did_not_come_from_the_server_are_removed(place):
    site, kept = place
    sync(place, TREE)
    inside = site.frameworks(kept)["F1"].id
    with site.context.unit() as session:
        parent = site.items(kept)["I14"]
        common = {"framework_id": inside, "depthlevel": 1, "timecreated": 0, "timemodified": 0, "visible": 1}
        top = {
            **common,
            "idnumber": "mine",
            "fullname": "Mine",
            "shortname": "",
            "path": "/900",
            "sortthread": "99",
        }
        below = {
            **top,
            "idnumber": "below",
            "parent_id": parent.id,
            "path": f"{parent.path}/901",
            "depthlevel": 2,
        }
        session.execute(insert(kept.item), [{"id": 900, "parent_id": None, **top}, {"id": 901, **below}])
    assert {"mine", "below"} <= set(site.items(kept))

    sync(place)

    assert tree(site, kept) == ROWS[0].ends


def test_9_what_came_from_the_server_is_not_changed_by_hand(place):
    site, kept = place
    sync(place, TREE)
    it, inside = site.items(kept)["I14"], site.frameworks(kept)["F1"]
    for change in (
        lambda: site.do(hierarchy_items.edit_item, kept, it.id, {"fullname": "Mine"}),
        lambda: site.do(hierarchy_items.move_item, kept, it.id, parent=site.items(kept)["I11"].id),
        lambda: site.do(hierarchy_items.delete_item, kept, it.id),
        lambda: site.do(hierarchy_frameworks.edit_framework, kept, inside.id, {"fullname": "Mine"}),
        lambda: site.do(hierarchy_frameworks.delete_framework, kept, inside.id),
        lambda: site.do(hierarchy_items.add_item, kept, fullname="Mine", framework=inside.id),
    ):
        with pytest.raises(Conflict, match="Head office"):
            change()


def test_9_jobs_lose_a_position_that_goes(place):
    site, kept = place
    sync(place, TREE)
    name = f"{kept.kind}id"
    site.server.people = [
        person(n, jobs=[{**job(n, "J"), name: str(remote)}]) for n, remote in ((3, 11), (4, 13), (5, 14))
    ]
    site.sync()

    sync(place, Sent("1", "11 14 13<14"))
    held = [getattr(site.jobs(site.key(n))[0], kept.kind) for n in (3, 4, 5)]
    assert held == [site.items(kept)[f"I{n}"].id for n in (11, 13, 14)]
    sync(place, Sent("1", "11"))
    held = [getattr(site.jobs(site.key(n))[0], kept.kind) for n in (3, 4, 5)]
    assert held == [site.items(kept)["I11"].id, None, None]


# --- nothing, null, nonsense, off ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "empty",
    [Sent("", ""), Sent("1", ""), Sent("", "11 12<11")],
    ids=["[] and []", "no items", "no frameworks"],
)
def test_9_an_empty_list_removes_all_of_this_server_but_the_guard_holds_it(place, empty):
    site, kept = place
    own = site.do(hierarchy_frameworks.add_framework, kept, fullname="Own", idnumber="own")
    site.do(hierarchy_items.add_item, kept, fullname="Own", framework=own.id, idnumber="mine")
    sync(place, TREE)
    before = tree(site, kept)

    held = sync(place, empty)

    assert (held.state, tree(site, kept)) == ("held", before)
    reject_run(site.context, held.run, actor="command")
    held = sync(place)
    assert (held.state, tree(site, kept)) == ("held", before)
    assert approve_run(site.context, held.run, actor="command").state in {"done", "partial"}
    assert tree(site, kept) == {"own": ["mine"], **({"F1": []} if empty.frameworks else {})}


def test_9_null_changes_nothing(place):
    site, kept = place
    sync(place, TREE)
    before = tree(site, kept)
    site.server.frameworks[kept.plural] = site.server.items[kept.plural] = None
    assert sync(place).state == "done"
    assert tree(site, kept) == before


def test_9_a_list_that_is_absent_or_odd_changes_nothing(place):
    site, kept = place
    sync(place, TREE)
    before = tree(site, kept)
    for data in ([], {"frameworks": []}, {kept.plural: []}, {"frameworks": [], kept.plural: None},
                 {"frameworks": None, kept.plural: []}, {"frameworks": {}, kept.plural: {}}, None):  # fmt: skip
        site.server.body = body(data)
        assert sync(place).state == "failed", data
    site.server.body = None
    site.server.answers[f"get_{kept.plural}"] = jsend.Error(
        f"get_{kept.plural} not available in api version 1"
    )
    assert sync(place).state == "failed"
    assert tree(site, kept) == before


def test_9_settings_with_the_option_off_nothing_is_asked_and_nothing_is_touched(place):
    site, kept = place
    sync(place, TREE)
    before, asked = tree(site, kept), Counter(site.server.asked)
    site.set(**{f"sync_{kept.plural}": "false"})
    assert sync(place, Sent("2", "14@2")).state == "done"
    assert (tree(site, kept), Counter(site.server.asked)) == (before, asked)
    site.set(**{f"sync_{kept.plural}": "true"})
    sync(place)
    assert tree(site, kept) == {"F2": ["I14"]}


def test_5_a_server_of_version_1_is_not_asked(place):
    site, kept = place
    old = site.connect(SECOND, "http://old.example", apiversion=1)
    send(site, kept, TREE, old)
    assert sync(place, server=old).state == "done"
    assert (old.asked, tree(site, kept)) == ([], {})


def test_9_two_servers_with_the_same_ids_side_by_side(place):
    site, kept = place
    second = site.connect(SECOND, "http://second.example")
    sync(place, TREE)
    sync(place, Sent("1 2", "11 12@2", {11: {"idnumber": "S11"}, 12: {"idnumber": "S12"}}), second)
    remote = sorted((it.server, it.remote_id) for it in site.items(kept).values())
    assert remote == [(FIRST, 11), (FIRST, 12), (FIRST, 13), (FIRST, 14), (SECOND, 11), (SECOND, 12)]
    others = [it for it in site.items(kept).values() if it.server == SECOND]

    sync(place, Sent("2", "11@2"))

    assert [it for it in site.items(kept).values() if it.server == SECOND] == others
    assert [it.remote_id for it in site.items(kept).values() if it.server == FIRST] == [11]


def test_6_a_bad_item_is_reported_and_the_others_go_on(place):
    site, kept = place
    sync(place, TREE)
    report = sync(place, Sent("1", "11 12<11 13<12 14", {14: {"fullname": ["x"]}, 12: {"fullname": "New"}}))
    assert (report.state, site.items(kept)["I12"].fullname) == ("partial", "New")
    assert lines(report)[14].startswith("skipped: ")
