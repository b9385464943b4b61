from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tconnect_pyramid.errors import BadRecord, BadReply
from tconnect_pyramid.protocol import jsend, replies
from tconnect_pyramid.protocol.columns import MAX_LONG_TEXT
from tconnect_pyramid.protocol.hierarchies import (
    FRAMEWORK_FIELDS,
    FRAMEWORKS,
    ITEM_FIELDS,
    ITEMS,
    KINDS,
    CustomField,
    FrameworkRecord,
    ItemRecord,
    Kind,
    read_framework,
    read_hierarchy,
    read_item,
    write_framework,
    write_item,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)

RECORDINGS: list[tuple[Kind, str]] = [("position", "get_positions"), ("organisation", "get_organisations")]


def framework(**changed: Any) -> dict[str, Any]:
    return {"id": "1", "idnumber": "PF1", "fullname": "Framework", "sortorder": "1"} | changed


def item(**changed: Any) -> dict[str, Any]:
    raw = {
        "id": "2",
        "idnumber": "X-Manager",
        "fullname": "Manager",
        "frameworkid": "1",
        "parentid": "1",
        "sortthread": "01.01",
        "typeidnumber": "PT1",
        "custom_fields": [],
    }
    return raw | changed


def custom_field(**changed: Any) -> dict[str, Any]:
    return {"shortname": "payband", "datatype": "text", "data": "Band A", "value": None} | changed


def unheard(warning: str) -> None:
    raise AssertionError(warning)


# What a reader has no use for, so that no record holds it: as the recorded site keeps it.
RECORDED = {"timecreated": 1795436403, "timemodified": 1795436403, "usermodified": 2}


def framework_again(kind: Kind, record: FrameworkRecord) -> dict[str, object]:
    """What we send of a framework that we received."""
    return write_framework(kind, asdict(record) | RECORDED, warn=unheard)


def item_again(kind: Kind, record: ItemRecord, *, path: str, typeid: int | None) -> dict[str, object]:
    """What we send of an item that we received."""
    values = asdict(record) | RECORDED
    values |= {"frameworkid": record.framework_id, "parentid": record.parent_id}
    values |= {"path": path, "depthlevel": path.count("/"), "typeid": typeid}
    return write_item(
        kind,
        values,
        typeidnumber=record.type_idnumber,
        custom_fields=[asdict(field) for field in record.custom_fields],
        warn=unheard,
    )


# --- the recordings -------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), RECORDINGS)
def test_a_recorded_reply_is_the_same_after_reading_and_writing(
    kind: Kind, name: str, recording: Callable[[str], Any]
) -> None:
    response = recording(name)["response"]
    lists = read_hierarchy(kind, response["data"])
    assert lists is not None
    frameworks = [framework_again(kind, read_framework(raw)) for raw in lists[0]]
    items = [
        # The path and the id of the type are the sender's own.
        item_again(kind, read_item(kind, raw), path=raw["path"], typeid=int(raw["typeid"]) or None)
        for raw in lists[1]
        if isinstance(raw, dict)
    ]
    body = b"".join(
        (
            replies.HIERARCHY_HEAD,
            replies.BETWEEN_RECORDS.join(map(msgspec.json.encode, frameworks)),
            replies.HIERARCHY_MIDDLE[kind],
            replies.BETWEEN_RECORDS.join(map(msgspec.json.encode, items)),
            replies.LIST_TAIL,
        )
    )
    # Compared as text, so that the order of keys and the types count.
    recorded = json.dumps(response, ensure_ascii=False, separators=(",", ":"))
    assert body.replace(b",\n", b",").decode() == recorded


@pytest.mark.parametrize(("kind", "name"), RECORDINGS)
def test_the_fields_are_those_of_the_recordings_in_their_order(
    kind: Kind, name: str, recording: Callable[[str], Any]
) -> None:
    data = recording(name)["response"]["data"]
    assert list(data) == [FRAMEWORKS, ITEMS[kind]]
    assert [field.name for field in FRAMEWORK_FIELDS[kind]] == list(data[FRAMEWORKS][0])
    names = [field.name for field in ITEM_FIELDS[kind]]
    assert [*names, "typeidnumber", "custom_fields"] == list(data[ITEMS[kind]][0])


def test_reads_the_recorded_positions(recording: Callable[[str], Any]) -> None:
    lists = read_hierarchy("position", recording("get_positions")["response"]["data"])
    assert lists is not None
    assert read_framework(lists[0][0]) == FrameworkRecord(
        id=1,
        idnumber="PF1",
        fullname="Position framework 1",
        shortname="",
        description="<p>pf</p>",
        sortorder=1,
        visible=1,
        hidecustomfields=0,
    )
    ceo, manager, engineer = (read_item("position", raw) for raw in lists[1])
    assert ceo == ItemRecord(
        id=1,
        framework_id=1,
        parent_id=None,
        idnumber="X-CEO",
        fullname="CEO",
        shortname="CEO",
        description="",
        sortthread="01",
        visible=1,
        timevalidfrom=None,
        timevalidto=None,
        type_idnumber="PT1",
        custom_fields=(CustomField("payband", "text", "Band A", None),),
    )
    assert (manager.parent_id, manager.type_idnumber, manager.custom_fields) == (1, "PT1", ())
    assert (engineer.parent_id, engineer.type_idnumber, engineer.sortthread) == (2, None, "01.01.01")


def test_reads_the_recorded_organisations(recording: Callable[[str], Any]) -> None:
    lists = read_hierarchy("organisation", recording("get_organisations")["response"]["data"])
    assert lists is not None
    assert [read_framework(raw).idnumber for raw in lists[0]] == ["OF1"]
    items = [read_item("organisation", raw) for raw in lists[1]]
    assert [(found.id, found.parent_id, found.idnumber) for found in items] == [
        (1, None, "X-Head office"),
        (2, 1, "X-Engineering"),
    ]


# --- writing --------------------------------------------------------------------------------------


def test_what_a_site_does_not_keep_is_sent_as_recorded(recording: Callable[[str], Any]) -> None:
    data = recording("get_organisations")["response"]["data"]
    kept = {"id": 1, "idnumber": "OF1", "fullname": "Organisation framework 1", "sortorder": 1}
    times = {"timecreated": 1795436403, "timemodified": 1795436403}
    written = write_framework("organisation", kept | times, warn=unheard)
    assert json.dumps(written) == json.dumps(data["frameworks"][0])
    kept = {"id": 1, "idnumber": "X-Head office", "fullname": "Head office", "shortname": "Hea"}
    kept |= {"frameworkid": 1, "parentid": None, "typeid": None, "path": "/1", "sortthread": "01"}
    written = write_item("organisation", kept | times, typeidnumber=None, custom_fields=[], warn=unheard)
    assert json.dumps(written) == json.dumps(data["organisations"][0])


def test_only_the_recorded_nulls_may_be_null() -> None:
    for kind in KINDS:
        fields = [*FRAMEWORK_FIELDS[kind], *ITEM_FIELDS[kind]]
        nullable = {field.name for field in fields if field.nullable}
        assert nullable == ({"timevalidfrom", "timevalidto"} if kind == "position" else set())
        empty = write_item(
            kind,
            dict.fromkeys(nullable | {"description"}) | {"id": 1},
            typeidnumber=None,
            custom_fields=[],
            warn=unheard,
        )
        assert {name for name, value in empty.items() if value is None} == nullable | {"typeidnumber"}


def test_custom_values_are_sent_as_they_are_kept() -> None:
    fields = [custom_field(data="a\0b"), custom_field(data=None, value="2"), custom_field(data=7)]
    written = write_item("position", {"id": 1}, typeidnumber="T", custom_fields=fields, warn=unheard)
    assert written["custom_fields"] == [
        {"shortname": "payband", "datatype": "text", "data": "ab", "value": None},
        {"shortname": "payband", "datatype": "text", "data": None, "value": "2"},
        {"shortname": "payband", "datatype": "text", "data": "7", "value": None},
    ]


@pytest.mark.parametrize("values", [{}, {"id": None}, {"id": 0}, {"id": "x"}])
def test_what_has_no_id_is_not_written(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="position framework needs an id above 0"):
        write_framework("position", values, warn=unheard)
    with pytest.raises(ValueError, match="organisation needs an id above 0"):
        write_item("organisation", values, typeidnumber=None, custom_fields=[], warn=unheard)


# --- reading a reply ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_two_nulls_say_leave_alone(kind: Kind) -> None:
    assert read_hierarchy(kind, {"frameworks": None, ITEMS[kind]: None}) is None
    assert read_hierarchy(kind, replies.write_no_hierarchy(ITEMS[kind])) is None


@pytest.mark.parametrize("kind", KINDS)
def test_two_empty_lists_say_that_there_is_nothing(kind: Kind) -> None:
    body = replies.HIERARCHY_HEAD + replies.HIERARCHY_MIDDLE[kind] + replies.LIST_TAIL
    reply = jsend.read(body)
    assert isinstance(reply, jsend.Success)
    assert read_hierarchy(kind, reply.data) == ([], [])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "the reply holds no positions"),
        ([], "the reply holds no positions"),
        ("x", "the reply holds no positions"),
        ({}, "no list called frameworks"),
        ({"frameworks": []}, "no list called positions"),
        ({"frameworks": None}, "no list called positions"),
        ({"positions": []}, "no list called frameworks"),
        ({"frameworks": [], "organisations": []}, "no list called positions"),
        ({"frameworks": None, "positions": []}, "neither both lists nor both null"),
        ({"frameworks": [], "positions": None}, "neither both lists nor both null"),
        ({"frameworks": {}, "positions": []}, "neither both lists nor both null"),
        ({"frameworks": [], "positions": {"0": {}}}, "neither both lists nor both null"),
        ({"frameworks": "", "positions": ""}, "neither both lists nor both null"),
        ({"frameworks": False, "positions": False}, "neither both lists nor both null"),
    ],
)
def test_a_list_that_is_absent_or_odd_is_a_bad_reply(data: object, reason: str) -> None:
    with pytest.raises(BadReply, match=reason):
        read_hierarchy("position", data)


# --- reading a record -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "remote_id", "reason"),
    [
        (None, None, "the framework is not an object"),
        ([], None, "the framework is not an object"),
        ({}, None, "id is not"),
        (framework(id="01"), None, "id is not"),
        (framework(fullname=None), 1, "fullname is missing"),
        (framework(fullname=["x"]), 1, "fullname is neither"),
        (framework(fullname="x" * 1025), 1, "fullname has 1025 characters, more than 1024"),
        (framework(idnumber="x" * 101), 1, "idnumber has 101 characters, more than 100"),
        (framework(shortname="x" * 101), 1, "shortname has 101 characters, more than 100"),
        (framework(description="x" * (MAX_LONG_TEXT + 1)), 1, "description has 1000001 characters"),
        (framework(sortorder="first"), 1, "sortorder is not a whole number"),
        (framework(sortorder=""), 1, "sortorder is not a whole number"),
        (framework(visible={}), 1, "visible is neither"),
        (framework(hidecustomfields=-1), 1, "hidecustomfields is not a whole number"),
    ],
)
def test_a_bad_framework_is_refused_with_its_reason(raw: object, remote_id: int | None, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason) as caught:
        read_framework(raw)
    assert caught.value.remote_id == remote_id


@pytest.mark.parametrize(
    ("raw", "remote_id", "reason"),
    [
        (None, None, "the position is not an object"),
        ([], None, "the position is not an object"),
        ({}, None, "id is not"),
        (item(id=0), None, "id is not"),
        (item(fullname=None), 2, "fullname is missing"),
        (item(frameworkid=None), 2, "frameworkid is missing"),
        (item(frameworkid="0"), 2, "frameworkid is not a whole number above 0"),
        (item(frameworkid="x"), 2, "frameworkid is not a whole number"),
        (item(parentid=None), 2, "parentid is missing"),
        (item(parentid=""), 2, "parentid is not a whole number"),
        (item(sortthread="0" * 256), 2, "sortthread has 256 characters, more than 255"),
        (item(fullname="x" * 1025), 2, "fullname has 1025 characters, more than 1024"),
        (item(typeidnumber="x" * 101), 2, "typeidnumber has 101 characters, more than 100"),
        (item(typeidnumber=["PT1"]), 2, "typeidnumber is neither"),
        (item(timevalidfrom=""), 2, "timevalidfrom is not a time"),
        (item(timevalidto="soon"), 2, "timevalidto is not a time"),
        (item(custom_fields=None), 2, "custom_fields is not a list"),
        (item(custom_fields={}), 2, "custom_fields is not a list"),
        (item(custom_fields="x"), 2, "custom_fields is not a list"),
        (item(custom_fields=[custom_field(), "x"]), 2, "custom field 2 of 2 is not an object"),
        (item(custom_fields=[[]]), 2, "custom field 1 of 1 is not an object"),
        (item(custom_fields=[{}]), 2, "custom field 1 of 1 has no shortname or no datatype"),
        (item(custom_fields=[custom_field(datatype=None)]), 2, "1 of 1 has no shortname or no datatype"),
        (item(custom_fields=[custom_field(data=[])]), 2, "custom field 1 of 1: data is neither"),
        (item(custom_fields=[custom_field(value={})]), 2, "custom field 1 of 1: value is neither"),
        (
            item(custom_fields=[custom_field(data="x" * (MAX_LONG_TEXT + 1))]),
            2,
            "data has 1000001 characters",
        ),
    ],
)
def test_a_bad_item_is_refused_with_its_reason(raw: object, remote_id: int | None, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason) as caught:
        read_item("position", raw)
    assert caught.value.remote_id == remote_id


@pytest.mark.parametrize("name", ["frameworkid", "parentid", "typeidnumber", "custom_fields"])
def test_what_is_missing_is_not_taken_for_none(name: str) -> None:
    raw = item()
    del raw[name]
    with pytest.raises(BadRecord, match=name):
        read_item("position", raw)


def test_of_custom_fields_that_repeat_the_first_counts() -> None:
    fields = [
        custom_field(datatype="multiselect", data="Red"),
        custom_field(datatype="multiselect", data="Blue"),
        custom_field(data="Band A"),
        custom_field(datatype="multiselect", data="Green"),
    ]
    found = read_item("organisation", item(custom_fields=fields)).custom_fields
    assert [(field.datatype, field.data) for field in found] == [("multiselect", "Red"), ("text", "Band A")]


def test_reads_tolerantly() -> None:
    raw = item(id=2, parentid=0, frameworkid=1, idnumber=None, shortname=None, description=None, new=[1])
    raw |= {
        "fullname": "A\0l\ud800",
        "typeidnumber": "",
        "timevalidfrom": -86400,
        "timevalidto": "1800000000",
    }
    record = read_item("position", raw | {"custom_fields": [custom_field(data=5, value=True)]})
    assert (record.parent_id, record.idnumber, record.shortname, record.description) == (None, "", "", "")
    assert (record.fullname, record.type_idnumber, record.visible) == ("Al", None, 1)
    assert (record.timevalidfrom, record.timevalidto) == (-86400, 1800000000)
    assert record.custom_fields == (CustomField("payband", "text", "5", "1"),)
    found = read_framework({"id": 1, "fullname": "x"})
    assert (found.idnumber, found.sortorder, found.visible, found.hidecustomfields) == ("", 0, 1, 0)


def test_organisations_are_not_limited_to_a_time() -> None:
    record = read_item("organisation", item(timevalidfrom="5", timevalidto="odd"))
    assert (record.timevalidfrom, record.timevalidto) == (None, None)


@pytest.mark.parametrize(
    "raw",
    [
        item(fullname="hunter2" * 1000),
        item(sortthread=["hunter2"]),
        item(timevalidfrom="hunter2"),
        item(parentid="hunter2"),
        item(custom_fields=["hunter2"]),
        item(custom_fields=[custom_field(data={"hunter2": 1})]),
        item(custom_fields="hunter2"),
    ],
)
def test_a_reason_never_holds_the_value(raw: object) -> None:
    with pytest.raises(BadRecord) as caught:
        read_item("position", raw)
    assert "hunter2" not in str(caught.value)


def test_megabytes_of_junk_are_not_slow() -> None:
    megabyte = 2**20
    junk = [
        item(**{name: "9" * megabyte})
        for name in (
            "id",
            "frameworkid",
            "parentid",
            "fullname",
            "sortthread",
            "timevalidfrom",
            "typeidnumber",
        )
    ]
    junk += [item(custom_fields=[{}] * megabyte), item(custom_fields=[custom_field()] * 2**17 + [None])]
    begun = time.monotonic()
    for raw in junk:
        with pytest.raises(BadRecord):
            read_item("position", raw)
    assert time.monotonic() - begun < 5


# --- properties -----------------------------------------------------------------------------------

IDS = st.integers(1, 2**63 - 1)
NUMBERS = st.integers(0, 2**63 - 1)
TIMES = st.none() | NUMBERS


def texts(longest: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=longest)


CUSTOM_FIELDS = st.lists(
    st.builds(
        CustomField,
        texts(100).filter(bool),
        texts(255).filter(bool),
        st.none() | texts(2000),
        st.none() | texts(2000),
    ),
    max_size=4,
    unique_by=lambda field: (field.shortname, field.datatype),
).map(tuple)


@given(
    st.sampled_from(KINDS),
    st.builds(
        FrameworkRecord,
        id=IDS,
        idnumber=texts(100),
        fullname=texts(1024),
        shortname=texts(100),
        description=texts(2000),
        sortorder=NUMBERS,
        visible=NUMBERS,
        hidecustomfields=NUMBERS,
    ),
)
def test_a_framework_is_read_as_it_was_written(kind: Kind, record: FrameworkRecord) -> None:
    written = framework_again(kind, record)
    assert read_framework(msgspec.json.decode(msgspec.json.encode(written))) == record


@given(
    st.sampled_from(KINDS),
    st.builds(
        ItemRecord,
        id=IDS,
        framework_id=IDS,
        parent_id=st.none() | IDS,
        idnumber=texts(100),
        fullname=texts(1024),
        shortname=texts(100),
        description=texts(2000),
        sortthread=texts(255),
        visible=NUMBERS,
        timevalidfrom=TIMES,
        timevalidto=TIMES,
        type_idnumber=st.none() | texts(100).filter(bool),
        custom_fields=CUSTOM_FIELDS,
    ).filter(lambda record: record.parent_id != record.id),
)
def test_an_item_is_read_as_it_was_written(kind: Kind, record: ItemRecord) -> None:
    written = item_again(kind, record, path="/1", typeid=1)
    reread = read_item(kind, msgspec.json.decode(msgspec.json.encode(written)))
    timeless = {"timevalidfrom": None, "timevalidto": None} if kind == "organisation" else {}
    assert asdict(reread) == asdict(record) | timeless


@given(
    st.sampled_from(KINDS),
    JSON | st.dictionaries(st.sampled_from([*item()]), JSON).map(lambda odd: item(**odd)),
)
def test_reading_raises_nothing_but_bad_record(kind: Kind, raw: object) -> None:
    try:
        record = read_item(kind, raw)
    except BadRecord:
        return
    assert record.id > 0
    assert record.framework_id > 0


@given(JSON | st.dictionaries(st.sampled_from([*framework()]), JSON).map(lambda odd: framework(**odd)))
def test_reading_a_framework_raises_nothing_but_bad_record(raw: object) -> None:
    try:
        record = read_framework(raw)
    except BadRecord:
        return
    assert record.id > 0


@given(st.sampled_from(KINDS), JSON, JSON)
def test_reading_a_reply_raises_nothing_but_bad_reply(kind: Kind, frameworks: object, items: object) -> None:
    for data in (frameworks, {FRAMEWORKS: frameworks, ITEMS[kind]: items}):
        try:
            read_hierarchy(kind, data)
        except BadReply:
            continue
