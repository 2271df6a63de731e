"""What the archive needs to restore a request from, and how the house's upkeep went."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("archive", sa.Column("state", sa.Text(), nullable=True))
    op.add_column("archive", sa.Column("timeline", sa.Text(), nullable=True))
    op.create_table(
        "upkeep",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("ran_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked", sa.Integer(), nullable=False),
        sa.Column("differences", sa.Integer(), nullable=False),
        sa.Column("repaired", sa.Integer(), nullable=False),
        sa.Column("took", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_upkeep"),
    )
    # What the metrics count, from the indexes alone.
    op.create_index("ix_notification_state_channel", "notification", ["state", "channel"])
    op.create_index(
        "ix_clock_rule_state_breached_at_late_seconds",
        "clock",
        ["rule", "state", "breached_at", "late_seconds"],
    )
