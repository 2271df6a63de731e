"""What the lists and the board are answered from: requests as shown, promises by who owes them."""

import json
from contextlib import suppress

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_IN_TURN = ["turn", "next_due", "number"]
_FILTERS = ["stage", "urgency", "request_type", "station", "engineer", "clock_state"]
_OPEN = sa.text("stage <> 'closed'")
_LIVE = sa.text("live")
_BROKE = sa.text("breached_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "shown",
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["request.number"], name="fk_shown_number"),
        sa.PrimaryKeyConstraint("number", name="pk_shown"),
    )
    _requests()
    _clocks()


def _requests() -> None:
    op.add_column("request", sa.Column("external_id", sa.String(), nullable=True))
    for column in ("station", "engineer", "written_at"):
        op.drop_index(f"ix_request_{column}", "request")
    op.drop_index("ix_request_turn_next_due_number", "request")
    op.create_index("ix_request_in_turn", "request", [*_IN_TURN, *_FILTERS])
    for column in _FILTERS:
        others = [other for other in _FILTERS if other != column]
        op.create_index(f"ix_request_by_{column}", "request", [column, *_IN_TURN, *others])
    op.create_index(
        "ix_request_open",
        "request",
        ["stage", "clock_state", "urgency"],
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    op.create_index(
        "ix_request_open_at",
        "request",
        ["station", "stage", "clock_state", "urgency"],
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    op.create_index("ix_request_written_at_number", "request", ["written_at", "number"])
    _name_as_others_do()
    op.create_index("ix_request_external_id", "request", ["external_id"])


def _name_as_others_do() -> None:
    """What another system calls the request stood only in its state."""
    request = sa.table("request", *map(sa.column, ("number", "state", "external_id")))
    connection = op.get_bind()
    named = sa.select(request.c.number).where(
        request.c.state.contains('"external_id":"', autoescape=True)
    )
    # One at a time: all states together would fill the memory.
    for number in connection.scalars(named).all():
        this = request.c.number == number
        state = connection.scalars(sa.select(request.c.state).where(this)).one()
        with suppress(ValueError, KeyError, TypeError):  # What cannot be read names none.
            external_id = json.loads(state)["brief"]["external_id"]
            connection.execute(sa.update(request).where(this).values(external_id=external_id))


def _clocks() -> None:
    op.add_column("clock", sa.Column("station", sa.String(), nullable=True))
    nobody_knows = sa.false()
    op.add_column(
        "clock", sa.Column("live", sa.Boolean(), nullable=False, server_default=nobody_knows)
    )
    op.add_column("clock", sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("clock", sa.Column("tells", sa.String(), nullable=True))
    # What else a promise lacks, its request's next step writes.
    op.execute(
        "UPDATE clock SET live = TRUE WHERE state IN ('running', 'paused')"
        " OR (state = 'breached' AND stopped_at IS NULL"
        " AND number IN (SELECT number FROM request WHERE stage <> 'closed'))"
    )
    op.execute("UPDATE clock SET decided_at = stopped_at WHERE state = 'kept'")
    op.execute(
        "UPDATE clock SET decided_at = COALESCE(breached_at, due_at)"
        " WHERE state IN ('late', 'breached')"
    )
    op.drop_index("ix_clock_state_due_at", "clock")
    op.drop_index("ix_clock_rule_state", "clock")
    op.create_index(
        "ix_clock_live",
        "clock",
        ["state", "due_at", "rule", "owed_role", "owed_by", "station", "breached_at"],
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    )
    op.create_index(
        "ix_clock_breached",
        "clock",
        ["rule", "number"],
        sqlite_where=_BROKE,
        postgresql_where=_BROKE,
    )
    op.create_index(
        "ix_clock_decided", "clock", ["rule", "state", "decided_at", "station", "late_seconds"]
    )
