"""One call is one trace, from HTTP through the workflow to what it wrote down."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from sqlalchemy import Engine
from temporalio.client import Client

from activities import registry
from activities.registry import Activities
from domain.effects import Effect
from domain.events import BaseEvent
from domain.request import ServiceRequest
from domain.tasks import WriteDown
from records import projection
from runtime import tracing
from runtime.settings import Settings
from runtime.temporal import connect
from tests.api.caller import Caller, event
from tests.workflow.replay import replay
from worker import build_worker

pytestmark = pytest.mark.server

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "X-Request-Id": "call-77"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(settings: Settings) -> Client:
    return await connect(settings)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def traced_worker(client: Client, records: Engine) -> AsyncIterator[None]:
    async with build_worker(client, Activities(records)):
        yield


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.export(SimpleSpanProcessor(exporter), "test")
    yield exporter
    tracing.shutdown()


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a log line would carry inside the activity that writes down."""
    seen: list[dict[str, Any]] = []

    class Listening:
        @staticmethod
        def write_down(engine: Engine, task: WriteDown) -> Any:
            line = dict(structlog.contextvars.get_contextvars())
            seen.append(tracing.name_the_trace(None, "info", line))
            return projection.write_down(engine, task)

    monkeypatch.setattr(registry, "projection", Listening)
    return seen


def of_trace(exporter: InMemorySpanExporter, trace: str) -> dict[str, ReadableSpan]:
    spans = exporter.get_finished_spans()
    return {s.name: s for s in spans if s.context and f"{s.context.trace_id:032x}" == trace}


async def test_one_event_is_one_trace(
    caller: Caller,
    traced_worker: None,
    client: Client,
    exporter: InMemorySpanExporter,
    bound: list[dict[str, Any]],
) -> None:
    number = await caller.takes_in()
    await caller.brings(number, event("noted", text="拨打 13812345678 无人接听"))
    bound.clear()
    response = await caller.reports(number, event("responded", note="已联系张三丰"), **CALLER)
    assert response.status_code == 200
    assert response.headers["traceparent"].split("-")[1] == TRACE
    spans = of_trace(exporter, TRACE)
    way = [
        "POST /v1/requests/{number}/events",
        "StartWorkflowUpdate:submit",
        "HandleUpdate:submit",
        "RunActivity:write_down",
    ]
    assert set(way) <= set(spans)
    for upper, lower in pairwise(way):
        parent, context = spans[lower].parent, spans[upper].context
        assert parent is not None
        assert context is not None
        assert parent.span_id == context.span_id, f"{lower} is not below {upper}"
    assert "RunActivity:find_engineer" in spans
    assert {"request_id": "call-77", "trace_id": TRACE} in bound
    told = " ".join(span.to_json() for span in exporter.get_finished_spans())
    for personal in ("13812345678", "张三", "世纪大道", "SN-"):
        assert personal not in told
    # Traced or not, the history is the same kind of history.
    await replay(await client.get_workflow_handle(number).fetch_history())


async def test_a_line_that_the_workflow_logs_carries_the_call_and_the_trace(
    caller: Caller,
    traced_worker: None,
    exporter: InMemorySpanExporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[dict[str, Any]] = []
    apply = ServiceRequest.apply

    def listening(self: ServiceRequest, event: BaseEvent, now: datetime) -> list[Effect]:
        line = dict(structlog.contextvars.get_contextvars())
        seen.append(tracing.name_the_trace(None, "info", line))
        return apply(self, event, now)

    monkeypatch.setattr(ServiceRequest, "apply", listening)
    number = await caller.takes_in()
    await caller.reports(number, event("responded"), **CALLER)
    assert seen == [{"request_id": "call-77", "trace_id": TRACE}]


async def test_an_event_by_signal_is_one_trace_too(
    caller: Caller, traced_worker: None, exporter: InMemorySpanExporter
) -> None:
    number = await caller.takes_in()
    sent = event("noted", text="稍后")
    answer = await caller.reports(number, sent, Prefer="respond-async", **CALLER)
    assert answer.status_code == 202
    wanted = {"SignalWorkflow:record", "HandleSignal:record", "RunActivity:write_down"}
    for _ in range(100):
        if wanted <= set(of_trace(exporter, TRACE)):
            break
        await asyncio.sleep(0.1)
    assert wanted <= set(of_trace(exporter, TRACE))


async def test_a_repeat_that_writes_nothing_leaves_no_trace_behind(
    caller: Caller, traced_worker: None, exporter: InMemorySpanExporter, client: Client
) -> None:
    number = await caller.takes_in()
    again = event("noted", text="一")
    for _ in range(2):  # The second time nothing is written down.
        await caller.reports(number, again, **CALLER)
    exporter.clear()
    other = {"traceparent": f"00-{'1' * 32}-b7ad6b7169203331-01"}
    await caller.reports(number, event("noted", text="二"), **other)
    assert of_trace(exporter, TRACE) == {}
    assert "RunActivity:write_down" in of_trace(exporter, "1" * 32)


async def test_without_a_collector_there_are_no_spans_but_the_call_is_known(
    caller: Caller, traced_worker: None, bound: list[dict[str, Any]]
) -> None:
    number = await caller.takes_in()
    response = await caller.reports(number, event("responded"), **CALLER)
    assert "traceparent" not in response.headers
    assert {"request_id": "call-77"} in bound


async def test_an_error_is_told_by_its_kind_alone(
    caller: Caller, traced_worker: None, exporter: InMemorySpanExporter
) -> None:
    number = await caller.takes_in()
    response = await caller.reports(number, event("signed", signature="张三丰"), **CALLER)
    assert response.status_code == 409
    spans = of_trace(exporter, TRACE)
    refused = spans["POST /v1/requests/{number}/events"]
    assert refused.attributes is not None
    assert refused.attributes["http.response.status_code"] == 409
    assert all(not span.events for span in spans.values())


def is_exporting() -> bool:
    with tracing.span("any", SpanKind.INTERNAL) as made:
        return made is not None


def test_spans_are_exported_only_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in tracing.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    tracing.configure("test")
    assert not is_exporting()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracing.configure("test")
    assert not is_exporting()
    monkeypatch.delenv("OTEL_SDK_DISABLED")
    tracing.configure("test")
    assert is_exporting()
    began = time.monotonic()
    tracing.shutdown()
    assert time.monotonic() - began < tracing.LAST_WORDS + 1  # Nobody listens there.
