"""Which statements are sent to a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, event


@contextmanager
def listening(where: Engine | Connection, *, without: Iterable[str] = ()) -> Iterator[list[str]]:
    """The statements of the block in their order, but for those with one of the texts `without`."""
    heard: list[str] = []
    left_out = tuple(without)

    def note(_connection, _cursor, statement, *_):
        if not any(each in statement for each in left_out):
            heard.append(statement)

    event.listen(where, "before_cursor_execute", note)
    try:
        yield heard
    finally:
        event.remove(where, "before_cursor_execute", note)
