"""What a server said of a person when their account was last put in order, so that who is as before costs nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tconnect_link", sa.Column("digest", sa.LargeBinary(length=16), nullable=True))
