"""The projection is dropped and ruined under running and closed requests, and comes back whole."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text, update
from sqlmodel import Session, col
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.service import RPCError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from activities.working_days import calendar_for
from domain.policy import Policy
from records.base import Record
from records.intake import take_in
from records.tables import Intake, Request, Upkeep
from records.upkeep import record, recorded
from runtime.reconcile import (
    ON_ITS_WAY,
    WHOLE,
    Found,
    Reconciler,
    reconcile_all,
    still_to_compare,
)
from runtime.settings import Settings
from runtime.upkeep import SCHEDULE, UpkeepActivities, build_upkeep_worker, keep_schedule
from tests.desk import Desk, intake
from workflows.reconcile import RECONCILE, Reconciled, Reconciling

from .conftest import OpenDesk

PROJECTED = ["request", "clock", "timeline", "form", "workload", "notification", "archive"]


def dump(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """Every row of the projection, but for when it was written."""
    with engine.connect() as connection:
        return {
            table: [
                {name: value for name, value in row.items() if name != "written_at"}
                for row in connection.execute(
                    text(f"SELECT * FROM {table} ORDER BY 1, 2")
                ).mappings()
            ]
            for table in PROJECTED
        }


def say(engine: Engine, statement: str, number: str) -> None:
    with engine.begin() as connection:
        done = connection.execute(text(statement), {"number": number})
        assert done.rowcount > 0, statement


def drop(engine: Engine, number: str) -> dict[str, Any]:
    """Every row of the request goes; returns SA-CR-001, which only intake can fill in."""
    of = {"n": number}
    with engine.begin() as connection:
        sheet = text("SELECT * FROM form WHERE request = :n AND \"key\" = 'CR/1'")
        intake_sheet = dict(connection.execute(sheet, of).mappings().one())
        for table in reversed(Record.metadata.sorted_tables):
            column = table.c.get("request") if table.name == "form" else table.c.get("number")
            if column is not None:
                connection.execute(table.delete().where(column == number))
    return intake_sheet


async def reconcile(
    server: WorkflowEnvironment, engine: Engine, *, repair: bool = True, **more: Any
) -> tuple[Reconciled, list[Found]]:
    found: list[Found] = []
    reconciler = Reconciler(server.client, engine, repair=repair, tell=found.append, **more)
    return await reconcile_all(reconciler, engine), found


async def forgotten(server: WorkflowEnvironment, number: str) -> None:
    """Temporal forgets the workflow, as it does after its retention; its lists a little later."""
    await server.client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace=server.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=number),
        )
    )
    handle = server.client.get_workflow_handle(number)
    for _ in range(200):
        listed = [each async for each in server.client.list_workflows(f"WorkflowId = '{number}'")]
        try:
            await handle.describe()
        except RPCError:
            if not listed:
                return
        await asyncio.sleep(0.1)
    raise AssertionError("the workflow is still there")


async def to_the_end(desk: Desk) -> Desk:
    await desk.goes_to("revisit")
    await desk.is_surveyed()
    await desk.handle.result()
    return desk


@pytest.mark.server
async def test_the_records_come_back_whole_from_workflows_and_archives(
    desk: OpenDesk, server: WorkflowEnvironment, engine: Engine
) -> None:
    fresh = (await desk()).number
    working = (await (await desk(history_limit=5)).goes_to("service")).number  # several runs
    offered = (await (await desk()).goes_to("dispatch")).number
    closed = (await to_the_end(await desk())).number
    old = (await to_the_end(await desk())).number
    await forgotten(server, old)
    whole = dump(engine)
    done, found = await reconcile(server, engine, thorough=True)
    assert (done.checked, found) == (5, [])

    say(engine, "DELETE FROM timeline WHERE number = :number", working)
    say(engine, "DELETE FROM form WHERE request = :number AND \"key\" <> 'CR/1'", working)
    say(engine, "DELETE FROM clock WHERE number = :number", working)
    say(engine, "DELETE FROM workload WHERE number = :number", working)
    say(engine, "UPDATE request SET revision = 900 WHERE number = :number", working)
    say(engine, "UPDATE request SET stage = 'closed', state = '{}' WHERE number = :number", fresh)
    say(engine, "DELETE FROM timeline WHERE number = :number AND seq = 1", fresh)
    say(engine, "UPDATE workload SET engineer = 'E099' WHERE number = :number", offered)
    for number in (closed, old):
        say(
            engine,
            "UPDATE request SET state = '', stage = 'response', revision = 999, engineer = NULL, "
            "closed_at = NULL, outcome = NULL, turn = 0 WHERE number = :number",
            number,
        )
        say(engine, "DELETE FROM timeline WHERE number = :number", number)
        say(engine, "DELETE FROM form WHERE request = :number AND \"key\" <> 'CR/1'", number)
        say(engine, "DELETE FROM clock WHERE number = :number", number)
    say(engine, "UPDATE archive SET state = NULL, timeline = '[]' WHERE number = :number", closed)
    damaged = dump(engine)

    done, found = await reconcile(server, engine, repair=False)
    assert done.repaired == 0
    assert {each.difference.number for each in found} == {fresh, working, offered, closed, old}
    assert dump(engine) == damaged  # Looking changed nothing.

    done, found = await reconcile(server, engine)
    assert done.left == 0
    assert dump(engine) == whole
    kept = recorded(engine, RECONCILE)
    assert kept is not None
    assert (kept.checked, kept.differences, kept.repaired) == (
        5,
        done.differences,
        done.differences,
    )
    assert (await reconcile(server, engine, thorough=True))[1] == []


@pytest.mark.server
async def test_one_word_of_a_timeline_is_found_when_every_history_is_replayed(
    desk: OpenDesk, server: WorkflowEnvironment, engine: Engine
) -> None:
    request = await (await desk()).goes_to("dispatch")
    whole = dump(engine)
    say(
        engine, "UPDATE timeline SET data = '{}' WHERE number = :number AND seq = 2", request.number
    )
    assert (await reconcile(server, engine))[1] == []
    _, found = await reconcile(server, engine, thorough=True)
    assert [(f.difference.where, f.repaired) for f in found] == [("timeline", True)]
    assert dump(engine) == whole


@pytest.mark.server
async def test_a_request_that_moves_all_the_time_is_no_difference(
    desk: OpenDesk, server: WorkflowEnvironment, engine: Engine
) -> None:
    request = await desk()

    async def talks() -> None:
        while True:
            await request.says("noted", text="又来电")

    talking = asyncio.create_task(talks())
    try:
        for _ in range(5):
            assert (await reconcile(server, engine))[1] == []
    finally:
        talking.cancel()
        await asyncio.wait([talking])
    assert (await reconcile(server, engine, thorough=True))[1] == []


@pytest.mark.server
async def test_what_no_truth_is_left_of_is_told_and_left_alone(
    desk: OpenDesk, server: WorkflowEnvironment, engine: Engine, standard: Policy
) -> None:
    gone, ended = await desk(), await desk()
    await gone.handle.terminate("test")
    await forgotten(server, gone.number)
    await ended.handle.terminate("test")
    long_ago = (datetime.now(UTC) - timedelta(minutes=5)).replace(microsecond=0)
    left = take_in(
        engine, intake(), key=None, policy=standard, calendar_for=calendar_for, now=long_ago
    )
    just_now = take_in(
        engine,
        intake(),
        key=None,
        policy=standard,
        calendar_for=calendar_for,
        now=datetime.now(UTC),
    )
    done, found = await reconcile(server, engine)
    told = {f.difference.number: (f.difference.what, f.repaired) for f in found}
    assert told == {
        gone.number: ("gone", False),
        ended.number: ("terminated before its end", False),
        left.number: ("never started", True),
    }
    assert done.left == 2
    with Session(engine) as session:
        assert session.get_one(Intake, left.number).started
        assert not session.get_one(Intake, just_now.number).started
    await server.client.get_workflow_handle(left.number).describe()


@pytest.mark.server
async def test_a_workflow_without_any_row_is_projected(
    desk: OpenDesk, server: WorkflowEnvironment, engine: Engine
) -> None:
    request = await (await desk()).goes_to("appointment")
    number = request.number
    whole = dump(engine)
    sheet = drop(engine, number)
    for _ in range(100):  # Temporal's lists follow a little later.
        _, found = await reconcile(server, engine)
        if number in {each.difference.number for each in found}:
            break
        await asyncio.sleep(0.1)
    with engine.begin() as connection:
        connection.execute(
            text(
                'INSERT INTO form (number, request, "key", code, title, title_zh, content, sealed)'
                " VALUES (:number, :request, :key, :code, :title, :title_zh, :content, :sealed)"
            ),
            sheet,
        )
        restored = text("SELECT DISTINCT state FROM notification WHERE number = :n")
        assert set(connection.execute(restored, {"n": number}).scalars()) == {"restored"}
        connection.execute(text("UPDATE notification SET state = 'queued'"))
    assert dump(engine) == whole


@pytest.mark.server
async def test_an_attempt_goes_on_where_the_last_one_stopped(
    desk: OpenDesk, server: WorkflowEnvironment, engine: Engine
) -> None:
    first = await (await desk()).goes_to("dispatch")
    second = await (await desk()).goes_to("dispatch")
    env = ActivityEnvironment()
    so_far = Reconciled(checked=100, differences=5, repaired=5)
    env.info = replace(env.info, heartbeat_details=[first.number, so_far.model_dump()])
    beats: list[Any] = []
    env.on_heartbeat = lambda *details: beats.append(details)
    upkeep = UpkeepActivities(server.client, engine)
    done = await env.run(upkeep.reconcile, Reconciling(repair=False))
    assert done == Reconciled(checked=101, differences=5, repaired=5)
    # A sign of life after the request, still on the page before, and one after the page.
    assert [(number, stood["checked"]) for number, stood in beats[:2]] == [
        (first.number, 100),
        (second.number, 101),
    ]


@pytest.mark.server
async def test_what_closed_long_ago_is_compared_once_a_week(
    desk: OpenDesk, server: WorkflowEnvironment, engine: Engine
) -> None:
    still_open, closed = (await desk()).number, (await to_the_end(await desk())).number
    await reconcile(server, engine)
    env = ActivityEnvironment()
    env.info = replace(env.info, scheduled_time=datetime.now(UTC) + timedelta(days=1))
    upkeep = UpkeepActivities(server.client, engine)
    long_ago = datetime.now(UTC) - timedelta(days=30)
    for number in (still_open, closed):
        with engine.begin() as connection:
            connection.execute(
                update(Request)
                .where(col(Request.number) == number)
                .values(written_at=long_ago, received_at=long_ago, next_due=long_ago)
            )
    done = await env.run(upkeep.reconcile, Reconciling())
    assert (done.differences, done.repaired) == (1, 1)  # The open one.
    env.info = replace(env.info, scheduled_time=datetime.now(UTC) + timedelta(days=8))
    assert (await env.run(upkeep.reconcile, Reconciling())).repaired == 1


def test_as_long_as_a_difference_is_left_everything_is_compared(engine: Engine) -> None:
    now = datetime.now(UTC)
    note: dict[str, Any] = {"ran_at": now, "checked": 9, "differences": 2, "took": 60.0}
    for repaired, since in ((1, None), (2, now - timedelta(seconds=60) - ON_ITS_WAY)):
        for name in (WHOLE, RECONCILE):
            record(engine, Upkeep(name=name, repaired=repaired, **note))
        assert still_to_compare(engine, now) == since
    assert still_to_compare(engine, now + timedelta(days=7)) is None


@pytest.mark.server
async def test_the_schedule_runs_it_and_follows_the_settings(
    desk: OpenDesk, server: WorkflowEnvironment, engine: Engine
) -> None:
    request = await (await desk()).goes_to("dispatch")
    settings = Settings(_env_file=None, reconcile_every="2h")
    await keep_schedule(server.client, settings)
    await keep_schedule(server.client, settings.model_copy(update={"reconcile_every": "3h"}))
    handle = server.client.get_schedule_handle(SCHEDULE)
    (interval,) = (await handle.describe()).schedule.spec.intervals
    assert interval.every == timedelta(hours=3)
    say(engine, "UPDATE request SET stage = 'revisit' WHERE number = :number", request.number)
    began, kept = datetime.now(UTC), None
    async with build_upkeep_worker(server.client, engine):
        await handle.trigger()
        for _ in range(200):
            await asyncio.sleep(0.1)
            kept = recorded(engine, RECONCILE)
            if kept is not None and kept.ran_at > began:
                break
    assert kept is not None
    assert (kept.differences, kept.repaired) == (1, 1)
    await keep_schedule(server.client, settings.model_copy(update={"reconcile_every": "off"}))
    await keep_schedule(server.client, settings.model_copy(update={"reconcile_every": "off"}))
    with pytest.raises(RPCError):
        await handle.describe()
