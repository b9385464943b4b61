"""The rules of the users sync: what becomes of each person's account (protocol 9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid.client import accounts as rules
from tconnect_pyramid.client import idnumbers, migration
from tconnect_pyramid.client.idnumbers import Claim
from tconnect_pyramid.client.linked import (
    SOMEBODY_ELSE,
    Identity,
    Linked,
    Pointer,
    read_accounts,
    read_links,
    why_left_alone,
)
from tconnect_pyramid.client.migration import Match, Outcome
from tconnect_pyramid.client.people import NewPicture
from tconnect_pyramid.client.sync.digest import Digests
from tconnect_pyramid.client.sync.history import UNDONE
from tconnect_pyramid.client.sync.ids import Numbers
from tconnect_pyramid.client.sync.index import LinkIndex
from tconnect_pyramid.client.sync.plan import (
    UNTOLD_FIELDS,
    USERS,
    Action,
    Change,
    LinkState,
    PersonExtras,
    Plan,
    visible,
)
from tconnect_pyramid.client.sync.plan_extras import Extras
from tconnect_pyramid.client.sync.read import TWICE, is_guest, person_called, read_people, refuse_too_many
from tconnect_pyramid.client.sync.receive import People
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.columnmap import STANDARD_FIELDS
from tconnect_pyramid.errors import BadRecord
from tconnect_pyramid.models import Run
from tconnect_pyramid.peers import ServerPeer
from tconnect_pyramid.protocol.plain_users import PlainUser, id_of, job_ids, read_record
from tconnect_pyramid.protocol.users import UserRecord
from tconnect_pyramid.texts import text as _

SUSPEND = "suspend"
DELETE = "delete"
"""Values of `client.removed_person`; the third one is `keep`."""

MISSING = _("not in the server's list any more")
TOGETHER = 1000
"""People whose accounts are looked at together, by a fixed number of statements."""


@dataclass(slots=True)
class UsersPlan(Plan):
    """Changes to accounts, and the silent ones to links, by the ids of people.

    `stale_links` point to accounts whose row is gone. `links` is what links that are there, or of accounts that
    are taken over, must say from now on. `picture` is that of the only person of a run, where it is new.
    """

    stale_links: list[int] = field(default_factory=list)
    links: dict[int, LinkState] = field(default_factory=dict)
    picture: NewPicture | None = None


class Listed(NamedTuple):
    """Somebody in the list whose account has to be looked at, and the digest of what is said of them."""

    record: UserRecord
    digest: bytes


def plan_users(
    session: Session,
    context: Context,
    peer: ServerPeer,
    reply: People,
    *,
    reconcile: bool,
    only: int | None = None,
    chosen: Match | None = None,
) -> UsersPlan:
    """What the list asks for; a fixed number of statements for each batch of people who have changed. Writes nothing.

    Who is as they were when their account was last put in order costs a digest and a look-up, and is taken to
    be in order; with `reconcile` every account is compared itself. `only`: the person whom all is about, so that nobody
    else is missing; `chosen`: whom an administrator gives an account here, and which. Raises as `Reply.users` does, and
    BadReply where too many records cannot be used.
    """
    planner = _Planner(session, context, peer, reply, reconcile=reconcile, only=only, chosen=chosen)
    planner.decide_listed()
    planner.decide_missing()
    planner.give_idnumbers()
    return planner.finished()


class _Planner:
    def __init__(
        self,
        session: Session,
        context: Context,
        peer: ServerPeer,
        reply: People,
        *,
        reconcile: bool,
        only: int | None,
        chosen: Match | None,
    ) -> None:
        self.options = context.options(session)
        self.session = session
        self.context = context
        self.accounts = context.accounts
        self.reply = reply
        self.reconcile = reconcile
        self.mode = self.options.client_removed_person
        self.protected = frozenset(self.options.client_protected_accounts)
        # A number that cannot be read here cannot be told to be somebody else's either.
        self.gives_idnumbers = (
            self.options.client_sync_idnumber and self.accounts.columns.read("idnumber") is not None
        )
        self.peer = peer
        self.now = context.clock()
        self.index = LinkIndex(session, context.accounts, peer.id, only=only)
        # Undoing has suspended whom these have made, in whatever mode.
        self.undone = {*session.scalars(select(Run.id).where(Run.server_id == peer.id, Run.state == UNDONE))}
        self.chosen = {} if chosen is None else {chosen.person_id: chosen}
        self.digests = Digests(session, context, self.options, peer)
        self.extras = Extras(session, context.accounts, self.options, peer.id, self.now)
        self.plan = UsersPlan(kind=USERS)
        # Who is listed without an account here, the bad records and the guest too.
        self.others = Numbers()
        self.lists_anybody = False
        self.has_nameless = False
        self.unusable = 0
        self.waiting: dict[int, bytes] = {}
        self.claims: dict[int, tuple[Claim, str, LinkState]] = {}
        self.leaving: set[int] = set()
        # How many accounts were looked at, for which of them anything was planned, and whose values are written.
        self.looked_at = 0
        self.touched: set[int] = set()
        self.written: set[int] = set()
        # Of the one who is being decided about: what their link will say, and whether they are in order then.
        self.flag = False
        self.identity = Identity()
        self.is_final = True

    # --- who is listed ---------------------------------------------------------------------------

    def decide_listed(self) -> None:
        """Decide about everybody in the list."""
        changed: list[Listed] = []
        for raws in self.reply.users():
            changed += self._changed(raws)
            if len(changed) >= TOGETHER:
                self._decide(changed)
                changed = []
        self._decide(changed)
        self._decide_waiting()

    def _changed(self, raws: Iterable[object]) -> Iterator[Listed]:
        """Those of the records that have to be looked at; the others are counted, and the bad ones skipped."""
        index, digest_of, reconcile = self.index, self.digests.of, self.reconcile
        for raw in raws:
            person = id_of(raw)
            if person is None or not isinstance(raw, PlainUser | dict):
                self._read(raw)
                continue
            place = index.find(person)
            if place is None:
                is_first = self.others.get(person) is None
                self.others.add(person, 0)
            else:
                is_first = index.mark_at(place)
            if not is_first:
                self._set_aside(person, raw, TWICE)
                continue
            digest = digest_of(raw)
            if (
                place is not None
                and not reconcile
                and digest == index.digest(place)
                # Somebody else who is listed before has one of the jobs now.
                and self.extras.claim(person, job_ids(raw))
            ):
                self.lists_anybody = True
                self.plan.unchanged += 1
                continue
            record = self._read(raw)
            if record is None:
                continue
            self.extras.claim(person, [job.id for job in record.jobs or ()])
            if not is_guest(record):
                self.lists_anybody = True
                yield Listed(record, digest)

    def _read(self, raw: object) -> UserRecord | None:
        try:
            return read_record(raw)
        except BadRecord as error:
            self.lists_anybody = True
            if error.remote_id is None:
                self.has_nameless = True
            self._set_aside(error.remote_id, raw, error.reason)
            return None

    def _set_aside(self, person: int | None, raw: object, reason: str) -> None:
        self.unusable += 1
        refuse_too_many(0, self.unusable)
        self._add_skip(person, None, person_called(raw), reason, is_fault=True)

    def _decide(self, listed: Sequence[Listed]) -> None:
        """Decide about people; who has no account here takes over a local one or gets a new one, maybe later."""
        links = read_links(self.session, self.peer.id, [each.record.id for each in listed])
        linked = read_accounts(self.session, self.accounts, links)
        for each in listed:
            account = linked.get(each.record.id)
            # A deleted account is there for whoever comes back, and for nobody else.
            if account is not None and account.is_deleted and _is_another(each, account):
                del linked[each.record.id]
        self.plan.stale_links.extend(person for person in links if person not in linked)
        known = [(each, linked[each.record.id]) for each in listed if each.record.id in linked]
        owners = self._owners(each.record for each, account in known if account.is_deleted)
        self.extras.read((each.record, account) for each, account in known)
        for each, account in known:
            self._decide_one(each, account, owners)
        others = [each for each in listed if each.record.id not in linked]
        newcomers = [each for each in others if not each.record.deleted]
        self.looked_at += len(known)
        # Who is deleted there and was never here.
        self.plan.unchanged += len(others) - len(newcomers)
        if self.options.client_migrate_accounts and not self.chosen:
            # What they match can also be what somebody matches who is listed later.
            self.waiting.update((each.record.id, each.digest) for each in newcomers)
        else:
            self._decide_newcomers(newcomers, self.chosen)

    def _decide_waiting(self) -> None:
        """Decide about the newcomers who may take over a local account, now that everybody was seen."""
        if not self.waiting:
            return
        matches = migration.find_local(
            self.session, self.context, self.peer, self.waiting, read_people(self.reply)
        )
        again = (
            Listed(record, self.waiting.pop(record.id))
            for records in read_people(self.reply)
            for record in records
            if record.id in self.waiting
        )
        for some in in_batches(again, TOGETHER):
            self._decide_newcomers(some, matches)

    def _decide_newcomers(self, newcomers: Sequence[Listed], matches: Mapping[int, Match]) -> None:
        """Let each newcomer take over a local account, or make one (protocol 9, migration)."""
        pointers = {
            each.record.id: Pointer(match.accounts[0].key)
            for each in newcomers
            if (match := matches.get(each.record.id)) is not None and match.outcome is Outcome.FOUND
        }
        local = read_accounts(self.session, self.accounts, pointers)
        owners = self._owners(each.record for each in newcomers if each.record.id not in matches)
        self.extras.read((each.record, local.get(each.record.id)) for each in newcomers)
        for each in newcomers:
            person = each.record.id
            match = matches.get(person)
            if match is None:
                self._create(each, owners)
            elif match.outcome is not Outcome.FOUND:
                is_fault = match.outcome is not Outcome.PROTECTED
                self._skip(person, None, _name(each.record), match.reason, is_fault=is_fault)
            elif person in local:
                self._take_over(each, local[person], match)

    def _decide_one(self, each: Listed, account: Linked, owners: Mapping[str, int]) -> None:
        record = each.record
        if _is_another(each, account):
            self._skip(record.id, account.key, _name(record), SOMEBODY_ELSE)
            if not account.in_doubt:
                # Without a digest, so that whoever is right again is looked at, and the doubt is over.
                self.plan.links[record.id] = _state(account)._replace(digest=None, in_doubt=True)
            return
        self._begin(account, record)
        if record.deleted:
            if not account.is_deleted:
                self._remove(Action.DELETED, record.id, account, _("deleted on the server"))
        elif account.is_deleted:
            self._undelete(record, account, owners)
        else:
            self._update(record, account)
            self._follow_suspended_flag(record, account)
        self._keep(record.id, account, each.digest)

    def _create(self, each: Listed, owners: Mapping[str, int]) -> None:
        record = each.record
        self._begin(None, record)
        values = rules.new_account(record, self.peer.idnumber, self.now)
        if self._is_usable(record, {**STANDARD_FIELDS, **values}, owners, account=None):
            extras, _ = self._plan_extras(record, None)
            link = LinkState(record.suspended, each.digest if self.is_final else None, self.identity)
            self._write(Action.CREATED, record, None, values, extras=extras, link=link)

    def _take_over(self, each: Listed, account: Linked, match: Match) -> None:
        record = each.record
        self._begin(account, record)
        self.looked_at += 1
        values = {**rules.synced_values(record), "timemodified": self.now}
        if self._is_usable(record, values, {}, account):
            extras, also = self._plan_extras(record, account)
            self._write(Action.LINKED, record, account, values, reason=match.reason, also=also, extras=extras)
            self._follow_suspended_flag(record, account)
            self._keep(record.id, account, each.digest)

    def _overwritten(self, current: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """What an account that is taken over has where it gets something else; what cannot be read is left out."""
        compared = self.accounts.columns.compared - UNTOLD_FIELDS
        return {
            name: old
            for name, old in current.items()
            if name in compared and (old or None) != (values[name] or None)
        }

    def _undelete(self, record: UserRecord, account: Linked, owners: Mapping[str, int]) -> None:
        # A host's table may keep a deleted account's rights.
        if self._spare(record.id, account, _name(record), _("listed again")):
            return
        by_hand = account.is_suspended_by_hand
        values = rules.revived_account(record, self.peer.idnumber, self.now, stays_suspended=by_hand)
        if self._is_usable(record, values, owners, account):
            self.flag = record.suspended and not by_hand
            extras = self._plan_extras(record, account)[0]
            self._write(Action.UNDELETED, record, account, values, extras=extras)

    def _update(self, record: UserRecord, account: Linked) -> None:
        changed = rules.differences(
            self.accounts.columns, account.values, rules.synced_values(record), account.stored
        )
        why = why_left_alone(account, self.protected)
        if why:
            if changed:
                reason = _("what the server says of them has changed, but ${why}", why=why)
                self._skip(record.id, account.key, visible(account.name), reason, is_fault=False)
            return
        if not self._is_usable(record, changed, {}, account):
            return
        extras, also = self._plan_extras(record, account)
        if changed or extras:
            values = {**changed, "timemodified": self.now} if changed else {}
            self._write(Action.UPDATED, record, account, values, also=also, extras=extras)

    def _follow_suspended_flag(self, record: UserRecord, account: Linked) -> None:
        if account.suspended_by_sync and not account.is_suspended:
            # Lifted by hand. Kept, it would let a sync lift a later suspension by hand.
            self.flag = False
        if self.mode != SUSPEND and account.created_by_run not in self.undone:
            return
        if record.suspended and not account.is_suspended:
            if self.mode == SUSPEND:
                self._remove(Action.SUSPENDED, record.id, account, _("suspended on the server"))
        elif account.is_suspended and account.suspended_by_sync and not record.suspended:
            reason = _("listed and not suspended on the server")
            if self._spare(record.id, account, _name(record), reason):
                return
            self.flag = False
            values = {"suspended": 0, "timemodified": self.now}
            self._add(
                Change(
                    Action.UNSUSPENDED, USERS, record.id, account.key, _name(record), values, reason=reason
                )
            )

    def _plan_extras(
        self, record: UserRecord, account: Linked | None
    ) -> tuple[PersonExtras | None, tuple[str, ...]]:
        decided = self.extras.plan(record, account)
        key = None if account is None else account.key
        for reason in decided.objections:
            self._skip(record.id, key, _name(record), reason)
        for reason in decided.spared:
            self._skip(record.id, key, _name(record), reason, is_fault=False)
        self.is_final = self.is_final and decided.is_final
        return decided.extras, decided.told

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
        if not values and not self.gives_idnumbers:
            return True
        key = None if account is None else account.key
        idnumber = rules.wanted_idnumber(record) if self.gives_idnumbers else ""
        reason = rules.misfit(self.accounts.columns, {**values, "idnumber": idnumber})
        username = rules.link_username(record.id, self.peer.idnumber)
        owner = owners.get(username)
        if reason is None and owner is not None and owner != key:
            reason = _("the user name ${username} belongs to another account here", username=username)
        if reason is not None:
            self._skip(record.id, key, _name(record), reason)
            return False
        if self.gives_idnumbers:
            current = "" if account is None else str(account.values["idnumber"] or "")
            if current != idnumber:
                claim = Claim(record.id, key, current, idnumber)
                self.claims[record.id] = (claim, _name(record), _state(account))
        return True

    # --- who is not ------------------------------------------------------------------------------

    def decide_missing(self) -> None:
        """Decide about those who have an account here and are not listed."""
        missing = (
            person
            for person, digest in self.index.missing()
            if self.reconcile or self.has_nameless or digest != self.digests.gone
        )
        for some in in_batches(missing, TOGETHER):
            links = read_links(self.session, self.peer.id, some)
            accounts = read_accounts(self.session, self.accounts, links)
            self.plan.stale_links.extend(person for person in links if person not in accounts)
            for person, account in accounts.items():
                if not account.is_deleted:
                    self._decide_missing_one(person, account)

    def _decide_missing_one(self, person: int, account: Linked) -> None:
        self._begin(account)
        self.looked_at += 1
        if self.has_nameless:
            self.plan.note = _(
                "A record of the list has no usable id, so it cannot be told who is missing; "
                "nobody was treated as such."
            )
            return
        if self.mode == DELETE:
            self._remove(Action.DELETED, person, account, MISSING)
        elif self.mode == SUSPEND and not account.is_suspended:
            self._remove(Action.SUSPENDED, person, account, MISSING)
        self._keep(person, account, self.digests.gone)

    # --- when everybody was looked at --------------------------------------------------------------

    def give_idnumbers(self) -> None:
        """Add ID numbers to what is written: only now is it known who gives up theirs."""
        claims = [claim for claim, _, _ in self.claims.values()]
        holders = self.accounts.matching(self.session, "idnumber", {claim.wanted for claim in claims})
        keys = {number: [account.key for account in accounts] for number, accounts in holders.items()}
        given = idnumbers.assign(claims, keys, self.leaving)
        for person, (claim, name, _before) in self.claims.items():
            if person not in given:
                self._look_again(person)
                continue
            if person not in self.written:
                self._add(Change(Action.UPDATED, USERS, person, claim.key, name))
            values = {"idnumber": given[person], "timemodified": self.now}
            self.plan.changes.add_values(person, values, {"idnumber": claim.current})

    def _look_again(self, person: int) -> None:
        """Who did not get their ID number is looked at by the next run too: it may be free by then."""
        claim, _, before = self.claims[person]
        if claim.key is None:
            self.plan.changes.forget_digest(person)
            return
        planned = self.plan.links.pop(person, before)
        state = planned._replace(digest=None)
        if person in self.touched or state != before:
            self.plan.links[person] = state

    def finished(self) -> UsersPlan:
        """The plan, with what it leaves as it is."""
        self.plan.unchanged += self.looked_at - len(self.touched)
        self.plan.lists_nobody = not self.lists_anybody
        return self.plan

    # --- inside ----------------------------------------------------------------------------------

    def _begin(self, account: Linked | None, record: UserRecord | None = None) -> None:
        """Begin to decide about a person; who has no account here yet is none whom a sync has suspended."""
        self.flag = account is not None and account.suspended_by_sync
        if record is not None and not record.deleted:
            self.identity = Identity.of(record)
        else:
            # Who is gone has no name there any more.
            self.identity = Identity() if account is None else account.identity
        self.is_final = True

    def _keep(self, person: int, account: Linked, digest: bytes) -> None:
        """Note what the person's link is to say, unless it does and the account stays as it is."""
        state = LinkState(self.flag, digest if self.is_final else None, self.identity)
        if person in self.touched or state != _state(account):
            self.plan.links[person] = state

    def _remove(self, action: Action, person: int, account: Linked, reason: str) -> None:
        name = visible(account.name)
        if self._spare(person, account, name, reason):
            return
        values: dict[str, Any] = {}
        if action is Action.SUSPENDED:
            self.flag = True
            values = {"suspended": 1, "timemodified": self.now}
        else:
            self.leaving.add(account.key)
        self._add(Change(action, USERS, person, account.key, name, values, reason=reason))

    def _spare(self, person: int, account: Linked, name: str, reason: str) -> bool:
        """Whether no server may change an account; then it is told, with the reason for which it would be."""
        why = why_left_alone(account, self.protected)
        if why:
            said = _("${reason}, but ${why}", reason=reason, why=why)
            self._skip(person, account.key, name, said, is_fault=False)
        return bool(why)

    def _write(
        self,
        action: Action,
        record: UserRecord,
        account: Linked | None,
        values: Mapping[str, Any],
        *,
        reason: str = "",
        also: tuple[str, ...] = (),
        extras: PersonExtras | None = None,
        link: LinkState | None = None,
    ) -> None:
        key = None if account is None else account.key
        before = {} if account is None else {name: account.values[name] for name in values}
        if action is Action.LINKED:
            before = self._overwritten(before, values)
        if self.gives_idnumbers:
            self.written.add(record.id)
        self._add(
            Change(
                action,
                USERS,
                record.id,
                key,
                _name(record),
                values,
                before,
                reason,
                False,
                also,
                link,
                extras,
            )
        )

    def _add(self, change: Change) -> None:
        self.plan.changes.append(change)
        if change.remote_id is not None and change.action is not Action.CREATED:
            self.touched.add(change.remote_id)

    def _skip(
        self, person: int, key: int | None, subject: str, reason: str, *, is_fault: bool = True
    ) -> None:
        self.is_final = False
        if key is not None:
            self.touched.add(person)
        self._add_skip(person, key, subject, reason, is_fault=is_fault)

    def _add_skip(
        self, person: int | None, key: int | None, subject: str, reason: str, *, is_fault: bool
    ) -> None:
        self.plan.changes.append(
            Change(Action.SKIPPED, USERS, person, key, subject, reason=reason, is_fault=is_fault)
        )


def _state(account: Linked | None) -> LinkState:
    if account is None:
        return LinkState(False, None)
    return LinkState(account.suspended_by_sync, account.digest, account.identity, account.in_doubt)


def _is_another(each: Listed, account: Linked) -> bool:
    return Identity.of(each.record).is_another_than(account.identity)


def _name(record: UserRecord) -> str:
    full = f"{record.values['firstname']} {record.values['lastname']}".strip()
    return visible(full or str(record.values["username"]))
