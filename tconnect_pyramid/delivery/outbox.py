"""Notices as rows, written in the transaction of their cause; one way to send them."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import Select, delete, select, update
from sqlalchemy.orm import Session

from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.errors import PeerError
from tconnect_pyramid.models import Client, Notice, Server
from tconnect_pyramid.peers import ClientPeer, ServerPeer, call_client, call_server, client_peer, server_peer
from tconnect_pyramid.protocol import jsend
from tconnect_pyramid.secretbox import CannotDecrypt, SecretBox

Role = Literal["client", "server"]
"""Which peers a notice goes to: a `client` of ours, or a `server` of ours."""

NOW_SECONDS = 2.0
"""How long a person waits, at most, for notices to be delivered with their own request."""
NOW_LIMIT = 50
"""More notices than this at once (a sync) are left to the sweep."""
OVERDUE_LIMIT = 5
SWEEP_LIMIT = 200
SWEEP_SECONDS = 50.0
CLAIM_SECONDS = 90
CALL_SECONDS = 10.0
PARALLEL = 8
BACK_OFF = (60, 120, 300, 900, 3600)
"""Seconds until the next try after the first, second, … failure; the last one is repeated."""
GIVE_UP_AFTER = 7 * 24 * 3600
"""A notice older than this is given up, and stays visible as such."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A notice before it is a row: which peer, which service, its parameters."""

    role: Role
    peer_id: int
    service: str
    parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one delivery did: notices confirmed, and those that failed and will be tried again."""

    confirmed: int
    failed: int


@dataclass(frozen=True, slots=True)
class Told:
    """The names of peers by whether all their notices were confirmed."""

    confirmed: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


def about_session(
    box: SecretBox, role: Role, peer_id: int, service: str, sealed_ssotoken: bytes
) -> list[Outgoing]:
    """The notice about a session that an ssotoken names; none when the token cannot be decrypted.

    A key that was taken out after a leak must not keep anybody from ending the sign-in here.
    """
    try:
        ssotoken = box.open(sealed_ssotoken)
    except CannotDecrypt as error:
        log.warning("The %s %s is not told by %s: %s", role, peer_id, service, error)
        return []
    return [Outgoing(role, peer_id, service, (("ssotoken", ssotoken),))]


def enqueue(session: Session, box: SecretBox, notices: Sequence[Outgoing], now: int) -> list[int]:
    """Write notices in the caller's transaction; gives their ids, for `deliver_now` after its commit."""
    rows = [
        Notice(
            role=notice.role,
            peer_id=notice.peer_id,
            service=notice.service,
            parameters=box.seal(json.dumps(notice.parameters)),
            timecreated=now,
            due=now,
        )
        for notice in notices
    ]
    session.add_all(rows)
    session.flush()
    return [row.id for row in rows]


def deliver_now(context: Context, ids: Sequence[int]) -> Delivered:
    """Send these notices and a few overdue ones, as the last act of a request: 2 s at most.

    What is not confirmed by then stays for the sweep, as do more than 50 at once. Never raises for
    a peer's sake: signing out works while every peer is down.
    """
    if not ids or len(ids) > NOW_LIMIT:
        return Delivered(0, 0)
    with context.reading() as session:
        overdue = session.scalars(
            _due(context.clock()).where(Notice.id.not_in(ids)).limit(OVERDUE_LIMIT)
        ).all()
    return _deliver(context, [*ids, *overdue], seconds=NOW_SECONDS)


def tell_now(context: Context, ids: Sequence[int]) -> Told:
    """As `deliver_now`; gives which peers know by then, and which are told as soon as they can be reached."""
    with context.reading() as session:
        peers = _named_peers(session, ids)
    deliver_now(context, ids)
    with context.reading() as session:
        left: set[int] = set()
        for some in in_batches(ids):
            left.update(session.scalars(select(Notice.id).where(Notice.id.in_(some))))
    waiting = dict.fromkeys(name for id_, name in peers if id_ in left)
    return Told(
        confirmed=tuple(dict.fromkeys(name for _, name in peers if name not in waiting)),
        waiting=tuple(waiting),
    )


def sweep(context: Context, *, seconds: float = SWEEP_SECONDS) -> Delivered:
    """Send what is due, as a task of its own, for `seconds` at most."""
    with context.reading() as session:
        due = session.scalars(_due(context.clock()).limit(SWEEP_LIMIT)).all()
    return _deliver(context, due, seconds=seconds)


def retry_all(session: Session, now: int) -> int:
    """Make every waiting or given-up notice due now; gives how many there are."""
    ids = session.scalars(select(Notice.id)).all()
    session.execute(update(Notice).values(due=now, claimed_until=0, given_up=None))
    return len(ids)


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A notice to be sent. `problem`: why it cannot be; `peer` None: there is nobody any more to send it to."""

    id: int
    service: str
    peer: ClientPeer | ServerPeer | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


def _named_peers(session: Session, ids: Sequence[int]) -> list[tuple[int, str]]:
    named: list[tuple[int, str]] = []
    for role, table in (("client", Client), ("server", Server)):
        for some in in_batches(ids):
            statement = select(Notice.id, table.name).join(table, table.id == Notice.peer_id)
            found = session.execute(statement.where(Notice.role == role, Notice.id.in_(some)))
            named.extend((id_, name) for id_, name in found)
    return sorted(named)


def _due(now: int) -> Select[int]:
    return (
        select(Notice.id)
        .where(Notice.due <= now, Notice.claimed_until < now, Notice.given_up.is_(None))
        .order_by(Notice.due, Notice.id)
    )


def _deliver(context: Context, ids: Sequence[int], *, seconds: float) -> Delivered:
    if not ids:
        return Delivered(0, 0)
    deadline = time.monotonic() + seconds
    with context.unit() as session:
        claimed = _claim(session, context, ids)
    with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
        outcomes = list(pool.map(lambda notice: _send(context, notice, deadline), claimed))
    errors = {notice.id: outcome for notice, outcome in zip(claimed, outcomes, strict=True)}
    with context.unit() as session:
        _settle(session, errors, context.clock())
    failed = sum(1 for outcome in outcomes if outcome)
    return Delivered(confirmed=len(outcomes) - failed, failed=failed)


def _claim(session: Session, context: Context, ids: Sequence[int]) -> list[_Claimed]:
    now = context.clock()
    taken = session.scalars(
        # One statement decides who sends: of two senders, only one sees the row unclaimed.
        update(Notice)
        .where(Notice.id.in_(ids), Notice.claimed_until < now)
        .values(claimed_until=now + CLAIM_SECONDS)
        .returning(Notice.id)
    ).all()
    rows = session.scalars(select(Notice).where(Notice.id.in_(taken)).order_by(Notice.id)).all()
    return [_opened(session, context, row) for row in rows]


def _opened(session: Session, context: Context, row: Notice) -> _Claimed:
    try:
        parameters = dict(json.loads(context.box.open(row.parameters)))
        return _Claimed(row.id, row.service, _peer(session, context, row), parameters)
    except CannotDecrypt as error:
        # The others must not wait until somebody finds the key.
        return _Claimed(row.id, row.service, problem=str(error))


def _peer(session: Session, context: Context, notice: Notice) -> ClientPeer | ServerPeer | None:
    if notice.role == "client":
        client = session.get(Client, notice.peer_id)
        return client_peer(context.box, client) if client and client.state == "active" else None
    server = session.get(Server, notice.peer_id)
    return server_peer(context.box, server) if server else None


def _send(context: Context, notice: _Claimed, deadline: float) -> str:
    """The reason why the notice must be sent again; empty when it is done with."""
    if notice.problem:
        return notice.problem
    if notice.peer is None:
        return ""
    remaining = min(CALL_SECONDS, deadline - time.monotonic())
    if remaining <= 0:
        return "not sent yet: the time for this delivery was used up"
    try:
        if isinstance(notice.peer, ClientPeer):
            result = call_client(context, notice.peer, notice.service, timeout=remaining, **notice.parameters)
        else:
            result = call_server(context, notice.peer, notice.service, timeout=remaining, **notice.parameters)
    except PeerError as error:
        return str(error)
    # A `fail` is about the parameters: the same call can never succeed, so it is done with.
    return f"refused: {jsend.describe(result)}" if isinstance(result, jsend.Error) else ""


def _settle(session: Session, errors: Mapping[int, str], now: int) -> None:
    done = [id_ for id_, error in errors.items() if not error]
    session.execute(delete(Notice).where(Notice.id.in_(done)))
    for row in session.scalars(select(Notice).where(Notice.id.in_([i for i, e in errors.items() if e]))):
        row.last_error = errors[row.id]
        row.due = now + BACK_OFF[min(row.attempts, len(BACK_OFF) - 1)]
        row.attempts += 1
        row.claimed_until = 0
        if now - row.timecreated > GIVE_UP_AFTER:
            row.given_up = now
