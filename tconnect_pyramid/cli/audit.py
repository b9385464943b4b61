"""`tconnect audit`: who changed what."""

from __future__ import annotations

import click
from sqlalchemy import select

from tconnect_pyramid.cli.base import command
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import Answer, Row, Rows, moment
from tconnect_pyramid.models import AuditEntry

COLUMNS = (
    ("Time (UTC)", "when"),
    ("By", "actor"),
    ("What", "action"),
    ("Whom", "subject"),
    ("Detail", "detail"),
)


@click.group()
def audit() -> None:
    """Look back at changes."""


@command(audit, "list")
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, newest first."
)
def list_(site: Site, limit: int) -> Answer:
    """The last changes, newest first."""
    context = site.migrated()
    with context.reading() as session:
        rows: list[Row] = [
            {
                "id": entry.id,
                "time": entry.time,
                "actor": entry.actor,
                "action": entry.action,
                "subject": entry.subject,
                "detail": entry.detail,
            }
            for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit))
        ]
    shown = [{**row, "when": moment(int(str(row["time"])))} for row in rows]
    return Answer(rows, Rows(COLUMNS, shown, "Nothing was changed yet."))
