"""Which local account a person of a server takes over (protocol 9, migration). Finds only; nothing is written."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid.client import accounts as rules
from tconnect_pyramid.client.sync.plan import visible
from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import MatchCandidate, in_batches
from tconnect_pyramid.errors import Conflict
from tconnect_pyramid.models import Link
from tconnect_pyramid.peers import ServerPeer
from tconnect_pyramid.protocol.users import UserRecord

# Only what every database puts into small letters alike: other letters may become those of somebody
# else's address.
_EMAIL = re.compile(r"[!-?A-~]+@[A-Za-z0-9.\-]+\.[A-Za-z0-9\-]+")

WORDS = {"username": "user name", "email": "email address", "idnumber": "ID number", "uniqueid": "user name"}
"""The values of `client.account_mapping`, as a person reads them."""
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
    def reason(self) -> str:
        """For an administrator: what was found, and what to do about it."""
        word = WORDS[self.field]
        names = _listed(f"{visible(account.username)} (id {account.key})" for account in self.accounts)
        match self.outcome:
            case Outcome.FOUND:
                return f"took over the local account {names}, which has the same {word}"
            case Outcome.ADMINISTRATOR:
                return (
                    f"the {word} is that of {names}, an administrator of this site: such an account is never taken "
                    f"over; change its {word} or its rights"
                )
            case Outcome.PROTECTED:
                return (
                    f"the {word} is that of {names}, but tconnect.client.protected_accounts lists the account"
                )
        if len(self.accounts) > 1:
            return f"several local accounts have this {word}: {names}; leave it to the right one"
        people = _listed(str(person) for person in sorted((self.person_id, *self.rivals)))
        return (
            f"the {word} of the local account {names} is that of several people of the server: {people}; "
            "change it there for all but one"
        )


def find_local(
    session: Session,
    context: Context,
    peer: ServerPeer,
    newcomers: Collection[UserRecord],
    listed: Iterable[UserRecord] = (),
) -> dict[int, Match]:
    """What `newcomers`, people without an account here, match; who is not in it gets a new account.

    Nobody is while `client.migrate_accounts` is off. `listed`: all whom the server lists, among whom nobody
    else may have the same value.
    """
    options = context.options(session)
    mapping = options.client_account_mapping
    column = "username" if mapping == "uniqueid" else mapping
    if not options.client_migrate_accounts or context.accounts.columns.read(column) is None:
        return {}
    values = {record.id: value for record in newcomers if (value := _value(mapping, record, peer))}
    candidates = _candidates(session, context, column, values.values())
    sharing: dict[str, set[int]] = defaultdict(set)
    for record in (*newcomers, *listed):
        value = "" if record.deleted else _value(mapping, record, peer)
        if value in candidates:
            sharing[value].add(record.id)
    matches = {}
    for person, value in values.items():
        accounts = candidates.get(value)
        if accounts:
            rivals = sharing[value] - {person}
            outcome = _outcome(accounts, rivals, options.client_protected_accounts)
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
            "A local account that was to be taken over has changed in this moment. Nothing was done; the next "
            "time sees it as it is."
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
    more = f" and {len(several) - MOST_NAMED} more" if len(several) > MOST_NAMED else ""
    return ", ".join(several[:MOST_NAMED]) + more
