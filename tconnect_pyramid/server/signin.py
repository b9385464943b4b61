"""Single sign-on and log-out, the server's half (protocol 5 and 7)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from tconnect_pyramid import sessions
from tconnect_pyramid.context import Context
from tconnect_pyramid.delivery.outbox import about_session, deliver_now, enqueue
from tconnect_pyramid.errors import ActingAsAnother, PeerError, Refused, SignInFailed
from tconnect_pyramid.failures import log_bug
from tconnect_pyramid.models import Client, ClientSession, SignIn
from tconnect_pyramid.peers import PERSON_WAITS, ClientPeer, call_client, client_peer
from tconnect_pyramid.protocol import jsend, paths, services
from tconnect_pyramid.protocol.values import is_token
from tconnect_pyramid.secretbox import digest, new_token
from tconnect_pyramid.server.callers import Caller, may_sign_in
from tconnect_pyramid.server.clients import ACTIVE
from tconnect_pyramid.server.records import person
from tconnect_pyramid.sessions import SignedIn
from tconnect_pyramid.texts import text as _

REDEEM_SECONDS = 60
"""How long an ssotoken can be redeemed."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestingClient:
    """The client that sent a browser here to sign in."""

    id: int
    idnumber: str
    name: str
    url: str


def requesting_client(session: Session, context: Context, clientidnumber: str) -> RequestingClient | None:
    """The active client with this idnumber; None for any other, and while this site is no server."""
    if not is_token(clientidnumber) or not context.options(session).server_enabled:
        return None
    row = session.scalar(select(Client).where(Client.idnumber == clientidnumber, Client.state == ACTIVE))
    return None if row is None else RequestingClient(row.id, row.idnumber, row.name, row.url)


def grant(context: Context, signed_in: SignedIn, client: RequestingClient, requesttoken: str) -> str:
    """Carry a sign-in on to a client; gives the address at the client to send the browser to.

    Raises ActingAsAnother for a sign-in in which somebody acts as this person: it is never carried on.
    Whatever else goes wrong, the browser goes back with `result=error`; the reason is logged.
    """
    if signed_in.acted_by is not None:
        raise ActingAsAnother(
            _(
                "You are acting as ${person}: end that, or cancel logging in at ${client}.",
                person=signed_in.account.fullname,
                client=client.name,
            )
        )
    try:
        ssotoken = _carry_on(context, signed_in, client, requesttoken)
    except (PeerError, SignInFailed) as error:
        log.warning("Account %s was not signed in at %s: %s", signed_in.account.key, client.url, error)
    except Exception as error:  # noqa: BLE001 - a bug must not keep the person from getting back
        log_bug(log, f"Account {signed_in.account.key} was not signed in at {client.url}", error)
    else:
        return _finish(client, requesttoken, "success", ("ssotoken", ssotoken))
    return _finish(client, requesttoken, "error")


def cancel_url(client: RequestingClient, requesttoken: str) -> str:
    """The address at the client for a person who does not want to sign in after all."""
    return _finish(client, requesttoken, "cancel")


def profile_return_url(
    session: Session, context: Context, clientidnumber: str, account_key: int
) -> str | None:
    """The address at a client that takes somebody back whose profile was edited here for it (protocol 7.8).

    None for anything but an active client of this server that may see this person.
    """
    client = requesting_client(session, context, clientidnumber)
    if client is None:
        return None
    restriction = session.scalar(select(Client.restrict_audience_id).where(Client.id == client.id))
    if not may_sign_in(session, context, restriction, account_key):
        return None
    query = urlencode({"serveruserid": account_key, "clientidnumber": client.idnumber})
    return f"{paths.join(client.url, paths.CLIENT_USER_EDIT_FINISH)}?{query}"


def redeem(context: Context, caller: Caller, ssotoken: str) -> dict[str, object]:
    """The person behind an ssotoken, once (protocol 5, `get_sso_user`). Raises Refused."""
    with context.unit() as session:
        outcome = _redeem(session, context, caller, ssotoken)
    if isinstance(outcome, _Over):
        deliver_now(context, outcome.notices)
        raise outcome.refused
    return outcome


def end_by_client(context: Context, caller: Caller, ssotoken: str) -> None:
    """A person signed out at a client: end the sign-in here and at every client it was carried on to.

    An unknown token, or another client's, ends nothing (protocol 5, `force_sso_logout`).
    """
    with context.unit() as session:
        signin_ids = session.scalars(
            select(ClientSession.signin_id).where(
                ClientSession.token_hash == digest(ssotoken), ClientSession.client_id == caller.id
            )
        ).all()
        # As if the person had pressed the button here: where this site is itself a client, its server
        # is told as well.
        notices = sessions.end(session, context, signin_ids, "logout")
    deliver_now(context, notices)


@dataclass(frozen=True, slots=True)
class _Over:
    """An SSO session that cannot be used: the refusal, and the notices that end it at the client."""

    refused: Refused
    notices: Sequence[int]


def _finish(client: RequestingClient, requesttoken: str, result: str, *more: tuple[str, str]) -> str:
    query = [("clientidnumber", client.idnumber), ("requesttoken", requesttoken), *more, ("result", result)]
    return f"{paths.join(client.url, paths.SSO_FINISH)}?{urlencode(query, errors='ignore')}"


def _carry_on(context: Context, signed_in: SignedIn, client: RequestingClient, requesttoken: str) -> str:
    if not is_token(requesttoken):
        raise SignInFailed(_("the request token is badly formed"))
    with context.reading() as session:
        peer = _admit(session, context, signed_in, client)
    result = call_client(
        context,
        peer,
        services.VALIDATE_SSO_REQUEST_TOKEN,
        timeout=PERSON_WAITS,
        requesttoken=requesttoken,
    )
    if not isinstance(result, jsend.Success):
        raise SignInFailed(
            _("the client does not know the request token: ${answer}", answer=jsend.describe(result))
        )
    ssotoken = new_token()
    with context.unit() as session:
        # The client took its time to answer: what was true before is asked again. The sign-in's row
        # is locked, so that whoever ends it at this moment either sees the new SSO session or is seen.
        _admit(session, context, signed_in, client, lock=True)
        session.add(
            ClientSession(
                token_hash=digest(ssotoken),
                token=context.box.seal(ssotoken),
                client_id=client.id,
                signin_id=signed_in.signin_id,
                account_key=signed_in.account.key,
                timecreated=context.clock(),
            )
        )
    return ssotoken


def _admit(
    session: Session, context: Context, signed_in: SignedIn, client: RequestingClient, *, lock: bool = False
) -> ClientPeer:
    if not context.options(session).server_enabled:
        raise SignInFailed(_("this site is not enabled as a server"))
    row = session.get(Client, client.id)
    if row is None or row.state != ACTIVE:
        raise SignInFailed(_("the client is not active"))
    living = select(SignIn.id).where(
        SignIn.id == signed_in.signin_id,
        SignIn.account_key == signed_in.account.key,
        SignIn.ended.is_(None),
        SignIn.acted_by.is_(None),
    )
    if session.scalar(living.with_for_update() if lock else living) is None:
        raise SignInFailed(_("the sign-in on this site has ended, or somebody else acts in it"))
    if not may_sign_in(session, context, row.restrict_audience_id, signed_in.account.key):
        raise SignInFailed(_("the person may not use this client: not in its audience, suspended or deleted"))
    return client_peer(context.box, row)


def _redeem(session: Session, context: Context, caller: Caller, ssotoken: str) -> dict[str, object] | _Over:
    row = session.scalar(
        select(ClientSession).where(
            ClientSession.token_hash == digest(ssotoken), ClientSession.client_id == caller.id
        )
    )
    if row is None:
        return _Over(services.invalid_ssotoken(), ())
    now = context.clock()
    signin = session.get(SignIn, row.signin_id)
    timeout = context.options(session).session_timeout
    # Only the first use has to be quick: a later one must not end a session that is in use.
    is_late = row.redeemed is None and row.timecreated + REDEEM_SECONDS < now
    if is_late or signin is None or signin.ended is not None or signin.last_seen + timeout < now:
        return _Over(services.session_expired(), _end_at_client(session, context, row))
    if (
        signin.account_key != row.account_key
        or signin.acted_by is not None
        or not may_sign_in(session, context, caller.restrict_audience_id, row.account_key)
    ):
        return _Over(services.invalid_user_session(), _end_at_client(session, context, row))
    redeemed = session.scalars(
        # One statement decides: of any number of uses at once, one finds the token unused.
        update(ClientSession)
        .where(ClientSession.id == row.id, ClientSession.redeemed.is_(None))
        .values(redeemed=now)
        .returning(ClientSession.id)
    ).all()
    if not redeemed:
        return _Over(services.reused_ssotoken(), ())
    record = person(session, context, caller, row.account_key)
    if record is None:
        return _Over(services.invalid_user_session(), _end_at_client(session, context, row))
    return record


def _end_at_client(session: Session, context: Context, row: ClientSession) -> list[int]:
    kill = about_session(context.box, "client", row.client_id, services.KILL_SSO_USER, row.token)
    session.execute(delete(ClientSession).where(ClientSession.id == row.id))
    return enqueue(session, context.box, kill, context.clock())
