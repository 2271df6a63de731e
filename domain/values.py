"""The small values that every model of ours is built from: bounded text, zoned times, money."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

LONGEST = timedelta(days=3660)
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


class Value(BaseModel):
    """A value from outside: unknown fields are refused, and it never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


class State(BaseModel):
    """A part of the request's own state."""

    model_config = ConfigDict(extra="forbid")


def _in_range(moment: datetime) -> datetime:
    if not EARLIEST <= moment < LATEST:
        raise ValueError("time must lie between the years 2000 and 2100")
    return moment.astimezone(UTC)


_CONTROL = re.compile(r"[^\t\r\n\x20-\x7e\xa0-\U0010ffff]")


def _no_control(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("text must not contain control characters")
    return text


def _written_out(value: object) -> object:
    if isinstance(value, int | float) or (isinstance(value, str) and value[4:5] != "-"):
        raise ValueError("write the time out as RFC 3339, such as 2026-05-20T09:15:00+08:00")
    return value


Moment = Annotated[AwareDatetime, AfterValidator(_in_range), BeforeValidator(_written_out)]
"""A time with a zone, kept in UTC."""


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=64),
    AfterValidator(_no_control),
]
"""An identifier or a short name."""

Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_no_control),
]
"""One line of text."""

Prose = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=4000),
    AfterValidator(_no_control),
]
"""What a person wrote, in their own words."""


def rfc3339(moment: datetime | None) -> str | None:
    """A UTC time as it travels: `2026-05-20T01:15:00Z`."""
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def yuan(amount: Decimal) -> Decimal:
    """`amount` rounded to the fen (分)."""
    return amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


Money = Annotated[
    Decimal,
    Field(ge=0, le=10_000_000, allow_inf_nan=False),
    AfterValidator(yuan),
    PlainSerializer(float, return_type=float, when_used="json"),
]
"""An amount in yuan (元), exact to the fen."""

Amount = Annotated[
    Decimal,
    Field(allow_inf_nan=False),
    AfterValidator(yuan),
    PlainSerializer(float, return_type=float, when_used="json"),
]
"""A sum of money: larger than any single price may be."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")


def parse_duration(value: object) -> object:
    """`"10m"`, `"1h30m"`, `"3d"` as a timedelta; anything else is left to pydantic.

    Raises:
        ValueError: the text looks like neither our form nor ISO 8601.
    """
    if not isinstance(value, str) or value[:1] in ("P", "-"):
        return value
    parts = _DURATION.findall(value)
    if not parts or "".join(n + u for n, u in parts) != value:
        raise ValueError("write a length of time, such as 90s, 10m, 2h, 1h30m or 5d")
    seconds = sum(float(n) * _UNITS[u] for n, u in parts)
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"write at most {LONGEST.days}d")
    return timedelta(seconds=seconds)


def canonical(document: Any) -> str:
    """JSON that is always the same for the same document, so that it can be hashed."""
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


WRITTEN_SPAN = WithJsonSchema(
    {"type": "string", "pattern": r"^(\d+(\.\d+)?[smhd])+$|^P", "examples": ["10m", "PT10M"]},
    mode="validation",
)
"""How a length of time is described to those who send one."""

Duration = Annotated[timedelta, BeforeValidator(parse_duration), WRITTEN_SPAN]
"""A length of time: `10m`, `24h`, `1h30m` or ISO 8601 (`PT10M`)."""
