"""A recorded Totara client calls our server and is answered as the recorded Totara server answered it.

The database is filled with what the recordings show, under the recorded ids, and the calls are made with
the recorded secrets. Compared are whole replies as text: keys, their order, JSON types and values.
"""

from __future__ import annotations

import io
import json
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import insert, update
from support import sites
from support.server_site import ORGANISATIONS, POSITIONS

from tconnect_pyramid import sessions
from tconnect_pyramid.models import (
    Account,
    Audience,
    AudienceMember,
    Client,
    ClientAudience,
    ClientCourse,
    ClientSession,
    Course,
    Enrolment,
    Job,
    Picture,
    ProfileField,
    ProfileValue,
    SignIn,
    SiteValue,
)
from tconnect_pyramid.options import set_option
from tconnect_pyramid.protocol.collections import COHORT_FIELDS, COURSE_FIELDS
from tconnect_pyramid.protocol.forms import read_form, write_form
from tconnect_pyramid.protocol.hierarchies import FRAMEWORK_FIELDS, ITEM_FIELDS
from tconnect_pyramid.protocol.users import JOB_FIELDS, USER_FIELDS
from tconnect_pyramid.secretbox import digest
from tconnect_pyramid.server import clients, services, signin

WIRE = Path(__file__).parents[1] / "data" / "wire"

# What a client is sent for which both are switched off: null tells it to leave its own alone.
NOT_SENT = {"profile_fields": None, "jobs": None}
# Where Totara lists the course among others, and when it last built a cache of it: bookkeeping of
# that one site, which no client uses and a site of ours does not have.
BOOKKEEPING = {"course": {"sortorder": "0", "cacherev": "0"}, "cohort": {}}

CLIENT_URL = "http://127.0.0.1:8102"


def recording(name: str):
    return json.loads((WIRE / f"{name}.json").read_text(encoding="utf-8"))


SETUP = recording("sep_setup")["form"]


class StandInClient:
    """The recorded client as a transport: it takes exactly the recorded calls, and answers as recorded.

    What differs with every registration cannot be as recorded and is only checked for its place.
    """

    drawn = ("serversecret", "clientidnumber", "clientsecret")

    def __init__(self) -> None:
        self.taken: list[str] = []

    def post(self, url, form, *, timeout, limit):
        names = {
            "sep_setup.php": "sep_setup",
            "sep.php": dict(form).get("service", ""),
        }
        name = names[url.rpartition("/")[2]]
        recorded = recording(name)
        assert url == CLIENT_URL + recorded["path"]
        expected = [(key, str(value)) for key, value in recorded["form"].items()]
        if name == "sep_setup":
            form = [pair for pair in form if pair[0] not in self.drawn]
            expected = [pair for pair in expected if pair[0] not in self.drawn]
        assert list(form) == expected
        self.taken.append(name)
        return io.BytesIO(json.dumps(recorded["response"]).encode())


class Server:
    """A server of ours in the place of the recorded one."""

    def __init__(self, context) -> None:
        self.context = context
        with context.unit() as session:
            session.execute(
                update(SiteValue)
                .where(SiteValue.name == "serveridnumber")
                .values(value=SETUP["serveridnumber"])
            )

    def add_client(self) -> None:
        with self.context.unit() as session:
            session.add(
                Client(
                    id=1,
                    state="active",
                    name="Totara client",
                    url=CLIENT_URL,
                    idnumber=SETUP["clientidnumber"],
                    client_secret=self.context.box.seal(SETUP["clientsecret"]),
                    server_secret_hash=digest(SETUP["serversecret"]),
                    apiversion=2,
                    clienttype="totaralms",
                    timecreated=1,
                    timemodified=1,
                )
            )

    def add_people(self, records) -> None:
        """Accounts, with custom profile fields, jobs and pictures where the records have them."""
        found = {
            (field["shortname"], field["datatype"])
            for record in records
            for field in record.get("profile_fields", ())
        }
        with self.context.unit() as session:
            fields = {
                (shortname, datatype): ProfileField(
                    shortname=shortname, name=shortname, datatype=datatype, sortorder=number
                )
                for number, (shortname, datatype) in enumerate(sorted(found), start=1)
            }
            session.add_all(fields.values())
            session.flush()
            for record in records:
                key = int(record["id"])
                session.add(Account(**kept(Account, USER_FIELDS, record)))
                for field in record.get("profile_fields", ()):
                    field_id = fields[field["shortname"], field["datatype"]].id
                    session.add(ProfileValue(account_key=key, field_id=field_id, data=field["data"]))
                for job in record.get("jobs", ()):
                    held = {
                        column: None if job[name] is None else int(job[name])
                        for column, name in (
                            ("position_id", "positionid"),
                            ("organisation_id", "organisationid"),
                        )
                    }
                    session.add(Job(account_key=key, **held, **kept(Job, JOB_FIELDS, job)))
                for name, content in dict(record.get("pictures") or {}).items():
                    session.add(Picture(account_key=key, name=name, content=b64decode(content)))

    def add_hierarchies(self) -> None:
        """The recorded positions and organisations, for the client that is there."""
        for tables in (POSITIONS, ORGANISATIONS):
            data = recording(tables.service)["response"]["data"]
            with self.context.unit() as session:
                types: dict[str, int] = {}
                for record in data["frameworks"]:
                    fields = FRAMEWORK_FIELDS[tables.word]
                    session.add(tables.framework(**kept(tables.framework, fields, record)))
                    session.flush()
                    session.add(tables.allowed(client_id=1, framework_id=int(record["id"])))
                for record in data[f"{tables.word}s"]:
                    if record["typeidnumber"] and record["typeid"] not in types:
                        self._add_type(session, tables, record)
                        types[record["typeid"]] = int(record["typeid"])
                    session.add(
                        tables.item(
                            framework_id=int(record["frameworkid"]),
                            parent_id=int(record["parentid"]) or None,
                            type_id=types.get(record["typeid"]),
                            **kept(tables.item, ITEM_FIELDS[tables.word], record),
                        )
                    )
                    session.flush()
                    for number, field in enumerate(record["custom_fields"], start=1):
                        session.add(
                            tables.value(
                                item_id=int(record["id"]),
                                field_id=number,
                                data=field["data"],
                                value=field["value"],
                            )
                        )

    def _add_type(self, session, tables, record) -> None:
        session.add(
            tables.type(
                id=int(record["typeid"]),
                idnumber=record["typeidnumber"],
                fullname=record["typeidnumber"],
                timecreated=1,
                timemodified=1,
            )
        )
        session.flush()
        for number, field in enumerate(record["custom_fields"], start=1):
            session.add(
                tables.type_field(
                    id=number,
                    type_id=int(record["typeid"]),
                    shortname=field["shortname"],
                    datatype=field["datatype"],
                    sortorder=number,
                )
            )
        session.flush()

    def change_client(self, **values) -> None:
        with self.context.unit() as session:
            session.execute(update(Client).values(**values))

    def add_collections(self, data, members_of) -> None:
        """`members_of`: a reply from which the members are taken, as a restricted one hides some."""
        with self.context.unit() as session:
            for record, full in zip(data["cohort"], members_of["cohort"], strict=True):
                session.add(Audience(**kept(Audience, COHORT_FIELDS, record)))
                session.flush()
                for member in full["members"]:
                    session.execute(
                        insert(AudienceMember).values(
                            audience_id=int(record["id"]), account_key=int(member["id"])
                        )
                    )
                session.execute(insert(ClientAudience).values(client_id=1, audience_id=int(record["id"])))
            for record, full in zip(data["course"], members_of["course"], strict=True):
                session.add(Course(**kept(Course, COURSE_FIELDS, record)))
                session.flush()
                for member in full["members"]:
                    session.execute(
                        insert(Enrolment).values(course_id=int(record["id"]), account_key=int(member["id"]))
                    )
                session.execute(insert(ClientCourse).values(client_id=1, course_id=int(record["id"])))

    def sign_in(self, key: int) -> sessions.SignedIn:
        browser = sessions.new_browser_id()
        with self.context.unit() as session:
            sessions.start(session, browser, key, self.context.clock())
        with self.context.reading() as session:
            return sessions.look_up(session, self.context, browser)

    def carry_on(self, signed_in, ssotoken: str) -> None:
        with self.context.unit() as session:
            session.add(
                ClientSession(
                    token_hash=digest(ssotoken),
                    token=self.context.box.seal(ssotoken),
                    client_id=1,
                    signin_id=signed_in.signin_id,
                    account_key=signed_in.account.key,
                    timecreated=self.context.clock(),
                )
            )

    def answer(self, form) -> bytes:
        body = write_form([(name, str(value)) for name, value in form.items()])
        reply = services.answer(self.context, read_form(body))
        if isinstance(reply, bytes):
            return reply
        with reply:
            return reply.read()


def kept(model, fields, record) -> dict:
    """The columns of a row that a record came from."""
    columns = {"id": int(record["id"])}
    for field in fields:
        value = record.get(field.name)
        if hasattr(model, field.name) and value is not None:
            columns[field.name] = value if field.kind == "text" else int(value)
    return columns


@pytest.fixture
def server(make_database):
    with sites.context(
        make_database(),
        url=SETUP["serverurl"],
        transport=StandInClient(),
        options=[("server.enabled", "true"), ("server.sync_passwords", "true")],
    ) as context:
        yield Server(replace(context, settings=replace(context.settings, site_name=SETUP["servername"])))


@pytest.fixture
def connected(server):
    server.add_client()
    server.add_hierarchies()
    return server


def assert_same(reply: bytes, expected) -> None:
    """The same text but for white space between the parts."""
    assert json.dumps(json.loads(reply), indent=1) == json.dumps(expected, indent=1)


def success(data) -> dict:
    return {"status": "success", "data": data}


def but_for(record, **others) -> dict:
    """A recorded person with other values in the same places."""
    return {key: others.get(key, value) for key, value in record.items()}


@pytest.mark.parametrize("name", ["get_users", "get_users.edge"])
def test_the_recorded_people(connected, name):
    recorded = recording(name)
    people = recorded["response"]["data"]["users"]
    connected.add_people(people)

    reply = connected.answer(recorded["form"])

    assert_same(reply, recorded["response"])


def test_the_recorded_people_without_fields_and_jobs(connected):
    """Switched off for this client, or in version 1, which has neither key."""
    recorded = recording("get_users.edge")
    people = recorded["response"]["data"]["users"]
    connected.add_people(people)

    connected.change_client(sends_profile_fields=False, sends_jobs=False)
    switched_off = connected.answer(recorded["form"])
    connected.change_client(sends_profile_fields=True, sends_jobs=True, apiversion=1)
    version_1 = connected.answer(recorded["form"])

    assert_same(switched_off, success({"users": [but_for(record, **NOT_SENT) for record in people]}))
    without = [{key: value for key, value in record.items() if key not in NOT_SENT} for record in people]
    assert_same(version_1, success({"users": without}))


def test_the_recorded_people_inside_an_audience(connected):
    recorded = recording("get_users.restricted")
    people = recorded["response"]["data"]["users"]
    ids = {record["id"] for record in people}
    others = [
        record
        for record in recording("get_users.edge")["response"]["data"]["users"]
        if record["id"] not in ids
    ]
    connected.add_people([*people, *others])
    collections = recording("get_user_collections")["response"]["data"]
    connected.add_collections(collections, collections)
    connected.change_client(restrict_audience_id=2)

    reply = connected.answer(recorded["form"])

    assert_same(reply, recorded["response"])


@pytest.mark.parametrize("name", ["get_user_collections", "get_user_collections.restricted"])
def test_the_recorded_collections(connected, name):
    connected.add_people(recording("get_users")["response"]["data"]["users"])
    recorded = recording(name)
    data = recorded["response"]["data"]
    connected.add_collections(data, recording("get_user_collections")["response"]["data"])
    if name.endswith("restricted"):
        connected.change_client(restrict_audience_id=2)

    reply = connected.answer(recorded["form"])

    expected = {
        kind: [
            {key: BOOKKEEPING[kind].get(key, value) for key, value in record.items()} for record in records
        ]
        for kind, records in data.items()
    }
    assert_same(reply, success(expected))


def test_the_recorded_person(connected):
    recorded = recording("get_user")
    person = recorded["response"]["data"]["user"]
    connected.add_people([person])

    reply = connected.answer(recorded["form"])

    assert person["pictures"].keys() == {"f1.png", "f2.png", "f3.png"}
    assert_same(reply, recorded["response"])


def test_the_recorded_sign_in_and_log_out(connected):
    signing_in, logging_out = recording("get_sso_user"), recording("force_sso_logout")
    person = signing_in["response"]["data"]
    connected.add_people([person])
    signed_in = connected.sign_in(int(person["id"]))
    requesttoken = recording("validate_sso_request_token")["form"]["requesttoken"]
    with connected.context.reading() as session:
        client = signin.requesting_client(session, connected.context, SETUP["clientidnumber"])

    url = signin.grant(connected.context, signed_in, client, requesttoken)
    connected.carry_on(signed_in, signing_in["form"]["ssotoken"])
    with connected.context.unit() as session:
        # The token that was just drawn cannot be the recorded one, which takes its place.
        session.query(ClientSession).filter(
            ClientSession.token_hash != digest(signing_in["form"]["ssotoken"])
        ).delete()

    assert url.startswith(
        f"{CLIENT_URL}/auth/connect/sso_finish.php?clientidnumber={SETUP['clientidnumber']}"
    )
    assert url.endswith("&result=success")
    assert_same(connected.answer(signing_in["form"]), signing_in["response"])
    assert_same(connected.answer(logging_out["form"]), logging_out["response"])
    assert connected.context.transport.taken == ["validate_sso_request_token", "kill_sso_user"]
    with connected.context.reading() as session:
        assert session.get_one(SignIn, signed_in.signin_id).ended == connected.context.clock()


@pytest.mark.parametrize("name", ["get_api_version", "update_api_version"])
def test_the_recorded_handshake(connected, name):
    recorded = recording(name)

    assert_same(connected.answer(recorded["form"]), recorded["response"])


@pytest.mark.parametrize("name", ["get_positions", "get_organisations"])
def test_the_recorded_positions_and_organisations(connected, name):
    recorded = recording(name)

    assert_same(connected.answer(recorded["form"]), recorded["response"])


@pytest.mark.parametrize("name", ["get_positions", "get_organisations"])
def test_a_site_without_positions_has_the_recorded_keys_and_nothing_in_them(server, name):
    server.add_client()
    recorded = recording(name)

    reply = server.answer(recorded["form"])

    assert_same(reply, success(dict.fromkeys(recorded["response"]["data"])))


@pytest.mark.parametrize(
    "number",
    [number for number, one in enumerate(recording("refusals")) if one["path"] == "/totara/connect/sep.php"],
)
def test_the_recorded_refusals(connected, number):
    recorded = recording("refusals")[number]

    assert_same(connected.answer(recorded["form"]), recorded["response"])


def test_the_recorded_registration(server):
    view = clients.register_client(
        server.context,
        clients.ClientWishes("Totara client", CLIENT_URL),
        SETUP["setupsecret"],
        actor="command",
        timeout=5,
    )

    assert server.context.transport.taken == ["sep_setup"]
    assert view.state == "active"


def test_passwords_stay_here_unless_that_is_switched_on(connected):
    recorded = recording("get_users")
    people = recorded["response"]["data"]["users"]
    connected.add_people(people)
    with connected.context.unit() as session:
        set_option(session, connected.context.settings, "server.sync_passwords", "false", 1)

    reply = connected.answer(recorded["form"])

    assert b"$2y$" not in reply
    assert_same(reply, success({"users": [but_for(record, password=None) for record in people]}))
