"""What an administrator does about the link between one person of a server and the account here."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tconnect_pyramid.client import leaving, memberships
from tconnect_pyramid.client import servers as known
from tconnect_pyramid.client.accounts import link_username
from tconnect_pyramid.client.explain import PERSON, deed
from tconnect_pyramid.client.jobs import KIND
from tconnect_pyramid.client.leaving import NewAuth, Settled
from tconnect_pyramid.client.linked import Identity, read_links
from tconnect_pyramid.client.servers import ServerView
from tconnect_pyramid.client.sync import lease
from tconnect_pyramid.client.sync.engine import run_person
from tconnect_pyramid.client.sync.plan import Action
from tconnect_pyramid.client.sync.report import RunReport
from tconnect_pyramid.client.sync.single import Answer, OnePerson, free_account, why_not_taken_over
from tconnect_pyramid.client.syncing import servers_to_ask
from tconnect_pyramid.context import Context
from tconnect_pyramid.delivery.outbox import deliver_now
from tconnect_pyramid.directory.accounts import AccountView
from tconnect_pyramid.directory.usernames import chosen_username
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound, TConnectError, TransactionOpen
from tconnect_pyramid.models import Counterpart, Job, Link, Server
from tconnect_pyramid.peers import server_peer
from tconnect_pyramid.protocol.values import canonical_int
from tconnect_pyramid.texts import text as _


@dataclass(frozen=True, slots=True)
class Tie:
    """Who an account is at which server."""

    server_id: int
    server: str
    server_idnumber: str
    person_id: int
    since: int


@dataclass(frozen=True, slots=True)
class Unlinked:
    """An account that is this site's own. `sign_ins` were ended; `outlook` says what a run now would do about the person."""

    account: AccountView
    tie: Tie
    sign_ins: int
    outlook: tuple[str, ...]


class _OnlyAsked(Exception):
    """Takes back what a dry run did."""

    def __init__(self, done: Unlinked) -> None:
        self.done = done


def tie_of(session: Session, key: int) -> Tie | None:
    """Whose account it is; None for one that came from no server, or from one that was left."""
    row = session.execute(
        select(Server.id, Server.name, Server.idnumber, Link.person_id, Link.timecreated)
        .join(Link, Link.server_id == Server.id)
        .where(Link.account_key == key)
    ).first()
    return None if row is None else Tie(*row)


def can_be_linked(session: Session, context: Context, account: AccountView) -> bool:
    """Whether there is a server of which an account may become a person's, as far as the account itself goes."""
    if not context.options(session).client_enabled or not known.list_servers(session, active_only=True):
        return False
    return not why_not_taken_over(session, context, account) and tie_of(session, account.key) is None


def account_of(session: Session, server_id: int, person_id: int) -> int | None:
    """The key of the account that a person of a server has here, if any."""
    return session.scalar(
        select(Link.account_key).where(Link.person_id == person_id, Link.server_id == server_id)
    )


def only_server(context: Context, who: str | None) -> ServerView:
    """The server with this id or serveridnumber, or the only one there is.

    Raises as `servers_to_ask`, and InvalidInput where there are several.
    """
    found = servers_to_ask(context, who)
    if len(found) > 1:
        names = ", ".join(f"{each.id} ({each.name})" for each in found)
        raise InvalidInput("server", _("There are several servers, say which one: ${names}.", names=names))
    return found[0]


def find_person(context: Context, who: str, server: str | None = None) -> tuple[int, int]:
    """The id of the server and of the person there who is meant.

    `who` is an account here as `Accounts.find` knows it, or `person:` with an id at `server`, see `only_server`.
    Raises NotFound, InvalidInput, and Conflict for an account that came from no server.
    """
    if who.startswith(PERSON):
        return only_server(context, server).id, person_number(who.removeprefix(PERSON))
    with context.reading() as session:
        try:
            account = context.accounts.find(session, who)
        except NotFound as error:
            raise NotFound(
                _(
                    "${problem} A person of a server is named by person:ID, with their id there.",
                    problem=error.text,
                )
            ) from None
        tie = _tied(session, account)
        if server is not None and known.find_server(session, server).id != tie.server_id:
            raise Conflict(_("${account} came from ${server}.", account=account.username, server=tie.server))
    return tie.server_id, tie.person_id


def person_number(text: str) -> int:
    """The id of a person at a server. Raises InvalidInput."""
    number = canonical_int(text.strip())
    if not number:
        raise InvalidInput(
            "person",
            _(
                "Expected the id of the person at the server, a number above 0, found ${text}.",
                text=repr(text),
            ),
        )
    return number


def sync_person(
    context: Context, server_id: int, person_id: int, *, origin: str, dry_run: bool = False
) -> RunReport:
    """Ask a server for one person and bring their account in step, as a run of people does; see `run_person`.

    Whom it does not send any more is treated as `client.removed_person` says.
    """
    return run_person(context, server_id, OnePerson(person_id), origin=origin, dry_run=dry_run)


def relink_person(
    context: Context,
    key: int,
    server_id: int,
    person_id: int,
    *,
    origin: str,
    actor: str,
    dry_run: bool = False,
) -> RunReport:
    """Let a local account be that of a person of a server, as if the person had taken it over by migration.

    It is a run of that person, which can be undone: the account then has its former way to log in again. Raises
    NotFound, SyncBusy, and Conflict when this account, or this person, may not be linked; see `free_account`.
    """
    with context.reading() as session:
        free_account(session, context, server_id, person_id, key)
    who = OnePerson(person_id, key, actor)
    return run_person(context, server_id, who, origin=origin, dry_run=dry_run)


def unlink_person(
    context: Context,
    key: int,
    *,
    new_auth: NewAuth = "manual",
    username: str = "",
    actor: str,
    dry_run: bool = False,
) -> Unlinked:
    """End the link of an account: it stays, as this site's own, as when the server is left.

    Its sign-ins end, it leaves the server's audiences, and its jobs are its own. `username`: the one it has from then
    on; empty: as before. The server is asked for the person, to say what the next run will do; if it cannot be, that is
    told. A dry run changes nothing. Raises NotFound, SyncBusy, InvalidInput for a user name or `new_auth` that
    cannot be kept, and Conflict for an account without a link, for a user name that is taken, and where the next
    run would link the same account again.
    """
    leaving.check_new_auth(context, new_auth)
    name = chosen_username(username) if username else ""
    with context.reading() as session:
        tie = _tied(session, _account(session, context, key))
    answer, problem = _ask(context, tie)

    def unlink(session: Session) -> tuple[Unlinked, Sequence[int]]:
        if _tied(session, _account(session, context, key)) != tie:
            raise Conflict(_("Somebody has changed this link in this moment: try again."))
        _leave_collections(session, context, key, tie, answer)
        settled = _let_go(session, context, key, tie, new_auth, name)
        account = _account(session, context, key)
        outlook = _outlook(session, context, account, tie, answer, problem)
        return Unlinked(account, tie, settled.sign_ins, outlook), settled.notices

    if dry_run:
        return _only_asked(context, unlink)
    holder = f"unlinking, process {os.getpid()}"
    with lease.held(context, f"server:{tie.server_id}", holder) as grip, context.unit() as session:
        lease.confirm(session, grip, context.clock())
        done, notices = unlink(session)
        about = {"id": key, "person": tie.person_id, "server": tie.server_idnumber, "new_auth": new_auth}
        context.audit(session, actor, "account.unlinked", done.account.username, **about)
    deliver_now(context, notices)
    return done


def _only_asked(context: Context, unlink: Callable[[Session], tuple[Unlinked, Sequence[int]]]) -> Unlinked:
    try:
        with context.unit() as session:
            raise _OnlyAsked(unlink(session)[0])  # noqa: TRY301 - what takes it back
    except _OnlyAsked as asked:
        return asked.done


def _leave_collections(session: Session, context: Context, key: int, tie: Tie, answer: Answer | None) -> None:
    link = read_links(session, tie.server_id, [tie.person_id])[tie.person_id]
    sent = None if answer is None else answer.record
    # Else whoever has the id now would come into the audiences of the one who had it.
    is_another = link.in_doubt or (sent is not None and Identity.of(sent).is_another_than(link.identity))
    awaiting = None if is_another else tie.person_id
    memberships.leave(session, context, tie.server_id, key, awaiting=awaiting)


def _let_go(
    session: Session, context: Context, key: int, tie: Tie, new_auth: NewAuth, username: str
) -> Settled:
    settled = leaving.settle(session, context, [key], accounts="keep", new_auth=new_auth)
    jobs = select(Job.id).where(Job.account_key == key)
    session.execute(
        delete(Counterpart).where(
            Counterpart.local_id.in_(jobs), Counterpart.kind == KIND, Counterpart.server_id == tie.server_id
        )
    )
    session.execute(delete(Link).where(Link.person_id == tie.person_id, Link.server_id == tie.server_id))
    if username:
        if context.accounts.by_username(session, [username]).get(username, key) != key:
            raise Conflict(
                _("There is already an account with the user name ${username}.", username=repr(username))
            )
        context.accounts.update(session, {key: {"username": username}})
    return settled


def _outlook(
    session: Session,
    context: Context,
    account: AccountView,
    tie: Tie,
    answer: Answer | None,
    problem: str,
) -> tuple[str, ...]:
    """What a run now would do about a person who has just been unlinked: what the real plan says."""
    is_skipped = answer is None
    told: list[str] = []
    if answer is None:
        told.append(
            _("It is not known what a run now would do about the person: ${problem}", problem=problem)
        )
    else:
        peer = server_peer(context.box, session.get_one(Server, tie.server_id))
        for change in OnePerson(tie.person_id).plan(session, context, peer, answer).changes:
            if change.action is Action.LINKED and change.account_key == account.key:
                raise Conflict(
                    _(
                        "A run now would give the account to the same person again: ${reason}. Switch "
                        "client.migrate_accounts off, or list the account in client.protected_accounts, first.",
                        reason=change.reason,
                    )
                )
            is_skipped = is_skipped or change.action is Action.SKIPPED
            told.append(deed(change.line()))
    if is_skipped and account.username == link_username(tie.person_id, tie.server_idnumber):
        told.append(
            _(
                "As long as this account has the user name ${username}, the person gets no new account, and each run "
                "that lists them is partial: give it another user name, or give it back to the person.",
                username=account.username,
            )
        )
    return tuple(told) or (_("A run of people now would change nothing about this person."),)


def _ask(context: Context, tie: Tie) -> tuple[Answer | None, str]:
    """What the server says of the person, or why that is not known."""
    try:
        with context.reading() as session:
            peer = server_peer(context.box, session.get_one(Server, tie.server_id))
        return OnePerson(tie.person_id).ask(context, peer), ""
    except TransactionOpen:
        raise
    except TConnectError as error:
        return None, error.text


def _account(session: Session, context: Context, key: int) -> AccountView:
    account = context.accounts.view(session, key)
    if account is None:
        raise NotFound(_("There is no account with the id ${id}.", id=str(key)))
    return account


def _tied(session: Session, account: AccountView) -> Tie:
    tie = tie_of(session, account.key)
    if tie is None:
        raise Conflict(
            _(
                "${account} came from no server, so there is no link to change. "
                "`tconnect client explain` says where an account comes from.",
                account=account.username,
            )
        )
    return tie
