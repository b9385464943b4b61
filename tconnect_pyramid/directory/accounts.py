"""The local accounts, read and written in bulk through the column map, whoever's table it is.

Nothing here decides anything: it stores what the rules of the roles, the command and the pages
have decided. The caller's session carries the transaction.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    not_,
    select,
    true,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from tconnect_pyramid.directory.bulk import among, new_ids, put
from tconnect_pyramid.directory.columnmap import STANDARD_FIELDS, ColumnMap
from tconnect_pyramid.directory.paging import Asked, Page, in_any_case, page_of
from tconnect_pyramid.errors import NotFound
from tconnect_pyramid.models import (
    AudienceMember,
    Counterpart,
    Enrolment,
    FormerMember,
    GroupMember,
    Job,
    Link,
    Picture,
    ProfileValue,
)
from tconnect_pyramid.texts import text as _

BATCH = 500
"""Rows in one statement: well below SQLite's limit of variables."""

T = TypeVar("T")

LONGEST_KEY = 18
"""Digits of a number that surely fits into 64 bits."""

USE = frozenset({"firstaccess", "lastaccess", "lastlogin", "currentlogin", "lastip"})
"""Fields that say how an account is used, and no server ever sets."""
DELETED_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class AccountView:
    """What most callers want to know of an account; plain data, detached from any session."""

    key: int
    username: str
    auth: str
    firstname: str
    lastname: str
    email: str
    idnumber: str
    deleted: bool
    suspended: bool
    admin: bool

    @property
    def fullname(self) -> str:
        """First and last name, or the user name when both are empty."""
        return f"{self.firstname} {self.lastname}".strip() or self.username


@dataclass(frozen=True, slots=True)
class MatchCandidate:
    """An account that has a value somebody looks for, with what decides whether it may be taken over."""

    key: int
    username: str
    auth: str
    deleted: bool
    admin: bool


SEARCHED = ("username", "firstname", "lastname", "email", "idnumber")
SORTED = ("username", "lastname", "firstname", "email", "auth")

Only = Literal["", "active", "suspended", "deleted", "admin"]
"""Which accounts a list shows."""

VIEW_FIELDS = tuple(name for name in AccountView.__slots__ if name != "key")


class Accounts:
    """The account table behind a `ColumnMap`. Fields are standard names, keys are the table's own."""

    def __init__(self, columns: ColumnMap) -> None:
        self.columns = columns
        self.key = columns.key

    # --- reading -------------------------------------------------------------------------------

    def select(self, fields: Iterable[str]) -> Select[Any]:
        """A select of `key` and the named fields, each labelled by its name."""
        labelled = []
        for field in fields:
            expression = self.columns.read(field)
            if expression is None:
                expression = literal(STANDARD_FIELDS[field])
            labelled.append(expression.label(field))
        return select(self.key.label("key"), *labelled).select_from(self.columns.mapped_class)

    def not_deleted(self) -> Any:
        """A condition: the account is not deleted."""
        return self._flag_is("deleted", False)

    def not_suspended(self) -> Any:
        """A condition: the account is not suspended."""
        return self._flag_is("suspended", False)

    def fetch(
        self, where: Session | Connection, keys: Iterable[int], fields: Iterable[str] = tuple(STANDARD_FIELDS)
    ) -> dict[int, dict[str, Any]]:
        """The named fields of the accounts with these keys; keys without a row are left out."""
        found: dict[int, dict[str, Any]] = {}
        statement = self.select(fields)
        for some in in_batches(keys):
            for row in where.execute(statement.where(among(self.key, some))).mappings():
                found[row["key"]] = {name: value for name, value in row.items() if name != "key"}
        return found

    def view(self, session: Session, key: int) -> AccountView | None:
        """One account as plain data, or None."""
        row = session.execute(self.select(VIEW_FIELDS).where(self.key == key)).mappings().first()
        return None if row is None else as_view(row)

    def existing(self, session: Session, keys: Iterable[int]) -> set[int]:
        """Those of the keys that have a row, of a deleted account too."""
        found: set[int] = set()
        for some in in_batches(keys):
            found.update(session.scalars(select(self.key).where(among(self.key, some))))
        return found

    def by_username(self, session: Session, usernames: Iterable[str]) -> dict[str, int]:
        """Which of these user names exist (deleted accounts included), and whose they are."""
        column = self.columns.readable("username")
        found: dict[str, int] = {}
        for some in in_batches(usernames):
            found.update(session.execute(select(column, self.key).where(among(column, some))).all())
        return found

    def matching(
        self, session: Session, field: str, values: Iterable[str]
    ) -> dict[str, list[MatchCandidate]]:
        """All accounts, deleted ones included, whose `field` has one of these values, by the value as given.

        An email address matches without regard to case. An empty value matches nobody, and so does a field
        that the table does not keep.
        """
        column = self.columns.read(field)
        wanted: dict[str, list[str]] = defaultdict(list)
        for value in dict.fromkeys(values):
            if value:
                wanted[value.lower() if field == "email" else value].append(value)
        if column is None or not wanted:
            return {}
        compared = func.lower(column, type_=column.type) if field == "email" else column
        fields = tuple(name for name in MatchCandidate.__slots__ if name != "key")
        statement = self.select(fields).add_columns(compared.label("compared")).order_by(self.key)
        found: dict[str, list[MatchCandidate]] = defaultdict(list)
        for some in in_batches(wanted):
            for row in session.execute(statement.where(among(compared, some))).mappings():
                candidate = MatchCandidate(
                    key=row["key"],
                    username=row["username"],
                    auth=row["auth"] or "",
                    deleted=bool(row["deleted"]),
                    admin=bool(row["admin"]),
                )
                for value in wanted.get(row["compared"], ()):
                    found[value].append(candidate)
        return dict(found)

    def find(self, session: Session, who: str) -> AccountView:
        """The account named by an administrator: a user name, a key, or an email address.

        Raises NotFound, also when an email address names several.
        """
        username = self.columns.readable("username")
        email = self.columns.readable("email")
        statement = self.select(VIEW_FIELDS)
        exact = session.execute(statement.where(username == who)).mappings().first()
        if exact is None and who.isascii() and who.isdigit() and len(who) <= LONGEST_KEY:
            exact = session.execute(statement.where(self.key == int(who))).mappings().first()
        if exact is not None:
            return as_view(exact)
        rows = (
            session.execute(statement.where(func.lower(email) == who.lower(), self.not_deleted()).limit(2))
            .mappings()
            .all()
        )
        if "@" not in who or not rows:
            raise NotFound(
                _("There is no account ${who}: give a user name, an id or an email address.", who=repr(who))
            )
        if len(rows) > 1:
            raise NotFound(
                _("Several accounts have the email address ${who}: give a user name or an id.", who=repr(who))
            )
        return as_view(rows[0])

    def page(
        self, session: Session, *, after: int = 0, limit: int = BATCH, deleted: bool = False
    ) -> list[AccountView]:
        """Accounts in the order of their keys, from the first one behind `after`."""
        statement = self.select(VIEW_FIELDS).where(self.key > after).order_by(self.key).limit(limit)
        if not deleted:
            statement = statement.where(self.not_deleted())
        return [as_view(row) for row in session.execute(statement).mappings()]

    def contain(self, words: str) -> list[ColumnElement[bool]]:
        """Conditions of which one holds for an account with a text in its names, address or number, in any case."""
        columns = (self.columns.read(name) for name in SEARCHED)
        sought = words.replace("\0", "")
        return [column.icontains(sought, autoescape=True) for column in columns if column is not None]

    def page_of_members(
        self,
        session: Session,
        member: InstrumentedAttribute[int],
        belongs: ColumnElement[bool],
        asked: Asked,
    ) -> Page[AccountView]:
        """A page of the accounts whose keys stand in the column `member` of the rows that meet `belongs`."""
        statement = self.select(VIEW_FIELDS).where(self.key.in_(select(member).where(belongs)))
        return self._page(session, statement, asked)

    def page_of_people(self, session: Session, asked: Asked, only: Only = "") -> Page[AccountView]:
        """A page of the accounts, `only` those in one state; deleted ones are in the list of `deleted` alone.

        Sorted by one of `SORTED`; looked for in `SEARCHED`.
        """
        condition = {
            "": self.not_deleted(),
            "active": and_(self.not_deleted(), self.not_suspended()),
            "suspended": and_(self.not_deleted(), not_(self.not_suspended())),
            "deleted": not_(self.not_deleted()),
            "admin": and_(self.not_deleted(), self._flag_is("admin", True)),
        }[only]
        return self._page(session, self.select(VIEW_FIELDS).where(condition), asked)

    # --- writing -------------------------------------------------------------------------------

    def insert(self, session: Session, records: Sequence[Mapping[str, Any]]) -> list[int]:
        """Add accounts; gives their keys in the same order. Each record has a unique `username`.

        What a record does not say has the standard field's default.
        """
        if self.columns.is_own:
            keys = [*new_ids(session, self.columns.table, len(records))]
            rows = (
                (key, *{**STANDARD_FIELDS, **record}.values())
                for key, record in zip(keys, records, strict=True)
            )
            put(session, self.columns.table, ("id", *STANDARD_FIELDS), rows)
            return keys
        keys = []
        for some in in_batches(records):
            session.execute(
                insert(self.columns.mapped_class),
                [self.columns.new_row({**STANDARD_FIELDS, **record}) for record in some],
            )
            # Read back by the unique name: the only way that works for every table and database.
            by_name = self.by_username(session, [record["username"] for record in some])
            keys.extend(by_name[record["username"]] for record in some)
        return keys

    def update(self, session: Session, changes: Mapping[int, Mapping[str, Any]]) -> None:
        """Set exactly the given fields of each account; accounts with the same fields go together."""
        grouped: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
        for key, values in changes.items():
            row = self.columns.writes(values)
            if row:
                grouped[tuple(sorted(row))].append({"row_key": key, **row})
        for names, rows in grouped.items():
            table = self.columns.table
            mapper_columns = {
                name: getattr(self.columns.mapped_class, name).property.columns[0] for name in names
            }
            statement = (
                update(table)
                .where(self.key == bindparam("row_key"))
                .values({column: bindparam(name) for name, column in mapper_columns.items()})
            )
            session.execute(statement, rows)
        if any(values.keys() - USE for values in changes.values()):
            forget_digests(session, changes)

    def note_sign_in(self, session: Session, key: int, now: int) -> None:
        """Keep when the account was first and last used; a table without these fields keeps nothing."""
        current = self.fetch(session, [key], ("firstaccess", "currentlogin"))[key]
        self.update(
            session,
            {
                key: {
                    "firstaccess": current["firstaccess"] or now,
                    "lastaccess": now,
                    "lastlogin": current["currentlogin"] or 0,
                    "currentlogin": now,
                }
            },
        )

    def mark_deleted(self, session: Session, keys: Iterable[int]) -> None:
        """Delete accounts as protocol 9 says: the row and the link stay, what made it usable goes.

        Names, the suspended flag, the auth method and the key stay, so that the same account can
        come back. Which audiences it was in is remembered for clients that are restricted to one of
        them (protocol 5). A table without `deleted` loses the row.
        """
        keys = list(keys)
        forget_digests(session, keys)
        if self.columns.keeps("deleted"):
            self._remember_audiences(session, keys)
        else:
            # The host may give the key to somebody else.
            self.forget_former(session, keys)
        self._leave_everything(session, keys)
        if not self.columns.keeps("deleted"):
            for some in in_batches(keys):
                session.execute(delete(self.columns.mapped_class).where(self.key.in_(some)))
            return
        self.update(
            session,
            {
                key: {
                    "deleted": 1,
                    "username": f"deleted_{_random_name()}",
                    "email": "",
                    "idnumber": "",
                    "password": None,
                    "picture": 0,
                    "admin": False,
                }
                for key in keys
            },
        )

    def forget_gone(self, session: Session, keys: Iterable[int]) -> None:
        """Remove what is left of accounts whose rows are gone without our doing.

        Else they would belong to audiences for ever, and whoever a host gives the key to would inherit it all.
        An account that has a row is left alone.
        """
        keys = list(keys)
        there = self.fetch(session, keys, ("username",))
        gone = [key for key in keys if key not in there]
        self.forget_former(session, gone)
        self._leave_everything(session, gone)

    def forget_former(self, session: Session, keys: Iterable[int]) -> None:
        """Forget which audiences accounts were in when they were deleted: they have come back."""
        for some in in_batches(keys):
            session.execute(delete(FormerMember).where(FormerMember.account_key.in_(some)))

    def count(self, session: Session) -> int:
        """How many accounts are not deleted."""
        return (
            session.scalar(select(func.count()).select_from(self.columns.table).where(self.not_deleted()))
            or 0
        )

    # --- inside --------------------------------------------------------------------------------

    def _flag_is(self, field: str, value: bool) -> Any:
        expression = self.columns.read(field)
        if expression is None:
            return false() if value else true()
        # PostgreSQL compares no boolean with a number.
        return expression == (value if isinstance(expression.type, Boolean) else int(value))

    def _page(self, session: Session, statement: Select[Any], asked: Asked) -> Page[AccountView]:
        sortable = {name: self.columns.read(name) for name in SORTED}
        found = page_of(
            session,
            statement,
            asked,
            key=self.key,
            orders={name: in_any_case(column) for name, column in sortable.items() if column is not None},
            searched=[column for name in SEARCHED if (column := self.columns.read(name)) is not None],
        )
        return found.map(lambda rows: [as_view(row._mapping) for row in rows])  # noqa: SLF001 - its public name

    def _remember_audiences(self, session: Session, keys: Sequence[int]) -> None:
        for some in in_batches(keys):
            # One that is deleted a second time has left nothing, and is remembered already.
            known = exists().where(
                FormerMember.account_key == AudienceMember.account_key,
                FormerMember.audience_id == AudienceMember.audience_id,
            )
            members = select(AudienceMember.account_key, AudienceMember.audience_id).where(
                AudienceMember.account_key.in_(some), ~known
            )
            session.execute(insert(FormerMember).from_select(["account_key", "audience_id"], members))

    def _leave_everything(self, session: Session, keys: Sequence[int]) -> None:
        for some in in_batches(keys):
            jobs = select(Job.id).where(Job.account_key.in_(some))
            session.execute(
                delete(Counterpart).where(Counterpart.kind == "job", Counterpart.local_id.in_(jobs))
            )
            for table in (AudienceMember, GroupMember, Enrolment, ProfileValue, Job, Picture):
                session.execute(delete(table).where(table.account_key.in_(some)))


def as_view(row: Mapping[Any, Any]) -> AccountView:
    """Plain data from a row selected with `VIEW_FIELDS`."""
    return AccountView(
        key=row["key"],
        username=row["username"],
        auth=row["auth"] or "",
        firstname=row["firstname"] or "",
        lastname=row["lastname"] or "",
        email=row["email"] or "",
        idnumber=row["idnumber"] or "",
        deleted=bool(row["deleted"]),
        suspended=bool(row["suspended"]),
        admin=bool(row["admin"]),
    )


def forget_digests(session: Session, keys: Iterable[int]) -> None:
    """Let the next sync look at accounts that something else than a sync has changed, whatever their server says."""
    for some in in_batches(keys):
        session.execute(
            update(Link).where(among(Link.account_key, some), Link.digest.is_not(None)).values(digest=None)
        )


def in_batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Cut into lists of at most `size`."""
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _random_name() -> str:
    return "".join(secrets.choice(DELETED_ALPHABET) for _ in range(32))
