"""Long lists a page at a time, by key: the hundredth page of a list costs what its first costs.

An offset would be counted through from the beginning, and would skip or repeat a row when one comes or goes
meanwhile. A page is asked for by the row it begins behind instead.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    SQLColumnExpression,
    String,
    and_,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import Session

PAGE = 25
"""Rows of a page."""
LONGEST_SEARCH = 100
"""Characters that are looked for."""

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which part of a list somebody wants to see.

    `search` is looked for in what the list names; `sort` is one of the names by which it can be put in
    order, with `-` before it the other way round, and empty for its first; `cursor` is the `before` or
    `after` of another page, and empty for the beginning.
    """

    search: str = ""
    sort: str = ""
    cursor: str = ""
    limit: int = PAGE


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list. `before` and `after` are the cursors of its neighbours, empty where there is none.

    `total` is how many rows the whole list has; `sort` the order that was used, as `Asked.sort` writes it.
    """

    rows: Sequence[T]
    before: str
    after: str
    total: int
    sort: str

    def map(self, made: Callable[[Sequence[T]], Sequence[U]]) -> Page[U]:
        """The same part with rows made from these, all at once."""
        return Page(made(self.rows), self.before, self.after, self.total, self.sort)


def page_of(
    session: Session,
    statement: Select[Any],
    asked: Asked,
    *,
    key: SQLColumnExpression[int],
    orders: Mapping[str, SQLColumnExpression[Any]],
    searched: Sequence[SQLColumnExpression[str]] = (),
) -> Page[Row[Any]]:
    """One page of `statement` in two statements, whatever the size of the list; a search may take one.

    `key` is unique. `orders`: what each name of `Asked.sort` sorts by, never NULL; the first is the
    usual order. `searched`: the columns in which one must contain `Asked.search`, without regard to case.
    """
    words = asked.search.replace("\0", "").strip()[:LONGEST_SEARCH]
    if words:
        statement = statement.where(or_(*(column.icontains(words, autoescape=True) for column in searched)))
    counted = select(func.count()).select_from(statement.order_by(None).subquery())
    name = asked.sort.removeprefix("-")
    if name not in orders:
        name = next(iter(orders))
        descending = False
    else:
        descending = asked.sort.startswith("-")
    order: Any = orders[name]
    behind = _read_cursor(asked.cursor, order)
    backwards = behind is not None and behind[0]
    falling = descending != backwards
    if behind is not None:
        _, value, last_key = behind
        here = literal(value, type_=order.type)
        further = order < here if falling else order > here
        same_place = and_(order == here, key < last_key if falling else key > last_key)
        statement = statement.where(or_(further, same_place))
    statement = statement.add_columns(order.label("_order"), key.label("_key"))
    statement = statement.order_by(
        *((order.desc(), key.desc()) if falling else (order.asc(), key.asc()))
    ).limit(asked.limit + 1)
    rows = list(session.execute(statement))
    more = len(rows) > asked.limit
    rows = rows[: asked.limit]
    if backwards:
        rows.reverse()
    has_before = more if backwards else behind is not None
    has_after = True if backwards else more
    # A search reads the whole table: one that finds no more than a page does so once.
    is_all = words and behind is None and not more
    return Page(
        rows,
        before=_cursor(rows[0], backwards=True) if rows and has_before else "",
        after=_cursor(rows[-1], backwards=False) if rows and has_after else "",
        total=len(rows) if is_all else session.scalar(counted) or 0,
        sort=f"-{name}" if descending else name,
    )


def in_any_case(column: SQLColumnExpression[str]) -> ColumnElement[str]:
    """A text as it is sorted: without regard to case, and empty for NULL."""
    return func.lower(func.coalesce(column, ""), type_=String())


def _cursor(row: Row[Any], *, backwards: bool) -> str:
    packed = json.dumps([int(backwards), row._mapping["_order"], row._mapping["_key"]])  # noqa: SLF001 - its public name
    return base64.urlsafe_b64encode(packed.encode()).decode().rstrip("=")


def _read_cursor(cursor: str, order: Any) -> tuple[bool, Any, int] | None:
    """What a cursor says; None for one that is none of this order: an old link shows the beginning."""
    try:
        packed = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        backwards, value, key = packed
    except (ValueError, TypeError, RecursionError):
        return None
    if not _is_whole(key) or type(value) is not order.type.python_type:
        return None
    if isinstance(value, int) and not _is_whole(value):
        return None
    return None if isinstance(value, str) and not _is_text(value) else (bool(backwards), value, key)


def _is_text(value: str) -> bool:
    """Whether a database can be asked for it: JSON can name half a character, and PostgreSQL takes no NUL."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
