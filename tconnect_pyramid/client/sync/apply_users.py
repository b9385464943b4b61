"""Doing what a plan of the users sync says, set by set, in the caller's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

from sqlalchemy import Boolean, Table, and_, bindparam, delete, or_, select, update
from sqlalchemy.orm import Session

from tconnect_pyramid import sessions
from tconnect_pyramid.client import jobs, memberships, migration, profiles
from tconnect_pyramid.client.linked import drop_stale_links, left_alone
from tconnect_pyramid.client.sync.former import Former, keep
from tconnect_pyramid.client.sync.history import Applied, tell
from tconnect_pyramid.client.sync.ids import Numbers
from tconnect_pyramid.client.sync.plan import REMOVALS, TOLD_ONLY, Action, Change, LinkState, PersonExtras
from tconnect_pyramid.client.sync.plan_users import UsersPlan
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.bulk import among, know_size, put
from tconnect_pyramid.errors import PlanOutdated
from tconnect_pyramid.models import Counterpart, Job, Link, ProfileValue
from tconnect_pyramid.peers import ServerPeer
from tconnect_pyramid.texts import text as _

IN_PLACE = frozenset({Action.LINKED, Action.UPDATED, Action.SUSPENDED, Action.UNSUSPENDED, Action.UNDELETED})
_LINK = cast("Table", Link.__table__)
_FILLED = [cast("Table", each.__table__) for each in (Link, ProfileValue, Job, Counterpart)]
MANY = 1000
"""New accounts that make tables others than the database knows them."""
_NEW = LinkState(suspended_by_sync=False, digest=None)


def apply_users(
    session: Session, context: Context, peer: ServerPeer, plan: UsersPlan, run_id: int
) -> Applied:
    """Change accounts, links, custom profile fields and jobs.

    Who is suspended or deleted loses their sign-ins, and so does an account that is taken over: whoever
    signed in to it by its password here may be somebody else than the person at the server.
    """
    work = _Work(session, context, peer, plan, run_id)
    work.notices += drop_stale_links(session, context, peer.id, plan.stale_links)
    is_kept = context.options(session).client_undo_days > 0 and context.accounts.columns.keeps("deleted")
    for changes in plan.changes.batches():
        former = Former(session, context, changes) if is_kept else None
        work.apply(changes)
        if former is not None:
            former.keep(run_id)
    work.keep_links()
    if is_kept and work.created:
        keep(session, context, run_id, [])
    if len(work.created) >= MANY:
        know_size(session, [context.accounts.columns.table, *_FILLED])
    return Applied(work.notices, work.created)


class _Work:
    def __init__(
        self, session: Session, context: Context, peer: ServerPeer, plan: UsersPlan, run_id: int
    ) -> None:
        self.session = session
        self.context = context
        self.peer = peer
        self.plan = plan
        self.run_id = run_id
        self.notices: list[int] = []
        self.created = Numbers()
        # Whose suspension, if they are suspended now, is this run's doing.
        self.decided: set[int] = set()
        self.protected = context.options(session).client_protected_accounts

    def apply(self, changes: list[Change]) -> None:
        """Do what a part of the plan says. Each part stands by itself, so that not all need be in memory."""
        session, context = self.session, self.context
        taken = _keys_by_person(changes, Action.LINKED)
        self._refuse_if_outdated(changes)
        migration.refuse_if_changed(session, context, taken.values())
        self.decided.update(
            change.remote_id
            for change in changes
            if change.action in {Action.SUSPENDED, Action.UNDELETED} and change.remote_id is not None
        )
        removed = [change for change in changes if change.action in REMOVALS]
        self.notices += sessions.end_of_accounts(session, context, [*_keys(removed), *taken.values()], "sync")
        self._write_in_place(changes)
        self._delete([change for change in removed if change.action is Action.DELETED])
        self._link(taken, {person: self.plan.links.get(person, _NEW) for person in taken}, by_run=None)
        created = self._create([change for change in changes if change.action is Action.CREATED])
        returned = _keys_by_person(changes, Action.UNDELETED)
        context.accounts.forget_former(session, returned.values())
        memberships.join_awaited(session, context, self.peer.id, {**created, **taken, **returned})
        keys = {**created, **taken, **returned, **_keys_by_person(changes, Action.UPDATED)}
        extras: dict[int, PersonExtras] = {
            keys[change.remote_id]: change.extras
            for change in changes
            if change.extras is not None and change.remote_id is not None
        }
        profiles.write(
            session,
            {key: each.fields for key, each in extras.items() if each.fields},
            new=set(created.values()),
        )
        jobs.write(session, self.peer.id, {key: each.jobs for key, each in extras.items() if each.jobs})
        tell(session, self.run_id, (change.line(created.get(change.remote_id or 0)) for change in changes))
        for person, key in created.items():
            self.created.add(person, key)

    def _refuse_if_outdated(self, changes: Collection[Change]) -> None:
        """Raise PlanOutdated where an account that is to be changed, or to lose a job, is one that no server changes by now."""
        session = self.session
        keys = [*_keys(change for change in changes if change.action not in TOLD_ONLY)]
        lost = [
            job_id
            for change in changes
            if change.extras is not None and change.extras.jobs is not None
            for job_id in change.extras.jobs.removed
        ]
        for some in in_batches(lost):
            keys += session.scalars(select(Job.account_key).where(Job.id.in_(some)))
        if left_alone(session, self.context.accounts, keys, self.protected, until_the_end=True):
            raise PlanOutdated(
                _(
                    "An account that was to be changed has become an administrator's or a protected one in this moment. "
                    "Nothing was done; the next time leaves it alone."
                )
            )
        if self._is_suspended_by_hand_since(changes):
            raise PlanOutdated(
                _("An account was suspended by hand in this moment. Nothing was done; the next time sees it.")
            )

    def _is_suspended_by_hand_since(self, changes: Iterable[Change]) -> bool:
        """Whether an account that is to be suspended is so by now, or one whose suspension is to be lifted has another one."""
        keys: dict[Action, list[int]] = defaultdict(list)
        for change in changes:
            if change.account_key is not None:
                keys[change.action].append(change.account_key)
        suspending, lifting = keys[Action.SUSPENDED], keys[Action.UNSUSPENDED]
        now_there = self.context.accounts.fetch(self.session, suspending, ("suspended",))
        return any(it["suspended"] for it in now_there.values()) or any(
            self.session.scalar(
                select(Link.person_id).where(among(Link.account_key, some), ~Link.suspended_by_sync).limit(1)
            )
            for some in in_batches(lifting)
        )

    def keep_links(self) -> None:
        """Let the links say what they are to say, at last: what was changed above takes digests away."""
        rows = (
            {
                "person": person,
                "flag": state.suspended_by_sync,
                "anew": state.suspended_by_sync and person in self.decided,
                "sum": state.digest,
                "username": state.identity.username,
                "created": state.identity.timecreated,
                "doubt": state.in_doubt,
            }
            for person, state in self.plan.links.items()
        )
        statement = (
            update(_LINK)
            .where(_LINK.c.person_id == bindparam("person"), _LINK.c.server_id == self.peer.id)
            .values(
                # Of others it is not said again: somebody may have suspended them by hand since the plan was made.
                suspended_by_sync=or_(
                    bindparam("anew", type_=Boolean),
                    and_(_LINK.c.suspended_by_sync, bindparam("flag", type_=Boolean)),
                ),
                digest=bindparam("sum"),
                person_username=bindparam("username"),
                person_timecreated=bindparam("created"),
                in_doubt=bindparam("doubt"),
            )
        )
        for some in in_batches(rows):
            self.session.execute(statement, some)

    def _write_in_place(self, changes: Iterable[Change]) -> None:
        values: dict[int, dict[str, Any]] = defaultdict(dict)
        for change in changes:
            if change.action in IN_PLACE and change.account_key is not None:
                values[change.account_key].update(change.values)
        self.context.accounts.update(self.session, values)

    def _delete(self, changes: Collection[Change]) -> None:
        session, accounts = self.session, self.context.accounts
        keys = _keys(changes)
        accounts.update(session, {key: {"timemodified": self.context.clock()} for key in keys})
        accounts.mark_deleted(session, keys)
        if not accounts.columns.keeps("deleted"):
            # The rows are gone: a host may give their keys to somebody else.
            for some in in_batches([change.remote_id for change in changes if change.remote_id]):
                session.execute(delete(Link).where(Link.person_id.in_(some), Link.server_id == self.peer.id))

    def _create(self, changes: Collection[Change]) -> dict[int, int]:
        keys = self.context.accounts.insert(self.session, [change.values for change in changes])
        people = [change.remote_id for change in changes if change.remote_id is not None]
        created = dict(zip(people, keys, strict=True))
        states = {change.remote_id: change.link or _NEW for change in changes if change.remote_id is not None}
        self._link(created, states, by_run=self.run_id)
        return created

    def _link(self, keys: Mapping[int, int], states: Mapping[int, LinkState], *, by_run: int | None) -> None:
        now = self.context.clock()
        put(
            self.session,
            _LINK,
            (
                "person_id",
                "server_id",
                "account_key",
                "suspended_by_sync",
                "digest",
                "person_username",
                "person_timecreated",
                "created_by_run",
                "timecreated",
            ),
            (
                (
                    person,
                    self.peer.id,
                    key,
                    states[person].suspended_by_sync,
                    states[person].digest,
                    *states[person].identity,
                    by_run,
                    now,
                )
                for person, key in keys.items()
            ),
        )


def _keys(changes: Iterable[Change]) -> list[int]:
    return [change.account_key for change in changes if change.account_key is not None]


def _keys_by_person(changes: Iterable[Change], action: Action) -> dict[int, int]:
    return {
        change.remote_id: change.account_key
        for change in changes
        if change.action is action and change.remote_id is not None and change.account_key is not None
    }
