"""What people have besides their accounts, planned along with them: custom profile fields and job assignments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy.orm import Session

from tconnect_pyramid.client.jobs import Found, JobChanges, Jobs, LocalJob
from tconnect_pyramid.client.linked import Linked
from tconnect_pyramid.client.profiles import Changes, Fields
from tconnect_pyramid.options import Options
from tconnect_pyramid.protocol.users import JobRecord, UserRecord

MOST_TOLD = 20
"""How many changes of one person a line of the run tells."""


class Extras:
    """The plan for fields and jobs, by the ids of people; empty where the options say so.

    `read` looks at a batch of people, `plan` then decides about each of them.
    """

    def __init__(
        self, session: Session, options: Options, server_id: int, now: int, records: Iterable[UserRecord]
    ) -> None:
        self.fields: dict[int, Changes] = {}
        self.jobs: dict[int, JobChanges] = {}
        self._session = session
        self._now = now
        self._fields = Fields(session) if options.client_sync_profile_fields else None
        self._jobs = Jobs(server_id, options) if options.client_sync_jobs else None
        self._owners: dict[int, int] = {}
        for record in records:
            for job in record.jobs or ():
                self._owners.setdefault(job.id, record.id)
        self._values_here: Mapping[int, Mapping[int, str]] = {}
        self._jobs_here: Mapping[int, Sequence[LocalJob]] = {}
        self._found = Found({}, {})

    def read(self, people: Iterable[tuple[UserRecord, Linked | None]]) -> None:
        """See what these people have; a fixed number of statements."""
        considered = [(record, account) for record, account in people if not record.deleted]
        keys = [account.key for _, account in considered if account is not None]
        if self._fields is not None:
            self._values_here = self._fields.read(self._session, keys)
        if self._jobs is not None:
            self._jobs_here = self._jobs.read(self._session, keys)
            sent = [job for record, _ in considered for job in self._sent(record) or ()]
            self._found = self._jobs.find(self._session, sent)

    def plan(self, record: UserRecord, account: Linked | None) -> tuple[str, ...]:
        """Decide about a person; tells what changes. `account` None: it is about to be made."""
        told: list[str] = []
        if self._fields is not None and record.profile_fields is not None:
            current = {} if account is None else self._values_here.get(account.key, {})
            changes = self._fields.changes(current, record.profile_fields)
            if changes:
                self.fields[record.id] = changes
                told += self._fields.told(current, changes)
        sent = self._sent(record)
        if self._jobs is not None and sent is not None:
            local = () if account is None else self._jobs_here.get(account.key, ())
            job_changes = self._jobs.changes(local, sent, self._found, self._now)
            if job_changes:
                self.jobs[record.id] = job_changes
                told += job_changes.told
        if len(told) > MOST_TOLD:
            told[MOST_TOLD:] = [f"and {len(told) - MOST_TOLD} more changes"]
        return tuple(told)

    def changes(self, person_id: int) -> bool:
        """Whether anything was planned for a person."""
        return person_id in self.fields or person_id in self.jobs

    def objections(self, record: UserRecord) -> list[str]:
        """Why jobs of a person are left out, one reason each."""
        if self._jobs is None:
            return []
        return [
            f"job {job.id} is listed for the person {self._owners[job.id]} too; it was left out here"
            for job in record.jobs or ()
            if self._owners[job.id] != record.id
        ]

    def _sent(self, record: UserRecord) -> list[JobRecord] | None:
        """The jobs sent for a person, without those that are somebody's who is listed before."""
        if record.jobs is None:
            return None
        return [job for job in record.jobs if self._owners[job.id] == record.id]
