"""A large list read from its file part by part, so that memory stays flat (protocol 5).

The text is cut between two records and each part parsed by itself: a text that begins at a record and parses as a
list of whole ones must end with a record, so a cut that was inside one, or inside a string, is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

PIECE = 2**18
"""Bytes read at once."""
LONGEST_RECORD = 2**25
MOST_CUTS = 200
"""Places that are tried in one part before somebody slower, and exact, has to read the whole."""
_WINDOW = 2**16
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
    file.seek(0)
    head = re.compile(
        rb'\s*\{\s*"status"\s*:\s*"success"\s*,\s*"data"\s*:\s*\{\s*"%b"\s*:\s*\[' % name.encode()
    )
    text = file.read(PIECE)
    found = head.match(text)
    if found is None:
        raise NotCut
    text = text[found.end() :]
    while piece := file.read(PIECE):
        text += piece
        records, rest = _part(text, parse)
        if records:
            yield records
            text = text[rest:]
        elif len(text) > LONGEST_RECORD:
            raise NotCut
    tail = _TAIL.search(text, max(0, len(text) - _WINDOW))
    if tail is None:
        raise NotCut
    last = _parsed(text[: tail.start()], parse)
    if last is None:
        raise NotCut
    yield last


def _part(text: bytes, parse: Parse) -> tuple[list[object], int]:
    """The records before the last cut, and where the next one begins; none where there is no cut yet."""
    tried = 0
    end = len(text)
    while end > 0:
        start = max(0, end - _WINDOW)
        for place in reversed([*_CUT.finditer(text, start, end + 1)]):
            records = _parsed(text[: place.start() + 1], parse)
            if records is not None:
                return records, place.end()
            tried += 1
            if tried == MOST_CUTS:
                raise NotCut
        end = start
    return [], 0


def _parsed(text: bytes, parse: Parse) -> list[object] | None:
    try:
        return parse(b"[%b]" % text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
