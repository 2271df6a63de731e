"""Requests on random journeys: events in any order, late news, silence, matching, signals."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import strategies as st

from domain.effects import Effect
from domain.events import EVENTS, BaseEvent
from domain.intake import EDITION, Brief
from domain.refusals import Refused
from domain.request import ServiceRequest
from domain.todo import open_tasks
from domain.vocabulary import RequestType, Role, TaskKind, Urgency
from tests.pure.builders import STANDARD, brief, event, scores, working_days

NAMES = list(EVENTS)
ONWARD = [
    *("responded", "answered", "accepted", "appointed", "departed", "arrived", "diagnosed"),
    *("quoted", "quote_approved", "depot_received", "shipped_back", "completed", "signed", "paid"),
    *("surveyed", "parts_arrived", "resumed"),
    *("complaint_taken_over", "remedy_offered", "complaint_settled"),
]
"""What brings a request nearer to its end."""
CALENDAR = working_days(*(d for d in range(400) if d % 7 < 5), hours=((9, 12), (13, 18)))
JUMPS = [0, 0, 1, 1, 60, 60, 299, 300, 600, 900, 3600, 7200, 86400, 3 * 86400]
LAGS = [None, None, None, 0, 1, 300, 5000, -60]


WHATS = ["onward"] * 12 + ["allowed"] * 3 + ["heard"] * 2 + ["any", "offered", "nobody", "silence"]


class Step(NamedTuple):
    """`jump` seconds pass; then something happens, `lag` seconds before we hear of it."""

    jump: int
    what: str
    pick: int
    lag: int | None


steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(JUMPS),
        st.sampled_from(WHATS),
        st.integers(0, 10_000),
        st.sampled_from(LAGS),
    ),
    min_size=15,
    max_size=40,
)

briefs = st.builds(
    lambda kind, urgency, service, tier, in_force, edition: brief(
        type=kind,
        urgency=urgency,
        service_type=service,
        tier=tier,
        warranty={"in_force": in_force},
        calendar=CALENDAR,
        policy=STANDARD,
        edition=edition,
    ),
    st.sampled_from(["repair"] * 8 + ["consultation", "complaint", "maintenance"]),
    st.sampled_from([u.value for u in Urgency]),
    st.sampled_from(["on_site", "on_site", "remote"]),
    st.sampled_from(["standard", "vip", "contract", "contract_8h"]),
    st.sampled_from([True, False, None]),
    st.sampled_from([1, EDITION, EDITION]),
)


class Journey:
    """A request and the time it has reached."""

    def __init__(self, start: Brief) -> None:
        self.request, self.effects = ServiceRequest.receive(start)
        self.now = start.received_at
        self.events = 0
        self.applied: list[BaseEvent] = []

    def go(self, step: Step) -> Refused | None:
        """Take one step; what was refused, if anything."""
        self.now += timedelta(seconds=step.jump)
        request = self.request
        if step.what == "onward" and request.seeks_engineer:
            step = step._replace(what="offered")
        try:
            match step.what:
                case "silence":
                    self._keep(request.tick(self.now))
                case "offered":
                    self._keep(request.offer(f"E{step.pick % 5}", self.now))
                case "nobody":
                    self._keep(request.offer(None, self.now))
                case "heard":
                    self._keep(request.hear(self.event(step), self.now))
                case _:
                    sent = self.event(step)
                    self._keep(request.apply(sent, self.now))
                    self.applied.append(sent)
        except Refused as refused:
            return refused
        return None

    def event(self, step: Step) -> BaseEvent:
        """The event that a step picks, with a payload that fits the moment."""
        allowed = self.request.allowed_events
        names = NAMES
        if step.what == "onward":
            names = [name for name in ONWARD if name in allowed] or allowed or NAMES
        elif step.what == "allowed":
            seldom = ["cancelled"] if step.pick % 4 != 3 else []  # or few requests would get far
            names = [name for name in allowed if name not in seldom] or NAMES
        name = names[step.pick % len(names)]
        self.events += 1
        lag = None if step.lag is None else self.now - timedelta(seconds=step.lag)
        happened, heard = (None, lag) if step.pick % 3 == 0 else (lag, None)
        return event(
            name,
            id=str(UUID(int=self.events)),
            occurred_at=happened,
            heard_at=heard,
            **_payload(self.request, name, step.pick // len(names), self.now),
        )

    def twin(self) -> "Journey":
        """The same journey with the request read back from the wire."""
        twin = object.__new__(Journey)
        twin.request = ServiceRequest.model_validate_json(self.request.model_dump_json())
        twin.effects, twin.now = [], self.now
        twin.events, twin.applied = self.events, list(self.applied)
        return twin

    def _keep(self, effects: list[Effect]) -> None:
        self.effects += effects


def journeys(start: Brief, path: list[Step]) -> Iterator[tuple[Journey, Refused | None]]:
    """The journey after each of its steps."""
    journey = Journey(start)
    for step in path:
        yield journey, journey.go(step)


def arrived(start: Brief, path: list[Step]) -> Journey:
    """The journey after its last step."""
    journey = Journey(start)
    for step in path:
        journey.go(step)
    return journey


def _payload(request: ServiceRequest, name: str, pick: int, now: datetime) -> dict[str, Any]:
    match name:
        case "accepted" | "declined":
            offer = request.open_offer
            return {"engineer": offer.engineer if offer and pick % 5 else f"E{pick % 7}"}
        case "assigned":
            return {"engineer": f"E{pick % 7}"}
        case "appointed" | "rescheduled":
            opens = now + timedelta(minutes=(pick % 40 - 4) * 30)
            return {"window_start": opens, "window_end": opens + timedelta(hours=1 + pick % 3)}
        case "reclassified" if pick % 3:
            return {"urgency": list(Urgency)[pick % 3]}
        case "reclassified":
            return {"request_type": list(RequestType)[pick % 6], "urgency": None}
        case "held" if pick % 2:
            return {"until": now + timedelta(minutes=pick % 500)}
        case "paid" if pick % 4:
            return {"amount": max(request.bill.owed, 1)}
        case "surveyed":
            return {"scores": scores(1 + pick % 5)}
        case "task_claimed" | "task_released" | "task_reassigned":
            tasks = open_tasks(request)
            task = tasks[pick % len(tasks)] if tasks else None
            if name == "task_released" and request.claims and pick % 5:
                claimed = sorted(request.claims)
                task = next(t for t in tasks if t.id == claimed[pick % len(claimed)])
            who = {"role": task.role if task and pick % 7 else Role.manager, "id": f"P{pick % 3}"}
            if task and task.assignee:
                who["id"] = task.assignee.id
            if name == "task_reassigned":
                who["role"] = Role.manager
            more = {"to": f"P{pick % 4}"} if name == "task_reassigned" else {}
            return {"task": task.id if task else "none", "actor": who, **more}
        case "breach_called":
            calls = [t for t in open_tasks(request) if t.kind is TaskKind.call_about_a_breach]
            if not calls:
                return {}
            call = calls[pick % len(calls)]
            actor = {"role": Role.manager, "id": "M1"}
            return {"rule": call.rules[0], "subject": call.subject or None, "actor": actor}
        case "complained" | "noted" | _:
            return {}
