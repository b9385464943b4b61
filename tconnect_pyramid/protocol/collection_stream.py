"""The reply of `get_user_collections` read collection by collection from its file (protocol 5).

A collection is little but its members, of whom there may be a million: their ids are read part by part, into eight
bytes each. A text that begins at a record, or at a member, and parses as whole ones must end with one, so that what is
cut wrongly is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, BinaryIO

import msgspec
from msgspec import Meta

from tconnect_pyramid.protocol import stream
from tconnect_pyramid.protocol.collections import COHORT, COURSE, Kind, Members
from tconnect_pyramid.protocol.stream import NotCut, Text
from tconnect_pyramid.protocol.values import MAX_INT

_OPENINGS: tuple[tuple[Kind, re.Pattern[bytes]], ...] = (
    (COHORT, stream.opening(COHORT)),
    (COURSE, re.compile(rb'\s*,\s*"%b"\s*:\s*\[' % COURSE.encode())),
)
_MEMBERS = re.compile(rb'"members"\s*:\s*\[')
_COMMA = re.compile(rb"\s*,\s*")
_SPACE = re.compile(rb"\s*")
_CLOSED_LIST = re.compile(rb"\s*\]")
_CLOSED_OBJECT = re.compile(rb"\s*\}")
_CLOSED_REPLY = re.compile(rb"\s*\}\s*\}\s*")
_BRACE = re.compile(rb"\}")
_ENTRY_START, _ENTRY_END, _BETWEEN_ENTRIES = b'{"id":"', b'"}', b'"},{"id":"'

_decode_ids = msgspec.json.Decoder(list[Annotated[int, Meta(ge=1, le=MAX_INT)]]).decode
_decode = msgspec.json.Decoder().decode


def cut_collections(file: BinaryIO) -> Iterator[tuple[Kind, object]]:
    """The raw records of a successful reply, each with its kind, audiences first; their members as `Members`.

    Raises NotCut, after some records maybe, where the reply is laid out in another way, or is no JSON.
    """
    text = Text(file)
    for kind, start in _OPENINGS:
        text.need(start)
        for record in _records(text):
            yield kind, record
    text.need(_CLOSED_REPLY)
    if not text.is_read():
        raise NotCut


def _records(text: Text) -> Iterator[dict[str, object]]:
    """The records up to the end of their list."""
    if text.take(_CLOSED_LIST):
        return
    text.take(_SPACE)
    odd = 0
    # For each odd one the rest may be looked through once more.
    while odd < stream.MOST_CUTS:
        record = _record(text)
        if record is None:
            odd += 1
            record = _odd_record(text)
        yield record
        if not text.take(_COMMA):
            text.need(_CLOSED_LIST)
            return
    raise NotCut


def _record(text: Text) -> dict[str, object] | None:
    """The next record, if it ends with a list of members as nearly all do."""
    end = text.find(_MEMBERS)
    if end is None:
        return None
    # As though it had none.
    record = _parsed(text.ahead[text.at : end] + b"]}")
    if not isinstance(record, dict) or next(reversed(record)) != "members":
        return None
    text.at = end
    record["members"] = _members(text)
    text.need(_CLOSED_OBJECT)
    return record


def _odd_record(text: Text) -> dict[str, object]:
    """A record without a list of members: it ends with the first brace by which it is whole."""
    for number, brace in enumerate(_BRACE.finditer(text.ahead, text.at)):
        raw = _parsed(text.ahead[text.at : brace.end()])
        if isinstance(raw, dict):
            text.at = brace.end()
            return raw
        if number == stream.MOST_CUTS:
            break
    raise NotCut


def _members(text: Text) -> Members:
    members = Members()
    while True:
        end = text.ahead.find(b"]", text.at)
        if end != -1:
            _add(text.ahead[text.at : end], members)
            text.at = end + 1
            return members
        # The last of those that are here may be half.
        start = text.ahead.rfind(b"{", text.at)
        before = text.ahead[text.at : max(start, text.at)].rstrip()
        if before:
            if not before.endswith(b","):
                raise NotCut
            _add(before[:-1], members)
            text.at = start
        elif len(text.ahead) - text.at > stream.LONGEST_RECORD:
            raise NotCut
        if not text.more():
            raise NotCut


def _add(text: bytes, members: Members) -> None:
    ids = _plain_ids(text)
    if ids is not None:
        members.add_ids(ids)
        return
    entries = _parsed(b"[%b]" % text)
    if not isinstance(entries, list):
        raise NotCut
    members.add(entries)


def _plain_ids(text: bytes) -> list[int] | None:
    """The ids of entries that are written as nearly all are, `{"id":"3"}`; None where one is not."""
    if not text.startswith(_ENTRY_START) or not text.endswith(_ENTRY_END):
        return None
    numbers = text[len(_ENTRY_START) : -len(_ENTRY_END)].replace(_BETWEEN_ENTRIES, b",")
    # A comma may have stood inside an entry.
    if numbers.count(b",") != text.count(_BETWEEN_ENTRIES) or not numbers.replace(b",", b"").isdigit():
        return None
    try:
        return _decode_ids(b"[%b]" % numbers)
    except msgspec.DecodeError:
        return None


def _parsed(text: bytes) -> object:
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
