"""Desks: requests under test on the time-skipping server or on the live one.

Every request that a test opened is replayed from its history when the test is over.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from domain.policy import Policy
from tests.desk import Desk, open_desk
from tests.workflow.replay import replay

OpenDesk = Callable[..., Awaitable[Desk]]


@pytest.fixture
async def desk(
    skipping_worker: WorkflowEnvironment, engine: Engine, standard: Policy
) -> AsyncIterator[OpenDesk]:
    """Opens requests on the time-skipping server, under the standard policy unless told."""

    async def now() -> datetime:
        return await skipping_worker.get_current_time()

    async def sleep(span: timedelta) -> None:
        await skipping_worker.sleep(span)

    async def opened(policy: Policy = standard, **changes: Any) -> Desk:
        desk = await open_desk(skipping_worker.client, engine, policy, now, sleep, **changes)
        desks.append(desk)
        return desk

    desks: list[Desk] = []
    yield opened
    await _replay_and_end(desks)


@pytest.fixture
async def live_desk(
    live_worker: WorkflowEnvironment, engine: Engine, standard: Policy
) -> AsyncIterator[OpenDesk]:
    """Opens requests on the development server, in real time."""

    async def now() -> datetime:
        return datetime.now(UTC)

    async def sleep(span: timedelta) -> None:
        await asyncio.sleep(span.total_seconds())

    async def opened(policy: Policy = standard, **changes: Any) -> Desk:
        desk = await open_desk(live_worker.client, engine, policy, now, sleep, **changes)
        desks.append(desk)
        return desk

    desks: list[Desk] = []
    yield opened
    await _replay_and_end(desks)


async def _replay_and_end(desks: list[Desk]) -> None:
    for desk in desks:
        await replay(await desk.handle.fetch_history())
        with contextlib.suppress(RPCError):  # It may have ended by itself.
            await desk.handle.terminate("the test is over")
