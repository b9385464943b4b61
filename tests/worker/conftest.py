"""Processes that a test starts: never left behind, and their output shown where a test fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

# Generous, as the machine may be busy with the other tests.
READY_SECONDS = 60
STOP_SECONDS = 30


class Process:
    """A process in a group of its own, and the file with all that it says."""

    def __init__(self, command: list[str], log: Path) -> None:
        # Away from the checkout, so that a test sees what is written where it should not be.
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, what: str, seen: Callable[[], object]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not seen():
            status = self.process.poll()
            assert status is None, f"ended with status {status} before {what}:\n{self.said()}"
            assert time.monotonic() < deadline, f"still no {what}:\n{self.said()}"
            time.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Signal the main process alone; gives its exit status."""
        self.process.send_signal(how)
        return self.process.wait(STOP_SECONDS)

    def others(self) -> list[str]:
        """What of its group still runs. A process that has ended and waits to be reaped does not."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                number, rest = stat.read_text().split(" (", 1)
            except (FileNotFoundError, ProcessLookupError):
                continue
            name, fields = rest.rsplit(") ", 1)
            state, _parent, group, *_ = fields.split()
            if int(group) == self.process.pid and state != "Z":
                found.append(f"{number} {name}")
        return found

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def start(tmp_path):
    """Gives a function that starts `python -m MODULE ARGUMENTS`."""
    started = []

    def start(*arguments: str) -> Process:
        log = tmp_path / f"process{len(started)}.log"
        started.append(Process([sys.executable, "-m", *arguments], log))
        return started[-1]

    yield start
    for process in started:
        process.kill()
