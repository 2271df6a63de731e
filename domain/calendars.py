"""Calendars as plain arithmetic: the working time of a request, resolved when it starts.

A clock runs either around the clock or only inside working windows. The windows are resolved once
(weekends, holidays, make-up working days, lunch breaks, split shifts) and travel in the request,
so that the same clock gives the same answer years later.
"""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from typing import Self

from pydantic import model_validator

from .refusals import Refused
from .values import Value


class Calendar(Value):
    """Working time as half-open windows of epoch seconds, in order; none: around the clock."""

    windows: tuple[tuple[int, int], ...] = ()

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        ends = 0
        for start, end in self.windows:
            if not ends <= start < end:
                raise ValueError("calendar windows must be in order and not overlap")
            ends = end
        return self

    @property
    def until(self) -> datetime | None:
        """Where the known working time ends; None: never."""
        return datetime.fromtimestamp(self.windows[-1][1], UTC) if self.windows else None

    def add(self, start: datetime, amount: timedelta) -> datetime:
        """The moment when `amount` of working time has passed since `start`.

        Raises:
            Refused: the calendar's known days end before that (`calendar_exhausted`).
        """
        if not self.windows:
            return start + amount
        at, left = start.timestamp(), amount.total_seconds()
        for opens, closes in self.windows[max(self._index(at), 0) :]:
            begins = max(at, opens)
            if begins >= closes:
                continue
            if begins + left <= closes:
                return datetime.fromtimestamp(begins + left, UTC)
            left -= closes - begins
        raise Refused("calendar_exhausted", until=self.until)

    def between(self, start: datetime, end: datetime) -> timedelta:
        """The working time from `start` to `end`; zero when `end` is not later."""
        if end <= start:
            return timedelta(0)
        if not self.windows:
            return end - start
        a, b = start.timestamp(), end.timestamp()
        windows = self.windows[max(self._index(a), 0) : self._index(b) + 1]
        inside = (min(b, closes) - max(a, opens) for opens, closes in windows if closes > a)
        return timedelta(seconds=sum(inside))

    def _index(self, at: float) -> int:
        return bisect_right(self.windows, (at, float("inf"))) - 1


AROUND_THE_CLOCK = Calendar()
