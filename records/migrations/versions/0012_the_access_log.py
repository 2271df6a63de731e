"""One log of who read what: personal data, and everything that auditors read."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "access_log",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=True),
        sa.Column("about", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_access_log"),
    )
    op.create_index("ix_access_log_number", "access_log", ["number"])
    op.create_index("ix_access_log_who", "access_log", ["who"])
    op.create_table(
        "access_pending",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["id"], ["access_log.id"], name="fk_access_pending_id"),
        sa.PrimaryKeyConstraint("id", name="pk_access_pending"),
    )
    op.execute(
        "INSERT INTO access_log (at, role, who, kind, what, number, reason, request_id) "
        "SELECT at, role, who, 'personal', what, number, reason, request_id "
        "FROM personal_read ORDER BY id"
    )
    op.execute("INSERT INTO access_pending (id) SELECT id FROM access_log")
    op.drop_table("personal_read")
