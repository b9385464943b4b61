"""What is sent of people, audiences and courses, and to whom."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import event, text
from support import sites
from support.server_site import ClientSites, ServerSite

from tconnect_pyramid.errors import Refused
from tconnect_pyramid.server import lists
from tconnect_pyramid.server.callers import Caller

HASH = "$2y$10$IaZkpfc9pQ.M7Dptra5g9OJ5TkzAIIpGXdrt1H/bDQYjPaVk4Mkqy"


def users(server, client) -> list[dict]:
    return server.call(client, "get_users")["data"]["users"]


def ids(records) -> list[int]:
    return [int(record["id"]) for record in records]


def collections(server, client) -> dict[str, dict[int, list[int]]]:
    data = server.call(client, "get_user_collections")["data"]
    assert list(data) == ["cohort", "course"]
    return {
        kind: {int(record["id"]): ids(record["members"]) for record in records}
        for kind, records in data.items()
    }


def caller(client, **changes) -> Caller:
    values = {
        "id": client.id,
        "idnumber": client.idnumber,
        "state": "active",
        "apiversion": 2,
        "restrict_audience_id": None,
        "sends_passwords": False,
        "sends_profile_fields": True,
        "sends_jobs": True,
        "plugin_services": False,
    }
    return Caller(**{**values, **changes})


def test_everybody_is_sent_lowest_id_first_the_deleted_as_tombstones(server):
    keys = [server.add_person() for _ in range(3)]
    gone = server.add_person("gone", idnumber="G", description="<p>x</p>", password=HASH)
    with server.context.unit() as session:
        server.context.accounts.mark_deleted(session, [gone])
    server.change_person(keys[1], suspended=1)
    client = server.add_client()

    records = users(server, client)

    assert ids(records) == [*keys, gone]
    assert [record["suspended"] for record in records] == ["0", "1", "0", "0"]
    tombstone = records[-1]
    assert tombstone["username"].startswith("deleted_")
    assert (tombstone["deleted"], tombstone["firstname"], tombstone["email"]) == ("1", "Gone", "")
    assert (tombstone["password"], tombstone["description"], tombstone["descriptionformat"]) == (None,) * 3
    assert {"jobs", "profile_fields", "picture", "pictures"}.isdisjoint(tombstone)


def test_lists_of_version_1_know_neither_jobs_nor_fields(server):
    server.add_person()

    (record,) = users(server, server.add_client(apiversion=1))
    (later,) = users(server, server.add_client())

    assert [*record, "profile_fields", "jobs"] == list(later)
    assert (later["profile_fields"], later["jobs"]) == (None, None)


def test_a_site_without_people_sends_an_empty_list(server):
    assert users(server, server.add_client()) == []
    assert collections(server, server.add_client()) == {"cohort": {}, "course": {}}


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        (HASH, HASH),
        (HASH.replace("$2y$", "$2b$"), HASH.replace("$2y$", "$2b$")),
        (HASH.replace("$2y$", "$2a$"), HASH.replace("$2y$", "$2a$")),
        (HASH.replace("$2y$", "$2x$"), None),
        (HASH[:-1], None),
        ("$6$salt$hash", None),
        ("not cached", None),
        ("", None),
        (None, None),
    ],
)
def test_only_hashes_that_a_client_can_check_are_sent_and_only_when_that_is_on(server, stored, sent):
    key = server.add_person(password=stored)
    client = server.add_client()

    before = users(server, client)[0]["password"]
    server.option("server.sync_passwords", "true")

    assert before is None
    assert users(server, client)[0]["password"] == sent
    assert server.call(client, "get_user", userid=str(key))["data"]["user"]["password"] == sent


def test_a_restricted_client_is_sent_its_audience_only(server):
    inside, outside = server.add_person(), server.add_person()
    client = server.add_client(restrict_audience_id=server.add_audience(inside))

    assert ids(users(server, client)) == [inside]
    assert server.call(client, "get_user", userid=str(inside))["data"]["user"]["id"] == str(inside)
    assert server.call(client, "get_user", userid=str(outside)) == {
        "status": "success",
        "data": {"user": None},
    }


def test_nobody_is_sent_when_the_restricting_audience_is_gone(server):
    person = server.add_person()
    audience, course = server.add_audience(person), server.add_course(person)
    restricting = server.add_audience(person)
    client = server.add_client(audiences=[audience], courses=[course], restrict_audience_id=restricting)
    server.drop_audience(restricting)

    assert users(server, client) == []
    assert server.call(client, "get_user", userid=str(person))["data"] == {"user": None}
    assert collections(server, client) == {"cohort": {audience: []}, "course": {course: []}}


def test_members_left_behind_by_an_audience_that_is_gone_are_nobody(make_sqlite):
    """A host's own engine may leave them: SQLite checks foreign keys only where it is told to."""
    url = make_sqlite()
    with sites.context(url, options=[("server.enabled", "true")]) as context:
        server = ServerSite(context, ClientSites())
        person = server.add_person()
        restricting = server.add_audience(person)
        server.add_audience(person)
        client = server.add_client(restrict_audience_id=restricting)
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
            connection.execute("DELETE FROM tconnect_audience WHERE id = ?", (restricting,))

        assert users(server, client) == []


def test_one_person_comes_with_pictures(server):
    key = server.add_person("ångström", picture=7)

    record = server.call(server.add_client(), "get_user", userid=str(key))["data"]["user"]

    assert (record["username"], record["picture"], record["pictures"]) == ("ångström", "0", [])


@pytest.mark.parametrize("userid", ["", "0", "abc", "03", "-1", "1.0", "9" * 30])
def test_a_person_is_asked_for_by_a_number(server, userid):
    assert server.call(server.add_client(), "get_user", userid=userid) == {
        "status": "fail",
        "data": {"if": "missing server user id number"},
    }


def test_the_largest_number_names_nobody(server):
    assert server.call(server.add_client(), "get_user", userid=str(2**63 - 1))["data"] == {"user": None}


def test_a_tombstone_comes_when_asked_for_too(server):
    key = server.add_person(picture=3)
    with server.context.unit() as session:
        server.context.accounts.mark_deleted(session, [key])

    record = server.call(server.add_client(), "get_user", userid=str(key))["data"]["user"]

    assert (record["deleted"], record["picture"], record["pictures"]) == ("1", "0", [])
    assert "jobs" not in record


def test_the_chosen_collections_are_sent_with_their_members(server):
    ann, bob, cid, deleted = (server.add_person() for _ in range(4))
    server.change_person(cid, suspended=1)
    staff, empty = server.add_audience(cid, ann, deleted), server.add_audience()
    server.add_audience(ann, name="Not for this client")
    course = server.add_course(bob, ann, deleted, inactive=(cid,))
    server.add_course(ann)
    server.change_person(deleted, deleted=1)
    client = server.add_client(audiences=[empty, staff], courses=[course])
    server.add_client(audiences=[staff, empty], courses=[course])

    assert collections(server, client) == {
        "cohort": {staff: [ann, cid], empty: []},
        "course": {course: [ann, bob]},
    }


def test_members_are_kept_to_the_restricting_audience(server):
    ann, bob = server.add_person(), server.add_person()
    staff, managers = server.add_audience(ann, bob), server.add_audience(bob)
    course = server.add_course(ann, bob)
    client = server.add_client(audiences=[staff, managers], courses=[course], restrict_audience_id=managers)

    assert collections(server, client) == {
        "cohort": {staff: [bob], managers: [bob]},
        "course": {course: [bob]},
    }


def test_lists_longer_than_a_page_are_whole(server):
    people = [server.add_person() for _ in range(7)]
    audiences = [server.add_audience(*people[: number % 4]) for number in range(7)]
    client = server.add_client(audiences=audiences)

    for page in (1, 2, 7, 8):
        with lists.write_users(server.context, caller(client), page=page) as reply:
            assert ids(json.loads(reply.read())["data"]["users"]) == people
        with lists.write_user_collections(server.context, caller(client), page=page) as reply:
            cohorts = json.loads(reply.read())["data"]["cohort"]
        assert [ids(record["members"]) for record in cohorts] == [people[: number % 4] for number in range(7)]


def test_records_are_separated_by_line_ends(server):
    for _ in range(3):
        server.add_person(description='<p>},\n{"id"</p>')
    client = server.add_client()

    with lists.write_users(server.context, caller(client)) as reply:
        lines = reply.read().split(b",\n")

    assert len(lines) == 3


def test_a_list_over_the_limit_is_refused(server):
    server.add_person()
    client = server.add_client()
    with lists.write_users(server.context, caller(client)) as reply:
        size = len(reply.read())

    lists.write_users(server.context, caller(client), limit=size).close()
    with pytest.raises(Refused, match="larger"):
        lists.write_users(server.context, caller(client), limit=size - 1)


def test_a_large_list_goes_to_the_disk_and_comes_back_whole(server):
    key = server.add_person(description="ü" * 900_000)
    for _ in range(9):
        server.add_person(description="ü" * 900_000)

    records = users(server, server.add_client())

    assert len(records) == 10
    assert records[0]["id"] == str(key)
    assert {len(record["description"]) for record in records} == {900_000}


def test_a_list_shows_one_moment(server):
    first, second = server.add_person(), server.add_person()
    client = server.add_client()
    seen = []

    @event.listens_for(server.context.database.engine, "after_cursor_execute")
    def change_between_pages(connection, cursor, statement, *_):
        if "FROM tconnect_account" in statement and not seen:
            seen.append(statement)
            server.add_person("late")
            server.change_person(second, firstname="Changed")

    with lists.write_users(server.context, caller(client), page=1) as reply:
        records = json.loads(reply.read())["data"]["users"]

    assert seen
    assert ids(records) == [first, second]
    assert records[1]["firstname"] != "Changed"


def test_a_list_in_pieces_costs_few_queries_and_leaves_no_connection(server):
    people = [server.add_person() for _ in range(10)]
    client = server.add_client(
        audiences=[server.add_audience(*people) for _ in range(10)],
        courses=[server.add_course(*people) for _ in range(10)],
        restrict_audience_id=server.add_audience(*people),
    )
    statements = []
    event.listen(
        server.context.database.engine,
        "after_cursor_execute",
        lambda connection, cursor, statement, *_: statements.append(statement),
    )

    with (
        lists.write_users(server.context, caller(client)),
        lists.write_user_collections(server.context, caller(client)),
    ):
        assert server.context.database.engine.pool.checkedout() == 0

    assert len([statement for statement in statements if statement.startswith("SELECT")]) <= 6


def test_a_failure_on_the_way_is_an_ordinary_error(server):
    client = server.add_client()
    with server.context.unit() as session:
        session.execute(text("DROP TABLE tconnect_enrolment"))

    assert server.call(client, "get_user_collections") == {"status": "error", "message": "internal error"}
    assert server.context.database.engine.pool.checkedout() == 0
