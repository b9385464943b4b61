"""Empty databases for tests: an SQLite file, or a PostgreSQL schema of its own; both migrated."""

from __future__ import annotations

import atexit
import os
import shutil
import sqlite3
import tempfile
import uuid
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import Engine, Select, Table, create_engine, make_url, select, text

from tconnect_pyramid import schema, sqlite
from tconnect_pyramid.context import IDNUMBER
from tconnect_pyramid.models import Base
from tconnect_pyramid.secretbox import new_token

POSTGRESQL = "TCONNECT_TEST_POSTGRESQL"


def missing(what: str) -> None:
    """Skip because `what` is missing; where services are demanded, fail instead."""
    if os.environ.get("TCONNECT_TEST_DEMAND"):
        pytest.fail(f"missing here, but demanded by TCONNECT_TEST_DEMAND: {what}")
    pytest.skip(f"missing here: {what}")


def migrate(url: str) -> None:
    """Make our tables."""
    engine = create_engine(url)
    sqlite.configure(engine)
    with engine.begin() as connection:
        schema.upgrade(connection)
    engine.dispose()


def own_identity(table: str) -> str:
    """The statement that gives a site an identity of its own: a copy must not have that of the original."""
    return (
        f"INSERT INTO {table} (name, value) VALUES ('{IDNUMBER}', '{new_token()}') "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    )


@cache
def sqlite_template() -> Path:
    """A migrated SQLite file, made once; a copy of it is quicker than migrating again."""
    path = Path(tempfile.mkdtemp(prefix="tconnect-tests-")) / "template.sqlite"
    migrate(f"sqlite:///{path}")
    return path


def copy_sqlite(path: Path) -> None:
    """Make an empty, migrated SQLite database."""
    shutil.copy(sqlite_template(), path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(own_identity("tconnect_site_value"))


class Schemas:
    """Schemas of PostgreSQL, made as tests need them and used again: making one takes half a second."""

    def __init__(self, base: str) -> None:
        self.base = base
        # One connection for all of it: a new one for each step took longer than the steps.
        self.engine = create_engine(base, pool_size=1, max_overflow=0)
        self.free: list[str] = []
        self.made: list[str] = []
        self.columns = ""

    def url(self, name: str) -> str:
        url = make_url(self.base).update_query_dict({"options": f"-csearch_path={name}"})
        return url.render_as_string(hide_password=False)

    def take(self) -> str:
        """An empty, migrated schema's name."""
        name = self.free.pop() if self.free else self._make()
        with self.engine.begin() as connection:
            connection.execute(text(own_identity(f"{name}.tconnect_site_value")))
        return name

    def _make(self) -> str:
        name = f"t{uuid.uuid4().hex[:12]}"
        with self.engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {name}"))
        self.made.append(name)
        migrate(self.url(name))
        self.columns = self.columns or self._columns(name)
        return name

    def give_back(self, name: str) -> None:
        """Empty a schema for the next test; one whose tables were changed is removed."""
        if self._columns(name) != self.columns:
            self._drop(name)
            return
        tables = reversed(Base.metadata.sorted_tables)
        with self.engine.begin() as connection:
            connection.execute(text("; ".join(f"DELETE FROM {name}.{table.name}" for table in tables)))
            connection.execute(
                text(
                    "SELECT setval(quote_ident(:n) || '.' || sequencename, 1, false) FROM pg_sequences "
                    "WHERE schemaname = :n"
                ),
                {"n": name},
            ).all()
        self.free.append(name)

    def drop_all(self) -> None:
        for name in list(self.made):
            self._drop(name)
        self.engine.dispose()

    def _drop(self, name: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
        self.made.remove(name)

    def _columns(self, name: str) -> str:
        # Of the catalogue itself: the information schema is ten times as slow.
        with self.engine.begin() as connection:
            rows = connection.execute(
                text(
                    "SELECT c.relname, a.attname FROM pg_catalog.pg_attribute a "
                    "JOIN pg_catalog.pg_class c ON c.oid = a.attrelid "
                    "WHERE c.relnamespace = to_regnamespace(:n) AND c.relkind IN ('r', 'v', 'p') "
                    "AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2"
                ),
                {"n": name},
            )
            return str([tuple(row) for row in rows])


class Snapshot:
    """All rows of a database of ours, and where its counters stand, to be had back quickly and often."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        with engine.begin() as connection:
            self._rows = {
                table: [dict(row) for row in connection.execute(_parents_first(table)).mappings()]
                for table in Base.metadata.sorted_tables
            }
            self._counters = [dict(row) for row in connection.execute(text(self._read)).mappings()]

    def restore(self) -> None:
        """Make the database what it was."""
        with self.engine.begin() as connection:
            for table in reversed(Base.metadata.sorted_tables):
                connection.execute(table.delete())
            for table, rows in self._rows.items():
                if rows:
                    connection.execute(table.insert(), rows)
            if self.engine.dialect.name == "sqlite":
                connection.execute(text("DELETE FROM sqlite_sequence"))
            for counter in self._counters:
                connection.execute(text(self._write), counter)

    def restore_counters(self, *, but: str) -> None:
        """Let the counters of PostgreSQL stand where they did, which do not go back with a transaction.

        That of the table `but`, which has more rows by now, is left alone.
        """
        if self.engine.dialect.name == "postgresql":
            with self.engine.begin() as connection:
                for counter in self._counters:
                    if but not in counter["name"]:
                        connection.execute(text(self._write), counter)

    @property
    def _read(self) -> str:
        if self.engine.dialect.name == "sqlite":
            return "SELECT name, seq FROM sqlite_sequence"
        return (
            "SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename) AS name, last_value AS seq "
            "FROM pg_sequences WHERE schemaname = current_schema()"
        )

    @property
    def _write(self) -> str:
        if self.engine.dialect.name == "sqlite":
            return "INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)"
        return "SELECT setval(:name, coalesce(:seq, 1), CAST(:seq AS bigint) IS NOT NULL)"


def _parents_first(table: Table) -> Select:
    """All rows of a table, so that they can be put back one by one: PostgreSQL gives them as they happen to lie."""
    return select(table).order_by(*(column for column in table.c if column.key == "depthlevel"))


@cache
def schemas(base: str) -> Schemas:
    """The schemas of this process of the tests, removed at its end."""
    made = Schemas(base)
    atexit.register(made.drop_all)
    return made


@contextmanager
def maker(kind: str, folder: Path):
    """Gives a function that makes one more database and returns its URL."""
    taken = []
    base = os.environ.get(POSTGRESQL)
    if kind == "postgresql" and not base:
        missing(f"PostgreSQL (set {POSTGRESQL} to the SQLAlchemy URL of a database)")

    def make() -> str:
        if kind == "sqlite":
            path = folder / f"{uuid.uuid4().hex[:12]}.sqlite"
            copy_sqlite(path)
            return f"sqlite:///{path}"
        taken.append(schemas(base).take())
        return schemas(base).url(taken[-1])

    try:
        yield make
    finally:
        for name in taken:
            schemas(base).give_back(name)
