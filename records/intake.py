"""Taking in a new request: number, form, first projection and outbox in one transaction.

The workflow is started after the commit. A lease says who is starting it, so that the same call
sent again neither makes a second request nor answers for one that is still on its way.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from domain.calendars import Calendar
from domain.forms import TITLES
from domain.intake import EDITION, Brief, KnownProduct, MaskedCustomer, NewRequest
from domain.intake import Customer as GivenCustomer
from domain.masking import mask_address, mask_email, mask_name, mask_phone
from domain.numbering import Prefix
from domain.policy import Policy
from domain.request import ServiceRequest
from domain.tasks import WriteDown
from domain.values import rfc3339
from domain.vocabulary import RequestType
from domain.warranty import warranty
from records import personal
from records.engine import reading, ring_of, writing
from records.geography import Place, distance_km
from records.master_data import PriceItem, Product, ProductModel, Station
from records.projection import project
from records.sealing import DataKey
from records.statements import insert_new, next_number
from records.tables import Customer, Form, Intake, Request

LEASE = timedelta(seconds=30)
REPEAT_FAULT = timedelta(days=90)
STANDARD = "standard"
"""The tier of a customer of whom nothing else is known."""
MOST_EARLIER = 20

CalendarFor = Callable[[Policy, datetime], Calendar]
"""The calendar port: the working time that a request received now will count in."""


class KeyReused(ValueError):
    """The idempotency key came before with another body."""


class InFlight(RuntimeError):
    """The same call is being answered right now; try again in a moment."""


@dataclass(frozen=True)
class Taken:
    """A request that was taken in; `started`: its workflow is already running."""

    number: str
    brief: Brief
    started: bool


def take_in(
    engine: Engine,
    new: NewRequest,
    *,
    key: str | None,
    policy: Policy,
    calendar_for: CalendarFor,
    now: datetime,
    taken_by: str | None = None,
    may_set_tier: bool = True,
) -> Taken:
    """Take in a new request, or the one that the same `key` and body brought before.

    Args:
        key: the idempotency key, with its caller (`integration/erp KEY`): two callers may use the
            same one. Without a key every call is a new request.
        taken_by: who recorded it, for the form.
        may_set_tier: whether the tier in the body counts, and is kept. If not, as when customers
            speak for themselves, theirs is the one on record.

    Raises:
        KeyReused: the key came before with another body.
        InFlight: the same call is being answered right now.
        Unsealable: the customer is known, and their data does not open.
    """
    body = json.dumps(new.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)

    def once() -> Taken:
        with writing(engine) as session:
            body_hash = personal.body_hash(ring_of(session), body)
            if key and (before := _before(session, key)):
                return _again(session, before, body_hash, now)
            known = _look_up(session, new, policy, now, may_set_tier=may_set_tier)
            brief = _brief(session, new, known, policy, calendar_for(policy, now), now)
            _project(session, brief)
            intake = Intake(
                number=brief.number,
                key=key,
                body_hash=body_hash,
                body=personal.seal_body(known.key, brief.number, body),
                customer_id=known.customer_id,
                place=personal.seal_place(known.key, brief.number, known.place),
                received_at=now,
                lease_until=now + LEASE,
            )
            session.add_all([intake, _form(new, brief, known, taken_by)])
            return Taken(brief.number, brief, started=False)

    try:
        return once()
    except IntegrityError:
        # On PostgreSQL another call with the same key may have committed since we looked.
        if key is None:
            raise
        return once()


def mark_started(engine: Engine, number: str) -> None:
    """Remember that the request's workflow was started."""
    _update(engine, number, started=True, lease_until=None)


def release(engine: Engine, number: str) -> None:
    """Give up the lease after a failed start, so that a retry goes on at once."""
    _update(engine, number, lease_until=None)


def not_started(
    engine: Engine,
    older_than: timedelta,
    now: datetime,
    *,
    number: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> list[Brief]:
    """Requests whose workflow nobody started or is starting: a crash came in between.

    Args:
        number: only this one, if it is among them.
        after: the last number of the page before. Whoever goes on from there, instead of asking
            from the start again, gets past those that cannot be started.
    """
    waiting = (
        select(Request.state)
        .join(Intake, col(Intake.number) == col(Request.number))
        .where(col(Intake.started).is_(False))
        .where(Intake.received_at <= now - older_than)
        .where(col(Intake.lease_until).is_(None) | (col(Intake.lease_until) <= now))
        .order_by(col(Request.number))
        .limit(limit)
    )
    if number is not None:
        waiting = waiting.where(Request.number == number)
    if after is not None:
        waiting = waiting.where(Request.number > after)
    with reading(engine) as session:
        return [ServiceRequest.model_validate_json(state).brief for state in session.exec(waiting)]


def _update(engine: Engine, number: str, **values: Any) -> None:
    with writing(engine) as session:
        session.exec(update(Intake).where(col(Intake.number) == number).values(**values))


# --- the same call again --------------------------------------------------------------------------


def _before(session: Session, key: str) -> Intake | None:
    return session.exec(select(Intake).where(Intake.key == key).with_for_update()).first()


def _again(session: Session, before: Intake, body_hash: str, now: datetime) -> Taken:
    if before.body_hash != body_hash:
        raise KeyReused("this idempotency key was used before with another body")
    if not before.started:
        if before.lease_until is not None and before.lease_until > now:
            raise InFlight("the request with this idempotency key is still being taken in")
        before.lease_until = now + LEASE
    state = session.exec(select(Request.state).where(Request.number == before.number)).one()
    brief = ServiceRequest.model_validate_json(state).brief
    return Taken(before.number, brief, before.started)


# --- what the records know ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Known:
    """What the records know; `customer` is as given, but with the tier that counts."""

    customer_id: int
    key: DataKey
    customer: GivenCustomer
    place: Place | None
    product: KnownProduct
    warranty_months: int
    regular_channel: bool | None
    earlier: tuple[str, ...]
    repeat_fault: bool


def _look_up(
    session: Session, new: NewRequest, policy: Policy, now: datetime, *, may_set_tier: bool
) -> _Known:
    given = new.product
    model = session.get(ProductModel, given.model) or ProductModel(
        model=given.model, category="general"
    )
    sold = session.get(Product, given.serial) if given.serial else None
    customer, key, place = _customer(session, new.customer, may_set_tier=may_set_tier)
    if customer.id is None:
        raise LookupError("a stored customer has no id")
    earlier = (
        select(Intake.number)
        .where(Intake.customer_id == customer.id)
        .order_by(col(Intake.received_at).desc(), col(Intake.number).desc())
        .limit(MOST_EARLIER)
    )
    repair = select(Request.number).where(
        Request.serial == given.serial,
        Request.request_type == RequestType.repair.value,
        Request.received_at >= now - REPEAT_FAULT,
    )
    return _Known(
        customer_id=customer.id,
        key=key,
        customer=new.customer.model_copy(update={"tier": (customer.tier or STANDARD).lower()}),
        place=place,
        product=KnownProduct(
            model=given.model,
            serial=given.serial,
            # Our own sales record comes before what the caller says (S1 2.1: 产品核验).
            purchased_on=(sold and sold.sold_on) or given.purchased_on,
            category=model.category,
            product_class=model.product_class,
        ),
        warranty_months=model.warranty_months,
        regular_channel=sold.regular_channel if sold else None,
        earlier=tuple(session.exec(earlier)),
        repeat_fault=given.serial is not None and session.exec(repair).first() is not None,
    )


def _customer(
    session: Session, given: GivenCustomer, *, may_set_tier: bool
) -> tuple[Customer, DataKey, Place | None]:
    """The customer with this phone number, brought up to date, their key, and where the work is."""
    newcomer = personal.newcomer(session, given)
    found = select(Customer).where(Customer.phone_index == newcomer.phone_index).with_for_update()
    row = key = None
    while row is None or key is None:  # Again when they were erased between the two statements.
        insert_new(session, newcomer)
        row = session.exec(found).first()
        key = personal.key_of(session, row) if row else None
    if may_set_tier and given.tier is not None:
        row.tier = given.tier
    before = personal.known(row, key)
    latest = given.model_dump(exclude={"phone", "tier"}, exclude_none=True)
    if before.address != given.address:
        latest = {"latitude": None, "longitude": None, **latest}
    now = before.model_copy(update=latest)
    if now != before:
        personal.keep(row, key, now)
    if now.latitude is None or now.longitude is None:
        return row, key, None
    return row, key, (now.latitude, now.longitude)


def _nearest_station(session: Session, place: Place | None) -> tuple[str | None, float | None]:
    if place is None:
        return None, None
    stations = session.exec(select(Station)).all()
    distances = ((distance_km(place, (s.latitude, s.longitude)), s.id) for s in stations)
    km, station = min(distances, default=(None, None))
    return station, km and round(km, 2)


# --- what is made of it ---------------------------------------------------------------------------


def _brief(
    session: Session,
    new: NewRequest,
    known: _Known,
    policy: Policy,
    calendar: Calendar,
    now: datetime,
) -> Brief:
    today = now.astimezone(ZoneInfo(policy.timezone)).date()
    station, distance = _nearest_station(session, known.place)
    prices = {item.item: item.price for item in session.exec(select(PriceItem))}
    return Brief(
        # Last: from here on other intakes of the day wait for this transaction.
        number=next_number(session, Prefix.request, today),
        received_at=now,
        type=new.type,
        channel=new.channel,
        urgency=new.urgency,
        mood=new.mood,
        service_type=new.service_type,
        customer=masked(known.customer),
        product=known.product,
        warranty=warranty(known.product.purchased_on, known.warranty_months, today),
        station=station,
        distance_km=distance,
        external_id=new.external_id,
        earlier=known.earlier,
        repeat_fault=known.repeat_fault,
        policy=policy,
        calendar=calendar,
        prices=prices,
        edition=EDITION,
    )


def masked(customer: GivenCustomer) -> MaskedCustomer:
    """The customer as anyone may see them."""
    return MaskedCustomer(
        name=mask_name(customer.name),
        phone=mask_phone(customer.phone),
        email=mask_email(customer.email) if customer.email else None,
        address=mask_address(customer.address),
        tier=(customer.tier or STANDARD).lower(),
    )


def _project(session: Session, brief: Brief) -> None:
    """What the workflow will write down first, so that the request is found before it runs."""
    request, effects = ServiceRequest.receive(brief)
    project(session, WriteDown.of(request, effects, brief.received_at))


def _form(new: NewRequest, brief: Brief, known: _Known, taken_by: str | None) -> Form:
    """SA-CR-001 需求受理记录表, the one form with the customer's data as given but for the tier."""
    code, title, title_zh = TITLES[Prefix.request]
    received = brief.received_at.replace(second=0, microsecond=0)
    content = {
        "received_at": rfc3339(received),
        "channel": new.channel.value,
        "channel_zh": new.channel.zh,
        "customer": known.customer.model_dump(mode="json"),
        "product": {
            **known.product.model_dump(mode="json"),
            "proof": new.product.proof,
            "regular_channel": known.regular_channel,
        },
        "warranty": brief.warranty.model_dump(mode="json"),
        "type": new.type.value,
        "type_zh": new.type.zh,
        "service_type": new.service_type.value,
        "description": new.description,
        "urgency": new.urgency.value,
        "urgency_zh": new.urgency.zh,
        "mood": new.mood and new.mood.value,
        "earlier_requests": list(brief.earlier),
        "repeat_fault": brief.repeat_fault,
        "taken_by": taken_by,
        "external_id": new.external_id,
        "remark": new.remark,
    }
    kept, sealed = personal.seal_form(
        known.key, brief.number, content, brief.customer.model_dump(mode="json")
    )
    return Form(
        number=brief.number,
        request=brief.number,
        key=f"{Prefix.request}/1",
        code=code,
        title=title,
        title_zh=title_zh,
        content=kept,
        sealed=sealed,
    )
