"""The clients of this server as its administrator looks at them: a list, and how one of them is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.paging import Asked, Page, in_any_case, page_of
from tconnect_pyramid.models import Audience, Client, ClientSession, Course, Notice
from tconnect_pyramid.server.callers import inside
from tconnect_pyramid.server.clients import DELETED, ClientView, list_clients

CALL_NOTED_SECONDS = 60
"""How often it is noted at most that a client has called."""


@dataclass(frozen=True, slots=True)
class Health:
    """How a client is. `last_call`: Unix seconds, None when it never called; `people`: whom it may see."""

    last_call: int | None
    sign_ins: int
    people: int
    notices: int


def page_of_clients(session: Session, asked: Asked) -> Page[ClientView]:
    """A page of the clients, those that are gone left out; sorted by `name`, `url`, `state` or `timecreated`."""
    found = page_of(
        session,
        select(Client.id).where(Client.state != DELETED),
        asked,
        key=Client.id,
        orders={
            "name": in_any_case(Client.name),
            "url": in_any_case(Client.url),
            "state": in_any_case(Client.state),
            "timecreated": Client.timecreated,
        },
        searched=(Client.name, Client.url, Client.idnumber, Client.comment),
    )
    return found.map(lambda rows: _in_order(session, [row.id for row in rows]))


def names_of_attached(
    session: Session, clients: list[ClientView]
) -> tuple[Mapping[int, str], Mapping[int, str]]:
    """The names of the audiences, and of the courses, that these clients get, by their ids."""
    audiences = {id_ for client in clients for id_ in client.audiences}
    audiences |= {client.restrict_to for client in clients if client.restrict_to is not None}
    courses = {id_ for client in clients for id_ in client.courses}
    return (
        _names(session, Audience.id, Audience.name, audiences),
        _names(session, Course.id, Course.fullname, courses),
    )


def health_of(session: Session, context: Context, client: ClientView) -> Health:
    """How a client is, as far as this site knows without asking it."""
    accounts = context.accounts
    row = session.get_one(Client, client.id)
    seen = select(func.count()).where(accounts.not_deleted(), inside(accounts, client.restrict_to))
    return Health(
        last_call=row.last_call,
        sign_ins=session.scalar(select(func.count()).where(ClientSession.client_id == client.id)) or 0,
        people=session.scalar(seen.select_from(accounts.columns.mapped_class)) or 0,
        notices=session.scalar(
            select(func.count()).where(
                Notice.role == "client", Notice.peer_id == client.id, Notice.given_up.is_(None)
            )
        )
        or 0,
    )


def note_call(context: Context, client_id: int, last_call: int | None) -> None:
    """Remember that a client has called, at most once a minute, also when it makes several calls at once."""
    now = context.clock()
    if last_call is not None and now - last_call < CALL_NOTED_SECONDS:
        return
    with context.unit() as session:
        due = or_(Client.last_call.is_(None), Client.last_call <= now - CALL_NOTED_SECONDS)
        session.execute(update(Client).where(Client.id == client_id, due).values(last_call=now))


def _in_order(session: Session, ids: list[int]) -> list[ClientView]:
    by_id = {view.id: view for view in list_clients(session, ids=ids)}
    return [by_id[id_] for id_ in ids]


def _names(
    session: Session,
    key: InstrumentedAttribute[int],
    name: InstrumentedAttribute[str],
    ids: set[int],
) -> dict[int, str]:
    found: dict[int, str] = {}
    for some in in_batches(sorted(ids)):
        found.update((id_, called) for id_, called in session.execute(select(key, name).where(key.in_(some))))
    return found
