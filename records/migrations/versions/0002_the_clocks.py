"""The clocks of each request, and when its row last changed."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "clock",
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("breached_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("late_seconds", sa.Float(), nullable=True),
        sa.Column("owed_role", sa.String(), nullable=False),
        sa.Column("owed_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["number"], ["request.number"], name="fk_clock_number"),
        sa.PrimaryKeyConstraint("number", "place", name="pk_clock"),
    )
    op.create_index("ix_clock_rule_state", "clock", ["rule", "state"])
    op.create_index("ix_clock_state_due_at", "clock", ["state", "due_at"])
    # A default, because SQLite cannot add a column without one, and rebuilding a table that others
    # refer to would break their references.
    long_ago = sa.text("'2000-01-01 00:00:00.000000+00:00'")
    written_at = sa.Column(
        "written_at", sa.DateTime(timezone=True), nullable=False, server_default=long_ago
    )
    op.add_column("request", written_at)
    op.execute("UPDATE request SET written_at = received_at")
    op.create_index("ix_request_written_at", "request", ["written_at"])
