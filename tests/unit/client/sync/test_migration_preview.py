"""What migrating local accounts would do, told before it is switched on: by each mapping, and as the sync then does it."""

from __future__ import annotations

import pytest
from support import lists
from support.lists import person

from tconnect_pyramid.client import migration
from tconnect_pyramid.client.accounts import link_username
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.models import Link, Server
from tconnect_pyramid.options import set_option

SERVER = "5" * 40
MAPPINGS = ("username", "email", "idnumber", "uniqueid")

TAKEN, SHARED, RIVAL, ADMINISTRATOR, PROTECTED, NEW, GONE, KNOWN = range(3, 11)
"""The ids of the people at the server."""


def value(mapping: str, id_: int) -> str:
    """What a person of the server and an account here have in common."""
    values = {"email": f"v{id_}@example.com", "uniqueid": link_username(id_, SERVER)}
    return values.get(mapping, f"v{id_}")


def local(mapping: str, id_: int, username: str = "", **more) -> dict:
    """A local account that matches a person, and no other person by another mapping."""
    column = "username" if mapping == "uniqueid" else mapping
    username = username or f"local{id_}"
    return {"username": username, "email": f"{username}@here.example", column: value(mapping, id_), **more}


def sent(mapping: str, id_: int, shared: int | None = None) -> dict:
    """A person of the server. `shared`: with the value of that one."""
    return person(id_, **({} if mapping == "uniqueid" else {mapping: value(mapping, shared or id_)}))


def set_options(client, **options):
    with client.unit() as session:
        for name, text in options.items():
            set_option(session, client.settings, f"client.{name}", text, client.clock())


def add(client, *accounts) -> list[int]:
    with client.unit() as session:
        return client.accounts.insert(session, accounts)


def link(client, server_id, id_) -> None:
    """Give a person of the server an account of their own, which none of their values leads to."""
    (key,) = add(client, {"username": f"came{id_}", "email": f"came{id_}@here.example", "auth": "connect"})
    with client.unit() as session:
        session.add(Link(server_id=server_id, person_id=id_, account_key=key, timecreated=1))


def ids(matches) -> list[int]:
    return sorted(match.person_id for match in matches)


@pytest.fixture
def keys(client, server, server_id, request):
    """Accounts here and people there of every fate; gives the keys of the accounts by the people's ids."""
    mapping = request.getfixturevalue("mapping")
    fates = {
        TAKEN: {},
        SHARED: {},
        ADMINISTRATOR: {"admin": True},
        PROTECTED: {},
        GONE: {},
        KNOWN: {},
    }
    accounts = {id_: local(mapping, id_, **more) for id_, more in fates.items()}
    made = dict(zip(accounts, add(client, *accounts.values()), strict=True))
    set_options(client, protected_accounts=accounts[PROTECTED]["username"])
    link(client, server_id, KNOWN)
    server.people = [
        *(sent(mapping, id_) for id_ in (TAKEN, SHARED, ADMINISTRATOR, PROTECTED, NEW, KNOWN)),
        sent(mapping, RIVAL, shared=SHARED),
        {**sent(mapping, GONE), "deleted": "1"},
    ]
    return made


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_every_person_who_matches_is_told_by_what_would_come_of_it(client, keys, mapping):
    before = lists.dump(client)

    (found,) = migration.preview(client, mapping)

    assert (found.server, found.problem) == ("Head office", "")
    # Nobody can share a unique id: who would be a rival gets an account of their own.
    shares = mapping != "uniqueid"
    assert ids(found.taken) == ([TAKEN] if shares else [TAKEN, SHARED])
    assert ids(found.ambiguous) == ([SHARED, RIVAL] if shares else [])
    assert ids(found.administrators) == [ADMINISTRATOR]
    assert ids(found.protected) == [PROTECTED]
    taken = next(match for match in found.taken if match.person_id == TAKEN)
    assert [account.key for account in taken.accounts] == [keys[TAKEN]]
    assert taken.field == mapping
    assert lists.dump(client) == before


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_the_next_sync_takes_over_what_was_told_and_no_more(client, server_id, keys, mapping):
    (found,) = migration.preview(client, mapping)
    set_options(client, migrate_accounts="true", account_mapping=mapping)

    report = run_sync(client, "users", server_id)

    linked = {line.remote_id: line.account for line in report.lines if line.action == "linked"}
    assert linked == {match.person_id: match.accounts[0].key for match in found.taken}
    assert linked[TAKEN] == keys[TAKEN]
    (after,) = migration.preview(client, mapping)
    assert after.taken == ()


@pytest.mark.parametrize("mapping", ["email", "idnumber"])
def test_one_person_of_several_accounts_is_ambiguous(client, server, server_id, mapping):
    add(client, local(mapping, TAKEN), local(mapping, TAKEN, username="second"))
    server.people = [sent(mapping, TAKEN)]

    (found,) = migration.preview(client, mapping)

    assert (found.taken, ids(found.ambiguous)) == ((), [TAKEN])
    assert [account.username for account in found.ambiguous[0].accounts] == [f"local{TAKEN}", "second"]


@pytest.mark.parametrize("mapping", ["username", "email", "idnumber"])
def test_who_has_an_account_here_already_is_a_rival_too(client, server, server_id, mapping):
    add(client, local(mapping, TAKEN))
    link(client, server_id, RIVAL)
    server.people = [sent(mapping, TAKEN), sent(mapping, RIVAL, shared=TAKEN)]

    (found,) = migration.preview(client, mapping)

    assert (found.taken, ids(found.ambiguous)) == ((), [TAKEN])
    assert found.ambiguous[0].rivals == (RIVAL,)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_people_who_match_nobody_are_not_told(client, server, server_id, mapping):
    other = {"username": "idnumber", "email": "username", "idnumber": "email", "uniqueid": "username"}[
        mapping
    ]
    add(client, local(other, TAKEN))
    server.people = [{**sent(mapping, TAKEN), other: value(other, TAKEN)}]

    assert migration.preview(client, mapping) == [migration.Preview("Head office")]
    assert len(migration.preview(client, other)[0].taken) == 1


def test_each_server_is_told_by_itself_and_those_that_were_left_are_not_asked(client, server, server_id):
    lists.connect(client, idnumber="8" * 40, url="http://other.example")
    with client.unit() as session:
        session.get(Server, server_id).state = "leaving"
    add(client, local("email", TAKEN))
    server.people = [sent("email", TAKEN)]

    (found,) = migration.preview(client, "email")

    assert ids(found.taken) == [TAKEN]
    assert server.asked == ["get_users"]


def test_a_server_that_cannot_be_asked_is_told(client, server, server_id):
    add(client, local("email", TAKEN))
    server.down = True

    (found,) = migration.preview(client, "email")

    assert "the connection was refused" in found.problem
    assert found.taken == ()
