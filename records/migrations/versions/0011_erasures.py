"""Which requests were erased, when and why: each by itself, and for the archive to follow."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "erasure",
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("swept", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["request.number"], name="fk_erasure_number"),
        sa.PrimaryKeyConstraint("number", name="pk_erasure"),
    )
    op.create_index("ix_erasure_swept", "erasure", ["swept"])
    op.create_index("ix_archive_closed_at", "archive", ["closed_at"])
    op.execute(
        "INSERT INTO erasure (number, at, why, swept) "
        "SELECT intake.number, customer.erased_at, 'asked', false "
        "FROM intake JOIN customer ON customer.id = intake.customer_id "
        "WHERE customer.erased_at IS NOT NULL"
    )
