"""User records whose values all fit, written several times as fast as column by column (protocol 6).

Nearly all do: each value is of its column's type, a Totara client can store it, and nobody is deleted. That is checked
by msgspec, which leaves what does not fit to `users.write_user` and `users.write_job`: they cut and leave out, and say so.
Both ways write the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tconnect_pyramid.protocol.columns import SMALL, Field, Warn
from tconnect_pyramid.protocol.users import JOB_FIELDS, USER_FIELDS, usable_jobs, write_job, write_user
from tconnect_pyramid.protocol.values import MAX_INT
from tconnect_pyramid.protocol.versions import FIRST_VERSION_WITH_JOBS


def _type_of(field: Field) -> Any:
    fitting: Any = Annotated[int, Meta(ge=1 if field.name == "id" else 0, le=MAX_INT)]
    if field.kind == "text":
        fitting = str if field.limit is None else Annotated[str, Meta(max_length=field.limit)]
    if field.name == "deleted":
        fitting = Literal[0]
    return fitting | None if field.nullable else fitting


def _columns(fields: Iterable[Field], *absent: str) -> list[tuple[str, Any, Any]]:
    return [
        (field.name, _type_of(field), msgspec.NODEFAULT if field.name == "id" else field.default)
        for field in fields
        if field.name not in absent
    ]


_User = msgspec.defstruct("_User", _columns(USER_FIELDS, "picture"), gc=False, kw_only=True)
_Job = msgspec.defstruct("_Job", _columns(JOB_FIELDS), gc=False, kw_only=True)
_USER_NUMBERS = tuple(field.name for field in USER_FIELDS if field.kind != "text" and field.name != "picture")
_DIGITS: dict[int | None, str | None] = {None: None, **{number: digits for digits, number in SMALL.items()}}
"""Most numbers of a record as they are sent."""
_JOB_NUMBERS = tuple(field.name for field in JOB_FIELDS if field.kind != "text")


def write_listed_user(
    values: Mapping[str, object],
    *,
    version: int,
    profile_fields: Iterable[Mapping[str, object]] | None = None,
    jobs: Iterable[Mapping[str, object]] | None = None,
    warn: Warn,
) -> dict[str, object]:
    """The record of one user in the hourly list: what `write_user` makes of the same."""
    record = _fitting(_User, _USER_NUMBERS, values)
    if record is None:
        return write_user(values, version=version, profile_fields=profile_fields, jobs=jobs, warn=warn)
    if version >= FIRST_VERSION_WITH_JOBS:
        record["profile_fields"] = None if profile_fields is None else [*profile_fields]
        record["jobs"] = None if jobs is None else usable_jobs(jobs, f"person {record['id']}", warn)
    return record


def write_listed_job(values: Mapping[str, object], *, warn: Warn) -> dict[str, object]:
    """What `write_job` makes of the same."""
    return _fitting(_Job, _JOB_NUMBERS, values) or write_job(values, warn=warn)


def _fitting(
    kind: type[Any], numbers: Iterable[str], values: Mapping[str, object]
) -> dict[str, object] | None:
    try:
        record: dict[str, Any] = msgspec.structs.asdict(msgspec.convert(values, kind))
    except (msgspec.ValidationError, UnicodeEncodeError):
        # The second one is of half a surrogate pair where a number should be.
        return None
    for name in numbers:
        number = record[name]
        record[name] = _DIGITS[number] if number in _DIGITS else str(number)
    return record if _is_clean("".join(filter(None, record.values()))) else None


def _is_clean(text: str) -> bool:
    """Whether `clean_text` would leave the text as it is."""
    if "\0" in text:
        return False
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False
