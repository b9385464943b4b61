"""A run of a sync in a process of its own: `python -m support.crashing URL KIND SERVER LISTS MOMENT HOW`.

A moment is `received`, `planned`, `applied` or `committed`, when that has just happened, or `plan N` or `apply N`,
after so many statements of that step. With `undo` for KIND, SERVER is the id of a run, which is undone: its moments are
`undo N` and `committed`. `HOW` is `kill`, then it kills itself at that moment, or `wait`, then it says so
and goes on when it is told to; at its end it says the run's state.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

from sqlalchemy import event
from support import lists, sites

from tconnect_pyramid.client import undo
from tconnect_pyramid.client.sync import engine, history, lease


@contextmanager
def moments(context, kind: str, reached):
    """Let `reached` be called with the name of each moment of a run of this kind, as it comes."""
    steps = engine._STEPS[kind]
    numbers = Counter()
    under_way = ""

    def tell_statement(*_):
        if under_way:
            numbers[under_way] += 1
            reached(f"{under_way} {numbers[under_way]}")

    def counted(name, step):
        def do(*args, **more):
            nonlocal under_way
            under_way = name
            try:
                return step(*args, **more)
            finally:
                under_way = ""

        return do

    def telling(name, step):
        def do(*args, **more):
            result = step(*args, **more)
            reached(name)
            return result

        return do

    told = replace(
        steps,
        plan=telling("planned", counted("plan", steps.plan)),
        apply=counted("apply", steps.apply),
    )
    event.listen(context.database.engine, "after_cursor_execute", tell_statement)
    with (
        mock.patch.dict(engine._STEPS, {kind: told}),
        mock.patch.object(lease, "beat", telling("received", lease.beat)),
        # The last that is done before the commit, and the first after it.
        mock.patch.object(history, "replace_held", telling("applied", history.replace_held)),
        mock.patch.object(engine, "deliver_now", telling("committed", engine.deliver_now)),
    ):
        yield
    event.remove(context.database.engine, "after_cursor_execute", tell_statement)


@contextmanager
def moments_of_undoing(context, reached):
    """Let `reached` be called with the name of each moment of the transaction that undoes a run."""
    numbers = Counter()
    under_way = ""
    confirmed = lease.confirm

    def tell_statement(*_):
        if under_way:
            numbers[under_way] += 1
            reached(f"{under_way} {numbers[under_way]}")

    def confirm(*args):
        nonlocal under_way
        confirmed(*args)
        under_way = "undo"

    def end(*_):
        nonlocal under_way
        under_way = ""

    def deliver_now(*_):
        reached("committed")

    event.listen(context.database.engine, "after_cursor_execute", tell_statement)
    # Just before it: the lease is given back afterwards.
    event.listen(context.database.engine, "commit", end)
    with (
        mock.patch.object(lease, "confirm", confirm),
        mock.patch.object(undo, "deliver_now", deliver_now),
    ):
        yield
    event.remove(context.database.engine, "after_cursor_execute", tell_statement)
    event.remove(context.database.engine, "commit", end)


def serve(server: lists.ListingServer, said: dict) -> None:
    """Let a server say what a test wants of it."""
    server.people, server.cohorts, server.courses = said["people"], said["cohorts"], said["courses"]
    server.frameworks, server.items = said["frameworks"], said["items"]


def main(url: str, kind: str, server_id: str, said: str, moment: str, how: str) -> None:
    """Run, and end by SIGKILL or wait when the moment has come."""
    server = lists.ListingServer()

    # The lease is prolonged more than once.
    awaited = [moment]

    def reached(name: str) -> None:
        if name not in awaited:
            return
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        awaited.remove(name)
        say(name)
        sys.stdin.readline()

    with sites.context(url, transport=server) as context:
        if kind == "undo":
            with moments_of_undoing(context, reached):
                say(undo.undo_run(context, int(server_id), actor="command").state)
            return
        serve(server, json.loads(Path(said).read_text(encoding="utf-8")))
        with moments(context, kind, reached):
            say(engine.run_sync(context, kind, int(server_id)).state)


def say(word: str) -> None:
    """Tell whoever has started this."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
