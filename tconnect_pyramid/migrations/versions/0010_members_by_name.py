"""Lines of runs and approvals of memberships: who comes to or leaves which collection."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COLUMNS = ("remote_id", "kind", "action", "server_id", "expires")


def upgrade() -> None:
    op.add_column(
        "tconnect_run_line",
        sa.Column("collection", sa.String(length=40), server_default="", nullable=False),
    )
    # The key gets another column, which SQLite does only by a new table. What was approved is kept, but for numbers
    # of members: nobody knows who was meant.
    old = sa.table("tconnect_approval", *map(sa.column, COLUMNS))
    kept = op.get_bind().execute(sa.select(old).where(old.c.action.not_like("loses %"))).mappings().all()
    op.drop_table("tconnect_approval")
    new = op.create_table(
        "tconnect_approval",
        sa.Column("remote_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("collection", sa.String(length=40), nullable=False),
        sa.Column("server_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"],
            ["tconnect_server.id"],
            name=op.f("fk_tconnect_approval_server_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "remote_id", "kind", "action", "collection", "server_id", name=op.f("pk_tconnect_approval")
        ),
    )
    op.create_index(op.f("ix_tconnect_approval_server_id"), "tconnect_approval", ["server_id"], unique=False)
    op.bulk_insert(new, [{**row, "collection": ""} for row in kept])
