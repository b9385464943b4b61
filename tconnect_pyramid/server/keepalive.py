"""Time-outs of sign-ins: the clients are asked first, one active client keeps it alive (protocol 7.5)."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import select, update

from tconnect_pyramid import sessions
from tconnect_pyramid.context import Context
from tconnect_pyramid.delivery.outbox import deliver_now
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.errors import PeerError
from tconnect_pyramid.models import Client, ClientSession, SignIn
from tconnect_pyramid.peers import ClientPeer, call_client, client_peer
from tconnect_pyramid.protocol import jsend, replies, services
from tconnect_pyramid.secretbox import CannotDecrypt
from tconnect_pyramid.server.clients import ACTIVE

ASK_SECONDS = 10.0
"""How long one client may take to answer (protocol 1)."""
TOTAL_SECONDS = 45.0
"""How long one round takes at most; whoever was not asked by then is asked by the next one."""
ASK_AHEAD_SECONDS = 120
"""How long before the time-out the clients are asked: a round comes every minute, and the sign-in
of somebody who is active elsewhere must not lapse between two of them."""
PARALLEL = 8
"""Questions to one client at the same time."""
MOST_PARALLEL = 64
"""Questions at the same time: with that many clients or fewer, none waits for another to answer."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Question:
    signin_id: int
    client: ClientPeer
    ssotoken: str


def end_idle_sign_ins(context: Context, *, seconds: float = TOTAL_SECONDS) -> int:
    """End the sign-ins that have timed out here and at every client; gives how many ended.

    `seconds` is the time for asking; nothing is written for a sign-in whose clients could not be asked in it.
    """
    with context.reading() as session:
        timeout = context.options(session).session_timeout
        latest = context.clock() - timeout
        # A short time-out leaves less room: whoever was active within half of it is not asked about.
        ahead = min(ASK_AHEAD_SECONDS, timeout // 2)
        idle = session.scalars(
            select(SignIn.id).where(SignIn.ended.is_(None), SignIn.last_seen < latest + ahead)
        ).all()
        questions = [
            question
            for some in in_batches(idle)
            for row, client in session.execute(
                select(ClientSession, Client)
                .join(Client, Client.id == ClientSession.client_id)
                .where(
                    ClientSession.signin_id.in_(some),
                    ClientSession.redeemed.is_not(None),
                    Client.state == ACTIVE,
                )
                .order_by(ClientSession.id)
            )
            for question in _questions(context, row, client)
        ]
    answers = _ask(context, questions, seconds)
    active = {signin_id for signin_id, is_active in answers if is_active}
    unasked = {signin_id for signin_id, is_active in answers if is_active is None}
    return _settle(context, idle, keep=active, leave=unasked, latest=latest)


def _questions(context: Context, row: ClientSession, client: Client) -> list[_Question]:
    """What to ask about one session; nothing where the key is gone that its token is encrypted with."""
    try:
        peer = client_peer(context.box, client)
        return [_Question(row.signin_id, peer, context.box.open(row.token))]
    except CannotDecrypt as error:
        log.warning("The client %s is not asked whether a person is active: %s", client.id, error)
        return []


def _settle(context: Context, idle: Sequence[int], *, keep: set[int], leave: set[int], latest: int) -> int:
    with context.unit() as session:
        for some in in_batches(keep):
            session.execute(
                update(SignIn)
                .where(SignIn.id.in_(some), SignIn.ended.is_(None))
                .values(last_seen=context.clock())
            )
        over: list[int] = []
        for some in in_batches(id_ for id_ in idle if id_ not in keep and id_ not in leave):
            # Asked again: somebody may have come back while the clients were answering.
            over.extend(
                session.scalars(
                    select(SignIn.id)
                    .where(SignIn.id.in_(some), SignIn.ended.is_(None), SignIn.last_seen < latest)
                    .with_for_update()
                )
            )
        notices = sessions.end(session, context, over, "timeout")
    deliver_now(context, notices)
    return len(over)


def _ask(context: Context, questions: Sequence[_Question], seconds: float) -> list[tuple[int, bool | None]]:
    """Who is active where; None when the time of this round was up before the client could be asked.

    All clients are asked at the same time, so that one which hangs holds up nobody's question to another.
    """
    deadline = time.monotonic() + seconds
    queues: dict[int, deque[_Question]] = {}
    for question in questions:
        queues.setdefault(question.client.id, deque()).append(question)
    # The first lane of each client comes before the second of any.
    lanes = [queue for lane in range(PARALLEL) for queue in queues.values() if lane < len(queue)]

    def ask(queue: deque[_Question]) -> list[tuple[int, bool | None]]:
        answers: list[tuple[int, bool | None]] = []
        while True:
            try:
                question = queue.popleft()
            except IndexError:
                return answers
            is_late = deadline - time.monotonic() < ASK_SECONDS
            answers.append((question.signin_id, None if is_late else _is_active(context, question)))

    if not lanes:
        return []
    with ThreadPoolExecutor(max_workers=min(len(lanes), MOST_PARALLEL)) as pool:
        return [answer for answers in pool.map(ask, lanes) for answer in answers]


def _is_active(context: Context, question: _Question) -> bool:
    try:
        result = call_client(
            context,
            question.client,
            services.IS_SSO_USER_ACTIVE,
            timeout=ASK_SECONDS,
            ssotoken=question.ssotoken,
        )
    except PeerError as error:
        log.warning("A client could not be asked whether a person is active: %s", error)
        return False
    return isinstance(result, jsend.Success) and replies.read_activity(result.data)
