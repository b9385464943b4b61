"""Many ids in little memory: in order and each with a mark, with a number each, or in a file."""

from __future__ import annotations

import weakref
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from tempfile import SpooledTemporaryFile

_WIDTH = array("q").itemsize
_MEMORY = 2**20
_AT_ONCE = 1000
_FEW = 2**16


class Ids:
    """Ids in order, each of which may be marked: nine bytes each."""

    def __init__(self, ids: array[int]) -> None:
        self._ids = ids
        self._marks = bytearray(len(ids))
        self._next = 0

    def find(self, id_: int) -> int | None:
        """The place of an id; None for one that is not among them."""
        place = self._next
        ids = self._ids
        # They are mostly asked for in their order.
        if place >= len(ids) or ids[place] != id_:
            place = bisect_left(ids, id_)
            if place == len(ids) or ids[place] != id_:
                return None
        self._next = place + 1
        return place

    def __len__(self) -> int:
        """How many."""
        return len(self._ids)

    def mark(self, id_: int) -> bool:
        """Mark an id; False for one that is not among them."""
        place = self.find(id_)
        if place is None:
            return False
        self._marks[place] = 1
        return True

    def mark_at(self, place: int) -> bool:
        """Mark the id at a place; False for one that is marked already."""
        is_new = not self._marks[place]
        self._marks[place] = 1
        return is_new

    def mark_run(self, ids: array[int]) -> bool:
        """Mark ids that stand here one behind the other, behind the last one; False, and none marked, if they do not."""
        start = self._next
        if self._ids[start : start + len(ids)] != ids:
            return False
        self._marks[start : start + len(ids)] = b"\1" * len(ids)
        self._next += len(ids)
        return True

    def unmarked(self) -> Iterator[int]:
        """Those that nobody has marked, in their order."""
        return (self._ids[place] for place in self.unmarked_places())

    def unmarked_places(self) -> Iterator[int]:
        """The places of those that nobody has marked, in their order."""
        place = self._marks.find(0)
        while place != -1:
            yield place
            place = self._marks.find(0, place + 1)


class Numbers:
    """A number for each of many ids: sixteen bytes each, and not more than three times that if they come in no order.

    What comes in order is only put behind the rest, and the others wait in a dictionary until they are half as many.
    """

    def __init__(self) -> None:
        self._ids = array("q")
        self._numbers = array("q")
        self._last = -(2**63)
        self._waiting: dict[int, int] = {}

    def __len__(self) -> int:
        """How many ids have one."""
        return len(self._ids) + len(self._waiting)

    def add(self, id_: int, number: int) -> int:
        """Give an id a number unless it has one; the one that it has now. Both fit into 64 bits."""
        if id_ > self._last:
            self._last = id_
            self._ids.append(id_)
            self._numbers.append(number)
            return number
        place = bisect_left(self._ids, id_)
        if self._ids[place] == id_:
            return self._numbers[place]
        here = self._waiting.setdefault(id_, number)
        if len(self._waiting) > max(_FEW, len(self._ids) // 2):
            self._settle()
        return here

    def get(self, id_: int) -> int | None:
        """The number of an id; None for one that has none."""
        place = bisect_left(self._ids, id_)
        if place < len(self._ids) and self._ids[place] == id_:
            return self._numbers[place]
        return self._waiting.get(id_)

    def _settle(self) -> None:
        ids, numbers = array("q"), array("q")
        waiting = self._waiting
        for id_, number in merge(
            zip(self._ids, self._numbers, strict=True), ((id_, waiting[id_]) for id_ in sorted(waiting))
        ):
            ids.append(id_)
            numbers.append(number)
        self._ids, self._numbers, self._waiting = ids, numbers, {}


class IdFile:
    """Lists of ids; in a file without a name once they are many, so that it is gone with the process."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(_MEMORY)  # noqa: SIM115 - lives as long as its lists
        weakref.finalize(self, self._file.close)
        self._end = 0

    def keep(self, ids: array[int]) -> KeptIds:
        """Put a list into the file."""
        kept = KeptIds(self, self._end, len(ids))
        self._file.seek(self._end)
        self._file.write(ids)
        self._end = self._file.tell()
        return kept

    def read(self, start: int, size: int) -> bytes:
        """So many bytes from a place on."""
        self._file.seek(start)
        return self._file.read(size)


@dataclass(frozen=True, slots=True)
class KeptIds:
    """One list in a file, read a thousand at a time."""

    file: IdFile
    start: int
    number: int

    def __len__(self) -> int:
        """How many."""
        return self.number

    def __iter__(self) -> Iterator[int]:
        """All of them, in their order."""
        end = self.start + self.number * _WIDTH
        for start in range(self.start, end, _AT_ONCE * _WIDTH):
            yield from array("q", self.file.read(start, min(_AT_ONCE * _WIDTH, end - start)))
