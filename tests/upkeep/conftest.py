"""An installation of each test's own: reconciling looks at every workflow of a namespace."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment

from activities.registry import Activities
from domain.policy import Policy
from runtime.temporal import plugin
from tests.conftest import BIN
from tests.databases import RING, own_records, sqlite_template
from tests.desk import Desk, open_desk
from tests.namespaces import own_namespace
from worker import build_worker

__all__ = ["own_records", "sqlite_template"]

OpenDesk = Callable[..., Awaitable[Desk]]


@pytest.fixture(scope="session")
async def deletes_at_once() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"),
        plugins=[plugin(RING)],
        dev_server_log_level="error",
        # A test deletes workflows, and does not wait for the server to find the time.
        dev_server_extra_args=[
            "--dynamic-config-value",
            "history.transferProcessorEnsureCloseBeforeDelete=false",
        ],
    ) as environment:
        yield environment


@pytest.fixture
async def server(deletes_at_once: WorkflowEnvironment) -> WorkflowEnvironment:
    return await own_namespace(deletes_at_once)


@pytest.fixture
def engine(own_records: Engine) -> Engine:
    return own_records


@pytest.fixture
async def worker(server: WorkflowEnvironment, engine: Engine) -> AsyncIterator[None]:
    async with build_worker(server.client, Activities(engine)):
        yield


@pytest.fixture
def desk(server: WorkflowEnvironment, worker: None, engine: Engine, standard: Policy) -> OpenDesk:
    async def now() -> datetime:
        return datetime.now(UTC)

    async def sleep(span: timedelta) -> None:
        await asyncio.sleep(span.total_seconds())

    async def opened(**changes: object) -> Desk:
        return await open_desk(server.client, engine, standard, now, sleep, **changes)  # type: ignore[arg-type]

    return opened
