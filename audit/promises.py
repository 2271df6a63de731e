"""Every promise judged again, from what happened alone.

This is a second opinion: the time that counted is added up here, by the constraints of
`audit/constraints.py`, and shares no code with the clocks. What the request itself made of the
same facts is then compared with it. Judged under another policy, the same facts say what would
have been broken and what not.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from audit.constraints import CONSTRAINTS, ZERO, Constraint, Hours, Json, Rules
from audit.facts import Fact, Place, Told
from domain.events import ASIDE

Proof = Literal["started", "breached", "ended"]

Span = tuple[datetime, datetime]
"""A time that began and ended."""


class Standing(StrEnum):
    """How a promise stands."""

    running = "running"
    paused = "paused"
    kept = "kept"
    late = "late"
    breached = "breached"
    cancelled = "cancelled"


@dataclass
class Promise:
    """One promise made to one customer, and what became of it.

    Attributes:
        subject: which offer or complaint, counted from 1; empty: the request.
        who: the person who owed it where that is known: an engineer, or who took a complaint over.
        goal: the time allowed, as it was last.
        started, ended: the facts that began and ended it; retargeted: when the goal last changed.
        spent: how much of its time counted while it ran, up to `since` if it still does.
        ran: when it ran, up to `since`.
        due_at: when that time was up; None: it rests, or beyond the known working days.
        breached_at: when it was broken; noticed_at: when the platform noticed.
        overrun: how much longer than promised it took or takes.
        platform_late: how much of that the platform was down for and noticed nothing; the rest of
            the overrun is a person's.
    """

    constraint: Constraint
    subject: str
    goal: timedelta
    warn_at: float
    ladder: tuple[timedelta, ...]
    rests_on_hold: bool
    hours: Hours
    started: Fact
    started_at: datetime
    since: datetime | None
    last_start: datetime
    owed_by: str
    who: str | None = None
    spent: timedelta = ZERO
    spent_before: timedelta = ZERO
    ran: list[Span] = field(default_factory=list)
    retargeted_at: datetime | None = None
    warned: Fact | None = None
    breached: Fact | None = None
    breached_at: datetime | None = None
    ended: Fact | None = None
    ended_at: datetime | None = None
    answered: bool = False
    overrun: timedelta = ZERO
    platform_late: timedelta = ZERO

    @property
    def rule(self) -> str:
        """Which timing rule promised it."""
        return self.constraint.rule

    @property
    def is_live(self) -> bool:
        """Neither answered nor dropped."""
        return self.ended_at is None

    @property
    def due_at(self) -> datetime | None:
        """When its time is up, or was."""
        return self.when(self.goal)

    @property
    def noticed_at(self) -> datetime | None:
        """When the platform noticed that it was broken."""
        return self.breached.line.recorded_at if self.breached else None

    @property
    def person_late(self) -> timedelta:
        """How much of the overrun is a person's."""
        return self.overrun - self.platform_late

    @property
    def met_by(self) -> str | None:
        """Who ended it, such as `engineer E-7`; None: nobody, or nobody said who."""
        line = self.ended.line if self.ended and self.answered else None
        return f"{line.actor_role} {line.actor_id}" if line and line.actor_role else None

    @property
    def standing(self) -> Standing:
        """The verdict."""
        if self.answered:
            due = self.due_at
            late = self.spent > self.goal or (due is not None and self.ended_at > due)  # type: ignore[operator]
            return Standing.late if late else Standing.kept
        if self.breached_at is not None:
            return Standing.breached
        if not self.is_live:
            return Standing.cancelled
        return Standing.paused if self.since is None else Standing.running

    @property
    def evidence(self) -> dict[Proof, Place]:
        """Where the history says so."""
        shown: dict[Proof, Fact | None] = {
            "started": self.started,
            "breached": self.breached,
            "ended": self.ended,
        }
        return {name: fact.place for name, fact in shown.items() if fact}

    def when(self, amount: timedelta) -> datetime | None:
        """When so much of its time has counted; None: it rests, or beyond the known days."""
        if self.since is None and self.is_live:
            return None
        before = self.spent if self.since is not None else self.spent_before
        return self.hours.after(self.last_start, max(amount - before, ZERO))

    def breaks_at(self) -> datetime | None:
        """When it breaks if nobody acts: a goal that was past when it was set breaks at once."""
        due = self.due_at
        if due is not None and self.retargeted_at is not None:
            return max(due, self.retargeted_at)
        return due

    def overdue(self, until: datetime) -> Iterator[Span]:
        """When it ran although its time was up. While it rests, nobody is late with it."""
        left = self.goal
        for began, ended in self.ran if self.since is None else [*self.ran, (self.since, until)]:
            counted = self.hours.within(began, ended)
            up = self.hours.after(began, left) if counted > left else None
            if up is not None:
                yield up, ended
            left = max(left - counted, ZERO)

    # --- moved by what happens ------------------------------------------------------------------

    def reach(self, at: datetime) -> None:
        """Let time pass up to just before `at`."""
        breaks = self.breaks_at() if self.is_live else None
        if breaks is not None and self.breached_at is None and breaks < at:
            self.breached_at = breaks

    def rest(self, at: datetime) -> None:
        """From `at` on its time does not count."""
        self.reach(at)
        self.spent_before = self.spent
        if self.since is not None:
            self.spent += self.hours.within(self.since, at)
            self.ran.append((self.since, at))
        else:
            self.last_start = at
        self.since = None

    def go_on(self, at: datetime) -> None:
        """From `at` on its time counts again."""
        self.since = self.last_start = at
        self.ended = self.ended_at = None
        self.answered = False

    def end(self, at: datetime, by: Fact, *, answered: bool) -> None:
        """It is answered, or dropped."""
        self.rest(at)
        self.ended_at, self.ended, self.answered = at, by, answered

    def retarget(self, at: datetime, goal: timedelta) -> None:
        """Another goal; what was spent stays."""
        self.reach(at)
        self.goal, self.retargeted_at = goal, at


@dataclass(frozen=True)
class Doubt:
    """Something that the request did otherwise than the facts call for."""

    rule: str
    subject: str
    what: str
    recorded: Any
    judged: Any
    place: Place | None = None

    def __str__(self) -> str:
        about = f"{self.rule} {self.subject}".rstrip()
        where = f" ({self.place})" if self.place else ""
        return f"{about}{where}: {self.what} recorded {self.recorded}, judged {self.judged}"


@dataclass
class Judgement:
    """All promises of one request, in the order in which they were made.

    Attributes:
        doubts: what the request made of the facts otherwise than is judged here.
        outages: when something was due and the platform noticed nothing.
    """

    promises: list[Promise]
    doubts: list[Doubt]
    outages: list[Span]


def judge(
    told: Told, policy: Json | None = None, hours: Sequence[Sequence[int]] | None = None
) -> Judgement:
    """Judge every promise from the facts.

    Args:
        policy: another policy than the request's own, in JSON types; then what the request itself
            made of the facts is not compared.
        hours: the working days under that policy.
    """
    bench = _Bench(told, policy or told.brief["policy"], hours)
    for fact in told.facts:
        bench.hear(fact)
    bench.close(told.until)
    outages = _merged(bench.outages)
    for promise in bench.promises:
        _share_out_the_lateness(promise, outages, told.until)
    doubts = [] if policy else [*bench.doubts, *_compared(bench.promises, told)]
    return Judgement(bench.promises, doubts, outages)


# --- the facts, one after another -----------------------------------------------------------------


class _Bench:
    """Hears the facts in their order and keeps the promises that they make, rest and end."""

    def __init__(self, told: Told, policy: Json, hours: Sequence[Sequence[int]] | None) -> None:
        self.brief, self.rules = told.brief, Rules(policy)
        self.is_own = policy is told.brief["policy"]
        self.received_at = _moment(told.brief["received_at"])
        windows = told.brief["calendar"]["windows"] if hours is None else hours
        self.working, self.round_the_clock = Hours(windows), Hours()
        self.promises: list[Promise] = []
        self.doubts: list[Doubt] = []
        self.outages: list[Span] = []
        self.now = {
            "urgency": told.brief["urgency"],
            "request_type": told.brief["type"],
            "tier": told.brief["customer"]["tier"],
            "product_class": told.brief["product"]["product_class"],
            "service_type": told.brief["service_type"],
            "distance_km": told.brief["distance_km"],
        }
        self.moved_at = self.received_at
        self.passed: set[str] = set()
        self.engineer: str | None = None
        self.offered_to: list[str] = []
        self.complaints: list[str] = []
        self.owners: list[tuple[str, str | None]] = []
        self.window: tuple[datetime, datetime] | None = None
        self.window_stands = self.in_service = False
        self.hold: tuple[datetime, str] | None = None
        self.held_before: list[Span] = []

    def hear(self, fact: Fact) -> None:
        """One fact."""
        line = fact.line
        if line.kind == "clock":
            self._announced(fact)
        elif line.kind == "refused":
            return
        elif line.kind == "event":
            self._check_when_it_counts_from(fact)
            act = getattr(self, f"_{line.name}", None)
            if act is not None:
                act(fact, line.at)
            if line.name not in ASIDE:
                self.moved_at = line.at
                self.passed.add(line.name)
        else:
            if line.name in ("offered", "resumed"):
                self.moved_at = max(self.moved_at, line.at)
            act = getattr(self, f"_{line.kind}_{line.name}", None)
            if act is not None:
                act(fact, line.at)
            self._noticed(fact)

    def close(self, until: datetime) -> None:
        """The history ends here."""
        for promise in self.promises:
            promise.reach(until)

    # --- what happened ----------------------------------------------------------------------------

    def _system_received(self, fact: Fact, at: datetime) -> None:
        if self.now["request_type"] == "complaint":
            self._dissatisfied(fact, at)
        else:
            self._moment("received", fact, at)

    def _responded(self, fact: Fact, at: datetime) -> None:
        self._moment("responded", fact, at)
        self.passed.add("responded")
        if self.now["request_type"] != "consultation":
            self._work_order(fact, at)

    def _work_order(self, fact: Fact, at: datetime) -> None:
        self.passed.add("work_order")
        self._moment("work_order", fact, at)

    def _plan_told(self, fact: Fact, at: datetime) -> None:
        self._moment("plan_told", fact, at)

    def _answered(self, fact: Fact, at: datetime) -> None:
        self.passed.add("responded")
        self._moment("answered", fact, at)

    def _reclassified(self, fact: Fact, at: datetime) -> None:
        for what in ("urgency", "request_type"):
            self.now[what] = fact.line.data.get(what) or self.now[what]
        if "completed" not in self.passed:
            self._retarget(fact, at)
        waits = "responded" in self.passed and not self.passed & {"work_order", "answered"}
        if waits and self.now["request_type"] not in ("consultation", "complaint"):
            self._work_order(fact, at)

    def _offer_offered(self, fact: Fact, at: datetime) -> None:
        self.offered_to.append(fact.line.data["engineer"])
        self._moment("offered", fact, at, str(len(self.offered_to)))

    def _offer_withdrawn(self, fact: Fact, at: datetime) -> None:
        self._drop(fact, at, "accept")

    def _offer_no_answer(self, fact: Fact, at: datetime) -> None:
        for promise in self._live("accept"):
            due = promise.breaks_at()
            promise.end(at, fact, answered=False)
            self._settle_who(promise)
            if due is not None and due <= at:
                promise.breached_at = promise.breached_at or at

    def _assigned(self, fact: Fact, at: datetime) -> None:
        if self.engineer is not None:
            self._drop(fact, at, "appointment_call")
        self.engineer, self.in_service = None, False

    def _accepted(self, fact: Fact, at: datetime) -> None:
        self.engineer = fact.line.data["engineer"]
        self._moment("accepted", fact, at, str(len(self.offered_to)))
        if self.window_stands:
            self._drop(fact, at, "appointment_call")
            self.in_service = True

    def _declined(self, fact: Fact, at: datetime) -> None:
        self._moment("declined", fact, at, str(len(self.offered_to)))

    def _appointed(self, fact: Fact, at: datetime) -> None:
        self._moment("appointed", fact, at)
        self._agree(fact, at)
        self.in_service = True

    def _rescheduled(self, fact: Fact, at: datetime) -> None:
        self._drop(fact, at, "arrival")
        self._agree(fact, at)

    def _agree(self, fact: Fact, at: datetime) -> None:
        opens, closes = (_moment(fact.line.data[f"window_{end}"]) for end in ("start", "end"))
        self.window, self.window_stands = (opens, closes), True
        self._moment("window", fact, at)

    def _lose_appointment(self, fact: Fact, at: datetime) -> None:
        self.window_stands = self.in_service = False
        self._drop(fact, at, "arrival")
        self._moment("appointment_lost", fact, at)

    def _arrived(self, fact: Fact, at: datetime) -> None:
        self.window_stands = False
        self._moment("arrived", fact, at)

    def _no_show(self, fact: Fact, at: datetime) -> None:
        self._moment("arrived", fact, at)  # They were there, even if nobody opened.
        self._lose_appointment(fact, at)

    def _visit_needed(self, fact: Fact, at: datetime) -> None:
        self.now["service_type"] = "on_site"
        self._lose_appointment(fact, at)
        self._retarget(fact, at)

    def _depot_received(self, fact: Fact, at: datetime) -> None:
        self.window_stands = False
        self._drop(fact, at, "arrival")
        self._moment("depot_received", fact, at)

    def _shipped_back(self, fact: Fact, at: datetime) -> None:
        self._moment("shipped_back", fact, at)

    def _completed(self, fact: Fact, at: datetime) -> None:
        self.window_stands = self.in_service = False
        self._moment("completed", fact, at)
        on_the_way = ("solution_feedback", "appointment", "arrival", "on_site", "appointment_call")
        self._drop(fact, at, *on_the_way)

    def _signed(self, fact: Fact, at: datetime) -> None:
        self._moment("signed", fact, at)

    def _surveyed(self, fact: Fact, at: datetime) -> None:
        self._moment("surveyed", fact, at)
        if self.rules.dissatisfied(fact.line.data):
            self._dissatisfied(fact, at)

    def _held(self, fact: Fact, at: datetime) -> None:
        self._begin_hold(fact, at, "customer")

    def _parts_awaited(self, fact: Fact, at: datetime) -> None:
        self._begin_hold(fact, at, "parts")

    def _begin_hold(self, fact: Fact, at: datetime, owner: str) -> None:
        self.hold = (at, owner)
        self._drop(fact, at, "arrival")  # A window does not wait.
        for promise in self._live():
            if promise.rests_on_hold and promise.since is not None:
                promise.rest(at)

    def _parts_arrived(self, fact: Fact, at: datetime) -> None:
        if self.hold is not None and self.hold[1] == "parts":
            self._end_hold(fact, at)

    def _resumed(self, fact: Fact, at: datetime) -> None:
        self._end_hold(fact, at)

    def _system_resumed(self, fact: Fact, at: datetime) -> None:
        self._end_hold(fact, at)

    def _end_hold(self, fact: Fact, at: datetime) -> None:
        if self.hold is not None:
            self.held_before.append((self.hold[0], at))
        self.hold = None
        for promise in self._live():
            if promise.since is None:
                promise.go_on(at)
        if not self.window_stands or self.window is None or self.now["service_type"] == "remote":
            return
        if self.window[1] > at:
            self._start("arrival", fact, at)
        elif self.in_service:
            self._lose_appointment(fact, at)
        else:
            self.window_stands = False

    def _cancelled(self, fact: Fact, at: datetime) -> None:
        self.hold, self.window_stands = None, False
        self._drop(fact, at, *(r for r, c in CONSTRAINTS.items() if c.about != "complaint"))

    def _system_closed(self, fact: Fact, at: datetime) -> None:
        self._drop(fact, at, *CONSTRAINTS)

    # --- complaints -------------------------------------------------------------------------------

    def _complained(self, fact: Fact, at: datetime) -> None:
        self._dissatisfied(fact, at)

    def _dissatisfied(self, fact: Fact, at: datetime) -> None:
        self.complaints.append("open")
        self.owners.append(("supervisor", None))
        self._moment("dissatisfied", fact, at, str(len(self.complaints)))

    def _complaint_taken_over(self, fact: Fact, at: datetime) -> None:
        for place in self._complaint(fact, "open"):
            self.complaints[place] = "taken_over"
            if fact.line.actor_role:
                self.owners[place] = (fact.line.actor_role.value, fact.line.actor_id)
            self._moment("taken_over", fact, at, str(place + 1))

    def _remedy_offered(self, fact: Fact, at: datetime) -> None:
        for place in self._complaint(fact, "open", "taken_over", "remedy"):
            if self.complaints[place] == "open":
                self._moment("taken_over", fact, at, str(place + 1))
            self.complaints[place] = "remedy"
            self._moment("remedy", fact, at, str(place + 1))

    def _complaint_settled(self, fact: Fact, at: datetime) -> None:
        for place in self._complaint(fact, "open", "taken_over", "remedy"):
            self.complaints[place] = "settled"
            self._moment("taken_over", fact, at, str(place + 1))
            self._moment("remedy", fact, at, str(place + 1))

    def _complaint_reopened(self, fact: Fact, at: datetime) -> None:
        for place in self._complaint(fact, "settled"):
            self.complaints[place] = "open"
            for rule in ("complaint_escalation", "complaint_contact"):
                last = self._latest(rule, str(place + 1))
                if last is None:
                    self._start(rule, fact, at, str(place + 1))
                elif not last.is_live:
                    last.go_on(at)

    def _system_complaint_escalated(self, fact: Fact, at: datetime) -> None:
        place = int(fact.line.data["complaint"]) - 1
        self.owners[place] = ("manager", self.owners[place][1])

    def _complaint(self, fact: Fact, *states: str) -> Iterable[int]:
        """The complaint that is meant: the one named, or else the oldest."""
        named = fact.line.data.get("complaint")
        fitting = (p for p, state in enumerate(self.complaints) if state in states)
        return [p for p in fitting if named in (None, p + 1)][:1]

    # --- promises made, dropped and changed -------------------------------------------------------

    def _moment(self, moment: str, fact: Fact, at: datetime, subject: str = "") -> None:
        """What the moment answers ends, and what it calls for begins."""
        for promise in self._live():
            constraint = promise.constraint
            about = subject if constraint.about else ""
            if moment in constraint.answers and promise.subject == about:
                promise.end(at, fact, answered=True)
                self._settle_who(promise)
        for rule, constraint in CONSTRAINTS.items():
            if moment in constraint.calls:
                self._start(rule, fact, at, subject if constraint.about else "")

    def _start(self, rule: str, fact: Fact, at: datetime, subject: str = "") -> Promise | None:
        terms, constraint = self.rules.terms(rule, self.now), CONSTRAINTS[rule]
        if terms is None:
            return None
        begins, goal = at, terms.goal
        if rule == "arrival":
            if self.window is None or self.now["service_type"] == "remote":
                return None
            begins, goal = self.window[0], self.window[1] - self.window[0]
        for live in self._live(rule):
            if live.subject == subject:
                self._end_unanswered(live, fact, at)
        promise = Promise(
            constraint=constraint,
            subject=subject,
            goal=goal,
            warn_at=terms.warn_at,
            ladder=terms.ladder,
            rests_on_hold=terms.rests_on_hold,
            hours=self.working if terms.working_days else self.round_the_clock,
            started=fact,
            started_at=begins,
            since=begins,
            last_start=begins,
            owed_by=constraint.owed_by,
        )
        self.promises.append(promise)
        if rule != "arrival":
            self._rest_while_held(promise, begins)
        return promise

    def _drop(self, fact: Fact, at: datetime, *rules: str) -> None:
        for promise in self._live(*rules):
            self._end_unanswered(promise, fact, at)

    def _end_unanswered(self, promise: Promise, fact: Fact, at: datetime) -> None:
        promise.end(at, fact, answered=False)
        self._settle_who(promise)
        if promise.breached is not None:  # It was announced before the news came.
            promise.breached_at = promise.breached_at or promise.breached.line.at

    def _rest_while_held(self, promise: Promise, since: datetime) -> None:
        if not promise.rests_on_hold:
            return
        for began, ended in self.held_before:
            if ended > since:
                promise.rest(max(began, since))
                promise.go_on(ended)
        if self.hold is not None:
            promise.rest(max(self.hold[0], since))

    def _retarget(self, fact: Fact, at: datetime) -> None:
        """The circumstances changed: goals are swapped, starts and pauses stay."""
        for promise in self._live():
            if promise.rule == "arrival":
                continue
            terms = self.rules.terms(promise.rule, self.now)
            if terms is None:
                self._end_unanswered(promise, fact, at)
                continue
            promise.ladder = terms.ladder
            if terms.goal != promise.goal:
                promise.retarget(at, terms.goal)
        for rule, constraint in CONSTRAINTS.items():
            if "received" in constraint.calls:
                self._promise_late(rule, fact, at)

    def _promise_late(self, rule: str, fact: Fact, at: datetime) -> None:
        """What counts from the receipt and is promised only now, unless it was met before."""
        terms, last = self.rules.terms(rule, self.now), self._latest(rule)
        if terms is None:
            return
        if last is None:
            if self.passed.intersection(CONSTRAINTS[rule].answers):
                return
            last = self._start(rule, fact, self.received_at)
        elif last.is_live or last.answered:
            return
        else:
            dropped = last.ended_at or at
            last.go_on(dropped)
            self._rest_while_held(last, dropped)
        if last is not None:
            last.ladder = terms.ladder
            last.goal, last.retargeted_at = terms.goal, at

    def _live(self, *rules: str) -> Iterator[Promise]:
        return (p for p in list(self.promises) if p.is_live and (not rules or p.rule in rules))

    def _latest(self, rule: str, subject: str = "") -> Promise | None:
        found = (p for p in reversed(self.promises) if (p.rule, p.subject) == (rule, subject))
        return next(found, None)

    def _settle_who(self, promise: Promise) -> None:
        if promise.rule == "accept":
            promise.who = self.offered_to[int(promise.subject) - 1]
        elif promise.constraint.about == "complaint":
            promise.owed_by, promise.who = self.owners[int(promise.subject) - 1]
        elif promise.owed_by == "engineer":
            promise.who = promise.who or self.engineer

    # --- what the platform announced --------------------------------------------------------------

    def _announced(self, fact: Fact) -> None:
        """Hold what the request announced against what was due."""
        rule, _, what = fact.line.name.partition(".")
        promise = self._latest(rule, fact.line.data.get("subject", ""))
        if what not in ("warned", "breached", "escalated"):
            return
        self._noticed(fact)
        if not self.is_own:
            return  # What was announced was due under another policy.
        if promise is None:
            self._doubt(rule, fact, what, fact.line.at, None)
            return
        if what == "breached":
            promise.breached = fact
            due = promise.breached_at if not promise.is_live else promise.breaks_at()
            promise.breached_at = promise.breached_at or due
            self._settle_who(promise)
            if due != fact.line.at:
                self._doubt(rule, fact, "breached", fact.line.at, due)
        elif what == "warned":
            promise.warned = fact
            due = promise.when(promise.goal * promise.warn_at)
            if due is not None and promise.retargeted_at is not None:
                due = max(due, promise.retargeted_at)
            if due != fact.line.at:
                self._doubt(rule, fact, "warned", fact.line.at, due)
        elif promise.is_live:
            level = promise.ladder[int(fact.line.data["level"]) - 1]
            due = promise.when(promise.goal + level)
            if due is None or due > fact.line.at:
                self._doubt(rule, fact, "escalated", fact.line.at, due)

    def _noticed(self, fact: Fact) -> None:
        """The platform noticed late what was due by itself."""
        if fact.line.recorded_at > fact.line.at:
            self.outages.append((fact.line.at, fact.line.recorded_at))

    def _check_when_it_counts_from(self, fact: Fact) -> None:
        """An event counts from when it happened, but never before the one before it."""
        if fact.sent is None:
            return
        said = fact.sent.get("occurred_at") or fact.sent.get("heard_at")
        heard = fact.line.recorded_at
        at = min(heard, max(_moment(said) if said else heard, self.moved_at))
        if at != fact.line.at:
            self._doubt(fact.line.name, fact, "counts from", fact.line.at, at)

    def _doubt(self, rule: str, fact: Fact, what: str, recorded: Any, judged: Any) -> None:
        subject = str(fact.line.data.get("subject", ""))
        self.doubts.append(Doubt(rule, subject, what, recorded, judged, fact.place))


# --- whose lateness -------------------------------------------------------------------------------


def _share_out_the_lateness(promise: Promise, outages: list[Span], until: datetime) -> None:
    """What the platform was down for while a promise ran overdue is nobody's lateness."""
    if promise.standing not in (Standing.late, Standing.breached):
        return
    within, overdue = promise.hours.within, list(promise.overdue(until))
    promise.overrun = sum((within(*span) for span in overdue), ZERO)
    down = (within(max(up, off), min(ended, on)) for up, ended in overdue for off, on in outages)
    promise.platform_late = sum(down, ZERO)


def _merged(spans: list[Span]) -> list[Span]:
    """The same time, each moment counted once."""
    merged: list[Span] = []
    for began, ended in sorted(spans):
        if merged and began <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], ended))
        else:
            merged.append((began, ended))
    return merged


# --- what the request made of it ------------------------------------------------------------------


def _compared(promises: list[Promise], told: Told) -> Iterator[Doubt]:
    """The request's own clocks beside the promises judged here."""
    judged = dict(_counted(promises))
    recorded = {key: clock.reading(told.until) for key, clock in _counted(told.request.clocks)}
    for key in dict.fromkeys([*judged, *recorded]):
        promise, clock = judged.get(key), recorded.get(key)
        rule, subject, _ = key
        if promise is None or clock is None:
            what = clock.state.value if clock else None
            yield Doubt(rule, subject, "promise", what, promise and promise.standing.value)
            continue
        place = promise.started.place
        stopped = promise.ended_at if promise.answered else None
        pairs = (
            ("state", clock.state.value, promise.standing.value),
            ("started", clock.started_at, promise.started_at),
            ("due", clock.due_at, promise.due_at),
            ("stopped", clock.stopped_at, stopped),
        )
        for what, theirs, ours in pairs:
            if theirs != ours:
                yield Doubt(rule, subject, what, theirs, ours, place)


def _counted(made: Iterable[Any]) -> Iterator[tuple[tuple[str, str, int], Any]]:
    """Each by its rule, its subject and how many of the same came before it."""
    seen: Counter[tuple[str, str]] = Counter()
    for each in made:
        key = (str(each.rule), each.subject)
        yield (*key, seen[key]), each
        seen[key] += 1


def _moment(text: Any) -> datetime:
    return text if isinstance(text, datetime) else datetime.fromisoformat(text)
