"""From a request taken in to a workflow begun; also when a crash came in between."""

import asyncio
from datetime import timedelta

import structlog
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from api.middleware import what_happened
from api.problems import RETRY_SOON, Problem
from api.services import Services, now
from domain.intake import Brief
from records.intake import mark_started, not_started
from workflows.start import start_request

log = structlog.get_logger("api")

DEADLINE = timedelta(seconds=5)
LEFT_BEHIND = timedelta(seconds=30)
"""After so long a request not begun was left behind by a crash, not merely slow."""


async def begin(services: Services, brief: Brief) -> None:
    """Start the request's workflow, once however often it is asked. Needs no worker.

    Raises:
        Problem: `temporal_unavailable`; `internal_error` when Temporal will not have this request.
    """
    try:
        async with asyncio.timeout(DEADLINE.total_seconds()):
            await start_request(services.client, brief, rpc_timeout=DEADLINE)
    except WorkflowAlreadyStartedError:
        pass  # It ran before, and is closed by now.
    except (RPCError, RuntimeError, TimeoutError) as error:
        if isinstance(error, RPCError) and error.status is RPCStatusCode.INVALID_ARGUMENT:
            # It answered; to ask again would not help, and somebody has to look at it.
            log.error("start_refused", number=brief.number, reason=error.message)
            raise Problem("internal_error", number=brief.number) from None
        log.warning("start_failed", number=brief.number, error=type(error).__name__)
        raise Problem("temporal_unavailable", headers=RETRY_SOON, number=brief.number) from None
    await services.records(mark_started, brief.number)


async def begin_if_left(services: Services, number: str) -> bool:
    """Start this request if it was taken in and never begun; whether it was.

    Raises:
        Problem: as `begin`.
    """
    left = await services.records(not_started, timedelta(0), now(), number=number)
    for brief in left:
        await begin(services, brief)
    return bool(left)


async def begin_all_left(services: Services) -> None:
    """For ever: start what was taken in and never begun. It outlives any trouble it meets."""
    while True:
        try:
            await _begin_each_left(services)
        except Exception as error:
            log.warning("start_round_failed", **what_happened(error))
        await asyncio.sleep(LEFT_BEHIND.total_seconds())


async def _begin_each_left(services: Services) -> None:
    """Try each of them once, page by page: one that cannot be started holds up none after it."""
    after: str | None = None
    while left := await services.records(not_started, LEFT_BEHIND, now(), after=after):
        for brief in left:
            try:
                await begin(services, brief)
                log.info("started_late", number=brief.number)
            except Problem:
                pass  # `begin` has logged it; the next round tries again.
            except Exception as error:
                log.error("start_failed", number=brief.number, **what_happened(error))
        after = left[-1].number
