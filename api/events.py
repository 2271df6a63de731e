"""Events: the one door through which a service request moves (design §3)."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response

from api import openapi, reporting
from api.access import Reporter, admit, as_reported_by
from api.answers import reader_language
from api.bodies import JsonBody
from api.language import Language, say
from api.problems import Problem
from api.reading import recorded
from api.services import Served, now
from api.validation import reported
from domain.numbering import is_request_number
from domain.view import view
from workflows.messages import EventResult

router = APIRouter(prefix="/v1/requests", tags=["events"])

ASYNC = "respond-async"


@router.post("/{number}/events", **openapi.REPORT)
async def report_events(
    services: Served,
    caller: Reporter,
    call: Request,
    number: str,
    body: JsonBody,
    prefer: Annotated[
        list[str] | None,
        Header(description="`respond-async`: answer at once, before the event is judged."),
    ] = None,
) -> Response:
    """Report what happened: one event, or up to 20 that are applied in order in one step."""
    if not is_request_number(number):
        raise Problem("request_not_found")
    given = reported(body)
    events = [as_reported_by(caller, event, now()) for event in given.events]
    await admit(services, caller, number, events)
    if _prefers_async(prefer):
        await reporting.record(services, number, events)
        accepted = [{"id": str(event.id), "status": "accepted"} for event in events]
        return JSONResponse(
            {"results": accepted}, status_code=202, headers={"Preference-Applied": ASYNC}
        )
    if not given.as_list:
        await reporting.submit(services, number, events[0])
        return JSONResponse(view(await recorded(services, number), now()))
    results = await reporting.submit_all(services, number, events)
    language = reader_language(call)
    return JSONResponse(
        {
            "results": [_shown(result, language) for result in results],
            "request": view(await recorded(services, number), now()),
        }
    )


def _shown(result: EventResult, language: Language) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": result.id, "status": result.status}
    if result.code is not None:
        text = reporting.reason(result.code, result.facts, result.reason)
        shown |= {"code": result.code, "reason": say(text, language), "facts": result.facts}
    return shown


def _prefers_async(prefer: list[str] | None) -> bool:
    """RFC 7240: preferences separated by commas, possibly in several headers."""
    wishes = ",".join(prefer or []).split(",")
    return any(wish.partition(";")[0].strip().lower() == ASYNC for wish in wishes)
