"""Custom profile fields of people, rule by rule (protocol 9)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy import select
from support import lists
from support.lists import field, person, tombstone

from tconnect_pyramid import people
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.directory import profiles
from tconnect_pyramid.models import Link, ProfileValue
from tconnect_pyramid.options import set_option

HERE = {"shirt": "text", "joined": "datetime", "member": "checkbox", "about": "textarea"}
MISSING_KEY = "the record has no such key"


@dataclass(frozen=True)
class Rule:
    """What an account had, what the server sends, what it has then."""

    sentence: str
    had: dict[str, str]
    sent: list | str | None
    has: dict[str, str]


RULES = [
    Rule("matched by shortname and datatype", {}, [field("shirt", "XL")], {"shirt": "XL"}),
    Rule(
        "kept as they are",
        {},
        [field("joined", "-86400", "datetime"), field("member", "0", "checkbox")],
        {"joined": "-86400", "member": "0"},
    ),
    Rule("unknown ones are ignored: the name", {}, [field("shoes", "44")], {}),
    Rule("unknown ones are ignored: the datatype", {}, [field("shirt", "1", "checkbox")], {}),
    Rule("another value replaces the local one", {"shirt": "M"}, [field("shirt", "L")], {"shirt": "L"}),
    Rule(
        "a local value without a sent one is removed",
        {"shirt": "M", "member": "1"},
        [field("shirt", "M")],
        {"shirt": "M"},
    ),
    Rule(
        "matching is by datatype too, so the local value goes",
        {"shirt": "M"},
        [field("shirt", "L", "menu")],
        {},
    ),
    Rule("null is no value", {"shirt": "M"}, [field("shirt", None)], {}),
    Rule("[] means: has none", {"shirt": "M", "joined": "5"}, [], {}),
    Rule("null for the whole list leaves all", {"shirt": "M"}, None, {"shirt": "M"}),
    Rule("version 1 has no such list", {"shirt": "M"}, MISSING_KEY, {"shirt": "M"}),
    Rule(
        "what is HTML is cleaned",
        {},
        [field("about", "<p>Hi<script>x()</script></p>", "textarea"), field("shirt", "<b>&")],
        {"about": "<p>Hi</p>", "shirt": "<b>&"},
    ),
    Rule(
        "of one that is sent twice the first counts",
        {},
        [field("shirt", "A"), field("shirt", "B")],
        {"shirt": "A"},
    ),
]
NUMBERED = dict(enumerate(RULES, start=100))


@pytest.fixture
def site(client):
    with client.unit() as session:
        for shortname, datatype in HERE.items():
            profiles.add_field(session, client, shortname, datatype=datatype)
    return client


def sync(client, server_id):
    return run_sync(client, "users", server_id)


def key_of(session, id_):
    return session.scalar(select(Link.account_key).where(Link.person_id == id_))


def give(client, id_, values):
    ids = {found.shortname: found.id for found in _fields(client)}
    with client.unit() as session:
        key = key_of(session, id_)
        session.add_all(
            ProfileValue(account_key=key, field_id=ids[name], data=data) for name, data in values.items()
        )


def _fields(client):
    with client.reading() as session:
        return profiles.list_fields(session)


def values_of(client, id_):
    with client.reading() as session:
        key = key_of(session, id_)
        return profiles.values_of(session, [key]).get(key, {})


def sent(id_, rule):
    record = person(id_)
    if rule.sent == MISSING_KEY:
        del record["profile_fields"]
    else:
        record["profile_fields"] = rule.sent
    return record


def test_every_rule(site, server, server_id):
    server.people = [person(id_, profile_fields=None) for id_ in NUMBERED]
    sync(site, server_id)
    for id_, rule in NUMBERED.items():
        give(site, id_, rule.had)
    server.people = [sent(id_, rule) for id_, rule in NUMBERED.items()]

    assert sync(site, server_id).state == "done"

    assert {rule.sentence: values_of(site, id_) for id_, rule in NUMBERED.items()} == {
        rule.sentence: rule.has for rule in RULES
    }
    kept = lists.dump(site)
    assert lists.nonzero(sync(site, server_id).counts) == {"unchanged": len(RULES)}
    assert lists.dump(site) == kept


def test_with_the_setting_off_nothing_is_touched(site, server, server_id):
    server.people = [person(3, profile_fields=[field("shirt", "M")])]
    sync(site, server_id)
    with site.unit() as session:
        set_option(session, site.settings, "client.sync_profile_fields", "false", site.clock())
    server.people = [person(3, profile_fields=[]), person(4, profile_fields=[field("shirt", "S")])]

    sync(site, server_id)

    assert (values_of(site, 3), values_of(site, 4)) == ({"shirt": "M"}, {})


def test_the_run_says_which_fields_changed(site, server, server_id):
    server.people = [person(3, profile_fields=[field("shirt", "M"), field("member", "1", "checkbox")])]
    assert [line.detail for line in sync(site, server_id).lines] == [""]
    server.people = [
        person(3, lastname="New", profile_fields=[field("shirt", "L\x1b"), field("joined", "5", "datetime")])
    ]

    (line,) = sync(site, server_id).lines

    assert line.action == "updated"
    assert line.detail == "lastname: 'Last3' → 'New'; shirt: 'M' → 'L'; joined: '' → '5'; member: '1' → ''"


def test_values_go_with_the_account_and_come_back_with_it(site, server, server_id):
    server.people = [person(3, profile_fields=[field("shirt", "M")]), person(4)]
    sync(site, server_id)
    server.people = [tombstone(3), person(4)]
    sync(site, server_id)
    assert values_of(site, 3) == {}

    server.people = [person(3, profile_fields=[field("shirt", "M")]), person(4)]
    assert lists.nonzero(sync(site, server_id).counts) == {"undeleted": 1, "unchanged": 1}

    assert values_of(site, 3) == {"shirt": "M"}


def test_people_without_a_server_keep_what_they_have(site, server, server_id):
    with site.unit() as session:
        local = people.add_person(session, site, username="local")
        profiles.set_value(session, site, local.key, "shirt", "M")
    server.people = [person(3, profile_fields=[])]

    sync(site, server_id)

    with site.reading() as session:
        assert profiles.values_of(session, [local.key]) == {local.key: {"shirt": "M"}}


def test_a_field_that_is_made_later_is_filled_by_the_next_sync(client, server, server_id):
    server.people = [person(3, profile_fields=[field("shirt", "M")])]
    sync(client, server_id)
    with client.unit() as session:
        profiles.add_field(session, client, "shirt", datatype="text")

    assert lists.nonzero(sync(client, server_id).counts) == {"updated": 1}

    assert values_of(client, 3) == {"shirt": "M"}
