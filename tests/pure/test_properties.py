"""What holds on every journey that a request can take."""

import json
from datetime import timedelta

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.calendars import AROUND_THE_CLOCK
from domain.clocks import Clock, ClockEvent, Kind
from domain.effects import Entry
from domain.forms import forms
from domain.intake import Brief
from domain.view import obligations, view
from domain.vocabulary import ComplaintState
from tests.pure.journeys import Journey, Step, arrived, briefs, journeys, steps

EXAMPLES = 25


def counted(clock: Clock, until: ClockEvent | None = None) -> timedelta:
    """The time that a clock counted up to one of its events, told from its own events alone."""
    spent, since = timedelta(0), None
    for event in clock.events:
        if event is until:
            break
        if event.kind in (Kind.started, Kind.resumed, Kind.reopened):
            since = event.at
        elif event.kind in (Kind.paused, Kind.stopped, Kind.cancelled) and since is not None:
            spent += AROUND_THE_CLOCK.between(since, event.at)
            since = None
    if until is not None and since is not None:
        spent += AROUND_THE_CLOCK.between(since, until.at)
    return spent


def goal_at(clock: Clock, moment: ClockEvent) -> timedelta:
    goals = [e.goal for e in clock.events[: clock.events.index(moment)] if e.goal is not None]
    return goals[-1]


@settings(max_examples=EXAMPLES)
@given(briefs, steps)
def test_no_clock_breaches_early_and_none_is_missed(start: Brief, path: list[Step]) -> None:
    for journey, _ in journeys(start, path):
        journey.request.tick(journey.now)
        for clock in journey.request.clocks:
            reading = clock.reading(journey.now)
            if clock.is_live and not clock.is_paused and not clock.is_breached:
                assert reading.due_at is None or reading.due_at > journey.now
            if reading.state == "late":
                assert clock.is_breached, f"{clock.rule} was missed"
    for clock in journey.request.clocks:
        for breach in [e for e in clock.events if e.kind is Kind.breached]:
            assert breach.fired_at is not None
            assert breach.at <= breach.fired_at
            if clock.working_days or breach.fired_at > journey.now:
                continue
            spent, goal = counted(clock, until=breach), goal_at(clock, breach)
            assert spent == goal or (breach.cause == "retarget" and spent > goal)


@settings(max_examples=EXAMPLES)
@given(briefs, steps)
def test_time_spent_and_pauses_add_up_to_the_time_elapsed(start: Brief, path: list[Step]) -> None:
    for journey, _ in journeys(start, path):
        for clock in journey.request.clocks:
            if clock.working_days or not clock.is_live:
                continue
            rested, since = timedelta(0), None
            for event in clock.events:
                if event.kind in (Kind.paused, Kind.stopped, Kind.cancelled):
                    since = event.at
                elif event.kind in (Kind.resumed, Kind.reopened) and since is not None:
                    rested += event.at - since
                    since = None
            if since is not None:
                rested += journey.now - since
            elapsed = max(journey.now - clock.events[0].at, timedelta(0))
            assert clock.spent(journey.now) + rested == elapsed


@settings(max_examples=EXAMPLES)
@given(briefs, steps)
def test_nobody_is_told_a_level_twice_and_the_timeline_has_no_gaps(
    start: Brief, path: list[Step]
) -> None:
    journey = arrived(start, path)
    journey.effects += journey.request.tick(journey.now)
    assert [e.seq for e in journey.effects] == list(range(1, journey.request.revision + 1))
    for clock in journey.request.clocks:
        of_each_ladder: list[list[tuple[Kind, int | None]]] = [[]]
        for event in clock.events:
            if event.ladder is not None:
                of_each_ladder.append([])
            elif event.fired_at is not None:
                of_each_ladder[-1].append((event.kind, event.level))
        for fired in of_each_ladder:
            assert len(fired) == len(set(fired))


@settings(max_examples=EXAMPLES)
@given(briefs, steps)
def test_every_open_request_is_someones_and_a_closed_one_is_nobodys(
    start: Brief, path: list[Step]
) -> None:
    for journey, _ in journeys(start, path):
        request = journey.request
        if request.is_closed:
            assert request.live_clocks == []
            assert request.next_due() is None
            assert obligations(request, journey.now) == []
            assert request.allowed_events == []
            continue
        unsettled = [c for c in request.complaints if c.state is not ComplaintState.settled]
        assert obligations(request, journey.now) or unsettled or request.hold


@settings(max_examples=EXAMPLES)
@given(briefs, steps)
def test_a_refusal_changes_nothing_and_allowed_events_tell_the_truth(
    start: Brief, path: list[Step]
) -> None:
    journey = Journey(start)
    for step in path:
        later = journey.now + timedelta(seconds=step.jump)
        journey.effects += journey.request.tick(later)
        if step.what not in ("onward", "allowed", "any") or journey.request.seeks_engineer:
            journey.go(step)
            continue
        before, allowed = journey.request.model_dump(), journey.request.allowed_events
        refused = journey.go(step)
        if refused is None:
            assert journey.applied[-1].name in allowed
        else:
            assert journey.request.model_dump() == before
            assert refused.reason


@settings(max_examples=EXAMPLES)
@given(briefs, steps, st.integers(0, 40))
def test_a_request_read_back_from_the_wire_goes_on_as_if_nothing_had_happened(
    start: Brief, path: list[Step], cut: int
) -> None:
    journey, twin = Journey(start), None
    for place, step in enumerate(path):
        if place == cut:
            journey.effects += journey.request.tick(journey.now)
            twin = journey.twin()
            assert twin.request.model_dump() == journey.request.model_dump()
        journey.go(step)
        if twin is not None:
            twin.go(step)
    assume(twin is not None)
    assert twin is not None
    assert twin.request.model_dump_json() == journey.request.model_dump_json()
    assert [(d.at, d.what) for d in twin.request.agenda()] == [
        (d.at, d.what) for d in journey.request.agenda()
    ]


@settings(max_examples=EXAMPLES)
@given(briefs, steps)
def test_no_event_is_applied_twice(start: Brief, path: list[Step]) -> None:
    for journey, _ in journeys(start, path):
        count, revision = journey.request.event_count, journey.request.revision
        for again in journey.applied[-3:]:
            assert journey.request.hear(again, journey.now) == []
        assert (journey.request.event_count, journey.request.revision) == (count, revision)


@settings(max_examples=EXAMPLES)
@given(briefs, steps)
def test_everyone_can_look_at_any_time(start: Brief, path: list[Step]) -> None:
    journey = arrived(start, path)
    shown = view(journey.request, journey.now)
    assert json.loads(json.dumps(shown)) == shown
    json.dumps(obligations(journey.request, journey.now))
    for form in forms(journey.request):
        json.dumps(form.content)
    for effect in journey.effects:
        effect.model_dump_json()


@settings(max_examples=EXAMPLES)
@given(briefs, steps)
def test_the_agenda_is_what_then_happens(start: Brief, path: list[Step]) -> None:
    """Nobody acts: the clocks do what was announced, when it was announced."""
    journey = arrived(start, path)
    journey.request.tick(journey.now)
    if journey.request.hold or journey.request.parked:
        return  # Their end changes the agenda.
    announced = [
        (d.at, d.what) for d in journey.request.agenda() if d.threshold and "accept" not in d.what
    ]
    happened = [
        (line.at, line.name)
        for line in journey.request.tick(journey.now + timedelta(days=300))
        if isinstance(line, Entry)
        and line.kind == "clock"
        and "accept" not in line.name
        # A claim made before the breach acknowledges it when it comes: nothing anyone is told of.
        and not line.name.endswith(".acknowledged")
    ]
    assert [(moment, what.replace(": ", ".")) for moment, what in announced] == happened
