"""With no cache every workflow task replays from the first event: the whole scenario set holds."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment

from activities.registry import Activities
from domain.policy import Policy
from runtime.temporal import plugin, prepare
from tests.conftest import BIN
from tests.databases import RING
from tests.desk import Desk, open_desk
from worker import build_worker

from .replay import replay
from .scenarios import SCENARIOS, paced


@pytest.fixture(scope="module")
async def cold(activities: Activities) -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"),
        plugins=[plugin(RING)],
        dev_server_log_level="error",
    ) as env:
        await prepare(env.client)
        worker = build_worker(env.client, activities, max_cached_workflows=0)
        # Each step replays all: on a loaded machine longer than the two seconds that the SDK grants
        # before it calls it a deadlock. There is no public way to grant more.
        assert worker._workflow_worker
        worker._workflow_worker._deadlock_timeout_seconds = 20
        async with worker:
            yield env


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_scenario_runs_with_a_cold_cache(
    name: str, cold: WorkflowEnvironment, engine: Engine, standard: Policy
) -> None:
    async def now() -> datetime:
        return datetime.now(UTC)

    async def sleep(span: timedelta) -> None:
        await asyncio.sleep(span.total_seconds())

    policy = paced(name, standard)
    desk: Desk = await open_desk(cold.client, engine, policy, now, sleep, product={"serial": name})
    expected = await SCENARIOS[name](desk)
    closing = await desk.handle.result()
    assert closing.outcome == expected
    await replay(await desk.handle.fetch_history())
