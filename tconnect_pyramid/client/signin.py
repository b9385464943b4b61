"""Single sign-on as seen from the client: sending a browser to a server and taking it back (protocol 7)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from tconnect_pyramid import sessions
from tconnect_pyramid.client import people
from tconnect_pyramid.client.people import NewPicture
from tconnect_pyramid.client.servers import still_active
from tconnect_pyramid.context import Context
from tconnect_pyramid.delivery.outbox import deliver_now
from tconnect_pyramid.directory.accounts import AccountView
from tconnect_pyramid.errors import BadRecord, Conflict, NotFound, PeerError, SignInFailed
from tconnect_pyramid.models import Link, Server, ServerSession, SignInRequest
from tconnect_pyramid.peers import PERSON_WAITS, ServerPeer, ask_server, server_peer
from tconnect_pyramid.protocol import paths, services
from tconnect_pyramid.protocol.users import UserRecord, read_user
from tconnect_pyramid.protocol.values import is_token
from tconnect_pyramid.secretbox import digest, new_token, same
from tconnect_pyramid.texts import text as _

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GoHome:
    """Nothing to do here; `already_signed_in` when the person is told that they are signed in."""

    already_signed_in: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The sign-on did not succeed: what to tell the person, and with which server to try again.

    `wanted`: the page first asked for; `cancelled`: because the person chose so.
    """

    message: str
    server_id: int
    wanted: str
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Arrived:
    """The person is signed in: the browser's new id, as whom, and the page first asked for."""

    browser_id: str
    account_key: int
    wanted: str


Outcome = GoHome | Failed | Arrived


def start(context: Context, server_id: int | None, browser_id: str, wanted: str) -> str | None:
    """The address at the server to send this browser to; None when there is nothing to start.

    `wanted`: the path of this site to show after sign-in, empty for the home page. A request of the
    same browser and server is reused while it is young (protocol 7.1).
    """
    try:
        return _start_once(context, server_id, browser_id, wanted)
    except (IntegrityError, StaleDataError):
        # Another tab set out, or came back, at the same moment: by now its request is there, or gone.
        return _start_once(context, server_id, browser_id, wanted)


def _start_once(context: Context, server_id: int | None, browser_id: str, wanted: str) -> str | None:
    with context.unit() as session:
        server = None if server_id is None else session.get(Server, server_id)
        if server is None or server.state != "active" or not context.options(session).client_enabled:
            return None
        token = _request_token(session, context, server.id, browser_id, wanted)
        query = urlencode({"clientidnumber": server.client_idnumber, "requesttoken": token})
        return f"{paths.join(server.url, paths.SSO_REQUEST)}?{query}"


def finish(context: Context, query: Mapping[str, str], browser_id: str | None, *, signed_in: bool) -> Outcome:
    """Take back a browser that a server sent here.

    `query`: the parameters of its address; `browser_id`: what its cookie says, if anything;
    `signed_in`: somebody is signed in here in this browser by now.
    """
    clientidnumber = query.get("clientidnumber", "")
    requesttoken = query.get("requesttoken", "")
    if not is_token(clientidnumber) or not is_token(requesttoken):
        return GoHome()
    with context.unit() as session:
        server = session.scalar(select(Server).where(Server.client_idnumber == clientidnumber))
        if server is None or server.state != "active" or not context.options(session).client_enabled:
            return GoHome()
        used = session.execute(
            # Used up on first sight, whatever comes of it; of two browsers only one gets the row.
            delete(SignInRequest)
            .where(SignInRequest.token_hash == digest(requesttoken), SignInRequest.server_id == server.id)
            .returning(SignInRequest.browser_hash, SignInRequest.timecreated, SignInRequest.wanted)
        ).first()
        peer = server_peer(context.box, server)
    if used is None:
        return GoHome()
    if signed_in:
        # Asked first: whoever has logged in meanwhile has a new browser id by that.
        return GoHome(already_signed_in=True)
    try:
        _check_request(context, used.browser_hash, used.timecreated, browser_id, query)
        ssotoken = query.get("ssotoken", "")
        record = _person_of(context, peer, ssotoken)
        new_browser_id, account_key = _sign_in(context, peer, record, ssotoken)
    except SignInFailed as failure:
        return Failed(failure.text, peer.id, used.wanted, cancelled=query.get("result") == "cancel")
    return Arrived(new_browser_id, account_key, used.wanted)


def refresh_person(context: Context, server_id: int, person_id: int) -> AccountView | None:
    """Bring the account of one person up to date (protocol 7.8); None when the server has nobody to send.

    Raises PeerError, BadReply, NotFound for an unknown server or person, BadRecord, and Conflict when the account is
    gone and local ones that match may not be taken over, or deleted and one that no server changes.
    """
    with context.reading() as session:
        server = session.get(Server, server_id)
        if server is None:
            raise NotFound(_("There is no server with the id ${id}.", id=str(server_id)))
        if session.get(Link, (person_id, server_id)) is None:
            raise NotFound(
                _(
                    "Nobody here is linked to the person ${id} of ${server}.",
                    id=str(person_id),
                    server=server.name,
                )
            )
        peer = server_peer(context.box, server)
    raw = people.fetch_person(context, peer, person_id)
    if raw is None:
        return None
    record = read_user(raw)
    if record.deleted:
        return None
    picture = people.new_picture(context, peer, record)
    with context.unit() as session:
        if not still_active(session, server_id):
            raise NotFound(
                _("This site is leaving ${peer}; nothing is fetched from it any more.", peer=peer.name)
            )
        kept = people.keep_person(session, context, peer, record, picture)
        view = context.accounts.view(session, kept.key)
    deliver_now(context, kept.notices)
    return view


def _request_token(session: Session, context: Context, server_id: int, browser_id: str, wanted: str) -> str:
    now = context.clock()
    request = session.scalar(
        select(SignInRequest).where(
            SignInRequest.browser_hash == digest(browser_id), SignInRequest.server_id == server_id
        )
    )
    if request is not None and now - request.timecreated < context.settings.request_timeout:
        request.wanted = wanted
        return context.box.open(request.token)
    if request is not None:
        session.delete(request)
        session.flush()
    token = new_token()
    session.add(
        SignInRequest(
            token_hash=digest(token),
            token=context.box.seal(token),
            server_id=server_id,
            browser_hash=digest(browser_id),
            wanted=wanted,
            timecreated=now,
        )
    )
    return token


def _check_request(
    context: Context, browser_hash: str, began: int, browser_id: str | None, query: Mapping[str, str]
) -> None:
    if browser_id is None or not same(browser_hash, digest(browser_id)):
        raise SignInFailed(
            _(
                "This log in was begun in another browser, or this browser does not keep cookies. "
                "Begin it again here."
            )
        )
    if context.clock() - began >= context.settings.request_timeout:
        raise SignInFailed(_("The log in took too long. Begin it again."))
    match query.get("result"):
        case "success":
            return
        case "cancel":
            raise SignInFailed(_("You did not log in."))
        case _:
            raise SignInFailed(
                _(
                    "The other site could not log you in here. You may not have access to this site; "
                    "if you think you should, ask its administrator."
                )
            )


def _person_of(context: Context, peer: ServerPeer, ssotoken: str) -> UserRecord:
    if not is_token(ssotoken):
        raise SignInFailed(_("${peer} did not say who you are. Try again.", peer=peer.name))
    try:
        record = read_user(
            ask_server(context, peer, services.GET_SSO_USER, timeout=PERSON_WAITS, ssotoken=ssotoken)
        )
    except PeerError as error:
        if error.layer == "refused":
            raise SignInFailed(
                _("${peer} did not confirm your log in. Try again.", peer=peer.name)
            ) from error
        raise SignInFailed(
            _("${peer} could not be reached to confirm your log in. Try again later.", peer=peer.name)
        ) from error
    except BadRecord as error:
        raise SignInFailed(
            _(
                "${peer} sent details of your account that this site cannot use (${reason}). "
                "Tell the administrator of this site.",
                peer=peer.name,
                reason=error.reason,
            )
        ) from error
    if record.deleted or record.suspended:
        raise SignInFailed(_("Your account at ${peer} is not in use any more.", peer=peer.name))
    return record


def _sign_in(context: Context, peer: ServerPeer, record: UserRecord, ssotoken: str) -> tuple[str, int]:
    # The same person may arrive in two browsers, or with the users sync, at the same moment: the second
    # time the account is there.
    picture = people.new_picture(context, peer, record)
    with suppress(IntegrityError):
        return _sign_in_once(context, peer, record, picture, ssotoken)
    try:
        return _sign_in_once(context, peer, record, picture, ssotoken)
    except IntegrityError as error:
        # The server gave an ssotoken twice, or the table of the accounts has rules of its own.
        said = str(error.orig).partition("\n")[0]
        log.warning("The person %s of %s was not signed in: %s", record.id, peer.url, said)
        raise SignInFailed(
            _(
                "Your log in could not be stored here. Try again; if it happens again, tell the administrator of "
                "this site."
            )
        ) from None


def _sign_in_once(
    context: Context, peer: ServerPeer, record: UserRecord, picture: NewPicture | None, ssotoken: str
) -> tuple[str, int]:
    now = context.clock()
    browser_id = sessions.new_browser_id()
    with context.unit() as session:
        if not still_active(session, peer.id):
            raise SignInFailed(_("This site is not connected to ${peer} any more.", peer=peer.name))
        try:
            kept = people.keep_person(session, context, peer, record, picture)
        except BadRecord as error:
            raise SignInFailed(
                _(
                    "No account could be made for you here: ${reason}. Tell the administrator of this site.",
                    reason=error.reason,
                )
            ) from error
        except Conflict as error:
            # Which accounts these are is for the administrator alone.
            log.warning("The person %s of %s was not signed in: %s", record.id, peer.url, error)
            raise SignInFailed(
                _(
                    "This site has an account that may be yours, but it cannot be connected to ${peer} by itself. "
                    "If you have a user name and password for this site, log in with them; otherwise ask the "
                    "administrator of this site to connect your account.",
                    peer=peer.name,
                )
            ) from error
        key = kept.key
        account = context.accounts.view(session, key)
        if account is None or account.suspended:
            raise SignInFailed(_("Your account on this site is suspended. Ask its administrator."))
        signin_id = sessions.start(session, browser_id, key, now)
        session.add(
            ServerSession(
                token_hash=digest(ssotoken),
                token=context.box.seal(ssotoken),
                server_id=peer.id,
                signin_id=signin_id,
                person_id=record.id,
                account_key=key,
                timecreated=now,
            )
        )
        context.accounts.note_sign_in(session, key, now)
    deliver_now(context, kept.notices)
    return browser_id, key
