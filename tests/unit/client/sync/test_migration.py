"""Local accounts that people of a server take over: in the users sync and at sign-in (protocol 9, migration)."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from sqlalchemy import select, update
from support import lists
from support.lists import person

from tconnect_pyramid import people, sessions
from tconnect_pyramid.client import migration, signin
from tconnect_pyramid.client.accounts import link_username
from tconnect_pyramid.client.migration import Outcome
from tconnect_pyramid.client.runs import show_run
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory import jobs
from tconnect_pyramid.errors import Conflict, SignInFailed
from tconnect_pyramid.models import Account, AudienceMember, Link, Server, SignIn
from tconnect_pyramid.options import set_option
from tconnect_pyramid.peers import server_peer
from tconnect_pyramid.protocol.users import read_user

SERVER = "5" * 40
OTHER = "7" * 40
HASH = "$2y$10$0rrM25RmAeTKMcNIpAh8QOJ.R30LYswGW6aRl9V21zS0l5BWAzMbO"
LOCAL_HASH = "$2b$12$abcdefghijklmnopqrstuuPvhsvh6uJqiGmvgVPwBEqm0QRz0a8Dy"

TAKEN = "taken over"
NEW = "a new account"
REFUSED = "refused"


@dataclass(frozen=True)
class Rule:
    """Local accounts, the people of the server, and what becomes of the first of these."""

    sentence: str
    mapping: str
    accounts: list[dict]
    sent: list[dict]
    becomes: str
    reason: str = ""


def local(username="anna", **values):
    return {"username": username, "email": f"{username}@example.com", **values}


def sent(id_=3, **values):
    return {"id_": id_, **values}


def each(*mappings):
    """The same account and person for several mappings: they have all four values in common."""
    account = local(link_username(3, SERVER), email="a@example.com", idnumber="N")
    return [
        Rule(
            f"matches by {mapping}",
            mapping,
            [account if mapping == "uniqueid" else {**account, "username": "anna"}],
            [sent(username="anna", email="a@example.com", idnumber="N")],
            TAKEN,
        )
        for mapping in mappings
    ]


RULES = [
    *each("username", "email", "idnumber", "uniqueid"),
    Rule("a name of another person of the server is no unique id", "uniqueid", [local("anna")], [sent(username="anna")], NEW),
    Rule("the email may be written otherwise", "email", [local(email="Anna@Example.com")], [sent(email="aNNa@eXample.com")], TAKEN),
    Rule("an email must be a valid address", "email", [local(email="anna")], [sent(email="anna")], NEW),
    Rule("an email has no letters that look like others", "email", [local(email="kim@example.com")], [sent(email="\u212aim@example.com")], NEW),
    Rule("an email must not be empty", "email", [local(email="")], [sent(email="")], NEW),
    Rule("an ID number must not be empty", "idnumber", [local(idnumber="")], [sent(idnumber="")], NEW),
    Rule("an ID number is compared exactly", "idnumber", [local(idnumber="n")], [sent(idnumber="N")], NEW),
    Rule("a deleted account is not taken over", "email", [local(email="a@example.com", deleted=1)], [sent(email="a@example.com")], NEW),
    Rule("a connect account is not taken over", "email", [local(email="a@example.com", auth="connect")], [sent(email="a@example.com")], NEW),
    Rule("an account with no login is", "email", [local(email="a@example.com", auth="nologin")], [sent(email="a@example.com")], TAKEN),
    Rule("the guest is not taken over", "email", [local("guest", email="a@example.com")], [sent(email="a@example.com")], NEW),
    Rule("who is deleted on the server takes nothing over", "email", [local(email="a@example.com")], [sent(email="a@example.com", deleted="1")], ""),
    Rule(
        "several local accounts are ambiguous",
        "email",
        [local("lena", email="a@example.com"), local("bob", email="A@example.com")],
        [sent(email="a@example.com")],
        REFUSED,
        "several local accounts have this email address: lena (id 1), bob (id 2); leave it to the right one",
    ),
    Rule(
        "of several only those count that might be taken over",
        "email",
        [local("lena", email="a@example.com"), local("bob", email="a@example.com", deleted=1)],
        [sent(email="a@example.com")],
        TAKEN,
    ),
    Rule(
        "several people of the list are ambiguous",
        "email",
        [local("lena", email="a@example.com")],
        [sent(email="a@example.com"), sent(5, email="A@example.com"), sent(4, email="a@example.com")],
        REFUSED,
        "the email address of the local account lena (id 1) is that of several people of the server: 3, 4, 5; "
        "change it there for all but one",
    ),
    Rule(
        "somebody who is deleted on the server is no rival",
        "idnumber",
        [local("lena", idnumber="N")],
        [sent(idnumber="N"), sent(4, idnumber="N", deleted="1")],
        TAKEN,
    ),
    Rule(
        "administrators are never taken over",
        "email",
        [local("root", email="a@example.com", admin=True)],
        [sent(email="a@example.com")],
        REFUSED,
        "the email address is that of root (id 1), an administrator of this site: such an account is never taken over; "
        "change its email address or its rights",
    ),
    Rule(
        "protected accounts are never taken over",
        "email",
        [local("kept", email="a@example.com")],
        [sent(email="a@example.com")],
        REFUSED,
        "the email address is that of kept (id 1), but tconnect.client.protected_accounts lists the account",
    ),
    Rule(
        "of an administrator and another one none is taken over",
        "email",
        [local("lena", email="a@example.com"), local("root", email="a@example.com", admin=True)],
        [sent(email="a@example.com")],
        REFUSED,
        "several local accounts have this email address: lena (id 1), root (id 2); leave it to the right one",
    ),
]  # fmt: skip


@dataclass
class Site:
    """A client with migration on, and its server."""

    context: object
    server: lists.ListingServer
    id: int
    other: list[int] = field(default_factory=list)

    def set(self, **options):
        with self.context.unit() as session:
            for name, value in options.items():
                set_option(session, self.context.settings, f"client.{name}", value, self.context.clock())

    def add(self, *accounts):
        with self.context.unit() as session:
            return self.context.accounts.insert(session, accounts)

    def sync(self, server_id=None):
        return run_sync(self.context, "users", server_id or self.id)

    def sign_in(self, record):
        """What `finish` does once the server has confirmed the person."""
        with self.context.reading() as session:
            peer = server_peer(self.context.box, session.get(Server, self.id))
        return signin._sign_in(self.context, peer, read_user(record), "a" * 40)

    def account(self, key):
        with self.context.reading() as session:
            return self.context.accounts.fetch(session, [key])[key]

    def key_of(self, id_):
        with self.context.reading() as session:
            return session.scalar(select(Link.account_key).where(Link.person_id == id_))

    def number_of_accounts(self):
        with self.context.reading() as session:
            return len(session.scalars(select(Account.id)).all())


@pytest.fixture
def site(client, server, server_id):
    made = Site(client, server, server_id)
    made.set(migrate_accounts="true", protected_accounts="kept")
    return made


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.sentence)
def test_every_rule_in_the_users_sync(site, rule):
    site.set(account_mapping=rule.mapping)
    keys = site.add(*rule.accounts)
    site.server.people = [person(**each) for each in rule.sent]

    report = site.sync()

    becomes = {None: REFUSED if rule.becomes else "", keys[0]: TAKEN}.get(site.key_of(3), NEW)
    assert becomes == rule.becomes
    told = {line.remote_id: (line.action, line.detail) for line in report.lines}
    if rule.becomes == TAKEN:
        word = migration.WORDS[rule.mapping]
        name = rule.accounts[0]["username"]
        said = f"took over the local account {name} (id 1), which has the same {word}; auth: '"
        assert told[3][0] == "linked"
        assert told[3][1].startswith(said)
        assert site.account(keys[0])["auth"] == "connect"
    elif rule.becomes == REFUSED:
        assert told[3] == ("skipped", rule.reason)
        assert report.state == ("done" if "protected" in rule.sentence else "partial")
        assert site.number_of_accounts() == len(keys)
    kept = lists.dump(site.context)
    again = site.sync()
    assert {line.action for line in again.lines} <= {"skipped"}
    assert lists.dump(site.context) == kept


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if len(rule.sent) == 1 and rule.becomes], ids=lambda rule: rule.sentence
)
def test_every_rule_at_sign_in(site, rule, caplog):
    site.set(account_mapping=rule.mapping)
    keys = site.add(*rule.accounts)
    record = person(**rule.sent[0])

    if rule.becomes == REFUSED:
        with pytest.raises(SignInFailed, match="ask the administrator of this site to connect") as failure:
            site.sign_in(record)
        assert not any(account["username"] in str(failure.value) for account in rule.accounts)
        assert rule.reason in caplog.text
        assert site.key_of(3) is None
        assert site.number_of_accounts() == len(keys)
    else:
        _, key = site.sign_in(record)
        assert (key == keys[0]) == (rule.becomes == TAKEN)
        site.server.people = [record]
        assert {line.action for line in site.sync().lines} == set(), "the sync undoes nothing of it"


def test_with_migration_off_everybody_gets_a_new_account(site):
    site.set(migrate_accounts="false", account_mapping="email")
    site.add(local(email="person3@example.com"), local("other", email="person4@example.com"))
    site.server.people = [person(3)]

    site.sync()
    _, key = site.sign_in(person(4))

    assert site.account(site.key_of(3))["username"] == link_username(3, SERVER)
    assert site.account(key)["username"] == link_username(4, SERVER)


KEPT = {
    "username": "anna",
    "suspended": 1,
    "emailstop": 1,
    "lang": "de",
    "maildigest": 2,
    "autosubscribe": 0,
    "trackforums": 1,
    "idnumber": "mine",
    "policyagreed": 1,
    "timecreated": 5,
}


@pytest.mark.parametrize("how", ["sync", "sign-in"])
@pytest.mark.parametrize(("sent_hash", "has"), [(None, LOCAL_HASH), ("*", LOCAL_HASH), (HASH, HASH)])
def test_what_the_account_keeps_and_what_becomes_the_servers(site, how, sent_hash, has):
    own = {**KEPT, "suspended": 0} if how == "sign-in" else KEPT
    (key,) = site.add(
        {
            **own,
            "email": "old@example.com",
            "password": LOCAL_HASH,
            "auth": "manual",
            "confirmed": 0,
            "city": "Oslo",
        }
    )
    record = person(3, username="anna", password=sent_hash, city="Bergen", department=None, suspended="0")
    site.server.people = [record]

    assert (site.sync().state if how == "sync" else site.sign_in(record)[1]) in {"done", key}

    account = site.account(key)
    assert {name: account[name] for name in own} == own
    assert (account["auth"], account["confirmed"], account["password"]) == ("connect", 1, has)
    assert (account["email"], account["city"], account["firstname"]) == (
        "person3@example.com",
        "Bergen",
        "First3",
    )
    assert account["department"] == ""
    with site.context.reading() as session:
        link = session.scalar(select(Link))
        assert (link.person_id, link.account_key, link.suspended_by_sync) == (3, key, False)
        assert link.created_by_run is None, "undoing the run must not remove somebody's account"
        assert people.authenticate(session, site.context, "anna", "any") is None


@pytest.mark.parametrize(
    ("mode", "flag", "suspended"),
    [("suspend", "1", 1), ("keep", "1", 0), ("delete", "1", 0), ("suspend", "0", 0)],
)
def test_the_servers_suspended_flag_rules_in_the_mode_where_it_rules(site, mode, flag, suspended):
    site.set(removed_person=mode)
    (key,) = site.add(local())
    site.server.people = [person(3, username="anna", suspended=flag)]

    report = site.sync()

    assert lists.nonzero(report.counts) == {"linked": 1, **({"suspended": 1} if suspended else {})}
    assert site.account(key)["suspended"] == suspended
    with site.context.reading() as session:
        assert session.scalar(select(Link.suspended_by_sync)) is bool(suspended)
    assert [*site.sync().lines] == []


@pytest.mark.parametrize("how", ["sync", "sign-in"])
def test_whoever_was_signed_in_to_the_account_is_not_any_more(site, how):
    (key,) = site.add(local())
    with site.context.unit() as session:
        sessions.start(session, "by password", key, site.context.clock())
    site.server.people = [person(3, username="anna")]

    browser = None if how == "sync" else site.sign_in(person(3, username="anna"))[0]
    site.sync()

    with site.context.reading() as session:
        assert isinstance(sessions.look_up(session, site.context, "by password"), sessions.Ended)
        reasons = session.scalars(select(SignIn.end_reason).order_by(SignIn.id)).all()
        assert reasons == (["sync"] if browser is None else ["sync", ""])
        if browser:
            assert sessions.look_up(session, site.context, browser).account.key == key


def test_the_password_of_an_account_that_was_taken_over_logs_nobody_in(site):
    with site.context.unit() as session:
        people.add_person(session, site.context, username="anna", password="correct horse")
    with site.context.reading() as session:
        assert people.authenticate(session, site.context, "anna", "correct horse")
    site.server.people = [person(3, username="anna", password=None)]

    site.sync()

    with site.context.reading() as session:
        assert people.authenticate(session, site.context, "anna", "correct horse") is None


def test_jobs_and_memberships_made_by_hand_stay(site):
    (key,) = site.add(local())
    site.server.people = [person(4)]
    site.server.cohorts = [lists.cohort(1, 3, 4)]
    site.sync()
    run_sync(site.context, "collections", site.id)
    with site.context.unit() as session:
        jobs.add_job(session, site.context, key, idnumber="mine")
        audience = session.scalar(select(AudienceMember.audience_id))
        session.add(AudienceMember(account_key=key, audience_id=audience))
    site.server.people = [person(3, username="anna", jobs=[lists.job(1, "A")]), person(4)]

    assert lists.nonzero(site.sync().counts) == {"linked": 1, "unchanged": 1}

    with site.context.reading() as session:
        assert [each.idnumber for each in jobs.list_jobs(session, key)] == ["mine", "A"]
        assert set(session.scalars(select(AudienceMember.account_key))) == {key, site.key_of(4)}


@pytest.mark.parametrize("how", ["sync", "sign-in"])
def test_an_account_that_is_taken_over_joins_the_collections_that_waited_for_the_person(site, how):
    (key,) = site.add(local())
    site.server.people = [person(4)]
    site.server.cohorts = [lists.cohort(1, 3, 4)]
    site.sync()
    run_sync(site.context, "collections", site.id)
    record = person(3, username="anna")
    site.server.people = [record, person(4)]

    assert site.sync().state == "done" if how == "sync" else site.sign_in(record)

    with site.context.reading() as session:
        assert set(session.scalars(select(AudienceMember.account_key))) == {key, site.key_of(4)}


def test_a_person_without_an_account_is_looked_for_again_when_the_row_is_gone(site):
    site.server.people = [person(3, username="anna")]
    site.sync()
    with site.context.unit() as session:
        session.delete(session.get(Account, site.key_of(3)))
    (key,) = site.add(local())

    assert lists.nonzero(site.sync().counts) == {"linked": 1}

    assert site.key_of(3) == key


def test_the_same_email_at_two_servers_is_taken_over_once(site):
    site.set(account_mapping="email")
    other_id = lists.connect(site.context, idnumber=OTHER, url="http://other.example")
    (key,) = site.add(local(email="person3@example.com"))
    site.server.people = [person(3)]

    assert lists.nonzero(site.sync().counts) == {"linked": 1}
    assert lists.nonzero(site.sync(other_id).counts) == {"created": 1}

    with site.context.reading() as session:
        links = dict(session.execute(select(Link.server_id, Link.account_key)).all())
    assert links[site.id] == key
    assert site.account(links[other_id])["username"] == link_username(3, OTHER)


def test_who_has_an_account_already_is_a_rival_too(site):
    site.set(account_mapping="email")
    site.server.people = [person(3, email="a@example.com")]
    site.sync()
    site.add(local(email="a@example.com"))
    site.server.people.append(person(4, email="a@example.com"))

    report = site.sync()

    assert lists.nonzero(report.counts) == {"skipped": 1, "unchanged": 1}
    assert "several people of the server: 3, 4;" in next(iter(report.lines)).detail


def test_the_line_tells_what_of_a_local_account_is_overwritten_and_no_secret(site):
    site.set(account_mapping="email", sync_idnumber="true")
    (key,) = site.add(
        local(
            email="a@example.com", city="Ulm", firstname="Ana", lastname="Last3", phone1="1", idnumber="own",
            password="$2b$04$formerformerformerformerfo",
        )
    )  # fmt: skip
    was = site.account(key)
    site.server.people = [
        person(3, email="A@example.com", city="Riga", phone1="", idnumber="E1", password=HASH)
    ]

    report = site.sync()

    (line,) = report.lines
    reason, *changes = line.detail.split("; ")
    assert reason.startswith("took over the local account")
    told = dict(change.split(": ", 1) for change in changes if change != "password changed")
    now = site.account(key)
    differing = {name for name in now if (was[name] or None) != (now[name] or None)}
    assert {*told} == differing - {"password", "timemodified"}
    assert (told["city"], told["firstname"]) == ("'Ulm' → 'Riga'", "'Ana' → 'First3'")
    assert (told["phone1"], told["idnumber"]) == ("'1' → ''", "'own' → 'E1'")
    assert (told["auth"], told["email"]) == ("'manual' → 'connect'", "'a@example.com' → 'A@example.com'")
    assert "password changed" in changes
    assert "$2" not in line.detail
    assert [kept.detail for kept in show_run(site.context, report.run).lines] == [line.detail]


def test_an_account_that_changes_after_the_plan_is_not_taken_over(site):
    (key,) = site.add(local())
    with site.context.unit() as session:
        session.execute(update(Account).values(admin=True))

    with site.context.reading() as session, pytest.raises(Conflict, match="has changed in this moment"):
        migration.refuse_if_changed(session, site.context, [key])


def test_what_was_found_is_there_as_data(site):
    site.set(account_mapping="idnumber")
    keys = site.add(
        local("a", idnumber="1"), local("b", idnumber="2"), local("c", idnumber="2"),
        local("d", idnumber="3", admin=True), local("kept", idnumber="4"), local("f", idnumber="5"),
    )  # fmt: skip
    records = [read_user(person(10 + n, idnumber=str(n))) for n in range(1, 7)]
    records.append(read_user(person(20, idnumber="5")))
    with site.context.reading() as session:
        peer = server_peer(site.context.box, session.get(Server, site.id))
        newcomers = [record.id for record in records]
        found = migration.find_local(session, site.context, peer, newcomers, [records])

    assert {person: (match.outcome, [a.key for a in match.accounts]) for person, match in found.items()} == {
        11: (Outcome.FOUND, keys[:1]),
        12: (Outcome.AMBIGUOUS, keys[1:3]),
        13: (Outcome.ADMINISTRATOR, keys[3:4]),
        14: (Outcome.PROTECTED, keys[4:5]),
        15: (Outcome.AMBIGUOUS, keys[5:]),
        20: (Outcome.AMBIGUOUS, keys[5:]),
    }
    assert (found[15].rivals, found[20].rivals) == ((20,), (15,))
