"""What is written down of every run of a task, whoever started it, and what a page or a command shows of it.

The record has transactions of its own: what a job does is neither kept nor lost with it, and a database that is
locked for a moment costs the record and not the job.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from celery import Celery
from celery.schedules import crontab
from pyramid.registry import Registry
from pyramid.request import Request
from pyramid.scripting import prepare
from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tconnect_pyramid.client.runs import PAGE
from tconnect_pyramid.client.sync.engine import KINDS
from tconnect_pyramid.context import Context
from tconnect_pyramid.models import TaskState
from tconnect_pyramid.tasks.config import (
    CRONTAB_KEYS,
    HARD_TIME_LIMIT,
    TaskConfig,
    default_schedule,
    describe,
)
from tconnect_pyramid.tasks.jobs import JOBS, ORIGIN, Outcome
from tconnect_pyramid.tasks.table import TASKS, TaskInfo
from tconnect_pyramid.texts import listed, read, written
from tconnect_pyramid.wiring import context_of

log = logging.getLogger(__name__)

LONGEST_RESULT = 2000
"""Characters that are kept of what a task did."""
LATE_SECONDS = 120
"""How long after its time a task is called late: beat and a worker that is at something else take their time."""

State = Literal["never", "running", "lost", "done", "failed"]


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task: when it is scheduled, and how it last went.

    `when` is the schedule in words, empty for a task that never runs by itself; `is_known` says whether a worker
    has run here, so that the schedule is the one it goes by and not the default. `next_run` is when it runs by
    itself the next time, None where nobody can tell, and `is_late` says that this is past. `state` is `lost` for a
    run whose end was not written within its time limit.
    """

    name: str
    does: str
    when: str
    is_known: bool
    next_run: int | None
    is_late: bool
    state: State
    origin: str
    started: int | None
    finished: int | None
    result: str


def perform(registry: Registry, name: str, *, origin: str = ORIGIN, **kwargs: Any) -> Outcome:
    """Run the job of a task with a request of its own, and write down how it went.

    `origin` is `schedule`, or `account:<key>` of the administrator who asked for it. Raises what the job raises.
    """
    context = context_of(registry)
    started = context.clock()
    _write(context, lambda session: _begin(session, name, origin, started))
    if origin != ORIGIN and name in KINDS:
        kwargs["origin"] = PAGE
    try:
        with task_request(registry) as request:
            outcome = JOBS[name](request.tconnect, **kwargs)
    except BaseException as error:
        _end(context, name, origin, started, f"{type(error).__name__}: {error}", succeeded=False)
        raise
    _end(context, name, origin, started, outcome.text, succeeded=not (outcome.busy or outcome.failed))
    return outcome


@contextmanager
def task_request(registry: Registry) -> Iterator[Request]:
    """A request of a task's own, for subscribers and whoever asks for `request.dbsession`.

    Its transaction is committed on leaving and aborted by an exception. Links that are made with it point to
    the site's address.
    """
    # A POST, as those may write: with SQLite the transaction then begins as one that will.
    request = Request.blank("/", base_url=context_of(registry).settings.site_url, method="POST")
    with prepare(registry=registry, request=request):
        manager = getattr(request, "tm", None)
        if manager is None:
            yield request
            return
        with manager:
            yield request


def schedules_of(config: TaskConfig) -> dict[str, dict[str, Any]]:
    """The schedule of every task as it is stored: what the ini says, by the name of the task.

    A task may have several sections, and none where it is scheduled `never`.
    """
    return {
        info.name: {
            "zone": config.settings["timezone"],
            "limit": config.settings["task_time_limit"],
            "entries": [_stored(entry.schedule) for entry in config.schedule if entry.info == info],
        }
        for info in TASKS
    }


def note_schedules(context: Context, schedules: Mapping[str, Mapping[str, Any]]) -> None:
    """Write down what the worker of this process goes by."""

    def write(session: Session) -> None:
        known = set(session.scalars(select(TaskState.name)))
        for name, schedule in schedules.items():
            if name in known:
                session.execute(
                    update(TaskState).where(TaskState.name == name).values(schedule=dict(schedule))
                )
            else:
                session.execute(
                    insert(TaskState).values(
                        name=name, origin="", succeeded=False, result="", schedule=dict(schedule)
                    )
                )

    _write(context, write)


def list_tasks(session: Session, context: Context) -> list[TaskView]:
    """All tasks, in the order of the table."""
    rows = {row.name: row for row in session.scalars(select(TaskState))}
    now = context.clock()
    return [_view(info, rows.get(info.name), context.settings.site_url, now) for info in TASKS]


def _begin(session: Session, name: str, origin: str, started: int) -> None:
    values = {"origin": origin, "started": started, "finished": None, "succeeded": False, "result": ""}
    found = session.execute(update(TaskState).where(TaskState.name == name).values(values))
    if not found.rowcount:  # type: ignore[attr-defined]
        session.execute(insert(TaskState).values(name=name, **values))


def _end(context: Context, name: str, origin: str, started: int, result: str, *, succeeded: bool) -> None:
    # All of it once more, as the beginning may not have been written. A run that began later has the row.
    values = {
        "origin": origin,
        "started": started,
        "finished": context.clock(),
        "succeeded": succeeded,
        "result": written(result, LONGEST_RESULT).replace("\0", ""),
    }

    def write(session: Session) -> None:
        mine = update(TaskState).where(
            TaskState.name == name, or_(TaskState.started.is_(None), TaskState.started <= started)
        )
        if session.execute(mine.values(values)).rowcount:  # type: ignore[attr-defined]
            return
        if session.get(TaskState, name) is None:
            session.execute(insert(TaskState).values(name=name, **values))

    _write(context, write)


def _write(context: Context, write: Callable[[Session], None]) -> None:
    try:
        with context.unit() as session:
            write(session)
    except SQLAlchemyError as error:
        log.warning("The record of a task could not be written: %s", error)


def _stored(schedule: crontab | timedelta) -> dict[str, Any]:
    if isinstance(schedule, timedelta):
        return {"type": "timedelta", "seconds": schedule.total_seconds()}
    return {"type": "crontab"} | {key: str(getattr(schedule, f"_orig_{key}")) for key in CRONTAB_KEYS}


def _read(stored: Mapping[str, Any]) -> crontab | timedelta:
    if stored["type"] == "timedelta":
        return timedelta(seconds=stored["seconds"])
    return crontab(**{key: stored[key] for key in CRONTAB_KEYS})


def _view(info: TaskInfo, row: TaskState | None, site_url: str, now: int) -> TaskView:
    stored = row.schedule if row is not None else None
    if stored is None:
        zone, limit = "UTC", HARD_TIME_LIMIT
        schedules = [default_schedule(info, site_url)]
    else:
        zone, limit = stored["zone"], stored["limit"] or HARD_TIME_LIMIT
        schedules = [_read(each) for each in stored["entries"]]
    started = row.started if row is not None else None
    # Without a worker nobody can tell when one will be there.
    next_run = None
    if stored is not None and schedules:
        next_run = min(_next(each, zone, now if started is None else started) for each in schedules)
    return TaskView(
        name=info.name,
        does=info.does,
        when=listed(describe(each, zone) for each in schedules),
        is_known=stored is not None,
        next_run=next_run,
        is_late=next_run is not None and next_run + LATE_SECONDS < now,
        state=_state(row, limit, now),
        origin=row.origin if row is not None else "",
        started=started,
        finished=row.finished if row is not None else None,
        result=read(row.result) if row is not None else "",
    )


def _state(row: TaskState | None, limit: int, now: int) -> State:
    if row is None or row.started is None:
        return "never"
    if row.finished is None:
        return "lost" if row.started + limit < now else "running"
    return "done" if row.succeeded else "failed"


def _next(when: crontab | timedelta, zone: str, last: int) -> int:
    """When a task that last ran at `last` runs again."""
    if isinstance(when, timedelta):
        return last + int(when.total_seconds())
    at = datetime.fromtimestamp(last, UTC)
    # The time zone of a schedule is that of its application.
    app = Celery("tconnect_pyramid.schedule", set_as_current=False)
    app.conf.update(timezone=zone, enable_utc=True)
    fields = {key: getattr(when, f"_orig_{key}") for key in CRONTAB_KEYS}
    asked = crontab(**fields, app=app, nowfun=lambda: at)
    return last + int(asked.remaining_estimate(at).total_seconds())
