"""Why somebody of a server is here as they are, or is not here. Asks the server, and changes nothing.

What a run would do is what the real plan says, see `sync.plan_users`; there are no rules of its own here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tconnect_pyramid.client.accounts import link_username
from tconnect_pyramid.client.servers import ServerView, list_servers
from tconnect_pyramid.client.sync.engine import run_sync
from tconnect_pyramid.client.sync.history import FAILED, HELD
from tconnect_pyramid.client.sync.pause import Paused
from tconnect_pyramid.client.sync.plan import USERS, Action, visible
from tconnect_pyramid.client.sync.read import is_guest
from tconnect_pyramid.client.sync.receive import Reply
from tconnect_pyramid.client.sync.report import LineView, RunReport
from tconnect_pyramid.client.syncing import servers_to_ask
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import AccountView
from tconnect_pyramid.errors import BadRecord, InvalidInput, NotFound
from tconnect_pyramid.models import Link, Pause, Run, RunLine
from tconnect_pyramid.protocol.plain_users import as_sent
from tconnect_pyramid.protocol.users import read_user
from tconnect_pyramid.protocol.values import as_flag, canonical_int
from tconnect_pyramid.texts import read
from tconnect_pyramid.texts import text as _

PERSON = "person:"
"""Begins what is the id of a person at a server."""
NEWEST = 10
"""Lines of earlier runs that are told."""
MOST = 20
"""People of one server who are explained at once."""
_KNOWN_BY = ("username", "email", "idnumber")


@dataclass(frozen=True, slots=True)
class Listed:
    """What the server's list says of somebody; `problem` says why the record cannot be used, empty when it can."""

    id: int | None
    username: str
    firstname: str
    lastname: str
    email: str
    idnumber: str
    deleted: bool
    suspended: bool
    guest: bool
    problem: str


@dataclass(frozen=True, slots=True)
class LinkView:
    """Whose account is which. `run` is the one that made the account; None for a sign-in, and for one that was taken over."""

    account: int
    since: int
    run: int | None
    suspended_by_sync: bool


@dataclass(frozen=True, slots=True)
class PastLine:
    """What an earlier run did to the person, or wanted to do; `state` is the run's."""

    run: int
    started: int
    state: str
    action: str
    detail: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """One person of one server, or, where `person` and `listed` are None, that it lists nobody who was meant.

    `account` is the person's, `asked` the local account that was asked about. `state` (`planned`, `held`, `failed`) and
    `message` are those of a run of people now, `planned` is what it would do; `held` the run that waits for a decision,
    or, `approved` at that time (Unix seconds), for the next run to do it; `paused` since which run was undone
    people of the server are not synchronised.
    """

    server: ServerView
    person: int | None
    asked: AccountView | None
    account: AccountView | None
    link: LinkView | None
    listed: Listed | None
    state: str
    message: str
    planned: tuple[LineView, ...]
    held: int | None
    approved: int | None
    paused: int | None
    runs: tuple[PastLine, ...]

    @property
    def sentences(self) -> list[str]:
        """All of it, said to an administrator."""
        return [*_said_of_account(self), *_said_by_server(self), *_said_of_plan(self), *_said_of_past(self)]


def explain(
    context: Context, who: str, *, server: str | None = None, reconcile: bool = False
) -> list[Explanation]:
    """Why the people who are meant are here as they are, or are not.

    `who` is a local account as `Accounts.find` knows it; or `person:` with the id of a person at a server, where a
    number will do when `server` is given; or the user name, email address or ID number of somebody at the server who is no account
    here. `server` is an id or serveridnumber, without it all active ones are asked, or the one an account came from. `reconcile`: what
    a reconciling run would do. Raises as `servers_to_ask`, InvalidInput for what can be nobody, and where too many are meant.
    """
    sought, origin = _sought(context, who, server)
    asked = [origin] if origin is not None else servers_to_ask(context, server)
    return [each for one in asked for each in _explain_at(context, one, sought, reconcile=reconcile)]


@dataclass(frozen=True, slots=True)
class _Sought:
    """Who is meant: ids at the server, names in small letters, or a local account."""

    people: frozenset[int] = frozenset()
    names: frozenset[str] = frozenset()
    account: AccountView | None = None


@dataclass(slots=True)
class _Search:
    """Finds in the server's reply what it says of who is sought."""

    server: ServerView
    sought: _Sought
    found: dict[int, Listed] = field(default_factory=dict)
    nameless: list[Listed] = field(default_factory=list)

    def __call__(self, reply: Reply) -> None:
        for raws in reply.users():
            for raw in map(as_sent, raws):
                if isinstance(raw, dict):
                    self._look(raw, canonical_int(raw.get("id")) or None)

    def _look(self, raw: Mapping[str, object], person: int | None) -> None:
        names = self.sought.names
        if person not in self.sought.people and (not names or names.isdisjoint(self._names(raw, person))):
            return
        if person is None:
            if len(self.nameless) < MOST:
                self.nameless.append(_listed(raw, None))
        elif len(self.found) <= MOST:
            # Of several records the first one counts, in a run too.
            self.found.setdefault(person, _listed(raw, person))

    def _names(self, raw: Mapping[str, object], person: int | None) -> Iterator[str]:
        for name in _KNOWN_BY:
            value = raw.get(name)
            if isinstance(value, str):
                yield value.lower()
        if person is not None:
            yield link_username(person, self.server.idnumber)


def _sought(context: Context, who: str, server: str | None) -> tuple[_Sought, ServerView | None]:
    """Who is meant, and the server their account came from where no other one was named."""
    is_person = who.startswith(PERSON)
    person = canonical_int(who.removeprefix(PERSON)) if is_person or server is not None else None
    if person:
        return _Sought(people=frozenset({person})), None
    if is_person:
        raise InvalidInput(
            "who", _("Expected ${prefix} and a number above 0, found ${who}.", prefix=PERSON, who=repr(who))
        )
    with context.reading() as session:
        try:
            account = context.accounts.find(session, who)
        except NotFound:
            return _Sought(names=frozenset({who.lower()})), None
        link = session.scalar(select(Link).where(Link.account_key == account.key))
        origin = {view.id: view for view in list_servers(session)}.get(link.server_id) if link else None
    if link and origin and server in {None, str(origin.id), origin.idnumber}:
        return _Sought(people=frozenset({link.person_id}), account=account), origin
    names = (account.username, account.email, account.idnumber)
    return _Sought(names=frozenset(name.lower() for name in names if name), account=account), None


def _explain_at(
    context: Context, server: ServerView, sought: _Sought, *, reconcile: bool
) -> list[Explanation]:
    search = _Search(server, sought)
    report = run_sync(context, USERS, server.id, dry_run=True, reconcile=reconcile, look=search)
    if len(search.found) > MOST:
        raise InvalidInput(
            "who",
            _(
                "More than ${number} people of ${server} are meant: give ${prefix} and an id.",
                number=MOST,
                server=server.name,
                prefix=PERSON,
            ),
        )
    people = {*sought.people, *search.found}
    lines = [line for line in report.lines if line.remote_id in people]
    with context.reading() as session:
        facts = _Facts(session, context, server, report, sought.account)
        explained = [
            facts.of(person, search.found.get(person), [line for line in lines if line.remote_id == person])
            for person in sorted(people)
        ]
        explained += [facts.of(None, listed) for listed in search.nameless]
        return explained or [facts.of(None, None)]


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known here of people of one server."""

    session: Session
    context: Context
    server: ServerView
    report: RunReport
    asked: AccountView | None

    def of(self, person: int | None, listed: Listed | None, planned: Iterable[LineView] = ()) -> Explanation:
        link = None if person is None else self.session.get(Link, (person, self.server.id))
        waiting = self._waiting()
        return Explanation(
            server=self.server,
            person=person,
            asked=self.asked,
            account=None if link is None else self.context.accounts.view(self.session, link.account_key),
            link=None
            if link is None
            else LinkView(link.account_key, link.timecreated, link.created_by_run, link.suspended_by_sync),
            listed=listed,
            state=self.report.state,
            message=self.report.message,
            planned=tuple(planned),
            held=None if waiting is None else waiting.id,
            approved=None if waiting is None else waiting.approved,
            paused=self._paused(),
            runs=() if person is None else tuple(self._past(person)),
        )

    def _waiting(self) -> Run | None:
        held = select(Run).where(Run.server_id == self.server.id, Run.kind == USERS, Run.state == HELD)
        return self.session.scalar(held.order_by(Run.id.desc()).limit(1))

    def _paused(self) -> int | None:
        row = self.session.get(Pause, (self.server.id, USERS))
        return None if row is None else row.run_id

    def _past(self, person: int) -> Iterator[PastLine]:
        rows = self.session.execute(
            select(Run.id, Run.started, Run.state, RunLine.action, RunLine.detail)
            .join(RunLine, RunLine.run_id == Run.id)
            .where(
                RunLine.remote_id == person,
                Run.server_id == self.server.id,
                # The id of a line of another kind is a person's where it is about a membership.
                or_(Run.kind == USERS, RunLine.collection != ""),
            )
            .order_by(RunLine.id.desc())
            .limit(NEWEST)
        )
        return (PastLine(*row[:-1], read(row.detail)) for row in rows)


def _listed(raw: Mapping[str, object], person: int | None) -> Listed:
    problem, guest = "", False
    try:
        guest = is_guest(read_user(raw))
    except BadRecord as error:
        problem = error.reason
    words = {
        name: visible(value) if isinstance(value := raw.get(name), str) else ""
        for name in (*_KNOWN_BY, "firstname", "lastname")
    }
    return Listed(
        id=person,
        deleted=as_flag(raw.get("deleted")) is True,
        suspended=as_flag(raw.get("suspended")) is True,
        guest=guest,
        problem=problem,
        **words,
    )


# --- in words --------------------------------------------------------------------------------------


def _said_of_account(told: Explanation) -> Iterator[str]:
    server, person, link = told.server.name, str(told.person), told.link
    if told.asked is not None and (link is None or link.account != told.asked.key):
        yield _(
            "Nobody of ${server} has the account ${account}.",
            account=_account(told.asked),
            server=server,
        )
    if told.person is None:
        return
    if link is None:
        yield _("Person ${person} of ${server} has no account here.", person=person, server=server)
        return
    if told.account is None:
        yield _(
            "Person ${person} of ${server} had an account here, but its row is gone; the next run sees to that.",
            person=person,
            server=server,
        )
        return
    account = _account(told.account)
    yield (
        _(
            "Person ${person} of ${server} has had the account ${account} since ${when}, by a sign-in, or because it was "
            "here before.",
            person=person,
            server=server,
            account=account,
            when=_when(link.since),
        )
        if link.run is None
        else _(
            "Person ${person} of ${server} has had the account ${account} since ${when}; run ${run} made it.",
            person=person,
            server=server,
            account=account,
            when=_when(link.since),
            run=str(link.run),
        )
    )
    if told.account.deleted:
        yield _("The account is deleted here.")
    elif told.account.suspended and link.suspended_by_sync:
        yield _("A sync has suspended the account, and a sync lifts that again.")
    elif told.account.suspended:
        yield _("The account was suspended by hand: no sync lifts that.")


def _said_by_server(told: Explanation) -> Iterator[str]:
    server, listed = told.server.name, told.listed
    if told.state == FAILED:
        yield _("It is not known what ${server} says: ${message}", server=server, message=told.message)
    elif listed is None:
        yield (
            _("${server} lists nobody with this user name, email address or ID number.", server=server)
            if told.person is None
            else _("${server} does not list person ${person}.", server=server, person=str(told.person))
        )
        yield _(
            "Either there is no such person, or they are not in the audience that the server restricts this site to: "
            "only the server's administrator can tell which."
        )
    elif listed.problem:
        yield _(
            "${server} lists ${name}, but the record cannot be used: ${reason}",
            server=server,
            name=_name(listed),
            reason=listed.problem,
        )
    elif listed.guest:
        yield _(
            "${name} is the guest of ${server}, who is never synchronised.", server=server, name=_name(listed)
        )
    elif listed.deleted:
        yield _("${server} says that this person is deleted there.", server=server)
    else:
        yield _(
            "${server} lists ${name}, with the user name ${username} and the email address ${email}.",
            server=server,
            name=_name(listed),
            username=listed.username,
            email=listed.email,
        )
        if listed.suspended:
            yield _("The person is suspended there.")


def _said_of_plan(told: Explanation) -> Iterator[str]:
    if told.paused is not None:
        yield _(
            "People of ${server} are not synchronised since run ${run} was undone; `${remedy}` lets it go on.",
            server=told.server.name,
            run=str(told.paused),
            remedy=Paused(told.server.id, told.server.name, USERS, told.paused).remedy,
        )
    if told.held is not None and told.approved is not None:
        yield _(
            "Run ${run} is held and was approved on ${when}: the next run within 24 hours of that does it.",
            run=str(told.held),
            when=_when(told.approved),
        )
    elif told.held is not None:
        yield _(
            "Run ${run} is held: nothing of it is done until an administrator approves it.",
            run=str(told.held),
        )
    if told.state == FAILED or told.person is None:
        return
    for line in told.planned:
        yield deed(line)
    if not told.planned:
        yield _("A run of people now would change nothing about this person.")
    if told.message:
        yield (
            _("That run would be held: ${message}", message=told.message)
            if told.state == HELD
            else told.message
        )


def deed(line: LineView) -> str:
    """What a run now would do to the person, said to an administrator."""
    detail = line.detail
    match line.action:
        case Action.CREATED:
            return _("A run now would make an account for this person.")
        case Action.LINKED:
            return _("A run now would give an account of this site to this person: ${detail}", detail=detail)
        case Action.UPDATED:
            return _("A run now would bring the account up to date: ${detail}", detail=detail)
        case Action.SUSPENDED:
            return _("A run now would suspend the account: ${detail}", detail=detail)
        case Action.UNSUSPENDED:
            return _("A run now would lift the account's suspension: ${detail}", detail=detail)
        case Action.DELETED:
            return _("A run now would delete the account: ${detail}", detail=detail)
        case Action.UNDELETED:
            return _("A run now would bring the deleted account back.")
        case Action.UNWANTED:
            return _("A run now would not do to this person what was approved: ${detail}", detail=detail)
        case _:
            return _(
                "A run now would skip this person, or a part of what is sent of them: ${detail}",
                detail=detail,
            )


def _said_of_past(told: Explanation) -> Iterator[str]:
    if told.person is None:
        return
    if not told.runs:
        yield _("No run so far has changed or skipped this person.")
    for line in told.runs:
        yield _(
            "Run ${run} of ${when} (${state}): ${what}",
            run=str(line.run),
            when=_when(line.started),
            state=line.state,
            what=": ".join(part for part in (line.action, line.detail) if part),
        )


def _account(account: AccountView) -> str:
    return f"{visible(account.username)} (id {account.key})"


def _name(listed: Listed) -> str:
    return f"{listed.firstname} {listed.lastname}".strip() or listed.username


def _when(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
