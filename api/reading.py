"""What a request says of itself: asked of its workflow, or read in the records."""

import asyncio
from datetime import timedelta
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

from pydantic_core import to_json
from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from api.problems import Problem
from api.services import Services, now
from domain import view
from domain.numbering import is_request_number
from domain.request import ServiceRequest
from domain.vocabulary import Stage
from records.personal import is_erased
from records.queries import stored
from workflows.messages import OBLIGATIONS, STATE

PATIENCE = timedelta(seconds=2)
SOURCE = "Aftersales-Source"


class Answer(NamedTuple):
    """What was asked for, and who knew it."""

    content: Any
    source: Literal["workflow", "records"]


async def state(services: Services, number: str) -> Answer:
    """The request as the API shows it.

    Raises:
        Problem: `request_not_found`.
    """
    moment = now()
    content = await _ask_workflow(services, number, STATE, moment)
    # Until Temporal has followed an erasure, it still knows what the records have forgotten.
    ended = content is not None and content["stage"] == Stage.closed
    if content is not None and not (ended and await services.records(is_erased, number)):
        return Answer(content, "workflow")
    return Answer(view.view(await recorded(services, number), moment), "records")


async def obligations(services: Services, number: str) -> Answer:
    """Everything that will happen to the request if nobody acts.

    Raises:
        Problem: `request_not_found`.
    """
    content = await _ask_workflow(services, number, OBLIGATIONS)
    if content is not None:
        return Answer(content, "workflow")
    return Answer(view.obligations(await recorded(services, number), now()), "records")


async def recorded(services: Services, number: str) -> ServiceRequest:
    """The request as the records know it.

    Raises:
        Problem: `request_not_found`.
    """
    found = await services.records(stored, number) if is_request_number(number) else None
    if found is None:
        raise Problem("request_not_found")
    request: ServiceRequest = found.request
    return request


def entity_tag(shown: dict[str, Any]) -> str:
    """A weak tag that changes when the request does, but not merely because time passes."""
    steady = {
        **shown,
        "clocks": [{**clock, "remaining_seconds": None} for clock in shown["clocks"]],
    }
    return f'W/"{shown["number"]}-{shown["event_count"]}-{digest(steady)}"'


def digest(content: Any) -> str:
    """A short digest of JSON types."""
    return blake2b(to_json(content), digest_size=8).hexdigest()


def matches(if_none_match: str | None, tag: str) -> bool:
    """Whether the caller already has it (RFC 9110, section 13.1.2: compared weakly)."""
    known = {each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")}
    return "*" in known or tag.removeprefix("W/") in known


async def _ask_workflow(services: Services, number: str, query: str, *args: Any) -> Any:
    """The workflow's answer; None when it has none in time."""
    if not is_request_number(number):
        return None
    handle = services.client.get_workflow_handle(number)
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            return await handle.query(query, args=args, rpc_timeout=PATIENCE)
    except (RPCError, RuntimeError, TimeoutError, WorkflowQueryFailedError):
        return None
