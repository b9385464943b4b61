"""Job assignments: what somebody is, where, and since when (protocol 6).

Those of a server are shown here, and changed by its sync alone; those made by hand stay beside them
(protocol 9).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Row, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.hierarchies import ORGANISATIONS, POSITIONS, Hierarchy
from tconnect_pyramid.directory.hierarchy_items import find_item, get_item
from tconnect_pyramid.directory.origins import origins_of, refuse_foreign
from tconnect_pyramid.directory.paging import Asked, Page, in_any_case, page_of
from tconnect_pyramid.directory.surroundings import Surroundings, as_id, known_members, line
from tconnect_pyramid.directory.values import long_text, moment
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound
from tconnect_pyramid.models import Counterpart, Job
from tconnect_pyramid.texts import text as _

KIND = "job"
"""The kind of a job's `Counterpart`."""
LONGEST = {"idnumber": 100, "fullname": 255, "shortname": 100}
DATES = ("startdate", "enddate")
EDITABLE = (*LONGEST, "description", *DATES, "position", "organisation")


@dataclass(frozen=True, slots=True)
class JobView:
    """A job assignment as plain data.

    `account` is the person's key; `server` the idnumber of the server that it came from and `remote_id`
    its id there, None for one made here; `position` and `organisation` are local ids; dates are Unix
    seconds; `description` is HTML; `sortorder` counts from 1 for each person.
    """

    id: int
    account: int
    server: str | None
    remote_id: int | None
    idnumber: str
    fullname: str | None
    shortname: str | None
    description: str | None
    position: int | None
    organisation: int | None
    startdate: int | None
    enddate: int | None
    sortorder: int


def list_jobs(
    session: Session, account: int | None = None, *, ids: Sequence[int] | None = None
) -> list[JobView]:
    """All jobs (of one person, or those with these ids), person by person, each one's main job first."""
    statement = select(
        Job.id,
        Job.account_key,
        Job.idnumber,
        Job.fullname,
        Job.shortname,
        Job.description,
        Job.position_id,
        Job.organisation_id,
        Job.startdate,
        Job.enddate,
        Job.sortorder,
    ).order_by(Job.account_key, Job.sortorder, Job.id)
    if account is not None:
        statement = statement.where(Job.account_key == account)
    if ids is not None:
        statement = statement.where(Job.id.in_(ids))
    rows = session.execute(statement).all()
    among = ids if account is None else [row.id for row in rows]
    origins = origins_of(session, KIND, among)
    return [
        JobView(
            id=row.id,
            account=row.account_key,
            server=origins[row.id].server if row.id in origins else None,
            remote_id=origins[row.id].remote_id if row.id in origins else None,
            idnumber=row.idnumber,
            fullname=row.fullname,
            shortname=row.shortname,
            description=row.description,
            position=row.position_id,
            organisation=row.organisation_id,
            startdate=row.startdate,
            enddate=row.enddate,
            sortorder=row.sortorder,
        )
        for row in rows
    ]


def page_of_jobs(session: Session, around: Surroundings, asked: Asked) -> Page[JobView]:
    """A page of all jobs; sorted by `person` (each one's jobs as they came) or `fullname`."""
    accounts = around.accounts
    username = accounts.columns.readable("username")
    called = func.coalesce(Job.fullname, "")
    named = [
        column for name in ("firstname", "lastname") if (column := accounts.columns.read(name)) is not None
    ]
    found = page_of(
        session,
        select(Job.id).join(accounts.columns.mapped_class, accounts.key == Job.account_key),
        asked,
        key=Job.id,
        orders={"person": in_any_case(username), "fullname": in_any_case(called)},
        searched=(called, Job.idnumber, username, *named),
    )

    def in_order(rows: Sequence[Row[Any]]) -> list[JobView]:
        by_id = {view.id: view for view in list_jobs(session, ids=[row.id for row in rows])}
        return [by_id[row.id] for row in rows]

    return found.map(in_order)


def get_job(session: Session, job_id: int) -> JobView:
    """One job. Raises NotFound."""
    found = list_jobs(session, ids=[job_id])
    if not found:
        raise NotFound(_("There is no job assignment with the id ${id}.", id=str(job_id)))
    return found[0]


def find_job(session: Session, who: str, *, account: int | None = None) -> JobView:
    """The job named by an administrator: its id, or the idnumber that it has with `account`.

    Without an account, an idnumber must be that of one job only. Raises NotFound.
    """
    number = as_id(who)
    statement = select(Job.id).where(Job.idnumber == who)
    if account is not None:
        statement = statement.where(Job.account_key == account)
    ids = list(session.scalars(statement.limit(2)))
    if number is not None:
        by_id = session.execute(select(Job.id, Job.account_key).where(Job.id == number)).first()
        # An id is what a script holds, so that no idnumber of another may get in its way.
        if by_id is not None and account in {None, by_id.account_key}:
            ids = [by_id.id]
    if not ids:
        raise NotFound(
            _(
                "There is no job assignment ${who}: give its id, or whose it is and its idnumber.",
                who=repr(who),
            )
        )
    if len(ids) > 1:
        raise NotFound(_("Several job assignments have the idnumber ${who}: give an id.", who=repr(who)))
    return get_job(session, ids[0])


def add_job(  # noqa: PLR0913 - what a job may have from the start
    session: Session,
    around: Surroundings,
    account_key: int,
    *,
    idnumber: str,
    fullname: str = "",
    shortname: str | None = None,
    position: int | None = None,
    organisation: int | None = None,
    startdate: int | None = None,
    enddate: int | None = None,
    description: str | None = None,
    actor: str = "command",
) -> JobView:
    """Give a person a job, the last one; `position` and `organisation` are local ids, dates Unix seconds.

    Raises NotFound, InvalidInput, and Conflict when the person has a job with that idnumber.
    """
    (key,) = known_members(session, around, [account_key])
    texts = {"idnumber": idnumber, "fullname": fullname, "shortname": shortname, "description": description}
    dates = {"startdate": startdate, "enddate": enddate}
    given = {name: text for name, text in texts.items() if text is not None}
    given.update({name: str(date) for name, date in dates.items() if date is not None})
    values = _values(session, given)
    if position is not None:
        values["position_id"] = get_item(session, POSITIONS, position).id
    if organisation is not None:
        values["organisation_id"] = get_item(session, ORGANISATIONS, organisation).id
    _refuse_taken(session, key, values["idnumber"], None)
    _refuse_backwards(startdate, enddate)
    now = around.clock()
    last = session.scalar(select(func.max(Job.sortorder)).where(Job.account_key == key)) or 0
    made = session.scalar(
        insert(Job)
        .values(
            **values,
            account_key=key,
            positionassignmentdate=now,
            sortorder=last + 1,
            timecreated=now,
            timemodified=now,
        )
        .returning(Job.id)
    )
    around.audit(session, actor, "job.added", values["idnumber"], id=made, account=key)
    return get_job(session, made or 0)


def edit_job(
    session: Session,
    around: Surroundings,
    job_id: int,
    changes: Mapping[str, str],
    *,
    actor: str = "command",
) -> JobView:
    """Change any of `EDITABLE`; an empty value clears it. Position and organisation by id or idnumber.

    Raises NotFound, InvalidInput and Conflict.
    """
    job = _own(session, job_id)
    values = _values(session, changes)
    if not values:
        return job
    if "idnumber" in values:
        _refuse_taken(session, job.account, values["idnumber"], job_id)
    _refuse_backwards(values.get("startdate", job.startdate), values.get("enddate", job.enddate))
    now = around.clock()
    if "position_id" in values and values["position_id"] != job.position:
        values["positionassignmentdate"] = now
    session.execute(update(Job).where(Job.id == job_id).values(**values, timemodified=now))
    around.audit(
        session, actor, "job.edited", job.idnumber, id=job_id, account=job.account, fields=sorted(changes)
    )
    return get_job(session, job_id)


def move_job(
    session: Session, around: Surroundings, job_id: int, place: int, *, actor: str = "command"
) -> JobView:
    """Give a job another place among those of its person, counted from 1: the first is the main job.

    Raises NotFound and Conflict.
    """
    job = _own(session, job_id)
    order = [it.id for it in list_jobs(session, job.account) if it.id != job_id]
    order.insert(max(place, 1) - 1, job_id)
    _write_order(session, [order])
    around.audit(session, actor, "job.moved", job.idnumber, id=job_id, account=job.account)
    return get_job(session, job_id)


def delete_job(session: Session, around: Surroundings, job_id: int, *, actor: str = "command") -> None:
    """Take a job from its person. Raises NotFound and Conflict."""
    job = _own(session, job_id)
    remove_jobs(session, [job_id])
    around.audit(session, actor, "job.deleted", job.idnumber, id=job_id, account=job.account)


def remove_jobs(session: Session, ids: Iterable[int]) -> None:
    """Remove jobs, whoever made them, with their counterparts; those that stay are counted from 1 again."""
    keys: set[int] = set()
    for some in in_batches(ids):
        keys.update(session.scalars(select(Job.account_key).where(Job.id.in_(some))))
        session.execute(delete(Counterpart).where(Counterpart.kind == KIND, Counterpart.local_id.in_(some)))
        session.execute(delete(Job).where(Job.id.in_(some)))
    for some in in_batches(keys):
        staying: dict[int, list[int]] = defaultdict(list)
        rows = session.execute(
            select(Job.account_key, Job.id)
            .where(Job.account_key.in_(some))
            .order_by(Job.account_key, Job.sortorder, Job.id)
        )
        for key, job_id in rows:
            staying[key].append(job_id)
        _write_order(session, staying.values())


def _write_order(session: Session, orders: Iterable[Sequence[int]]) -> None:
    rows = [
        {"row_id": job_id, "place": place} for order in orders for place, job_id in enumerate(order, start=1)
    ]
    if rows:
        table = cast(Table, Job.__table__)
        session.execute(
            update(table)
            .where(table.c.id == bindparam("row_id"), table.c.sortorder != bindparam("place"))
            .values(sortorder=bindparam("place")),
            rows,
        )


def _own(session: Session, job_id: int) -> JobView:
    job = get_job(session, job_id)
    refuse_foreign(session, KIND, job_id, job.fullname or job.idnumber)
    return job


def _refuse_taken(session: Session, key: int, idnumber: str, but: int | None) -> None:
    taken = select(Job.id).where(Job.account_key == key, Job.idnumber == idnumber, Job.id != (but or 0))
    if session.scalar(taken) is not None:
        raise Conflict(
            _(
                "The person already has a job assignment with the idnumber ${idnumber}.",
                idnumber=repr(idnumber),
            )
        )


def _refuse_backwards(start: int | None, end: int | None) -> None:
    if start is not None and end is not None and end < start:
        raise InvalidInput("enddate", _("enddate: is before the startdate."))


def _values(session: Session, given: Mapping[str, str]) -> dict[str, Any]:
    """The columns to write. Raises NotFound and InvalidInput."""
    values: dict[str, Any] = {}
    for name, text in given.items():
        match name:
            case "idnumber" | "fullname" | "shortname":
                value = line(name, text, LONGEST[name], needed=name == "idnumber")
                values[name] = value or None
            case "description":
                values[name] = long_text(name, text) or None
            case "startdate" | "enddate":
                values[name] = _date(name, text)
            case "position":
                values["position_id"] = _item(session, POSITIONS, text)
            case "organisation":
                values["organisation_id"] = _item(session, ORGANISATIONS, text)
            case _:
                raise InvalidInput(
                    name,
                    _(
                        "${name}: a field of a job is one of ${fields}.",
                        name=name,
                        fields=", ".join(EDITABLE),
                    ),
                )
    return values


def _item(session: Session, hierarchy: Hierarchy, text: str) -> int | None:
    who = text.strip()
    return find_item(session, hierarchy, who).id if who else None


def _date(name: str, text: str) -> int | None:
    if not text.strip():
        return None
    seconds = moment(name, text)
    if seconds < 0:
        # Peers take digits only (protocol 6, limits).
        raise InvalidInput(name, _("${name}: must not be before 1970.", name=name))
    return seconds
