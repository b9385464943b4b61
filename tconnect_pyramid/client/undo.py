"""Taking back what a run of people did, as far as nobody has changed it since."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import UniqueConstraint, delete, select, update
from sqlalchemy.orm import Session

from tconnect_pyramid import sessions
from tconnect_pyramid.client import accounts as rules
from tconnect_pyramid.client.sync import history, lease
from tconnect_pyramid.client.sync.former import LOCAL, open_kept
from tconnect_pyramid.client.sync.pause import pause
from tconnect_pyramid.client.sync.plan import USERS, Action, Change, Changes, Lines, told
from tconnect_pyramid.client.sync.plan_extras import shortened
from tconnect_pyramid.client.sync.report import COUNTED, RunReport
from tconnect_pyramid.client.undo_rows import restore_rows
from tconnect_pyramid.context import Context
from tconnect_pyramid.delivery.outbox import deliver_now
from tconnect_pyramid.directory.accounts import BATCH, in_batches
from tconnect_pyramid.directory.bulk import among
from tconnect_pyramid.directory.columnmap import ColumnMap
from tconnect_pyramid.errors import Conflict, NotFound
from tconnect_pyramid.garbage import unsearched
from tconnect_pyramid.models import Link, Run, Server, Undo
from tconnect_pyramid.texts import listed
from tconnect_pyramid.texts import text as _

UNDONE_FROM = frozenset({history.DONE, history.PARTIAL})

GONE = _("the account is gone")
NOT_LINKED = _("the account is not this person's any more")
DELETED_SINCE = _("the account was deleted since")
BACK_ALREADY = _("the account is back already")
SUSPENDED_ALREADY = _("the account is suspended already")
AS_BEFORE = _("is as it was before the run already")
PROTECTED = _("an administrator's or a protected account is neither suspended nor deleted")


class _OnlyAsked(Exception):
    """Takes back what a dry run did."""


def why_not_undone(session: Session, context: Context, run: Run) -> str:
    """Why a run cannot be undone; empty when it can."""
    id_ = str(run.id)
    if run.kind != USERS:
        return _("Run ${id} is one of ${kind}: only a run of people can be undone.", id=id_, kind=run.kind)
    if run.state not in UNDONE_FROM:
        return _("Run ${id} cannot be undone: its state is ${state}.", id=id_, state=run.state)
    if session.get(Server, run.server_id) is None:
        return _("The server of run ${id} is not connected any more.", id=id_)
    if not context.accounts.columns.keeps("deleted"):
        return _("No run can be undone here: the account table of this site keeps nobody who is deleted.")
    if session.scalar(select(Undo.id).where(Undo.run_id == run.id).limit(1)) is None:
        return _(
            "Nothing is kept by which run ${id} could be undone: it changed nobody, or it is longer ago than "
            "client.undo_days.",
            id=id_,
        )
    return ""


def undo_run(context: Context, run_id: int, *, actor: str, dry_run: bool = False) -> RunReport:
    """Take back what a run of people did, and pause people of that server; gives what became of each account.

    What somebody changed since is left as it is, and told as skipped. A dry run changes nothing. Raises NotFound,
    Conflict when the run cannot be undone (any more), and SyncBusy while another run works on the same server.
    """
    began, now = time.monotonic(), context.clock()
    with context.reading() as session:
        server_id = find_undoable(session, context, run_id).server_id
    with lease.held(context, f"server:{server_id}", f"undo of run {run_id}") as grip:
        try:
            with context.unit() as session, unsearched():
                lease.confirm(session, grip, now)
                run = find_undoable(session, context, run_id)
                work = _Work(session, context, run)
                work.do()
                report = RunReport(
                    run.kind,
                    run.server_idnumber,
                    run.id,
                    history.PLANNED if dry_run else history.UNDONE,
                    {name: work.told.counts[name] for name in COUNTED},
                    round(time.monotonic() - began, 3),
                    lines=Lines(work.told),
                    origin=run.origin,
                    started=now,
                )
                if dry_run:
                    raise _OnlyAsked  # noqa: TRY301 - leaving the unit by an exception is what takes it back
                run.state = history.UNDONE
                session.execute(delete(Undo).where(Undo.run_id == run_id))
                pause(session, run.kind, server_id, run_id)
                context.audit(session, actor, "run.undone", str(run_id), kind=run.kind)
        except _OnlyAsked:
            return report
    deliver_now(context, work.notices)
    return report


def find_undoable(session: Session, context: Context, run_id: int) -> Run:
    """A run that can be undone. Raises NotFound, and Conflict when it cannot."""
    run = session.get(Run, run_id)
    if run is None:
        raise NotFound(_("There is no run ${id}; `tconnect client run list` shows them.", id=str(run_id)))
    reason = why_not_undone(session, context, run)
    if reason:
        raise Conflict(reason)
    return run


@dataclass(slots=True)
class _Work:
    session: Session
    context: Context
    run: Run
    told: Changes = field(default_factory=Changes)
    notices: list[int] = field(default_factory=list)
    protected: Collection[str] = ()

    def do(self) -> None:
        self.protected = self.context.options(self.session).client_protected_accounts
        for records in open_kept(self.session, self.context, self.run.id):
            self._take_back({record["key"]: record for record in records})
        # Page by page, as links are written meanwhile.
        made = (
            select(Link.person_id, Link.account_key)
            .where(Link.created_by_run == self.run.id, Link.server_id == self.run.server_id)
            .order_by(Link.person_id)
            .limit(BATCH)
        )
        created = self.session.execute(made).all()
        while created:
            self._suspend_created({link.account_key: link.person_id for link in created})
            created = self.session.execute(made.where(Link.person_id > created[-1].person_id)).all()

    def _tell(
        self,
        action: Action,
        person: int | None,
        key: int,
        subject: str,
        reason: str = "",
        values: Mapping[str, Any] | None = None,
        before: Mapping[str, Any] | None = None,
        also: tuple[str, ...] = (),
    ) -> None:
        self.told.append(
            Change(action, USERS, person, key, subject, values or {}, before or {}, reason, also=also)
        )

    def _is_protected(self, account: Mapping[str, Any]) -> bool:
        return bool(account["admin"]) or account["username"] in self.protected

    # --- who was made ------------------------------------------------------------------------------

    def _suspend_created(self, people: Mapping[int, int]) -> None:
        names = ("username", "firstname", "lastname", "admin", "suspended", "deleted")
        accounts = self.context.accounts.fetch(self.session, people, names)
        keys = []
        for key, person in people.items():
            account = accounts.get(key)
            subject = "" if account is None else f"{account['firstname']} {account['lastname']}".strip()
            reason = (
                GONE
                if account is None
                else DELETED_SINCE
                if account["deleted"]
                else SUSPENDED_ALREADY
                if account["suspended"]
                else PROTECTED
                if self._is_protected(account)
                else ""
            )
            self._tell(Action.SKIPPED if reason else Action.SUSPENDED, person, key, subject, reason)
            if not reason:
                keys.append(key)
        now = self.context.clock()
        self.context.accounts.update(
            self.session, {key: {"suspended": 1, "timemodified": now} for key in keys}
        )
        self._flag(dict.fromkeys(keys, True))
        self.notices += sessions.end_of_accounts(self.session, self.context, keys, "sync")

    # --- who was here ------------------------------------------------------------------------------

    def _take_back(self, records: dict[int, dict[str, Any]]) -> None:
        session, accounts = self.session, self.context.accounts
        current = accounts.fetch(session, records, (*LOCAL, "admin"))
        links = {
            link.account_key: link
            for some in in_batches(records)
            for link in session.execute(
                select(Link.account_key, Link.person_id, Link.suspended_by_sync).where(
                    among(Link.account_key, some), Link.server_id == self.run.server_id
                )
            )
        }
        taken = self._taken_fields(records)
        values: dict[int, dict[str, Any]] = {}
        kept: dict[int, list[str]] = {}
        flags: dict[int, bool] = {}
        for key, record in records.items():
            link, account = links.get(key), current.get(key)
            reason = self._why_skipped(record, account, link, taken.get(key, ()))
            if account is None or link is None or reason:
                self._tell(Action.SKIPPED, record["person"], key, record["subject"], reason)
                continue
            values[key], kept[key] = _former(
                record,
                account,
                is_suspended_by_sync=link.suspended_by_sync,
                taken=taken.get(key, ()),
            )
            if "suspended" in values[key]:
                flags[key] = bool(values[key]["suspended"])
        unlinked = [key for key in values if Action.LINKED in records[key]["actions"]]
        restored = restore_rows(session, self.run.server_id, {key: records[key]["rows"] for key in values})
        for key, names in restored.left.items():
            kept[key] += names
        # What they have got since goes too.
        accounts.mark_deleted(session, [key for key in values if Action.UNDELETED in records[key]["actions"]])
        now = self.context.clock()
        accounts.update(session, {key: {**each, "timemodified": now} for key, each in values.items()})
        self._flag(flags)
        for some in in_batches(unlinked):
            session.execute(delete(Link).where(among(Link.account_key, some)))
        leaving = [key for key, each in values.items() if each.get("suspended") or each.get("deleted")]
        self.notices += sessions.end_of_accounts(session, self.context, [*leaving, *unlinked], "sync")
        for key, each in values.items():
            self._tell_of(
                records[key],
                current[key],
                each,
                kept[key],
                restored.told.get(key, ()),
                has_effect=bool(each) or key in restored.changed,
            )

    def _why_skipped(
        self,
        record: Mapping[str, Any],
        account: Mapping[str, Any] | None,
        link: Any,
        taken: Collection[str],
    ) -> str:
        fields, actions = record["fields"], record["actions"]
        if account is None:
            return GONE
        has_auth = self.context.accounts.columns.read("auth") is not None
        if link is None or link.person_id != record["person"] or (has_auth and account["auth"] != rules.AUTH):
            return NOT_LINKED
        if Action.DELETED in actions:
            if not account["deleted"]:
                return BACK_ALREADY
        elif account["deleted"]:
            return DELETED_SINCE
        if Action.DELETED in actions and "username" in taken:
            return _("the user name ${name} belongs to another account now", name=fields["username"][0])
        takes_away = Action.UNDELETED in actions or fields.get("suspended", [0])[0]
        return PROTECTED if takes_away and self._is_protected(account) else ""

    def _taken_fields(self, records: Mapping[int, Mapping[str, Any]]) -> dict[int, set[str]]:
        """The fields of accounts whose old value is another account's by now, and can be that of one only."""
        taken: dict[int, set[str]] = {}
        for name in _unique_fields(self.context.accounts.columns):
            wanted = {key: each["fields"][name][0] for key, each in records.items() if name in each["fields"]}
            holders = self.context.accounts.matching(self.session, name, filter(None, wanted.values()))
            for key, value in wanted.items():
                # Who gives the value back in the same moment is not in the way.
                if any(each.key not in {key, *wanted} for each in holders.get(value, ())):
                    taken.setdefault(key, set()).add(name)
        return taken

    def _tell_of(
        self,
        record: Mapping[str, Any],
        account: Mapping[str, Any],
        values: Mapping[str, Any],
        kept: list[str],
        extras: Sequence[str],
        *,
        has_effect: bool,
    ) -> None:
        reasons = []
        if Action.LINKED in record["actions"]:
            reasons.append(_("is a local account again"))
        if kept:
            reasons.append(_("changed since, and left: ${names}", names=", ".join(sorted(set(kept)))))
        if not reasons and not has_effect:
            reasons.append(AS_BEFORE)
        action = (
            Action.UNDELETED
            if Action.DELETED in record["actions"]
            else Action.DELETED
            if Action.UNDELETED in record["actions"]
            else Action.SKIPPED
            if not has_effect
            else Action.UPDATED
            if "suspended" not in values
            else Action.SUSPENDED
            if values["suspended"]
            else Action.UNSUSPENDED
        )
        differing = {name: value for name, value in values.items() if account[name] != value}
        before = {name: account[name] for name in differing}
        also: list[str] = []
        if action in {Action.SUSPENDED, Action.UNSUSPENDED}:
            # A line of these tells no values by itself: in a run of people they have one of their own.
            also += (told(name, before[name], differing[name]) for name in differing if name != "suspended")
        if action not in {Action.DELETED, Action.UNDELETED}:
            # Else all they have goes or comes, which a run of people does not list either.
            also += extras
        self._tell(
            action,
            record["person"],
            record["key"],
            record["subject"],
            listed(reasons),
            differing,
            before,
            shortened(also),
        )

    def _flag(self, flags: Mapping[int, bool]) -> None:
        for flag in (False, True):
            for some in in_batches(key for key, each in flags.items() if each is flag):
                self.session.execute(
                    update(Link).where(among(Link.account_key, some)).values(suspended_by_sync=flag)
                )


def _unique_fields(columns: ColumnMap) -> list[str]:
    """The fields of which no two accounts may have the same value; an email address only where the table says so."""
    names = ["username", "idnumber"]
    email = columns.fields.get("email")
    alone = [
        {column.name for column in each.columns}
        for each in (*columns.table.constraints, *columns.table.indexes)
        if isinstance(each, UniqueConstraint) or getattr(each, "unique", False)
    ]
    name = getattr(email, "name", None)
    return [*names, "email"] if {name} in alone else names


def _former(
    record: Mapping[str, Any],
    account: Mapping[str, Any],
    *,
    is_suspended_by_sync: bool,
    taken: Collection[str],
) -> tuple[dict[str, Any], list[str]]:
    """The values that come back, and the fields that somebody has changed since."""
    values, kept = {}, []
    always: Collection[str] = ()
    if Action.LINKED in record["actions"]:
        # What a taken over account logged in with comes back in any case: it is of no other use.
        always = {"auth", "password"}
    elif Action.UNDELETED in record["actions"]:
        # Nobody can be deleted and keep what is to be free for others.
        always = {"deleted", "username", "email", "idnumber"}
    for name, (old, new) in record["fields"].items():
        is_lifted = name == "suspended" and Action.SUSPENDED in record["actions"] and not is_suspended_by_sync
        if name in always or (account[name] == new and not is_lifted and name not in taken):
            values[name] = old
        elif account[name] != old or is_lifted:
            kept.append(name)
    return values, kept
