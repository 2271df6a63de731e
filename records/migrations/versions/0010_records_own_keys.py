"""The chain of the archive: entries of several kinds, and the key of each history.

The archive as it was before, whose histories were kept without a key of their own, was in no
release: it is begun anew. Requests that the server still knows are archived again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.drop_table("manifest")
    op.create_table(
        "chain",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=True),
        sa.Column("month", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("filed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["request.number"], name="fk_chain_number"),
        sa.PrimaryKeyConstraint("seq", name="pk_chain"),
        sa.UniqueConstraint("number", "kind", name="uq_chain_number_kind"),
    )
    op.create_index("ix_chain_month", "chain", ["month"])
    op.create_index("ix_chain_filed", "chain", ["filed"])
