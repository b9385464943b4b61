"""Random histories of a server's people and of administrators here, against an oracle small enough to be obvious."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import select, update
from support import databases, host_accounts, lists, sites
from support.people_oracle import BALLAST, HAND, ID_NUMBERS, PEOPLE, Here, There, World, after_sync
from support.properties import TIMES

from tconnect_pyramid import people
from tconnect_pyramid.client.sync import pause, plan_users
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.client.sync.plan import Changes
from tconnect_pyramid.client.undo import undo_run
from tconnect_pyramid.directory import jobs, profiles
from tconnect_pyramid.directory.columnmap import own_accounts
from tconnect_pyramid.models import Account, Link, ProfileValue
from tconnect_pyramid.options import set_option

# --- what may happen -----------------------------------------------------------------------------------


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
    # Past all that knows of digests: only a run that reconciles finds it.
    "write rows": lambda here: replace(here, name="Hand", shirt="H" if here.shirt else ""),
    "local account": None,
}
CHOICES = {
    "jobs": lambda world: replace(world, sends_jobs=not world.sends_jobs),
    "fields": lambda world: replace(world, sends_fields=not world.sends_fields),
    "keep": lambda world: replace(world, mode="keep"),
    "suspend them": lambda world: replace(world, mode="suspend"),
    "delete them": lambda world: replace(world, mode="delete"),
    "migrate": lambda world: replace(world, migrates=not world.migrates),
    "somebody without an id": lambda world: replace(world, nameless=not world.nameless),
    "idnumbers": lambda world: replace(world, gives_idnumbers=not world.gives_idnumbers),
}

# What many rules hang on.
OFTEN = (*("sync",) * 6, "leave", "vanish", "somebody without an id", "bad record", "write rows")

STEPS = ("add", "bad record", *OFTEN, *ON_THE_SERVER, *JOBS, *BY_HAND, *CHOICES)


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
        elif action == "bad record":
            world.bad ^= {id_}
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
                    number = world.local_number(id_)
                    email = f"P{id_}@Example.com"
                    people.add_person(
                        session, self.client, username=f"local{id_}", email=email, idnumber=number
                    )
            return
        if here is None or here.deleted or (action == "job by hand" and "B" in {n for _, n in here.jobs}):
            return
        world.here[id_] = world.kept(BY_HAND[action](here))
        world.edited |= action == "write rows"
        with self.client.unit() as session:
            key = session.scalar(select(Link.account_key).where(Link.person_id == id_))
            match action:
                case "suspend here":
                    people.suspend(session, self.client, key)
                case "unsuspend here":
                    people.unsuspend(session, self.client, key)
                case "delete here":
                    people.delete_person(session, self.client, key)
                case "write rows":
                    self.write_rows(session, key, id_)
                case _:
                    jobs.add_job(session, self.client, key, idnumber="B")

    def write_rows(self, session, key: int, id_: int) -> None:
        accounts = self.client.accounts
        names = accounts.columns.writes({"firstname": "Hand", "lastname": f"Last{id_}"})
        session.execute(update(accounts.columns.mapped_class).where(accounts.key == key).values(names))
        session.execute(update(ProfileValue).where(ProfileValue.account_key == key).values(data="H"))

    def name_taken(self, id_: int) -> bool:
        with self.client.reading() as session:
            return bool(self.client.accounts.by_username(session, [f"local{id_}"]))

    def synced(self, world: World, *, undoes: bool = False) -> None:
        """A sync makes it as the oracle says, also when it was undone before, and a second one does nothing."""
        self.server.people = world.records()
        before, expected = world.here, after_sync(world)
        for id_ in PEOPLE:
            if world.here[id_] is None and expected[id_] and expected[id_].was_local:
                world.local.discard(id_)
        world.here = expected

        report = run_sync(self.client, "users", self.server_id, reconcile=world.edited)

        assert report.state == ("partial" if world.bad or world.nameless else "done"), report
        assert self.accounts() == world.here
        if undoes and {name for name, number in report.counts.items() if number} - {"unchanged", "skipped"}:
            self.undone(report, before, world)
            run_sync(self.client, "users", self.server_id)
            assert self.accounts() == world.here
        world.edited &= bool(world.bad or world.nameless)
        kept = self.rows()
        for reconcile in (False, True):
            # What a run knows to be in order is so.
            again = run_sync(self.client, "users", self.server_id, reconcile=reconcile)
            assert {line.action for line in again.lines} <= {"skipped"}
            assert self.rows() == kept

    def undone(self, report, before: dict[int, Here | None], world: World) -> None:
        """Who was here is as before, and who was made is suspended."""
        undo_run(self.client, report.run, actor="command")
        for id_, here in self.accounts().items():
            was = before[id_]
            if was is None:
                # Who had been taken over is nobody's account again.
                assert here is None or here.suspended or here.deleted
                continue
            assert here is not None
            if not world.gives_idnumbers:
                # A number that somebody new has got stays there.
                was = replace(was, idnumber=here.idnumber) if was.deleted else was
                assert here.idnumber == was.idnumber
            came_from_others = {
                job for other, it in before.items() if it and other != id_ for job, _ in it.jobs
            }
            went_to_others = {
                job for other, it in world.here.items() if it and other != id_ for job, _ in it.jobs
            }
            if not (came_from_others | went_to_others) & {job for job, _ in (*was.jobs, *here.jobs) if job}:
                assert here.jobs == was.jobs
            if not self.client.accounts.columns.is_own:
                # A name that can only be written does not come back.
                was = replace(was, name=here.name)
            assert replace(here, jobs=(), idnumber="") == replace(was, jobs=(), idnumber="")
        with self.client.unit() as session:
            pause.resume(session, self.client, "users", self.server_id, actor="command")

    def rows(self):
        table = self.client.accounts.columns.table
        with self.client.reading() as session:
            return lists.dump(self.client), sorted(map(repr, session.execute(select(table))))

    def names(self, session) -> dict[int, str]:
        """The full name of each account; a host's column for it is only written by the package."""
        own = self.client.accounts.columns.is_own
        full_name = Account.firstname + " " + Account.lastname if own else host_accounts.Member.full_name
        return dict(session.execute(select(self.client.accounts.key, full_name)).all())

    def accounts(self) -> dict[int, Here | None]:
        found: dict[int, Here | None] = dict.fromkeys(PEOPLE)
        fields = ("username", "suspended", "deleted", "idnumber")
        with self.client.reading() as session:
            links = {it.account_key: it for it in session.scalars(select(Link)) if it.person_id != BALLAST}
            values = profiles.values_of(session, [*links])
            names = self.names(session)
            for key, account in self.client.accounts.fetch(session, links, fields).items():
                link = links[key]
                name, _, last = names[key].partition(" ")
                assert last == f"Last{link.person_id}"
                found[link.person_id] = Here(
                    name,
                    "" if not account["suspended"] else "sync" if link.suspended_by_sync else HAND,
                    bool(account["deleted"]),
                    account["idnumber"],
                    values.get(key, {}).get("shirt", ""),
                    tuple((each.remote_id, each.idnumber) for each in jobs.list_jobs(session, key)),
                    account["username"].startswith("local"),
                )
        return found


TABLES = {
    "our own table": own_accounts,
    "a host's table": host_accounts.columns,
    "a host's table that keeps nobody deleted": host_accounts.columns_without_deletion,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
@pytest.mark.parametrize("table", TABLES)
def test_any_history_ends_as_the_rules_say(kind, table):
    for number in range((24 if kind == "sqlite" else 6) * TIMES):
        try:
            tell(kind, TABLES[table](), Random(number))  # noqa: S311 - no secret
        except Exception as error:
            error.add_note(f"This was lot {number}.")
            raise


def tell(kind, columns, lot: Random) -> None:
    history = [(lot.choice(STEPS), lot.choice(PEOPLE)) for _ in range(30)]
    undoing = Random(lot.getrandbits(16))  # noqa: S311 - no secret
    server = lists.ListingServer()
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory() as folder,
        databases.maker(kind, Path(folder)) as make,
        sites.context(
            make(), transport=server, accounts=columns, options=[("client.enabled", "true")]
        ) as client,
    ):
        # As with a list of very many: people are decided about in several batches, and a plan lies in a file.
        patch.setattr(plan_users, "TOGETHER", 2)
        patch.setattr(Changes, "AT_ONCE", 2)
        if not columns.is_own:
            host_accounts.make_tables(client)
        site = Site(client, server)
        world = World(keeps_deleted=columns.keeps("deleted"), keeps_idnumber=columns.keeps("idnumber"))
        first = [("local account", id_) for id_ in PEOPLE if lot.random() < 0.3]
        first += [(choice, BALLAST) for choice in ("migrate", "idnumbers") if lot.random() < 0.5]
        first += [("add", id_) for id_ in PEOPLE]
        for action, id_ in [*first, *history, ("sync", BALLAST)]:
            if action == "sync":
                site.synced(world, undoes=world.keeps_deleted and undoing.random() < 0.4)
            else:
                world = site.happens(world, action, id_)
