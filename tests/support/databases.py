"""Empty databases for tests: an SQLite file, or a PostgreSQL schema of its own; both migrated."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, make_url, text

from tconnect_pyramid import schema, sqlite
from tconnect_pyramid.context import make_idnumber
from tconnect_pyramid.database import Database

POSTGRESQL = "TCONNECT_TEST_POSTGRESQL"


def missing(what: str) -> None:
    """Skip because `what` is missing; where services are demanded, fail instead."""
    if os.environ.get("TCONNECT_TEST_DEMAND"):
        pytest.fail(f"missing here, but demanded by TCONNECT_TEST_DEMAND: {what}")
    pytest.skip(f"missing here: {what}")


def migrate(url: str) -> None:
    """Make our tables and the site's identity."""
    engine = create_engine(url)
    sqlite.configure(engine)
    with engine.begin() as connection:
        schema.upgrade(connection)
    with Database(engine).unit() as session:
        make_idnumber(session)
    engine.dispose()


@cache
def sqlite_template() -> Path:
    """A migrated SQLite file, made once; a copy of it is quicker than migrating again."""
    path = Path(tempfile.mkdtemp(prefix="tconnect-tests-")) / "template.sqlite"
    migrate(f"sqlite:///{path}")
    return path


_scripts: dict[str, str] = {}


def postgresql_script(url: str) -> str:
    """What the migrations say to PostgreSQL, recorded once in a schema of its own: playing it is quicker."""
    if "all" not in _scripts:
        engine = create_engine(url)
        said = []
        event.listen(
            engine, "before_cursor_execute", lambda *args: said.append(args[2] % args[3] if args[3] else args[2])
        )
        with engine.begin() as connection:
            schema.upgrade(connection)
            connection.rollback()
        engine.dispose()
        _scripts["all"] = ";\n".join(statement for statement in said if not statement.startswith("SELECT"))
    return _scripts["all"]


@contextmanager
def maker(kind: str, folder: Path):
    """Gives a function that makes one more database and returns its URL."""
    made = []
    base = os.environ.get(POSTGRESQL)
    if kind == "postgresql" and not base:
        missing(f"PostgreSQL (set {POSTGRESQL} to the SQLAlchemy URL of a database)")

    def make() -> str:
        name = f"t{uuid.uuid4().hex[:12]}"
        if kind == "sqlite":
            path = folder / f"{name}.sqlite"
            shutil.copy(sqlite_template(), path)
            url = f"sqlite:///{path}"
            with_own_identity(url)
            return url
        engine = create_engine(base)
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {name}"))
        engine.dispose()
        made.append(name)
        url = make_url(base).update_query_dict({"options": f"-csearch_path={name}"})
        rendered = url.render_as_string(hide_password=False)
        with_own_identity(rendered, postgresql_script(rendered))
        return rendered

    try:
        yield make
    finally:
        if made:
            engine = create_engine(base)
            with engine.begin() as connection:
                for name in made:
                    connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
            engine.dispose()


def with_own_identity(url: str, script: str = "") -> None:
    """Play `script`, and give the site an identity of its own: a copy must not have that of the original."""
    engine = create_engine(url)
    sqlite.configure(engine)
    with Database(engine).unit() as session:
        if script:
            session.connection().exec_driver_sql(script)
        session.execute(text("DELETE FROM tconnect_site_value WHERE name = 'serveridnumber'"))
        make_idnumber(session)
    engine.dispose()
