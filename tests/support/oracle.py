"""What a client must look like after each sync with a server: protocol 5 and 9 in plain Python.

Written from the rules, and knowing nothing of the package. Whatever comes to be on the client has a number of
birth, which stands for the local id that it must keep for as long as it lives.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

WORDS = ("position", "organisation")
MAPPINGS = ("username", "email", "idnumber", "uniqueid")

ACCOUNT: dict[str, Any] = {
    "firstname": "",
    "lastname": "",
    "email": "",
    "department": "",
    "country": "",
    "lang": "en",
    "timezone": "99",
    "theme": "",
    "calendartype": "gregorian",
    "middlename": None,
    "description": None,
    "emailstop": 0,
    "mailformat": 1,
    "maildigest": 0,
    "maildisplay": 2,
    "autosubscribe": 1,
    "trackforums": 0,
}
"""Fields of an account that are looked at, with what a new one has in them."""
LEFT_ALONE = ("emailstop", "lang", "maildigest", "autosubscribe", "trackforums")

FIELDS_THERE = {"shirt": "text", "badge": "checkbox", "size": "text"}
FIELDS_HERE = {"shirt": "text", "badge": "checkbox", "size": "menu", "own": "text"}
"""The custom profile fields of either site, with their types; likewise the types of items."""
TYPES_THERE = {
    "role": {"level": "text", "lead": "checkbox", "since": "text"},
    "rank": {"level": "text"},
    "odd": {"level": "text"},
}
TYPES_HERE = {"role": {"level": "text", "lead": "checkbox", "since": "datetime"}, "rank": {"level": "text"}}


# --- the server -----------------------------------------------------------------------------------------


@dataclass
class Job:
    id: int
    idnumber: str
    fullname: str
    position: int | None = None
    organisation: int | None = None


@dataclass
class Person:
    username: str
    fields: dict[str, Any]
    idnumber: str = ""
    password: str | None = None
    suspended: bool = False
    deleted: bool = False
    values: dict[str, str] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)


@dataclass
class Group:
    """An audience or a course; `former` are those who were deleted while they belonged to it."""

    name: str
    description: str = ""
    members: set[int] = field(default_factory=set)
    former: set[int] = field(default_factory=set)


@dataclass
class Item:
    id: int
    fullname: str
    type: str | None = None
    values: dict[str, str] = field(default_factory=dict)
    below: list[Item] = field(default_factory=list)


@dataclass
class Framework:
    id: int
    fullname: str
    tops: list[Item] = field(default_factory=list)


@dataclass
class Server:
    """All of it, and what its administrator chose for the client (protocol 8)."""

    idnumber: str
    people: dict[int, Person] = field(default_factory=dict)
    audiences: dict[int, Group] = field(default_factory=dict)
    courses: dict[int, Group] = field(default_factory=dict)
    trees: dict[str, list[Framework]] = field(default_factory=lambda: {word: [] for word in WORDS})
    restrict: int | None = None
    chosen: dict[str, set[int]] = field(
        default_factory=lambda: {name: set() for name in ("audiences", "courses", *WORDS)}
    )
    sends_fields: bool = True
    sends_jobs: bool = True
    sends_passwords: bool = False
    adds_new: bool = False


@dataclass(frozen=True)
class Placed:
    """An item as it is sent."""

    item: Item
    framework: int
    parent: int | None
    depth: int
    sortthread: str


def told_of(server: Server) -> dict[int, Person]:
    """Protocol 5: everybody, or members of the restricting audience and those who were when deleted."""
    people = dict(sorted(server.people.items()))
    if server.restrict is None:
        return people
    audience = server.audiences.get(server.restrict, Group("gone"))
    return {
        id_: person
        for id_, person in people.items()
        if id_ in (audience.former if person.deleted else audience.members)
    }


def sent_sets(server: Server) -> dict[tuple[str, int], Group]:
    chosen = {
        **{("cohort", id_): server.audiences[id_] for id_ in sorted(server.chosen["audiences"])},
        **{("course", id_): server.courses[id_] for id_ in sorted(server.chosen["courses"])},
    }
    told = {id_ for id_, person in told_of(server).items() if not person.deleted}
    return {key: Group(it.name, it.description, it.members & told) for key, it in chosen.items()}


def sent_tree(server: Server, word: str) -> tuple[list[Framework], list[Placed]]:
    frameworks = [it for it in server.trees[word] if it.id in server.chosen[word]]
    return frameworks, [placed for it in frameworks for placed in placed_in(it)]


def placed_in(framework: Framework) -> Iterator[Placed]:
    def below(items: list[Item], parent: int | None, depth: int, thread: str) -> Iterator[Placed]:
        for number, item in enumerate(items, start=1):
            place = f"{thread}{number:02}"
            yield Placed(item, framework.id, parent, depth, place)
            yield from below(item.below, item.id, depth + 1, f"{place}.")

    return below(framework.tops, None, 1, "")


# --- the client -----------------------------------------------------------------------------------------


OURS = 0


@dataclass
class LocalJob:
    """A job here; one made by hand has no id there. Position and organisation are numbers of birth."""

    birth: int
    remote: int | None
    idnumber: str
    fullname: str
    position: int | None = None
    organisation: int | None = None


@dataclass
class Account:
    """`suspended` is empty, `sync` or `hand`."""

    birth: int
    username: str
    fields: dict[str, Any]
    auth: str = "connect"
    idnumber: str = ""
    password: str | None = None
    suspended: str = ""
    deleted: bool = False
    admin: bool = False
    values: dict[str, str] = field(default_factory=dict)
    jobs: list[LocalJob] = field(default_factory=list)


@dataclass
class LocalSet:
    """The audience of a collection. `members` are births of accounts, `awaited` people without one."""

    birth: int
    name: str
    description: str
    members: set[int] = field(default_factory=set)
    awaited: set[int] = field(default_factory=set)


@dataclass
class LocalItem:
    birth: int
    framework: int
    parent: int | None
    depth: int
    sortthread: str
    fullname: str
    type: str | None
    values: dict[str, str]


@dataclass
class LocalTree:
    """By ids there; of a framework birth and name. `strangers` are items that somebody put among them."""

    frameworks: dict[int, tuple[int, str]] = field(default_factory=dict)
    items: dict[int, LocalItem] = field(default_factory=dict)
    strangers: set[int] = field(default_factory=set)


@dataclass
class Options:
    removed_person: str = "suspend"
    migrate: bool = False
    mapping: str = "username"
    fields: bool = True
    jobs: bool = True
    idnumber: bool = False
    trees: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(WORDS, True))


@dataclass
class Client:
    """`people` are the linked accounts by the person's id, `local` all others.

    `ours` are the members of an audience of the client's own, whose birth is `OURS`.
    """

    options: Options = field(default_factory=Options)
    people: dict[int, Account] = field(default_factory=dict)
    local: list[Account] = field(default_factory=list)
    sets: dict[tuple[str, int], LocalSet] = field(default_factory=dict)
    trees: dict[str, LocalTree] = field(default_factory=lambda: {word: LocalTree() for word in WORDS})
    ours: set[int] = field(default_factory=set)
    births: int = 0

    def birth(self) -> int:
        self.births += 1
        return self.births

    def accounts(self) -> list[Account]:
        return [*self.people.values(), *self.local]

    def delete(self, account: Account) -> None:
        """Names, fields, the suspended flag, the auth method and the link stay (protocol 9)."""
        account.deleted = True
        account.username = "deleted"
        account.fields["email"] = account.idnumber = ""
        account.password, account.admin, account.values, account.jobs = None, False, {}, []
        for members in [self.ours, *(it.members for it in self.sets.values())]:
            members.discard(account.birth)

    def lose(self, word: str, births: set[int]) -> None:
        """Items are gone: jobs lose them."""
        for job in chain.from_iterable(account.jobs for account in self.accounts()):
            if getattr(job, word) in births:
                setattr(job, word, None)


@dataclass
class Sync:
    """What came of a sync of all kinds: their states; the kinds that were held; the people who were skipped."""

    client: Client
    states: dict[str, str] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    skipped: set[int] = field(default_factory=set)


def sync(server: Server, client: Client, *, approves: bool) -> Sync:
    """All kinds in their order. An empty list where it takes away is held until somebody approves (protocol 9)."""
    made = Sync(client)
    words = [word for word in WORDS if client.options.trees[word]]
    for kind in [*(f"{word}s" for word in words), "users", "collections"]:
        before, after = made.client, copy.deepcopy(made.client)
        skipped = set()
        if kind == "users":
            skipped = people_after(server, after)
            is_empty = not told_of(server)
        elif kind == "collections":
            sets_after(server, after)
            is_empty = not sent_sets(server)
        else:
            word = kind.removesuffix("s")
            tree_after(server, after, word)
            frameworks, items = sent_tree(server, word)
            is_empty = (not frameworks and before.trees[word].frameworks) or (
                not items and before.trees[word].items
            )
        if is_empty and after != before:
            made.held.add(kind)
        if kind in made.held and not approves:
            made.states[kind] = "held"
        else:
            made.states[kind] = "partial" if skipped else "done"
            made.skipped |= skipped
            made.client = after
    return made


# --- positions and organisations -------------------------------------------------------------------------


def tree_after(server: Server, client: Client, word: str) -> None:
    """The server has had some, so that none any more is an empty list and not null."""
    frameworks, items = sent_tree(server, word)
    tree = client.trees[word]
    births = {id_: it.birth for id_, it in tree.items.items()}
    tree.frameworks = {
        it.id: (tree.frameworks[it.id][0] if it.id in tree.frameworks else client.birth(), it.fullname)
        for it in frameworks
    }
    tree.items = {
        it.item.id: LocalItem(
            births.get(it.item.id) or client.birth(),
            it.framework,
            it.parent,
            it.depth,
            it.sortthread,
            it.item.fullname,
            it.item.type if it.item.type in TYPES_HERE else None,
            matching(it.item.values, TYPES_THERE.get(it.item.type, {}), TYPES_HERE.get(it.item.type, {})),
        )
        for it in items
    }
    client.lose(word, {birth for id_, birth in births.items() if id_ not in tree.items})
    tree.strangers = set()


def matching(values: Mapping[str, str], there: Mapping[str, str], here: Mapping[str, str]) -> dict[str, str]:
    """Custom values are matched by short name and datatype."""
    return {name: data for name, data in values.items() if here.get(name) == there[name]}


# --- people ----------------------------------------------------------------------------------------------


def people_after(server: Server, client: Client) -> set[int]:
    """Gives the people who cannot be taken."""
    skipped = set()
    told = told_of(server)
    known = set(client.people)
    for id_, account in client.people.items():
        if not account.deleted:
            remove(client, account, told.get(id_))
    for id_, person in told.items():
        if not person.deleted:
            account = account_of(server, client, id_)
            if account:
                update(server, client, account, person)
            else:
                skipped.add(id_)
    live = {id_ for id_, account in client.people.items() if not account.deleted}
    for it in client.sets.values():
        it.members |= {client.people[id_].birth for id_ in it.awaited & live}
        it.awaited -= live
    if client.options.idnumber:
        order = sorted(told.keys() & live, key=lambda id_: (id_ not in known, id_))
        give_idnumbers(client, {id_: told[id_].idnumber for id_ in order})
    return skipped


def remove(client: Client, account: Account, person: Person | None) -> None:
    """What becomes of somebody who was deleted there, or is not in the list."""
    mode = "delete" if person and person.deleted else client.options.removed_person
    if person and not person.deleted:
        return
    if mode == "delete":
        client.delete(account)
    elif mode == "suspend":
        account.suspended = account.suspended or "sync"


def account_of(server: Server, client: Client, id_: int) -> Account | None:
    """The account of a person who is listed: there, back again, taken over or new; None if it cannot be had."""
    flag = "sync" if server.people[id_].suspended else ""
    rules = client.options.removed_person == "suspend"
    username = unique_id(server, id_)
    is_free = username not in {it.username for it in client.accounts()}
    account = client.people.get(id_)
    matches = [] if account else local_matches(server, client, id_)
    if account and not account.deleted:
        if rules and account.suspended != "hand":
            account.suspended = flag
    elif account:
        if not is_free:
            return None
        account.username, account.deleted = username, False
        account.suspended = account.suspended if account.suspended == "hand" else flag
    elif matches:
        account = matches[0]
        if len(matches) > 1 or account.admin or shared(server, client.options.mapping, id_):
            return None
        client.local.remove(account)
        account.auth = "connect"
        account.suspended = account.suspended or (flag if rules else "")
    elif is_free:
        account = Account(client.birth(), username, copied(server.people[id_].fields), suspended=flag)
    else:
        return None
    client.people[id_] = account
    return account


def unique_id(server: Server, id_: int) -> str:
    return f"tc_{id_}_{server.idnumber}"


def recognised_by(server: Server, mapping: str, id_: int) -> str:
    person = server.people[id_]
    match mapping:
        case "uniqueid":
            return unique_id(server, id_)
        case "email":
            return person.fields["email"].lower()
        case "idnumber":
            return person.idnumber
    return person.username


def local_matches(server: Server, client: Client, id_: int) -> list[Account]:
    mapping = client.options.mapping
    wanted = recognised_by(server, mapping, id_)
    if not client.options.migrate or not wanted:
        return []
    values = {
        "username": lambda it: it.username,
        "uniqueid": lambda it: it.username,
        "email": lambda it: it.fields["email"].lower(),
        "idnumber": lambda it: it.idnumber,
    }
    return [it for it in client.local if not it.deleted and values[mapping](it) == wanted]


def shared(server: Server, mapping: str, id_: int) -> bool:
    """Whether somebody else who is listed is recognised by the same value."""
    others = {other for other, it in told_of(server).items() if not it.deleted} - {id_}
    return recognised_by(server, mapping, id_) in {recognised_by(server, mapping, it) for it in others}


def copied(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What of a person's fields comes here."""
    return {
        **fields,
        "firstname": re.sub("<[^>]*>", "", fields["firstname"]),
        "country": fields["country"] if fields["country"] != "ZZ" else "",
        "lang": fields["lang"] if fields["lang"] in {"en", "de"} else "en",
        "theme": "",
        "calendartype": "gregorian",
    }


def update(server: Server, client: Client, account: Account, person: Person) -> None:
    for name, value in copied(person.fields).items():
        if name not in LEFT_ALONE:
            account.fields[name] = value
    if server.sends_passwords and person.password:
        account.password = person.password
    if server.sends_fields and client.options.fields:
        account.values = matching(person.values, FIELDS_THERE, FIELDS_HERE)
    if server.sends_jobs and client.options.jobs:
        account.jobs = jobs_after(client, account.jobs, person.jobs)


def jobs_after(client: Client, here: list[LocalJob], sent: list[Job]) -> list[LocalJob]:
    """Those of the server in its order; those made by hand where they are, or gone for one with their idnumber."""
    names, ids = {job.idnumber for job in sent}, {job.id for job in sent}
    staying = [
        job for job in here if (job.idnumber not in names if job.remote is None else job.remote in ids)
    ]
    known = {job.remote: job for job in staying if job.remote is not None}
    turns = iter([job_after(client, known.get(job.id), job) for job in sent])
    return [job if job.remote is None else next(turns) for job in staying] + list(turns)


def job_after(client: Client, here: LocalJob | None, sent: Job) -> LocalJob:
    made = here or LocalJob(client.birth(), sent.id, "", "")
    made.idnumber, made.fullname = sent.idnumber, sent.fullname
    for word in WORDS:
        if client.options.trees[word]:
            item = client.trees[word].items.get(getattr(sent, word))
            setattr(made, word, item.birth if item else None)
    return made


def give_idnumbers(client: Client, sent: Mapping[int, str]) -> None:
    """Each gets what was sent; whoever then has another account's number is set back, until nobody has.

    Who had the number before is not set back for it. Of two who did not, one who had an account before is not,
    else the first in the list.
    """
    accounts = [*(client.people[id_] for id_ in sent), *client.accounts()]
    before = {it.birth: it.idnumber for it in accounts}
    for id_, number in sent.items():
        client.people[id_].idnumber = number
    while True:
        owners: dict[str, int] = {}
        for it in sorted(accounts, key=lambda it: it.idnumber != before[it.birth]):
            owners.setdefault(it.idnumber, it.birth)
        refused = [it for it in accounts if it.idnumber and owners[it.idnumber] != it.birth]
        refused = [it for it in refused if it.idnumber != before[it.birth]]
        if not refused:
            return
        for it in refused:
            it.idnumber = before[it.birth]


# --- collections -----------------------------------------------------------------------------------------


def sets_after(server: Server, client: Client) -> None:
    live = {id_: account.birth for id_, account in client.people.items() if not account.deleted}
    linked = {account.birth for account in client.people.values()}
    before, client.sets = client.sets, {}
    for key, sent in sent_sets(server).items():
        by_hand = before[key].members - linked if key in before else set()
        client.sets[key] = LocalSet(
            before[key].birth if key in before else client.birth(),
            sent.name,
            sent.description,
            by_hand | {live[id_] for id_ in sent.members if id_ in live},
            sent.members - live.keys(),
        )
