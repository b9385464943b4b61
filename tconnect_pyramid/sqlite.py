"""How SQLite must be set up to serve a site: write-ahead log, patience, and transactions that are ours.

A host with an SQLite engine of its own calls `configure(engine)` once after creating it.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import Connection, Engine, event

BUSY_TIMEOUT_MS = 15_000
BEGIN_OPTION = "tconnect_begin"
"""Execution option: how a transaction begins, `IMMEDIATE` for one that will write."""


def is_configured(engine: Engine) -> bool:
    """True when `configure` was called for this engine."""
    return event.contains(engine, "begin", _begin)


def configure(engine: Engine) -> None:
    """Make an SQLite engine fit for several processes that read and write; does nothing elsewhere.

    Python's driver begins transactions late and by its own rules. A transaction that reads first
    and writes after somebody else's commit then fails at once, whatever the timeout, so the driver
    is put into autocommit and we begin ourselves: IMMEDIATE where a write will follow.
    """
    if engine.dialect.name != "sqlite" or is_configured(engine):
        return
    event.listen(engine, "connect", _connect)
    event.listen(engine, "begin", _begin)


def _connect(dbapi_connection: sqlite3.Connection, record: Any) -> None:
    del record
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    mode = connection.get_execution_options().get(BEGIN_OPTION, "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")
