"""A large list read from its file part by part, so that memory stays flat (protocol 5).

The text is cut between two records and each part parsed by itself: a text that begins at a record and parses as a
list of whole ones must end with a record, so a cut that was inside one, or inside a string, is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import BinaryIO

import msgspec

PIECE = 2**18
"""Bytes read at once."""
LONGEST_RECORD = 2**25
MOST_CUTS = 200
"""Places that are tried in one part before somebody slower, and exact, has to read the whole."""
_WINDOW = 2**16
_LONGEST_MARK = 2**10
"""Bytes of the longest text that stands between lists or records."""
_CUT = re.compile(rb"\}\s*,\s*(?=\{)")
_TAIL = re.compile(rb"\]\s*\}\s*\}\s*\Z")

Parse = Callable[[bytes], list[object]]
"""What reads a JSON list; raises as msgspec does."""

_decode: Parse = msgspec.json.Decoder(list[object]).decode


class NotCut(Exception):
    """The text is laid out in another way, or is no JSON: it has to be read as a whole to tell."""


def cut_list(file: BinaryIO, name: str, parse: Parse = _decode) -> Iterator[list[object]]:
    """The records of the only list `name` in a successful reply, a part of them at a time, as `parse` gives them.

    Raises NotCut, after some parts maybe, where the reply is not simply that.
    """
    for _, records in cut_lists(file, (name,), parse):
        yield records


def cut_lists(
    file: BinaryIO, names: Sequence[str], parse: Parse = _decode
) -> Iterator[tuple[str, list[object]]]:
    """The same of a reply that is these lists and nothing else, in this order: each part with its list's name."""
    text = Text(file)
    text.need(opening(names[0]))
    for name, following in pairwise(names):
        end = re.compile(rb'\]\s*,\s*"%b"\s*:\s*\[' % following.encode())
        for records in _up_to(end, text, parse):
            yield name, records
    for records in _to_the_end(text, parse):
        yield names[-1], records


def opening(name: str) -> re.Pattern[bytes]:
    """What stands before the records of the first list of a successful reply."""
    return re.compile(
        rb'\s*\{\s*"status"\s*:\s*"success"\s*,\s*"data"\s*:\s*\{\s*"%b"\s*:\s*\[' % name.encode()
    )


class Text:
    """A file's text: `ahead` is what has been looked at, and up to `at` it has been read."""

    def __init__(self, file: BinaryIO) -> None:
        file.seek(0)
        self._file = file
        self.ahead = b""
        self.at = 0
        self.uncut = 0
        """So many bytes from `at` on have no place to cut: they are not looked through for each piece that comes."""

    def more(self) -> bool:
        """Look further ahead; False where there is no more."""
        piece = self._file.read(PIECE)
        self.ahead = self.ahead[self.at :] + piece
        self.at = 0
        return bool(piece)

    def take(self, pattern: re.Pattern[bytes]) -> bool:
        """Read on behind what stands here, if it is that."""
        while len(self.ahead) - self.at < _LONGEST_MARK and self.more():
            pass
        found = pattern.match(self.ahead, self.at)
        if found is not None:
            self.at = found.end()
        return found is not None

    def need(self, pattern: re.Pattern[bytes]) -> None:
        """Read on behind what must stand here."""
        if not self.take(pattern):
            raise NotCut

    def find(self, pattern: re.Pattern[bytes]) -> int | None:
        """Where it ends the next time that it stands in the text; None where no record is that long."""
        searched = 0
        while (found := pattern.search(self.ahead, self.at + searched)) is None:
            searched = max(0, len(self.ahead) - self.at - _LONGEST_MARK)
            if searched > LONGEST_RECORD or not self.more():
                return None
        return found.end()

    def is_read(self) -> bool:
        """Whether nothing follows."""
        return self.at == len(self.ahead) and not self.more()


def _up_to(end: re.Pattern[bytes], text: Text, parse: Parse) -> Iterator[list[object]]:
    """The records of a list that another one follows."""
    while (found := end.search(text.ahead, text.at)) is None:
        yield from _some(text, parse)
        if not text.more():
            raise NotCut
    yield _last(text.ahead[text.at : found.start()], parse)
    text.at = found.end()
    text.uncut = 0


def _to_the_end(text: Text, parse: Parse) -> Iterator[list[object]]:
    """The records of the last list."""
    while text.more():
        yield from _some(text, parse)
    tail = _TAIL.search(text.ahead, max(0, len(text.ahead) - _WINDOW))
    if tail is None:
        raise NotCut
    yield _last(text.ahead[: tail.start()], parse)


def _some(text: Text, parse: Parse) -> Iterator[list[object]]:
    ahead = text.ahead[text.at :]
    records, place = _part(ahead, parse, text.uncut)
    if records:
        text.at += place
        text.uncut = 0
        yield records
    elif len(ahead) > LONGEST_RECORD:
        raise NotCut
    else:
        text.uncut = place


def _last(text: bytes, parse: Parse) -> list[object]:
    records = _parsed(text, parse)
    if records is None:
        raise NotCut
    return records


def _part(text: bytes, parse: Parse, uncut: int) -> tuple[list[object], int]:
    """The records before the last cut, and where the next one begins; or none, and up to where there is no place to cut.

    Up to `uncut` there is none, as is known.
    """
    tried = 0
    end = len(text)
    while end > uncut:
        start = max(uncut, end - _WINDOW)
        for place in reversed([*_CUT.finditer(text, start, end + 1)]):
            records = _parsed(text[: place.start() + 1], parse)
            if records is not None:
                return records, place.end()
            tried += 1
            if tried == MOST_CUTS:
                raise NotCut
        end = start
    return [], uncut if tried else max(uncut, len(text) - _LONGEST_MARK)


def _parsed(text: bytes, parse: Parse) -> list[object] | None:
    try:
        return parse(b"[%b]" % text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
