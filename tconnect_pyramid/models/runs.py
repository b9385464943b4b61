"""Runs: each execution of a sync, kept as history; approvals of held ones; the lease of a peer."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from tconnect_pyramid.models.base import AccountKey, Base, Pk, Seconds, never_reuse_ids


class Run(Base):
    """One execution of one kind of sync with one server.

    `state` is one of `running`, `done`, `partial`, `failed`, `held`, `approved`, `rejected`, `undone`.
    """

    __tablename__ = "tconnect_run"

    id: Mapped[Pk]
    kind: Mapped[str] = mapped_column(String(20))
    server_id: Mapped[int] = mapped_column(BigInteger, index=True)
    server_idnumber: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(20))
    # Who asked for it: `schedule`, `command` or `page`.
    origin: Mapped[str] = mapped_column(String(20))
    started: Mapped[Seconds] = mapped_column(index=True)
    seconds: Mapped[float] = mapped_column(default=0.0)
    counts: Mapped[dict[str, Any]] = mapped_column(JSON)
    message: Mapped[str] = mapped_column(Text, default="")
    # Who approved a held run (`command` or `account:<key>`) and when, in Unix seconds; it stays `held` until a newer
    # run takes its place.
    approved_by: Mapped[str | None] = mapped_column(String(100))
    approved: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = never_reuse_ids()


class RunLine(Base):
    """What a run did, or wanted to do when it was held, to one person, member or collection."""

    __tablename__ = "tconnect_run_line"

    id: Mapped[Pk]
    run_id: Mapped[int] = mapped_column(ForeignKey(Run.id, ondelete="CASCADE"), index=True)
    action: Mapped[str] = mapped_column(String(20))
    # The person's or the collection's id at the server; None for a record without a usable one.
    remote_id: Mapped[int | None] = mapped_column(BigInteger)
    account_key: Mapped[int | None] = mapped_column(AccountKey)
    subject: Mapped[str] = mapped_column(Text, default="")
    detail: Mapped[str] = mapped_column(Text, default="")
    # Of a membership: of which collection, by kind and id at the server, as `cohort 17`.
    collection: Mapped[str] = mapped_column(String(40), default="")

    __table_args__ = (Index("ix_tconnect_run_line_remote_id", "remote_id"),)


class Undo(Base):
    """What a part of a run of people replaced, encrypted: its old values may be anybody's address or former password."""

    __tablename__ = "tconnect_undo"

    id: Mapped[Pk]
    run_id: Mapped[int] = mapped_column(ForeignKey(Run.id, ondelete="CASCADE"), index=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)


class Pause(Base):
    """A kind is not synchronised with a server since a run was undone, until an administrator resumes it."""

    __tablename__ = "tconnect_pause"

    server_id: Mapped[int] = mapped_column(
        ForeignKey("tconnect_server.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    # The run that was undone.
    run_id: Mapped[int] = mapped_column(BigInteger)


class Approval(Base):
    """An administrator allowed one removal of a held run, until `expires`."""

    __tablename__ = "tconnect_approval"

    remote_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    action: Mapped[str] = mapped_column(String(20), primary_key=True)
    # Of a membership, as in the run's line; else empty.
    collection: Mapped[str] = mapped_column(String(40), primary_key=True, default="")
    server_id: Mapped[int] = mapped_column(
        ForeignKey("tconnect_server.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    expires: Mapped[Seconds]


class Lease(Base):
    """At most one run works on a peer at a time. Whoever holds `token` may write, nobody else."""

    __tablename__ = "tconnect_lease"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    token: Mapped[str] = mapped_column(String(40))
    holder: Mapped[str] = mapped_column(String(60))
    expires: Mapped[Seconds]


class TaskState(Base):
    """How a scheduled task last went at this site, whoever started it, and when it is scheduled.

    `finished` is None while it runs, and stays None where its process was killed. `schedule` is what the
    worker that last took the task goes by, as its ini file says it; None until one has.
    """

    __tablename__ = "tconnect_task"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    # `schedule`, or `account:<key>` of the administrator who started it by hand.
    origin: Mapped[str] = mapped_column(String(100), default="")
    started: Mapped[int | None] = mapped_column(BigInteger)
    finished: Mapped[int | None] = mapped_column(BigInteger)
    succeeded: Mapped[bool] = mapped_column(default=False)
    result: Mapped[str] = mapped_column(Text, default="")
    schedule: Mapped[dict[str, Any] | None] = mapped_column(JSON)
