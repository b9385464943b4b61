from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tconnect_pyramid.errors import BadRecord, BadReply
from tconnect_pyramid.protocol import collections
from tconnect_pyramid.protocol.collections import (
    COHORT_FIELDS,
    COURSE_FIELDS,
    KINDS,
    Kind,
    read_collection,
    read_collections,
)


def ignored(warning: str) -> None:
    """What is warned of is looked at in `test_limits`."""


write_cohort = partial(collections.write_cohort, warn=ignored)
write_course = partial(collections.write_course, warn=ignored)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def audience(**changed: Any) -> dict[str, Any]:
    raw = {"id": "1", "name": "Staff", "idnumber": "S", "description": "<p>x</p>", "members": [{"id": "3"}]}
    return raw | changed


@pytest.mark.parametrize("name", ["get_user_collections", "get_user_collections.restricted"])
def test_a_recorded_reply_is_the_same_after_reading_and_writing(
    name: str, recording: Callable[[str], Any]
) -> None:
    data = recording(name)["response"]["data"]
    write = {"cohort": write_cohort, "course": write_course}
    written: dict[str, list[dict[str, object]]] = {"cohort": [], "course": []}
    for kind, raw in read_collections(data):
        assert isinstance(raw, dict)
        written[kind].append(write[kind](raw, read_collection(kind, raw).members))
    # Compared as text, so that the order of keys and the types count.
    assert json.dumps(written) == json.dumps(data)


def test_fields_that_a_site_does_not_have_are_sent_as_recorded(recording: Callable[[str], Any]) -> None:
    data = recording("get_user_collections")["response"]["data"]
    (course,) = data["course"]
    kept = {
        "id": 2,
        "fullname": "Fire safety",
        "shortname": "FIRE",
        "idnumber": "C-FIRE",
        "summary": "<p>Stop drop roll</p>",
        "sortorder": 10002,
        "timecreated": 1795436402,
        "timemodified": 1795436402,
        "cacherev": 1795436404,
    }
    assert json.dumps(write_course(kept, [4, 6])) == json.dumps(course)
    cohort = data["cohort"][0]
    kept = {
        "id": 1,
        "name": "All staff",
        "idnumber": "STAFF",
        "description": "<p>Everyone</p>",
        "timecreated": 1795436402,
        "timemodified": 1795436402,
    }
    assert json.dumps(write_cohort(kept, iter([3, 4, 5, 6]))) == json.dumps(cohort)


def test_reads_the_recorded_collections(recording: Callable[[str], Any]) -> None:
    records = [
        read_collection(kind, raw)
        for kind, raw in read_collections(recording("get_user_collections")["response"]["data"])
    ]
    assert [(record.kind, record.id, record.name) for record in records] == [
        ("cohort", 1, "All staff"),
        ("cohort", 2, "Managers"),
        ("course", 2, "Fire safety"),
    ]
    assert (records[2].idnumber, records[2].description) == ("C-FIRE", "<p>Stop drop roll</p>")
    assert [[*record.members] for record in records] == [[3, 4, 5, 6], [3, 5], [4, 6]]


def test_nothing_written_exceeds_what_a_totara_client_can_store() -> None:
    cohort = write_cohort({"id": 1, "name": "Å" * 300, "description": None, "descriptionformat": None}, [])
    assert cohort["name"] == "Å" * 254
    assert (cohort["description"], cohort["descriptionformat"], cohort["members"]) == ("", "1", [])
    course = write_course({"id": 1, "fullname": "Å" * 300, "summaryformat": ""}, [])
    assert (course["fullname"], course["summaryformat"]) == ("Å" * 254, "1")


def test_only_the_recorded_nulls_may_be_null() -> None:
    nullable = {field.name for field in (*COHORT_FIELDS, *COURSE_FIELDS) if field.nullable}
    assert nullable == {"startdate", "enddate", "activecollectionid", "draftcollectionid", "icon"}


@pytest.mark.parametrize("write", [write_cohort, write_course])
def test_a_collection_without_an_id_is_not_written(write: Any) -> None:
    with pytest.raises(ValueError, match="id above 0"):
        write({"name": "Staff"}, [])


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"cohort": []},
        {"course": []},
        {"cohort": None, "course": []},
        {"cohort": [], "course": None},
        {"cohort": {}, "course": []},
        {"cohort": [], "course": "x"},
    ],
)
def test_a_kind_that_is_absent_is_a_bad_reply(data: object) -> None:
    with pytest.raises(BadReply):
        read_collections(data)


def test_two_empty_lists_are_a_good_reply() -> None:
    assert read_collections({"course": [], "cohort": []}) == []


@pytest.mark.parametrize(
    ("raw", "remote_id", "reason"),
    [
        (None, None, "not an object"),
        ([], None, "not an object"),
        (audience(id="x"), None, "id is not"),
        (audience(name=None), 1, "name is missing"),
        (audience(name=["x"]), 1, "name is neither"),
        (audience(name="x" * 255), 1, "name has 255 characters, more than 254"),
        (audience(description="x" * 10_000_000), 1, "description has 10000000 characters"),
        (audience(members=None), 1, "members is not a list"),
        (audience(members={"0": {"id": "3"}}), 1, "members is not a list"),
        (audience(members="x"), 1, "members is not a list"),
        (audience(members=[{"id": "3"}, "4"]), 1, "member 2 of 2"),
        (audience(members=[{"id": "x"}]), 1, "member 1 of 1"),
        (audience(members=[{"id": "0"}]), 1, "member 1 of 1"),
        (audience(members=[{}]), 1, "member 1 of 1"),
        (audience(members=[None]), 1, "member 1 of 1"),
    ],
)
def test_a_bad_record_is_refused_with_its_reason(raw: object, remote_id: int | None, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason) as caught:
        read_collection("cohort", raw)
    assert caught.value.remote_id == remote_id


def test_a_list_of_members_that_is_missing_is_not_an_empty_one() -> None:
    raw = audience()
    del raw["members"]
    with pytest.raises(BadRecord, match="members is not a list"):
        read_collection("cohort", raw)


def test_reads_tolerantly() -> None:
    raw = {"id": 7, "fullname": "A\0l\ud800", "members": [{"id": 4}, {"id": "4", "x": []}, {"id": "3"}]}
    record = read_collection("course", raw)
    assert (record.name, record.idnumber, record.description) == ("Al", "", "")
    assert [*record.members] == [3, 4], "in order and each once"
    assert read_collection("cohort", audience(description=None, idnumber=None)).description == ""


@given(
    JSON | st.dictionaries(st.sampled_from([*audience(), "fullname", "summary"]), JSON),
    st.sampled_from(KINDS),
)
def test_reading_raises_nothing_but_bad_record(raw: object, kind: Kind) -> None:
    try:
        record = read_collection(kind, raw)
    except BadRecord:
        return
    assert record.id > 0


@given(JSON, JSON)
def test_reading_a_reply_raises_nothing_but_bad_reply(cohort: object, course: object) -> None:
    for data in (cohort, {"cohort": cohort, "course": course}):
        try:
            read_collections(data)
        except BadReply:
            continue
