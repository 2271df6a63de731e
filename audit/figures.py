"""What the traces of many requests come to: how often what follows what and after how long, the
ways that requests take, and what goes wrong most.

Only counts are kept, so that a month of a hundred thousand requests needs hardly more memory than
one of a hundred. Times are therefore kept in classes a hundredth apart.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from audit.event_log import UNKNOWN, Happening, Trace
from audit.event_names import EVENT_NAMES, english
from domain.events import ASIDE, EVENTS
from domain.rules import PROMISES, Rule
from domain.vocabulary import ComplaintClass, Stage

BEGIN, END = "received", "closed"
STEPS = frozenset(
    {BEGIN, END, "offered", "no_answer", "hold_ended"} | set(EVENTS) - ASIDE - {"noted"}
)
"""What moves a request or tells of its way: the steps of a variant and of the process map."""

MOST_VARIANTS = 10_000
"""So many ways are kept step by step; the rest are only told apart, to be counted."""

_CLASS = math.log(1.01)


class Spans:
    """Lengths of time, counted in classes a hundredth apart; under a second is none."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, length: timedelta) -> None:
        """Count one."""
        seconds = length.total_seconds()
        self._counts[round(math.log(seconds) / _CLASS) + 1 if seconds >= 1 else 0] += 1

    def __len__(self) -> int:
        return self._counts.total()

    @property
    def median(self) -> timedelta | None:
        """The length that half of them do not exceed, to a hundredth; None: there are none."""
        return self.within(0.5)

    def within(self, share: float) -> timedelta | None:
        """The length that this share of them does not exceed."""
        wanted, seen = len(self) * share, 0
        for place in sorted(self._counts):
            seen += self._counts[place]
            if seen >= wanted:
                return timedelta(seconds=math.exp((place - 1) * _CLASS) if place else 0)
        return None


class Problem(NamedTuple):
    """Something that went wrong, in how many requests."""

    name: str
    zh: str
    requests: int


@dataclass
class Figures:
    """Counts over many traces.

    Attributes:
        activities: how often each step happened; follows: how often one directly followed
            another, and waits: after how long.
        stages: how long requests were in each stage, each time.
        variants: how many requests took each way from step to step, of the first `MOST_VARIANTS`
            ways; rare_variants: the hashes of the ways beyond them.
        unfitting: the requests that left the process model, with where.
    """

    requests: int = 0
    happenings: int = 0
    activities: Counter[str] = field(default_factory=Counter)
    waits: dict[tuple[str, str], Spans] = field(default_factory=dict)
    stages: dict[Stage, Spans] = field(default_factory=dict)
    durations: Spans = field(default_factory=Spans)
    variants: Counter[tuple[str, ...]] = field(default_factory=Counter)
    rare_variants: set[int] = field(default_factory=set)
    outcomes: Counter[str] = field(default_factory=Counter)
    troubled: Counter[tuple[str, str]] = field(default_factory=Counter)
    unfitting: list[tuple[str, str]] = field(default_factory=list)

    @property
    def follows(self) -> dict[tuple[str, str], int]:
        """How often one step directly followed another."""
        return {pair: len(spans) for pair, spans in self.waits.items()}

    def commonest(self, most: int) -> list[tuple[tuple[str, ...], int]]:
        """The ways that most requests took, with how many."""
        return sorted(self.variants.items(), key=lambda item: (-item[1], item[0]))[:most]

    @property
    def ways(self) -> int:
        """How many different ways requests took."""
        return len(self.variants) + len(self.rare_variants)

    @property
    def problems(self) -> list[Problem]:
        """What went wrong, in most requests first."""
        found = [Problem(name, zh, count) for (name, zh), count in self.troubled.items()]
        return sorted(found, key=lambda problem: (-problem.requests, problem.name))

    def add(self, trace: Trace) -> None:
        """Count one request."""
        steps = [each for each in trace.happenings if each.activity in STEPS]
        self.requests += 1
        self.happenings += len(trace.happenings)
        self.activities.update(each.activity for each in steps)
        for one, next_one in pairwise(steps):
            spans = self.waits.setdefault((one.activity, next_one.activity), Spans())
            spans.add(next_one.at - one.at)
        for stage, length in _stays(trace.happenings):
            self.stages.setdefault(stage, Spans()).add(length)
        if steps:
            self.durations.add(steps[-1].at - steps[0].at)
        way = tuple(each.activity for each in steps)
        if way in self.variants or len(self.variants) < MOST_VARIANTS:
            self.variants[way] += 1
        else:
            self.rare_variants.add(hash(way))
        self.outcomes[str(trace.attributes.get("outcome", "—"))] += 1
        self.troubled.update(set(_troubles(trace)))
        if trace.left is not None:
            self.unfitting.append((trace.number, trace.left))

    def as_json(self) -> dict[str, Any]:
        """For machines; lengths in seconds."""
        return {
            "requests": self.requests,
            "events": self.happenings,
            "outcomes": dict(self.outcomes.most_common()),
            "duration": _lengths(self.durations),
            "activities": dict(self.activities.most_common()),
            "follows": [
                {"from": one, "to": other, **_lengths(spans)}
                for (one, other), spans in sorted(
                    self.waits.items(), key=lambda item: (-len(item[1]), item[0])
                )
            ],
            "stages": {
                stage: _lengths(self.stages[stage]) for stage in Stage if stage in self.stages
            },
            "variants": [
                {"requests": count, "steps": list(way)} for way, count in self.commonest(50)
            ],
            "variants_in_all": self.ways,
            "problems": [
                {
                    "name": problem.name,
                    "zh": problem.zh,
                    "requests": problem.requests,
                    "share": round(problem.requests / self.requests, 4),
                }
                for problem in self.problems
            ],
            "outside_the_model": self.outside(),
        }

    def outside(self) -> list[dict[str, str]]:
        """The requests that left the process model and where, for machines."""
        return [{"request": number, "where": where} for number, where in self.unfitting]


def _lengths(spans: Spans) -> dict[str, float | int | None]:
    half, most = spans.median, spans.within(0.9)
    return {
        "count": len(spans),
        "median_seconds": round(half.total_seconds(), 1) if half is not None else None,
        "nine_in_ten_seconds": round(most.total_seconds(), 1) if most is not None else None,
    }


def _stays(happenings: Iterable[Happening]) -> Iterator[tuple[Stage, timedelta]]:
    """How long the request stayed in each stage, one after another."""
    stood: Stage | None = None
    since = None
    for each in happenings:
        named = each.attributes["stage"]
        stage = Stage(str(named)) if named != UNKNOWN else stood
        if stage is stood:
            continue
        if stood is not None and since is not None:
            yield stood, each.at - since
        stood, since = stage, each.at


_ALSO_WRONG = ("declined", "no_answer", "no_show", "visit_needed", "quote_declined", "cancelled")


def _troubles(trace: Trace) -> Iterator[tuple[str, str]]:
    """What went wrong with a request, in both languages."""
    for each in trace.happenings:
        rule, _, what = each.activity.rpartition(".")
        if what == "breached":
            yield f"Promise broken: {rule}", f"超时：{PROMISES[Rule(rule)].zh}"
        elif each.activity in _ALSO_WRONG:
            yield english(each.activity), EVENT_NAMES[each.activity]
    for thing in trace.things:
        if thing.type == "complaint":
            about = ComplaintClass(str(thing.attributes["class"]))
            yield f"Complaint: {english(about)}", f"投诉：{about.zh}"
