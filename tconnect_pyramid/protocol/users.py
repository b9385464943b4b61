"""The user record with its job assignments and custom profile fields, written and read (protocol 6)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Annotated

from msgspec import Meta, Struct

from tconnect_pyramid.errors import BadRecord, BadReply
from tconnect_pyramid.protocol.columns import (
    MAX_LONG_TEXT,
    MOST_OF_ONE,
    Field,
    Warn,
    number,
    read_id,
    read_int,
    read_int_or_none,
    read_text,
    read_text_or_none,
    read_value,
    text,
    time,
    write_record,
    write_value,
)
from tconnect_pyramid.protocol.values import as_flag, canonical_int, clean_text
from tconnect_pyramid.protocol.versions import FIRST_VERSION_WITH_JOBS
from tconnect_pyramid.texts import Text
from tconnect_pyramid.texts import text as _

_PICTURE_FILE = re.compile(r"f[123]\.(?:png|jpg)")


USER_FIELDS: tuple[Field, ...] = (
    number("id"),
    text("auth", 20, "manual", whole=True),
    number("confirmed", 1),
    number("policyagreed"),
    number("deleted"),
    number("suspended"),
    number("mnethostid", 1),
    text("username", 100),
    text("password", 255, None, whole=True),
    text("idnumber", 255, whole=True),
    text("firstname", 100),
    text("lastname", 100),
    text("email", 100, whole=True),
    number("emailstop"),
    text("icq", 15),
    text("skype", 50),
    text("yahoo", 50),
    text("aim", 50),
    text("msn", 50),
    text("phone1", 20),
    text("phone2", 20),
    text("institution", 255),
    text("department", 255),
    text("address", 255),
    text("city", 120),
    text("country", 2, whole=True),
    text("lang", 30, "en", whole=True),
    text("calendartype", 30, "gregorian", whole=True),
    text("theme", 50, whole=True),
    text("timezone", 100, "99", whole=True),
    number("firstaccess"),
    number("lastaccess"),
    number("lastlogin"),
    number("currentlogin"),
    text("lastip", 45, whole=True),
    number("picture"),
    text("url", 255, whole=True),
    Field("description", "text", None, nullable=True, default=""),
    number("descriptionformat", 1),
    number("mailformat", 1),
    number("maildigest"),
    number("maildisplay", 2),
    number("autosubscribe", 1),
    number("trackforums"),
    number("timecreated"),
    number("timemodified"),
    number("trustbitmask"),
    text("imagealt", 255, None),
    text("lastnamephonetic", 255, None),
    text("firstnamephonetic", 255, None),
    text("middlename", 255, None),
    text("alternatename", 255, None),
    number("totarasync"),
)

# Managers and appraisers are never sent.
JOB_FIELDS: tuple[Field, ...] = (
    number("id"),
    text("fullname", 255, None),
    text("shortname", 100, None),
    text("idnumber", 100, whole=True),
    text("description", None, None),
    time("startdate"),
    time("enddate"),
    number("timecreated"),
    number("timemodified"),
    number("usermodified", 2),
    number("positionid", None),
    number("positionassignmentdate"),
    number("organisationid", None),
    number("sortorder"),
    number("totarasync"),
    number("synctimemodified"),
)
_JOB = {field.name: field for field in JOB_FIELDS}

_SHORTNAME = text("shortname", 255)
_DATATYPE = text("datatype", 255)
_DATA = text("data", None, None)

REQUIRED = ("username", "firstname", "lastname", "email")
USERS = "users"
"""The key of the list in a reply of `get_users`."""

# What a deleted user's record says whatever the row still holds (protocol 6).
_TOMBSTONE: Mapping[str, str | None] = {
    "deleted": "1",
    "password": None,
    "idnumber": "",
    "email": "",
    "picture": "0",
    "description": None,
    "descriptionformat": None,
}


def write_user(
    values: Mapping[str, object],
    *,
    version: int,
    pictures: Mapping[str, str] | None = None,
    profile_fields: Iterable[Mapping[str, object]] | None = None,
    jobs: Iterable[Mapping[str, object]] | None = None,
    warn: Warn,
) -> dict[str, object]:
    """The record of one user, its keys in the order of the wire.

    `values` are column values by the names of `USER_FIELDS`; what is absent gets the field's default.
    `version` is the one spoken with the client. `pictures` None makes a record of the hourly list,
    a mapping of file names to base64, maybe empty, one of `get_user` and `get_sso_user`.
    `profile_fields` come from `write_profile_field`, `jobs` from `write_job`; None means that this
    client is not sent any. No value exceeds what a Totara client can store, or is null where it cannot
    be (protocol 6, limits): `warn` is told of what was cut or left out. Raises `ValueError` without a
    usable id.
    """
    user_id = canonical_int(values.get("id"))
    if not user_id:
        raise ValueError("a user record needs an id above 0")
    person = f"person {user_id}"
    is_deleted = as_flag(values.get("deleted")) is True
    record: dict[str, object] = {}
    for field in USER_FIELDS:
        if field.name == "picture" and pictures is None:
            continue
        if is_deleted and field.name in _TOMBSTONE:
            record[field.name] = _TOMBSTONE[field.name]
        else:
            record[field.name] = write_value(field, values.get(field.name, field.default), person, warn)
    if pictures is not None:
        record["pictures"] = dict(pictures) if pictures and not is_deleted else []
    if version >= FIRST_VERSION_WITH_JOBS and not is_deleted:
        record["profile_fields"] = None if profile_fields is None else [dict(item) for item in profile_fields]
        record["jobs"] = None if jobs is None else usable_jobs(jobs, person, warn)
    return record


def usable_jobs(jobs: Iterable[Mapping[str, object]], person: str, warn: Warn) -> list[Mapping[str, object]]:
    """The jobs without those that a Totara client cannot tell apart by their idnumber."""
    usable: dict[object, Mapping[str, object]] = {}
    for job in jobs:
        idnumber = job["idnumber"]
        if not idnumber:
            warn(f"{person}: job {job['id']} has no usable idnumber; it was left out")
        elif idnumber in usable:
            warn(f"{person}: job {job['id']} has the idnumber of another job; it was left out")
        else:
            usable[idnumber] = job
    return list(usable.values())


def write_job(values: Mapping[str, object], *, warn: Warn) -> dict[str, object]:
    """A job assignment for `write_user`, its keys in the order of the wire.

    `values` by the names of `JOB_FIELDS`; what is absent gets the field's default. `warn` and
    `ValueError` as in `write_user`.
    """
    return write_record("job", JOB_FIELDS, values, warn)


def write_profile_field(shortname: str, datatype: str, data: str | None) -> dict[str, object]:
    """The value of a custom profile field for `write_user`, as it is kept."""
    return {
        "shortname": clean_text(shortname),
        "datatype": clean_text(datatype),
        "data": None if data is None else clean_text(data),
    }


class ProfileFieldRecord(Struct, frozen=True, gc=False):
    """What a person has in a custom profile field, which is known by shortname and datatype together."""

    shortname: Annotated[str, Meta(min_length=1, max_length=_SHORTNAME.limit)]
    datatype: Annotated[str, Meta(min_length=1, max_length=_DATATYPE.limit)]
    data: Annotated[str, Meta(max_length=MAX_LONG_TEXT)] | None = None


class JobRecord(Struct, frozen=True, gc=False):
    """A job assignment as a server sends it; position and organisation are ids there, times Unix seconds."""

    id: int
    fullname: str | None
    shortname: str | None
    idnumber: str
    description: str | None
    startdate: int | None
    enddate: int | None
    positionid: int | None
    positionassignmentdate: int
    organisationid: int | None
    sortorder: int


class UserRecord(Struct, frozen=True, gc=False):
    """A person as a server sends them.

    `values` has the fields that were sent, each an `int` or `str` by its kind, or None where that is
    allowed. `picture` and `pictures` are None in the hourly list. `profile_fields` (each once) and `jobs`
    (in the server's order) are None, which says *leave alone*, when they are absent or null or when the
    person is deleted; an empty one says *has none*.
    """

    id: int
    deleted: bool
    suspended: bool
    values: dict[str, str | int | None]
    picture: str | None
    pictures: dict[str, str] | None
    profile_fields: tuple[ProfileFieldRecord, ...] | None
    jobs: tuple[JobRecord, ...] | None


def read_users(data: object) -> list[object]:
    """The raw records of a reply of `get_users`; raises `BadReply` when there is no list of them.

    An absent list is a failed run, an empty one makes everybody missing (protocol 9): they are told
    apart here.
    """
    users = data.get(USERS) if isinstance(data, dict) else None
    if not isinstance(users, list):
        raise BadReply(_("the reply holds no list of users"))
    return users


def read_user(raw: object) -> UserRecord:
    """One record, its strings cleaned, unknown keys ignored; raises `BadRecord` when it cannot be used.

    No message holds a value of the record.
    """
    if not isinstance(raw, dict):
        raise BadRecord(None, _("the record is not an object"))
    remote_id = read_id(raw)
    values: dict[str, str | int | None] = {}
    for field in USER_FIELDS:
        if field.name in raw:
            values[field.name] = read_value(field, raw[field.name], remote_id)
    for name in REQUIRED:
        if raw.get(name) is None:
            raise BadRecord(remote_id, _("${name} is missing", name=name))
    is_deleted = _read_flag(raw, "deleted", remote_id)
    return UserRecord(
        id=remote_id,
        deleted=is_deleted,
        suspended=_read_flag(raw, "suspended", remote_id),
        values=values,
        picture=str(values["picture"]) if "picture" in values else None,
        pictures=_read_pictures(raw.get("pictures"), remote_id),
        profile_fields=None if is_deleted else _read_profile_fields(raw.get("profile_fields"), remote_id),
        jobs=None if is_deleted else _read_jobs(raw.get("jobs"), remote_id),
    )


def _read_flag(raw: Mapping[str, object], name: str, remote_id: int) -> bool:
    value = raw.get(name)
    if value is None:
        return False
    flag = as_flag(value)
    if flag is None:
        raise BadRecord(remote_id, _("${name} is neither 0 nor 1", name=name))
    return flag


def _read_pictures(raw: object, remote_id: int) -> dict[str, str] | None:
    if raw is None:
        return None
    if raw == []:
        return {}
    if not isinstance(raw, dict):
        raise BadRecord(remote_id, _("pictures is not an object of files"))
    pictures: dict[str, str] = {}
    for name, content in raw.items():
        if _PICTURE_FILE.fullmatch(name) is None:
            continue
        if not isinstance(content, str):
            raise BadRecord(remote_id, _("pictures: ${name} is not a text", name=name))
        pictures[name] = content
    return pictures


def _read_profile_fields(raw: object, remote_id: int) -> tuple[ProfileFieldRecord, ...] | None:
    if raw is None:
        return None
    if not isinstance(raw, list):
        raise BadRecord(remote_id, _("profile_fields is not a list"))
    if len(raw) > MOST_OF_ONE:
        raise BadRecord(remote_id, _("there are more than ${number} profile fields", number=MOST_OF_ONE))
    fields: list[ProfileFieldRecord] = []
    for position, entry in enumerate(raw, start=1):
        if not isinstance(entry, dict):
            raise BadRecord(remote_id, _("${where} is not an object", where=_field_at(position, raw)))
        try:
            field = ProfileFieldRecord(
                shortname=read_text(_SHORTNAME, entry, remote_id),
                datatype=read_text(_DATATYPE, entry, remote_id),
                data=read_text_or_none(_DATA, entry, remote_id),
            )
        except BadRecord as error:
            raise BadRecord(
                remote_id, _("${where}: ${reason}", where=_field_at(position, raw), reason=error.reason)
            ) from None
        if not field.shortname or not field.datatype:
            raise BadRecord(
                remote_id, _("${where} has no shortname or no datatype", where=_field_at(position, raw))
            )
        fields.append(field)
    return each_once(fields)


def each_once(fields: Sequence[ProfileFieldRecord]) -> tuple[ProfileFieldRecord, ...]:
    """The values without those of fields that are there before."""
    known = {(field.shortname, field.datatype): field for field in reversed(fields)}
    return tuple(fields) if len(known) == len(fields) else tuple(reversed(known.values()))


def _read_jobs(raw: object, remote_id: int) -> tuple[JobRecord, ...] | None:
    if raw is None:
        return None
    if not isinstance(raw, list):
        raise BadRecord(remote_id, _("jobs is not a list"))
    if len(raw) > MOST_OF_ONE:
        raise BadRecord(remote_id, _("there are more than ${number} jobs", number=MOST_OF_ONE))
    jobs: list[JobRecord] = []
    ids: set[int] = set()
    idnumbers: set[str] = set()
    for position, entry in enumerate(raw, start=1):
        if not isinstance(entry, dict):
            raise BadRecord(remote_id, _("${where} is not an object", where=_job_at(position, raw)))
        try:
            job = _read_job(entry)
        except BadRecord as error:
            raise BadRecord(
                remote_id, _("${where}: ${reason}", where=_job_at(position, raw), reason=error.reason)
            ) from None
        if not job.idnumber:
            raise BadRecord(remote_id, _("${where} has no idnumber", where=_job_at(position, raw)))
        if job.id in ids or job.idnumber in idnumbers:
            raise BadRecord(
                remote_id,
                _("${where} has the id or the idnumber of another job", where=_job_at(position, raw)),
            )
        ids.add(job.id)
        idnumbers.add(job.idnumber)
        jobs.append(job)
    return tuple(jobs)


def _read_job(raw: Mapping[str, object]) -> JobRecord:
    job_id = read_id(raw)
    return JobRecord(
        id=job_id,
        fullname=read_text_or_none(_JOB["fullname"], raw, job_id),
        shortname=read_text_or_none(_JOB["shortname"], raw, job_id),
        idnumber=read_text(_JOB["idnumber"], raw, job_id),
        description=read_text_or_none(_JOB["description"], raw, job_id),
        startdate=read_int_or_none(_JOB["startdate"], raw, job_id),
        enddate=read_int_or_none(_JOB["enddate"], raw, job_id),
        positionid=read_int_or_none(_JOB["positionid"], raw, job_id) or None,
        positionassignmentdate=read_int(_JOB["positionassignmentdate"], raw, job_id),
        organisationid=read_int_or_none(_JOB["organisationid"], raw, job_id) or None,
        sortorder=read_int(_JOB["sortorder"], raw, job_id),
    )


def _field_at(position: int, raw: Sized) -> Text:
    return _("profile field ${position} of ${total}", position=position, total=len(raw))


def _job_at(position: int, raw: Sized) -> Text:
    return _("job ${position} of ${total}", position=position, total=len(raw))
