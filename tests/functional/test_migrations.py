"""A database upgraded by the migrations is what the models describe, and has lost nothing."""

from __future__ import annotations

import re

import pytest
from alembic import command
from sqlalchemy import create_engine, inspect, select, text

from tconnect_pyramid import schema, sqlite
from tconnect_pyramid.models import VERSION_TABLE, Approval, Base, Client, SignIn, include_name

FIRST = "0001"
# A row in each table from which others hang, with those: they would be lost if a table were made anew.
FILLING = """
    INSERT INTO tconnect_account (id, username, firstname, lastname) VALUES (7, 'maja', 'Maja', 'Östberg');
    INSERT INTO tconnect_audience (id, name, timecreated, timemodified) VALUES (3, 'Alla', 1, 1);
    INSERT INTO tconnect_audience_member (account_key, audience_id) VALUES (7, 3);
    INSERT INTO tconnect_course (id, fullname, shortname, timecreated, timemodified)
        VALUES (2, 'Safety', 'safety', 1, 1);
    INSERT INTO tconnect_enrolment (account_key, course_id) VALUES (7, 2);
    INSERT INTO tconnect_client (id, state, name, url, idnumber, client_secret, server_secret_hash, apiversion,
        clienttype, add_new_audiences, add_new_courses, restrict_audience_id, comment, timecreated, timemodified)
        VALUES (5, 'active', 'C', 'https://c.example', 'c1', 'sealed', 'h', 2,
        'totaralms', true, false, 3, '', 1, 1);
    INSERT INTO tconnect_client_audience (client_id, audience_id) VALUES (5, 3);
    INSERT INTO tconnect_client_course (client_id, course_id) VALUES (5, 2);
    INSERT INTO tconnect_signin (id, browser_hash, account_key, timecreated, last_seen, end_reason)
        VALUES (4, 'b', 7, 1, 2, '');
    INSERT INTO tconnect_client_session (id, token_hash, token, client_id, signin_id, account_key, timecreated)
        VALUES (1, 't', 'sealed', 5, 4, 7, 1);
    INSERT INTO tconnect_server (id, state, name, url, idnumber, server_secret, client_idnumber,
        client_secret_hash, apiversion, comment, timecreated, timemodified)
        VALUES (9, 'active', 'S', 'https://s.example', 's1', 'sealed', 'd1', 'h', 2, '', 1, 1);
    INSERT INTO tconnect_link (person_id, server_id, account_key, suspended_by_sync, timecreated)
        VALUES (70, 9, 7, false, 1)
"""
FILLED = re.findall(r"INSERT INTO (\w+)", FILLING)


@pytest.fixture
def engine(make_database):
    engine = create_engine(make_database())
    sqlite.configure(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def old(engine):
    """A database of the first version with something in it."""
    with engine.begin() as connection:
        Base.metadata.drop_all(connection)
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
        command.upgrade(schema.alembic_config(connection), FIRST)
        for statement in FILLING.split(";"):
            connection.execute(text(statement))
    return engine


def kept(engine, columns):
    """The rows of every table in `columns`, with the columns that it names."""
    with engine.connect() as connection:
        return {
            name: [tuple(row) for row in connection.execute(text(f"SELECT {', '.join(wanted)} FROM {name}"))]
            for name, wanted in columns.items()
        }


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


def test_a_database_of_the_first_version_is_upgraded_and_keeps_what_is_in_it(old):
    columns = {name: [column["name"] for column in inspect(old).get_columns(name)] for name in FILLED}
    before = kept(old, columns)
    assert schema.current_version(old) == FIRST

    with old.begin() as connection:
        schema.upgrade(connection)

    assert schema.current_version(old) == schema.newest_version()
    assert schema.differences(old) == []
    assert kept(old, columns) == before
    assert all(len(rows) == 1 for rows in before.values())


def test_what_is_new_about_an_old_row_is_what_it_was_without_it(old):
    with old.begin() as connection:
        schema.upgrade(connection)

    with old.connect() as connection:
        wishes = connection.execute(
            select(Client.sends_profile_fields, Client.sends_jobs, Client.plugin_services)
        ).one()
        assert tuple(wishes) == (True, True, False)
        assert connection.scalar(select(SignIn.acted_by)) is None


def test_what_was_approved_stays_approved_but_for_numbers_of_members(old):
    with old.begin() as connection:
        command.upgrade(schema.alembic_config(connection), "0009")
        connection.execute(
            text(
                "INSERT INTO tconnect_approval (remote_id, kind, action, server_id, expires) "
                "VALUES (70, 'users', 'deleted', 9, 5), (1, 'cohort', 'loses 4', 9, 5)"
            )
        )
        schema.upgrade(connection)

    with old.connect() as connection:
        kept = connection.execute(select(Approval.__table__)).mappings().all()
    assert [dict(row) for row in kept] == [
        {
            "remote_id": 70,
            "kind": "users",
            "action": "deleted",
            "collection": "",
            "server_id": 9,
            "expires": 5,
        }
    ]
    assert schema.differences(old) == []


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
