"""What a run tells whoever asked for it; plain data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

COUNTED = (
    "created",
    "linked",
    "updated",
    "suspended",
    "unsuspended",
    "deleted",
    "undeleted",
    "skipped",
    "unchanged",
)
"""The numbers of every run, in their order."""
COUNTED_MEMBERS = ("added", "removed")
"""Further numbers of a run of collections: memberships."""
COUNTED_MOVES = ("moved",)
"""A further number of a run of positions or organisations: how many of the updated items were moved."""


@dataclass(frozen=True, slots=True)
class LineView:
    """What a run did, or wanted to do, to one person, collection, member, framework or item.

    `action` is one of `COUNTED` but `unchanged`, or of `COUNTED_MEMBERS`, or `moved` or `unwanted`; `remote_id` the id at the server, None for a
    record without a usable one and for what did not come from there; `account` the key of the local account, where there is one;
    `collection` that of a member, by kind and id at the server, as `cohort 17`.
    """

    action: str
    remote_id: int | None
    account: int | None
    subject: str
    detail: str
    collection: str = ""


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run. `server` is its `serveridnumber`; `run` the run's id, None for a dry run.

    `state`: `done`, `partial` (some records were skipped), `failed`, `held` (see `message`), `planned`
    (a dry run), or, of earlier runs, `running`, `approved` and `rejected`. `counts` and `lines` of a run that is
    held or planned say what it wanted to do; there may be very many. `approved_by` and `approved` (Unix seconds) say who
    approved a held run, and when. `asked` is False when this kind is not synchronised with the
    server, as `message` says: it was not even asked, and there is no run.
    """

    kind: str
    server: str
    run: int | None
    state: str
    counts: dict[str, int]
    seconds: float
    message: str = ""
    lines: Iterable[LineView] = ()
    origin: str = "command"
    started: int = 0
    asked: bool = True
    approved_by: str | None = None
    approved: int | None = None
