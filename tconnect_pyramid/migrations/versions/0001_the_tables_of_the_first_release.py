"""The tables of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tconnect_account",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("auth", sa.String(length=20), server_default="manual", nullable=False),
        sa.Column("confirmed", sa.Integer(), server_default="1", nullable=False),
        sa.Column("policyagreed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("deleted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("suspended", sa.Integer(), server_default="0", nullable=False),
        sa.Column("username", sa.String(length=100), nullable=False),
        sa.Column("password", sa.String(length=255), nullable=True),
        sa.Column("idnumber", sa.String(length=255), server_default="", nullable=False),
        sa.Column("firstname", sa.String(length=100), server_default="", nullable=False),
        sa.Column("lastname", sa.String(length=100), server_default="", nullable=False),
        sa.Column("email", sa.String(length=100), server_default="", nullable=False),
        sa.Column("emailstop", sa.Integer(), server_default="0", nullable=False),
        sa.Column("icq", sa.String(length=15), server_default="", nullable=False),
        sa.Column("skype", sa.String(length=50), server_default="", nullable=False),
        sa.Column("yahoo", sa.String(length=50), server_default="", nullable=False),
        sa.Column("aim", sa.String(length=50), server_default="", nullable=False),
        sa.Column("msn", sa.String(length=50), server_default="", nullable=False),
        sa.Column("phone1", sa.String(length=20), server_default="", nullable=False),
        sa.Column("phone2", sa.String(length=20), server_default="", nullable=False),
        sa.Column("institution", sa.String(length=255), server_default="", nullable=False),
        sa.Column("department", sa.String(length=255), server_default="", nullable=False),
        sa.Column("address", sa.String(length=255), server_default="", nullable=False),
        sa.Column("city", sa.String(length=120), server_default="", nullable=False),
        sa.Column("country", sa.String(length=2), server_default="", nullable=False),
        sa.Column("lang", sa.String(length=30), server_default="en", nullable=False),
        sa.Column("calendartype", sa.String(length=30), server_default="gregorian", nullable=False),
        sa.Column("theme", sa.String(length=50), server_default="", nullable=False),
        sa.Column("timezone", sa.String(length=100), server_default="99", nullable=False),
        sa.Column("firstaccess", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lastaccess", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lastlogin", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("currentlogin", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lastip", sa.String(length=45), server_default="", nullable=False),
        sa.Column("picture", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("url", sa.String(length=255), server_default="", nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("descriptionformat", sa.Integer(), server_default="1", nullable=False),
        sa.Column("mailformat", sa.Integer(), server_default="1", nullable=False),
        sa.Column("maildigest", sa.Integer(), server_default="0", nullable=False),
        sa.Column("maildisplay", sa.Integer(), server_default="2", nullable=False),
        sa.Column("autosubscribe", sa.Integer(), server_default="1", nullable=False),
        sa.Column("trackforums", sa.Integer(), server_default="0", nullable=False),
        sa.Column("timecreated", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("timemodified", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("trustbitmask", sa.Integer(), server_default="0", nullable=False),
        sa.Column("imagealt", sa.String(length=255), nullable=True),
        sa.Column("lastnamephonetic", sa.String(length=255), nullable=True),
        sa.Column("firstnamephonetic", sa.String(length=255), nullable=True),
        sa.Column("middlename", sa.String(length=255), nullable=True),
        sa.Column("alternatename", sa.String(length=255), nullable=True),
        sa.Column("totarasync", sa.Integer(), server_default="0", nullable=False),
        sa.Column("admin", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_account")),
        sa.UniqueConstraint("username", name=op.f("uq_tconnect_account_username")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("tconnect_account", schema=None) as batch_op:
        batch_op.create_index(
            "ix_tconnect_account_email_lower", [sa.literal_column("lower(email)")], unique=False
        )
        batch_op.create_index(batch_op.f("ix_tconnect_account_idnumber"), ["idnumber"], unique=False)

    op.create_table(
        "tconnect_audience",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("name", sa.String(length=254), nullable=False),
        sa.Column("idnumber", sa.String(length=100), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("component", sa.String(length=100), server_default="", nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.Column("timemodified", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_audience")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("tconnect_audience", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tconnect_audience_idnumber"), ["idnumber"], unique=False)

    op.create_table(
        "tconnect_audit",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=100), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_audit")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("tconnect_audit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tconnect_audit_time"), ["time"], unique=False)

    op.create_table(
        "tconnect_client",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("url", sa.String(length=255), nullable=False),
        sa.Column("idnumber", sa.String(length=40), nullable=False),
        sa.Column("client_secret", sa.LargeBinary(), nullable=False),
        sa.Column("server_secret_hash", sa.String(length=64), nullable=False),
        sa.Column("apiversion", sa.Integer(), nullable=False),
        sa.Column("clienttype", sa.String(length=20), nullable=False),
        sa.Column("restrict_audience_id", sa.BigInteger(), nullable=True),
        sa.Column("add_new_audiences", sa.Boolean(), nullable=False),
        sa.Column("add_new_courses", sa.Boolean(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.Column("timemodified", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_client")),
        sa.UniqueConstraint("idnumber", name=op.f("uq_tconnect_client_idnumber")),
        sa.UniqueConstraint("server_secret_hash", name=op.f("uq_tconnect_client_server_secret_hash")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("tconnect_client", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tconnect_client_url"), ["url"], unique=False)

    op.create_table(
        "tconnect_connection_request",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_connection_request")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_tconnect_connection_request_secret_hash")),
    )
    op.create_table(
        "tconnect_course",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("fullname", sa.String(length=254), nullable=False),
        sa.Column("shortname", sa.String(length=255), nullable=False),
        sa.Column("idnumber", sa.String(length=100), server_default="", nullable=False),
        sa.Column("summary", sa.Text(), server_default="", nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.Column("timemodified", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_course")),
        sa.UniqueConstraint("shortname", name=op.f("uq_tconnect_course_shortname")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("tconnect_course", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tconnect_course_idnumber"), ["idnumber"], unique=False)

    op.create_table(
        "tconnect_group",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("name", sa.String(length=254), nullable=False),
        sa.Column("idnumber", sa.String(length=100), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("component", sa.String(length=100), server_default="", nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.Column("timemodified", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_group")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("tconnect_group", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tconnect_group_idnumber"), ["idnumber"], unique=False)

    op.create_table(
        "tconnect_lease",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("token", sa.String(length=40), nullable=False),
        sa.Column("holder", sa.String(length=60), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tconnect_lease")),
    )
    op.create_table(
        "tconnect_option",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("timemodified", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tconnect_option")),
    )
    op.create_table(
        "tconnect_outbox",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("peer_id", sa.BigInteger(), nullable=False),
        sa.Column("service", sa.String(length=60), nullable=False),
        sa.Column("parameters", sa.LargeBinary(), nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("claimed_until", sa.BigInteger(), nullable=False),
        sa.Column("given_up", sa.BigInteger(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_outbox")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("tconnect_outbox", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tconnect_outbox_due"), ["due"], unique=False)

    op.create_table(
        "tconnect_run",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("server_id", sa.BigInteger(), nullable=False),
        sa.Column("server_idnumber", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("origin", sa.String(length=20), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_run")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("tconnect_run", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tconnect_run_server_id"), ["server_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tconnect_run_started"), ["started"], unique=False)

    op.create_table(
        "tconnect_server",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("url", sa.String(length=255), nullable=False),
        sa.Column("idnumber", sa.String(length=40), nullable=False),
        sa.Column("server_secret", sa.LargeBinary(), nullable=False),
        sa.Column("client_idnumber", sa.String(length=40), nullable=False),
        sa.Column("client_secret_hash", sa.String(length=64), nullable=False),
        sa.Column("apiversion", sa.Integer(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.Column("timemodified", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_server")),
        sa.UniqueConstraint("client_idnumber", name=op.f("uq_tconnect_server_client_idnumber")),
        sa.UniqueConstraint("idnumber", name=op.f("uq_tconnect_server_idnumber")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tconnect_signin",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("browser_hash", sa.String(length=64), nullable=False),
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.Column("end_reason", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_signin")),
        sa.UniqueConstraint("browser_hash", name=op.f("uq_tconnect_signin_browser_hash")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("tconnect_signin", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tconnect_signin_account_key"), ["account_key"], unique=False)
        batch_op.create_index(batch_op.f("ix_tconnect_signin_last_seen"), ["last_seen"], unique=False)

    op.create_table(
        "tconnect_site_value",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tconnect_site_value")),
    )
    op.create_table(
        "tconnect_approval",
        sa.Column("remote_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("server_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"],
            ["tconnect_server.id"],
            name=op.f("fk_tconnect_approval_server_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "remote_id", "kind", "action", "server_id", name=op.f("pk_tconnect_approval")
        ),
    )
    with op.batch_alter_table("tconnect_approval", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tconnect_approval_server_id"), ["server_id"], unique=False)

    op.create_table(
        "tconnect_audience_member",
        sa.Column("account_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("audience_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["audience_id"],
            ["tconnect_audience.id"],
            name=op.f("fk_tconnect_audience_member_audience_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_key", "audience_id", name=op.f("pk_tconnect_audience_member")),
    )
    with op.batch_alter_table("tconnect_audience_member", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_tconnect_audience_member_audience_id"), ["audience_id"], unique=False
        )

    op.create_table(
        "tconnect_client_audience",
        sa.Column("client_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("audience_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["audience_id"],
            ["tconnect_audience.id"],
            name=op.f("fk_tconnect_client_audience_audience_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["tconnect_client.id"],
            name=op.f("fk_tconnect_client_audience_client_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("client_id", "audience_id", name=op.f("pk_tconnect_client_audience")),
    )
    with op.batch_alter_table("tconnect_client_audience", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_tconnect_client_audience_audience_id"), ["audience_id"], unique=False
        )

    op.create_table(
        "tconnect_client_course",
        sa.Column("client_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("course_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["tconnect_client.id"],
            name=op.f("fk_tconnect_client_course_client_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["course_id"],
            ["tconnect_course.id"],
            name=op.f("fk_tconnect_client_course_course_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("client_id", "course_id", name=op.f("pk_tconnect_client_course")),
    )
    with op.batch_alter_table("tconnect_client_course", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tconnect_client_course_course_id"), ["course_id"], unique=False)

    op.create_table(
        "tconnect_client_session",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("signin_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.Column("redeemed", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["tconnect_client.id"],
            name=op.f("fk_tconnect_client_session_client_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["signin_id"],
            ["tconnect_signin.id"],
            name=op.f("fk_tconnect_client_session_signin_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_client_session")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_tconnect_client_session_token_hash")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("tconnect_client_session", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_tconnect_client_session_account_key"), ["account_key"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_tconnect_client_session_client_id"), ["client_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tconnect_client_session_signin_id"), ["signin_id"], unique=False)

    op.create_table(
        "tconnect_collection",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("remote_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("server_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("local_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"],
            ["tconnect_server.id"],
            name=op.f("fk_tconnect_collection_server_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_collection")),
        sa.UniqueConstraint(
            "remote_id", "kind", "server_id", name=op.f("uq_tconnect_collection_remote_id_kind_server_id")
        ),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("tconnect_collection", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tconnect_collection_server_id"), ["server_id"], unique=False)

    op.create_table(
        "tconnect_enrolment",
        sa.Column("account_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("course_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.ForeignKeyConstraint(
            ["course_id"],
            ["tconnect_course.id"],
            name=op.f("fk_tconnect_enrolment_course_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_key", "course_id", name=op.f("pk_tconnect_enrolment")),
    )
    with op.batch_alter_table("tconnect_enrolment", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tconnect_enrolment_course_id"), ["course_id"], unique=False)

    op.create_table(
        "tconnect_group_member",
        sa.Column("account_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("group_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["tconnect_group.id"],
            name=op.f("fk_tconnect_group_member_group_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_key", "group_id", name=op.f("pk_tconnect_group_member")),
    )
    with op.batch_alter_table("tconnect_group_member", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tconnect_group_member_group_id"), ["group_id"], unique=False)

    op.create_table(
        "tconnect_link",
        sa.Column("person_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("server_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("suspended_by_sync", sa.Boolean(), nullable=False),
        sa.Column("created_by_run", sa.BigInteger(), nullable=True),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"], ["tconnect_server.id"], name=op.f("fk_tconnect_link_server_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("person_id", "server_id", name=op.f("pk_tconnect_link")),
        sa.UniqueConstraint("account_key", name=op.f("uq_tconnect_link_account_key")),
    )
    with op.batch_alter_table("tconnect_link", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tconnect_link_created_by_run"), ["created_by_run"], unique=False)
        batch_op.create_index(batch_op.f("ix_tconnect_link_server_id"), ["server_id"], unique=False)

    op.create_table(
        "tconnect_run_line",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("run_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("remote_id", sa.BigInteger(), nullable=True),
        sa.Column("account_key", sa.BigInteger(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["tconnect_run.id"], name=op.f("fk_tconnect_run_line_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_run_line")),
    )
    with op.batch_alter_table("tconnect_run_line", schema=None) as batch_op:
        batch_op.create_index("ix_tconnect_run_line_remote_id", ["remote_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tconnect_run_line_run_id"), ["run_id"], unique=False)

    op.create_table(
        "tconnect_server_session",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("server_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("signin_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"],
            ["tconnect_server.id"],
            name=op.f("fk_tconnect_server_session_server_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["signin_id"],
            ["tconnect_signin.id"],
            name=op.f("fk_tconnect_server_session_signin_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_server_session")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_tconnect_server_session_token_hash")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("tconnect_server_session", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_tconnect_server_session_account_key"), ["account_key"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_tconnect_server_session_server_id"), ["server_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tconnect_server_session_signin_id"), ["signin_id"], unique=False)

    op.create_table(
        "tconnect_signin_request",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("server_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("browser_hash", sa.String(length=64), nullable=False),
        sa.Column("wanted", sa.Text(), nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"],
            ["tconnect_server.id"],
            name=op.f("fk_tconnect_signin_request_server_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_signin_request")),
        sa.UniqueConstraint(
            "browser_hash", "server_id", name=op.f("uq_tconnect_signin_request_browser_hash_server_id")
        ),
        sa.UniqueConstraint("token_hash", name=op.f("uq_tconnect_signin_request_token_hash")),
    )
    with op.batch_alter_table("tconnect_signin_request", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_tconnect_signin_request_timecreated"), ["timecreated"], unique=False
        )

    op.create_table(
        "tconnect_awaited_member",
        sa.Column("person_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("collection_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["tconnect_collection.id"],
            name=op.f("fk_tconnect_awaited_member_collection_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("person_id", "collection_id", name=op.f("pk_tconnect_awaited_member")),
    )
    with op.batch_alter_table("tconnect_awaited_member", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_tconnect_awaited_member_collection_id"), ["collection_id"], unique=False
        )


def downgrade() -> None:
    with op.batch_alter_table("tconnect_awaited_member", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_awaited_member_collection_id"))

    op.drop_table("tconnect_awaited_member")
    with op.batch_alter_table("tconnect_signin_request", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_signin_request_timecreated"))

    op.drop_table("tconnect_signin_request")
    with op.batch_alter_table("tconnect_server_session", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_server_session_signin_id"))
        batch_op.drop_index(batch_op.f("ix_tconnect_server_session_server_id"))
        batch_op.drop_index(batch_op.f("ix_tconnect_server_session_account_key"))

    op.drop_table("tconnect_server_session")
    with op.batch_alter_table("tconnect_run_line", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_run_line_run_id"))
        batch_op.drop_index("ix_tconnect_run_line_remote_id")

    op.drop_table("tconnect_run_line")
    with op.batch_alter_table("tconnect_link", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_link_server_id"))
        batch_op.drop_index(batch_op.f("ix_tconnect_link_created_by_run"))

    op.drop_table("tconnect_link")
    with op.batch_alter_table("tconnect_group_member", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_group_member_group_id"))

    op.drop_table("tconnect_group_member")
    with op.batch_alter_table("tconnect_enrolment", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_enrolment_course_id"))

    op.drop_table("tconnect_enrolment")
    with op.batch_alter_table("tconnect_collection", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_collection_server_id"))

    op.drop_table("tconnect_collection")
    with op.batch_alter_table("tconnect_client_session", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_client_session_signin_id"))
        batch_op.drop_index(batch_op.f("ix_tconnect_client_session_client_id"))
        batch_op.drop_index(batch_op.f("ix_tconnect_client_session_account_key"))

    op.drop_table("tconnect_client_session")
    with op.batch_alter_table("tconnect_client_course", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_client_course_course_id"))

    op.drop_table("tconnect_client_course")
    with op.batch_alter_table("tconnect_client_audience", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_client_audience_audience_id"))

    op.drop_table("tconnect_client_audience")
    with op.batch_alter_table("tconnect_audience_member", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_audience_member_audience_id"))

    op.drop_table("tconnect_audience_member")
    with op.batch_alter_table("tconnect_approval", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_approval_server_id"))

    op.drop_table("tconnect_approval")
    op.drop_table("tconnect_site_value")
    with op.batch_alter_table("tconnect_signin", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_signin_last_seen"))
        batch_op.drop_index(batch_op.f("ix_tconnect_signin_account_key"))

    op.drop_table("tconnect_signin")
    op.drop_table("tconnect_server")
    with op.batch_alter_table("tconnect_run", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_run_started"))
        batch_op.drop_index(batch_op.f("ix_tconnect_run_server_id"))

    op.drop_table("tconnect_run")
    with op.batch_alter_table("tconnect_outbox", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_outbox_due"))

    op.drop_table("tconnect_outbox")
    op.drop_table("tconnect_option")
    op.drop_table("tconnect_lease")
    with op.batch_alter_table("tconnect_group", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_group_idnumber"))

    op.drop_table("tconnect_group")
    with op.batch_alter_table("tconnect_course", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_course_idnumber"))

    op.drop_table("tconnect_course")
    op.drop_table("tconnect_connection_request")
    with op.batch_alter_table("tconnect_client", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_client_url"))

    op.drop_table("tconnect_client")
    with op.batch_alter_table("tconnect_audit", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_audit_time"))

    op.drop_table("tconnect_audit")
    with op.batch_alter_table("tconnect_audience", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_audience_idnumber"))

    op.drop_table("tconnect_audience")
    with op.batch_alter_table("tconnect_account", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tconnect_account_idnumber"))
        batch_op.drop_index("ix_tconnect_account_email_lower")

    op.drop_table("tconnect_account")
