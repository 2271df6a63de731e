"""The calendar port: weekends, public holidays, make-up days, lunch breaks, years without data."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from activities.working_days import CalendarUnknown, calendar_for
from domain.policy import Policy, PolicyError
from domain.rules import Rule
from tests.pure.builders import standard

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAY = timedelta(days=1)


def local(text: str, zone: ZoneInfo = SHANGHAI) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def policy(hours: str = "[]", horizon: str = "120d", years: str = "", zone: str = "") -> Policy:
    return standard(
        ("hours = []", f"hours = {hours}"),
        ('horizon = "120d"', f'horizon = "{horizon}"\n{years}'),
        ('timezone = "Asia/Shanghai"', f'timezone = "{zone or "Asia/Shanghai"}"'),
    )


def windows(of: Policy, now: str, zone: ZoneInfo = SHANGHAI) -> list[str]:
    """The windows in local time, as `10-08 00:00 → 10-12 00:00`."""
    found = calendar_for(of, local(now, zone)).windows
    edges = [[datetime.fromtimestamp(e, zone).strftime("%m-%d %H:%M") for e in w] for w in found]
    return [f"{start} → {end}" for start, end in edges]


def test_national_day_week_with_its_make_up_days() -> None:
    # 2024: 1 to 7 October are off; Sunday 29 September and Saturday 12 October are worked (调休).
    assert windows(policy(horizon="16d"), "2024-09-27T10:00") == [
        "09-27 00:00 → 09-28 00:00",
        "09-29 00:00 → 10-01 00:00",
        "10-08 00:00 → 10-13 00:00",
    ]


def test_five_working_days_over_national_day() -> None:
    calendar = calendar_for(policy(), local("2024-09-30T10:00"))
    # Monday's rest, then Tuesday 8 to Friday 11 October, and the morning of Saturday the 12th.
    assert calendar.add(local("2024-09-30T10:00"), 5 * DAY) == local("2024-10-12T10:00")


def test_spring_festival_with_its_make_up_days() -> None:
    # 2025: 28 January to 4 February are off; Sunday 26 January and Saturday 8 February are worked.
    assert windows(policy(horizon="16d"), "2025-01-24T08:00") == [
        "01-24 00:00 → 01-25 00:00",
        "01-26 00:00 → 01-28 00:00",
        "02-05 00:00 → 02-09 00:00",
    ]


def test_lunch_breaks() -> None:
    found = windows(policy('["09:00-12:00", "13:00-18:00"]', horizon="9d"), "2024-05-20T20:00")
    assert found[:4] == [
        "05-20 09:00 → 05-20 12:00",
        "05-20 13:00 → 05-20 18:00",
        "05-21 09:00 → 05-21 12:00",
        "05-21 13:00 → 05-21 18:00",
    ]
    # 20 to 24 May, and 27 to 29 May.
    assert len(found) == 2 * 8


def test_a_goal_of_working_days_is_measured_in_working_hours() -> None:
    split = policy('["09:00-12:00", "13:00-18:00"]')
    goal = timedelta(hours=40)
    assert split.rules[Rule.depot_repair].goal == goal
    calendar = calendar_for(split, local("2024-05-20T11:00"))
    assert calendar.add(local("2024-05-20T11:00"), goal) == local("2024-05-27T11:00")


def test_the_local_day_decides() -> None:
    # 23:00 on Sunday in UTC is already Monday in Shanghai.
    found = calendar_for(policy(), datetime(2024, 5, 19, 23, tzinfo=UTC))
    assert found.windows[0][0] == local("2024-05-20T00:00").timestamp()


@pytest.mark.parametrize(("zone", "hours"), [("Asia/Shanghai", 24), ("Europe/Berlin", 23)])
def test_days_are_as_long_as_they_are(zone: str, hours: int) -> None:
    """Shanghai has no summer time; in Berlin Sunday 2026-03-29 is an hour short."""
    own = "[working_time.years.2026]\nholidays = []\nworkdays = [2026-03-29]"
    of = policy(horizon="9d", years=own, zone=zone)
    calendar = calendar_for(of, local("2026-03-27T00:00", ZoneInfo(zone)))
    sunday = local("2026-03-29T00:00", ZoneInfo(zone))
    following = local("2026-03-30T00:00", ZoneInfo(zone))
    assert calendar.between(sunday, following) == timedelta(hours=hours)


def test_known_days_end_with_the_year_but_suffice() -> None:
    calendar = calendar_for(policy(), local("2026-12-21T09:00"))
    assert calendar.until == local("2027-01-01T00:00")


def test_a_year_without_data_is_a_loud_error() -> None:
    with pytest.raises(CalendarUnknown) as unknown:
        calendar_for(policy(), local("2026-12-28T09:00"))
    assert unknown.value.year == 2027
    assert "[working_time.years.2027]" in str(unknown.value)
    with pytest.raises(CalendarUnknown):
        calendar_for(policy(), local("2031-05-20T09:00"))


def test_a_year_that_the_policy_sets_itself() -> None:
    own = "[working_time.years.2027]\nholidays = [2027-01-01, 2027-01-04]\nworkdays = [2027-01-03]"
    calendar = calendar_for(policy(years=own), local("2026-12-31T12:00"))
    # Friday the 1st and Monday the 4th are off, Sunday the 3rd is worked.
    assert calendar.add(local("2026-12-31T12:00"), DAY) == local("2027-01-03T12:00")
    assert calendar.add(local("2026-12-31T12:00"), 2 * DAY) == local("2027-01-05T12:00")


def test_the_policys_year_wins_over_the_national_calendar() -> None:
    own = "[working_time.years.2024]\nholidays = []"
    calendar = calendar_for(policy(years=own), local("2024-10-01T09:00"))
    assert calendar.windows[0][0] == local("2024-10-01T00:00").timestamp()


def test_without_working_day_rules_no_calendar_is_needed() -> None:
    of = standard(("working_days = true", "working_days = false"), ('"5wd"', '"120h"'))
    assert calendar_for(of, local("2031-05-20T09:00")).windows == ()


def test_an_override_alone_needs_the_calendar_too() -> None:
    of = standard(
        (
            'goal = "5wd"\nworking_days = true',
            'goal = "none"\nworking_days = true\nwhen = [{ tier = "vip", goal = "3wd" }]',
        )
    )
    assert calendar_for(of, local("2024-05-20T09:00")).windows != ()


def test_a_horizon_too_short_for_the_goal_is_said_so() -> None:
    with pytest.raises(PolicyError, match="horizon is shorter"):
        calendar_for(policy(horizon="3d"), local("2024-05-20T09:00"))


def test_it_reaches_as_far_as_the_horizon() -> None:
    calendar = calendar_for(policy(horizon="30d"), local("2024-05-20T09:00"))
    assert calendar.until is not None
    assert calendar.until.astimezone(SHANGHAI).date() == date(2024, 6, 20)
