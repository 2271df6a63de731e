"""A promise as the second opinion has it: the time that counted, added up anew."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from audit.constraints import ZERO, Constraint, Hours
from audit.facts import Fact, Place

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
        known_at: when the platform knew all that its time depends on; nothing was due before.
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
    known_at: datetime
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
    def course(self) -> tuple[object, ...]:
        """What the moments at which something falls due depend on."""
        return (self.goal, self.ladder, self.since, self.last_start, self.ended_at)

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
