"""What people owe on a request: its human tasks (待办), told from the request alone.

A task opens when somebody owes something and closes when the event arrives that settles it, or
when the request goes another way; nobody ticks one off. Who has it is a claim, and a claim is an
event like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from .clocks import Clock
from .events import TaskClaimed
from .refusals import Refused
from .rules import Rule
from .state import Complaint, Person
from .values import State
from .vocabulary import AppointmentState, ComplaintState, RequestType, Role, Stage, TaskKind

if TYPE_CHECKING:
    from .request import ServiceRequest


Clocks = tuple[Clock, ...]

_ID = re.compile(r"[A-Z]{2}[0-9]{8}-[0-9]{3,9}\.[a-z_]{1,40}\.[0-9.]{1,20}")


class HumanTask(State):
    """Something that a person owes on a request.

    Attributes:
        id: `CR20240520-001.accept.2`: the request, the kind, and which of that kind.
        role: who may take it, besides those above them.
        assignee: who claimed it, or whose it is without a claim: the engineer of the work, the
            owner of the complaint.
        due_at: the earliest of its promises; None: nothing is promised, or its clocks rest.
        rules: the promises that it keeps; for a call, the one that was broken.
        subject: the offer or complaint it is about.
    """

    id: str
    number: str
    kind: TaskKind
    role: Role
    assignee: Person | None = None
    due_at: datetime | None = None
    rules: list[Rule] = []
    subject: str = ""
    opened_at: datetime
    claimed_at: datetime | None = None


class StoredTask(HumanTask):
    """A task as last written down, and how it ended.

    Attributes:
        closed_by, closed_with: the id and the type of the event that closed it; None: the task is
            open, or the request went another way by itself.
    """

    station: str | None = None
    closed_at: datetime | None = None
    closed_by: str | None = None
    closed_with: str | None = None


class Occurrence(NamedTuple):
    """One thing owed now.

    Attributes:
        serial: tells it apart from others of its kind on the request, for ever.
        role: who owes it, where that is not the kind's own role.
        owner: whose it is without a claim.
    """

    serial: str
    since: datetime
    due_at: datetime | None
    clocks: Clocks = ()
    subject: str = ""
    role: Role | None = None
    owner: Person | None = None


class Owed(NamedTuple):
    """An open task, and the clocks that run for it."""

    task: HumanTask
    clocks: Clocks
    owner: Person | None


@dataclass(frozen=True)
class Duty:
    """A kind of task.

    Attributes:
        role: who owes it.
        rules: the promises that it keeps, or is about.
        closed_by: the events that settle it, the usual one first.
        found: the occurrences that a request has now, given the live clocks of these rules.
    """

    role: Role
    rules: tuple[Rule, ...]
    closed_by: tuple[str, ...]
    found: Callable[[ServiceRequest, Clocks], Iterator[Occurrence]]


ABOVE: dict[Role, frozenset[Role]] = {
    Role.supervisor: frozenset({Role.agent, Role.dispatcher, Role.engineer}),
    Role.manager: frozenset({Role.agent, Role.dispatcher, Role.engineer, Role.supervisor}),
}
"""Whose tasks a role may take besides its own."""


def open_tasks(request: ServiceRequest) -> list[HumanTask]:
    """Every task that is open on the request now."""
    return [owed.task for owed in owing(request)]


def owing(request: ServiceRequest) -> list[Owed]:
    """The same, with their clocks."""
    return [_owed(request, kind, found) for kind, found in _occurrences(request)]


def is_owed(request: ServiceRequest, kind: TaskKind | None = None) -> bool:
    """Whether a task of this kind, or any, is open; cheaper than to list them."""
    return any(kind in (None, each) for each, _ in _occurrences(request))


def _occurrences(request: ServiceRequest) -> Iterator[tuple[TaskKind, Occurrence]]:
    if request.is_closed:
        return
    live = request.live_clocks
    for kind, duty in DUTIES.items():
        its = tuple(clock for clock in live if clock.rule in duty.rules)
        for found in duty.found(request, its):
            yield kind, found


def find(request: ServiceRequest, task: str) -> Owed:
    """The open task with this id.

    Raises:
        Refused: there is none (`task_not_open`).
    """
    for owed in owing(request):
        if owed.task.id == task:
            return owed
    raise Refused("task_not_open", task=task)


def call_owed(request: ServiceRequest, rule: Rule, subject: str | None) -> Owed:
    """The open task to call the customer about a breach of this rule; by default the oldest.

    Raises:
        Refused: there is none (`no_call_owed`).
    """
    for owed in owing(request):
        task = owed.task
        is_call = task.kind is TaskKind.call_about_a_breach and rule in task.rules
        if is_call and subject in (None, task.subject):
            return owed
    raise Refused("no_call_owed", rule=rule)


def attended(request: ServiceRequest) -> list[Clock]:
    """The clocks whose task, or the call about whose breach, somebody has claimed."""
    if not request.claims:
        return []
    return [
        clock for owed in owing(request) if owed.task.id in request.claims for clock in owed.clocks
    ]


def may_take(role: Role, task: HumanTask) -> bool:
    """Whether someone of this role may have the task."""
    return role is task.role or task.role in ABOVE.get(role, ())


def is_above(role: Role, other: Role) -> bool:
    """Whether those of a role may step in for those of another."""
    return other in ABOVE.get(role, ())


def claimant(event: TaskClaimed, task: HumanTask) -> Person:
    """For whom the task is claimed: for whoever reports it, unless they name somebody.

    Raises:
        Refused: nobody is named, and no person reports it (`task_person_missing`).
    """
    actor = event.actor
    if event.assignee is not None and (actor is None or event.assignee != actor.id):
        return Person(role=task.role, id=event.assignee)
    if actor is None or actor.role is Role.integration:
        raise Refused("task_person_missing")
    return Person(role=actor.role, id=actor.id)


def is_task(text: str) -> bool:
    """Whether a text looks like a task's id."""
    return _ID.fullmatch(text) is not None


def number_of(task: str) -> str:
    """The number of the request that a task's id names."""
    return task.partition(".")[0]


def _owed(request: ServiceRequest, kind: TaskKind, found: Occurrence) -> Owed:
    id = f"{request.number}.{kind}.{found.serial}"
    claim = request.claims.get(id)
    task = HumanTask(
        id=id,
        number=request.number,
        kind=kind,
        role=found.role or DUTIES[kind].role,
        assignee=claim.who if claim else found.owner,
        due_at=found.due_at,
        rules=[clock.rule for clock in found.clocks],
        subject=found.subject,
        opened_at=found.since,
        claimed_at=claim.at if claim else None,
    )
    return Owed(task, found.clocks, found.owner)


# --- how each kind is found -----------------------------------------------------------------------

Since = Callable[["ServiceRequest"], datetime | None]
Found = Callable[["ServiceRequest", Clocks], Iterator[Occurrence]]


def _promised(
    since: Since = lambda request: None,
    *,
    serial: Callable[[ServiceRequest], int] = lambda request: 1,
    owner: Callable[[ServiceRequest], Person | None] = lambda request: None,
) -> Found:
    """Owed while one of its promises runs, and `since` a moment even where none was made."""

    def found(request: ServiceRequest, clocks: Clocks) -> Iterator[Occurrence]:
        moments = [*(clock.events[0].at for clock in clocks), since(request)]
        if began := [moment for moment in moments if moment is not None]:
            which, whose = str(serial(request)), owner(request)
            yield Occurrence(which, min(began), _due(clocks), clocks, owner=whose)

    return found


def _due(clocks: Clocks) -> datetime | None:
    return min((clock.due_at for clock in clocks if clock.due_at), default=None)


def _engineer(request: ServiceRequest) -> Person | None:
    return Person(role=Role.engineer, id=request.engineer) if request.engineer else None


def _unheard(request: ServiceRequest) -> datetime | None:
    waits = request.stage is Stage.response and request.responded_at is None
    return request.received_at if waits else None


def _unanswered(request: ServiceRequest) -> datetime | None:
    asks = request.request_type is RequestType.consultation
    return request.received_at if asks and request.stage is Stage.response else None


def _without_appointment(request: ServiceRequest) -> datetime | None:
    if request.stage is not Stage.appointment:
        return None
    accepted = request.offers[-1].closed_at if request.offers else None
    lost = request.visits[-1].ended_at if request.visits else None
    return max((moment for moment in (accepted, lost) if moment), default=request.moved_at)


def _next_window(request: ServiceRequest) -> int:
    return len(request.appointments) + 1


def _expected(request: ServiceRequest) -> datetime | None:
    """A window stands, and the engineer has still to come."""
    window = request.standing_appointment
    comes = request.stage is Stage.service and request.is_on_site and not request.at_depot
    return window.agreed_at if window and comes else None


def _windows_over(request: ServiceRequest) -> int:
    """A window that moved is the same visit."""
    still = (AppointmentState.standing, AppointmentState.rescheduled)
    return 1 + sum(window.state not in still for window in request.appointments)


def _unfinished(request: ServiceRequest) -> datetime | None:
    working = (Stage.dispatch, Stage.appointment, Stage.service)
    return request.responded_at if request.stage in working else None


def _at_depot(request: ServiceRequest) -> datetime | None:
    return request.moved_at if request.at_depot and _unfinished(request) else None


def _depot_stays(request: ServiceRequest) -> int:
    return max(1, sum(clock.rule is Rule.depot_repair for clock in request.clocks))


def _unsigned(request: ServiceRequest) -> datetime | None:
    waits = request.stage is Stage.sign_off and request.signed_at is None
    return request.completed_at if waits else None


def _unpaid(request: ServiceRequest) -> datetime | None:
    waits = request.stage is Stage.sign_off and request.bill.owed > 0
    return request.signed_at if waits else None


def _unsurveyed(request: ServiceRequest) -> datetime | None:
    waits = request.stage is Stage.revisit and request.survey is None
    return request.completed_at or request.responded_at if waits else None


def _by_hand(request: ServiceRequest, clocks: Clocks) -> Iterator[Occurrence]:
    """Before that the matching owes the offer, and a machine claims nothing."""
    if request.needs_dispatcher:
        last = request.offers[-1].closed_at if request.offers else request.responded_at
        serial = str(len(request.offers) + 1)
        yield Occurrence(serial, last or request.moved_at, _due(clocks), clocks)


def _offered(request: ServiceRequest, clocks: Clocks) -> Iterator[Occurrence]:
    if offer := request.open_offer:
        serial = str(len(request.offers))
        its = _about(serial, clocks)
        owner = Person(role=Role.engineer, id=offer.engineer)
        yield Occurrence(serial, offer.offered_at, _due(its), its, serial, owner=owner)


def _complaints(*states: ComplaintState) -> Found:
    """Owed for each complaint in one of these states."""

    def found(request: ServiceRequest, clocks: Clocks) -> Iterator[Occurrence]:
        for complaint in request.complaints:
            if complaint.state in states:
                subject = str(complaint.id)
                its = _about(subject, clocks)
                yield Occurrence(
                    _again(subject, len(complaint.reopened)),
                    complaint.opened_at,
                    _due(its),
                    its,
                    subject,
                    complaint.owner_role,
                    _owner(complaint),
                )

    return found


def _about(subject: str, clocks: Clocks) -> Clocks:
    return tuple(clock for clock in clocks if clock.subject == subject)


def _owner(complaint: Complaint) -> Person | None:
    return Person(role=complaint.owner_role, id=complaint.owner) if complaint.owner else None


def _calls(request: ServiceRequest, clocks: Clocks) -> Iterator[Occurrence]:
    """Whoever was told last that a promise is broken calls the customer about it (S1 2.5)."""
    for place, clock in enumerate(request.clocks, 1):
        if clock.is_live and (told := clock.call_owed):
            serial = _again(str(place), clock.calls_over)
            yield Occurrence(serial, told.at, told.at, (clock,), clock.subject, told.told)


def _again(serial: str, times: int) -> str:
    """What was over and comes again has a serial of its own."""
    return f"{serial}.{times + 1}" if times else serial


DUTIES: dict[TaskKind, Duty] = {
    TaskKind.respond: Duty(
        Role.agent, (Rule.first_response,), ("responded", "answered"), _promised(_unheard)
    ),
    TaskKind.answer: Duty(Role.agent, (Rule.consultation,), ("answered",), _promised(_unanswered)),
    TaskKind.tell_plan: Duty(Role.agent, (Rule.solution_feedback,), ("plan_told",), _promised()),
    TaskKind.dispatch_by_hand: Duty(Role.dispatcher, (Rule.dispatch,), ("assigned",), _by_hand),
    TaskKind.accept: Duty(Role.engineer, (Rule.accept,), ("accepted", "declined"), _offered),
    TaskKind.agree_appointment: Duty(
        Role.engineer,
        (Rule.appointment_call, Rule.appointment),
        ("appointed",),
        _promised(_without_appointment, serial=_next_window, owner=_engineer),
    ),
    TaskKind.arrive: Duty(
        Role.engineer,
        (Rule.arrival, Rule.on_site),
        ("arrived", "no_show"),
        _promised(_expected, serial=_windows_over, owner=_engineer),
    ),
    TaskKind.complete: Duty(
        Role.engineer,
        (Rule.resolution,),
        ("completed",),
        _promised(_unfinished, owner=_engineer),
    ),
    TaskKind.repair_at_depot: Duty(
        Role.engineer,
        (Rule.depot_repair,),
        ("shipped_back",),
        _promised(_at_depot, serial=_depot_stays, owner=_engineer),
    ),
    TaskKind.sign: Duty(
        Role.engineer, (Rule.sign_off,), ("signed",), _promised(_unsigned, owner=_engineer)
    ),
    TaskKind.collect_payment: Duty(
        Role.engineer, (), ("paid",), _promised(_unpaid, owner=_engineer)
    ),
    TaskKind.revisit: Duty(Role.agent, (Rule.revisit,), ("surveyed",), _promised(_unsurveyed)),
    TaskKind.take_over_complaint: Duty(
        Role.supervisor,
        (Rule.complaint_escalation,),
        ("complaint_taken_over", "remedy_offered", "complaint_settled"),
        _complaints(ComplaintState.open),
    ),
    TaskKind.offer_remedy: Duty(
        Role.supervisor,
        (Rule.complaint_contact,),
        ("remedy_offered", "complaint_settled"),
        _complaints(ComplaintState.open, ComplaintState.taken_over),
    ),
    TaskKind.settle_complaint: Duty(
        Role.supervisor, (), ("complaint_settled",), _complaints(ComplaintState.remedy_offered)
    ),
    TaskKind.call_about_a_breach: Duty(Role.supervisor, tuple(Rule), ("breach_called",), _calls),
}
"""Every kind of task: who owes it, what settles it, how it is found."""

if set(DUTIES) != set(TaskKind):
    raise RuntimeError(f"kinds without a duty: {set(TaskKind) - set(DUTIES)}")
