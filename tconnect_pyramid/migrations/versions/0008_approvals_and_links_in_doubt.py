"""Who approved a held run, and links whose person's id has become somebody else's at the server."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tconnect_run", sa.Column("approved_by", sa.String(length=100), nullable=True))
    op.add_column("tconnect_run", sa.Column("approved", sa.BigInteger(), nullable=True))
    op.add_column(
        "tconnect_link", sa.Column("in_doubt", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
