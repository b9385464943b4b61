"""Keeping accounts by hand: the rules behind the `user` commands, the login page and the profile page.

What a sync decides about accounts lives in the client role; this is what administrators and people
themselves may do. Every change leaves an audit row in the caller's transaction.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import String, select, update
from sqlalchemy.orm import Session

from tconnect_pyramid import sessions
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory import pictures, profiles
from tconnect_pyramid.directory.accounts import VIEW_FIELDS, AccountView, as_view
from tconnect_pyramid.directory.columnmap import STANDARD_FIELDS
from tconnect_pyramid.directory.jobs import JobView, list_jobs
from tconnect_pyramid.directory.markup import clean_html
from tconnect_pyramid.directory.passwords import check_password, hash_password
from tconnect_pyramid.directory.surroundings import line
from tconnect_pyramid.directory.usernames import chosen_username
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound
from tconnect_pyramid.models import Account, Link, Server
from tconnect_pyramid.texts import text as _

LOCAL = "manual"
"""The auth method of accounts that have their password here."""
CONNECT = "connect"
"""The auth method of accounts whose password is at a server (protocol 9)."""
NOLOGIN = "nologin"
"""The auth method of accounts by which nobody logs in."""

_EMAIL = re.compile(r"[^\s@<>()\[\],;:\\\"]+@[^\s@<>()\[\],;:\\\"]+")
_COUNTRY = re.compile(r"[A-Z]{2}")
_CODE = re.compile(r"[A-Za-z0-9_\-]*")
_WEB = re.compile(r"https?://[^\s<>\"]+")

# Numbers that a person or an administrator chooses, with their greatest value.
CHOICES: Mapping[str, int] = {
    "emailstop": 1,
    "mailformat": 1,
    "maildigest": 2,
    "maildisplay": 2,
    "autosubscribe": 1,
    "trackforums": 1,
}
LINES = (
    "idnumber",
    "firstname",
    "lastname",
    "email",
    "icq",
    "skype",
    "yahoo",
    "aim",
    "msn",
    "phone1",
    "phone2",
    "institution",
    "department",
    "address",
    "city",
    "country",
    "lang",
    "calendartype",
    "theme",
    "timezone",
    "url",
    "imagealt",
    "lastnamephonetic",
    "firstnamephonetic",
    "middlename",
    "alternatename",
)
# What an INTEGER of every database holds; a host may keep the number in one.
MOST_PICTURES = 2**31 - 1
EDITABLE = (*LINES, "description", *CHOICES)
"""What `edit_person` changes. The rest has a function of its own or is nobody's to change."""

LENGTHS: Mapping[str, int] = {
    column.key: column.type.length
    for column in Account.__table__.columns
    if isinstance(column.type, String) and column.type.length is not None
}
"""The greatest number of characters of each field that has one (protocol 6)."""

# What later updates from a server leave alone (protocol 9); `idnumber` is the site's choice.
LEFT_ALONE_BY_SYNCS = frozenset(
    {"emailstop", "idnumber", "lang", "maildigest", "autosubscribe", "trackforums"}
)


@dataclass(frozen=True, slots=True)
class Belongings:
    """What an account has besides its row, and who may change that.

    `fields`: custom profile values by short name, as they are kept. `picture` is its number (0: none),
    `pictures` the names of its files. `owner` names the server that owns the picture, as in "the server X",
    and `fields_owner` the one that owns the custom values; None where they are changed here.
    """

    fields: dict[str, str]
    picture: int
    pictures: tuple[str, ...]
    jobs: list[JobView]
    owner: str | None
    fields_owner: str | None


def add_person(
    session: Session,
    context: Context,
    *,
    username: str,
    password: str | None = None,
    admin: bool = False,
    auth: str = LOCAL,
    actor: str = "command",
    **fields: str,
) -> AccountView:
    """Make an account; `fields` are any of `EDITABLE`, such as email, firstname and lastname.

    Without a password nobody can log in yet. Raises InvalidInput for a value that cannot be taken or kept,
    and Conflict when the user name is taken.
    """
    wanted = {**fields, "admin": admin, "password": password}
    _refuse_not_kept(context, [name for name, value in wanted.items() if value])
    values: dict[str, Any] = {"username": chosen_username(username)}
    given = {"email": "", "firstname": "", "lastname": "", **fields}
    values.update({name: _value(name, text) for name, text in given.items()})
    if password is not None:
        _refuse_password_elsewhere(auth, username)
        values["password"] = hash_password(password)
    if context.accounts.by_username(session, [values["username"]]):
        raise Conflict(
            _(
                "There is already an account with the user name ${username}.",
                username=repr(values["username"]),
            )
        )
    now = context.clock()
    values.update(auth=auth, confirmed=1, admin=admin, timecreated=now, timemodified=now)
    (key,) = context.accounts.insert(session, [values])
    context.audit(session, actor, "account.added", values["username"], id=key, admin=admin)
    return get_person(session, context, key)


def edit_person(
    session: Session,
    context: Context,
    key: int,
    changes: Mapping[str, str],
    *,
    actor: str = "command",
) -> AccountView:
    """Change fields of `EDITABLE`; values that stay the same are passed over.

    Raises NotFound, InvalidInput for a field or value that cannot be taken or kept, and Conflict for a field
    that the account's server would set back at the next sync.
    """
    person = _usable(session, context, key)
    values = {name: _value(name, text) for name, text in changes.items()}
    _refuse_not_kept(context, values)
    shared = _shared(context, values)
    now_there = context.accounts.fetch(session, [key], values)[key]
    changed = {name: value for name, value in values.items() if (now_there[name] or "") != (value or "")}
    if not changed:
        return person
    if person.auth == CONNECT:
        owned = [name for name in changed if name not in LEFT_ALONE_BY_SYNCS]
        if owned:
            raise Conflict(
                _(
                    "${fields}: of ${username} this is kept as it is at ${server}; change it there.",
                    fields=", ".join(owned),
                    username=person.username,
                    server=_server_of(session, key),
                )
            )
    context.accounts.update(session, {key: {**shared, **changed, "timemodified": context.clock()}})
    context.audit(session, actor, "account.edited", person.username, id=key, fields=sorted(changed))
    return get_person(session, context, key)


def set_password(
    session: Session, context: Context, key: int, password: str, *, actor: str = "command"
) -> None:
    """Give a local account a new password.

    Raises NotFound, InvalidInput for a password that cannot be taken or kept, Conflict for an account whose
    password is at a server.
    """
    person = _usable(session, context, key)
    _refuse_not_kept(context, ["password"])
    _refuse_password_elsewhere(person.auth, person.username)
    context.accounts.update(
        session, {key: {"password": hash_password(password), "timemodified": context.clock()}}
    )
    context.audit(session, actor, "account.password_set", person.username, id=key)


def belongings(session: Session, context: Context, key: int) -> Belongings:
    """The custom profile values, picture and jobs of an account. Raises NotFound."""
    person = get_person(session, context, key)
    owner = _server_of(session, key) if person.auth == CONNECT else None
    return Belongings(
        fields=profiles.values_of(session, [key]).get(key, {}),
        picture=context.accounts.fetch(session, [key], ["picture"])[key]["picture"] or 0,
        pictures=pictures.names_of(session, [key]).get(key, ()),
        jobs=list_jobs(session, key),
        owner=owner,
        fields_owner=owner if context.options(session).client_sync_profile_fields else None,
    )


def set_profile_value(
    session: Session, context: Context, key: int, shortname: str, text: str, *, actor: str = "command"
) -> None:
    """Give an account a custom profile value, see `profiles.set_value`; an empty one removes it.

    Raises NotFound, InvalidInput, and Conflict where its server owns custom profile fields.
    """
    person = _usable(session, context, key)
    if person.auth == CONNECT and context.options(session).client_sync_profile_fields:
        raise Conflict(
            _(
                "The custom profile fields of ${username} are kept as they are at ${server}; "
                "change them there, or switch tconnect.client.sync_profile_fields off.",
                username=person.username,
                server=_server_of(session, key),
            )
        )
    profiles.set_value(session, context, key, shortname, text, actor=actor)


def set_picture(
    session: Session, context: Context, key: int, image: bytes, *, actor: str = "command"
) -> tuple[str, ...]:
    """Give an account a picture made from an image, see `pictures.made_from`; gives the names of its files.

    Raises NotFound, InvalidInput for an image that cannot be taken or kept, and Conflict for an account
    whose picture is its server's.
    """
    person = _with_own_picture(session, context, key)
    files = pictures.made_from(image)
    # Drawn, not counted: after a picture was taken away, a number that came back would make a client
    # that has not asked in between keep the old one.
    pictures.put(session, context, key, files, 1 + secrets.randbelow(MOST_PICTURES))
    context.audit(session, actor, "account.picture_set", person.username, id=key)
    return tuple(sorted(files))


def remove_picture(session: Session, context: Context, key: int, *, actor: str = "command") -> None:
    """Take an account's picture away. Raises NotFound, InvalidInput and Conflict as `set_picture`."""
    person = _with_own_picture(session, context, key)
    pictures.remove(session, context, key)
    context.audit(session, actor, "account.picture_removed", person.username, id=key)


def suspend(session: Session, context: Context, key: int, *, actor: str = "command") -> list[int]:
    """Keep a person out and end their sign-ins; gives the ids of the notices for `deliver_now`.

    A suspension by hand is lifted by hand only, also where a sync had suspended the account before.
    Raises NotFound and Conflict.
    """
    person = _usable(session, context, key)
    # The account first, its link and its sign-ins after it: so does everybody, and nobody waits for one who waits for them.
    context.accounts.update(session, {key: {"suspended": 1, "timemodified": context.clock()}})
    session.execute(update(Link).where(Link.account_key == key).values(suspended_by_sync=False))
    context.audit(session, actor, "account.suspended", person.username, id=key)
    return sessions.end_of_accounts(session, context, [key], "suspended")


def unsuspend(session: Session, context: Context, key: int, *, actor: str = "command") -> None:
    """Let a suspended person in again. Raises NotFound and Conflict."""
    person = _usable(session, context, key)
    if person.suspended:
        context.accounts.update(session, {key: {"suspended": 0, "timemodified": context.clock()}})
        session.execute(update(Link).where(Link.account_key == key).values(suspended_by_sync=False))
        context.audit(session, actor, "account.unsuspended", person.username, id=key)


def delete_person(session: Session, context: Context, key: int, *, actor: str = "command") -> list[int]:
    """Delete an account as protocol 9 says and end its sign-ins; gives ids for `deliver_now`.

    Raises NotFound and Conflict.
    """
    person = _usable(session, context, key)
    context.accounts.update(session, {key: {"timemodified": context.clock()}})
    notices = sessions.end_of_accounts(session, context, [key], "deleted")
    context.accounts.mark_deleted(session, [key])
    context.audit(session, actor, "account.deleted", person.username, id=key)
    return notices


def set_admin(
    session: Session, context: Context, key: int, on: bool, *, actor: str = "command"
) -> AccountView:
    """Make an account an administrator of this site, or take that back.

    Raises NotFound, Conflict, and InvalidInput where that cannot be kept.
    """
    person = _usable(session, context, key)
    _refuse_not_kept(context, ["admin"])
    if person.admin != on:
        context.accounts.update(session, {key: {"admin": on}})
        context.audit(
            session, actor, "account.admin_given" if on else "account.admin_taken", person.username, id=key
        )
    return get_person(session, context, key)


def set_auth(session: Session, context: Context, key: int, auth: str, *, actor: str = "command") -> list[int]:
    """Let somebody log in by a password kept here (`manual`), or not at all (`nologin`).

    Whoever may not any more is signed out: gives the ids of the notices for `deliver_now`. Raises NotFound,
    InvalidInput for another method or where it cannot be kept, and Conflict for a person of a server.
    """
    person = _usable(session, context, key)
    _refuse_not_kept(context, ["auth"])
    if auth not in {LOCAL, NOLOGIN}:
        raise InvalidInput(
            "auth",
            _(
                "auth: expected ${local} or ${nologin}, found ${auth}.",
                local=LOCAL,
                nologin=NOLOGIN,
                auth=repr(auth),
            ),
        )
    if session.scalar(select(Link.person_id).where(Link.account_key == key).limit(1)) is not None:
        raise Conflict(
            _(
                "${username} logs in through ${server}, which keeps the account.",
                username=person.username,
                server=_server_of(session, key),
            )
        )
    if person.auth == auth:
        return []
    context.accounts.update(session, {key: {"auth": auth, "timemodified": context.clock()}})
    context.audit(session, actor, "account.auth_set", person.username, id=key, auth=auth)
    return sessions.end_of_accounts(session, context, [key], "ended") if auth == NOLOGIN else []


def authenticate(session: Session, context: Context, username: str, password: str) -> AccountView | None:
    """The local account with this name and password, or None. Takes the same work either way.

    None as well for one that is suspended, deleted or not confirmed, for every account of another auth
    method (a connect account signs in at its server only, protocol 7), and for everybody while passwords
    are not accepted here (`tconnect.auth.manual`).
    """
    accounts = context.accounts
    typed = username.strip().lower()
    statement = accounts.select((*VIEW_FIELDS, "password", "confirmed")).where(
        accounts.columns.readable("username") == typed
    )
    # PostgreSQL refuses to be asked for a NUL, and no user name has one.
    row = session.execute(statement).mappings().first() if typed.isprintable() else None
    # The hash that a server sent is not even compared: it may be one that takes long, or no time at all.
    accepted = context.options(session).auth_manual
    local = row if accepted and row is not None and row["auth"] == LOCAL else None
    right = check_password(password, None if local is None else local["password"])
    if local is None or not right or not local["confirmed"]:
        return None
    person = as_view(local)
    return None if person.suspended or person.deleted else person


def has_password(session: Session, context: Context, key: int) -> bool:
    """Whether an account can prove who it is by a password that is kept here."""
    kept = context.accounts.fetch(session, [key], ("auth", "password")).get(key)
    return (
        kept is not None
        and kept["auth"] == LOCAL
        and bool(kept["password"])
        and context.options(session).auth_manual
    )


def servers_of(session: Session, keys: Iterable[int]) -> dict[int, str]:
    """The names of the servers that accounts came from, by the account's key; local accounts have none."""
    rows = session.execute(
        select(Link.account_key, Server.name)
        .join(Server, Server.id == Link.server_id)
        .where(Link.account_key.in_(list(keys)))
    )
    return {row.account_key: row.name for row in rows}


def get_person(session: Session, context: Context, key: int) -> AccountView:
    """One account. Raises NotFound."""
    person = context.accounts.view(session, key)
    if person is None:
        raise NotFound(_("There is no account with the id ${id}.", id=str(key)))
    return person


def _usable(session: Session, context: Context, key: int) -> AccountView:
    person = get_person(session, context, key)
    if person.deleted:
        raise Conflict(_("The account ${id} (${name}) is deleted.", id=str(key), name=person.fullname))
    return person


def _with_own_picture(session: Session, context: Context, key: int) -> AccountView:
    person = _usable(session, context, key)
    _refuse_not_kept(context, ["picture"])
    if person.auth == CONNECT:
        raise Conflict(
            _(
                "The picture of ${username} is kept as it is at ${server}; change it there.",
                username=person.username,
                server=_server_of(session, key),
            )
        )
    return person


def _refuse_not_kept(context: Context, names: Iterable[str]) -> None:
    # A host's table has the columns that it has; to report a change that nothing holds would be a lie.
    for name in names:
        if name in STANDARD_FIELDS and not context.accounts.columns.takes(name):
            raise InvalidInput(
                name,
                _(
                    "${field}: the accounts of this site do not keep it; its set_tconnect_accounts maps it to no column.",
                    field=name,
                ),
            )


def _shared(context: Context, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that go into a column along with others, which must not be lost by it."""
    found: dict[str, Any] = {}
    for where in context.accounts.columns.shared():
        given = [name for name in where.fields if name in values]
        if given and len(given) < len(where.fields):
            names = " and ".join(where.fields)
            raise InvalidInput(
                given[0],
                _(
                    "${field}: this site keeps ${names} in one column; give all of them.",
                    field=given[0],
                    names=names,
                ),
            )
        found.update((name, values[name]) for name in given)
    return found


def _refuse_password_elsewhere(auth: str, username: str) -> None:
    if auth != LOCAL:
        raise Conflict(
            _("${username} has no password here: its auth method is ${auth}.", username=username, auth=auth)
        )


def _server_of(session: Session, key: int) -> str:
    name = servers_of(session, [key]).get(key)
    return _("its server") if name is None else _("the server ${server}", server=name)


def _value(name: str, text: str) -> str | int:
    if name in CHOICES:
        value = text.strip()
        allowed = [str(number) for number in range(CHOICES[name] + 1)]
        if value not in allowed:
            raise InvalidInput(
                name,
                _(
                    "${field}: expected one of ${allowed}, found ${value}.",
                    field=name,
                    allowed=", ".join(allowed),
                    value=repr(value),
                ),
            )
        return int(value)
    if name == "description":
        return clean_html(text.replace("\0", "").strip())
    if name not in LINES:
        raise InvalidInput(
            name,
            _(
                "${field}: cannot be changed here; one of ${fields} can.",
                field=name,
                fields=", ".join(EDITABLE),
            ),
        )
    return _line(name, text)


def _line(name: str, text: str) -> str:
    value = line(name, text, LENGTHS[name])
    match name:
        case "email" if value and not _EMAIL.fullmatch(value):
            raise InvalidInput(name, _("email: expected an address such as ana@example.org."))
        case "country" if value and not _COUNTRY.fullmatch(value):
            raise InvalidInput(
                name,
                _("country: expected two capital letters such as SE, found ${value}.", value=repr(value)),
            )
        case "lang" | "calendartype" | "theme" if not _CODE.fullmatch(value):
            raise InvalidInput(
                name,
                _("${field}: expected letters, digits and _, found ${value}.", field=name, value=repr(value)),
            )
        case "url" if value and not _WEB.fullmatch(value):
            raise InvalidInput(name, _("url: expected an address that begins with http:// or https://."))
    return value
