"""An installation of its own: reconciling looks at every workflow that a server knows."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment

from activities.registry import Activities
from domain.policy import Policy
from records.engine import migrate, open_engine
from records.seed import seed
from runtime.temporal import plugin, prepare
from tests.conftest import BIN
from tests.databases import RING
from tests.desk import Desk, open_desk
from worker import build_worker

OpenDesk = Callable[..., Awaitable[Desk]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server() -> AsyncIterator[WorkflowEnvironment]:
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
        await prepare(environment.client)
        yield environment


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('upkeep') / 'aftersales.db'}", RING)
    migrate(engine)
    seed(engine)
    yield engine
    engine.dispose()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worker(server: WorkflowEnvironment, engine: Engine) -> AsyncIterator[None]:
    async with build_worker(server.client, Activities(engine)):
        yield


@pytest.fixture
def desk(
    server: WorkflowEnvironment, worker: None, engine: Engine, standard: Policy, tmp_path: Path
) -> OpenDesk:
    async def now() -> datetime:
        return datetime.now(UTC)

    async def sleep(span: timedelta) -> None:
        await asyncio.sleep(span.total_seconds())

    async def opened(**changes: object) -> Desk:
        return await open_desk(server.client, engine, standard, now, sleep, **changes)  # type: ignore[arg-type]

    return opened
