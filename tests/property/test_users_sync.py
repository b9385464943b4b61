"""Random histories of a server's people and of administrators here, against an oracle small enough to be obvious."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from support import databases, lists, sites
from support.properties import examples

from tconnect_pyramid import people
from tconnect_pyramid.client.sync import plan_users
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.client.sync.plan import Changes
from tconnect_pyramid.directory import jobs, profiles
from tconnect_pyramid.models import Account, Link
from tconnect_pyramid.options import set_option

BALLAST = 1
PEOPLE = (2, 3, 4)
ID_NUMBERS = ("", "A", "B")
HAND = "hand"


@dataclass(frozen=True)
class There:
    """A person on the server. `jobs`: ids there with their idnumbers, in their order."""

    name: str = "A"
    suspended: bool = False
    deleted: bool = False
    in_audience: bool = True
    idnumber: str = ""
    shirt: str = ""
    jobs: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Here:
    """The person's account. `suspended` is empty, `sync` or `hand`; a job made by hand has no id there."""

    name: str
    suspended: str = ""
    deleted: bool = False
    idnumber: str = ""
    shirt: str = ""
    jobs: tuple[tuple[int | None, str], ...] = ()
    was_local: bool = False


@dataclass
class World:
    """All there is: on the server, here, and what is chosen on both sides."""

    there: dict[int, There | None] = field(default_factory=lambda: dict.fromkeys(PEOPLE))
    here: dict[int, Here | None] = field(default_factory=lambda: dict.fromkeys(PEOPLE))
    local: set[int] = field(default_factory=set)
    sends_jobs: bool = True
    sends_fields: bool = True
    mode: str = "suspend"
    migrates: bool = False
    gives_idnumbers: bool = False

    def listed(self) -> dict[int, There]:
        return {id_: person for id_, person in self.there.items() if person and person.in_audience}

    def records(self) -> list[dict]:
        found = [lists.person(BALLAST, idnumber="")]
        for id_, person in self.listed().items():
            common = {"firstname": person.name, "email": f"p{id_}@example.com"}
            if person.deleted:
                found.append(lists.tombstone(id_, firstname=person.name))
                continue
            sent_jobs = [
                lists.job(job, name, sortorder=str(n)) for n, (job, name) in enumerate(person.jobs, 1)
            ]
            fields = [lists.field("shirt", person.shirt)] if person.shirt else []
            record = lists.person(
                id_,
                **common,
                suspended=str(int(person.suspended)),
                idnumber=person.idnumber,
                jobs=sent_jobs if self.sends_jobs else None,
                profile_fields=fields if self.sends_fields else None,
            )
            found.append(record)
        return found


# --- the oracle: protocol 9 in as few words as possible ----------------------------------------------


def after_sync(world: World) -> dict[int, Here | None]:
    listed = world.listed()
    after = {
        id_: one(
            here,
            listed.get(id_),
            world.mode,
            local_number(id_) if id_ in world.local and world.migrates else None,
        )
        for id_, here in world.here.items()
    }
    live = {id_: person for id_, person in listed.items() if not person.deleted}
    if world.sends_fields:
        after.update({id_: replace(after[id_], shirt=person.shirt) for id_, person in live.items()})
    if world.sends_jobs:
        after = with_jobs(after, live)
    if world.gives_idnumbers:
        waiting = {id_ for id_ in world.local if not (after[id_] and after[id_].was_local)}
        after = with_idnumbers(after, live, waiting)
    return after


def one(here: Here | None, there: There | None, mode: str, local: str | None) -> Here | None:
    """`local` is the ID number of the account that waits to be taken over, None when there is none."""
    flag = "sync" if there and there.suspended else ""
    if here is None:
        if there is None or there.deleted:
            return None
        if local is not None:
            return Here(there.name, flag if mode == "suspend" else "", idnumber=local, was_local=True)
        return Here(there.name, flag)
    gone = replace(here, deleted=True, idnumber="", shirt="", jobs=(), was_local=False)
    if there is None:
        if here.deleted or mode == "keep":
            return here
        return gone if mode == "delete" else replace(here, suspended=here.suspended or "sync")
    if there.deleted:
        return gone
    if here.deleted:
        return replace(
            here, name=there.name, deleted=False, suspended=HAND if here.suspended == HAND else flag
        )
    follows = mode == "suspend" and here.suspended != HAND
    return replace(here, name=there.name, suspended=flag if follows else here.suspended)


def with_jobs(after: dict[int, Here | None], live: dict[int, There]) -> dict[int, Here | None]:
    owner = {job: id_ for id_, person in live.items() for job, _ in person.jobs}
    result = dict(after)
    for id_, here in after.items():
        if here is None:
            continue
        mine = [pair for pair in here.jobs if owner.get(pair[0], id_) == id_]
        if id_ in live:
            sent = list(live[id_].jobs)
            names = {name for _, name in sent}
            staying = [
                (job, name)
                for job, name in mine
                if (name not in names if job is None else owner.get(job) == id_)
            ]
            mine = [pair if pair[0] is None else sent.pop(0) for pair in staying] + sent
        result[id_] = replace(here, jobs=tuple(mine))
    return result


def with_idnumbers(after, live, waiting):
    """Everybody gets what was sent; then whoever may not have it is set back, until all may."""
    others = [local_number(id_) for id_ in waiting]
    final = {id_: live[id_].idnumber if id_ in live else here.idnumber for id_, here in after.items() if here}
    wanting = [id_ for id_ in live if live[id_].idnumber and final[id_] != after[id_].idnumber]
    first = {live[id_].idnumber: id_ for id_ in reversed(wanting)}
    while True:
        may_not = [
            id_
            for id_ in wanting
            if final[id_] != after[id_].idnumber
            and (
                first[final[id_]] != id_
                or final[id_] in others
                or any(final[id_] == final[each] == after[each].idnumber for each in final if each != id_)
            )
        ]
        if not may_not:
            return {id_: here and replace(here, idnumber=final[id_]) for id_, here in after.items()}
        final.update({id_: after[id_].idnumber for id_ in may_not})


# --- what may happen -----------------------------------------------------------------------------------


def local_number(id_: int) -> str:
    """The ID number of the local account that a person might take over: the first one's is in the way."""
    return "A" if id_ == PEOPLE[0] else ""


def swapped(jobs_: tuple) -> tuple:
    if len(jobs_) < 2:
        return jobs_
    (one_, a), (two, b), *rest = jobs_
    return ((one_, b), (two, a), *rest)


ON_THE_SERVER = {
    "add": lambda there: there or There(),
    "rename": lambda there: replace(there, name=there.name + "n"),
    "suspend": lambda there: replace(there, suspended=True),
    "unsuspend": lambda there: replace(there, suspended=False),
    "delete": lambda there: replace(there, deleted=True, jobs=(), shirt="", idnumber=""),
    "undelete": lambda there: replace(there, deleted=False),
    "leave": lambda there: replace(there, in_audience=False),
    "return": lambda there: replace(there, in_audience=True),
    "vanish": lambda there: None,
    "shirt": lambda there: replace(there, shirt={"": "M", "M": "L", "L": ""}[there.shirt]),
    "reverse jobs": lambda there: replace(there, jobs=there.jobs[::-1]),
    "swap jobs": lambda there: replace(there, jobs=swapped(there.jobs)),
    "drop job": lambda there: replace(there, jobs=there.jobs[1:]),
    **{
        f"idnumber {number}": lambda there, number=number: replace(there, idnumber=number)
        for number in ID_NUMBERS
    },
}
JOBS = {"job 1": (1, "A"), "job 2": (2, "B"), "job 3": (3, "A")}
BY_HAND = {
    "suspend here": lambda here: replace(here, suspended=HAND),
    "unsuspend here": lambda here: replace(here, suspended=""),
    "delete here": lambda here: replace(here, deleted=True, idnumber="", shirt="", jobs=(), was_local=False),
    "job by hand": lambda here: replace(here, jobs=(*here.jobs, (None, "B"))),
    "local account": None,
}
CHOICES = {
    "jobs": lambda world: replace(world, sends_jobs=not world.sends_jobs),
    "fields": lambda world: replace(world, sends_fields=not world.sends_fields),
    "keep": lambda world: replace(world, mode="keep"),
    "suspend them": lambda world: replace(world, mode="suspend"),
    "delete them": lambda world: replace(world, mode="delete"),
    "migrate": lambda world: replace(world, migrates=not world.migrates),
    "idnumbers": lambda world: replace(world, gives_idnumbers=not world.gives_idnumbers),
}

steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "sync", "sync", *ON_THE_SERVER, *JOBS, *BY_HAND, *CHOICES]),
        st.sampled_from(PEOPLE),
    ),
    max_size=30,
)
beginnings = st.fixed_dictionaries(
    {
        "local": st.sets(st.sampled_from(PEOPLE)),
        "chosen": st.sets(st.sampled_from(["migrate", "idnumbers"])),
    }
)


class Site:
    """The real thing, to which the same happens as to the world."""

    def __init__(self, client, server) -> None:
        self.client = client
        self.server = server
        self.server_id = lists.connect(client)
        with client.unit() as session:
            profiles.add_field(session, client, "shirt", datatype="text")

    def happens(self, world: World, action: str, id_: int) -> World:
        """Do a step; what cannot be done in this state is passed over."""
        if action in CHOICES:
            world = CHOICES[action](world)
            self.choose(world)
        elif action in JOBS:
            there = world.there[id_]
            job = JOBS[action]
            if there and not there.deleted and job[1] not in {name for _, name in there.jobs}:
                self.take_job_away(world, job[0])
                world.there[id_] = replace(world.there[id_], jobs=(*world.there[id_].jobs, job))
        elif action in ON_THE_SERVER:
            there = world.there[id_]
            if there or action == "add":
                world.there[id_] = ON_THE_SERVER[action](there)
        else:
            self.by_hand(world, action, id_)
        return world

    @staticmethod
    def take_job_away(world: World, job: int) -> None:
        for id_, person in world.there.items():
            if person:
                world.there[id_] = replace(person, jobs=tuple(pair for pair in person.jobs if pair[0] != job))

    def choose(self, world: World) -> None:
        options = {
            "removed_person": world.mode,
            "migrate_accounts": str(world.migrates),
            "account_mapping": "email",
            "sync_idnumber": str(world.gives_idnumbers),
        }
        with self.client.unit() as session:
            for name, value in options.items():
                set_option(
                    session, self.client.settings, f"client.{name}", value.lower(), self.client.clock()
                )

    def by_hand(self, world: World, action: str, id_: int) -> None:
        here = world.here[id_]
        if action == "local account":
            taken = here is not None and here.was_local
            if id_ not in world.local and not taken and not self.name_taken(id_):
                world.local.add(id_)
                with self.client.unit() as session:
                    number = local_number(id_)
                    email = f"P{id_}@Example.com"
                    people.add_person(
                        session, self.client, username=f"local{id_}", email=email, idnumber=number
                    )
            return
        if here is None or here.deleted or (action == "job by hand" and "B" in {n for _, n in here.jobs}):
            return
        world.here[id_] = BY_HAND[action](here)
        with self.client.unit() as session:
            key = session.scalar(select(Link.account_key).where(Link.person_id == id_))
            match action:
                case "suspend here":
                    people.suspend(session, self.client, key)
                case "unsuspend here":
                    people.unsuspend(session, self.client, key)
                case "delete here":
                    people.delete_person(session, self.client, key)
                case _:
                    jobs.add_job(session, self.client, key, idnumber="B")

    def name_taken(self, id_: int) -> bool:
        with self.client.reading() as session:
            return bool(self.client.accounts.by_username(session, [f"local{id_}"]))

    def synced(self, world: World) -> None:
        """A sync makes it as the oracle says, and a second one does nothing."""
        self.server.people = world.records()
        expected = after_sync(world)
        for id_ in PEOPLE:
            if world.here[id_] is None and expected[id_] and expected[id_].was_local:
                world.local.discard(id_)
        world.here = expected

        report = run_sync(self.client, "users", self.server_id)

        assert report.state == "done", report
        assert self.accounts() == world.here
        kept = lists.dump(self.client)
        for reconcile in (False, True):
            # What a run knows to be in order is so.
            again = run_sync(self.client, "users", self.server_id, reconcile=reconcile)
            assert [*again.lines] == []
            assert lists.dump(self.client) == kept

    def accounts(self) -> dict[int, Here | None]:
        found: dict[int, Here | None] = dict.fromkeys(PEOPLE)
        with self.client.reading() as session:
            rows = session.execute(
                select(Link, Account)
                .join(Account, Account.id == Link.account_key)
                .where(Link.person_id != BALLAST)
            ).all()
            values = profiles.values_of(session, [account.id for _, account in rows])
            for link, account in rows:
                found[link.person_id] = Here(
                    account.firstname,
                    "" if not account.suspended else "sync" if link.suspended_by_sync else HAND,
                    bool(account.deleted),
                    account.idnumber,
                    values.get(account.id, {}).get("shirt", ""),
                    tuple((each.remote_id, each.idnumber) for each in jobs.list_jobs(session, account.id)),
                    account.username.startswith("local"),
                )
        return found


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
@examples(40)
@given(beginning=beginnings, history=steps)
def test_any_history_ends_as_the_rules_say(kind, beginning, history):
    server = lists.ListingServer()
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory() as folder,
        databases.maker(kind, Path(folder)) as make,
        sites.context(make(), transport=server, options=[("client.enabled", "true")]) as client,
    ):
        # As with a list of very many: people are decided about in several batches, and a plan lies in a file.
        patch.setattr(plan_users, "TOGETHER", 2)
        patch.setattr(Changes, "AT_ONCE", 2)
        site = Site(client, server)
        world = World()
        first = [("local account", id_) for id_ in beginning["local"]]
        first += [(choice, BALLAST) for choice in beginning["chosen"]]
        first += [("add", id_) for id_ in PEOPLE]
        for action, id_ in [*first, *history, ("sync", BALLAST)]:
            if action == "sync":
                site.synced(world)
            else:
                world = site.happens(world, action, id_)
