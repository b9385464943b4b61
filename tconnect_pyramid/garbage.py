"""Python's garbage collector, where very many objects are made that know nobody."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unsearched() -> Iterator[None]:
    """Without the search for objects that only know each other, which many objects make slow.

    Those of a run or of a large reply know nobody: a fifth of the time would be spent on finding none.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
