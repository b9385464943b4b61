"""The rules of the protocol's page for the user records of a server: section 6, its limits apart.

Each row is a sentence of the page and names its section. The keys stand here as the page has them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from support import server_by_http
from support.server_by_http import DATABASES, OFF, ON, ServerByHttp, table
from support.server_site import ORGANISATIONS, POSITIONS, ClientSite

from tconnect_pyramid import people
from tconnect_pyramid.directory import hierarchies, hierarchy_items, jobs, profiles
from tconnect_pyramid.secretbox import new_token

HASH = "$2y$10$BXwucLKzdxUO7Qj5P6i5PuCY7ohGrHlDZJ0nGJeHoOOTB255XtsS2"


def words(text: str) -> list[str]:
    return text.split()


KEYS = words("""
    id auth confirmed policyagreed deleted suspended mnethostid username password idnumber firstname lastname
    email emailstop icq skype yahoo aim msn phone1 phone2 institution department address city country lang
    calendartype theme timezone firstaccess lastaccess lastlogin currentlogin lastip [picture] url description
    descriptionformat mailformat maildigest maildisplay autosubscribe trackforums timecreated timemodified
    trustbitmask imagealt lastnamephonetic firstnamephonetic middlename alternatename totarasync [pictures]
    [profile_fields] [jobs]
""")
OF_PICTURES = {"[picture]", "[pictures]"}
OF_VERSION_2 = {"[profile_fields]", "[jobs]"}
JOB_KEYS = words("""
    id fullname shortname idnumber description startdate enddate timecreated timemodified usermodified positionid
    positionassignmentdate organisationid sortorder totarasync synctimemodified
""")
MAY_BE_NULL = {
    "password",
    "description",
    "imagealt",
    "lastnamephonetic",
    "firstnamephonetic",
    "middlename",
    "alternatename",
}


@pytest.fixture(scope="module", params=DATABASES)
def server(request, tmp_path_factory):
    with server_by_http.running(request.param, tmp_path_factory.mktemp("server")) as made:
        for name, datatype, choices in (
            ("tick", "checkbox", ()),
            ("day", "date", ()),
            ("time", "datetime", ()),
            ("colour", "menu", ("red", "blue")),
            ("motto", "text", ()),
            ("story", "textarea", ()),
        ):
            made.do(profiles.add_field, name, datatype=datatype, choices=choices)
        yield made


def in_list(server: ServerByHttp, client: ClientSite, key: int) -> dict:
    return server.listed(client, key)


def asked_for(server: ServerByHttp, client: ClientSite, key: int) -> dict:
    found = server.user(client, key)
    assert found is not None
    return found


def signing_in(server: ServerByHttp, client: ClientSite, key: int) -> dict:
    return server.data(client, "get_sso_user", ssotoken=server.ssotoken(server.sign_in(key), client))


SERVICES = {"get_users": in_list, "get_user": asked_for, "get_sso_user": signing_in}


# --- keys, types, nulls ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Keys:
    says: str
    service: str
    version: int
    absent: set[str]


@table(
    Keys("6 keys of get_users in version 2", "get_users", 2, OF_PICTURES),
    Keys("6 keys of get_users in version 1", "get_users", 1, OF_PICTURES | OF_VERSION_2),
    Keys("6 keys of get_user in version 2", "get_user", 2, set()),
    Keys("6 keys of get_user in version 1", "get_user", 1, OF_VERSION_2),
    Keys("6 keys of get_sso_user in version 2", "get_sso_user", 2, set()),
    Keys("6 keys of get_sso_user in version 1", "get_sso_user", 1, OF_VERSION_2),
)
def test_the_keys_in_order(server, row):
    client = server.add_client(apiversion=row.version)

    record = SERVICES[row.service](server, client, server.add_person())

    assert list(record) == [key.strip("[]") for key in KEYS if key not in row.absent]


NOTHING_KEPT = {
    "password": None,
    "description": None,
    "imagealt": None,
    "lastnamephonetic": None,
    "firstnamephonetic": None,
    "middlename": None,
    "alternatename": None,
}


@pytest.mark.parametrize("service", SERVICES)
def test_6_null_only_where_it_may_be_and_strings_else(server, service):
    client = server.add_client()
    person = server.add_person(lastname="", email="", idnumber="", **NOTHING_KEPT)

    record = SERVICES[service](server, client, person)

    rest = {
        name: value for name, value in record.items() if name not in {"profile_fields", "jobs", "pictures"}
    }
    assert {name for name, value in rest.items() if value is None} == MAY_BE_NULL
    assert {type(value) for value in rest.values()} == {str, type(None)}
    assert record["descriptionformat"] == "1"


@dataclass(frozen=True)
class Kept:
    """A value of a person's row, and how it is sent."""

    says: str
    name: str
    kept: Any
    sent: str | None


@table(
    *(
        Kept(f"6 compared as strings: {name} {kept!r} stays so", name, kept, kept)
        for name in sorted(MAY_BE_NULL - {"password"})
        for kept in (None, "", "x")
    ),
    Kept("6 a suspended person", "suspended", 1, "1"),
    Kept("9 somebody who is not confirmed is sent", "confirmed", 0, "0"),
    Kept("1 a number is a string", "lastaccess", 1795436453, "1795436453"),
    Kept("1 a zero is a string", "currentlogin", 0, "0"),
    Kept("6 another auth method", "auth", "nologin", "nologin"),
    Kept(
        "6 names are sent as they are",
        "firstname",
        "Åsa <b>&amp; 'Bö'</b> 李😀",
        "Åsa <b>&amp; 'Bö'</b> 李😀",
    ),
    Kept("6 the description", "description", "<p>Hi, I am <b>Alice</b></p>", "<p>Hi, I am <b>Alice</b></p>"),
)
def test_a_value(server, row):
    client = server.add_client()
    person = server.add_person(**{row.name: row.kept})

    for service in (in_list, asked_for, in_list, signing_in if row.name != "suspended" else in_list):
        assert service(server, client, person)[row.name] == row.sent


@dataclass(frozen=True)
class Cleaned:
    says: str
    typed: str
    has: str
    has_not: tuple[str, ...]


@table(
    Cleaned(
        "6 description: a script", "<p>Hi</p><script>alert(1)</script>", "<p>Hi</p>", ("script", "alert")
    ),
    Cleaned("6 description: an event", '<p onclick="alert(1)">Hi</p>', "<p>Hi</p>", ("onclick",)),
    Cleaned("6 description: an address", '<a href="javascript:alert(1)">Hi</a>', "Hi", ("javascript",)),
)
def test_6_description_is_cleaned_html(server, row):
    client, person = server.add_client(), server.add_person()
    server.do(people.edit_person, person, {"description": row.typed})

    for service in SERVICES.values():
        record = service(server, client, person)
        assert row.has in record["description"]
        assert not any(word in record["description"] for word in row.has_not)
        assert record["descriptionformat"] == "1"


# --- pictures -------------------------------------------------------------------------------------------


def image(colour: str) -> bytes:
    out = BytesIO()
    Image.new("RGB", (640, 480), colour).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("service", ["get_user", "get_sso_user"])
def test_6_the_picture_has_a_number_that_changes_with_each_new_one(server, service):
    client, person = server.add_client(), server.add_person()

    def picture() -> tuple[str, Any]:
        record = SERVICES[service](server, client, person)
        assert "picture" not in server.listed(client, person)
        assert "pictures" not in server.listed(client, person)
        return record["picture"], record["pictures"]

    assert picture() == ("0", [])
    numbers = []
    # Twice in the same second, the same image again, and anew after there was none.
    for seconds, colour in ((0, "red"), (0, "red"), (1, "blue"), (1, None), (1, "green")):
        server.clock.tick(seconds)
        if colour is None:
            server.do(people.remove_picture, person)
            assert picture() == ("0", [])
            continue
        server.do(people.set_picture, person, image(colour))
        number, files = picture()
        assert picture() == (number, files)
        numbers.append(number)
        sizes = {name: Image.open(BytesIO(base64.b64decode(files[name]))).size for name in files}
        assert {re.sub(r"\.(png|jpg)$", "", name): size for name, size in sizes.items()} == {
            "f1": (100, 100),
            "f2": (35, 35),
            "f3": (512, 512),
        }

    assert len(set(numbers)) == len(numbers)
    assert all(re.fullmatch(r"[1-9]\d*", number) for number in numbers)


# --- custom profile fields --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Custom:
    """What is typed into custom profile fields, and what is sent of them."""

    says: str
    typed: dict[str, str]
    sent: list[tuple[str, str, str]]


@table(
    Custom("6 [] means has none", {}, []),
    Custom("6 a checkbox is 1", {"tick": "1"}, [("tick", "checkbox", "1")]),
    Custom("6 a checkbox that is off is a value as well: 0", {"tick": "0"}, [("tick", "checkbox", "0")]),
    Custom("6 a date is Unix seconds", {"day": "2024-05-31"}, [("day", "date", "1717113600")]),
    Custom("6 a time is Unix seconds", {"time": "1448874000"}, [("time", "datetime", "1448874000")]),
    Custom("6 a choice", {"colour": "blue"}, [("colour", "menu", "blue")]),
    Custom("6 a text as it is kept", {"motto": "Åsa & <b>李</b>"}, [("motto", "text", "Åsa & <b>李</b>")]),
    Custom("6 a long text", {"story": "<p>Once</p>"}, [("story", "textarea", "<p>Once</p>")]),
    Custom(
        "6 all of a person's",
        {"motto": "m", "tick": "1"},
        [("motto", "text", "m"), ("tick", "checkbox", "1")],
    ),
    Custom(
        "6 a value that was taken back",
        {"motto": "m", "tick": "1", " motto": ""},
        [("tick", "checkbox", "1")],
    ),
)
def test_profile_fields(server, row):
    client, person, stranger = server.add_client(), server.add_person(), server.add_person()
    server.do(profiles.set_value, stranger, "motto", "not mine")
    for name, text in row.typed.items():
        server.do(profiles.set_value, person, name.strip(), text)

    for service in SERVICES.values():
        sent = service(server, client, person)["profile_fields"]
        assert all(list(it) == ["shortname", "datatype", "data"] for it in sent)
        assert sorted(tuple(it.values()) for it in sent) == row.sent


# --- jobs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A job as it is made by hand, and some of what is sent of it."""

    says: str
    made: dict[str, Any]
    sent: dict[str, Any]


@table(
    Job(
        "6 a job of nothing but an idnumber: nulls",
        {"idnumber": "1"},
        {
            "idnumber": "1",
            "startdate": None,
            "enddate": None,
            "positionid": None,
            "organisationid": None,
            "sortorder": "1",
        },
    ),
    Job(
        "6 a job with names",
        {"idnumber": "1", "fullname": "Dev", "shortname": "d"},
        {"fullname": "Dev", "shortname": "d"},
    ),
    Job(
        "6 dates are digits",
        {"idnumber": "1", "startdate": 1400000000, "enddate": 1500000000},
        {"startdate": "1400000000", "enddate": "1500000000"},
    ),
    Job("6 the day 0 is a date", {"idnumber": "1", "startdate": 0}, {"startdate": "0"}),
    Job("6 the description", {"idnumber": "1", "description": "<p>Work</p>"}, {"description": "<p>Work</p>"}),
    Job("6 an idnumber that PHP calls empty is one", {"idnumber": "0"}, {"idnumber": "0"}),
)
def test_a_job(server, row):
    client, person, stranger = server.add_client(), server.add_person(), server.add_person()
    server.do(jobs.add_job, stranger, idnumber="not mine")
    job = server.do(jobs.add_job, person, **row.made)

    for service in SERVICES.values():
        (sent,) = service(server, client, person)["jobs"]
        # Managers and appraisers are never sent: no other key is there.
        assert list(sent) == JOB_KEYS
        assert {name: sent[name] for name in row.sent} == row.sent
        assert sent["id"] == str(job.id)
        assert re.fullmatch(r"\d+", sent["positionassignmentdate"])
        assert {type(value) for value in sent.values()} <= {str, type(None)}


@dataclass(frozen=True)
class StoredJob:
    """A job as it is stored, and how that is sent."""

    says: str
    name: str
    stored: Any
    sent: str | None


@table(
    *(
        StoredJob(f"6 compared as strings: a job's {name} {kept!r} stays so", name, kept, kept)
        for name in ("fullname", "shortname", "description")
        for kept in (None, "", "x")
    ),
    StoredJob("6 a date before 1970 is no digits", "startdate", -86400, None),
    StoredJob("6 nor at the end", "enddate", -1, None),
)
def test_a_stored_job(server, row):
    client, person = server.add_client(), server.add_person()
    server.add_job(person, **{row.name: row.stored})

    for _ in range(2):
        for service in SERVICES.values():
            (sent,) = service(server, client, person)["jobs"]
            assert sent[row.name] == row.sent


def test_6_a_job_without_idnumber_is_never_sent(server):
    client, person = server.add_client(), server.add_person()
    server.add_job(person, idnumber="")
    server.add_job(person, idnumber="1", sortorder=2)

    for service in SERVICES.values():
        assert [job["idnumber"] for job in service(server, client, person)["jobs"]] == ["1"]


def order(*idnumbers: str) -> list[str]:
    return list(idnumbers)


@dataclass(frozen=True)
class Order:
    """Jobs a, b, c are made in this order; then one of them is moved to a place, or removed."""

    says: str
    happens: Callable[[ServerByHttp, dict[str, int]], object]
    sent: list[str] = field(default_factory=list)


@table(
    Order("6 jobs are ordered by sortorder", lambda server, made: None, order("a", "b", "c")),
    Order(
        "6 the last one first",
        lambda server, made: server.do(jobs.move_job, made["c"], 1),
        order("c", "a", "b"),
    ),
    Order(
        "6 the first one last",
        lambda server, made: server.do(jobs.move_job, made["a"], 3),
        order("b", "c", "a"),
    ),
    Order("6 one is removed", lambda server, made: server.do(jobs.delete_job, made["a"]), order("b", "c")),
)
def test_jobs_in_order(server, row):
    client, person = server.add_client(), server.add_person()
    made = {name: server.do(jobs.add_job, person, idnumber=name).id for name in "abc"}
    row.happens(server, made)

    for service in SERVICES.values():
        sent = service(server, client, person)["jobs"]
        assert [job["idnumber"] for job in sent] == row.sent
        places = [int(job["sortorder"]) for job in sent]
        assert places == sorted(set(places))


@pytest.mark.parametrize(
    ("tables", "hierarchy", "key"),
    [
        pytest.param(POSITIONS, hierarchies.POSITIONS, "positionid", id="position"),
        pytest.param(ORGANISATIONS, hierarchies.ORGANISATIONS, "organisationid", id="organisation"),
    ],
)
def test_6_a_job_names_position_and_organisation_by_their_ids_and_loses_them(server, tables, hierarchy, key):
    client, person = server.add_client(), server.add_person()
    item = server.add_item(tables, server.add_framework(tables))
    server.do(jobs.add_job, person, idnumber="1", **{tables.word: item})
    (before,) = server.listed(client, person)["jobs"]

    server.do(hierarchy_items.delete_item, hierarchy, item)

    (after,) = server.listed(client, person)["jobs"]
    assert (before[key], after[key]) == (str(item), None)


# --- deleted people -------------------------------------------------------------------------------------------


def _by_hand(server, key):
    server.delete(key)


def _by_flag(server, key):
    """As in a host's own table: everything that somebody had is still there."""
    server.change_person(key, deleted=1)


@dataclass(frozen=True)
class Deleted:
    says: str
    delete: Callable[[ServerByHttp, int], None]
    version: int
    service: Callable[..., dict]


@table(
    *(
        Deleted(f"6 deleted {how}, by {name} in version {version}", delete, version, SERVICES[name])
        for how, delete in (("by hand", _by_hand), ("by a host", _by_flag))
        for name in ("get_users", "get_user")
        for version in (1, 2)
    )
)
def test_a_deleted_user(server, row):
    client = server.add_client(apiversion=row.version)
    person = server.add_person(
        firstname="Ada",
        lastname="Lovelace",
        middlename="King",
        password=HASH,
        description="<p>x</p>",
        idnumber=new_token(),
    )
    server.do(people.set_picture, person, image("red"))
    server.do(profiles.set_value, person, "motto", "m")
    server.do(jobs.add_job, person, idnumber="1")
    row.delete(server, person)

    with server.switched("server.sync_passwords", ON, back=OFF):
        record = row.service(server, client, person)

    absent = OF_VERSION_2 | (set() if "picture" in record else OF_PICTURES)
    assert list(record) == [key.strip("[]") for key in KEYS if key not in absent]
    assert record["deleted"] == "1"
    assert [record[name] for name in ("password", "description", "descriptionformat")] == [None, None, None]
    assert [record[name] for name in ("firstname", "lastname", "middlename")] == ["Ada", "Lovelace", "King"]
    if row.service is asked_for:
        assert (record["picture"], record["pictures"]) == ("0", [])
    if row.delete is _by_hand:
        assert re.fullmatch(r"deleted_.{32}", record["username"])
        assert server.listed(client, person)["username"] == record["username"]


def test_6_the_names_of_deleted_people_are_random(server):
    client = server.add_client()
    gone = [server.add_person() for _ in range(3)]
    server.delete(*gone)

    assert len({server.listed(client, key)["username"] for key in gone}) == 3
