"""Units, reading, snapshots, and who has a transaction open."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
import transaction
from sqlalchemy import create_engine, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from support import sites

from tconnect_pyramid import sqlite
from tconnect_pyramid.database import Database
from tconnect_pyramid.errors import TransactionOpen
from tconnect_pyramid.models import SiteValue


@pytest.fixture
def database(make_database):
    with sites.context(make_database()) as context:
        yield context.database


def count(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(SiteValue).where(SiteValue.name == "x"))


def test_a_unit_commits_statements_of_core(database):
    with database.unit() as session:
        session.execute(insert(SiteValue).values(name="x", value="1"))
    assert count(database) == 1


def test_a_unit_that_raises_leaves_nothing(database):
    def fail(session):
        session.add(SiteValue(name="x", value="1"))
        session.flush()
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"), database.unit() as session:
        fail(session)
    assert count(database) == 0


def test_a_unit_stands_apart_from_a_doomed_transaction_of_the_host(database):
    manager = transaction.TransactionManager(explicit=True)
    manager.begin()
    manager.doom()
    with database.unit() as session:
        session.add(SiteValue(name="x", value="1"))
    manager.abort()
    assert count(database) == 1


def test_a_joined_session_follows_the_requests_transaction(database):
    for outcome, expected in (("abort", 0), ("commit", 1)):
        manager = transaction.TransactionManager(explicit=True)
        manager.begin()
        session = database.joined(manager, writes=True)
        session.add(SiteValue(name="x", value="1"))
        session.flush()
        getattr(manager, outcome)()
        assert count(database) == expected


@pytest.mark.parametrize("opened", ["unit", "reading"])
def test_an_open_transaction_is_noticed_until_it_ends(database, opened):
    with getattr(database, opened)() as session:
        database.assert_idle()
        session.scalar(select(func.count()).select_from(SiteValue))
        with pytest.raises(TransactionOpen, match="read, close, call"):
            database.assert_idle()
    database.assert_idle()


def test_an_open_transaction_of_another_thread_does_not_matter(database):
    with database.reading() as session:
        session.scalar(select(func.count()).select_from(SiteValue))
        failures = []

        def check():
            try:
                database.assert_idle()
            except TransactionOpen as error:
                failures.append(error)

        thread = threading.Thread(target=check)
        thread.start()
        thread.join()
    assert not failures


def test_a_snapshot_sees_one_state_throughout(database):
    with database.snapshot() as connection:
        query = select(func.count()).select_from(SiteValue).where(SiteValue.name == "x")
        assert connection.scalar(query) == 0
        with database.unit() as session:
            session.add(SiteValue(name="x", value="1"))
        assert connection.scalar(query) == 0
    assert count(database) == 1


def test_units_that_read_before_they_write_do_not_fail_each_other(database):
    """On SQLite a deferred transaction would fail at once here, whatever its patience."""
    with database.unit() as session:
        session.add(SiteValue(name="x", value="0"))
    errors = []

    def add_one():
        try:
            for _ in range(10):
                with database.unit() as session:
                    read = select(SiteValue.value).where(SiteValue.name == "x").with_for_update()
                    value = int(session.scalar(read))
                    session.execute(
                        update(SiteValue).where(SiteValue.name == "x").values(value=str(value + 1))
                    )
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            errors.append(error)

    threads = [threading.Thread(target=add_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with database.reading() as session:
        assert session.scalar(select(SiteValue.value).where(SiteValue.name == "x")) == "40"


def test_sqlite_is_set_up_once_and_only_sqlite(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/x.sqlite")
    assert not sqlite.is_configured(engine)
    sqlite.configure(engine)
    sqlite.configure(engine)
    assert sqlite.is_configured(engine)
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA busy_timeout")) == sqlite.BUSY_TIMEOUT_MS
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
    engine.dispose()


def test_a_database_that_nobody_uses_any_more_goes(make_database):
    """Its engine keeps all that it has compiled, a megabyte or more."""
    database = Database(create_engine(make_database()))
    with database.unit() as session:
        session.execute(text("SELECT 1"))
    database.engine.dispose()
    gone = weakref.ref(database)
    del database, session
    gc.collect()

    assert gone() is None


@pytest.mark.parametrize("opened", ["unit", "reading", "snapshot"])
def test_no_error_says_what_a_statement_was_given_whoever_made_the_engine(database, opened):
    with pytest.raises(DBAPIError) as raised, getattr(database, opened)() as where:
        where.execute(text("SELECT :value FROM nowhere"), {"value": "9e5fd840"})
    assert "nowhere" in str(raised.value)
    assert "9e5fd840" not in str(raised.value)


def test_a_hosts_engine_says_as_much_as_it_did(database):
    with pytest.raises(DBAPIError) as raised, database.engine.connect() as connection:
        connection.execute(text("SELECT :value FROM nowhere"), {"value": "9e5fd840"})
    assert "9e5fd840" in str(raised.value)
