"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "customer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("phone", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("latitude", sa.Float(), nullable=True),
        sa.Column("longitude", sa.Float(), nullable=True),
        sa.Column("tier", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_customer"),
        sa.UniqueConstraint("phone", name="uq_customer_phone"),
    )
    op.create_table(
        "price_item",
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("price", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("item", name="pk_price_item"),
    )
    op.create_table(
        "product_model",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("product_class", sa.String(), nullable=False),
        sa.Column("warranty_months", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("model", name="pk_product_model"),
    )
    op.create_table(
        "request",
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("urgency", sa.String(), nullable=False),
        sa.Column("request_type", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=True),
        sa.Column("engineer", sa.String(), nullable=True),
        sa.Column("clock_state", sa.String(), nullable=False),
        sa.Column("breached", sa.JSON(), nullable=False),
        sa.Column("next_due", sa.DateTime(timezone=True), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("serial", sa.String(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_request"),
    )
    op.create_index("ix_request_engineer", "request", ["engineer"])
    op.create_index("ix_request_received_at", "request", ["received_at"])
    op.create_index("ix_request_serial", "request", ["serial"])
    op.create_index("ix_request_station", "request", ["station"])
    op.create_index("ix_request_turn_next_due_number", "request", ["turn", "next_due", "number"])
    op.create_table(
        "required_qualification",
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("request_type", sa.String(), nullable=False),
        sa.Column("qualification", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint(
            "category", "request_type", "qualification", name="pk_required_qualification"
        ),
    )
    op.create_table(
        "serial",
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("prefix", "day", name="pk_serial"),
    )
    op.create_table(
        "station",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("phone", sa.String(), nullable=False),
        sa.Column("latitude", sa.Float(), nullable=False),
        sa.Column("longitude", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_station"),
    )
    op.create_table(
        "workload",
        sa.Column("engineer", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("offer", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("engineer", "number", name="pk_workload"),
    )
    op.create_index("ix_workload_number", "workload", ["number"])
    op.create_table(
        "archive",
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("view", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("policy_version", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["request.number"], name="fk_archive_number"),
        sa.PrimaryKeyConstraint("number", name="pk_archive"),
    )
    op.create_table(
        "engineer",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("phone", sa.String(), nullable=False),
        sa.Column("qualifications", sa.JSON(), nullable=False),
        sa.Column("latitude", sa.Float(), nullable=False),
        sa.Column("longitude", sa.Float(), nullable=False),
        sa.Column("shift_start", sa.Time(), nullable=True),
        sa.Column("shift_end", sa.Time(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["station"], ["station.id"], name="fk_engineer_station"),
        sa.PrimaryKeyConstraint("id", name="pk_engineer"),
    )
    op.create_table(
        "form",
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("title_zh", sa.String(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["request"], ["request.number"], name="fk_form_request"),
        sa.PrimaryKeyConstraint("number", name="pk_form"),
        sa.UniqueConstraint("request", "key", name="uq_form_request_key"),
    )
    op.create_table(
        "intake",
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("body_hash", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("latitude", sa.Float(), nullable=True),
        sa.Column("longitude", sa.Float(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started", sa.Boolean(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name="fk_intake_customer_id"),
        sa.ForeignKeyConstraint(["number"], ["request.number"], name="fk_intake_number"),
        sa.PrimaryKeyConstraint("number", name="pk_intake"),
        sa.UniqueConstraint("key", name="uq_intake_key"),
    )
    op.create_index("ix_intake_customer_id", "intake", ["customer_id"])
    op.create_index("ix_intake_started_received_at", "intake", ["started", "received_at"])
    op.create_table(
        "notification",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("to_role", sa.String(), nullable=False),
        sa.Column("to_id", sa.String(), nullable=True),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=True),
        sa.Column("level", sa.Integer(), nullable=True),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("digest", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["number"], ["request.number"], name="fk_notification_number"),
        sa.PrimaryKeyConstraint("id", name="pk_notification"),
    )
    op.create_index("ix_notification_number", "notification", ["number"])
    op.create_index("ix_notification_state_created_at", "notification", ["state", "created_at"])
    op.create_table(
        "product",
        sa.Column("serial", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("sold_on", sa.Date(), nullable=True),
        sa.Column("customer_id", sa.Integer(), nullable=True),
        sa.Column("regular_channel", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name="fk_product_customer_id"),
        sa.ForeignKeyConstraint(["model"], ["product_model.model"], name="fk_product_model"),
        sa.PrimaryKeyConstraint("serial", name="pk_product"),
    )
    op.create_index("ix_product_customer_id", "product", ["customer_id"])
    op.create_table(
        "timeline",
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("actor_role", sa.String(), nullable=True),
        sa.Column("actor_id", sa.String(), nullable=True),
        sa.Column("event_id", sa.String(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["request.number"], name="fk_timeline_number"),
        sa.PrimaryKeyConstraint("number", "seq", name="pk_timeline"),
    )


def downgrade() -> None:
    for table in (
        "timeline",
        "product",
        "notification",
        "intake",
        "form",
        "engineer",
        "archive",
        "workload",
        "station",
        "serial",
        "required_qualification",
        "request",
        "product_model",
        "price_item",
        "customer",
    ):
        op.drop_table(table)
