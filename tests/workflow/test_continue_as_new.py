"""A request goes on in a fresh history at any stage with clocks, dedupe and parked events intact.

On the development server: the time-skipping one loses count of time when a workflow continues.
"""

from datetime import datetime, timedelta

import pytest

from domain.policy import Policy
from workflows.messages import SUBMIT

from .conftest import OpenDesk
from .scenarios import SCENARIOS, paced


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_scenario_ends_the_same_when_it_continues_at_every_step(
    name: str, live_desk: OpenDesk, standard: Policy
) -> None:
    request = await live_desk(paced(name, standard), history_limit=5)
    expected = await SCENARIOS[name](request)
    closing = await request.handle.result()
    assert closing.outcome == expected
    assert closing.event_count == len({event["id"] for event in request.sent}) - (
        1 if name == "held_and_reclassified" else 0
    )


async def test_an_event_sent_again_in_a_later_run_is_still_the_same_event(
    live_desk: OpenDesk,
) -> None:
    request = await live_desk(history_limit=5)
    first_run = (await request.handle.describe()).run_id
    await request.goes_to("service")
    assert (await request.handle.describe()).run_id != first_run
    count = (await request.state())["event_count"]
    for event in request.sent:
        await request.handle.execute_update(SUBMIT, event, id=event["id"])
    assert (await request.state())["event_count"] == count


async def test_clocks_pauses_and_parked_events_survive(live_desk: OpenDesk) -> None:
    request = await live_desk(history_limit=5)
    await request.signals("arrived")
    await request.says("responded")
    await request.accepts()
    due = datetime.fromisoformat((await request.clock("appointment_call"))["due_at"])
    await request.says("held", "customer", reason="出差")
    await request.pass_until(await request.now() + timedelta(seconds=2))
    await request.says("resumed", "customer")
    clock = await request.clock("appointment_call")
    slipped = datetime.fromisoformat(clock["due_at"]) - due
    assert timedelta(seconds=2) <= slipped < timedelta(seconds=7)
    await request.appoints()
    state = await request.state()
    assert state["visits"][-1]["arrived_at"] is not None  # It waited through every run.
