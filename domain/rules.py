"""The standard's timing rules that belong to one request: what starts and stops each clock.

Durations are not here: they are the policy's (`policies/standard.toml`).
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from .vocabulary import Role


class Rule(StrEnum):
    """A timing rule of the service standard, section 2."""

    first_response = "first_response"
    solution_feedback = "solution_feedback"
    dispatch = "dispatch"
    accept = "accept"
    appointment_call = "appointment_call"
    appointment = "appointment"
    arrival = "arrival"
    on_site = "on_site"
    resolution = "resolution"
    depot_repair = "depot_repair"
    sign_off = "sign_off"
    revisit = "revisit"
    complaint_escalation = "complaint_escalation"
    complaint_contact = "complaint_contact"
    consultation = "consultation"


@dataclass(frozen=True)
class Promise:
    """What a rule promises.

    Attributes:
        zh: the source's term.
        source: where the rule stands.
        starts: the moments that start its clock; an event's type or one of `MOMENTS`.
        stops: the moments that stop it.
        owed_by: the role that must act.
        subject: the promise is made per offer or complaint rather than per request.
    """

    zh: str
    source: str
    starts: frozenset[str]
    stops: frozenset[str]
    owed_by: Role
    subject: bool = False


def _promise(
    zh: str, source: str, starts: str, stops: str, owed_by: Role, *, subject: bool = False
) -> Promise:
    return Promise(
        zh, source, frozenset(starts.split()), frozenset(stops.split()), owed_by, subject
    )


MOMENTS = {
    "received": "the request came in",
    "work_order_created": "the first response made a work order",
    "offered": "the work was offered to an engineer",
    "window_agreed": "a visit window was agreed or changed",
    "appointment_lost": "an appointment fell away and a new one is needed",
    "dissatisfied": "a low score, a negative remark or a complaint",
}
"""What can start or stop a clock besides an event of the same name."""

PROMISES: dict[Rule, Promise] = {
    Rule.first_response: _promise(
        "响应需求", "S1 2.1", "received", "responded answered", Role.agent
    ),
    Rule.solution_feedback: _promise("反馈方案", "S1 2.1", "received", "plan_told", Role.agent),
    Rule.dispatch: _promise("触发派单", "S1 2.2", "work_order_created", "offered", Role.dispatcher),
    Rule.accept: _promise(
        "确认接收", "S1 2.2", "offered", "accepted declined", Role.engineer, subject=True
    ),
    Rule.appointment_call: _promise(
        "预约", "S1 2.3", "accepted appointment_lost", "appointed", Role.engineer
    ),
    Rule.appointment: _promise("完成预约", "S1 1", "received", "appointed", Role.engineer),
    Rule.arrival: _promise("上门准时", "S1 2.4", "window_agreed", "arrived", Role.engineer),
    Rule.on_site: _promise("到达现场", "S2, S3", "received", "arrived", Role.engineer),
    Rule.resolution: _promise("修复", "S2, S3", "received", "completed", Role.engineer),
    Rule.depot_repair: _promise("送修", "S3", "depot_received", "shipped_back", Role.engineer),
    Rule.sign_off: _promise("确认签字", "S1 2.5", "completed", "signed", Role.engineer),
    Rule.revisit: _promise("回访", "S1 2.6", "completed answered", "surveyed", Role.agent),
    Rule.complaint_escalation: _promise(
        "转交售后主管",
        "S1 2.6",
        "dissatisfied",
        "complaint_taken_over",
        Role.supervisor,
        subject=True,
    ),
    Rule.complaint_contact: _promise(
        "致歉并给出方案",
        "S1 2.6",
        "dissatisfied",
        "remedy_offered",
        Role.supervisor,
        subject=True,
    ),
    Rule.consultation: _promise("咨询响应", "S2, S4", "received", "answered", Role.agent),
}

AFTERMATH: dict[Rule, str] = {
    Rule.first_response: "jumps_queue",
    Rule.dispatch: "dispatch_by_hand",
    Rule.accept: "next_engineer",
    Rule.complaint_escalation: "manager_takes_over",
}
"""What a breach does besides telling someone (section 2, "on breach")."""

TARGETS: dict[Rule, float] = {Rule.arrival: 0.95, Rule.revisit: 0.9}
"""The share of promises that an organisation wants kept (S1 2.4, 2.6)."""


CALLERS = frozenset({Role.dispatcher, Role.supervisor, Role.manager})
"""Who, when told of a broken promise, calls the customer about it (S1 2.5)."""


@cache
def starting(moment: str) -> tuple[Rule, ...]:
    """The rules whose clocks `moment` starts."""
    return tuple(rule for rule, promise in PROMISES.items() if moment in promise.starts)


@cache
def stopping(moment: str) -> tuple[Rule, ...]:
    """The rules whose clocks `moment` stops."""
    return tuple(rule for rule, promise in PROMISES.items() if moment in promise.stops)
