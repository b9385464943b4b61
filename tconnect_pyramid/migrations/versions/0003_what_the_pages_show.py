"""What the administration pages show and ask: how tasks went, when a client called, when a person proved themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tconnect_task",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("origin", sa.String(length=100), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=True),
        sa.Column("finished", sa.BigInteger(), nullable=True),
        sa.Column("succeeded", sa.Boolean(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("schedule", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tconnect_task")),
    )
    op.add_column("tconnect_signin", sa.Column("proved", sa.BigInteger(), nullable=True))
    op.add_column("tconnect_client", sa.Column("last_call", sa.BigInteger(), nullable=True))
