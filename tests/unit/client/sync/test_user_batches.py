"""The users sync works in sets: how many people are in a list does not change how many statements it takes."""

from __future__ import annotations

from sqlalchemy import event
from support.lists import field, job, person, tombstone

from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory import profiles
from tconnect_pyramid.options import set_option
from tconnect_pyramid.protocol import stream


def statements(client, server_id) -> list[str]:
    seen = []

    def note(connection, cursor, statement, parameters, context, executemany):
        # How many values are listed is no concern of a database that plans statements.
        seen.append(statement.split("(")[0])

    event.listen(client.database.engine, "before_cursor_execute", note)
    try:
        assert run_sync(client, "users", server_id).state == "done"
    finally:
        event.remove(client.database.engine, "before_cursor_execute", note)
    return seen


def before(group: int) -> list[dict]:
    base = group * 100
    return [
        person(base + 1, jobs=[job(base + 1, "A"), job(base + 2, "B")], profile_fields=[field("shirt", "M")]),
        person(base + 2, idnumber=f"X{group}"),
        person(base + 3, idnumber=f"Y{group}"),
        tombstone(base + 4),
        person(base + 5, jobs=[job(base + 5, "A")], profile_fields=[field("shirt", "M")]),
        person(base + 6),
        person(base + 7, suspended="1"),
    ]


def deleted(group: int) -> list[dict]:
    return [*before(group)[:5], tombstone(group * 100 + 6), *before(group)[6:]]


def after(group: int) -> list[dict]:
    base = group * 100
    return [
        person(
            base + 1,
            jobs=[job(base + 1, "B"), job(base + 2, "A"), job(base + 3, "C")],
            profile_fields=[field("shirt", "L")],
        ),
        person(base + 2, idnumber=f"Y{group}", lastname="New"),
        person(base + 3, idnumber=f"X{group}"),
        person(base + 4, jobs=[job(base + 4, "A")], profile_fields=[field("shirt", "S")]),
        tombstone(base + 5),
        person(base + 6, jobs=[job(base + 5, "A")]),
        person(base + 7),
        person(base + 8, username=f"local{group}"),
    ]


def run_groups(client, server, server_id, groups) -> list[str]:
    with client.unit() as session:
        client.accounts.insert(session, [{"username": f"local{group}", "email": ""} for group in groups])
    rest = server.people
    for listed in (before, deleted):
        server.people = rest + [record for group in groups for record in listed(group)]
        run_sync(client, "users", server_id)
    server.people = rest + [record for group in groups for record in after(group)]
    return statements(client, server_id)


def test_a_run_takes_as_many_statements_for_few_people_as_for_many(client, server, server_id, monkeypatch):
    # All of them in one part of the reply, as all are in one batch.
    monkeypatch.setattr(stream, "PIECE", 2**24)
    with client.unit() as session:
        profiles.add_field(session, client, "shirt", datatype="text")
        for name in ("migrate_accounts", "sync_idnumber"):
            set_option(session, client.settings, f"client.{name}", "true", client.clock())
        # Many of them are deleted at once, which is not what this is about.
        set_option(session, client.settings, "guard.people", "1000 100", client.clock())

    few = run_groups(client, server, server_id, range(1, 3))
    many = run_groups(client, server, server_id, range(3, 40))

    assert sorted(few) == sorted(many)
