"""Personal data is sealed, each customer's with a key of their own; who reads it is written down.

What stands here in clear text is sealed on the way. The names and purposes that it is sealed for
are written out, as `records/personal.py` had them then.
"""

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

from domain.masking import mask_address, mask_email, mask_name, mask_phone
from records.sealing import DataKey, KeyRing

revision = "0003"
down_revision = "0002"

AT_ONCE = 500
PERSONAL = ("name", "email", "address", "latitude", "longitude")

customer = sa.table(
    "customer",
    sa.column("id", sa.Integer),
    sa.column("phone_index", sa.String),
    sa.column("data_key", sa.String),
    sa.column("sealed", sa.Text),
    *(sa.column(name) for name in PERSONAL),
)
intake = sa.table(
    "intake",
    *(sa.column(n) for n in ("number", "customer_id", "latitude", "longitude")),
    sa.column("body", sa.Text),
    sa.column("body_hash", sa.String),
    sa.column("place", sa.Text),
)
form = sa.table(
    "form",
    *(sa.column(n, sa.String) for n in ("number", "request", "key")),
    sa.column("content", sa.JSON),
    sa.column("sealed", sa.Text),
)


def upgrade() -> None:
    ring: KeyRing | None = op.get_bind().get_execution_options().get("key_ring")
    op.execute("ALTER TABLE customer RENAME COLUMN phone TO phone_index")
    op.add_column("customer", sa.Column("data_key", sa.String(), nullable=True))
    op.add_column("customer", sa.Column("sealed", sa.Text(), nullable=True))
    op.add_column("customer", sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("intake", sa.Column("place", sa.Text(), nullable=True))
    op.add_column("form", sa.Column("sealed", sa.Text(), nullable=True))
    op.create_table(
        "personal_read",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=True),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["request.number"], name="fk_personal_read_number"),
        sa.PrimaryKeyConstraint("id", name="pk_personal_read"),
    )
    op.create_index("ix_personal_read_number", "personal_read", ["number"])
    for row in _each(customer, customer.c.id):
        _seal_customer(_given(ring), row)
    for row in _each(intake, intake.c.number):
        _seal_intake(_given(ring), row)
    for name in PERSONAL:
        op.drop_column("customer", name)
    for name in ("latitude", "longitude"):
        op.drop_column("intake", name)


def _given(ring: KeyRing | None) -> KeyRing:
    if ring is None:
        raise CommandError(
            "personal data stands here in clear text; open the database with its key ring, so "
            "that it can be sealed"
        )
    return ring


def _each(table: sa.TableClause, key: sa.ColumnClause[Any]) -> Iterator[Any]:
    """Every row, read in pages: it may be many."""
    page = sa.select(table).order_by(key).limit(AT_ONCE)
    wanted = page
    while rows := op.get_bind().execute(wanted).all():
        yield from rows
        wanted = page.where(key > rows[-1]._mapping[key.name])


def _seal_customer(ring: KeyRing, row: Any) -> None:
    key = DataKey()
    index = ring.index(row.phone_index, "customer/phone")  # so far the phone number itself
    known = {"phone": row.phone_index, **{name: row._mapping[name] for name in PERSONAL}}
    _set(
        customer,
        customer.c.id == row.id,
        phone_index=index,
        data_key=ring.seal(key.key, f"customer/{index}"),
        sealed=_sealed(key, known, "customer"),
    )


def _seal_intake(ring: KeyRing, row: Any) -> None:
    theirs = sa.select(customer).where(customer.c.id == row.customer_id)
    owner = op.get_bind().execute(theirs).one()
    key = DataKey(ring.open(owner.data_key, f"customer/{owner.phone_index}"))
    place = None
    if row.latitude is not None and row.longitude is not None:
        place = _sealed(key, [row.latitude, row.longitude], f"place/{row.number}")
    _set(
        intake,
        intake.c.number == row.number,
        body=key.seal(row.body.encode(), f"intake/{row.number}"),
        body_hash=ring.index(row.body, "intake/body"),
        place=place,
    )
    filled_in = sa.select(form).where(form.c.request == row.number, form.c.key == "CR/1")
    for each in op.get_bind().execute(filled_in).all():
        _seal_form(key, each)


def _seal_form(key: DataKey, row: Any) -> None:
    content = dict(row.content)
    held = {name: content.get(name) for name in ("customer", "description", "remark")}
    held["proof"] = content["product"].get("proof")
    content |= {name: held[name] and "***" for name in ("description", "remark")}
    content["product"] = {**content["product"], "proof": held["proof"] and "***"}
    content["customer"] = _masked(content["customer"])
    _set(
        form,
        form.c.number == row.number,
        content=content,
        sealed=_sealed(key, held, f"form/{row.number}"),
    )


def _masked(given: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": mask_name(given["name"]),
        "phone": mask_phone(given["phone"]),
        "email": mask_email(given["email"]) if given.get("email") else None,
        "address": mask_address(given["address"]),
        "tier": (given.get("tier") or "standard").lower(),
    }


def _sealed(key: DataKey, value: Any, about: str) -> str:
    return key.seal(json.dumps(value, ensure_ascii=False).encode(), about)


def _set(table: sa.TableClause, which: Any, **values: Any) -> None:
    op.get_bind().execute(sa.update(table).where(which).values(**values))
