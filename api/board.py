"""The supervisor's questions: each is one call, and each answer is live."""

import re
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Header, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field, field_validator, model_validator
from pydantic_core import to_jsonable_python

from api import openapi, reading
from api.access import Watcher
from api.marks import mark
from api.services import Served, now
from domain.values import Duration, Name
from records import board as records

router = APIRouter(prefix="/v1/board", tags=["board"])

FRESH = {"Cache-Control": "private, no-cache"}


class AtStation(BaseModel):
    """Which station; blank: all."""

    station: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in given.items() if value != ""}


class Some(AtStation):
    """The first so many."""

    limit: int = Field(default=100, ge=1, le=500)


class Queue(AtStation):
    """How much of the queue."""

    limit: int = Field(default=50, ge=1, le=200)


class Soon(Some):
    """What is due within a time."""

    within: Duration = Field(
        default=timedelta(hours=1),
        gt=timedelta(0),
        le=timedelta(days=7),
        description="`30m`, `1h`, `2d`; at most seven days.",
    )


class OnDay(AtStation):
    """A local day of the policy's timezone; blank: today."""

    day: date | None = Field(default=None, ge=date(2000, 1, 1), lt=date(2100, 1, 1))

    @field_validator("day", mode="before")
    @classmethod
    def _written_out(cls, day: object) -> object:
        """A bare number would be read as seconds since 1970."""
        if isinstance(day, str) and not re.fullmatch(r"\d{4}-\d\d-\d\d", day):
            raise ValueError("write the day as YYYY-MM-DD")
        return day


@router.get("", **openapi.BOARD)
async def get_board(
    services: Served,
    caller: Watcher,
    wanted: Annotated[Queue, Query()],
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Show how everything open stands, and what is due next."""
    told = await services.records(records.board, now(), **wanted.model_dump())
    content = {
        "counts": told.counts,
        "queue": told.queue,
        "last_event_id": mark(told.written_at),
    }
    tag = f'W/"board-{reading.digest(content)}"'
    headers = {"ETag": tag, **FRESH}
    if reading.matches(if_none_match, tag):
        return Response(status_code=304, headers=headers)
    return JSONResponse(content, headers=headers)


@router.get("/due", **openapi.DUE)
async def get_due(services: Served, caller: Watcher, wanted: Annotated[Soon, Query()]) -> Response:
    """Show what breaks soon if nobody acts, who owes it, and what happens then."""
    told = await services.records(records.due, now(), **wanted.model_dump())
    return JSONResponse({"items": told.items, "total": told.total}, headers=FRESH)


@router.get("/breached", **openapi.BREACHED)
async def get_breached(
    services: Served, caller: Watcher, wanted: Annotated[Some, Query()]
) -> Response:
    """Show which promises are broken and not met yet, since when, and who owes them."""
    told = await services.records(records.breached, now(), **wanted.model_dump())
    return JSONResponse(to_jsonable_python(told), headers=FRESH)


@router.get("/workload", **openapi.WORKLOAD)
async def get_workload(
    services: Served, caller: Watcher, wanted: Annotated[AtStation, Query()]
) -> Response:
    """Show what every engineer holds and what presses, the overloaded first."""
    most = services.settings.timing_policy.matching.most_unfinished
    items = await services.records(records.workload, now(), most, **wanted.model_dump())
    return JSONResponse({"items": items}, headers=FRESH)


@router.get("/punctuality", **openapi.PUNCTUALITY)
async def get_punctuality(
    services: Served, caller: Watcher, wanted: Annotated[OnDay, Query()]
) -> Response:
    """Show how well each rule was kept on a day, against the targets."""
    zone = services.settings.timing_policy.timezone
    day = wanted.day or now().astimezone(ZoneInfo(zone)).date()
    begins, ends = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
    rules = await services.records(records.punctuality, begins, ends, station=wanted.station)
    content = {"day": day.isoformat(), "timezone": zone, "rules": rules}
    return JSONResponse(content, headers=FRESH)


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone))
