"""Every task of this package, in one table: its default schedule and how long a message for it is of use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

HOUR = 3600
DAY = 24 * HOUR

SPREAD_MINUTES = 10
"""How many minutes the hourly calls of different clients are spread over."""


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """One row of the table: the task `tconnect.NAME`, scheduled by the section `[celerybeat:NAME]`.

    `role` says for whom it does anything: a `client`, or `both` roles. By default it runs every minute
    (`minute` is None), every hour at `minute`, plus an offset of the site's own where it is `spread`, or
    once a day at `hour`:`minute`. After `stale_after` seconds a message that no worker has taken is
    thrown away: after a night without a worker, one run is as good as ten. `per_server` tasks take the
    argument `servers`, a list of ids; without it they serve all active ones.
    """

    name: str
    role: Literal["client", "both"]
    does: str
    stale_after: int
    minute: int | None = None
    hour: int | None = None
    spread: bool = False
    per_server: bool = False

    @property
    def task(self) -> str:
        """The name by which Celery knows it."""
        return f"tconnect.{self.name}"


TASKS: tuple[TaskInfo, ...] = (
    TaskInfo(
        "handshake",
        "client",
        "agrees with each server on the version of the protocol",
        stale_after=DAY,
        hour=0,
        minute=0,
        per_server=True,
    ),
    TaskInfo(
        "positions",
        "client",
        "brings positions in step with each server",
        stale_after=HOUR,
        minute=0,
        spread=True,
        per_server=True,
    ),
    TaskInfo(
        "organisations",
        "client",
        "brings organisations in step with each server",
        stale_after=HOUR,
        minute=2,
        spread=True,
        per_server=True,
    ),
    TaskInfo(
        "users",
        "client",
        "brings people in step with each server",
        stale_after=HOUR,
        minute=5,
        spread=True,
        per_server=True,
    ),
    TaskInfo(
        "collections",
        "client",
        "brings audiences and courses in step with each server",
        stale_after=HOUR,
        minute=20,
        spread=True,
        per_server=True,
    ),
    TaskInfo(
        "reconcile",
        "client",
        "compares people's accounts themselves with what each server says, and sets right what was changed here",
        stale_after=DAY,
        hour=2,
        minute=35,
        per_server=True,
    ),
    TaskInfo(
        "cleanup",
        "both",
        "removes sign-ins that were not finished and what else nobody needs any more, "
        "and asks servers that are being left again",
        stale_after=HOUR,
        minute=40,
        spread=True,
    ),
    TaskInfo(
        "sessions",
        "both",
        "ends sign-ins that have timed out, here and at the peers",
        stale_after=60,
    ),
    TaskInfo(
        "outbox",
        "both",
        "sends notices that did not reach their peer at once",
        stale_after=60,
    ),
)

BY_TASK: Mapping[str, TaskInfo] = MappingProxyType({info.task: info for info in TASKS})
