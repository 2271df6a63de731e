"""A whole installation: a Temporal server, a database, the API over HTTP, and a worker on demand.

A server of its own: a worker of another test would take our requests to another database.
"""

import asyncio
import inspect
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import uvicorn
from pydantic import SecretStr
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment

from activities.registry import Activities
from api.app import create_app
from records.engine import migrate, open_engine
from runtime.settings import Settings
from runtime.temporal import plugin, prepare
from tests.api.caller import Caller
from tests.conftest import DELETES_SOON
from tests.databases import RING, RING_TEXT
from worker import build_worker

BIN = Path(sys.executable).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every asynchronous test here shares the loop in which the installation runs."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and inspect.iscoroutinefunction(
            getattr(item, "function", None)
        ):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"),
        plugins=[plugin(RING)],
        dev_server_log_level="error",
        dev_server_extra_args=DELETES_SOON,
    ) as environment:
        await prepare(environment.client)
        yield environment


@pytest.fixture(scope="session")
def settings(temporal: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("data"),
        temporal_address=temporal.client.service_client.config.target_host,
        token_secret=SecretStr("s" * 40),
        data_keys=SecretStr(RING_TEXT),
        # The tests call faster than people; how often one may call has a test of its own.
        rate_limit="100000/second",
        rate_limit_integration="100000/second",
        rate_limit_failures="100000/second",
        webhook_allow="127.0.0.1/32",
    )


@pytest.fixture(scope="session")
def records(settings: Settings) -> Engine:
    engine = open_engine(settings.database, RING)
    migrate(engine)
    return engine


@pytest.fixture
def empty_records(tmp_path: Path) -> str:
    """The URL of a database of one's own, with every table and nothing in it."""
    url = f"sqlite:///{tmp_path / 'records.db'}"
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    return url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def address(settings: Settings, records: Engine) -> AsyncIterator[str]:
    """The API over real HTTP."""
    async with serving(settings) as address:
        yield address


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worker(temporal: WorkflowEnvironment, records: Engine) -> AsyncIterator[None]:
    async with build_worker(temporal.client, Activities(records)):
        yield


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def http(address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=address, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def caller(http: httpx.AsyncClient, settings: Settings) -> Caller:
    """An integration, which may report for anyone."""
    return Caller(http, settings)


class serving:  # noqa: N801 - reads as what it does
    """The API on a free port, for as long as the block lasts."""

    def __init__(self, settings: Settings) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            create_app(settings), log_level="error", timeout_graceful_shutdown=2
        )
        self._server = uvicorn.Server(config)

    async def __aenter__(self) -> str:
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            await asyncio.sleep(0.01)
            if self._serving.done():
                self._serving.result()
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._serving
        self._socket.close()
