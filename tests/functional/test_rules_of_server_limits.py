"""The limits of a Totara client, one row each: section 6 of the protocol's page.

A Totara client ends its whole run at one value that it cannot store. What fits is sent as it is, on both
databases; what does not can be kept by SQLite only, which stands here for a host's own, wider columns.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from support import server_by_http
from support.server_by_http import DATABASES, ServerByHttp, table
from support.server_site import ORGANISATIONS, POSITIONS

from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.models import Audience, Course
from tconnect_pyramid.secretbox import new_token

MAY_BE_NULL = {"imagealt", "lastnamephonetic", "firstnamephonetic", "middlename", "alternatename"}


@pytest.fixture(scope="module", params=DATABASES)
def server(request, tmp_path_factory):
    with server_by_http.running(request.param, tmp_path_factory.mktemp("server")) as made:
        yield made


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A server whose tables keep what is too long."""
    with server_by_http.running("sqlite", tmp_path_factory.mktemp("wide")) as made:
        yield made


# --- each limit -------------------------------------------------------------------------------------------


def person(server: ServerByHttp, name: str, value: str) -> dict:
    client = server.add_client()
    fields = {"username": new_token(), "firstname": "F", "email": "", name: value}
    key = server.add_person(**fields)
    found = server.listed(client, key)
    asked = server.user(client, key)
    assert asked is not None
    assert asked[name] == found[name]
    return found


def job(server: ServerByHttp, name: str, value: str) -> dict:
    client, key = server.add_client(), server.add_person()
    server.add_job(key, **{name: value})
    (found,) = server.listed(client, key)["jobs"]
    return found


def audience(server: ServerByHttp, name: str, value: str) -> dict:
    made = server.add(Audience(timecreated=1, timemodified=1, **{name: value}))
    client = server.add_client(audiences=[made])
    (found,) = server.data(client, "get_user_collections")["cohort"]
    return found


def course(server: ServerByHttp, name: str, value: str) -> dict:
    made = server.add(Course(shortname=new_token(), timecreated=1, timemodified=1, **{name: value}))
    client = server.add_client(courses=[made])
    (found,) = server.data(client, "get_user_collections")["course"]
    return found


def _item(tables):
    def item(server: ServerByHttp, name: str, value: str) -> dict:
        framework = server.add_framework(tables)
        server.add_item(tables, framework, **{name: value})
        client = server.add_client(**{f"{tables.word}_frameworks": [framework]})
        (found,) = server.data(client, tables.service)[f"{tables.word}s"]
        return found

    return item


def _framework(tables):
    def framework(server: ServerByHttp, name: str, value: str) -> dict:
        made = server.add_framework(tables, **{name: value})
        client = server.add_client(**{f"{tables.word}_frameworks": [made]})
        (found,) = server.data(client, tables.service)["frameworks"]
        return found

    return framework


SENDERS = {
    "person": person,
    "job": job,
    "audience": audience,
    "course": course,
    "position": _item(POSITIONS),
    "organisation": _item(ORGANISATIONS),
    "framework of positions": _framework(POSITIONS),
    "framework of organisations": _framework(ORGANISATIONS),
}


@dataclass(frozen=True)
class Limit:
    record: str
    name: str
    most: int

    @property
    def says(self) -> str:
        return f"6 limits: {self.record}: {self.name} {self.most}"


def limits(record: str, most: int, names: str) -> list[Limit]:
    return [Limit(record, name, most) for name in names.split()]


LIMITS = [
    *limits("person", 100, "username firstname lastname email"),
    *limits("person", 255, "idnumber institution department address url imagealt"),
    *limits("person", 255, "firstnamephonetic lastnamephonetic middlename alternatename"),
    *limits("person", 120, "city"),
    *limits("person", 2, "country"),
    *limits("person", 20, "phone1 phone2"),
    *limits("person", 15, "icq"),
    *limits("person", 50, "skype yahoo aim msn theme"),
    *limits("person", 30, "lang calendartype"),
    *limits("person", 100, "timezone"),
    *limits("audience", 254, "name"),
    *limits("course", 254, "fullname"),
    *(
        limit
        for record in ("position", "organisation")
        for limit in (
            *limits(record, 100, "shortname idnumber"),
            *limits(record, 1024, "fullname"),
            *limits(record, 255, "sortthread"),
        )
    ),
    *(
        limit
        for record in ("framework of positions", "framework of organisations")
        for limit in (*limits(record, 100, "shortname idnumber"), *limits(record, 1024, "fullname"))
    ),
    *limits("job", 100, "idnumber shortname"),
]

_numbers = itertools.count(1)


def text(length: int) -> str:
    """A text of so many characters, of one to four bytes each; no two of them begin alike."""
    return f"{next(_numbers):04}{'aÅ李😀' * 300}"[-length if length < 8 else 0 :][:length]


@table(*LIMITS)
def test_what_fits_is_sent_as_it_is(server, row):
    # A name in small letters, as a database may compare user names so.
    value = text(row.most)

    assert SENDERS[row.record](server, row.name, value)[row.name] == value


@table(*(row for row in LIMITS if (row.record, row.name) != ("job", "idnumber")))
def test_no_more_than_that_is_sent(wide, row):
    sent = SENDERS[row.record](wide, row.name, text(row.most + 1))[row.name]

    if sent is None:
        assert row.name in MAY_BE_NULL
    else:
        assert len(sent) <= row.most


def test_6_limits_job_idnumbers_are_never_empty_and_unique_per_person(wide):
    client, key = wide.add_client(), wide.add_person()
    long = text(101)
    for number, idnumber in enumerate((long, f"{long}2", long[:100], "", "1"), start=1):
        wide.add_job(key, idnumber=idnumber, sortorder=number)

    sent = [found["idnumber"] for found in wide.listed(client, key)["jobs"]]

    assert "1" in sent
    assert len(set(sent)) == len(sent)
    assert all(0 < len(idnumber) <= 100 for idnumber in sent)


def test_6_limits_one_bad_record_keeps_no_other_from_being_sent(wide):
    client = wide.add_client()
    before, bad, after = (
        wide.add_person(),
        wide.add_person(username=text(300), firstname=text(300), lastname=text(300), country=text(300)),
        wide.add_person(),
    )

    listed = {int(record["id"]): record for record in wide.users(client)}

    assert {before, bad, after} <= listed.keys()
    assert max(len(value) for value in listed[bad].values() if isinstance(value, str)) <= 255


@dataclass(frozen=True)
class OfTheSite:
    says: str
    url: str
    name: str


@table(
    OfTheSite("6 limits: a server's name of more than 255", "http://localhost", "n" * 256),
    OfTheSite("6 limits: a server's URL of more than 255", f"http://localhost/{'p' * 240}", "n"),
)
def test_a_site_whose_name_or_url_is_too_long_does_not_start(tmp_path, row):
    with (
        pytest.raises(ConfigurationProblem, match="255"),
        server_by_http.running("sqlite", tmp_path, url=row.url, **{"tconnect.site_name": row.name}),
    ):
        pass
