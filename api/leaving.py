"""Many events left with Temporal in one call, each with an answer of its own."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID

import structlog

from api import reporting
from api.access import admit, as_reported_by
from api.middleware import what_happened
from api.problems import Problem
from api.services import RECORDS_TROUBLE, Services, now
from api.validation import relayed
from domain.cloud_events import CloudEvent
from domain.events import BaseEvent
from domain.numbering import is_request_number
from runtime.tokens import Principal

log = structlog.get_logger("api")

AT_ONCE = 20
"""How many requests are spoken to at the same time."""

PATIENCE = timedelta(seconds=25)
"""What could not be left by then is given back, before the caller loses patience."""

_PASSING = {"temporal_unavailable", "records_unavailable"}


class Left(NamedTuple):
    """What became of one event; `problem` says why it was not taken."""

    status: Literal["accepted", "repeated", "refused", "unavailable"]
    problem: Problem | None = None


class _Ours(NamedTuple):
    place: int
    event: BaseEvent


@dataclass
class _Round:
    """One call's events on their way."""

    services: Services
    caller: Principal
    results: dict[int, Left] = field(default_factory=dict)
    given_up: bool = False
    """Temporal or the records are away, or time is: what has not left does not leave."""


async def leave_all(
    services: Services, caller: Principal, events: Sequence[CloudEvent | Problem]
) -> list[Left]:
    """Leave every event that can be read, those of one request in the order given.

    Args:
        events: each event, or what is wrong with it.

    Returns:
        What became of each, in order.
    """
    round_ = _Round(services, caller)
    moment = now()
    waiting: dict[str, list[_Ours]] = defaultdict(list)
    for place, event in enumerate(events):
        try:
            if isinstance(event, Problem):
                raise event
            waiting[event.subject].append(_Ours(place, _ours(caller, event, moment)))
        except Problem as problem:
            round_.results[place] = Left("refused", problem)
    gate = asyncio.Semaphore(AT_ONCE)

    async def leave(number: str) -> None:
        async with gate:
            await _leave_in_order(round_, number, waiting[number])

    given_up = asyncio.get_running_loop().call_later(PATIENCE.total_seconds(), _give_up, round_)
    try:
        async with asyncio.TaskGroup() as group:
            for number in waiting:
                group.create_task(leave(number))
    finally:
        given_up.cancel()
    return [round_.results[place] for place in range(len(events))]


def _ours(caller: Principal, event: CloudEvent, moment: datetime) -> BaseEvent:
    if not is_request_number(event.subject):
        raise Problem("request_not_found")
    return as_reported_by(caller, relayed(event), moment)


async def _leave_in_order(round_: _Round, number: str, events: list[_Ours]) -> None:
    """One after another: an event must not overtake the one before it, so after the first that
    could not leave the rest stay too."""
    known: dict[UUID, Left] = {}
    stuck = False
    for place, event in events:
        left = known.get(event.id)
        if left is None:
            stuck = stuck or round_.given_up
            left = _AWAY if stuck else await _leave(round_, number, event)
            stuck = left.status == "unavailable"
            known[event.id] = left
        elif left.status == "accepted":
            left = Left("repeated")
        round_.results[place] = left


async def _leave(round_: _Round, number: str, event: BaseEvent) -> Left:
    services = round_.services
    try:
        await admit(services, round_.caller, number, [event])
        repeated = await reporting.record(services, number, [event])
    except Problem as problem:
        if problem.code not in _PASSING:
            return Left("refused", problem)
        round_.given_up = round_.given_up or not await services.temporal_answers()
        return Left("unavailable", problem)
    except RECORDS_TROUBLE as error:
        log.error("records_unavailable", **what_happened(error))
        round_.given_up = True
        return Left("unavailable", Problem("records_unavailable"))
    return Left("repeated" if repeated else "accepted")


def _give_up(round_: _Round) -> None:
    round_.given_up = True


_AWAY = Left("unavailable", Problem("temporal_unavailable"))
