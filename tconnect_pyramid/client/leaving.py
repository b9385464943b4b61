"""Leaving a server: its people and things become this site's own, then the server is told (protocol 9).

Everything here is done in one transaction, under the lease of the server's runs, so that it happens wholly
or not at all. The server's row stays as `leaving` until the server has confirmed, so that neither side is
registered twice.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from tconnect_pyramid import sessions
from tconnect_pyramid.client.servers import ACTIVE, LEAVING
from tconnect_pyramid.client.sync import lease
from tconnect_pyramid.client.sync.history import HELD, reject
from tconnect_pyramid.context import Context
from tconnect_pyramid.delivery.outbox import NOW_LIMIT, deliver_now
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound, PeerError
from tconnect_pyramid.models import (
    Approval,
    Audience,
    AwaitedMember,
    Collection,
    Counterpart,
    Group,
    Link,
    Notice,
    Organisation,
    Position,
    Run,
    Server,
    ServerSession,
    SignIn,
    SignInRequest,
)
from tconnect_pyramid.options import host_lets_in, set_option
from tconnect_pyramid.peers import ServerPeer, call_server, server_peer
from tconnect_pyramid.protocol import jsend, services
from tconnect_pyramid.secretbox import CannotDecrypt
from tconnect_pyramid.texts import read
from tconnect_pyramid.texts import text as _

Choice = Literal["keep", "suspend", "delete"]
"""What becomes of the accounts of the server's people."""
NewAuth = Literal["manual", "nologin"]
"""By what the accounts log in afterwards: a password kept here, or nothing."""

AUTO_SIGN_IN = "client.auto_sign_in"
OF_A_SYNC = services.CLIENT_COMPONENT
"""The component of everything that a sync owns."""

# What the server says once it does not know this client any more: there is nothing left to confirm.
GONE_THERE = frozenset({services.invalid_server_secret().reason, services.client_not_active().reason})


@dataclass(frozen=True, slots=True)
class Effect:
    """What leaving does to what came from the server, as numbers.

    `spared`: the user names of administrators and protected accounts, which are kept whatever was chosen.
    """

    kept: int
    suspended: int
    deleted: int
    spared: tuple[str, ...]
    sign_ins: int
    audiences: int
    positions: int
    organisations: int

    @property
    def accounts(self) -> int:
        """How many accounts it is about; deleted ones are not counted."""
        return self.kept + self.suspended + self.deleted


@dataclass(frozen=True, slots=True)
class Left:
    """How far leaving got. Without `confirmed` the server does not know yet, or the end was forced.

    `ended`: the connection is gone here. `effect` is None when all was done by an earlier try.
    """

    confirmed: bool
    ended: bool
    message: str
    effect: Effect | None = None

    @property
    def accounts(self) -> int:
        """How many accounts became this site's own by this try."""
        return 0 if self.effect is None else self.effect.accounts


def leave(
    context: Context,
    server_id: int,
    *,
    accounts: Choice | None,
    new_auth: NewAuth = "manual",
    force: bool = False,
    actor: str,
) -> Left:
    """End the connection with a server for good; called again, it only asks the server again.

    `accounts` may be None only in a later try. `force` ends it here whatever the server says. A server that
    does not answer is told by the result. Raises NotFound, SyncBusy while a sync of this server is under way,
    InvalidInput without a choice or for one that the account table cannot keep, and Conflict when nobody
    could log in to this site afterwards.
    """
    with context.reading() as session:
        state = _find(session, server_id).state
    effect = None
    if state != LEAVING:
        if accounts is None:
            raise InvalidInput(
                "accounts", _("Say what becomes of the server's people: keep, suspend or delete.")
            )
        effect = _let_go(context, server_id, accounts, new_auth, actor)
    return _tell(context, server_id, effect, force=force, actor=actor)


def preview(session: Session, context: Context, server_id: int, accounts: Choice) -> Effect:
    """What `leave` would do. Raises NotFound."""
    server = _find(session, server_id)
    return _effect(session, server, accounts, _people(session, context, server_id))


def retry_leaving(context: Context) -> list[Left]:
    """Ask each server that has not confirmed yet once more. Never raises for a peer's sake."""
    with context.reading() as session:
        waiting = session.scalars(select(Server.id).where(Server.state == LEAVING).order_by(Server.id)).all()
    return [_tell(context, server_id, None, force=False, actor="schedule") for server_id in waiting]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of accounts. `spared`: as in `Effect`. `notices` are for `deliver_now`, after the commit."""

    kept: int
    suspended: int
    deleted: int
    spared: tuple[str, ...]
    sign_ins: int
    notices: Sequence[int] = ()

    @property
    def accounts(self) -> int:
        """How many accounts it is about; deleted ones are not counted."""
        return self.kept + self.suspended + self.deleted


def settle(
    session: Session,
    context: Context,
    keys: Sequence[int],
    *,
    accounts: Choice,
    new_auth: NewAuth,
    only_look: bool = False,
) -> Settled:
    """Make accounts this site's own as `leave` does, without any server; `only_look` changes nothing.

    Raises InvalidInput for a choice that the account table cannot keep.
    """
    check_new_auth(context, new_auth)
    people = _sort_out(session, context, keys)
    number = len(people.others)
    sign_ins = _sign_ins_of(session, people)
    notices: Sequence[int] = ()
    if not only_look:
        notices = sessions.end(session, context, sign_ins, "left")
        _settle_accounts(session, context, people, accounts, new_auth)
    return Settled(
        kept=len(people.spared) + (number if accounts == "keep" else 0),
        suspended=number if accounts == "suspend" else 0,
        deleted=number if accounts == "delete" else 0,
        spared=() if accounts == "keep" else tuple(sorted(people.spared.values())),
        sign_ins=len(sign_ins),
        notices=notices,
    )


def linked_to(session: Session, server_id: int) -> set[int]:
    """The keys of the accounts that came from a server."""
    return set(session.scalars(select(Link.account_key).where(Link.server_id == server_id)))


def check_new_auth(context: Context, new_auth: NewAuth) -> None:
    """Raises InvalidInput where the accounts of this site cannot be kept without a log-in."""
    if new_auth == "nologin" and not context.accounts.columns.takes("auth"):
        raise InvalidInput(
            "new_auth", _("new_auth: the accounts of this site do not keep how people log in; choose manual.")
        )


@dataclass(frozen=True, slots=True)
class _People:
    """The linked accounts: keys of all, and of those not deleted the ones to spare (with names) and the rest."""

    linked: Sequence[int]
    spared: Mapping[int, str]
    others: Sequence[int]


def _find(session: Session, server_id: int) -> Server:
    row = session.get(Server, server_id)
    if row is None:
        raise NotFound(_("There is no server with the id ${id}.", id=str(server_id)))
    return row


def _let_go(context: Context, server_id: int, accounts: Choice, new_auth: NewAuth, actor: str) -> Effect:
    check_new_auth(context, new_auth)
    holder = f"leaving it, process {os.getpid()}"
    with (
        lease.held(context, f"server:{server_id}", holder) as grip,
        context.unit() as session,
    ):
        lease.confirm(session, grip, context.clock())
        server = _find(session, server_id)
        _stop_sign_ins(session, context, server)
        people = _people(session, context, server_id)
        effect = _effect(session, server, accounts, people)
        notices = sessions.end(session, context, _sign_ins(session, server_id, people), "left")
        _settle_accounts(session, context, people, accounts, new_auth)
        _release(session, server)
        _forget(session, server)
        context.audit(
            session,
            actor,
            "client.server.leave",
            server.idnumber,
            name=server.name,
            accounts=accounts,
            new_auth=new_auth,
            kept=effect.kept,
            suspended=effect.suspended,
            deleted=effect.deleted,
        )
    # To clients of this site, to which a sign-in may have been carried on.
    deliver_now(context, notices)
    return effect


def _stop_sign_ins(session: Session, context: Context, server: Server) -> None:
    others = select(Server.id).where(Server.state == ACTIVE, Server.id != server.id).limit(1)
    options = context.options(session)
    has_another = options.auth_manual or host_lets_in(options, context.auth_methods)
    # Where the client role is off, nobody logs in through this server anyway.
    if options.client_enabled and not has_another and session.scalar(others) is None:
        raise Conflict(
            _(
                "Nobody could log in to this site any more: ${name} is its only server, and passwords are not "
                "accepted here. Enable Manual accounts first, in Manage authentication or with `tconnect auth enable manual`.",
                name=server.name,
            )
        )
    server.state = LEAVING
    server.timemodified = context.clock()
    session.flush()
    session.execute(delete(SignInRequest).where(SignInRequest.server_id == server.id))
    # One that the ini fixes cannot be taken back; it does nothing, as ids are never used again.
    if options.client_auto_sign_in == server.id and AUTO_SIGN_IN not in context.settings.fixed:
        set_option(session, context.settings, AUTO_SIGN_IN, "", context.clock())


def _people(session: Session, context: Context, server_id: int) -> _People:
    linked = session.scalars(
        select(Link.account_key).where(Link.server_id == server_id).order_by(Link.account_key)
    ).all()
    return _sort_out(session, context, linked)


def _sort_out(session: Session, context: Context, linked: Sequence[int]) -> _People:
    protected = context.options(session).client_protected_accounts
    spared = {}
    others = []
    found = context.accounts.fetch(session, linked, ("username", "deleted", "admin"))
    for key, values in found.items():
        if values["deleted"]:
            continue
        if values["admin"] or values["username"] in protected:
            spared[key] = str(values["username"])
        else:
            others.append(key)
    return _People(linked, spared, others)


def _effect(session: Session, server: Server, accounts: Choice, people: _People) -> Effect:
    number = len(people.others)
    return Effect(
        kept=len(people.spared) + (number if accounts == "keep" else 0),
        suspended=number if accounts == "suspend" else 0,
        deleted=number if accounts == "delete" else 0,
        spared=() if accounts == "keep" else tuple(sorted(people.spared.values())),
        sign_ins=len(_sign_ins(session, server.id, people)),
        audiences=_count(session, Collection, Collection.server_id == server.id),
        positions=_count(session, Counterpart, *_counterparts(server.id, "position")),
        organisations=_count(session, Counterpart, *_counterparts(server.id, "organisation")),
    )


def _count(session: Session, table: type[Any], *conditions: Any) -> int:
    return session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0


def _counterparts(server_id: int, kind: str) -> tuple[Any, Any]:
    return Counterpart.server_id == server_id, Counterpart.kind == kind


def _sign_ins(session: Session, server_id: int, people: _People) -> list[int]:
    """The live sign-ins of the server's people, and those that came from it, whosever they are."""
    came = session.scalars(
        select(SignIn.id)
        .join(ServerSession, ServerSession.signin_id == SignIn.id)
        .where(ServerSession.server_id == server_id, SignIn.ended.is_(None))
    )
    return sorted({*came, *_sign_ins_of(session, people)})


def _sign_ins_of(session: Session, people: _People) -> list[int]:
    """The live sign-ins of these people."""
    found: list[int] = []
    for some in in_batches(people.linked):
        found += session.scalars(
            select(SignIn.id).where(SignIn.account_key.in_(some), SignIn.ended.is_(None))
        )
    return sorted(found)


def _settle_accounts(
    session: Session, context: Context, people: _People, accounts: Choice, new_auth: NewAuth
) -> None:
    now = context.clock()
    own: dict[str, Any] = {"auth": new_auth, "timemodified": now}
    for some in in_batches(people.spared):
        context.accounts.update(session, dict.fromkeys(some, own))
    values = {
        "keep": own,
        "suspend": {**own, "suspended": 1},
        # The auth method of a deleted account stays (protocol 9).
        "delete": {"timemodified": now},
    }[accounts]
    for some in in_batches(people.others):
        context.accounts.update(session, dict.fromkeys(some, values))
        if accounts == "delete":
            context.accounts.mark_deleted(session, some)


def _release(session: Session, server: Server) -> None:
    """Give audiences, positions and organisations to those who keep them by hand."""
    for table in (Audience, Group):
        session.execute(
            # By the ID number, not by the mapping: a site whose type was changed has them in both tables.
            update(table)
            .where(
                table.component == OF_A_SYNC,
                table.idnumber.endswith(f"_{server.idnumber}", autoescape=True),
            )
            .values(component="")
        )
    for item, kind in ((Position, "position"), (Organisation, "organisation")):
        ours = select(Counterpart.local_id).where(*_counterparts(server.id, kind))
        session.execute(update(item).where(item.id.in_(ours)).values(component=""))


def _forget(session: Session, server: Server) -> None:
    """Drop every mapping, and what was waiting for a decision."""
    collections = select(Collection.id).where(Collection.server_id == server.id)
    session.execute(delete(AwaitedMember).where(AwaitedMember.collection_id.in_(collections)))
    for table in (Link, Collection, Counterpart, ServerSession, Approval):
        session.execute(delete(table).where(table.server_id == server.id))
    waits = select(Run.id, Run.message).where(Run.server_id == server.id, Run.state == HELD)
    for id_, message in session.execute(waits).all():
        reject(session, id_, _("${message} (This site has left the server.)", message=read(message)))


def _tell(context: Context, server_id: int, effect: Effect | None, *, force: bool, actor: str) -> Left:
    """Ask the server to forget this client, outside any transaction; the row goes once it has."""
    with context.reading() as session:
        row = session.get(Server, server_id)
        if row is None:
            # Another try was confirmed a moment ago.
            return Left(True, True, _("This site has left the server already."), effect)
        name = row.name
    problem = _ask(context, server_id)
    confirmed = not problem
    if not confirmed and not force:
        return Left(
            False,
            False,
            _(
                "${name} has not confirmed yet: ${problem} It is asked again every hour; `tconnect client server "
                "leave ${id}` asks at once, and with --force ends the connection without it.",
                name=name,
                problem=problem,
                id=str(server_id),
            ),
            effect,
        )
    with context.unit() as session:
        session.execute(delete(Notice).where(Notice.role == "server", Notice.peer_id == server_id))
        gone = session.execute(
            delete(Server).where(Server.id == server_id, Server.state == LEAVING).returning(Server.idnumber)
        ).scalar()
        if gone is not None:
            context.audit(session, actor, "client.server.left", gone, name=name, confirmed=confirmed)
    if confirmed:
        return Left(True, True, _("This site has left ${name}.", name=name), effect)
    return Left(
        False,
        True,
        _(
            "This site has left ${name}, which does not know it: ${problem} Let the administrator there remove the "
            "client.",
            name=name,
            problem=problem,
        ),
        effect,
    )


def _ask(context: Context, server_id: int) -> str:
    """Send `delete_client`; gives a sentence about why that is not confirmed, empty when it is."""
    try:
        with context.reading() as session:
            peer = server_peer(context.box, _find(session, server_id))
        _send_waiting(context, peer)
        result = call_server(context, peer, services.DELETE_CLIENT)
    except CannotDecrypt as error:
        return error.text
    except PeerError as error:
        return error.reason if error.reason.endswith(".") else _("${reason}.", reason=error.reason)
    if isinstance(result, jsend.Success):
        return ""
    said = jsend.describe(result)
    if isinstance(result, jsend.Error) and said in GONE_THERE:
        return ""
    return _("it answers ${answer}.", answer=repr(said.rstrip(".")))


def _send_waiting(context: Context, peer: ServerPeer) -> None:
    """Send the log-outs that people asked for before: afterwards the server takes none from here."""
    with context.reading() as session:
        waiting = session.scalars(
            select(Notice.id)
            .where(Notice.role == "server", Notice.peer_id == peer.id, Notice.given_up.is_(None))
            .order_by(Notice.id)
        ).all()
    for some in in_batches(waiting, NOW_LIMIT):
        if not deliver_now(context, some).confirmed:
            break
