"""Who read what: the access log, for those who audit. To read it is itself written down."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from pydantic_core import to_jsonable_python

from api import openapi
from api.access import Auditor
from api.services import Served
from domain import shown
from records import access_log

router = APIRouter()

NO_STORE = {"Cache-Control": "no-store"}

Number = Annotated[str | None, Query(max_length=64)]
Cursor = Annotated[str | None, Query(max_length=500)]
Limit = Annotated[int, Query(ge=1, le=200)]

READS = openapi.operation(
    "listReads",
    "Who read personal data, histories and verdicts, the latest first",
    {200: ("One page", shown.ShownAccesses)},
    (*openapi.AUTH, "validation_failed", *openapi.ANY),
)
PERSONAL_READS = openapi.operation(
    "listPersonalReads",
    "Who saw personal data, the latest first",
    {200: ("One page", shown.ShownReads)},
    (*openapi.AUTH, "validation_failed", *openapi.ANY),
)


@router.get("/v1/audit/reads", **READS, tags=["audit"])
async def list_reads(
    services: Served,
    caller: Auditor,
    number: Number = None,
    who: Annotated[str | None, Query(max_length=64, description="The id in their token.")] = None,
    kind: Literal["personal", "audit"] | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """List the access log: of one request, of one reader, or all of it."""
    page = await services.records(
        access_log.reads,
        kind=kind and access_log.Kind(kind),
        number=number or None,
        who=who or None,
        cursor=cursor or None,
        limit=limit,
    )
    return _page(page, {"id"})


@router.get("/v1/personal-reads", **PERSONAL_READS, tags=["personal data"])
async def list_personal_reads(
    services: Served,
    caller: Auditor,
    number: Number = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """List who saw personal data, of one request or of any."""
    page = await services.records(
        access_log.reads,
        kind=access_log.Kind.personal,
        number=number or None,
        cursor=cursor or None,
        limit=limit,
    )
    return _page(page, {"id", "kind", "about"})


def _page(page: access_log.ReadPage, without: set[str]) -> Response:
    items = [row.model_dump(exclude=without) for row in page.items]
    return JSONResponse({"items": to_jsonable_python(items), "next": page.next}, headers=NO_STORE)
