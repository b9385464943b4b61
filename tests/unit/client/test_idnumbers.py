"""Who gets which ID number (protocol 9), against every way in which a small set of people can want theirs."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tconnect_pyramid.client.idnumbers import Claim, assign

STRANGER = 900


def settle(has: dict[int, str], wants: dict[int, str], *, stranger: str = "", leaving=(), new=()):
    """What everybody has after one run; the keys of accounts are the ids of their people."""
    claims = [Claim(who, None if who in new else who, has[who], wants[who]) for who in wants]
    holders: dict[str, list[int]] = {}
    for who, number in [*has.items(), (STRANGER, stranger)]:
        if who not in new:
            holders.setdefault(number, []).append(who)
    return {**has, **assign(claims, holders, leaving)}


@pytest.mark.parametrize(
    ("has", "wants", "expected"),
    [
        ({1: ""}, {1: "A"}, {1: "A"}),
        ({1: "A"}, {1: ""}, {1: ""}),
        ({1: "A", 2: "B"}, {1: "B", 2: "A"}, {1: "B", 2: "A"}),
        ({1: "A", 2: "B", 3: "C"}, {1: "B", 2: "C", 3: "D"}, {1: "B", 2: "C", 3: "D"}),
        ({1: "A", 2: "B", 3: "C"}, {1: "B", 2: "C", 3: "A"}, {1: "B", 2: "C", 3: "A"}),
        ({1: "A", 2: ""}, {1: "A", 2: "A"}, {1: "A", 2: ""}),
        ({1: "", 2: "A"}, {1: "A", 2: "A"}, {1: "", 2: "A"}),
        ({1: "", 2: ""}, {1: "A", 2: "A"}, {1: "A", 2: ""}),
        ({1: "", 2: "A"}, {1: "A", 2: ""}, {1: "A", 2: ""}),
        # 3 cannot have the stranger's, so keeps C, so 2 cannot have it, so keeps B.
        ({1: "A", 2: "B", 3: "C"}, {1: "B", 2: "C", 3: "S"}, {1: "A", 2: "B", 3: "C"}),
        # Who cannot be given a number does not stand in the way of one who gives theirs up.
        ({1: "", 2: "B"}, {1: "S", 2: ""}, {1: "", 2: ""}),
    ],
)
def test_what_each_gets(has, wants, expected):
    assert settle(has, wants, stranger="S") == expected


def test_a_new_account_gets_the_number_of_one_that_is_deleted_in_the_same_run():
    assert settle({1: "", 2: "A"}, {1: "A"}, new={1}, leaving={2}) == {1: "A", 2: "A"}


numbers = st.sampled_from(["", "A", "B", "C", "S"])


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(numbers, numbers), max_size=6), st.sets(st.integers(0, 5)))
def test_no_number_is_given_twice_nothing_is_refused_without_need_and_a_second_run_changes_nothing(
    pairs, unlisted
):
    has = {who: number for who, (number, _) in enumerate(pairs)}
    wants = {who: number for who, (_, number) in enumerate(pairs) if who not in unlisted}

    after = settle(has, wants, stranger="S")

    everybody = {**after, STRANGER: "S"}
    for who, wanted in wants.items():
        if after[who] != has[who] and wanted:
            assert [other for other, number in everybody.items() if number == wanted] == [who]
        if after[who] != wanted:
            assert any(number == wanted for other, number in everybody.items() if other != who)
    assert settle(after, wants, stranger="S") == after


def test_every_permutation_of_three_is_reached_in_one_run():
    for wanted in product("ABC", repeat=3):
        if len(set(wanted)) == 3:
            wants = dict(enumerate(wanted))
            assert settle(dict(enumerate("ABC")), wants) == wants
