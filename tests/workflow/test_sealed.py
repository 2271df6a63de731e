"""Nothing that a person said or is called stands readable in Temporal."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment

from activities.registry import Activities
from domain.policy import Policy
from runtime.temporal import plugin, prepare
from tests.conftest import BIN
from tests.databases import RING
from tests.desk import open_desk
from worker import build_worker

pytestmark = pytest.mark.server

PERSONAL = ["张三丰", "13812345678", "世纪大道", "婆婆在家", "李师傅", "KFR-35GW"]
"""What the desk's customer is called and says; the product is no secret, but shows that the whole
payload is sealed."""


@pytest.fixture
async def on_disk(tmp_path: Path) -> AsyncIterator[tuple[WorkflowEnvironment, Path]]:
    file = tmp_path / "temporal.db"
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"),
        dev_server_database_filename=str(file),
        dev_server_log_level="error",
        plugins=[plugin(RING)],
    ) as env:
        await prepare(env.client)
        yield env, file


async def now() -> datetime:
    return datetime.now(UTC)


async def no_sleep(span: timedelta) -> None:
    raise NotImplementedError


async def test_a_history_and_the_servers_disk_hold_no_personal_data(
    on_disk: tuple[WorkflowEnvironment, Path], engine: Engine, standard: Policy
) -> None:
    env, file = on_disk
    async with build_worker(env.client, Activities(engine)):
        desk = await open_desk(env.client, engine, standard, now, no_sleep)
        await desk.says("responded", note="张三丰说婆婆在家，电话 13812345678")
        await desk.says("plan_told", plan="李师傅明天到世纪大道1号")
        await desk.signals("noted", text="婆婆在家")
        await desk.sees(lambda shown: shown["event_count"] == 3)
        history = await desk.handle.fetch_history()
    kept = b"".join(event.SerializeToString() for event in history.events)
    disk = b"".join(path.read_bytes() for path in file.parent.glob("temporal.db*"))
    assert b"write_down" in kept
    assert desk.number.encode() in disk
    for secret in PERSONAL:
        assert secret.encode() not in kept
        assert secret.encode() not in disk
