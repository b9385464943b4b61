"""The plan of a run as data: what is to be done to whom, and why."""

from __future__ import annotations

import weakref
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from tempfile import TemporaryFile
from typing import Any, BinaryIO, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tconnect_pyramid.client.linked import Identity
from tconnect_pyramid.client.sync.ids import Numbers
from tconnect_pyramid.client.sync.report import COUNTED, COUNTED_MEMBERS, LineView
from tconnect_pyramid.texts import listed, read, written
from tconnect_pyramid.texts import text as _

POSITIONS = "positions"
ORGANISATIONS = "organisations"
USERS = "users"
COLLECTIONS = "collections"

FRAMEWORK = "framework"
MEMBER = "member"
"""What the id of a membership's change is the id of: a person, who comes or goes as a member of its collection."""
ITEM_KINDS: Mapping[str, str] = {POSITIONS: "position", ORGANISATIONS: "organisation"}
FRAMEWORK_KINDS: Mapping[str, str] = {POSITIONS: "position_frame", ORGANISATIONS: "organisation_frame"}
"""What the ids of changes are the ids of, by the kind of the run. Short enough for an approval's column."""

SECRET_FIELDS = frozenset({"password"})
UNTOLD_FIELDS = frozenset({"timemodified"})
LONGEST_VALUE = 80
LONGEST_SUBJECT = 200


class Action(StrEnum):
    """What is done to a person, collection, member, framework or item; the names of the counts and the run's lines.

    Moved items may be updated as well. What is unwanted was approved to be removed, and stays: it is told, not counted.
    """

    CREATED = "created"
    LINKED = "linked"
    UPDATED = "updated"
    MOVED = "moved"
    SUSPENDED = "suspended"
    UNSUSPENDED = "unsuspended"
    DELETED = "deleted"
    UNDELETED = "undeleted"
    ADDED = "added"
    REMOVED = "removed"
    SKIPPED = "skipped"
    UNWANTED = "unwanted"


REMOVALS = frozenset({Action.SUSPENDED, Action.DELETED, Action.REMOVED})
"""What takes something away from people: the guard's concern."""
TOLD_ONLY = frozenset({Action.SKIPPED, Action.UNWANTED})
"""What nothing is done about."""
WRITTEN = frozenset({Action.CREATED, Action.LINKED, Action.UPDATED, Action.UNDELETED})
"""What writes the values of somebody who is listed: at most one of these for each person."""
_DIFFER = frozenset({Action.UPDATED, Action.MOVED})


class LinkState(NamedTuple):
    """What a link is to say besides whose account is which, see `models.Link`."""

    suspended_by_sync: bool
    digest: bytes | None
    identity: Identity = Identity()
    in_doubt: bool = False


class JobChanges(Struct, array_like=True):
    """What becomes of one account's jobs: ids that go, values by id, new ones by their id at the server."""

    removed: list[int] = []
    updated: dict[int, dict[str, Any]] = {}
    added: dict[int, dict[str, Any]] = {}

    def __bool__(self) -> bool:
        """True when anything changes."""
        return bool(self.removed or self.updated or self.added)


class RemovalOf(NamedTuple):
    """What a removal is of, besides the id at the server; as it is in a `Change`, and approved."""

    kind: str
    action: str
    collection: str = ""


class PersonExtras(NamedTuple):
    """What becomes of the custom profile fields, by their ids, and of the jobs of one person; None: nothing."""

    fields: dict[int, str | None] | None
    jobs: JobChanges | None


class Change(Struct, frozen=True, array_like=True, gc=False):
    """One thing to be done.

    `kind` says what `remote_id` is the id of: `users`, `cohort`, `course`, `MEMBER`, or one of `ITEM_KINDS` and
    `FRAMEWORK_KINDS`; `remote_id` is None for what did not come from the server. `collection` is that which a
    member comes to or leaves, see `collection_key`. `values` are the new
    values, `before` those of them that are known to be there now; of an account that is taken over, those that differ. `also` tells what changes besides
    values, a short text each. `is_fault` marks a skipped record that is the server's mistake, or in
    conflict with something here: the run is then `partial`. `link` is what the link of a new account, or of one
    that is taken over, is to say; `extras` what a person has besides.
    """

    action: Action
    kind: str
    remote_id: int | None
    account_key: int | None
    subject: str
    values: Mapping[str, Any] = {}
    before: Mapping[str, Any] = {}
    reason: str = ""
    is_fault: bool = False
    also: tuple[str, ...] = ()
    link: LinkState | None = None
    extras: PersonExtras | None = None
    collection: str = ""

    @property
    def detail(self) -> str:
        """The reason and what differs, for a line of the run. Holds no secret."""
        if self.action is Action.CREATED and not self.reason and not self.also:
            return ""
        parts: list[str] = [self.reason] if self.reason else []
        if self.action in _DIFFER:
            parts.extend(
                told(name, self.before.get(name), value)
                for name, value in self.values.items()
                if name not in UNTOLD_FIELDS
            )
        elif self.action is Action.LINKED:
            parts.extend(told(name, self.before[name], self.values[name]) for name in sorted(self.before))
        parts.extend(self.also)
        return listed(parts)

    def line(self, account_key: int | None = None) -> LineView:
        """The run's line; `account_key` is that of an account which the run has made."""
        key = self.account_key if account_key is None else account_key
        return LineView(str(self.action), self.remote_id, key, self.subject, self.detail, self.collection)


class Changes:
    """The changes of a plan in their order. They may be more than fit into memory: most then lie in a file.

    `counts` are theirs by action, `faults` the skipped records among them, `removals` the ids at the server of what is
    taken away, eight bytes each. What did not come from the server is not among these.
    """

    AT_ONCE = 1000

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.faults = 0
        self.removals: defaultdict[RemovalOf, array[int]] = defaultdict(lambda: array("q"))
        self._last: list[Change] = []
        self._file: BinaryIO | None = None
        self._more_values: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
        self._without_digest: set[int] = set()

    def append(self, change: Change) -> None:
        """Add one."""
        self.counts[str(change.action)] += 1
        self.faults += change.is_fault
        if change.action in REMOVALS and change.remote_id is not None:
            of = RemovalOf(change.kind, str(change.action), change.collection)
            self.removals[of].append(change.remote_id)
        self._last.append(change)
        if len(self._last) == self.AT_ONCE:
            if self._file is None:
                # Without a name, so that it is gone with the process, however that ends.
                self._file = TemporaryFile()  # noqa: SIM115 - lives as long as the plan
                weakref.finalize(self, self._file.close)
            part = _ENCODER.encode(self._last)
            self._file.write(len(part).to_bytes(_LENGTH))
            self._file.write(part)
            self._last = []

    def add_values(self, person: int, values: dict[str, Any], before: dict[str, Any]) -> None:
        """Add values to the change that writes a person's account, wherever it lies."""
        self._more_values[person] = (values, before)

    def forget_digest(self, person: int) -> None:
        """Let the new link of a person say that the next run has to look."""
        self._without_digest.add(person)

    def batches(self) -> Iterator[list[Change]]:
        """All of them, at most `AT_ONCE` at a time; nothing may be added meanwhile."""
        if self._file is not None:
            end = self._file.tell()
            self._file.seek(0)
            while self._file.tell() < end:
                part = self._file.read(int.from_bytes(self._file.read(_LENGTH)))
                yield [self._complete(_said(change)) for change in _DECODER.decode(part)]
        if self._last:
            yield [*map(self._complete, self._last)]

    def __iter__(self) -> Iterator[Change]:
        """All of them."""
        for some in self.batches():
            yield from some

    def __len__(self) -> int:
        """How many."""
        return self.counts.total()

    def _complete(self, change: Change) -> Change:
        person = change.remote_id
        if person is None or change.action not in WRITTEN:
            return change
        if person in self._more_values:
            values, before = self._more_values[person]
            change = replace(change, values={**change.values, **values}, before={**change.before, **before})
        if change.link is not None and person in self._without_digest:
            change = replace(change, link=change.link._replace(digest=None))
        return change


_LENGTH = 8


def _written(value: object) -> str:
    """A sentence with what it was made of; of what a host's column holds besides texts and numbers, its text."""
    return written(value) if isinstance(value, str) else str(value)


def _said(change: Change) -> Change:
    """A change out of its file, whose sentences can be said in any language again."""
    if not change.reason and not change.also:
        return change
    return replace(change, reason=read(change.reason), also=tuple(map(read, change.also)))


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_written)
_DECODER = msgspec.msgpack.Decoder(list[Change])


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a run with these changes, however many; `created`: keys of new accounts by the person's id."""

    changes: Changes
    created: Numbers = field(default_factory=Numbers)

    def __iter__(self) -> Iterator[LineView]:
        """All of them, in their order."""
        for change in self.changes:
            yield change.line(self.created.get(change.remote_id or 0))

    def __len__(self) -> int:
        """How many."""
        return len(self.changes)


@dataclass(slots=True)
class Plan:
    """All that a run wants to do, and how many it leaves as they are.

    `lists_nobody`: the server's list was empty, which only the guard can tell from a mistake.
    """

    kind: str
    changes: Changes = field(default_factory=Changes)
    unchanged: int = 0
    lists_nobody: bool = False
    note: str = ""

    @property
    def removals(self) -> Mapping[RemovalOf, array[int]]:
        """The ids at the server of what is taken away."""
        return self.changes.removals

    @property
    def faults(self) -> int:
        """How many records were skipped for a mistake or a conflict."""
        return self.changes.faults

    def counts(self) -> dict[str, int]:
        """How many of each action, every name of `COUNTED` included."""
        counted = {**self.changes.counts, "unchanged": self.unchanged}
        names = COUNTED + COUNTED_MEMBERS if self.kind == COLLECTIONS else COUNTED
        return {name: counted.get(name, 0) for name in names}


def collection_key(kind: str, remote_id: int) -> str:
    """What a membership is of, by the collection's kind and its id at the server."""
    return f"{kind} {remote_id}"


def kind_of_line(run_kind: str, subject: str, collection: str) -> str:
    """What the id of a run's line is the id of: where a run has lines of several kinds, `Change.kind`.

    The subject's first word tells them apart, and members have a collection.
    """
    if collection:
        return MEMBER
    first = subject.partition(" ")[0]
    if run_kind == COLLECTIONS:
        return first
    if run_kind in ITEM_KINDS:
        return FRAMEWORK_KINDS[run_kind] if first == FRAMEWORK else ITEM_KINDS[run_kind]
    return run_kind


def members_told(added: int, removed: int) -> str:
    """What becomes of the members of a collection, for a line of the run."""
    return _("members: ${added} added, ${removed} removed", added=str(added), removed=str(removed))


def visible(text: str, limit: int = LONGEST_SUBJECT) -> str:
    """A peer's words, fit for a terminal, page or log: printable, on one line, not too long."""
    if len(text) <= limit and text.isprintable() and "  " not in text and text == text.strip():
        return text
    shown = "".join(character if character.isprintable() else " " for character in text[: limit * 4])
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def told(name: str, before: object, after: object) -> str:
    """What was and what will be, for a line of the run; nothing of a secret."""
    if name in SECRET_FIELDS:
        return _("${field} changed", field=name)
    old, new = (visible("" if value is None else str(value), LONGEST_VALUE) for value in (before, after))
    return f"{name}: {old!r} → {new!r}"
