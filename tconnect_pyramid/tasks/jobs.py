"""What each task does: one call into the domain for every server or site, and a line for the log.

Arguments are ids only, as messages and logs show them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from tconnect_pyramid import sessions
from tconnect_pyramid.client import cleanup as client_cleanup
from tconnect_pyramid.client.connecting import handshake as shake_hands
from tconnect_pyramid.client.leaving import retry_leaving
from tconnect_pyramid.client.servers import ServerView, list_servers
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.context import Context
from tconnect_pyramid.delivery.outbox import sweep
from tconnect_pyramid.errors import NotFound, SyncBusy, TConnectError
from tconnect_pyramid.server import cleanup as server_cleanup
from tconnect_pyramid.server.keepalive import end_idle_sign_ins
from tconnect_pyramid.texts import Text, listed, plural
from tconnect_pyramid.texts import text as _

log = logging.getLogger(__name__)

ORIGIN = "schedule"
STATES: Mapping[str, Text] = MappingProxyType(
    {
        "done": _("done"),
        "partial": _("partly done"),
        "failed": _("failed"),
        "held": _("held until somebody decides"),
    }
)
"""How a run ended, in the words of a task's result."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task did, in words, and the ids of the servers with which another run was under way.

    `failed`: with one server at least it did not succeed.
    """

    text: str
    busy: tuple[int, ...] = ()
    failed: bool = False


def handshake(context: Context, servers: Sequence[int] | None = None) -> Outcome:
    """Agree with each server on the version of the protocol (protocol 10)."""
    texts = []
    failed = False
    for server in _active_servers(context, servers):
        try:
            version = shake_hands(context, server.id)
            texts.append(_("${server}: version ${version}", server=server.name, version=version))
        except TConnectError as error:
            # One server that is down must not keep the others from theirs.
            log.warning("Handshake with %s failed: %s", server.name, error)
            texts.append(_("${server}: failed", server=server.name))
            failed = True
    return _outcome(texts, failed=failed)


def positions(context: Context, servers: Sequence[int] | None = None, origin: str = ORIGIN) -> Outcome:
    """Bring positions in step with each server."""
    return _sync(context, "positions", servers, origin)


def organisations(context: Context, servers: Sequence[int] | None = None, origin: str = ORIGIN) -> Outcome:
    """Bring organisations in step with each server."""
    return _sync(context, "organisations", servers, origin)


def users(context: Context, servers: Sequence[int] | None = None, origin: str = ORIGIN) -> Outcome:
    """Bring people in step with each server."""
    return _sync(context, "users", servers, origin)


def reconcile(context: Context, servers: Sequence[int] | None = None, origin: str = ORIGIN) -> Outcome:
    """Compare the accounts of people themselves with what each server says, and set right what was changed here."""
    return _sync(context, "users", servers, origin, reconcile=True)


def collections(context: Context, servers: Sequence[int] | None = None, origin: str = ORIGIN) -> Outcome:
    """Bring audiences and courses in step with each server."""
    return _sync(context, "collections", servers, origin)


def cleanup(context: Context) -> Outcome:
    """Remove what nobody needs any more, in both roles; ask servers again that have not let this site go."""
    requests = client_cleanup.cleanup(context)
    clients = server_cleanup.cleanup(context)
    with context.unit() as session:
        signins = sessions.forget_old(session, context.clock())
    texts: list[str] = [
        _(
            "removed: ${requests} of the client role, ${clients} of the server role, ${signins} old sign-ins",
            requests=requests,
            clients=clients,
            signins=signins,
        )
    ]
    for left in retry_leaving(context):
        if not left.confirmed:
            log.warning("Leaving a server: %s", left.message)
        texts.append(left.message)
    return _outcome(texts)


def end_timed_out(context: Context) -> Outcome:
    """End sign-ins that nobody has used for too long, here or at a client (protocol 7.5)."""
    return Outcome(plural("ended ${number} sign-in", "ended ${number} sign-ins", end_idle_sign_ins(context)))


def deliver(context: Context) -> Outcome:
    """Send the notices that are due."""
    delivered = sweep(context)
    return Outcome(
        _(
            "${confirmed} confirmed, ${failed} failed",
            confirmed=delivered.confirmed,
            failed=delivered.failed,
        )
    )


JOBS: Mapping[str, Callable[..., Outcome]] = MappingProxyType(
    {
        "handshake": handshake,
        "positions": positions,
        "organisations": organisations,
        "users": users,
        "collections": collections,
        "reconcile": reconcile,
        "cleanup": cleanup,
        "sessions": end_timed_out,
        "outbox": deliver,
    }
)
"""By the name of the task in the table."""


def _sync(
    context: Context, kind: str, servers: Sequence[int] | None, origin: str, *, reconcile: bool = False
) -> Outcome:
    texts = []
    busy = []
    failed = False
    for server in _active_servers(context, servers):
        try:
            report = run_sync(context, kind, server.id, origin=origin, reconcile=reconcile)
        except SyncBusy:
            busy.append(server.id)
            texts.append(_("${server}: another run is under way", server=server.name))
            continue
        except NotFound:
            # It was removed a moment ago.
            continue
        if not report.asked:
            # Switched off, or unknown to this server: so it is every hour, and nobody needs to read it.
            continue
        level = logging.INFO if report.state == "done" else logging.WARNING
        log.log(level, "Sync of %s with %s: %s. %s", kind, server.name, report.state, report.message)
        texts.append(
            _("${server}: ${state}", server=server.name, state=STATES.get(report.state, report.state))
        )
        failed = failed or report.state == "failed"
    return _outcome(texts, busy, failed=failed)


def _active_servers(context: Context, wanted: Sequence[int] | None) -> list[ServerView]:
    with context.reading() as session:
        if not context.options(session).client_enabled:
            return []
        active = list_servers(session, active_only=True)
    return [server for server in active if wanted is None or server.id in wanted]


def _outcome(texts: Sequence[str], busy: Sequence[int] = (), *, failed: bool = False) -> Outcome:
    return Outcome(listed(texts) or _("nothing to do"), tuple(busy), failed)
