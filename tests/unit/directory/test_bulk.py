"""Finding many rows by their numbers."""

from __future__ import annotations

import gc
import weakref

import pytest
from sqlalchemy import delete, event, func, select, text, update
from support import sites

from tconnect_pyramid.directory.bulk import among
from tconnect_pyramid.models import Account, Link

PEOPLE = 3000


@pytest.fixture
def session(make_database):
    with sites.context(make_database()) as context, context.unit() as made:
        context.accounts.insert(made, [{"username": f"p{number}"} for number in range(PEOPLE)])
        yield made


def count(session, *conditions):
    return session.scalar(select(func.count()).select_from(Account).where(*conditions))


def test_rows_are_found_by_any_number_of_keys(session):
    keys = [*session.scalars(select(Account.id))]

    assert count(session, among(Account.id, keys)) == PEOPLE
    assert count(session, among(Account.id, keys[:2]), Account.username == "p1") == 1
    assert count(session, among(Account.id, [2**62, keys[5], -1])) == 1
    assert count(session, among(Account.id, [])) == 0
    assert [*session.scalars(select(Account.id).where(among(Account.id, iter(keys[7:5:-1]))))] == keys[6:8]


def test_rows_are_changed_and_deleted_by_keys(session):
    keys = [*session.scalars(select(Account.id))]

    session.execute(update(Account).where(among(Account.id, keys[:10])).values(city="Riga"))
    assert count(session, Account.city == "Riga") == 10
    session.execute(delete(Account).where(among(Account.id, keys[:10]), Account.city == "Riga"))
    assert count(session) == PEOPLE - 10


def test_a_condition_is_gone_with_whoever_asked(session):
    """A sync asks by a thousand numbers again and again, and does not search for objects that only know each other."""
    column = Account.__table__.c.id
    # SQLAlchemy keeps the first one with the statement that it has compiled.
    count(session, among(column, [1]))
    gc.disable()
    try:
        condition = among(column, range(1, 1001))
        assert count(session, condition) == 1000
        there = weakref.ref(condition)
        del condition
        assert there() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("column", [Account.id, Link.person_id])
def test_an_index_serves(session, column):
    """On a table that was never analysed too: a condition that none serves costs hundreds of times as much."""
    statement = select(column).where(among(column, [1, 2]))
    connection = session.connection()
    is_sqlite = connection.dialect.name == "sqlite"
    if not is_sqlite:
        # Of a table of a few pages it is right to read all.
        session.execute(text("SET LOCAL enable_seqscan = off"))
    asked: list[tuple[str, object]] = []
    event.listen(
        connection,
        "before_cursor_execute",
        lambda _connection, _cursor, sent, values, *_: asked.append((sent, values)),
    )
    session.execute(statement)
    sent, values = asked[0]
    explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
    plan = connection.exec_driver_sql(f"{explain} {sent}", values)
    words = "\n".join(str(row[-1]) for row in plan)
    assert "SEARCH tconnect" in words or "Index Cond" in words, words
