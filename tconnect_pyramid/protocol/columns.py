"""A record's columns: how each travels, and what a peer can store of it (protocol 1 and 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tconnect_pyramid.errors import BadRecord
from tconnect_pyramid.protocol.values import MAX_INT, canonical_int, canonical_time, clean_text
from tconnect_pyramid.texts import text as _

# What a text without a limit of its own may hold, in characters, when it comes from a peer.
MAX_LONG_TEXT = 1_000_000

MOST_OF_ONE = 1000
"""Jobs of one person, or custom fields of a person or an item, when they come from a peer: people are kept in memory by hundreds."""

SMALL = {str(number): number for number in range(1000)}
"""Most numbers of a record, by their digits."""

Warn = Callable[[str], None]
"""Takes one sentence for each value that was cut or left out: it names record and field, never the value."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column that travels: as a string on the wire, as an `int` or `str` with us.

    `limit` is in characters, None where only `MAX_LONG_TEXT` holds. `nullable` says whether null may
    be sent; where not, and for a site that has no such column, `default` is. `whole`: a part of it is
    not a shorter value but a wrong one (somebody else's address or number, another country, a hash
    that matches nothing), so what does not fit is left out instead of cut.
    """

    name: str
    kind: Literal["int", "time", "text"]
    limit: int | None
    nullable: bool
    default: str | int | None
    whole: bool = False


def number(name: str, default: int | None = 0) -> Field:
    """A whole number; may be null when its default is."""
    return Field(name, "int", None, default is None, default)


def time(name: str) -> Field:
    """A time in Unix seconds, or null. One before 1970 is taken, but never sent (protocol 6, limits)."""
    return Field(name, "time", None, nullable=True, default=None)


def text(name: str, limit: int | None, default: str | None = "", *, whole: bool = False) -> Field:
    """A text; may be null when its default is."""
    return Field(name, "text", limit, default is None, default, whole)


def write_record(
    word: str, fields: Iterable[Field], values: Mapping[str, object], warn: Warn
) -> dict[str, object]:
    """The columns of one record in the order of `fields`; what is absent from `values` gets its default.

    `word` says in a warning what the record is. Raises `ValueError` without a usable id.
    """
    record_id = canonical_int(values.get("id"))
    if not record_id:
        raise ValueError(f"the record of a {word} needs an id above 0")
    record = f"{word} {record_id}"
    return {
        field.name: write_value(field, values.get(field.name, field.default), record, warn)
        for field in fields
    }


def write_value(field: Field, value: object, record: str, warn: Warn) -> str | None:
    """A column's value as it travels: a string that fits, or null where that is allowed.

    `record` names the record in a warning, as in `person 5`.
    """
    # As nearly all values are, and there are some fifty of each person.
    if type(value) is int and 0 <= value <= MAX_INT and field.kind != "text":
        return str(value)
    if type(value) is str and _is_plain(field, value):
        return value
    if isinstance(value, bool):
        value = int(value)
    if field.kind != "text" and value is not None:
        whole = canonical_int(value)
        if whole is None and value != "":
            warn(f"{record}: {field.name} is not a whole number from 0 to 2^63-1; it was left out")
        value = whole
    if value is None:
        value = None if field.nullable else field.default
    if value is None:
        return None
    written = clean_text(str(value))
    if field.limit is None or len(written) <= field.limit:
        return written
    problem = f"{record}: {field.name} has {len(written)} characters, more than the {field.limit}"
    problem = f"{problem} that a Totara client can store"
    if field.whole:
        warn(f"{problem}; it was left out")
        return None if field.default is None else str(field.default)
    warn(f"{problem}; it was cut")
    return written[: field.limit]


def read_id(raw: Mapping[str, object]) -> int:
    """The id of a record; raises `BadRecord` when it has none above 0."""
    remote_id = canonical_int(raw.get("id"))
    if not remote_id:
        raise BadRecord(None, _("id is not a whole number above 0"))
    return remote_id


def read_value(field: Field, value: object, remote_id: int) -> str | int | None:
    """A column's value as we keep it; null becomes the default where it is not allowed.

    Raises `BadRecord` for a value of the wrong kind and for one that is too long.
    """
    if value is None:
        return None if field.nullable else field.default
    # As nearly all values are, and there are some fifty of each person.
    if type(value) is str:
        if field.kind != "text":
            small = SMALL.get(value)
            if small is not None:
                return small
        elif _is_plain(field, value):
            return value
    if not isinstance(value, str | int | float):
        raise BadRecord(remote_id, _("${field} is neither a text nor a number", field=field.name))
    if isinstance(value, bool):
        value = int(value)
    return (
        _read_text(field, value, remote_id) if field.kind == "text" else _read_number(field, value, remote_id)
    )


def _is_plain(field: Field, text: str) -> bool:
    """Whether this is a text that is kept, or sent, just as it is."""
    return (
        field.kind == "text"
        and text.isascii()
        and len(text) <= (field.limit or MAX_LONG_TEXT)
        and "\0" not in text
    )


def _read_number(field: Field, value: str | float, remote_id: int) -> int:
    if field.kind == "int":
        whole = canonical_int(value)
        if whole is None:
            raise BadRecord(remote_id, _("${field} is not a whole number from 0 to 2^63-1", field=field.name))
        return whole
    seconds = canonical_time(value)
    if seconds is None:
        raise BadRecord(remote_id, _("${field} is not a time in whole seconds", field=field.name))
    return seconds


def _read_text(field: Field, value: str | float, remote_id: int) -> str:
    if isinstance(value, int) and not -MAX_INT <= value <= MAX_INT:
        raise BadRecord(remote_id, _("${field} is a number larger than 2^63-1", field=field.name))
    limit = MAX_LONG_TEXT if field.limit is None else field.limit
    cleaned = clean_text(value if isinstance(value, str) else str(value))
    if len(cleaned) > limit:
        raise BadRecord(
            remote_id,
            _(
                "${field} has ${length} characters, more than ${limit}",
                field=field.name,
                length=len(cleaned),
                limit=limit,
            ),
        )
    return cleaned


def read_text(field: Field, raw: Mapping[str, object], remote_id: int) -> str:
    """The value of a text that is never null."""
    return str(read_value(field, raw.get(field.name), remote_id))


def read_text_or_none(field: Field, raw: Mapping[str, object], remote_id: int) -> str | None:
    """The value of a text that may be null."""
    value = read_value(field, raw.get(field.name), remote_id)
    return None if value is None else str(value)


def read_int(field: Field, raw: Mapping[str, object], remote_id: int) -> int:
    """The value of a number that is never null."""
    return int(read_value(field, raw.get(field.name), remote_id) or 0)


def read_int_or_none(field: Field, raw: Mapping[str, object], remote_id: int) -> int | None:
    """The value of a number or time that may be null."""
    value = read_value(field, raw.get(field.name), remote_id)
    return None if value is None else int(value)
