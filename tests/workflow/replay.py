"""Replay of histories, and the command sequence in them that must not change ungated."""

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.worker import Replayer

from runtime.codec import sealed_converter
from runtime.temporal import plugin
from tests.databases import RING
from worker import SANDBOX
from workflows.service_request import ServiceRequestWorkflow
from workflows.webhook_stream import WebhookStreamWorkflow

CONVERTER: DataConverter = sealed_converter(RING)


async def replay(history: WorkflowHistory) -> None:
    """Replay a history on today's code.

    Raises:
        temporalio.workflow.NondeterminismError: today's code would have done something else.
    """
    replayer = Replayer(
        workflows=[ServiceRequestWorkflow, WebhookStreamWorkflow],
        workflow_runner=SANDBOX,
        plugins=[plugin(RING)],
    )
    await replayer.replay_workflow(history)


async def commands(history: WorkflowHistory) -> list[str]:
    """What the workflow asked for, in order: timers by name, activities by type, and so on."""
    return [line for event in history.events if (line := await _command(event))]


async def _command(event: HistoryEvent) -> str | None:
    match event.event_type:
        case EventType.EVENT_TYPE_TIMER_STARTED:
            summary = event.user_metadata.summary
            (name,) = await CONVERTER.decode([summary]) if summary.data else ("",)
            return f"timer {name}"
        case EventType.EVENT_TYPE_TIMER_CANCELED:
            return "timer cancelled"
        case EventType.EVENT_TYPE_MARKER_RECORDED:
            marker = event.marker_recorded_event_attributes
            data = marker.details["data"].payloads[0].data if "data" in marker.details else b""
            return f"marker {marker.marker_name} {_activity(data)}".rstrip()
        case EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
            found = event.upsert_workflow_search_attributes_event_attributes.search_attributes
            return f"show {' '.join(sorted(found.indexed_fields))}"
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
            return "update accepted"
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED:
            return "update completed"
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
            return "closed"
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
            return "continued as new"
    return None


def _activity(data: bytes) -> str:
    """The activity's type inside a local activity's marker."""
    for name in (b"find_engineer", b"write_down", b"archive"):
        if name in data:
            return name.decode()
    return ""
