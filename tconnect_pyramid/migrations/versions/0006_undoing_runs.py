"""What runs of people replaced, so that they can be undone, and kinds that are paused since."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "tconnect_undo",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["tconnect_run.id"],
            name=op.f("fk_tconnect_undo_run_id_tconnect_run"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_undo")),
    )
    op.create_index(op.f("ix_tconnect_undo_run_id"), "tconnect_undo", ["run_id"], unique=False)
    op.create_table(
        "tconnect_pause",
        sa.Column("server_id", BIG, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"],
            ["tconnect_server.id"],
            name=op.f("fk_tconnect_pause_server_id_tconnect_server"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("server_id", "kind", name=op.f("pk_tconnect_pause")),
    )
