"""Many ids in little memory say what sets and lists of them would."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tconnect_pyramid.client.sync import ids
from tconnect_pyramid.client.sync.ids import IdFile, Ids

NUMBERS = st.integers(1, 30)


@given(st.sets(NUMBERS), st.lists(st.lists(NUMBERS, max_size=4), max_size=12))
def test_who_is_not_marked_is_left(listed, runs):
    marked = Ids(array("q", sorted(listed)))
    seen = set()
    for run in runs:
        if marked.mark_run(array("q", run)):
            assert {*run} <= listed
        else:
            for id_ in run:
                assert marked.mark(id_) == (id_ in listed)
        seen.update(run)
    assert [*marked.unmarked()] == sorted(listed - seen)


def test_a_run_that_is_listed_just_so_is_marked_at_once():
    marked = Ids(array("q", [2, 3, 5, 8]))
    assert marked.mark_run(array("q", [2, 3]))
    assert not marked.mark_run(array("q", [8]))
    assert marked.mark_run(array("q", [5, 8]))
    assert not marked.mark_run(array("q", [9]))
    assert [*marked.unmarked()] == []


@pytest.mark.parametrize("memory", [8, 2**20])
def test_lists_in_a_file_come_back_also_several_at_once(monkeypatch, memory):
    monkeypatch.setattr(ids, "_MEMORY", memory)
    monkeypatch.setattr(ids, "_AT_ONCE", 3)
    file = IdFile()
    lists = [[1, 2**63 - 1, 3, 4], [], [5], [*range(10)]]

    kept = [file.keep(array("q", each)) for each in lists]

    assert [len(each) for each in kept] == [len(each) for each in lists]
    assert [*zip(kept[0], kept[3], strict=False)] == [*zip(lists[0], lists[3], strict=False)]
    assert [[*each] for each in kept] == lists
