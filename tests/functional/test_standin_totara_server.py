"""A stand-in for the recorded Totara server: it answers as that one did, and only to exactly the recorded calls."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest
from sqlalchemy import select
from support import lists, sites
from support.wsgi_transport import WsgiTransport

from tconnect_pyramid.client.sync.engine import KINDS, run_sync
from tconnect_pyramid.directory import hierarchy_frameworks, hierarchy_items, hierarchy_types
from tconnect_pyramid.directory.hierarchies import ORGANISATIONS, POSITIONS
from tconnect_pyramid.models import Account, Audience, AudienceMember, Link

CONTENT_TYPE = "application/x-www-form-urlencoded"
RECORDED = lists.recording("get_users")["form"]
SERVER = RECORDED["serveridnumber"]


class StandIn:
    """The recorded server as a WSGI application below a path of its site. `refused` says what it did not accept."""

    def __init__(self, *recordings: str) -> None:
        self.play(*recordings)
        self.refused: list[str] = []
        self.calls = 0
        self.altered = bytes

    def play(self, *recordings: str) -> None:
        """Answer from these recordings from now on, and from those of positions and organisations."""
        played = (*recordings, "get_positions", "get_organisations")
        self.exchanges = [lists.recording(name) for name in played]

    def __call__(self, environ, start_response):
        self.calls += 1
        form = parse_qsl(
            environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
        )
        exchange = self.matching(environ, form)
        if exchange is None:
            self.refused.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {form}")
            answer = {"status": "error", "message": "not a call of the recording"}
        else:
            answer = exchange["response"]
        body = self.altered(json.dumps(answer).encode())
        start_response("200 OK", [("Content-Type", "application/json; charset=utf-8")])
        return [body]

    def matching(self, environ, form):
        for exchange in self.exchanges:
            if (
                environ["REQUEST_METHOD"] == exchange["method"]
                and environ["PATH_INFO"] == exchange["path"]
                and environ["QUERY_STRING"] == ""
                and environ["CONTENT_TYPE"] == CONTENT_TYPE
                and form == list(exchange["form"].items())
            ):
                return exchange
        return None


@pytest.fixture
def totara():
    return StandIn("get_users", "get_user_collections")


@pytest.fixture
def client(make_database, totara):
    transport = WsgiTransport({lists.SERVER_URL: totara})
    with sites.context(make_database(), transport=transport, options=[("client.enabled", "true")]) as context:
        # No call may be made while the site holds a transaction.
        transport._check_idle = context.database.assert_idle
        yield context


@pytest.fixture
def server_id(client):
    return lists.connect(client, idnumber=SERVER, secret=RECORDED["serversecret"])


def sync_all(client, server_id):
    return [run_sync(client, kind, server_id) for kind in KINDS]


def expected_people(*recordings):
    """What the client should have of everybody in the recordings who is not deleted."""
    return {
        int(user["id"]): (
            f"tc_{user['id']}_{SERVER}",
            user["firstname"],
            user["lastname"],
            user["email"],
            user["city"],
            user["country"],
            user["phone1"],
            user["password"],
            int(user["suspended"]),
        )
        for name in recordings
        for user in lists.recording(name)["response"]["data"]["users"]
        if user["deleted"] == "0"
    }


def people_of(client):
    columns = (
        Account.username,
        Account.firstname,
        Account.lastname,
        Account.email,
        Account.city,
        Account.country,
        Account.phone1,
        Account.password,
        Account.suspended,
    )
    with client.reading() as session:
        rows = session.execute(
            select(Link.person_id, *columns).join(Account, Account.id == Link.account_key)
        ).all()
    return {row[0]: tuple(row[1:]) for row in rows}


def expected_collections(recording):
    data = lists.recording(recording)["response"]["data"]
    return {
        f"tc_{kind}_{it['id']}_{SERVER}": (
            it[name],
            it[text],
            frozenset(int(member["id"]) for member in it["members"]),
        )
        for kind, name, text in (("cohort", "name", "description"), ("course", "fullname", "summary"))
        for it in data[kind]
    }


def collections_of(client):
    with client.reading() as session:
        found = {}
        for audience in session.scalars(select(Audience)):
            members = session.scalars(
                select(Link.person_id)
                .join(AudienceMember, AudienceMember.account_key == Link.account_key)
                .where(AudienceMember.audience_id == audience.id)
            )
            found[audience.idnumber] = (audience.name, audience.description, frozenset(members))
        return found


def test_the_client_has_exactly_the_recorded_people_and_collections(client, totara, server_id):
    reports = sync_all(client, server_id)

    assert [report.state for report in reports] == ["done"] * len(KINDS)
    assert totara.refused == []
    assert people_of(client) == expected_people("get_users")
    assert {row[2] for row in people_of(client).values()} >= {"Ångström", "Müller", "李", "Ωmega", "O'Brien"}
    assert collections_of(client) == expected_collections("get_user_collections")
    with client.reading() as session:
        assert set(session.scalars(select(Account.auth))) == {"connect"}
        assert set(session.scalars(select(Audience.component))) == {"auth_connect"}


def test_the_client_has_the_recorded_positions_and_organisations(client, server_id):
    with client.unit() as session:
        kept = hierarchy_types.add_type(session, client, POSITIONS, fullname="Grade", idnumber="PT1")
        hierarchy_types.add_type_field(
            session, client, POSITIONS, kept.id, shortname="payband", name="Pay band", datatype="text"
        )

    sync_all(client, server_id)

    with client.reading() as session:
        positions = hierarchy_items.list_items(session, POSITIONS)
        organisations = hierarchy_items.list_items(session, ORGANISATIONS)
        frameworks = [
            hierarchy_frameworks.list_frameworks(session, hierarchy)
            for hierarchy in (POSITIONS, ORGANISATIONS)
        ]
    ceo, manager, engineer = positions
    assert [it.fullname for it in positions] == ["CEO", "Manager", "Engineer"]
    assert (ceo.server, ceo.remote_id, ceo.idnumber, ceo.shortname) == (SERVER, 1, "X-CEO", "CEO")
    assert [it.path for it in positions] == [
        f"/{ceo.id}",
        f"/{ceo.id}/{manager.id}",
        f"/{ceo.id}/{manager.id}/{engineer.id}",
    ]
    assert [it.sortthread for it in positions] == ["01", "01.01", "01.01.01"]
    assert [(it.type, it.fields) for it in positions] == [
        ("PT1", {"payband": "Band A"}),
        ("PT1", {}),
        (None, {}),
    ]
    assert [(it.fullname, it.idnumber, it.depth) for it in organisations] == [
        ("Head office", "X-Head office", 1),
        ("Engineering", "X-Engineering", 2),
    ]
    assert [[(it.fullname, it.idnumber, it.server) for it in some] for some in frameworks] == [
        [("Position framework 1", "PF1", SERVER)],
        [("Organisation framework 1", "OF1", SERVER)],
    ]


def test_a_second_sync_changes_nothing_at_all(client, server_id):
    sync_all(client, server_id)
    before = lists.dump(client)
    client.clock.tick(3600)

    reports = sync_all(client, server_id)

    assert lists.dump(client) == before
    assert [lists.nonzero(report.counts) for report in reports] == [
        {"unchanged": 4},
        {"unchanged": 3},
        {"unchanged": 6},
        {"unchanged": 3},
    ]


def test_the_edges_of_the_recorded_site(client, totara, server_id):
    totara.play("get_users.edge", "get_user_collections")

    sync_all(client, server_id)

    assert people_of(client) == expected_people("get_users.edge")
    with client.reading() as session:
        by_name = {row.firstname: row for row in session.scalars(select(Account))}
    assert by_name["Frank"].suspended == 1
    assert by_name["Grace"].confirmed == 1
    assert by_name["Heidi"].description == '<p>ok <img src="x" alt="x"></p>'
    assert "Ivan" not in by_name
    before = lists.dump(client)
    sync_all(client, server_id)
    assert lists.dump(client) == before


def test_who_leaves_the_restricting_audience_is_suspended_and_returns(client, totara, server_id):
    sync_all(client, server_id)
    totara.play("get_users.restricted", "get_user_collections.restricted")

    _, _, people, collections = sync_all(client, server_id)

    assert lists.nonzero(people.counts) == {"suspended": 4, "unchanged": 2}
    assert {person: row[-1] for person, row in people_of(client).items()} == {
        2: 1,
        3: 0,
        4: 1,
        5: 0,
        6: 1,
        7: 1,
    }
    assert lists.nonzero(collections.counts) == {"updated": 2, "unchanged": 1, "removed": 4}
    assert collections_of(client) == expected_collections("get_user_collections.restricted")

    totara.play("get_users", "get_user_collections")
    sync_all(client, server_id)
    assert people_of(client) == expected_people("get_users")
    assert collections_of(client) == expected_collections("get_user_collections")


def test_an_audience_keeps_its_id_while_the_recorded_site_changes(client, totara, server_id):
    sync_all(client, server_id)
    with client.reading() as session:
        before = dict(session.execute(select(Audience.idnumber, Audience.id)).all())
    totara.play("get_users", "get_user_collections.restricted")
    sync_all(client, server_id)

    with client.reading() as session:
        assert dict(session.execute(select(Audience.idnumber, Audience.id)).all()) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_with_another_secret_is_refused_and_changes_nothing(client, totara, kind):
    server_id = lists.connect(client, idnumber=SERVER, secret="0" * 40)

    report = run_sync(client, kind, server_id)

    assert report.state == "failed"
    assert "not a call of the recording" in report.message
    assert len(totara.refused) == 1
    assert people_of(client) == {}


ALTERED = {
    "cut in the middle": lambda body: body[: len(body) // 2],
    "HTML instead": lambda body: b"<html><body>Service unavailable</body></html>",
    "an empty object": lambda body: b"{}",
    "a list": lambda body: b"[1, 2, 3]",
    "objects for lists": lambda body: (
        b'{"status":"success","data":{"users":{"0":{}},"cohort":{"0":{}},"course":{},'
        b'"frameworks":{"0":{}},"positions":{},"organisations":{}}}'
    ),
    "numbers for lists": lambda body: (
        b'{"status":"success","data":{"users":1,"cohort":2,"course":3,'
        b'"frameworks":4,"positions":5,"organisations":6}}'
    ),
    "deep nesting": lambda body: b'{"status":"success","data":' + b'{"users":[' * 50_000,
    "invalid UTF-8": lambda body: body.replace(b'"id"', b'"\xff\xfe"'),
    "no list": lambda body: b'{"status":"success","data":{"other":[]}}',
    "null for lists": lambda body: b'{"status":"success","data":{"users":null,"cohort":null,"course":null}}',
}


@pytest.mark.parametrize("how", ALTERED)
def test_a_reply_that_is_no_good_is_a_failed_run_that_says_why(client, totara, server_id, how):
    sync_all(client, server_id)
    before = lists.dump(client)
    totara.altered = ALTERED[how]

    reports = sync_all(client, server_id)

    assert [report.state for report in reports] == ["failed"] * len(KINDS)
    assert all("the reply" in report.message or "POST" in report.message for report in reports)
    assert lists.dump(client) == before


def test_a_huge_text_and_nul_bytes_spoil_only_their_own_record(client, totara, server_id):
    huge = json.dumps("x" * 10_000_000).encode()
    totara.altered = lambda body: body.replace(b'"Alice"', huge).replace(b'"Bob"', b'"B\\u0000ob"')

    report = run_sync(client, "users", server_id)

    assert report.state == "partial"
    assert lists.nonzero(report.counts) == {"created": 5, "skipped": 1}
    assert {row[1] for row in people_of(client).values()} == {"Admin", "Bob", "Carol", "Dave", "Eve"}


def test_records_that_are_no_objects_change_nothing(client, totara, server_id):
    sync_all(client, server_id)
    before = lists.dump(client)
    totara.altered = lambda body: (
        b'{"status":"success","data":{"users":[1,"3",null,[]],"cohort":["1"],"course":[7],'
        b'"frameworks":[[]],"positions":[1,null],"organisations":["1","2",3]}}'
    )

    reports = sync_all(client, server_id)

    assert [report.state for report in reports] == ["partial"] * len(KINDS)
    assert [report.counts["skipped"] for report in reports] == [3, 4, 4, 2]
    assert lists.dump(client) == before


def test_an_empty_list_of_the_recorded_site_is_held(client, totara, server_id):
    sync_all(client, server_id)
    before = lists.dump(client)
    totara.altered = lambda body: (
        b'{"status":"success","data":{"users":[],"cohort":[],"course":[],'
        b'"frameworks":[],"positions":[],"organisations":[]}}'
    )

    reports = sync_all(client, server_id)

    assert [report.state for report in reports] == ["held"] * len(KINDS)
    assert lists.dump(client) == before
