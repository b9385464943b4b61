"""Everything that Totara Connect keeps in step."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tconnect_organisation_framework",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("idnumber", sa.String(length=100), server_default="", nullable=False),
        sa.Column("fullname", sa.String(length=1024), nullable=False),
        sa.Column("shortname", sa.String(length=100), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("sortorder", sa.Integer(), nullable=False),
        sa.Column("visible", sa.Integer(), server_default="1", nullable=False),
        sa.Column("hidecustomfields", sa.Integer(), server_default="0", nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.Column("timemodified", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_organisation_framework")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_tconnect_organisation_framework_idnumber"),
        "tconnect_organisation_framework",
        ["idnumber"],
        unique=False,
    )
    op.create_table(
        "tconnect_organisation_type",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("idnumber", sa.String(length=100), nullable=False),
        sa.Column("fullname", sa.String(length=1024), nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.Column("timemodified", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_organisation_type")),
        sa.UniqueConstraint("idnumber", name=op.f("uq_tconnect_organisation_type_idnumber")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tconnect_picture",
        sa.Column("account_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=6), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("account_key", "name", name=op.f("pk_tconnect_picture")),
    )
    op.create_table(
        "tconnect_position_framework",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("idnumber", sa.String(length=100), server_default="", nullable=False),
        sa.Column("fullname", sa.String(length=1024), nullable=False),
        sa.Column("shortname", sa.String(length=100), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("sortorder", sa.Integer(), nullable=False),
        sa.Column("visible", sa.Integer(), server_default="1", nullable=False),
        sa.Column("hidecustomfields", sa.Integer(), server_default="0", nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.Column("timemodified", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_position_framework")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_tconnect_position_framework_idnumber"),
        "tconnect_position_framework",
        ["idnumber"],
        unique=False,
    )
    op.create_table(
        "tconnect_position_type",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("idnumber", sa.String(length=100), nullable=False),
        sa.Column("fullname", sa.String(length=1024), nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.Column("timemodified", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_position_type")),
        sa.UniqueConstraint("idnumber", name=op.f("uq_tconnect_position_type_idnumber")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tconnect_profile_field",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("shortname", sa.String(length=255), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("datatype", sa.String(length=255), nullable=False),
        sa.Column("choices", sa.Text(), server_default="", nullable=False),
        sa.Column("sortorder", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_profile_field")),
        sa.UniqueConstraint("shortname", name=op.f("uq_tconnect_profile_field_shortname")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tconnect_client_organisation_framework",
        sa.Column("client_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("framework_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["tconnect_client.id"],
            name=op.f("fk_tconnect_client_organisation_framework_client_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["framework_id"],
            ["tconnect_organisation_framework.id"],
            name=op.f("fk_tconnect_client_organisation_framework_framework_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "client_id", "framework_id", name=op.f("pk_tconnect_client_organisation_framework")
        ),
    )
    op.create_index(
        op.f("ix_tconnect_client_organisation_framework_framework_id"),
        "tconnect_client_organisation_framework",
        ["framework_id"],
        unique=False,
    )
    op.create_table(
        "tconnect_client_position_framework",
        sa.Column("client_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("framework_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["tconnect_client.id"],
            name=op.f("fk_tconnect_client_position_framework_client_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["framework_id"],
            ["tconnect_position_framework.id"],
            name=op.f("fk_tconnect_client_position_framework_framework_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "client_id", "framework_id", name=op.f("pk_tconnect_client_position_framework")
        ),
    )
    op.create_index(
        op.f("ix_tconnect_client_position_framework_framework_id"),
        "tconnect_client_position_framework",
        ["framework_id"],
        unique=False,
    )
    op.create_table(
        "tconnect_counterpart",
        sa.Column("remote_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("server_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("local_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"],
            ["tconnect_server.id"],
            name=op.f("fk_tconnect_counterpart_server_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("remote_id", "kind", "server_id", name=op.f("pk_tconnect_counterpart")),
        sa.UniqueConstraint("local_id", "kind", name=op.f("uq_tconnect_counterpart_local_id_kind")),
    )
    op.create_index(
        op.f("ix_tconnect_counterpart_server_id"), "tconnect_counterpart", ["server_id"], unique=False
    )
    op.create_table(
        "tconnect_former_member",
        sa.Column("account_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("audience_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["audience_id"],
            ["tconnect_audience.id"],
            name=op.f("fk_tconnect_former_member_audience_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_key", "audience_id", name=op.f("pk_tconnect_former_member")),
    )
    op.create_index(
        op.f("ix_tconnect_former_member_audience_id"), "tconnect_former_member", ["audience_id"], unique=False
    )
    op.create_table(
        "tconnect_organisation",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("idnumber", sa.String(length=100), server_default="", nullable=False),
        sa.Column("fullname", sa.String(length=1024), nullable=False),
        sa.Column("shortname", sa.String(length=100), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("path", sa.Text(), server_default="", nullable=False),
        sa.Column("depthlevel", sa.Integer(), server_default="1", nullable=False),
        sa.Column("sortthread", sa.String(length=255), server_default="", nullable=False),
        sa.Column("visible", sa.Integer(), server_default="1", nullable=False),
        sa.Column("component", sa.String(length=100), server_default="", nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.Column("timemodified", sa.BigInteger(), nullable=False),
        sa.Column("framework_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("parent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("type_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(
            ["framework_id"],
            ["tconnect_organisation_framework.id"],
            name=op.f("fk_tconnect_organisation_framework_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["parent_id"],
            ["tconnect_organisation.id"],
            name=op.f("fk_tconnect_organisation_parent_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["type_id"],
            ["tconnect_organisation_type.id"],
            name=op.f("fk_tconnect_organisation_type_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_organisation")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_tconnect_organisation_framework_id"), "tconnect_organisation", ["framework_id"], unique=False
    )
    op.create_index(
        op.f("ix_tconnect_organisation_idnumber"), "tconnect_organisation", ["idnumber"], unique=False
    )
    op.create_index(
        op.f("ix_tconnect_organisation_parent_id"), "tconnect_organisation", ["parent_id"], unique=False
    )
    op.create_index(
        op.f("ix_tconnect_organisation_type_id"), "tconnect_organisation", ["type_id"], unique=False
    )
    op.create_table(
        "tconnect_organisation_type_field",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("shortname", sa.String(length=100), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("datatype", sa.String(length=255), nullable=False),
        sa.Column("sortorder", sa.Integer(), nullable=False),
        sa.Column("type_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["type_id"],
            ["tconnect_organisation_type.id"],
            name=op.f("fk_tconnect_organisation_type_field_type_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_organisation_type_field")),
        sa.UniqueConstraint(
            "type_id", "shortname", name=op.f("uq_tconnect_organisation_type_field_type_id_shortname")
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tconnect_position",
        sa.Column("timevalidfrom", sa.BigInteger(), nullable=True),
        sa.Column("timevalidto", sa.BigInteger(), nullable=True),
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("idnumber", sa.String(length=100), server_default="", nullable=False),
        sa.Column("fullname", sa.String(length=1024), nullable=False),
        sa.Column("shortname", sa.String(length=100), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("path", sa.Text(), server_default="", nullable=False),
        sa.Column("depthlevel", sa.Integer(), server_default="1", nullable=False),
        sa.Column("sortthread", sa.String(length=255), server_default="", nullable=False),
        sa.Column("visible", sa.Integer(), server_default="1", nullable=False),
        sa.Column("component", sa.String(length=100), server_default="", nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.Column("timemodified", sa.BigInteger(), nullable=False),
        sa.Column("framework_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("parent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("type_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(
            ["framework_id"],
            ["tconnect_position_framework.id"],
            name=op.f("fk_tconnect_position_framework_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["parent_id"],
            ["tconnect_position.id"],
            name=op.f("fk_tconnect_position_parent_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["type_id"],
            ["tconnect_position_type.id"],
            name=op.f("fk_tconnect_position_type_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_position")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_tconnect_position_framework_id"), "tconnect_position", ["framework_id"], unique=False
    )
    op.create_index(op.f("ix_tconnect_position_idnumber"), "tconnect_position", ["idnumber"], unique=False)
    op.create_index(op.f("ix_tconnect_position_parent_id"), "tconnect_position", ["parent_id"], unique=False)
    op.create_index(op.f("ix_tconnect_position_type_id"), "tconnect_position", ["type_id"], unique=False)
    op.create_table(
        "tconnect_position_type_field",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("shortname", sa.String(length=100), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("datatype", sa.String(length=255), nullable=False),
        sa.Column("sortorder", sa.Integer(), nullable=False),
        sa.Column("type_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["type_id"],
            ["tconnect_position_type.id"],
            name=op.f("fk_tconnect_position_type_field_type_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_position_type_field")),
        sa.UniqueConstraint(
            "type_id", "shortname", name=op.f("uq_tconnect_position_type_field_type_id_shortname")
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tconnect_profile_value",
        sa.Column("account_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("field_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["field_id"],
            ["tconnect_profile_field.id"],
            name=op.f("fk_tconnect_profile_value_field_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_key", "field_id", name=op.f("pk_tconnect_profile_value")),
    )
    op.create_index(
        op.f("ix_tconnect_profile_value_field_id"), "tconnect_profile_value", ["field_id"], unique=False
    )
    op.create_table(
        "tconnect_job",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("fullname", sa.String(length=255), nullable=True),
        sa.Column("shortname", sa.String(length=100), nullable=True),
        sa.Column("idnumber", sa.String(length=100), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("startdate", sa.BigInteger(), nullable=True),
        sa.Column("enddate", sa.BigInteger(), nullable=True),
        sa.Column("position_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("positionassignmentdate", sa.BigInteger(), nullable=False),
        sa.Column("organisation_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("sortorder", sa.Integer(), nullable=False),
        sa.Column("timecreated", sa.BigInteger(), nullable=False),
        sa.Column("timemodified", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["tconnect_organisation.id"],
            name=op.f("fk_tconnect_job_organisation_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["position_id"],
            ["tconnect_position.id"],
            name=op.f("fk_tconnect_job_position_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tconnect_job")),
        sa.UniqueConstraint("account_key", "idnumber", name=op.f("uq_tconnect_job_account_key_idnumber")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_tconnect_job_organisation_id"), "tconnect_job", ["organisation_id"], unique=False
    )
    op.create_index(op.f("ix_tconnect_job_position_id"), "tconnect_job", ["position_id"], unique=False)
    op.create_table(
        "tconnect_organisation_value",
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("item_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("field_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["field_id"],
            ["tconnect_organisation_type_field.id"],
            name=op.f("fk_tconnect_organisation_value_field_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["item_id"],
            ["tconnect_organisation.id"],
            name=op.f("fk_tconnect_organisation_value_item_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("item_id", "field_id", name=op.f("pk_tconnect_organisation_value")),
    )
    op.create_index(
        op.f("ix_tconnect_organisation_value_field_id"),
        "tconnect_organisation_value",
        ["field_id"],
        unique=False,
    )
    op.create_table(
        "tconnect_position_value",
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("item_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("field_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["field_id"],
            ["tconnect_position_type_field.id"],
            name=op.f("fk_tconnect_position_value_field_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["item_id"],
            ["tconnect_position.id"],
            name=op.f("fk_tconnect_position_value_item_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("item_id", "field_id", name=op.f("pk_tconnect_position_value")),
    )
    op.create_index(
        op.f("ix_tconnect_position_value_field_id"), "tconnect_position_value", ["field_id"], unique=False
    )
    op.add_column(
        "tconnect_client",
        sa.Column("sends_profile_fields", sa.Boolean(), server_default=sa.true(), nullable=False),
    )
    op.add_column(
        "tconnect_client", sa.Column("sends_jobs", sa.Boolean(), server_default=sa.true(), nullable=False)
    )
    op.add_column(
        "tconnect_client",
        sa.Column("plugin_services", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column("tconnect_signin", sa.Column("acted_by", sa.BigInteger(), nullable=True))
    op.add_column("tconnect_signin", sa.Column("acted_from", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_tconnect_signin_acted_from"), "tconnect_signin", ["acted_from"], unique=False)
