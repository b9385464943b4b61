"""Types are matched by idnumber, custom fields within them by short name and datatype (protocol 9)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy import select
from support import lists
from support.lists import custom
from support.trees import lines


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
