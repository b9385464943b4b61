"""One run of a server at a time, in whatever process: a row that only its holder may write under."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import LeaseLost, SyncBusy
from tconnect_pyramid.models import Lease
from tconnect_pyramid.secretbox import new_token
from tconnect_pyramid.texts import Text
from tconnect_pyramid.texts import text as _

LEASE_SECONDS = 900
"""A holder that was killed blocks its server no longer than this."""


@dataclass(frozen=True, slots=True)
class Grip:
    """A lease that is held. Whoever knows the token may write, nobody else."""

    name: str
    token: str


@contextmanager
def held(context: Context, name: str, holder: str) -> Iterator[Grip]:
    """Hold the lease of this name while the block runs. Raises SyncBusy, naming who has it."""
    grip = Grip(name, new_token())
    try:
        with context.unit() as session:
            _take(session, grip, holder, context.clock())
    except IntegrityError:
        # Two came at once, and neither saw a row yet.
        raise SyncBusy(_busy(_("a run that began at the same moment"))) from None
    try:
        yield grip
    finally:
        with context.unit() as session:
            session.execute(delete(Lease).where(Lease.name == grip.name, Lease.token == grip.token))


def confirm(session: Session, grip: Grip, now: int) -> None:
    """Prolong the lease, as the first statement of a transaction: nothing is written without it.

    Raises LeaseLost when another run has taken it over.
    """
    mine = session.scalar(
        update(Lease)
        .where(Lease.name == grip.name, Lease.token == grip.token)
        .values(expires=now + LEASE_SECONDS)
        .returning(Lease.name)
    )
    if mine is None:
        raise LeaseLost(
            _(
                "This run took longer than ${seconds} s for one step, and another run has taken its place; "
                "nothing was changed.",
                seconds=LEASE_SECONDS,
            )
        )


def beat(context: Context, grip: Grip) -> None:
    """Prolong the lease between two steps. Raises LeaseLost."""
    with context.unit() as session:
        confirm(session, grip, context.clock())


def _take(session: Session, grip: Grip, holder: str, now: int) -> None:
    values = {"token": grip.token, "holder": holder, "expires": now + LEASE_SECONDS}
    expired = session.scalar(
        update(Lease)
        .where(Lease.name == grip.name, Lease.expires <= now)
        .values(values)
        .returning(Lease.name)
    )
    if expired is not None:
        return
    other = session.scalar(select(Lease.holder).where(Lease.name == grip.name))
    if other is not None:
        raise SyncBusy(_busy(other))
    session.execute(insert(Lease).values(name=grip.name, **values))


def _busy(holder: str) -> Text:
    return _(
        "Another run with this server is under way: ${holder}. Try again when it has ended.", holder=holder
    )
