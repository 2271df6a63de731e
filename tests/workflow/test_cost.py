"""What a request costs: history events, bytes and billed actions of the happy path's 14 events."""

from collections import Counter
from datetime import datetime, timedelta

from temporalio.api.enums.v1 import EventType

from .conftest import OpenDesk
from .scenarios import happy_path

MOST_EVENTS = 120
MOST_BYTES = 40_000
MOST_ACTIONS = 45

BILLED = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: 1,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: 1,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: 1,
    EventType.EVENT_TYPE_TIMER_STARTED: 1,
    EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED: 1,
    EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: 1,
}


async def test_what_the_happy_path_costs(live_desk: OpenDesk) -> None:
    request = await live_desk()
    await happy_path(request)
    await request.handle.result()
    history = (await request.handle.fetch_history()).events
    size = sum(event.ByteSize() for event in history)
    # Local activities are billed once per workflow task that ran any.
    tasks = Counter(
        event.marker_recorded_event_attributes.workflow_task_completed_event_id
        for event in history
        if event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED
    )
    actions = sum(BILLED.get(event.event_type, 0) for event in history) + len(tasks)
    print(f"\nhappy path: {len(history)} history events, {size} bytes, {actions} billed actions")
    assert len(request.sent) == 14
    assert len(history) <= MOST_EVENTS
    assert size <= MOST_BYTES
    assert actions <= MOST_ACTIONS


async def test_a_request_that_only_waits_does_not_grow(desk: OpenDesk) -> None:
    """Between two deadlines nothing is written, however long that is."""
    request = await desk()
    await request.goes_to("revisit")
    before = (await request.handle.describe()).history_length
    warning = datetime.fromisoformat((await request.clock("revisit"))["due_at"]) - timedelta(
        hours=5
    )
    await request.pass_until(warning)
    assert (await request.handle.describe()).history_length == before
