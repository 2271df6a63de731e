"""Builds rolled out on a development server of their own, by the commands that a person types."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine
from temporalio.client import Client, WorkflowHistory
from temporalio.testing import WorkflowEnvironment

from domain.policy import Policy
from runtime.deployments import make_current
from runtime.settings import Settings
from runtime.temporal import plugin, prepare
from tests.databases import RING
from tests.desk import Desk, open_desk

BIN = Path(sys.executable).parent


@asynccontextmanager
async def dev_server() -> AsyncIterator[Client]:
    """A server of one's own: what is current for a queue counts for all who use the server."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"),
        plugins=[plugin(RING)],
        dev_server_log_level="never",
    ) as env:
        await prepare(env.client)
        yield env.client


def build(name: str) -> Settings:
    """The settings of a worker that is this build."""
    return Settings(_env_file=None, deployment="aftersales", build_id=name)


async def becomes_current(client: Client, settings: Settings) -> None:
    """Type the command that is recommended, until the server knows the build's workers."""
    command = [*make_current(settings).split()[1:], "--yes"]
    address = ["--address", client.service_client.config.target_host]
    said = b""
    for _ in range(50):
        process = await asyncio.create_subprocess_exec(
            str(BIN / "temporal"),
            *command,
            *address,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        if process.returncode == 0:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(said.decode())


async def opens(client: Client, engine: Engine, policy: Policy) -> Desk:
    """A new request, in real time."""

    async def now() -> datetime:
        return datetime.now(UTC)

    async def sleep(span: timedelta) -> None:
        await asyncio.sleep(span.total_seconds())

    return await open_desk(client, engine, policy, now, sleep)


async def runs(desk: Desk) -> list[WorkflowHistory]:
    """Every run of the request so far."""
    found = []
    described = await desk.handle.describe()
    run = described.raw_description.workflow_execution_info.first_run_id
    while run:
        handle = desk.client.get_workflow_handle(desk.number, run_id=run)
        history = await handle.fetch_history()
        found.append(history)
        last = history.events[-1].workflow_execution_continued_as_new_event_attributes
        run = last.new_execution_run_id
    return found


async def moves_on(desk: Desk) -> None:
    """Things happen to the request until it has gone on in a second run.

    What is current is known to all of the server a moment after it was said.
    """
    for _ in range(100):
        await desk.says("noted", text="客户在家")
        if len(await runs(desk)) > 1:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it stayed where it was")


def builds(history: WorkflowHistory) -> set[str]:
    """The builds that ran it."""
    done = (event.workflow_task_completed_event_attributes for event in history.events)
    return {each.deployment_version.build_id for each in done} - {""}
