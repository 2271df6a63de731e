"""Marks in the stream of changes: the ids of its events, understood by every API process."""

from datetime import UTC, datetime, timedelta

_START = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def mark(written_at: datetime | None) -> str:
    """The mark of what was written until then."""
    return str((written_at - _START) // _MICROSECOND if written_at else 0)


def moment_of(mark: str) -> datetime | None:
    """The moment that a mark stands for; None: it is not one of ours."""
    if not (mark.isascii() and mark.isdigit() and len(mark) <= 17):
        return None
    return _START + int(mark) * _MICROSECOND
