"""An empty database upgraded by the migrations is what the models describe."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, inspect, text

from tconnect_pyramid import schema, sqlite
from tconnect_pyramid.models import Base, include_name


@pytest.fixture
def engine(make_database):
    engine = create_engine(make_database())
    sqlite.configure(engine)
    yield engine
    engine.dispose()


def test_models_and_migrations_agree(engine):
    assert schema.differences(engine) == []
    assert schema.current_version(engine) == schema.newest_version()


def test_a_difference_is_told_by_name(engine):
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE tconnect_course DROP COLUMN summary"))
    assert any("summary" in line for line in schema.differences(engine))


def test_upgrading_twice_changes_nothing(engine):
    with engine.begin() as connection:
        schema.upgrade(connection)
    assert schema.differences(engine) == []


def test_all_tables_carry_our_prefix_and_leave_a_hosts_tables_alone(engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE users (id INTEGER PRIMARY KEY)"))
    assert schema.differences(engine) == []
    assert {name for name in inspect(engine).get_table_names() if name.startswith("tconnect_")} >= set(
        Base.metadata.tables
    )
    assert not include_name("users", "table", {})
    assert include_name("tconnect_link", "table", {})


def test_ids_of_removed_rows_are_not_given_again(engine):
    add = text("INSERT INTO tconnect_account (username) VALUES (:name)")
    last = text("SELECT max(id) FROM tconnect_account")
    with engine.begin() as connection:
        connection.execute(add, {"name": "first"})
        removed = connection.scalar(last)
        connection.execute(text("DELETE FROM tconnect_account"))
        connection.execute(add, {"name": "second"})
        assert connection.scalar(last) > removed
