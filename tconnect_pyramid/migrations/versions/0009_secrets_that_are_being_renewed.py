"""The next secrets of a client, while they are being renewed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tconnect_client", sa.Column("next_client_secret", sa.LargeBinary(), nullable=True))
    op.add_column("tconnect_client", sa.Column("next_server_secret", sa.LargeBinary(), nullable=True))
    op.add_column(
        "tconnect_client", sa.Column("next_server_secret_hash", sa.String(length=64), nullable=True)
    )
    op.create_index(
        op.f("ix_tconnect_client_next_server_secret_hash"),
        "tconnect_client",
        ["next_server_secret_hash"],
        unique=True,
    )
