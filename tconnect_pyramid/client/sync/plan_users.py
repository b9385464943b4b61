"""The rules of the users sync: what becomes of each person's account (protocol 9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid.client import accounts as rules
from tconnect_pyramid.client import idnumbers, migration
from tconnect_pyramid.client.idnumbers import Claim
from tconnect_pyramid.client.jobs import JobChanges
from tconnect_pyramid.client.linked import Linked, Pointer, read_accounts, read_links
from tconnect_pyramid.client.migration import Match, Outcome
from tconnect_pyramid.client.profiles import Changes
from tconnect_pyramid.client.sync.plan import USERS, Action, Change, Plan, visible
from tconnect_pyramid.client.sync.plan_extras import Extras
from tconnect_pyramid.client.sync.read import People
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.models import Link
from tconnect_pyramid.peers import ServerPeer
from tconnect_pyramid.protocol.users import UserRecord
from tconnect_pyramid.texts import text as _

SUSPEND = "suspend"
DELETE = "delete"
"""Values of `client.removed_person`; the third one is `keep`."""

MISSING = "not in the server's list any more"


@dataclass(slots=True)
class UsersPlan(Plan):
    """Changes to accounts, and the silent ones to links, all by the ids of people.

    `stale_links` point to accounts whose row is gone. `suspended_by_sync` is what links must say
    from now on. `fields` and `jobs` are what becomes of custom profile fields and job assignments.
    """

    stale_links: list[int] = field(default_factory=list)
    suspended_by_sync: dict[int, bool] = field(default_factory=dict)
    fields: Mapping[int, Changes] = field(default_factory=dict)
    jobs: Mapping[int, JobChanges] = field(default_factory=dict)


def plan_users(session: Session, context: Context, peer: ServerPeer, people: People) -> UsersPlan:
    """What the list asks for; a fixed number of statements for each batch of people. Writes nothing."""
    planner = _Planner(session, context, peer, people)
    for records in in_batches(people.records):
        planner.decide(records)
    planner.decide_newcomers(people.records)
    planner.decide_missing()
    planner.give_idnumbers()
    return planner.finished()


class _Planner:
    def __init__(self, session: Session, context: Context, peer: ServerPeer, people: People) -> None:
        options = context.options(session)
        self.session = session
        self.context = context
        self.accounts = context.accounts
        self.mode = options.client_removed_person
        self.protected = frozenset(options.client_protected_accounts)
        # A number that cannot be read here cannot be told to be somebody else's either.
        self.gives_idnumbers = (
            options.client_sync_idnumber and self.accounts.columns.read("idnumber") is not None
        )
        self.peer = peer
        self.now = context.clock()
        self.listed = people.listed()
        self.anybody_may_be_listed = people.has_nameless
        self.extras = Extras(session, options, peer.id, self.now, people.records)
        self.plan = UsersPlan(kind=USERS, lists_nobody=people.lists_nobody)
        self.newcomers: list[UserRecord] = []
        self.claims: dict[int, tuple[Claim, UserRecord, Linked | None]] = {}
        self.leaving: set[int] = set()
        # Who was looked at, for whom anything was planned, and where in the plan their values are.
        self.looked_at = 0
        self.touched: set[int] = set()
        self.written: dict[int, int] = {}
        for fault in people.faults:
            self._add_skip(fault.remote_id, None, "", fault.reason, is_fault=True)

    # --- who is listed ---------------------------------------------------------------------------

    def decide(self, records: Sequence[UserRecord]) -> None:
        """Decide about those who have an account here; the others become `newcomers`."""
        links = read_links(self.session, self.peer.id, [record.id for record in records])
        linked = read_accounts(self.session, self.accounts, links)
        self.plan.stale_links.extend(person for person in links if person not in linked)
        known = [(record, linked[record.id]) for record in records if record.id in linked]
        owners = self._owners(record for record, account in known if account.is_deleted)
        self.extras.read(known)
        for record, account in known:
            self._decide_one(record, account, owners)
        self.newcomers += [record for record in records if record.id not in linked and not record.deleted]
        self.looked_at += len(records)

    def decide_newcomers(self, listed: Iterable[UserRecord]) -> None:
        """Let each newcomer take over a local account, or make one (protocol 9, migration)."""
        matches = migration.find_local(self.session, self.context, self.peer, self.newcomers, listed)
        found = {
            person: Pointer(match.accounts[0].key)
            for person, match in matches.items()
            if match.outcome is Outcome.FOUND
        }
        for records in in_batches(self.newcomers):
            pointers = {record.id: found[record.id] for record in records if record.id in found}
            local = read_accounts(self.session, self.accounts, pointers)
            owners = self._owners(record for record in records if record.id not in matches)
            self.extras.read((record, local.get(record.id)) for record in records)
            for record in records:
                match = matches.get(record.id)
                if match is None:
                    self._create(record, owners)
                elif match.outcome is not Outcome.FOUND:
                    is_fault = match.outcome is not Outcome.PROTECTED
                    self._skip(record.id, None, _name(record), match.reason, is_fault=is_fault)
                elif record.id in local:
                    self._take_over(record, local[record.id], match)

    def _decide_one(self, record: UserRecord, account: Linked, owners: Mapping[str, int]) -> None:
        if record.deleted:
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
            self._plan_extras(record, None)
            self._write(Action.CREATED, record, None, values)

    def _take_over(self, record: UserRecord, account: Linked, match: Match) -> None:
        values = {**rules.synced_values(record), "timemodified": self.now}
        if self._is_usable(record, values, {}, account):
            also = self._plan_extras(record, account)
            self._write(Action.LINKED, record, account, values, reason=match.reason, also=also)
            self._follow_suspended_flag(record, account)

    def _undelete(self, record: UserRecord, account: Linked, owners: Mapping[str, int]) -> None:
        by_hand = account.is_suspended_by_hand
        values = rules.revived_account(record, self.peer.idnumber, self.now, stays_suspended=by_hand)
        if self._is_usable(record, values, owners, account):
            self._keep_flag(record.id, account, record.suspended and not by_hand)
            self._plan_extras(record, account)
            self._write(Action.UNDELETED, record, account, values)

    def _update(self, record: UserRecord, account: Linked) -> None:
        changed = rules.differences(
            self.accounts.columns, account.values, rules.synced_values(record), account.stored
        )
        if not self._is_usable(record, changed, {}, account):
            return
        also = self._plan_extras(record, account)
        if changed or self.extras.changes(record.id):
            values = {**changed, "timemodified": self.now} if changed else {}
            self._write(Action.UPDATED, record, account, values, also=also)

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
            self._add(
                Change(
                    Action.UNSUSPENDED,
                    USERS,
                    record.id,
                    account.key,
                    _name(record),
                    {"suspended": 0, "timemodified": self.now},
                    reason="listed and not suspended on the server",
                )
            )

    def _plan_extras(self, record: UserRecord, account: Linked | None) -> tuple[str, ...]:
        for reason in self.extras.objections(record):
            self._skip(record.id, None if account is None else account.key, _name(record), reason)
        return self.extras.plan(record, account)

    def _owners(self, records: Iterable[UserRecord]) -> dict[str, int]:
        """Who has the user names that these people are about to get."""
        names = [rules.link_username(record.id, self.peer.idnumber) for record in records]
        return self.accounts.by_username(self.session, names)

    def _is_usable(
        self,
        record: UserRecord,
        values: Mapping[str, Any],
        owners: Mapping[str, int],
        account: Linked | None,
    ) -> bool:
        """Whether the values can be kept here; whoever's can, has a claim on their ID number too."""
        key = None if account is None else account.key
        idnumber = rules.wanted_idnumber(record) if self.gives_idnumbers else ""
        reason = rules.misfit(self.accounts.columns, {**values, "idnumber": idnumber})
        username = rules.link_username(record.id, self.peer.idnumber)
        owner = owners.get(username)
        if reason is None and owner is not None and owner != key:
            reason = f"the user name {username} belongs to another account here"
        if reason is not None:
            self._skip(record.id, key, _name(record), reason)
            return False
        if self.gives_idnumbers:
            current = "" if account is None else str(account.values["idnumber"] or "")
            self.claims[record.id] = (Claim(record.id, key, current, idnumber), record, account)
        return True

    # --- who is not ------------------------------------------------------------------------------

    def decide_missing(self) -> None:
        """Decide about those who have an account here and are not listed."""
        links = {
            person: Pointer(key, suspended)
            for person, key, suspended in self.session.execute(
                select(Link.person_id, Link.account_key, Link.suspended_by_sync)
                .where(Link.server_id == self.peer.id)
                .order_by(Link.person_id)
            )
            if person not in self.listed
        }
        for some in in_batches(links):
            missing = read_accounts(self.session, self.accounts, {person: links[person] for person in some})
            self.plan.stale_links.extend(person for person in some if person not in missing)
            for person, account in missing.items():
                if not account.is_deleted:
                    self._decide_missing_one(person, account)

    def _decide_missing_one(self, person: int, account: Linked) -> None:
        self.looked_at += 1
        if self.anybody_may_be_listed:
            self.plan.note = _(
                "A record of the list has no usable id, so it cannot be told who is missing; "
                "nobody was treated as such."
            )
        elif self.mode == DELETE:
            self._remove(Action.DELETED, person, account, MISSING)
        elif self.mode == SUSPEND and not account.is_suspended:
            self._remove(Action.SUSPENDED, person, account, MISSING)

    # --- when everybody was looked at --------------------------------------------------------------

    def give_idnumbers(self) -> None:
        """Add ID numbers to what is written: only now is it known who gives up theirs."""
        claims = [claim for claim, _, _ in self.claims.values()]
        holders = self.accounts.matching(
            self.session, "idnumber", {claim.wanted for claim in claims if claim.wanted != claim.current}
        )
        keys = {number: [account.key for account in accounts] for number, accounts in holders.items()}
        for person, number in idnumbers.assign(claims, keys, self.leaving).items():
            claim, record, account = self.claims[person]
            values, before = {"idnumber": number, "timemodified": self.now}, {"idnumber": claim.current}
            if person not in self.written:
                self._write(Action.UPDATED, record, account, {})
            place = self.written[person]
            change = self.plan.changes[place]
            self.plan.changes[place] = replace(
                change, values={**change.values, **values}, before={**change.before, **before}
            )

    def finished(self) -> UsersPlan:
        """The plan, with what it leaves as it is."""
        self.plan.fields = self.extras.fields
        self.plan.jobs = self.extras.jobs
        self.plan.unchanged = self.looked_at - len(self.touched)
        return self.plan

    # --- inside ----------------------------------------------------------------------------------

    def _remove(self, action: Action, person: int, account: Linked, reason: str) -> None:
        name = visible(account.name)
        if account.values["username"] in self.protected:
            why = f"{reason}, but tconnect.client.protected_accounts lists the account"
            self._skip(person, account.key, name, why, is_fault=False)
            return
        values: dict[str, Any] = {}
        if action is Action.SUSPENDED:
            self._keep_flag(person, account, value=True)
            values = {"suspended": 1, "timemodified": self.now}
        else:
            self.leaving.add(account.key)
        self._add(Change(action, USERS, person, account.key, name, values, reason=reason))

    def _keep_flag(self, person: int, account: Linked, value: bool) -> None:
        if value != account.suspended_by_sync:
            self.plan.suspended_by_sync[person] = value
        else:
            self.plan.suspended_by_sync.pop(person, None)

    def _write(
        self,
        action: Action,
        record: UserRecord,
        account: Linked | None,
        values: Mapping[str, Any],
        *,
        reason: str = "",
        also: tuple[str, ...] = (),
    ) -> None:
        key = None if account is None else account.key
        before = {} if account is None else {name: account.values[name] for name in values}
        self.written[record.id] = len(self.plan.changes)
        self._add(
            Change(action, USERS, record.id, key, _name(record), values, before, reason=reason, also=also)
        )

    def _add(self, change: Change) -> None:
        self.plan.changes.append(change)
        if change.remote_id is not None:
            self.touched.add(change.remote_id)

    def _skip(
        self, person: int, key: int | None, subject: str, reason: str, *, is_fault: bool = True
    ) -> None:
        self.touched.add(person)
        self._add_skip(person, key, subject, reason, is_fault=is_fault)

    def _add_skip(
        self, person: int | None, key: int | None, subject: str, reason: str, *, is_fault: bool
    ) -> None:
        self.plan.changes.append(
            Change(Action.SKIPPED, USERS, person, key, subject, reason=reason, is_fault=is_fault)
        )


def _name(record: UserRecord) -> str:
    full = f"{record.values['firstname']} {record.values['lastname']}".strip()
    return visible(full or str(record.values["username"]))
