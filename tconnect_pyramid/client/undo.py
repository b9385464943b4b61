"""Taking back what a run of people did, as far as nobody has changed it since."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, and_, delete, insert, or_, select, update
from sqlalchemy.orm import Session

from tconnect_pyramid import sessions
from tconnect_pyramid.client import accounts as rules
from tconnect_pyramid.client.sync import history, lease
from tconnect_pyramid.client.sync.former import LOCAL, TABLES, open_kept, read_rows
from tconnect_pyramid.client.sync.pause import pause
from tconnect_pyramid.client.sync.plan import USERS, Action
from tconnect_pyramid.client.sync.report import COUNTED, LineView, RunReport
from tconnect_pyramid.context import Context
from tconnect_pyramid.delivery.outbox import deliver_now
from tconnect_pyramid.directory.accounts import forget_digests, in_batches
from tconnect_pyramid.errors import Conflict, NotFound
from tconnect_pyramid.models import Counterpart, Job, Link, Run, Server, Undo
from tconnect_pyramid.texts import text as _

UNDONE_FROM = frozenset({history.DONE, history.PARTIAL})
JOB, COUNTERPART = Job.__tablename__, Counterpart.__tablename__

GONE = _("the account is gone")
NOT_LINKED = _("the account is not this person's any more")
DELETED_SINCE = _("the account was deleted since")
BACK_ALREADY = _("the account is back already")
SUSPENDED_ALREADY = _("the account is suspended already")
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
            with context.unit() as session:
                lease.confirm(session, grip, now)
                run = find_undoable(session, context, run_id)
                work = _Work(session, context, run)
                work.do()
                report = RunReport(
                    run.kind,
                    run.server_idnumber,
                    run.id,
                    history.PLANNED if dry_run else history.UNDONE,
                    {name: work.counts[name] for name in COUNTED},
                    round(time.monotonic() - began, 3),
                    lines=work.lines,
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
    lines: list[LineView] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    notices: list[int] = field(default_factory=list)
    protected: Collection[str] = ()

    def do(self) -> None:
        self.protected = self.context.options(self.session).client_protected_accounts
        for records in open_kept(self.session, self.context, self.run.id):
            self._take_back({record["key"]: record for record in records})
        # A list, as links are written meanwhile.
        created = self.session.execute(
            select(Link.account_key, Link.person_id).where(
                Link.created_by_run == self.run.id, Link.server_id == self.run.server_id
            )
        ).all()
        for some in in_batches(created):
            self._suspend_created({key: person for key, person in some})  # noqa: C416 - no pairs to mypy

    def _tell(self, action: Action, person: int | None, key: int, subject: str, detail: str = "") -> None:
        self.counts[action] += 1
        self.lines.append(LineView(action, person, key, subject, detail))

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
                    Link.account_key.in_(some), Link.server_id == self.run.server_id
                )
            )
        }
        wanted = {
            pair[0]
            for each in records.values()
            for name, pair in each["fields"].items()
            if name == "username"
        }
        holders = accounts.by_username(session, wanted)
        values: dict[int, dict[str, Any]] = {}
        kept: dict[int, list[str]] = {}
        flags: dict[int, bool] = {}
        for key, record in records.items():
            link, account = links.get(key), current.get(key)
            reason = self._why_skipped(record, account, link, holders)
            if account is None or link is None or reason:
                self._tell(Action.SKIPPED, record["person"], key, record["subject"], reason)
                continue
            values[key], kept[key] = _former(record, account, is_suspended_by_sync=link.suspended_by_sync)
            if Action.UNDELETED in record["actions"]:
                values[key]["password"] = None
            if "suspended" in values[key]:
                flags[key] = bool(values[key]["suspended"])
        unlinked = [key for key in values if Action.LINKED in records[key]["actions"]]
        now = self.context.clock()
        accounts.update(session, {key: {**each, "timemodified": now} for key, each in values.items()})
        for key, names in self._restore_rows({key: records[key]["rows"] for key in values}).items():
            kept[key] += names
        self._flag(flags)
        forget_digests(session, values)
        for some in in_batches(unlinked):
            session.execute(delete(Link).where(Link.account_key.in_(some)))
        leaving = [key for key, each in values.items() if each.get("suspended") or each.get("deleted")]
        self.notices += sessions.end_of_accounts(session, self.context, [*leaving, *unlinked], "sync")
        for key, each in values.items():
            self._tell_of(records[key], each, kept[key])

    def _why_skipped(
        self,
        record: Mapping[str, Any],
        account: Mapping[str, Any] | None,
        link: Any,
        holders: Mapping[str, int],
    ) -> str:
        key, fields, actions = record["key"], record["fields"], record["actions"]
        if account is None:
            return GONE
        if link is None or link.person_id != record["person"] or account["auth"] != rules.AUTH:
            return NOT_LINKED
        if Action.DELETED in actions:
            if not account["deleted"]:
                return BACK_ALREADY
        elif account["deleted"]:
            return DELETED_SINCE
        name = fields.get("username", [account["username"]])[0]
        if holders.get(name, key) != key:
            return _("the user name ${name} belongs to another account now", name=name)
        takes_away = Action.UNDELETED in actions or fields.get("suspended", [0])[0]
        return PROTECTED if takes_away and self._is_protected(account) else ""

    def _tell_of(self, record: Mapping[str, Any], values: Mapping[str, Any], kept: list[str]) -> None:
        told = []
        if Action.LINKED in record["actions"]:
            told.append(_("is a local account again"))
        if kept:
            told.append(_("changed since, and left: ${names}", names=", ".join(sorted(set(kept)))))
        has_effect = values or Action.LINKED in record["actions"] or record["rows"]
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
        self._tell(action, record["person"], record["key"], record["subject"], "; ".join(told))

    def _flag(self, flags: Mapping[int, bool]) -> None:
        for flag in (False, True):
            for some in in_batches(key for key, each in flags.items() if each is flag):
                self.session.execute(
                    update(Link).where(Link.account_key.in_(some)).values(suspended_by_sync=flag)
                )

    # --- what belongs to accounts --------------------------------------------------------------------

    def _restore_rows(self, changes: Mapping[int, Mapping[str, Any]]) -> dict[int, list[str]]:
        """Put back rows that went, and remove those that came; gives the tables in which something was changed since."""
        kept: dict[int, list[str]] = {}
        going: dict[str, list[list[Any]]] = {name: [] for name in TABLES}
        coming: dict[str, list[list[Any]]] = {name: [] for name in TABLES}
        keys = [key for key, tables in changes.items() if tables]
        current = read_rows(self.session, keys, TABLES)
        for key, tables in changes.items():
            for name, (before, after) in tables.items():
                old, new, now = (
                    _by_key(TABLES[name], rows) for rows in (before, after, current[name].get(key, []))
                )
                for id_ in sorted(old.keys() | new.keys()):
                    if old.get(id_) == new.get(id_):
                        continue
                    if now.get(id_) != new.get(id_):
                        kept.setdefault(key, []).append(name.removeprefix("tconnect_"))
                        continue
                    going[name] += [now[id_]] if id_ in now else []
                    coming[name] += [old[id_]] if id_ in old else []
        for name in reversed([*TABLES]):
            _remove(self.session, TABLES[name], going[name])
        for name, table in TABLES.items():
            rows = [dict(zip(table.columns.keys(), row, strict=True)) for row in coming[name]]
            for some in in_batches(self._possible(name, rows)):
                self.session.execute(insert(table), some)
        return kept

    def _possible(self, name: str, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The rows that can be written: what some of them refer to may be gone, or have come under another id."""
        session, table = self.session, TABLES[name]
        there = {}
        for column in table.columns:
            for reference in column.foreign_keys:
                ids = {row[column.key] for row in rows if row[column.key] is not None}
                target = reference.column
                there[column] = {
                    id_
                    for some in in_batches(ids)
                    for id_ in session.scalars(select(target).where(target.in_(some)))
                }
        taken = self._taken(name, rows)
        if name == COUNTERPART:
            column = table.c.local_id
            there[column] = {
                id_
                for some in in_batches({row["local_id"] for row in rows})
                for id_ in session.scalars(select(Job.id).where(Job.id.in_(some)))
            }
        for row in rows:
            gone = [
                column
                for column, ids in there.items()
                if row[column.key] is not None and row[column.key] not in ids
            ]
            if any(not column.nullable for column in gone):
                continue
            row.update((column.key, None) for column in gone)
            mine = (row["account_key"], row["idnumber"]) if name == JOB else row.get("remote_id")
            if mine not in taken:
                yield row

    def _taken(self, name: str, rows: list[dict[str, Any]]) -> set[Any]:
        """What must be the only one of its kind and is there: ID numbers of an account's jobs, ids of jobs at the server."""
        taken: set[Any] = set()
        if name == JOB:
            for some in in_batches({row["account_key"] for row in rows}):
                asked = select(Job.account_key, Job.idnumber).where(Job.account_key.in_(some))
                taken.update((key, idnumber) for key, idnumber in self.session.execute(asked))
        elif name == COUNTERPART:
            for some in in_batches({row["remote_id"] for row in rows}):
                counterparts = select(Counterpart.remote_id).where(
                    Counterpart.remote_id.in_(some),
                    Counterpart.kind == "job",
                    Counterpart.server_id == self.run.server_id,
                )
                taken.update(self.session.scalars(counterparts))
        return taken


def _former(
    record: Mapping[str, Any], account: Mapping[str, Any], *, is_suspended_by_sync: bool
) -> tuple[dict[str, Any], list[str]]:
    """The values that come back, and the fields that somebody has changed since."""
    values, kept = {}, []
    # What a taken over account logged in with comes back in any case: it is of no other use.
    always = {"auth", "password"} if Action.LINKED in record["actions"] else frozenset[str]()
    for name, (old, new) in record["fields"].items():
        is_lifted = name == "suspended" and Action.SUSPENDED in record["actions"] and not is_suspended_by_sync
        if name in always or (account[name] == new and not is_lifted):
            values[name] = old
        else:
            kept.append(name)
    return values, kept


def _by_key(table: Table, rows: list[list[Any]]) -> dict[tuple[Any, ...], list[Any]]:
    places = [place for place, column in enumerate(table.columns) if column.primary_key]
    return {tuple(row[place] for place in places): row for row in rows}


def _remove(session: Session, table: Table, rows: list[list[Any]]) -> None:
    keys = [*table.primary_key.columns]
    for some in in_batches(_by_key(table, rows), 100):
        session.execute(
            delete(table).where(
                or_(
                    *(
                        and_(*(column == value for column, value in zip(keys, id_, strict=True)))
                        for id_ in some
                    )
                )
            )
        )
