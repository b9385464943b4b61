"""A Totara client ends its whole run at one value that it cannot store (protocol 6, limits)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tconnect_pyramid.protocol.collections import write_cohort, write_course
from tconnect_pyramid.protocol.columns import Warn, number, text, time, write_value
from tconnect_pyramid.protocol.hierarchies import write_framework, write_item
from tconnect_pyramid.protocol.users import write_job, write_profile_field, write_user

Write = Callable[[dict[str, Any], Warn], dict[str, object]]


def _item(kind: Any) -> Write:
    def write(values: dict[str, Any], warn: Warn) -> dict[str, object]:
        typeidnumber = values.pop("typeidnumber", None)
        return write_item(kind, values, typeidnumber=typeidnumber, custom_fields=[], warn=warn)

    return write


RECORDS: dict[str, Write] = {
    "person": lambda values, warn: write_user(values, version=2, warn=warn),
    "job": lambda values, warn: write_job(values, warn=warn),
    "audience": lambda values, warn: write_cohort(values, [], warn=warn),
    "course": lambda values, warn: write_course(values, [], warn=warn),
    "position framework": lambda values, warn: write_framework("position", values, warn=warn),
    "organisation framework": lambda values, warn: write_framework("organisation", values, warn=warn),
    "position": _item("position"),
    "organisation": _item("organisation"),
}

CUT = object()

HIERARCHY = [
    (record, *row)
    for record in ("position framework", "organisation framework", "position", "organisation")
    for row in [("shortname", 100, CUT), ("idnumber", 100, ""), ("fullname", 1024, CUT)]
]

# Record, field, limit in characters, and what is sent instead of a longer value: a part, or something else.
LIMITS: list[tuple[str, str, int, object]] = [
    ("person", "username", 100, CUT),
    ("person", "firstname", 100, CUT),
    ("person", "lastname", 100, CUT),
    ("person", "email", 100, ""),
    ("person", "idnumber", 255, ""),
    ("person", "institution", 255, CUT),
    ("person", "department", 255, CUT),
    ("person", "address", 255, CUT),
    ("person", "url", 255, ""),
    ("person", "imagealt", 255, CUT),
    ("person", "lastnamephonetic", 255, CUT),
    ("person", "firstnamephonetic", 255, CUT),
    ("person", "middlename", 255, CUT),
    ("person", "alternatename", 255, CUT),
    ("person", "city", 120, CUT),
    ("person", "country", 2, ""),
    ("person", "phone1", 20, CUT),
    ("person", "phone2", 20, CUT),
    ("person", "icq", 15, CUT),
    ("person", "skype", 50, CUT),
    ("person", "yahoo", 50, CUT),
    ("person", "aim", 50, CUT),
    ("person", "msn", 50, CUT),
    ("person", "theme", 50, ""),
    ("person", "lang", 30, "en"),
    ("person", "calendartype", 30, "gregorian"),
    ("person", "timezone", 100, "99"),
    ("person", "auth", 20, "manual"),
    ("person", "password", 255, None),
    ("person", "lastip", 45, ""),
    ("job", "fullname", 255, CUT),
    ("job", "shortname", 100, CUT),
    ("job", "idnumber", 100, ""),
    ("audience", "name", 254, CUT),
    ("audience", "idnumber", 100, ""),
    ("audience", "component", 100, CUT),
    ("course", "fullname", 254, CUT),
    ("course", "shortname", 255, CUT),
    ("course", "idnumber", 100, ""),
    ("course", "lang", 30, ""),
    ("course", "calendartype", 30, ""),
    ("course", "theme", 50, ""),
    ("course", "icon", 255, CUT),
    *HIERARCHY,
    ("position", "sortthread", 255, CUT),
    ("organisation", "sortthread", 255, CUT),
    ("position", "typeidnumber", 100, None),
    ("organisation", "typeidnumber", 100, None),
]

UNLIMITED = [
    ("person", "description"),
    ("job", "description"),
    ("audience", "description"),
    ("course", "summary"),
    ("position framework", "description"),
    ("organisation framework", "description"),
    ("position", "description"),
    ("organisation", "description"),
]

# Characters of one to four bytes; every place where a text may be cut lies behind each of them in turn.
LONG = "a😀Å李" * 20_000


@pytest.mark.parametrize(("record", "field", "limit", "instead"), LIMITS)
def test_no_value_is_longer_than_a_totara_client_can_store(
    record: str, field: str, limit: int, instead: object
) -> None:
    for start in range(4):
        value = LONG[start:]
        warnings: list[str] = []
        fits = RECORDS[record]({"id": 5, field: value[:limit]}, warnings.append)
        assert (fits[field], warnings) == (value[:limit], [])

        written = RECORDS[record]({"id": 5, field: value[: limit + 1]}, warnings.append)
        assert written[field] == (value[:limit] if instead is CUT else instead)
        done = "cut" if instead is CUT else "left out"
        assert len(warnings) == 1
        assert warnings[0].startswith(
            f"{record} 5: {field} has {limit + 1} characters, more than the {limit} "
        )
        assert warnings[0].endswith(f"; it was {done}")
        assert msgspec.json.decode(msgspec.json.encode(written)) == written


@pytest.mark.parametrize(("record", "field"), UNLIMITED)
def test_descriptions_have_no_limit(record: str, field: str) -> None:
    warnings: list[str] = []
    assert RECORDS[record]({"id": 5, field: LONG}, warnings.append)[field] == LONG
    assert warnings == []


def test_custom_profile_values_have_no_limit() -> None:
    assert write_profile_field("bio", "textarea", LONG)["data"] == LONG


def test_what_no_database_takes_is_not_counted() -> None:
    warnings: list[str] = []
    halves = "\ud83d\0\ude00a" * 100
    written = RECORDS["person"]({"id": 5, "firstname": halves, "lastname": "b" + halves}, warnings.append)
    assert (written["firstname"], written["lastname"]) == ("a" * 100, "b" + "a" * 99)
    assert len(warnings) == 1
    assert warnings[0].startswith("person 5: lastname has 101 characters")


def test_each_value_is_told_of_once() -> None:
    warnings: list[str] = []
    values = {"id": 7, "department": "d" * 300, "email": "e" * 101, "city": "c", "timecreated": "yesterday"}
    written = RECORDS["person"](values, warnings.append)
    assert (written["department"], written["email"], written["timecreated"]) == ("d" * 255, "", "0")
    assert sorted(warnings) == [
        "person 7: department has 300 characters, more than the 255 that a Totara client can store; it was cut",
        "person 7: email has 101 characters, more than the 100 that a Totara client can store; it was left out",
        "person 7: timecreated is not a whole number from 0 to 2^63-1; it was left out",
    ]


def test_a_warning_never_holds_the_value() -> None:
    warnings: list[str] = []
    values: dict[str, Any] = dict.fromkeys(["password", "email", "lastaccess"], "hunter2" * 100)
    RECORDS["person"]({"id": 5} | values, warnings.append)
    assert len(warnings) == 3
    assert "hunter2" not in "".join(warnings)


def test_a_tombstone_has_nothing_to_warn_of() -> None:
    warnings: list[str] = []
    values = {"id": 5, "deleted": 1, "email": "e" * 300, "idnumber": "i" * 300, "password": "p" * 300}
    RECORDS["person"](values, warnings.append)
    assert warnings == []


@pytest.mark.parametrize("value", ["", "soon", "03", -1, "-86400", 1.5, 2**63])
def test_a_time_is_digits_or_null(value: object) -> None:
    warnings: list[str] = []
    job = write_job({"id": 5, "idnumber": "1", "startdate": value, "enddate": 7}, warn=warnings.append)
    assert (job["startdate"], job["enddate"]) == (None, "7")
    told = ["job 5: startdate is not a whole number from 0 to 2^63-1; it was left out"]
    assert warnings == ([] if value == "" else told)


ANY_FIELD = st.sampled_from(
    [
        number("x"),
        number("x", None),
        time("x"),
        text("x", 10),
        text("x", 10, "en", whole=True),
        text("x", 10, None),
        text("x", None),
    ]
)


@given(ANY_FIELD, st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30))
def test_whatever_a_site_keeps_can_be_sent(field: Any, value: object) -> None:
    warnings: list[str] = []
    written = write_value(field, value, "person 5", warnings.append)
    assert len(warnings) <= 1
    if written is None:
        assert field.nullable
        return
    assert written.encode("utf-8").decode("utf-8") == written
    assert field.limit is None or len(written) <= field.limit
    assert field.kind == "text" or written.isdigit()
    # Sent once, it is taken as it is from then on.
    assert write_value(field, written, "person 5", warnings.append) == written
    assert len(warnings) <= 1
