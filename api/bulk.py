"""Many requests at once: each gets the event that it would get alone, and each answers for itself.

Nothing is decided here: the workflow of each request takes the event or refuses it.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid4, uuid5

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy import Engine

from api import openapi, reporting
from api.access import Steerer, as_reported_by
from api.answers import reader_language
from api.bodies import JsonBody
from api.language import Language, say
from api.orders import MOST_AT_ONCE, Order, PutOnHold, Reassign, Resume
from api.problems import KINDS, FieldError, Problem
from api.reading import digest
from api.requests import IdempotencyKey
from api.services import Served, Services, now
from api.validation import read_as
from domain.events import BaseEvent
from domain.numbering import is_request_number
from domain.refusals import REASONS, Refused
from records import queries
from runtime.tokens import Principal

router = APIRouter(prefix="/v1/bulk", tags=["bulk"])

AT_ONCE = 8
"""Requests that are asked at the same time."""
_IDS = UUID("8d9c2f5e-6a5b-4b39-9f0e-0c3c4d1f7b21")
_NOBODY_ANSWERED = ("no_worker", "temporal_unavailable", "records_unavailable")


@router.post("/reassign", **openapi.REASSIGN_MANY)
async def reassign(
    services: Served,
    caller: Steerer,
    call: Request,
    body: JsonBody,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Offer work to another engineer, or to several in turn."""
    return await _carry_out(services, caller, read_as(Reassign, body), idempotency_key, call)


@router.post("/hold", **openapi.HOLD)
async def hold(
    services: Served,
    caller: Steerer,
    call: Request,
    body: JsonBody,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Put requests on hold, as their customers asked."""
    return await _carry_out(services, caller, read_as(PutOnHold, body), idempotency_key, call)


@router.post("/resume", **openapi.RESUME)
async def resume(
    services: Served,
    caller: Steerer,
    call: Request,
    body: JsonBody,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Go on with requests that are on hold."""
    return await _carry_out(services, caller, read_as(Resume, body), idempotency_key, call)


class Became(NamedTuple):
    """What became of the order for one request."""

    status: Literal["would_apply", "applied", "repeated", "refused", "unanswered", "skipped"]
    code: str | None = None
    facts: dict[str, str] = {}
    text: str | None = None


async def _carry_out(
    services: Services, caller: Principal, order: Order, key: str | None, call: Request
) -> Response:
    numbers = await services.records(_chosen, order)
    events = [
        as_reported_by(caller, order.event_for(place), now()).model_copy(
            update={"id": _event_id(caller, order, key, number)}
        )
        for place, number in enumerate(numbers)
    ]
    if order.dry_run:
        became = await services.records(_would_become, numbers, events)
    else:
        became = await _Sending(services).all(numbers, events)
    language = reader_language(call)
    counts = Counter(each.status for each in became)
    items = [
        {"number": number, "event": str(event.id), **_shown(each, language)}
        for number, event, each in zip(numbers, events, became, strict=True)
    ]
    return JSONResponse(
        {"dry_run": order.dry_run, "counts": dict(sorted(counts.items())), "items": items}
    )


def _chosen(engine: Engine, order: Order) -> list[str]:
    """The numbers of the requests, each once."""
    if order.numbers is not None:
        return list(dict.fromkeys(order.numbers))
    if order.filter is not None:
        found = queries.open_numbers(engine, MOST_AT_ONCE + 1, **order.filter.model_dump())
        return _not_too_many(found, "/filter")
    found = queries.held_numbers(engine, str(order.choices()[0]), MOST_AT_ONCE + 1)
    return _not_too_many(found, "/from_engineer")


def _not_too_many(numbers: list[str], field: str) -> list[str]:
    if len(numbers) > MOST_AT_ONCE:
        message = (
            f"these are more than {MOST_AT_ONCE} requests; choose fewer at a time",
            f"选中的服务请求超过{MOST_AT_ONCE}个，请缩小范围后分批处理",
        )
        raise Problem("validation_failed", errors=[FieldError(field, message)])
    return numbers


def _event_id(caller: Principal, order: Order, key: str | None, number: str) -> UUID:
    """The same key, order and request give the same event, which happens only once."""
    if key is None:
        return uuid4()
    ordered = digest(order.model_dump(mode="json", exclude={"dry_run"}))
    return uuid5(_IDS, f"{caller.role}/{caller.id} {key} {order.event} {ordered} {number}")


# --- what would happen ----------------------------------------------------------------------------


def _would_become(
    engine: Engine, numbers: Sequence[str], events: Sequence[BaseEvent]
) -> list[Became]:
    """What the domain says of each request as it is recorded."""
    requests = queries.states(engine, numbers)
    became = []
    for number, event in zip(numbers, events, strict=True):
        request = requests.get(number)
        if request is None:
            became.append(Became("refused", "request_not_found"))
            continue
        try:
            request.check(event, now())
        except Refused as refused:
            became.append(Became("refused", refused.code, refused.facts, refused.reason))
        else:
            became.append(Became("would_apply"))
    return became


# --- what happens ---------------------------------------------------------------------------------


class _Sending:
    """Some requests at a time; when nobody answers any more, the rest is left as it is."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._room = asyncio.Semaphore(AT_ONCE)
        self._silent = False

    async def all(self, numbers: Sequence[str], events: Sequence[BaseEvent]) -> list[Became]:
        """What became of each."""
        return await asyncio.gather(*map(self._one, numbers, events))

    async def _one(self, number: str, event: BaseEvent) -> Became:
        async with self._room:
            if self._silent:
                return Became("skipped")
            if not is_request_number(number):
                return Became("refused", "request_not_found")
            try:
                [result] = await reporting.submit_all(self._services, number, [event])
            except Problem as problem:
                return self._unanswered(problem)
            return Became(result.status, result.code, result.facts, result.reason)

    def _unanswered(self, problem: Problem) -> Became:
        if problem.code not in _NOBODY_ANSWERED:
            return Became("refused", problem.code)
        self._silent = True
        return Became("unanswered", problem.code)


def _shown(became: Became, language: Language) -> dict[str, Any]:
    shown: dict[str, Any] = {"status": became.status}
    if became.code is None:
        return shown
    if became.code in KINDS and became.code not in REASONS:
        text = KINDS[became.code].detail
    else:
        text = reporting.reason(became.code, became.facts, became.text)
    return {**shown, "code": became.code, "reason": say(text, language), "facts": became.facts}
