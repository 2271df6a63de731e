"""The request as the API shows it, and what is still owed on it (design §4 and §5)."""

from datetime import datetime, timedelta
from typing import Any

from .calendars import AROUND_THE_CLOCK, Calendar
from .clocks import Clock, Kind, Reading
from .request import Due, ServiceRequest
from .rules import PROMISES, Rule
from .todo import HumanTask, owing
from .values import LATEST, State, rfc3339
from .vocabulary import Role, TaskKind


def view(request: ServiceRequest, now: datetime) -> dict[str, Any]:
    """The request as anyone entitled to it sees it at `now`, in JSON types and masked."""
    return seen_at(lasting(request), now)


def lasting(request: ServiceRequest) -> dict[str, Any]:
    """The view as it holds until the request changes: it can be kept, and read at any moment.

    In place of what remains of a running clock it says what that is counted from.
    """
    brief = request.brief
    bill = request.bill
    return {
        "number": request.number,
        "work_order": request.numbers.get("WO/1"),
        "type": request.request_type.value,
        "channel": brief.channel.value,
        "received_at": rfc3339(request.received_at),
        "stage": request.stage.value,
        "outcome": request.outcome and request.outcome.value,
        "urgency": request.urgency.value,
        "mood": brief.mood and brief.mood.value,
        "service_type": request.service_type.value,
        "status": request.status.value,
        "clock_state": request.clock_state.value,
        "on_hold": request.hold is not None,
        "hold": _dump(request.hold),
        "customer": _dump(brief.customer),
        "product": brief.product.model_dump(mode="json"),
        "warranty": brief.warranty.model_dump(mode="json"),
        "station": brief.station,
        "external_id": brief.external_id,
        "earlier_requests": list(brief.earlier),
        "repeat_fault": brief.repeat_fault,
        "jumped_queue": request.jumped_queue,
        "manual_dispatch": request.by_hand,
        "outside_provider_allowed": request.outside_allowed,
        "at_depot": request.at_depot,
        "plan": request.plan,
        "answer": request.answer,
        "engineer": request.engineer,
        "offers": [_offer(request, i) for i in range(len(request.offers))],
        "appointment": _dump(request.appointment),
        "visits": [_dump(visit) for visit in request.visits],
        "parts_awaited": [_dump(part) for part in request.awaited],
        "quote": _dump(request.quote),
        "fees": {
            "lines": [_dump(line) for line in bill.lines],
            "total": float(bill.total),
            "paid": float(bill.paid),
            "owed": float(bill.owed),
            "payments": [_dump(payment) for payment in bill.payments],
        },
        "signed_at": rfc3339(request.signed_at),
        "completed_at": rfc3339(request.completed_at),
        "survey": _dump(request.survey),
        "complaints": [_complaint(c) for c in request.complaints],
        "clocks": [_clock(request, clock) for clock in request.clocks],
        "allowed_events": request.allowed_events,
        "event_count": request.event_count,
        "policy": {"name": request.policy.name, "version": request.policy.version},
        "closed_at": rfc3339(request.closed_at),
    }


def seen_at(kept: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The view at `now` from what `lasting` said, also after that went through JSON."""
    clocks = [
        {**clock, "remaining_seconds": _remaining(clock["remaining_seconds"], now)}
        for clock in kept["clocks"]
    ]
    return {**kept, "clocks": clocks}


def row(request: ServiceRequest) -> dict[str, Any]:
    """The request as one short line of a queue: what is due next, and who owes it.

    Nothing in it changes merely because time passes.
    """
    pressing = _pressing(request)
    return {
        "number": request.number,
        "stage": request.stage.value,
        "type": request.request_type.value,
        "urgency": request.urgency.value,
        "station": request.brief.station,
        "engineer": request.engineer,
        "clock_state": request.clock_state.value,
        "next_due": rfc3339(pressing.due_at) if pressing else None,
        "rule": pressing.rule.value if pressing else None,
        "owed_by": _shown_owner(request, pressing) if pressing else None,
        "jumped_queue": request.jumped_queue,
        "on_hold": request.hold is not None,
        "event_count": request.event_count,
    }


def obligations(request: ServiceRequest, now: datetime) -> list[dict[str, Any]]:
    """Everything that will happen if nobody acts: when, who owes the act, who is told.

    Promises already broken and still open come first, with `due_at` in the past.
    """
    tasks = {
        id(clock): owed.task
        for owed in reversed(owing(request))
        for clock in owed.clocks
        if owed.task.kind is not TaskKind.call_about_a_breach
    }
    owed = [
        {
            "rule": clock.rule.value,
            "subject": clock.subject or None,
            "zh": PROMISES[clock.rule].zh,
            "what": _standing(clock),
            "due_at": rfc3339(clock.due_at),
            "fires_at": None,
            "owed_by": _shown_owner(request, clock),
            "tells": None,
            "level": None,
            **_in_hand(clock, tasks.get(id(clock))),
        }
        for clock in request.live_clocks
        if clock.is_breached or clock.due_at is None
    ]
    agenda = request.agenda()
    return owed + [_obligation(request, due, tasks.get(id(due.subject))) for due in agenda]


def next_due(request: ServiceRequest) -> datetime | None:
    """When the most pressing promise still to be met is due; past when it is already broken."""
    pressing = _pressing(request)
    return pressing.due_at if pressing else None


def _pressing(request: ServiceRequest) -> Clock | None:
    dated = (clock for clock in request.live_clocks if clock.due_at)
    return min(dated, key=_due, default=None)


def _due(clock: Clock) -> datetime:
    return clock.due_at or LATEST


def _in_hand(clock: Clock | None, task: HumanTask | None) -> dict[str, Any]:
    """The task behind it, who has that, and since when somebody has the broken promise in hand."""
    acknowledged = clock.acknowledged_at if clock else None
    return {
        "task": task and task.id,
        "assignee": _dump(task and task.assignee),
        "acknowledged_at": rfc3339(acknowledged),
    }


def _obligation(request: ServiceRequest, due: Due, task: HumanTask | None) -> dict[str, Any]:
    clock = due.subject if isinstance(due.subject, Clock) else None
    threshold = due.threshold
    rule, _, what = due.what.partition(": ")
    tells = threshold.tell if threshold else Role.customer if rule == "visit_reminder" else None
    if clock is not None and clock.rule is Rule.accept and threshold.kind is Kind.breached:  # type: ignore[union-attr]
        what = "breached; the next engineer is offered the work"
    return {
        "rule": clock.rule.value if clock else rule,
        "subject": clock.subject or None if clock else None,
        "zh": PROMISES[clock.rule].zh if clock else None,
        "what": what or rule,
        "due_at": rfc3339(clock.due_at) if clock else rfc3339(due.at),
        "fires_at": rfc3339(due.at),
        "owed_by": _shown_owner(request, clock) if clock else None,
        "tells": tells and tells.value,
        "level": threshold.level or None if threshold else None,
        **_in_hand(clock, task),
    }


def _standing(clock: Clock) -> str:
    """What there is to say of a clock that will not breach by itself."""
    if clock.is_breached:
        return "overdue"
    return "paused" if clock.is_paused else "due after the last known working day"


def owner(request: ServiceRequest, clock: Clock) -> tuple[Role, str | None]:
    """The role that owes the act and, where it is known, the person."""
    role, who = clock.owed_by, None
    if clock.rule is Rule.accept:
        who = request.offers[int(clock.subject) - 1].engineer
    elif PROMISES[clock.rule].subject:
        complaint = request.complaints[int(clock.subject) - 1]
        role, who = complaint.owner_role, complaint.owner
    elif role is Role.engineer:
        who = request.engineer
    return role, who


def _shown_owner(request: ServiceRequest, clock: Clock) -> dict[str, str | None]:
    role, who = owner(request, clock)
    return {"role": role.value, "id": who}


def _offer(request: ServiceRequest, index: int) -> dict[str, Any]:
    offer = request.offers[index]
    clock = request.clock(Rule.accept, str(index + 1))
    return {
        **offer.model_dump(mode="json"),
        "due_at": rfc3339(clock.due_at) if clock else None,
    }


def _complaint(complaint: State) -> dict[str, Any]:
    shown = complaint.model_dump(mode="json")
    return {"class": shown.pop("complaint_class"), **shown}


def _clock(request: ServiceRequest, clock: Clock) -> dict[str, Any]:
    reading: Reading = clock.reading(request.moved_at)
    return {
        "rule": reading.rule.value,
        "subject": clock.subject or None,
        "state": reading.state.value,
        "started_at": rfc3339(reading.started_at),
        "due_at": rfc3339(reading.due_at),
        "warned_at": rfc3339(reading.warned_at),
        "breached_at": rfc3339(reading.breached_at),
        "fired_at": rfc3339(reading.fired_at),
        "stopped_at": rfc3339(reading.stopped_at),
        "remaining_seconds": _counted_from(clock),
    }


def _counted_from(clock: Clock) -> float | dict[str, Any]:
    """What remains, or for a running clock: what was left, and since when that shrinks."""
    tally = clock.tally
    left = tally.goal - tally.spent
    since = tally.running_since
    if since is None:
        return _seconds(left)
    counted = {"left": left.total_seconds(), "since": rfc3339(since)}
    if tally.calendar.windows:
        ahead = [window for window in tally.calendar.windows if window[1] > since.timestamp()]
        # No known working time ahead: nothing more is taken from it.
        return {**counted, "windows": ahead} if ahead else _seconds(left)
    return counted


def _remaining(counted: float | dict[str, Any], now: datetime) -> float:
    if not isinstance(counted, dict):
        return counted
    calendar = AROUND_THE_CLOCK
    if "windows" in counted:
        calendar = Calendar.model_validate({"windows": counted["windows"]})
    since = datetime.fromisoformat(counted["since"])
    return _seconds(timedelta(seconds=counted["left"]) - calendar.between(since, now))


def _seconds(span: timedelta) -> float:
    return round(span.total_seconds(), 3)


def _dump(part: State | Any) -> Any:
    return part.model_dump(mode="json") if part is not None else None
