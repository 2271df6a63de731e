"""Personal data shown to those entitled to it; who saw what, and why, is written down with it."""

from datetime import datetime

from sqlalchemy import Engine
from sqlmodel import col, select

from domain.intake import Customer as Person
from domain.request import ServiceRequest
from records.access_log import Kind, Reader, add
from records.engine import ring_of, writing
from records.personal import as_given, phone_index
from records.queries import StoredForm, forms_in
from records.tables import Customer, Intake, Request

MOST_FOUND = 100


def show_customer(engine: Engine, number: str, reader: Reader, now: datetime) -> Person | None:
    """The customer as given with the request; None: they were erased.

    Raises:
        Unsealable: the data does not open; then nothing was seen, and nothing is written down.
    """
    with writing(engine) as session:
        add(session, Kind.personal, "customer", reader, now, number=number)
        return as_given(session, number)


def show_forms(engine: Engine, number: str, reader: Reader, now: datetime) -> list[StoredForm]:
    """Every form of a request, with the customer as given.

    Raises:
        Unsealable: as `show_customer`.
    """
    with writing(engine) as session:
        add(session, Kind.personal, "forms", reader, now, number=number)
        return forms_in(session, number, personal=True)


def find(engine: Engine, phone: str, reader: Reader, now: datetime) -> list[ServiceRequest]:
    """The latest requests of the customer with this phone number, in whatever spelling."""
    with writing(engine) as session:
        add(session, Kind.personal, "find", reader, now)
        theirs = (
            select(Request.state)
            .join(Intake, col(Intake.number) == col(Request.number))
            .join(Customer, col(Customer.id) == col(Intake.customer_id))
            .where(Customer.phone_index == phone_index(ring_of(session), phone))
            .order_by(col(Request.received_at).desc(), col(Request.number).desc())
            .limit(MOST_FOUND)
        )
        return [ServiceRequest.model_validate_json(state) for state in session.exec(theirs)]
