"""Who a person is at the server, so that an id that has become somebody else's there is noticed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tconnect_link", sa.Column("person_username", sa.String(length=100), nullable=True))
    op.add_column("tconnect_link", sa.Column("person_timecreated", sa.BigInteger(), nullable=True))
    # The next run looks at everybody, and learns it.
    op.execute("UPDATE tconnect_link SET digest = NULL")
