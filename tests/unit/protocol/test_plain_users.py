"""What is read fast is read just as what is read one by one."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tconnect_pyramid.errors import BadRecord
from tconnect_pyramid.protocol.plain_users import (
    PlainUser,
    as_sent,
    id_of,
    job_ids,
    parse_users,
    read_record,
    relevant,
)
from tconnect_pyramid.protocol.users import (
    JOB_FIELDS,
    USER_FIELDS,
    UserRecord,
    read_user,
    write_job,
    write_user,
)


def _unexpected(warning: str) -> None:
    raise AssertionError(warning)


JOB = write_job({"id": 8, "idnumber": "J8", "fullname": "Baker", "startdate": 86400}, warn=_unexpected)
FIELD = {"shortname": "shirt", "datatype": "text", "data": "XL"}
WHOLE: dict[str, Any] = write_user(
    {"id": 7, "username": "ana", "firstname": "Ana", "lastname": "Ångström", "email": "ana@example.org"},
    version=2,
    profile_fields=[FIELD],
    jobs=[JOB],
    warn=_unexpected,
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
    st.sampled_from(
        [
            "", "0", "1", "2", "00", "07", "+1", " 1", "1 ", "-0", "-1", "-86400", "1.0", "1e3", "null", "true", "١", "²",
            "9223372036854775807", "9223372036854775808", "1" * 25, "x" * 101, "x" * 256, "é" * 100, "\0" * 300 + "x",
        ]
    ),
    st.just([]),
    st.just({}),
)  # fmt: skip


def outcome(read: Any, raw: object) -> UserRecord | tuple[int | None, str]:
    """The record, or why there is none."""
    try:
        return read(raw)
    except BadRecord as error:
        return error.remote_id, str(error.reason)


def parse_one(raw: object) -> object:
    """As it comes out of a list."""
    (record,) = parse_users(json.dumps([raw]).encode())
    return record


def test_a_record_as_a_server_sends_it_is_plain() -> None:
    """Without this the other tests here would compare the slow way with itself."""
    assert isinstance(parse_one(WHOLE), PlainUser)
    for recorded in ({**WHOLE, "deleted": "1", "email": "", "description": None}, {**WHOLE, "unknown": [1]}):
        assert isinstance(parse_one(recorded), PlainUser)


@given(
    st.dictionaries(st.sampled_from([*WHOLE, "picture", "pictures", "more"]), ODD, max_size=4),
    st.dictionaries(st.sampled_from([field.name for field in JOB_FIELDS]), ODD, max_size=2),
    st.dictionaries(st.sampled_from([*FIELD]), ODD, max_size=2),
    st.sets(st.sampled_from([*WHOLE]), max_size=1),
)
def test_both_ways_read_the_same(
    person: dict[str, object], job: dict[str, object], field: dict[str, object], absent: set[str]
) -> None:
    """Whatever is odd about a record, its jobs or its custom fields."""
    raw = {
        **WHOLE,
        "jobs": [JOB, {**JOB, "id": "9", "idnumber": "J9", **job}],
        "profile_fields": [FIELD, {**FIELD, **field}],
    }
    raw = {name: value for name, value in (raw | person).items() if name not in absent}
    record = parse_one(raw)
    assert outcome(read_record, record) == outcome(read_user, raw)
    exact = outcome(read_user, raw)
    if isinstance(exact, UserRecord):
        assert id_of(record) == exact.id
        if not exact.deleted:
            assert job_ids(record) == [each.id for each in exact.jobs or ()]  # type: ignore[arg-type]


def test_a_bad_record_leaves_the_others_plain() -> None:
    """Only who is odd is read one by one."""
    bad = {**WHOLE, "email": None}
    first, second, third = parse_users(json.dumps([WHOLE, bad, {**WHOLE, "id": "8"}]).encode())
    assert isinstance(first, PlainUser)
    assert second == bad
    assert isinstance(third, PlainUser)


def test_what_is_relevant_is_the_same_whichever_way_a_record_came() -> None:
    """Beside a bad record, with the keys in another order, with escapes, and after a log-in there."""
    (alone,) = parse_users(json.dumps([WHOLE]).encode())
    turned = {name: WHOLE[name] for name in reversed(WHOLE)} | {"lastaccess": "99", "unknown": "x"}
    beside, _ = parse_users(json.dumps([turned, {"id": "1"}], ensure_ascii=False).encode())
    assert relevant(alone) == relevant(beside)  # type: ignore[arg-type]
    for name in ("city", "description", "deleted", "suspended", "auth"):
        (other,) = parse_users(json.dumps([{**WHOLE, name: "1"}]).encode())
        assert relevant(other) != relevant(alone)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", USER_FIELDS, ids=lambda field: field.name)
def test_a_plain_record_says_all_of_what_was_sent(field: Any) -> None:
    """As it is looked for by `explain`."""
    if field.name != "picture":
        assert as_sent(parse_one(WHOLE))[field.name] == WHOLE[field.name]  # type: ignore[index]


def test_what_is_no_list_is_told() -> None:
    """By the parser's own errors, on which the cutter relies."""
    for text in (b"[", b"{}", b'[{"id": "1]', b"[1, 2"):
        with pytest.raises(msgspec.DecodeError):
            parse_users(text)
