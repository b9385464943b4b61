"""What is written into the log: a bug without the values it was about, which may be secrets; warnings in bulk."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from tconnect_pyramid.errors import TConnectError

MOST_WARNINGS = 100
"""Warnings about one reply that are written down one by one; a column of a host may be too long for everybody."""


def log_bug(log: logging.Logger, what: str, error: BaseException) -> None:
    """Write an unexpected exception into the log; `what` says what it kept from happening."""
    log.error("%s: %s", what, describe_bug(error))


@contextmanager
def warnings_about(log: logging.Logger, what: str) -> Iterator[Callable[[str], None]]:
    """Gives a function that writes a warning into the log; `what` says what all of them are about.

    From the hundred and first on they are only counted.
    """
    number = 0

    def warn(warning: str) -> None:
        nonlocal number
        number += 1
        if number <= MOST_WARNINGS:
            log.warning("%s: %s", what, warning)

    yield warn
    if number > MOST_WARNINGS:
        log.warning("%s: %s more values like these", what, number - MOST_WARNINGS)


def describe_bug(error: BaseException) -> str:
    """The kind of an exception and where it came from, its causes included, as lines for the log.

    The text of an exception that is not ours is left out, as it may quote a form, a statement's
    parameters or a row; of a database error its kind at the driver is told.
    """
    lines = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        lines.append(_kind(current))
        lines.extend(line.rstrip() for line in traceback.format_tb(current.__traceback__))
        current = current.__cause__ or current.__context__
    return "\n".join(lines)


def _kind(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, TConnectError):
        return f"{name}: {error}"
    if isinstance(error, DBAPIError):
        return f"{name} ({type(error.orig).__name__})"
    return name
