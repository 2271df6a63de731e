"""What each event does to the request: the process of the standard's section 3, one step each.

A transition is only called after `admission.check` let its event in; it cannot fail.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from . import fees, todo
from .clocks import Clock, ClockEvent, Kind, Threshold
from .rules import PROMISES, Rule
from .state import (
    Appointment,
    Awaited,
    Bill,
    Claim,
    Complaint,
    Diagnosis,
    Hold,
    LateNotice,
    Offer,
    Part,
    Payment,
    Person,
    Quote,
    Survey,
    Visit,
    VisitResult,
)
from .vocabulary import (
    AppointmentState,
    ComplaintClass,
    ComplaintState,
    OfferState,
    Outcome,
    QuoteState,
    Remedy,
    RequestType,
    Role,
    ServiceType,
    Stage,
)

if TYPE_CHECKING:
    from .request import ServiceRequest

# --- intake 需求受理 ------------------------------------------------------------------------------


def received(request: ServiceRequest, at: datetime) -> None:
    """The request came in: its first promises begin, the customer gets the number."""
    request.note("system", "received", at, channel=request.brief.channel, urgency=request.urgency)
    if request.request_type is RequestType.complaint:
        open_complaint(request, at, ComplaintClass.other, "", "intake")
    else:
        request.pass_moment("received", at)
    request.tell(Role.customer, "request_received", at, facts={"number": request.number})


def _responded(request: ServiceRequest, event: Any, at: datetime) -> None:
    _first_response(request, at)
    if request.request_type is not RequestType.consultation:
        _create_work_order(request, at)


def _first_response(request: ServiceRequest, at: datetime) -> None:
    if request.responded_at is None:
        request.responded_at = at
        request.pass_moment("responded", at)


def _plan_told(request: ServiceRequest, event: Any, at: datetime) -> None:
    request.plan = event.plan
    request.pass_moment("plan_told", at)


def _answered(request: ServiceRequest, event: Any, at: datetime) -> None:
    request.answer = event.answer
    request.responded_at = request.responded_at or at
    request.pass_moment("answered", at)
    request.enter(Stage.revisit)


def _reclassified(request: ServiceRequest, event: Any, at: datetime) -> None:
    request.urgency = event.urgency or request.urgency
    request.request_type = event.request_type or request.request_type
    if request.stage is not Stage.sign_off:
        request.retarget_clocks(at)
    if request.stage is Stage.response and request.has_work_order:
        _create_work_order(request, at)


# --- work order and dispatch 工单与派单 -----------------------------------------------------------


def _create_work_order(request: ServiceRequest, at: datetime) -> None:
    request.enter(Stage.dispatch)
    request.pass_moment("work_order_created", at)


def offer_to(request: ServiceRequest, engineer: str, at: datetime, *, by_hand: bool) -> None:
    """Offer the work to an engineer, who has the accept rule's time to answer."""
    request.moved_at = max(request.moved_at, at)
    request.offers.append(Offer(engineer=engineer, offered_at=at, by_hand=by_hand))
    request.by_hand = False
    request.note("offer", "offered", at, engineer=engineer, by_hand=by_hand)
    request.pass_moment("offered", at, _subject(request))
    request.tell(Role.engineer, "work_offered", at, who=engineer, facts={"number": request.number})


def dispatch_by_hand(request: ServiceRequest, at: datetime, reason: str) -> None:
    """Leave the choice of engineer to a dispatcher (人工派单)."""
    if request.by_hand:
        return
    request.by_hand = True
    request.note("offer", "by_hand", at, reason=reason)
    request.tell(Role.dispatcher, "dispatch_by_hand", at, facts={"reason": reason})


def _assigned(request: ServiceRequest, event: Any, at: datetime) -> None:
    _withdraw_offer(request, at, event.reason)
    if request.engineer is not None:
        request.tell(Role.engineer, "work_withdrawn", at, who=request.engineer)
        _end_visit(request, at, "reassigned")
        request.cancel_clocks(at, Rule.appointment_call)
        request.engineer = None
    request.enter(Stage.dispatch)
    offer_to(request, event.engineer, at, by_hand=True)


def _accepted(request: ServiceRequest, event: Any, at: datetime) -> None:
    _close_offer(request, OfferState.accepted, at)
    request.engineer = event.engineer
    request.pass_moment("accepted", at, _subject(request))
    if appointment := request.standing_appointment:
        appointment.engineer = event.engineer
        request.cancel_clocks(at, Rule.appointment_call)
        _open_visit(request, at)
        request.enter(Stage.service)
    else:
        request.enter(Stage.appointment)


def _declined(request: ServiceRequest, event: Any, at: datetime) -> None:
    request.pass_moment("declined", at, _subject(request))
    _close_offer(request, OfferState.declined, at, event.reason)


def _withdraw_offer(request: ServiceRequest, at: datetime, reason: str) -> None:
    if offer := request.open_offer:
        request.cancel_clocks(at, Rule.accept)
        _close_offer(request, OfferState.withdrawn, at, reason)
        request.tell(Role.engineer, "work_withdrawn", at, who=offer.engineer)


def _close_offer(
    request: ServiceRequest, state: OfferState, at: datetime, reason: str | None = None
) -> None:
    offer = request.offers[-1]
    offer.state, offer.closed_at, offer.reason = state, at, reason
    request.note("offer", state, at, engineer=offer.engineer, reason=reason)


def _subject(request: ServiceRequest) -> str:
    """An offer's clock is told apart by the offer's place in the list."""
    return str(len(request.offers))


# --- appointment 预约 -----------------------------------------------------------------------------


def _appointed(request: ServiceRequest, event: Any, at: datetime) -> None:
    request.pass_moment("appointed", at)
    _agree_window(request, event, at, wished_by=event.wished_by)
    request.enter(Stage.service)


def _rescheduled(request: ServiceRequest, event: Any, at: datetime) -> None:
    old = request.appointments[-1]
    old.state, old.reason = AppointmentState.rescheduled, event.reason
    request.cancel_clocks(at, Rule.arrival)
    _agree_window(request, event, at, wished_by=old.wished_by)


def _agree_window(
    request: ServiceRequest, event: Any, at: datetime, *, wished_by: Literal["customer", "engineer"]
) -> None:
    request.appointments.append(
        Appointment(
            window_start=event.window_start,
            window_end=event.window_end,
            wished_by=wished_by,
            engineer=request.engineer or "",
            agreed_at=at,
        )
    )
    if request.visit is None:
        _open_visit(request, at)
    request.pass_moment("window_agreed", at)
    window = {
        "window_start": event.window_start.isoformat(),
        "window_end": event.window_end.isoformat(),
    }
    request.tell(Role.customer, "appointment_sheet", at, facts=window)


def remind(request: ServiceRequest, appointment: Appointment, at: datetime) -> None:
    """Remind the customer before the window opens (上门前提醒)."""
    appointment.reminded_at = at
    request.note("system", "visit_reminder", at)
    facts = {"window_start": appointment.window_start.isoformat()}
    request.tell(Role.customer, "visit_reminder", at, rule="visit_reminder", facts=facts)
    request.tell(Role.engineer, "visit_reminder", at, rule="visit_reminder", facts=facts)


def _lose_appointment(request: ServiceRequest, at: datetime, state: AppointmentState) -> None:
    """An appointment fell away: a new one is agreed with the same engineer."""
    if standing := request.standing_appointment:
        standing.state = state
    request.cancel_clocks(at, Rule.arrival)
    request.enter(Stage.appointment)
    request.pass_moment("appointment_lost", at)


# --- service 服务执行 -----------------------------------------------------------------------------


def _open_visit(request: ServiceRequest, at: datetime) -> None:
    request.visits.append(
        Visit(kind=request.service_type, engineer=request.engineer or "", opened_at=at)
    )


def _end_visit(request: ServiceRequest, at: datetime, result: VisitResult) -> None:
    if visit := request.visit:
        visit.ended_at, visit.result = at, result


def _here(request: ServiceRequest, at: datetime) -> Visit:
    """The visit under way; remote sessions and further work begin one without ceremony."""
    if request.visit is None:
        _open_visit(request, at)
    return request.visits[-1]


def _departed(request: ServiceRequest, event: Any, at: datetime) -> None:
    _here(request, at).departed_at = at
    request.tell(Role.customer, "engineer_departed", at)


def _running_late(request: ServiceRequest, event: Any, at: datetime) -> None:
    window = request.appointment
    in_time = window is None or at <= window.window_end - request.policy.late_notice
    _here(request, at).late_notice = LateNotice(told_at=at, eta=event.eta, in_time=in_time)
    request.tell(Role.customer, "engineer_late", at, facts={"eta": event.eta.isoformat()})


def _arrived(request: ServiceRequest, event: Any, at: datetime) -> None:
    _here(request, at).arrived_at = at
    if standing := request.standing_appointment:
        standing.state = AppointmentState.met
    request.pass_moment("arrived", at)


def _no_show(request: ServiceRequest, event: Any, at: datetime) -> None:
    request.pass_moment("arrived", at)  # The engineer was there, even if nobody opened.
    _end_visit(request, at, "no_show")
    if request.appointment:
        request.appointment.state = AppointmentState.no_show
    _lose_appointment(request, at, AppointmentState.no_show)
    request.tell(Role.customer, "missed_you", at)


def _diagnosed(request: ServiceRequest, event: Any, at: datetime) -> None:
    _here(request, at).diagnosis = Diagnosis(
        fault=event.fault, cause=event.cause, remedy=event.remedy
    )


def _quoted(request: ServiceRequest, event: Any, at: datetime) -> None:
    lines = fees.price_lines(event.lines, request.brief.prices)
    quote = Quote(visit=len(request.visits), lines=lines, total=fees.total(lines), quoted_at=at)
    request.quotes.append(quote)
    if quote.total > 0:
        request.tell(Role.customer, "quote", at, facts={"total": str(quote.total)})


def _quote_approved(request: ServiceRequest, event: Any, at: datetime) -> None:
    _answer_quote(request, QuoteState.approved, event.reason, at)


def _quote_declined(request: ServiceRequest, event: Any, at: datetime) -> None:
    _answer_quote(request, QuoteState.declined, event.reason, at)


def _answer_quote(
    request: ServiceRequest, state: QuoteState, reason: str | None, at: datetime
) -> None:
    _close_quote(request, state, reason, at)
    request.tell(Role.engineer, f"quote_{state}", at)


def _close_quote(
    request: ServiceRequest, state: QuoteState, reason: str | None, at: datetime
) -> None:
    if (quote := request.quote) and quote.state is QuoteState.open:
        quote.state, quote.reason, quote.answered_at = state, reason, at


def _parts_awaited(request: ServiceRequest, event: Any, at: datetime) -> None:
    request.awaited = [
        Awaited(part=p.part, quantity=p.quantity, expected_on=event.expected_on)
        for p in event.parts
    ]
    expected = f"{event.expected_on:%Y-%m-%d}" if event.expected_on else "—"
    request.tell(Role.customer, "parts_awaited", at, facts={"expected_on": expected})
    _hold(request, Hold(reason="parts", since=at, owner="parts"), at)


def _parts_arrived(request: ServiceRequest, event: Any, at: datetime) -> None:
    request.awaited = []
    request.tell(Role.engineer, "parts_arrived", at)
    if request.hold and request.hold.owner == "parts":
        resume(request, at)


def _visit_needed(request: ServiceRequest, event: Any, at: datetime) -> None:
    request.service_type = ServiceType.on_site
    if standing := request.standing_appointment:
        standing.state = AppointmentState.met
    _end_visit(request, at, "further_visit")
    _lose_appointment(request, at, AppointmentState.met)
    request.retarget_clocks(at)
    request.tell(Role.customer, "visit_needed", at)


def _depot_received(request: ServiceRequest, event: Any, at: datetime) -> None:
    request.at_depot = True
    # The product is not at home: nobody is expected there any more.
    request.cancel_clocks(at, Rule.arrival)
    if standing := request.standing_appointment:
        standing.state = AppointmentState.withdrawn
    request.pass_moment("depot_received", at)


def _shipped_back(request: ServiceRequest, event: Any, at: datetime) -> None:
    request.at_depot, request.repaired_at_depot = False, True
    request.pass_moment("shipped_back", at)
    request.tell(Role.customer, "shipped_back", at)


def _completed(request: ServiceRequest, event: Any, at: datetime) -> None:
    # Still open, it cost the customer nothing.
    _close_quote(request, QuoteState.approved, None, at)
    visit = _here(request, at)
    visit.test_result, visit.notes = event.test_result, event.notes
    visit.parts = [
        Part(
            part=p.part,
            model=p.model,
            serial=p.serial,
            quantity=p.quantity,
            unit_price=p.unit_price,
        )
        for p in event.parts
    ]
    _end_visit(request, at, "completed")
    if standing := request.standing_appointment:
        standing.state = AppointmentState.met
    request.completed_at = at
    request.bill = _bill(request)
    request.pass_moment("completed", at)
    # The work is done: what was promised on the way to it makes no sense any more.
    request.cancel_clocks(
        at,
        Rule.solution_feedback,
        Rule.appointment,
        Rule.arrival,
        Rule.on_site,
        Rule.appointment_call,
    )
    request.enter(Stage.sign_off)
    request.tell(Role.customer, "please_sign", at, facts={"owed": str(request.bill.owed)})


def _bill(request: ServiceRequest) -> Bill:
    """Only what the customer approved is charged (S1 2.4): the last word on each visit's quotes."""
    agreed = {q.visit: q for q in request.quotes if q.state is QuoteState.approved}
    lines = [line for quote in agreed.values() for line in quote.lines]
    return Bill(lines=lines, total=fees.total(lines))


# --- sign-off and payment 确认与收费 --------------------------------------------------------------


def _signed(request: ServiceRequest, event: Any, at: datetime) -> None:
    request.signed_at, request.signature = at, event.signature
    request.pass_moment("signed", at)
    _leave_sign_off(request)


def _paid(request: ServiceRequest, event: Any, at: datetime) -> None:
    request.bill.payments.append(
        Payment(amount=event.amount, method=event.method, reference=event.reference, paid_at=at)
    )
    request.tell(Role.customer, "receipt", at, facts={"amount": str(event.amount)})
    _leave_sign_off(request)


def _leave_sign_off(request: ServiceRequest) -> None:
    if request.signed_at is not None and request.bill.owed == 0:
        request.enter(Stage.revisit)


# --- revisit 回访 ---------------------------------------------------------------------------------


def _call_unanswered(request: ServiceRequest, event: Any, at: datetime) -> None:
    request.tell(Role.customer, "survey_sms", at, facts={"number": request.number})


def _surveyed(request: ServiceRequest, event: Any, at: datetime) -> None:
    request.survey = Survey(
        scores=event.scores,
        remark=event.remark,
        channel=event.channel,
        surveyed_at=at,
        by=event.actor.role if event.actor else None,
    )
    request.pass_moment("surveyed", at)
    if reason := _dissatisfied_with(request):
        open_complaint(request, at, reason, event.remark or "", "survey")
    _close_unless_complaints(request, at)


_ABOUT = {
    "response": ComplaintClass.slow_response,
    "professionalism": ComplaintClass.skill,
    "attitude": ComplaintClass.attitude,
    "effect": ComplaintClass.product_quality,
    "overall": ComplaintClass.other,
    "recommend": ComplaintClass.other,
}


def _dissatisfied_with(request: ServiceRequest) -> ComplaintClass | None:
    """What a survey complains about: its lowest score, if low enough, or a negative remark."""
    survey, terms = request.survey, request.policy.dissatisfaction
    if survey is None:
        return None
    scores: dict[str, int] = survey.scores.model_dump()
    lowest = min(scores, key=lambda name: scores[name])
    if scores[lowest] <= terms.score_at_most:
        return _ABOUT[lowest]
    remark = (survey.remark or "").lower()
    return ComplaintClass.other if any(w.lower() in remark for w in terms.negative_words) else None


# --- complaint 投诉处理 ---------------------------------------------------------------------------


def open_complaint(
    request: ServiceRequest,
    at: datetime,
    about: ComplaintClass,
    text: str,
    source: Literal["intake", "survey", "complaint"],
) -> None:
    """Open a case for the after-sales supervisor (转交售后主管)."""
    complaint = Complaint(
        id=len(request.complaints) + 1,
        complaint_class=about,
        text=text,
        source=source,
        opened_at=at,
    )
    request.complaints.append(complaint)
    request.pass_moment("dissatisfied", at, str(complaint.id))
    facts = {"class": about.value, "complaint": str(complaint.id)}
    request.tell(Role.supervisor, "complaint_opened", at, facts=facts)


def _complained(request: ServiceRequest, event: Any, at: datetime) -> None:
    open_complaint(request, at, event.class_, event.text, "complaint")


def _complaint_taken_over(request: ServiceRequest, event: Any, at: datetime) -> None:
    complaint = _found(request, event, ComplaintState.open)
    complaint.state = ComplaintState.taken_over
    if event.actor:
        complaint.owner_role, complaint.owner = event.actor.role, event.actor.id
    request.pass_moment("complaint_taken_over", at, str(complaint.id))


def _remedy_offered(request: ServiceRequest, event: Any, at: datetime) -> None:
    complaint = _found(request, event, *_UNSETTLED)
    if complaint.state is ComplaintState.open:
        request.pass_moment("complaint_taken_over", at, str(complaint.id))
    complaint.state = ComplaintState.remedy_offered
    complaint.remedy, complaint.remedy_kind = event.remedy, event.kind
    complaint.value = event.value
    request.pass_moment("remedy_offered", at, str(complaint.id))


def _complaint_settled(request: ServiceRequest, event: Any, at: datetime) -> None:
    complaint = _found(request, event, *_UNSETTLED)
    complaint.state, complaint.settled_at = ComplaintState.settled, at
    # Settled is more than taken over and more than a remedy offered.
    request.pass_moment("complaint_taken_over", at, str(complaint.id))
    request.pass_moment("remedy_offered", at, str(complaint.id))
    if request.stage is Stage.complaint:
        _close_unless_complaints(request, at)


def _complaint_reopened(request: ServiceRequest, event: Any, at: datetime) -> None:
    complaint = _found(request, event, ComplaintState.settled)
    complaint.state, complaint.settled_at = ComplaintState.open, None
    complaint.reopened.append(event.reason)
    for rule in (Rule.complaint_escalation, Rule.complaint_contact):
        request.reopen_clock(rule, at, str(complaint.id))
    facts = {"class": complaint.complaint_class.value, "complaint": str(complaint.id)}
    request.tell(Role.supervisor, "complaint_opened", at, facts=facts)


_UNSETTLED = (ComplaintState.open, ComplaintState.taken_over, ComplaintState.remedy_offered)


def _found(request: ServiceRequest, event: Any, *states: ComplaintState) -> Complaint:
    complaint = request.find_complaint(event.complaint, states)
    if complaint is None:
        raise LookupError("admission let an event in for a complaint that is not there")
    return complaint


# --- hold, cancellation, archive 暂停、取消、归档 -----------------------------------------------


def _held(request: ServiceRequest, event: Any, at: datetime) -> None:
    _hold(request, Hold(reason=event.reason, since=at, until=event.until, owner="customer"), at)


def _hold(request: ServiceRequest, hold: Hold, at: datetime) -> None:
    request.hold = hold
    # A window does not wait: its promise is dropped, and made again if the window is still ahead.
    request.cancel_clocks(at, Rule.arrival)
    request.pause_clocks(at)


def _resumed(request: ServiceRequest, event: Any, at: datetime) -> None:
    resume(request, at)


def resume(request: ServiceRequest, at: datetime) -> None:
    """Let the request go on after a hold."""
    if request.hold is not None:
        request.held_before.append((request.hold.since, at))
    request.hold = None
    request.resume_clocks(at)
    appointment = request.standing_appointment
    if appointment is None or request.service_type is ServiceType.remote:
        return
    if appointment.window_end > at:
        request.start_clock(Rule.arrival, at)
    elif request.stage is Stage.service:
        _end_visit(request, at, "further_visit")
        _lose_appointment(request, at, AppointmentState.withdrawn)
    else:
        # Under reassignment: the next engineer agrees a new window.
        appointment.state = AppointmentState.withdrawn


def _cancelled(request: ServiceRequest, event: Any, at: datetime) -> None:
    request.cancelled = True
    request.hold = None
    request.awaited = []
    _withdraw_offer(request, at, event.reason)
    if request.engineer is not None:
        request.tell(Role.engineer, "work_withdrawn", at, who=request.engineer)
    if standing := request.standing_appointment:
        standing.state = AppointmentState.withdrawn
    _close_quote(request, QuoteState.declined, event.reason, at)
    _end_visit(request, at, "cancelled")
    request.tell(Role.customer, "request_cancelled", at)
    kept = (Rule.complaint_escalation, Rule.complaint_contact)
    request.cancel_clocks(at, *(rule for rule in PROMISES if rule not in kept))
    _close_unless_complaints(request, at)


def _noted(request: ServiceRequest, event: Any, at: datetime) -> None:
    """The timeline line is all there is to a note."""


# --- who does it 待办 -----------------------------------------------------------------------------


def _task_claimed(request: ServiceRequest, event: Any, at: datetime) -> None:
    who = todo.claimant(event, todo.find(request, event.task).task)
    request.claims.setdefault(event.task, Claim(who=who, at=at))


def _task_released(request: ServiceRequest, event: Any, at: datetime) -> None:
    del request.claims[event.task]


def _task_reassigned(request: ServiceRequest, event: Any, at: datetime) -> None:
    who = Person(role=todo.find(request, event.task).task.role, id=event.to)
    request.claims[event.task] = Claim(who=who, at=at)


def _breach_called(request: ServiceRequest, event: Any, at: datetime) -> None:
    (clock,) = todo.call_owed(request, event.rule, event.subject).clocks
    request.mark_clock(clock, Kind.called, at)


def _close_unless_complaints(request: ServiceRequest, at: datetime) -> None:
    """A request closes only when its complaints are settled."""
    if any(c.state is not ComplaintState.settled for c in request.complaints):
        request.enter(Stage.complaint)
        return
    request.cancel_clocks(at)
    request.outcome, request.closed_at = _outcome(request), at
    request.enter(Stage.closed)
    request.note("system", "closed", at, outcome=request.outcome)


def _outcome(request: ServiceRequest) -> Outcome:
    if request.cancelled:
        return Outcome.cancelled
    remedies = {c.remedy_kind for c in request.complaints}
    if Remedy.replacement in remedies:
        return Outcome.replaced
    if Remedy.refund in remedies:
        return Outcome.refunded
    if request.answer is not None and request.completed_at is None:
        return Outcome.answered
    return Outcome.completed if request.completed_at is not None else Outcome.settled


# --- what falls due 到期 --------------------------------------------------------------------------


def clock_fired(
    request: ServiceRequest, clock: Clock, event: ClockEvent, threshold: Threshold
) -> None:
    """A clock warned, breached, or went one level up its ladder: someone notices."""
    facts = {"rule": clock.rule.value, "due_at": clock.due_at.isoformat() if clock.due_at else "—"}
    if clock.subject:
        facts["subject"] = clock.subject
    if event.kind is Kind.breached:
        if breach := _ON_BREACH.get(clock.rule):
            breach(request, clock, event.at)
        return
    if threshold.tell is None:
        return
    who = None
    if threshold.tell is Role.engineer and clock.rule is Rule.accept:
        who = request.offers[int(clock.subject) - 1].engineer
    if event.kind is Kind.warned:
        request.tell(
            threshold.tell, "due_soon", event.at, who=who, rule=clock.rule.value, facts=facts
        )
        return
    message = "breached_customer" if threshold.tell is Role.customer else "breached"
    request.tell(
        threshold.tell,
        message,
        event.at,
        who=who,
        rule=clock.rule.value,
        level=event.level,
        facts=facts,
        channels=threshold.channels,
    )


def _jump_queue(request: ServiceRequest, clock: Clock, at: datetime) -> None:
    request.jumped_queue = True


def _no_offer_in_time(request: ServiceRequest, clock: Clock, at: datetime) -> None:
    dispatch_by_hand(request, at, "no_offer_in_time")


def _no_answer(request: ServiceRequest, clock: Clock, at: datetime) -> None:
    """Recorded against the engineer; the matching then offers the work to the next one."""
    engineer = request.offers[-1].engineer
    clock.add(Kind.cancelled, at)
    _close_offer(request, OfferState.no_answer, at)
    request.tell(Role.engineer, "no_answer", at, who=engineer, rule=Rule.accept.value)


def _manager_takes_over(request: ServiceRequest, clock: Clock, at: datetime) -> None:
    complaint = request.complaints[int(clock.subject) - 1]
    complaint.owner_role = Role.manager
    request.note("system", "complaint_escalated", at, complaint=complaint.id, owner="manager")


def _allow_outside(request: ServiceRequest, clock: Clock, at: datetime) -> None:
    request.outside_allowed = request.brief.customer.tier in request.policy.outside_provider_tiers


_ON_BREACH: dict[Rule, Callable[[ServiceRequest, Clock, datetime], None]] = {
    Rule.first_response: _jump_queue,
    Rule.dispatch: _no_offer_in_time,
    Rule.accept: _no_answer,
    Rule.complaint_escalation: _manager_takes_over,
    Rule.resolution: _allow_outside,
}

TRANSITIONS: dict[str, Callable[[ServiceRequest, Any, datetime], None]] = {
    "responded": _responded,
    "plan_told": _plan_told,
    "answered": _answered,
    "reclassified": _reclassified,
    "assigned": _assigned,
    "accepted": _accepted,
    "declined": _declined,
    "appointed": _appointed,
    "rescheduled": _rescheduled,
    "departed": _departed,
    "running_late": _running_late,
    "arrived": _arrived,
    "no_show": _no_show,
    "diagnosed": _diagnosed,
    "quoted": _quoted,
    "quote_approved": _quote_approved,
    "quote_declined": _quote_declined,
    "parts_awaited": _parts_awaited,
    "parts_arrived": _parts_arrived,
    "visit_needed": _visit_needed,
    "depot_received": _depot_received,
    "shipped_back": _shipped_back,
    "completed": _completed,
    "signed": _signed,
    "paid": _paid,
    "call_unanswered": _call_unanswered,
    "surveyed": _surveyed,
    "complained": _complained,
    "complaint_taken_over": _complaint_taken_over,
    "remedy_offered": _remedy_offered,
    "complaint_settled": _complaint_settled,
    "complaint_reopened": _complaint_reopened,
    "held": _held,
    "resumed": _resumed,
    "cancelled": _cancelled,
    "noted": _noted,
    "task_claimed": _task_claimed,
    "task_released": _task_released,
    "task_reassigned": _task_reassigned,
    "breach_called": _breach_called,
}
