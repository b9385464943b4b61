"""What of a person's record a client keeps in the account, field by field of protocol 9; ID numbers and pictures."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

import pytest
from support import client_site
from support.client_site import ANOTHER_HASH, FIRST, HASH, add_field, colour, photographed, square
from support.lists import field as custom
from support.lists import job, person, tombstone

WAYS = ("sync", "sign-in", "refresh")
FIRST_PERSON = 100
BCRYPT = "$2y$10$BXwucLKzdxUO7Qj5P6i5PuCY7ohGrHlDZJ0nGJeHoOOTB255XtsS2"


@dataclass(frozen=True)
class Row:
    """A rule about one field: what was sent when the account was made, and later; what is kept each time."""

    rule: str
    name: str
    sent: object
    made: object
    later: object = None
    kept: object = ...
    """The same as was made, if not said otherwise."""
    by_hand: dict = field(default_factory=dict)
    """What somebody writes into the account in between."""

    def __str__(self) -> str:
        return f"9 {self.rule}: {self.name} {self.sent!r:.30}, then {self.later!r:.30}"


def overwritten(name, sent, later, *, made=None, kept=None):
    """A field that is copied, and overwritten by later updates, also where it was changed by hand."""
    made = sent if made is None else made
    kept = later if kept is None else kept
    by_hand = {} if name in {"password", "auth", "confirmed"} else {name: made}
    return Row("later updates overwrite the rest", name, sent, made, later, kept, by_hand)


def left_alone(name, sent, later, *, by_hand):
    """A field that is copied at creation and is the person's own business here afterwards."""
    return Row(
        "later updates leave alone",
        name,
        sent,
        int(sent) if sent.isdigit() else sent,
        later,
        by_hand,
        {name: by_hand},
    )


def not_copied(name, sent, made, later, *, by_hand):
    """A field that is this site's own from the beginning."""
    return Row("copied except", name, sent, made, later, by_hand, {name: by_hand})


TEXTS = [
    "icq", "skype", "yahoo", "aim", "msn", "phone1", "phone2", "institution", "department", "address", "city",
    "imagealt", "firstnamephonetic", "lastnamephonetic", "middlename", "alternatename", "firstname", "lastname",
]  # fmt: skip

# fmt: off
ROWS = [
    *(overwritten(name, f"{name} 1", f"{name} 2") for name in TEXTS),
    *(Row("later updates overwrite the rest", name, f"{name} 1", f"{name} 1", "" , "", {name: "by hand"}) for name in TEXTS if name not in {"firstname", "lastname"}),
    overwritten("email", "one@example.com", "two@example.com"),
    overwritten("country", "SE", "NO"),
    overwritten("timezone", "Europe/Oslo", "Asia/Tokyo"),
    overwritten("url", "http://one.example/", "https://two.example/x"),
    overwritten("description", "<p>One</p>", "<p>Two</p>"),
    Row("null is kept as none", "description", "<p>One</p>", "<p>One</p>", None, None),
    Row("null is kept as none", "middlename", "Ann", "Ann", None, None),
    overwritten("mailformat", "0", "1", made=0, kept=1),
    overwritten("maildisplay", "0", "1", made=0, kept=1),
    left_alone("emailstop", "1", "0", by_hand=1),
    left_alone("emailstop", "0", "0", by_hand=1),
    left_alone("maildigest", "2", "0", by_hand=1),
    left_alone("autosubscribe", "0", "0", by_hand=1),
    left_alone("trackforums", "1", "1", by_hand=0),
    left_alone("lang", "de", "de", by_hand="en"),
    left_alone("lang", "en", "de", by_hand="en"),

    not_copied("policyagreed", "1", 0, "1", by_hand=0),
    not_copied("policyagreed", "1", 0, "0", by_hand=1),
    not_copied("lastip", "192.0.2.7", "", "192.0.2.8", by_hand=""),
    not_copied("idnumber", "N1", "", "N2", by_hand="own"),
    not_copied("idnumber", "N1", "", "", by_hand="own"),
    Row("auth method connect, confirmed", "auth", "ldap", "connect", "manual", "connect"),
    Row("auth method connect, confirmed", "confirmed", "0", 1, "0", 1),

    Row("unknown language, theme, calendar or country", "lang", "tlh", "en", "de", "en"),
    Row("unknown language, theme, calendar or country", "theme", "fancy", "", "fancier", ""),
    Row("unknown language, theme, calendar or country", "calendartype", "mayan", "gregorian", "mayan", "gregorian"),
    Row("unknown language, theme, calendar or country", "country", "ZZ", "", "XX", ""),
    Row("unknown language, theme, calendar or country", "country", "NZ", "NZ", "XX", ""),
    Row("tags are stripped from names", "firstname", "<b>Bob</b>", "Bob", "A<i>n</i>n", "Ann"),
    Row("tags are stripped from names", "lastname", "<a href='x'>Ek</a>", "Ek", "<script>", ""),
    Row("tags are stripped from names", "middlename", "O'Neil & Sons", "O'Neil & Sons", "a < b", "a < b"),
    Row("6 a description is cleaned HTML", "description", "<p>x<script>1</script></p>", "<p>x</p>", "<b onclick='x'>y</b>", "<b>y</b>"),

    Row("a null password keeps what is there", "password", BCRYPT, BCRYPT, None, BCRYPT),
    Row("a null password keeps what is there", "password", None, None, None, None),
    Row("a null password keeps what is there", "password", None, None, BCRYPT, BCRYPT),
    Row("a received hash replaces", "password", HASH, HASH, ANOTHER_HASH, ANOTHER_HASH),
    *(Row("a received hash is kept", "password", BCRYPT.replace("2y$10", start), BCRYPT.replace("2y$10", start))
      for start in ("2a$10", "2b$10", "2y$04", "2y$14", "2a$14")),
    *(Row("a received hash is not kept, what is there stays", "password", hashed, None, None, None)
      for hashed in ("not cached", "5f4dcc3b5aa765d61d8327deb882cf99", BCRYPT.replace("y$10", "y$15"), BCRYPT.replace("2y", "2x"),
                     BCRYPT[:-1], "$6$rounds=5000$ab$cd", "", "$2y$31$" + "a" * 53)),
    *(Row("a received hash is not kept, what is there stays", "password", BCRYPT, BCRYPT, hashed, BCRYPT)
      for hashed in ("not cached", "restored", BCRYPT.replace("y$10", "y$15"), BCRYPT.replace("2y", "2x"), "")),
]
# fmt: on


def sent_as(id_, name, value):
    return person(id_, **{name: value})


@dataclass
class Seen:
    """What was shown of each person after the account was made, and after it was brought up to date."""

    made: dict[int, dict]
    kept: dict[int, dict]


def number(way: str, row: Row) -> int:
    return FIRST_PERSON + 1000 * WAYS.index(way) + ROWS.index(row)


@pytest.fixture(scope="module", params=client_site.DATABASES)
def seen(request):
    """All rows, each way: made by a sync, or by signing in; updated by a sync, by signing in, by a refresh."""
    with client_site.fresh(request.param) as site:
        first = {
            number(way, row): sent_as(number(way, row), row.name, row.sent) for way in WAYS for row in ROWS
        }
        then = {
            number(way, row): sent_as(number(way, row), row.name, row.later) for way in WAYS for row in ROWS
        }
        signing_in = {number("sign-in", row) for row in ROWS}
        for id_ in signing_in:
            assert site.sign_in(first[id_]).signed_in
        made = {id_: site.person(id_) for id_ in signing_in}
        site.server.people = list(first.values())
        report = site.sync()
        assert report.counts["updated"] == 0, "a sign-in and a sync make the same account"
        made.update({id_: site.person(id_) for id_ in first if id_ not in signing_in})
        for way in WAYS:
            for row in ROWS:
                site.write(site.key(number(way, row)), **row.by_hand)
        refreshed = {number("refresh", row) for row in ROWS}
        for id_ in signing_in:
            assert site.sign_in(then[id_]).signed_in
        for id_ in refreshed:
            assert site.refresh(then[id_])
        kept = {id_: site.person(id_) for id_ in signing_in | refreshed}
        site.server.people = list(then.values())
        report = site.sync()
        told = {line.remote_id for line in report.lines}
        assert not told & (signing_in | refreshed), "what a sign-in or a refresh wrote, no sync undoes"
        kept.update({id_: site.person(id_) for id_ in then if id_ not in kept})
        yield Seen(made, kept)


@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_each_field_is_kept_as_its_rule_says(seen, way, row):
    id_ = number(way, row)
    made, kept = seen.made[id_], seen.kept[id_]

    for shown in (made, kept):
        assert shown["username"] == f"tc_{id_}_{FIRST}"
        assert (shown["auth"], shown["confirmed"], shown["suspended"]) == ("connect", 1, False)
    assert made[row.name] == row.made
    assert kept[row.name] == (row.made if row.kept is ... else row.kept)


@pytest.fixture(params=client_site.DATABASES)
def site(request):
    with client_site.fresh(request.param) as made:
        yield made


def test_9_times_and_access_data_are_this_sites_own(site):
    times = dict.fromkeys(
        ("timecreated", "timemodified", "firstaccess", "lastaccess", "lastlogin", "currentlogin"), "77"
    )
    site.server.people = [person(3, **times)]
    site.sync()
    shown = site.person(3)
    now = site.context.clock()
    assert (shown["timecreated"], shown["timemodified"]) == (now, now)
    assert [shown[name] for name in ("firstaccess", "lastaccess", "lastlogin", "currentlogin")] == [
        0,
        0,
        0,
        0,
    ]

    site.sign_in(person(3, **times))
    assert [site.person(3)[name] for name in ("firstaccess", "lastaccess", "lastlogin", "currentlogin")] == [
        now,
        now,
        0,
        now,
    ]


def test_9_a_sign_in_and_a_refresh_bring_no_custom_fields_no_jobs_and_no_id_number(site):
    site.set(sync_idnumber="true")
    add_field(site, "shirt")
    record = person(3, profile_fields=[custom("shirt", "M")], jobs=[job(1, "J")], idnumber="N")

    site.sign_in(record)
    site.refresh(record)
    shown = site.person(3)
    assert (shown["fields"], shown["jobs"], shown["idnumber"]) == ({}, [], "")

    site.server.people = [record]
    site.sync()
    shown = site.person(3)
    assert (shown["fields"], shown["jobs"], shown["idnumber"]) == ({"shirt": "M"}, ["J"], "N")
    other = person(3, profile_fields=[], jobs=[], idnumber="other")
    site.sign_in(other)
    site.refresh(other)
    shown = site.person(3)
    assert (shown["fields"], shown["jobs"], shown["idnumber"]) == ({"shirt": "M"}, ["J"], "N")


@pytest.mark.parametrize("data", [{"user": None}, {"user": tombstone(3)}], ids=["null", "deleted"])
def test_7_8_a_null_or_deleted_person_changes_nothing(site, data):
    site.server.people = [person(3)]
    site.sync()
    visit = site.sign_in(person(3))
    before = site.person(3)
    site.server.answers["get_user"] = client_site.jsend.Success(data)

    page = visit.browser.get(
        "/auth/connect/user_edit_finish.php", {"serveruserid": "3", "clientidnumber": site.client_idnumber()}
    )

    assert page.maybe_follow().status_code == 200
    assert "get_user" in site.server.asked
    assert site.person(3) == before
    assert visit.signed_in


def test_7_8_coming_back_from_the_servers_form_brings_the_new_profile(site):
    visit = site.sign_in(person(3))
    site.server.answers["get_user"] = client_site.jsend.Success(
        {"user": photographed(person(3, lastname="Changed"))}
    )

    page = visit.browser.get(
        "/auth/connect/user_edit_finish.php", {"serveruserid": "3", "clientidnumber": site.client_idnumber()}
    ).maybe_follow()

    assert "Changed" in page.text
    assert (site.person(3)["lastname"], site.person(3)["picture"]) == ("Changed", 7)


# --- ID numbers, with the setting on ---------------------------------------------------------------


@dataclass(frozen=True)
class Numbers:
    """Which ID numbers three people have here, after what is sent one list after the other.

    `holders`: local accounts with their ID numbers, and whether they are deleted. None: not listed, `gone`: deleted there.
    """

    rule: str
    sent: tuple[dict[int, str | None], ...]
    have: dict[int, str]
    holders: tuple[tuple[str, bool], ...] = ()

    def __str__(self) -> str:
        return f"9 ID number, {self.rule}"


NUMBERS = [
    Numbers("is copied at creation", ({3: "A"},), {3: "A"}),
    Numbers("is copied at update", ({3: "A"}, {3: "B"}), {3: "B"}),
    Numbers("an empty one clears", ({3: "A"}, {3: ""}), {3: ""}),
    Numbers("is empty at creation when another account has it", ({3: "A"},), {3: ""}, (("A", False),)),
    Numbers("is unchanged at update when another account has it", ({3: "B"}, {3: "A"}), {3: "B"}, (("A", False),)),
    Numbers("is empty at creation when a deleted account has it", ({3: "A"},), {3: ""}, (("A", True),)),
    Numbers("is unchanged at update when a deleted account has it", ({3: "B"}, {3: "A"}), {3: "B"}, (("A", True),)),
    Numbers("another person here has it", ({3: "A"}, {3: "A", 4: "A"}), {3: "A", 4: ""}),
    Numbers("two new people want it, one has it", ({3: "A", 4: "A"},), {3: "A", 4: ""}),
    Numbers("two people swap theirs", ({3: "A", 4: "B"}, {3: "B", 4: "A"}), {3: "B", 4: "A"}),
    Numbers("three people pass theirs on", ({3: "A", 4: "B", 5: "C"}, {3: "B", 4: "C", 5: "A"}), {3: "B", 4: "C", 5: "A"}),
    Numbers("who gives it up lets another have it", ({3: "A", 4: "B"}, {3: "", 4: "A"}), {3: "", 4: "A"}),
    Numbers("who is deleted there lets another have it", ({3: "A", 4: "B"}, {3: "gone", 4: "A"}), {3: "", 4: "A"}),
    Numbers("who is missing keeps it", ({3: "A", 4: "B"}, {3: None, 4: "A"}), {3: "A", 4: "B"}),
    Numbers("a blocked swap leaves both", ({3: "A", 4: "B"}, {3: "B", 4: "X"}), {3: "A", 4: "B"}, (("X", False),)),
    Numbers("an undeleted account has it again", ({3: "A"}, {3: "gone"}, {3: "A"}), {3: "A"}),
    Numbers("an undeleted account whose number went on", ({3: "A"}, {3: "gone", 4: "A"}, {3: "A", 4: "A"}), {3: "", 4: "A"}),
]  # fmt: skip


def listed(numbers: dict[int, str | None]) -> list[dict]:
    return [
        tombstone(id_) if value == "gone" else person(id_, idnumber=value)
        for id_, value in numbers.items()
        if value is not None
    ] + [person(99, idnumber="")]


@pytest.mark.parametrize("row", NUMBERS, ids=str)
def test_id_numbers_with_the_setting_on(site, row):
    site.set(sync_idnumber="true")
    for value, deleted in row.holders:
        site.add(idnumber=value, deleted=int(deleted))
    for numbers in row.sent:
        site.server.people = listed(numbers)
        assert site.sync().state in {"done", "partial"}

    assert {id_: site.person(id_)["idnumber"] for id_ in row.have} == row.have
    assert not site.sync().counts["updated"], "the same list once more changes nothing"
    assert {id_: site.person(id_)["idnumber"] for id_ in row.have} == row.have


def test_9_id_numbers_are_not_copied_without_the_setting_and_stay_when_it_is_taken_back(site):
    site.server.people = [person(3, idnumber="A")]
    site.sync()
    assert site.person(3)["idnumber"] == ""
    site.set(sync_idnumber="true")
    site.sync()
    assert site.person(3)["idnumber"] == "A"
    site.set(sync_idnumber="false")
    site.server.people = [person(3, idnumber="")]
    site.sync()
    assert site.person(3)["idnumber"] == "A"


# --- pictures --------------------------------------------------------------------------------------

RED, BLUE = (255, 0, 0), (0, 0, 255)


def bad(**files) -> dict:
    """A new picture, some of whose files are bad."""
    return {"picture": "8", "pictures": {"f1.png": square("blue"), "f2.png": square("blue", 35), **files}}


PICTURES = {
    "9 picture at sign-in: the same number, the files stay": (photographed({}, 7, "blue"), 7, RED),
    "6 picture: another number, the files are replaced": (photographed({}, 8, "blue"), 8, BLUE),
    "6 picture: a smaller number is another one too": (photographed({}, 6, "blue"), 6, BLUE),
    "6 picture: 0 is none": ({"picture": "0", "pictures": []}, 0, None),
    "6 picture: .jpg is possible": (
        {"picture": "8", "pictures": {"f1.jpg": square("blue", kind="JPEG")}}, 8, (0, 0, 254)
    ),
    "a bad file: not base64": (bad(**{"f2.png": "*"}), 7, RED),
    "a bad file: no image": (bad(**{"f1.png": base64.b64encode(b"GIF89a<script>").decode()}), 7, RED),
    "a bad file: empty": (bad(**{"f1.png": ""}), 7, RED),
    "a file with a path in its name is ignored": (bad(**{"../f1.png": square("red")}), 8, BLUE),
    "a file of another kind is ignored": (bad(**{"f1.svg": base64.b64encode(b"<svg/>").decode()}), 8, BLUE),
    "a number without files": ({"picture": "8", "pictures": []}, 7, RED),
}  # fmt: skip


@pytest.mark.parametrize("way", ["sign-in", "refresh"])
@pytest.mark.parametrize("row", PICTURES.values(), ids=PICTURES)
def test_a_picture_comes_with_its_person(site, way, row):
    record, number, shown_colour = row
    assert site.sign_in(photographed(person(3), 7, "red")).signed_in
    key = site.key(3)

    if way == "sign-in":
        assert site.sign_in({**person(3, city="New"), **record}).signed_in
    else:
        assert site.refresh({**person(3, city="New"), **record})

    shown = site.shown(key)
    assert (shown["picture"], shown["city"]) == (number, "New")
    files = site.picture(key)
    assert {name.partition(".")[2] for name in files} <= {"png", "jpg"}
    assert not any("/" in name for name in files)
    if shown_colour is None:
        assert files == {}
    else:
        first = next(content for name, content in files.items() if name.startswith("f1"))
        assert colour(first) == shown_colour


def test_6_the_users_sync_never_touches_pictures(site):
    site.sign_in(photographed(person(3), 7, "red"))
    before = site.picture(site.key(3))
    for record in (person(3), person(3, picture="0", pictures=[]), photographed(person(3), 9, "blue")):
        site.server.people = [record]
        assert site.sync().state == "done"
    assert (site.person(3)["picture"], site.picture(site.key(3))) == (7, before)
