"""Every promise judged again, from what happened alone.

This is a second opinion: the time that counted is added up here, by the constraints of
`audit/constraints.py`, and shares no code with the clocks. What the request itself made of the
same facts is then compared with it. Judged under another policy, the same facts say what would
have been broken and what not.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.constraints import ZERO, Json
from audit.facts import Told
from audit.hearing import Doubt, Hearing
from audit.promises import Promise, Span, Standing


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
    hearing = Hearing(told, policy or told.brief["policy"], hours)
    for fact in told.facts:
        hearing.hear(fact)
    hearing.close(told.until)
    outages = _merged(hearing.outages)
    for promise in hearing.promises:
        _share_out_the_lateness(promise, outages, told.until)
    doubts = [] if policy else [*hearing.doubts, *_compared(hearing.promises, told)]
    return Judgement(hearing.promises, doubts, outages)


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
