"""What is slow only with very many people is held by its shape: indexes, plans of the database, how results are read.

What no statement may look like is in `support.traps`, which watches all tests.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import ARRAY, UniqueConstraint, any_, bindparam, event, insert, select, text
from sqlalchemy.types import NullType
from support.lists import field, job, person

import tconnect_pyramid
from tconnect_pyramid.client.sync import apply_users
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory import profiles
from tconnect_pyramid.models import (
    Account,
    Base,
    Client,
    Counterpart,
    Job,
    Link,
    ProfileValue,
    Server,
)
from tconnect_pyramid.models.base import AccountKey

PACKAGE = Path(tconnect_pyramid.__file__).parent
FILLED = {each.__tablename__: each for each in (Account, Link, Job, Counterpart, ProfileValue)}
"""The tables that have a row or more for each person."""
PEOPLE = apply_users.MANY
"""The fewest of whom a run knows that they are many."""

# What a client is sent are some dozens of rows for each, asked for by the client alone; a server has four kinds.
LED_BY_A_CONSTANT = {
    "tconnect_client_audience": ("client_id", "audience_id"),
    "tconnect_client_course": ("client_id", "course_id"),
    "tconnect_client_position_framework": ("client_id", "framework_id"),
    "tconnect_client_organisation_framework": ("client_id", "framework_id"),
    "tconnect_pause": ("server_id", "kind"),
}


# --- indexes: on a table that is new, one that begins with a constant looks as good as the right one ------


def indexes(table) -> Iterator[tuple[str | None, tuple]]:
    """The names and columns of all that is indexed."""
    yield table.primary_key.name, tuple(table.primary_key.columns)
    for each in table.constraints:
        if isinstance(each, UniqueConstraint):
            yield each.name, tuple(each.columns)
    for each in table.indexes:
        yield each.name, tuple(each.expressions)


def is_constant(column) -> bool:
    """Whether most rows of a large table have the same in it."""
    few = {Server.__table__, Client.__table__}
    keys = getattr(column, "foreign_keys", ())
    named = {"kind", "role", "action", "state", "component", "server_id", "client_id", "peer_id"}
    return getattr(column, "name", "") in named or any(key.column.table in few for key in keys)


def test_no_index_of_several_columns_begins_with_one_that_is_the_same_in_all_rows():
    led = {
        table.name: tuple(column.name for column in columns)
        for table in Base.metadata.sorted_tables
        for _, columns in indexes(table)
        if len(columns) > 1 and is_constant(columns[0])
    }

    assert led == LED_BY_A_CONSTANT


# --- what the database makes of the statements of a run -----------------------------------------------------


def worker(number, *, job_name="Cook", shirt="M", **fields):
    return person(
        number, jobs=[job(number, "A", fullname=job_name)], profile_fields=[field("shirt", shirt)], **fields
    )


@pytest.fixture
def filled(client, server, server_id):
    """A client just after its first run, which made many."""
    with client.unit() as session:
        profiles.add_field(session, client, "shirt", datatype="text")
    server.people = [worker(number) for number in range(1, PEOPLE + 1)]
    assert run_sync(client, "users", server_id).state == "done"
    return client


@contextmanager
def statements(client):
    """The statements of the block that look for rows, with the first of their parameters."""
    seen = {}

    def note(_connection, _cursor, statement, parameters, _context, executemany):
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            seen.setdefault(statement, parameters[0] if executemany else parameters)

    event.listen(client.database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(client.database.engine, "before_cursor_execute", note)


def used(connection, statement, parameters) -> set[tuple[str, str | None]]:
    """The tables that the database would look into, with the index by which; None where it reads all rows."""
    if connection.dialect.name == "sqlite":
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        pattern = re.compile(r"(SCAN|SEARCH) (\w+)(?: USING (?:COVERING )?(?:INDEX (\w+))?)?")
        found = [pattern.match(row.detail) for row in plan]
        return {
            (it[2], it[3] or ("the key" if it[1] == "SEARCH" else None)) for it in found if it is not None
        }
    (plan,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    return set(looked_into(plan["Plan"], ""))


def looked_into(node, table: str) -> Iterator[tuple[str, str | None]]:
    table = node.get("Relation Name", table)
    if node["Node Type"] == "Seq Scan" or "Index Name" in node:
        yield table, node.get("Index Name")
    for each in node.get("Plans", ()):
        yield from looked_into(each, table)


def test_a_run_finds_the_rows_of_those_who_changed_by_what_is_their_own(filled, server, server_id):
    changed = {"city": "Nelson", "job_name": "Baker", "shirt": "L", "suspended": "1"}
    server.people = [
        worker(number, **(changed if number % 250 == 0 else {})) for number in range(2, PEOPLE + 2)
    ]
    with statements(filled) as seen:
        assert run_sync(filled, "users", server_id).state == "done"

    of_all = {
        name: {index.name for index in table.__table__.indexes if is_constant(index.columns[0])} | {None}
        for name, table in FILLED.items()
    }
    with filled.database.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            # Thousand rows are read as fast as they are looked for: what is asked is whether they could be.
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        looked = {statement: used(connection, statement, seen[statement]) for statement in seen}
    all_rows = [
        statement
        for statement, found in looked.items()
        if any(index in of_all.get(table, ()) for table, index in found)
        # The index of links in memory is made of all.
        and "ORDER BY tconnect_link.person_id" not in statement
    ]
    assert {table for found in looked.values() for table, _ in found} >= FILLED.keys()
    assert all_rows == []


@pytest.mark.parametrize(
    "make_database", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)
def test_the_database_has_looked_at_the_tables_that_a_first_run_filled(filled):
    known = text(
        "SELECT relname, reltuples FROM pg_class "
        "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
    )
    with filled.reading() as session:
        sizes = {name: number for name, number in session.execute(known) if name in FILLED}

    assert sizes == dict.fromkeys(FILLED, PEOPLE)


# --- how statements and results are written -----------------------------------------------------------------


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call in the package, and where it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node


def named(call: ast.Call, *names: str) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in names


def test_results_are_read_in_parts_of_a_size_that_is_given():
    parts = [(at, call) for at, call in calls() if named(call, "partitions")]

    assert parts
    assert [at for at, call in parts if not call.args] == []


def test_options_for_reading_in_parts_are_given_with_the_statement():
    """`execution_options(…)` of a connection changes it for good."""
    wrong = [
        at
        for at, call in calls()
        if named(call, "execution_options")
        and {each.arg for each in call.keywords} & {"yield_per", "stream_results"}
    ]

    assert wrong == []


# --- the watch over all tests sees what it is to see ---------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        select(Account.id).where(Account.id.not_in(select(Link.account_key))),
        select(Account.id).where(~Account.id.in_(select(Link.account_key))),
    ],
)
def test_not_in_a_select_is_refused(client, statement):
    with client.reading() as session, pytest.raises(AssertionError, match="NOT EXISTS"):
        session.execute(statement)


@pytest.mark.parametrize(
    "make_database", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)
def test_a_list_without_a_type_is_refused(client):
    typed = any_(bindparam("keys", [1, 2], type_=ARRAY(AccountKey)))
    with client.reading() as session:
        session.execute(select(Account.id).where(Account.id == typed))
        with pytest.raises(AssertionError, match="without a type"):
            session.execute(text("SELECT id FROM tconnect_account WHERE id = ANY(:keys)"), {"keys": [1, 2]})
        with pytest.raises(AssertionError, match="without a type"):
            session.execute(
                text("SELECT id FROM tconnect_account WHERE id IN :keys").bindparams(
                    bindparam("keys", [1, 2], expanding=True, type_=NullType())
                )
            )


def test_accounts_that_are_made_many_at_once_and_returned_are_refused(client):
    rows = [{"username": f"person{number}"} for number in range(3)]
    with client.unit() as session, pytest.raises(AssertionError, match=r"directory\.bulk"):
        session.execute(insert(Account).returning(Account.id), rows)


def test_options_of_a_connection_are_refused(client):
    with client.reading() as session, pytest.raises(AssertionError, match="give it to execute"):
        session.connection(execution_options={"yield_per": 10})


def test_a_text_in_parts_is_refused(client):
    with client.reading() as session, pytest.raises(AssertionError, match="as a whole"):
        session.execute(text("SELECT 1"), execution_options={"yield_per": 10})
