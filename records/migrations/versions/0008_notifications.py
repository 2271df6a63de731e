"""What became of each message: by whom it went, how it ended, and every attempt."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    for column in (
        sa.Column("seq", sa.Integer(), nullable=True),
        sa.Column("provider", sa.String(), nullable=True),
        sa.Column("provider_id", sa.String(), nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("refused_by", sa.JSON(none_as_null=True), nullable=True),
    ):
        op.add_column("notification", column)
    # So far every message was the workflow's: `<number>:<seq>`.
    op.execute("UPDATE notification SET seq = CAST(substr(id, length(number) + 2) AS INTEGER)")
    op.execute("UPDATE notification SET outcome = state WHERE state IN ('sent', 'failed')")
    op.create_table(
        "notification_attempt",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("notification", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("took_ms", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["notification"], ["notification.id"], name="fk_notification_attempt_notification"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_notification_attempt"),
    )
    op.create_index(
        "ix_notification_attempt_notification", "notification_attempt", ["notification"]
    )
