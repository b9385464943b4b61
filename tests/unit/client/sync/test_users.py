"""The users sync, rule by rule: each row names its rule, what was, what the server sends, and what becomes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy import delete, select, update
from support import lists
from support.lists import person, tombstone

from tconnect_pyramid import people, sessions
from tconnect_pyramid.client import accounts as rules
from tconnect_pyramid.client.people import keep_person
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.models import Account, AudienceMember, FormerMember, Link, Server, SignIn
from tconnect_pyramid.options import set_option
from tconnect_pyramid.peers import server_peer
from tconnect_pyramid.protocol.users import read_user

SERVER = "5" * 40
MODES = ("keep", "suspend", "delete")

ABSENT = "no account"
LIVE = "live"
SUSPENDED = "suspended by a sync"
BY_HAND = "suspended by hand"
LIFTED = "suspended by a sync, lifted by hand"
DELETED = "deleted"
DELETED_BY_HAND_SUSPENDED = "suspended by hand, then deleted"
ROW_GONE = "the account's row is gone"
NAME_TAKEN = "no account, and a stranger has the name"
DELETED_NAME_TAKEN = "deleted, and a stranger has the name"

LISTED = "listed"
LISTED_SUSPENDED = "listed as suspended"
TOMBSTONE = "listed as deleted"
MISSING = "missing"
BAD = "listed with a bad record"
TWICE = "listed twice"
GUEST = "the guest"


@dataclass(frozen=True)
class Rule:
    """One rule; `becomes` is the state in each of `MODES`, or one for all of them."""

    section: str
    given: str
    sent: str
    becomes: str | tuple[str, str, str]

    def expected(self, mode: str) -> str:
        return self.becomes if isinstance(self.becomes, str) else self.becomes[MODES.index(mode)]

    def __str__(self) -> str:
        return f"{self.given}, {self.sent}"


RULES = [
    Rule("9 Accounts: created for each who is sent", ABSENT, LISTED, LIVE),
    Rule("9 Missing: suspended is taken at creation", ABSENT, LISTED_SUSPENDED, SUSPENDED),
    Rule("9 Deleted on the server: nothing to delete", ABSENT, TOMBSTONE, ABSENT),
    Rule("9 Accounts: guests are never synchronised", ABSENT, GUEST, ABSENT),
    Rule("9 Accounts: guests are never synchronised", LIVE, GUEST, LIVE),
    Rule("9 Accounts: a name that is taken is skipped", NAME_TAKEN, LISTED, ABSENT),
    Rule("9 Accounts: a name that is taken is skipped", DELETED_NAME_TAKEN, LISTED, DELETED),
    Rule("7 DESIGN: a bad record is skipped", ABSENT, BAD, ABSENT),
    Rule("7 DESIGN: a bad record makes nobody missing", LIVE, BAD, LIVE),
    Rule("7 DESIGN: listed twice, the first counts", ABSENT, TWICE, LIVE),
    Rule("7 DESIGN: listed twice, the first counts", LIVE, TWICE, LIVE),
    Rule("9 Deleted on the server: always deleted", LIVE, TOMBSTONE, DELETED),
    Rule("9 Deleted on the server: always deleted", SUSPENDED, TOMBSTONE, DELETED),
    Rule("9 Deleted on the server: always deleted", BY_HAND, TOMBSTONE, DELETED),
    Rule("9 Deleted on the server: stays deleted", DELETED, TOMBSTONE, DELETED),
    Rule("9 Reappears: undeleted", DELETED, LISTED, LIVE),
    Rule("9 Reappears: suspended is taken at undelete", DELETED, LISTED_SUSPENDED, SUSPENDED),
    Rule("9 We unsuspend only whom a sync suspended", DELETED_BY_HAND_SUSPENDED, LISTED, BY_HAND),
    Rule("9 Row gone: link dropped, a new account", ROW_GONE, LISTED, LIVE),
    Rule("9 Row gone: link dropped", ROW_GONE, TOMBSTONE, ABSENT),
    Rule("9 Row gone: link dropped", ROW_GONE, MISSING, ABSENT),
    Rule("9 Missing: by setting", LIVE, MISSING, (LIVE, SUSPENDED, DELETED)),
    Rule("9 Missing: by setting", SUSPENDED, MISSING, (SUSPENDED, SUSPENDED, DELETED)),
    Rule("9 Missing: a suspension by hand stays one", BY_HAND, MISSING, (BY_HAND, BY_HAND, DELETED)),
    Rule("9 Missing: deleted already", DELETED, MISSING, DELETED),
    Rule("9 Missing: the flag rules with suspend", LIVE, LISTED_SUSPENDED, (LIVE, SUSPENDED, LIVE)),
    Rule("9 Missing: a returning user", SUSPENDED, LISTED, (SUSPENDED, LIVE, SUSPENDED)),
    Rule("9 We unsuspend only whom a sync suspended", BY_HAND, LISTED, BY_HAND),
    Rule("9 We unsuspend only whom a sync suspended", BY_HAND, LISTED_SUSPENDED, BY_HAND),
    Rule("9 A lifted suspension is forgotten", LIFTED, LISTED, LIVE),
    Rule("9 A lifted suspension is forgotten", LIFTED, LISTED_SUSPENDED, (LIVE, SUSPENDED, LIVE)),
]
NUMBERED = dict(enumerate(RULES, start=100))
BALLAST = 99


def sync(client, server_id, **how):
    return run_sync(client, "users", server_id, **how)


def set_mode(client, mode):
    with client.unit() as session:
        set_option(session, client.settings, "client.removed_person", mode, client.clock())


def link_of(session, id_):
    return session.scalar(select(Link).where(Link.person_id == id_))


def account_of(client, id_):
    with client.reading() as session:
        return session.scalar(
            select(Account).join(Link, Link.account_key == Account.id).where(Link.person_id == id_)
        )


def arrange(session, client, id_, given):
    link = link_of(session, id_)
    key = link.account_key
    if given in {ABSENT, NAME_TAKEN}:
        session.execute(delete(Account).where(Account.id == key))
        session.delete(link)
    elif given == SUSPENDED:
        client.accounts.update(session, {key: {"suspended": 1}})
        link.suspended_by_sync = True
    elif given == BY_HAND:
        people.suspend(session, client, key)
    elif given == LIFTED:
        link.suspended_by_sync = True
    elif given in {DELETED, DELETED_NAME_TAKEN}:
        people.delete_person(session, client, key)
    elif given == DELETED_BY_HAND_SUSPENDED:
        people.suspend(session, client, key)
        people.delete_person(session, client, key)
    elif given == ROW_GONE:
        session.execute(delete(Account).where(Account.id == key))
    session.flush()
    if given in {NAME_TAKEN, DELETED_NAME_TAKEN}:
        people.add_person(
            session,
            client,
            username="stranger",
            email="stranger@example.com",
            firstname="A",
            lastname="Stranger",
        )
        name = rules.link_username(id_, SERVER)
        session.execute(update(Account).where(Account.username == "stranger").values(username=name))


def sent(id_, how) -> list[dict]:
    match how:
        case "listed":
            return [person(id_)]
        case "listed as suspended":
            return [person(id_, suspended="1")]
        case "listed as deleted":
            return [tombstone(id_)]
        case "missing":
            return []
        case "listed with a bad record":
            return [person(id_, firstname=["no", "text"])]
        case "listed twice":
            return [person(id_), person(id_, firstname="Second")]
        case "the guest":
            return [person(id_, username="guest")]


def state_of(session, id_):
    link = link_of(session, id_)
    if link is None:
        return ABSENT
    account = session.get(Account, link.account_key)
    if account is None:
        return ROW_GONE
    if account.deleted:
        return DELETED
    if account.suspended:
        return SUSPENDED if link.suspended_by_sync else BY_HAND
    return LIFTED if link.suspended_by_sync else LIVE


@pytest.mark.parametrize("mode", MODES)
def test_every_rule_in_every_mode(client, server, server_id, mode):
    server.people = [person(id_) for id_ in (BALLAST, *NUMBERED)]
    assert sync(client, server_id).state == "done"
    with client.unit() as session:
        for id_, rule in NUMBERED.items():
            arrange(session, client, id_, rule.given)
    set_mode(client, mode)
    server.people = [
        person(BALLAST),
        *(record for id_, rule in NUMBERED.items() for record in sent(id_, rule.sent)),
    ]

    report = sync(client, server_id, reconcile=True)

    with client.reading() as session:
        found = {f"{rule.section}: {rule}": state_of(session, id_) for id_, rule in NUMBERED.items()}
    expected = {f"{rule.section}: {rule}": rule.expected(mode) for rule in RULES}
    assert found == expected
    assert report.state == "partial"

    before = lists.dump(client)
    again = sync(client, server_id)

    assert lists.dump(client) == before
    assert lists.nonzero(again.counts).keys() == {"skipped", "unchanged"}


def test_a_new_account_after_the_row_went_is_another_account(client, server, server_id):
    server.people = [person(3)]
    sync(client, server_id)
    first = account_of(client, 3).id
    with client.unit() as session:
        session.execute(delete(Account).where(Account.id == first))

    report = sync(client, server_id)

    assert lists.nonzero(report.counts) == {"created": 1}
    assert account_of(client, 3).id != first


def test_an_undeleted_account_keeps_its_key_and_gets_the_records_values(client, server, server_id):
    server.people = [person(3), person(4)]
    sync(client, server_id)
    key = account_of(client, 3).id
    server.people = [tombstone(3), person(4)]
    sync(client, server_id)
    gone = account_of(client, 3)
    assert (gone.deleted, gone.email, gone.password, gone.firstname) == (1, "", None, "First3")
    assert gone.username.startswith("deleted_")

    server.people = [person(3, lastname="Returned"), person(4)]
    report = sync(client, server_id)

    back = account_of(client, 3)
    assert lists.nonzero(report.counts) == {"undeleted": 1, "unchanged": 1}
    assert (back.id, back.deleted, back.username) == (key, 0, f"tc_3_{SERVER}")
    assert (back.lastname, back.email) == ("Returned", "person3@example.com")


def test_an_update_changes_what_differs_and_says_so(client, server, server_id):
    server.people = [person(3), person(4)]
    sync(client, server_id)
    other = account_of(client, 4)
    client.clock.tick(60)
    new_hash = "$2y$10$0rrM25RmAeTKMcNIpAh8QOJ.R30LYswGW6aRl9V21zS0l5BWAzMbO"
    server.people = [person(3, lastname="Neu\x1b[2Jname", lang="de", password=new_hash), person(4)]

    report = sync(client, server_id)

    account = account_of(client, 3)
    assert (account.lang, account.password, account.timemodified) == ("en", new_hash, client.clock())
    assert account_of(client, 4).timemodified == other.timemodified
    (line,) = report.lines
    assert (line.action, line.remote_id, line.account) == ("updated", 3, account.id)
    assert line.subject == "First3 Neu [2Jname"
    assert line.detail == "password changed; lastname: 'Last3' → 'Neu [2Jname'"


def test_a_hand_made_edit_of_a_synchronised_field_is_set_right(client, server, server_id):
    server.people = [person(3)]
    sync(client, server_id)
    with client.unit() as session:
        session.execute(update(Account).values(city="Elsewhere", auth="manual", confirmed=0))

    assert lists.nonzero(sync(client, server_id).counts) == {"unchanged": 1}
    report = sync(client, server_id, reconcile=True)

    assert lists.nonzero(report.counts) == {"updated": 1}
    account = account_of(client, 3)
    assert (account.city, account.auth, account.confirmed) == ("Wellington", "connect", 1)


def test_people_of_another_server_and_local_people_are_left_alone(client, server, server_id):
    other_id = lists.connect(client, idnumber="7" * 40, url="http://other.example")
    server.people = [person(3), person(4)]
    sync(client, server_id)
    with client.unit() as session:
        people.add_person(
            session, client, username="local", email="l@example.com", firstname="L", lastname="L"
        )

    server.people = [person(3, firstname="Another")]
    report = sync(client, other_id)

    assert lists.nonzero(report.counts) == {"created": 1}
    with client.reading() as session:
        names = session.scalars(select(Account.username).where(Account.suspended == 0).order_by(Account.id))
        assert names.all() == [f"tc_3_{SERVER}", f"tc_4_{SERVER}", "local", "tc_3_" + "7" * 40]


def test_a_record_without_an_id_may_be_anybodys_so_nobody_is_missing(client, server, server_id):
    server.people = [person(3), person(4)]
    sync(client, server_id)
    server.people = [person(3), person("four")]

    report = sync(client, server_id)

    assert report.state == "partial"
    assert "nobody was treated as such" in report.message
    assert lists.nonzero(report.counts) == {"skipped": 1, "unchanged": 2}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"lastname": "x" * 10_000_000}, "lastname has 10000000 characters, more than 100"),
        ({"maildigest": str(2**40)}, "maildigest is a larger number than an account here holds"),
        ({"suspended": "2"}, "suspended is neither 0 nor 1"),
        ({"email": None}, "email is missing"),
    ],
)
def test_a_bad_record_is_skipped_with_its_reason(client, server, server_id, fields, reason):
    server.people = [person(3, **fields), person(4)]

    report = sync(client, server_id)

    assert report.state == "partial"
    assert lists.nonzero(report.counts) == {"created": 1, "skipped": 1}
    assert [(line.remote_id, line.detail) for line in report.lines if line.action == "skipped"] == [
        (3, reason)
    ]


def test_nul_bytes_and_broken_unicode_are_taken_out(client, server, server_id):
    server.people = [person(3, firstname="A\0nn", lastname="\ud83dÅ")]

    assert sync(client, server_id).state == "done"

    account = account_of(client, 3)
    assert (account.firstname, account.lastname) == ("Ann", "Å")


def test_a_protected_account_is_neither_suspended_nor_deleted(client, server, server_id):
    server.people = [person(3), person(4), person(5)]
    sync(client, server_id)
    with client.unit() as session:
        names = f"tc_3_{SERVER} tc_4_{SERVER}"
        set_option(session, client.settings, "client.protected_accounts", names, client.clock())
    server.people = [tombstone(4), person(5)]

    report = sync(client, server_id)

    assert report.state == "done"
    assert lists.nonzero(report.counts) == {"skipped": 2, "unchanged": 1}
    assert (account_of(client, 3).suspended, account_of(client, 4).deleted) == (0, 0)


@pytest.mark.parametrize("how", [TOMBSTONE, MISSING, LISTED_SUSPENDED])
def test_who_is_removed_loses_their_sign_ins(client, server, server_id, how):
    server.people = [person(3), person(4)]
    sync(client, server_id)
    with client.unit() as session:
        for id_ in (3, 4):
            sessions.start(session, f"browser{id_}", link_of(session, id_).account_key, client.clock())
    server.people = [*sent(3, how), person(4)]

    sync(client, server_id)

    with client.reading() as session:
        ended = session.execute(select(SignIn.ended, SignIn.end_reason).order_by(SignIn.id)).all()
    assert ended == [(client.clock(), "sync"), (None, "")]


def test_awaited_members_join_when_their_account_is_made_or_comes_back(client, server, server_id):
    server.people = [person(3)]
    server.cohorts = [lists.cohort(1, 3, 4)]
    sync(client, server_id)
    run_sync(client, "collections", server_id)

    server.people = [person(3), person(4)]
    sync(client, server_id)

    assert members(client) == {3, 4}
    server.people = [person(3), tombstone(4)]
    sync(client, server_id)
    assert members(client) == {3}
    run_sync(client, "collections", server_id)
    server.people = [person(3), person(4)]
    sync(client, server_id)
    assert members(client) == {3, 4}


@pytest.mark.parametrize("how", ["sync", "sign-in"])
def test_who_comes_back_is_no_former_member_of_any_audience_any_more(client, server, server_id, how):
    server.people = [person(3)]
    server.cohorts = [lists.cohort(1, 3)]
    sync(client, server_id)
    run_sync(client, "collections", server_id)
    with client.unit() as session:
        people.delete_person(session, client, link_of(session, 3).account_key)
    assert len(lists.dump(client, [FormerMember])["tconnect_former_member"]) == 1

    if how == "sync":
        sync(client, server_id)
    else:
        with client.reading() as session:
            peer = server_peer(client.box, session.get(Server, server_id))
        with client.unit() as session:
            keep_person(session, client, peer, read_user(person(3)))

    assert account_of(client, 3).deleted == 0
    assert lists.dump(client, [FormerMember])["tconnect_former_member"] == []


def members(client):
    with client.reading() as session:
        return set(
            session.scalars(
                select(Link.person_id).join(AudienceMember, AudienceMember.account_key == Link.account_key)
            )
        )


def test_each_created_account_is_found_by_its_run(client, server, server_id):
    server.people = [person(3), person(4)]
    report = sync(client, server_id)

    with client.reading() as session:
        runs = session.scalars(select(Link.created_by_run)).all()
    assert runs == [report.run, report.run]
