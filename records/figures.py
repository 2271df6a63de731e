"""How the whole house stands, in numbers: what the metrics show. No names, no ids."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Executable, case, func
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from domain.rules import Rule
from domain.vocabulary import ClockState, SendingState, Stage
from records.chain import waiting_since
from records.engine import reading
from records.tables import Clock, Notification, Request, Upkeep, WebhookDelivery

LATENESS = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0)
"""Upper bounds of the lateness classes, in seconds: from one to a day."""


@dataclass(frozen=True)
class Promises:
    """Every promise ever made under one rule.

    Attributes:
        breached: broken at some time, whatever became of it; late: broken, and then met.
        lateness: how many of the late ones took no longer than each bound of `LATENESS`.
        late_seconds: by how much all of them together were late.
    """

    started: int = 0
    kept: int = 0
    late: int = 0
    breached: int = 0
    lateness: tuple[int, ...] = (0,) * len(LATENESS)
    late_seconds: float = 0.0


@dataclass(frozen=True)
class Figures:
    """The house at one moment.

    Attributes:
        open_requests: by stage and state of the clocks.
        outbox: messages by state and channel; oldest: when the longest waiting one was written.
        webhooks: deliveries by state.
        unarchived_since: when the one closed that has waited longest for its archive; None: none
            waits.
        upkeep: how each task of the upkeep went when it last ran.
    """

    promises: dict[str, Promises]
    open_requests: dict[tuple[str, str], int]
    outbox: dict[tuple[str, str], int]
    oldest: datetime | None
    webhooks: dict[str, int]
    unarchived_since: datetime | None
    upkeep: dict[str, Upkeep]


def figures(engine: Engine) -> Figures:
    """Count everything, exactly, from the records: no restart of a process changes anything."""
    with reading(engine) as session:
        return Figures(
            promises=_promises(session),
            open_requests=_open_requests(session),
            outbox=_outbox(session),
            oldest=_oldest(session),
            webhooks=_webhooks(session),
            unarchived_since=waiting_since(session),
            upkeep={row.name: row for row in session.exec(select(Upkeep))},
        )


def _promises(session: Session) -> dict[str, Promises]:
    rule, state = col(Clock.rule), col(Clock.state)
    counted = select_columns(rule, state, func.count(), func.count(col(Clock.breached_at)))
    states: dict[str, dict[str, int]] = {each.value: {} for each in Rule}
    breached: dict[str, int] = {}
    for of, now, count, broken in _ask(session, counted.group_by(rule, state)):
        states.setdefault(of, {})[now] = count
        breached[of] = breached.get(of, 0) + broken
    late = _lateness(session)
    return {
        of: Promises(
            started=sum(by_state.values()),
            kept=by_state.get("kept", 0),
            late=by_state.get("late", 0),
            breached=breached.get(of, 0),
            **late.get(of, {}),
        )
        for of, by_state in states.items()
    }


def _lateness(session: Session) -> dict[str, dict[str, Any]]:
    rule, seconds = col(Clock.rule), func.coalesce(col(Clock.late_seconds), 0.0)
    classes = [func.sum(case((seconds <= bound, 1), else_=0)) for bound in LATENESS]
    counted = select_columns(rule, func.sum(seconds), *classes)
    return {
        of: {"late_seconds": total, "lateness": tuple(up_to)}
        for of, total, *up_to in _ask(
            # Each rule by name: the index begins with it.
            session,
            counted.where(rule.in_(list(Rule)), col(Clock.state) == "late").group_by(rule),
        )
    }


def _open_requests(session: Session) -> dict[tuple[str, str], int]:
    """A series for every open stage, so that a count that falls to nothing is seen to fall."""
    none = {
        (stage.value, state.value): 0
        for stage in Stage
        if stage is not Stage.closed
        for state in ClockState
    }
    stage, clock_state = col(Request.stage), col(Request.clock_state)
    counted = select_columns(stage, clock_state, func.count()).where(stage != Stage.closed.value)
    rows = _ask(session, counted.group_by(stage, clock_state))
    return none | {(at, how): count for at, how, count in rows}


def _outbox(session: Session) -> dict[tuple[str, str], int]:
    state, channel = col(Notification.state), col(Notification.channel)
    counted = select_columns(state, channel, func.count()).group_by(state, channel)
    return {(now, by): count for now, by, count in _ask(session, counted)}


def _oldest(session: Session) -> datetime | None:
    waiting = select(func.min(Notification.created_at)).where(
        Notification.state == SendingState.queued.value
    )
    return session.exec(waiting).one()


def _webhooks(session: Session) -> dict[str, int]:
    state = col(WebhookDelivery.state)
    return dict(_ask(session, select_columns(state, func.count()).group_by(state)))


def _ask(session: Session, question: Executable) -> Iterator[Any]:
    yield from map(tuple, session.connection().execute(question))
