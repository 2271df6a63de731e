"""Runs of requests that went on in a new one, kept until the request is archived."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "earlier_run",
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["intake.number"], name="fk_earlier_run_number"),
        sa.PrimaryKeyConstraint("run", name="pk_earlier_run"),
    )
    op.create_index("ix_earlier_run_number", "earlier_run", ["number"])
