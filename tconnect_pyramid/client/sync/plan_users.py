"""The rules of the users sync: what becomes of each person's account (protocol 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid.client import accounts as rules
from tconnect_pyramid.client.linked import Linked, read_accounts, read_links
from tconnect_pyramid.client.sync.plan import USERS, Action, Change, Plan, visible
from tconnect_pyramid.client.sync.read import People
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import Accounts, in_batches
from tconnect_pyramid.models import Link
from tconnect_pyramid.options import Options
from tconnect_pyramid.peers import ServerPeer
from tconnect_pyramid.protocol.users import UserRecord

KEEP = "keep"
SUSPEND = "suspend"
"""Values of `client.removed_person`; the third one is `delete`."""

MISSING = "not in the server's list any more"


@dataclass(slots=True)
class UsersPlan(Plan):
    """Changes to accounts, and the silent ones to links, all by the ids of people.

    `stale_links` point to accounts whose row is gone. `suspended_by_sync` is what links must say
    from now on.
    """

    stale_links: list[int] = field(default_factory=list)
    suspended_by_sync: dict[int, bool] = field(default_factory=dict)


def plan_users(session: Session, context: Context, peer: ServerPeer, people: People) -> UsersPlan:
    """What the list asks for; a fixed number of statements for each batch of people. Writes nothing."""
    planner = _Planner(context.accounts, context.options(session), peer, context.clock(), people)
    for records in in_batches(people.records):
        planner.decide(session, records)
    planner.decide_missing(session)
    return planner.plan


class _Planner:
    def __init__(
        self, accounts: Accounts, options: Options, peer: ServerPeer, now: int, people: People
    ) -> None:
        self.accounts = accounts
        self.mode = options.client_removed_person
        self.protected = frozenset(options.client_protected_accounts)
        self.peer = peer
        self.now = now
        self.listed = people.listed()
        self.anybody_may_be_listed = people.has_nameless
        self.plan = UsersPlan(kind=USERS, lists_nobody=people.lists_nobody)
        for fault in people.faults:
            self._skip(fault.remote_id, None, "", fault.reason, is_fault=True)

    # --- who is listed -------------------------------------------------------------------------

    def decide(self, session: Session, records: Sequence[UserRecord]) -> None:
        links = read_links(session, self.peer.id, [record.id for record in records])
        linked = read_accounts(session, self.accounts, links)
        self.plan.stale_links.extend(person for person in links if person not in linked)
        owners = self.accounts.by_username(
            session,
            [
                rules.link_username(record.id, self.peer.idnumber)
                for record in records
                if not record.deleted and (record.id not in linked or linked[record.id].is_deleted)
            ],
        )
        for record in records:
            before = len(self.plan.changes)
            self._decide_one(record, linked.get(record.id), owners)
            if len(self.plan.changes) == before:
                self.plan.unchanged += 1

    def _decide_one(self, record: UserRecord, account: Linked | None, owners: Mapping[str, int]) -> None:
        if account is None:
            if not record.deleted:
                self._create(record, owners)
        elif record.deleted:
            if not account.is_deleted:
                self._remove(Action.DELETED, record.id, account, "deleted on the server")
        elif account.is_deleted:
            self._undelete(record, account, owners)
        else:
            self._update(record, account)
            self._follow_suspended_flag(record, account)

    def _create(self, record: UserRecord, owners: Mapping[str, int]) -> None:
        values = rules.new_account(record, self.peer.idnumber, self.now)
        if self._is_usable(record, values, owners, account=None):
            self.plan.suspended_by_sync[record.id] = record.suspended
            self._change(Action.CREATED, record.id, None, _name(record), values)

    def _undelete(self, record: UserRecord, account: Linked, owners: Mapping[str, int]) -> None:
        by_hand = account.is_suspended_by_hand
        values = rules.revived_account(record, self.peer.idnumber, self.now, stays_suspended=by_hand)
        if self._is_usable(record, values, owners, account):
            self._keep_flag(record.id, account, record.suspended and not by_hand)
            self._change(Action.UNDELETED, record.id, account, _name(record), values)

    def _update(self, record: UserRecord, account: Linked) -> None:
        changed = rules.differences(
            self.accounts.columns, account.values, rules.synced_values(record), account.stored
        )
        if changed and self._is_usable(record, changed, {}, account):
            values = {**changed, "timemodified": self.now}
            before = {name: account.values[name] for name in changed}
            self._change(Action.UPDATED, record.id, account, _name(record), values, before)

    def _follow_suspended_flag(self, record: UserRecord, account: Linked) -> None:
        if account.suspended_by_sync and not account.is_suspended:
            # Lifted by hand. Kept, it would let a sync lift a later suspension by hand.
            self._keep_flag(record.id, account, value=False)
        if self.mode != SUSPEND:
            return
        if record.suspended and not account.is_suspended:
            self._remove(Action.SUSPENDED, record.id, account, "suspended on the server")
        elif account.is_suspended and account.suspended_by_sync and not record.suspended:
            self._keep_flag(record.id, account, value=False)
            self._change(
                Action.UNSUSPENDED,
                record.id,
                account,
                _name(record),
                {"suspended": 0, "timemodified": self.now},
                reason="listed and not suspended on the server",
            )

    def _is_usable(
        self,
        record: UserRecord,
        values: Mapping[str, Any],
        owners: Mapping[str, int],
        account: Linked | None,
    ) -> bool:
        reason = rules.misfit(self.accounts.columns, values)
        username = rules.link_username(record.id, self.peer.idnumber)
        owner = owners.get(username)
        if reason is None and owner is not None and (account is None or owner != account.key):
            reason = f"the user name {username} belongs to another account here"
        if reason is None:
            return True
        key = None if account is None else account.key
        self._skip(record.id, key, _name(record), reason, is_fault=True)
        return False

    # --- who is not ----------------------------------------------------------------------------

    def decide_missing(self, session: Session) -> None:
        links = {
            link.person_id: link
            for link in session.execute(
                select(Link.person_id, Link.account_key, Link.suspended_by_sync)
                .where(Link.server_id == self.peer.id)
                .order_by(Link.person_id)
            )
            if link.person_id not in self.listed
        }
        for some in in_batches(links):
            missing = read_accounts(session, self.accounts, {person: links[person] for person in some})
            self.plan.stale_links.extend(person for person in some if person not in missing)
            for person, account in missing.items():
                self._decide_missing_one(person, account)

    def _decide_missing_one(self, person: int, account: Linked) -> None:
        if account.is_deleted:
            return
        if self.anybody_may_be_listed:
            self.plan.note = (
                "A record of the list has no usable id, so it cannot be told who is missing; "
                "nobody was treated as such."
            )
            self.plan.unchanged += 1
        elif self.mode == KEEP or (self.mode == SUSPEND and account.is_suspended):
            self.plan.unchanged += 1
        elif self.mode == SUSPEND:
            self._remove(Action.SUSPENDED, person, account, MISSING)
        else:
            self._remove(Action.DELETED, person, account, MISSING)

    # --- inside --------------------------------------------------------------------------------

    def _remove(self, action: Action, person: int, account: Linked, reason: str) -> None:
        if account.values["username"] in self.protected:
            why = f"{reason}, but tconnect.client.protected_accounts lists the account"
            self._skip(person, account.key, visible(account.name), why, is_fault=False)
            return
        values: dict[str, Any] = {}
        if action is Action.SUSPENDED:
            self._keep_flag(person, account, value=True)
            values = {"suspended": 1, "timemodified": self.now}
        self._change(action, person, account, visible(account.name), values, reason=reason)

    def _keep_flag(self, person: int, account: Linked, value: bool) -> None:
        if value != account.suspended_by_sync:
            self.plan.suspended_by_sync[person] = value
        else:
            self.plan.suspended_by_sync.pop(person, None)

    def _skip(
        self, person: int | None, key: int | None, subject: str, reason: str, *, is_fault: bool
    ) -> None:
        self.plan.changes.append(
            Change(Action.SKIPPED, USERS, person, key, subject, reason=reason, is_fault=is_fault)
        )

    def _change(
        self,
        action: Action,
        person: int,
        account: Linked | None,
        subject: str,
        values: Mapping[str, Any],
        before: Mapping[str, Any] | None = None,
        reason: str = "",
    ) -> None:
        key = None if account is None else account.key
        self.plan.changes.append(Change(action, USERS, person, key, subject, values, before or {}, reason))


def _name(record: UserRecord) -> str:
    full = f"{record.values['firstname']} {record.values['lastname']}".strip()
    return visible(full or str(record.values["username"]))
