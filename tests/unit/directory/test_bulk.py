"""Finding many rows by their numbers, or by texts."""

from __future__ import annotations

import gc
import weakref

import pytest
from sqlalchemy import String, TypeDecorator, delete, event, func, select, text, type_coerce, update
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


@pytest.mark.parametrize("text_", ["P1", "O'Neil", 'a "b" \\c', "Łukasz 😀", "", "p1,p2", "{p1}", "NULL"])
def test_rows_are_found_by_texts_as_they_are(session, text_):
    session.execute(update(Account).where(Account.username == "p7").values(username=text_))

    found = among(Account.username, [text_, "P8", "p9", "nobody"])
    assert {*session.scalars(select(Account.username).where(found))} == {text_, "p9"}
    assert count(session, among(Account.username, [])) == 0
    assert count(session, among(func.lower(Account.username, type_=String), ["p8"])) == 1


class Numbered(TypeDecorator):
    """A host's own type: what is p7 in the table is 7 in Python."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value, _dialect):
        return f"p{value}"


def test_values_are_written_as_the_columns_type_writes_them(session):
    assert count(session, among(type_coerce(Account.username, Numbered()), ["7", "9", "x"])) == 2


def test_rows_are_changed_and_deleted_by_keys(session):
    keys = [*session.scalars(select(Account.id))]

    session.execute(update(Account).where(among(Account.id, keys[:10])).values(city="Riga"))
    assert count(session, Account.city == "Riga") == 10
    session.execute(delete(Account).where(among(Account.id, keys[:10]), Account.city == "Riga"))
    assert count(session) == PEOPLE - 10


@pytest.mark.parametrize(("name", "make"), [("id", lambda number: number + 1), ("username", "p{}".format)])
def test_a_condition_is_gone_with_whoever_asked(session, name, make):
    """A sync asks by a thousand values again and again, and does not search for objects that only know each other."""
    column, values = Account.__table__.c[name], [make(number) for number in range(1000)]
    # SQLAlchemy keeps the first one with the statement that it has compiled.
    count(session, among(column, values[:1]))
    gc.disable()
    try:
        condition = among(column, values)
        assert count(session, condition) == 1000
        there = weakref.ref(condition)
        del condition
        assert there() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("column", "values"), [(Account.id, [1, 2]), (Link.person_id, [1, 2]), (Account.username, ["p1", "p2"])]
)
def test_an_index_serves(session, column, values):
    """On a table that was never analysed too: a condition that none serves costs hundreds of times as much."""
    statement = select(column).where(among(column, values))
    connection = session.connection()
    is_sqlite = connection.dialect.name == "sqlite"
    if not is_sqlite:
        # Of a table of a few pages it is right to read all.
        session.execute(text("SET LOCAL enable_seqscan = off"))
    asked: list[tuple[str, object]] = []
    event.listen(
        connection,
        "before_cursor_execute",
        lambda _connection, _cursor, sent, bound, *_: asked.append((sent, bound)),
    )
    session.execute(statement)
    sent, bound = asked[0]
    explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
    plan = connection.exec_driver_sql(f"{explain} {sent}", bound)
    words = "\n".join(str(row[-1]) for row in plan)
    assert "SEARCH tconnect" in words or "Index Cond" in words, words
