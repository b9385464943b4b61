"""*Scheduled tasks* of both roles: when they run, how they last went, and running one now."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPNotFound
from pyramid.request import Request
from pyramid.response import Response

from tconnect_pyramid.tasks.record import TaskView, list_tasks, perform
from tconnect_pyramid.texts import Text
from tconnect_pyramid.texts import text as _
from tconnect_pyramid.views.admin.background import wait_seconds
from tconnect_pyramid.views.admin.pages import actor, path, show
from tconnect_pyramid.views.admin.routes import add_page
from tconnect_pyramid.views.notices import go

log = logging.getLogger(__name__)

SHOWN: Mapping[str, tuple[str, ...]] = {
    "server": ("cleanup", "sessions", "outbox"),
    "client": (
        "handshake",
        "positions",
        "organisations",
        "users",
        "collections",
        "reconcile",
        "cleanup",
        "sessions",
        "outbox",
    ),
}
"""The tasks that do anything for a role."""
TITLES = {
    "server": _("Totara Connect server: scheduled tasks"),
    "client": _("Totara Connect client: scheduled tasks"),
}
NAMES = {
    "handshake": _("Handshake task"),
    "positions": _("Positions sync task"),
    "organisations": _("Organisations sync task"),
    "users": _("Users sync task"),
    "collections": _("User collections sync task"),
    "reconcile": _("Users comparison task"),
    "cleanup": _("General cleanup task"),
    "sessions": _("Sign-ins task"),
    "outbox": _("Notices task"),
}
DOES = {
    "handshake": _("This task agrees with each server on the version of the protocol."),
    "positions": _("This task brings positions in step with each server."),
    "organisations": _("This task brings organisations in step with each server."),
    "users": _(
        "This task syncs all information related to the individual users. This includes profile field data, user "
        "custom field data and job assignment data (includes position and organisations, but excludes managers and "
        "appraisers)."
    ),
    "collections": _(
        "This task checks the server for audience groups that are scheduled to be synced and recreates those "
        "audiences on the client."
    ),
    "reconcile": _(
        "This task compares every account itself with what its server says, and sets right what was changed here. The "
        "users sync task passes over people of whom the server says what it said before."
    ),
    "cleanup": _("This task runs internal clean up tasks required by Totara Connect."),
    "sessions": _("This task ends sign-ins that have timed out, here and at the peers."),
    "outbox": _("This task sends notices that did not reach their peer at once."),
}
STATES = {
    "never": _("It has not run yet"),
    "running": _("Under way"),
    "lost": _("Interrupted: it took longer than its time limit, or its process was ended"),
    "done": _("Succeeded"),
    "failed": _("Failed"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A task in words. `is_running` also tells of one that waits for a free thread of this process."""

    task: TaskView
    name: Text
    does: Text
    state: Text
    is_running: bool


def includeme(config: Configurator) -> None:
    """Add the pages of both roles."""
    for role in SHOWN:
        for name, pattern, view in (
            (f"{role}.tasks", f"/{role}/tasks", index),
            (f"{role}.tasks.run", f"/{role}/tasks/{{name}}/run", run),
            (f"{role}.tasks.await", f"/{role}/tasks/await", await_tasks),
        ):
            add_page(config, name, pattern, partial(view, role))


def index(role: str, request: Request) -> Response:
    """The table."""
    rows = _rows(role, request)
    return show(
        request,
        "tasks",
        f"{role}.tasks",
        {
            "title": TITLES[role],
            "rows": rows,
            "role": role,
            "is_known": any(row.task.is_known for row in rows),
            "is_waiting": any(row.is_running for row in rows),
        },
    )


def run(role: str, request: Request) -> Response:
    """Run one now, without any worker."""
    name = request.matchdict["name"]
    if name not in SHOWN[role]:
        raise HTTPNotFound
    back = path(request, f"{role}.tasks")
    if request.method != "POST":
        return go(request, back)
    title = NAMES[name]
    future = request.tconnect_background.begin(
        f"task {name}", partial(perform, request.registry, name, origin=actor(request))
    )
    try:
        outcome = future.result(wait_seconds(request))
    except TimeoutError:
        if not future.done():
            return go(request, back, _("${task} is under way. This page shows how it went.", task=title))
        return go(request, back, _("${task} failed. What went wrong stands below.", task=title), is_bad=True)
    except Exception:
        log.exception("The task %s failed", name)
        return go(request, back, _("${task} failed. What went wrong stands below.", task=title), is_bad=True)
    if outcome.busy:
        said = _(
            "${task}: another run with the same server is under way (${result}). Try again in a minute.",
            task=title,
            result=outcome.text,
        )
        return go(request, back, said, is_bad=True)
    if outcome.failed:
        said = _("${task} did not succeed: ${result}", task=title, result=outcome.text)
        return go(request, back, said, is_bad=True)
    return go(request, back, _("${task} has run: ${result}", task=title, result=outcome.text))


def await_tasks(role: str, request: Request) -> Response:
    """For the script of the page: nothing while a task is under way."""
    is_waiting = any(row.is_running for row in _rows(role, request))
    return Response(status=204 if is_waiting else 200)


def _rows(role: str, request: Request) -> list[Row]:
    context = request.tconnect
    with context.reading() as session:
        tasks = {task.name: task for task in list_tasks(session, context)}
    rows = []
    for name in SHOWN[role]:
        task = tasks[name]
        is_running = task.state == "running" or request.tconnect_background.is_under_way(f"task {name}")
        state = STATES["running"] if is_running else STATES[task.state]
        rows.append(Row(task, NAMES[name], DOES[name], state, is_running))
    return rows
