"""What a person's record makes of the local account (protocol 9). Pure rules: nothing is read or stored.

Values are those of standard fields (`directory.columnmap.STANDARD_FIELDS`), whoever's table keeps them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import nh3

from tconnect_pyramid.directory.columnmap import ColumnMap, Limits
from tconnect_pyramid.directory.countries import COUNTRIES
from tconnect_pyramid.directory.markup import clean_html
from tconnect_pyramid.protocol.users import UserRecord
from tconnect_pyramid.texts import text as _

AUTH = "connect"
"""The auth method of every account that came from a server."""
GUEST = "guest"
"""The user name that is never synchronised."""

LANGUAGES = frozenset({"en", "de"})
SITE_LANGUAGE = "en"
SITE_CALENDAR = "gregorian"
SITE_THEME = ""

MAX_HASH_COST = 14
"""A hash that takes longer to check would let a peer slow this site down."""

NAMES = ("firstname", "lastname", "firstnamephonetic", "lastnamephonetic", "middlename", "alternatename")

# Ids, times, access data, agreements, rights and what another rule brings: never taken from a record.
NOT_COPIED = frozenset(
    {
        "id",
        "mnethostid",
        "timecreated",
        "timemodified",
        "firstaccess",
        "lastaccess",
        "lastlogin",
        "currentlogin",
        "lastip",
        "policyagreed",
        "totarasync",
        "trustbitmask",
        "idnumber",
        "picture",
        "admin",
    }
)
# The person's own business here, or another rule's, once the account exists.
ONLY_AT_CREATION = frozenset(
    {"username", "suspended", "deleted", "emailstop", "lang", "maildigest", "autosubscribe", "trackforums"}
)

_without_tags = nh3.Cleaner(tags=set()).clean
_HASH = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
# Pages link to it: any other scheme could run something there.
_WEB = re.compile(r"https?://[!-~]+", re.IGNORECASE)
_KNOWN_COUNTRIES = frozenset(code for code, _ in COUNTRIES)


# What is kept only if it is this, and what is kept otherwise.
_UNLESS: Sequence[tuple[str, Callable[[Any], object], str]] = (
    ("url", _WEB.fullmatch, ""),
    ("country", _KNOWN_COUNTRIES.__contains__, ""),
    ("lang", LANGUAGES.__contains__, SITE_LANGUAGE),
    ("theme", SITE_THEME.__eq__, SITE_THEME),
    ("calendartype", SITE_CALENDAR.__eq__, SITE_CALENDAR),
)


def link_username(person_id: int, serveridnumber: str) -> str:
    """The user name of the account of a server's person."""
    return f"tc_{person_id}_{serveridnumber}"


def new_account(record: UserRecord, serveridnumber: str, now: int) -> dict[str, Any]:
    """The standard fields of an account that is created for a person; what was not sent is to have its default.

    `now` in Unix seconds becomes the times of creation and change.
    """
    return {
        **_copied(record),
        "username": link_username(record.id, serveridnumber),
        "suspended": int(record.suspended),
        "deleted": 0,
        "timecreated": now,
        "timemodified": now,
    }


def synced_values(record: UserRecord) -> dict[str, Any]:
    """What an account that exists must have; fields that are not in it are left alone.

    Users sync, sign-in and migration bring the same fields, so that none of them ever undoes another.
    """
    values = _copied(record)
    for name in ONLY_AT_CREATION:
        values.pop(name, None)
    return values


def wanted_idnumber(record: UserRecord) -> str:
    """The person's ID number, which is no part of the other values: see `idnumbers.assign`."""
    return str(record.values.get("idnumber") or "")


def revived_account(
    record: UserRecord, serveridnumber: str, now: int, *, stays_suspended: bool = False
) -> dict[str, Any]:
    """What a deleted account is given when its person is there again.

    `stays_suspended`: it had been suspended here by hand, which only a hand lifts again.
    """
    return {
        **synced_values(record),
        "username": link_username(record.id, serveridnumber),
        "suspended": int(record.suspended or stays_suspended),
        "deleted": 0,
        "timemodified": now,
    }


def differences(
    columns: ColumnMap,
    current: Mapping[str, Any],
    wanted: Mapping[str, Any],
    stored: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The wanted values that must be written, none when the account is as it should be.

    `current`: the account's standard fields. `stored`: attributes of its row as they are, for columns
    that several fields share, see `shared_columns`. A field that cannot be read back is written only
    along with another change: nobody can tell whether it differs.
    """
    compared = columns.compared
    if wanted.items() <= current.items():
        # As nearly all are, which is told without looking at the fields one by one.
        changed: dict[str, Any] = {}
    else:
        changed = {
            name: value for name, value in wanted.items() if name in compared and current[name] != value
        }
    for where in columns.shared():
        together = {name: wanted[name] for name in where.fields if name in wanted}
        if len(together) < len(where.fields):
            continue
        differs = stored is not None and any(stored[name] != v for name, v in where.write(together).items())
        if differs or changed.keys() & together.keys():
            changed.update(together)
    if changed:
        unseen = columns.fields.keys() - compared
        changed.update({name: value for name, value in wanted.items() if name in unseen})
    return changed


def shared_columns(columns: ColumnMap) -> tuple[str, ...]:
    """The attributes that hold several standard fields at once, such as a full name."""
    return tuple(
        {name: None for where in columns.shared() for name in where.write(dict.fromkeys(where.fields, ""))}
    )


def misfit(columns: ColumnMap, values: Mapping[str, Any]) -> str | None:
    """Why the account table cannot hold these values, or None when it can.

    A single value that the database refuses would end the whole run. The reason names no value.
    """
    reason = _beyond(columns.limits, values)
    for fields, written in columns.indirect(values):
        reason = reason or _beyond(columns.row_limits, written, ", ".join(fields))
    return reason


def _beyond(limits: Limits, values: Mapping[str, Any], called: str = "") -> str | None:
    for name, most in limits.longest.items():
        value = values.get(name)
        if isinstance(value, str) and len(value) > most:
            return _(
                "${field} has ${length} characters, more than the ${limit} that an account here holds",
                field=called or name,
                length=len(value),
                limit=most,
            )
    for name, largest in limits.largest.items():
        value = values.get(name)
        if isinstance(value, int) and value > largest:
            return _("${field} is a larger number than an account here holds", field=called or name)
    for name, choices in limits.choices.items():
        if values.get(name) not in choices:
            return _("${field} is nothing that an account here may have", field=called or name)
    for name in limits.filled:
        if name in values and values[name] is None:
            return _("${field} is empty, which it may not be of an account here", field=called or name)
    return None


def plain_name(text: str) -> str:
    """A name without tags; what merely looks like the beginning of one stays."""
    if "<" not in text and "&" not in text:
        return text
    return html.unescape(_without_tags(text))


def acceptable_hash(value: object) -> bool:
    """Whether a received password hash is one that this site would ever check."""
    match = _HASH.fullmatch(value) if isinstance(value, str) else None
    return match is not None and int(match[1]) <= MAX_HASH_COST


def _copied(record: UserRecord) -> dict[str, Any]:
    values: dict[str, Any] = record.values.copy()
    for name in NOT_COPIED:
        values.pop(name, None)
    values["auth"] = AUTH
    values["confirmed"] = 1
    for name in NAMES:
        if values.get(name):
            values[name] = plain_name(values[name])
    if values.get("description"):
        values["description"] = clean_html(values["description"])
    if not acceptable_hash(values.get("password")):
        values.pop("password", None)
    for name, is_taken, instead in _UNLESS:
        if name in values and not is_taken(values[name]):
            values[name] = instead
    return values
