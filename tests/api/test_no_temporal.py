"""An installation alone: fifty calls at once, and a Temporal server that goes and comes back."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr
from temporalio.testing import WorkflowEnvironment

from domain.cloud_events import BATCH
from runtime.settings import Settings
from runtime.temporal import plugin, prepare
from tests.api.caller import Caller, body, event
from tests.api.conftest import BIN, serving
from tests.databases import RING, RING_TEXT

pytestmark = pytest.mark.server


class Alone(Caller):
    """A caller of an installation whose Temporal server can be started and stopped."""

    port: int

    async def temporal(self) -> WorkflowEnvironment:
        environment = await WorkflowEnvironment.start_local(
            port=self.port,
            dev_server_existing_path=str(BIN / "temporal"),
            plugins=[plugin(RING)],
            dev_server_log_level="error",
        )
        await prepare(environment.client)
        return environment


@pytest_asyncio.fixture(loop_scope="session")
async def alone(tmp_path: Path) -> AsyncIterator[Alone]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path,
        temporal_address=f"127.0.0.1:{port}",
        data_keys=SecretStr(RING_TEXT),
    )
    async with (
        serving(settings) as address,
        httpx.AsyncClient(base_url=address, timeout=30, trust_env=False) as http,
    ):
        caller = Alone(http, settings)
        caller.port = port
        yield caller


async def test_fifty_calls_at_once_are_numbered_without_gaps(alone: Alone) -> None:
    async with await alone.temporal() as environment:
        answers = await asyncio.gather(*(alone.post("/v1/requests", body()) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {201}
        today = datetime.now(UTC).astimezone(ZoneInfo("Asia/Shanghai")).strftime("%Y%m%d")
        numbers = sorted(answer.json()["number"] for answer in answers)
        assert numbers == [f"CR{today}-{serial:03d}" for serial in range(1, 51)]
        handles = [environment.client.get_workflow_handle(number) for number in numbers]
        described = await asyncio.gather(*(handle.describe() for handle in handles))
        assert {each.workflow_type for each in described} == {"ServiceRequest"}

        batch = [
            {"specversion": "1.0", "id": str(place), "source": "crm", "type": "noted"}
            | {"subject": numbers[place % 50], "data": {"text": "好"}}
            for place in range(1000)
        ]
        started = time.monotonic()
        left = await alone.post("/v1/events", batch, {"Content-Type": BATCH})
        assert time.monotonic() - started < 15  # two or three on a machine with nothing else to do
        assert [each["id"] for each in left.json()["results"]] == [each["id"] for each in batch]
        assert {each["status"] for each in left.json()["results"]} == {"accepted"}


@pytest.mark.slow(10)
async def test_temporal_may_go_and_come_back(alone: Alone) -> None:
    key, given = {"Idempotency-Key": "order-1"}, body()
    started = time.monotonic()
    away = await alone.post("/v1/requests", given, key)
    assert time.monotonic() - started < 8
    assert away.status_code == 503
    assert away.json()["code"] == "temporal_unavailable"
    assert away.headers["retry-after"]
    number = away.json()["number"]

    # What was taken in is known, but moves only once Temporal is there.
    assert (await alone.get(f"/v1/requests/{number}")).headers["aftersales-source"] == "records"
    unmoved = await alone.reports(number, event("responded"))
    assert unmoved.json()["code"] == "temporal_unavailable"
    assert unmoved.headers["retry-after"]
    several = [
        {"specversion": "1.0", "id": str(i), "source": "crm", "type": "call_unanswered"}
        | {"subject": number, "actorrole": "agent", "actorid": "A-1"}
        for i in range(3)
    ]
    several[1]["type"] = "nonsense"
    started = time.monotonic()
    left = await alone.post("/v1/events", several, {"Content-Type": BATCH})
    assert time.monotonic() - started < 9
    assert (left.status_code, left.json()["code"]) == (503, "some_not_left")
    assert left.headers["retry-after"]
    said = [result["status"] for result in left.json()["results"]]
    assert said == ["unavailable", "refused", "unavailable"]
    ready = await alone.http.get("/readyz")
    assert ready.json()["checks"] == {"database": "ok", "temporal": "missing", "worker": "missing"}
    assert (await alone.http.get("/livez")).status_code == 200

    async with await alone.temporal() as environment:
        back = await alone.post("/v1/requests", given, key)
        assert back.status_code == 201, back.text
        assert back.json()["number"] == number
        await environment.client.get_workflow_handle(number).describe()
        left = await alone.post("/v1/events", several, {"Content-Type": BATCH})
        said = [result["status"] for result in left.json()["results"]]
        assert (left.status_code, said) == (202, ["accepted", "refused", "accepted"])

    # A server that was there and went is noticed as well.
    gone = await alone.post("/v1/requests", body())
    assert gone.status_code == 503
    assert gone.json()["code"] == "temporal_unavailable"
    unsent = await alone.reports(number, event("responded"))
    assert unsent.json()["code"] == "temporal_unavailable"
