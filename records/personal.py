"""Personal data at rest: sealed with a key of each customer's own, which the ring wraps.

To erase a customer is to destroy that key: whatever copy of their data remains, nobody opens it.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Engine, func, update
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col, select

from domain.intake import Customer as Person
from domain.intake import NewRequest
from domain.masking import HIDDEN, forgotten, mask_text
from domain.request import ServiceRequest
from domain.values import canonical
from records import shown
from records.engine import forget_what_was_overwritten, reading, ring_of, writing
from records.geography import Place
from records.sealing import DataKey, KeyRing, Unsealable
from records.tables import Archive, Customer, Form, Intake, Request, Timeline

ERASED = "erased"
"""Stands in place of what was destroyed where a column must hold something."""
_AT_ONCE = 500
_HOME = re.compile(r"^(?:\+|00)?86(?=1[3-9]\d{9}$)")
"""China's own country code before a mobile number."""


class NoCustomer(LookupError):
    """No request has this number, so there is no customer to erase."""


class StillOpen(ValueError):
    """The customer has requests that are not closed: somebody still needs to reach them."""

    def __init__(self, numbers: list[str]) -> None:
        super().__init__(", ".join(numbers))
        self.numbers = numbers


@dataclass(frozen=True)
class Erased:
    """What an erasure reached; `already`: it had been done before."""

    customer_id: int
    numbers: list[str]
    already: bool


@dataclass(frozen=True)
class Rekeyed:
    """How many data keys were wrapped anew, and how many no key of the ring opens."""

    done: int
    unopened: int


# --- the customer ---------------------------------------------------------------------------------


def phone_index(ring: KeyRing, phone: str) -> str:
    """What a phone number, in whatever spelling, is found by."""
    return ring.index(one_spelling(phone), "customer/phone")


def one_spelling(phone: str) -> str:
    """`+86 138 1234 5678`, `008613812345678` and `138-1234-5678` are all `13812345678`."""
    return _HOME.sub("", re.sub(r"[^\d+]", "", phone))


def newcomer(session: Session, person: Person, tier: str | None = None) -> Customer:
    """A row for a customer not known so far, with a key of their own."""
    ring, key = ring_of(session), DataKey()
    index = phone_index(ring, person.phone)
    row = Customer(phone_index=index, data_key=ring.seal(key.key, _about(index)), tier=tier)
    keep(row, key, person)
    return row


def key_of(session: Session, row: Customer) -> DataKey | None:
    """The customer's key; None: they were erased.

    Raises:
        Unsealable: the ring lacks the key that wrapped it, or the row was tampered with.
    """
    if row.data_key is None:
        return None
    return DataKey(ring_of(session).open(row.data_key, _about(row.phone_index)))


def key_for(session: Session, number: str) -> DataKey | None:
    """The key of the request's customer; None: they were erased, or there is no such request.

    Raises:
        Unsealable: as `key_of`.
    """
    of_request = (
        select(Customer)
        .join(Intake, col(Intake.customer_id) == col(Customer.id))
        .where(Intake.number == number)
    )
    row = session.exec(of_request).first()
    return key_of(session, row) if row else None


def keep(row: Customer, key: DataKey, person: Person) -> None:
    """Put what is known of a customer into their row; the phone number in its one spelling."""
    known = person.model_copy(update={"phone": one_spelling(person.phone)})
    row.sealed = key.seal(known.model_dump_json(exclude={"tier"}).encode(), "customer")


def known(row: Customer, key: DataKey) -> Person:
    """What is known of a customer.

    Raises:
        Unsealable: the row was tampered with.
    """
    if row.sealed is None:
        raise Unsealable("the customer's data is missing")
    return Person.model_validate_json(key.open(row.sealed, "customer"))


# --- their requests -------------------------------------------------------------------------------


def body_hash(ring: KeyRing, body: str) -> str:
    """Tells whether two bodies are the same. Keyed, or a phone number could be guessed from it."""
    return ring.index(body, "intake/body")


def seal_body(key: DataKey, number: str, body: str) -> str:
    """The body of a new request, to be kept."""
    return key.seal(body.encode(), f"intake/{number}")


def as_given(session: Session, number: str) -> Person | None:
    """The customer as given with the request; None: there is no such request, or they were erased.

    Raises:
        Unsealable: the data does not open.
    """
    intake, key = session.get(Intake, number), key_for(session, number)
    if intake is None or key is None:
        return None
    return NewRequest.model_validate_json(key.open(intake.body, f"intake/{number}")).customer


def seal_place(key: DataKey, number: str, place: Place | None) -> str | None:
    """Where the work is, to be kept."""
    return place and key.seal(json.dumps(place).encode(), f"place/{number}")


def place_of(session: Session, number: str) -> Place | None:
    """Where the work is; None: nobody knows (any more).

    Raises:
        Unsealable: the place does not open.
    """
    intake = session.get(Intake, number)
    if intake is None or intake.place is None or (key := key_for(session, number)) is None:
        return None
    latitude, longitude = json.loads(key.open(intake.place, f"place/{number}"))
    return latitude, longitude


# --- the form SA-CR-001 ---------------------------------------------------------------------------


def seal_form(
    key: DataKey, number: str, content: dict[str, Any], masked: dict[str, Any]
) -> tuple[dict[str, Any], str]:
    """The content to be kept in clear, with the customer masked, and what it holds back, sealed."""
    held = {name: content[name] for name in ("customer", "description", "remark")}
    held["proof"] = content["product"]["proof"]
    shown = _with(
        content, {**{name: text and HIDDEN for name, text in held.items()}, "customer": masked}
    )
    return shown, key.seal(json.dumps(held, ensure_ascii=False).encode(), f"form/{number}")


def open_form(
    key: DataKey | None, number: str, content: dict[str, Any], sealed: str, *, personal: bool
) -> dict[str, Any]:
    """The content with what was held back, or as it was kept if the customer was erased.

    Args:
        personal: with the customer as given; otherwise masked, as are numbers and e-mail
            addresses in what people wrote.

    Raises:
        Unsealable: it does not open.
    """
    if key is None:
        return content
    held = json.loads(key.open(sealed, f"form/{number}"))
    if not personal:
        held = {name: text and mask_text(text) for name, text in held.items() if name != "customer"}
    return _with(content, held)


def _with(content: dict[str, Any], held: dict[str, Any]) -> dict[str, Any]:
    held = dict(held)
    product = {**content["product"], "proof": held.pop("proof")}
    return {**content, **held, "product": product}


# --- keys come and go -----------------------------------------------------------------------------


def erase(engine: Engine, number: str, now: datetime) -> Erased:
    """Erase the customer of this request, with all their requests, for good.

    Their key is destroyed, their phone number no longer finds them, and what people wrote about
    them is blanked. Requests, forms, clocks and figures stay. Temporal's histories are not reached:
    they end with its retention.

    Raises:
        NoCustomer: there is no such request.
        StillOpen: the customer has requests that are not closed.
    """
    with writing(engine) as session:
        of_request = select(Intake.customer_id).where(Intake.number == number)
        id_ = session.exec(of_request).first()
        if id_ is None:
            raise NoCustomer(number)
        # Locked first: no request of theirs is taken in meanwhile.
        row = session.get_one(Customer, id_, with_for_update=True)
        theirs = (
            select(Request.number, Request.closed_at)
            .join(Intake, col(Intake.number) == col(Request.number))
            .where(Intake.customer_id == id_)
            .order_by(col(Request.number))
        )
        requests = list(session.exec(theirs))
        already = row.data_key is None
        if not already:
            if still := [number for number, closed_at in requests if closed_at is None]:
                raise StillOpen(still)
            row.sqlmodel_update(
                {"data_key": None, "sealed": None, "erased_at": now, "phone_index": _gone(id_)}
            )
            blank = {"body": ERASED, "body_hash": ERASED, "place": None}
            session.exec(update(Intake).where(col(Intake.customer_id) == id_).values(**blank))
            _forget(session, [number for number, _ in requests], now)
    forget_what_was_overwritten(engine)
    return Erased(id_, [number for number, _ in requests], already)


def is_erased(engine: Engine, number: str) -> bool:
    """Whether the customer of this request was erased, so that its records are no longer whole."""
    with reading(engine) as session:
        row = session.get(Request, number)
        return row is not None and was_erased(session, row)


def was_erased(session: Session, request: Request) -> bool:
    """Whether the customer of this request was erased; while it is open, they cannot be."""
    if request.closed_at is None:
        return False
    erased_at = (
        select(Customer.erased_at)
        .join(Intake, col(Intake.customer_id) == col(Customer.id))
        .where(Intake.number == request.number)
    )
    return session.exec(erased_at).first() is not None


def _forget(session: Session, numbers: list[str], now: datetime) -> None:
    """Blank the customer and what people wrote wherever the process left it."""
    for request in session.exec(select(Request).where(col(Request.number).in_(numbers))):
        request.state = canonical(forgotten(json.loads(request.state)))
        request.written_at = now
        shown.keep(session, ServiceRequest.model_validate_json(request.state))
    lines = select(Timeline).where(col(Timeline.number).in_(numbers))
    for line in session.exec(lines):
        line.data = forgotten(line.data)
    for form in session.exec(select(Form).where(col(Form.request).in_(numbers))):
        form.content, form.sealed = forgotten(form.content), None
    for final in session.exec(select(Archive).where(col(Archive.number).in_(numbers))):
        final.view = canonical(forgotten(json.loads(final.view)))
        final.sha256 = sha256(final.view.encode()).hexdigest()
        final.state = final.state and canonical(forgotten(json.loads(final.state)))
        final.timeline = final.timeline and canonical(forgotten(json.loads(final.timeline)))


def rekey(engine: Engine) -> Rekeyed:
    """Wrap every data key with the ring's current key; afterwards the others may be dropped.

    It may be stopped and run again at any time, while the system runs; the data itself stays as
    it is.
    """
    done = unopened = after = 0
    while True:
        with writing(engine) as session:
            rows = _wrapped_otherwise(session, after)
            for row in rows:
                try:
                    key = key_of(session, row)
                except Unsealable:
                    unopened += 1
                    continue
                if key is not None:
                    row.data_key = ring_of(session).seal(key.key, _about(row.phone_index))
                    done += 1
            if not rows:
                return Rekeyed(done, unopened)
            after = rows[-1].id or after


def check(engine: Engine) -> int:
    """How many data keys another than the ring's current key wrapped.

    Raises:
        Unsealable: the latest customer's data does not open with this ring, or they would not be
            found by their phone number.
    """
    with reading(engine) as session:
        ring = ring_of(session)
        there = select(Customer).where(col(Customer.data_key).is_not(None))
        row = session.exec(there.order_by(col(Customer.id).desc()).limit(1)).first()
        key = key_of(session, row) if row else None
        if row and key and row.phone_index != phone_index(ring, known(row, key).phone):
            raise Unsealable("the key for indexes is another")
        otherwise = is_wrapped_otherwise(ring, col(Customer.data_key))
        return session.exec(select(func.count()).select_from(Customer).where(otherwise)).one()


def _wrapped_otherwise(session: Session, after: int) -> list[Customer]:
    """The next customers whose key another than the current one wrapped, each locked."""
    wanted = (
        select(Customer)
        .where(
            is_wrapped_otherwise(ring_of(session), col(Customer.data_key)), col(Customer.id) > after
        )
        .order_by(col(Customer.id))
        .limit(_AT_ONCE)
        .with_for_update()
    )
    return list(session.exec(wanted))


def is_wrapped_otherwise(ring: KeyRing, key: Mapped[str | None]) -> ColumnElement[bool]:
    """Whether another than the ring's current key wrapped the key in this column.

    Not by LIKE: it takes `_` for any letter, and on SQLite `a` for `A`. Erased is neither.
    """
    prefix = f"{ring.current}."
    return func.substr(key, 1, len(prefix)) != prefix


def _about(index: str) -> str:
    return f"customer/{index}"


def _gone(id_: int) -> str:
    """In place of a blind index: like nobody's, and nobody else's."""
    return f"{ERASED}/{id_}"
