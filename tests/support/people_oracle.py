"""What becomes of a server's people on a client, in a model small enough to be obvious: protocol 9 for them alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from support import lists

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
    # What the table of accounts keeps.
    keeps_deleted: bool = True
    keeps_idnumber: bool = True
    # Those whose records cannot be used, and whether there is one that may be anybody's.
    bad: set[int] = field(default_factory=set)
    nameless: bool = False
    # Somebody wrote to the tables, which no digest knows.
    edited: bool = False

    def listed(self) -> dict[int, There]:
        return {id_: person for id_, person in self.there.items() if person and person.in_audience}

    def kept(self, here: Here) -> Here | None:
        """A table that does not know who is deleted loses the row."""
        return None if here.deleted and not self.keeps_deleted else here

    def local_number(self, id_: int) -> str:
        """The ID number of the local account that a person might take over: the first one's is in the way."""
        return "A" if id_ == PEOPLE[0] and self.keeps_idnumber else ""

    def unknown(self, listed: Collection[int]) -> set[int]:
        """Of whom this list says nothing that could be used."""
        bad = {id_ for id_ in self.bad & listed.keys() if not listed[id_].deleted}
        return bad | (self.here.keys() - listed.keys() if self.nameless else set())

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
            found.append({**record, "suspended": "perhaps"} if id_ in self.bad else record)
        # Somebody else with the id of one who was listed.
        twice = [lists.person(BALLAST, firstname="Another")] if self.bad else []
        return [*([lists.person(9, id="none")] if self.nameless else []), *found, *twice]


def after_sync(world: World) -> dict[int, Here | None]:
    listed = world.listed()
    after = {
        id_: one(
            here,
            listed.get(id_),
            world.mode,
            world.local_number(id_) if id_ in world.local and world.migrates else None,
        )
        for id_, here in world.here.items()
    }
    after |= {id_: world.here[id_] for id_ in world.unknown(listed)}
    after = {id_: here and world.kept(here) for id_, here in after.items()}
    live = {id_: listed[id_] for id_ in listed.keys() - world.bad if not listed[id_].deleted}
    if world.sends_fields:
        after.update({id_: replace(after[id_], shirt=person.shirt) for id_, person in live.items()})
    if world.sends_jobs:
        after = with_jobs(after, live)
    if world.gives_idnumbers and world.keeps_idnumber:
        waiting = {id_ for id_ in world.local if not (after[id_] and after[id_].was_local)}
        after = with_idnumbers(world, after, live, waiting)
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


def with_idnumbers(world, after, live, waiting):
    """Everybody gets what was sent; then whoever may not have it is set back, until all may."""
    others = [world.local_number(id_) for id_ in waiting]
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
