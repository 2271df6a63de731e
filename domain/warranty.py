"""Warranty: in force until so many months after the purchase (S1 3.1)."""

import calendar
from datetime import date

from .intake import Warranty


def warranty(purchased_on: date | None, months: int, today: date) -> Warranty:
    """The warranty of a product bought on that day; unknown when the day is, or lies ahead."""
    if purchased_on is None or purchased_on > today:
        return Warranty()
    years, month = divmod(purchased_on.month - 1 + months, 12)
    year = purchased_on.year + years
    day = min(purchased_on.day, calendar.monthrange(year, month + 1)[1])
    until = date(year, month + 1, day)
    return Warranty(in_force=today <= until, until=until)
