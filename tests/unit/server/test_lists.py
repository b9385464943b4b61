"""What is sent of people, audiences and courses, and to whom."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import event, text
from support import sites
from support.server_site import ORGANISATIONS, POSITIONS, ClientSites, ServerSite, statements

from tconnect_pyramid.directory.audiences import add_audience
from tconnect_pyramid.directory.courses import add_course
from tconnect_pyramid.directory.hierarchies import HIERARCHIES
from tconnect_pyramid.directory.hierarchy_frameworks import delete_framework
from tconnect_pyramid.errors import Refused
from tconnect_pyramid.models import FormerMember, Picture, PositionValue
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
    assert (later["profile_fields"], later["jobs"]) == ([], [])


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


# --- custom profile fields and jobs ---------------------------------------------------------------


def test_profile_fields_are_sent_as_kept_in_the_order_of_the_site(server):
    ada, bob = server.add_person(), server.add_person()
    last = server.add_field("motto", "textarea", sortorder=3)
    first = server.add_field("agreed", "checkbox", sortorder=1)
    second = server.add_field("joined", "datetime", sortorder=2)
    for field, data in ((last, "<p>ü</p>"), (first, "0"), (second, "1448874000")):
        server.set_value(ada, field, data)

    sent = {record["id"]: record["profile_fields"] for record in users(server, server.add_client())}

    assert sent == {
        str(ada): [
            {"shortname": "agreed", "datatype": "checkbox", "data": "0"},
            {"shortname": "joined", "datatype": "datetime", "data": "1448874000"},
            {"shortname": "motto", "datatype": "textarea", "data": "<p>ü</p>"},
        ],
        str(bob): [],
    }


def test_jobs_are_sent_in_their_order(server):
    framework = server.add_framework(POSITIONS)
    position = server.add_item(POSITIONS, framework)
    organisation = server.add_item(ORGANISATIONS, server.add_framework(ORGANISATIONS))
    ada, bob = server.add_person(), server.add_person()
    second = server.add_job(ada, idnumber="b", sortorder=2)
    first = server.add_job(
        ada,
        idnumber="a",
        sortorder=1,
        fullname="Head",
        description="<p>of all</p>",
        startdate=5,
        position_id=position,
        organisation_id=organisation,
    )
    only = server.add_job(bob, idnumber="a")

    sent = {record["id"]: record["jobs"] for record in users(server, server.add_client())}

    assert [job["id"] for job in sent[str(ada)]] == [str(first), str(second)]
    assert [job["id"] for job in sent[str(bob)]] == [str(only)]
    head, plain = sent[str(ada)]
    assert (head["positionid"], head["organisationid"], head["startdate"]) == (
        str(position),
        str(organisation),
        "5",
    )
    assert (head["fullname"], head["shortname"], head["description"]) == ("Head", None, "<p>of all</p>")
    assert (plain["positionid"], plain["organisationid"], plain["startdate"]) == (None, None, None)


@pytest.mark.parametrize(
    ("switch", "key", "other"),
    [("sends_profile_fields", "profile_fields", "jobs"), ("sends_jobs", "jobs", "profile_fields")],
)
def test_either_is_null_for_a_client_that_is_not_sent_it(server, switch, key, other):
    person = server.add_person()
    server.set_value(person, server.add_field("shirt"), "M")
    server.add_job(person)
    client = server.add_client(**{switch: False})

    (listed,) = users(server, client)
    asked_for = server.call(client, "get_user", userid=str(person))["data"]["user"]
    signed_in = server.call(client, "get_sso_user", ssotoken=server.ssotoken(server.sign_in(person), client))[
        "data"
    ]

    for record in (listed, asked_for, signed_in):
        assert record[key] is None
        assert len(record[other]) == 1


def test_jobs_and_fields_of_many_people_stay_apart_in_pages(server):
    field = server.add_field("shirt")
    people = [server.add_person() for _ in range(7)]
    for key in people[::2]:
        server.set_value(key, field, f"of {key}")
        server.add_job(key, fullname=f"of {key}")
    client = server.add_client()

    for page in (1, 3, 7):
        with lists.write_users(server.context, caller(client), page=page) as reply:
            records = json.loads(reply.read())["data"]["users"]
        assert [
            (
                [field["data"] for field in record["profile_fields"]],
                [job["fullname"] for job in record["jobs"]],
            )
            for record in records
        ] == [([f"of {key}"], [f"of {key}"]) if key in people[::2] else ([], []) for key in people]


# --- pictures -------------------------------------------------------------------------------------

FILES = {"f1.png": b"one", "f2.png": b"two", "f3.jpg": b"three"}


def add_picture(server, key, files) -> None:
    for name, content in files.items():
        server.insert(Picture, account_key=key, name=name, content=content)


def one(server, key, client=None) -> dict:
    return server.call(client or server.add_client(), "get_user", userid=str(key))["data"]["user"]


def test_a_picture_comes_with_its_number_and_its_files(server):
    key = server.add_person(picture=7)
    add_picture(server, key, FILES)
    client = server.add_client()

    asked_for = one(server, key, client)
    signed_in = server.call(client, "get_sso_user", ssotoken=server.ssotoken(server.sign_in(key), client))

    for record in (asked_for, signed_in["data"]):
        assert record["picture"] == "7"
        assert record["pictures"] == {"f1.png": "b25l", "f2.png": "dHdv", "f3.jpg": "dGhyZWU="}
    (listed,) = users(server, client)
    assert {"picture", "pictures"}.isdisjoint(listed)


@pytest.mark.parametrize(("number", "files"), [(7, {}), (0, FILES), (0, {})])
def test_a_number_never_comes_without_files_nor_files_without_a_number(server, number, files):
    key = server.add_person(picture=number)
    add_picture(server, key, files)

    record = one(server, key)

    assert (record["picture"], record["pictures"]) == ("0", [])


def test_a_picture_that_a_deleted_account_still_has_is_not_sent(server):
    key = server.add_person(picture=7, deleted=1)
    add_picture(server, key, FILES)

    record = one(server, key)

    assert (record["picture"], record["pictures"]) == ("0", [])


# --- tombstones for restricted clients ------------------------------------------------------------


def delete(server, *keys) -> None:
    with server.context.unit() as session:
        server.context.accounts.mark_deleted(session, keys)


def test_a_restricted_client_hears_of_the_deletion_of_those_it_knew(server):
    known, unknown, stays, left = (server.add_person() for _ in range(4))
    inside = server.add_audience(known, stays)
    client = server.add_client(restrict_audience_id=inside)
    other = server.add_client(restrict_audience_id=server.add_audience(unknown, left))
    delete(server, known, unknown)

    assert [(record["id"], record["deleted"]) for record in users(server, client)] == [
        (str(known), "1"),
        (str(stays), "0"),
    ]
    assert ids(users(server, other)) == [unknown, left]
    tombstone = one(server, known, client)
    assert (tombstone["deleted"], tombstone["picture"], tombstone["pictures"]) == ("1", "0", [])
    assert {"jobs", "profile_fields"}.isdisjoint(tombstone)
    assert one(server, unknown, client) is None


def test_who_left_the_audience_before_being_deleted_is_not_told_of(server):
    key = server.add_person()
    audience = server.add_audience(key)
    client = server.add_client(restrict_audience_id=audience)
    with server.context.unit() as session:
        session.execute(text("DELETE FROM tconnect_audience_member"))
    delete(server, key)

    assert users(server, client) == []
    assert one(server, key, client) is None


def test_who_was_a_member_once_and_lives_is_not_sent(server):
    """A row that was left behind when the account came back."""
    key = server.add_person()
    audience = server.add_audience()
    server.insert(FormerMember, account_key=key, audience_id=audience)
    client = server.add_client(restrict_audience_id=audience)

    assert users(server, client) == []
    assert one(server, key, client) is None
    assert "result=error" in server.grant(server.sign_in(key), client)


def test_a_former_member_is_sent_once(server):
    key = server.add_person(deleted=1)
    audience = server.add_audience(key)
    server.insert(FormerMember, account_key=key, audience_id=audience)

    assert ids(users(server, server.add_client(restrict_audience_id=audience))) == [key]


def test_no_tombstones_are_sent_when_the_restricting_audience_is_gone(make_sqlite):
    """Even where the database does not follow foreign keys, as a host's SQLite may not."""
    url = make_sqlite()
    with sites.context(url, options=[("server.enabled", "true")]) as context:
        server = ServerSite(context, ClientSites())
        key = server.add_person()
        audience = server.add_audience(key)
        client = server.add_client(restrict_audience_id=audience)
        delete(server, key)
        before = users(server, client)
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
            connection.execute("DELETE FROM tconnect_audience WHERE id = ?", (audience,))

        assert ids(before) == [key]
        assert users(server, client) == []
        assert one(server, key, client) is None


def test_tombstones_of_a_restricted_client_cost_no_more_queries(server):
    people = [server.add_person() for _ in range(6)]
    audience = server.add_audience(*people)
    client = server.add_client(restrict_audience_id=audience)
    delete(server, *people[::2])

    with (
        statements(server.context) as made,
        lists.write_users(server.context, caller(client, restrict_audience_id=audience)) as reply,
    ):
        records = json.loads(reply.read())["data"]["users"]

    assert ids(records) == people
    assert len(made) == 3


# --- the guest ------------------------------------------------------------------------------------


def test_the_guest_is_nobody(server):
    ada, guest = server.add_person(), server.add_person("Guest")
    audience, course = server.add_audience(ada, guest), server.add_course(ada, guest)
    for restriction in (None, audience):
        client = server.add_client(audiences=[audience], courses=[course], restrict_audience_id=restriction)

        assert ids(users(server, client)) == [ada]
        assert one(server, guest, client) is None
        assert collections(server, client) == {"cohort": {audience: [ada]}, "course": {course: [ada]}}
        assert "result=error" in server.grant(server.sign_in(guest), client)


# --- positions and organisations ------------------------------------------------------------------

BOTH = pytest.mark.parametrize("tables", [POSITIONS, ORGANISATIONS], ids=lambda tables: tables.word)


def hierarchy(server, client, tables) -> tuple[list, list]:
    data = server.call(client, tables.service)["data"]
    assert list(data) == ["frameworks", f"{tables.word}s"]
    return tuple(data.values())


def allowing(tables, *ids: int) -> dict:
    return {f"{tables.word}_frameworks": ids}


@BOTH
def test_a_site_without_any_framework_says_null_and_one_with_none_for_this_client_says_none(server, tables):
    client = server.add_client()
    other = ORGANISATIONS if tables is POSITIONS else POSITIONS
    server.add_framework(other)

    assert hierarchy(server, client, tables) == (None, None)
    server.add_item(tables, server.add_framework(tables))
    assert hierarchy(server, client, tables) == ([], [])


@BOTH
def test_a_site_whose_last_framework_is_gone_says_that_it_has_none(server, tables):
    """Null would leave at the client for ever what was sent to it before."""
    client = server.add_client()
    framework = server.add_framework(tables)
    with server.context.unit() as session:
        delete_framework(session, server.context, HIERARCHIES[tables.word], framework)

    assert hierarchy(server, client, tables) == ([], [])


@BOTH
def test_version_1_knows_no_positions(server, tables):
    client = server.add_client(apiversion=1, **allowing(tables, server.add_framework(tables)))

    assert server.call(client, tables.service) == {
        "status": "error",
        "message": f"{tables.service} not available in api version 1",
    }


@BOTH
def test_the_allowed_frameworks_are_sent_in_sort_order_with_their_items_parents_first(server, tables):
    late = server.add_framework(tables, sortorder=2)
    early = server.add_framework(tables, sortorder=1)
    hidden = server.add_framework(tables, sortorder=3)
    server.add_item(tables, hidden)
    second = server.add_item(tables, late, sortthread="02")
    first = server.add_item(tables, late, sortthread="01")
    below_second = server.add_item(tables, late, parent=second, sortthread="02.01")
    below_first_late = server.add_item(tables, late, parent=first, sortthread="01.02")
    below_first = server.add_item(tables, late, parent=first, sortthread="01.01")
    deep = server.add_item(tables, late, parent=below_first, sortthread="01.01.01")
    elsewhere = server.add_item(tables, early, sortthread="01")
    client = server.add_client(**allowing(tables, late, early))
    server.add_client(**allowing(tables, hidden, late))

    frameworks, items = hierarchy(server, client, tables)

    assert ids(frameworks) == [early, late]
    # By depth, then by parent (the second was made first), then by place.
    assert ids(items) == [first, elsewhere, second, below_second, below_first, below_first_late, deep]
    assert [item["parentid"] for item in items] == [
        "0",
        "0",
        "0",
        str(second),
        str(first),
        str(first),
        str(below_first),
    ]
    assert {item["frameworkid"] for item in items} == {str(early), str(late)}
    assert items[-1]["path"] == f"/{first}/{below_first}/{deep}"


@BOTH
def test_items_come_with_their_type_and_its_custom_fields(server, tables):
    framework = server.add_framework(tables)
    grade, fields = server.add_type(tables, "GRADE", band="text", senior="checkbox")
    other, other_fields = server.add_type(tables, "OTHER", band="text")
    typed = server.add_item(tables, framework, type_id=grade)
    bare = server.add_item(tables, framework, type_id=grade)
    plain = server.add_item(tables, framework)
    changed = server.add_item(tables, framework, type_id=other)
    server.insert(tables.value, item_id=typed, field_id=fields["senior"], data="1", value="x")
    server.insert(tables.value, item_id=typed, field_id=fields["band"], data="A", value=None)
    # Left behind by a change of type.
    server.insert(tables.value, item_id=changed, field_id=fields["band"], data="B", value=None)
    server.insert(tables.value, item_id=changed, field_id=other_fields["band"], data="C", value=None)
    client = server.add_client(**allowing(tables, framework))

    _, items = hierarchy(server, client, tables)

    assert [(item["id"], item["typeid"], item["typeidnumber"]) for item in items] == [
        (str(typed), str(grade), "GRADE"),
        (str(bare), str(grade), "GRADE"),
        (str(plain), "0", None),
        (str(changed), str(other), "OTHER"),
    ]
    assert [item["custom_fields"] for item in items] == [
        [
            {"shortname": "band", "datatype": "text", "data": "A", "value": None},
            {"shortname": "senior", "datatype": "checkbox", "data": "1", "value": "x"},
        ],
        [],
        [],
        [{"shortname": "band", "datatype": "text", "data": "C", "value": None}],
    ]


@BOTH
def test_a_hierarchy_costs_the_same_for_any_number_of_items_and_leaves_no_connection(server, tables):
    framework = server.add_framework(tables)
    grade, fields = server.add_type(tables, "GRADE", band="text")
    client = server.add_client(**allowing(tables, framework))
    kind = HIERARCHIES[tables.word]
    numbers = []
    for _ in range(2):
        for _ in range(4):
            item = server.add_item(tables, framework, type_id=grade)
            server.insert(tables.value, item_id=item, field_id=fields["band"], data="A", value=None)
        with statements(server.context) as made, lists.write_hierarchy(server.context, caller(client), kind):
            assert server.context.database.engine.pool.checkedout() == 0
        numbers.append(len(made))

    # Is there any framework; frameworks; items; custom values.
    assert numbers == [4, 4]


def test_a_hierarchy_that_is_read_in_pieces_is_whole(server):
    framework = server.add_framework(POSITIONS)
    grade, fields = server.add_type(POSITIONS, "GRADE", band="text", level="text")
    items = [server.add_item(POSITIONS, framework, type_id=grade) for _ in range(7)]
    for item in items[1::2]:
        for field in fields.values():
            server.insert(PositionValue, item_id=item, field_id=field, data=f"of {item}", value=None)
    client = server.add_client(position_frameworks=[framework])

    for page in (1, 2, 7):
        with lists.write_hierarchy(
            server.context, caller(client), HIERARCHIES["position"], page=page
        ) as reply:
            sent = json.loads(reply.read())["data"]["positions"]
        assert [(int(item["id"]), [field["data"] for field in item["custom_fields"]]) for item in sent] == [
            (item, [f"of {item}"] * 2 if item in items[1::2] else []) for item in items
        ]


def test_a_hierarchy_over_the_limit_is_refused(server):
    framework = server.add_framework(POSITIONS)
    client = server.add_client(position_frameworks=[framework])
    kind = HIERARCHIES["position"]
    with lists.write_hierarchy(server.context, caller(client), kind) as reply:
        size = len(reply.read())

    lists.write_hierarchy(server.context, caller(client), kind, limit=size).close()
    with pytest.raises(Refused, match="larger"):
        lists.write_hierarchy(server.context, caller(client), kind, limit=size - 1)


# --- the limits of a Totara client ----------------------------------------------------------------


def test_what_a_totara_client_cannot_store_is_cut_and_told_once(make_sqlite, caplog):
    """On SQLite, which keeps what is longer than its column says, as a host's own column may be longer."""
    with sites.context(make_sqlite(), options=[("server.enabled", "true")]) as context:
        server = ServerSite(context, ClientSites())
        key = server.add_person(department="d" * 300, idnumber="i" * 300)
        server.add_job(key, shortname="s" * 101)
        audience, course = server.add_audience(name="a" * 255), server.add_course()
        framework = server.add_framework(POSITIONS, fullname="f" * 1025)
        server.add_item(POSITIONS, framework, shortname="p" * 101)
        client = server.add_client(audiences=[audience], courses=[course], position_frameworks=[framework])

        caplog.clear()
        (record,) = users(server, client)
        assert (record["department"], record["idnumber"]) == ("d" * 255, "")
        assert record["jobs"][0]["shortname"] == "s" * 100
        told = [entry.getMessage() for entry in caplog.records]
        assert len(told) == 3
        assert all(text.startswith(f"Sending to the client {client.id}: ") for text in told)
        assert [
            word in "\n".join(told) for word in (f"person {key}: department", "idnumber", "shortname")
        ] == [True] * 3

        caplog.clear()
        data = server.call(client, "get_user_collections")["data"]
        assert data["cohort"][0]["name"] == "a" * 254
        assert [f"audience {audience}: name" in entry.getMessage() for entry in caplog.records] == [True]

        caplog.clear()
        frameworks, items = hierarchy(server, client, POSITIONS)
        assert (len(frameworks[0]["fullname"]), len(items[0]["shortname"])) == (1024, 100)
        assert len(caplog.records) == 2

        caplog.clear()
        one(server, key, client)
        assert len(caplog.records) == 3


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


def test_new_audiences_and_courses_reach_a_client_that_gets_each_new_one(server):
    old = server.add_audience()
    wants = server.add_client(add_new_audiences=True, add_new_courses=True)
    others = server.add_client(audiences=[old])
    with server.context.unit() as session:
        audience = add_audience(session, server.context, name="New").id
        course = add_course(session, server.context, fullname="New").id

    assert collections(server, wants) == {"cohort": {audience: []}, "course": {course: []}}
    assert collections(server, others) == {"cohort": {old: []}, "course": {}}


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

    with (
        statements(server.context) as made,
        lists.write_users(server.context, caller(client)),
        lists.write_user_collections(server.context, caller(client)),
    ):
        assert server.context.database.engine.pool.checkedout() == 0

    # People, with their fields and jobs; audiences, courses and the members of both.
    assert len(made) == 7


def test_a_page_of_people_costs_the_same_however_much_they_have(server):
    client = server.add_client()
    field = server.add_field("shirt")
    numbers = []
    for _ in range(2):
        for _ in range(5):
            key = server.add_person()
            server.set_value(key, field, "M")
            server.add_job(key)
            server.add_job(key, sortorder=2)
        with statements(server.context) as made, lists.write_users(server.context, caller(client)):
            numbers.append(len(made))

    assert numbers == [3, 3]
    with (
        statements(server.context) as made,
        lists.write_users(server.context, caller(client), page=5) as reply,
    ):
        assert len(json.loads(reply.read())["data"]["users"]) == 10
    # The third page is empty.
    assert len(made) == 7


def test_what_is_not_sent_is_not_even_read(server):
    server.add_person()
    client = server.add_client()

    for changes in ({"sends_profile_fields": False, "sends_jobs": False}, {"apiversion": 1}):
        with statements(server.context) as made, lists.write_users(server.context, caller(client, **changes)):
            assert len(made) == 1


def test_a_failure_on_the_way_is_an_ordinary_error(server):
    client = server.add_client()
    with server.context.unit() as session:
        session.execute(text("DROP TABLE tconnect_enrolment"))

    assert server.call(client, "get_user_collections") == {"status": "error", "message": "internal error"}
    assert server.context.database.engine.pool.checkedout() == 0
