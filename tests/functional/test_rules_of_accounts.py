"""What a client does with the accounts of people, sentence by sentence of protocol 9.

Each row is the history of one person: what the server sent at each users sync, and what was done by hand in
between. All rows are played at the same time on one site, so that each must come out as if it were alone.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from support import client_site, host_accounts
from support.client_site import FIRST, body, lines
from support.lists import cohort, person, tombstone

from tconnect_pyramid import people
from tconnect_pyramid.client.runs import approve_run
from tconnect_pyramid.directory import audiences

MODES = ("keep", "suspend", "delete")
"""The values of the setting for people who are missing; the second one is the default."""

# What the server sends about somebody.
LISTED = "listed"
LISTED_SUSPENDED = "listed as suspended"
UNCONFIRMED = "listed, not confirmed there"
GUEST = "the guest"
GONE = "listed as deleted"
MISSING = "not listed"
SENT = (LISTED, LISTED_SUSPENDED, UNCONFIRMED, GUEST, GONE, MISSING)

# What is done by hand.
SUSPEND = "suspended by hand"
UNSUSPEND = "lifted by hand"
DELETE = "deleted by hand"
ROW_GONE = "the row removed"
TAKE_NAME = "a stranger takes the name"

# What becomes of the account.
NONE, LIVE, SUSPENDED, DELETED = "none", "live", "suspended", "deleted"


@dataclass(frozen=True)
class Row:
    """A rule: the history of a person, and in which state it ends in all `MODES`, or in each.

    None: it cannot be played in this mode, as its account is deleted when something is done by hand.
    """

    rule: str
    history: tuple[str, ...]
    ends: str | tuple[str | None, str | None, str | None]

    def end(self, mode: str) -> str | None:
        return self.ends if isinstance(self.ends, str) else self.ends[MODES.index(mode)]

    def __str__(self) -> str:
        return f"9 {self.rule}: {', '.join(self.history)}"


# fmt: off
ROWS = [
    Row("accounts", (LISTED,), LIVE),
    Row("accounts, who is not confirmed on the server is sent too", (UNCONFIRMED,), LIVE),
    Row("accounts, a name that a stranger has: skipped", (TAKE_NAME, LISTED), NONE),
    Row("accounts, guests are never synchronised", (GUEST,), NONE),

    Row("suspended, is taken at creation", (LISTED_SUSPENDED,), SUSPENDED),
    Row("suspended, rules while listed, with suspend only", (LISTED, LISTED_SUSPENDED), (LIVE, SUSPENDED, LIVE)),
    Row("suspended, rules while listed, with suspend only", (LISTED_SUSPENDED, LISTED), (SUSPENDED, LIVE, SUSPENDED)),
    Row("suspended, rules while listed, with suspend only",
        (LISTED_SUSPENDED, UNSUSPEND, LISTED_SUSPENDED), (LIVE, SUSPENDED, LIVE)),
    Row("suspended by hand, stays", (LISTED, SUSPEND, LISTED), SUSPENDED),
    Row("suspended by hand, stays", (LISTED, SUSPEND, LISTED_SUSPENDED, LISTED), SUSPENDED),
    Row("suspended by hand, stays", (LISTED_SUSPENDED, SUSPEND, LISTED), SUSPENDED),
    Row("suspended by hand, stays", (LISTED, LISTED_SUSPENDED, SUSPEND, LISTED), SUSPENDED),
    Row("suspended by hand, stays", (LISTED, SUSPEND, MISSING, LISTED), SUSPENDED),
    Row("suspended by hand, stays", (LISTED, MISSING, SUSPEND, LISTED), (SUSPENDED, SUSPENDED, None)),
    Row("suspended by hand, stays after a deletion too", (LISTED, SUSPEND, GONE, LISTED), SUSPENDED),
    Row("suspended by hand, stays after a deletion too", (LISTED, SUSPEND, DELETE, LISTED), SUSPENDED),
    Row("suspended by hand, stays until lifted by hand", (LISTED, SUSPEND, LISTED, UNSUSPEND, LISTED), LIVE),
    Row("suspended by hand, lifted: a sync may suspend and unsuspend again",
        (LISTED, SUSPEND, UNSUSPEND, LISTED_SUSPENDED, LISTED), LIVE),
    Row("suspended by a sync, lifted and suspended by hand", (LISTED_SUSPENDED, UNSUSPEND, SUSPEND, LISTED), SUSPENDED),
    Row("suspended by a sync, lifted, later suspended by hand",
        (LISTED_SUSPENDED, UNSUSPEND, LISTED, SUSPEND, LISTED), SUSPENDED),

    Row("missing", (LISTED, MISSING), (LIVE, SUSPENDED, DELETED)),
    Row("missing", (LISTED_SUSPENDED, MISSING), (SUSPENDED, SUSPENDED, DELETED)),
    Row("missing", (LISTED, SUSPEND, MISSING), (SUSPENDED, SUSPENDED, DELETED)),
    Row("missing, lifted by hand and missing still", (LISTED, MISSING, UNSUSPEND, MISSING), (LIVE, SUSPENDED, None)),
    Row("missing, who returns is unsuspended or undeleted", (LISTED, MISSING, LISTED), LIVE),
    Row("missing, who returns is unsuspended or undeleted", (LISTED_SUSPENDED, MISSING, LISTED), (SUSPENDED, LIVE, LIVE)),
    Row("missing, who returns suspended", (LISTED, MISSING, LISTED_SUSPENDED), (LIVE, SUSPENDED, SUSPENDED)),
    Row("missing, who returns suspended, then not", (LISTED, MISSING, LISTED_SUSPENDED, LISTED), (LIVE, LIVE, SUSPENDED)),
    Row("missing twice, returns twice", (LISTED, MISSING, LISTED, MISSING, LISTED), LIVE),

    Row("deleted on the server, nobody to delete", (GONE,), NONE),
    Row("deleted on the server", (LISTED, GONE), DELETED),
    Row("deleted on the server", (LISTED_SUSPENDED, GONE), DELETED),
    Row("deleted on the server", (LISTED, SUSPEND, GONE), DELETED),
    Row("deleted on the server, after being missing", (LISTED, MISSING, GONE), DELETED),
    Row("deleted on the server, later not listed any more", (LISTED, GONE, MISSING), DELETED),
    Row("deleted on the server, reappears", (LISTED, GONE, LISTED), LIVE),
    Row("deleted on the server, reappears", (LISTED_SUSPENDED, GONE, LISTED), LIVE),
    Row("deleted on the server, reappears", (LISTED, GONE, MISSING, LISTED), LIVE),
    Row("deleted on the server, reappears: suspended is taken at undelete", (LISTED, GONE, LISTED_SUSPENDED), SUSPENDED),
    Row("deleted on the server, reappears: but a stranger has the name", (LISTED, GONE, TAKE_NAME, LISTED), DELETED),
    Row("deleted on the server, twice", (LISTED, GONE, LISTED, GONE), DELETED),

    Row("deleted by hand, comes back at the next sync", (LISTED, DELETE, LISTED), LIVE),
    Row("deleted by hand, comes back at the next sync", (LISTED_SUSPENDED, DELETE, LISTED), LIVE),
    Row("deleted by hand, suspended is taken at undelete", (LISTED, DELETE, LISTED_SUSPENDED), SUSPENDED),
    Row("deleted by hand, and missing", (LISTED, DELETE, MISSING), DELETED),
    Row("deleted by hand, missing, returns", (LISTED, DELETE, MISSING, LISTED), LIVE),
    Row("deleted by hand, and on the server", (LISTED, DELETE, GONE), DELETED),
    Row("row gone, the link is dropped and a new account made", (LISTED, ROW_GONE, LISTED), LIVE),
    Row("row gone, suspended is taken at creation", (LISTED, ROW_GONE, LISTED_SUSPENDED), SUSPENDED),
    Row("row gone, the link is dropped", (LISTED, ROW_GONE, MISSING), NONE),
    Row("row gone, the link is dropped", (LISTED, ROW_GONE, GONE), NONE),
    Row("row gone, missing, returns", (LISTED, ROW_GONE, MISSING, LISTED), LIVE),
]
# fmt: on

FIRST_PERSON = 100


def numbered(mode: str) -> dict[int, Row]:
    """Those that can be played in a mode, each with its person's id."""
    return {FIRST_PERSON + n: row for n, row in enumerate(ROWS) if row.end(mode) is not None}


def record(id_: int, sent: str) -> list[dict]:
    """What is in the list of people for somebody."""
    match sent:
        case "listed":
            return [person(id_)]
        case "listed as suspended":
            return [person(id_, suspended="1")]
        case "listed, not confirmed there":
            return [person(id_, confirmed="0")]
        case "the guest":
            return [person(id_, username="guest")]
        case "listed as deleted":
            return [tombstone(id_)]
    return []


def by_hand(site, id_: int, act: str) -> None:
    key = site.key(id_)
    match act:
        case "suspended by hand":
            site.do(people.suspend, key)
        case "lifted by hand":
            site.do(people.unsuspend, key)
        case "deleted by hand":
            site.do(people.delete_person, key)
        case "the row removed":
            site.drop_row(key)
        case "a stranger takes the name":
            site.add(f"tc_{id_}_{FIRST}")


@dataclass
class Played:
    """How the rows of a mode came out: the state of each person, and the account's id after each sync."""

    states: dict[int, str]
    keys: dict[int, list[int | None]]
    told: dict[int | None, str]
    again: dict[int | None, str]
    states_again: dict[int, str]


def play(site, mode: str) -> Played:
    """Play all rows, sync by sync; who has come to the end of the history is sent the same once more."""
    site.set(removed_person=mode)
    rows = numbered(mode)
    rest = {id_: list(row.history) for id_, row in rows.items()}
    keys: dict[int, list[int | None]] = {id_: [] for id_ in rows}
    sent = dict.fromkeys(rows, MISSING)
    report = None
    while any(rest.values()):
        for id_, steps in rest.items():
            while steps and steps[0] not in SENT:
                by_hand(site, id_, steps.pop(0))
            if steps:
                sent[id_] = steps.pop(0)
        # Somebody is always there, so that the list is never empty.
        site.server.people = [person(3), *(it for id_ in rows for it in record(id_, sent[id_]))]
        report = site.sync()
        for id_ in rows:
            keys[id_].append(site.key(id_))
    states = {id_: site.state(id_) for id_ in rows}
    again = site.sync()
    return Played(states, keys, lines(report), lines(again), {id_: site.state(id_) for id_ in rows})


@contextmanager
def site_on(kind: str):
    """A client with our own table on a database of this kind, or with a host's table."""
    if kind.startswith("host"):
        more = {"accounts": host_accounts.columns(), "before": host_accounts.make_tables}
        with client_site.fresh(kind.removeprefix("host on "), **more) as site:
            yield site
    else:
        with client_site.fresh(kind) as site:
            yield site


KINDS = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.postgresql),
    "host on sqlite",
    pytest.param("host on postgresql", marks=pytest.mark.postgresql),
]


@pytest.fixture(scope="module", params=KINDS)
def histories(request):
    """All rows, played in each mode."""
    played = {}
    for mode in MODES:
        with site_on(request.param) as site:
            played[mode] = play(site, mode)
    return played


@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_every_history_ends_as_the_rule_says(histories, mode, row):
    if row.end(mode) is None:
        return
    id_ = FIRST_PERSON + ROWS.index(row)

    found = histories[mode]

    assert found.states[id_] == row.end(mode)
    assert found.states_again[id_] == row.end(mode), "the same list once more changes nothing"
    assert found.again.get(id_, "skipped").startswith("skipped")
    here = [key for key in found.keys[id_] if key is not None]
    assert len(set(here)) == (0 if not here else 2 if ROW_GONE in row.history and here[-1] != here[0] else 1)
    if TAKE_NAME in row.history:
        assert "belongs to another account" in found.told[id_], "skipped and reported"


def test_a_new_account_after_the_row_went_is_another_one(histories):
    row = FIRST_PERSON + next(n for n, row in enumerate(ROWS) if row.history == (LISTED, ROW_GONE, LISTED))
    first, *_, last = histories["suspend"].keys[row]
    assert last not in {None, first}


@dataclass(frozen=True)
class AtSignIn:
    """What a sign-in makes of somebody with this history: signed in or not, and the state of the account."""

    rule: str
    history: tuple[str, ...]
    signed_in: bool
    state: str
    says: dict

    def __str__(self) -> str:
        return f"9 {self.rule}: {', '.join(self.history) or 'nobody'}"


# fmt: off
SIGN_INS = [
    AtSignIn("accounts, created at sign-in", (), True, LIVE, {}),
    AtSignIn("accounts, not confirmed there is confirmed here", (), True, LIVE, {"confirmed": "0"}),
    AtSignIn("accounts, updated at sign-in", (LISTED,), True, LIVE, {}),
    AtSignIn("accounts, a name that a stranger has", (TAKE_NAME,), False, NONE, {}),
    AtSignIn("accounts, guests are never synchronised", (), False, NONE, {"username": "guest"}),
    AtSignIn("suspended by a sync, the flag rules only in the users sync", (LISTED, MISSING), False, SUSPENDED, {}),
    AtSignIn("suspended by a sync, the flag rules only in the users sync", (LISTED_SUSPENDED,), False, SUSPENDED, {}),
    AtSignIn("suspended by hand, stays", (LISTED, SUSPEND), False, SUSPENDED, {}),
    AtSignIn("deleted on the server, reappears", (LISTED, GONE), True, LIVE, {}),
    AtSignIn("deleted by hand, reappears", (LISTED, DELETE), True, LIVE, {}),
    AtSignIn("deleted, a stranger has the name", (LISTED, GONE, TAKE_NAME), False, DELETED, {}),
    AtSignIn("row gone, a new account", (LISTED, ROW_GONE), True, LIVE, {}),
    AtSignIn("7 who is suspended there is not signed in", (), False, NONE, {"suspended": "1"}),
    AtSignIn("7 who is suspended there is not signed in", (LISTED,), False, LIVE, {"suspended": "1"}),
    AtSignIn("7 who is deleted there is not signed in", (LISTED,), False, LIVE, {"deleted": "1"}),
]
# fmt: on


@pytest.fixture(scope="module", params=client_site.DATABASES)
def before_sign_in(request):
    """A site on which everybody of `SIGN_INS` has had their history."""
    with client_site.fresh(request.param) as site:
        rest = {FIRST_PERSON + n: list(row.history) for n, row in enumerate(SIGN_INS)}
        sent = dict.fromkeys(rest, MISSING)
        while any(rest.values()):
            for id_, steps in rest.items():
                while steps and steps[0] not in SENT:
                    by_hand(site, id_, steps.pop(0))
                if steps:
                    sent[id_] = steps.pop(0)
            site.server.people = [person(3), *(it for id_ in rest for it in record(id_, sent[id_]))]
            site.sync()
        yield site


@pytest.mark.parametrize("row", SIGN_INS, ids=str)
def test_what_a_sign_in_makes_of_it(before_sign_in, row):
    site = before_sign_in
    id_ = FIRST_PERSON + SIGN_INS.index(row)

    visit = site.sign_in(person(id_, **row.says))

    assert (visit.signed_in, site.state(id_)) == (row.signed_in, row.state)
    if row.signed_in:
        shown = site.person(id_)
        assert (shown["auth"], shown["confirmed"]) == ("connect", 1)
        assert (shown["username"], shown["server"]) == (f"tc_{id_}_{FIRST}", FIRST)
    else:
        assert "try again" in visit.page.text.lower()


@pytest.fixture(params=client_site.DATABASES)
def site(request):
    with client_site.fresh(request.param) as made:
        yield made


def test_9_the_flag_of_a_sync_stays_when_the_setting_is_changed(site):
    site.server.people = [person(3), person(4)]
    site.sync()
    site.server.people = [person(3)]
    site.sync()
    site.set(removed_person="keep")
    site.server.people = [person(3), person(4)]

    site.sync()
    assert site.state(4) == SUSPENDED, "in the other modes suspended is taken at creation and undelete only"

    site.set(removed_person="suspend")
    site.sync()
    assert site.state(4) == LIVE


def test_9_a_protected_account_is_neither_suspended_nor_deleted(site):
    site.server.people = [person(id_) for id_ in (3, 4, 5)]
    site.sync()
    site.set(protected_accounts=f"tc_4_{FIRST} tc_5_{FIRST}")
    site.server.people = [person(3), person(4, suspended="1")]
    assert "protected_accounts" in lines(site.sync())[5]
    site.server.people = [person(3), tombstone(4), tombstone(5)]
    assert "protected_accounts" in lines(site.sync())[4]
    assert [site.state(id_) for id_ in (4, 5)] == [LIVE, LIVE]


@pytest.mark.parametrize(
    "record", [[tombstone(4)], [], [person(4, suspended="1")]], ids=["deleted", "missing", "suspended"]
)
def test_9_who_is_not_to_be_here_any_more_is_signed_out(site, record):
    site.server.people = [person(3), person(4)]
    site.sync()
    staying, going = site.sign_in(person(3)), site.sign_in(person(4))
    assert (staying.signed_in, going.signed_in) == (True, True)
    site.server.people = [person(3), *record]

    site.sync()

    assert (staying.signed_in, going.signed_in) == (True, False)


# What a deleted account has left, and what it has again when the person is back.
STAYS = {
    "auth": "connect",
    "firstname": "First3",
    "lastname": "Last3",
    "suspended": False,
    "person_id": 3,
    "server": FIRST,
}
GOES = {
    "email": "",
    "idnumber": "",
    "password": None,
    "picture": 0,
    "pictures": [],
    "fields": {},
    "jobs": [],
    "admin": False,
}


def delete_there(site):
    site.server.people = [tombstone(3), person(4)]
    site.sync()


def delete_missing(site):
    site.set(removed_person="delete")
    site.server.people = [person(4)]
    site.sync()


def delete_by_hand(site):
    site.do(people.delete_person, site.key(3))


@pytest.mark.parametrize("how", [delete_there, delete_missing, delete_by_hand])
def test_9_what_deleting_takes_and_leaves_and_undeleting_gives_back(site, how):
    everything = client_site.full_person(site, 3)
    site.server.people = [everything, person(4)]
    site.server.cohorts = [cohort(1, 3, 4)]
    site.sync()
    site.sync("collections")
    visit = site.sign_in(client_site.photographed(everything))
    key = site.key(3)
    own = site.do(audiences.add_audience, name="Own", idnumber="own")
    site.do(audiences.add_members, own.id, [key])
    # A server deletes no administrator.
    site.do(people.set_admin, key, on=how is delete_by_hand)
    before = site.shown(key)
    others = {"idnumber"} if how is delete_by_hand else {"idnumber", "admin"}
    assert all(before[name] for name in GOES if name not in others), "there is something of each to lose"

    how(site)

    gone = site.shown(key)
    assert gone["deleted"]
    assert {name: gone[name] for name in STAYS} == STAYS
    assert {name: gone[name] for name in GOES} == GOES
    assert gone["username"].startswith("deleted_")
    assert len(gone["username"]) == len("deleted_") + 32
    assert not any(key in it.members for it in site.sets().values())
    assert not visit.signed_in

    site.server.people = [everything, person(4)]
    site.sync()
    back = site.person(3)
    assert site.key(3) == key
    assert not back["deleted"]
    kept = ("username", "email", "password", "fields", "jobs", "firstname", "city")
    assert {name: back[name] for name in kept} == {name: before[name] for name in kept}
    assert not back["admin"], "roles are gone for good"
    assert not visit.signed_in
    site.sync("collections")
    assert key in site.sets()[f"tc_cohort_1_{FIRST}"].members, (
        "audiences return with the next collections run"
    )
    assert key not in site.sets()["own"].members
    site.sign_in(client_site.photographed(everything))
    assert site.person(3)["pictures"], "the picture comes with the next sign-in"


@pytest.mark.parametrize(("mode", "approved"), [("keep", LIVE), ("suspend", SUSPENDED), ("delete", DELETED)])
def test_9_an_empty_list_makes_everybody_missing_but_the_guard_holds_it(site, mode, approved):
    site.set(removed_person=mode)
    site.server.people = [person(3), person(4)]
    site.sync()
    site.server.people = []

    report = site.sync()

    assert [site.state(id_) for id_ in (3, 4)] == [LIVE, LIVE]
    if mode == "keep":
        return
    assert report.state == "held"
    assert approve_run(site.context, report.run, actor="command").state == "done"
    assert [site.state(id_) for id_ in (3, 4)] == [approved, approved]


def test_9_an_empty_list_of_a_server_without_people_here_is_no_matter(site):
    site.server.people = []
    assert site.sync().state == "done"


FAILED_RUNS = {
    "absent": body([]),
    "absent beside another key": body({"people": []}),
    "null": body({"users": None}),
    "a text": body({"users": "none"}),
    "an object": body({"users": {"3": person(3)}}),
    "a fail": b'{"status":"fail","data":{"users":"no"}}',
    "an error": b'{"status":"error","message":"connect client is not active"}',
    "no JSON": b"<html>",
    "half of it": body({"users": [person(3)]})[:-5],
    "nothing": b"",
}


@pytest.mark.parametrize("mode", MODES)
def test_9_a_list_that_is_absent_or_null_is_a_failed_run(site, mode):
    site.set(removed_person=mode)
    site.server.people = [person(3), person(4)]
    site.sync()
    for name, reply in FAILED_RUNS.items():
        site.server.body = reply
        assert site.sync().state == "failed", name
        assert [site.state(id_) for id_ in (3, 4)] == [LIVE, LIVE], name
    site.server.body, site.server.down = None, True
    assert site.sync().state == "failed"
    assert [site.state(id_) for id_ in (3, 4)] == [LIVE, LIVE]
