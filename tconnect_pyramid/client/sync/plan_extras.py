"""What people have besides their accounts, planned along with them: custom profile fields and job assignments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.orm import Session

from tconnect_pyramid.client.jobs import Found, Jobs, LocalJob
from tconnect_pyramid.client.linked import Linked
from tconnect_pyramid.client.profiles import Fields
from tconnect_pyramid.client.sync.ids import Numbers
from tconnect_pyramid.client.sync.plan import JobChanges, PersonExtras
from tconnect_pyramid.directory.accounts import Accounts
from tconnect_pyramid.options import Options
from tconnect_pyramid.protocol.users import JobRecord, UserRecord
from tconnect_pyramid.texts import plural
from tconnect_pyramid.texts import text as _

MOST_TOLD = 20
"""How many changes of one person a line of the run tells."""


def shortened(told: Sequence[str]) -> tuple[str, ...]:
    """As many of one person's changes as a line of the run tells, and how many more there are."""
    if len(told) <= MOST_TOLD:
        return tuple(told)
    more = plural("and ${number} more change", "and ${number} more changes", len(told) - MOST_TOLD)
    return (*told[:MOST_TOLD], more)


class Decided(NamedTuple):
    """What was decided about a person.

    `told` says what changes, `objections` why jobs are left out, `spared` which ones for the good of an account here
    that no server changes. `is_final`: the same record would lead to
    nothing else later, when more of what jobs refer to has come.
    """

    extras: PersonExtras | None = None
    told: tuple[str, ...] = ()
    objections: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()
    is_final: bool = True


class Extras:
    """Decides about fields and jobs; about nothing where the options say so.

    `claim` hears of every listed person in the order of the list, `read` looks at a batch of them, `plan` then
    decides about each.
    """

    def __init__(
        self, session: Session, accounts: Accounts, options: Options, server_id: int, now: int
    ) -> None:
        self._session = session
        self._accounts = accounts
        self._protected = options.client_protected_accounts
        self._now = now
        self._fields = Fields(session) if options.client_sync_profile_fields else None
        self._jobs = Jobs(server_id, options) if options.client_sync_jobs else None
        self._owners = Numbers()
        self._values_here: Mapping[int, Mapping[int, str]] = {}
        self._jobs_here: Mapping[int, Sequence[LocalJob]] = {}
        self._found = Found({}, {}, {})
        self._spared: frozenset[int] = frozenset()

    def claim(self, person: int, jobs: Iterable[int]) -> bool:
        """Note whose these jobs are: of several people who have one, who is listed first. Whether all are theirs."""
        if self._jobs is None:
            return True
        are_theirs = True
        for job in jobs:
            are_theirs = self._owners.add(job, person) == person and are_theirs
        return are_theirs

    def read(self, people: Iterable[tuple[UserRecord, Linked | None]]) -> None:
        """See what these people have; a fixed number of statements."""
        considered = [(record, account) for record, account in people if not record.deleted]
        keys = [account.key for _, account in considered if account is not None]
        if self._fields is not None:
            self._values_here = self._fields.read(self._session, keys)
        if self._jobs is not None:
            self._jobs_here = self._jobs.read(self._session, keys)
            self._spared = frozenset()
            sent: list[JobRecord] = []
            local: dict[int, LocalJob] = {}
            others: list[int] = []
            for record, account in considered:
                here = () if account is None else self._jobs_here.get(account.key, ())
                own = {job.remote_id: job for job in here if job.remote_id is not None}
                jobs = self._sent(record) or ()
                sent += jobs
                local |= own
                others += [job.id for job in jobs if job.id not in own]
            self._found = self._jobs.find(self._session, sent, local, others)
            self._spared = self._staying(self._jobs, self._found.jobs)

    def plan(self, record: UserRecord, account: Linked | None) -> Decided:
        """Decide about a person. `account` None: it is about to be made."""
        told: list[str] = []
        fields: dict[int, str | None] | None = None
        if self._fields is not None and record.profile_fields is not None:
            current = {} if account is None else self._values_here.get(account.key, {})
            fields = self._fields.changes(current, record.profile_fields)
            if fields and account is not None:
                told += self._fields.told(current, fields)
        jobs: JobChanges | None = None
        sent = self._sent(record)
        if self._jobs is not None and sent is not None:
            if account is None:
                jobs = self._jobs.new(sent, self._found, self._now)
            else:
                local = self._jobs_here.get(account.key, ())
                jobs, changed = self._jobs.changes(local, sent, self._found, self._now)
                told += changed
        is_whole = sent is None or len(sent) == len(record.jobs or ())
        objections = () if is_whole else self._objections(record)
        return Decided(
            PersonExtras(fields or None, jobs or None) if fields or jobs else None,
            shortened(told),
            objections,
            () if is_whole else self._told_of_spared(record),
            is_whole and not self._awaits_places(sent),
        )

    def _objections(self, record: UserRecord) -> tuple[str, ...]:
        return tuple(
            _(
                "job ${job} is listed for the person ${person} too; it was left out here",
                job=str(job.id),
                person=str(self._owners.get(job.id)),
            )
            for job in record.jobs or ()
            if self._owners.get(job.id) != record.id
        )

    def _staying(self, jobs: Jobs, moving: Mapping[int, int]) -> frozenset[int]:
        """Those of the jobs that would come from another account here which no server changes."""
        if not moving:
            return frozenset()
        staying = jobs.left_alone(self._session, self._accounts, moving.values(), self._protected)
        return frozenset(remote_id for remote_id, job_id in moving.items() if job_id in staying)

    def _told_of_spared(self, record: UserRecord) -> tuple[str, ...]:
        return tuple(
            _(
                "job ${job} stays with the account here that had it, as no server changes that one; it was left out here",
                job=str(job.id),
            )
            for job in record.jobs or ()
            if job.id in self._spared and self._owners.get(job.id) == record.id
        )

    def _awaits_places(self, sent: Iterable[JobRecord] | None) -> bool:
        if self._jobs is None or not sent:
            return False
        return any(self._jobs.awaits_places(job, self._found) for job in sent)

    def _sent(self, record: UserRecord) -> list[JobRecord] | None:
        """The jobs sent for a person, without those that are somebody's who is listed before, or stay where they are."""
        if self._jobs is None or record.jobs is None:
            return None
        return [
            job for job in record.jobs if self._owners.get(job.id) == record.id and job.id not in self._spared
        ]
