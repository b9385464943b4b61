"""The large replies: everybody, audiences and courses with their members, positions, organisations (protocol 5).

They are written to a temporary file from one snapshot of the database, on a connection of their own
that is closed before the first byte is sent: a slow reader holds nothing, and a failure on the way is
an ordinary refusal. Memory stays flat however many people there are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from operator import itemgetter
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

import msgspec
from sqlalchemy import Connection, Select, and_, func, select

from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.hierarchies import Hierarchy
from tconnect_pyramid.directory.hierarchy_removal import had_some
from tconnect_pyramid.errors import Refused
from tconnect_pyramid.failures import warnings_about
from tconnect_pyramid.garbage import unsearched
from tconnect_pyramid.models import (
    Audience,
    AudienceMember,
    ClientAudience,
    ClientCourse,
    Course,
    Enrolment,
    SiteValue,
)
from tconnect_pyramid.protocol import replies
from tconnect_pyramid.protocol.collections import write_cohort, write_course
from tconnect_pyramid.protocol.columns import Warn
from tconnect_pyramid.protocol.hierarchies import write_framework, write_item
from tconnect_pyramid.server.callers import Caller, inside
from tconnect_pyramid.server.records import as_records, select_people
from tconnect_pyramid.transport import LIST_LIMIT

PAGE = 2000
"""People, or collections, read by one query."""

_MEMORY = 8 * 2**20

# Columns of ours that the wire calls otherwise.
_ON_THE_WIRE = {"framework_id": "frameworkid", "parent_id": "parentid", "type_id": "typeid"}

_encode = msgspec.json.Encoder().encode

log = logging.getLogger(__name__)


def write_users(context: Context, caller: Caller, *, page: int = PAGE, limit: int = LIST_LIMIT) -> BinaryIO:
    """The reply of `get_users` as a file at its start; the caller closes it.

    `page` is the number of people read at once, `limit` the greatest size in bytes. Raises `Refused`
    when the reply would be larger.
    """
    with _reply(caller, limit) as reply, context.database.snapshot() as connection:
        reply.write(replies.USERS_HEAD)
        reply.write_records(_people(context, caller, connection, page, reply.warn))
        reply.write(replies.LIST_TAIL)
    return reply.file


def write_user_collections(
    context: Context, caller: Caller, *, page: int = PAGE, limit: int = LIST_LIMIT
) -> BinaryIO:
    """The reply of `get_user_collections`, otherwise as `write_users`."""
    with _reply(caller, limit) as reply, context.database.snapshot() as connection:
        reply.write(replies.COLLECTIONS_HEAD)
        reply.write_records(_audiences(context, caller, connection, page, reply.warn))
        reply.write(replies.COLLECTIONS_MIDDLE)
        reply.write_records(_courses(context, caller, connection, page, reply.warn))
        reply.write(replies.LIST_TAIL)
    return reply.file


def write_hierarchy(
    context: Context, caller: Caller, hierarchy: Hierarchy, *, page: int = PAGE, limit: int = LIST_LIMIT
) -> BinaryIO | None:
    """The reply of `get_positions` or `get_organisations`, otherwise as `write_users`.

    None when this site has never had a framework of the kind, which is not the same as none for this
    client, or none any more: these empty the client's own.
    """
    with context.database.snapshot() as connection:
        some = select(hierarchy.framework.id).limit(1)
        former = select(SiteValue.name).where(SiteValue.name == had_some(hierarchy))
        if connection.scalar(some) is None and connection.scalar(former) is None:
            return None
        with _reply(caller, limit) as reply:
            reply.write(replies.HIERARCHY_HEAD)
            reply.write_records(_frameworks(caller, connection, hierarchy, reply.warn))
            reply.write(replies.HIERARCHY_MIDDLE[hierarchy.kind])
            reply.write_records(_items(caller, connection, hierarchy, page, reply.warn))
            reply.write(replies.LIST_TAIL)
    return reply.file


class _Reply:
    """A reply on its way into a temporary file, in memory up to 8 MiB and on disk beyond.

    `warn` is told of values that a Totara client could not store.
    """

    def __init__(self, limit: int, warn: Warn) -> None:
        self.warn = warn
        self.file = cast(BinaryIO, SpooledTemporaryFile(max_size=_MEMORY))  # noqa: SIM115 - handed on open
        self._left = limit

    def write(self, piece: bytes) -> None:
        self._left -= len(piece)
        if self._left < 0:
            raise Refused("the list is larger than this site sends")
        self.file.write(piece)

    def write_records(self, records: Iterable[Iterable[bytes]]) -> None:
        """Each record, or some of them together, comes in pieces: not all members of an audience are held at once."""
        for number, pieces in enumerate(records):
            if number:
                self.write(replies.BETWEEN_RECORDS)
            for piece in pieces:
                self.write(piece)


@contextmanager
def _reply(caller: Caller, limit: int) -> Iterator[_Reply]:
    with warnings_about(log, f"Sending to the client {caller.id}") as warn:
        reply = _Reply(limit, warn)
        try:
            yield reply
            reply.file.seek(0)
        except BaseException:
            reply.file.close()
            raise


def _people(
    context: Context, caller: Caller, connection: Connection, page: int, warn: Warn
) -> Iterator[list[bytes]]:
    """People, a page of them in one piece."""
    statement = select_people(context, caller).limit(page)
    cleans = not context.accounts.columns.is_own
    for rows in _pages(connection, statement, context.accounts.key, "key", page):
        with unsearched():
            records = as_records(connection, caller, rows, warn=warn, cleans=cleans)
            people = replies.BETWEEN_RECORDS.join(map(_encode, records))
        yield [people]


def _pages(
    connection: Connection, statement: Select[*tuple[Any, ...]], key: Any, name: str, page: int
) -> Iterator[list[Mapping[Any, Any]]]:
    """Rows by keyset: each page begins behind the last key, so that none is slower than the first."""
    rows = _rows(connection, statement)
    while rows:
        yield rows
        if len(rows) < page:
            return
        rows = _rows(connection, statement.where(key > rows[-1][name]))


def _rows(connection: Connection, statement: Select[*tuple[Any, ...]]) -> list[Mapping[Any, Any]]:
    """Rows as dictionaries, which take a third of the time of their own mappings where all values are wanted."""
    found = connection.execute(statement)
    names = tuple(found.keys())
    return [dict(zip(names, row, strict=True)) for row in found.all()]


def _audiences(
    context: Context, caller: Caller, connection: Connection, page: int, warn: Warn
) -> Iterator[Iterator[bytes]]:
    accounts = context.accounts
    collections = (
        select(
            Audience.id,
            Audience.name,
            Audience.idnumber,
            Audience.description,
            Audience.component,
            Audience.timecreated,
            Audience.timemodified,
        )
        .join(ClientAudience, ClientAudience.audience_id == Audience.id)
        .where(ClientAudience.client_id == caller.id)
        .order_by(Audience.id)
        .limit(page)
    )
    members = (
        select(AudienceMember.audience_id, accounts.key)
        .join(accounts.columns.mapped_class, accounts.key == AudienceMember.account_key)
        .join(Audience, Audience.id == AudienceMember.audience_id)
        .join(ClientAudience, ClientAudience.audience_id == AudienceMember.audience_id)
        .where(
            ClientAudience.client_id == caller.id,
            accounts.not_deleted(),
            inside(accounts, caller.restrict_audience_id),
        )
        .order_by(AudienceMember.audience_id, accounts.key)
    )
    pages = _pages(connection, collections, Audience.id, "id", page)
    return _collections(connection, pages, members, partial(write_cohort, warn=warn))


def _courses(
    context: Context, caller: Caller, connection: Connection, page: int, warn: Warn
) -> Iterator[Iterator[bytes]]:
    accounts = context.accounts
    collections = (
        select(
            Course.id,
            Course.fullname,
            Course.shortname,
            Course.idnumber,
            Course.summary,
            Course.timecreated,
            Course.timemodified,
        )
        .join(ClientCourse, ClientCourse.course_id == Course.id)
        .where(ClientCourse.client_id == caller.id)
        .order_by(Course.id)
        .limit(page)
    )
    members = (
        select(Enrolment.course_id, accounts.key)
        .join(accounts.columns.mapped_class, accounts.key == Enrolment.account_key)
        .join(Course, Course.id == Enrolment.course_id)
        .join(ClientCourse, ClientCourse.course_id == Enrolment.course_id)
        .where(
            ClientCourse.client_id == caller.id,
            Enrolment.active,
            accounts.not_deleted(),
            inside(accounts, caller.restrict_audience_id),
        )
        .order_by(Enrolment.course_id, accounts.key)
    )
    pages = _pages(connection, collections, Course.id, "id", page)
    return _collections(connection, pages, members, partial(write_course, warn=warn))


def _collections(
    connection: Connection,
    pages: Iterable[Iterable[Mapping[Any, Any]]],
    members: Select[*tuple[Any, ...]],
    write: Callable[[Mapping[str, object], Iterable[int]], dict[str, object]],
) -> Iterator[Iterator[bytes]]:
    """Merge collections and their members, both in the order of the collections' ids."""
    # The option belongs to this statement: on the connection it would change the ones after it.
    rows = connection.execute(members, execution_options={"yield_per": PAGE})
    groups = groupby(rows, key=itemgetter(0))
    group = next(groups, None)
    for page in pages:
        for collection in page:
            head = msgspec.json.encode(write(cast(Mapping[str, object], collection), ()))
            if group is not None and group[0] == collection["id"]:
                yield _with_members(head, group[1])
                group = next(groups, None)
            else:
                yield iter((head,))


def _with_members(head: bytes, rows: Iterable[Any]) -> Iterator[bytes]:
    if not head.endswith(replies.NO_MEMBERS):
        raise AssertionError("a collection's record must end with its members")
    yield head.removesuffix(b"]}")
    for number, (_, key) in enumerate(rows):
        yield (b',{"id":"%d"}' if number else b'{"id":"%d"}') % key
    yield b"]}"


def _frameworks(
    caller: Caller, connection: Connection, hierarchy: Hierarchy, warn: Warn
) -> Iterator[Iterable[bytes]]:
    framework, sent_to = hierarchy.framework, hierarchy.sent_to
    statement = (
        select(*framework.__table__.columns)
        .join(sent_to, sent_to.framework_id == framework.id)
        .where(sent_to.client_id == caller.id)
        .order_by(framework.sortorder, framework.id)
    )
    for row in connection.execute(statement).mappings():
        yield [msgspec.json.encode(write_framework(hierarchy.kind, _by_name(row), warn=warn))]


def _items(
    caller: Caller, connection: Connection, hierarchy: Hierarchy, page: int, warn: Warn
) -> Iterator[Iterable[bytes]]:
    """Merge items and their custom values, both in the order in which items are sent: parents come first."""
    framework, sent_to = hierarchy.framework, hierarchy.sent_to
    item, item_type = hierarchy.item, hierarchy.type
    value, field = hierarchy.value, hierarchy.type_field
    order = (item.depthlevel, func.coalesce(item.parent_id, 0), item.sortthread, item.id)
    columns = [column.label(_ON_THE_WIRE.get(column.key, column.key)) for column in item.__table__.columns]
    items = (
        select(*columns, item_type.idnumber.label("typeidnumber"))
        .join(framework, framework.id == item.framework_id)
        .join(sent_to, sent_to.framework_id == framework.id)
        .outerjoin(item_type, item_type.id == item.type_id)
        .where(sent_to.client_id == caller.id)
        .order_by(*order)
    )
    values = (
        select(value.item_id, field.shortname, field.datatype, value.data, value.value)
        .join(item, item.id == value.item_id)
        .join(field, and_(field.id == value.field_id, field.type_id == item.type_id))
        .join(framework, framework.id == item.framework_id)
        .join(sent_to, sent_to.framework_id == framework.id)
        .where(sent_to.client_id == caller.id)
        .order_by(*order, field.sortorder, field.id)
    )
    piecemeal = {"yield_per": page}
    groups = groupby(
        connection.execute(values, execution_options=piecemeal).mappings(), key=itemgetter("item_id")
    )
    group = next(groups, None)
    for row in connection.execute(items, execution_options=piecemeal).mappings():
        custom_fields: list[Mapping[str, object]] = []
        if group is not None and group[0] == row["id"]:
            custom_fields = [_by_name(found) for found in group[1]]
            group = next(groups, None)
        record = write_item(
            hierarchy.kind,
            _by_name(row),
            typeidnumber=row["typeidnumber"],
            custom_fields=custom_fields,
            warn=warn,
        )
        yield [msgspec.json.encode(record)]


def _by_name(row: Mapping[Any, Any]) -> dict[str, object]:
    return {str(name): value for name, value in row.items()}
