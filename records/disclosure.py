"""Personal data shown to those entitled to it; who saw what, and why, is written down with it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine
from sqlmodel import Session, col, select

from domain.intake import Customer as Person
from domain.request import ServiceRequest
from records.cursors import after, place
from records.engine import reading, ring_of, writing
from records.personal import as_given, phone_index
from records.queries import StoredForm, forms_in
from records.tables import Customer, Intake, PersonalRead, Request

MOST_FOUND = 100


@dataclass(frozen=True)
class Reader:
    """Who wants to see it, why, and under which id the log knows the call."""

    role: str
    id: str
    reason: str
    request_id: str


@dataclass(frozen=True)
class ReadPage:
    """Some reads, the latest first, and the cursor of those before; None: there are no more."""

    items: list[PersonalRead]
    next: str | None


def show_customer(engine: Engine, number: str, reader: Reader, now: datetime) -> Person | None:
    """The customer as given with the request; None: they were erased.

    Raises:
        Unsealable: the data does not open; then nothing was seen, and nothing is written down.
    """
    with writing(engine) as session:
        _write_down(session, "customer", number, reader, now)
        return as_given(session, number)


def show_forms(engine: Engine, number: str, reader: Reader, now: datetime) -> list[StoredForm]:
    """Every form of a request, with the customer as given.

    Raises:
        Unsealable: as `show_customer`.
    """
    with writing(engine) as session:
        _write_down(session, "forms", number, reader, now)
        return forms_in(session, number, personal=True)


def find(engine: Engine, phone: str, reader: Reader, now: datetime) -> list[ServiceRequest]:
    """The latest requests of the customer with this phone number, in whatever spelling."""
    with writing(engine) as session:
        _write_down(session, "find", None, reader, now)
        theirs = (
            select(Request.state)
            .join(Intake, col(Intake.number) == col(Request.number))
            .join(Customer, col(Customer.id) == col(Intake.customer_id))
            .where(Customer.phone_index == phone_index(ring_of(session), phone))
            .order_by(col(Request.received_at).desc(), col(Request.number).desc())
            .limit(MOST_FOUND)
        )
        return [ServiceRequest.model_validate_json(state) for state in session.exec(theirs)]


def reads(
    engine: Engine, *, number: str | None = None, cursor: str | None = None, limit: int = 50
) -> ReadPage:
    """Who saw personal data, of this request or of any.

    Raises:
        BadCursor: the cursor did not come from a page of ours.
    """
    wanted = select(PersonalRead).order_by(col(PersonalRead.id).desc()).limit(limit + 1)
    if number is not None:
        wanted = wanted.where(PersonalRead.number == number)
    if cursor is not None:
        (last_id,) = place(cursor, int)
        wanted = wanted.where(col(PersonalRead.id) < last_id)
    with reading(engine) as session:
        rows = list(session.exec(wanted))
    shown, last = rows[:limit], rows[limit - 1] if len(rows) > limit else None
    return ReadPage(shown, after(last.id) if last and last.id is not None else None)


def _write_down(
    session: Session, what: str, number: str | None, reader: Reader, now: datetime
) -> None:
    session.add(
        PersonalRead(
            at=now,
            role=reader.role,
            who=reader.id,
            number=number,
            what=what,
            reason=reader.reason,
            request_id=reader.request_id,
        )
    )
    session.flush()
