"""The audit's tests open requests as the workflow's do, or on a server and records of their own."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment

from activities.registry import Activities
from runtime.temporal import plugin
from tests.conftest import BIN, DELETES_SOON
from tests.databases import RING, own_records, sqlite_template
from tests.namespaces import own_namespace
from tests.workflow.conftest import desk
from worker import build_worker

__all__ = ["desk", "own_records", "sqlite_template"]


@pytest.fixture(scope="session")
async def deletes_soon() -> AsyncIterator[WorkflowEnvironment]:
    """A server that deletes soon."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"),
        plugins=[plugin(RING)],
        dev_server_log_level="error",
        dev_server_extra_args=DELETES_SOON,
    ) as env:
        yield env


@pytest.fixture
async def server(
    deletes_soon: WorkflowEnvironment, own_records: Engine
) -> AsyncIterator[WorkflowEnvironment]:
    """A namespace of a test's own, with its worker: another test's would take its requests
    elsewhere.
    """
    env = await own_namespace(deletes_soon)
    async with build_worker(env.client, Activities(own_records)):
        yield env
