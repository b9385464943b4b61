"""Rows put in bulk are the rows that were given, on each database; their ids were never anybody's."""

from __future__ import annotations

from typing import cast

import pytest
from sqlalchemy import Table, delete, event, select
from sqlalchemy.exc import IntegrityError
from support import sites

from tconnect_pyramid.directory.bulk import new_ids, put
from tconnect_pyramid.models import Account, Audience, Link, Server
from tconnect_pyramid.models.client import Link as LinkRow

ACCOUNT = cast("Table", Account.__table__)
ODD = ["", "\\N", "\\", "a\tb", "a\nb", "a\rb", "a\r\nb", "'", '"', "NULL", "ä€😀", "\\.", "%s", "?", ":x"]


@pytest.fixture
def context(make_database):
    with sites.context(make_database()) as made:
        yield made


def names(session) -> list[str]:
    return [*session.scalars(select(Account.firstname).order_by(Account.id))]


def test_texts_come_back_as_they_were(context):
    with context.unit() as session:
        ids = new_ids(session, ACCOUNT, len(ODD))
        rows = [(id_, f"user{id_}", text) for id_, text in zip(ids, ODD, strict=True)]
        put(session, ACCOUNT, ("id", "username", "firstname"), rows)
    with context.reading() as session:
        assert names(session) == ODD


def test_nothing_flags_and_bytes_come_back_as_they_were(context):
    with context.unit() as session:
        server = Server(
            state="active", name="S", url="http://s.example", idnumber="5" * 40, server_secret=b"",
            client_idnumber="c" * 40, client_secret_hash="", timecreated=1, timemodified=1,
        )  # fmt: skip
        session.add(server)
        session.flush()
        table = cast("Table", LinkRow.__table__)
        columns = ("person_id", "server_id", "account_key", "suspended_by_sync", "digest", "timecreated")
        put(
            session,
            table,
            columns,
            [(1, server.id, 1, True, b"\0\\x\xff", 5), (2, server.id, 2, False, None, 5)],
        )
    with context.reading() as session:
        found = session.execute(select(Link.suspended_by_sync, Link.digest).order_by(Link.person_id)).all()
    assert found == [(True, b"\0\\x\xff"), (False, None)]


def test_more_rows_than_go_at_once(context):
    with context.unit() as session:
        ids = new_ids(session, ACCOUNT, 12_000)
        put(session, ACCOUNT, ("id", "username"), ((id_, f"user{id_}") for id_ in ids))
    with context.reading() as session:
        assert len(names(session)) == 12_000


def test_no_rows_are_no_statement(context):
    with context.unit() as session:
        session.connection()
        seen = []
        event.listen(context.database.engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
        put(session, ACCOUNT, ("id", "username"), [])
        assert seen == []


def test_the_id_of_a_removed_row_is_given_to_nobody(context):
    with context.unit() as session:
        ids = [*new_ids(session, ACCOUNT, 3)]
        put(session, ACCOUNT, ("id", "username"), [(id_, f"user{id_}") for id_ in ids])
        session.execute(delete(Account))
    with context.unit() as session:
        (made,) = new_ids(session, ACCOUNT, 1)
        put(session, ACCOUNT, ("id", "username"), [(made, "next")])
        session.add(
            Audience(name="A", idnumber="", description="", component="", timecreated=1, timemodified=1)
        )
        later = Account(username="later")
        session.add(later)
        session.flush()
    assert len({*ids, made, later.id}) == 5
    assert made > max(ids)


def test_what_the_database_refuses_is_told_as_sqlalchemy_tells_it(context):
    with context.unit() as session:
        put(session, ACCOUNT, ("id", "username"), [(1, "anna")])
    with pytest.raises(IntegrityError), context.unit() as session:
        put(session, ACCOUNT, ("id", "username"), [(2, "anna")])
