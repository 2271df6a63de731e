"""The request as its customer follows it: how far it is, and what is asked of them."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

from .effects import Entry
from .events import EVENTS
from .request import ServiceRequest
from .values import Money, State, rfc3339
from .vocabulary import (
    AppointmentState,
    OfferState,
    Outcome,
    QuoteState,
    RequestType,
    Role,
    ServiceType,
    Stage,
    WorkOrderStatus,
)


class Coming(StrEnum):
    """What comes next, as a customer would ask."""

    call = "call"
    engineer = "engineer"
    appointment = "appointment"
    visit = "visit"
    remote_session = "remote_session"
    arrival = "arrival"
    work = "work"
    depot = "depot"
    parts = "parts"
    resumption = "resumption"
    your_answer_to_the_quote = "your_answer_to_the_quote"
    your_payment = "your_payment"
    your_signature = "your_signature"
    survey = "survey"
    remedy = "remedy"
    nothing = "nothing"


class TrackedVisit(State):
    """The latest visit: on the way, there, or over; `eta` when the engineer runs late."""

    kind: ServiceType
    departed_at: datetime | None
    eta: datetime | None
    arrived_at: datetime | None
    ended_at: datetime | None


class TrackedAppointment(State):
    """The latest visit window."""

    window_start: datetime
    window_end: datetime
    state: AppointmentState


class TrackedLine(State):
    """One line of a quote or of the bill."""

    item: str
    quantity: int
    unit_price: Money
    amount: Money
    in_warranty: bool


class TrackedQuote(State):
    """What the work will cost, and what the customer said to it."""

    lines: list[TrackedLine]
    total: Money
    state: QuoteState


class TrackedFees(State):
    """What the work costs, and what was paid."""

    lines: list[TrackedLine]
    total: Money
    paid: Money
    owed: Money


class TrackedRequest(State):
    """A request as its customer sees it: no person is named.

    Attributes:
        engineer_found: an engineer has taken the work.
        next_due: when the next promise to the customer is due; past when it is broken.
        allowed_events: what the customer may report now.
    """

    number: str
    type: RequestType
    product: str
    stage: Stage
    status: WorkOrderStatus
    outcome: Outcome | None
    on_hold: bool
    received_at: datetime
    closed_at: datetime | None
    plan: str | None
    answer: str | None
    engineer_found: bool
    appointment: TrackedAppointment | None
    visit: TrackedVisit | None
    quote: TrackedQuote | None
    fees: TrackedFees
    next: Coming
    next_due: datetime | None
    allowed_events: list[str]


def as_customer_sees(request: ServiceRequest) -> dict[str, Any]:
    """The fields of `TrackedRequest`, in JSON types."""
    appointment, quote, bill = request.appointment, request.quote, request.bill
    visit = request.visits[-1] if request.visits else None
    dues = [clock.due_at for clock in request.live_clocks if clock.due_at]
    return {
        "number": request.number,
        "type": request.request_type.value,
        "product": request.brief.product.model,
        "stage": request.stage.value,
        "status": request.status.value,
        "outcome": request.outcome and request.outcome.value,
        "on_hold": request.hold is not None,
        "received_at": rfc3339(request.received_at),
        "closed_at": rfc3339(request.closed_at),
        "plan": request.plan,
        "answer": request.answer,
        "engineer_found": any(offer.state is OfferState.accepted for offer in request.offers),
        "appointment": appointment
        and appointment.model_dump(mode="json", include=set(TrackedAppointment.model_fields)),
        "visit": visit
        and {
            "kind": visit.kind.value,
            "departed_at": rfc3339(visit.departed_at),
            "eta": rfc3339(visit.late_notice.eta) if visit.late_notice else None,
            "arrived_at": rfc3339(visit.arrived_at),
            "ended_at": rfc3339(visit.ended_at),
        },
        "quote": quote
        and {
            "lines": _lines(quote.lines),
            "total": float(quote.total),
            "state": quote.state.value,
        },
        "fees": {
            "lines": _lines(bill.lines),
            "total": float(bill.total),
            "paid": float(bill.paid),
            "owed": float(bill.owed),
        },
        "next": what_comes_next(request).value,
        "next_due": rfc3339(min(dues, default=None)),
        "allowed_events": [e for e in request.allowed_events if Role.customer in EVENTS[e].by],
    }


def what_comes_next(request: ServiceRequest) -> Coming:
    """The next thing that a customer will notice, or has to do."""
    if request.awaited:
        return Coming.parts
    if request.hold is not None:
        return Coming.resumption
    match request.stage:
        case Stage.response:
            return Coming.call
        case Stage.dispatch:
            return Coming.engineer
        case Stage.appointment:
            return Coming.appointment
        case Stage.service:
            return _in_service(request)
        case Stage.sign_off:
            return Coming.your_payment if request.signed_at else Coming.your_signature
        case Stage.revisit:
            return Coming.survey
        case Stage.complaint:
            return Coming.remedy
        case Stage.closed:
            return Coming.nothing


def _in_service(request: ServiceRequest) -> Coming:
    quote, visit = request.quote, request.visit
    if quote and quote.state is QuoteState.open:
        return Coming.your_answer_to_the_quote
    if request.at_depot:
        return Coming.depot
    if visit and (visit.arrived_at or visit.diagnosis):
        return Coming.work
    if visit and visit.departed_at:
        return Coming.arrival
    return Coming.remote_session if request.service_type is ServiceType.remote else Coming.visit


def _lines(lines: list[Any]) -> list[dict[str, Any]]:
    wanted = set(TrackedLine.model_fields)
    return [line.model_dump(mode="json", include=wanted) for line in lines]


_TOLD = frozenset(
    {
        "responded",
        "plan_told",
        "answered",
        "appointed",
        "rescheduled",
        "departed",
        "running_late",
        "arrived",
        "no_show",
        "quoted",
        "quote_approved",
        "quote_declined",
        "parts_awaited",
        "parts_arrived",
        "visit_needed",
        "depot_received",
        "shipped_back",
        "completed",
        "signed",
        "paid",
        "surveyed",
        "complained",
        "complaint_taken_over",
        "remedy_offered",
        "complaint_settled",
        "complaint_reopened",
        "held",
        "resumed",
        "cancelled",
    }
)
"""What a customer was there for, or was told of; the rest is the house's own business."""


def told_to_the_customer(lines: Iterable[Entry]) -> list[Entry]:
    """The timeline as its customer sees it: what happened to them, in nobody's words but theirs.

    Notes, offers, clocks, tasks and the names of staff are left out.
    """
    return [
        line.model_copy(
            update={
                "actor_id": None,
                "data": line.data if line.actor_role is Role.customer else {},
            }
        )
        for line in lines
        if line.kind == "event" and line.name in _TOLD
    ]
