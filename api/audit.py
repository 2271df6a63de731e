"""The auditor's questions: how a request stood, what its history says, whether all of it holds."""

import asyncio
import json
from collections.abc import Awaitable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from temporalio.service import RPCError

from api import openapi
from api.access import Auditor
from api.problems import RETRY_SOON, FieldError, Problem
from api.reading import recorded
from api.services import Served, Services, now
from audit import inspection
from audit.histories import HistoryGone, NoHistory, Story
from audit.manifests import public_key
from audit.replaying import check_unarchived
from audit.semantics import CannotReplay
from audit.sources import manifest_of, story_of
from audit.store import Missing, Store
from audit.time_travel import NotYet, as_it_stood
from domain.shown import ShownVerification
from domain.values import Moment, rfc3339
from domain.view import obligations, view
from records.personal import is_erased
from records.sealing import KeyRing
from runtime.keys import key_ring, signing_key, written_ring

router = APIRouter(prefix="/v1/audit/requests/{number}", tags=["audit"])

T = TypeVar("T")


@router.get("", **openapi.AUDIT_STATE)
async def get_state_at(
    services: Served,
    caller: Auditor,
    number: str,
    at: Annotated[Moment | None, Query(description="The moment; left out: now.")] = None,
) -> Response:
    """Show the request exactly as it stood at a moment: stage, clocks, offers, what was due."""
    moment = at or now()
    story = await _story(services, number)
    try:
        request = await _apart(as_it_stood(_ring(services), story, moment))
    except NotYet:
        message = ("the request had not come in at that moment", "该时刻服务请求尚未受理")
        raise Problem("validation_failed", errors=[FieldError("/at", message)]) from None
    except CannotReplay:
        raise Problem("history_unusable") from None
    return JSONResponse(
        {
            "at": rfc3339(moment),
            "request": view(request, moment),
            "obligations": obligations(request, moment),
        }
    )


@router.get("/history", **openapi.AUDIT_HISTORY)
async def get_history(services: Served, caller: Auditor, number: str) -> Response:
    """Give the raw history, every run of it, payloads sealed as the server keeps them."""
    story = await _story(services, number)
    return JSONResponse(await asyncio.to_thread(story.as_json))


@router.get("/verification", **openapi.AUDIT_VERIFICATION)
async def get_verification(services: Served, caller: Auditor, number: str) -> Response:
    """Verify the request: its file, its place in the chain, that it replays by the rules, and the
    verdict on each of its promises.
    """
    await recorded(services, number)
    if await manifest_of(services.engine, number) is not None:
        result = await _apart(
            inspection.inspect(
                Store(services.settings.archive),
                written_ring(services.settings),
                [public_key(signing_key(services.settings))],
                number=number,
                records=services.engine,
            )
        )
        content = json.loads("".join(result.as_json()))
        (found,) = content["requests"] or [{"number": number, "verdict": "faulty"}]
        found["findings"] = [*found.get("findings", []), *content["findings"]]
        known = {name: found[name] for name in ShownVerification.model_fields if name in found}
        return JSONResponse({**known, "archived": True})
    story = await _story(services, number)
    replayed = await _apart(check_unarchived(_ring(services), story))
    return JSONResponse(inspection.unarchived(story, replayed))


async def _story(services: Services, number: str) -> Story:
    await recorded(services, number)
    if await services.records(is_erased, number):
        raise Problem("customer_erased")
    try:
        return await story_of(
            services.engine,
            services.client,
            Store(services.settings.archive),
            _ring(services),
            number,
        )
    except HistoryGone:
        raise Problem("history_gone") from None
    except (Missing, NoHistory):
        raise Problem("history_unusable") from None
    except (RPCError, RuntimeError):
        raise Problem("temporal_unavailable", headers=RETRY_SOON) from None


async def _apart(work: Awaitable[T]) -> T:
    """Do it in a thread with a loop of its own: a replay would hold up every other call."""

    async def done() -> T:
        return await work

    return await asyncio.to_thread(asyncio.run, done())


def _ring(services: Services) -> KeyRing:
    return key_ring(services.settings)
