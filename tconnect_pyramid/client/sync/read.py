"""A reply record by record. A bad record is set aside with its reason; the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from tconnect_pyramid.client.accounts import GUEST
from tconnect_pyramid.client.sync.plan import FRAMEWORK_KINDS, ITEM_KINDS, POSITIONS, visible
from tconnect_pyramid.client.sync.receive import People, Reply
from tconnect_pyramid.errors import BadRecord, BadReply
from tconnect_pyramid.protocol.collections import CollectionRecord, read_collection
from tconnect_pyramid.protocol.hierarchies import (
    FRAMEWORKS,
    FrameworkRecord,
    ItemRecord,
    Kind,
    read_framework,
    read_item,
)
from tconnect_pyramid.protocol.plain_users import as_sent, read_record
from tconnect_pyramid.protocol.users import UserRecord
from tconnect_pyramid.protocol.values import canonical_int
from tconnect_pyramid.texts import text as _

R = TypeVar("R", FrameworkRecord, ItemRecord)

_NAMES = ("name", "fullname")
TWICE = _("is listed more than once; only the first record was used")
MOST_UNUSABLE = 100_000
"""Records of one reply that are set aside: a few bytes of each make a line of the run, a hundred times as long."""
MOST_LISTED = 500_000
"""Frameworks and items, or collections, of one reply: all of them are in memory at once."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A record that cannot be used. `kind` is that of a `Change`, `name` what it is called, empty where nobody knows."""

    kind: str
    remote_id: int | None
    reason: str
    name: str


class Sets:
    """The collections of a reply, to be read once, one by one.

    `listed` has kind and id of each, however bad its record. It and `faults` are complete when the last one has come.
    """

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.listed: set[tuple[str, int]] = set()
        self.faults: list[Fault] = []

    def __iter__(self) -> Iterator[CollectionRecord]:
        """The usable records, the first one of each collection; raises as `Reply.collections`, and BadReply for too many."""
        used: set[tuple[str, int]] = set()
        for number, (kind, raw) in enumerate(self._reply.collections(), start=1):
            refuse_too_many(number, len(self.faults))
            try:
                record = read_collection(kind, raw)
            except BadRecord as error:
                self._set_aside(Fault(kind, error.remote_id, error.reason, called(raw, _NAMES)))
                continue
            if (kind, record.id) in used:
                self._set_aside(Fault(kind, record.id, TWICE, visible(record.name)))
                continue
            used.add((kind, record.id))
            self.listed.add((kind, record.id))
            yield record

    def _set_aside(self, fault: Fault) -> None:
        self.faults.append(fault)
        if fault.remote_id is not None:
            self.listed.add((fault.kind, fault.remote_id))

    @property
    def lists_nothing(self) -> bool:
        """True when both lists are empty, which would delete every collection."""
        return not self.listed and not self.faults

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


def refuse_too_many(listed: int, unusable: int) -> None:
    """Raise BadReply where a reply has more records, or more of them that cannot be used, than this site takes."""
    if listed > MOST_LISTED:
        raise BadReply(_("the reply lists more than ${number}", number=MOST_LISTED))
    if unusable > MOST_UNUSABLE:
        raise BadReply(_("more than ${number} records of the reply cannot be used", number=MOST_UNUSABLE))


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


def read_trees(kind: str, reply: Reply) -> Trees:
    """The reply of `get_positions` or `get_organisations`; nulls mean that there is nothing to do.

    Raises as `Reply.hierarchy`, and BadReply for too many.
    """
    word: Kind = "position" if kind == POSITIONS else "organisation"
    trees = Trees()
    frameworks = _Reader(FRAMEWORK_KINDS[kind], read_framework, trees.frameworks, trees.framework_faults)
    items = _Reader(ITEM_KINDS[kind], partial(read_item, word), trees.items, trees.item_faults)
    trees.absent = True
    for name, raws in reply.hierarchy(word):
        trees.absent = False
        (frameworks if name == FRAMEWORKS else items).add(raws)
        unusable = len(trees.framework_faults) + len(trees.item_faults)
        refuse_too_many(len(trees.frameworks) + len(trees.items) + unusable, unusable)
    return trees


class _Reader(Generic[R]):
    def __init__(self, kind: str, read: Callable[[object], R], records: list[R], faults: list[Fault]) -> None:
        self._kind = kind
        self._read: Callable[[object], R] = read
        self._records: list[R] = records
        self._faults = faults
        self._seen: set[int] = set()

    def add(self, raws: Iterable[object]) -> None:
        for raw in raws:
            try:
                record = self._read(raw)
            except BadRecord as error:
                self._faults.append(Fault(self._kind, error.remote_id, error.reason, called(raw, _NAMES)))
                continue
            if record.id in self._seen:
                self._faults.append(Fault(self._kind, record.id, TWICE, visible(record.fullname)))
            else:
                self._records.append(record)
            self._seen.add(record.id)
