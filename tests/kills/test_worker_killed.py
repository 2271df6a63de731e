"""The worker is killed hard in the middle of every stage: nothing is lost, nothing done twice."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import Session, select
from temporalio.testing import WorkflowEnvironment

from domain.policy import Policy
from records.engine import migrate, open_engine
from records.queries import forms, timeline
from records.seed import seed
from records.tables import Notification
from runtime.temporal import HEARTBEAT, plugin, prepare, worker_is_polling
from tests.conftest import BIN
from tests.databases import RING, RING_TEXT
from tests.desk import HAPPY_SCORES, Desk, open_desk, window
from tests.kills.process import FORKING, work
from tests.workflow.replay import replay
from workflows.messages import RECORD, Json


@pytest.fixture
async def server() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"),
        plugins=[plugin(RING)],
        dev_server_log_level="error",
    ) as env:
        await prepare(env.client)
        yield env


@pytest.fixture
def own_engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'aftersales.db'}", RING)
    migrate(engine)
    seed(engine)
    yield engine
    engine.dispose()


@contextmanager
def worker(
    env: WorkflowEnvironment, engine: Engine, folder: Path, heartbeat: timedelta = HEARTBEAT
) -> Iterator[None]:
    """A worker process that is killed without warning at the end."""
    environment = {
        "AFTERSALES_DATA_DIR": str(folder),
        "AFTERSALES_TEMPORAL_ADDRESS": env.client.service_client.config.target_host,
        "AFTERSALES_DATABASE_URL": str(engine.url),
        "AFTERSALES_LOG_LEVEL": "warning",
        "AFTERSALES_DATA_KEYS": RING_TEXT,
    }
    process = FORKING.Process(target=work, args=[environment, heartbeat])
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


@pytest.mark.slow(30)
async def test_killed_in_the_middle_of_every_stage(
    server: WorkflowEnvironment, own_engine: Engine, standard: Policy, tmp_path: Path
) -> None:
    async def now() -> datetime:
        return datetime.now(UTC)

    async def sleep(span: timedelta) -> None:
        await asyncio.sleep(span.total_seconds())

    # A task that dies with its worker is given to the next one after two seconds, not ten.
    desk: Desk = await open_desk(
        server.client, own_engine, standard, now, sleep, task_timeout=timedelta(seconds=2)
    )
    start = await now() + timedelta(hours=2)
    bad = {"scores": {**HAPPY_SCORES, "effect": 2}, "channel": "phone"}
    found = {"fault": "a", "cause": "b", "remedy": "c"}
    stages: dict[str, list[tuple[str, Json]]] = {
        "response": [("responded", {})],
        "dispatch": [("accepted", {})],
        "appointment": [("appointed", window(start))],
        "service": [("arrived", {}), ("diagnosed", found), ("completed", {"test_result": "16℃"})],
        "sign_off": [("signed", {"signature": "张*"})],
        "revisit": [("surveyed", bad)],
        "complaint": [
            ("complaint_taken_over", {}),
            ("remedy_offered", {"remedy": "replacement"}),
            ("complaint_settled", {}),
        ],
    }
    for stage, events in stages.items():
        with worker(server, own_engine, tmp_path):
            assert (await _patiently(desk))["stage"] == stage
            if stage == "dispatch":
                events = [("accepted", {"engineer": await desk.engineer()})]
            sent = [await desk.signals(event, **payload) for event, payload in events]
            # Anywhere from "not yet heard" to "already written down".
            await asyncio.sleep(random.Random(stage).uniform(0, 0.05))
        for event in sent:  # Nobody knows whether they arrived: send them again.
            await desk.handle.signal(RECORD, event)
    with worker(server, own_engine, tmp_path):
        closing = await asyncio.wait_for(desk.handle.result(), 60)

    assert closing.outcome == "replaced"
    expected = [event for events in stages.values() for event, _ in events]
    assert closing.event_count == len(expected)
    lines = timeline(own_engine, desk.number)
    assert [e.name for e in lines if e.kind == "event"] == expected
    assert [e.seq for e in lines] == sorted({e.seq for e in lines})
    assert not [e for e in lines if e.kind == "refused"]
    assert sum(e.name == "offered" for e in lines) == 1
    counted = Counter(form.key[:2] for form in forms(own_engine, desk.number))
    assert counted == {"CR": 1, "WO": 1, "AP": 1, "OS": 1, "CS": 1}
    with Session(own_engine) as session:
        rows = session.exec(select(Notification).where(Notification.number == desk.number)).all()
    assert len({row.id for row in rows}) == len(rows)
    assert Counter(row.message for row in rows)["work_offered"] == 1
    await replay(await desk.handle.fetch_history())


async def test_the_lateness_of_a_dead_worker_is_booked_to_the_platform(
    server: WorkflowEnvironment, own_engine: Engine, standard: Policy, tmp_path: Path
) -> None:
    async def now() -> datetime:
        return datetime.now(UTC)

    async def sleep(span: timedelta) -> None:
        await asyncio.sleep(span.total_seconds())

    # Ten minutes become three seconds: they pass while no worker is alive.
    policy = standard.at_speed(200)
    missed = await open_desk(server.client, own_engine, policy, now, sleep)
    met = await open_desk(server.client, own_engine, policy, now, sleep)
    in_time = (await now()).isoformat()
    await met.signals("responded", occurred_at=in_time)
    await asyncio.sleep(5)
    with worker(server, own_engine, tmp_path):
        await _patiently(missed)
        state = await missed.sees(lambda state: bool(first_response(state)["breached_at"]))
        clock = first_response(state)
        due = datetime.fromisoformat(clock["due_at"])
        assert datetime.fromisoformat(clock["breached_at"]) == due
        assert datetime.fromisoformat(clock["fired_at"]) - due > timedelta(seconds=1)
        # Whoever acted in time is not late because we were down.
        state = await met.sees(lambda state: state["stage"] != "response")
        assert first_response(state)["state"] == "kept"
        assert first_response(state)["breached_at"] is None


def first_response(state: Json) -> Json:
    clock: Json = next(c for c in state["clocks"] if c["rule"] == "first_response")
    return clock


async def _patiently(desk: Desk) -> Json:
    """The state, once a worker is up to answer."""
    return await asyncio.wait_for(desk.state(), 30)


@pytest.mark.slow(12)
async def test_a_killed_worker_is_missed_though_it_said_no_goodbye(
    server: WorkflowEnvironment, own_engine: Engine, tmp_path: Path
) -> None:
    """Its last poll stays listed for minutes."""

    async def is_seen(expected: bool) -> None:
        for _ in range(200):
            if await worker_is_polling(server.client) is expected:
                return
            await asyncio.sleep(0.1)
        raise AssertionError("nobody noticed")

    with worker(server, own_engine, tmp_path, heartbeat=timedelta(seconds=1)):
        await is_seen(True)
        await asyncio.sleep(3)  # The second sign of life says how often they come.
        assert await worker_is_polling(server.client)
    await is_seen(False)
