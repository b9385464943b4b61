"""Random histories of lists that lose something, with guards of all sizes and what an administrator decides.

What is held changes nothing; approving lets exactly that through which was listed; whatever is not held ends as if
there were no guard.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import select
from support import databases, lists, sites
from support.properties import TIMES

from tconnect_pyramid.client.runs import approve_run, reject_run
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.models import (
    Account,
    AudienceMember,
    Collection,
    Counterpart,
    Link,
    Position,
)
from tconnect_pyramid.options import set_option

DAY = 24
HOUR = 3600
NUMBERS = range(1, 9)
SETS = range(1, 4)
CHANGES = (0, 0, 1, 2, 3, 5)
"""How many of the things change from list to list."""
SELDOM = 0.08
STEPS = 20
GUARDS = ((0, 30), (1, 40), (0, 0), (2, 30), (1, 0), (0, 50), (20, 5), (1000, 100))
"""Number and share; the last one lets everything but an empty list through."""


# --- what is listed, what is here, and what a list takes away: of each kind in as few words as possible -----


class People:
    """By their ids: `live`, `suspended` or `deleted`."""

    name, option = "users", "guard.people"

    @staticmethod
    def another(listing, lot: Random):
        """What is listed next: some of it is another, and now and then it is nothing."""
        states = {id_: listing.get(id_) for id_ in NUMBERS}
        for id_ in lot.sample(NUMBERS, lot.choice(CHANGES)):
            states[id_] = lot.choice(["live", "live", "suspended", "deleted", "deleted", None])
        return {} if lot.random() < SELDOM else {id_: state for id_, state in states.items() if state}

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def serve(self, server, listing) -> None:
        server.people = [
            lists.tombstone(id_)
            if state == "deleted"
            else lists.person(id_, suspended=str(int(state != "live")))
            for id_, state in listing.items()
        ]

    def after(self, here, listing):
        missing = {"suspend": "suspended", "delete": "deleted"}[self.mode]
        made = {id_: state for id_, state in listing.items() if id_ in here or state != "deleted"}
        for id_, state in here.items():
            if state == "deleted":
                made[id_] = listing.get(id_, "deleted")
            elif id_ not in listing:
                made[id_] = missing
            elif self.mode == "delete" and listing[id_] != "deleted":
                # The server's flag rules only where it is what becomes of people.
                made[id_] = state
        return made

    def removals(self, here, listing):
        after = self.after(here, listing)
        return {
            (id_, after[id_]): 1
            for id_, state in here.items()
            if state != "deleted" and after[id_] not in {state, "live"}
        }

    def size(self, here) -> int:
        return len([state for state in here.values() if state != "deleted"])

    def takes_all(self, here, listing) -> bool:
        return not listing

    def all_of(self, removals):
        """What an empty list takes away."""
        return removals

    def read(self, client):
        with client.reading() as session:
            rows = session.execute(
                select(Link.person_id, Account.deleted, Account.suspended).join(
                    Account, Account.id == Link.account_key
                )
            ).all()
        return {id_: "deleted" if deleted else "suspended" if flag else "live" for id_, deleted, flag in rows}


class Members:
    """By the ids of audiences: who belongs to them. Each may lose each member, or go with all of them."""

    name, option = "collections", "guard.members"

    @staticmethod
    def another(listing, lot: Random):
        """What is listed next."""
        sets = {id_: set(listing.get(id_, ())) for id_ in listing or SETS}
        for id_ in lot.sample(SETS, lot.choice(CHANGES[1:5])):
            sets[id_] = sets.get(id_, set()) ^ set(lot.sample(NUMBERS, lot.choice(CHANGES)))
        if lot.random() < SELDOM:
            sets.pop(lot.choice([*sets]))
        return {} if lot.random() < SELDOM else sets

    def __init__(self, mode: str) -> None:
        del mode

    def serve(self, server, listing) -> None:
        server.cohorts = [lists.cohort(id_, *sorted(members)) for id_, members in listing.items()]

    def after(self, here, listing):
        return dict(listing)

    def removals(self, here, listing):
        lost = {
            (member, f"of {id_}"): 1
            for id_ in here.keys() & listing.keys()
            for member in here[id_] - listing[id_]
        }
        return lost | {(id_, "deleted"): len(members) for id_, members in here.items() if id_ not in listing}

    def size(self, here) -> int:
        return sum(map(len, here.values()))

    def takes_all(self, here, listing) -> bool:
        return not listing

    def all_of(self, removals):
        return {key for key in removals if key[1] == "deleted"}

    def read(self, client):
        with client.reading() as session:
            found = {remote: set() for remote in session.scalars(select(Collection.remote_id))}
            rows = session.execute(
                select(Collection.remote_id, Link.person_id)
                .join(AudienceMember, AudienceMember.audience_id == Collection.local_id)
                .join(Link, Link.account_key == AudienceMember.account_key)
            )
            for remote, person in rows:
                found[remote].add(person)
        return found


class Items:
    """By the ids of frameworks: the items in them; an item is in one."""

    name, option = "positions", "guard.items"

    @staticmethod
    def another(listing, lot: Random):
        """What is listed next."""
        homes = {id_: home for home, items in listing.items() for id_ in items}
        for id_ in lot.sample(NUMBERS, lot.choice(CHANGES)):
            homes[id_] = lot.choice([*SETS, None, None])
        there = [home for home in SETS if lot.random() > SELDOM]
        trees = {home: {id_ for id_, its in homes.items() if its == home} for home in there}
        return {} if lot.random() < SELDOM else trees

    def __init__(self, mode: str) -> None:
        del mode

    def serve(self, server, listing) -> None:
        server.frameworks["positions"] = [lists.framework(id_) for id_ in listing]
        server.items["positions"] = [
            lists.item(id_, home) for home, items in listing.items() for id_ in sorted(items)
        ]

    def after(self, here, listing):
        return dict(listing)

    def removals(self, here, listing):
        frameworks = {(id_, "framework"): 1 for id_ in here.keys() - listing.keys()}
        return frameworks | {(id_, "item"): 1 for id_ in all_items(here) - all_items(listing)}

    def size(self, here) -> int:
        return len(here) + len(all_items(here))

    def takes_all(self, here, listing) -> bool:
        return (bool(here) and not listing) or (bool(all_items(here)) and not all_items(listing))

    def all_of(self, removals):
        return removals

    def read(self, client):
        with client.reading() as session:
            local = dict(
                session.execute(
                    select(Counterpart.local_id, Counterpart.remote_id).where(
                        Counterpart.kind == "position_framework"
                    )
                ).all()
            )
            found = {remote: set() for remote in local.values()}
            rows = session.execute(
                select(Counterpart.remote_id, Position.framework_id)
                .join(Position, Position.id == Counterpart.local_id)
                .where(Counterpart.kind == "position")
            )
            for remote, home in rows:
                found[local[home]].add(remote)
        return found


def all_items(trees) -> set[int]:
    return {id_ for items in trees.values() for id_ in items}


# --- the guard ------------------------------------------------------------------------------------------


@dataclass
class World:
    """What is here, what was approved until when, and the run that waits for a decision, with what it removes."""

    kind: People | Members | Items
    guard: tuple[int, int]
    here: dict = field(default_factory=dict)
    approved: dict = field(default_factory=dict)
    waiting: int | None = None
    wanted: set = field(default_factory=set)
    agreed: int | None = None

    def is_held(self, listing, now: int) -> bool:
        removals = self.kind.removals(self.here, listing)
        asked = {key: number for key, number in removals.items() if self.approved.get(key, 0) <= now}
        if self.kind.takes_all(self.here, listing) and asked.keys() & set(self.kind.all_of(removals)):
            return True
        lost = sum(asked.values())
        number, share = self.guard
        return lost > number and 100 * lost > share * self.kind.size(self.here)

    def unwanted(self, listing, now: int) -> list[int]:
        """What was approved of the run that waits, and would not be removed any more."""
        if self.agreed is None or self.agreed + DAY * HOUR <= now:
            return []
        removals = self.kind.removals(self.here, listing)
        return sorted(key[0] for key in self.wanted if key not in removals)


class Site:
    """A client of a server that loses things, and its administrator."""

    def __init__(self, client, server, world: World) -> None:
        self.client = client
        self.server = server
        self.world = world
        self.server_id = lists.connect(client)

    def decide(self, decision: str, listing, lot: Random):
        """What an administrator does about the run that waits; gives what is listed then."""
        match decision:
            case "approve":
                listing = self.world.kind.another(listing, lot)
                self.approve(listing)
            case "approve at once":
                self.approve(listing)
            case "in vain":
                self.approve_in_vain()
            case "reject":
                self.reject()
        return listing

    def listed(self, listing) -> None:
        """A run of what is listed now."""
        self.world.kind.serve(self.server, listing)
        self._check(listing, lambda: run_sync(self.client, self.world.kind.name, self.server_id))

    def approve(self, listing) -> None:
        """The run that waits is approved, when something else may be listed."""
        world, now = self.world, self.client.clock()
        world.approved |= dict.fromkeys(world.wanted, now + DAY * HOUR)
        world.agreed = now
        world.kind.serve(self.server, listing)
        self._check(listing, lambda: approve_run(self.client, world.waiting, actor="command"))

    def approve_in_vain(self) -> None:
        """The server is down: the approval is for the next run."""
        world, now = self.world, self.client.clock()
        world.approved |= dict.fromkeys(world.wanted, now + DAY * HOUR)
        world.agreed = now
        self.server.down = True
        before = lists.dump(self.client)
        assert approve_run(self.client, world.waiting, actor="command").state == "failed"
        assert lists.dump(self.client) == before
        self.server.down = False

    def reject(self) -> None:
        """It is not to be, and nothing of this kind is approved any more."""
        world = self.world
        reject_run(self.client, world.waiting, actor="command")
        world.approved.clear()
        world.waiting, world.wanted, world.agreed = None, set(), None

    def _check(self, listing, run) -> None:
        world, now = self.world, self.client.clock()
        is_held, unwanted = world.is_held(listing, now), world.unwanted(listing, now)
        before = lists.dump(self.client)

        report = run()

        assert report.state == ("held" if is_held else "done"), report
        assert sorted(line.remote_id for line in report.lines if line.action == "unwanted") == unwanted
        world.agreed = None
        if is_held:
            assert lists.dump(self.client) == before
            world.waiting, world.wanted = report.run, {*world.kind.removals(world.here, listing)}
        else:
            # What was approved is approved once.
            for key in world.kind.removals(world.here, listing):
                world.approved.pop(key, None)
            world.here = world.kind.after(world.here, listing)
            world.waiting, world.wanted = None, set()
        assert world.kind.read(self.client) == world.here


DECISIONS = ("approve", "approve", "approve at once", "in vain", "in vain", "reject", "reject", "leave")


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
@pytest.mark.parametrize("kind", [People, Members, Items])
def test_what_a_guard_holds_and_what_an_approval_lets_through(database, kind):
    # Each with its own guard, and all of them by the same lots each time.
    for lot in range((len(GUARDS) if database == "sqlite" else 2) * TIMES):
        try:
            tell(database, kind, GUARDS[lot % len(GUARDS)], Random(lot))  # noqa: S311 - no secret
        except Exception as error:
            error.add_note(f"This was lot {lot}.")
            raise


def tell(database, kind, guard, lot: Random) -> None:
    server = lists.ListingServer()
    mode = lot.choice(["suspend", "delete"])
    world = World(kind(mode), guard)
    options = [("client.enabled", "true"), ("client.removed_person", mode)]
    with (
        tempfile.TemporaryDirectory() as folder,
        databases.maker(database, Path(folder)) as make,
        sites.context(make(), transport=server, options=options) as client,
    ):
        site = Site(client, server, world)
        if isinstance(world.kind, Members):
            server.people = [lists.person(id_) for id_ in NUMBERS]
            run_sync(client, "users", site.server_id)
        number, share = guard
        with client.unit() as session:
            set_option(session, client.settings, world.kind.option, f"{number} {share}", client.clock())
        listing = {}
        for _ in range(STEPS):
            listing = kind.another(listing, lot)
            site.listed(listing)
            if world.waiting is not None:
                client.clock.tick(lot.choice([0, 0, 1, 12]) * HOUR)
                listing = site.decide(lot.choice(DECISIONS), listing, lot)
            client.clock.tick(lot.choice([0, 0, 1, 12, 24]) * HOUR)
