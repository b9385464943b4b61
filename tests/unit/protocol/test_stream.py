"""A list is cut between two records, wherever its pieces end and however it is laid out."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tconnect_pyramid.protocol import stream
from tconnect_pyramid.protocol.stream import NotCut, cut_list

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["},{", "},\n{", '"},{"', "]}}", "\\", "\\\\", '\\"', "[{", "\u2028"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=4) | st.integers() | st.none(), max_size=12)
LAYOUTS = [
    {"separators": (",", ":")},
    {"separators": (", ", ": ")},
    {"separators": (",\n", ":"), "ensure_ascii": False},
    {"indent": 1},
]


def reply(records, **layout) -> io.BytesIO:
    document = {"status": "success", "data": {"users": records}}
    return io.BytesIO(json.dumps(document, **layout).encode())


def joined(file) -> list:
    return [record for part in cut_list(file, "users") for record in part]


@given(RECORDS, st.sampled_from(LAYOUTS), st.integers(64, 300))
def test_the_parts_of_a_list_are_the_list(records, layout, piece):
    file = reply(records, **layout)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "PIECE", piece)
        assert joined(file) == records


@given(st.lists(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3), min_size=1, max_size=8), st.data())
def test_what_is_not_whole_is_never_taken_for_a_list(records, data):
    body = reply(records, separators=(",", ":")).getvalue()
    end = data.draw(st.integers(0, len(body) - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "PIECE", 64)
        with pytest.raises(NotCut):
            joined(io.BytesIO(body[:end]))


def test_large_lists_come_in_parts(monkeypatch):
    monkeypatch.setattr(stream, "PIECE", 1000)
    records = [{"id": str(number), "jobs": [{"id": "1"}, {"id": "2"}]} for number in range(200)]
    parts = [*cut_list(reply(records, separators=(",", ":")), "users")]

    assert [record for part in parts for record in part] == records
    assert len(parts) > 5
    assert max(map(len, parts)) < 80


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"status":"success","data":[]}',
        b'{"status":"success","data":{"user":[]}}',
        b'{"data":{"users":[]},"status":"success"}',
        b'{"status":"success","data":{"users":[],"more":1}}',
        b'{"status":"success","data":{"users":[{"id":"1"}],"users":[]}}',
        b'{"status":"fail","data":{"users":[]}}',
        b'{"status":"success","data":{"users":[{"id":"1"},]}}',
        b'{"status":"success","data":{"users":[{"id":"\xff"}]}}',
        b'{"status":"success","data":{"users":[{"id":"\\ud800"}]}}',
    ],
)
def test_what_is_laid_out_otherwise_is_left_to_who_reads_it_whole(body):
    with pytest.raises(NotCut):
        joined(io.BytesIO(body))


def test_a_record_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(stream, "LONGEST_RECORD", 10_000)
    monkeypatch.setattr(stream, "PIECE", 1000)
    with pytest.raises(NotCut):
        joined(reply([{"id": "1", "description": "x" * 20_000}]))


def test_cuts_that_are_none_are_given_up_in_time(monkeypatch):
    monkeypatch.setattr(stream, "PIECE", 5000)
    jobs = [{"id": str(number)} for number in range(2000)]
    with pytest.raises(NotCut):
        joined(reply([{"id": "1", "jobs": jobs}, {"id": "2"}], separators=(",", ":")))


def test_a_long_record_is_not_looked_through_again_for_each_piece(monkeypatch):
    """A reply of nothing but braces would take minutes."""
    cut, looked = stream._CUT, []

    class Counting:
        def finditer(self, text, start, end):
            looked.append(end - start)
            return cut.finditer(text, start, end)

    monkeypatch.setattr(stream, "_CUT", Counting())
    monkeypatch.setattr(stream, "PIECE", 2**14)
    records = [{"id": "1", "name": "}" * 2**21}, {"id": "2"}]
    file = reply(records)

    assert joined(file) == records
    assert sum(looked) < 2 * len(file.getvalue())
