"""Temporal forgets each run by that run's own end, and the archive has the request whole."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import select
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from audit.archivist import Archivist
from audit.faults import Fault, Finding
from audit.filed import story
from audit.inspection import unarchived
from audit.manifests import Manifest
from audit.replaying import check_replay, check_unarchived
from audit.sources import from_server, manifest_of
from audit.store import Store
from audit.verification import check_one
from domain.policy import Policy
from records.engine import reading
from records.personal import erase
from records.tables import EarlierRun
from tests.audit.test_archivist import KEY, now, sleep
from tests.databases import RING
from tests.desk import Desk, open_desk

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def engine(own_records: Engine) -> Engine:
    return own_records


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "archive"))


@pytest.fixture
def archivist(server: WorkflowEnvironment, engine: Engine, store: Store) -> Archivist:
    return Archivist(engine, server.client, store, RING, KEY)


@pytest.fixture
async def desk(
    server: WorkflowEnvironment, engine: Engine, standard: Policy
) -> AsyncIterator[Desk]:
    """A request that goes on in a second run, and is still open."""
    desk = await open_desk(server.client, engine, standard, now, sleep, history_limit=12)
    await desk.says("responded", note="客户张三丰在家")
    await desk.says("noted", text="婆婆的电话 13912345678")
    assert len(await runs_of(engine, server.client, desk.number)) == 2
    yield desk
    if not (await desk.state())["closed_at"]:
        await desk.handle.terminate()


async def runs_of(engine: Engine, client: Client, number: str) -> list[str]:
    return [run.run_id for run in (await from_server(engine, client, number)).runs]


async def forgets(client: Client, number: str, run: str) -> None:
    """The server, as when the run's retention is over."""
    execution = WorkflowExecution(workflow_id=number, run_id=run)
    await client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=execution)
    )
    handle = client.get_workflow_handle(number, run_id=run)
    while True:
        try:
            await handle.fetch_history()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return
            raise
        await asyncio.sleep(0.2)


async def kept(archivist: Archivist, engine: Engine, number: str) -> list[EarlierRun]:
    """The server's list follows a little later."""
    async with asyncio.timeout(30):
        while True:
            await archivist.keep_runs()
            with reading(engine) as session:
                rows = session.exec(select(EarlierRun).where(EarlierRun.number == number)).all()
            if rows:
                return list(rows)
            await asyncio.sleep(0.2)


async def closes(desk: Desk) -> None:
    await desk.says("cancelled", reason="不修了")
    await desk.handle.result()


async def test_a_request_that_outlives_its_first_run_is_archived_whole(
    archivist: Archivist, store: Store, desk: Desk, engine: Engine
) -> None:
    first, second = await runs_of(engine, desk.client, desk.number)
    (row,) = await kept(archivist, engine, desk.number)
    assert row.run == first
    assert b"13912345678" not in row.content
    assert b"workflowExecutionStarted" not in row.content
    await forgets(desk.client, desk.number, first)

    open_still = await from_server(engine, desk.client, desk.number)
    assert (await check_unarchived(RING, open_still)).findings == []
    await closes(desk)
    assert await archivist.archive_all() == 1
    checked = list(check_one(store, RING, desk.number))
    manifest = next(each for each in checked if isinstance(each, Manifest))
    assert manifest.runs == (first, second)
    # The chain of this archive begins in the middle: earlier tests wrote to archives of their own.
    faults = {each.fault for each in checked if isinstance(each, Finding)}
    assert faults <= {Fault.chain_broken}
    assert (await check_replay(RING, story(store, RING, manifest))).findings == []
    with reading(engine) as session:
        assert session.exec(select(EarlierRun)).all() == []
    await archivist.keep_runs()
    another = Archivist(engine, desk.client, store, RING, KEY)
    assert await another.keep_runs() == 0  # It looks at all that the server has.


async def test_what_is_left_of_a_forgotten_request_is_archived_and_called_incomplete(
    archivist: Archivist, store: Store, desk: Desk, engine: Engine
) -> None:
    """No worker was up while the server still had the first run."""
    first, second = await runs_of(engine, desk.client, desk.number)
    await forgets(desk.client, desk.number, first)
    replayed = await check_unarchived(RING, await from_server(engine, desk.client, desk.number))
    assert [each.fault for each in replayed.findings] == [Fault.history_incomplete]
    await closes(desk)
    assert await archivist.archive_all() == 1
    manifest = await manifest_of(engine, desk.number)
    assert manifest is not None
    assert manifest.runs == (second,)
    found = [each for each in check_one(store, RING, desk.number) if isinstance(each, Finding)]
    (lack,) = (each for each in found if each.fault is Fault.history_incomplete)
    assert lack.detail == f"the run before the first, {first}, is not there"
    left = story(store, RING, manifest)
    told = unarchived(left, await check_unarchived(RING, left))
    assert (told["verdict"], told["promises"]) == ("faulty", [])


async def test_runs_that_were_kept_go_with_an_erasure(
    archivist: Archivist, desk: Desk, engine: Engine
) -> None:
    await kept(archivist, engine, desk.number)
    await closes(desk)
    erase(engine, desk.number, datetime.now(UTC))
    with reading(engine) as session:
        assert session.exec(select(EarlierRun)).all() == []
    await Archivist(engine, desk.client, archivist._store, RING, KEY).keep_runs()
    with reading(engine) as session:
        assert session.exec(select(EarlierRun)).all() == []


async def test_two_archivists_keep_a_run_once(
    archivist: Archivist, store: Store, desk: Desk, engine: Engine
) -> None:
    other = Archivist(engine, desk.client, store, RING, KEY)
    rows = await kept(archivist, engine, desk.number)
    found = await asyncio.gather(archivist.keep_runs(), other.keep_runs())
    assert list(found) == [0, 0]
    assert [row.run for row in await kept(other, engine, desk.number)] == [row.run for row in rows]
