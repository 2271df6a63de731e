"""Working time as arithmetic over windows."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.calendars import AROUND_THE_CLOCK, Calendar
from domain.refusals import Refused
from tests.pure.builders import START, at, length, working_days

SPLIT = working_days(*(d for d in range(120) if d % 7 < 5), hours=((9, 12), (13, 18)))

starts = st.timedeltas(timedelta(0), timedelta(days=60)).map(lambda after: START + after)
amounts = st.timedeltas(timedelta(0), timedelta(hours=150))
calendars = st.sampled_from([SPLIT, AROUND_THE_CLOCK, working_days(*range(200))])


@given(calendars, starts, amounts)
def test_what_is_added_is_what_lies_between(
    calendar: Calendar, start: datetime, amount: timedelta
) -> None:
    end = calendar.add(start, amount)
    assert calendar.between(start, end) == amount


@given(calendars, starts, amounts, amounts)
def test_time_adds_up_across_a_moment_in_between(
    calendar: Calendar, start: datetime, first: timedelta, second: timedelta
) -> None:
    middle = calendar.add(start, first)
    assert calendar.add(middle, second) == calendar.add(start, first + second)


@given(calendars, starts, amounts)
def test_an_end_before_the_start_lies_no_time_away(
    calendar: Calendar, start: datetime, amount: timedelta
) -> None:
    assert calendar.between(start + amount, start) == timedelta(0)


def test_around_the_clock_is_the_wall_clock() -> None:
    assert AROUND_THE_CLOCK.add(START, length("5d")) == at("5d")
    assert AROUND_THE_CLOCK.between(START, at("5d")) == length("5d")


@pytest.mark.parametrize(
    ("start", "amount", "end"),
    [
        ("0s", "3h", "3h"),  # until lunch, to the second
        ("0s", "3h1s", "4h1s"),  # one second after lunch
        ("3h30m", "1h", "5h"),  # begun in the break
        ("0s", "8h", "9h"),  # until closing time
        ("0s", "9h", "25h"),  # into Tuesday
        ("4d8h", "2h", "7d1h"),  # Friday afternoon into Monday
        ("5d", "1h", "7d1h"),  # begun on Saturday
        ("5d", "0s", "7d"),
    ],
)
def test_lunch_breaks_nights_and_weekends_do_not_count(start: str, amount: str, end: str) -> None:
    assert SPLIT.add(at(start), length(amount)) == at(end)


def test_past_the_known_days_is_a_refusal_and_not_a_guess() -> None:
    week = working_days(*range(5))
    with pytest.raises(Refused) as refused:
        week.add(START, length("5d"))
    assert refused.value.code == "calendar_exhausted"
    assert "2024-05-24" in refused.value.reason


@pytest.mark.parametrize(
    "windows", [[(5, 5)], [(5, 4)], [(0, 10), (9, 20)], [(10, 20), (0, 5)], [(-5, 5)]]
)
def test_windows_are_in_order_and_do_not_overlap(windows: list[tuple[int, int]]) -> None:
    with pytest.raises(ValidationError, match="in order"):
        Calendar(windows=tuple(windows))
