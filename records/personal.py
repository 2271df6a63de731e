"""Personal data at rest: sealed with a key of each customer's own, which the ring wraps.

To erase a customer is to destroy that key: whatever copy of their data remains, nobody opens it.
A request that is erased alone, because it is older than records are kept, is blanked and no longer
its customer's; the key of its history in the archive is destroyed with it.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, cast

from sqlalchemy import ColumnElement, Engine, delete, func, update
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
from records.tables import (
    Archive,
    Customer,
    EarlierRun,
    Erasure,
    Form,
    Intake,
    Link,
    Request,
    Timeline,
)

ERASED = "erased"
"""Stands in place of what was destroyed where a column must hold something."""
_AT_ONCE = 500
_HOME = re.compile(r"^(?:\+|00)?86(?=1[3-9]\d{9}$)")
"""China's own country code before a mobile number."""


class Why(StrEnum):
    """Why a request was erased."""

    asked = "asked"
    retention = "retention"


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


def key_for(session: Session, number: str, *, lock: bool = False) -> DataKey | None:
    """The key of the request's customer; None: they were erased, or there is no such request.

    Args:
        lock: nobody erases them before the end of the transaction.

    Raises:
        Unsealable: as `key_of`.
    """
    of_request = (
        select(Customer)
        .join(Intake, col(Intake.customer_id) == col(Customer.id))
        .where(Intake.number == number)
    )
    row = session.exec(of_request.with_for_update(of=Customer) if lock else of_request).first()
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
    them is blanked. Requests, forms, clocks and figures stay. The archive and Temporal's histories
    follow with the archivist's next round.

    Raises:
        NoCustomer: there is no such request.
        StillOpen: the customer has requests that are not closed.
    """
    with writing(engine) as session:
        row = _customer_of(session, number)
        if row is None:
            raise NoCustomer(number)
        requests = _requests_of(session, row)
        numbers = [request.number for request in requests]
        already = row.data_key is None
        if not already:
            if still := [r.number for r in requests if r.closed_at is None]:
                raise StillOpen(still)
            _destroy_customer(row, now)
            _destroy(session, numbers, now, Why.asked)
        id_ = row.id or 0
    forget_what_was_overwritten(engine)
    return Erased(id_, numbers, already)


def erase_old(engine: Engine, closed_before: datetime, now: datetime) -> list[str]:
    """Erase the requests that closed before then; their numbers.

    Only those requests: a customer goes with the last one of theirs. Stopped half-way, it goes on
    where it was.
    """
    old = (
        select(Archive.number)
        .join(Erasure, col(Erasure.number) == col(Archive.number), isouter=True)
        .where(col(Archive.closed_at) < closed_before, col(Erasure.number).is_(None))
        .order_by(col(Archive.closed_at), col(Archive.number))
        .limit(_AT_ONCE)
    )
    erased: list[str] = []
    while True:
        with reading(engine) as session:
            numbers = list(session.exec(old))
        if not numbers:
            break
        for number in numbers:
            with writing(engine) as session:
                _erase_alone(session, number, now)
        erased += numbers
    if erased:
        forget_what_was_overwritten(engine)
    return erased


def _erase_alone(session: Session, number: str, now: datetime) -> None:
    """Erase one request. Its customer keeps their key for the others, and it is theirs no more."""
    row = _customer_of(session, number)
    if row is not None and row.data_key is not None:
        if {request.number for request in _requests_of(session, row)} == {number}:
            _destroy_customer(row, now)
        else:
            nobody = Customer(phone_index=_gone(number), erased_at=now)
            session.add(nobody)
            session.flush()
            session.get_one(Intake, number).customer_id = cast(int, nobody.id)
    _destroy(session, [number], now, Why.retention)


def _customer_of(session: Session, number: str) -> Customer | None:
    """The customer of a request, locked: no request of theirs is taken in meanwhile."""
    id_ = session.exec(select(Intake.customer_id).where(Intake.number == number)).first()
    return None if id_ is None else session.get_one(Customer, id_, with_for_update=True)


def _requests_of(session: Session, row: Customer) -> list[Request]:
    theirs = (
        select(Request)
        .join(Intake, col(Intake.number) == col(Request.number))
        .where(Intake.customer_id == row.id)
        .order_by(col(Request.number))
    )
    return list(session.exec(theirs))


def is_erased(engine: Engine, number: str) -> bool:
    """Whether this request was erased, so that its records are no longer whole."""
    with reading(engine) as session:
        return was_erased(session, number)


def erased_numbers(engine: Engine) -> frozenset[str]:
    """Every request that was erased, also those that the archive does not know of yet."""
    with reading(engine) as session:
        return frozenset(session.exec(select(Erasure.number)))


def was_erased(session: Session, number: str) -> bool:
    """Whether this request was erased; while it is open, it cannot be."""
    return session.get(Erasure, number) is not None


def _destroy_customer(row: Customer, now: datetime) -> None:
    gone = {"data_key": None, "sealed": None, "erased_at": now, "phone_index": _gone(row.id)}
    row.sqlmodel_update(gone)


def _destroy(session: Session, numbers: list[str], now: datetime, why: Why) -> None:
    """Destroy what only these requests hold, and leave it to the archivist to follow."""
    blank = {"body": ERASED, "body_hash": ERASED, "place": None}
    session.exec(update(Intake).where(col(Intake.number).in_(numbers)).values(**blank))
    session.exec(update(Link).where(col(Link.number).in_(numbers)).values(key=None))
    session.exec(delete(EarlierRun).where(col(EarlierRun.number).in_(numbers)))
    _forget(session, numbers, now)
    there = set(session.exec(select(Erasure.number).where(col(Erasure.number).in_(numbers))))
    for number in numbers:
        if number not in there:
            session.add(Erasure(number=number, at=now, why=why))


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


def _gone(id_: int | str | None) -> str:
    """In place of a blind index: like nobody's, and nobody else's."""
    return f"{ERASED}/{id_}"
