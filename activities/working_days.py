"""The calendar port: an organisation's working time as plain windows (weekends, holidays, 调休)."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import chinese_calendar

from domain.calendars import Calendar
from domain.policy import Policy, PolicyError
from domain.refusals import Refused

Window = tuple[int, int]


class CalendarUnknown(PolicyError):
    """A year's working days are needed and nobody has told them: never a guess."""

    def __init__(self, year: int) -> None:
        super().__init__(
            f"The working days of {year} are not known yet; add its public holidays and make-up "
            f"working days to the policy under [working_time.years.{year}]."
        )
        self.year = year


def calendar_for(policy: Policy, now: datetime) -> Calendar:
    """The working time of a request that starts at `now`: from its local day to the horizon.

    It ends earlier where the known days end. A policy without working-day rules needs none: its
    calendar is empty.

    Raises:
        CalendarUnknown: the known days do not suffice for the longest working-day goal.
        PolicyError: the policy's horizon does not.
    """
    longest = _longest_goal(policy)
    if longest is None:
        return Calendar()
    zone = ZoneInfo(policy.timezone)
    today = now.astimezone(zone).date()
    horizon = (now + policy.working_time.horizon).astimezone(zone).date()
    windows: list[Window] = []
    unknown: int | None = None
    for day in _days(today, horizon):
        try:
            works = _is_working_day(policy, day)
        except CalendarUnknown as ended:
            unknown = ended.year
            break
        if works:
            windows += _hours(policy, day, zone)
    calendar = Calendar(windows=_merged(windows))
    if not _suffices(calendar, longest, now):
        if unknown is not None:
            raise CalendarUnknown(unknown)
        raise PolicyError("working_time.horizon is shorter than the longest working-day goal")
    return calendar


def _is_working_day(policy: Policy, day: date) -> bool:
    """Whether people work on `day`: by the policy's own year, else by the national calendar."""
    if own := policy.working_time.years.get(day.year):
        return day in own.workdays or (day not in own.holidays and day.weekday() < 5)
    try:
        return bool(chinese_calendar.is_workday(day))
    except NotImplementedError:
        raise CalendarUnknown(day.year) from None


def _suffices(calendar: Calendar, goal: timedelta, now: datetime) -> bool:
    # A calendar without windows would count around the clock.
    if not calendar.windows:
        return False
    try:
        calendar.add(now, goal)
    except Refused:
        return False
    return True


def _longest_goal(policy: Policy) -> timedelta | None:
    """The longest goal counted in working days, overrides included; None: there is none."""
    goals = (
        goal
        for rule in policy.rules.values()
        if rule.working_days
        for goal in (rule.goal, *(override.goal for override in rule.when))
        if isinstance(goal, timedelta)
    )
    return max(goals, default=None)


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=n) for n in range((last - first).days + 1))


def _hours(policy: Policy, day: date, zone: ZoneInfo) -> Iterator[Window]:
    """The working hours of one day; all of it when the policy names none."""
    if not policy.working_time.hours:
        yield _epoch(day, time(), zone), _epoch(day + timedelta(days=1), time(), zone)
    for start, end in policy.working_time.hours:
        yield _epoch(day, start, zone), _epoch(day, end, zone)


def _epoch(day: date, at: time, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, at, zone).timestamp())


def _merged(windows: list[Window]) -> tuple[Window, ...]:
    """The windows with those that touch made one."""
    merged: list[Window] = []
    for start, end in windows:
        touches = merged and merged[-1][1] == start
        merged.append((merged.pop()[0] if touches else start, end))
    return tuple(merged)
