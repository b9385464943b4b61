"""What is written fast is written just as what is written column by column."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tconnect_pyramid.protocol import fitting_users
from tconnect_pyramid.protocol.fitting_users import write_listed_job, write_listed_user
from tconnect_pyramid.protocol.users import JOB_FIELDS, USER_FIELDS, write_job, write_user

USER = {field.name: 3 if field.kind != "text" else "x" for field in USER_FIELDS} | {
    "id": 7,
    "deleted": 0,
    "key": 7,
}
JOB = {field.name: 3 if field.kind != "text" else "x" for field in JOB_FIELDS} | {"id": 8, "account_key": 7}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
    st.sampled_from(["", "0", "1", "x" * 256, "é" * 101, "\0" * 300 + "x", "\ud800", "😀", 0, 1, 5.0, b"x"]),
)


def written(write: Callable[..., dict[str, object]], values: dict[str, Any], **more: Any) -> object:
    """The record as it travels, and what is told about it; or that it is refused."""
    told: list[str] = []
    try:
        return json.dumps(write(values, warn=told.append, **more)), told
    except ValueError:
        return "refused"


@given(
    st.dictionaries(st.sampled_from([field.name for field in USER_FIELDS]), ODD, max_size=3),
    st.dictionaries(st.sampled_from([field.name for field in JOB_FIELDS]), ODD, max_size=3),
    st.sets(st.sampled_from([field.name for field in (*USER_FIELDS, *JOB_FIELDS)]), max_size=2),
    st.sampled_from([1, 2]),
)
def test_both_ways_write_the_same(
    person: dict[str, Any], job: dict[str, Any], absent: set[str], version: int
) -> None:
    """Whatever a host's table holds, and whatever it does not."""
    values = {name: value for name, value in (USER | person).items() if name not in absent}
    assigned = {name: value for name, value in (JOB | job).items() if name not in absent}
    assert written(write_listed_job, assigned) == written(write_job, assigned)
    jobs = [write_job(JOB, warn=print), write_job(JOB | {"id": 9}, warn=print)]
    for more in ({}, {"jobs": jobs, "profile_fields": [{"shortname": "a", "datatype": "text", "data": "x"}]}):
        assert written(write_listed_user, values, version=version, **more) == written(
            write_user, values, version=version, **more
        )


def test_what_fits_is_not_written_column_by_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this the other test would compare the slow way with itself."""
    for name in ("write_user", "write_job"):
        monkeypatch.setattr(fitting_users, name, None)
    assert write_listed_user(USER, version=2, warn=print)["lastname"] == "x"
    assert write_listed_user(USER | {"lastname": "Ångström"}, version=2, warn=print)["id"] == "7"
    assert write_listed_job(JOB, warn=print)["idnumber"] == "x"
