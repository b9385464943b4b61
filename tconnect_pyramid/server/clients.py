"""Registering, changing and removing the clients of this server (protocol 3 and 8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from tconnect_pyramid import transport
from tconnect_pyramid.context import IDNUMBER, Context
from tconnect_pyramid.delivery.outbox import NOW_LIMIT, about_session, deliver_now, enqueue
from tconnect_pyramid.directory.accounts import LONGEST_KEY, in_batches
from tconnect_pyramid.directory.nouns import ONE
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound, PeerError
from tconnect_pyramid.models import (
    Audience,
    Base,
    Client,
    ClientAudience,
    ClientCourse,
    ClientOrganisationFramework,
    ClientPositionFramework,
    ClientSession,
    Course,
    Notice,
    OrganisationFramework,
    PositionFramework,
    SiteValue,
)
from tconnect_pyramid.options import set_option
from tconnect_pyramid.protocol import jsend, paths, services
from tconnect_pyramid.protocol.values import clean_text, is_token
from tconnect_pyramid.secretbox import digest, new_token
from tconnect_pyramid.server.callers import Caller
from tconnect_pyramid.settings import SITE_URL, found_instead
from tconnect_pyramid.texts import Text
from tconnect_pyramid.texts import text as _

LONGEST_NAME = 255
"""Characters of a client's name."""

REGISTERING = "registering"
ACTIVE = "active"
DELETED = "deleted"
_STATES = {REGISTERING: _("registering"), DELETED: _("deleted")}

_DEFAULT_PORTS = {"http": 80, "https": 443}

_CALL_BACK_ADVICE = _(
    "While it is being registered, the client calls this site back, which a server that answers one "
    "request at a time cannot serve: run this site with several threads, or add the client with the "
    "command `tconnect server client add`."
)

_REFUSALS = {
    services.api_version_not_supported().reason: _(
        "it speaks no version of the protocol that this site speaks; bring the older one of the two up to date"
    ),
    services.duplicate_server_idnumber().reason: _(
        "it is connected to this server already, or is still leaving it; end that connection on the client "
        "first"
    ),
    services.duplicate_client_idnumber().reason: _("it knows the idnumber that was drawn for it; try again"),
}


@dataclass(frozen=True, slots=True)
class ClientWishes:
    """What an administrator chooses for a client (protocol 8); audiences, courses, frameworks by their ids.

    `restrict_audience_id` None sends everybody. `profile_fields` and `jobs` say whether these are sent,
    `plugin_services` whether the client may call services that plugins have added.
    """

    name: str
    url: str
    restrict_audience_id: int | None = None
    add_new_audiences: bool = False
    add_new_courses: bool = False
    audiences: tuple[int, ...] = ()
    courses: tuple[int, ...] = ()
    profile_fields: bool = True
    jobs: bool = True
    plugin_services: bool = False
    position_frameworks: tuple[int, ...] = ()
    organisation_frameworks: tuple[int, ...] = ()
    comment: str = ""


@dataclass(frozen=True, slots=True)
class ClientView:
    """A client as an administrator sees it. `restrict_to` is the id of an audience, None for everybody."""

    id: int
    idnumber: str
    state: str
    name: str
    url: str
    restrict_to: int | None
    add_new_audiences: bool
    add_new_courses: bool
    audiences: tuple[int, ...]
    courses: tuple[int, ...]
    profile_fields: bool
    jobs: bool
    plugin_services: bool
    position_frameworks: tuple[int, ...]
    organisation_frameworks: tuple[int, ...]
    comment: str
    apiversion: int
    clienttype: str
    timecreated: int


@dataclass(frozen=True, slots=True)
class _Attached:
    """A kind of things that are synchronised to a client: the attribute of `ClientWishes`, and where it is kept."""

    name: str
    word: Text
    known: InstrumentedAttribute[int]
    table: type[Base]
    client_id: InstrumentedAttribute[int]
    thing_id: InstrumentedAttribute[int]


_ATTACHED: tuple[_Attached, ...] = (
    _Attached(
        "audiences",
        ONE["audience"],
        Audience.id,
        ClientAudience,
        ClientAudience.client_id,
        ClientAudience.audience_id,
    ),
    _Attached(
        "courses", ONE["course"], Course.id, ClientCourse, ClientCourse.client_id, ClientCourse.course_id
    ),
    _Attached(
        "position_frameworks",
        ONE["position_framework"],
        PositionFramework.id,
        ClientPositionFramework,
        ClientPositionFramework.client_id,
        ClientPositionFramework.framework_id,
    ),
    _Attached(
        "organisation_frameworks",
        ONE["organisation_framework"],
        OrganisationFramework.id,
        ClientOrganisationFramework,
        ClientOrganisationFramework.client_id,
        ClientOrganisationFramework.framework_id,
    ),
)


def register_client(
    context: Context, wishes: ClientWishes, setup_secret: str, *, actor: str, timeout: float
) -> ClientView:
    """Connect a client site that waits for it with this setup secret (protocol 3).

    `timeout` is the time in seconds for the client's answer, its call back included. Raises
    InvalidInput or Conflict for what this site or the client refuses, and PeerError when the client
    gave no usable answer; after any failure nothing of the client is left here.
    """
    if not is_token(setup_secret):
        raise InvalidInput(
            "setup_secret",
            _(
                "The setup secret is not one: expected the 40 characters (0-9, a-f) that the client site shows."
            ),
        )
    serversecret, clientsecret = new_token(), new_token()
    with context.unit() as session:
        # Of two registrations at the same time, the second waits here and then sees the first.
        session.execute(select(SiteValue.name).where(SiteValue.name == IDNUMBER).with_for_update())
        if not context.options(session).server_enabled:
            raise Conflict(
                _(
                    "This site is not enabled as a server: enable it in Advanced features, or with `tconnect server enable`."
                )
            )
        wishes = _checked(session, context, wishes)
        now = context.clock()
        row = Client(
            state=REGISTERING,
            idnumber=new_token(),
            client_secret=context.box.seal(clientsecret),
            server_secret_hash=digest(serversecret),
            timecreated=now,
            timemodified=now,
        )
        _put(session, row, wishes)
        client_id = row.id
        form = services.setup_form(
            setupsecret=setup_secret,
            serveridnumber=context.idnumber(session),
            serversecret=serversecret,
            serverurl=context.settings.site_url,
            servername=context.settings.site_name,
            clientidnumber=row.idnumber,
            clientsecret=clientsecret,
        )
    try:
        _ask(context, wishes.url, form, timeout)
        with context.unit() as session:
            return _activate(session, context, client_id, actor)
    except BaseException:
        with context.unit() as session:
            forget(session, [client_id])
        raise


def list_clients(
    session: Session, *, deleted: bool = False, ids: Sequence[int] | None = None
) -> list[ClientView]:
    """The clients (or those with these ids) in the order in which they came; with `deleted` those that are gone, too."""
    statement = select(Client).order_by(Client.id)
    if not deleted:
        statement = statement.where(Client.state != DELETED)
    if ids is not None:
        statement = statement.where(Client.id.in_(ids))
    return _views(session, session.scalars(statement).all())


def find_client(session: Session, who: str) -> ClientView:
    """The client with this id or idnumber. Raises NotFound."""
    statement = select(Client).where(Client.idnumber == who)
    if who.isascii() and who.isdigit() and len(who) <= LONGEST_KEY:
        statement = select(Client).where(Client.id == int(who))
    row = session.scalar(statement)
    if row is None:
        raise NotFound(
            _(
                "This server has no client ${who}: give the id or idnumber that `tconnect server client list` "
                "shows.",
                who=repr(who),
            )
        )
    return view_of(session, row)


def edit_client(
    session: Session, context: Context, client_id: int, wishes: ClientWishes, *, actor: str
) -> ClientView:
    """Give a client new options, all of them. Raises NotFound, InvalidInput or Conflict."""
    row = active_client(session, client_id)
    wishes = _checked(session, context, wishes, except_id=client_id)
    before = view_of(session, row)
    row.timemodified = context.clock()
    _put(session, row, wishes)
    after = view_of(session, row)
    changed = [name for name in ClientView.__slots__ if getattr(before, name) != getattr(after, name)]
    context.audit(session, actor, "client.edit", row.idnumber, changed=changed)
    return after


def remove_client(context: Context, client_id: int, *, actor: str) -> None:
    """End a client's sign-ins, then its connection; its row stays as deleted.

    The log-outs are sent while the client can still be called; a client that is down is removed all
    the same. Raises NotFound or Conflict.
    """
    with context.unit() as session:
        row = active_client(session, client_id)
        tokens = session.execute(
            delete(ClientSession)
            .where(ClientSession.client_id == client_id, ClientSession.redeemed.is_not(None))
            .returning(ClientSession.token)
        ).scalars()
        notices = enqueue(
            session,
            context.box,
            [
                notice
                for token in tokens
                for notice in about_session(context.box, "client", row.id, services.KILL_SSO_USER, token)
            ],
            context.clock(),
        )
    for some in in_batches(notices, NOW_LIMIT):
        if not deliver_now(context, some).confirmed:
            break
    with context.unit() as session:
        row = active_client(session, client_id)
        untold = _purge(session, row, context.clock())
        context.audit(session, actor, "client.remove", row.idnumber, name=row.name, untold=untold)


def leave(context: Context, caller: Caller) -> None:
    """The client ends the connection itself; doing so again changes nothing (protocol 5)."""
    with context.unit() as session:
        row = session.get_one(Client, caller.id)
        if row.state != DELETED:
            _purge(session, row, context.clock())
            context.audit(session, f"peer:{row.idnumber}", "client.leave", row.idnumber, name=row.name)


def enable(session: Session, context: Context, on: bool, *, actor: str) -> None:
    """Let this site be a server, or stop it. Raises Conflict when the ini fixes that."""
    set_option(session, context.settings, "server.enabled", "true" if on else "false", context.clock())
    context.audit(session, actor, "server.enable" if on else "server.disable")


def forget(session: Session, client_ids: Sequence[int]) -> None:
    """Remove every trace of clients that never became active."""
    for client_id in client_ids:
        _detach(session, client_id)
        session.execute(delete(Client).where(Client.id == client_id))


def _ask(context: Context, url: str, form: Sequence[tuple[str, str]], timeout: float) -> None:
    try:
        result = transport.call(context.transport, paths.join(url, paths.CLIENT_SETUP), form, timeout=timeout)
    except PeerError as error:
        if error.layer != "timeout":
            raise
        reason = _("${reason}. ${advice}", reason=error.reason, advice=_CALL_BACK_ADVICE)
        raise PeerError(error.method, error.url, error.layer, reason) from error
    if isinstance(result, jsend.Success):
        return
    said = jsend.describe(result)
    if said == services.invalid_setup_secret().reason:
        raise InvalidInput(
            "setup_secret",
            _(
                "The client does not accept this setup secret: it is mistyped, was used or cancelled, or the "
                "client role is not enabled there. Let the client's administrator open a new connection request."
            ),
        )
    raise Conflict(_("The client refused: ${reason}.", reason=_REFUSALS.get(said) or said.rstrip(".")))


def _activate(session: Session, context: Context, client_id: int, actor: str) -> ClientView:
    row = session.get(Client, client_id)
    if row is None:
        raise Conflict(_("The registration took so long that it was cleaned up meanwhile: try again."))
    row.state = ACTIVE
    session.flush()
    context.audit(session, actor, "client.add", row.idnumber, name=row.name, url=row.url)
    return view_of(session, row)


def active_client(session: Session, client_id: int) -> Client:
    """The row of a client that can be called. Raises NotFound, and Conflict when it is not active."""
    row = session.get(Client, client_id)
    if row is None:
        raise NotFound(_("This server has no client with the id ${id}.", id=str(client_id)))
    if row.state != ACTIVE:
        raise Conflict(
            _(
                "The client ${name} is not active but ${state}; only an active one can be changed or removed.",
                name=row.name,
                state=_STATES.get(row.state, row.state),
            )
        )
    return row


def _checked(
    session: Session, context: Context, wishes: ClientWishes, *, except_id: int | None = None
) -> ClientWishes:
    """The wishes in the form in which they are kept; raises InvalidInput or Conflict."""
    name = clean_text(wishes.name).strip()
    if not 0 < len(name) <= LONGEST_NAME:
        raise InvalidInput(
            "name",
            _(
                "A client's name has 1 to ${limit} characters, not ${length}.",
                limit=LONGEST_NAME,
                length=len(name),
            ),
        )
    url = _checked_url(context, wishes.url)
    others = session.execute(select(Client.id, Client.url).where(Client.state.in_([ACTIVE, REGISTERING])))
    if any(_place(other) == _place(url) and id_ != except_id for id_, other in others):
        raise Conflict(
            _(
                "${url} is a client of this server already, or is being registered right now: remove that client "
                "first (a registration that broke off is gone after ten minutes).",
                url=url,
            )
        )
    restrict_to = () if wishes.restrict_audience_id is None else (wishes.restrict_audience_id,)
    _check_known(session, "restrict_to", ONE["audience"], Audience.id, restrict_to)
    for attached in _ATTACHED:
        _check_known(session, attached.name, attached.word, attached.known, getattr(wishes, attached.name))
    return replace(wishes, name=name, url=url, comment=clean_text(wishes.comment))


def _checked_url(context: Context, text: str) -> str:
    try:
        url = str(SITE_URL.parse(text.strip()))
    except ValueError as error:
        raise InvalidInput(
            "url",
            _(
                "Expected ${expected}, found ${found}.",
                expected=SITE_URL.expected,
                found=found_instead(error),
            ),
        ) from None
    if urlsplit(url).scheme != "https" and not context.settings.allow_http:
        raise InvalidInput(
            "url",
            _("${url} is not https; the setting tconnect.network.allow_http permits http as well.", url=url),
        )
    if _place(url) == _place(context.settings.site_url):
        raise Conflict(_("${url} is this site itself, which cannot be its own client.", url=url))
    return url


def _place(url: str) -> tuple[str, str | None, int | None, str]:
    """What tells two addresses apart, however they are written."""
    parts = urlsplit(url)
    port = parts.port if parts.port is not None else _DEFAULT_PORTS.get(parts.scheme)
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/")


def _check_known(
    session: Session, field: str, kind: Text, key: InstrumentedAttribute[int], ids: Iterable[int]
) -> None:
    for some in in_batches(ids):
        known = set(session.scalars(select(key).where(key.in_(some))))
        for id_ in some:
            if id_ not in known:
                raise InvalidInput(field, _("There is no ${kind} with the id ${id}.", kind=kind, id=str(id_)))


def _put(session: Session, row: Client, wishes: ClientWishes) -> None:
    row.name = wishes.name
    row.url = wishes.url
    row.restrict_audience_id = wishes.restrict_audience_id
    row.add_new_audiences = wishes.add_new_audiences
    row.add_new_courses = wishes.add_new_courses
    row.sends_profile_fields = wishes.profile_fields
    row.sends_jobs = wishes.jobs
    row.plugin_services = wishes.plugin_services
    row.comment = wishes.comment
    session.add(row)
    session.flush()
    for attached in _ATTACHED:
        session.execute(delete(attached.table).where(attached.client_id == row.id))
        ids = sorted(set(getattr(wishes, attached.name)))
        if ids:
            session.execute(
                insert(attached.table), [{"client_id": row.id, attached.thing_id.key: id_} for id_ in ids]
            )


def _purge(session: Session, row: Client, now: int) -> int:
    """Mark a client deleted and drop what belonged to it; gives how many notices it will never get.

    The secret that opens the client is wiped. The hash of the server's stays, so that the client is
    told that it is not active any more.
    """
    _detach(session, row.id)
    waiting = session.scalars(
        delete(Notice).where(Notice.role == "client", Notice.peer_id == row.id).returning(Notice.id)
    ).all()
    row.state = DELETED
    row.client_secret = b""
    row.next_client_secret = row.next_server_secret = row.next_server_secret_hash = None
    row.timemodified = now
    session.flush()
    return len(waiting)


def _detach(session: Session, client_id: int) -> None:
    session.execute(delete(ClientSession).where(ClientSession.client_id == client_id))
    for attached in _ATTACHED:
        session.execute(delete(attached.table).where(attached.client_id == client_id))


def view_of(session: Session, row: Client) -> ClientView:
    """A client's row as plain data."""
    return _views(session, [row])[0]


def _views(session: Session, rows: Sequence[Client]) -> list[ClientView]:
    """Each client with what is attached to it, by one statement for each kind."""
    things: dict[tuple[str, int], list[int]] = {}
    for some in in_batches(row.id for row in rows):
        for attached in _ATTACHED:
            for client_id, thing_id in session.execute(
                select(attached.client_id, attached.thing_id)
                .where(attached.client_id.in_(some))
                .order_by(attached.thing_id)
            ):
                things.setdefault((attached.name, client_id), []).append(thing_id)
    return [
        ClientView(
            id=row.id,
            idnumber=row.idnumber,
            state=row.state,
            name=row.name,
            url=row.url,
            restrict_to=row.restrict_audience_id,
            add_new_audiences=row.add_new_audiences,
            add_new_courses=row.add_new_courses,
            audiences=tuple(things.get(("audiences", row.id), ())),
            courses=tuple(things.get(("courses", row.id), ())),
            profile_fields=row.sends_profile_fields,
            jobs=row.sends_jobs,
            plugin_services=row.plugin_services,
            position_frameworks=tuple(things.get(("position_frameworks", row.id), ())),
            organisation_frameworks=tuple(things.get(("organisation_frameworks", row.id), ())),
            comment=row.comment,
            apiversion=row.apiversion,
            clienttype=row.clienttype,
            timecreated=row.timecreated,
        )
        for row in rows
    ]
