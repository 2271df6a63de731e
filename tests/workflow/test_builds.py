"""With worker deployments a request keeps to its build until it continues, and then moves on."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from temporalio.api.deployment.v1 import WorkerDeploymentVersion as Version
from temporalio.api.workflowservice.v1 import DescribeWorkerDeploymentVersionRequest
from temporalio.client import Client
from temporalio.common import WorkerDeploymentVersion

from activities.registry import Activities
from audit.rehearsal import Run, sample
from domain.deliveries import WEBHOOK_QUEUE
from domain.policy import Policy
from runtime.deployments import PINNED, current_build, deployment
from runtime.temporal import worker_is_polling
from tests.databases import RING_TEXT
from tests.workflow.replay import replay
from tests.workflow.rollout import (
    becomes_current,
    build,
    builds,
    dev_server,
    moves_on,
    opens,
    runs,
)
from worker import build_worker
from workflows.messages import TASK_QUEUE
from workflows.reconcile import UPKEEP_QUEUE

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[2]
ONE, TWO = build("1.0"), build("2.0")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with dev_server() as client:
        yield client


@pytest.mark.slow(5)
async def test_a_request_stays_on_its_build_until_it_continues_and_then_moves_to_the_current_one(
    client: Client, engine: Engine, activities: Activities, standard: Policy
) -> None:
    assert await current_build(client, "aftersales") is None
    async with build_worker(client, activities, deployment=deployment(ONE, PINNED)):
        await becomes_current(client, ONE)
        assert await current_build(client, "aftersales") == "1.0"
        old = await opens(client, engine, standard)
        await old.says("responded")
        async with build_worker(client, activities, deployment=deployment(TWO, PINNED)):
            await becomes_current(client, TWO)
            assert await worker_is_polling(client)
            new = await opens(client, engine, standard)
            await new.says("responded")
            assert [builds(run) for run in await runs(new)] == [{"2.0"}]
            assert [builds(run) for run in await runs(old)] == [{"1.0"}]
            # Its own build still takes what comes next, and hands it over when that is done.
            await moves_on(old)
            await old.accepts()
            assert [builds(run) for run in await runs(old)] == [{"1.0"}, {"2.0"}]
            # The gate can ask for the runs of one build alone; the list follows a little later.
            for name, numbers in {"1.0": {old.number}, "2.0": {old.number, new.number}}.items():
                version = WorkerDeploymentVersion("aftersales", name)
                found: list[Run] = []
                while len(found) < len(numbers):
                    found = await sample(client, 50, version=version)
                assert {run.number for run in found} == numbers
        for desk in (old, new):
            for run in await runs(desk):
                await replay(run)


@pytest.mark.slow(8)
async def test_a_worker_process_is_the_build_that_its_settings_name(
    client: Client, engine: Engine, standard: Policy, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "AFTERSALES_DATA_DIR": str(tmp_path / "data"),
        "AFTERSALES_DATA_KEYS": RING_TEXT,
        "AFTERSALES_DATABASE_URL": str(engine.url),
        "AFTERSALES_TEMPORAL_ADDRESS": client.service_client.config.target_host,
        "AFTERSALES_DEPLOYMENT": "aftersales",
        "AFTERSALES_BUILD_ID": "1.0",
    }
    command = [sys.executable, str(ROOT / "cli.py"), "worker"]
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, cwd=tmp_path, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await becomes_current(client, ONE)
        desk = await opens(client, engine, standard)
        await desk.says("cancelled", reason="不修了")
        assert [builds(run) for run in await runs(desk)] == [{"1.0"}]
        version = DescribeWorkerDeploymentVersionRequest(
            namespace=client.namespace,
            deployment_version=Version(deployment_name="aftersales", build_id="1.0"),
        )
        described = await client.workflow_service.describe_worker_deployment_version(version)
        queues = {queue.name for queue in described.version_task_queues}
        assert queues == {TASK_QUEUE, WEBHOOK_QUEUE, UPKEEP_QUEUE}
    finally:
        process.terminate()
        await process.wait()


async def test_without_a_deployment_every_worker_takes_every_request(
    client: Client, engine: Engine, activities: Activities, standard: Policy
) -> None:
    async with build_worker(client, activities):
        desk = await opens(client, engine, standard)
        await desk.says("cancelled", reason="不修了")
        assert [builds(run) for run in await runs(desk)] == [set()]
