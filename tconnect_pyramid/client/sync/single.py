"""A run about one person: what a server says of them alone, by the rules of the users sync (protocol 5 and 9)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid.client import accounts as rules
from tconnect_pyramid.client.linked import read_accounts, read_links, why_left_alone
from tconnect_pyramid.client.migration import CHOSEN, Match, Outcome
from tconnect_pyramid.client.people import NewPicture, fetch_person, new_picture
from tconnect_pyramid.client.sync.apply_users import apply_users
from tconnect_pyramid.client.sync.history import Applied
from tconnect_pyramid.client.sync.plan import Action
from tconnect_pyramid.client.sync.plan_users import UsersPlan, plan_users
from tconnect_pyramid.client.sync.read import is_guest
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory import pictures
from tconnect_pyramid.directory.accounts import AccountView, MatchCandidate
from tconnect_pyramid.errors import BadRecord, Conflict, NotFound
from tconnect_pyramid.models import Link, Server
from tconnect_pyramid.peers import ServerPeer
from tconnect_pyramid.protocol.plain_users import as_plain
from tconnect_pyramid.protocol.users import UserRecord, read_user
from tconnect_pyramid.texts import text as _


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server says of one person, in the place of its list: nobody, or a record, read if it can be.

    `picture` is one that the account does not have yet.
    """

    raw: dict[str, object] | None
    record: UserRecord | None = None
    picture: NewPicture | None = None

    def users(self) -> Iterator[list[object]]:
        """The list of one, or of nobody."""
        yield [] if self.raw is None else [as_plain(self.raw)]


@dataclass(frozen=True, slots=True)
class OnePerson:
    """Whom a run is about, by their id at the server.

    `account` is the key of the local account that an administrator, `actor`, gives them; None: whichever is theirs.
    """

    id: int
    account: int | None = None
    actor: str = ""

    @contextmanager
    def receive(self, context: Context, peer: ServerPeer) -> Iterator[Answer]:
        """Ask the server. Raises as `fetch_person`."""
        yield self.ask(context, peer)

    def ask(self, context: Context, peer: ServerPeer) -> Answer:
        """What the server says of the person now. Raises as `fetch_person`."""
        raw = fetch_person(context, peer, self.id)
        if raw is None:
            return Answer(None)
        try:
            record = read_user(raw)
        except BadRecord:
            # The plan says why.
            return Answer(raw)
        # A list has neither key: without them the digest is that of the list, and the next run finds all in order.
        raw = {name: value for name, value in raw.items() if name not in {"picture", "pictures"}}
        return Answer(raw, record, None if record.deleted else new_picture(context, peer, record))

    def plan(self, session: Session, context: Context, peer: ServerPeer, answer: Answer) -> UsersPlan:
        """What is to be done. Raises Conflict and NotFound when the person cannot be given the account."""
        chosen = None
        if self.account is not None:
            _check_usable(peer, self.id, answer)
            account = free_account(session, context, peer.id, self.id, self.account)
            chosen = Match(self.id, CHOSEN, Outcome.FOUND, (account,), ())
        plan = plan_users(session, context, peer, answer, reconcile=True, only=self.id, chosen=chosen)
        plan.note = (
            _(
                "The server sends nobody with the id ${id}: there is no such person, or they are outside of the "
                "audience that it restricts this site to.",
                id=str(self.id),
            )
            if answer.raw is None
            else _("Only the person ${id} was looked at.", id=str(self.id))
        )
        if answer.picture is not None and self._takes_pictures(session, context, peer, plan):
            plan.picture = answer.picture
            plan.note = _("${note} The picture is another one.", note=plan.note)
        return plan

    def apply(
        self, session: Session, context: Context, peer: ServerPeer, plan: UsersPlan, run_id: int
    ) -> Applied:
        """Do it, in the caller's transaction."""
        applied = apply_users(session, context, peer, plan, run_id)
        if plan.picture is not None:
            key = read_links(session, peer.id, [self.id])[self.id].account_key
            pictures.put(session, context, key, plan.picture.files, plan.picture.number)
        if self.account is not None and plan.changes.counts[Action.LINKED]:
            account = context.accounts.view(session, self.account)
            name = "" if account is None else account.username
            about = {"id": self.account, "person": self.id, "server": peer.idnumber, "run": run_id}
            context.audit(session, self.actor, "account.linked", name, **about)
        return applied

    def _takes_pictures(self, session: Session, context: Context, peer: ServerPeer, plan: UsersPlan) -> bool:
        """Whether the account is one that a server may change; nothing else of somebody skipped is changed either."""
        linked = read_accounts(session, context.accounts, read_links(session, peer.id, [self.id]))
        protected = context.options(session).client_protected_accounts
        is_left = self.id in linked and why_left_alone(linked[self.id], protected)
        return not is_left and not plan.changes.counts[Action.SKIPPED]


def free_account(
    session: Session, context: Context, server_id: int, person_id: int, key: int
) -> MatchCandidate:
    """The local account that may become that of a person of a server.

    Raises NotFound when it is not there, and Conflict, with what to do, when it may not: by the rules of taking over
    accounts (protocol 9), or as one of the two is linked already.
    """
    account = context.accounts.view(session, key)
    if account is None:
        raise NotFound(_("There is no account with the id ${id}.", id=str(key)))
    name = account.username
    linked = session.execute(
        select(Link.person_id, Link.server_id, Server.name)
        .join(Server, Server.id == Link.server_id)
        .where(Link.account_key == key)
    ).first()
    if linked is not None:
        is_theirs = (linked.person_id, linked.server_id) == (person_id, server_id)
        raise Conflict(
            _(
                "${account} is the account of this person already. If the person is skipped as somebody else, unlink the "
                "account first, and then give it to them.",
                account=name,
            )
            if is_theirs
            else _(
                "${account} is the account of the person ${person} of ${server}: unlink it first.",
                account=name,
                person=str(linked.person_id),
                server=linked.name,
            )
        )
    reason = why_not_taken_over(session, context, account)
    if reason:
        raise Conflict(
            _(
                "${account} cannot become the account of a person of a server: ${reason}.",
                account=name,
                reason=reason,
            )
        )
    holder = session.scalar(
        select(Link.account_key).where(Link.person_id == person_id, Link.server_id == server_id)
    )
    theirs = None if holder is None else context.accounts.view(session, holder)
    # A link whose account's row is gone keeps nobody from anything.
    if theirs is not None:
        raise Conflict(
            _(
                "The person ${person} has the account ${account} (id ${id}) here: unlink that one first.",
                person=str(person_id),
                account=theirs.username,
                id=str(theirs.key),
            )
        )
    return MatchCandidate(key=key, username=name, auth=account.auth, deleted=False, admin=False)


def why_not_taken_over(session: Session, context: Context, account: AccountView) -> str:
    """Why no person of a server may ever be given an account (protocol 9); empty when one may."""
    if account.deleted:
        return _("it is deleted")
    if account.admin:
        return _("it belongs to an administrator of this site")
    if account.username in context.options(session).client_protected_accounts:
        return _("tconnect.client.protected_accounts lists the account")
    if account.username == rules.GUEST:
        return _("nobody in particular has it")
    if account.auth == rules.AUTH:
        return _("it has been left without its server; let it log in by a password, or not at all, first")
    return ""


def _check_usable(peer: ServerPeer, person_id: int, answer: Answer) -> None:
    if answer.raw is None:
        reason = _("it sends nobody with that id, or nobody who is meant for this site")
    elif answer.record is None:
        # Whatever is wrong with the record, the plan tells.
        return
    elif answer.record.deleted:
        reason = _("the person is deleted there")
    elif is_guest(answer.record):
        reason = _("the server's guest is nobody in particular")
    else:
        return
    raise Conflict(
        _(
            "The person ${person} of ${server} can be given no account: ${reason}.",
            person=str(person_id),
            server=peer.name,
            reason=reason,
        )
    )
