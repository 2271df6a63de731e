"""Tracing issues no command: recorded histories replay with it, exporting or not."""

from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from runtime import tracing
from runtime.temporal import plugin
from tests.databases import RING
from worker import SANDBOX
from workflows.service_request import ServiceRequestWorkflow
from workflows.webhook_stream import WebhookStreamWorkflow

from .test_replay import HISTORIES, read


@pytest.mark.parametrize("exporting", [True, False], ids=["exporting", "silent"])
@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}-{path.stem}")
async def test_a_recorded_history_replays_under_tracing(path: Path, exporting: bool) -> None:
    exporter = InMemorySpanExporter()
    if exporting:
        tracing.export(SimpleSpanProcessor(exporter), "test")
    try:
        replayer = Replayer(
            workflows=[ServiceRequestWorkflow, WebhookStreamWorkflow],
            workflow_runner=SANDBOX,
            plugins=[plugin(RING)],
            interceptors=[tracing.Tracing()],
        )
        await replayer.replay_workflow(WorkflowHistory.from_json(path.stem, read(path)))
    finally:
        tracing.shutdown()
    assert exporter.get_finished_spans() == ()  # It all happened before.
