"""Job assignments that came from a server, beside those made here by hand (protocol 9).

A job of the server is known by its id there (`Counterpart`, kind `job`) and owned by it; one without such
a counterpart was made by hand.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, cast

from msgspec import Struct
from sqlalchemy import String, Table, and_, bindparam, delete, literal, select, update
from sqlalchemy import cast as as_type
from sqlalchemy.orm import Session

from tconnect_pyramid.client.linked import left_alone
from tconnect_pyramid.client.sync.plan import LONGEST_VALUE, JobChanges, told, visible
from tconnect_pyramid.directory.accounts import Accounts, forget_digests, in_batches
from tconnect_pyramid.directory.bulk import among, new_ids, put
from tconnect_pyramid.directory.markup import clean_html
from tconnect_pyramid.models import Counterpart, Job, Organisation, Position
from tconnect_pyramid.options import Options
from tconnect_pyramid.protocol.users import JobRecord
from tconnect_pyramid.texts import Text
from tconnect_pyramid.texts import text as _

KIND = "job"
OTHER_ORDER = _("jobs in another order")
_TABLE = cast("Table", Job.__table__)
_SORTORDER = attrgetter("sortorder")


class LocalJob(Struct, frozen=True, gc=False):
    """A job here; `remote_id` is None for one that was made by hand."""

    id: int
    remote_id: int | None
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What ids of the server are here: of jobs of other accounts, and of what jobs refer to by the column that does.

    `names` has what those are called, and what jobs refer to that will not do so any more, by their ids here.
    """

    jobs: Mapping[int, int]
    places: Mapping[str, Mapping[int, int]]
    names: Mapping[str, Mapping[int, str]]


class Jobs:
    """The jobs of a server's people, and what their positions and organisations are here."""

    def __init__(self, server_id: int, options: Options) -> None:
        self.server_id = server_id
        # What a job refers to is only brought while that is synchronised (protocol 9).
        self.targets: list[tuple[str, str, type[Position | Organisation]]] = []
        if options.client_sync_positions:
            self.targets.append(("positionid", "position_id", Position))
        if options.client_sync_organisations:
            self.targets.append(("organisationid", "organisation_id", Organisation))

    def read(self, session: Session, keys: Iterable[int]) -> dict[int, list[LocalJob]]:
        """The jobs of these accounts by key, in their order."""
        local: dict[int, list[LocalJob]] = defaultdict(list)
        # On the connection: the session would make an object of each row first.
        connection = session.connection()
        for some in in_batches(keys):
            rows = connection.execute(
                select(*_TABLE.columns, Counterpart.remote_id)
                .outerjoin(
                    Counterpart,
                    and_(
                        Counterpart.local_id == Job.id,
                        Counterpart.kind == KIND,
                        Counterpart.server_id == self.server_id,
                    ),
                )
                .where(among(Job.account_key, some))
                .order_by(Job.account_key, Job.sortorder, Job.id)
            )
            for *row, remote_id in rows.all():
                values = dict(zip(_COLUMNS, row, strict=True))
                local[values["account_key"]].append(LocalJob(values["id"], remote_id, values))
        return local

    def find(
        self,
        session: Session,
        jobs: Sequence[JobRecord],
        local: Mapping[int, LocalJob],
        others: Iterable[int],
    ) -> Found:
        """What these jobs refer to here, and which of the `others` are here: those that their people do not have.

        `local` has the jobs that their people do have, by the server's ids.
        """
        places: dict[str, dict[int, int]] = {}
        names: dict[str, dict[int, str]] = {}
        for wire, column, table in self.targets:
            places[column], names[column] = {}, {}
            ids = {remote for job in jobs if (remote := getattr(job, wire)) is not None}
            for some in in_batches(ids):
                rows = session.execute(
                    select(Counterpart.remote_id, table.id, table.fullname)
                    .join(table, table.id == Counterpart.local_id)
                    .where(
                        among(Counterpart.remote_id, some),
                        Counterpart.kind == table.__tablename__.removeprefix("tconnect_"),
                        Counterpart.server_id == self.server_id,
                    )
                )
                for remote_id, place, name in rows:
                    places[column][remote_id] = place
                    names[column][place] = name
            left = {
                job.values[column]
                for sent in jobs
                if (job := local.get(sent.id)) is not None
                and job.values[column] is not None
                and job.values[column] != places[column].get(getattr(sent, wire))
            }
            names[column].update(places_called(session, table, left))
        known: dict[int, int] = {}
        for some in in_batches(others):
            here = session.execute(
                select(Counterpart.remote_id, Counterpart.local_id).where(
                    among(Counterpart.remote_id, some),
                    Counterpart.kind == KIND,
                    Counterpart.server_id == self.server_id,
                )
            )
            known.update((remote_id, local_id) for remote_id, local_id in here)
        return Found(known, places, names)

    def left_alone(
        self, session: Session, accounts: Accounts, ids: Iterable[int], protected: Collection[str]
    ) -> set[int]:
        """Those of these jobs here whose account no server may change: it loses none."""
        owners: dict[int, int] = {}
        for some in in_batches(ids):
            rows = session.execute(select(Job.id, Job.account_key).where(Job.id.in_(some)))
            owners.update((job_id, key) for job_id, key in rows)
        keys = left_alone(session, accounts, owners.values(), protected)
        return {job_id for job_id, key in owners.items() if key in keys}

    def awaits_places(self, job: JobRecord, found: Found) -> bool:
        """Whether the job refers to something that is not here, or not yet."""
        return any(
            (remote := getattr(job, wire)) is not None and remote not in found.places[column]
            for wire, column, _table in self.targets
        )

    def new(self, sent: Sequence[JobRecord], found: Found, now: int) -> JobChanges:
        """What must be written for an account that is about to be made."""
        plan = JobChanges()
        for place, job in enumerate(sorted(sent, key=_SORTORDER) if len(sent) > 1 else sent, start=1):
            self._add(plan, job.id, self._values(job, found), found, now)
            plan.added[job.id]["sortorder"] = place
        return plan

    def changes(
        self, local: Sequence[LocalJob], sent: Sequence[JobRecord], found: Found, now: int
    ) -> tuple[JobChanges, list[str]]:
        """What must be written for the account to have the sent jobs, and those made by hand beside them; and what to tell of it."""
        plan, tells = JobChanges(), list[str]()
        if not local and not sent:
            return plan, tells
        wanted = {job.id: self._values(job, found) for job in sorted(sent, key=_SORTORDER)}
        if _are_as_wanted(local, wanted):
            return plan, tells
        here = {job.remote_id: job for job in local if job.remote_id is not None}
        idnumbers = {job.idnumber for job in sent}
        staying = []
        for job in local:
            if job.remote_id is None and job.values["idnumber"] in idnumbers:
                plan.removed.append(job.id)
                tells.append(_("${job}, made by hand, gave way", job=_job(job.values["idnumber"])))
            elif job.remote_id is not None and job.remote_id not in wanted:
                plan.removed.append(job.id)
                tells.append(told_removed(job.values))
            else:
                staying.append(job)
        for job_id, values in wanted.items():
            if job_id in here:
                tells += self._update(plan, here[job_id], values, found, now)
            else:
                self._add(plan, job_id, values, found, now)
                tells.append(told_added(values))
        if wanted or len(staying) < len(local):
            _put_in_order(plan, tells, staying, list(wanted))
        return plan, tells

    @staticmethod
    def _add(plan: JobChanges, job_id: int, values: dict[str, Any], found: Found, now: int) -> None:
        if job_id in found.jobs:
            # It was another account's: it is removed there, so that it can be made here.
            plan.removed.append(found.jobs[job_id])
        plan.added[job_id] = {**values, "timecreated": now, "timemodified": now}

    def _values(self, job: JobRecord, found: Found) -> dict[str, Any]:
        values: dict[str, Any] = {
            "idnumber": job.idnumber,
            "fullname": job.fullname,
            "shortname": job.shortname,
            "description": None if job.description is None else clean_html(job.description),
            "startdate": job.startdate,
            "enddate": job.enddate,
            "positionassignmentdate": job.positionassignmentdate,
        }
        for wire, column, _table in self.targets:
            values[column] = found.places[column].get(getattr(job, wire))
        return values

    @staticmethod
    def _update(plan: JobChanges, job: LocalJob, values: dict[str, Any], found: Found, now: int) -> list[str]:
        if values.items() <= job.values.items():
            return []
        changed = {name: value for name, value in values.items() if job.values[name] != value}
        plan.updated[job.id] = {**changed, "timemodified": now}
        return told_changed(job.values, changed, found.names)


def places_called(
    session: Session, table: type[Position | Organisation], ids: Iterable[int]
) -> dict[int, str]:
    """What these positions or organisations are called."""
    called: dict[int, str] = {}
    for some in in_batches(ids):
        rows = session.execute(select(table.id, table.fullname).where(among(table.id, some)))
        called.update((id_, name) for id_, name in rows)
    return called


def told_added(job: Mapping[str, Any]) -> str:
    """That an account gets a job, for a line of the run."""
    return _("${job} added", job=_job(job["idnumber"]))


def told_removed(job: Mapping[str, Any]) -> str:
    """That an account loses a job, for a line of the run."""
    return _("${job} removed", job=_job(job["idnumber"]))


def told_changed(
    job: Mapping[str, Any], changed: Mapping[str, Any], names: Mapping[str, Mapping[int, str]]
) -> list[str]:
    """Which values of a job become others, for a line of the run; `names` as in `Found`."""
    tells: list[str] = []
    for what, value in changed.items():
        called = names.get(what, {})
        before, after = (called.get(each, each) for each in (job[what], value))
        change = told(what.removesuffix("_id"), before, after)
        tells.append(_("${job}, ${change}", job=_job(job["idnumber"]), change=change))
    return tells


def _are_as_wanted(local: Sequence[LocalJob], wanted: Mapping[int, dict[str, Any]]) -> bool:
    """Whether these are the jobs in their order and nothing else, as nearly always."""
    return [job.remote_id for job in local] == [*wanted] and all(
        job.values["sortorder"] == place and values.items() <= job.values.items()
        for place, (job, values) in enumerate(zip(local, wanted.values(), strict=True), start=1)
    )


def _job(idnumber: str) -> Text:
    return _("job ${idnumber}", idnumber=visible(idnumber, LONGEST_VALUE))


def _put_in_order(
    plan: JobChanges, tells: list[str], staying: Sequence[LocalJob], sent: Iterable[int]
) -> None:
    """Number the jobs from 1: those of the server in its order, those made by hand where they are."""
    here = {job.remote_id: job for job in staying if job.remote_id is not None}
    turns = iter([here.get(remote_id, remote_id) for remote_id in sent])
    order: list[LocalJob | int] = [job if job.remote_id is None else next(turns) for job in staying]
    order += turns
    moved = False
    for place, job_or_id in enumerate(order, start=1):
        if not isinstance(job_or_id, LocalJob):
            plan.added[job_or_id]["sortorder"] = place
        elif job_or_id.values["sortorder"] != place:
            moved = True
            plan.updated.setdefault(job_or_id.id, {})["sortorder"] = place
    kept = [job.id for job in order if isinstance(job, LocalJob)]
    if kept != [job.id for job in staying] or (moved and not tells):
        tells.append(OTHER_ORDER)


_COLUMNS = tuple(column.key for column in _TABLE.columns)


def write(session: Session, server_id: int, changes: Mapping[int, JobChanges]) -> None:
    """Store changes, by the keys of accounts."""
    _remove(session, [job_id for each in changes.values() for job_id in each.removed], changes)
    _update(session, {job_id: row for each in changes.values() for job_id, row in each.updated.items()})
    new = [
        (remote_id, {**values, "account_key": key})
        for key, each in changes.items()
        for remote_id, values in each.added.items()
    ]
    ids = new_ids(session, _TABLE, len(new))
    put(
        session,
        _TABLE,
        _COLUMNS,
        (
            [values.get(name, job_id if name == "id" else None) for name in _COLUMNS]
            for job_id, (_, values) in zip(ids, new, strict=True)
        ),
    )
    put(
        session,
        cast("Table", Counterpart.__table__),
        ("remote_id", "kind", "server_id", "local_id"),
        ((remote_id, KIND, server_id, job_id) for job_id, (remote_id, _) in zip(ids, new, strict=True)),
    )


def _remove(session: Session, ids: Iterable[int], losing: Container[int]) -> None:
    for some in in_batches(ids):
        owners = session.scalars(select(Job.account_key).where(Job.id.in_(some)))
        # Who loses a job to somebody else, and is in order as far as their own record says.
        forget_digests(session, {key for key in owners if key not in losing})
        session.execute(delete(Job).where(Job.id.in_(some)))
        session.execute(delete(Counterpart).where(Counterpart.kind == KIND, Counterpart.local_id.in_(some)))


def _update(session: Session, updated: Mapping[int, Mapping[str, Any]]) -> None:
    # Two jobs of an account may swap idnumbers, and no two may have the same one at any moment: who changes
    # theirs gives it up first.
    parked = f"{secrets.token_hex(16)}-"
    for some in in_batches([job_id for job_id, values in updated.items() if "idnumber" in values]):
        session.execute(
            update(Job).where(Job.id.in_(some)).values(idnumber=literal(parked) + as_type(Job.id, String))
        )
    grouped: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for job_id, values in updated.items():
        grouped[tuple(sorted(values))].append({"row_id": job_id, **values})
    for names, rows in grouped.items():
        session.execute(
            update(_TABLE)
            .where(_TABLE.c.id == bindparam("row_id"))
            .values({name: bindparam(name) for name in names}),
            rows,
        )
