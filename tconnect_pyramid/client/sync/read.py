"""A reply record by record. A bad record is set aside with its reason; the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from tconnect_pyramid.client.accounts import GUEST
from tconnect_pyramid.client.sync.plan import FRAMEWORK_KINDS, ITEM_KINDS, POSITIONS, visible
from tconnect_pyramid.client.sync.receive import People
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
from tconnect_pyramid.protocol.plain_users import as_sent, read_record
from tconnect_pyramid.protocol.users import UserRecord
from tconnect_pyramid.protocol.values import canonical_int
from tconnect_pyramid.texts import text as _

R = TypeVar("R", FrameworkRecord, ItemRecord)

_NAMES = ("name", "fullname")
TWICE = _("is listed more than once; only the first record was used")


@dataclass(frozen=True, slots=True)
class Fault:
    """A record that cannot be used. `kind` is that of a `Change`, `name` what it is called, empty where nobody knows."""

    kind: str
    remote_id: int | None
    reason: str
    name: str


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


def called(raw: object, columns: Iterable[str]) -> str:
    """What a bad record is called by these columns, as far as they are texts; its id where none of them is; else nothing."""
    if not isinstance(raw, dict):
        return ""
    texts = [text for name in columns if isinstance(text := raw.get(name), str) and text]
    return visible(" ".join(texts)) or str(canonical_int(raw.get("id")) or "")


def person_called(raw: object) -> str:
    """Who a record of a person is about, however bad it is: their name, else their user name, else their id."""
    sent = as_sent(raw)
    if not isinstance(sent, dict):
        return ""
    name = called({**sent, "id": None}, ("firstname", "lastname")) or called(sent, ("username",))
    return f"person {name}" if name.isdigit() else name


def is_guest(record: UserRecord) -> bool:
    """The server's guest is nobody in particular, and never synchronised."""
    return str(record.values["username"]).lower() == GUEST


def read_people(reply: People) -> Iterator[list[UserRecord]]:
    """The usable records of a reply of `get_users`, a part at a time, one of each person; raises as `Reply.users`."""
    seen: set[int] = set()
    for raws in reply.users():
        records = []
        for raw in raws:
            try:
                record = read_record(raw)
            except BadRecord:
                continue
            if record.id not in seen and not is_guest(record):
                records.append(record)
            seen.add(record.id)
        yield records


def read_sets(data: object) -> Sets:
    """The reply of `get_user_collections`. Raises BadReply when one of its lists is missing (protocol 5)."""
    sets = Sets()
    seen: set[tuple[str, int]] = set()
    for kind, raw in read_collections(data):
        try:
            record = read_collection(kind, raw)
        except BadRecord as error:
            sets.faults.append(Fault(kind, error.remote_id, error.reason, called(raw, _NAMES)))
            continue
        if (kind, record.id) in seen:
            sets.faults.append(Fault(kind, record.id, TWICE, visible(record.name)))
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
            faults.append(Fault(kind, error.remote_id, error.reason, called(raw, _NAMES)))
            continue
        if record.id in seen:
            faults.append(Fault(kind, record.id, TWICE, visible(record.fullname)))
        else:
            records.append(record)
        seen.add(record.id)
    return records, faults
