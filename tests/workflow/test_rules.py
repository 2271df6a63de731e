"""Every timing rule, on the time-skipping server: it warns, it breaches at the exact moment and
does what the standard says, and it does neither when the promise was met a second earlier."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from domain.rules import PROMISES, Rule
from tests.desk import Desk
from workflows.messages import Json

from .conftest import OpenDesk

Step = Callable[[Desk], Awaitable[object]]
SECOND = timedelta(seconds=1)


@dataclass
class Case:
    """How a rule's clock comes to run, what keeps the promise, and what a breach does."""

    rule: Rule
    start: Step
    keep: Step
    tells: set[str]
    then: Callable[[Json], bool] = lambda state: True
    changes: Json = field(default_factory=dict)
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.rule.value


async def nothing(desk: Desk) -> None:
    """The clock runs from the start."""


def stage(name: str) -> Step:
    return lambda desk: desk.goes_to(name)


async def arrives(desk: Desk) -> None:
    await desk.goes_to("service")
    await desk.says("arrived")


async def at_depot(desk: Desk) -> None:
    await arrives(desk)
    await desk.says("depot_received")


async def works_until_done(desk: Desk) -> None:
    await desk.diagnoses()
    await desk.completes()


async def complains(desk: Desk) -> None:
    await desk.says("complained", **{"class": "attitude"}, text="工程师态度差")


async def without_engineers(desk: Desk) -> None:
    """Nobody fits: the dispatch clock runs on until a dispatcher offers the work."""
    await desk.says("responded")
    assert (await desk.state())["offers"] == []


CASES = [
    Case(
        Rule.first_response,
        nothing,
        lambda desk: desk.says("responded"),
        {"supervisor"},
        lambda state: state["jumped_queue"] is True,
    ),
    Case(
        Rule.solution_feedback,
        nothing,
        lambda desk: desk.says("plan_told", plan="明天上门更换电容"),
        {"supervisor"},
    ),
    Case(
        Rule.solution_feedback,
        nothing,
        lambda desk: desk.says("plan_told", plan="马上上门"),
        {"supervisor"},
        changes={"urgency": "urgent"},
        name="solution_feedback-urgent",
    ),
    Case(
        Rule.solution_feedback,
        nothing,
        lambda desk: desk.says("plan_told", plan="请立即断电,工程师已出发"),
        {"manager"},
        changes={"urgency": "critical"},
        name="solution_feedback-critical",
    ),
    Case(
        Rule.dispatch,
        without_engineers,
        lambda desk: desk.says("assigned", engineer="GY2024001", reason="跨区域派单"),
        {"dispatcher"},
        lambda state: state["manual_dispatch"] is True,
        changes={"customer": {"latitude": 39.9, "longitude": 116.4}},
    ),
    Case(
        Rule.accept,
        lambda desk: desk.says("responded"),
        lambda desk: desk.accepts(),
        {"engineer"},
        lambda state: (
            [o["state"] for o in state["offers"]] == ["no_answer", "open"]
            and state["offers"][0]["engineer"] != state["offers"][1]["engineer"]
        ),
    ),
    Case(Rule.appointment_call, stage("appointment"), lambda desk: desk.appoints(), {"dispatcher"}),
    Case(Rule.appointment, stage("appointment"), lambda desk: desk.appoints(), {"supervisor"}),
    Case(
        Rule.arrival,
        stage("service"),
        lambda desk: desk.says("arrived"),
        {"customer", "supervisor"},
    ),
    Case(
        Rule.on_site,
        lambda desk: desk.goes_to("appointment"),
        lambda desk: _appointed_and_there(desk),
        {"manager"},
        changes={"customer": {"tier": "VIP"}},
    ),
    Case(Rule.resolution, arrives, works_until_done, {"manager"}),
    Case(
        Rule.resolution,
        arrives,
        works_until_done,
        {"manager"},
        lambda state: state["outside_provider_allowed"] is True,
        changes={"customer": {"tier": "contract"}},
        name="resolution-contract",
    ),
    Case(Rule.depot_repair, at_depot, lambda desk: desk.says("shipped_back"), {"manager"}),
    Case(
        Rule.sign_off,
        stage("sign_off"),
        lambda desk: desk.says("signed", signature="张*"),
        {"supervisor"},
    ),
    Case(Rule.revisit, stage("revisit"), lambda desk: desk.is_surveyed(), {"supervisor"}),
    Case(
        Rule.complaint_escalation,
        complains,
        lambda desk: desk.says("complaint_taken_over"),
        {"manager"},
        lambda state: state["complaints"][0]["owner_role"] == "manager",
    ),
    Case(
        Rule.complaint_contact,
        complains,
        lambda desk: desk.says("remedy_offered", remedy="voucher", value=50),
        {"manager"},
    ),
    Case(
        Rule.consultation,
        nothing,
        lambda desk: desk.says("answered", answer="长按Reset键10秒"),
        {"supervisor"},
        changes={"type": "consultation"},
    ),
]


async def _appointed_and_there(desk: Desk) -> None:
    await desk.appoints(starts_in=timedelta(minutes=-30))
    await desk.says("arrived")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_it_warns_then_breaches_at_the_exact_moment_and_somebody_notices(
    case: Case, desk: OpenDesk
) -> None:
    request = await desk(**case.changes)
    await case.start(request)
    clock = await request.clock(case.rule)
    started, due = moment(clock["started_at"]), moment(clock["due_at"])

    await request.pass_until(due - SECOND)
    clock = await request.clock(case.rule)
    assert clock["state"] == "running"
    assert clock["breached_at"] is None
    working_days = case.rule is Rule.depot_repair
    assert working_days or moment(clock["warned_at"]) == started + 0.8 * (due - started)

    await request.pass_until(due + SECOND)
    state = await request.state()
    breached = [c for c in state["clocks"] if c["rule"] == case.rule and c["breached_at"]][-1]
    assert moment(breached["breached_at"]) == due
    assert timedelta(0) <= moment(breached["fired_at"]) - due <= SECOND
    assert state["clock_state"] == "breached" or case.rule is Rule.accept
    assert case.tells <= {message.to_role for message in request.told(case.rule)}
    assert case.then(state)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_it_does_not_breach_when_the_promise_is_met_a_second_earlier(
    case: Case, desk: OpenDesk
) -> None:
    request = await desk(**case.changes)
    await case.start(request)
    due = moment((await request.clock(case.rule))["due_at"])
    await request.pass_until(due - SECOND)
    await case.keep(request)
    await request.pass_until(due + timedelta(seconds=2))

    ours = [c for c in (await request.state_or_records())["clocks"] if c["rule"] == case.rule]
    assert ours[0]["state"] == "kept"
    assert ours[0]["breached_at"] is None
    assert not [m for m in request.told(case.rule) if m.message.startswith("breached")]


def test_every_rule_has_its_case() -> None:
    assert {case.rule for case in CASES} == set(PROMISES)


async def test_the_ladder_goes_up_once_per_level(desk: OpenDesk) -> None:
    request = await desk()
    due = moment((await request.clock("first_response"))["due_at"])
    await request.pass_until(due + timedelta(minutes=21))
    levels = [(m.to_role, m.level) for m in request.told("first_response", "breached")]
    assert levels == [("supervisor", 1), ("manager", 2)]


async def test_the_customer_is_reminded_an_hour_before_the_window_opens(desk: OpenDesk) -> None:
    request = await desk()
    await request.goes_to("appointment")
    await request.appoints(starts_in=timedelta(hours=5))
    opens = moment((await request.state())["appointment"]["window_start"])
    await request.pass_until(opens - timedelta(hours=1) - SECOND)
    assert not request.told("visit_reminder")
    await request.pass_until(opens - timedelta(hours=1) + SECOND)
    assert {m.to_role for m in request.told("visit_reminder")} == {"customer", "engineer"}
    reminded = moment((await request.state())["appointment"]["reminded_at"])
    assert reminded == opens - timedelta(hours=1)


async def test_an_unanswered_revisit_call_becomes_an_sms_survey(desk: OpenDesk) -> None:
    request = await desk()
    await request.goes_to("revisit")
    await request.says("call_unanswered")
    assert [m.channel for m in request.told(message="survey_sms")] == ["sms"]
    assert (await request.state())["stage"] == "revisit"
