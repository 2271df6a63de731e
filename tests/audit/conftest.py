"""The audit's tests open requests as the workflow's do, or on a server and records of their own."""

from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment

from activities.registry import Activities
from records.engine import migrate, open_engine
from records.seed import seed
from runtime.temporal import plugin, prepare
from tests.conftest import BIN, DELETES_SOON
from tests.databases import RING
from tests.workflow.conftest import desk
from worker import build_worker

__all__ = ["desk"]


@pytest.fixture(scope="module")
def own_records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A database of a module's own, so that its archive begins with the chain."""
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('records') / 'aftersales.db'}", RING)
    migrate(engine)
    seed(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
async def server(own_records: Engine) -> AsyncIterator[WorkflowEnvironment]:
    """A server of a module's own, which deletes soon: another test's worker would take its requests
    elsewhere.
    """
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"),
        plugins=[plugin(RING)],
        dev_server_log_level="error",
        dev_server_extra_args=DELETES_SOON,
    ) as env:
        await prepare(env.client)
        async with build_worker(env.client, Activities(own_records)):
            yield env
