"""Many rows at once into tables of ours: the only place that knows how each database takes them fastest.

SQLAlchemy's own way looks up each value's type and makes a dictionary of each row, which costs several times the
insert itself. A host's table, whose types and defaults are the host's, is left to SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Any

from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

ROWS = 5000
"""Rows handed to the driver at once."""


def put(session: Session, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows, the values of each in the order of `columns`, which are names of the table's columns.

    Values go to the driver as they are: numbers, texts, bytes, flags, None. Columns that are not named get the
    database's default, not SQLAlchemy's: name every one that needs a value.
    """
    left = iter(rows)
    first = next(left, None)
    if first is None:
        return
    left = chain((first,), left)
    connection = session.connection()
    preparer = connection.dialect.identifier_preparer
    target = f"{preparer.format_table(table)} ({', '.join(map(preparer.quote, columns))})"
    if connection.dialect.name == "postgresql":
        _copy(connection, f"COPY {target} FROM STDIN", left)
        return
    statement = f"INSERT INTO {target} VALUES ({', '.join('?' * len(columns))})"
    while some := [tuple(row) for row in islice(left, ROWS)]:
        connection.exec_driver_sql(statement, some)


def know_size(session: Session, tables: Iterable[Table]) -> None:
    """Let the database look at tables that were just filled: until it does, it takes them for nearly empty."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        names = map(connection.dialect.identifier_preparer.format_table, tables)
        connection.exec_driver_sql(f"ANALYZE {', '.join(names)}")


def _copy(connection: Connection, statement: str, rows: Iterable[Sequence[Any]]) -> None:
    driver: Any = connection.connection
    errors: Any = connection.dialect.loaded_dbapi
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except errors.Error as error:
        # As SQLAlchemy raises them for what goes through its own hands.
        raise DBAPIError.instance(statement, (), error, errors.Error, dialect=connection.dialect) from error


def new_ids(session: Session, table: Table, number: int) -> Sequence[int]:
    """Ids for rows that are about to be put, none of which any row has ever had; the key is the column `id`."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        sequence = connection.scalar(
            text("SELECT pg_get_serial_sequence(:name, 'id')"),
            {"name": connection.dialect.identifier_preparer.format_table(table)},
        )
        statement = text("SELECT nextval(CAST(:sequence AS regclass)) FROM generate_series(1, :number)")
        return connection.scalars(statement, {"sequence": sequence, "number": number}).all()
    # A row with a given id moves SQLite's own count along; the transaction keeps every other writer out.
    last = connection.scalar(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": table.name})
    return range((last or 0) + 1, (last or 0) + 1 + number)
