from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from tconnect_pyramid.protocol import paths, versions
from tconnect_pyramid.protocol.values import (
    as_flag,
    canonical_int,
    canonical_time,
    clean_text,
    is_component,
    is_token,
    php_empty,
)

TOKEN = "5f41a34102c491d0a74b0384be69b1f360c3897b"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (TOKEN, True),
        ("", False),
        (None, False),
        (TOKEN.upper(), False),
        (TOKEN[:-1], False),
        (TOKEN + "0", False),
        (TOKEN + "\n", False),
        (TOKEN[:-1] + "g", False),
        ("٣" * 40, False),
        (TOKEN.encode(), False),
    ],
)
def test_a_token_is_forty_lowercase_hex_characters(value: object, expected: bool) -> None:
    assert is_token(value) is expected


def test_empty_is_what_php_calls_empty() -> None:
    assert [php_empty(value) for value in (None, "", "0", "00", " ", "0.0", "a")] == [True] * 3 + [False] * 4


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        ("0", 0),
        (3, 3),
        ("3", 3),
        (2**63 - 1, 2**63 - 1),
        (str(2**63 - 1), 2**63 - 1),
        (2**63, None),
        (str(2**63), None),
        (-1, None),
        ("-1", None),
        ("03", None),
        ("+3", None),
        (" 3", None),
        ("3\n", None),
        ("3.0", None),
        (3.0, None),
        ("", None),
        (None, None),
        (True, None),
        (False, None),
        ("٣", None),
        ("1" * 10_000_000, None),
        ([3], None),
    ],
)
def test_numbers_are_canonical(value: object, expected: int | None) -> None:
    assert canonical_int(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        ("1400000000", 1400000000),
        (-86400, -86400),
        ("-86400", -86400),
        (1 - 2**63, 1 - 2**63),
        (-(2**63), None),
        (str(-(2**63)), None),
        ("-0", None),
        ("-", None),
        ("--5", None),
        ("-05", None),
        (-1.0, None),
        ("", None),
        (None, None),
        (True, None),
        ("-" + "1" * 10_000_000, None),
    ],
)
def test_times_may_lie_before_1970(value: object, expected: int | None) -> None:
    assert canonical_time(value) == expected


def test_flags_come_in_three_spellings() -> None:
    assert [as_flag(value) for value in (0, "0", False)] == [False] * 3
    assert [as_flag(value) for value in (1, "1", True)] == [True] * 3
    assert [as_flag(value) for value in (2, "2", "", "true", None, [], 1.0)] == [None] * 7


def test_text_is_cleaned_of_what_no_database_takes() -> None:
    assert clean_text("plain") == "plain"
    assert clean_text("Ångström 李 😀") == "Ångström 李 😀"
    assert clean_text("a\0b") == "ab"
    assert clean_text("Å\0\ud800b\udfff") == "Åb"


def test_component_names_are_those_of_the_protocol() -> None:
    spelled_out = re.compile(r"[a-z]+(_[a-z][a-z0-9_]*)?[a-z0-9]+")
    for length in range(8):
        for letters in itertools.product("a0_-", repeat=length):
            value = "".join(letters)
            assert is_component(value) is (spelled_out.fullmatch(value) is not None), value


@pytest.mark.parametrize("long", ["a" * 1_000_000 + "!", "a_" + "a" * 1_000_000 + "!", "a_" * 500_000])
def test_a_megabyte_of_letters_takes_no_quadratic_time(long: str) -> None:
    begun = time.monotonic()
    assert not is_component(long)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("theirs", "chosen"),
    [
        ((1, 2), 2),
        ((1, 1), 1),
        ((2, 2), 2),
        ((2, 9), 2),
        ((0, 1), 1),
        ((3, 4), None),
        ((0, 0), None),
        ((2, 1), None),
    ],
)
def test_the_highest_common_version_is_chosen(theirs: tuple[int, int], chosen: int | None) -> None:
    assert versions.choose(*theirs) == chosen


def test_a_path_is_appended_to_the_base_as_it_is() -> None:
    assert paths.join("https://a.example", paths.CLIENT_SEP) == "https://a.example/auth/connect/sep.php"
    assert paths.join("https://a.example/learn/", paths.SERVER_SEP) == (
        "https://a.example/learn/totara/connect/sep.php"
    )


def test_the_paths_are_the_recorded_ones(recording: Callable[[str], Any]) -> None:
    assert recording("get_users")["path"] == paths.SERVER_SEP
    assert recording("kill_sso_user")["path"] == paths.CLIENT_SEP
    assert recording("sep_setup")["path"] == paths.CLIENT_SETUP
