"""What happened to a request as process mining wants it: one trace of typed happenings, and the
things they are about.

No personal data and no free text: the customer is only a role; what a person wrote stays in the
history. Every happening names the history's event behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from audit.conformance import fit
from audit.facts import Fact, Told
from domain.events import PROCESS_ORDER
from domain.request import ServiceRequest
from domain.rules import Rule
from domain.vocabulary import ComplaintState, Remedy, Role, Stage
from records.sealing import KeyRing

Scalar = str | int | float | bool | datetime

_OF_ALL: dict[str, type] = {
    "stage": str,
    "role": str,
    "resource": str,
    "recorded_at": datetime,
    "run": str,
    "history_event": int,
}
_ENGINEER: dict[str, type] = {"engineer": str}
_WINDOW: dict[str, type] = {"window_start": datetime, "window_end": datetime}
_COMPLAINT: dict[str, type] = {"complaint": int}
_OFFER: dict[str, type] = {"engineer": str, "by_hand": bool}
_CLOCK: dict[str, type] = {
    "rule": str,
    "subject": str,
    "due_at": datetime,
    "level": int,
    "told": str,
    "cause": str,
}
_OF_SOME: dict[str, dict[str, type]] = {
    "received": {"channel": str, "urgency": str},
    "reclassified": {"urgency": str, "request_type": str},
    "assigned": _ENGINEER,
    "accepted": _ENGINEER,
    "declined": _ENGINEER,
    "appointed": {**_WINDOW, "wished_by": str},
    "rescheduled": _WINDOW,
    "running_late": {"eta": datetime},
    "paid": {"amount": float, "method": str},
    "surveyed": {"overall": int},
    "complained": {"class": str},
    "complaint_taken_over": _COMPLAINT,
    "remedy_offered": {**_COMPLAINT, "remedy": str, "value": float},
    "complaint_settled": _COMPLAINT,
    "complaint_reopened": _COMPLAINT,
    "complaint_escalated": _COMPLAINT,
    "held": {"until": datetime},
    "breach_called": {"rule": str, "subject": str},
    "offered": _OFFER,
    "no_answer": _OFFER,
    "withdrawn": _OFFER,
    "closed": {"outcome": str},
}
_CLOCKS = ("warned", "breached", "escalated")

ACTIVITIES = (
    "received",
    *PROCESS_ORDER,
    *("offered", "by_hand", "no_answer", "withdrawn"),
    *("visit_reminder", "hold_ended", "complaint_escalated", "closed"),
    *(f"{rule}.{what}" for rule in Rule for what in _CLOCKS),
)
"""Everything that can happen, by the name it has in a log."""

EVENT_ATTRIBUTES: dict[str, dict[str, type]] = {
    activity: {**_OF_ALL, **(_CLOCK if "." in activity else _OF_SOME.get(activity, {}))}
    for activity in ACTIVITIES
}
"""What a happening may say of itself, by what it is, and of which type. Nothing else is taken: what
is not listed may be somebody's own words, even under the same name."""

OBJECT_ATTRIBUTES: dict[str, dict[str, type]] = {
    "request": {
        "type": str,
        "channel": str,
        "urgency": str,
        "service_type": str,
        "tier": str,
        "repeat_fault": bool,
        "outcome": str,
        "policy_version": str,
    },
    "work_order": {"status": str, "by_hand": bool},
    "engineer": {},
    "station": {},
    "offer": {"state": str, "by_hand": bool},
    "appointment": {
        "state": str,
        "window_start": datetime,
        "window_end": datetime,
        "wished_by": str,
    },
    "visit": {"kind": str, "result": str},
    "quote": {"state": str, "total": float},
    "complaint": {"class": str, "source": str, "state": str, "remedy": str},
    "product_model": {"category": str, "product_class": str},
}
"""The types of things, and what is known of each."""

_TWICE_TOLD = ("accepted", "declined")
_APPOINTMENTS = {
    *("appointed", "rescheduled", "departed", "running_late", "arrived", "no_show"),
    "visit_reminder",
}
_VISITS = {
    *("departed", "running_late", "arrived", "no_show", "diagnosed", "quoted", "parts_awaited"),
    *("visit_needed", "depot_received", "shipped_back", "completed"),
}


UNKNOWN = "unknown"
"""The stage of what happened after a request had left the process model."""


@dataclass(frozen=True)
class Happening:
    """One event of the log.

    Attributes:
        id: the request's number and the line of its timeline, such as `CR20261120-001:7`.
        at: the moment that counts.
        attributes: those that `EVENT_ATTRIBUTES` lists.
        things: what it is about, each with how.
    """

    id: str
    activity: str
    at: datetime
    attributes: Mapping[str, Scalar]
    things: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Thing:
    """An object of the log.

    Attributes:
        since: when what is said of it began to hold.
        related: other things, each with how.
    """

    id: str
    type: str
    since: datetime
    attributes: Mapping[str, Scalar]
    related: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Trace:
    """One request.

    Attributes:
        attributes: those of the request itself.
        left: where it left the process model; None: it fits.
    """

    number: str
    attributes: Mapping[str, Scalar]
    happenings: tuple[Happening, ...]
    things: tuple[Thing, ...] = ()
    left: str | None = None


def trace(told: Told, ring: KeyRing | None = None) -> Trace:
    """A request as a log has it.

    Args:
        ring: makes the id of the product's model, whose name is the customer's own words; None:
            the model is not among the things.
    """
    found = fit(told)
    stages = {
        fact.line.seq: stage for fact, stage in zip(found.facts, found.walk.stages, strict=False)
    }
    about = _About(told.request)
    stage: Stage | None = None
    happenings = []
    for fact in told.facts:
        stage = stages.get(fact.line.seq, stage)
        activity = _activity(fact)
        if activity is not None:
            happenings.append(
                Happening(
                    id=f"{told.number}:{fact.line.seq}",
                    activity=activity,
                    at=fact.line.at,
                    attributes=_attributes(fact, activity, stage),
                    things=tuple(about.of(fact, activity)),
                )
            )
    request, *others = _things(told.request, happenings, ring)
    return Trace(
        number=told.number,
        attributes=request.attributes,
        happenings=tuple(happenings),
        things=(request, *others),
        left=str(found.walk.left) if found.walk.left else None,
    )


def _activity(fact: Fact) -> str | None:
    """What a line of the timeline is called in the log; None: it tells nothing new."""
    match fact.line.kind, fact.line.name:
        case "event", name:
            return name
        case "clock", name:
            return name if name.rpartition(".")[2] in _CLOCKS else None
        case "offer", name:
            # Who accepts or declines says so; the line only repeats it.
            return None if name in _TWICE_TOLD else name
        case "system", "resumed":
            return "hold_ended"
        case "system", name:
            return name
    return None


def _attributes(fact: Fact, activity: str, stage: Stage | None) -> dict[str, Scalar]:
    line = fact.line
    said = {**line.data, "recorded_at": line.recorded_at}
    said |= {"run": fact.place.run, "history_event": fact.place.event}
    said["stage"] = stage or UNKNOWN
    if line.actor_role is not None:
        said["role"] = line.actor_role
        if line.actor_role is not Role.customer:
            said["resource"] = line.actor_id
    if scores := line.data.get("scores"):
        said["overall"] = scores["overall"]
    if activity == "remedy_offered":
        said["remedy"] = _remedy(line.data["remedy"])
    return typed(said, EVENT_ATTRIBUTES[activity])


def _remedy(words: str) -> str:
    """The remedy as a term: in other words it could be anything."""
    try:
        return Remedy(words).value
    except ValueError:
        return Remedy.other.value


def typed(said: Mapping[str, Any], types: Mapping[str, type]) -> dict[str, Scalar]:
    """What is known of these, each in its type."""
    given = ((name, kind, said.get(name)) for name, kind in types.items())
    return {name: _as(kind, value) for name, kind, value in given if value is not None}


def _as(kind: type, value: Any) -> Scalar:
    if kind is datetime:
        return value if isinstance(value, datetime) else datetime.fromisoformat(value)
    read: Scalar = kind(value)
    return read


# --- things ---------------------------------------------------------------------------------------


def _id(request: ServiceRequest, form: str, kind: str, place: int) -> str:
    """The form's number; where it has none yet, the request's number and its place there."""
    return request.numbers.get(f"{form}/{place}") or f"{request.number}/{kind}/{place}"


def engineer_id(engineer: str) -> str:
    """An engineer among the things of a log."""
    return f"engineer:{engineer}"


def _model_id(ring: KeyRing, model: str) -> str:
    return f"model:{ring.index(model, 'event_log/product_model')[:16]}"


def _is_engineer(id: str) -> bool:
    return id.startswith("engineer:")


@dataclass
class _About:
    """Finds what each line is about, while the lines pass in order."""

    request: ServiceRequest
    offers: int = 0
    appointments: int = 0
    quotes: int = 0
    complaints: dict[int, ComplaintState] = field(default_factory=dict)

    def of(self, fact: Fact, activity: str) -> Iterator[tuple[str, str]]:
        """The things that a line is about, each with how."""
        request, line = self.request, fact.line
        yield request.number, "request"
        self._count(activity, line.at)
        ordered = request.has_work_order or "WO/1" in request.numbers
        if ordered and request.responded_at and line.at >= request.responded_at:
            yield _id(request, "WO", "work_order", 1), "work order"
        engineer = line.data.get("engineer")
        if line.actor_role is Role.engineer and line.actor_id:
            yield engineer_id(line.actor_id), "done by"
        if isinstance(engineer, str) and engineer != line.actor_id:
            yield engineer_id(engineer), "offered to"
        if self.offers and activity in ("offered", "no_answer", "withdrawn", *_TWICE_TOLD):
            yield _id(request, "", "offer", self.offers), "offer"
        elif activity.startswith(f"{Rule.accept}.") and line.data.get("subject"):
            yield _id(request, "", "offer", int(line.data["subject"])), "offer"
        if self.appointments and activity in _APPOINTMENTS:
            yield _id(request, "AP", "appointment", self.appointments), "appointment"
        if activity in _VISITS and (visit := self._visit(line.at)):
            yield _id(request, "OS", "visit", visit), "visit"
        if self.quotes and activity in ("quoted", "quote_approved", "quote_declined"):
            yield _id(request, "", "quote", self.quotes), "quote"
        if (complaint := self._complaint(fact, activity)) is not None:
            yield _id(request, "", "complaint", complaint), "complaint"

    def _count(self, activity: str, at: datetime) -> None:
        self.offers += activity == "offered"
        self.appointments += activity in ("appointed", "rescheduled")
        self.quotes += activity == "quoted"
        for complaint in self.request.complaints[len(self.complaints) :][:1]:
            if (complaint.source, complaint.opened_at) == (_OPENED_BY.get(activity), at):
                self.complaints[complaint.id] = ComplaintState.open

    def _visit(self, at: datetime) -> int:
        """Which visit was the last that had begun."""
        return sum(visit.opened_at <= at for visit in self.request.visits)

    def _complaint(self, fact: Fact, activity: str) -> int | None:
        """Which complaint: the one named, or the oldest that fits, as the request takes it."""
        line = fact.line
        if activity.startswith(("complaint_escalation.", "complaint_contact.")):
            return int(line.data["subject"])
        if activity == "complaint_escalated":
            return int(line.data["complaint"])
        if activity == "complained":
            return max(self.complaints, default=None)
        if activity not in _AFTERWARDS:
            return None
        fits, after = _AFTERWARDS[activity]
        named = line.data.get("complaint")
        for id, state in sorted(self.complaints.items()):
            if state in fits and named in (None, id):
                self.complaints[id] = after
                return id
        return None


_OPENED_BY = {"received": "intake", "surveyed": "survey", "complained": "complaint"}
_UNSETTLED = (ComplaintState.open, ComplaintState.taken_over, ComplaintState.remedy_offered)
_AFTERWARDS = {
    "complaint_taken_over": ((ComplaintState.open,), ComplaintState.taken_over),
    "remedy_offered": (_UNSETTLED, ComplaintState.remedy_offered),
    "complaint_settled": (_UNSETTLED, ComplaintState.settled),
    "complaint_reopened": ((ComplaintState.settled,), ComplaintState.open),
}


def _things(
    request: ServiceRequest, happenings: Iterable[Happening], ring: KeyRing | None
) -> Iterator[Thing]:
    """Everything a request is about, the request itself first."""
    brief, number = request.brief, request.number
    parts = list(_parts(request))
    model = _model_id(ring, brief.product.model) if ring else None
    related = [(model, "concerns")] if model else []
    related += ((part.id, f"has {part.type}") for part in parts)
    station = f"station:{brief.station}" if brief.station else None
    if station:
        related.append((station, "served by"))
    said = {
        "type": request.request_type,
        "channel": brief.channel,
        "urgency": request.urgency,
        "service_type": request.service_type,
        "tier": brief.customer.tier,
        "repeat_fault": brief.repeat_fault,
        "outcome": request.outcome,
        "policy_version": brief.policy.version,
    }
    yield _thing(number, "request", request.received_at, said, related)
    yield from parts
    if model:
        yield _thing(model, "product_model", request.received_at, brief.product.model_dump(), [])
    if station:
        yield _thing(station, "station", request.received_at, {}, [])
    engineers = {engineer_id(offer.engineer) for offer in request.offers}
    engineers |= {id for happening in happenings for id, _ in happening.things if _is_engineer(id)}
    for engineer in sorted(engineers):
        yield _thing(engineer, "engineer", request.received_at, {}, [])


def _parts(request: ServiceRequest) -> Iterator[Thing]:
    if request.responded_at and ("WO/1" in request.numbers or request.has_work_order):
        said = {"status": request.status, "by_hand": any(o.by_hand for o in request.offers)}
        offers = [
            (_id(request, "", "offer", n + 1), "offered as") for n in range(len(request.offers))
        ]
        work_order = _id(request, "WO", "work_order", 1)
        yield _thing(work_order, "work_order", request.responded_at, said, offers)
    for n, offer in enumerate(request.offers, 1):
        said = {"state": offer.state, "by_hand": offer.by_hand}
        to = [(engineer_id(offer.engineer), "to")]
        yield _thing(_id(request, "", "offer", n), "offer", offer.offered_at, said, to)
    for n, appointment in enumerate(request.appointments, 1):
        said = appointment.model_dump(exclude={"reason"})
        with_ = [(engineer_id(e), "with") for e in [appointment.engineer] if e]
        id = _id(request, "AP", "appointment", n)
        yield _thing(id, "appointment", appointment.agreed_at, said, with_)
    for n, visit in enumerate(request.visits, 1):
        said = {"kind": visit.kind, "result": visit.result}
        by = [(engineer_id(e), "by") for e in [visit.engineer] if e]
        yield _thing(_id(request, "OS", "visit", n), "visit", visit.opened_at, said, by)
    for n, quote in enumerate(request.quotes, 1):
        said = {"state": quote.state, "total": quote.total}
        on = [(_id(request, "OS", "visit", quote.visit), "made on")] if quote.visit else []
        yield _thing(_id(request, "", "quote", n), "quote", quote.quoted_at, said, on)
    for complaint in request.complaints:
        said = {
            "class": complaint.complaint_class,
            "source": complaint.source,
            "state": complaint.state,
            "remedy": complaint.remedy_kind,
        }
        id = _id(request, "", "complaint", complaint.id)
        yield _thing(id, "complaint", complaint.opened_at, said, [])


def _thing(
    id: str,
    type: str,
    since: datetime,
    said: Mapping[str, Any],
    related: list[tuple[str, str]],
) -> Thing:
    return Thing(id, type, since, typed(said, OBJECT_ATTRIBUTES[type]), tuple(related))
