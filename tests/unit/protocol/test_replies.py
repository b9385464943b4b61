"""The small replies: read as they are written, and by everything else nothing is said."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tconnect_pyramid.protocol import replies

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["minapiversion", "maxapiversion", "user", "active"]), inner, max_size=4
        )
    ),
)


def test_versions():
    assert replies.write_versions() == {"minapiversion": 1, "maxapiversion": 2}
    assert replies.read_versions(replies.write_versions()) == (1, 2)
    assert replies.read_versions({"minapiversion": "1", "maxapiversion": "2"}) == (1, 2)
    assert replies.read_versions({"minapiversion": 1}) is None


def test_a_person():
    assert replies.read_person(replies.write_person({"id": "3"})) == {"id": "3"}
    assert replies.read_person(replies.write_person(None)) is None


@pytest.mark.parametrize(
    ("active", "read"), [(True, True), (False, False), ("1", True), (1, True), ("yes", False)]
)
def test_activity(active, read):
    assert replies.read_activity({"active": active}) is read
    assert replies.read_activity(replies.write_activity(read)) is read


def test_the_frames_make_json():
    users = replies.USERS_HEAD + b"1" + replies.BETWEEN_RECORDS + b"2" + replies.LIST_TAIL
    assert json.loads(users) == {"status": "success", "data": {"users": [1, 2]}}
    collections = replies.COLLECTIONS_HEAD + replies.COLLECTIONS_MIDDLE + replies.LIST_TAIL
    assert json.loads(collections) == {"status": "success", "data": {"cohort": [], "course": []}}


@given(ANYTHING)
def test_whatever_comes_reading_does_not_raise(data):
    replies.read_versions(data)
    replies.read_person(data)
    replies.read_activity(data)
