"""The site's database: units (transactions of our own), reads, snapshots; who has one open.

No call to a peer may be made while a transaction is open: a slow peer would hold the lock of every
writer. `Database.assert_idle` lets the transport find such a mistake.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import zope.sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session, SessionTransaction, sessionmaker
from transaction import TransactionManager

from tconnect_pyramid import sqlite
from tconnect_pyramid.errors import TransactionOpen
from tconnect_pyramid.texts import text as _


class Database:
    """Hands out sessions on one engine, ours or the host's."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._open: dict[int, set[int]] = {}
        self._reads = engine.execution_options()
        writes = engine.execution_options(**{sqlite.BEGIN_OPTION: "IMMEDIATE"})
        for each in (self._reads, writes):
            # Values would stand in the text of every error, and so in the log: people's data, their hashes, tokens. What a
            # host does by its engine itself is as the host has it.
            each.hide_parameters = True
        self._reading: sessionmaker[Session] = sessionmaker(self._reads, expire_on_commit=False)
        self._writing: sessionmaker[Session] = sessionmaker(writes, expire_on_commit=False)
        for factory in (self._reading, self._writing):
            _note_transactions(factory, self._open)

    @contextmanager
    def unit(self) -> Iterator[Session]:
        """A transaction of our own: commits on leaving, rolls back on an exception.

        It has its own transaction manager, so that a host's `request.tm` is neither committed nor
        doomed by us and its outcome does not touch ours.
        """
        manager = TransactionManager(explicit=True)
        manager.begin()
        session = self._writing()
        zope.sqlalchemy.register(
            # Statements of Core count as changes too: always commit, never guess.
            session,
            initial_state=zope.sqlalchemy.datamanager.STATUS_CHANGED,
            transaction_manager=manager,
        )
        try:
            yield session
            manager.commit()
        except BaseException:
            manager.abort()
            raise
        finally:
            session.close()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that only reads and holds nothing once it is left."""
        session = self._reading()
        try:
            yield session
        finally:
            session.close()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection that sees one state of the database throughout, for lists read in pages."""
        with self._reads.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    def joined(self, manager: Any, *, writes: bool) -> Session:
        """A session that lives and dies with `manager`, the transaction manager of a request."""
        session = self._writing() if writes else self._reading()
        zope.sqlalchemy.register(session, transaction_manager=manager)
        return session

    def assert_idle(self) -> None:
        """Raise TransactionOpen when this thread has a transaction open."""
        if self._open.get(threading.get_ident()):
            raise TransactionOpen(
                _(
                    "A peer is about to be called while a transaction of this site is open: read, close, "
                    "call, then write in a second unit."
                )
            )


def _note_transactions(factory: sessionmaker[Session], noted: dict[int, set[int]]) -> None:
    """Keep in `noted` which sessions of each thread have a transaction.

    SQLAlchemy keeps listeners for good, so that they must not lead back to the database: its engine and all that it
    has ever compiled would stay with them.
    """

    def begun(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
        del transaction, connection
        noted.setdefault(threading.get_ident(), set()).add(id(session))

    def ended(session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is not None:
            return
        thread = threading.get_ident()
        sessions = noted.get(thread)
        if sessions is not None:
            sessions.discard(id(session))
            if not sessions:
                del noted[thread]

    event.listen(factory, "after_begin", begun)
    event.listen(factory, "after_transaction_end", ended)
