"""Events on their way to the workflow, and what became of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from temporalio.client import (
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from api.language import Text
from api.problems import RETRY_SOON, FieldError, Problem
from api.reading import recorded
from api.services import Services
from api.starting import begin_if_left
from domain.events import BaseEvent
from domain.refusals import REASONS, explain
from domain.request import ServiceRequest
from domain.vocabulary import Stage
from workflows.messages import (
    MALFORMED,
    RECORD,
    SUBMIT,
    SUBMIT_ALL,
    EventResult,
    Receipt,
    Receipts,
    RefusalDetail,
)

log = structlog.get_logger("api")

T = TypeVar("T")

DEADLINE = timedelta(seconds=5)
_TOO_LATE = "AcceptedUpdateCompletedWorkflow"
_SILENCE = (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)
_PROBLEMS = {"role_not_allowed": "role_not_allowed", "request_closed": "request_closed"}


class _Gone(Exception):
    """No workflow of this number runs."""


class _Closed(Exception):
    def __init__(self, request: ServiceRequest) -> None:
        self.request = request


async def submit(services: Services, number: str, event: BaseEvent) -> None:
    """Have the workflow apply one event, and wait until it is written down.

    Raises:
        Problem: it was refused, nobody answered in time, or there is no such request.
    """

    async def send(handle: WorkflowHandle[Any, Any]) -> Receipt:
        receipt: Receipt = await handle.execute_update(
            SUBMIT, _travelling(event), id=str(event.id), result_type=Receipt, rpc_timeout=DEADLINE
        )
        return receipt

    try:
        await _deliver(services, number, [event], send)
    except _Closed as closed:
        result = _what_a_closed_one_says(closed.request, event)
        if result.status == "refused":
            raise _refusal(
                RefusalDetail(
                    code=result.code or "request_closed",
                    reason=result.reason or "",
                    facts=result.facts,
                    allowed_events=[],
                    stage=Stage.closed,
                )
            ) from None


async def submit_all(
    services: Services, number: str, events: Sequence[BaseEvent]
) -> list[EventResult]:
    """Have the workflow apply several events in one step, up to the first refused.

    The update takes no id from the events: the workflow knows what it has applied, and a list
    sent again must be judged again from the one that was refused.

    Raises:
        Problem: nobody answered in time, there is no such request, or it is closed to all of them.
    """

    async def send(handle: WorkflowHandle[Any, Any]) -> list[EventResult]:
        receipts: Receipts = await handle.execute_update(
            SUBMIT_ALL,
            [_travelling(event) for event in events],
            result_type=Receipts,
            rpc_timeout=DEADLINE,
        )
        return receipts.results

    try:
        sent = await _deliver(services, number, events, send)
    except _Closed as closed:
        sent = _up_to_the_first_refused(
            [_what_a_closed_one_says(closed.request, event) for event in events]
        )
        if all(result.status != "repeated" for result in sent):
            raise Problem("request_closed", allowed_events=[], stage=Stage.closed.value) from None
    # None: nobody answered, yet the records show that each of them was applied.
    return sent or [EventResult(id=str(event.id), status="applied") for event in events]


async def record(services: Services, number: str, events: Sequence[BaseEvent]) -> bool:
    """Leave events with Temporal, which loses none, whether or not a worker is there.

    Returns:
        Whether they are known to have been taken before; an open request is not asked.

    Raises:
        Problem: Temporal does not answer, there is no such request, or it is closed.
    """

    async def send(handle: WorkflowHandle[Any, Any]) -> bool:
        for event in events:
            await handle.signal(RECORD, _travelling(event), rpc_timeout=DEADLINE)
        return True

    try:
        # None: Temporal did not answer, yet the records show that each of them was applied.
        return await _deliver(services, number, events, send, waits=False) is None
    except _Closed as closed:
        said = [_what_a_closed_one_says(closed.request, event) for event in events]
        if any(result.status != "repeated" for result in said):
            raise Problem("request_closed", allowed_events=[], stage=Stage.closed.value) from None
        return True


def reason(code: str, facts: dict[str, str], otherwise: str | None = None) -> Text:
    """The sentence for a refusal, in both languages."""
    if code not in REASONS:
        # A worker newer than this API may refuse for reasons that we do not know.
        return otherwise or code, otherwise or code
    return explain(code, facts), explain(code, facts, "zh-CN")


async def _deliver(
    services: Services,
    number: str,
    events: Sequence[BaseEvent],
    send: Callable[[WorkflowHandle[Any, Any]], Awaitable[T]],
    *,
    waits: bool = True,
) -> T | None:
    """Send within the deadline; None when only the records know that all was applied.

    A request that a crash left taken in but not begun is begun first.

    Args:
        waits: the answer is a worker's; otherwise Temporal's own.
    """
    handle = services.client.get_workflow_handle(number)
    try:
        async with asyncio.timeout(DEADLINE.total_seconds()):
            try:
                return await _sent(handle, send)
            except _Gone:
                request = await recorded(services, number)
                if request.is_closed:
                    raise _Closed(request) from None
                if not await begin_if_left(services, number):
                    log.error("workflow_missing", number=number)
                    raise _unavailable(events) from None
                return await _sent(handle, send)
    except _Gone:
        raise _unavailable(events) from None
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        seen = (await recorded(services, number)).seen
        if all(str(event.id) in seen and seen[str(event.id)] is None for event in events):
            return None
        if not waits or not await services.temporal_answers():
            raise _unavailable(events) from None
        raise Problem("no_worker", headers=RETRY_SOON, events=_ids(events)) from None
    except RuntimeError as error:
        log.warning("temporal_unavailable", error=type(error).__name__)
        raise _unavailable(events) from None


async def _sent(
    handle: WorkflowHandle[Any, Any], send: Callable[[WorkflowHandle[Any, Any]], Awaitable[T]]
) -> T:
    try:
        return await send(handle)
    except WorkflowUpdateFailedError as failure:
        cause = failure.cause
        if not isinstance(cause, ApplicationError):
            raise
        if cause.type == _TOO_LATE:
            raise _Gone from None
        if cause.type == MALFORMED:
            # Only a worker of another version sees a fault in what passed our own models.
            message = (cause.message, cause.message)
            raise Problem("validation_failed", errors=[FieldError("", message)]) from None
        if not cause.details:
            raise
        raise _refusal(RefusalDetail.model_validate(cause.details[0])) from None
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise _Gone from None
        if error.status in _SILENCE:
            raise TimeoutError from None
        raise RuntimeError(error.status.name) from None


def _what_a_closed_one_says(request: ServiceRequest, event: BaseEvent) -> EventResult:
    """A closed request still knows the events it took."""
    key = str(event.id)
    if key not in request.seen:
        return EventResult(id=key, status="refused", code="request_closed")
    refusal = request.seen[key]
    if refusal is None:
        return EventResult(id=key, status="repeated")
    return EventResult(id=key, status="refused", code=refusal.code, facts=refusal.facts)


def _up_to_the_first_refused(results: list[EventResult]) -> list[EventResult]:
    statuses = [result.status for result in results]
    if "refused" not in statuses:
        return results
    first = statuses.index("refused") + 1
    skipped = [EventResult(id=result.id, status="skipped") for result in results[first:]]
    return results[:first] + skipped


def _refusal(detail: RefusalDetail) -> Problem:
    text = reason(detail.code, detail.facts, detail.reason)
    return Problem(
        _PROBLEMS.get(detail.code, "event_not_allowed"),
        facts={"reason": text},
        reason_code=detail.code,
        reason=text,
        facts_named=detail.facts,
        allowed_events=detail.allowed_events,
        stage=detail.stage.value,
    )


def _unavailable(events: Sequence[BaseEvent]) -> Problem:
    return Problem("temporal_unavailable", headers=RETRY_SOON, events=_ids(events))


def _ids(events: Sequence[BaseEvent]) -> list[str]:
    """The ids to repeat the call with; the caller may not have given any."""
    return [str(event.id) for event in events]


def _travelling(event: BaseEvent) -> dict[str, Any]:
    return event.model_dump(mode="json", by_alias=True, exclude_none=True)
