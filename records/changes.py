"""What has changed since a moment: how a stream of changes learns of them, from any process."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlmodel import Session, col, select

from records import shown
from records.board import last_written
from records.engine import LOCK_SECONDS, reading
from records.tables import Request

OVERLAP = timedelta(seconds=LOCK_SECONDS + 2)
"""How long after its time of writing a change may become visible: its transaction may have waited
for a lock, and the clocks of two writers may differ a little."""


@dataclass(frozen=True)
class News:
    """What changed, as far as it was not known.

    Attributes:
        rows: the requests that changed, each as `domain.view.row` in JSON, the earliest first.
        known: when each request that changed of late was written; to be handed in the next time.
        until: everything written until then has been told; None: nothing was ever written.
        left: so many changes are left for the next time.
    """

    rows: list[str]
    known: dict[str, datetime]
    until: datetime | None
    left: int = 0


def present(engine: Engine) -> News:
    """Where news begin: everything so far is known."""
    with reading(engine) as session:
        until = last_written(session)
        changed = _changed(session, until - OVERLAP) if until else []
        return News([], dict(changed), until)


def news(engine: Engine, before: News, most: int) -> News:
    """What changed since `before`, at most so many requests, each as it is now."""
    with reading(engine) as session:
        changed = _changed(session, before.until - OVERLAP if before.until else None)
        fresh = _not_known(changed, before.known)
        if not fresh:
            return News([], dict(changed), before.until)
        told = fresh[:most]
        rows = shown.rows(session, [number for number, _ in told])
    until = max(written_at for _, written_at in told)
    if before.until is not None:
        until = max(until, before.until)
    # Only what was told is known; of the others, what was known before still is.
    known = {**_still(before.known, changed), **dict(told)}
    return News(rows, known, until, len(fresh) - len(told))


def missed(engine: Engine, since: datetime, most: int) -> list[str] | None:
    """What changed since somebody last listened; None: more than so many requests."""
    with reading(engine) as session:
        changed = _changed(session, since - OVERLAP, most + 1)
        if len(changed) > most:
            return None
        return shown.rows(session, [number for number, _ in changed])


def _changed(
    session: Session, after: datetime | None, most: int | None = None
) -> list[tuple[str, datetime]]:
    order = (col(Request.written_at), col(Request.number))
    wanted = select(Request.number, Request.written_at).order_by(*order).limit(most)
    if after is not None:
        wanted = wanted.where(Request.written_at > after)
    return list(session.exec(wanted))


def _not_known(
    changed: list[tuple[str, datetime]], known: Mapping[str, datetime]
) -> list[tuple[str, datetime]]:
    return [each for each in changed if known.get(each[0]) != each[1]]


def _still(
    known: Mapping[str, datetime], changed: list[tuple[str, datetime]]
) -> dict[str, datetime]:
    return {number: known[number] for number, _ in changed if number in known}
