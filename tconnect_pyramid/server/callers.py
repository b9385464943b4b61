"""The client behind a service call, and which people it may see (protocol 4 and 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, not_, or_, select
from sqlalchemy.orm import Session, aliased

from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import Accounts
from tconnect_pyramid.models import Audience, AudienceMember, Client, FormerMember
from tconnect_pyramid.protocol import services, versions
from tconnect_pyramid.protocol.services import ServiceCall
from tconnect_pyramid.protocol.values import is_token
from tconnect_pyramid.secretbox import digest, same

GUEST = "guest"
"""The user name of an account that stands for nobody in particular; a host may have one."""

MAY_CALL_WHILE_REGISTERING = frozenset({services.GET_API_VERSION, services.UPDATE_API_VERSION})


@dataclass(frozen=True, slots=True)
class Caller:
    """A client that has proved who it is, as plain data.

    `apiversion` is the version spoken with it; `restrict_audience_id` is the audience it is restricted
    to, None for everybody; `sends_passwords` is the server's option *sync user passwords*, the other
    switches are the client's own (protocol 8). `last_call`: when it last called, to the minute (Unix seconds).
    `has_next_secret`: it proved itself by the secret that it has been offered to use from now on.
    """

    id: int
    idnumber: str
    state: str
    apiversion: int
    restrict_audience_id: int | None
    sends_passwords: bool
    sends_profile_fields: bool
    sends_jobs: bool
    plugin_services: bool
    last_call: int | None = None
    has_next_secret: bool = False


def authenticate(session: Session, context: Context, call: ServiceCall) -> Caller:
    """The client that makes this call; raises `Refused` in the order of protocol 4, up to the version.

    Only a client that has left may come through with the state `deleted`, and only to leave again.
    """
    row = _find(session, call.secret)
    # Both are looked at in any case, so that the time does not tell which of them was wrong.
    is_ours = same(call.idnumber, context.idnumber(session))
    if row is None or not is_ours:
        raise services.invalid_server_secret()
    options = context.options(session)
    if not options.server_enabled:
        raise services.server_not_enabled()
    is_built_in = not call.component
    allowed = {
        "active": True,
        "registering": is_built_in and call.name in MAY_CALL_WHILE_REGISTERING,
        # With Totara a lost answer makes the client retry for ever (protocol 5).
        "deleted": is_built_in and call.name == services.DELETE_CLIENT,
    }
    if not allowed.get(row.state, False):
        raise services.client_not_active()
    if not versions.MIN_VERSION <= row.apiversion <= versions.MAX_VERSION:
        raise services.unsupported_api_version()
    return Caller(
        id=row.id,
        idnumber=row.idnumber,
        state=row.state,
        apiversion=row.apiversion,
        restrict_audience_id=row.restrict_audience_id,
        sends_passwords=options.server_sync_passwords,
        sends_profile_fields=row.sends_profile_fields,
        sends_jobs=row.sends_jobs,
        plugin_services=row.plugin_services,
        last_call=row.last_call,
        has_next_secret=row.next_server_secret_hash == digest(call.secret),
    )


def inside(accounts: Accounts, restrict_audience_id: int | None) -> ColumnElement[bool]:
    """A condition on accounts: this person may sign in at the client, and belong to what it is sent.

    Without a restriction it is everybody but the guest; when the restricting audience is gone, nobody.
    """
    if restrict_audience_id is None:
        return _not_the_guest(accounts)
    # Aliases, as the statement around it may be about members of an audience itself.
    member, audience = aliased(AudienceMember), aliased(Audience)
    return and_(
        _not_the_guest(accounts),
        exists(
            select(member.account_key)
            .join(audience, audience.id == member.audience_id)
            .where(member.account_key == accounts.key, member.audience_id == restrict_audience_id)
        ),
    )


def only_told(statement: Select[Any], accounts: Accounts, restrict_audience_id: int | None) -> Select[Any]:
    """Keep of a select of accounts those of whom the client is told: whoever is inside, and tombstones.

    A restricted client hears of the deletion of those who were members then (protocol 5). By joins,
    as these find a page of people quickly however large the audience is.
    """
    statement = statement.where(_not_the_guest(accounts))
    if restrict_audience_id is None:
        return statement
    return (
        statement.outerjoin(
            AudienceMember,
            and_(
                AudienceMember.account_key == accounts.key,
                AudienceMember.audience_id == restrict_audience_id,
            ),
        )
        .outerjoin(
            FormerMember,
            and_(
                FormerMember.account_key == accounts.key,
                FormerMember.audience_id == restrict_audience_id,
            ),
        )
        .where(
            exists(select(Audience.id).where(Audience.id == restrict_audience_id)),
            or_(
                AudienceMember.account_key.is_not(None),
                and_(FormerMember.account_key.is_not(None), not_(accounts.not_deleted())),
            ),
        )
    )


def may_sign_in(
    session: Session, context: Context, restrict_audience_id: int | None, account_key: int
) -> bool:
    """Whether this person may be signed in at a client with this restriction (protocol 5 and 7.2)."""
    accounts = context.accounts
    statement = select(accounts.key).where(
        accounts.key == account_key,
        accounts.not_deleted(),
        accounts.not_suspended(),
        inside(accounts, restrict_audience_id),
    )
    return session.execute(statement).first() is not None


def _not_the_guest(accounts: Accounts) -> ColumnElement[bool]:
    return func.lower(accounts.columns.readable("username")) != GUEST


def _find(session: Session, secret: str) -> Client | None:
    if not is_token(secret):
        return None
    hashed = digest(secret)
    return session.scalar(
        select(Client).where(
            or_(Client.server_secret_hash == hashed, Client.next_server_secret_hash == hashed)
        )
    )
