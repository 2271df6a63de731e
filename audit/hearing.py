"""The facts of a request heard one by one: they make promises, let them rest and end them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any

from audit.constraints import CONSTRAINTS, Hours, Json, Rules
from audit.facts import Fact, Place, Told
from audit.promises import Promise, Span
from domain.events import ASIDE


@dataclass(frozen=True)
class Doubt:
    """Something that the request did otherwise than the facts call for.

    Attributes:
        rule: the timing rule, or the event that counts from another moment.
        subject: as of a promise.
        what: what of it is otherwise, such as `due`.
        place: where in the history; None: nothing there shows it.
    """

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


_COME_BY_THEMSELVES = {"resumed", "visit_reminder"}
"""What the request does when a moment has come, besides its clocks."""


class Hearing:
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
        self.moved_at = self.news_at = self.received_at
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
        line, before = fact.line, [promise.course for promise in self.promises]
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
            if line.name in _COME_BY_THEMSELVES:
                self._noticed(fact, self.news_at)
            act = getattr(self, f"_{line.kind}_{line.name}", None)
            if act is not None:
                act(fact, line.at)
        if line.kind != "clock":
            self._note_what_is_known(fact, before)

    def _note_what_is_known(self, fact: Fact, before: list[tuple[object, ...]]) -> None:
        """What nobody had told the platform, it could not notice."""
        line = fact.line
        recorded = line.at if line.name == "received" else line.recorded_at
        known = fact.came_at or recorded
        if line.kind == "event":
            self.news_at = max(self.news_at, known)
        for promise, course in zip_longest(self.promises, before):
            if promise.course != course:
                promise.known_at = max(promise.known_at, known)

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
            known_at=self.received_at,
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
        self._noticed(fact, promise.known_at if promise else self.news_at)
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

    def _noticed(self, fact: Fact, known_at: datetime) -> None:
        """The platform noticed late what was due by itself, and what it knew to be due."""
        missed = max(fact.line.at, known_at)
        if fact.line.recorded_at > missed:
            self.outages.append((missed, fact.line.recorded_at))

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


def _moment(text: Any) -> datetime:
    return text if isinstance(text, datetime) else datetime.fromisoformat(text)
