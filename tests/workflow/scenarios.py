"""Whole requests, told as scenarios: run with a cold cache, across runs, and recorded as histories.

Each lets the time pass that it needs, skipped or real, and returns how the request must have ended.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from domain.policy import Policy
from tests.desk import Desk, window

Scenario = Callable[[Desk], Awaitable[str]]


async def happy_path(desk: Desk) -> str:
    """Fourteen events: out of warranty, quoted, approved, signed, paid and surveyed."""
    await desk.says("responded")
    await desk.says("plan_told", plan="明天上门检查外机")
    await desk.accepts()
    await desk.appoints()
    await desk.says("departed")
    await desk.says("arrived")
    await desk.diagnoses()
    lines = [{"item": "风扇电容", "quantity": 1, "unit_price": 50}, {"item": "上门费"}]
    await desk.says("quoted", lines=lines)
    await desk.says("quote_approved", "customer")
    await desk.completes(parts=[{"part": "风扇电容", "quantity": 1, "unit_price": 50}])
    await desk.says("signed", signature="张*")
    owed = (await desk.state())["fees"]["owed"]
    await desk.says("paid", amount=owed, method="scan")
    await desk.says("noted", text="客户要求保留旧件")
    await desk.is_surveyed()
    return "completed"


async def nobody_answers(desk: Desk) -> str:
    """The first engineer lets fifteen minutes pass; the next one is offered the work."""
    await desk.says("responded")
    due = (await desk.state())["offers"][0]["due_at"]
    await desk.pass_until(datetime.fromisoformat(due))
    state = await desk.sees(lambda state: len(state["offers"]) == 2)
    assert [o["state"] for o in state["offers"]] == ["no_answer", "open"]
    await desk.says("cancelled", reason="不修了")
    return "cancelled"


async def declined_and_rescheduled(desk: Desk) -> str:
    """One engineer declines; the window moves once; nobody is at home; then it works."""
    await desk.says("responded")
    first = await desk.engineer()
    await desk.says("declined", engineer=first, reason="时间冲突")
    assert await desk.engineer() != first
    await desk.accepts()
    await desk.appoints()
    await desk.says(
        "rescheduled", **window(await desk.now() + timedelta(hours=3)), reason="客户临时有事"
    )
    await desk.says("arrived")
    await desk.says("no_show")
    await desk.appoints()
    await desk.says("arrived")
    await desk.diagnoses()
    await desk.completes()
    await desk.says("signed", signature="李*")
    await desk.is_surveyed()
    return "completed"


async def parts_awaited(desk: Desk) -> str:
    """The work waits for a part; the clocks rest; a further visit ends it."""
    await desk.goes_to("service")
    await desk.says("arrived")
    await desk.diagnoses()
    await desk.says("parts_awaited", parts=[{"part": "压缩机", "quantity": 1}])
    assert (await desk.clock("resolution"))["state"] == "paused"
    await desk.says("parts_arrived", "integration")
    await desk.says("visit_needed", reason="配件已到,再次上门")
    await desk.appoints()
    await desk.says("arrived")
    await desk.diagnoses()
    await desk.completes()
    await desk.says("signed", signature="王*")
    await desk.is_surveyed()
    return "completed"


async def low_score(desk: Desk) -> str:
    """A low score becomes a complaint, which is refunded and settled."""
    await desk.goes_to("revisit")
    await desk.is_surveyed(attitude=1)
    assert (await desk.state())["stage"] == "complaint"
    await desk.says("complaint_taken_over")
    await desk.says("remedy_offered", remedy="refund", value=50)
    await desk.says("complaint_settled")
    return "refunded"


async def held_and_reclassified(desk: Desk) -> str:
    """The customer asks to wait; the urgency rises; an early event waits for its turn."""
    await desk.signals("accepted", engineer="nobody")
    await desk.says("held", "customer", reason="出差")
    await desk.says("resumed", "customer")
    await desk.says("reclassified", urgency="critical", reason="有焦味")
    await desk.says("responded")
    await desk.says("complained", **{"class": "slow_response"}, text="等太久")
    await desk.says("complaint_taken_over")
    await desk.says("complaint_settled")
    await desk.says("cancelled", reason="已自行处理")
    return "cancelled"


async def claimed_and_called(desk: Desk) -> str:
    """Nobody responds: the call is claimed, released late, made; then the urgency rises."""
    clock = await desk.clock("first_response")
    started, due = (datetime.fromisoformat(clock[at]) for at in ("started_at", "due_at"))
    await desk.pass_until(due)
    await desk.sees(lambda state: state["clock_state"] == "breached")
    call = f"{desk.number}.call_about_a_breach.1"
    await desk.says("task_claimed", "supervisor", task=call)
    # The manager's level is two goals after the breach; while it is claimed nobody is told.
    await desk.pass_until(due + 2.1 * (due - started))
    assert [told.to_role for told in desk.told("first_response", "breached")] == ["supervisor"]
    await desk.says("task_released", "supervisor", task=call)
    await desk.says("breach_called", "manager", rule="first_response", note="已致歉并说明进度")
    told = [told.to_role for told in desk.told("first_response", "breached")]
    assert told == ["supervisor", "manager"]
    await desk.says("task_claimed", "agent", task=f"{desk.number}.tell_plan.1")
    await desk.says("reclassified", urgency="critical", reason="有焦味")
    await desk.says("cancelled", reason="已自行处理")
    return "cancelled"


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        happy_path,
        nobody_answers,
        declined_and_rescheduled,
        parts_awaited,
        low_score,
        held_and_reclassified,
        claimed_and_called,
    )
}


def paced(name: str, standard: Policy) -> Policy:
    """The policy to tell a scenario under in real time.

    Only those that wait for a deadline; the others shall not meet one on a slow machine.
    """
    waits = name in ("nobody_answers", "claimed_and_called")
    return standard.at_speed(300) if waits else standard
