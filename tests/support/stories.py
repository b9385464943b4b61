"""Two connected sites and the oracle's model of them, to which the same things happen."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from sqlalchemy import delete, insert, update
from support import oracle
from support.databases import Snapshot
from support.oracle import FIELDS_HERE, FIELDS_THERE, TYPES_HERE, TYPES_THERE, WORDS
from support.webapp import TwoSites, connect

from tconnect_pyramid import people
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory import (
    audiences,
    courses,
    hierarchy_frameworks,
    hierarchy_items,
    hierarchy_types,
    jobs,
    profiles,
)
from tconnect_pyramid.directory.hierarchies import HIERARCHIES, Hierarchy
from tconnect_pyramid.models import Account, Audience, AudienceMember, Enrolment
from tconnect_pyramid.options import set_option
from tconnect_pyramid.server import clients

MOST_PEOPLE = 7
POOLS: dict[str, tuple] = {
    "firstname": ("Ada", "Bo", "<b>Cy</b>"),
    "lastname": ("Lovelace", "Berg"),
    "email": ("same@example.org", "Same@Example.org", "other@example.org"),
    "department": ("", "Sales"),
    "country": ("", "DE", "ZZ"),
    "lang": ("en", "de", "fr"),
    "timezone": ("99", "Europe/Berlin"),
    "theme": ("", "dark"),
    "calendartype": ("gregorian", "thai"),
    "middlename": ("Q", ""),
    "description": ("<p>one</p>", "<p>two</p>", ""),
    "emailstop": (0, 1),
    "mailformat": (0, 1),
    "maildigest": (0, 1, 2),
    "maildisplay": (0, 1, 2),
    "autosubscribe": (0, 1),
    "trackforums": (0, 1),
}
ID_NUMBERS = ("A", "B", "", "C")
JOB_NUMBERS = ("A", "B", "C", "D")
TEXTS = {"text": ("M", "L", ""), "checkbox": ("1", "0", ""), "menu": ("M", "L", "")}
# Two hashes of which only the form matters.
HASHES = tuple(f"$2b$04${letter * 53}" for letter in "ab")


class Impossible(Exception):
    """A step cannot be done in this state; nothing has happened yet."""


def pick(things: Iterable, number: int) -> Any:
    """One of the things. Raises Impossible where there are none."""
    choice = list(things)
    if not choice:
        raise Impossible
    return choice[number % len(choice)]


def mostly(number: int) -> bool:
    """What is switched off is on again soon, or too little would happen."""
    return number % 4 > 0


def family(item: oracle.Item) -> list[oracle.Item]:
    """An item with all below it."""
    return [item, *(it for child in item.below for it in family(child))]


class Steps:
    """The sites and their model. Each step has three numbers, which choose among what there is."""

    def __init__(
        self, sites: TwoSites, server: oracle.Server, client: oracle.Client, ids: dict[int, int]
    ) -> None:
        self.sites = sites
        self.server = copy.deepcopy(server)
        self.client = copy.deepcopy(client)
        # The local id of whatever was born on the client.
        self.ids = dict(ids)
        self._unique = 0

    def happens(self, action: str, *numbers: int) -> None:
        """Do a step; one that cannot be done in this state is passed over."""
        with suppress(Impossible):
            ACTIONS[action](self, *numbers)

    def _there(self, function: Callable, *given: Any, **more: Any) -> Any:
        """Do something on the server, in a unit of its own."""
        return in_unit(self.sites.server, function, *given, **more)

    def _here(self, function: Callable, *given: Any, **more: Any) -> Any:
        """Do something on the client."""
        return in_unit(self.sites.client, function, *given, **more)

    def _person(self, number: int) -> tuple[int, oracle.Person]:
        return pick(((id_, it) for id_, it in self.server.people.items() if not it.deleted), number)

    def _account(self, number: int) -> tuple[int, oracle.Account]:
        it = pick((it for it in self.client.accounts() if not it.deleted), number)
        return self.ids[it.birth], it

    def _tree(self, number: int) -> tuple[str, Hierarchy, list[oracle.Framework]]:
        word = pick(WORDS, number)
        return word, HIERARCHIES[word], self.server.trees[word]

    def _items(self, word: str) -> list[oracle.Item]:
        return [it.item for framework in self.server.trees[word] for it in oracle.placed_in(framework)]

    def _new_name(self) -> str:
        self._unique += 1
        return f"new{self._unique}"


def in_unit(site: Context, function: Callable, *given: Any, **more: Any) -> Any:
    with site.unit() as session:
        return function(session, site, *given, **more)


def execute(session, site, statement) -> Any:
    return session.execute(statement)


def write_account(session, site, key: int, values: dict[str, Any]) -> None:
    """Write a row as nobody could by hand."""
    site.accounts.update(session, {key: values})


def choose(session, site, name: str, value: object) -> None:
    set_option(session, site.settings, name, str(value).lower(), site.clock())


# --- on the server --------------------------------------------------------------------------------------


class People(Steps):
    """What becomes of people on the server."""

    def add_person(self, a: int, b: int, c: int) -> None:
        if len(self.server.people) == MOST_PEOPLE:
            raise Impossible
        name = self._new_name()
        fields = {
            "firstname": pick(POOLS["firstname"], a),
            "lastname": pick(POOLS["lastname"], b),
            "email": f"{name}@example.org",
        }
        made = self._there(people.add_person, username=name, **fields)
        self.server.people[made.key] = oracle.Person(name, oracle.ACCOUNT | fields)

    def edit_person(self, a: int, b: int, c: int) -> None:
        id_, person = self._person(a)
        name = pick(POOLS, b)
        value = pick(POOLS[name], c)
        self._there(people.edit_person, id_, {name: str(value)})
        if person.fields[name] or value:
            # An empty text instead of none is no change.
            person.fields[name] = value

    def swap_usernames(self, a: int, b: int, c: int) -> None:
        (one, first), (two, second) = self._person(a), self._person(b)
        if one == two:
            raise Impossible
        first.username, second.username = second.username, first.username
        for key, name in ((one, "between"), (two, second.username), (one, first.username)):
            self._there(write_account, key, {"username": name})

    def suspend_there(self, a: int, b: int, c: int) -> None:
        id_, person = self._person(a)
        self._there(people.unsuspend if person.suspended else people.suspend, id_)
        person.suspended = not person.suspended

    def delete_or_undelete(self, a: int, b: int, c: int) -> None:
        id_, person = pick(self.server.people.items(), a)
        if person.deleted:
            self._undelete(id_, person)
            return
        self._there(people.delete_person, id_)
        person.deleted = True
        person.fields["email"] = person.idnumber = ""
        person.password, person.values, person.jobs = None, {}, []
        for group in (*self.server.audiences.values(), *self.server.courses.values()):
            group.former |= group.members & {id_}
            group.members.discard(id_)

    def _undelete(self, id_: int, person: oracle.Person) -> None:
        """As a Totara server would: the row gets names again, and nothing else returns by itself."""
        person.deleted = False
        person.username = self._new_name()
        person.fields["email"] = f"{person.username}@example.org"
        row = {"deleted": 0, "username": person.username, "email": person.fields["email"]}
        self._there(write_account, id_, row)
        self._there(lambda session, site: site.accounts.forget_former(session, [id_]))
        for group in self.server.audiences.values():
            group.former.discard(id_)

    def number_there(self, a: int, b: int, c: int) -> None:
        id_, person = self._person(a)
        person.idnumber = pick(ID_NUMBERS, b)
        self._there(people.edit_person, id_, {"idnumber": person.idnumber})

    def password_there(self, a: int, b: int, c: int) -> None:
        id_, person = self._person(a)
        person.password = pick(HASHES, b)
        self._there(write_account, id_, {"password": person.password})

    def value_there(self, a: int, b: int, c: int) -> None:
        id_, person = self._person(a)
        name = pick(FIELDS_THERE, b)
        text = pick(TEXTS[FIELDS_THERE[name]], c)
        self._there(people.set_profile_value, id_, name, text)
        put(person.values, name, text)


class Jobs(Steps):
    """Job assignments on the server."""

    def add_job(self, a: int, b: int, c: int) -> None:
        id_, person = self._person(a)
        number = pick(JOB_NUMBERS, b)
        if number in {job.idnumber for job in person.jobs}:
            raise Impossible
        held = {word: self._held(word, c) for word in WORDS}
        made = self._there(jobs.add_job, id_, idnumber=number, fullname=f"Job {c}", **held)
        person.jobs.append(oracle.Job(made.id, number, f"Job {c}", **held))

    def edit_job(self, a: int, b: int, c: int) -> None:
        _, job = self._job(a)
        word = pick(WORDS, b)
        held = self._held(word, c)
        job.fullname = f"Job {b}"
        setattr(job, word, held)
        self._there(jobs.edit_job, job.id, {"fullname": job.fullname, word: str(held or "")})

    def number_job(self, a: int, b: int, c: int) -> None:
        """Two jobs of a person swap their ID numbers, or one gets another."""
        person, job = self._job(a)
        before, number = job.idnumber, pick(JOB_NUMBERS, b)
        others = [(it, before) for it in person.jobs if it.idnumber == number]
        for it, idnumber in [(job, "between"), *others, (job, number)]:
            it.idnumber = idnumber
            self._there(jobs.edit_job, it.id, {"idnumber": idnumber})

    def move_job(self, a: int, b: int, c: int) -> None:
        person, job = self._job(a)
        place = b % len(person.jobs)
        person.jobs.remove(job)
        person.jobs.insert(place, job)
        self._there(jobs.move_job, job.id, place + 1)

    def delete_job(self, a: int, b: int, c: int) -> None:
        person, job = self._job(a)
        person.jobs.remove(job)
        self._there(jobs.delete_job, job.id)

    def _job(self, number: int) -> tuple[oracle.Person, oracle.Job]:
        return pick(((it, job) for it in self.server.people.values() for job in it.jobs), number)

    def _held(self, word: str, number: int) -> int | None:
        return pick([*(it.id for it in self._items(word)), None], number)


class Groups(Steps):
    """Audiences and courses on the server, and who belongs to them."""

    def add_audience(self, a: int, b: int, c: int) -> None:
        made = self._there(audiences.add_audience, name=f"Audience {a}", description=f"About {b}")
        self.server.audiences[made.id] = oracle.Group(f"Audience {a}", f"About {b}")
        if self.server.adds_new:
            self.server.chosen["audiences"].add(made.id)

    def edit_audience(self, a: int, b: int, c: int) -> None:
        id_, it = pick(self.server.audiences.items(), a)
        it.name, it.description = f"Audience {b}", f"About {c}"
        self._there(audiences.edit_audience, id_, {"name": it.name, "description": it.description})

    def delete_audience(self, a: int, b: int, c: int) -> None:
        id_ = pick(self.server.audiences, a)
        self._there(audiences.delete_audience, id_)
        del self.server.audiences[id_]
        self.server.chosen["audiences"].discard(id_)

    def join_or_leave(self, a: int, b: int, c: int) -> None:
        id_, it = pick(self.server.audiences.items(), a)
        person, _ = self._person(b)
        change = audiences.remove_members if person in it.members else audiences.add_members
        self._there(change, id_, [person])
        it.members ^= {person}

    def add_course(self, a: int, b: int, c: int) -> None:
        made = self._there(courses.add_course, fullname=f"Course {a}", shortname=self._new_name())
        self.server.courses[made.id] = oracle.Group(f"Course {a}")
        if self.server.adds_new:
            self.server.chosen["courses"].add(made.id)

    def edit_course(self, a: int, b: int, c: int) -> None:
        id_, it = pick(self.server.courses.items(), a)
        it.name, it.description = f"Course {b}", f"About {c}"
        self._there(courses.edit_course, id_, {"fullname": it.name, "summary": it.description})

    def delete_course(self, a: int, b: int, c: int) -> None:
        id_ = pick(self.server.courses, a)
        self._there(courses.delete_course, id_)
        del self.server.courses[id_]
        self.server.chosen["courses"].discard(id_)

    def enrol(self, a: int, b: int, c: int) -> None:
        """Enrol, or end that; an enrolment may also be only not active any more."""
        id_, it = pick(self.server.courses.items(), a)
        person, _ = self._person(b)
        if person not in it.members:
            self._there(courses.enrol, id_, [person])
        elif c % 2:
            self._there(courses.unenrol, id_, [person])
        else:
            of = (Enrolment.course_id == id_, Enrolment.account_key == person)
            self._there(execute, update(Enrolment).where(*of).values(active=False))
        it.members ^= {person}


class Trees(Steps):
    """Positions and organisations on the server."""

    def add_framework(self, a: int, b: int, c: int) -> None:
        _, hierarchy, frameworks = self._tree(a)
        made = self._there(hierarchy_frameworks.add_framework, hierarchy, fullname=f"Framework {b}")
        frameworks.append(oracle.Framework(made.id, f"Framework {b}"))

    def edit_framework(self, a: int, b: int, c: int) -> None:
        _, hierarchy, frameworks = self._tree(a)
        it = pick(frameworks, b)
        it.fullname = f"Framework {c}"
        self._there(hierarchy_frameworks.edit_framework, hierarchy, it.id, {"fullname": it.fullname})

    def move_framework(self, a: int, b: int, c: int) -> None:
        _, hierarchy, frameworks = self._tree(a)
        it = pick(frameworks, b)
        place = c % len(frameworks)
        frameworks.remove(it)
        frameworks.insert(place, it)
        self._there(hierarchy_frameworks.move_framework, hierarchy, it.id, place + 1)

    def delete_framework(self, a: int, b: int, c: int) -> None:
        word, hierarchy, frameworks = self._tree(a)
        it = pick(frameworks, b)
        self._lose(word, {placed.item.id for placed in oracle.placed_in(it)})
        frameworks.remove(it)
        self.server.chosen[word].discard(it.id)
        self._there(hierarchy_frameworks.delete_framework, hierarchy, it.id)

    def add_item(self, a: int, b: int, c: int) -> None:
        word, hierarchy, _ = self._tree(a)
        framework, parent, siblings = self._place(word, b)
        type_ = pick([*TYPES_THERE, None], c)
        values = {name: "1" for name in TYPES_THERE.get(type_, ()) if name != "since"}
        made = self._there(
            hierarchy_items.add_item,
            hierarchy,
            fullname=f"Item {c}",
            framework=framework,
            parent=parent,
            type_id=type_ and self._there(find_type, hierarchy, type_),
            fields=values,
        )
        siblings.append(oracle.Item(made.id, f"Item {c}", type_, values))

    def edit_item(self, a: int, b: int, c: int) -> None:
        word, hierarchy, _ = self._tree(a)
        it = pick(self._items(word), b)
        it.fullname = f"Item {c}"
        self._there(hierarchy_items.edit_item, hierarchy, it.id, {"fullname": it.fullname})

    def retype_item(self, a: int, b: int, c: int) -> None:
        """Another type drops the custom values."""
        word, hierarchy, _ = self._tree(a)
        it, type_ = pick(self._items(word), b), pick([*TYPES_THERE, None], c)
        if type_ != it.type:
            it.type, it.values = type_, {}
        self._there(hierarchy_items.edit_item, hierarchy, it.id, {"type": type_ or ""})

    def value_of_item(self, a: int, b: int, c: int) -> None:
        word, hierarchy, _ = self._tree(a)
        it = pick(self._items(word), b)
        name, text = pick(TYPES_THERE.get(it.type, ()), c), pick(TEXTS["checkbox"], c)
        self._there(hierarchy_items.edit_item, hierarchy, it.id, {}, fields={name: text})
        put(it.values, name, text)

    def move_item(self, a: int, b: int, c: int) -> None:
        word, hierarchy, _ = self._tree(a)
        it = pick(self._items(word), b)
        framework, parent, siblings = self._place(word, c)
        if parent in {each.id for each in family(it)}:
            raise Impossible
        first = siblings[0] if c % 3 == 0 and siblings and siblings[0] is not it else None
        self._siblings(word, it).remove(it)
        siblings.insert(0 if first else len(siblings), it)
        self._there(
            hierarchy_items.move_item,
            hierarchy,
            it.id,
            framework=framework,
            parent=parent,
            before=first and first.id,
        )

    def delete_item(self, a: int, b: int, c: int) -> None:
        word, hierarchy, _ = self._tree(a)
        it = pick(self._items(word), b)
        self._lose(word, {each.id for each in family(it)})
        self._siblings(word, it).remove(it)
        self._there(hierarchy_items.delete_item, hierarchy, it.id)

    def _lose(self, word: str, gone: set[int]) -> None:
        for job in (job for person in self.server.people.values() for job in person.jobs):
            if getattr(job, word) in gone:
                setattr(job, word, None)

    def _place(self, word: str, number: int) -> tuple[int, int | None, list[oracle.Item]]:
        """The top of a framework, or below an item: framework, parent, and who is there."""
        places: list[tuple] = []
        for framework in self.server.trees[word]:
            places.append((framework.id, None, framework.tops))
            places += [(framework.id, it.item.id, it.item.below) for it in oracle.placed_in(framework)]
        return pick(places, number)

    def _siblings(self, word: str, item: oracle.Item) -> list[oracle.Item]:
        families = [framework.tops for framework in self.server.trees[word]]
        families += [it.below for it in self._items(word)]
        return next(them for them in families if any(it is item for it in them))


class ServerChoices(Steps):
    """What the server's administrator chooses for the client."""

    def choose_audience(self, a: int, b: int, c: int) -> None:
        self._choose("audiences", pick(self.server.audiences, a), c)

    def choose_course(self, a: int, b: int, c: int) -> None:
        self._choose("courses", pick(self.server.courses, a), c)

    def choose_framework(self, a: int, b: int, c: int) -> None:
        word, _, frameworks = self._tree(a)
        self._choose(word, pick(frameworks, b).id, c)

    def choose_none(self, a: int, b: int, c: int) -> None:
        """What makes for empty lists."""
        for name in pick([("audiences", "courses"), ("position",), ("organisation",)], a):
            self.server.chosen[name] = set()
        self._edit_client()

    def restrict(self, a: int, b: int, c: int) -> None:
        self.server.restrict = pick(self.server.audiences, a) if b % 2 else None
        self._edit_client()

    def choose_what_is_sent(self, a: int, b: int, c: int) -> None:
        name = pick(("sends_fields", "sends_jobs", "adds_new"), a)
        setattr(self.server, name, mostly(b))
        self._edit_client()

    def send_passwords(self, a: int, b: int, c: int) -> None:
        self.server.sends_passwords = mostly(a)
        self._there(choose, "server.sync_passwords", self.server.sends_passwords)

    def _choose(self, name: str, id_: int, number: int) -> None:
        """One more, or one less."""
        self.server.chosen[name].discard(id_)
        if mostly(number):
            self.server.chosen[name].add(id_)
        self._edit_client()

    def _edit_client(self) -> None:
        if self.server.restrict not in self.server.audiences:
            # One that is gone cannot be chosen any more.
            self.server.restrict = None
        chosen = {name: tuple(sorted(ids)) for name, ids in self.server.chosen.items()}
        wishes = clients.ClientWishes(
            "Client",
            self.sites.client_url,
            restrict_audience_id=self.server.restrict,
            add_new_audiences=self.server.adds_new,
            add_new_courses=self.server.adds_new,
            audiences=chosen["audiences"],
            courses=chosen["courses"],
            profile_fields=self.server.sends_fields,
            jobs=self.server.sends_jobs,
            position_frameworks=chosen["position"],
            organisation_frameworks=chosen["organisation"],
        )
        self._there(clients.edit_client, 1, wishes, actor="command")


# --- on the client --------------------------------------------------------------------------------------


class ClientChoices(Steps):
    """The settings of the client."""

    def removed_person(self, a: int, b: int, c: int) -> None:
        self.client.options.removed_person = pick(("suspend", "suspend", "keep", "delete"), a)
        self._here(choose, "client.removed_person", self.client.options.removed_person)

    def migrate(self, a: int, b: int, c: int) -> None:
        options = self.client.options
        options.mapping, options.migrate = pick(oracle.MAPPINGS, a), mostly(b)
        self._here(choose, "client.account_mapping", options.mapping)
        self._here(choose, "client.migrate_accounts", options.migrate)

    def choose_what_comes(self, a: int, b: int, c: int) -> None:
        options = self.client.options
        names = {"profile_fields": "fields", "jobs": "jobs", "idnumber": "idnumber"}
        name = pick([*names, *WORDS], a)
        if name in WORDS:
            options.trees[name] = mostly(b)
            self._here(choose, f"client.sync_{name}s", options.trees[name])
        else:
            setattr(options, names[name], mostly(b))
            self._here(choose, f"client.sync_{name}", mostly(b))


class ByHand(Steps):
    """What people do on the client."""

    def suspend_here(self, a: int, b: int, c: int) -> None:
        key, account = self._account(a)
        lifts = bool(account.suspended) and b % 2 == 1
        account.suspended = "" if lifts else "hand"
        self._here(people.unsuspend if lifts else people.suspend, key)

    def delete_here(self, a: int, b: int, c: int) -> None:
        key, account = self._account(a)
        self.client.delete(account)
        self._here(people.delete_person, key)

    def drop_row(self, a: int, b: int, c: int) -> None:
        """Somebody removes an account for good: only a row that is gone ends the link."""
        account = self.client.people.pop(pick(self.client.people, a))
        self.client.delete(account)
        key = self.ids.pop(account.birth)
        self._here(lambda session, site: site.accounts.mark_deleted(session, [key]))
        self._here(execute, delete(Account).where(Account.id == key))

    def edit_here(self, a: int, b: int, c: int) -> None:
        key, account = self._account(a)
        name = pick(POOLS, b)
        account.fields[name] = pick(POOLS[name], c)
        self._here(write_account, key, {name: account.fields[name]})

    def number_here(self, a: int, b: int, c: int) -> None:
        key, account = self._account(a)
        account.idnumber = pick(ID_NUMBERS, b)
        self._here(people.edit_person, key, {"idnumber": account.idnumber})

    def value_here(self, a: int, b: int, c: int) -> None:
        key, account = self._account(a)
        name = pick(FIELDS_HERE, b)
        text = pick(TEXTS[FIELDS_HERE[name]], c)
        self._here(profiles.set_value, key, name, text)
        put(account.values, name, text)

    def add_or_delete_job_here(self, a: int, b: int, c: int) -> None:
        key, account = self._account(a)
        number = pick(JOB_NUMBERS, b)
        there = next((job for job in account.jobs if job.idnumber == number), None)
        if there and there.remote is not None:
            raise Impossible
        if there:
            account.jobs.remove(there)
            self._here(jobs.delete_job, self.ids[there.birth])
            return
        trees = self.client.trees
        births = {word: pick([*(it.birth for it in trees[word].items.values()), None], c) for word in WORDS}
        held = {word: self.ids.get(birth) for word, birth in births.items()}
        made = self._here(jobs.add_job, key, idnumber=number, fullname="By hand", **held)
        account.jobs.append(oracle.LocalJob(self._birth(made.id), None, number, "By hand", **births))

    def join_or_leave_here(self, a: int, b: int, c: int) -> None:
        """An audience of the client's own, or one that is the server's."""
        key, account = self._account(a)
        birth, members = pick(
            [(oracle.OURS, self.client.ours), *((it.birth, it.members) for it in self.client.sets.values())],
            b,
        )
        pair = {"audience_id": self.ids[birth], "account_key": key}
        self._here(
            execute,
            delete(AudienceMember).filter_by(**pair)
            if account.birth in members
            else insert(AudienceMember).values(**pair),
        )
        members ^= {account.birth}

    def rename_set_here(self, a: int, b: int, c: int) -> None:
        it = pick(self.client.sets.values(), a)
        it.name = "Mine now"
        self._here(execute, update(Audience).where(Audience.id == self.ids[it.birth]).values(name=it.name))

    def rename_item_here(self, a: int, b: int, c: int) -> None:
        word, hierarchy, _ = self._tree(a)
        it = pick(self.client.trees[word].items.values(), b)
        it.fullname = "Mine now"
        table = hierarchy.item
        self._here(execute, update(table).where(table.id == self.ids[it.birth]).values(fullname=it.fullname))

    def add_stranger(self, a: int, b: int, c: int) -> None:
        """An item among those of the server, which no command allows."""
        word, hierarchy, _ = self._tree(a)
        tree = self.client.trees[word]
        framework, (birth, _) = pick(tree.frameworks.items(), b)
        inside = [self.ids[it.birth] for it in tree.items.values() if it.framework == framework]
        statement = insert(hierarchy.item).values(
            fullname="Stranger",
            framework_id=self.ids[birth],
            parent_id=pick([None, *inside], c),
            timecreated=1,
            timemodified=1,
        )
        made = self._here(execute, statement).inserted_primary_key[0]
        tree.strangers.add(self._birth(made))

    def add_account(self, a: int, b: int, c: int) -> None:
        """Somebody here is like somebody there: in everything, or in one thing only."""
        id_, person = self._person(a)
        like = pick(("all", "all", "all", *oracle.MAPPINGS), b)
        name = self._new_name()
        if like in {"all", "username"}:
            name = person.username
        elif like == "uniqueid":
            name = oracle.unique_id(self.server, id_)
        if name in {it.username for it in self.client.accounts()}:
            raise Impossible
        email = person.fields["email"].upper() if like in {"all", "email"} else ""
        number = person.idnumber if like in {"all", "idnumber"} else ""
        is_admin = c % 8 == 0
        more = {"email": email, "idnumber": number, "admin": is_admin}
        made = self._here(people.add_person, username=self._new_name(), **more)
        # Names such as tc_… cannot be chosen: this one is left over from a server.
        self._here(write_account, made.key, {"username": name})
        account = oracle.Account(
            self._birth(made.key), name, oracle.ACCOUNT | {"email": email}, auth="manual"
        )
        account.idnumber, account.admin = number, is_admin
        self.client.local.append(account)

    def _birth(self, local_id: int) -> int:
        birth = self.client.birth()
        self.ids[birth] = local_id
        return birth


def find_type(session, site, hierarchy: Hierarchy, idnumber: str) -> int:
    return hierarchy_types.find_type(session, hierarchy, idnumber).id


def put(values: dict[str, str], name: str, text: str) -> None:
    """Keep a custom value; an empty one goes."""
    values.pop(name, None)
    if text:
        values[name] = text


KINDS_OF_STEPS = (People, Jobs, Groups, Trees, ServerChoices, ClientChoices, ByHand)
ACTIONS: dict[str, Callable[..., None]] = {
    name: action for kind in KINDS_OF_STEPS for name, action in vars(kind).items() if not name.startswith("_")
}


class Story(*KINDS_OF_STEPS):
    """One history: whatever happens, happens to the sites and to their model."""


# --- how every story begins -----------------------------------------------------------------------------


BEGINNING: tuple[tuple, ...] = (
    *(("add_person", number, number, 0) for number in range(4)),
    *(("add_audience", number, number, 0) for number in range(3)),
    *(("join_or_leave", 0, number, 0) for number in range(3)),
    *(("join_or_leave", 1, number, 0) for number in (1, 2)),
    *(("choose_audience", number, 0, 1) for number in range(2)),
    *(("add_course", number, 0, 0) for number in range(2)),
    *(("enrol", 0, number, 0) for number in (0, 3)),
    ("choose_course", 0, 0, 1),
    *(("add_framework", word, number, 0) for word in range(2) for number in range(2)),
    *(("choose_framework", word, number, 1) for word in range(2) for number in range(2)),
    *(("add_item", word, place, place) for word in range(2) for place in (0, 1, 1, 4)),
    *(("add_job", number, number + more, number) for number in range(4) for more in range(3)),
    *(("value_there", number, which, number) for number in range(4) for which in range(2)),
    *(("number_there", number, number, 0) for number in range(2)),
    # Two have one number, and two have one email address.
    ("number_there", 2, 0, 0),
    *(("edit_person", number, list(POOLS).index("email"), number) for number in (1, 3)),
)
"""People and everything else on the server, which the client has not asked for yet."""


class Beginning:
    """Two sites that are connected now, in the state in which every story begins."""

    def __init__(self, sites: TwoSites) -> None:
        connect(sites)
        with sites.server.reading() as session:
            server = oracle.Server(sites.server.idnumber(session))
        in_unit(sites.server, furnish, FIELDS_THERE, TYPES_THERE)
        in_unit(sites.client, furnish, FIELDS_HERE, TYPES_HERE)
        ids = {oracle.OURS: in_unit(sites.client, audiences.add_audience, name="Ours").id}
        in_unit(sites.client, add_own_trees)
        self._story = Story(sites, server, oracle.Client(), ids)
        for step in BEGINNING:
            self._story.happens(*step)
        self._now = sites.clock.now
        self._snapshots = [Snapshot(site.database.engine) for site in (sites.server, sites.client)]

    def anew(self) -> Story:
        """The sites as they were, and a story about them."""
        it = self._story
        it.sites.clock.now = self._now
        for snapshot in self._snapshots:
            snapshot.restore()
        story = Story(it.sites, it.server, it.client, it.ids)
        story._unique = it._unique
        return story


def furnish(session, site, fields: dict[str, str], types: dict[str, dict[str, str]]) -> None:
    """Give a site its custom profile fields, and its types of positions and organisations."""
    for name, datatype in fields.items():
        choices = ("M", "L") if datatype == "menu" else ()
        profiles.add_field(session, site, name, datatype=datatype, choices=choices)
    for hierarchy in HIERARCHIES.values():
        for type_, of_type in types.items():
            made = hierarchy_types.add_type(session, site, hierarchy, fullname=type_, idnumber=type_)
            for name, datatype in of_type.items():
                hierarchy_types.add_type_field(
                    session, site, hierarchy, made.id, shortname=name, datatype=datatype
                )


def add_own_trees(session, site) -> None:
    """What is the client's own, and stays as it is."""
    for hierarchy in HIERARCHIES.values():
        made = hierarchy_frameworks.add_framework(session, site, hierarchy, fullname="Ours")
        hierarchy_items.add_item(session, site, hierarchy, fullname="Ours", framework=made.id)
