"""The verdicts as they are handed on: plain values that go to other processes, into JSON and onto
pages, and what they sum up to by rule.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from audit.constraints import CONSTRAINTS
from audit.facts import Place, Told
from audit.histories import Story
from audit.judging import Judgement
from audit.promises import Promise
from audit.wording import span
from domain.clocks import BROKEN, Ticking
from domain.rules import TARGETS, Rule
from domain.shown import ShownEvidence, ShownOutage, ShownVerdict
from domain.values import Value
from domain.vocabulary import Role

DASH = "—"
NOTABLE = timedelta(seconds=5)
"""A platform that notices within this is not called down."""


class Judged(Value):
    """Every promise of one request, judged.

    Attributes:
        timezone: in which its people live.
        policy: the name of the policy that it was judged under.
        until: the last moment that the request knew of.
    """

    number: str
    timezone: str
    policy: str
    station: str | None
    until: datetime
    promises: tuple[ShownVerdict, ...]
    outages: tuple[ShownOutage, ...]


def judged(story: Story, told: Told, found: Judgement, policy: str | None = None) -> Judged:
    """What was judged of a history.

    Args:
        policy: the name of the one it was judged under; None: its own.
    """
    runs = [run.run_id for run in story.runs]
    return Judged(
        number=told.number,
        timezone=told.brief["policy"]["timezone"],
        policy=policy or told.brief["policy"]["name"],
        station=told.brief["station"],
        until=told.until,
        promises=tuple(_shown(promise, runs) for promise in found.promises),
        outages=tuple(
            ShownOutage(began_at=off, ended_at=on)
            for off, on in found.outages
            if on - off >= NOTABLE
        ),
    )


def _shown(promise: Promise, runs: list[str]) -> ShownVerdict:
    return ShownVerdict(
        rule=Rule(promise.rule),
        zh=promise.constraint.zh,
        source=promise.constraint.source,
        constraint=promise.constraint.stated(span(promise.goal.total_seconds())),
        subject=promise.subject or None,
        goal_seconds=promise.goal.total_seconds(),
        started_at=promise.started_at,
        due_at=promise.due_at,
        done_at=promise.ended_at if promise.answered else None,
        breached_at=promise.breached_at,
        noticed_at=promise.noticed_at,
        standing=Ticking(promise.standing.value),
        owed_by=Role(promise.owed_by),
        who=promise.who,
        met_by=promise.met_by,
        person_late_seconds=promise.person_late.total_seconds(),
        platform_late_seconds=promise.platform_late.total_seconds(),
        evidence={name: _evidence(place, runs) for name, place in promise.evidence.items()},
    )


def _evidence(place: Place, runs: list[str]) -> ShownEvidence:
    run = runs.index(place.run) + 1 if len(runs) > 1 else None
    return ShownEvidence(event=place.event, run=run)


def late(seconds: float, *, zh: bool = False) -> str:
    """A lateness; a dash for none that anybody would notice."""
    return span(seconds, zh=zh) if seconds >= 0.05 else DASH


# --- by rule --------------------------------------------------------------------------------------


@dataclass
class RuleSum:
    """What became of all promises by one rule.

    Attributes:
        open: not ended yet, and not broken.
        cancelled: dropped in time, and so neither kept nor broken.
    """

    rule: Rule
    kept: int = 0
    late: int = 0
    breached: int = 0
    open: int = 0
    cancelled: int = 0
    person_late_seconds: float = 0
    platform_late_seconds: float = 0

    @property
    def zh(self) -> str:
        """The source's term."""
        return CONSTRAINTS[self.rule].zh

    @property
    def share_kept(self) -> float | None:
        """Of those decided; None: none is."""
        decided = self.kept + self.late + self.breached
        return self.kept / decided if decided else None

    @property
    def target(self) -> float | None:
        """The share that the standard wants kept; None: it says nothing."""
        return TARGETS.get(self.rule)

    @property
    def misses_target(self) -> bool:
        """Whether fewer were kept than wanted."""
        return None not in (self.share_kept, self.target) and self.share_kept < self.target  # type: ignore[operator]

    def count(self, promise: ShownVerdict) -> None:
        """One promise more."""
        standing = promise.standing
        column = "open" if standing in (Ticking.running, Ticking.paused) else standing.value
        setattr(self, column, getattr(self, column) + 1)
        self.person_late_seconds += promise.person_late_seconds
        self.platform_late_seconds += promise.platform_late_seconds

    def plain(self) -> dict[str, Any]:
        """In JSON types."""
        return {**vars(self), "zh": self.zh, "share_kept": self.share_kept, "target": self.target}


def by_rule(all_of_them: Iterable[Judged]) -> list[RuleSum]:
    """The sums of every rule by which something was promised, in the standard's order."""
    sums = {Rule(rule): RuleSum(Rule(rule)) for rule in CONSTRAINTS}
    for each in all_of_them:
        for promise in each.promises:
            sums[promise.rule].count(promise)
    empty = {rule: RuleSum(rule) for rule in sums}
    return [each for each in sums.values() if each != empty[each.rule]]


def counts(promises: Iterable[ShownVerdict]) -> dict[Ticking, int]:
    """How many were kept, late and breached."""
    found = dict.fromkeys((Ticking.kept, *sorted(BROKEN, reverse=True)), 0)
    for promise in promises:
        if promise.standing in found:
            found[promise.standing] += 1
    return found


# --- outages --------------------------------------------------------------------------------------


@dataclass
class Outage:
    """A time in which the platform noticed nothing, and the requests that felt it."""

    began_at: datetime
    ended_at: datetime
    numbers: set[str]

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.ended_at - self.began_at).total_seconds()

    def plain(self) -> dict[str, Any]:
        """In JSON types."""
        return {
            "began_at": self.began_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "numbers": sorted(self.numbers),
        }


def outages(all_of_them: Iterable[Judged]) -> list[Outage]:
    """The notable ones of all requests; those that overlap are one."""
    felt = sorted(
        (
            (outage.began_at, outage.ended_at, each.number)
            for each in all_of_them
            for outage in each.outages
        ),
    )
    merged: list[Outage] = []
    for began, ended, number in felt:
        if merged and began <= merged[-1].ended_at:
            merged[-1].ended_at = max(merged[-1].ended_at, ended)
            merged[-1].numbers.add(number)
        else:
            merged.append(Outage(began, ended, {number}))
    return merged
