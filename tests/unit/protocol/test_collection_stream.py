"""Collections are read one by one from a reply, however it is laid out, and are what the whole reply says."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tconnect_pyramid.errors import BadRecord
from tconnect_pyramid.protocol import collection_stream, stream
from tconnect_pyramid.protocol.collection_stream import cut_collections
from tconnect_pyramid.protocol.collections import read_collection, read_collections
from tconnect_pyramid.protocol.stream import NotCut

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ['"members":[', '"members":[]}', '],"course":[', "},{", "]}", "\\", '\\"', "\u2028", '"}']
)
IDS = st.integers(1, 40) | st.sampled_from([2**63 - 1, 2**53 + 1])
MEMBERS = st.lists(IDS.map(lambda id_: {"id": str(id_)}), max_size=12)
ODD_ENTRY = st.sampled_from(
    [
        *({"id": id_} for id_ in ("0", "03", " 3", "3,4", "-3", "1e3", str(2**63), 4, "]")),
        *({"id": "4", "x": more} for more in ([], "]")),
        *({}, 3, "3", None, [], {"x": "1"}),
    ]
)
ODD_MEMBERS = st.none() | st.just({}) | st.just("x") | st.lists(ODD_ENTRY | IDS.map(lambda i: {"id": i}))


@st.composite
def records(draw: Any, members: Any = MEMBERS) -> dict[str, Any]:
    name = draw(TEXTS)
    return {
        "id": str(draw(st.integers(1, 9))),
        "name": name,
        "fullname": name,
        "description": draw(TEXTS),
        "more": draw(st.none() | st.just([{"members": [1]}]) | st.just({"members": []})),
        "members": draw(members),
    }


@st.composite
def odd_records(draw: Any) -> Any:
    record = draw(records(MEMBERS | ODD_MEMBERS))
    for key in draw(st.sets(st.sampled_from(["id", "members", "name"]), max_size=1)):
        del record[key]
    if draw(st.booleans()):
        record = dict(reversed(record.items()))
    return draw(st.just(record) | st.sampled_from([None, 7, "x", [], {}]))


LAYOUTS: list[dict[str, Any]] = [
    {"separators": (",", ":")},
    {"separators": (", ", ": ")},
    {"separators": (",\n", ":"), "ensure_ascii": False},
    {"indent": 1},
]


def reply(cohorts: list[Any], courses: list[Any], **layout: Any) -> io.BytesIO:
    document = {"status": "success", "data": {"cohort": cohorts, "course": courses}}
    return io.BytesIO(json.dumps(document, **layout).encode())


def outcome(kind: Any, raw: object) -> object:
    """The record, or why there is none."""
    try:
        return read_collection(kind, raw)
    except BadRecord as error:
        return kind, error.remote_id, str(error)


def as_a_whole(file: io.BytesIO) -> list[object]:
    return [outcome(*each) for each in read_collections(json.loads(file.getvalue())["data"])]


@given(
    st.lists(records(), max_size=4),
    st.lists(records(), max_size=4),
    st.sampled_from(LAYOUTS),
    st.integers(20, 300),
)
def test_what_is_read_one_by_one_is_what_the_reply_says(
    cohorts: list[Any], courses: list[Any], layout: dict[str, Any], piece: int
) -> None:
    file = reply(cohorts, courses, **layout)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "PIECE", piece)
        assert [outcome(*each) for each in cut_collections(file)] == as_a_whole(file)


@given(
    st.lists(odd_records(), max_size=4),
    st.lists(odd_records(), max_size=4),
    st.sampled_from(LAYOUTS),
    st.integers(20, 300),
)
def test_what_is_odd_is_read_as_it_is_or_left_to_who_reads_the_whole(
    cohorts: list[Any], courses: list[Any], layout: dict[str, Any], piece: int
) -> None:
    file = reply(cohorts, courses, **layout)
    whole = as_a_whole(file)
    given_: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "PIECE", piece)
        try:
            for each in cut_collections(file):
                given_.append(outcome(*each))  # noqa: PERF401 - those before it ends count, too
        except NotCut:
            assert given_ == whole[: len(given_)]
        else:
            assert given_ == whole


@given(st.lists(records(), min_size=1, max_size=3), st.lists(records(), max_size=3), st.data())
def test_what_is_not_whole_is_never_taken_for_a_list(
    cohorts: list[Any], courses: list[Any], data: Any
) -> None:
    body = reply(cohorts, courses, separators=(",", ":")).getvalue()
    end = data.draw(st.integers(0, len(body) - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "PIECE", 64)
        with pytest.raises(NotCut):
            [*cut_collections(io.BytesIO(body[:end]))]


@pytest.mark.parametrize(
    "bad",
    [
        {"id": "8"},
        {"id": "8", "name": "A", "members": None},
        {"id": "8", "name": "A", "members": {}},
        {"id": "8", "name": "A", 'a"members': []},
        {"id": "8", "name": "A", "members": [{"id": "3"}, {"id": "x"}]},
    ],
)
def test_a_bad_record_among_others_is_read_like_them(bad: dict[str, Any]) -> None:
    good = {"id": "1", "name": "Good", "fullname": "Good", "members": [{"id": "3"}]}
    for cohorts, courses in (([bad, good], [good]), ([good, bad], []), ([], [good, bad])):
        file = reply(cohorts, courses, separators=(",", ":"))
        assert [outcome(*each) for each in cut_collections(file)] == as_a_whole(file)


@pytest.mark.parametrize(
    "id_", ["0", "03", "3,4", " 3", "-3", "1e3", "3.0", "", str(2**63), str(2**63 - 1), 4, None]
)
def test_an_odd_id_among_plain_ones_is_read_as_it_is(id_: object) -> None:
    for members in ([{"id": id_}], [{"id": "3"}, {"id": id_}], [{"id": id_}, {"id": "5"}], [3, {"id": id_}]):
        file = reply([{"id": "1", "name": "All", "members": members}], [], separators=(",", ":"))
        assert [outcome(*each) for each in cut_collections(file)] == as_a_whole(file)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"status":"success","data":{"cohort":[]}}',
        b'{"status":"success","data":{"course":[],"cohort":[]}}',
        b'{"status":"success","data":{"cohort":[],"course":[],"more":1}}',
        b'{"status":"success","data":{"cohort":[],"course":[]}}}',
        b'{"status":"success","data":{"cohort":null,"course":[]}}',
        b'{"status":"fail","data":{"cohort":[],"course":[]}}',
        b'{"status":"success","data":{"cohort":[{"id":"1","members":[]},],"course":[]}}',
        b'{"status":"success","data":{"cohort":[{"members":[],"id":"1"}],"course":[]}}',
        b'{"status":"success","data":{"cohort":[{"id":"1","members":[{"id":"3"},]}],"course":[]}}',
        b'{"status":"success","data":{"cohort":[{"id":"1","members":[{"id":"\xff"}]}],"course":[]}}',
        b'{"status":"success","data":{"cohort":[{"id":"1","name":"\\ud800","members":[]}],"course":[]}}',
    ],
)
def test_what_is_laid_out_otherwise_is_left_to_who_reads_it_whole(body: bytes) -> None:
    with pytest.raises(NotCut):
        [*cut_collections(io.BytesIO(body))]


def test_only_some_of_many_members_are_in_memory_as_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PIECE", 1000)
    parts: list[int] = []
    plain = collection_stream._plain_ids
    monkeypatch.setattr(
        collection_stream, "_plain_ids", lambda text: parts.append(text.count(b"{")) or plain(text)
    )
    members = [{"id": str(id_)} for id_ in (*range(5000, 6000), *range(1, 6000, 2))]
    file = reply([{"id": "1", "name": "All", "members": members}], [], separators=(",", ":"))

    ((kind, raw),) = cut_collections(file)

    assert [*read_collection(kind, raw).members] == sorted({*range(5000, 6000), *range(1, 6000, 2)})
    assert (max(parts) < 150, sum(parts)) == (True, len(members))


def test_records_and_members_without_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LONGEST_RECORD", 10_000)
    monkeypatch.setattr(stream, "PIECE", 1000)
    for record in (
        {"id": "1", "name": "x" * 20_000, "members": []},
        {"id": "1", "members": [{"id": "3", "x": "y" * 20_000}]},
    ):
        with pytest.raises(NotCut):
            [*cut_collections(reply([record], []))]


def test_odd_records_are_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_CUTS", 5)
    with pytest.raises(NotCut):
        [*cut_collections(reply([{"id": "1"}] * 6, []))]
    assert len([*cut_collections(reply([{"id": "1"}] * 5, []))]) == 5
