"""Service requests: taken in, shown, listed."""

from datetime import datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from pydantic_core import to_json
from sqlalchemy import Engine
from starlette.background import BackgroundTask

from activities.working_days import calendar_for
from api import openapi, reading
from api.access import Creator, Reader, RequestReader, not_yours
from api.bodies import JsonBody
from api.filters import Filters
from api.language import Text
from api.problems import RETRY_SOON, Problem
from api.services import Served, Services, now
from api.starting import begin
from api.validation import new_request
from domain.intake import NewRequest
from domain.policy import PolicyError
from domain.request import ServiceRequest
from domain.rules import Rule
from domain.values import Name
from domain.view import view
from domain.vocabulary import ClockState, RequestType, Role, Stage, Urgency
from records import queries, shown
from records.intake import InFlight, KeyReused, Taken, release, take_in
from runtime.tokens import Principal

log = structlog.get_logger("api")

router = APIRouter(prefix="/v1/requests", tags=["requests"])

_NO_LIST: Text = (
    "A customer follows single requests; there is no list for them.",
    "客户只能查看单个服务请求，不提供列表。",
)

IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="Makes a repeated call harmless: the same key and body of the same caller "
        "give the same request.",
    ),
]


class Wanted(Filters):
    """Which requests to list."""

    number: str | None = Field(
        default=None,
        pattern=r"^(CR[0-9]{0,8}|CR[0-9]{8}-[0-9]{0,12})$",
        description="How the number begins: `CR20240520`.",
    )
    external_id: Name | None = None
    stage: Stage | None = None
    urgency: Urgency | None = None
    request_type: RequestType | None = Field(default=None, alias="type")
    station: Name | None = None
    engineer: Name | None = None
    held_by: Name | None = Field(
        default=None, description="An engineer who has the work, or has been offered it."
    )
    clock_state: ClockState | None = None
    breached: Rule | None = Field(default=None, description="A rule that was breached.")


@router.post("", **openapi.CREATE)
async def create_request(
    services: Served,
    caller: Creator,
    call: Request,
    body: JsonBody,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Take in a new service request and start its workflow. Works while no worker is up."""
    taken = await _take_in(services, new_request(body), idempotency_key, caller)
    if not taken.started:
        try:
            await begin(services, taken.brief)
        except Problem:
            await services.records(release, taken.number)
            raise
    request, _ = ServiceRequest.receive(taken.brief)
    return JSONResponse(
        # As of then: the same key and body get the same answer.
        view(request, taken.brief.received_at),
        status_code=201,
        headers={"Location": str(call.url_for("get_request", number=taken.number).path)},
    )


@router.get("/{number}", **openapi.GET)
async def get_request(
    services: Served,
    caller: RequestReader,
    number: str,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Show one service request: from its workflow, or from the records when no worker answers."""
    shown = await reading.state(services, number)
    if caller.role is Role.customer:
        # Which engineers were asked before is the house's own business.
        shown = shown._replace(content={**shown.content, "offers": []})
    tag = reading.entity_tag(shown.content)
    headers = {"ETag": tag, reading.SOURCE: shown.source, "Cache-Control": "private, no-cache"}
    if reading.matches(if_none_match, tag):
        return Response(status_code=304, headers=headers)
    return JSONResponse(shown.content, headers=headers)


@router.get("", **openapi.LIST)
async def list_requests(
    services: Served,
    caller: Reader,
    wanted: Annotated[Wanted, Query()],
) -> Response:
    """List service requests: those that jumped the queue, then the next due first.

    An engineer's list holds the work that is theirs or offered to them.
    """
    if caller.role is Role.customer:
        raise not_yours(_NO_LIST)
    if caller.role is Role.engineer:
        wanted = wanted.model_copy(update={"held_by": caller.id})
    return await services.records(_page, wanted, now())


def _page(engine: Engine, wanted: Wanted, moment: datetime) -> Response:
    """A page of the list, ready to send: showing 200 requests in the loop would hold up others."""
    page = queries.list_requests(engine, moment, **wanted.model_dump())
    return Response(
        to_json({"items": page.items, "next": page.next, "total": page.total}),
        media_type="application/json",
        background=BackgroundTask(shown.make, engine, page.missing) if page.missing else None,
    )


async def _take_in(
    services: Services, new: NewRequest, key: str | None, caller: Principal
) -> Taken:
    taken_by = f"{caller.role}/{caller.id}"
    try:
        return await services.records(
            take_in,
            new,
            # Two systems that both count from 1 must not meet. No key holds a space, so the last
            # one ends the caller's id, whatever that holds.
            key=f"{taken_by} {key}" if key else None,
            policy=services.settings.timing_policy,
            calendar_for=calendar_for,
            now=now(),
            taken_by=taken_by,
            may_set_tier=caller.role is not Role.customer,
        )
    except KeyReused:
        raise Problem("idempotency_key_reused") from None
    except InFlight:
        raise Problem("request_in_flight", headers=RETRY_SOON) from None
    except PolicyError as error:
        log.error("working_days_unknown", reason=str(error))
        raise Problem("calendar_unknown") from None
