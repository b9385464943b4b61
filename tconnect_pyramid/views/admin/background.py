"""Work that a page begins and that may take longer than anybody waits for it: a few threads of the web process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request

MOST_THREADS = 2
WAIT_SECONDS = 10
"""How long a request waits for what it has begun."""


class Background:
    """At most two threads. Each piece of work has a name, under which it is there once only.

    They are daemons: a web process that is ended does not wait for them. What they do is done in transactions, and
    whoever comes later does it anew.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, Callable[[], Any], Future[Any]]] = deque()
        self._by_name: dict[str, Future[Any]] = {}
        self._threads = 0

    def begin(self, name: str, work: Callable[[], Any]) -> Future[Any]:
        """Do the work as soon as a thread is free, unless work of this name is there already; gives what will come of it."""
        with self._lock:
            if name in self._by_name:
                return self._by_name[name]
            future: Future[Any] = Future()
            self._by_name[name] = future
            self._waiting.append((name, work, future))
            if self._threads < MOST_THREADS:
                self._threads += 1
                threading.Thread(target=self._serve, name="tconnect-background", daemon=True).start()
            return future

    def is_under_way(self, name: str) -> bool:
        """Whether work of this name waits or is being done."""
        with self._lock:
            return name in self._by_name

    def _serve(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                name, work, future = self._waiting.popleft()
            result, failure = None, None
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - it is raised where the future is asked
                failure = error
            with self._lock:
                del self._by_name[name]
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)


def includeme(config: Configurator) -> None:
    """Add `request.tconnect_background`, the threads of this process for this site."""
    background = Background()
    config.add_request_method(lambda _request: background, "tconnect_background", reify=True)


def wait_seconds(request: Request) -> float:
    """How long this request may wait for its work."""
    found = request.registry.get("tconnect.wait_seconds", WAIT_SECONDS)
    return float(found)
