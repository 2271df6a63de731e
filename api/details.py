"""What lies behind a request: its timeline, clocks, obligations and forms, each in order."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic_core import to_jsonable_python
from sqlalchemy import Engine

from api import openapi, reading
from api.access import RequestReader, not_yours
from api.language import Text
from api.personal import NO_STORE, unmasked_forms
from api.problems import Problem
from api.services import Served
from domain.customer_view import told_to_the_customer
from domain.effects import Entry
from domain.values import Line
from domain.vocabulary import Role
from records import queries

Unmasked = Annotated[bool, Query(description="With the customer in clear; give a `reason`.")]
OptionalReason = Annotated[Line | None, Query(description="Why it is needed in clear; kept.")]

_FOR_STAFF: Text = (
    "What is owed on a request, and who is told, is for those who work on it.",
    "请求的待办和通知对象仅供工作人员查看。",
)

router = APIRouter(prefix="/v1/requests/{number}", tags=["details"])


@router.get("/timeline", **openapi.TIMELINE)
async def get_timeline(services: Served, caller: RequestReader, number: str) -> Response:
    """Show everything that happened to the request."""
    await reading.recorded(services, number)
    asked = _told if caller.role is Role.customer else queries.timeline
    return await services.records(_recorded, asked, number)


@router.get("/clocks", **openapi.CLOCKS)
async def get_clocks(services: Served, caller: RequestReader, number: str) -> Response:
    """Show every promise of the request: running, kept, broken."""
    shown = await reading.state(services, number)
    return _items(shown.content["clocks"], shown.source)


@router.get("/obligations", **openapi.OBLIGATIONS)
async def get_obligations(services: Served, caller: RequestReader, number: str) -> Response:
    """Show everything that will happen if nobody acts: when, who owes the act, who is told."""
    if caller.role is Role.customer:
        raise not_yours(_FOR_STAFF)
    owed = await reading.obligations(services, number)
    return _items(owed.content, owed.source)


@router.get("/forms", **openapi.FORMS)
async def get_forms(
    services: Served,
    caller: RequestReader,
    call: Request,
    number: str,
    unmasked: Unmasked = False,
    reason: OptionalReason = None,
) -> Response:
    """Show every form of the request, personal data masked unless asked for with a reason."""
    if unmasked:
        return _unmasked(await unmasked_forms(services, caller, call, number, reason))
    await reading.recorded(services, number)
    return await services.records(_recorded, queries.forms, number)


@router.get("/forms/{form}", **openapi.FORM)
async def get_form(
    services: Served,
    caller: RequestReader,
    call: Request,
    number: str,
    form: str,
    unmasked: Unmasked = False,
    reason: OptionalReason = None,
) -> Response:
    """Show one form by its number, or the latest by its code (`SA-AP-003`)."""
    if unmasked:
        forms = await unmasked_forms(services, caller, call, number, reason)
        found = queries.wanted_form(forms, form)
    else:
        await reading.recorded(services, number)
        found = await services.records(queries.form, number, form)
    if found is None:
        raise Problem("form_not_found")
    return JSONResponse(to_jsonable_python(found), headers=NO_STORE if unmasked else None)


def _told(engine: Engine, number: str) -> list[Entry]:
    return told_to_the_customer(queries.timeline(engine, number))


def _recorded(engine: Engine, ask: Callable[[Engine, str], Sequence[Any]], number: str) -> Response:
    """Everything of one kind, ready to send: a long timeline takes the loop too long to write."""
    return _items(ask(engine, number))


def _unmasked(forms: Sequence[Any]) -> Response:
    """No cache keeps them."""
    response = _items(forms)
    response.headers.update(NO_STORE)
    return response


def _items(items: Sequence[Any], source: str = "records") -> Response:
    return JSONResponse({"items": to_jsonable_python(items)}, headers={reading.SOURCE: source})
