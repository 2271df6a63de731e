"""While no worker is up: intake and events left without waiting work, nobody hangs."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from activities.registry import Activities
from activities.working_days import calendar_for
from api import bulk, reporting
from domain.intake import Brief
from domain.vocabulary import Role
from records.intake import mark_started, not_started, take_in
from runtime.settings import Settings
from runtime.temporal import LAST_BREATH
from tests.api.caller import Caller, body, event
from tests.api.conftest import serving
from tests.desk import intake
from worker import build_worker
from workflows.start import start_request

pytestmark = pytest.mark.server


def left_behind(settings: Settings, records: Engine) -> Brief:
    """A request that was taken in a minute ago by a process that died before it began it."""
    return take_in(
        records,
        intake(),
        key=None,
        policy=settings.timing_policy,
        calendar_for=calendar_for,
        now=datetime.now(UTC) - timedelta(minutes=1),
    ).brief


async def test_intake_and_reading_go_on(caller: Caller) -> None:
    number = await caller.takes_in()
    started = time.monotonic()
    pages = ["", "/clocks", "/obligations", "/timeline", "/forms"]
    answers = await asyncio.gather(*(caller.get(f"/v1/requests/{number}{page}") for page in pages))
    assert time.monotonic() - started < 4
    for answer in answers[:4]:
        assert answer.status_code == 200
        assert answer.headers["aftersales-source"] == "records"
    assert answers[0].json()["stage"] == "response"
    assert answers[2].json()["items"]


async def test_an_event_waited_for_is_not_waited_for_long(
    caller: Caller, temporal: WorkflowEnvironment, records: Engine
) -> None:
    one, several, left = [await caller.takes_in() for _ in range(3)]
    responded = event("responded")
    started = time.monotonic()
    single, listed, accepted = await asyncio.gather(
        caller.reports(one, responded),
        caller.reports(several, event("responded"), event("noted", text="x")),
        caller.reports(left, event("responded"), Prefer="respond-async"),
    )
    assert 4 < time.monotonic() - started < 7
    for answer in (single, listed):
        assert answer.status_code == 503
        assert answer.json()["code"] == "no_worker"
        assert int(answer.headers["retry-after"]) > 0
    assert single.json()["events"] == [responded["id"]]
    assert accepted.status_code == 202

    async with build_worker(temporal.client, Activities(records)):
        again = await caller.brings(one, responded)
        assert again["event_count"] == 1
        assert (await caller.brings(left, event("noted", text="到")))["event_count"] == 2


async def test_a_request_that_no_worker_took_up_is_verified(caller: Caller) -> None:
    number = await caller.takes_in()
    await caller.reports(number, event("responded"), Prefer="respond-async")
    auditor = caller.acting_as(Role.auditor)
    verified = (await auditor.get(f"/v1/audit/requests/{number}/verification")).json()
    assert (verified["verdict"], verified["promises"]) == ("sound", [])


async def test_an_event_for_nobody_is_answered_at_once(caller: Caller) -> None:
    started = time.monotonic()
    assert (await caller.reports("CR20200101-001", event("responded"))).status_code == 404
    assert time.monotonic() - started < 2


async def test_readiness_names_the_missing_worker(
    caller: Caller, temporal: WorkflowEnvironment, records: Engine
) -> None:
    # Another worker of this very process, and so of the same name, may just have left.
    await asyncio.sleep(LAST_BREATH.total_seconds())
    async with build_worker(temporal.client, Activities(records)):
        ready = await caller.http.get("/readyz")
        for _ in range(50):
            if ready.status_code == 200:
                break
            await asyncio.sleep(0.1)
            ready = await caller.http.get("/readyz")
        assert ready.status_code == 200, ready.text
        assert set(ready.json()["checks"].values()) == {"ok"}
    alone = await caller.http.get("/readyz")
    assert alone.status_code == 503
    assert alone.json()["code"] == "not_ready"
    assert alone.json()["checks"] == {"database": "ok", "temporal": "ok", "worker": "missing"}


async def test_a_request_left_behind_is_begun_by_its_first_event(
    caller: Caller, settings: Settings, records: Engine
) -> None:
    brief = left_behind(settings, records)
    left = await caller.reports(brief.number, event("responded"), Prefer="respond-async")
    assert left.status_code == 202
    assert brief.number not in waiting(records)


async def test_a_request_left_behind_is_begun_when_the_api_starts(
    settings: Settings, records: Engine, temporal: WorkflowEnvironment
) -> None:
    brief = left_behind(settings, records)
    assert brief.number in waiting(records)
    async with serving(settings):
        for _ in range(100):
            if brief.number not in waiting(records):
                break
            await asyncio.sleep(0.05)
    described = await temporal.client.get_workflow_handle(brief.number).describe()
    assert described.status is not None
    assert described.status.name == "RUNNING"


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of what was left behind holds one request."""
    monkeypatch.setattr("api.starting.not_started", partial(not_started, limit=1))


@pytest.mark.usefixtures("one_by_one")
async def test_many_requests_left_behind_do_not_hide_one(
    caller: Caller, settings: Settings, records: Engine
) -> None:
    first, second = (left_behind(settings, records) for _ in range(2))
    answer = await caller.reports(second.number, event("responded"), Prefer="respond-async")
    assert answer.status_code == 202
    assert second.number not in waiting(records)
    mark_started(records, first.number)


@pytest.mark.usefixtures("one_by_one")
async def test_a_request_that_cannot_be_started_holds_up_no_other(
    settings: Settings, records: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, broken, sound = (left_behind(settings, records) for _ in range(3))
    failures = {
        refused.number: RPCError("too long", RPCStatusCode.INVALID_ARGUMENT, b""),
        broken.number: ValueError("no such plan"),
    }

    async def start(client: Any, brief: Brief, **more: Any) -> Any:
        if failure := failures.get(brief.number):
            raise failure
        return await start_request(client, brief, **more)

    monkeypatch.setattr("api.starting.start_request", start)
    async with serving(settings):
        for _ in range(100):
            if sound.number not in waiting(records):
                break
            await asyncio.sleep(0.05)
    left = waiting(records)
    for brief in (refused, broken):
        assert brief.number in left
        mark_started(records, brief.number)
    assert sound.number not in left


async def test_what_temporal_will_not_have_is_not_called_its_absence(
    caller: Caller, records: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise RPCError("too long", RPCStatusCode.INVALID_ARGUMENT, b"")

    monkeypatch.setattr("api.starting.start_request", refuse)
    with capture_logs() as logged:
        answer = await caller.post("/v1/requests", body())
    problem = answer.json()
    assert answer.status_code == 500
    assert problem["code"] == "internal_error"
    [line] = [line for line in logged if line.get("number") == problem["number"]]
    assert line["log_level"] == "error"
    assert line["reason"] == "too long"
    mark_started(records, problem["number"])


def waiting(records: Engine) -> list[str]:
    return [brief.number for brief in not_started(records, timedelta(0), datetime.now(UTC))]


async def test_a_bulk_order_leaves_the_rest_when_nobody_answers(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "DEADLINE", timedelta(seconds=1))
    monkeypatch.setattr(bulk, "AT_ONCE", 1)
    numbers = [await caller.takes_in() for _ in range(3)]
    order = {"numbers": numbers, "reason": "台风", "dry_run": False}
    answer = await caller.acting_as(Role.supervisor).post("/v1/bulk/hold", order)
    assert answer.status_code == 200
    assert [item["status"] for item in answer.json()["items"]] == [
        "unanswered",
        "skipped",
        "skipped",
    ]
    assert answer.json()["items"][0]["code"] == "no_worker"
