"""Random histories of a server's list and of administrators here, against an oracle small enough to be obvious."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from support import databases, lists, sites

from tconnect_pyramid import people
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.models import Account, Link

BALLAST = 1
PEOPLE = (2, 3, 4)


@dataclass(frozen=True)
class There:
    """A person on the server."""

    name: str = "A"
    suspended: bool = False
    deleted: bool = False
    in_audience: bool = True

    def record(self, id_: int) -> dict:
        if self.deleted:
            return lists.tombstone(id_, firstname=self.name)
        return lists.person(id_, firstname=self.name, suspended=str(int(self.suspended)))


@dataclass(frozen=True)
class Here:
    """The person's account; `suspended` is empty, `sync` or `hand`."""

    name: str
    suspended: str = ""
    deleted: bool = False


def after_sync(here: Here | None, there: There | None, mode: str) -> Here | None:
    """Protocol 9 in as few words as possible."""
    listed = there is not None and there.in_audience
    flag = "sync" if listed and there.suspended else ""
    if here is None:
        return Here(there.name, flag) if listed and not there.deleted else None
    if not listed:
        if here.deleted or mode == "keep":
            return here
        if mode == "delete":
            return replace(here, deleted=True)
        return replace(here, suspended=here.suspended or "sync")
    if there.deleted:
        return replace(here, deleted=True)
    if here.deleted:
        return Here(there.name, "hand" if here.suspended == "hand" else flag)
    follows = mode == "suspend" and here.suspended != "hand"
    return Here(there.name, flag if follows else here.suspended)


ON_THE_SERVER = {
    "add": lambda there: there or There(),
    "rename": lambda there: there and replace(there, name=there.name + "n"),
    "suspend": lambda there: there and replace(there, suspended=True),
    "unsuspend": lambda there: there and replace(there, suspended=False),
    "delete": lambda there: there and replace(there, deleted=True),
    "undelete": lambda there: there and replace(there, deleted=False),
    "leave": lambda there: there and replace(there, in_audience=False),
    "return": lambda there: there and replace(there, in_audience=True),
    "vanish": lambda there: None,
}
BY_HAND = {
    "suspend here": lambda here: replace(here, suspended="hand"),
    "unsuspend here": lambda here: replace(here, suspended=""),
    "delete here": lambda here: replace(here, deleted=True),
}

steps = st.lists(
    st.tuples(st.sampled_from([*ON_THE_SERVER, *BY_HAND, "sync", "sync"]), st.sampled_from(PEOPLE)),
    max_size=25,
)


def by_hand(client, action, id_):
    with client.unit() as session:
        key = session.scalar(select(Link.account_key).where(Link.person_id == id_))
        change = {
            "suspend here": people.suspend,
            "unsuspend here": people.unsuspend,
            "delete here": people.delete_person,
        }[action]
        change(session, client, key)


def accounts_of(client):
    found = dict.fromkeys(PEOPLE)
    with client.reading() as session:
        rows = session.execute(
            select(Link, Account)
            .join(Account, Account.id == Link.account_key)
            .where(Link.person_id != BALLAST)
        )
        for link, account in rows:
            suspended = "" if not account.suspended else "sync" if link.suspended_by_sync else "hand"
            found[link.person_id] = Here(account.firstname, suspended, bool(account.deleted))
    return found


@pytest.mark.parametrize("mode", ["keep", "suspend", "delete"])
@settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
@given(history=steps)
def test_any_history_ends_as_the_rules_say(mode, history):
    server = lists.ListingServer()
    with (
        tempfile.TemporaryDirectory() as folder,
        databases.maker("sqlite", Path(folder)) as make,
        sites.context(
            make(),
            transport=server,
            options=[("client.enabled", "true"), ("client.removed_person", mode)],
        ) as client,
    ):
        server_id = lists.connect(client)
        there: dict[int, There | None] = dict.fromkeys(PEOPLE)
        here: dict[int, Here | None] = dict.fromkeys(PEOPLE)
        for action, id_ in [*history, ("sync", BALLAST)]:
            if action in ON_THE_SERVER:
                there[id_] = ON_THE_SERVER[action](there[id_])
            elif action in BY_HAND:
                account = here[id_]
                if account is not None and not account.deleted:
                    by_hand(client, action, id_)
                    here[id_] = BY_HAND[action](account)
            else:
                server.people = [lists.person(BALLAST)] + [
                    person.record(each) for each, person in there.items() if person and person.in_audience
                ]
                here = {each: after_sync(here[each], there[each], mode) for each in PEOPLE}

                report = run_sync(client, "users", server_id)

                assert report.state == "done"
                assert accounts_of(client) == here
                kept = lists.dump(client)
                again = run_sync(client, "users", server_id)
                assert again.lines == []
                assert lists.dump(client) == kept
