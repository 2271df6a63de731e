"""How failures behave: each row of the table that the design was made from, as a test."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from workflows.messages import RECORD, SUBMIT, SUBMIT_ALL, Receipts

from .conftest import OpenDesk


async def test_a_refused_update_fails_only_its_caller_and_costs_the_history_nothing(
    live_desk: OpenDesk,
) -> None:
    request = await live_desk()
    await request.says("noted", text="x")
    before = (await request.handle.describe()).history_length
    with pytest.raises(ApplicationError) as refusal:
        await request.says("surveyed", "agent", scores={}, channel="phone")
    assert refusal.value.type == "malformed"
    with pytest.raises(ApplicationError) as refusal:
        await request.is_surveyed()
    assert refusal.value.type == "wrong_stage"
    detail = refusal.value.details[0]
    assert detail["stage"] == "response"
    assert "responded" in detail["allowed_events"]
    assert (await request.handle.describe()).history_length == before
    await request.says("responded")


@pytest.mark.parametrize(
    "garbage",
    [
        "坏了",
        None,
        7,
        [],
        {},
        {"type": "no_such_event"},
        {"type": "responded", "occurred_at": "yesterday"},
        {"type": "noted", "text": "\x00"},
    ],
)
async def test_a_malformed_signal_is_kept_on_the_record_and_harms_nothing(
    garbage: object, desk: OpenDesk
) -> None:
    request = await desk()
    await request.handle.signal(RECORD, garbage)
    await request.says("responded")
    assert (await request.state())["stage"] == "dispatch"
    assert [e.name for e in request.timeline() if e.kind == "refused"] == ["malformed"]


async def test_a_malformed_update_is_rejected(desk: OpenDesk) -> None:
    request = await desk()
    for garbage in ("坏了", {"type": "no_such_event"}, {"type": "noted"}):
        with pytest.raises(WorkflowUpdateFailedError) as failure:
            await request.handle.execute_update(SUBMIT, garbage)
        assert isinstance(failure.value.cause, ApplicationError)
        assert failure.value.cause.type == "malformed"


async def test_an_early_signal_waits_for_its_turn(desk: OpenDesk) -> None:
    request = await desk()
    await request.signals("plan_told", plan="先断电")
    await request.signals(
        "appointed", window_start="2099-01-01T08:00:00Z", window_end="2099-01-01T10:00:00Z"
    )
    state = await request.state()
    assert state["plan"] == "先断电"
    assert state["appointment"] is None
    await request.says("responded")
    await request.accepts()
    state = await request.state()
    assert state["stage"] == "service"
    assert state["appointment"]["window_start"] == "2099-01-01T08:00:00Z"


async def test_an_early_signal_whose_turn_never_comes_is_refused_on_the_record(
    desk: OpenDesk,
) -> None:
    request = await desk()
    await request.signals("arrived")
    await request.pass_until(await request.now() + timedelta(minutes=15, seconds=2))
    await request.says("noted", text="x")
    refused = [e for e in request.timeline() if e.kind == "refused"]
    assert [(e.name, e.data["code"]) for e in refused] == [("arrived", "expired_early")]


async def test_the_same_event_twice_is_the_same_event(desk: OpenDesk) -> None:
    request = await desk()
    event = request.event("noted", text="钥匙在物业")
    for _ in range(2):
        await request.handle.execute_update(SUBMIT, event, id=event["id"])
        await request.handle.signal(RECORD, event)
        # Another update id, as after the server forgot the first.
        await request.handle.execute_update(SUBMIT, event, id=str(uuid4()))
    assert (await request.state())["event_count"] == 1


async def test_an_event_without_an_id_gets_one(desk: OpenDesk) -> None:
    request = await desk()
    await request.handle.signal(RECORD, {"type": "noted", "text": "1"})
    await request.handle.execute_update(SUBMIT, {"type": "noted", "text": "2"}, id="not-a-uuid")
    assert (await request.state())["event_count"] == 2


async def test_a_list_is_applied_up_to_the_first_refused(desk: OpenDesk) -> None:
    request = await desk()
    events = [
        request.event("responded"),
        request.event("arrived"),
        request.event("noted", text="later"),
    ]
    receipts: Receipts = await request.handle.execute_update(
        SUBMIT_ALL, events, result_type=Receipts
    )
    assert [r.status for r in receipts.results] == ["applied", "refused", "skipped"]
    assert receipts.results[1].code == "wrong_stage"
    assert "accepted" in receipts.allowed_events
    assert receipts.event_count == 1
    with pytest.raises(WorkflowUpdateFailedError):
        await request.handle.execute_update(SUBMIT_ALL, [{"type": "noted", "text": "no id"}])
    with pytest.raises(WorkflowUpdateFailedError):
        await request.handle.execute_update(SUBMIT_ALL, [request.event("noted", text="x")] * 21)


async def test_the_event_that_closes_the_request_is_answered(desk: OpenDesk) -> None:
    request = await desk()
    receipt = await request.says("cancelled", reason="不需要了")
    assert receipt.stage == "closed"
    closing = await request.handle.result()
    assert closing.outcome == "cancelled"


async def test_after_the_end_signals_and_updates_are_told_so(desk: OpenDesk) -> None:
    request = await desk()
    await request.says("cancelled", reason="不需要了")
    await request.handle.result()
    with pytest.raises(RPCError) as gone:
        await request.signals("noted", text="too late")
    assert gone.value.status is RPCStatusCode.NOT_FOUND
    with pytest.raises(RPCError) as gone:
        await request.says("noted", text="too late")
    assert gone.value.status is RPCStatusCode.NOT_FOUND
    # Queries still answer, from the history.
    assert (await request.state())["outcome"] == "cancelled"


async def test_a_start_that_is_no_brief_stays_stuck_and_hurts_nobody_else(
    live_desk: OpenDesk,
) -> None:
    request = await live_desk()
    stuck = await request.client.start_workflow(
        "ServiceRequest", {"brief": "坏了"}, id=f"bad-{uuid4()}", task_queue="service-requests"
    )
    await asyncio.sleep(1)
    assert (await stuck.describe()).status is WorkflowExecutionStatus.RUNNING
    await request.says("responded")
    await stuck.terminate()


async def test_events_out_of_order_by_signal_end_as_in_order(desk: OpenDesk) -> None:
    request = await desk()
    await request.says("responded")
    engineer = await request.engineer()
    start = await request.now() + timedelta(hours=1)
    happened = [
        request.event("accepted", engineer=engineer),
        request.event(
            "appointed",
            window_start=start.isoformat(),
            window_end=(start + timedelta(hours=1)).isoformat(),
        ),
        request.event("departed"),
        request.event("arrived"),
        request.event("diagnosed", fault="a", cause="b", remedy="c"),
        request.event("completed", test_result="出风口温度16℃"),
        request.event("signed", signature="张*"),
    ]
    for event in reversed(happened):
        await request.handle.signal(RECORD, event)
        await request.handle.signal(RECORD, event)
    state = await request.state()
    assert state["stage"] == "revisit"
    assert state["event_count"] == 1 + len(happened)
