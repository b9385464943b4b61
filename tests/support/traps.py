"""What costs nothing with few rows and everything with a hundred thousand: no test may send such a thing to a database.

Each was measured to be 15 to 250 times slower than what is done instead. A list of ten people shows none of it, so
that it is refused by its shape, in whatever test it comes up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, TextClause, event

# Beyond the memory for sorting PostgreSQL goes through the inner list for each row. NOT EXISTS is a join.
_NOT_IN = re.compile(r"\bNOT\s+IN\s*\(\s*SELECT\b", re.IGNORECASE)
# psycopg sends small numbers as smallint, which no index on a bigint is asked for; `::BIGINT` says what they are.
_UNTYPED = re.compile(r"\b(?:ANY|ALL|IN)\s*\(\s*%(?:\(\w+\))?[sbt](?!::)", re.IGNORECASE)
# Fifty columns by a thousand rows, every value by its name: the slowest way to put people into a table.
_ROWS_RETURNED = re.compile(
    r"\bINSERT\s+INTO\s+tconnect_account\b.*\)\s*,\s*\(.*\bRETURNING\b", re.IGNORECASE | re.DOTALL
)
_PIECEMEAL = ("yield_per", "stream_results")


@contextmanager
def refused() -> Iterator[None]:
    """While the block runs, whatever falls into one of the traps is an AssertionError, on every engine."""
    listeners = {
        "before_cursor_execute": _statement,
        "before_execute": _text,
        "set_connection_execution_options": _options,
    }
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    try:
        yield
    finally:
        for name, listener in listeners.items():
            event.remove(Engine, name, listener)


def _statement(_connection, _cursor, statement, *_):
    assert not _NOT_IN.search(statement), f"NOT IN (SELECT …), use NOT EXISTS: {statement:.300}"
    # What SQLAlchemy asks about the tables themselves, as migrations are checked, is its own.
    assert "pg_catalog" in statement or not _UNTYPED.search(statement), (
        f"a list of values without a type: {statement:.300}"
    )
    assert not _ROWS_RETURNED.search(statement), f"rows with RETURNING, use directory.bulk: {statement:.300}"


def _text(_connection, clause, _multiparams, _params, execution_options):
    asked = execution_options.get("yield_per")
    assert not (asked and isinstance(clause, TextClause)), (
        f"a text with yield_per is read as a whole: {clause}"
    )


def _options(_connection, options):
    asked = options.keys() & set(_PIECEMEAL)
    assert not asked, f"{asked} on a connection changes the statements after it; give it to execute()"
