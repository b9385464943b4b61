"""Celery meets Pyramid: the `--ini` option, the site a worker serves, a request and a transaction per task."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import plaster
from celery import Celery
from celery.signals import worker_process_init
from pyramid.config import global_registries
from pyramid.exceptions import ConfigurationExecutionError
from pyramid.registry import Registry

from tconnect_pyramid.errors import ConfigurationProblem, SyncBusy
from tconnect_pyramid.tasks.config import TaskConfig, read_config
from tconnect_pyramid.tasks.jobs import Outcome
from tconnect_pyramid.tasks.record import note_schedules, perform, schedules_of
from tconnect_pyramid.tasks.table import TASKS, TaskInfo
from tconnect_pyramid.wiring import context_of

BUSY_SECONDS = 60
BUSY_RETRIES = 60
"""A sync that finds another one with the same server under way tries again for an hour."""


class TaskApp(Celery):
    """A Celery application that is empty until an ini, or a host, says for which site it works.

    `registry` is that site's Pyramid registry; None where no tasks are run, as in beat. `schedules` is what the ini
    says of every task, until a process of the worker has written it down.
    """

    registry: Registry | None = None
    schedules: Mapping[str, Mapping[str, Any]] | None = None


def make_app() -> TaskApp:
    """The application with our tasks and the option `--ini`, without any configuration."""
    # A guest sets no globals: a host's own Celery application stays the current one.
    app = TaskApp("tconnect_pyramid", set_as_current=False)
    for info in TASKS:
        _register(app, info)
    app.user_options["preload"].add(_ini_option(app))
    return app


def configure(app: TaskApp, config: TaskConfig) -> None:
    """Give an application the settings of an ini, and make the folders they name."""
    for folder in config.folders:
        folder.mkdir(parents=True, exist_ok=True)
    for exchange in config.exchanges:
        _make_empty_table(exchange)
    app.config_from_object(dict(config.settings), force=True)
    app.schedules = schedules_of(config)


def open_site(ini_uri: str) -> Registry:
    """Build the Pyramid application that `ini_uri` (`FILE.ini#APP`) names; gives its registry.

    Raises ConfigurationProblem, also when the application does not include this package.
    """
    loader = plaster.get_loader(ini_uri, protocols=["wsgi"])
    try:
        wsgi_app = loader.get_wsgi_app()
    except ConfigurationExecutionError as error:
        # Pyramid wraps what an action raises.
        if isinstance(error.evalue, ConfigurationProblem):
            raise error.evalue from None
        raise
    # What lies around a Pyramid application, such as a filter, does not show its registry.
    registry = getattr(wsgi_app, "registry", None) or global_registries.last
    context_of(registry)
    return registry


def _ini_option(app: TaskApp) -> click.Option:
    def read(ctx: click.Context, _param: click.Parameter, ini_uri: str) -> None:
        if ctx.resilient_parsing:
            return
        try:
            configure(app, read_config(ini_uri))
            if ctx.info_name == "worker":
                # Before the pool is there: a site that cannot be built is refused once and in plain
                # words, not by every process of the pool, again and again.
                app.registry = open_site(ini_uri)
                _leave_connections_to_the_parent(app.registry)
        except ConfigurationProblem as problem:
            raise click.ClickException("\n".join(problem.problems)) from None

    return click.Option(
        ["--ini"],
        required=True,
        # Before all others, as beat's schedule file and the like get their defaults from it.
        is_eager=True,
        # Older commands of Celery do not know what to do with an option of ours.
        expose_value=False,
        callback=read,
        metavar="FILE[#APP]",
        help="The ini file of the site, with its app if that is not main.",
    )


def _leave_connections_to_the_parent(registry: Registry) -> None:
    engine = context_of(registry).database.engine

    def forget(**_: Any) -> None:
        # The application was built before the pool forked. A host may have used its database by then, and
        # two processes on one connection would read each other's answers.
        engine.dispose(close=False)

    worker_process_init.connect(forget, weak=False)


def _make_empty_table(path: Path) -> None:
    # Kombu makes this file and fills it in a second step. A worker and its embedded beat start at the same
    # moment, and the one that found it empty would die.
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as file:
        file.write("[]")


def _register(app: TaskApp, info: TaskInfo) -> None:
    # Not shared: Celery would put it into every application of the process, a host's own ones too.
    @app.task(name=info.task, bind=True, shared=False, max_retries=BUSY_RETRIES, throws=(SyncBusy,))
    def run(task: Any, **kwargs: Any) -> str:
        outcome = _run(app, info.name, kwargs)
        if outcome.busy:
            # Decided out here: a retry from inside would be lost with the transaction it rolls back.
            raise task.retry(
                kwargs={"servers": list(outcome.busy)},
                countdown=BUSY_SECONDS,
                exc=SyncBusy(f"{info.name}: another run with the same server is still under way"),
            )
        return outcome.text


def _run(app: TaskApp, name: str, kwargs: dict[str, Any]) -> Outcome:
    if app.registry is None:
        raise ConfigurationProblem(["This worker has no site: start it with --ini FILE.ini."])
    if app.schedules is not None:
        # Once in each process, and all of them: a task that is never scheduled is never taken.
        note_schedules(context_of(app.registry), app.schedules)
        app.schedules = None
    return perform(app.registry, name, **kwargs)
