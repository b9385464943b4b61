"""The user record, written and read (protocol 6)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tconnect_pyramid.errors import BadRecord, BadReply
from tconnect_pyramid.protocol.values import as_flag, canonical_int, clean_text
from tconnect_pyramid.protocol.versions import FIRST_VERSION_WITH_JOBS

# What a text without a limit of its own may hold, in characters, when it comes from a peer.
MAX_LONG_TEXT = 1_000_000

_PICTURE_FILE = re.compile(r"f[123]\.(?:png|jpg)")


@dataclass(frozen=True, slots=True)
class Field:
    """A column that travels: as a string on the wire, as an `int` or `str` with us.

    `limit` is in characters, None where only `MAX_LONG_TEXT` holds. `nullable` says whether null may
    be sent; where not, and for a site that has no such column, `default` is.
    """

    name: str
    kind: Literal["int", "text"]
    limit: int | None
    nullable: bool
    default: str | int | None


def number(name: str, default: int | None = 0) -> Field:
    """A whole number; may be null when its default is."""
    return Field(name, "int", None, default is None, default)


def text(name: str, limit: int | None, default: str | None = "") -> Field:
    """A text; may be null when its default is."""
    return Field(name, "text", limit, default is None, default)


USER_FIELDS: tuple[Field, ...] = (
    number("id"),
    text("auth", 20, "manual"),
    number("confirmed", 1),
    number("policyagreed"),
    number("deleted"),
    number("suspended"),
    number("mnethostid", 1),
    text("username", 100),
    text("password", 255, None),
    text("idnumber", 255),
    text("firstname", 100),
    text("lastname", 100),
    text("email", 100),
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
    text("country", 2),
    text("lang", 30, "en"),
    text("calendartype", 30, "gregorian"),
    text("theme", 50),
    text("timezone", 100, "99"),
    number("firstaccess"),
    number("lastaccess"),
    number("lastlogin"),
    number("currentlogin"),
    text("lastip", 45),
    number("picture"),
    text("url", 255),
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

REQUIRED = ("username", "firstname", "lastname", "email")

# A part of one of these is not a shorter value but a wrong one: somebody else's address or number,
# another country, a hash that matches nothing. What does not fit is left out instead.
WHOLE_OR_NOTHING = frozenset(
    {
        "auth",
        "password",
        "idnumber",
        "email",
        "country",
        "lang",
        "calendartype",
        "theme",
        "timezone",
        "lastip",
        "url",
    }
)

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
) -> dict[str, object]:
    """The record of one user, its keys in the order of the wire.

    `values` are column values by the names of `USER_FIELDS`; what is absent gets the field's default.
    `version` is the one spoken with the client. `pictures` None makes a record of the hourly list,
    a mapping of file names to base64, maybe empty, one of `get_user` and `get_sso_user`.
    `profile_fields` and `jobs` are sent as they are; None means that this client is not sent any.
    No value exceeds what a Totara client can store, or is null where it cannot be (protocol 6,
    limits). Raises `ValueError` without a usable id.
    """
    if not canonical_int(values.get("id")):
        raise ValueError("a user record needs an id above 0")
    is_deleted = as_flag(values.get("deleted")) is True
    record: dict[str, object] = {}
    for field in USER_FIELDS:
        if field.name == "picture" and pictures is None:
            continue
        if is_deleted and field.name in _TOMBSTONE:
            record[field.name] = _TOMBSTONE[field.name]
        else:
            record[field.name] = write_value(field, values.get(field.name, field.default))
    if pictures is not None:
        record["pictures"] = dict(pictures) if pictures and not is_deleted else []
    if version >= FIRST_VERSION_WITH_JOBS and not is_deleted:
        record["profile_fields"] = None if profile_fields is None else [dict(item) for item in profile_fields]
        record["jobs"] = None if jobs is None else [dict(item) for item in jobs]
    return record


def write_value(field: Field, value: object) -> str | None:
    """A column's value as it travels: a string that fits, or null where that is allowed."""
    if isinstance(value, bool):
        value = int(value)
    if field.kind == "int":
        value = canonical_int(value)
    if value is None:
        value = None if field.nullable else field.default
    if value is None:
        return None
    written = clean_text(str(value))
    if field.limit is None or len(written) <= field.limit:
        return written
    if field.name in WHOLE_OR_NOTHING:
        return None if field.default is None else str(field.default)
    return written[: field.limit]


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A person as a server sends them.

    `values` has the fields that were sent, each an `int` or `str` by its kind, or None where that is
    allowed. `picture` and `pictures` are None in the hourly list; `profile_fields` and `jobs` are raw,
    and None (absent or null) says *leave alone*.
    """

    id: int
    deleted: bool
    suspended: bool
    values: dict[str, str | int | None]
    picture: str | None
    pictures: dict[str, str] | None
    profile_fields: object
    jobs: object


def read_users(data: object) -> list[object]:
    """The raw records of a reply of `get_users`; raises `BadReply` when there is no list of them.

    An absent list is a failed run, an empty one makes everybody missing (protocol 9): they are told
    apart here.
    """
    users = data.get("users") if isinstance(data, dict) else None
    if not isinstance(users, list):
        raise BadReply("the reply holds no list of users")
    return users


def read_user(raw: object) -> UserRecord:
    """One record, its strings cleaned, unknown keys ignored; raises `BadRecord` when it cannot be used.

    No message holds a value of the record.
    """
    if not isinstance(raw, dict):
        raise BadRecord(None, "the record is not an object")
    remote_id = read_id(raw)
    values: dict[str, str | int | None] = {}
    for field in USER_FIELDS:
        if field.name in raw:
            values[field.name] = read_value(field, raw[field.name], remote_id)
    for name in REQUIRED:
        if raw.get(name) is None:
            raise BadRecord(remote_id, f"{name} is missing")
    return UserRecord(
        id=remote_id,
        deleted=_read_flag(raw, "deleted", remote_id),
        suspended=_read_flag(raw, "suspended", remote_id),
        values=values,
        picture=str(values["picture"]) if "picture" in values else None,
        pictures=_read_pictures(raw.get("pictures"), remote_id),
        profile_fields=raw.get("profile_fields"),
        jobs=raw.get("jobs"),
    )


def read_id(raw: Mapping[str, object]) -> int:
    """The id of a record; raises `BadRecord` when it has none above 0."""
    remote_id = canonical_int(raw.get("id"))
    if not remote_id:
        raise BadRecord(None, "id is not a whole number above 0")
    return remote_id


def read_value(field: Field, value: object, remote_id: int) -> str | int | None:
    """A column's value as we keep it; null becomes the default where it is not allowed.

    Raises `BadRecord` for a value of the wrong kind and for one that is too long.
    """
    if value is None:
        return None if field.nullable else field.default
    if not isinstance(value, str | int | float):
        raise BadRecord(remote_id, f"{field.name} is neither a text nor a number")
    if isinstance(value, bool):
        value = int(value)
    if field.kind == "int":
        whole = canonical_int(value)
        if whole is None:
            raise BadRecord(remote_id, f"{field.name} is not a whole number from 0 to 2^63-1")
        return whole
    limit = MAX_LONG_TEXT if field.limit is None else field.limit
    cleaned = clean_text(value if isinstance(value, str) else str(value))
    if len(cleaned) > limit:
        raise BadRecord(remote_id, f"{field.name} has {len(cleaned)} characters, more than {limit}")
    return cleaned


def _read_flag(raw: Mapping[str, object], name: str, remote_id: int) -> bool:
    value = raw.get(name)
    if value is None:
        return False
    flag = as_flag(value)
    if flag is None:
        raise BadRecord(remote_id, f"{name} is neither 0 nor 1")
    return flag


def _read_pictures(raw: object, remote_id: int) -> dict[str, str] | None:
    if raw is None:
        return None
    if raw == []:
        return {}
    if not isinstance(raw, dict):
        raise BadRecord(remote_id, "pictures is not an object of files")
    pictures: dict[str, str] = {}
    for name, content in raw.items():
        if _PICTURE_FILE.fullmatch(name) is None:
            continue
        if not isinstance(content, str):
            raise BadRecord(remote_id, f"pictures: {name} is not a text")
        pictures[name] = content
    return pictures
