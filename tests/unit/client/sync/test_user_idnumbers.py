"""ID numbers of people, only with client.sync_idnumber (protocol 9)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy import select
from support import lists
from support.lists import person, tombstone

from tconnect_pyramid import people
from tconnect_pyramid.client import signin
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.models import Account, Link, Server
from tconnect_pyramid.options import set_option
from tconnect_pyramid.peers import server_peer
from tconnect_pyramid.protocol.users import read_user

GONE = "listed as deleted"
MISSING = "missing"


@dataclass(frozen=True)
class Rule:
    """ID numbers here by person (None: no account yet), what is sent, and what they are then.

    `stranger` is the ID number of a local account, `deleted` that of a deleted one.
    """

    sentence: str
    here: dict[int, str | None]
    sent: dict[int, str]
    then: dict[int, str]
    stranger: str = ""
    deleted: str = ""


RULES = [
    Rule("copied at creation", {3: None}, {3: "A"}, {3: "A"}),
    Rule("copied at update", {3: "A"}, {3: "B"}, {3: "B"}),
    Rule("empty at creation when another account has it", {3: None}, {3: "A"}, {3: ""}, stranger="A"),
    Rule("unchanged at update when another account has it", {3: "B"}, {3: "A"}, {3: "B"}, stranger="A"),
    Rule("empty at creation when a deleted account has it", {3: None}, {3: "A"}, {3: ""}, deleted="A"),
    Rule("unchanged at update when a deleted account has it", {3: "B"}, {3: "A"}, {3: "B"}, deleted="A"),
    Rule("an empty one clears", {3: "A"}, {3: ""}, {3: ""}),
    Rule("two may swap", {3: "A", 4: "B"}, {3: "B", 4: "A"}, {3: "B", 4: "A"}),
    Rule("a chain moves on", {3: "A", 4: "B", 5: None}, {3: "B", 4: "C", 5: "A"}, {3: "B", 4: "C", 5: "A"}),
    Rule("of two new people the first has it", {3: None, 4: None}, {3: "A", 4: "A"}, {3: "A", 4: ""}),
    Rule("who has it keeps it", {3: None, 4: "A"}, {3: "A", 4: "A"}, {3: "", 4: "A"}),
    Rule("who is deleted gives theirs up", {3: "A", 4: None}, {3: GONE, 4: "A"}, {3: "", 4: "A"}),
    Rule("who is missing and suspended keeps theirs", {3: "A", 4: None}, {3: MISSING, 4: "A"}, {3: "A", 4: ""}),
    Rule("a blocked one blocks the next", {3: "A", 4: "B"}, {3: "S", 4: "A"}, {3: "A", 4: "B"}, stranger="S"),
]  # fmt: skip


def sync(client, server_id):
    return run_sync(client, "users", server_id)


def sent(numbers):
    found = [
        tombstone(id_) if number == GONE else person(id_, idnumber=number)
        for id_, number in numbers.items()
        if number != MISSING
    ]
    return [*found, person(99, idnumber="")]


def numbers_of(client):
    with client.reading() as session:
        rows = session.execute(
            select(Link.person_id, Account.idnumber).join(Account, Account.id == Link.account_key)
        )
        return {id_: number for id_, number in rows if id_ != 99}


@pytest.fixture
def site(client):
    switch(client, "true")
    return client


def switch(client, value):
    with client.unit() as session:
        set_option(session, client.settings, "client.sync_idnumber", value, client.clock())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.sentence)
def test_every_rule(site, server, server_id, rule):
    server.people = sent({id_: number for id_, number in rule.here.items() if number is not None})
    sync(site, server_id)
    with site.unit() as session:
        people.add_person(session, site, username="stranger", idnumber=rule.stranger)
        gone = people.add_person(session, site, username="gone")
        people.delete_person(session, site, gone.key)
        site.accounts.update(session, {gone.key: {"idnumber": rule.deleted}})
    server.people = sent(rule.sent)

    assert sync(site, server_id).state == "done"

    assert numbers_of(site) == rule.then
    kept = lists.dump(site)
    assert [*sync(site, server_id).lines] == []
    assert lists.dump(site) == kept


def test_it_is_off_at_first_and_then_an_id_number_is_this_sites_own(client, server, server_id):
    server.people = [person(3, idnumber="A")]
    sync(client, server_id)
    assert numbers_of(client) == {3: ""}
    with client.unit() as session:
        people.edit_person(
            session, client, session.scalar(select(Link.account_key)), {"idnumber": "of this site"}
        )

    assert lists.nonzero(sync(client, server_id).counts) == {"unchanged": 1}

    assert numbers_of(client) == {3: "of this site"}
    switch(client, "true")
    (line,) = sync(client, server_id).lines
    assert line.detail == "idnumber: 'of this site' → 'A'"


def test_an_account_that_comes_back_gets_its_number_unless_it_was_given_away(site, server, server_id):
    server.people = [person(3, idnumber="A"), person(4, idnumber="B")]
    sync(site, server_id)
    server.people = [tombstone(3), person(4, idnumber="A")]
    sync(site, server_id)
    server.people = [person(3, idnumber="A"), person(4, idnumber="A")]
    sync(site, server_id)
    assert numbers_of(site) == {3: "", 4: "A"}

    server.people = [person(3, idnumber="A"), person(4, idnumber="B")]
    sync(site, server_id)

    assert numbers_of(site) == {3: "A", 4: "B"}


def test_a_second_server_does_not_fight_for_a_number(site, server, server_id):
    other_id = lists.connect(site, idnumber="7" * 40, url="http://other.example")
    server.people = [person(3, idnumber="A")]
    sync(site, server_id)

    sync(site, other_id)

    for each in (server_id, other_id):
        assert [*sync(site, each).lines] == []


def test_an_account_that_is_taken_over_gets_the_number_of_the_server(site, server, server_id):
    with site.unit() as session:
        set_option(session, site.settings, "client.migrate_accounts", "true", site.clock())
        for name, number in (("anna", "X"), ("bob", "Y")):
            people.add_person(session, site, username=name, idnumber=number)
    server.people = [
        person(3, username="anna", idnumber="Y"),
        person(4, username="bob", idnumber="X"),
        person(5, username="cleo", idnumber="X"),
    ]

    assert lists.nonzero(sync(site, server_id).counts) == {"linked": 2, "created": 1}

    assert numbers_of(site) == {3: "Y", 4: "X", 5: ""}
    assert [*sync(site, server_id).lines] == []


def test_a_sign_in_neither_brings_nor_undoes_it(site, server, server_id):
    server.people = [person(3, idnumber="A")]
    sync(site, server_id)
    with site.reading() as session:
        peer = server_peer(site.box, session.get(Server, server_id))

    signin._sign_in(site, peer, read_user(person(3, idnumber="B", city="Oslo")), "a" * 40)
    signin._sign_in(site, peer, read_user(person(4, idnumber="C")), "b" * 40)

    assert numbers_of(site) == {3: "A", 4: ""}
    server.people = [person(3, idnumber="B", city="Oslo"), person(4, idnumber="C")]
    assert lists.nonzero(sync(site, server_id).counts) == {"updated": 2}
    assert numbers_of(site) == {3: "B", 4: "C"}
