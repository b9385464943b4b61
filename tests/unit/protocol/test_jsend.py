from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tconnect_pyramid.errors import BadReply, Refused
from tconnect_pyramid.protocol.jsend import (
    MAX_DEPTH,
    Error,
    Fail,
    Result,
    Success,
    describe,
    from_refusal,
    read,
    write,
)
from tconnect_pyramid.protocol.values import canonical_int, canonical_time

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("result", "document"),
    [
        (Success(), {"status": "success", "data": []}),
        (Success([]), {"status": "success", "data": []}),
        (Success({}), {"status": "success", "data": []}),
        (Success({"user": None}), {"status": "success", "data": {"user": None}}),
        (Success({"active": False}), {"status": "success", "data": {"active": False}}),
        (Fail({"if": "missing"}), {"status": "fail", "data": {"if": "missing"}}),
        (Error("session expired"), {"status": "error", "message": "session expired"}),
    ],
)
def test_writes_the_three_forms(result: Result, document: dict[str, Any]) -> None:
    body = write(result)
    assert json.loads(body) == document
    assert list(json.loads(body)) == list(document)


@pytest.mark.parametrize(
    "name",
    ["get_users", "get_users.edge", "get_user", "get_sso_user", "get_user_collections", "get_api_version"],
)
def test_a_recorded_reply_is_the_same_after_reading_and_writing(
    name: str, recording: Callable[[str], Any]
) -> None:
    response = recording(name)["response"]
    result = read(json.dumps(response).encode())
    assert result == Success(response["data"])
    # Compared as text, so that the order of keys counts.
    assert json.dumps(json.loads(write(result))) == json.dumps(response)


def test_every_recorded_refusal_is_the_same_after_reading_and_writing(
    recording: Callable[[str], Any],
) -> None:
    for exchange in recording("refusals"):
        assert json.loads(write(read(json.dumps(exchange["response"]).encode()))) == exchange["response"]


def test_a_text_that_is_no_unicode_is_cleaned_when_written() -> None:
    assert json.loads(write(Error("no \ud800service"))) == {"status": "error", "message": "no service"}


def test_strings_and_keys_are_cleaned_when_read() -> None:
    body = rb'{"status":"success","data":{"a\u0000b":["x\u0000", "\ud83d\ude00", "\ud800y", "z\uDC00"]}}'
    assert read(body) == Success({"ab": ["x", "😀", "y", "z"]})


@pytest.mark.parametrize("half", [rb"\ud800", rb"\uDC00"])
def test_half_a_surrogate_pair_is_cleaned_however_it_is_spelled(half: bytes) -> None:
    assert read(rb'{"status":"error","message":"a\u0000' + half + rb'b"}') == Error("ab")


def test_success_without_data_is_success() -> None:
    assert read(b'{"status":"success"}') == Success(None)


def test_a_fail_with_phps_empty_array_has_no_reasons() -> None:
    assert read(b'{"status":"fail","data":[]}') == Fail({})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"  \n", "not JSON"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"\n <html>", "HTML"),
        (b'{"status":"success","data":{"users":[{"id":"2"', "truncated"),
        (rb'{"status":"success","data":["\ud800"', "not JSON"),
        (b'{"status":"success","data":["\xff"]}', "UTF-8"),
        (rb'{"status":"success","data":["\ud800", "' + b'\xff"]}', "not JSON"),
        (rb'{"status":"success","data":["\ud800", NaN]}', "not JSON"),
        (b'\xef\xbb\xbf{"status":"success","data":[]}', "not JSON"),
        ('{"status":"success","data":[]}'.encode("utf-16"), "not JSON"),
        (b'{"status":"success","data":[NaN]}', "not JSON"),
        (b'{"status":"success","data":[]} trailing', "not JSON"),
        (b"{'status':'success'}", "not JSON"),
        (b"null", "null"),
        (b"[]", "a list"),
        (b'"success"', "a text"),
        (b"1", "a number"),
        (b"true", "a boolean"),
        (b"{}", "no status"),
        (b'{"status":null}', "no status"),
        (b'{"status":"SUCCESS","data":[]}', "no status"),
        (b'{"status":["success"],"data":[]}', "no status"),
        (b'{"status":"fail"}', "null or absent"),
        (b'{"status":"fail","data":"x"}', "a text"),
        (b'{"status":"fail","data":["x"]}', "a list"),
        (b'{"status":"fail","data":{"a":["x"]}}', "a list"),
        (b'{"status":"error"}', "null or absent"),
        (b'{"status":"error","message":{"a":1}}', "an object"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 100_000, "nested"),
        (b'{"status":"success","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested"),
        (rb'["\ud800",' + b"[" * 100_000, "nested"),
    ],
)
def test_what_is_no_reply_is_refused_with_a_reason(body: bytes, reason: str) -> None:
    with pytest.raises(BadReply, match=reason):
        read(body)


def test_nesting_is_refused_beyond_the_limit_and_not_before() -> None:
    def nested(levels: int) -> bytes:
        inner = levels - 1
        return b'{"status":"success","data":' + b"[" * inner + b"]" * inner + b"}"

    assert isinstance(read(nested(MAX_DEPTH)), Success)
    with pytest.raises(BadReply, match="nested deeper than 64"):
        read(nested(MAX_DEPTH + 1))


def test_a_string_of_ten_megabytes_is_read() -> None:
    long = "Å" * 5_000_000
    assert read(json.dumps({"status": "error", "message": long}, ensure_ascii=False).encode()) == Error(long)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_reading_raises_nothing_but_bad_reply(body: bytes) -> None:
    try:
        result = read(body)
    except BadReply:
        return
    assert isinstance(result, Success | Fail | Error)


@given(
    st.sampled_from(["success", "fail", "error", "x"]),
    JSON,
    st.sampled_from(["data", "message", "other"]),
    st.booleans(),
)
def test_what_was_read_can_be_written(status: str, value: object, key: str, ascii_only: bool) -> None:
    document = {"status": status, key: value}
    body = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        result = read(body)
    except BadReply:
        return
    assert "\\u0000" not in write(result).decode()
    assert type(read(write(result))) is type(result)


def test_describes_a_refusal_on_one_short_line() -> None:
    assert describe(Error("invalid server secret or idnumber")) == "invalid server secret or idnumber"
    assert describe(Fail({"a": "one", "b": "two"})) == "a: one; b: two"
    assert describe(Error("red\x1b[31m\r\nnew\u202eline\u2028")) == "red[31mnewline"
    assert describe(Error("")) == "no reason given"
    assert describe(Fail({})) == "no reason given"


@given(st.text(min_size=150), st.text())
def test_a_description_never_exceeds_its_limit(first: str, second: str) -> None:
    for result in (Error(first + second), Fail({first: second, second: first})):
        description = describe(result)
        assert 0 < len(description) <= 200
        assert description.isprintable()


def test_a_description_of_ten_megabytes_is_cut() -> None:
    assert describe(Error("x" * 10_000_000)) == "x" * 199 + "…"


def test_a_refusal_with_a_parameter_is_a_fail_and_else_an_error() -> None:
    assert from_refusal(Refused("missing", parameter="if")) == Fail({"if": "missing"})
    assert from_refusal(Refused("session expired")) == Error("session expired")


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 5000, "-" + "9" * 5000, "9" * 20])
def test_a_number_that_is_too_large_is_one_that_no_field_takes(number):
    data = read(b'{"status":"success","data":[%b,1.5,"a"]}' % number.encode()).data
    assert data[1:] == [1.5, "a"]
    assert canonical_int(data[0]) is None
    assert canonical_time(data[0]) is None
