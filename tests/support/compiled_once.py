"""Each statement compiled once for all databases of a kind.

SQLAlchemy keeps what it has compiled with the engine, and every test has engines of its own: they compiled the same
statements thousands of times, which took a fifth of the time. Nothing else is shared, neither connections nor listeners.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from sqlalchemy import Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache

MOST = 4000
"""How many statements are kept. All tests together make about as many."""


@contextmanager
def shared() -> Iterator[None]:
    """While the block runs, engines that are made keep in one place what they compile.

    Dialects are part of what it is found by, and are equal here if they are of one class. So they have to be made
    alike: an engine with arguments for its dialect, such as `json_serializer`, must not be made meanwhile.
    """
    compiled = LRUCache(MOST)
    # What an engine sets when it is made is there for it again after the block.
    in_one_place = property(lambda self: compiled, lambda self, own: vars(self).update(_compiled_cache=own))
    with (
        mock.patch.object(Engine, "_compiled_cache", in_one_place, create=True),
        mock.patch.object(DefaultDialect, "__eq__", lambda self, other: type(self) is type(other)),
        mock.patch.object(DefaultDialect, "__hash__", lambda self: hash(type(self))),
    ):
        yield
