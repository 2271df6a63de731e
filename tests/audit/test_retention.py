"""Temporal forgets each run by that run's own end, and the archive has the request whole."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine
from sqlmodel import select
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    ResetWorkflowExecutionRequest,
)
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from audit.archivist import Archivist
from audit.facts import tell
from audit.faults import Fault, Finding
from audit.filed import story
from audit.inspection import unarchived
from audit.manifests import Manifest
from audit.replaying import check_replay, check_unarchived
from audit.semantics import CannotReplay
from audit.sources import from_server, manifest_of
from audit.store import Store
from audit.time_travel import as_it_stood
from audit.verification import check_one
from domain.policy import Policy
from records.engine import reading, writing
from records.personal import erase
from records.tables import Customer, EarlierRun, Intake
from tests.audit.own_archive import KEY, archivist, engine, now, sleep, store
from tests.databases import RING
from tests.desk import Desk, open_desk

__all__ = ["archivist", "engine", "store"]

pytestmark = pytest.mark.server


@pytest.fixture
async def desk(server: WorkflowEnvironment, engine: Engine, standard: Policy) -> Desk:
    """A request that goes on in a second run, and is still open."""
    desk = await open_desk(server.client, engine, standard, now, sleep, history_limit=12)
    await desk.says("responded", note="客户张三丰在家")
    await desk.says("noted", text="婆婆的电话 13912345678")
    assert len(await runs_of(engine, server.client, desk.number)) == 2
    return desk


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
            if rows := rows_of(engine, number):
                return rows
            await asyncio.sleep(0.2)


def rows_of(engine: Engine, number: str) -> list[EarlierRun]:
    with reading(engine) as session:
        return list(session.exec(select(EarlierRun).where(EarlierRun.number == number)))


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
    assert not [each for each in checked if isinstance(each, Finding)]
    assert (await check_replay(RING, story(store, RING, manifest))).findings == []
    assert rows_of(engine, desk.number) == []
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
    assert rows_of(engine, desk.number) == []
    await Archivist(engine, desk.client, archivist._store, RING, KEY).keep_runs()
    assert rows_of(engine, desk.number) == []


async def test_two_archivists_keep_a_run_once(
    archivist: Archivist, store: Store, desk: Desk, engine: Engine
) -> None:
    other = Archivist(engine, desk.client, store, RING, KEY)
    rows = await kept(archivist, engine, desk.number)
    found = await asyncio.gather(archivist.keep_runs(), other.keep_runs())
    assert list(found) == [0, 0]
    assert [row.run for row in await kept(other, engine, desk.number)] == [row.run for row in rows]


async def test_a_run_that_was_kept_is_archived_beyond_a_gap(
    archivist: Archivist, store: Store, desk: Desk, engine: Engine
) -> None:
    """No worker was up for the retention of the second run; the third is there."""
    await kept(archivist, engine, desk.number)
    while len(runs := await runs_of(engine, desk.client, desk.number)) < 3:
        await desk.says("noted", text="婆婆在家")
    first, second, third = runs
    for run in (first, second):
        await forgets(desk.client, desk.number, run)
    await closes(desk)
    assert await archivist.archive_all() == 1
    manifest = await manifest_of(engine, desk.number)
    assert manifest is not None
    assert manifest.runs == (first, third)
    told = story(store, RING, manifest)
    assert told.lacks == f"the run after {first}, {second}, is not there"
    # The last run tells how it stood then, and nobody knows how it came there.
    assert (await as_it_stood(RING, told, datetime.now(UTC))).is_closed
    with pytest.raises(CannotReplay, match="is not there"):
        await as_it_stood(RING, told, first_moment(told.runs[0]))
    with pytest.raises(CannotReplay, match="is not there"):
        await tell(RING, told)


def first_moment(run: WorkflowHistory) -> datetime:
    return run.events[-1].event_time.ToDatetime(tzinfo=UTC)


async def test_a_run_that_was_reset_is_found_again(
    archivist: Archivist, store: Store, desk: Desk, engine: Engine
) -> None:
    """Its own history gives the id of the run that it was made from."""
    _, second = await runs_of(engine, desk.client, desk.number)
    await kept(archivist, engine, desk.number)
    await desk.says("noted", text="婆婆在家")
    again = await reset(desk.client, desk.number, second)
    desk.handle = desk.client.get_workflow_handle(desk.number)
    while len(await runs_of(engine, desk.client, desk.number)) < 3:
        await desk.says("noted", text="婆婆在家")
    ids: set[str] = set()
    async with asyncio.timeout(30):
        while again not in ids:
            await archivist.keep_runs()
            ids = {row.run for row in await kept(archivist, engine, desk.number)}
    for run in ids:
        await forgets(desk.client, desk.number, run)
    await closes(desk)
    assert await archivist.archive_all() == 1
    manifest = await manifest_of(engine, desk.number)
    assert manifest is not None
    assert story(store, RING, manifest).lacks is None
    assert len(manifest.runs) == 3


async def reset(client: Client, number: str, run: str) -> str:
    """The run that goes on from the last step of this one."""
    history = await client.get_workflow_handle(number, run_id=run).fetch_history()
    done = [e for e in history.events if e.HasField("workflow_task_completed_event_attributes")]
    answer = await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=number, run_id=run),
            reason="an operator's",
            workflow_task_finish_event_id=done[-1].event_id,
            request_id=run,
        )
    )
    return answer.run_id


async def test_a_run_that_cannot_be_kept_holds_up_no_other(
    archivist: Archivist, server: WorkflowEnvironment, engine: Engine, standard: Policy
) -> None:
    broken, sound = [
        await open_desk(
            server.client, engine, standard, now, sleep, history_limit=12, customer={"phone": phone}
        )
        for phone in ("13800000011", "13800000012")
    ]
    for each in (broken, sound):
        await each.says("responded")
        await each.says("noted", text="婆婆在家")
    with writing(engine) as session:
        intake = session.get_one(Intake, broken.number)
        customer = session.get_one(Customer, intake.customer_id)
        key, customer.data_key = customer.data_key, "test.AAAA"
    await kept(archivist, engine, sound.number)
    assert rows_of(engine, broken.number) == []
    with writing(engine) as session:
        session.get_one(Customer, intake.customer_id).data_key = key
    await kept(archivist, engine, broken.number)


async def test_what_another_archived_meanwhile_is_let_go(
    archivist: Archivist, desk: Desk, engine: Engine
) -> None:
    (row,) = await kept(archivist, engine, desk.number)
    await closes(desk)
    assert await archivist.archive_all()
    with writing(engine) as session:
        session.add(EarlierRun(**row.model_dump()))
    await archivist.keep_runs()
    assert rows_of(engine, desk.number) == []
