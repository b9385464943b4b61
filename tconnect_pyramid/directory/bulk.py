"""Many rows at once: the only place that knows how each database takes, and finds, them fastest.

SQLAlchemy's own way looks up each value's type and makes a dictionary of each row, which costs several times the
insert itself. A host's table, whose types and defaults are the host's, is left to SQLAlchemy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Connection,
    Dialect,
    Integer,
    Table,
    Text,
    TypeDecorator,
    bindparam,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

ROWS = 5000
"""Rows handed to the driver at once."""


class _Many(TypeDecorator[Any]):
    """Values of one type as a single one: an array of PostgreSQL, JSON in SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """What carries them."""
        return ARRAY(self.item) if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """As the database takes it."""
        if dialect.name == "postgresql":
            return value
        # A host's column may have a type of its own, as which PostgreSQL's array writes each value.
        write = self.item.dialect_impl(dialect).bind_processor(dialect)
        return json.dumps(value if write is None else [*map(write, value)])


class among(FunctionElement[bool]):  # noqa: N801 - used as a function
    """The condition that a column has one of these whole numbers or texts, however many: `IN` with a single parameter.

    Each value of an `IN` of SQLAlchemy is a parameter of its own, which is named, rendered and parsed anew in every
    statement: of a thousand that takes longer than finding the rows.
    """

    inherit_cache = True
    # Without a name SQLAlchemy looks for one in a comparator, and the two know each other from then on: a thousand
    # values each time that only the garbage collector would find.
    name = "among"
    type = Boolean()

    def __init__(self, column: Any, values: Iterable[int] | Iterable[str]) -> None:
        # Of small numbers PostgreSQL would make an array of smaller ones, which no index serves.
        item = BigInteger() if isinstance(column.type, Integer) else column.type
        super().__init__(column, bindparam(None, [*values], type_=_Many(item), unique=True))

    def self_group(self, against: Any = None) -> Any:
        """A condition as it is: SQLAlchemy would compare a function's flag with 1 on SQLite, and no index would serve."""
        del against
        return self


@compiles(among, "postgresql")
def _any_of(element: among, compiler: Any, **how: Any) -> str:
    column, ids = element.clauses
    return f"{compiler.process(column, **how)} = ANY ({compiler.process(ids, **how)})"


@compiles(among, "sqlite")
def _each_of(element: among, compiler: Any, **how: Any) -> str:
    column, ids = element.clauses
    return (
        f"{compiler.process(column, **how)} IN (SELECT value FROM json_each({compiler.process(ids, **how)}))"
    )


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
