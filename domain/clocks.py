"""A clock: one running timing promise of one request, kept as its own list of events.

Everything else (spent, due, remaining, overrun) is computed from those events by pure functions.
`at` is the moment that counts; `fired_at` is when the platform got round to it, so that a late
platform is never booked against a person.
"""

from collections import Counter
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from pydantic import PrivateAttr

from .calendars import AROUND_THE_CLOCK, Calendar
from .policy import Level
from .refusals import Refused
from .rules import CALLERS, Rule
from .values import EARLIEST, State
from .vocabulary import MessageChannel, Role


class Kind(StrEnum):
    """What can happen to a clock."""

    started = "started"
    paused = "paused"
    resumed = "resumed"
    retargeted = "retargeted"
    warned = "warned"
    breached = "breached"
    escalated = "escalated"
    acknowledged = "acknowledged"
    unacknowledged = "unacknowledged"
    called = "called"
    stopped = "stopped"
    reopened = "reopened"
    cancelled = "cancelled"


class Ticking(StrEnum):
    """How a clock stands (design §5)."""

    running = "running"
    paused = "paused"
    kept = "kept"
    late = "late"
    breached = "breached"
    cancelled = "cancelled"


BROKEN = frozenset({Ticking.late, Ticking.breached})
"""How a clock stands that was not kept, whether or not it was met afterwards."""


class ClockEvent(State):
    """Something that happened to a clock.

    Attributes:
        at: the moment that counts.
        fired_at: when the platform noticed (warned, breached, escalated).
        goal: the goal from here on (started, retargeted).
        level: the ladder's level, from 1, and told: the role that it tells (escalated).
        ladder: the ladder from here on, when it is another (retargeted).
        cause: `retarget` when a new goal was already past.
    """

    kind: Kind
    at: datetime
    fired_at: datetime | None = None
    goal: timedelta | None = None
    level: int | None = None
    told: Role | None = None
    ladder: tuple[Level, ...] | None = None
    cause: str | None = None


class Threshold(NamedTuple):
    """What a clock does next if nobody acts."""

    at: datetime
    kind: Kind
    level: int = 0
    tell: Role | None = None
    channels: tuple[MessageChannel, ...] = ()


class Reading(NamedTuple):
    """A clock read at one moment (design §5, `clocks`)."""

    rule: Rule
    state: Ticking
    started_at: datetime
    due_at: datetime | None
    warned_at: datetime | None
    breached_at: datetime | None
    fired_at: datetime | None
    stopped_at: datetime | None
    remaining: timedelta


class Clock(State):
    """One running promise.

    Attributes:
        subject: what it is about within the request: an engineer's offer, a complaint's number.
        owed_by: the role that must act.
        calendar: the working time it counts in.
    """

    rule: Rule
    subject: str = ""
    owed_by: Role
    warn_at: float
    ladder: tuple[Level, ...] = ()
    pausable: bool = True
    working_days: bool = False
    events: list[ClockEvent]

    _calendar: Calendar = PrivateAttr(default_factory=lambda: AROUND_THE_CLOCK)

    def on(self, calendar: Calendar) -> "Clock":
        """This clock, counting in `calendar` if it counts working days."""
        if self.working_days:
            self._calendar = calendar
            self._forget()
        return self

    @property
    def is_live(self) -> bool:
        """Neither stopped nor cancelled."""
        return self.tally.over is None

    @property
    def is_cancelled(self) -> bool:
        """Dropped without being met."""
        over = self.tally.over
        return over is not None and over.kind is Kind.cancelled

    @property
    def is_breached(self) -> bool:
        """Whether a breach was announced."""
        return self.tally.breach is not None

    @property
    def is_warned(self) -> bool:
        """Whether the warning was given."""
        return self.tally.warning is not None

    @property
    def is_paused(self) -> bool:
        """Resting: live, but its time does not count."""
        tally = self.tally
        return tally.over is None and tally.running_since is None

    @property
    def goal(self) -> timedelta:
        """How much time the promise allows."""
        return self.tally.goal

    @property
    def due_at(self) -> datetime | None:
        """When it breaches, or would have; None while it rests."""
        return self.tally.due_at

    @property
    def acknowledged_at(self) -> datetime | None:
        """Since when somebody has the broken promise in hand, so that its ladder rests."""
        return self.tally.acknowledged_at

    @property
    def is_acknowledged(self) -> bool:
        """Whether somebody has."""
        return self.tally.acknowledged_at is not None

    @property
    def call_owed(self) -> ClockEvent | None:
        """The telling after which its role owes the customer a call, and has not called yet."""
        return self.tally.call_owed

    @property
    def calls_over(self) -> int:
        """How many times a call about a breach was made, or was not needed any more."""
        return self.tally.calls_over

    def spent(self, now: datetime) -> timedelta:
        """The time that has counted so far."""
        tally = self.tally
        if tally.running_since is None:
            return tally.spent
        return tally.spent + tally.calendar.between(tally.running_since, now)

    @property
    def late_by(self) -> timedelta | None:
        """How much longer than promised it took; None: not stopped, or in time."""
        tally = self.tally
        if tally.state is not Ticking.late:
            return None
        return max(tally.spent - tally.goal, timedelta(0))

    def next_threshold(self) -> Threshold | None:
        """What it does next if nobody acts; None when nothing more happens by itself."""
        return self.tally.next

    def reading(self, now: datetime) -> Reading:
        """The clock as it stands at `now`."""
        tally = self.tally
        return Reading(
            rule=self.rule,
            state=tally.state,
            started_at=self.events[0].at,
            due_at=tally.due_at,
            warned_at=tally.warning.at if tally.warning else None,
            breached_at=tally.breach.at if tally.breach else None,
            fired_at=tally.breach.fired_at if tally.breach else None,
            stopped_at=tally.over.at if tally.over and tally.over.kind is Kind.stopped else None,
            remaining=tally.goal - self.spent(now),
        )

    def thresholds_ahead(self, *, attended: bool = False) -> list[Threshold]:
        """Everything it will still do by itself, in order, if nobody acts.

        Args:
            attended: somebody has claimed its task, so that its ladder will rest.
        """
        tally = self.tally
        if tally.running_since is None:
            return []
        places = (p for p in range(tally.passed, tally.count) if p not in tally.spared)
        ahead = (self._threshold(tally, place, attended=attended) for place in places)
        return [threshold for threshold in ahead if threshold is not None]

    def add(self, kind: Kind, at: datetime, **more: object) -> ClockEvent:
        """Record that something happened to the clock."""
        event = ClockEvent(kind=kind, at=at, **more)  # type: ignore[arg-type]
        self.events.append(event)
        self._forget()
        return event

    def retarget(
        self, at: datetime, goal: timedelta, ladder: tuple[Level, ...], *, keeps_ladders: bool
    ) -> ClockEvent | None:
        """Swap the goal and the ladder; starts and pauses stay. None: neither is another.

        Args:
            keeps_ladders: another ladder is kept among the events. Then only those of its levels
                are still ahead whose roles were not told of this breach before; otherwise levels
                are told apart by their places alone.
        """
        swapped = ladder if keeps_ladders and ladder != self.ladder else None
        self.ladder = ladder
        self._forget()
        if goal == self.goal and swapped is None:
            return None
        return self.add(Kind.retargeted, at, goal=goal, ladder=swapped)

    def fire(self, now: datetime) -> tuple[ClockEvent, Threshold]:
        """Let the next threshold fall due; `now` is when the platform noticed.

        Raises:
            ValueError: nothing is due.
        """
        threshold = self.next_threshold()
        if threshold is None or threshold.at > now:
            raise ValueError(f"{self.rule} has nothing due")
        retargeted_at = self.tally.retargeted_at
        at, cause = threshold.at, None
        if retargeted_at is not None and at <= retargeted_at:
            at, cause = retargeted_at, "retarget"
        elif at == self.tally.released_at:
            cause = "released"
        level = threshold.level or None
        told = threshold.tell if level else None
        event = self.add(threshold.kind, at, fired_at=now, level=level, told=told, cause=cause)
        return event, threshold

    @cached_property
    def tally(self) -> "_Tally":
        """What the events add up to, counted again after each."""
        tally = _Tally(self._calendar)
        for event in self.events:
            self._count_one(tally, event)
        tally.count = 2 + len(self.ladder)
        tally.due_at = self._deadline(tally, tally.goal)
        if tally.passed == 0 and tally.due_at and tally.retargeted_at:
            # A new goal that is already past breaches; a warning would come too late.
            tally.passed = int(tally.due_at <= tally.retargeted_at)
        if tally.running_since is not None:
            while tally.passed < tally.count and tally.next is None:
                if tally.passed not in tally.spared:
                    tally.next = self._threshold(tally, tally.passed)
                if tally.next is None:
                    tally.passed += 1
        tally.state = _state(tally)
        return tally

    def _forget(self) -> None:
        self.__dict__.pop("tally", None)

    def _count_one(self, tally: "_Tally", event: ClockEvent) -> None:
        match event.kind:
            case Kind.started:
                tally.running_since = tally.last_start = event.at
                tally.goal = event.goal or timedelta(0)
            case Kind.retargeted:
                tally.goal, tally.retargeted_at = event.goal or tally.goal, event.at
                if event.ladder is not None:
                    tally.passed = min(tally.passed, 2)
                    tally.spared = _told_before(tally.told, event.ladder)
            case Kind.paused | Kind.stopped | Kind.cancelled:
                tally.spent_before = tally.spent
                if tally.running_since is not None:
                    tally.spent += tally.calendar.between(tally.running_since, event.at)
                else:
                    # It rested: what was left would count from here.
                    tally.last_start = event.at
                tally.running_since = None
                if event.kind is not Kind.paused:
                    tally.over, tally.acknowledged_at = event, None
                    tally.calls_over += tally.call_owed is not None
                    tally.call_owed = None
            case Kind.resumed | Kind.reopened:
                tally.running_since = tally.last_start = event.at
                tally.over = None
                if tally.retargeted_at is not None and tally.spent >= tally.goal:
                    # The new goal went by while the clock rested: that counts from now.
                    tally.retargeted_at = event.at
            case Kind.warned:
                tally.warning, tally.passed = event, max(tally.passed, 1)
            case Kind.breached:
                tally.breach, tally.passed = event, max(tally.passed, 2)
            case Kind.escalated:
                tally.passed = 2 + (event.level or 0)
                if event.told is not None:
                    tally.told.append(event.told)
                if event.told in CALLERS:
                    tally.call_owed = event
            case Kind.acknowledged:
                tally.acknowledged_at = event.at
            case Kind.unacknowledged:
                tally.acknowledged_at, tally.released_at = None, event.at
            case Kind.called:
                tally.call_owed, tally.calls_over = None, tally.calls_over + 1

    def _threshold(
        self, tally: "_Tally", index: int, *, attended: bool = False
    ) -> Threshold | None:
        """The threshold of this index: 0 warning, 1 breach, 2… the ladder's levels.

        What is told at the breach itself is always told; the levels above it rest while somebody
        has it in hand. A level whose time went by meanwhile is due at the release: a claim delays
        the ladder and never sets it back, or claiming and releasing in turns would silence it.
        """
        if index == 0:
            at = self._deadline(tally, tally.goal * self.warn_at)
            return Threshold(at, Kind.warned, tell=self.owed_by) if at else None
        if index == 1:
            return Threshold(tally.due_at, Kind.breached) if tally.due_at else None
        level = self.ladder[index - 2]
        if level.after and (attended or tally.acknowledged_at):
            return None
        at = self._deadline(tally, tally.goal + level.after)
        if at and tally.released_at:
            at = max(at, tally.released_at)
        return Threshold(at, Kind.escalated, index - 1, level.tell, level.channels) if at else None

    def _deadline(self, tally: "_Tally", amount: timedelta) -> datetime | None:
        """When `amount` of time will have counted; None while resting, or beyond the known days."""
        before = tally.spent if tally.running_since is not None else tally.spent_before
        if tally.running_since is None and tally.over is None:
            return None
        try:
            return tally.calendar.add(tally.last_start, max(amount - before, timedelta(0)))
        except Refused:
            return None


class _Tally:
    """What a clock's events add up to."""

    __slots__ = (
        "acknowledged_at",
        "breach",
        "calendar",
        "call_owed",
        "calls_over",
        "count",
        "due_at",
        "goal",
        "last_start",
        "next",
        "over",
        "passed",
        "released_at",
        "retargeted_at",
        "running_since",
        "spared",
        "spent",
        "spent_before",
        "state",
        "told",
        "warning",
    )

    def __init__(self, calendar: Calendar) -> None:
        self.calendar = calendar
        self.goal = self.spent = self.spent_before = timedelta(0)
        self.running_since: datetime | None = None
        self.last_start = EARLIEST
        self.warning: ClockEvent | None = None
        self.breach: ClockEvent | None = None
        self.over: ClockEvent | None = None
        self.retargeted_at: datetime | None = None
        self.released_at: datetime | None = None
        self.acknowledged_at: datetime | None = None
        self.call_owed: ClockEvent | None = None
        self.passed = self.count = self.calls_over = 0
        self.told: list[Role] = []
        self.spared: set[int] = set()
        self.due_at: datetime | None = None
        self.next: Threshold | None = None
        self.state = Ticking.running


def _told_before(told: list[Role], ladder: tuple[Level, ...]) -> set[int]:
    """The thresholds of a new ladder's levels whose telling would repeat what was told before."""
    left = Counter(told)
    spared = set()
    for place, level in enumerate(ladder, 2):
        if left[level.tell] > 0:
            left[level.tell] -= 1
            spared.add(place)
    return spared


def _state(tally: _Tally) -> Ticking:
    if tally.over is not None and tally.over.kind is Kind.stopped:
        # The fact's own time decides, even if the breach was announced before the news came.
        late = tally.due_at is not None and tally.over.at > tally.due_at
        return Ticking.late if late or tally.spent > tally.goal else Ticking.kept
    if tally.breach is not None:
        return Ticking.breached
    if tally.over is not None:
        return Ticking.cancelled
    return Ticking.running if tally.running_since is not None else Ticking.paused
