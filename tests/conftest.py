"""Fixtures shared by all tests: databases, sites, a clock that stands still."""

from __future__ import annotations

import gc
from collections import Counter

import pytest
from support import compiled_once, configured_once, databases, quick_passwords, traps

SLOW = ("slow", "worker", "browser")


def pytest_collection_modifyitems(config, items):
    """Begin with the files that take longest where several processes share them, so that none waits for one at the end.

    Those have few tests, and xdist by itself begins with the files that have most: hence `--no-loadscope-reorder`.
    """
    if hasattr(config, "workerinput"):
        tests = Counter(item.path for item in items)
        slow = {item.path for item in items if any(map(item.get_closest_marker, SLOW))}
        items.sort(key=lambda item: (item.path not in slow, -tests[item.path]))


def pytest_collection_finish():
    """Spare the garbage collector all that the tests are made of: going through it took a third of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.fixture(scope="session", autouse=True)
def no_traps():
    """No test may send to a database what only few rows bear."""
    with traps.refused():
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_hashes():
    """No test but those of the hashes themselves waits for them."""
    with quick_passwords.quick():
        yield


@pytest.fixture(scope="session", autouse=True)
def compiled_statements():
    """No test compiles what another one has compiled."""
    with compiled_once.shared():
        yield


@pytest.fixture(scope="session", autouse=True)
def configured_sites():
    """No command configures what another one has configured."""
    with configured_once.by_ini_files():
        yield


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def make_database(request, tmp_path):
    """Gives a function that makes an empty, migrated database and returns its SQLAlchemy URL.

    Tests that ask for it run on SQLite and on PostgreSQL; several databases may be made.
    """
    with databases.maker(request.param, tmp_path) as make:
        yield make


@pytest.fixture
def make_sqlite(tmp_path):
    """Like `make_database`, on SQLite only: for tests whose subject is not the database."""
    with databases.maker("sqlite", tmp_path) as make:
        yield make


def pytest_terminal_summary(terminalreporter):
    """Say once for each reason how many tests were skipped, instead of naming hundreds of them."""
    reasons = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", ()))
    for reason, number in reasons.most_common():
        terminalreporter.write_line(f"SKIPPED {number}: {reason.removeprefix('Skipped: ')}")
