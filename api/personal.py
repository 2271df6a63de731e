"""Personal data in clear: for whom it is, and why they need it; each read is written down."""

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from api import openapi
from api.access import Entitled, RequestReader, entitled_to
from api.answers import request_id
from api.bodies import JsonBody
from api.problems import FieldError, Problem
from api.reading import recorded
from api.services import Served, Services, now
from api.validation import read_as
from domain import shown
from domain.intake import Phone
from domain.masking import HIDDEN
from domain.request import ServiceRequest
from domain.values import Line, Value
from domain.vocabulary import Role
from records import disclosure
from records.access_log import Reader
from records.queries import StoredForm
from runtime.tokens import Principal, Scope

log = structlog.get_logger("api")

router = APIRouter(tags=["personal data"])

NO_STORE = {"Cache-Control": "no-store"}

Reason = Annotated[
    Line,
    Query(description="Why it is needed. It is kept: name the purpose, and no personal data."),
]


class Wanted(Value):
    """Whose requests are looked for, and why."""

    phone: Phone
    reason: Line


CUSTOMER = openapi.operation(
    "getCustomer",
    "The customer in clear, for those entitled; the read is written down",
    {200: ("The customer", shown.ShownCustomer)},
    (
        *openapi.AUTH,
        "personal_data_not_yours",
        "request_not_found",
        "validation_failed",
        "personal_data_unavailable",
        *openapi.ANY,
    ),
)
FIND = openapi.operation(
    "findCustomer",
    "A customer's requests by phone number; the search is written down",
    {200: ("Their latest requests, at most 100", shown.ShownFound)},
    (*openapi.AUTH, *openapi.BODY, *openapi.ANY),
    openapi_extra=openapi.body(
        Wanted.model_json_schema(),
        call={"phone": "+86 138-1234-5678", "reason": "called about an open repair"},
    ),
)


@router.get("/v1/requests/{number}/customer", **CUSTOMER)
async def get_customer(
    services: Served, caller: RequestReader, call: Request, number: str, reason: Reason
) -> Response:
    """Show the customer of a request as given, if the caller may see them."""
    request = await recorded(services, number)
    reader = _reader(caller, request, reason, call)
    person = await services.records(disclosure.show_customer, number, reader, now())
    log.info("personal_data_read", what="customer", number=number, role=reader.role, who=reader.id)
    given: dict[str, Any] = {"name": HIDDEN, "phone": HIDDEN, "address": HIDDEN}
    if person is not None:
        given = person.model_dump(exclude={"tier"})
    seen = shown.ShownCustomer(**given, tier=request.brief.customer.tier, erased=person is None)
    return JSONResponse(seen.model_dump(mode="json"), headers=NO_STORE)


@router.post("/v1/customers/find", **FIND)
async def find_customer(
    services: Served, caller: Entitled, call: Request, body: JsonBody
) -> Response:
    """Find a customer's requests by phone number: in the body, so that no log keeps it."""
    wanted = read_as(Wanted, body)
    reader = Reader(caller.role, caller.id, wanted.reason, request_id(call.scope))
    found = await services.records(disclosure.find, wanted.phone, reader, now())
    log.info("personal_data_read", what="find", role=reader.role, who=reader.id)
    items = [
        shown.ShownHit(
            number=request.number,
            type=request.request_type,
            stage=request.stage,
            received_at=request.received_at,
            closed_at=request.closed_at,
            customer=request.brief.customer,
        )
        for request in found
        if is_theirs(caller, request)
    ]
    return JSONResponse(shown.ShownFound(items=items).model_dump(mode="json"), headers=NO_STORE)


async def unmasked_forms(
    services: Services, caller: Principal, call: Request, number: str, reason: str | None
) -> list[StoredForm]:
    """Every form of a request with the customer as given.

    Raises:
        Problem: `validation_failed` without a reason; 403 when they are not the caller's to see.
    """
    request = await recorded(services, number)
    if reason is None:
        message = ("say why you need it", "请说明查看原因")
        raise Problem("validation_failed", errors=[FieldError("/reason", message)])
    reader = _reader(caller, request, reason, call)
    forms = await services.records(disclosure.show_forms, number, reader, now())
    log.info("personal_data_read", what="forms", number=number, role=reader.role, who=reader.id)
    return forms


def _reader(caller: Principal, request: ServiceRequest, reason: str, call: Request) -> Reader:
    """The caller as whoever reads the personal data of this request.

    Raises:
        Problem: `scope_missing` or `personal_data_not_yours`.
    """
    if caller.role is not Role.customer:
        entitled_to(Scope.personal, caller)
    if not is_theirs(caller, request):
        raise Problem("personal_data_not_yours")
    return Reader(caller.role, caller.id, reason, request_id(call.scope))


def is_theirs(caller: Principal, request: ServiceRequest) -> bool:
    """Engineers see whom they work for, customers themselves, the others everybody."""
    if caller.role is Role.engineer:
        return caller.id == request.engineer
    return caller.role is not Role.customer or caller.request == request.number
