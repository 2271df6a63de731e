"""Cursors: the place in a list after which its next page begins, as text that comes back to us.

Whoever holds one may have written it. What is read here is fit to be compared with a column.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any

LONGEST = 500
"""Characters of a cursor; those of ours are well below."""

_INTEGERS = range(-(2**31), 2**31)
"""What fits into an integer column."""


class BadCursor(ValueError):
    """A cursor that did not come from a page of ours."""


def after(*place: int | str | datetime) -> str:
    """The cursor of what follows this place in the list."""
    written = [each.isoformat() if isinstance(each, datetime) else each for each in place]
    text = json.dumps(written, separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place(cursor: str, *kinds: type[int | str | datetime]) -> tuple[Any, ...]:
    """The place that a cursor names, of values of these kinds; moments in UTC.

    Raises:
        BadCursor: the cursor did not come from a page of this list.
    """
    try:
        if len(cursor) > LONGEST:
            raise ValueError("too long")
        values = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(values, list):
            raise TypeError("no list")
        return tuple(_READ[kind](value) for kind, value in zip(kinds, values, strict=True))
    except (ValueError, TypeError, OverflowError) as error:
        raise BadCursor("the cursor is not one that a page of this list gave") from error


def _integer(value: Any) -> int:
    if type(value) is not int or value not in _INTEGERS:
        raise ValueError("no integer of ours")
    return value


def _text(value: Any) -> str:
    # NUL and half of a surrogate pair are more than a database takes.
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("no text of ours")
    return value


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment.astimezone(UTC)


_READ = {int: _integer, str: _text, datetime: _moment}
