"""Requests told as short stories: `given(urgency="urgent").walked("accepted").passes("30m")`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import pytest

from domain.calendars import Calendar
from domain.clocks import Clock
from domain.effects import Effect, Entry, Tell
from domain.events import BaseEvent, parse_event
from domain.intake import EDITION, Brief
from domain.policy import Policy, read_policy
from domain.refusals import Refused
from domain.request import ServiceRequest
from domain.rules import Rule
from domain.values import parse_duration

START = datetime(2024, 5, 20, 1, 0, tzinfo=UTC)
"""When every story begins: a Monday, 09:00 in Shanghai."""

TOML = (Path(__file__).parents[2] / "policies" / "standard.toml").read_text(encoding="utf-8")
STANDARD = read_policy(TOML)
SECOND = timedelta(seconds=1)

ENGINEER = "E1"
SCORES = ("response", "professionalism", "attitude", "effect", "overall", "recommend")


def length(text: str) -> timedelta:
    """`1h30m` as a timedelta."""
    span = parse_duration(text)
    assert isinstance(span, timedelta)
    return span


def at(text: str) -> datetime:
    """So long after the story began."""
    return START + length(text)


def moment(when: str | datetime) -> datetime:
    return at(when) if isinstance(when, str) else when


def standard(*changes: tuple[str, str]) -> Policy:
    """The standard policy with pieces of its text replaced."""
    toml = TOML
    for old, new in changes:
        assert old in toml, old
        toml = toml.replace(old, new, 1)
    return read_policy(toml)


def scores(lowest: int = 5, of: str = "overall") -> dict[str, int]:
    return {**dict.fromkeys(SCORES, 5), of: lowest}


def brief(**changes: Any) -> Brief:
    """What intake hands over, with the changes a test is about."""
    tier = changes.pop("tier", "standard")
    product_class = changes.pop("product_class", "normal")
    return Brief.model_validate(
        {
            "number": "CR20240520-001",
            "received_at": START,
            "type": "repair",
            "channel": "phone",
            "urgency": "normal",
            "service_type": "on_site",
            "customer": {
                "name": "张*",
                "phone": "138****5678",
                "address": "上海市浦东新区***",
                "tier": tier,
            },
            "product": {"model": "KFR-35GW", "serial": "SN1", "product_class": product_class},
            "warranty": {"in_force": True, "until": "2026-01-01"},
            "policy": STANDARD,
            "prices": {"compressor": "480.00", "call-out": "50.00"},
            "edition": EDITION,
            **changes,
        }
    )


PAYLOADS: dict[str, dict[str, Any]] = {
    "responded": {},
    "plan_told": {"plan": "上门检查压缩机"},
    "answered": {"answer": "长按复位键三秒"},
    "reclassified": {"reason": "core function lost"},
    "assigned": {"engineer": "E9", "reason": "knows the model"},
    "accepted": {},
    "declined": {"reason": "too far"},
    "appointed": {"window_start": at("3h"), "window_end": at("5h")},
    "rescheduled": {
        "window_start": at("6h"),
        "window_end": at("8h"),
        "reason": "the customer asked",
    },
    "departed": {},
    "running_late": {"eta": at("5h30m")},
    "arrived": {},
    "no_show": {},
    "diagnosed": {"fault": "不制冷", "cause": "压缩机不启动", "remedy": "更换压缩机"},
    "quoted": {"lines": [{"item": "compressor"}, {"item": "call-out"}]},
    "quote_approved": {},
    "quote_declined": {"reason": "too expensive"},
    "parts_awaited": {"parts": [{"part": "compressor"}], "expected_on": "2024-05-23"},
    "parts_arrived": {},
    "visit_needed": {"reason": "the part must be fitted"},
    "depot_received": {},
    "shipped_back": {},
    "completed": {"test_result": "outlet 12 °C at 30 °C ambient"},
    "signed": {"signature": "张三"},
    "paid": {"amount": "530.00", "method": "scan"},
    "call_unanswered": {},
    "surveyed": {"scores": scores(), "channel": "phone"},
    "complained": {"class": "attitude", "text": "师傅态度不好"},
    "complaint_taken_over": {"actor": {"role": "supervisor", "id": "S1"}},
    "remedy_offered": {"remedy": "voucher", "value": "50"},
    "complaint_settled": {},
    "complaint_reopened": {"reason": "the voucher never came"},
    "held": {"reason": "on a business trip"},
    "resumed": {},
    "cancelled": {"reason": "bought a new one"},
    "noted": {"text": "the gate code is 1234"},
    "task_claimed": {
        "task": "CR20240520-001.respond.1",
        "actor": {"role": "agent", "id": "A1"},
    },
    "task_released": {"task": "CR20240520-001.respond.1"},
    "task_reassigned": {"task": "CR20240520-001.respond.1", "to": "A2", "reason": "off shift"},
    "breach_called": {"rule": "first_response", "actor": {"role": "supervisor", "id": "S1"}},
}
"""A valid payload of every event; an engineer or a new urgency is added by `event`."""

REPAIR = (
    "responded",
    "offered",
    "accepted",
    "appointed",
    "arrived",
    "diagnosed",
    "completed",
    "signed",
    "surveyed",
)
"""An ordinary repair; `offered` is what the matching does."""


def event(name: str, **payload: Any) -> BaseEvent:
    """An event with a valid payload, but for what is given."""
    content = {"id": str(uuid4()), "type": name, **PAYLOADS[name], **payload}
    if name in ("accepted", "declined"):
        content = {"engineer": ENGINEER, **content}
    if name == "reclassified" and "request_type" not in content:
        content = {"urgency": "urgent", **content}
    parsed: BaseEvent = parse_event(content)
    return parsed


STORIES: list["Story"] = []
"""Every story that the present test tells."""


class Story:
    """A request, the time it has reached, what it was sent and what it asked the outside to do."""

    def __init__(self, **changes: Any) -> None:
        self.request, self.effects = ServiceRequest.receive(brief(**changes))
        self.now = self.request.received_at
        self.sent: list[BaseEvent] = []
        STORIES.append(self)

    def did(self, name: str, at: str | datetime | None = None, **payload: Any) -> Self:
        """Something was reported and taken; other times may be given as times of the story, too."""
        return self._keep(self.request.apply(self._event(name, at, payload), self.now))

    def heard(self, name: str, at: str | datetime | None = None, **payload: Any) -> Self:
        """Something was reported by signal."""
        return self._keep(self.request.hear(self._event(name, at, payload), self.now))

    def refused(self, name: str, at: str | datetime | None = None, **payload: Any) -> str:
        """The code with which this is refused."""
        with pytest.raises(Refused) as refused:
            self.request.apply(self._event(name, at, payload), self.now)
        assert refused.value.reason
        return refused.value.code

    def offered(self, engineer: str | None = ENGINEER, at: str | datetime | None = None) -> Self:
        """The matching found someone, or nobody."""
        self._at(at)
        return self._keep(self.request.offer(engineer, self.now))

    def passes(self, until: str | datetime) -> Self:
        """Nobody acts until then."""
        self._at(until)
        return self._keep(self.request.tick(self.now))

    def walked(self, last: str, **payloads: dict[str, Any]) -> Self:
        """The ordinary repair up to and including a step, all at the present moment."""
        done = REPAIR.index(last) + 1
        for name in REPAIR[:done]:
            if name == "offered":
                self.offered()
            else:
                self.did(name, **payloads.get(name, {}))
        return self

    def reloaded(self) -> Self:
        """The request as it comes back from the wire."""
        self.request = ServiceRequest.model_validate_json(self.request.model_dump_json())
        return self

    def clock(self, rule: str, subject: str = "") -> Clock:
        clock = self.request.clock(Rule(rule), subject)
        assert clock is not None, f"no {rule} clock"
        return clock

    def state_of(self, rule: str, subject: str = "") -> str:
        return self.clock(rule, subject).reading(self.now).state.value

    def spent_on(self, rule: str, subject: str = "") -> timedelta:
        return self.clock(rule, subject).spent(self.now)

    @property
    def stage(self) -> str:
        return self.request.stage.value

    @property
    def lines(self) -> list[Entry]:
        """The timeline."""
        return [effect for effect in self.effects if isinstance(effect, Entry)]

    @property
    def tells(self) -> list[Tell]:
        """Every message so far."""
        return [effect for effect in self.effects if isinstance(effect, Tell)]

    def told(self, message: str, rule: str | None = None) -> list[Tell]:
        """The messages of this kind."""
        return [t for t in self.tells if t.message == message and rule in (None, t.rule)]

    def happened(self, name: str) -> list[Entry]:
        """The lines of the timeline with this name."""
        return [line for line in self.lines if line.name == name]

    def _event(self, name: str, when: str | datetime | None, payload: dict[str, Any]) -> BaseEvent:
        self._at(when)
        for time in ("occurred_at", "heard_at"):
            if isinstance(payload.get(time), str):
                payload = {**payload, time: at(payload[time])}
        if name in ("accepted", "declined") and (offer := self.request.open_offer):
            payload = {"engineer": offer.engineer, **payload}
        self.sent.append(event(name, **payload))
        return self.sent[-1]

    def _at(self, when: str | datetime | None) -> None:
        if when is not None:
            self.now = moment(when)

    def _keep(self, effects: list[Effect]) -> Self:
        self.effects += effects
        return self


def given(**changes: Any) -> Story:
    """A request was received."""
    return Story(**changes)


def working_days(*days: int, hours: tuple[tuple[int, int], ...] = ((0, 24),)) -> Calendar:
    """Windows on these local (Shanghai) days after the story's first one."""
    midnight = int((START - timedelta(hours=9)).timestamp())
    return Calendar(
        windows=tuple(
            (midnight + day * 86400 + opens * 3600, midnight + day * 86400 + closes * 3600)
            for day in days
            for opens, closes in hours
        )
    )
