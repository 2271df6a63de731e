"""What is kept of a view says the same at any later moment as the request itself."""

import json
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.intake import Brief
from domain.view import lasting, next_due, row, seen_at, view
from tests.pure import builders
from tests.pure.builders import working_days
from tests.pure.journeys import Step, arrived, briefs, steps

LATER = st.sampled_from([0, 1, 59, 3600, 86_400, 40 * 86_400]).map(lambda s: timedelta(seconds=s))


@settings(max_examples=50)
@given(start=briefs, path=steps, later=LATER)
def test_a_kept_view_read_later_is_the_view_at_that_moment(
    start: Brief, path: list[Step], later: timedelta
) -> None:
    journey = arrived(start, path)
    kept = json.loads(json.dumps(lasting(journey.request)))
    moment = journey.now + later
    again = journey.twin().request
    assert seen_at(kept, moment) == view(again, moment)
    # What the request itself counts, without any of this.
    remaining = [round(c.reading(moment).remaining.total_seconds(), 3) for c in again.clocks]
    assert [clock["remaining_seconds"] for clock in view(again, moment)["clocks"]] == remaining


def test_working_days_that_ended_take_nothing_more() -> None:
    story = builders.given(calendar=working_days(*range(7))).walked("accepted")
    story.did("appointed").did("arrived").did("depot_received")
    for days in (0, 1, 6, 7, 30):
        moment = story.now + timedelta(days=days)
        shown = seen_at(lasting(story.request), moment)["clocks"]
        (depot,) = (clock for clock in shown if clock["rule"] == "depot_repair")
        told = story.clock("depot_repair").reading(moment).remaining
        assert depot["remaining_seconds"] == told.total_seconds()


@settings(max_examples=25)
@given(start=briefs, path=steps)
def test_a_row_says_what_the_view_says(start: Brief, path: list[Step]) -> None:
    journey = arrived(start, path)
    short: dict[str, Any] = row(journey.request)
    whole = view(journey.request, journey.now)
    common = short.keys() & whole.keys()
    assert len(common) == 10
    assert {name: short[name] for name in common} == {name: whole[name] for name in common}
    dues = [clock["due_at"] for clock in whole["clocks"] if clock["due_at"]]
    assert (short["next_due"] in dues) == (next_due(journey.request) is not None)
