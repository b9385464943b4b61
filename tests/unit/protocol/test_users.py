from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from tconnect_pyramid.errors import BadRecord, BadReply
from tconnect_pyramid.protocol import replies, users
from tconnect_pyramid.protocol.columns import MAX_LONG_TEXT
from tconnect_pyramid.protocol.users import (
    JOB_FIELDS,
    USER_FIELDS,
    JobRecord,
    ProfileFieldRecord,
    UserRecord,
    read_user,
    read_users,
    write_profile_field,
)


def ignored(warning: str) -> None:
    """What is warned of is looked at in `test_limits`."""


write_user = partial(users.write_user, warn=ignored)
write_job = partial(users.write_job, warn=ignored)

NULLABLE = {
    "password",
    "description",
    "imagealt",
    "lastnamephonetic",
    "firstnamephonetic",
    "middlename",
    "alternatename",
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def person(**changed: Any) -> dict[str, Any]:
    raw = {
        "id": "3",
        "username": "alice",
        "firstname": "Alice",
        "lastname": "Ångström",
        "email": "a@example.com",
    }
    return raw | changed


def job(**changed: Any) -> dict[str, Any]:
    return {"id": "2", "idnumber": "J1", "positionassignmentdate": "5", "sortorder": "1"} | changed


def profile_field(**changed: Any) -> dict[str, Any]:
    return {"shortname": "shirt", "datatype": "text", "data": "XL"} | changed


# What a reader has no use for, so that it is not in a `JobRecord`, as the recorded site keeps it.
JOB_TIMES = {"timecreated": 1795436403, "timemodified": 1795436403}


def again(record: UserRecord, version: int = 2) -> dict[str, object]:
    """What we send of a person whom we received."""
    fields = record.profile_fields
    jobs = record.jobs
    return write_user(
        record.values,
        version=version,
        pictures=record.pictures,
        profile_fields=None if fields is None else [write_profile_field(**asdict(field)) for field in fields],
        jobs=None if jobs is None else [write_job({**asdict(job), **JOB_TIMES}) for job in jobs],
    )


def recorded_people(name: str, recording: Callable[[str], Any]) -> list[dict[str, Any]]:
    data = recording(name)["response"]["data"]
    if "users" in data:
        return [raw for raw in read_users(data) if isinstance(raw, dict)]
    return [data.get("user", data)]


# --- the recordings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "people"),
    [
        ("get_users", 6),
        ("get_users.edge", 10),
        ("get_users.restricted", 2),
        ("get_user", 1),
        ("get_sso_user", 1),
    ],
)
def test_a_recorded_person_is_the_same_after_reading_and_writing(
    name: str, people: int, recording: Callable[[str], Any]
) -> None:
    raws = recorded_people(name, recording)
    assert len(raws) == people
    for raw in raws:
        # Compared as text, so that the order of keys and the types count.
        assert json.dumps(again(read_user(raw))) == json.dumps(raw)


@pytest.mark.parametrize("name", ["get_users", "get_users.edge", "get_users.restricted"])
def test_a_recorded_list_is_the_same_byte_for_byte(name: str, recording: Callable[[str], Any]) -> None:
    response = recording(name)["response"]
    records = [msgspec.json.encode(again(read_user(raw))) for raw in read_users(response["data"])]
    body = replies.USERS_HEAD + replies.BETWEEN_RECORDS.join(records) + replies.LIST_TAIL
    recorded = json.dumps(response, ensure_ascii=False, separators=(",", ":"))
    # Slashes need no escape, and a line end between two records is ours (protocol 5).
    assert body.replace(b",\n", b",").decode() == recorded


def test_a_person_of_version_one_is_the_same_without_jobs_and_profile_fields(
    recording: Callable[[str], Any],
) -> None:
    for name in ("get_users.edge", "get_user"):
        for raw in recorded_people(name, recording):
            first = {key: value for key, value in raw.items() if key not in {"profile_fields", "jobs"}}
            record = read_user(first)
            assert (record.profile_fields, record.jobs) == (None, None)
            assert json.dumps(again(record, version=1)) == json.dumps(first)
            assert json.dumps(again(read_user(raw), version=1)) == json.dumps(first)


def test_the_recorded_tombstone_is_the_same_in_both_services(recording: Callable[[str], Any]) -> None:
    raw = recorded_people("get_users.edge", recording)[-1]
    record = read_user(raw)
    assert record.deleted
    full: dict[str, Any] = {"jobs": [write_job({"id": 1, "idnumber": "1"})], "profile_fields": []}
    for version in (1, 2):
        assert json.dumps(write_user(record.values, version=version, **full)) == json.dumps(raw)
        single = write_user(record.values, version=version, pictures={"f1.png": "aGk="}, **full)
        assert (single.pop("picture"), single.pop("pictures")) == ("0", [])
        assert json.dumps(single) == json.dumps(raw)


def test_a_recorded_job_is_the_same_after_writing(recording: Callable[[str], Any]) -> None:
    (person_raw,) = recorded_people("get_user", recording)
    assert len(person_raw["jobs"]) == 2
    for raw in person_raw["jobs"]:
        assert [field.name for field in JOB_FIELDS] == list(raw)
        assert json.dumps(write_job(raw)) == json.dumps(raw)
    for raw in person_raw["profile_fields"]:
        assert json.dumps(write_profile_field(**raw)) == json.dumps(raw)


def test_the_fields_are_those_of_the_recordings_in_their_order(recording: Callable[[str], Any]) -> None:
    (raw,) = recorded_people("get_user", recording)
    scalars = [name for name in raw if name not in {"pictures", "profile_fields", "jobs"}]
    assert [field.name for field in USER_FIELDS] == scalars
    assert {field.name for field in USER_FIELDS if field.nullable} == NULLABLE


def test_reads_a_recorded_person(recording: Callable[[str], Any]) -> None:
    record = read_user(recorded_people("get_user", recording)[0])
    assert (record.id, record.deleted, record.suspended) == (3, False, False)
    assert record.values["lastname"] == "Ångström"
    assert record.values["timecreated"] == 1795436402
    assert record.values["imagealt"] is None
    assert record.picture == "6"
    assert record.pictures is not None
    assert list(record.pictures) == ["f1.png", "f2.png", "f3.png"]
    assert record.jobs is not None
    assert record.jobs == (
        JobRecord(
            id=2,
            fullname="Dev",
            shortname="dev",
            idnumber="1",
            description=None,
            startdate=1400000000,
            enddate=None,
            positionid=3,
            positionassignmentdate=1795436403,
            organisationid=2,
            sortorder=1,
        ),
        JobRecord(
            id=3,
            fullname="Second job",
            shortname=None,
            idnumber="J2",
            description="<p>half time</p>",
            startdate=None,
            enddate=None,
            positionid=None,
            positionassignmentdate=1795436403,
            organisationid=None,
            sortorder=2,
        ),
    )
    assert record.profile_fields == (
        ProfileFieldRecord("joined", "datetime", "1448874000"),
        ProfileFieldRecord("shirt", "text", "XL"),
    )


def test_reads_the_recorded_suspended_and_deleted_people(recording: Callable[[str], Any]) -> None:
    records = {record.id: record for record in map(read_user, recorded_people("get_users.edge", recording))}
    assert records[10008].suspended
    assert not records[10008].deleted
    assert records[10011].deleted
    assert records[10011].values["description"] is None
    assert (records[10011].profile_fields, records[10011].jobs, records[10011].pictures) == (None, None, None)


# --- writing --------------------------------------------------------------------------------------


def test_values_travel_as_strings_or_null() -> None:
    record = write_user({"id": 3, "suspended": True, "confirmed": False, "timecreated": 5}, version=2)
    assert (record["id"], record["suspended"], record["confirmed"], record["timecreated"]) == (
        "3",
        "1",
        "0",
        "5",
    )
    for field in USER_FIELDS:
        if field.name != "picture":
            assert isinstance(record[field.name], str) or (record[field.name] is None and field.nullable)


@pytest.mark.parametrize("value", [None, "", "x", -1])
def test_null_and_nonsense_never_reach_a_column_that_cannot_take_them(value: object) -> None:
    nonsense = {field.name: value for field in USER_FIELDS} | {"id": 3}
    record = write_user(nonsense, version=2, pictures={})
    for field in USER_FIELDS:
        written = record[field.name]
        if field.kind == "int":
            assert isinstance(written, str)
            assert written.isdigit()
        elif not field.nullable:
            assert isinstance(written, str)
    assert record["descriptionformat"] == "1"


def test_nothing_exceeds_what_a_totara_client_can_store() -> None:
    record = write_user({field.name: "Å" * 3000 for field in USER_FIELDS} | {"id": 3}, version=2)
    for field in USER_FIELDS:
        if field.limit is not None and record[field.name] is not None:
            assert len(str(record[field.name])) <= field.limit
    assert record["firstname"] == "Å" * 100
    assert record["city"] == "Å" * 120
    assert record["description"] == "Å" * 3000


def test_what_would_be_wrong_when_cut_is_left_out() -> None:
    long = {
        "id": 3,
        "email": "x@" + "a" * 90 + ".example.com",
        "country": "Germany",
        "password": "$2y$" + "x" * 300,
    }
    record = write_user(long | {"idnumber": "9" * 256, "lang": "x" * 31}, version=2)
    assert (record["email"], record["country"], record["password"]) == ("", "", None)
    assert (record["idnumber"], record["lang"]) == ("", "en")


def test_text_is_cleaned_when_written() -> None:
    assert write_user({"id": 3, "firstname": "A\0l\ud800"}, version=2)["firstname"] == "Al"


def test_a_password_is_sent_as_the_caller_decides() -> None:
    assert write_user({"id": 3}, version=2)["password"] is None
    assert write_user({"id": 3, "password": "$2y$10$x"}, version=2)["password"] == "$2y$10$x"


def test_version_one_has_neither_jobs_nor_profile_fields() -> None:
    sent = write_job({"id": 1, "idnumber": "J1"})
    assert list(write_user({"id": 3}, version=1, profile_fields=[], jobs=[sent]))[-1] == "totarasync"
    record = write_user({"id": 3}, version=2, profile_fields=None, jobs=[sent])
    assert list(record)[-2:] == ["profile_fields", "jobs"]
    assert (record["profile_fields"], record["jobs"]) == (None, [sent])


def test_pictures_come_only_with_one_person() -> None:
    listed = write_user({"id": 3, "picture": 6}, version=2)
    assert "picture" not in listed
    assert "pictures" not in listed
    single = write_user({"id": 3, "picture": 6}, version=2, pictures={"f1.png": "aGk="})
    assert (single["picture"], single["pictures"]) == ("6", {"f1.png": "aGk="})
    assert write_user({"id": 3}, version=2, pictures={})["pictures"] == []


@pytest.mark.parametrize("deleted", [True, 1, "1"])
def test_a_deleted_person_is_a_tombstone(deleted: object) -> None:
    values = {
        "id": 3,
        "deleted": deleted,
        "username": "deleted_x",
        "firstname": "Ivan",
        "email": "i@example.com",
    }
    kept = {"password": "$2y$10$x", "idnumber": "7", "description": "<p>Hi</p>", "picture": 6}
    record = write_user(values | kept, version=2, pictures={"f1.png": "aGk="}, profile_fields=[], jobs=[])
    assert (record["deleted"], record["username"], record["firstname"]) == ("1", "deleted_x", "Ivan")
    assert (record["password"], record["description"], record["descriptionformat"]) == (None, None, None)
    assert (record["email"], record["idnumber"]) == ("", "")
    assert (record["picture"], record["pictures"]) == ("0", [])
    assert "jobs" not in record
    assert "profile_fields" not in record


def test_jobs_without_an_idnumber_of_their_own_are_left_out() -> None:
    warnings: list[str] = []
    rows = [("1", "A"), ("2", ""), ("3", "x" * 101), ("4", "A"), ("5", "a")]
    jobs = [
        write_job({"id": job_id, "idnumber": idnumber}, warn=warnings.append) for job_id, idnumber in rows
    ]
    record = write_user({"id": 3}, version=2, jobs=jobs, warn=warnings.append)
    assert record["jobs"] == [jobs[0], jobs[4]]
    assert warnings[1:] == [
        "person 3: job 2 has no usable idnumber; it was left out",
        "person 3: job 3 has no usable idnumber; it was left out",
        "person 3: job 4 has the idnumber of another job; it was left out",
    ]
    assert warnings[0].startswith("job 3: idnumber has 101 characters")


def test_only_the_recorded_nulls_of_a_job_may_be_null() -> None:
    nullable = {field.name for field in JOB_FIELDS if field.nullable}
    assert nullable == {
        "fullname",
        "shortname",
        "description",
        "startdate",
        "enddate",
        "positionid",
        "organisationid",
    }
    written = write_job(dict.fromkeys(field.name for field in JOB_FIELDS) | {"id": 2})
    assert {name for name, value in written.items() if value is None} == nullable


def test_a_text_of_a_job_that_is_empty_does_not_become_null() -> None:
    empty = write_job({"id": 2, "fullname": "", "shortname": "", "description": ""})
    assert (empty["fullname"], empty["shortname"], empty["description"]) == ("", "", "")
    (read,) = read_user(person(jobs=[empty | {"idnumber": "1"}])).jobs or ()
    assert (read.fullname, read.shortname, read.description) == ("", "", "")


def test_profile_values_are_sent_as_they_are_kept() -> None:
    assert write_profile_field("a\0b", "checkbox", "0")["shortname"] == "ab"
    assert write_profile_field("x", "date", "-86400")["data"] == "-86400"
    assert [write_profile_field("x", "text", data)["data"] for data in (None, "")] == [None, ""]


@pytest.mark.parametrize("values", [{}, {"id": None}, {"id": 0}, {"id": "x"}])
def test_a_record_without_an_id_is_not_written(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="id above 0"):
        write_user(values, version=2)


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [None, [], {}, "x", {"users": None}, {"users": {}}, {"users": "x"}])
def test_an_absent_list_is_a_bad_reply(data: object) -> None:
    with pytest.raises(BadReply, match="no list of users"):
        read_users(data)


def test_an_empty_list_is_a_list() -> None:
    assert read_users({"users": []}) == []


def test_numbers_strings_and_booleans_are_accepted_alike() -> None:
    record = read_user(person(id=3, deleted=False, suspended=True, timecreated=5, phone1=123, timezone=99.5))
    assert (record.id, record.deleted, record.suspended) == (3, False, True)
    assert (record.values["deleted"], record.values["suspended"]) == (0, 1)
    assert (record.values["timecreated"], record.values["phone1"], record.values["timezone"]) == (
        5,
        "123",
        "99.5",
    )


def test_only_the_keys_that_were_sent_have_values() -> None:
    record = read_user(person(unknown=[1, 2]))
    assert set(record.values) == {"id", "username", "firstname", "lastname", "email"}
    assert (record.deleted, record.suspended, record.picture, record.pictures) == (False, False, None, None)


def test_null_becomes_the_default_where_it_is_not_allowed() -> None:
    record = read_user(person(city=None, timecreated=None, imagealt=None, deleted=None, picture=None))
    assert (record.values["city"], record.values["timecreated"], record.values["imagealt"]) == ("", 0, None)
    assert (record.deleted, record.picture) == (False, "0")


def test_strings_are_cleaned() -> None:
    assert read_user(person(firstname="A\0l\ud800")).values["firstname"] == "Al"


def test_pictures_are_known_files_only() -> None:
    pictures = {"f1.png": "a", "f3.jpg": "b", "../f1.png": "c", "f4.png": "d", "f1.svg": "e", "f1.png\n": "f"}
    assert read_user(person(pictures=pictures)).pictures == {"f1.png": "a", "f3.jpg": "b"}
    assert read_user(person(pictures=[])).pictures == {}
    assert read_user(person(pictures=None)).pictures is None


@pytest.mark.parametrize(
    ("raw", "remote_id", "reason"),
    [
        (None, None, "not an object"),
        ([], None, "not an object"),
        ("x", None, "not an object"),
        ({}, None, "id is not"),
        (person(id=None), None, "id is not"),
        (person(id="03"), None, "id is not"),
        (person(id=0), None, "id is not"),
        (person(id=True), None, "id is not"),
        (person(id=["3"]), None, "id is not"),
        (person(id=2**63), None, "id is not"),
        (person(email=None), 3, "email is missing"),
        ({"id": "3", "username": "x", "firstname": "x", "lastname": "x"}, 3, "email is missing"),
        (person(firstname=["A"]), 3, "firstname is neither"),
        (person(city={"a": 1}), 3, "city is neither"),
        (person(timecreated="yesterday"), 3, "timecreated is not a whole number"),
        (person(timecreated=1.5), 3, "timecreated is not a whole number"),
        (person(timecreated=""), 3, "timecreated is not a whole number"),
        (person(deleted="yes"), 3, "deleted is"),
        (person(deleted=2), 3, "deleted is neither 0 nor 1"),
        (person(suspended="2"), 3, "suspended is neither 0 nor 1"),
        (person(firstname="x" * 101), 3, "firstname has 101 characters, more than 100"),
        (person(country="NZL"), 3, "country has 3 characters, more than 2"),
        (person(description="x" * 10_000_000), 3, "description has 10000000 characters, more than 1000000"),
        (person(username="x" * 10_000_000), 3, "username has 10000000 characters, more than 100"),
        (person(pictures="x"), 3, "pictures is not an object"),
        (person(pictures={"f1.png": ["x"]}), 3, "f1.png is not a text"),
        (person(phone1=10**5000), 3, "phone1 is a number larger than"),
        (person(jobs={}), 3, "jobs is not a list"),
        (person(jobs="x"), 3, "jobs is not a list"),
        (person(jobs=[job(), None]), 3, "job 2 of 2 is not an object"),
        (person(jobs=[job(id="x")]), 3, "job 1 of 1: id is not a whole number"),
        (person(jobs=[job(idnumber="")]), 3, "job 1 of 1 has no idnumber"),
        (person(jobs=[job(idnumber=None)]), 3, "job 1 of 1 has no idnumber"),
        (person(jobs=[job(idnumber="x" * 101)]), 3, "job 1 of 1: idnumber has 101 characters"),
        (person(jobs=[job(), job(idnumber="J2")]), 3, "job 2 of 2 has the id or the idnumber of another"),
        (person(jobs=[job(), job(id="3")]), 3, "job 2 of 2 has the id or the idnumber of another"),
        (person(jobs=[job(startdate="")]), 3, "job 1 of 1: startdate is not a time"),
        (person(jobs=[job(enddate="2024-05-31")]), 3, "job 1 of 1: enddate is not a time"),
        (person(jobs=[job(positionid="x")]), 3, "job 1 of 1: positionid is not a whole number"),
        (person(jobs=[job(sortorder=-1)]), 3, "job 1 of 1: sortorder is not a whole number"),
        (person(jobs=[job(fullname=["x"])]), 3, "job 1 of 1: fullname is neither"),
        (person(jobs=[job(shortname="x" * 101)]), 3, "job 1 of 1: shortname has 101 characters"),
        (person(profile_fields={}), 3, "profile_fields is not a list"),
        (person(profile_fields=""), 3, "profile_fields is not a list"),
        (person(profile_fields=["x"]), 3, "profile field 1 of 1 is not an object"),
        (person(profile_fields=[{}]), 3, "profile field 1 of 1 has no shortname or no datatype"),
        (person(profile_fields=[profile_field(datatype="")]), 3, "1 of 1 has no shortname or no datatype"),
        (person(profile_fields=[profile_field(data=["x"])]), 3, "profile field 1 of 1: data is neither"),
        (person(profile_fields=[profile_field(shortname="x" * 256)]), 3, "shortname has 256 characters"),
    ],
)
def test_a_bad_record_is_refused_with_its_reason(raw: object, remote_id: int | None, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason) as caught:
        read_user(raw)
    assert caught.value.remote_id == remote_id


@pytest.mark.parametrize(
    "changed", [{}, {"profile_fields": None, "jobs": None}, {"profile_fields": None}, {"jobs": None}]
)
def test_no_list_or_null_says_leave_alone(changed: dict[str, None]) -> None:
    record = read_user(person(**changed))
    assert (record.profile_fields, record.jobs) == (None, None)


def test_an_empty_list_says_that_the_person_has_none() -> None:
    record = read_user(person(profile_fields=[], jobs=[]))
    assert (record.profile_fields, record.jobs) == ((), ())


def test_a_tombstone_counts_whatever_else_it_brings() -> None:
    record = read_user(person(deleted="1", profile_fields="odd", jobs=[None]))
    assert record.deleted
    assert (record.profile_fields, record.jobs) == (None, None)


def test_reads_jobs_and_profile_fields_tolerantly() -> None:
    raw_job = job(id=2, idnumber=7, positionid=0, organisationid="0", startdate=-86400, new=[1])
    del raw_job["positionassignmentdate"]
    fields = [profile_field(data=1, new=[]), profile_field(data="second"), profile_field(datatype="menu")]
    record = read_user(person(jobs=[raw_job], profile_fields=fields))
    (found,) = record.jobs or ()
    assert (found.idnumber, found.positionid, found.organisationid, found.startdate) == (
        "7",
        None,
        None,
        -86400,
    )
    assert (found.positionassignmentdate, found.fullname, found.enddate) == (0, None, None)
    assert record.profile_fields == (
        ProfileFieldRecord("shirt", "text", "1"),
        ProfileFieldRecord("shirt", "menu", "XL"),
    )


def test_the_order_of_jobs_is_kept() -> None:
    raws = [job(id=job_id, idnumber=str(job_id), sortorder=9) for job_id in (5, 3, 4)]
    assert [found.id for found in read_user(person(jobs=raws)).jobs or ()] == [5, 3, 4]


def test_megabytes_of_junk_are_not_slow() -> None:
    digits = "9" * 2**21
    junk = [person(**{field.name: digits}) for field in USER_FIELDS]
    junk += [person(jobs=[job(**{name: digits})]) for name in job()]
    junk += [
        person(jobs=[job(id=n, idnumber=n) for n in range(1, 2**14)] + [0]),
        person(profile_fields=[profile_field()] * 2**17 + [0]),
        person(pictures={"f" * 2**20: [], "f1.png": 0}),
    ]
    begun = time.monotonic()
    for raw in junk:
        with pytest.raises(BadRecord):
            read_user(raw)
    assert time.monotonic() - begun < 5


def test_texts_as_long_as_allowed_are_taken() -> None:
    record = read_user(person(firstname="李" * 100, description="x" * MAX_LONG_TEXT, lastname="x\0" * 100))
    assert record.values["firstname"] == "李" * 100
    assert record.values["lastname"] == "x" * 100


@pytest.mark.parametrize(
    "raw",
    [
        person(password="hunter2" * 100),
        person(deleted="hunter2"),
        person(jobs=["hunter2"]),
        person(jobs=[job(startdate="hunter2")]),
        person(jobs=[job(idnumber="hunter2"), job(id=9, idnumber="hunter2")]),
        person(profile_fields="hunter2"),
        person(profile_fields=[profile_field(data={"hunter2": "hunter2"})]),
    ],
)
def test_a_reason_never_holds_the_value(raw: object) -> None:
    with pytest.raises(BadRecord) as caught:
        read_user(raw)
    assert "hunter2" not in str(caught.value)


@given(JSON | st.dictionaries(st.sampled_from([*person(), "deleted", "picture", "pictures", "jobs"]), JSON))
@example(person(jobs=[[]], profile_fields=[[]]))
def test_reading_raises_nothing_but_bad_record(raw: object) -> None:
    try:
        record = read_user(raw)
    except BadRecord:
        return
    assert record.id > 0


@given(st.dictionaries(st.sampled_from([field.name for field in USER_FIELDS]), JSON), st.booleans())
def test_what_was_read_can_be_sent_on_and_read_again(odd: dict[str, Any], single: bool) -> None:
    try:
        record = read_user(person() | odd)
    except BadRecord:
        return
    written = write_user(record.values, version=2, pictures={} if single else None)
    reread = read_user(written)
    assert write_user(reread.values, version=2, pictures={} if single else None) == written
    assert (reread.id, reread.deleted, reread.suspended) == (record.id, record.deleted, record.suspended)


@given(JSON)
def test_reading_a_list_raises_nothing_but_bad_reply(data: object) -> None:
    for candidate in (data, {"users": data}):
        try:
            read_users(candidate)
        except BadReply:
            continue


IDS = st.integers(1, 2**63 - 1)
NUMBERS = st.integers(0, 2**63 - 1)


def texts(longest: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=longest)


JOBS = st.lists(
    st.builds(
        JobRecord,
        id=IDS,
        fullname=st.none() | texts(255),
        shortname=st.none() | texts(100),
        idnumber=texts(100).filter(bool),
        description=st.none() | texts(2000),
        startdate=st.none() | NUMBERS,
        enddate=st.none() | NUMBERS,
        positionid=st.none() | IDS,
        positionassignmentdate=NUMBERS,
        organisationid=st.none() | IDS,
        sortorder=NUMBERS,
    ),
    max_size=4,
    unique_by=(lambda found: found.id, lambda found: found.idnumber),
).map(tuple)

PROFILE_FIELDS = st.lists(
    st.builds(ProfileFieldRecord, texts(255).filter(bool), texts(255).filter(bool), st.none() | texts(2000)),
    max_size=4,
    unique_by=lambda found: (found.shortname, found.datatype),
).map(tuple)


@given(st.none() | JOBS, st.none() | PROFILE_FIELDS)
def test_jobs_and_profile_fields_are_read_as_they_were_written(
    jobs: tuple[JobRecord, ...] | None, fields: tuple[ProfileFieldRecord, ...] | None
) -> None:
    record = replace(read_user(person()), jobs=jobs, profile_fields=fields)
    reread = read_user(msgspec.json.decode(msgspec.json.encode(again(record))))
    assert (reread.jobs, reread.profile_fields) == (jobs, fields)


@given(
    st.fixed_dictionaries(
        {
            "jobs": st.lists(
                st.dictionaries(st.sampled_from([field.name for field in JOB_FIELDS]), JSON), max_size=3
            ),
            "profile_fields": st.lists(
                st.dictionaries(st.sampled_from([*profile_field()]), JSON), max_size=3
            ),
        }
    )
)
def test_odd_jobs_and_fields_raise_nothing_but_bad_record(odd: dict[str, Any]) -> None:
    odd["jobs"] = [job() | each for each in odd["jobs"]]
    try:
        record = read_user(person(**odd))
    except BadRecord:
        return
    assert record.jobs is not None
    assert all(found.idnumber for found in record.jobs)
