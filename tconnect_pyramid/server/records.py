"""What is sent of one person: the account as a user record, with what belongs to it (protocol 6)."""

from __future__ import annotations

import logging
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, exists, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from tconnect_pyramid.context import Context
from tconnect_pyramid.directory import pictures
from tconnect_pyramid.directory.columnmap import STANDARD_FIELDS
from tconnect_pyramid.directory.markup import clean_html
from tconnect_pyramid.failures import warnings_about
from tconnect_pyramid.models import AudienceMember, Job, ProfileField, ProfileValue
from tconnect_pyramid.protocol.columns import Warn
from tconnect_pyramid.protocol.fitting_users import write_listed_job, write_listed_user
from tconnect_pyramid.protocol.users import USER_FIELDS, write_profile_field, write_user
from tconnect_pyramid.protocol.versions import FIRST_VERSION_WITH_JOBS
from tconnect_pyramid.server.callers import Caller, only_told

PASSWORD = "password"  # noqa: S105 - the name of a field

FIELDS = tuple(field.name for field in USER_FIELDS if field.name in STANDARD_FIELDS)

_CRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")

log = logging.getLogger(__name__)

Beside = Mapping[int, Sequence[Mapping[str, object]]]
"""What accounts have besides their rows, by their keys."""


def select_people(context: Context, caller: Caller, *conditions: ColumnElement[bool]) -> Select[Any]:
    """A select of what the caller is sent of each person of whom it is told, lowest id first."""
    accounts = context.accounts
    # A hash that is not to be sent does not even leave the database.
    fields = [name for name in FIELDS if name != PASSWORD or caller.sends_passwords]
    people = only_told(accounts.select(fields), accounts, caller.restrict_audience_id)
    return people.where(*conditions).order_by(accounts.key)


def as_records(
    where: Session | Connection,
    caller: Caller,
    rows: Sequence[Mapping[Any, Any]],
    *,
    warn: Warn,
    cleans: bool,
    files: Mapping[str, bytes] | None = None,
) -> Iterator[dict[str, object]]:
    """The user records of rows of `select_people`, at least one, by two more statements for all of them.

    With `files`, the files of the picture of the only row, as `get_user` gives it. `warn` hears of
    values that a Totara client could not store. `cleans`: descriptions are anybody's HTML, as in a host's
    table; in ours they were cleaned when they were written.
    """
    speaks_of_jobs = caller.apiversion >= FIRST_VERSION_WITH_JOBS
    fields = _profile_fields(where, caller, rows) if speaks_of_jobs and caller.sends_profile_fields else None
    jobs = _jobs(where, caller, rows, warn) if speaks_of_jobs and caller.sends_jobs else None
    for row in rows:
        values = {**row, "id": row["key"], PASSWORD: _sendable(row.get(PASSWORD))}
        if cleans and values["description"]:
            values["description"] = clean_html(values["description"])
        sent_files = None
        if files is not None:
            # A number without files would make a client drop the files it has, and files without a
            # number are not looked at.
            sent_files = {name: b64encode(content).decode() for name, content in files.items()}
            sent_files = sent_files if values["picture"] else {}
            values["picture"] = values["picture"] if sent_files else 0
        belongings: Any = {
            "version": caller.apiversion,
            "profile_fields": None if fields is None else fields.get(row["key"], ()),
            "jobs": None if jobs is None else jobs.get(row["key"], ()),
            "warn": warn,
        }
        if files is None:
            yield write_listed_user(values, **belongings)
        else:
            yield write_user(values, pictures=sent_files, **belongings)


def person(session: Session, context: Context, caller: Caller, account_key: int) -> dict[str, object] | None:
    """One person with pictures, or None when there is none of whom the caller is told."""
    statement = select_people(context, caller, context.accounts.key == account_key)
    row = session.execute(statement).mappings().first()
    if row is None:
        return None
    files = pictures.files_of(session, [account_key]).get(account_key, {})
    with warnings_about(log, f"Sending to the client {caller.id}") as warn:
        return next(
            as_records(
                session, caller, [row], warn=warn, cleans=not context.accounts.columns.is_own, files=files
            )
        )


def _profile_fields(where: Session | Connection, caller: Caller, rows: Sequence[Mapping[Any, Any]]) -> Beside:
    statement = (
        select(ProfileValue.account_key, ProfileField.shortname, ProfileField.datatype, ProfileValue.data)
        .join(ProfileField, ProfileField.id == ProfileValue.field_id)
        .where(*_of(rows, caller, ProfileValue.account_key))
        .order_by(ProfileValue.account_key, ProfileField.sortorder, ProfileField.id)
    )
    found: dict[int, list[Mapping[str, object]]] = {}
    for key, shortname, datatype, data in where.execute(statement).all():
        found.setdefault(key, []).append(write_profile_field(shortname, datatype, data))
    return found


def _jobs(
    where: Session | Connection, caller: Caller, rows: Sequence[Mapping[Any, Any]], warn: Warn
) -> Beside:
    statement = (
        select(
            Job.id,
            Job.account_key,
            Job.fullname,
            Job.shortname,
            Job.idnumber,
            Job.description,
            Job.startdate,
            Job.enddate,
            Job.timecreated,
            Job.timemodified,
            Job.position_id.label("positionid"),
            Job.positionassignmentdate,
            Job.organisation_id.label("organisationid"),
            Job.sortorder,
        )
        .where(*_of(rows, caller, Job.account_key))
        .order_by(Job.account_key, Job.sortorder, Job.id)
    )
    found: dict[int, list[Mapping[str, object]]] = {}
    rows_of_jobs = where.execute(statement)
    names = tuple(rows_of_jobs.keys())
    for row in rows_of_jobs.all():
        values = dict(zip(names, row, strict=True))
        found.setdefault(values["account_key"], []).append(write_listed_job(values, warn=warn))
    return found


def _of(
    rows: Sequence[Mapping[Any, Any]], caller: Caller, account_key: InstrumentedAttribute[int]
) -> list[ColumnElement[bool]]:
    """Conditions: it belongs to somebody on this page. People come in the order of their keys.

    By range, as a list of two thousand keys takes several statements. A page of a small audience spans
    many who are not in it.
    """
    page = [account_key >= rows[0]["key"], account_key <= rows[-1]["key"]]
    if caller.restrict_audience_id is None:
        return page
    member = exists(
        select(AudienceMember.account_key).where(
            AudienceMember.account_key == account_key,
            AudienceMember.audience_id == caller.restrict_audience_id,
        )
    )
    return [*page, member]


def _sendable(password: object) -> str | None:
    """A hash of the one kind that every client can check; any other is worth nothing there."""
    return password if isinstance(password, str) and _CRYPT.fullmatch(password) else None
