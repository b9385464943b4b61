"""Which local account a person of a server takes over (protocol 9, migration). Finds only; nothing is written."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid.client import accounts as rules
from tconnect_pyramid.client.servers import ACTIVE
from tconnect_pyramid.client.sync.plan import visible
from tconnect_pyramid.client.sync.read import read_people
from tconnect_pyramid.client.sync.receive import receive
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import MatchCandidate, in_batches
from tconnect_pyramid.errors import Conflict, TConnectError, TransactionOpen
from tconnect_pyramid.models import Link, Server
from tconnect_pyramid.peers import ServerPeer, server_peer
from tconnect_pyramid.protocol import services
from tconnect_pyramid.protocol.users import UserRecord
from tconnect_pyramid.texts import Text, plural
from tconnect_pyramid.texts import text as _

# Only what every database puts into small letters alike: other letters may become those of somebody
# else's address.
_EMAIL = re.compile(r"[!-?A-~]+@[A-Za-z0-9.\-]+\.[A-Za-z0-9\-]+")

WORDS = {
    "username": _("user name"),
    "email": _("email address"),
    "idnumber": _("ID number"),
    "uniqueid": _("user name"),
}
"""The values of `client.account_mapping`, as a person reads them."""
CHOSEN = "chosen"
"""In the place of a field: an administrator has said which account it is."""
MOST_NAMED = 5


class Outcome(StrEnum):
    """What comes of looking for a person's account."""

    FOUND = "found"
    AMBIGUOUS = "ambiguous"
    ADMINISTRATOR = "administrator"
    PROTECTED = "protected"


@dataclass(frozen=True, slots=True)
class Match:
    """The local accounts that a person matches by `field`, and what is to come of it.

    `rivals`: ids of the other listed people who match them too. Only for `FOUND` is there exactly one
    account and no rival, and only then is the account taken over.
    """

    person_id: int
    field: str
    outcome: Outcome
    accounts: tuple[MatchCandidate, ...]
    rivals: tuple[int, ...]

    @property
    def reason(self) -> Text:
        """For an administrator: what was found, and what to do about it."""
        names = _listed(f"{visible(account.username)} (id {account.key})" for account in self.accounts)
        if self.field == CHOSEN:
            return _("took over the local account ${names}, as an administrator said", names=names)
        word = WORDS[self.field]
        match self.outcome:
            case Outcome.FOUND:
                return _(
                    "took over the local account ${names}, which has the same ${word}", names=names, word=word
                )
            case Outcome.ADMINISTRATOR:
                return _(
                    "the ${word} is that of ${names}, an administrator of this site: such an account is never "
                    "taken over; change its ${word} or its rights",
                    word=word,
                    names=names,
                )
            case Outcome.PROTECTED:
                return _(
                    "the ${word} is that of ${names}, but tconnect.client.protected_accounts lists the account",
                    word=word,
                    names=names,
                )
        if len(self.accounts) > 1:
            return _(
                "several local accounts have this ${word}: ${names}; leave it to the right one",
                word=word,
                names=names,
            )
        people = _listed(str(person) for person in sorted((self.person_id, *self.rivals)))
        return _(
            "the ${word} of the local account ${names} is that of several people of the server: ${people}; "
            "change it there for all but one",
            word=word,
            names=names,
            people=people,
        )


def find_local(
    session: Session,
    context: Context,
    peer: ServerPeer,
    newcomers: Container[int],
    listed: Iterable[Iterable[UserRecord]],
) -> dict[int, Match]:
    """What `newcomers`, ids of people without an account here, match; who is not in it gets a new account.

    Nobody is while `client.migrate_accounts` is off. `listed`: all whom the server lists, the newcomers too, a part
    at a time; nobody else among them may have the same value.
    """
    options = context.options(session)
    if not options.client_migrate_accounts:
        return {}
    mapping, protected = options.client_account_mapping, options.client_protected_accounts
    return _find(session, context, peer, newcomers, listed, mapping, protected)


@dataclass(frozen=True, slots=True)
class Preview:
    """What migration would do with the people of one server: matches whose account is taken over, and the others.

    `problem` says why the server could not be asked; then nothing is known.
    """

    server: str
    problem: str = ""
    taken: tuple[Match, ...] = ()
    ambiguous: tuple[Match, ...] = ()
    administrators: tuple[Match, ...] = ()
    protected: tuple[Match, ...] = ()


def preview(context: Context, mapping: str) -> list[Preview]:
    """What the next users sync with each active server would do if accounts were migrated by `mapping`.

    Each server is asked for its people. Nothing is written.
    """
    with context.reading() as session:
        rows = session.scalars(select(Server).where(Server.state == ACTIVE).order_by(Server.id)).all()
        asked = [(row.id, row.name) for row in rows]
    return [_preview(context, server_id, name, mapping) for server_id, name in asked]


def _preview(context: Context, server_id: int, name: str, mapping: str) -> Preview:
    try:
        with context.reading() as session:
            row = session.get(Server, server_id)
            if row is None:
                return Preview(name, _("It is not connected any more."))
            peer = server_peer(context.box, row)
        with receive(context, peer, services.GET_USERS) as reply, context.reading() as session:
            known = _known(session, context, server_id)
            newcomers = {
                record.id
                for records in read_people(reply)
                for record in records
                if record.id not in known and not record.deleted
            }
            protected = context.options(session).client_protected_accounts
            found = _find(session, context, peer, newcomers, read_people(reply), mapping, protected)
    except TransactionOpen:
        raise
    except TConnectError as error:
        return Preview(name, error.text)
    by_outcome: dict[Outcome, list[Match]] = defaultdict(list)
    for match in found.values():
        by_outcome[match.outcome].append(match)
    return Preview(
        name,
        taken=tuple(by_outcome[Outcome.FOUND]),
        ambiguous=tuple(by_outcome[Outcome.AMBIGUOUS]),
        administrators=tuple(by_outcome[Outcome.ADMINISTRATOR]),
        protected=tuple(by_outcome[Outcome.PROTECTED]),
    )


def _known(session: Session, context: Context, server_id: int) -> set[int]:
    """The people of the server who have an account here, by their ids."""
    accounts = context.accounts
    return set(
        session.scalars(
            select(Link.person_id)
            .join(accounts.columns.mapped_class, accounts.key == Link.account_key)
            .where(Link.server_id == server_id)
        )
    )


def _find(
    session: Session,
    context: Context,
    peer: ServerPeer,
    newcomers: Container[int],
    listed: Iterable[Iterable[UserRecord]],
    mapping: str,
    protected: Collection[str],
) -> dict[int, Match]:
    column = "username" if mapping == "uniqueid" else mapping
    if context.accounts.columns.read(column) is None:
        return {}
    candidates: dict[str, list[MatchCandidate]] = {}
    sharing: dict[str, set[int]] = defaultdict(set)
    for records in listed:
        values = {record.id: _value(mapping, record, peer) for record in records if not record.deleted}
        candidates.update(_candidates(session, context, column, values.values()))
        for person, value in values.items():
            if value in candidates:
                sharing[value].add(person)
    matches = {}
    for value, people in sharing.items():
        accounts = candidates[value]
        for person in people:
            if person in newcomers:
                rivals = people - {person}
                outcome = _outcome(accounts, rivals, protected)
                matches[person] = Match(person, mapping, outcome, tuple(accounts), tuple(sorted(rivals)))
    return matches


def refuse_if_changed(session: Session, context: Context, keys: Iterable[int]) -> None:
    """Raise Conflict when an account that was found may not be taken over any more."""
    accounts = context.accounts.fetch(session, keys, ("auth", "deleted", "admin"))
    if any(
        account["deleted"] or account["admin"] or account["auth"] == rules.AUTH
        for account in accounts.values()
    ):
        raise Conflict(
            _(
                "A local account that was to be taken over has changed in this moment. Nothing was done; the next "
                "time sees it as it is."
            )
        )


def _value(mapping: str, record: UserRecord, peer: ServerPeer) -> str:
    """What a person is recognised by; empty when that can be nobody's."""
    match mapping:
        case "uniqueid":
            return rules.link_username(record.id, peer.idnumber)
        case "email":
            email = str(record.values["email"])
            return email.lower() if _EMAIL.fullmatch(email) else ""
        case _:
            return str(record.values.get(mapping) or "")


def _candidates(
    session: Session, context: Context, column: str, values: Iterable[str]
) -> dict[str, list[MatchCandidate]]:
    """The accounts with these values that may be taken over at all, protected ones and administrators included."""
    found = {
        value: [
            account
            for account in accounts
            if not account.deleted and account.auth != rules.AUTH and account.username != rules.GUEST
        ]
        for value, accounts in context.accounts.matching(session, column, values).items()
    }
    linked: set[int] = set()
    for keys in in_batches({account.key for accounts in found.values() for account in accounts}):
        linked.update(session.scalars(select(Link.account_key).where(Link.account_key.in_(keys))))
    free = {
        value: [account for account in accounts if account.key not in linked]
        for value, accounts in found.items()
    }
    return {value: accounts for value, accounts in free.items() if accounts}


def _outcome(accounts: list[MatchCandidate], rivals: set[int], protected: Collection[str]) -> Outcome:
    if len(accounts) > 1 or rivals:
        return Outcome.AMBIGUOUS
    if accounts[0].username in protected:
        return Outcome.PROTECTED
    return Outcome.ADMINISTRATOR if accounts[0].admin else Outcome.FOUND


def _listed(names: Iterable[str]) -> str:
    several = list(names)
    names = ", ".join(several[:MOST_NAMED])
    if len(several) <= MOST_NAMED:
        return names
    return plural(
        "${names} and ${number} more", "${names} and ${number} more", len(several) - MOST_NAMED, names=names
    )
