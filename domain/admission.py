"""Which event may happen now: the event table of the design, section 3, as data.

`check` is asked before anything changes and raises `Refused` with the reason; the same table
answers `allowed_now`, which the API shows as `allowed_events`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import fees, todo
from .events import ASIDE, EVENTS, BaseEvent
from .refusals import Refused
from .state import Person
from .vocabulary import (
    ComplaintState,
    OfferState,
    QuoteState,
    RequestType,
    Role,
    ServiceType,
    Stage,
    TaskKind,
)

if TYPE_CHECKING:
    from .request import ServiceRequest

Guard = Callable[["ServiceRequest"], None]
Check = Callable[["ServiceRequest", Any, datetime], None]

ORDER = list(Stage)
OPEN = frozenset(ORDER[:-1])
REPEATABLE = frozenset(
    {
        "plan_told",
        "reclassified",
        "assigned",
        "rescheduled",
        "running_late",
        "no_show",
        "quoted",
        "parts_awaited",
        "visit_needed",
        "depot_received",
        "call_unanswered",
        "complained",
        "complaint_reopened",
        "held",
        "noted",
        *ASIDE,
    }
)
"""Events that can come again and again without bringing the request nearer to its end."""

BEFORE_SIGN_OFF = frozenset({Stage.response, Stage.dispatch, Stage.appointment, Stage.service})


@dataclass(frozen=True)
class Admission:
    """When an event is allowed.

    Attributes:
        stages: the stages it belongs to.
        guard: what must hold of the request, whatever the event says.
        check: what must hold of the event's own content.
        while_held: it is possible while the request is on hold.
    """

    stages: frozenset[Stage]
    guard: Guard | None = None
    check: Check | None = None
    while_held: bool = False


def check(request: ServiceRequest, event: BaseEvent, at: datetime, now: datetime) -> None:
    """Whether `event`, counting from `at`, may happen now.

    Raises:
        Refused: it may not; `later` says that it may still become possible.
    """
    if event.actor is not None and event.actor.role not in event.by:
        roles = ", ".join(sorted(event.by))
        raise Refused("role_not_allowed", role=event.actor.role, event=event.name, roles=roles)
    if event.occurred_at is not None:
        if event.occurred_at > now + request.policy.clock_skew:
            raise Refused("occurred_in_future", later=True)
        if event.occurred_at < request.received_at - request.policy.clock_skew:
            raise Refused("occurred_before_request")
    _possible(request, event.name, at)
    admission = ADMISSIONS[event.name]
    if admission.check is not None:
        admission.check(request, event, at)


def allowed_now(request: ServiceRequest) -> list[str]:
    """The event types that the request can take now, whoever sends them."""
    return [name for name in ADMISSIONS if is_possible(request, name)]


def is_possible(request: ServiceRequest, name: str) -> bool:
    """Whether the request can take this type of event now."""
    try:
        _possible(request, name)
    except Refused:
        return False
    return True


def _possible(request: ServiceRequest, name: str, at: datetime | None = None) -> None:
    admission = ADMISSIONS[name]
    if request.stage is Stage.closed:
        raise Refused("request_closed")
    if request.stage not in admission.stages:
        ahead = max(map(ORDER.index, admission.stages)) > ORDER.index(request.stage)
        later = ahead or lies_behind(request, name)
        stages = ", ".join(s for s in ORDER if s in admission.stages)
        raise Refused("wrong_stage", later=later, event=name, stage=request.stage, stages=stages)
    if request.hold is not None and not admission.while_held and not request.hold.is_over(at):
        raise Refused("on_hold", later=True, event=name)
    if name in REPEATABLE:
        _has_room(request)
    if admission.guard is not None:
        admission.guard(request)


def lies_behind(request: ServiceRequest, name: str) -> bool:
    """Whether only a step back would allow this type of event."""
    if request.brief.edition < 2 or request.stage in ADMISSIONS[name].stages:
        return False
    return not COMES_BACK_TO.get(request.stage, frozenset()).isdisjoint(ADMISSIONS[name].stages)


def _has_room(request: ServiceRequest) -> None:
    """Whoever goes round in circles is stopped while the request can still reach its end."""
    limits = request.policy.limits
    if request.event_count >= limits.events or request.text_taken >= limits.text:
        raise Refused("too_many_events", count=request.event_count)


def _unless(code: str, holds: Callable[[ServiceRequest], bool], *, later: bool = False) -> Guard:
    """A guard that refuses with `code` unless the condition holds."""

    def guard(request: ServiceRequest) -> None:
        if not holds(request):
            raise Refused(code, later=later)

    return guard


def _both(*guards: Guard) -> Guard:
    def guard(request: ServiceRequest) -> None:
        for each in guards:
            each(request)

    return guard


def _arrived(request: ServiceRequest) -> bool:
    return request.visit is not None and request.visit.arrived_at is not None


def _diagnosed(request: ServiceRequest) -> bool:
    return request.visit is not None and request.visit.diagnosis is not None


def _remote(request: ServiceRequest) -> bool:
    return request.service_type is ServiceType.remote


def _quote_open(request: ServiceRequest) -> bool:
    return request.quote is not None and request.quote.state is QuoteState.open


_on_site = _unless("is_remote", lambda r: not _remote(r))
_not_arrived = _unless("already_arrived", lambda r: not _arrived(r))
_at_work = _unless(
    "not_arrived",
    lambda r: _arrived(r) or _remote(r) or r.at_depot or r.repaired_at_depot,
    later=True,
)
_not_at_depot = _unless("at_depot", lambda r: not r.at_depot, later=True)
_has_quote = _unless("no_open_quote", _quote_open, later=True)
_no_paid_quote_open = _unless(
    "quote_open",
    lambda r: not (_quote_open(r) and r.quote is not None and r.quote.total > 0),
    later=True,
)
_is_consultation = _unless(
    "not_a_consultation", lambda r: r.request_type is RequestType.consultation
)
_is_dispatched = _unless("no_engineer", lambda r: r.engineer is not None, later=True)


def _not_yet_responded(request: ServiceRequest) -> None:
    if request.responded_at is not None:
        raise Refused("already_responded")


def _offer_is_open(request: ServiceRequest) -> None:
    if request.open_offer is None:
        raise Refused("no_open_offer", later=True, engineer="—")


def _offer_is_theirs(request: ServiceRequest, event: Any, at: datetime) -> None:
    if request.open_offer is None or request.open_offer.engineer != event.engineer:
        past = any(
            o.engineer == event.engineer and o.state is not OfferState.open for o in request.offers
        )
        raise Refused("no_open_offer", later=not past, engineer=event.engineer)


def _engineer_is_new(request: ServiceRequest, event: Any, at: datetime) -> None:
    current = request.open_offer.engineer if request.open_offer else request.engineer
    if event.engineer == current:
        raise Refused("already_with_engineer", engineer=event.engineer)


def _window_is_ahead(request: ServiceRequest, event: Any, at: datetime) -> None:
    if event.window_end <= at:
        raise Refused("window_in_past")


def _appointment_stands(request: ServiceRequest) -> None:
    if request.standing_appointment is None:
        raise Refused("no_standing_appointment", later=True)


def _changes_something(request: ServiceRequest, event: Any, at: datetime) -> None:
    new_type = event.request_type or request.request_type
    if event.urgency in (None, request.urgency) and new_type is request.request_type:
        raise Refused("nothing_changes")
    if new_type is request.request_type:
        return
    to_desk = new_type is RequestType.consultation and request.stage is not Stage.response
    if new_type is RequestType.complaint or to_desk or request.stage is Stage.sign_off:
        raise Refused("type_not_possible", stage=request.stage, type=new_type)


def _ends_later(request: ServiceRequest, event: Any, at: datetime) -> None:
    if event.until is not None and event.until <= at:
        raise Refused("until_in_past")


def _lines_have_prices(request: ServiceRequest, event: Any, at: datetime) -> None:
    fees.price_lines(event.lines, request.brief.prices)


def _priced_parts_were_quoted(request: ServiceRequest, event: Any, at: datetime) -> None:
    """S1 2.4: out of warranty the customer approves the quote before any work."""
    priced = any(part.unit_price > 0 for part in event.parts)
    agreed = any(q.state is QuoteState.approved or q.total == 0 for q in request.quotes)
    if priced and request.brief.warranty.in_force is False and not agreed:
        raise Refused("quote_needed", later=True)


def _within_what_is_owed(request: ServiceRequest, event: Any, at: datetime) -> None:
    if event.amount > request.bill.owed:
        raise Refused("overpaid", owed=request.bill.owed)


def _calendar_reaches(request: ServiceRequest, event: Any, at: datetime) -> None:
    request.check_working_days(at)


def _complaint_in(event: str, *states: ComplaintState) -> tuple[Guard, Check]:
    """A complaint of the request must be in one of these states; the one named, if any."""

    def guard(request: ServiceRequest) -> None:
        if not any(c.state in states for c in request.complaints):
            raise Refused("no_open_complaint", later=True, event=event)

    def fits(request: ServiceRequest, sent: Any, at: datetime) -> None:
        if request.find_complaint(sent.complaint, states) is None:
            raise Refused("no_open_complaint", later=True, event=event)

    return guard, fits


def _has_tasks(request: ServiceRequest) -> None:
    if not todo.is_owed(request):
        raise Refused("task_not_open", task="—")


def _has_claims(request: ServiceRequest) -> None:
    if not request.claims:
        raise Refused("task_not_claimed", task="—")


def _owes_a_call(request: ServiceRequest) -> None:
    if not todo.is_owed(request, TaskKind.call_about_a_breach):
        raise Refused("no_call_owed", rule="—")


def _is_theirs_to_claim(request: ServiceRequest, event: Any, at: datetime) -> None:
    owed = todo.find(request, event.task)
    who = todo.claimant(event, owed.task)
    if event.actor is not None and who.id != event.actor.id:
        _may_give(event.actor.role)
    _may_take(owed.task, who.role)
    held = request.claims.get(event.task)
    if held is not None:
        if held.who != who:
            raise Refused("task_taken", task=event.task, assignee=held.who.id)
        return
    _goes_with_the_work(owed, who)
    # Those above may step in for an owner; equals may not.
    if owed.owner not in (None, who) and not todo.is_above(who.role, owed.owner.role):
        raise Refused("task_taken", task=event.task, assignee=owed.owner.id)


def _may_give(role: Role) -> None:
    if role not in todo.ABOVE and role is not Role.integration:
        raise Refused("task_for_others")


def _may_take(task: todo.HumanTask, role: Role) -> None:
    if not todo.may_take(role, task):
        roles = ", ".join(role for role in Role if todo.may_take(role, task))
        raise Refused("task_not_for_role", task=task.id, role=role, roles=roles)


def _goes_with_the_work(owed: todo.Owed, who: Person) -> None:
    """Which engineer has the work is not settled by who claims a part of it."""
    if who.role is Role.engineer and owed.owner is None:
        raise Refused("task_goes_with_work", task=owed.task.id)


def _is_theirs_to_release(request: ServiceRequest, event: Any, at: datetime) -> None:
    todo.find(request, event.task)
    held = request.claims.get(event.task)
    if held is None:
        raise Refused("task_not_claimed", task=event.task)
    actor = event.actor
    theirs = actor is None or actor.role is Role.integration
    theirs = theirs or (actor.role, actor.id) == (held.who.role, held.who.id)
    if not theirs and not todo.is_above(actor.role, held.who.role):
        raise Refused("task_not_yours", task=event.task, assignee=held.who.id)


def _can_be_reassigned(request: ServiceRequest, event: Any, at: datetime) -> None:
    owed = todo.find(request, event.task)
    if event.actor is not None and event.actor.role is not Role.integration:
        _may_take(owed.task, event.actor.role)
    who = Person(role=owed.task.role, id=event.to)
    if owed.task.role is Role.engineer and who != owed.owner:
        raise Refused("task_goes_with_work", task=event.task)


def _this_call_is_owed(request: ServiceRequest, event: Any, at: datetime) -> None:
    owed = todo.call_owed(request, event.rule, event.subject)
    if event.actor is not None:
        _may_take(owed.task, event.actor.role)


TAKEABLE = (ComplaintState.open,)
REMEDIABLE = (ComplaintState.open, ComplaintState.taken_over, ComplaintState.remedy_offered)
SETTLED = (ComplaintState.settled,)


def _complaint(event: str, states: tuple[ComplaintState, ...]) -> Admission:
    guard, fits = _complaint_in(event, *states)
    return Admission(OPEN, guard, fits, while_held=True)


def _in(*stages: Stage) -> frozenset[Stage]:
    return frozenset(stages)


SERVICE = _in(Stage.service)
COMES_BACK_TO = {
    Stage.appointment: _in(Stage.dispatch),
    Stage.service: _in(Stage.dispatch, Stage.appointment),
}
"""Where a request may step back to: it is reassigned, or its appointment falls away."""

ADMISSIONS: dict[str, Admission] = {
    "responded": Admission(_in(Stage.response), _not_yet_responded),
    "plan_told": Admission(BEFORE_SIGN_OFF),
    "answered": Admission(_in(Stage.response), _is_consultation),
    "reclassified": Admission(
        BEFORE_SIGN_OFF | {Stage.sign_off}, check=_changes_something, while_held=True
    ),
    "assigned": Admission(
        _in(Stage.dispatch, Stage.appointment, Stage.service),
        _not_at_depot,
        _engineer_is_new,
        while_held=True,
    ),
    "accepted": Admission(_in(Stage.dispatch), _offer_is_open, _offer_is_theirs, while_held=True),
    "declined": Admission(_in(Stage.dispatch), _offer_is_open, _offer_is_theirs, while_held=True),
    "appointed": Admission(_in(Stage.appointment), _is_dispatched, _window_is_ahead),
    "rescheduled": Admission(SERVICE, _both(_appointment_stands, _not_arrived), _window_is_ahead),
    "departed": Admission(
        SERVICE,
        _both(
            _on_site,
            _not_at_depot,
            _not_arrived,
            _unless("already_departed", lambda r: r.visit is None or r.visit.departed_at is None),
        ),
    ),
    "running_late": Admission(SERVICE, _both(_on_site, _not_at_depot, _not_arrived)),
    "arrived": Admission(SERVICE, _both(_not_at_depot, _not_arrived)),
    "no_show": Admission(
        SERVICE,
        _both(_not_at_depot, _unless("work_begun", lambda r: not _diagnosed(r))),
    ),
    "diagnosed": Admission(SERVICE, _at_work),
    "quoted": Admission(
        SERVICE, _unless("not_diagnosed", _diagnosed, later=True), _lines_have_prices
    ),
    "quote_approved": Admission(SERVICE, _has_quote),
    "quote_declined": Admission(SERVICE, _has_quote),
    "parts_awaited": Admission(SERVICE),
    "parts_arrived": Admission(
        _in(Stage.dispatch, Stage.appointment, Stage.service),
        _unless("parts_not_awaited", lambda r: bool(r.awaited), later=True),
        while_held=True,
    ),
    "visit_needed": Admission(SERVICE, _both(_at_work, _not_at_depot)),
    "depot_received": Admission(SERVICE, _not_at_depot, _calendar_reaches),
    "shipped_back": Admission(
        SERVICE, _unless("not_at_depot", lambda r: r.at_depot, later=True), while_held=True
    ),
    "completed": Admission(
        SERVICE,
        _both(_at_work, _not_at_depot, _no_paid_quote_open),
        _priced_parts_were_quoted,
    ),
    "signed": Admission(
        _in(Stage.sign_off), _unless("already_signed", lambda r: r.signed_at is None)
    ),
    "paid": Admission(
        _in(Stage.sign_off),
        _unless("nothing_owed", lambda r: r.bill.owed > 0),
        _within_what_is_owed,
    ),
    "call_unanswered": Admission(_in(Stage.revisit)),
    "surveyed": Admission(_in(Stage.revisit)),
    "complained": Admission(OPEN, while_held=True),
    "complaint_taken_over": _complaint("complaint_taken_over", TAKEABLE),
    "remedy_offered": _complaint("remedy_offered", REMEDIABLE),
    "complaint_settled": _complaint("complaint_settled", REMEDIABLE),
    "complaint_reopened": _complaint("complaint_reopened", SETTLED),
    "held": Admission(BEFORE_SIGN_OFF, check=_ends_later),
    "resumed": Admission(
        BEFORE_SIGN_OFF,
        _unless("not_on_hold", lambda r: r.hold is not None, later=True),
        while_held=True,
    ),
    "cancelled": Admission(BEFORE_SIGN_OFF, while_held=True),
    "noted": Admission(OPEN, while_held=True),
    "task_claimed": Admission(OPEN, _has_tasks, _is_theirs_to_claim, while_held=True),
    "task_released": Admission(OPEN, _has_claims, _is_theirs_to_release, while_held=True),
    "task_reassigned": Admission(OPEN, _has_tasks, _can_be_reassigned, while_held=True),
    "breach_called": Admission(OPEN, _owes_a_call, _this_call_is_owed, while_held=True),
}

if set(ADMISSIONS) != set(EVENTS):
    raise RuntimeError(f"events without a row: {set(ADMISSIONS) ^ set(EVENTS)}")
