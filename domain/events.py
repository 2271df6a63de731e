"""Everything that can be reported about a service request: one model per event, one union.

An event is a fact in the past tense. Its `id` makes a repeat harmless; `occurred_at` is when it
happened, which may be earlier than when we hear of it.
"""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Self, get_args
from uuid import UUID, uuid4

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from .rules import Rule
from .values import Line, Moment, Money, Name, Prose, Value
from .vocabulary import (
    ComplaintClass,
    PaymentMethod,
    Remedy,
    RequestType,
    Role,
    Urgency,
)

ANYONE = frozenset(Role)
AGENT, CUSTOMER, ENGINEER = Role.agent, Role.customer, Role.engineer
SUPERVISOR, MANAGER, DISPATCHER = Role.supervisor, Role.manager, Role.dispatcher
INTEGRATION = Role.integration


class Actor(Value):
    """Who did it."""

    role: Role
    id: Name


class BaseEvent(Value):
    """What every event carries.

    Attributes:
        occurred_at: when it happened, if whoever reports it knows.
        heard_at: when our own door heard of it; the API sets it, so that a platform that was down
            afterwards makes nobody late.
    """

    by: ClassVar[frozenset[Role]]
    """The roles that may report it."""

    id: UUID = Field(default_factory=uuid4)
    occurred_at: Moment | None = None
    heard_at: Moment | None = None
    actor: Actor | None = None

    @property
    def name(self) -> str:
        """The event's type as it travels."""
        return str(self.type)  # type: ignore[attr-defined]


Quantity = Annotated[int, Field(ge=1, le=9999)]
Score = Annotated[int, Field(ge=1, le=5)]

_FINE = ("fine", "ok", "okay", "good", "正常", "修好了", "没问题", "好了", "可以了")


def _measured(result: str) -> str:
    """S1, form SA-OS-004: the test result is quantified, not "制冷正常"."""
    if any(c.isdigit() for c in result):
        return result
    words = re.findall(r"\w+", result.lower())
    if any(vague in words or (vague in result and not vague.isascii()) for vague in _FINE):
        raise ValueError(
            "test_result must be a measured result, such as 'outlet 16 °C at 30 °C ambient'"
        )
    return result


class Responded(BaseEvent):
    """A person answered the customer for the first time (响应需求)."""

    by = frozenset({AGENT})
    type: Literal["responded"] = "responded"
    note: Prose | None = None


class PlanTold(BaseEvent):
    """The customer was told what will be done (反馈方案)."""

    by = frozenset({AGENT, ENGINEER})
    type: Literal["plan_told"] = "plan_told"
    plan: Prose


class Answered(BaseEvent):
    """A consultation was answered (咨询响应)."""

    by = frozenset({AGENT})
    type: Literal["answered"] = "answered"
    answer: Prose


class Reclassified(BaseEvent):
    """Urgency or request type turned out to be another."""

    by = frozenset({AGENT, SUPERVISOR})
    type: Literal["reclassified"] = "reclassified"
    urgency: Urgency | None = None
    request_type: RequestType | None = None
    reason: Prose

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.urgency is None and self.request_type is None:
            raise ValueError("give urgency or request_type, or both")
        return self


class Assigned(BaseEvent):
    """A dispatcher offered the work to one engineer by hand (人工派单)."""

    by = frozenset({DISPATCHER, SUPERVISOR})
    type: Literal["assigned"] = "assigned"
    engineer: Name
    reason: Prose


class Accepted(BaseEvent):
    """The engineer took the work (确认接收)."""

    by = frozenset({ENGINEER})
    type: Literal["accepted"] = "accepted"
    engineer: Name


class Declined(BaseEvent):
    """The engineer refused the work, with the reason (拒单)."""

    by = frozenset({ENGINEER})
    type: Literal["declined"] = "declined"
    engineer: Name
    reason: Prose


class _Windowed(BaseEvent):
    window_start: Moment
    window_end: Moment

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.window_end <= self.window_start:
            raise ValueError("window_end must be after window_start")
        return self


class Appointed(_Windowed):
    """A visit window was agreed with the customer (预约)."""

    by = frozenset({ENGINEER, AGENT, CUSTOMER})
    type: Literal["appointed"] = "appointed"
    wished_by: Literal["customer", "engineer"] = "customer"


class Rescheduled(_Windowed):
    """The visit window was changed (改约)."""

    by = frozenset({ENGINEER, AGENT, CUSTOMER})
    type: Literal["rescheduled"] = "rescheduled"
    reason: Prose


class Departed(BaseEvent):
    """The engineer set out (出发)."""

    by = frozenset({ENGINEER})
    type: Literal["departed"] = "departed"


class RunningLate(BaseEvent):
    """The engineer said that they will be late (迟到告知)."""

    by = frozenset({ENGINEER})
    type: Literal["running_late"] = "running_late"
    eta: Moment


class Arrived(BaseEvent):
    """The engineer reached the site (到达现场)."""

    by = frozenset({ENGINEER})
    type: Literal["arrived"] = "arrived"


class NoShow(BaseEvent):
    """The customer was not at home."""

    by = frozenset({ENGINEER})
    type: Literal["no_show"] = "no_show"
    note: Prose | None = None


class Diagnosed(BaseEvent):
    """The fault, its cause and the remedy were found and explained (故障诊断)."""

    by = frozenset({ENGINEER})
    type: Literal["diagnosed"] = "diagnosed"
    fault: Prose
    cause: Prose
    remedy: Prose


class QuoteLine(Value):
    """One item of a quote; without `unit_price` the price list's price holds."""

    item: Line
    quantity: Quantity = 1
    unit_price: Money | None = None
    in_warranty: bool = False


class Quoted(BaseEvent):
    """The customer was told what the work will cost (报价)."""

    by = frozenset({ENGINEER})
    type: Literal["quoted"] = "quoted"
    lines: Annotated[list[QuoteLine], Field(min_length=1, max_length=50)]


class QuoteApproved(BaseEvent):
    """The customer agreed to the quote."""

    by = frozenset({CUSTOMER, AGENT})
    type: Literal["quote_approved"] = "quote_approved"
    reason: Prose | None = None


class QuoteDeclined(BaseEvent):
    """The customer refused the quote."""

    by = frozenset({CUSTOMER, AGENT})
    type: Literal["quote_declined"] = "quote_declined"
    reason: Prose | None = None


class AwaitedPart(Value):
    """A part on order."""

    part: Line
    quantity: Quantity = 1


class PartsAwaited(BaseEvent):
    """The work waits for parts on order (待件)."""

    by = frozenset({ENGINEER})
    type: Literal["parts_awaited"] = "parts_awaited"
    parts: Annotated[list[AwaitedPart], Field(min_length=1, max_length=50)]
    expected_on: date | None = None


class PartsArrived(BaseEvent):
    """The awaited parts are there (到件)."""

    by = frozenset({INTEGRATION, ENGINEER})
    type: Literal["parts_arrived"] = "parts_arrived"


class VisitNeeded(BaseEvent):
    """Remote help failed, or one visit was not enough (转上门 / 再次上门)."""

    by = frozenset({ENGINEER})
    type: Literal["visit_needed"] = "visit_needed"
    reason: Prose


class DepotReceived(BaseEvent):
    """The product reached the depot for repair (送修)."""

    by = frozenset({INTEGRATION, ENGINEER})
    type: Literal["depot_received"] = "depot_received"
    note: Prose | None = None


class ShippedBack(BaseEvent):
    """The depot sent the repaired product back to the customer (返件)."""

    by = frozenset({INTEGRATION, ENGINEER})
    type: Literal["shipped_back"] = "shipped_back"
    note: Prose | None = None


class UsedPart(Value):
    """A part that was built in."""

    part: Line
    model: Line | None = None
    serial: Name | None = None
    quantity: Quantity = 1
    unit_price: Money = Decimal(0)


class Completed(BaseEvent):
    """The work is done and tested (完工)."""

    by = frozenset({ENGINEER})
    type: Literal["completed"] = "completed"
    test_result: Annotated[Prose, AfterValidator(_measured)]
    parts: Annotated[list[UsedPart], Field(max_length=50)] = []
    notes: Prose | None = None


class Signed(BaseEvent):
    """The customer confirmed the result with a signature (确认签字)."""

    by = frozenset({CUSTOMER, ENGINEER})
    type: Literal["signed"] = "signed"
    signature: Prose


class Paid(BaseEvent):
    """The customer paid (收费)."""

    by = frozenset({INTEGRATION, ENGINEER})
    type: Literal["paid"] = "paid"
    amount: Annotated[Money, Field(ge=Decimal("0.01"))]
    method: PaymentMethod
    reference: Line | None = None


class CallUnanswered(BaseEvent):
    """The revisit call was not answered; the survey goes out as an SMS (电话未接通)."""

    by = frozenset({AGENT})
    type: Literal["call_unanswered"] = "call_unanswered"


class Scores(Value):
    """The six scores of 1–5 (S1, form SA-CS-005)."""

    response: Score
    professionalism: Score
    attitude: Score
    effect: Score
    overall: Score
    recommend: Score


class Surveyed(BaseEvent):
    """The customer rated the service (满意度调查)."""

    by = frozenset({AGENT, CUSTOMER})
    type: Literal["surveyed"] = "surveyed"
    scores: Scores
    remark: Prose | None = None
    channel: Name


class Complained(BaseEvent):
    """The customer complained (投诉)."""

    by = frozenset({CUSTOMER, AGENT})
    type: Literal["complained"] = "complained"
    class_: ComplaintClass = Field(alias="class")
    text: Prose


class _OnComplaint(BaseEvent):
    complaint: Annotated[int, Field(ge=1)] | None = None
    """Which complaint of the request, counted from 1; by default the oldest that fits."""


class ComplaintTakenOver(_OnComplaint):
    """A supervisor owns the complaint now (转交售后主管)."""

    by = frozenset({SUPERVISOR, MANAGER})
    type: Literal["complaint_taken_over"] = "complaint_taken_over"


class RemedyOffered(_OnComplaint):
    """The customer was called, given an apology and offered a remedy (致歉并给出方案)."""

    by = frozenset({SUPERVISOR, MANAGER})
    type: Literal["remedy_offered"] = "remedy_offered"
    remedy: Line
    value: Money | None = None

    @property
    def kind(self) -> Remedy:
        """The remedy as a term; anything in other words counts as `other`."""
        try:
            return Remedy(self.remedy)
        except ValueError:
            return Remedy.other


class ComplaintSettled(_OnComplaint):
    """The customer confirmed that the complaint is settled."""

    by = frozenset({SUPERVISOR, MANAGER})
    type: Literal["complaint_settled"] = "complaint_settled"
    note: Prose | None = None


class ComplaintReopened(_OnComplaint):
    """A settled complaint was not settled after all."""

    by = frozenset({SUPERVISOR, MANAGER})
    type: Literal["complaint_reopened"] = "complaint_reopened"
    reason: Prose


class Held(BaseEvent):
    """The customer asked to wait; customer-facing clocks pause (暂停)."""

    by = frozenset({CUSTOMER, AGENT, SUPERVISOR})
    type: Literal["held"] = "held"
    reason: Prose
    until: Moment | None = None


class Resumed(BaseEvent):
    """The wait is over (恢复)."""

    by = frozenset({CUSTOMER, AGENT, SUPERVISOR})
    type: Literal["resumed"] = "resumed"


class Cancelled(BaseEvent):
    """The request is not wanted any more (取消)."""

    by = frozenset({CUSTOMER, AGENT, SUPERVISOR})
    type: Literal["cancelled"] = "cancelled"
    reason: Prose


class Noted(BaseEvent):
    """Something worth keeping (备注)."""

    by = ANYONE
    type: Literal["noted"] = "noted"
    text: Prose


class _OnTask(BaseEvent):
    task: Name
    """The task's id, such as `CR20240520-001.accept.2`."""


class TaskClaimed(_OnTask):
    """Somebody took a task upon themselves (认领任务)."""

    by = frozenset({AGENT, DISPATCHER, ENGINEER, SUPERVISOR, MANAGER, INTEGRATION})
    type: Literal["task_claimed"] = "task_claimed"
    assignee: Name | None = None
    """For whom, if not for the one who claims it."""


class TaskReleased(_OnTask):
    """A claimed task was given back (释放任务)."""

    by = frozenset({AGENT, DISPATCHER, ENGINEER, SUPERVISOR, MANAGER, INTEGRATION})
    type: Literal["task_released"] = "task_released"


class TaskReassigned(_OnTask):
    """A task was given to somebody else (转派任务)."""

    by = frozenset({SUPERVISOR, MANAGER, INTEGRATION})
    type: Literal["task_reassigned"] = "task_reassigned"
    to: Name
    reason: Prose


class BreachCalled(BaseEvent):
    """The customer was called about a promise that was broken (超时致电客户)."""

    by = frozenset({DISPATCHER, SUPERVISOR, MANAGER})
    type: Literal["breach_called"] = "breach_called"
    rule: Rule
    subject: Name | None = None
    """Which offer or complaint, where the promise is made for each; by default the oldest."""
    note: Prose | None = None


ASIDE = frozenset({"task_claimed", "task_released", "task_reassigned", "breach_called"})
"""Events about who does the work. The process does not move by them, and its time neither: news
that comes after one of them still counts from when it happened."""

Event = Annotated[
    Responded
    | PlanTold
    | Answered
    | Reclassified
    | Assigned
    | Accepted
    | Declined
    | Appointed
    | Rescheduled
    | Departed
    | RunningLate
    | Arrived
    | NoShow
    | Diagnosed
    | Quoted
    | QuoteApproved
    | QuoteDeclined
    | PartsAwaited
    | PartsArrived
    | VisitNeeded
    | DepotReceived
    | ShippedBack
    | Completed
    | Signed
    | Paid
    | CallUnanswered
    | Surveyed
    | Complained
    | ComplaintTakenOver
    | RemedyOffered
    | ComplaintSettled
    | ComplaintReopened
    | Held
    | Resumed
    | Cancelled
    | Noted
    | TaskClaimed
    | TaskReleased
    | TaskReassigned
    | BreachCalled,
    Field(discriminator="type"),
]
"""Any event of a service request."""

EVENTS: dict[str, type[BaseEvent]] = {
    model.model_fields["type"].default: model for model in get_args(get_args(Event)[0])
}
"""Every event model by its type."""

PROCESS_ORDER = {name: place for place, name in enumerate(EVENTS)}
"""Where an event's type stands in the process, from the first contact on."""

_EVENT: TypeAdapter[Any] = TypeAdapter(Event)


def parse_event(data: object) -> Any:
    """The event in `data` (JSON types).

    Raises:
        pydantic.ValidationError: `data` is no event.
    """
    return _EVENT.validate_python(data)
