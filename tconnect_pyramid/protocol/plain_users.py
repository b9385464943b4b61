"""User records as nearly all are, read several times as fast as one by one (protocol 6).

A record is plain when each of its columns is there as a text that fits, or null where that is allowed: the parser
checks it while it parses. `read_plain` makes of a plain record what `users.read_user` makes of the same text; every
other record is left to the latter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tconnect_pyramid.protocol.columns import MAX_LONG_TEXT, MOST_OF_ONE, SMALL, Field
from tconnect_pyramid.protocol.users import (
    JOB_FIELDS,
    USER_FIELDS,
    JobRecord,
    ProfileFieldRecord,
    UserRecord,
    each_once,
    read_user,
)
from tconnect_pyramid.protocol.values import as_flag, canonical_int, canonical_time

_NOTHING = Annotated[str, Meta(pattern="(?!)")] | UnsetType
"""The type of what is not in the hourly list: nothing fits, so that a record which has it is not plain."""
_LONGEST_NUMBER = 20
_PICTURES = ("picture", "pictures")
_FLAGS = ("deleted", "suspended")
_VOLATILE = frozenset({"firstaccess", "lastaccess", "lastlogin", "currentlogin", "lastip", "timemodified"})
"""Different after each log-in at the server, and nothing that a client keeps."""


def _type_of(field: Field) -> Any:
    if field.name in _FLAGS:
        return Literal["0", "1"]
    limit = _LONGEST_NUMBER if field.kind != "text" else field.limit or MAX_LONG_TEXT
    fitting = Annotated[str, Meta(max_length=limit)]
    return fitting | None if field.nullable else fitting


def _few(kind: type[Struct]) -> Any:
    return Annotated[list[kind], Meta(max_length=MOST_OF_ONE)] | None  # type: ignore[valid-type]


_COLUMNS = {field.name: field for field in USER_FIELDS if field.name not in _PICTURES}
_NUMBERS = tuple(name for name, field in _COLUMNS.items() if field.kind != "text")
_JOB_COLUMNS = {field.name: field for field in JOB_FIELDS if field.name in JobRecord.__struct_fields__}

if TYPE_CHECKING:

    class PlainJob(Struct):
        """A job assignment of a plain record; numbers are still texts."""

        id: str
        fullname: str | None
        shortname: str | None
        idnumber: str
        description: str | None
        startdate: str | None
        enddate: str | None
        positionid: str | None
        positionassignmentdate: str
        organisationid: str | None
        sortorder: str

    class PlainUser(Struct):
        """A plain record; numbers are still texts. It has every column as an attribute."""

        id: str
        deleted: str
        profile_fields: list[ProfileFieldRecord] | None
        jobs: list[PlainJob] | None
else:
    # Of the same columns as everything else is made of.
    PlainJob = msgspec.defstruct(
        "PlainJob", [(name, _type_of(field)) for name, field in _JOB_COLUMNS.items()], gc=False
    )
    PlainUser = msgspec.defstruct(
        "PlainUser",
        [
            *((name, _type_of(field)) for name, field in _COLUMNS.items()),
            ("profile_fields", _few(ProfileFieldRecord), None),
            ("jobs", _few(PlainJob), None),
            *((name, _NOTHING, UNSET) for name in _PICTURES),
        ],
        gc=False,
    )

_plain: Callable[[bytes], list[Any]] = msgspec.json.Decoder(list[PlainUser]).decode
_any: Callable[[bytes], list[Any]] = msgspec.json.Decoder(list[object]).decode
_RELEVANT = (*(name for name in _COLUMNS if name not in _VOLATILE), "profile_fields", "jobs")
_relevant = attrgetter(*_RELEVANT)
_NOT_VALUES = ("profile_fields", "jobs", *_PICTURES)


class _NotPlain(Exception):
    """A number that none is, or a job twice: `read_user` knows what to say."""


def parse_users(text: bytes) -> list[object]:
    """The records of a JSON list of people: each a `PlainUser`, or else what JSON makes of it.

    Raises msgspec.DecodeError, UnicodeDecodeError or RecursionError for what is no such list.
    """
    if b"\\u0000" in text:
        # A text that is kept without it, and may fit then.
        return _any(text)
    try:
        return _plain(text)
    except msgspec.ValidationError:
        return [*map(as_plain, _any(text))]


def as_plain(raw: object) -> object:
    """A record as JSON made it, as `parse_users` gives it."""
    try:
        return msgspec.convert(raw, PlainUser)
    except msgspec.ValidationError:
        return raw


def id_of(raw: object) -> int | None:
    """The id of a record, as `parse_users` gives it; None where it has no usable one."""
    if type(raw) is PlainUser:
        return canonical_int(raw.id) or None
    return canonical_int(raw.get("id")) or None if isinstance(raw, dict) else None


def as_sent(raw: object) -> object:
    """A record of `parse_users` as JSON makes it, with whatever is known of it."""
    return msgspec.to_builtins(raw) if type(raw) is PlainUser else raw


def relevant(raw: PlainUser | Mapping[str, object]) -> tuple[object, ...]:
    """Whatever of a record may matter to a client: not when somebody was last seen, nor columns that are not known."""
    return _relevant(raw) if type(raw) is PlainUser else tuple(map(raw.get, _RELEVANT))  # type: ignore[union-attr]


def job_ids(raw: PlainUser | Mapping[str, object]) -> list[int]:
    """The ids of the jobs of a record that was read before, and was in order.

    Those of somebody who is deleted are never looked at, so that they may be anything.
    """
    if type(raw) is PlainUser:
        return [] if raw.deleted == "1" else [int(job.id) for job in raw.jobs or ()]
    if as_flag(raw.get("deleted")):  # type: ignore[union-attr]
        return []
    return [int(job["id"]) for job in raw.get("jobs") or ()]  # type: ignore[union-attr]


def read_record(raw: object) -> UserRecord:
    """A record that `parse_users` gave, as `read_user` reads it; raises `BadRecord` as that does."""
    if type(raw) is not PlainUser:
        return read_user(raw)
    try:
        return _read_plain(raw)
    except _NotPlain:
        return read_user(as_sent(raw))


def _read_plain(user: PlainUser) -> UserRecord:
    values: dict[str, Any] = msgspec.structs.asdict(user)
    for name in _NOT_VALUES:
        del values[name]
    for name in _NUMBERS:
        number = SMALL.get(values[name])
        values[name] = _whole(values[name]) if number is None else number
    is_deleted = values["deleted"] == 1
    fields = jobs = None
    if not is_deleted and user.profile_fields is not None:
        fields = each_once(user.profile_fields)
    if not is_deleted and user.jobs is not None:
        jobs = tuple([_read_job(job) for job in user.jobs])
        if len({job.id for job in jobs}) < len(jobs) or len({job.idnumber for job in jobs}) < len(jobs):
            raise _NotPlain
    if not values["id"]:
        raise _NotPlain
    return UserRecord(values["id"], is_deleted, values["suspended"] == 1, values, None, None, fields, jobs)


def _read_job(job: PlainJob) -> JobRecord:
    job_id = _whole(job.id)
    if not job_id or not job.idnumber:
        raise _NotPlain
    return JobRecord(
        id=job_id,
        fullname=job.fullname,
        shortname=job.shortname,
        idnumber=job.idnumber,
        description=job.description,
        startdate=_time(job.startdate),
        enddate=_time(job.enddate),
        positionid=None if job.positionid is None else _whole(job.positionid) or None,
        positionassignmentdate=_whole(job.positionassignmentdate),
        organisationid=None if job.organisationid is None else _whole(job.organisationid) or None,
        sortorder=_whole(job.sortorder),
    )


def _whole(text: str) -> int:
    number = canonical_int(text)
    if number is None:
        raise _NotPlain
    return number


def _time(text: str | None) -> int | None:
    if text is None:
        return None
    seconds = canonical_time(text)
    if seconds is None:
        raise _NotPlain
    return seconds
