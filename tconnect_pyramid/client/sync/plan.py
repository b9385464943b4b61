"""The plan of a run as data: what is to be done to whom, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tconnect_pyramid.client.sync.report import COUNTED, COUNTED_MEMBERS, LineView

POSITIONS = "positions"
ORGANISATIONS = "organisations"
USERS = "users"
COLLECTIONS = "collections"

FRAMEWORK = "framework"
ITEM_KINDS: Mapping[str, str] = {POSITIONS: "position", ORGANISATIONS: "organisation"}
FRAMEWORK_KINDS: Mapping[str, str] = {POSITIONS: "position_frame", ORGANISATIONS: "organisation_frame"}
"""What the ids of changes are the ids of, by the kind of the run. Short enough for an approval's column."""

SECRET_FIELDS = frozenset({"password"})
UNTOLD_FIELDS = frozenset({"timemodified"})
_MEMBERS = re.compile(r"members: \d+ added, (\d+) removed")
LONGEST_VALUE = 80
LONGEST_SUBJECT = 200


class Action(StrEnum):
    """What is done to a person, collection, framework or item; the names of the counts and the run's lines.

    Moved items may be updated as well.
    """

    CREATED = "created"
    LINKED = "linked"
    UPDATED = "updated"
    MOVED = "moved"
    SUSPENDED = "suspended"
    UNSUSPENDED = "unsuspended"
    DELETED = "deleted"
    UNDELETED = "undeleted"
    SKIPPED = "skipped"


REMOVALS = frozenset({Action.SUSPENDED, Action.DELETED})
"""What takes something away from people: the guard's concern."""
_DIFFER = frozenset({Action.UPDATED, Action.MOVED})


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to be done.

    `kind` says what `remote_id` is the id of: `users`, `cohort`, `course`, or one of `ITEM_KINDS` and
    `FRAMEWORK_KINDS`; `remote_id` is None for what did not come from the server. `values` are the new
    values, `before` those of them that are known to be there now. `also` tells what changes besides
    values, a short text each. `is_fault` marks a skipped record that is the server's mistake, or in
    conflict with something here: the run is then `partial`.
    """

    action: Action
    kind: str
    remote_id: int | None
    account_key: int | None
    subject: str
    values: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    is_fault: bool = False
    also: tuple[str, ...] = ()

    @property
    def detail(self) -> str:
        """The reason and what differs, for a line of the run. Holds no secret."""
        parts = [self.reason] if self.reason else []
        if self.action in _DIFFER:
            parts.extend(
                told(name, self.before.get(name), value)
                for name, value in self.values.items()
                if name not in UNTOLD_FIELDS
            )
        parts.extend(self.also)
        return "; ".join(parts)

    def line(self, account_key: int | None = None) -> LineView:
        """The run's line; `account_key` is that of an account which the run has made."""
        key = self.account_key if account_key is None else account_key
        return LineView(str(self.action), self.remote_id, key, self.subject, self.detail)


@dataclass(slots=True)
class Plan:
    """All that a run wants to do, and how many it leaves as they are.

    `lists_nobody`: the server's list was empty, which only the guard can tell from a mistake.
    """

    kind: str
    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    lists_nobody: bool = False
    note: str = ""

    @property
    def removals(self) -> list[Change]:
        """The changes that take something away."""
        return [change for change in self.changes if change.action in REMOVALS]

    @property
    def faults(self) -> int:
        """How many records were skipped for a mistake or a conflict."""
        return sum(1 for change in self.changes if change.is_fault)

    def counts(self) -> dict[str, int]:
        """How many of each action, every name of `COUNTED` included."""
        counted = Counter(str(change.action) for change in self.changes)
        counted["unchanged"] = self.unchanged
        names = COUNTED + COUNTED_MEMBERS if self.kind == COLLECTIONS else COUNTED
        return {name: counted[name] for name in names}


def kind_of_line(run_kind: str, subject: str) -> str:
    """What the id of a run's line is the id of: where a run has lines of several kinds, `Change.kind`.

    The subject's first word tells them apart.
    """
    first = subject.partition(" ")[0]
    if run_kind == COLLECTIONS:
        return first
    if run_kind in ITEM_KINDS:
        return FRAMEWORK_KINDS[run_kind] if first == FRAMEWORK else ITEM_KINDS[run_kind]
    return run_kind


def members_told(added: int, removed: int) -> str:
    """What becomes of the members of a collection, for a line of the run."""
    return f"members: {added} added, {removed} removed"


def members_removed(detail: str) -> int:
    """How many members a collection loses by the line of a run with this detail."""
    found = _MEMBERS.match(detail)
    return int(found[1]) if found else 0


def visible(text: str, limit: int = LONGEST_SUBJECT) -> str:
    """A peer's words, fit for a terminal, page or log: printable, on one line, not too long."""
    shown = "".join(character if character.isprintable() else " " for character in text[: limit * 4])
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def told(name: str, before: object, after: object) -> str:
    """What was and what will be, for a line of the run; nothing of a secret."""
    if name in SECRET_FIELDS:
        return f"{name} changed"
    old, new = (visible("" if value is None else str(value), LONGEST_VALUE) for value in (before, after))
    return f"{name}: {old!r} → {new!r}"
