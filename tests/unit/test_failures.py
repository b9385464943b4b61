"""What the log says of a bug."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from tconnect_pyramid.errors import PeerError
from tconnect_pyramid.failures import MOST_WARNINGS, describe_bug, warnings_about

SECRET = "9e5fd840889cb8c885e4af0a154a5377b65998f5"


def test_where_a_bug_came_from_is_told_but_not_what_it_was_about():
    def inner():
        raise KeyError(SECRET)

    def outer():
        try:
            inner()
        except KeyError as error:
            raise ValueError(f"no {SECRET}") from error

    with pytest.raises(ValueError, match="no") as raised:
        outer()

    told = describe_bug(raised.value)

    assert SECRET not in told
    assert [word in told for word in ("ValueError", "KeyError", "inner()", "test_failures.py")] == [True] * 4


def test_our_own_words_hold_no_secret_and_are_told():
    error = PeerError("POST", "https://client.example", "tls", "not trusted")

    assert describe_bug(error) == "PeerError: POST https://client.example: not trusted"


def test_a_failed_statement_is_told_without_its_parameters():
    engine = create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(DBAPIError) as raised:
        connection.execute(text("SELECT :value FROM nowhere"), {"value": SECRET})
    engine.dispose()

    told = describe_bug(raised.value)

    assert SECRET in str(raised.value)
    assert SECRET not in told
    assert told.startswith("OperationalError (OperationalError)")


def test_causes_in_a_circle_end():
    one, other = ValueError(), KeyError()
    one.__cause__, other.__cause__ = other, one

    assert describe_bug(one) == "ValueError\nKeyError"


def test_warnings_are_written_one_by_one_until_there_are_too_many(caplog):
    log = logging.getLogger("tconnect_pyramid.server.test")
    with warnings_about(log, "Sending") as warn:
        for number in range(3):
            warn(f"person {number}")
    few = [record.getMessage() for record in caplog.records]
    caplog.clear()
    with warnings_about(log, "Sending") as warn:
        for number in range(MOST_WARNINGS + 7):
            warn(f"person {number}")

    assert few == ["Sending: person 0", "Sending: person 1", "Sending: person 2"]
    assert len(caplog.records) == MOST_WARNINGS + 1
    assert caplog.records[-1].getMessage() == "Sending: 7 more values like these"
