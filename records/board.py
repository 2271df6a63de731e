"""What a supervisor asks of all requests at once: counts, the queue, who owes what, how well.

Every answer is counted by the database from indexes: none reads a request's state.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from statistics import median
from typing import Any

from pydantic_core import from_json
from sqlalchemy import ColumnElement, Engine, and_, case, func, or_
from sqlmodel import Session, col, select

from domain.clocks import BROKEN, Ticking
from domain.rules import AFTERMATH, PROMISES, TARGETS, Rule
from domain.values import rfc3339
from domain.vocabulary import ClockState, Role, Stage, Urgency
from records import shown
from records.engine import reading
from records.master_data import Engineer
from records.tables import LIVE, NEVER, OPEN, Clock, Request, Workload

HOUR = timedelta(hours=1)
DECIDED = (Ticking.kept.value, *(state.value for state in BROKEN))


@dataclass(frozen=True)
class Board:
    """The counts, and the head of the queue.

    Attributes:
        queue: one short line per request, as `domain.view.row` makes it.
        written_at: everything written until then is in it; None: nothing ever was.
    """

    counts: dict[str, Any]
    queue: list[dict[str, Any]]
    written_at: datetime | None


@dataclass(frozen=True)
class Owed:
    """Promises of one kind: the first of them, and how many there are by rule and by owner."""

    items: list[dict[str, Any]]
    total: int
    by_rule: list[dict[str, Any]] = field(default_factory=list)
    by_owner: list[dict[str, Any]] = field(default_factory=list)


def board(engine: Engine, now: datetime, *, station: str | None = None, limit: int = 50) -> Board:
    """How everything open stands at `now`, and what is due next."""
    queue = select(Request.number).where(OPEN, *_at(Request.station, station))
    queue = queue.order_by(col(Request.turn), col(Request.next_due), col(Request.number))
    with reading(engine) as session:
        # First, so that whatever is written meanwhile still counts as news.
        written_at = last_written(session)
        numbers = session.exec(queue.limit(limit)).all()
        rows = [from_json(row) for row in shown.rows(session, numbers)]
        return Board(_counts(session, now, station), rows, written_at)


def counts(engine: Engine, now: datetime) -> dict[str, Any]:
    """How many requests are open and how they stand, and how many promises press."""
    with reading(engine) as session:
        return _counts(session, now, None)


def last_written(session: Session) -> datetime | None:
    """When a request was last written."""
    latest = select(Request.written_at).order_by(col(Request.written_at).desc()).limit(1)
    return session.exec(latest).first()


def due(
    engine: Engine,
    now: datetime,
    within: timedelta,
    *,
    station: str | None = None,
    limit: int = 100,
) -> Owed:
    """The promises that break within this time if nobody acts, the next first."""
    pressing = _pressing(now, within)
    with reading(engine) as session:
        total = _how_many(session, pressing, station)
        return Owed(_promises(session, [pressing], station, limit), total)


def breached(
    engine: Engine, now: datetime, *, station: str | None = None, limit: int = 100
) -> Owed:
    """The broken promises that are still owed, the oldest first, and who owes them.

    One that nobody has noticed yet, because no worker is there, is among them.
    """
    broken = [_broken(now), *_at(Clock.station, station)]
    by = (col(Clock.rule), col(Clock.owed_role), col(Clock.owed_by))
    grouped = select(*by, func.count()).where(*broken).group_by(*by)
    by_rule: Counter[str] = Counter()
    by_owner: Counter[tuple[str, str | None]] = Counter()
    with reading(engine) as session:
        for rule, role, who, count in session.exec(grouped):
            by_rule[rule] += count
            by_owner[role, who] += count
        items = _promises(session, [_announced(), _unnoticed(now)], station, limit)
    return Owed(
        items,
        by_owner.total(),
        [
            {"rule": rule, "zh": PROMISES[Rule(rule)].zh, "count": count}
            for rule, count in by_rule.most_common()
        ],
        [
            {"role": role, "id": who, "count": count}
            for (role, who), count in sorted(by_owner.items(), key=_most_first)
        ],
    )


def workload(
    engine: Engine, now: datetime, most_unfinished: int, *, station: str | None = None
) -> list[dict[str, Any]]:
    """Every engineer with what they hold and what presses, the overloaded first.

    Args:
        most_unfinished: how much work the matching gives to one engineer.
    """
    masters = select(Engineer.id, Engineer.station, Engineer.active)
    masters = masters.where(*_at(Engineer.station, station))
    held = select(Workload.engineer, func.count()).group_by(col(Workload.engineer))
    with reading(engine) as session:
        engineers: dict[str, tuple[str | None, bool]] = {
            id: (where, active) for id, where, active in session.exec(masters)
        }
        holds = dict(session.exec(held).all())
        presses = _pressing_by_engineer(session, now)
    if station is None:  # An outside provider has work, and no row of its own.
        engineers |= {id: (None, True) for id in holds if id not in engineers}
    told = [
        {
            "engineer": id,
            "station": where,
            "active": active,
            "open_work": holds.get(id, 0),
            **presses.get(id, _NOTHING),
            "capacity": most_unfinished,
            "overloaded": holds.get(id, 0) > most_unfinished,
        }
        for id, (where, active) in engineers.items()
        if active or id in holds
    ]
    return sorted(told, key=_busiest_first)


def punctuality(
    engine: Engine, begins: datetime, ends: datetime, *, station: str | None = None
) -> list[dict[str, Any]]:
    """How well each rule was kept by the promises decided in this time.

    A promise is decided once: when it was kept, or when it broke. Meeting it later makes it late,
    on the same day.
    """
    decided = [
        # Named one by one, so that each is one range of the index.
        col(Clock.rule).in_(list(Rule)),
        col(Clock.state).in_(DECIDED),
        col(Clock.decided_at) >= begins,
        col(Clock.decided_at) < ends,
        *_at(Clock.station, station),
    ]
    by = (col(Clock.rule), col(Clock.state))
    late = select(Clock.rule, Clock.late_seconds).where(*decided)
    late = late.where(Clock.state == Ticking.late.value)
    with reading(engine) as session:
        counted = session.exec(select(*by, func.count()).where(*decided).group_by(*by)).all()
        lateness: dict[str, list[float]] = defaultdict(list)
        for rule, seconds in session.exec(late):
            lateness[rule].append(seconds or 0.0)
    numbers = {(rule, state): count for rule, state, count in counted}
    return [_kept(rule, numbers, lateness[rule.value]) for rule in Rule]


# --- counts ---------------------------------------------------------------------------------------


def _counts(session: Session, now: datetime, station: str | None) -> dict[str, Any]:
    by = (col(Request.stage), col(Request.clock_state), col(Request.urgency))
    counted = select(*by, func.count()).where(OPEN, *_at(Request.station, station)).group_by(*by)
    stages: Counter[str] = Counter()
    states: Counter[str] = Counter()
    urgencies: Counter[str] = Counter()
    for stage, state, urgency, count in session.exec(counted):
        stages[stage] += count
        states[state] += count
        urgencies[urgency] += count
    return {
        "open": stages.total(),
        "by_stage": {stage.value: stages[stage] for stage in Stage if stage is not Stage.closed},
        "by_clock_state": {state.value: states[state] for state in ClockState},
        "by_urgency": {urgency.value: urgencies[urgency] for urgency in Urgency},
        "promises_breached": _how_many(session, _broken(now), station),
        "promises_due_within_hour": _how_many(session, _pressing(now, HOUR), station),
    }


def _how_many(session: Session, owed: ColumnElement[bool], station: str | None) -> int:
    counted = select(func.count()).select_from(Clock).where(owed, *_at(Clock.station, station))
    return session.exec(counted).one()


# --- conditions -----------------------------------------------------------------------------------


def _at(column: Any, station: str | None) -> Sequence[ColumnElement[bool]]:
    return [] if station is None else [col(column) == station]


def _pressing(now: datetime, within: timedelta) -> ColumnElement[bool]:
    """Owed, and due from now on."""
    return and_(
        LIVE,
        col(Clock.state) == Ticking.running.value,
        col(Clock.due_at) >= now,
        col(Clock.due_at) < now + within,
    )


def _announced() -> ColumnElement[bool]:
    """Owed, past, and noticed."""
    return and_(LIVE, col(Clock.state) == Ticking.breached.value)


def _unnoticed(now: datetime) -> ColumnElement[bool]:
    """Owed and past, while no worker was there to notice."""
    return and_(LIVE, col(Clock.state) == Ticking.running.value, col(Clock.due_at) < now)


def _broken(now: datetime) -> ColumnElement[bool]:
    return or_(_announced(), _unnoticed(now))


# --- promises -------------------------------------------------------------------------------------


def _promises(
    session: Session, kinds: Sequence[ColumnElement[bool]], station: str | None, limit: int
) -> list[dict[str, Any]]:
    """The first of these kinds of promises, the earliest due first; those that rest come last."""
    order = (col(Clock.due_at), col(Clock.number), col(Clock.place))
    first: list[Clock] = []
    for dated in (col(Clock.due_at).is_not(None), col(Clock.due_at).is_(None)):
        for kind in kinds if len(first) < limit else ():
            wanted = select(Clock).where(kind, dated, *_at(Clock.station, station))
            first += session.exec(wanted.order_by(*order).limit(limit))
    first = sorted(first, key=_earliest)[:limit]
    numbers = sorted({clock.number for clock in first})
    rows = dict(zip(numbers, shown.rows(session, numbers), strict=True))
    return [{**_promise(clock), "request": from_json(rows[clock.number])} for clock in first]


def _earliest(clock: Clock) -> tuple[datetime, str, int]:
    return clock.due_at or NEVER, clock.number, clock.place


def _promise(clock: Clock) -> dict[str, Any]:
    rule = Rule(clock.rule)
    return {
        "number": clock.number,
        "rule": rule.value,
        "zh": PROMISES[rule].zh,
        "subject": clock.subject or None,
        "due_at": rfc3339(clock.due_at),
        "breached_at": rfc3339(clock.breached_at),
        "owed_by": {"role": clock.owed_role, "id": clock.owed_by},
        "on_breach": {"tells": clock.tells, "does": AFTERMATH.get(rule)},
    }


def _most_first(counted: tuple[tuple[str, str | None], int]) -> tuple[int, str, str]:
    (role, who), count = counted
    return -count, role, who or ""


# --- engineers ------------------------------------------------------------------------------------

_NOTHING = {"offers_open": 0, "due_within_hour": 0, "breached": 0}


def _pressing_by_engineer(session: Session, now: datetime) -> dict[str, dict[str, int]]:
    """What each engineer must answer or do soon, or should have done."""

    def how_many(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)

    pressing, broken = _pressing(now, HOUR), _broken(now)
    # An offer is to be answered within minutes, so it always presses.
    offered = and_(col(Clock.rule) == Rule.accept.value, pressing)
    counted = (
        select(col(Clock.owed_by), how_many(offered), how_many(pressing), how_many(broken))
        .where(
            or_(pressing, broken),
            Clock.owed_role == Role.engineer.value,
            col(Clock.owed_by).is_not(None),
        )
        .group_by(col(Clock.owed_by))
    )
    return {
        str(who): {"offers_open": offers, "due_within_hour": soon, "breached": late}
        for who, offers, soon, late in session.exec(counted)
    }


def _busiest_first(told: dict[str, Any]) -> tuple[Any, ...]:
    return (
        told["capacity"] - told["open_work"],
        -told["breached"],
        -told["due_within_hour"],
        told["engineer"],
    )


# --- how well -------------------------------------------------------------------------------------


def _kept(rule: Rule, counted: dict[tuple[str, str], int], late: list[float]) -> dict[str, Any]:
    kept, too_late, not_met = (
        counted.get((rule.value, state.value), 0)
        for state in (Ticking.kept, Ticking.late, Ticking.breached)
    )
    decided = kept + too_late + not_met
    share = kept / decided if decided else None
    target = TARGETS.get(rule)
    in_order = sorted(late)
    return {
        "rule": rule.value,
        "zh": PROMISES[rule].zh,
        "kept": kept,
        "late": too_late,
        "breached": not_met,
        "percentage": None if share is None else round(share * 100, 2),
        "target_percentage": None if target is None else target * 100,
        "on_target": None if share is None or target is None else share >= target,
        "median_late_seconds": median(in_order) if in_order else None,
        "p90_late_seconds": in_order[ceil(len(in_order) * 0.9) - 1] if in_order else None,
    }
