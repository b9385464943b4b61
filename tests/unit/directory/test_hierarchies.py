from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import event, func, select
from support import sites
from support.statements import listening

from tconnect_pyramid import people
from tconnect_pyramid.directory import (
    hierarchy_frameworks,
    hierarchy_items,
    hierarchy_removal,
    hierarchy_types,
    jobs,
)
from tconnect_pyramid.directory.hierarchies import HIERARCHIES, ORGANISATIONS, POSITIONS
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound
from tconnect_pyramid.models import AuditEntry, Client, Counterpart, Job, Server


@pytest.fixture
def context(make_database):
    with sites.context(make_database()) as made:
        yield made


@pytest.fixture
def session(context):
    with context.unit() as made:
        yield made


@pytest.fixture(params=HIERARCHIES.values(), ids=HIERARCHIES)
def kind(request):
    return request.param


class Trees:
    """A site's frameworks and items of one kind, named by their full names."""

    def __init__(self, session, context, kind):
        self.session, self.context, self.kind = session, context, kind
        self.frameworks = {}

    def framework(self, name, **values):
        made = hierarchy_frameworks.add_framework(
            self.session, self.context, self.kind, fullname=name, **values
        )
        self.frameworks[name] = made.id
        return made

    def add(self, name, framework="F", parent=None, **values):
        if framework not in self.frameworks:
            self.framework(framework)
        return hierarchy_items.add_item(
            self.session,
            self.context,
            self.kind,
            fullname=name,
            framework=self.frameworks[framework],
            parent=None if parent is None else self.id(parent),
            **values,
        )

    def id(self, name):
        return self.session.scalar(select(self.kind.item.id).where(self.kind.item.fullname == name))

    def move(self, name, *, framework=None, parent=None, before=None):
        return hierarchy_items.move_item(
            self.session,
            self.context,
            self.kind,
            self.id(name),
            framework=self.frameworks.get(framework),
            parent=None if parent is None else self.id(parent),
            before=None if before is None else self.id(before),
        )

    def delete(self, name):
        hierarchy_items.delete_item(self.session, self.context, self.kind, self.id(name))

    def shape(self, framework="F"):
        """(sortthread, name) of a framework's items in their order."""
        found = hierarchy_items.list_items(self.session, self.kind, self.frameworks[framework])
        return [(item.sortthread, item.fullname) for item in found]

    def assert_sound(self):
        """Each item's path and depth are those of its parents, and no two have one place."""
        items = {item.id: item for item in hierarchy_items.list_items(self.session, self.kind)}
        for item in items.values():
            above = items.get(item.parent)
            assert item.path == f"{above.path if above else ''}/{item.id}"
            assert item.depth == (above.depth + 1 if above else 1)
            assert above is None or item.framework == above.framework
            assert item.sortthread.count(".") == item.depth - 1
            assert above is None or item.sortthread.startswith(f"{above.sortthread}.")
        places = [(item.framework, item.sortthread) for item in items.values()]
        assert len(set(places)) == len(places)
        for framework in {item.framework for item in items.values()}:
            listed = [item for item in items.values() if item.framework == framework]
            assert listed == sorted(listed, key=lambda item: item.sortthread)


@pytest.fixture
def trees(session, context, kind):
    return Trees(session, context, kind)


def server(session, name="Mother site"):
    row = Server(
        state="active",
        name=name,
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
    return row


def came_from(session, row, kind, local_id, remote_id=70):
    session.add(Counterpart(remote_id=remote_id, kind=kind, server_id=row.id, local_id=local_id))
    session.flush()


def count(session, table):
    return session.scalar(select(func.count()).select_from(table))


def test_a_framework_is_made_edited_ordered_and_removed(session, context, kind):
    first = hierarchy_frameworks.add_framework(session, context, kind, fullname=" Första ", idnumber="one")
    second = hierarchy_frameworks.add_framework(session, context, kind, fullname="Second", idnumber="two")
    third = hierarchy_frameworks.add_framework(session, context, kind, fullname="Third")
    assert (first.fullname, first.server, first.remote_id) == ("Första", None, None)
    assert [first.sortorder, second.sortorder, third.sortorder] == [1, 2, 3]

    hierarchy_frameworks.move_framework(session, context, kind, third.id, 1)
    listed = hierarchy_frameworks.list_frameworks(session, kind)
    assert [(it.id, it.sortorder) for it in listed] == [(third.id, 1), (first.id, 2), (second.id, 3)]
    hierarchy_frameworks.move_framework(session, context, kind, third.id, 99)
    assert [it.id for it in hierarchy_frameworks.list_frameworks(session, kind)] == [
        first.id,
        second.id,
        third.id,
    ]

    edited = hierarchy_frameworks.edit_framework(
        session, context, kind, first.id, {"fullname": "First", "visible": "0", "description": "<b>x<script>"}
    )
    assert (edited.fullname, edited.idnumber) == ("First", "one")
    row = session.get(kind.framework, first.id)
    assert (row.visible, row.description) == (0, "<b>x</b>")

    hierarchy_frameworks.delete_framework(session, context, kind, second.id)
    with pytest.raises(NotFound):
        hierarchy_frameworks.find_framework(session, kind, "two")
    assert hierarchy_frameworks.find_framework(session, kind, "one").id == first.id
    actions = session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()
    assert [action.partition(".")[2] for action in actions] == [
        *("added", "added", "added", "moved", "moved", "edited", "deleted")
    ]
    assert {action.partition(".")[0] for action in actions} == {f"{kind.word}_framework"}


def test_positions_and_organisations_are_apart(session, context):
    Trees(session, context, POSITIONS).add("Boss")

    assert hierarchy_items.list_items(session, ORGANISATIONS) == []
    assert hierarchy_frameworks.list_frameworks(session, ORGANISATIONS) == []
    assert [item.fullname for item in hierarchy_items.list_items(session, POSITIONS)] == ["Boss"]


def test_items_are_numbered_as_they_come(trees):
    trees.add("A")
    trees.add("A1", parent="A")
    trees.add("B")
    trees.add("A2", parent="A")
    made = trees.add("A1x", parent="A1", idnumber="ax", shortname="x", description="<p>hi</p>")

    assert trees.shape() == [
        ("01", "A"),
        ("01.01", "A1"),
        ("01.01.01", "A1x"),
        ("01.02", "A2"),
        ("02", "B"),
    ]
    assert (made.path, made.depth) == (f"/{trees.id('A')}/{trees.id('A1')}/{made.id}", 3)
    assert (made.idnumber, made.shortname, made.type, made.fields) == ("ax", "x", None, {})
    assert hierarchy_items.find_item(trees.session, trees.kind, "ax") == made
    assert hierarchy_items.find_item(trees.session, trees.kind, str(made.id)) == made
    trees.assert_sound()


def test_the_hundredth_sibling_makes_all_three_digits_wide_so_that_text_order_stays(trees):
    trees.add("Top")
    for number in range(1, 101):
        trees.add(f"S{number}", parent="Top")
    trees.add("below", parent="S99")

    shape = trees.shape()
    assert [name for _, name in shape] == [
        "Top",
        *(f"S{number}" for number in range(1, 100)),
        "below",
        "S100",
    ]
    assert shape[1] == ("01.001", "S1")
    assert shape[-2:] == [("01.099.01", "below"), ("01.100", "S100")]
    assert shape == sorted(shape, key=lambda it: it[0])


def test_a_moved_item_takes_all_below_it_along_and_keeps_its_id(trees):
    for name, parent in [("A", None), ("A1", "A"), ("A1x", "A1"), ("A2", "A"), ("B", None)]:
        trees.add(name, parent=parent)
    trees.framework("G")
    trees.add("Z", "G")
    ids = {name: trees.id(name) for name in ("A1", "A1x")}

    trees.move("A1", parent="B")
    assert trees.shape() == [("01", "A"), ("01.01", "A2"), ("02", "B"), ("02.01", "A1"), ("02.01.01", "A1x")]
    trees.assert_sound()

    trees.move("A1", framework="G")
    assert trees.shape("G") == [("01", "Z"), ("02", "A1"), ("02.01", "A1x")]
    assert trees.shape() == [("01", "A"), ("01.01", "A2"), ("02", "B")]
    trees.assert_sound()

    # A parent says which framework is meant.
    trees.move("A1x", parent="A2")
    assert trees.shape("F") == [("01", "A"), ("01.01", "A2"), ("01.01.01", "A1x"), ("02", "B")]
    trees.move("B", before="A")
    assert [name for _, name in trees.shape()] == ["B", "A", "A2", "A1x"]
    trees.move("B")
    assert [name for _, name in trees.shape()] == ["A", "A2", "A1x", "B"]
    assert {name: trees.id(name) for name in ids} == ids
    trees.assert_sound()


def test_no_move_makes_a_circle_or_tears_a_tree_apart(trees):
    for name, parent in [("A", None), ("A1", "A"), ("A1x", "A1")]:
        trees.add(name, parent=parent)
    trees.framework("G")
    before = trees.shape()

    for parent in ("A", "A1", "A1x"):
        with pytest.raises(InvalidInput, match="below the one"):
            trees.move("A", parent=parent)
    with pytest.raises(InvalidInput, match="another framework"):
        trees.move("A1x", framework="G", parent="A")
    with pytest.raises(InvalidInput, match="before"):
        trees.move("A1x", parent="A", before="A")
    with pytest.raises(InvalidInput, match="before"):
        trees.move("A", before="A")
    with pytest.raises(InvalidInput, match="another framework"):
        trees.add("N", "G", parent="A")
    with pytest.raises(NotFound):
        hierarchy_items.move_item(trees.session, trees.context, trees.kind, trees.id("A"), framework=999)
    with pytest.raises(NotFound):
        hierarchy_items.move_item(trees.session, trees.context, trees.kind, 999)
    assert trees.shape() == before


def test_a_tree_that_becomes_too_deep_to_be_sent_is_refused(trees):
    trees.add("L1")
    for level in range(2, 86):
        trees.add(f"L{level}", parent=f"L{level - 1}")
    assert len(trees.shape()[-1][0]) <= 255

    with pytest.raises(Conflict, match="too deep"):
        trees.add("L86", parent="L85")


def test_a_deleted_item_takes_all_below_it_and_jobs_lose_it(session, context, trees):
    for name, parent in [("A", None), ("A1", "A"), ("A1x", "A1"), ("B", None), ("B1", "B")]:
        trees.add(name, parent=parent)
    key = people.add_person(session, context, username="ana").key
    held = {"position": "position", "organisation": "organisation"}[trees.kind.word]
    lost = jobs.add_job(session, context, key, idnumber="1", **{held: trees.id("A1x")})
    kept = jobs.add_job(session, context, key, idnumber="2", **{held: trees.id("B1")})

    trees.delete("A")

    assert trees.shape() == [("01", "B"), ("01.01", "B1")]
    assert getattr(jobs.get_job(session, lost.id), held) is None
    assert getattr(jobs.get_job(session, kept.id), held) == trees.id("B1")
    assert count(session, Job) == 2
    trees.assert_sound()


def typed(trees, idnumber="PT", **fields):
    kind = trees.kind
    made = hierarchy_types.add_type(
        trees.session, trees.context, kind, fullname=f"Type {idnumber}", idnumber=idnumber
    )
    for shortname, datatype in fields.items():
        hierarchy_types.add_type_field(
            trees.session, trees.context, kind, made.id, shortname=shortname, name="", datatype=datatype
        )
    return hierarchy_types.find_type(trees.session, kind, idnumber)


def test_items_have_the_custom_fields_of_their_type(trees):
    made = typed(trees, pay="text", since="datetime", paid="checkbox", about="textarea", page="url")
    assert [(it.shortname, it.datatype, it.sortorder) for it in made.fields] == [
        ("pay", "text", 1),
        ("since", "datetime", 2),
        ("paid", "checkbox", 3),
        ("about", "textarea", 4),
        ("page", "url", 5),
    ]

    item = trees.add(
        "A",
        type_id=made.id,
        fields={
            "page": "https://a.example/x",
            "pay": " Band A ",
            "since": "2024-05-31",
            "paid": "1",
            "about": "<p>hi</p><script>alert(1)</script>",
        },
    )
    assert item.type == "PT"
    assert item.fields == {
        "pay": "Band A",
        "since": "1717113600",
        "paid": "1",
        "about": "<p>hi</p>",
        "page": "https://a.example/x",
    }
    assert list(item.fields) == ["pay", "since", "paid", "about", "page"]

    edited = hierarchy_items.edit_item(
        trees.session, trees.context, trees.kind, item.id, {}, fields={"pay": "B", "since": "", "page": " "}
    )
    assert edited.fields == {"pay": "B", "paid": "1", "about": "<p>hi</p>"}


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("paid", "yes"),
        ("since", "31 May"),
        ("since", "2024-13-01"),
        ("page", "javascript:alert(1)"),
        ("pay", "two\nlines"),
        ("pay", "x" * 2049),
        ("about", "x" * 1_000_001),
        ("other", "x"),
        ("gps", "1"),
    ],
)
def test_custom_values_that_cannot_be_stored_are_refused(trees, field, text):
    made = typed(trees, pay="text", since="datetime", paid="checkbox", about="textarea", page="url")
    # A datatype of a peer that we do not offer may be in the table; its values are not typed by hand.
    trees.session.add(
        trees.kind.type_field(type_id=made.id, shortname="gps", datatype="location", sortorder=9)
    )
    trees.session.flush()
    item = trees.add("A", type_id=made.id)

    with pytest.raises(InvalidInput) as refused:
        hierarchy_items.edit_item(trees.session, trees.context, trees.kind, item.id, {}, fields={field: text})
    assert refused.value.field == field
    assert hierarchy_items.get_item(trees.session, trees.kind, item.id).fields == {}


def test_another_type_drops_the_custom_values(trees):
    first, second = typed(trees, "one", pay="text"), typed(trees, "two", pay="text")
    item = trees.add("A", type_id=first.id, fields={"pay": "old"})

    def edit(changes, fields=None):
        return hierarchy_items.edit_item(
            trees.session, trees.context, trees.kind, item.id, changes, fields=fields
        )

    assert edit({"type": "one", "fullname": "AA"}).fields == {"pay": "old"}
    changed = edit({"type": "two"})
    assert (changed.type, changed.fields) == ("two", {})
    changed = edit({"type": str(first.id)}, {"pay": "new"})
    assert (changed.type, changed.fields) == ("one", {"pay": "new"})
    changed = edit({"type": ""})
    assert (changed.type, changed.fields) == (None, {})
    assert count(trees.session, trees.kind.value) == 0
    with pytest.raises(InvalidInput, match="no field of the type"):
        edit({"type": second.idnumber}, {"other": "x"})
    with pytest.raises(NotFound, match="three"):
        edit({"type": "three"})


def test_a_removed_type_or_field_takes_its_values(trees):
    made = typed(trees, pay="text", grade="text")
    trees.add("A", type_id=made.id, fields={"pay": "x", "grade": "y"})

    hierarchy_types.delete_type_field(trees.session, trees.context, trees.kind, made.fields[0].id)
    (item,) = hierarchy_items.list_items(trees.session, trees.kind)
    assert (item.type, item.fields) == ("PT", {"grade": "y"})

    hierarchy_types.delete_type(trees.session, trees.context, trees.kind, made.id)
    (item,) = hierarchy_items.list_items(trees.session, trees.kind)
    assert (item.type, item.fields) == (None, {})
    assert hierarchy_types.list_types(trees.session, trees.kind) == []
    assert count(trees.session, trees.kind.type_field) == count(trees.session, trees.kind.value) == 0
    with pytest.raises(NotFound):
        hierarchy_types.delete_type(trees.session, trees.context, trees.kind, made.id)
    with pytest.raises(NotFound):
        hierarchy_types.delete_type_field(trees.session, trees.context, trees.kind, made.fields[0].id)


def test_types_and_fields_have_names_of_their_own(trees):
    made = typed(trees, pay="text")

    with pytest.raises(Conflict, match="'PT'"):
        hierarchy_types.add_type(trees.session, trees.context, trees.kind, fullname="T", idnumber="PT")
    with pytest.raises(InvalidInput, match="idnumber"):
        hierarchy_types.add_type(trees.session, trees.context, trees.kind, fullname="T", idnumber=" ")
    with pytest.raises(Conflict, match="'pay'"):
        hierarchy_types.add_type_field(
            trees.session, trees.context, trees.kind, made.id, shortname="pay", datatype="url"
        )
    with pytest.raises(InvalidInput, match="checkbox, datetime, text, textarea, url"):
        hierarchy_types.add_type_field(
            trees.session, trees.context, trees.kind, made.id, shortname="x", datatype="file"
        )


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"fullname": " "}, InvalidInput),
        ({"fullname": "x" * 1025}, InvalidInput),
        ({"shortname": "x" * 101}, InvalidInput),
        ({"idnumber": "x" * 101}, InvalidInput),
        ({"visible": "2"}, InvalidInput),
        ({"path": "/1"}, InvalidInput),
        ({"component": "auth_connect"}, InvalidInput),
        ({"idnumber": "taken"}, Conflict),
    ],
)
def test_what_cannot_be_stored_is_refused(trees, changes, error):
    trees.add("Other", idnumber="taken")
    mine = trees.add("Mine", idnumber="mine")

    with pytest.raises(error):
        hierarchy_items.edit_item(trees.session, trees.context, trees.kind, mine.id, changes)
    if "path" not in changes:
        framework = trees.framework("G", idnumber="gg")
        trees.framework("H", idnumber="taken")
        with pytest.raises(error):
            hierarchy_frameworks.edit_framework(
                trees.session, trees.context, trees.kind, framework.id, changes
            )


def test_only_positions_are_limited_to_a_time(session, context):
    position = Trees(session, context, POSITIONS).add("A")
    unit = Trees(session, context, ORGANISATIONS).add("A")

    hierarchy_items.edit_item(
        session, context, POSITIONS, position.id, {"timevalidfrom": "2024-01-01", "timevalidto": "1800000000"}
    )
    row = session.execute(select(POSITIONS.item.timevalidfrom, POSITIONS.item.timevalidto)).one()
    assert tuple(row) == (1704067200, 1800000000)
    hierarchy_items.edit_item(session, context, POSITIONS, position.id, {"timevalidfrom": ""})
    assert session.scalar(select(POSITIONS.item.timevalidfrom)) is None
    with pytest.raises(InvalidInput, match="timevalidfrom"):
        hierarchy_items.edit_item(session, context, ORGANISATIONS, unit.id, {"timevalidfrom": "1"})


def test_what_came_from_a_server_is_shown_and_changed_by_nobody_else(session, context, trees):
    kind = trees.kind
    trees.add("A")
    foreign = hierarchy_items.get_item(session, kind, trees.id("A"))
    trees.framework("Mine")
    trees.add("M", "Mine")
    row = server(session)
    came_from(session, row, kind.framework_kind, trees.frameworks["F"], 8)
    came_from(session, row, kind.kind, foreign.id, 9)

    (shown,) = (it for it in hierarchy_frameworks.list_frameworks(session, kind) if it.fullname == "F")
    assert (shown.server, shown.remote_id) == ("5" * 40, 8)
    assert hierarchy_items.get_item(session, kind, foreign.id) == replace(
        foreign, server="5" * 40, remote_id=9
    )
    framework = trees.frameworks["F"]
    for change in (
        lambda: hierarchy_frameworks.edit_framework(session, context, kind, framework, {"fullname": "x"}),
        lambda: hierarchy_frameworks.move_framework(session, context, kind, framework, 2),
        lambda: hierarchy_frameworks.delete_framework(session, context, kind, framework),
        lambda: trees.add("N", "F"),
        lambda: trees.add("N", "Mine", parent="A"),
        lambda: hierarchy_items.edit_item(session, context, kind, foreign.id, {"fullname": "x"}),
        lambda: trees.move("A", framework="Mine"),
        lambda: trees.move("M", framework="F"),
        lambda: trees.move("M", parent="A"),
        lambda: trees.delete("A"),
    ):
        with pytest.raises(Conflict, match="Mother site"):
            change()
    assert hierarchy_items.get_item(session, kind, foreign.id).fullname == "A"
    hierarchy_frameworks.move_framework(session, context, kind, trees.frameworks["Mine"], 1)


def test_an_item_that_a_sync_owns_is_left_alone_even_without_a_counterpart(session, context, trees):
    trees.add("A")
    session.get(trees.kind.item, trees.id("A")).component = "auth_connect"
    session.flush()

    with pytest.raises(Conflict, match="auth_connect"):
        trees.delete("A")


@pytest.mark.parametrize("follows_keys", [True, False], ids=["with keys", "keys are not followed"])
def test_removing_for_a_sync_leaves_nothing_behind(make_sqlite, follows_keys):
    """A host's own SQLite engine may not follow foreign keys."""
    with sites.context(make_sqlite()) as context:
        if not follows_keys:
            event.listen(
                context.database.engine,
                "connect",
                lambda dbapi, _: dbapi.execute("PRAGMA foreign_keys = OFF"),
            )
        with context.unit() as session:
            trees = Trees(session, context, POSITIONS)
            made = typed(trees, pay="text")
            for name, parent in [("A", None), ("A1", "A"), ("A1x", "A1"), ("B", None), ("B1", "B")]:
                trees.add(name, parent=parent, type_id=made.id, fields={"pay": name})
            trees.add("Z", "G", type_id=made.id, fields={"pay": "Z"})
            row = server(session)
            for number, name in enumerate(["A", "A1", "A1x", "B", "B1", "Z"]):
                came_from(session, row, "position", trees.id(name), number)
            came_from(session, row, "position_framework", trees.frameworks["F"], 1)
            # Another kind's counterpart of the same id is none of ours.
            came_from(session, row, "organisation", trees.id("A1x"), 3)
            client = Client(
                state="active",
                name="C",
                url="http://c.example",
                idnumber="c" * 40,
                client_secret=b"",
                server_secret_hash="h",
                timecreated=1,
                timemodified=1,
            )
            session.add(client)
            session.flush()
            session.add(POSITIONS.sent_to(client_id=client.id, framework_id=trees.frameworks["F"]))
            key = people.add_person(session, context, username="ana").key
            job = jobs.add_job(session, context, key, idnumber="1", position=trees.id("A1x"))
            below = [trees.id(name) for name in ("A1", "A1x")]

            gone = hierarchy_removal.remove_items(session, POSITIONS, [trees.id("A1"), 999])
            assert sorted(gone) == sorted(below)
            assert jobs.get_job(session, job.id).position is None
            assert [name for _, name in trees.shape()] == ["A", "B", "B1"]

            hierarchy_removal.remove_frameworks(session, POSITIONS, [trees.frameworks["F"]])
            assert [item.fullname for item in hierarchy_items.list_items(session, POSITIONS)] == ["Z"]
            assert [it.fullname for it in hierarchy_frameworks.list_frameworks(session, POSITIONS)] == ["G"]
            assert count(session, POSITIONS.value) == 1
            assert count(session, POSITIONS.sent_to) == 0
            left = session.execute(select(Counterpart.kind, Counterpart.remote_id)).all()
            assert sorted(left) == [("organisation", 3), ("position", 5)]


def test_as_many_statements_for_a_thousand_items_as_for_few(session, context):
    trees = Trees(session, context, POSITIONS)
    trees.add("Top")

    def cost():
        with listening(session.get_bind()) as spoken:
            hierarchy_items.list_items(session, POSITIONS)
            trees.move("Top")
        return len(spoken)

    few = cost()
    now = context.clock()
    session.add_all(
        POSITIONS.item(
            fullname=f"I{n}",
            framework_id=trees.frameworks["F"],
            parent_id=trees.id("Top"),
            timecreated=now,
            timemodified=now,
        )
        for n in range(400)
    )
    session.flush()
    assert cost() <= few + 2
    trees.assert_sound()
