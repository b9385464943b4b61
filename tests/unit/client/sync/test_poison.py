"""Records that no run can use: each is skipped with its reason, the run is partial, and the rest is synchronised."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest
from support import lists
from support.client_site import DATABASES, fresh
from support.lists import cohort, course, field, job, person

from tconnect_pyramid.client.runs import show_run
from tconnect_pyramid.client.sync import read
from tconnect_pyramid.directory import hierarchies
from tconnect_pyramid.errors import PeerError

HUGE = 10**30
"""A number of more than 64 bits."""
ENDLESS = 10**4000
"""One that no parser of numbers takes."""
NEITHER = "is neither a text nor a number"


@dataclass(frozen=True)
class Poison:
    """What is wrong with a record (its changed keys, or the whole of it), whose it is, and what is said of it."""

    fields: object
    reason: str
    remote_id: int | None = 8


NO_ID = [
    *(
        Poison({"id": id_}, "id is not a whole number above 0", None)
        for id_ in (None, "", "0", "-1", "x", 1.5, [], {}, str(2**63), HUGE)
    ),
    Poison({"id": ...}, "id is not a whole number above 0", None),
]

PEOPLE = [
    *NO_ID,
    *(Poison(whole, "the record is not an object", None) for whole in (None, [], "person", 7)),
    Poison({"firstname": "x" * 101}, "firstname has 101 characters, more than 100"),
    Poison({"description": "x" * 1_000_001}, "description has 1000001 characters, more than 1000000"),
    Poison({"username": ...}, "username is missing"),
    Poison({"email": None}, "email is missing"),
    Poison({"lastname": []}, f"lastname {NEITHER}"),
    Poison({"city": {"a": "b"}}, f"city {NEITHER}"),
    Poison({"city": HUGE}, "city is a number larger than 2^63-1"),
    Poison({"city": ENDLESS}, "city is a number larger than 2^63-1"),
    Poison({"jobs": [job(80, "J", fullname=ENDLESS)]}, "fullname is a number larger than 2^63-1"),
    Poison({"maildisplay": "two"}, "maildisplay is not a whole number from 0 to 2^63-1"),
    Poison({"maildisplay": HUGE}, "maildisplay is not a whole number from 0 to 2^63-1"),
    Poison({"maildisplay": "3000000000"}, "maildisplay is a larger number than an account here holds"),
    Poison({"suspended": "2"}, "suspended is neither 0 nor 1"),
    Poison({"deleted": "maybe"}, "deleted is not a whole number"),
    Poison({"profile_fields": {}}, "profile_fields is not a list"),
    Poison({"profile_fields": ["M"]}, "profile field 1 of 1 is not an object"),
    Poison({"profile_fields": [field("", "M")]}, "profile field 1 of 1 has no shortname or no datatype"),
    Poison({"profile_fields": [field("shirt", [])]}, f"profile field 1 of 1: data {NEITHER}"),
    Poison({"jobs": "none"}, "jobs is not a list"),
    Poison({"jobs": [7]}, "job 1 of 1 is not an object"),
    Poison({"jobs": [job(n, f"J{n}") for n in range(1, 1002)]}, "there are more than 1000 jobs"),
    Poison(
        {"profile_fields": [field(f"f{n}", "x") for n in range(1001)]},
        "there are more than 1000 profile fields",
    ),
    Poison({"jobs": [job(80, "")]}, "job 1 of 1 has no idnumber"),
    Poison({"jobs": [job(80, "J"), job(81, "J")]}, "job 2 of 2 has the id or the idnumber of another job"),
    Poison({"jobs": [job(80, "J"), job(80, "K")]}, "job 2 of 2 has the id or the idnumber of another job"),
    Poison({"jobs": [job(80, "J", id="x")]}, "job 1 of 1: id is not a whole number above 0"),
    Poison({"jobs": [job(80, "J", fullname="x" * 256)]}, "job 1 of 1: fullname has 256 characters"),
    Poison(
        {"jobs": [job(80, "J", startdate="soon")]}, "job 1 of 1: startdate is not a time in whole seconds"
    ),
    Poison({"jobs": [job(80, "J", sortorder=HUGE)]}, "job 1 of 1: sortorder is not a whole number"),
]
COLLECTIONS = [
    *NO_ID,
    Poison(None, "the cohort is not an object", None),
    Poison({"name": "x" * 255}, "name has 255 characters, more than 254"),
    Poison({"name": None}, "name is missing"),
    Poison({"name": HUGE}, "name is a number larger than 2^63-1"),
    Poison({"name": ENDLESS}, "name is a number larger than 2^63-1"),
    Poison({"idnumber": []}, f"idnumber {NEITHER}"),
    Poison({"members": ...}, "members is not a list"),
    Poison({"members": {}}, "members is not a list"),
    Poison({"members": [{"id": "3"}, {"id": HUGE}]}, "member 2 of 2 has no usable id"),
    Poison({"members": [3]}, "member 1 of 1 has no usable id"),
]
ITEMS = [
    *NO_ID,
    Poison({"fullname": ...}, "fullname is missing"),
    Poison({"shortname": "x" * 101}, "shortname has 101 characters, more than 100"),
    Poison({"idnumber": HUGE}, "idnumber is a number larger than 2^63-1"),
    Poison({"frameworkid": "0"}, "frameworkid is not a whole number above 0"),
    Poison({"parentid": "up"}, "parentid is not a whole number"),
    Poison({"typeidnumber": ...}, "typeidnumber is missing"),
    Poison({"custom_fields": None}, "custom_fields is not a list"),
    Poison({"custom_fields": [7]}, "custom field 1 of 1 is not an object"),
    Poison(
        {"custom_fields": [lists.custom(f"f{n}", "x") for n in range(1001)]},
        "there are more than 1000 custom fields",
    ),
    Poison({"frameworkid": "9"}, "its framework 9 is unknown"),
    Poison({"parentid": "99"}, "its parent 99 is unknown"),
    Poison({"parentid": "8"}, "its parents go round in a circle"),
]
FRAMEWORKS = [
    *NO_ID,
    Poison({"fullname": "x" * 1025}, "fullname has 1025 characters, more than 1024"),
    Poison({"sortorder": "last"}, "sortorder is not a whole number"),
    Poison({"idnumber": {}}, f"idnumber {NEITHER}"),
]


def poisoned(record, poison):
    """The record with what is wrong with it; `...` takes a key away."""
    if not isinstance(poison.fields, dict):
        return poison.fields
    return {name: value for name, value in {**record, **poison.fields}.items() if value is not ...}


def told(poison):
    return poison.reason if len(poison.reason) < 60 else poison.reason[:60]


def every(poisons):
    return pytest.mark.parametrize("poison", poisons, ids=lambda it: f"{told(it)} {str(it.fields)[:40]}")


@pytest.fixture(scope="module", params=DATABASES)
def shared(request):
    """One client for all records: nothing of them stays."""
    with fresh(request.param) as made:
        yield made


def skipped(site, report):
    """Id and reason of the only line of a run that skips something, as the run keeps it."""
    assert report.state == "partial"
    kept = show_run(site.context, report.run)
    assert kept.state == "partial"
    assert kept.counts["skipped"] == 1
    return [(line.remote_id, line.detail) for line in kept.lines if line.action == "skipped"]


def synchronised(site, kind, poison, lists_with):
    """Run twice: with the record where it is new, and where it is known. The others are brought up to date each time.

    `lists_with(city, bad)` makes the server list a good record with this text and a bad one, or a good one for None.
    """
    for text, is_known in (("first", False), ("second", True)):
        lists_with(text, poison)
        ((remote_id, reason),) = skipped(site, site.sync(kind))
        assert remote_id == poison.remote_id
        assert poison.reason in reason
        yield text, is_known
        lists_with(text, None)
        assert site.sync(kind).state == "done"


@every(PEOPLE)
def test_a_person(shared, poison):
    site = shared

    def send(city, bad):
        good = person(8, city=city)
        site.server.people = [person(3, city=city), good if bad is None else poisoned(good, bad)]

    for city, is_known in synchronised(site, "users", poison, send):
        assert site.person(3)["city"] == city
        if is_known:
            assert (site.person(8)["city"], site.state(8)) == ("first", "live")


@every(COLLECTIONS)
def test_a_collection(shared, poison):
    site = shared

    def send(word, bad):
        good = cohort(8, name=f"Eight {word}")
        site.server.cohorts = [good if bad is None else poisoned(good, bad)]
        site.server.courses = [course(3, fullname=f"Three {word}")]

    for word, is_known in synchronised(site, "collections", poison, send):
        names = {it.name for it in site.sets().values()}
        assert f"Three {word}" in names
        if is_known:
            assert "Eight first" in names


@every(ITEMS)
def test_a_position(shared, poison):
    site = shared
    unplaced = poison.reason.startswith("its ")

    def send(name, bad):
        good = lists.item(8, 1, fullname=name)
        site.server.frameworks["positions"] = [lists.framework(1)]
        site.server.items["positions"] = [
            lists.item(3, 1, fullname=name),
            good if bad is None else poisoned(good, bad),
        ]

    for name, is_known in synchronised(site, "positions", poison, send):
        assert site.items()["I3"].fullname == name
        if is_known:
            # What cannot be placed any more goes; what cannot be read stays.
            assert ("I8" in site.items()) != unplaced


@every(FRAMEWORKS)
def test_a_framework(shared, poison):
    site = shared

    def send(name, bad):
        good = lists.framework(8, fullname=name)
        site.server.frameworks["positions"] = [
            lists.framework(1, fullname=name),
            good if bad is None else poisoned(good, bad),
        ]
        site.server.items["positions"] = [lists.item(3, 1)]

    for name, is_known in synchronised(site, "positions", poison, send):
        assert site.frameworks()["F1"].fullname == name
        if is_known:
            assert site.frameworks()["F8"].fullname == "first"


@pytest.mark.parametrize("kind", ["positions", "organisations"])
def test_items_in_a_circle_and_below_it_are_told_one_by_one(shared, kind):
    site = shared
    site.server.frameworks[kind] = [lists.framework(1, kind=kind)]
    site.server.items[kind] = [
        lists.item(3, 1, kind=kind),
        *(lists.item(id_, 1, parent, kind=kind) for id_, parent in ((4, 6), (5, 4), (6, 5), (7, 6))),
    ]
    report = site.sync(kind)
    assert report.state == "partial"
    assert {
        line.remote_id: line.detail for line in report.lines if line.action == "skipped"
    } == dict.fromkeys((4, 5, 6, 7), "its parents go round in a circle")
    kept = hierarchies.POSITIONS if kind == "positions" else hierarchies.ORGANISATIONS
    assert list(site.items(kept)) == ["I3"]


@pytest.mark.parametrize("kind", ["users", "cohorts", "courses", "frameworks", "items"])
def test_the_second_record_with_an_id(shared, kind):
    site = shared
    site.server.people, site.server.cohorts, site.server.courses = [person(3)], [cohort(3)], [course(3)]
    site.server.frameworks["positions"], site.server.items["positions"] = (
        [lists.framework(1)],
        [lists.item(3, 1)],
    )
    served = {
        "users": site.server.people,
        "cohorts": site.server.cohorts,
        "courses": site.server.courses,
        "frameworks": site.server.frameworks["positions"],
        "items": site.server.items["positions"],
    }[kind]
    served.append(copy.deepcopy(served[0]))
    names = {
        "users": "First3 Last3",
        "cohorts": "cohort Audience 3",
        "courses": "course Course 3",
        "frameworks": f"framework {served[0].get('fullname')}",
        "items": f"position {served[0].get('fullname')}",
    }
    run = {"users": "users", "cohorts": "collections", "courses": "collections"}.get(kind, "positions")

    report = site.sync(run)
    ((remote_id, reason),) = skipped(site, report)

    assert subjects(report) == [names[kind]]
    assert (remote_id, reason) == (
        int(served[0]["id"]),
        "is listed more than once; only the first record was used",
    )


def subjects(report):
    return [line.subject for line in report.lines if line.action == "skipped"]


@pytest.mark.parametrize(
    ("bad", "subject"),
    [
        (person(8, city=[]), "First8 Last8"),
        (person(8, city=[], lastname=7), "First8"),
        (person(8, city=[], firstname="A\x07\n  <b>"), "A <b> Last8"),
        (person(8, city=[], firstname="", lastname=None), "person8"),
        (person(8, city=[], firstname="", lastname=None, username=[]), "person 8"),
        ({"id": "8"}, "person 8"),
        (person(8, id="x"), "First8 Last8"),
        ({"id": "x"}, ""),
        (7, ""),
    ],
)
def test_the_line_of_a_bad_record_says_who_it_is_about(shared, bad, subject):
    shared.server.people = [person(3), bad]

    assert subjects(shared.sync()) == [subject]


@pytest.mark.parametrize(
    ("kind", "sent", "subject"),
    [
        ("cohorts", cohort(8, name="Eight", idnumber=[]), "cohort Eight"),
        ("cohorts", cohort(8, name=None), "cohort 8"),
        ("cohorts", {"id": "x"}, "cohort"),
        ("courses", course(8, fullname="Eight", idnumber=[]), "course Eight"),
        ("courses", course(8, fullname=[]), "course 8"),
        ("frameworks", lists.framework(8, fullname="Eight", idnumber=[]), "framework Eight"),
        ("frameworks", lists.framework(8, fullname=None), "framework 8"),
        ("items", lists.item(8, 1, fullname="Eight", idnumber=[]), "position Eight"),
        ("items", lists.item(8, 1, fullname=None), "position 8"),
        ("items", None, "position"),
    ],
)
def test_the_line_of_a_bad_record_says_what_it_is_about(shared, kind, sent, subject):
    server = shared.server
    server.frameworks["positions"], server.items["positions"] = [lists.framework(1)], [lists.item(3, 1)]
    server.cohorts, server.courses = [cohort(3)], [course(3)]
    {
        "cohorts": server.cohorts,
        "courses": server.courses,
        "frameworks": server.frameworks["positions"],
        "items": server.items["positions"],
    }[kind].append(sent)

    report = shared.sync("collections" if kind in {"cohorts", "courses"} else "positions")

    assert subjects(report) == [subject]


def test_what_no_digest_can_hold_is_looked_at_by_every_run(shared):
    """The number stands under a key that nobody knows, so the record can be used."""
    site = shared
    for city in ("One", "Two"):
        site.server.people = [person(3, city=city, profile_fields=[{**field("nobodys", "x"), "more": HUGE}])]
        assert site.sync().state == "done"
        assert site.person(3)["city"] == city


def listing(site, kind, records):
    """Let the server list these and nothing else of a kind."""
    server = site.server
    server.people = server.cohorts = server.courses = []
    server.frameworks["positions"], server.items["positions"] = [lists.framework(1)], []
    match kind:
        case "users":
            server.people = records
        case "cohorts":
            server.cohorts = records
        case "courses":
            server.courses = records
        case "frameworks":
            server.frameworks["positions"], server.items["positions"] = records, [lists.item(3, 3)]
        case "items":
            server.items["positions"] = records
    return {"users": "users", "cohorts": "collections", "courses": "collections"}.get(kind, "positions")


GOOD = {
    "users": person,
    "cohorts": cohort,
    "courses": course,
    "frameworks": lists.framework,
    "items": lambda id_: lists.item(id_, 1),
}


@pytest.mark.parametrize("bad", [lambda good: {}, copy.deepcopy], ids=["no id", "listed twice"])
@pytest.mark.parametrize("kind", GOOD)
def test_a_reply_with_very_many_bad_records_is_none(shared, kind, bad, monkeypatch):
    """Two megabytes of empty records made half a million lines, each time: three hundred megabytes of the database."""
    monkeypatch.setattr(read, "MOST_UNUSABLE", 2)
    good = GOOD[kind](3)
    run = listing(shared, kind, [good, bad(good), bad(good)])
    assert shared.sync(run).state == "partial"
    before = lists.dump(shared.context)

    listing(shared, kind, [good, *(bad(good) for _ in range(3)), GOOD[kind](4)])
    report = shared.sync(run)

    assert (report.state, report.message) == ("failed", "more than 2 records of the reply cannot be used")
    assert list(report.lines) == []
    assert lists.dump(shared.context) == before


@pytest.mark.parametrize("kind", [kind for kind in GOOD if kind != "users"])
def test_what_stays_in_memory_is_not_taken_without_end(shared, kind, monkeypatch):
    monkeypatch.setattr(read, "MOST_LISTED", 4)
    run = listing(shared, kind, [GOOD[kind](id_) for id_ in (3, 4, 5)])
    assert shared.sync(run).state == "done"
    before = lists.dump(shared.context)

    listing(shared, kind, [GOOD[kind](id_) for id_ in (3, 4, 5, 6, 7)])
    report = shared.sync(run)

    assert (report.state, report.message) == ("failed", "the reply lists more than 4")
    assert lists.dump(shared.context) == before


def test_a_long_list_of_people_is_taken_and_one_of_positions_is_not(shared, monkeypatch):
    """People are read in flat memory; of positions all stays there."""
    post, size = shared.server.post, 2**28 + 1

    def long(url, form, *, timeout, limit):
        if size > limit:
            raise PeerError("POST", url, "size", f"the reply is larger than {limit} bytes")
        return post(url, form, timeout=timeout, limit=limit)

    monkeypatch.setattr(shared.server, "post", long)
    listing(shared, "users", [person(3)])
    assert shared.sync("users").state == "done"
    for run in ("positions", "organisations"):
        assert "larger than 268435456 bytes" in shared.sync(run).message
