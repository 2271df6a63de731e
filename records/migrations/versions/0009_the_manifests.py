"""The chain of manifests of archived histories."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "manifest",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("month", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("filed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["request.number"], name="fk_manifest_number"),
        sa.PrimaryKeyConstraint("seq", name="pk_manifest"),
        sa.UniqueConstraint("number", name="uq_manifest_number"),
    )
    op.create_index("ix_manifest_month", "manifest", ["month"])
