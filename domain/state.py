"""The parts that a service request's state is made of."""

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from .events import Event, Scores
from .refusals import Refused
from .values import Amount, Money, State
from .vocabulary import (
    AppointmentState,
    ComplaintClass,
    ComplaintState,
    OfferState,
    PaymentMethod,
    QuoteState,
    Remedy,
    Role,
    ServiceType,
)


class Offer(State):
    """The work offered to one engineer; `by_hand`: by a dispatcher."""

    engineer: str
    offered_at: datetime
    state: OfferState = OfferState.open
    reason: str | None = None
    closed_at: datetime | None = None
    by_hand: bool = False


class Appointment(State):
    """An agreed visit window."""

    window_start: datetime
    window_end: datetime
    wished_by: Literal["customer", "engineer"]
    engineer: str
    agreed_at: datetime
    state: AppointmentState = AppointmentState.standing
    reason: str | None = None
    reminded_at: datetime | None = None


VisitResult = Literal["completed", "no_show", "further_visit", "reassigned", "cancelled"]


class LateNotice(State):
    """The engineer said that they will be late; `in_time`: early enough (S1 2.4)."""

    told_at: datetime
    eta: datetime
    in_time: bool


class Diagnosis(State):
    """What was found."""

    fault: str
    cause: str
    remedy: str


class Part(State):
    """A part that was built in."""

    part: str
    model: str | None = None
    serial: str | None = None
    quantity: int
    unit_price: Money


class Visit(State):
    """One visit, or one remote session, from departure to the measured result."""

    kind: ServiceType
    engineer: str
    opened_at: datetime
    departed_at: datetime | None = None
    late_notice: LateNotice | None = None
    arrived_at: datetime | None = None
    diagnosis: Diagnosis | None = None
    parts: list[Part] = []
    test_result: str | None = None
    notes: str | None = None
    ended_at: datetime | None = None
    result: VisitResult | None = None


class PricedLine(State):
    """One line of a quote or a bill; `list_price` where it differs from the price list."""

    item: str
    quantity: int
    unit_price: Money
    in_warranty: bool
    amount: Amount
    list_price: Money | None = None


class Quote(State):
    """What the customer was told the work of one visit will cost; `visit` counts from 1."""

    visit: int
    lines: list[PricedLine]
    total: Amount
    state: QuoteState = QuoteState.open
    quoted_at: datetime
    answered_at: datetime | None = None
    reason: str | None = None


class Payment(State):
    """Money received."""

    amount: Money
    method: PaymentMethod
    reference: str | None = None
    paid_at: datetime


class Bill(State):
    """What is owed for the completed work."""

    lines: list[PricedLine] = []
    total: Amount = Decimal(0)
    payments: list[Payment] = []

    @property
    def paid(self) -> Decimal:
        """What was paid so far."""
        return sum((p.amount for p in self.payments), Decimal(0))

    @property
    def owed(self) -> Decimal:
        """What is still to be paid."""
        return self.total - self.paid


class Survey(State):
    """The revisit's scores."""

    scores: Scores
    remark: str | None = None
    channel: str
    surveyed_at: datetime
    by: Role | None = None


class Complaint(State):
    """A case that the after-sales supervisor owns, counted from 1 within its request."""

    id: int
    complaint_class: ComplaintClass
    text: str
    source: Literal["intake", "survey", "complaint"]
    opened_at: datetime
    state: ComplaintState = ComplaintState.open
    owner_role: Role = Role.supervisor
    owner: str | None = None
    remedy: str | None = None
    remedy_kind: Remedy | None = None
    value: Money | None = None
    settled_at: datetime | None = None
    reopened: list[str] = []


class Hold(State):
    """A pause of the customer-facing clocks, with an owner: the customer, or parts on order."""

    reason: str
    since: datetime
    until: datetime | None = None
    owner: Literal["customer", "parts"]

    def is_over(self, at: datetime | None) -> bool:
        """Whether it ended before `at`, even if nobody looked since."""
        return at is not None and self.until is not None and self.until < at


class Awaited(State):
    """Parts on order."""

    part: str
    quantity: int
    expected_on: date | None = None


class Person(State):
    """Somebody who works on requests, in the role in which they do."""

    role: Role
    id: str


class Claim(State):
    """Somebody has taken a task upon themselves, or was given it (认领)."""

    who: Person
    at: datetime


class Parked(State):
    """An event that came by signal before its turn; `behind`: only a step back would allow it."""

    event: Event
    since: datetime
    behind: bool = False


class Refusal(State):
    """An event refused on the record."""

    code: str
    facts: dict[str, str]

    def again(self) -> Refused:
        """The same refusal, for the same event sent again."""
        refused = Refused(self.code)
        refused.facts = dict(self.facts)
        return refused
