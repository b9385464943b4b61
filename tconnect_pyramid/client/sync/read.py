"""A reply record by record. A bad record is set aside with its reason; the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from tconnect_pyramid.client.accounts import GUEST
from tconnect_pyramid.client.sync.plan import FRAMEWORK_KINDS, ITEM_KINDS, POSITIONS
from tconnect_pyramid.errors import BadRecord
from tconnect_pyramid.protocol.collections import CollectionRecord, read_collection, read_collections
from tconnect_pyramid.protocol.hierarchies import (
    FrameworkRecord,
    ItemRecord,
    Kind,
    read_framework,
    read_hierarchy,
    read_item,
)
from tconnect_pyramid.protocol.users import UserRecord, read_user, read_users

R = TypeVar("R", FrameworkRecord, ItemRecord)

TWICE = "is listed more than once; only the first record was used"


@dataclass(frozen=True, slots=True)
class Fault:
    """A record that cannot be used. `kind` is that of a `Change`."""

    kind: str
    remote_id: int | None
    reason: str


@dataclass(slots=True)
class People:
    """A list of people. `guests` are ids of those who are never synchronised."""

    records: list[UserRecord] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    guests: list[int] = field(default_factory=list)

    @property
    def lists_nobody(self) -> bool:
        """True for a list that would make everybody missing."""
        return not self.records and not self.faults

    def listed(self) -> set[int]:
        """The ids of all who are listed, however bad their record: none of them is missing."""
        ids = {record.id for record in self.records}
        ids.update(self.guests)
        ids.update(fault.remote_id for fault in self.faults if fault.remote_id is not None)
        return ids

    @property
    def has_nameless(self) -> bool:
        """True when a record has no usable id: it may be anybody's, so nobody is surely missing."""
        return any(fault.remote_id is None for fault in self.faults)


@dataclass(slots=True)
class Sets:
    """Two lists of collections."""

    records: list[CollectionRecord] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def lists_nothing(self) -> bool:
        """True when both lists are empty, which would delete every collection."""
        return not self.records and not self.faults

    def listed(self) -> set[tuple[str, int]]:
        """Kind and id of all that are listed, however bad their record."""
        ids: set[tuple[str, int]] = {(record.kind, record.id) for record in self.records}
        ids.update((fault.kind, fault.remote_id) for fault in self.faults if fault.remote_id is not None)
        return ids

    def nameless_kinds(self) -> set[str]:
        """The kinds of which a record has no usable id: none of these is surely gone."""
        return {fault.kind for fault in self.faults if fault.remote_id is None}


@dataclass(slots=True)
class Trees:
    """The frameworks of positions or organisations, and the items in them. `absent`: the server has none."""

    frameworks: list[FrameworkRecord] = field(default_factory=list)
    items: list[ItemRecord] = field(default_factory=list)
    framework_faults: list[Fault] = field(default_factory=list)
    item_faults: list[Fault] = field(default_factory=list)
    absent: bool = False

    def empties(self, *, frameworks: bool, items: bool) -> bool:
        """True when a list is empty of which there is something here: all of that would be deleted."""
        no_frameworks = not self.frameworks and not self.framework_faults
        no_items = not self.items and not self.item_faults
        return (frameworks and no_frameworks) or (items and no_items)


def read_people(data: object) -> People:
    """The reply of `get_users`. Raises BadReply when there is no list (protocol 9)."""
    people = People()
    seen: set[int] = set()
    for raw in read_users(data):
        try:
            record = read_user(raw)
        except BadRecord as error:
            people.faults.append(Fault("users", error.remote_id, error.reason))
            continue
        if record.id in seen:
            people.faults.append(Fault("users", record.id, TWICE))
        elif str(record.values["username"]).lower() == GUEST:
            people.guests.append(record.id)
        else:
            people.records.append(record)
        seen.add(record.id)
    return people


def read_sets(data: object) -> Sets:
    """The reply of `get_user_collections`. Raises BadReply when one of its lists is missing (protocol 5)."""
    sets = Sets()
    seen: set[tuple[str, int]] = set()
    for kind, raw in read_collections(data):
        try:
            record = read_collection(kind, raw)
        except BadRecord as error:
            sets.faults.append(Fault(kind, error.remote_id, error.reason))
            continue
        if (kind, record.id) in seen:
            sets.faults.append(Fault(kind, record.id, TWICE))
        else:
            sets.records.append(record)
        seen.add((kind, record.id))
    return sets


def read_trees(kind: str, data: object) -> Trees:
    """The reply of `get_positions` or `get_organisations`; nulls mean that there is nothing to do.

    Raises BadReply when one of its lists is missing (protocol 5).
    """
    word: Kind = "position" if kind == POSITIONS else "organisation"
    lists = read_hierarchy(word, data)
    if lists is None:
        return Trees(absent=True)
    frameworks, items = lists
    trees = Trees()
    trees.frameworks, trees.framework_faults = _each(FRAMEWORK_KINDS[kind], read_framework, frameworks)
    trees.items, trees.item_faults = _each(ITEM_KINDS[kind], partial(read_item, word), items)
    return trees


def _each(kind: str, read: Callable[[object], R], raws: Iterable[object]) -> tuple[list[R], list[Fault]]:
    records: list[R] = []
    faults: list[Fault] = []
    seen: set[int] = set()
    for raw in raws:
        try:
            record = read(raw)
        except BadRecord as error:
            faults.append(Fault(kind, error.remote_id, error.reason))
            continue
        if record.id in seen:
            faults.append(Fault(kind, record.id, TWICE))
        else:
            records.append(record)
        seen.add(record.id)
    return records, faults
