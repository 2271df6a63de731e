"""The service request as a value: events move it, time passes over it, nothing else does.

`apply` moves it or refuses with a reason; `tick` lets warnings and breaches fall due. Both return
what must now be done outside. The workflow, the tests and the auditor run this same code.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal, NamedTuple, cast

from . import todo, transitions
from .admission import allowed_now, check, lies_behind
from .clocks import Clock, ClockEvent, Kind, Threshold
from .effects import Effect, Entry, Tell
from .events import ASIDE, PROCESS_ORDER, BaseEvent, Event
from .intake import Brief
from .policy import Circumstances, Policy
from .refusals import Refused
from .rules import PROMISES, Rule, starting, stopping
from .state import (
    Appointment,
    Awaited,
    Bill,
    Claim,
    Complaint,
    Hold,
    Offer,
    Parked,
    Quote,
    Refusal,
    Survey,
    Visit,
)
from .values import EARLIEST, State
from .vocabulary import (
    AppointmentState,
    ClockState,
    ComplaintState,
    OfferState,
    Outcome,
    RequestType,
    Role,
    ServiceType,
    Stage,
    Urgency,
    WorkOrderStatus,
)

SETTLING = "events left"


class Due(NamedTuple):
    """Something that will happen by itself: when, what (`accept: breached`), and to what."""

    at: datetime
    what: str
    subject: Any
    threshold: Threshold | None = None


class _Outbox:
    """What the present move asks of the outside, and when it came; no part of the state."""

    __slots__ = ("effects", "now")

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self.now: datetime | None = None


class ServiceRequest(State):
    """One customer need, from first contact to archive.

    Attributes:
        revision: grows with every line of the timeline; a projection knows by it what is newer.
        event_count: how many events were applied.
        text_taken: how many characters they brought.
        moved_at: when the last event counted from; time within a request never runs backwards.
        seen: every event id taken, so that a repeat is harmless.
        jumped_queue: a missed first response put the request at the head of the queue.
        by_hand: nobody fitted, or no offer went out in time: a dispatcher must dispatch.
        held_before: the holds that are over.
        outside_allowed: the work may be given to an outside provider at our cost.
        claims: who has which open task, by the task's id, where that was said.
        settles_at: when the events left so far are taken, in the order in which they happened.
    """

    brief: Brief
    stage: Stage
    outcome: Outcome | None = None
    request_type: RequestType
    urgency: Urgency
    service_type: ServiceType
    revision: int = 0
    event_count: int = 0
    text_taken: int = 0
    moved_at: datetime
    responded_at: datetime | None = None
    completed_at: datetime | None = None
    signed_at: datetime | None = None
    signature: str | None = None
    closed_at: datetime | None = None
    cancelled: bool = False
    jumped_queue: bool = False
    by_hand: bool = False
    outside_allowed: bool = False
    at_depot: bool = False
    repaired_at_depot: bool = False
    plan: str | None = None
    answer: str | None = None
    engineer: str | None = None
    offers: list[Offer] = []
    appointments: list[Appointment] = []
    visits: list[Visit] = []
    quotes: list[Quote] = []
    bill: Bill = Bill()
    survey: Survey | None = None
    complaints: list[Complaint] = []
    hold: Hold | None = None
    held_before: list[tuple[datetime, datetime]] = []
    awaited: list[Awaited] = []
    clocks: list[Clock] = []
    seen: dict[str, Refusal | None] = {}
    parked: list[Parked] = []
    settles_at: datetime | None = None
    numbers: dict[str, str] = {}
    claims: dict[str, Claim] = {}

    # --- born ---------------------------------------------------------------------------------

    @classmethod
    def receive(cls, brief: Brief) -> tuple[ServiceRequest, list[Effect]]:
        """A new request, with the promises that begin with it."""
        is_complaint = brief.type is RequestType.complaint
        request = cls(
            brief=brief,
            stage=Stage.complaint if is_complaint else Stage.response,
            request_type=brief.type,
            urgency=brief.urgency,
            service_type=brief.service_type,
            moved_at=brief.received_at,
        )
        request.outbox.now = brief.received_at
        transitions.received(request, brief.received_at)
        return request, request._drain()

    def model_post_init(self, context: Any, /) -> None:
        """Hang the request's own calendar on its clocks again after it was read back."""
        super().model_post_init(context)
        for clock in self.clocks:
            clock.on(self.brief.calendar)

    # --- moved by events ----------------------------------------------------------------------

    def apply(self, event: BaseEvent, now: datetime) -> list[Effect]:
        """Move by an event heard of at `now`. The same id twice is the same event.

        Raises:
            Refused: the event cannot happen. Nothing has changed but what fell due before it,
                whose effects the next `tick` returns.
        """
        self.outbox.now = now
        self._settle(now)
        self._take(event, now)
        self._take_parked(now)
        return self._drain()

    def check(self, event: BaseEvent, now: datetime) -> None:
        """Whether `apply` would take the event, without moving anything.

        Raises:
            Refused: it would not.
        """
        request = self
        if self.settles_at is not None:
            request = self.model_copy(deep=True)
            request.outbox.now = now
            request._settle(now)
        if not request._is_repeat(event):
            check(request, event, request.counts_from(event, now), now)

    def refuse_malformed(self, what: str, now: datetime) -> list[Effect]:
        """Keep on the record that something came which was no event; not what it said."""
        self.outbox.now = now
        self.note("refused", "malformed", now, code="malformed", reason=what)
        return self._drain()

    def hear(self, event: BaseEvent, now: datetime) -> list[Effect]:
        """Move by an event that came without anyone waiting for an answer.

        One that says when it happened first waits for those it overtook on the way. Before its
        turn it waits; what cannot happen is refused on the record. Never raises.
        """
        if str(event.id) in self.seen or any(p.event.id == event.id for p in self.parked):
            return []
        timed = event.occurred_at is not None
        if self.brief.edition >= 2 and timed and self._may_wait and not self.is_closed:
            self.parked.append(Parked(event=cast(Event, event), since=now))
            self.settles_at = now + self.brief.settling * (3 if self._out_of_order else 1)
            return []
        try:
            return self.apply(event, now)
        except Refused as refused:
            self.outbox.now = now
            behind = lies_behind(self, event.name)
            if refused.later and self._may_wait and (timed or not behind):
                self.parked.append(Parked(event=cast(Event, event), since=now, behind=behind))
            else:
                self._refuse(event, refused, now)
            return self._drain()

    def counts_from(self, event: BaseEvent, now: datetime) -> datetime:
        """The moment an event counts from: when it happened, but never before the last one."""
        return min(now, max(event.occurred_at or event.heard_at or now, self.moved_at))

    def tick(self, now: datetime) -> list[Effect]:
        """Let everything that is due by `now` happen, in the order it was due."""
        self.outbox.now = now
        self._settle_before_anything_falls_due(now)
        self._fall_due(until=now)
        self._take_parked(now)
        return self._drain()

    # --- moved by the matching and the records --------------------------------------------------

    @property
    def seeks_engineer(self) -> bool:
        """The matching is to find someone for the work."""
        return self._is_nobodys and not self.by_hand

    @property
    def needs_dispatcher(self) -> bool:
        """Somebody is to be found for the work by hand."""
        return self.by_hand and self._has_nobody

    @property
    def _is_nobodys(self) -> bool:
        return self._has_nobody and self.hold is None

    @property
    def _has_nobody(self) -> bool:
        unasked = self.engineer is None and self.open_offer is None
        return self.stage is Stage.dispatch and unasked

    @property
    def asked_before(self) -> list[str]:
        """Engineers who are never offered this work again by the matching."""
        return sorted({offer.engineer for offer in self.offers})

    def offer(self, engineer: str | None, now: datetime) -> list[Effect]:
        """Offer the work to the engineer that the matching found; None: nobody fits.

        Someone found a little too late is asked all the same, if nobody has the work by then.
        """
        self.outbox.now = now
        self._settle_before_anything_falls_due(now)
        self._fall_due(before=now)
        if not self._is_nobodys or engineer in self.asked_before:
            return self._drain()
        if engineer is None:
            transitions.dispatch_by_hand(self, now, "nobody_fits")
        else:
            transitions.offer_to(self, engineer, now, by_hand=False)
        self._attend(now)
        self._take_parked(now)
        return self._drain()

    def name_forms(self, numbers: dict[str, str]) -> None:
        """Take the numbers that the records gave to this request's forms."""
        self.numbers.update(numbers)

    # --- read ---------------------------------------------------------------------------------

    @property
    def number(self) -> str:
        """`CR20240520-001`."""
        return self.brief.number

    @property
    def policy(self) -> Policy:
        """The timing policy it started under."""
        return self.brief.policy

    @property
    def received_at(self) -> datetime:
        """When intake took it."""
        return self.brief.received_at

    @property
    def is_closed(self) -> bool:
        """Archived: nothing more happens."""
        return self.stage is Stage.closed

    @property
    def open_offer(self) -> Offer | None:
        """The offer an engineer has still to answer."""
        last = self.offers[-1] if self.offers else None
        return last if last and last.state is OfferState.open else None

    @property
    def appointment(self) -> Appointment | None:
        """The latest appointment."""
        return self.appointments[-1] if self.appointments else None

    @property
    def standing_appointment(self) -> Appointment | None:
        """The window agreed and still to be met."""
        last = self.appointment
        return last if last and last.state is AppointmentState.standing else None

    @property
    def visit(self) -> Visit | None:
        """The visit under way."""
        last = self.visits[-1] if self.visits else None
        return last if last and last.ended_at is None else None

    @property
    def quote(self) -> Quote | None:
        """The latest quote."""
        return self.quotes[-1] if self.quotes else None

    @property
    def has_work_order(self) -> bool:
        """The first response of anything but a consultation creates one."""
        return self.responded_at is not None and self.request_type not in (
            RequestType.consultation,
            RequestType.complaint,
        )

    @property
    def is_on_site(self) -> bool:
        """Somebody goes to the customer."""
        return self.service_type is ServiceType.on_site

    @property
    def status(self) -> WorkOrderStatus:
        """The work order's state (S1, form SA-WO-002)."""
        if self.cancelled:
            return WorkOrderStatus.cancelled
        if self.completed_at is not None or self.is_closed:
            return WorkOrderStatus.completed
        visit = self.visit
        if visit and (visit.departed_at or visit.arrived_at or visit.diagnosis):
            return WorkOrderStatus.in_service
        standing = self.standing_appointment
        return WorkOrderStatus.appointed if standing else WorkOrderStatus.pending

    @property
    def live_clocks(self) -> list[Clock]:
        """The promises still to be met."""
        return [clock for clock in self.clocks if clock.is_live]

    @property
    def clock_state(self) -> ClockState:
        """How the request as a whole stands."""
        live = self.live_clocks
        if any(clock.is_breached for clock in live):
            return ClockState.breached
        if any(clock.is_warned for clock in live):
            return ClockState.at_risk
        return ClockState.paused if self.hold else ClockState.on_track

    @property
    def breached_rules(self) -> list[str]:
        """Every rule breached so far."""
        return sorted({clock.rule.value for clock in self.clocks if clock.is_breached})

    @property
    def allowed_events(self) -> list[str]:
        """What can happen now."""
        return allowed_now(self)

    def next_due(self) -> Due | None:
        """What happens next if nobody acts."""
        return min(self._agenda(), key=_when, default=None)

    def agenda(self) -> list[Due]:
        """Everything that will happen if nobody acts, in order."""
        in_hand = todo.attended(self)
        later = (
            Due(threshold.at, f"{clock.rule}: {threshold.kind}", clock, threshold)
            for clock in self.clocks
            for threshold in clock.thresholds_ahead(attended=_is_among(clock, in_hand))
        )
        others = (due for due in self._agenda() if due.threshold is None)
        return sorted([*later, *others], key=_when)

    def find_complaint(
        self, wanted: int | None, states: tuple[ComplaintState, ...]
    ) -> Complaint | None:
        """The complaint named, or the oldest, that is in one of these states."""
        fitting = (c for c in self.complaints if c.state in states and wanted in (None, c.id))
        return next(fitting, None)

    def clock(self, rule: Rule, subject: str = "") -> Clock | None:
        """The latest clock of this rule."""
        found = (c for c in reversed(self.clocks) if c.rule is rule and c.subject == subject)
        return next(found, None)

    def check_working_days(self, at: datetime) -> None:
        """Whether the working-day clocks that could start at `at` end on days we know.

        Raises:
            Refused: they do not (`calendar_exhausted`).
        """
        for rule in PROMISES:
            terms = self.policy.terms(rule, self._circumstances())
            if terms and terms.working_days:
                self.brief.calendar.add(at, terms.goal)

    @cached_property
    def outbox(self) -> _Outbox:
        """Where effects wait until the move is over."""
        return _Outbox()

    # --- for the transitions ------------------------------------------------------------------

    def note(
        self,
        kind: Literal["event", "clock", "offer", "refused", "system"],
        name: str,
        at: datetime,
        event: BaseEvent | None = None,
        **data: Any,
    ) -> None:
        """Write a line into the timeline."""
        self.revision += 1
        actor = event.actor if event else None
        self.outbox.effects.append(
            Entry(
                seq=self.revision,
                at=at,
                recorded_at=self.outbox.now or at,
                kind=kind,
                name=name,
                actor_role=actor.role if actor else None,
                actor_id=actor.id if actor else None,
                event_id=str(event.id) if event else None,
                data=data,
            )
        )

    def tell(self, to: Role, message: str, at: datetime, **more: Any) -> None:
        """Have someone told; `who` names the engineer, `facts` what the text says."""
        if to is Role.engineer and not more.get("who"):
            more["who"] = self.engineer
        if to is Role.engineer and not more["who"]:
            to = Role.dispatcher
        self.revision += 1
        self.outbox.effects.append(Tell(seq=self.revision, at=at, to=to, message=message, **more))

    def pass_moment(self, moment: str, at: datetime, subject: str = "") -> None:
        """Stop and start the clocks that a moment stops and starts, in that order."""
        stopped = stopping(moment)
        for clock in self.clocks:
            about = subject if PROMISES[clock.rule].subject else ""
            if clock.rule in stopped and clock.subject == about and clock.is_live:
                self._mark(clock, clock.add(Kind.stopped, at))
        for rule in starting(moment):
            self.start_clock(rule, at, subject if PROMISES[rule].subject else "")

    def start_clock(self, rule: Rule, at: datetime, subject: str = "") -> None:
        """Begin a promise, if the policy makes it under the present circumstances."""
        terms = self.policy.terms(rule, self._circumstances())
        if terms is None:
            return
        window = self._window() if rule is Rule.arrival else None
        if rule is Rule.arrival and window is None:
            return
        self.cancel_clocks(at, rule, subject=subject)
        begins, goal = window or (at, terms.goal)
        clock = Clock(
            rule=rule,
            subject=subject,
            owed_by=PROMISES[rule].owed_by,
            warn_at=terms.warn_at,
            ladder=terms.ladder,
            pausable=terms.pauses_on_hold,
            working_days=terms.working_days,
            events=[ClockEvent(kind=Kind.started, at=begins, goal=goal)],
        ).on(self.brief.calendar)
        self.clocks.append(clock)
        self._mark(clock, clock.events[0], due_at=clock.due_at)
        if window is None:
            self._rest_while_held(clock, begins)

    def cancel_clocks(self, at: datetime, *rules: Rule, subject: str | None = None) -> None:
        """Drop promises that no longer make sense; no rules: all of them."""
        for clock in self.live_clocks:
            if (not rules or clock.rule in rules) and subject in (None, clock.subject):
                self._mark(clock, clock.add(Kind.cancelled, at))

    def mark_clock(self, clock: Clock, kind: Kind, at: datetime) -> None:
        """Record that something happened to a clock which leaves its time alone."""
        self._mark(clock, clock.add(kind, at))

    def pause_clocks(self, at: datetime) -> None:
        """Let the customer-facing clocks rest."""
        for clock in self.live_clocks:
            if clock.pausable and not clock.is_paused:
                self._mark(clock, clock.add(Kind.paused, at))

    def resume_clocks(self, at: datetime) -> None:
        """Let resting clocks run on; the same threshold is still ahead of each."""
        for clock in self.live_clocks:
            if clock.is_paused:
                self._mark(clock, clock.add(Kind.resumed, at), due_at=clock.due_at)

    def reopen_clock(self, rule: Rule, at: datetime, subject: str) -> None:
        """Let a stopped clock run on with the time it had used."""
        clock = self.clock(rule, subject)
        if clock is None:
            self.start_clock(rule, at, subject)
        elif not clock.is_live:
            self._mark(clock, clock.add(Kind.reopened, at), due_at=clock.due_at)

    def retarget_clocks(self, at: datetime) -> None:
        """Swap the goals after the circumstances changed; starts and pauses stay."""
        now = self._circumstances()
        for clock in self.live_clocks:
            if clock.rule is Rule.arrival:
                continue
            terms = self.policy.terms(clock.rule, now)
            if terms is None:
                self._mark(clock, clock.add(Kind.cancelled, at))
                continue
            swapped = clock.retarget(
                at, terms.goal, terms.ladder, keeps_ladders=self._keeps_ladders
            )
            if swapped is not None:
                self._mark(clock, swapped, due_at=clock.due_at)
        for rule in starting("received"):
            self._promise_late(rule, at)

    def enter(self, stage: Stage) -> None:
        """Go to a stage."""
        self.stage = stage

    def _promise_late(self, rule: Rule, at: datetime) -> None:
        """Promise only now what counts from the receipt, unless it was met before."""
        terms = self.policy.terms(rule, self._circumstances())
        clock = self.clock(rule)
        if terms is None or (clock is None and self._has_passed(PROMISES[rule].stops)):
            return
        if clock is None:
            self.start_clock(rule, self.received_at)
        elif clock.is_cancelled:
            dropped = clock.events[-1].at
            self._mark(clock, clock.add(Kind.reopened, dropped))
            self._rest_while_held(clock, dropped)
        else:
            return
        if clock := self.clock(rule):
            # A goal already past breaches now, not in hindsight.
            ladder = terms.ladder if self._keeps_ladders and terms.ladder != clock.ladder else None
            clock.ladder = terms.ladder
            clock.add(Kind.retargeted, at, goal=terms.goal, ladder=ladder)

    def _rest_while_held(self, clock: Clock, since: datetime) -> None:
        """Pause a clock for the holds since then, the present one included."""
        if not clock.pausable:
            return
        for began, ended in self.held_before:
            if ended > since:
                self._mark(clock, clock.add(Kind.paused, max(began, since)))
                self._mark(clock, clock.add(Kind.resumed, ended), due_at=clock.due_at)
        if self.hold is not None:
            self._mark(clock, clock.add(Kind.paused, max(self.hold.since, since)))

    def _has_passed(self, moments: frozenset[str]) -> bool:
        """Whether one of these moments is behind the request."""
        passed = {
            "responded": self.responded_at is not None,
            "answered": self.answer is not None,
            "plan_told": self.plan is not None,
            "appointed": bool(self.appointments),
            "arrived": any(visit.arrived_at for visit in self.visits),
            "completed": self.completed_at is not None,
        }
        return any(passed[moment] for moment in moments)

    # --- within -------------------------------------------------------------------------------

    def _is_repeat(self, event: BaseEvent) -> bool:
        """Whether the event was applied before; one refused on the record stays refused."""
        key = str(event.id)
        if key not in self.seen:
            return False
        if refusal := self.seen[key]:
            raise refusal.again()
        return True

    def _take(self, event: BaseEvent, now: datetime) -> None:
        """Move by an event after what fell due before it."""
        if self._is_repeat(event):
            return
        at = self.counts_from(event, now)
        check(self, event, at, now)
        revision = self.revision
        self._fall_due(before=at)
        if self.revision != revision:
            # What fell due may have closed the door that was still open.
            check(self, event, at, now)
        self._move(event, at)

    def _move(self, event: BaseEvent, at: datetime) -> None:
        self.seen[str(event.id)] = None
        self.event_count += 1
        if event.name not in ASIDE:
            self.moved_at = at
        content = event.model_dump(
            mode="json",
            by_alias=True,
            exclude={"id", "actor", "occurred_at", "heard_at", "type"},
            exclude_none=True,
        )
        self.text_taken += len(str(content))
        self.note("event", event.name, at, event, **content)
        transitions.TRANSITIONS[event.name](self, event, at)
        self._attend(at)
        if self.stage is Stage.closed:
            for parked in self.parked:
                self._refuse(parked.event, Refused("request_closed"), at)
            self.parked.clear()

    def _attend(self, at: datetime) -> None:
        """End the claims whose tasks are over, and let ladders rest while a claim stands."""
        if not self.claims and not any(clock.is_acknowledged for clock in self.live_clocks):
            return
        still_open = {task.id for task in todo.open_tasks(self)}
        self.claims = {task: claim for task, claim in self.claims.items() if task in still_open}
        in_hand = todo.attended(self)
        for clock in self.live_clocks:
            claimed = _is_among(clock, in_hand)
            if clock.is_breached and claimed is not clock.is_acknowledged:
                kind = Kind.acknowledged if claimed else Kind.unacknowledged
                self.mark_clock(clock, kind, max(at, clock.events[-1].at))

    def _refuse(self, event: BaseEvent, refused: Refused, at: datetime) -> None:
        # Beyond the limit a repeat is judged again: harmless, and the state stays small.
        if len(self.seen) < self.policy.limits.events:
            self.seen[str(event.id)] = Refusal(code=refused.code, facts=refused.facts)
        self.note("refused", event.name, at, event, code=refused.code, reason=refused.reason)

    @property
    def _out_of_order(self) -> bool:
        """Some of those who wait overtook others: more may be on their way."""
        happened = [parked.event.occurred_at or EARLIEST for parked in self.parked]
        return happened != sorted(happened)

    @property
    def _may_wait(self) -> bool:
        """One more event may wait for its turn."""
        return len(self.parked) < self.policy.limits.waiting

    def _settle_before_anything_falls_due(self, now: datetime) -> None:
        """What was left may have kept the promise that is about to be broken."""
        due = self.next_due()
        if due is not None and due.at <= now:
            self._settle(now)

    def _settle(self, now: datetime) -> None:
        """Take what was left so far: somebody waits for an answer, or it waited long enough."""
        if self.settles_at is not None:
            self.settles_at = None
            self._take_parked(now)

    def _take_parked(self, now: datetime) -> None:
        """Apply the events whose turn has come, the earliest first."""
        waiting = self.settles_at is None
        while waiting:
            waiting = False
            for parked in sorted(self.parked, key=_turn):
                event = parked.event
                try:
                    self.check(event, now)
                except Refused as refused:
                    if refused.later:
                        parked.behind = parked.behind or lies_behind(self, event.name)
                        continue
                # No longer parked, so that neither its own expiry nor the archive refuses it.
                self.parked = [p for p in self.parked if p is not parked]
                try:
                    if parked.behind and (event.occurred_at or EARLIEST) < self.moved_at:
                        raise Refused("overtaken")
                    self._take(event, now)
                except Refused as refused:
                    if refused.later:
                        self.parked.append(parked)
                    else:
                        self._refuse(event, refused, now)
                waiting = bool(self.parked)
                break

    def _fall_due(self, *, before: datetime | None = None, until: datetime | None = None) -> None:
        while due := self.next_due():
            if (before and due.at >= before) or (until and due.at > until):
                return
            self._happen(due)

    def _happen(self, due: Due) -> None:
        now = self.outbox.now or due.at
        if isinstance(due.subject, Clock):
            event, threshold = due.subject.fire(now)
            self._mark(due.subject, event)
            transitions.clock_fired(self, due.subject, event, threshold)
            self._attend(event.at)
        elif isinstance(due.subject, Parked):
            self.parked.remove(due.subject)
            why = "its turn never came"
            try:
                check(self, due.subject.event, due.at, now)
            except Refused as refused:
                why = refused.reason
            self._refuse(due.subject.event, Refused("expired_early", why=why), due.at)
        elif isinstance(due.subject, Hold):
            self.moved_at = max(self.moved_at, due.at)
            self.note("system", "resumed", due.at, reason="the hold's end came")
            transitions.resume(self, due.at)
            self._attend(due.at)
        else:
            transitions.remind(self, due.subject, due.at)

    def _agenda(self) -> Iterator[Due]:
        for clock in self.clocks:
            if threshold := clock.next_threshold():
                yield Due(threshold.at, f"{clock.rule}: {threshold.kind}", clock, threshold)
        if self.hold is not None and self.hold.until is not None:
            yield Due(self.hold.until, "hold: ends", self.hold)
        appointment = self.standing_appointment
        if (
            appointment
            and appointment.reminded_at is None
            and self.hold is None
            and self.moved_at < appointment.window_start
        ):
            at = appointment.window_start - self.policy.reminder_before
            yield Due(max(at, self.moved_at), "visit_reminder", appointment)
        if self.settles_at is not None:
            yield Due(self.settles_at, f"{SETTLING}: taken in order", SETTLING)
        for parked in self.parked:
            yield Due(parked.since + self.policy.early_event_wait, "early event: expires", parked)

    def _mark(self, clock: Clock, event: ClockEvent, due_at: datetime | None = None) -> None:
        data: dict[str, Any] = {"rule": clock.rule.value}
        if clock.subject:
            data["subject"] = clock.subject
        if due_at is not None:
            data["due_at"] = due_at.isoformat()
        if event.level is not None:
            data["level"] = event.level
        if event.told is not None and self._keeps_ladders:
            data["told"] = event.told.value
        if event.ladder is not None:
            data["ladder"] = [level.model_dump(mode="json") for level in event.ladder]
        if event.cause is not None:
            data["cause"] = event.cause
        self.note("clock", f"{clock.rule}.{event.kind}", event.at, **data)

    @property
    def _keeps_ladders(self) -> bool:
        return self.brief.edition >= 2

    def _circumstances(self) -> Circumstances:
        return Circumstances(
            urgency=self.urgency,
            request_type=self.request_type,
            tier=self.brief.customer.tier,
            product_class=self.brief.product.product_class,
            service_type=self.service_type,
            distance_km=self.brief.distance_km,
        )

    def _window(self) -> tuple[datetime, timedelta] | None:
        appointment = self.appointment
        if self.service_type is ServiceType.remote or appointment is None:
            return None
        return appointment.window_start, appointment.window_end - appointment.window_start

    def _drain(self) -> list[Effect]:
        effects, self.outbox.effects = self.outbox.effects, []
        return effects


def _is_among(clock: Clock, clocks: list[Clock]) -> bool:
    """Whether this very clock is one of them: equal ones may stand beside each other."""
    return any(each is clock for each in clocks)


def _when(due: Due) -> tuple[datetime, int]:
    """Earlier first; at the same moment a warning before a breach before a level."""
    return due.at, _ORDER[due.threshold.kind] if due.threshold else len(_ORDER)


_ORDER = {Kind.warned: 0, Kind.breached: 1, Kind.escalated: 2}


def _turn(parked: Parked) -> tuple[datetime, int]:
    """In the order they happened; where nobody says when, in the order of the process."""
    return parked.event.occurred_at or EARLIEST, PROCESS_ORDER[parked.event.type]
