"""People who take over local accounts (protocol 9, migration): each field, each case, by the sync and at sign-in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from sqlalchemy import func, select
from support import client_site, host_accounts
from support.client_site import ANOTHER_HASH, FIRST, HASH, SECOND, add_field, lines
from support.lists import field, job, person, tombstone

from tconnect_pyramid import people
from tconnect_pyramid.directory import jobs, profiles
from tconnect_pyramid.models import AuditEntry, Link

MAPPINGS = ("username", "email", "idnumber", "uniqueid")
FIRST_PERSON = 100

TAKEN = "takes over the local account"
NEW = "gets a new account"
REFUSED = "gets no account, and that is reported"
UNTOUCHED = "does not get the local account"
NOBODY = "nothing becomes of it"


@dataclass(frozen=True)
class Case:
    """One person and the local accounts that match, or nearly do.

    `local`: what the accounts have besides the value that is looked for; `sent`: what the person's record
    has besides. A function gets that value and gives another one.
    """

    rule: str
    local: tuple[dict, ...]
    becomes: str
    sent: dict | None = None
    linked: bool = False
    mappings: tuple[str, ...] = MAPPINGS
    differs: Callable[[str], str] | None = None

    def __str__(self) -> str:
        return f"9 migration: {self.rule}"


# An account with the very name that a new one would get: then there can be no new one either.
NAMED = ("uniqueid",)
OTHERS = ("username", "email", "idnumber")
# fmt: off
CASES = [
    Case("one match", ({},), TAKEN),
    Case("no match", (), NEW),
    Case("several matches are ambiguous", ({}, {}), REFUSED, mappings=("email", "idnumber")),
    Case("of several only one is not deleted", ({"deleted": 1}, {}), TAKEN, mappings=("email", "idnumber")),
    Case("of several only one is not a connect account", ({"auth": "connect"}, {}), TAKEN, mappings=("email", "idnumber")),
    Case("a deleted account", ({"deleted": 1},), NEW, mappings=OTHERS),
    Case("a deleted account", ({"deleted": 1},), REFUSED, mappings=NAMED),
    Case("a connect account", ({"auth": "connect"},), NEW, mappings=OTHERS),
    Case("a connect account", ({"auth": "connect"},), REFUSED, mappings=NAMED),
    Case("an account that is linked", ({},), NEW, linked=True, mappings=OTHERS),
    Case("an account that is linked", ({},), REFUSED, linked=True, mappings=NAMED),
    Case("a protected account", ({"protected": True},), UNTOUCHED),
    Case("an administrator", ({"admin": True},), UNTOUCHED),
    Case("an account without login", ({"auth": "nologin"},), TAKEN),
    Case("an account that is not confirmed", ({"confirmed": 0},), TAKEN),
    Case("an account with another value", ({},), NEW, differs=lambda value: f"x{value}"),
    Case("an address in another case", ({},), TAKEN, mappings=("email",), differs=str.upper),
    Case("an ID number in another case", ({},), NEW, mappings=("idnumber",), differs=str.upper),
    Case("two addresses that differ in case are several", ({}, {"upper": True}), REFUSED, mappings=("email",)),
    Case("an empty ID number is none", ({"idnumber": ""},), NEW, {"idnumber": ""}, mappings=("idnumber",)),
    Case("an empty address is none", ({"email": ""},), NEW, {"email": ""}, mappings=("email",)),
    Case("an address must be valid", ({"email": "nobody"},), NEW, {"email": "nobody"}, mappings=("email",)),
    Case("an address must be valid", ({"email": "a b@example.com"},), NEW, {"email": "a b@example.com"}, mappings=("email",)),
    Case("who is deleted there takes nothing over", ({},), NOBODY, {"deleted": "1"}),
    Case("the guest takes nothing over", ({},), NOBODY, {"username": "guest"}, mappings=("email", "idnumber", "uniqueid")),
    Case("a unique ID of another server", ({"username": f"tc_{FIRST_PERSON}_{SECOND}"},), NEW, mappings=NAMED),
]
# fmt: on
ROWS = [
    pytest.param(mapping, case, id=f"{case}, by {mapping}") for case in CASES for mapping in case.mappings
]


def number(case: Case) -> int:
    return FIRST_PERSON + CASES.index(case)


def value_of(mapping: str, case: Case) -> str:
    """What the person of a case is recognised by."""
    id_ = number(case)
    return {
        "username": f"name{id_}",
        "email": f"mail{id_}@example.com",
        "idnumber": f"id{id_}",
        "uniqueid": f"tc_{id_}_{FIRST}",
    }[mapping]


def record(mapping: str, case: Case) -> dict:
    """The person of a case as the server sends them, recognisable by this field only."""
    fields = {"username": f"x{number(case)}", "email": f"x{number(case)}@example.com", "idnumber": ""}
    if mapping in fields:
        fields[mapping] = value_of(mapping, case)
    return person(number(case), **{**fields, **(case.sent or {})})


def local_account(mapping: str, case: Case, more: dict) -> dict:
    """A local account of a case: with the same value in the field, unless it says otherwise."""
    value = value_of(mapping, case)
    if case.differs:
        value = case.differs(value)
    fields = {name: it for name, it in more.items() if name not in {"protected", "upper"}}
    column = "username" if mapping == "uniqueid" else mapping
    return {column: value.upper() if "upper" in more else value, **fields}


@dataclass
class Seen:
    """Per case: what became of the person, and whether the second list changed anything."""

    became: dict[int, str]
    told: dict[int | None, str]
    again: dict[int | None, str]
    signed_in: dict[int, bool]


def kinds(*, by_sign_in: bool) -> list:
    ours = client_site.DATABASES
    # A host's users sign in by the host's own pages, which this one has not.
    return ours if by_sign_in else [*ours, "host on sqlite"]


def play(kind: str, mapping: str, way: str) -> Seen:
    """All cases of one field on one site."""
    of_host = kind.startswith("host")
    more = {"accounts": host_accounts.columns(), "before": host_accounts.make_tables} if of_host else {}
    servers = ((FIRST, "http://server.example"), (SECOND, "http://second.example"))
    with client_site.fresh(kind.removeprefix("host on "), servers=servers, **more) as site:
        site.set(migrate_accounts="true", account_mapping=mapping)
        played = [
            case for case in CASES if mapping in case.mappings and not (of_host and unknown_to_host(case))
        ]
        keys = {
            number(case): [site.add(**local_account(mapping, case, each)) for each in case.local]
            for case in played
        }
        protected = [
            site.shown(keys[number(case)][0])["username"]
            for case in played
            if case.local and "protected" in case.local[0]
        ]
        site.set(protected_accounts=" ".join(protected))
        for case in played:
            if case.linked:
                link(site, keys[number(case)][0], number(case))
        before = {key: site.shown(key) for found in keys.values() for key in found}
        signed_in = {}
        told = {}
        if way == "sync":
            site.server.people = [record(mapping, case) for case in played]
            told = lines(site.sync())
        else:
            for case in played:
                signed_in[number(case)] = site.sign_in(record(mapping, case)).signed_in
            site.server.people = [record(mapping, case) for case in played]
        became = {number(case): outcome(site, number(case), keys[number(case)], before) for case in played}
        return Seen(became, told, lines(site.sync()), signed_in)


def unknown_to_host(case: Case) -> bool:
    """The host's table of these tests keeps no auth method, right or ID number."""
    return any(name in each for each in case.local for name in ("auth", "admin", "confirmed"))


def link(site, key: int, person_id: int) -> None:
    """Link an account to somebody of the second server."""
    with site.context.unit() as session:
        server = site.transport.servers[1].id
        session.add(Link(person_id=person_id, server_id=server, account_key=key, timecreated=0))


def outcome(site, id_: int, local: list[int], before: dict) -> str:
    """What became of a person; no local account but the one that was taken over may be any different."""
    key = site.key(id_)
    for other in local:
        if other != key and site.shown(other) != before[other]:
            return f"the account {other} was changed"
    return "none" if key is None else TAKEN if key in local else NEW


@pytest.fixture(scope="module", params=kinds(by_sign_in=False))
def synced(request):
    """All cases of each field, by the users sync."""
    of_host = request.param.startswith("host")
    return {it: play(request.param, it, "sync") for it in MAPPINGS if not (of_host and it == "idnumber")}


@pytest.fixture(scope="module", params=kinds(by_sign_in=True))
def signed_in(request):
    """All cases of each field, at sign-in."""
    return {it: play(request.param, it, "sign-in") for it in MAPPINGS}


@pytest.mark.parametrize(("mapping", "case"), ROWS)
def test_every_case_in_the_users_sync(synced, mapping, case):
    if mapping not in synced or number(case) not in synced[mapping].became:
        return
    id_ = number(case)
    found = synced[mapping]

    if case.becomes == UNTOUCHED:
        assert found.became[id_] in {"none", NEW}
        assert id_ in found.told, "it is reported"
    else:
        assert found.became[id_] == {REFUSED: "none", NOBODY: "none"}.get(case.becomes, case.becomes)
    if case.becomes == REFUSED:
        assert found.told[id_].startswith("skipped: ")
    assert found.again.get(id_, "skipped").startswith("skipped"), "the same list once more changes nothing"


@pytest.mark.parametrize(("mapping", "case"), ROWS)
def test_every_case_at_sign_in(signed_in, mapping, case):
    id_ = number(case)
    found = signed_in[mapping]

    if case.becomes == UNTOUCHED:
        assert found.became[id_] in {"none", NEW}
    else:
        assert found.became[id_] == {REFUSED: "none", NOBODY: "none"}.get(case.becomes, case.becomes)
        assert found.signed_in[id_] is (case.becomes in {TAKEN, NEW})
    assert found.again.get(id_, "skipped").startswith(("skipped", "updated")), (
        "the sync finds the same account"
    )


@pytest.fixture(params=client_site.DATABASES)
def site(request):
    with client_site.fresh(request.param) as made:
        made.set(migrate_accounts="true")
        yield made


@pytest.mark.parametrize("way", ["sync", "sign-in"])
@pytest.mark.parametrize("mapping", MAPPINGS)
def test_migration_is_off_by_default(site, mapping, way):
    site.set(migrate_accounts="", account_mapping=mapping)
    record = person(3, username="anna", email="a@example.com", idnumber="N")
    key = site.add("anna", email="a@example.com", idnumber="N")
    before = site.shown(key)
    site.server.people = [record]

    _ = site.sync() if way == "sync" else site.sign_in(record)

    assert site.person(3)["username"] == f"tc_3_{FIRST}"
    assert site.shown(key) == before


def test_the_mapping_is_by_username_by_default(site):
    by_name, by_mail = site.add("anna"), site.add("bert", email="p3@example.com")
    site.server.people = [person(3, username="anna", email="p3@example.com")]
    site.sync()
    assert site.key(3) == by_name
    assert site.shown(by_mail)["auth"] == "manual"


OWN = {
    "username": "anna", "suspended": 0, "emailstop": 1, "lang": "de", "maildigest": 2, "autosubscribe": 0,
    "trackforums": 1, "password": HASH,
}  # fmt: skip
"""What the account keeps, with values that the server does not send."""


@pytest.mark.parametrize("way", ["sync", "sign-in"])
@pytest.mark.parametrize("sent_hash", [None, ANOTHER_HASH, "not cached"])
def test_what_the_account_keeps_and_what_becomes_the_servers(site, way, sent_hash):
    key = site.add(
        **OWN, email="old@example.com", city="Oslo", department="Old", idnumber="mine", firstname="Old"
    )
    sent = person(
        3, username="anna", password=sent_hash, city="Bergen", department="", country="NO", lang="en"
    )
    site.server.people = [sent]

    _ = site.sync() if way == "sync" else site.sign_in(sent)

    shown = site.person(3)
    assert site.key(3) == key
    kept = {**OWN, "password": ANOTHER_HASH if sent_hash == ANOTHER_HASH else HASH, "idnumber": "mine"}
    assert {name: shown[name] for name in kept} == kept
    becomes = {
        "auth": "connect", "confirmed": 1, "email": "person3@example.com", "city": "Bergen", "department": "",
        "country": "NO", "firstname": "First3", "lastname": "Last3", "server": FIRST, "person_id": 3,
    }  # fmt: skip
    assert {name: shown[name] for name in becomes} == becomes


@pytest.mark.parametrize(("mode", "there", "here", "after"), [
    ("suspend", "0", 1, True), ("suspend", "1", 0, True), ("suspend", "0", 0, False), ("suspend", "1", 1, True),
    ("keep", "0", 1, True), ("keep", "1", 0, False), ("delete", "1", 0, False), ("delete", "0", 1, True),
])  # fmt: skip
def test_the_suspended_flag_is_the_accounts_and_then_follows_the_mode(site, mode, there, here, after):
    site.set(removed_person=mode)
    site.add("anna", suspended=here)
    site.server.people = [person(3, username="anna", suspended=there)]
    site.sync()
    site.sync()
    assert site.person(3)["suspended"] is after
    site.server.people = [person(3, username="anna", suspended="0")]
    site.sync()
    assert site.person(3)["suspended"] is bool(here), "only a hand lifts what a hand had suspended"


@pytest.mark.parametrize("way", ["sync", "sign-in"])
def test_a_migrated_account_logs_in_by_single_sign_on_only(site, way):
    with site.context.unit() as session:
        people.add_person(session, site.context, username="anna", password="correct horse battery")
    record = person(3, username="anna", password=None)
    site.server.people = [record]
    by_password = site.browser()
    client_site.log_in(by_password, "anna", "correct horse battery")
    assert "log out" in by_password.get("/").maybe_follow().text.lower()

    _ = site.sync() if way == "sync" else site.sign_in(record)

    again = site.browser()
    client_site.log_in(again, "anna", "correct horse battery", status="*")
    assert "log out" not in again.get("/").maybe_follow().text.lower()
    assert site.sign_in(record).signed_in


def test_who_takes_an_account_over_at_sign_in_is_written_down(site):
    key = site.add("anna")

    site.sign_in(person(3, username="anna"))

    with site.context.reading() as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "account.taken_over")).one()
    assert (entry.actor, entry.subject) == (f"peer:{FIRST}", "anna")
    assert entry.detail == {"id": key, "person": 3, "field": "username"}
    site.sign_in(person(3, username="anna"))
    with site.context.reading() as session:
        assert session.scalar(select(func.count()).where(AuditEntry.action == "account.taken_over")) == 1


def test_with_the_setting_the_id_number_comes_too(site):
    site.set(sync_idnumber="true")
    site.add("anna", idnumber="mine")
    site.server.people = [person(3, username="anna", idnumber="theirs")]
    site.sync()
    assert site.person(3)["idnumber"] == "theirs"


def test_custom_fields_become_the_servers_and_jobs_made_by_hand_stay(site):
    for name in ("shirt", "shoe"):
        add_field(site, name)
    key = site.add("anna")
    site.do(profiles.set_value, key, "shirt", "S")
    site.do(profiles.set_value, key, "shoe", "40")
    site.do(jobs.add_job, key, idnumber="mine")
    site.server.people = [
        person(3, username="anna", profile_fields=[field("shirt", "L")], jobs=[job(1, "A")])
    ]

    site.sync()

    assert site.person(3)["fields"] == {"shirt": "L"}
    assert sorted(site.person(3)["jobs"]) == ["A", "mine"]


def test_who_has_an_account_already_takes_over_no_other(site):
    site.server.people = [person(3, username="anna")]
    site.sync()
    key, local = site.key(3), site.add("anna")
    site.sync()
    site.sign_in(person(3, username="anna"))
    assert (site.key(3), site.shown(local)["auth"]) == (key, "manual")


def test_whose_row_is_gone_takes_over_a_local_account(site):
    site.server.people = [person(3, username="anna")]
    site.sync()
    site.drop_row(site.key(3))
    local = site.add("anna")
    site.sync()
    assert site.key(3) == local


@pytest.mark.parametrize("mapping", ["email", "idnumber"])
def test_two_people_for_one_account_are_ambiguous_too(site, mapping):
    site.set(account_mapping=mapping)
    key = site.add("anna", email="a@example.com", idnumber="N")
    site.server.people = [person(id_, email="a@example.com", idnumber="N") for id_ in (3, 4)]
    report = site.sync()
    assert {id_: lines(report)[id_].split(":")[0] for id_ in (3, 4)} == {3: "skipped", 4: "skipped"}
    assert site.shown(key)["auth"] == "manual"


@pytest.mark.parametrize("removed", [tombstone(3), None], ids=["deleted there", "missing"])
def test_a_migrated_account_goes_the_way_of_all_others(site, removed):
    site.set(removed_person="delete")
    key = site.add("anna")
    site.server.people = [person(3, username="anna"), person(4)]
    site.sync()
    site.server.people = [person(4), *([removed] if removed else [])]
    site.sync()
    assert site.shown(key)["deleted"]
    site.server.people = [person(3, username="anna"), person(4)]
    site.sync()
    assert (site.key(3), site.shown(key)["username"]) == (key, f"tc_3_{FIRST}"), (
        "undeleted with a valid username"
    )


def test_an_account_goes_to_one_server_only():
    servers = ((FIRST, "http://server.example"), (SECOND, "http://second.example"))
    with client_site.fresh("sqlite", servers=servers) as site:
        site.set(migrate_accounts="true", account_mapping="email")
        first, second = site.transport.servers
        key = site.add("anna", email="person3@example.com")
        for server in (first, second):
            server.people = [person(3)]
            site.sync("users", server)
        assert site.key(3, first) == key
        assert site.person(3, second)["username"] == f"tc_3_{SECOND}"
