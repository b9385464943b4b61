"""The accounts that people of a server have here, as they are: what every rule about a change compares with."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tconnect_pyramid import sessions
from tconnect_pyramid.client import accounts as rules
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import Accounts, in_batches
from tconnect_pyramid.directory.bulk import among
from tconnect_pyramid.directory.columnmap import STANDARD_FIELDS
from tconnect_pyramid.models import Link
from tconnect_pyramid.protocol.users import UserRecord
from tconnect_pyramid.protocol.values import canonical_int
from tconnect_pyramid.texts import text as _


class Identity(NamedTuple):
    """Who a person is, as their server says. Nothing is known of a link that is older than its being kept."""

    username: str | None = None
    timecreated: int | None = None

    @classmethod
    def of(cls, record: UserRecord) -> Identity:
        """That of a person's record."""
        return cls(str(record.values["username"]), canonical_int(record.values.get("timecreated")))

    def is_another_than(self, kept: Identity) -> bool:
        """Whether the id of the person who is kept here has become somebody else's, as after a server's restoring.

        A user name may change; when somebody was added does not, unless nobody knows it.
        """
        return (
            bool(self.timecreated and kept.timecreated)
            and self.timecreated != kept.timecreated
            and self.username != kept.username
        )


SOMEBODY_ELSE = _(
    "the id is somebody else's at the server now, added there at another time and under another user name than the "
    "person whose account this is; if that person is gone, delete the account here, and this one gets a new one"
)


class Pointer(NamedTuple):
    """Whose account is which: as much of a link as reading needs, also for one that is yet to be made."""

    account_key: int
    suspended_by_sync: bool = False
    digest: bytes | None = None
    identity: Identity = Identity()
    in_doubt: bool = False
    created_by_run: int | None = None


_FIELDS = tuple(
    name
    for name in STANDARD_FIELDS
    if name in {"idnumber", "picture", "admin", "timemodified"} or name not in rules.NOT_COPIED
)
"""The standard fields that a rule looks at or changes: not how the account is used, for one."""


class Linked(NamedTuple):
    """A person's account as it is, without the fields that no server is about.

    `stored` holds the columns that several fields share.
    """

    key: int
    suspended_by_sync: bool
    digest: bytes | None
    identity: Identity
    in_doubt: bool
    created_by_run: int | None
    values: Mapping[str, Any]
    stored: Mapping[str, Any]

    @property
    def is_deleted(self) -> bool:
        """The account is deleted, by a sync or by hand."""
        return bool(self.values["deleted"])

    @property
    def is_suspended(self) -> bool:
        """The account is suspended, by a sync or by hand."""
        return bool(self.values["suspended"])

    @property
    def is_suspended_by_hand(self) -> bool:
        """The account is suspended, and no sync did it."""
        return self.is_suspended and not self.suspended_by_sync

    @property
    def name(self) -> str:
        """Who it is, for a line of the run."""
        full = f"{self.values['firstname'] or ''} {self.values['lastname'] or ''}".strip()
        return full or str(self.values["username"])


def why_left_alone(account: Linked, protected: Collection[str]) -> str:
    """Why no server may change, suspend or delete an account, see `client.protected_accounts`; empty when it may."""
    if account.values["admin"]:
        return _("they are an administrator of this site, whose account no server changes")
    if account.values["username"] in protected:
        return _("tconnect.client.protected_accounts lists the account")
    return ""


def left_alone(
    session: Session,
    accounts: Accounts,
    keys: Iterable[int],
    protected: Collection[str],
    *,
    until_the_end: bool = False,
) -> set[int]:
    """Those of these accounts that no server may change, as they are now; with `until_the_end` of the transaction, too."""
    statement = accounts.select(("username", "admin")).order_by(accounts.key)
    if until_the_end:
        # Whoever makes one an administrator meanwhile waits. SQLite lets nobody else write as it is.
        statement = statement.with_for_update(of=accounts.columns.mapped_class)
    found: set[int] = set()
    for some in in_batches(sorted({*keys})):
        for key, username, admin in session.execute(statement.where(among(accounts.key, some))):
            if admin or username in protected:
                found.add(key)
    return found


def read_links(session: Session, server_id: int, people: Iterable[int]) -> dict[int, Pointer]:
    """The links of these people, by person."""
    rows = session.execute(
        select(
            Link.person_id,
            Link.account_key,
            Link.suspended_by_sync,
            Link.digest,
            Link.person_username,
            Link.person_timecreated,
            Link.in_doubt,
            Link.created_by_run,
        ).where(among(Link.person_id, people), Link.server_id == server_id)
    )
    return {
        person: Pointer(key, suspended, digest, Identity(username, created), in_doubt, by_run)
        for person, key, suspended, digest, username, created, in_doubt, by_run in rows
    }


def read_accounts(session: Session, accounts: Accounts, links: Mapping[int, Pointer]) -> dict[int, Linked]:
    """The accounts behind links, by person; a link whose row is gone has none."""
    columns = accounts.columns
    shared = rules.shared_columns(columns)
    statement = accounts.select(_FIELDS).add_columns(
        *(getattr(columns.mapped_class, name).label(f"stored_{name}") for name in shared)
    )
    keys = [link.account_key for link in links.values()]
    # On the connection: the session would make an object of each row first.
    found = session.connection().execute(statement.where(among(accounts.key, keys)))
    names = tuple(found.keys())
    # A dictionary made of a tuple takes a third of the time of one that is made of a row's own mapping.
    rows: dict[int, dict[str, Any]] = {row[0]: dict(zip(names, row, strict=True)) for row in found.all()}
    return {
        person: Linked(*link, values, {name: values[f"stored_{name}"] for name in shared})
        for person, link in links.items()
        if (values := rows.get(link.account_key)) is not None
    }


def drop_stale_links(session: Session, context: Context, server_id: int, people: Iterable[int]) -> list[int]:
    """Drop the links of people whose accounts' rows are gone, with what is left of those accounts (protocol 9).

    Gives the ids of notices for `deliver_now`: their sign-ins end too.
    """
    keys: list[int] = []
    for some in in_batches(people):
        dropped = delete(Link).where(Link.person_id.in_(some), Link.server_id == server_id)
        keys += session.scalars(dropped.returning(Link.account_key))
    context.accounts.forget_gone(session, keys)
    return sessions.end_of_accounts(session, context, keys, "sync")
