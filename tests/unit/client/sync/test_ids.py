"""Many ids in little memory say what sets and lists of them would."""

from __future__ import annotations

import tracemalloc
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tconnect_pyramid.client.sync import ids
from tconnect_pyramid.client.sync.ids import IdFile, Ids, Numbers

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


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=60), st.integers(0, 4))
def test_an_id_keeps_the_first_number_that_it_was_given(pairs, few):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids, "_FEW", few)
        numbers, expected = Numbers(), {}
        for id_, number in pairs:
            assert numbers.get(id_) == expected.get(id_)
            assert numbers.add(id_, number) == expected.setdefault(id_, number)
            assert len(numbers) == len(expected)
    assert {id_: numbers.get(id_) for id_ in range(32)} == {id_: expected.get(id_) for id_ in range(32)}


@pytest.mark.parametrize("order", [iter, reversed, lambda all_: sorted(all_, key=lambda id_: hash(str(id_)))])
def test_many_numbers_take_little_memory_in_whatever_order(monkeypatch, order):
    monkeypatch.setattr(ids, "_FEW", 1000)
    many = 20_000
    inputs = array("q", order(range(2**40, 2**40 + many)))
    tracemalloc.start()
    try:
        numbers = Numbers()
        for id_ in inputs:
            numbers.add(id_, id_ + 1)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 100 * many
    assert all(numbers.get(id_) == id_ + 1 for id_ in inputs)


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
