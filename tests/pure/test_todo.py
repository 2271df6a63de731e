"""What people owe: each kind of task opens, is someone's, and closes when its event arrives."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st

from domain.events import EVENTS
from domain.intake import Brief
from domain.rules import PROMISES, Rule
from domain.todo import DUTIES, HumanTask, number_of, open_tasks, owing
from domain.view import obligations
from domain.vocabulary import Role, TaskKind
from tests.pure.builders import Story, at, event, given, standard
from tests.pure.journeys import ONWARD, Journey, Step, briefs, journeys, steps
from tests.pure.test_properties import EXAMPLES

NUMBER = "CR20240520-001"
SUPERVISOR = {"role": "supervisor", "id": "S1"}
MANAGER = {"role": "manager", "id": "M1"}


def agent(id: str = "A1") -> dict[str, str]:
    return {"role": "agent", "id": id}


def engineer(id: str = "E1") -> dict[str, str]:
    return {"role": "engineer", "id": id}


def task(story: Story, kind: str) -> HumanTask | None:
    found = [t for t in open_tasks(story.request) if t.kind == kind]
    assert len(found) <= 1, found
    return found[0] if found else None


def the(story: Story, kind: str) -> HumanTask:
    found = task(story, kind)
    assert found is not None, [t.id for t in open_tasks(story.request)]
    return found


def claimed(story: Story, kind: str, **who: Any) -> Story:
    return story.did("task_claimed", task=the(story, kind).id, **who)


@dataclass(frozen=True)
class Owing:
    """A task open at the end of a story: its serial, whose it is, and what closes it."""

    kind: str
    story: Callable[[], Story]
    serial: str = "1"
    role: str = "agent"
    whose: str | None = None
    due: str | None = None
    rules: list[str] = field(default_factory=list)
    closed_by: str = ""
    payload: dict[str, Any] = field(default_factory=dict)


def _quoted() -> Story:
    story = given(warranty={"in_force": False}).walked("diagnosed")
    return story.did("quoted").did("quote_approved").did("completed")


TABLE = [
    Owing("respond", given, due="10m", rules=["first_response"], closed_by="responded"),
    Owing(
        "answer",
        lambda: given(type="consultation").did("responded"),
        due="15m",
        rules=["consultation"],
        closed_by="answered",
    ),
    Owing("tell_plan", given, due="2h", rules=["solution_feedback"], closed_by="plan_told"),
    Owing(
        "dispatch_by_hand",
        lambda: given().did("responded").offered(None),
        role="dispatcher",
        due="5m",
        rules=["dispatch"],
        closed_by="assigned",
    ),
    Owing(
        "accept",
        lambda: given().walked("offered").did("declined").offered("E2"),
        serial="2",
        role="engineer",
        whose="E2",
        due="15m",
        rules=["accept"],
        closed_by="accepted",
    ),
    Owing(
        "agree_appointment",
        lambda: given().walked("accepted"),
        role="engineer",
        whose="E1",
        due="30m",
        rules=["appointment", "appointment_call"],
        closed_by="appointed",
    ),
    Owing(
        "arrive",
        lambda: given(tier="vip").walked("appointed"),
        role="engineer",
        whose="E1",
        due="4h",
        rules=["on_site", "arrival"],
        closed_by="arrived",
    ),
    Owing(
        "complete",
        lambda: given().walked("diagnosed"),
        role="engineer",
        whose="E1",
        due="48h",
        rules=["resolution"],
        closed_by="completed",
    ),
    Owing(
        "repair_at_depot",
        lambda: given().walked("diagnosed").did("depot_received"),
        role="engineer",
        whose="E1",
        due="5d",
        rules=["depot_repair"],
        closed_by="shipped_back",
    ),
    Owing(
        "sign",
        lambda: given().walked("completed"),
        role="engineer",
        whose="E1",
        due="10m",
        rules=["sign_off"],
        closed_by="signed",
    ),
    Owing(
        "collect_payment",
        lambda: _quoted().did("signed"),
        role="engineer",
        whose="E1",
        closed_by="paid",
    ),
    Owing(
        "revisit",
        lambda: given().walked("signed"),
        due="24h",
        rules=["revisit"],
        closed_by="surveyed",
    ),
    Owing(
        "take_over_complaint",
        lambda: given().did("complained"),
        role="supervisor",
        due="1h",
        rules=["complaint_escalation"],
        closed_by="complaint_taken_over",
    ),
    Owing(
        "offer_remedy",
        lambda: given().did("complained").did("complaint_taken_over"),
        role="supervisor",
        whose="S1",
        due="24h",
        rules=["complaint_contact"],
        closed_by="remedy_offered",
    ),
    Owing(
        "settle_complaint",
        lambda: given().did("complained").did("complaint_taken_over").did("remedy_offered"),
        role="supervisor",
        whose="S1",
        closed_by="complaint_settled",
    ),
    Owing(
        "call_about_a_breach",
        lambda: given().passes("10m"),
        role="supervisor",
        due="10m",
        rules=["first_response"],
        closed_by="breach_called",
    ),
]


def test_every_kind_stands_in_the_table_and_has_a_chinese_name() -> None:
    assert {owing.kind for owing in TABLE} == set(TaskKind) == set(DUTIES)
    assert all(kind.zh != kind.value for kind in TaskKind)
    assert all(event in EVENTS for duty in DUTIES.values() for event in duty.closed_by)


@pytest.mark.parametrize("owing", TABLE, ids=lambda owing: owing.kind)
def test_a_task_is_owed_until_its_event_arrives(owing: Owing) -> None:
    story = owing.story()
    found = the(story, owing.kind)
    assert found.id == f"{NUMBER}.{owing.kind}.{owing.serial}"
    assert number_of(found.id) == found.number == NUMBER
    assert (found.role.value, found.assignee and found.assignee.id) == (owing.role, owing.whose)
    assert found.due_at == (at(owing.due) if owing.due else None)
    assert sorted(found.rules) == sorted(owing.rules)
    assert found.claimed_at is None
    story.did("noted")
    assert the(story, owing.kind) == found
    assert owing.closed_by == DUTIES[TaskKind(owing.kind)].closed_by[0]
    story.did(owing.closed_by, **owing.payload)
    still = task(story, owing.kind)
    assert still is None or still.id != found.id


# --- when there is none, and when there is another ------------------------------------------------


def test_a_closed_request_owes_nothing_and_a_cancelled_one_no_work() -> None:
    assert open_tasks(given().walked("surveyed").request) == []
    assert open_tasks(given().walked("accepted").did("cancelled").request) == []
    story = given().walked("accepted").did("complained").did("cancelled")
    assert {t.kind for t in open_tasks(story.request)} == {"take_over_complaint", "offer_remedy"}


def test_while_the_matching_seeks_no_dispatcher_owes_anything() -> None:
    assert task(given().did("responded"), "dispatch_by_hand") is None
    story = given().did("responded").passes("5m")
    assert the(story, "dispatch_by_hand").rules == ["dispatch"]
    assert task(story.offered(at="6m"), "dispatch_by_hand") is None


def test_each_offer_is_a_task_of_its_own_and_silence_closes_it() -> None:
    story = given().walked("offered").passes("15m")
    assert task(story, "accept") is None
    assert the(story.offered("E2"), "accept").id == f"{NUMBER}.accept.2"


def test_one_appointment_is_one_task_until_it_is_agreed() -> None:
    story = given()
    assert the(story, "agree_appointment").rules == ["appointment"]
    story.walked("accepted")
    assert the(story, "agree_appointment").id == f"{NUMBER}.agree_appointment.1"
    assert task(story.did("appointed"), "agree_appointment") is None
    again = the(story.did("arrived").did("no_show"), "agree_appointment")
    assert (again.id, again.rules) == (f"{NUMBER}.agree_appointment.2", ["appointment_call"])


def test_a_window_that_moves_is_the_same_visit_and_a_lost_one_is_not() -> None:
    story = given().walked("appointed")
    first = the(story, "arrive")
    moved = the(story.did("rescheduled"), "arrive")
    assert first.id == moved.id == f"{NUMBER}.arrive.1"
    assert (first.due_at, moved.due_at) == (at("5h"), at("8h"))
    assert the(story.did("held"), "arrive").due_at is None
    story.did("resumed", at="9h").did("appointed", window_start=at("10h"), window_end=at("12h"))
    assert the(story, "arrive").id == f"{NUMBER}.arrive.2"


def test_a_reopened_complaint_is_a_new_task() -> None:
    story = given().did("complained").did("complaint_settled").did("complaint_reopened")
    assert the(story, "take_over_complaint").id == f"{NUMBER}.take_over_complaint.1.2"


def test_an_escalated_complaint_is_the_managers_task() -> None:
    story = given().did("complained").passes("1h")
    assert the(story, "take_over_complaint").role == "manager"


def test_a_rule_that_is_switched_off_leaves_the_task_without_a_due_time() -> None:
    story = given(policy=standard(('goal = "10m"', 'goal = "none"')))
    assert (the(story, "respond").due_at, the(story, "respond").rules) == (None, [])
    assert task(story.did("responded"), "respond") is None


def test_the_call_is_owed_by_whoever_was_told_last() -> None:
    story = given().passes("10m")
    assert the(story, "call_about_a_breach").role == "supervisor"
    assert the(story.passes("30m"), "call_about_a_breach").role == "manager"
    assert story.refused("breach_called", actor=SUPERVISOR) == "task_not_for_role"
    story.did("breach_called", actor=MANAGER, note="致歉")
    assert task(story, "call_about_a_breach") is None
    assert story.happened("breach_called")
    assert story.happened("first_response.called")


def test_a_level_that_is_told_after_the_call_owes_another() -> None:
    story = given().passes("10m").did("breach_called")
    again = the(story.passes("30m"), "call_about_a_breach")
    assert (again.role, again.id[-4:]) == ("manager", ".1.2")


def test_nobody_calls_about_a_clock_that_has_stopped_or_that_only_told_the_customer() -> None:
    assert task(given().passes("10m").did("responded"), "call_about_a_breach") is None
    arrival = given().walked("appointed", appointed={"window_end": at("4h")})
    arrival.did("plan_told").passes("4h")
    assert the(arrival, "call_about_a_breach").role == "supervisor"  # told after the customer


def test_a_call_names_its_complaint_or_takes_the_oldest() -> None:
    story = given().did("responded").did("plan_told").did("complained")
    story.did("complained", at="1m").offered().did("accepted").passes("2h")
    calls = [t for t in open_tasks(story.request) if t.kind == "call_about_a_breach"]
    rule = "complaint_escalation"
    assert [t.subject for t in calls if rule in t.rules] == ["1", "2"]
    story.did("breach_called", actor=MANAGER, rule=rule, subject="2")
    story.did("breach_called", actor=MANAGER, rule=rule)
    assert story.refused("breach_called", actor=MANAGER, rule=rule) == "no_call_owed"


# --- claiming -------------------------------------------------------------------------------------


def test_a_claimed_task_is_the_claimants_until_it_is_released() -> None:
    story = claimed(given(), "respond", at="1m")
    found = the(story, "respond")
    assert found.assignee is not None
    assert (found.assignee.id, found.claimed_at) == ("A1", at("1m"))
    claimed(story, "respond", at="2m")
    assert the(story, "respond").claimed_at == at("1m"), "a repeat by the same person is harmless"
    story.did("task_released", task=found.id, actor=agent())
    assert the(story, "respond").assignee is None
    assert [line.name for line in story.lines if "task" in line.name] == [
        "task_claimed",
        "task_claimed",
        "task_released",
    ]


REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    ("task_claimed", "respond", {"actor": agent("A2")}, "task_taken"),
    ("task_claimed", "respond", {"actor": MANAGER}, "task_taken"),
    ("task_claimed", "tell_plan", {"actor": engineer()}, "task_not_for_role"),
    ("task_claimed", "tell_plan", {"actor": agent(), "assignee": "A2"}, "task_for_others"),
    (
        "task_claimed",
        "tell_plan",
        {"actor": {"role": "integration", "id": "erp"}},
        "task_person_missing",
    ),
    ("task_claimed", "take_over_complaint", {"actor": agent()}, "task_not_for_role"),
    ("task_claimed", "take_over_complaint", {"actor": engineer()}, "task_not_for_role"),
    ("task_claimed", "complete", {"actor": engineer("E9")}, "task_goes_with_work"),
    ("task_released", "tell_plan", {"actor": agent()}, "task_not_claimed"),
    ("task_released", "respond", {"actor": agent("A2")}, "task_not_yours"),
    ("task_released", "respond", {"actor": engineer("A1")}, "task_not_yours"),
    ("task_reassigned", "complete", {"actor": SUPERVISOR, "to": "E9"}, "task_goes_with_work"),
    ("task_reassigned", "respond", {"actor": agent(), "to": "A2"}, "role_not_allowed"),
]


@pytest.mark.parametrize(("name", "kind", "payload", "code"), REFUSED)
def test_what_is_not_theirs_is_refused_with_the_reason(
    name: str, kind: str, payload: dict[str, Any], code: str
) -> None:
    story = claimed(given().did("complained"), "respond")
    before = story.request.model_dump()
    assert story.refused(name, task=the(story, kind).id, **payload) == code
    assert story.request.model_dump() == before


@pytest.mark.parametrize(
    "unknown", ["—", "respond", f"{NUMBER}.accept.1", "CR20240520-002.respond.1"]
)
def test_a_task_that_is_not_open_is_refused(unknown: str) -> None:
    for name in ("task_claimed", "task_released", "task_reassigned"):
        actor = agent() if name == "task_claimed" else SUPERVISOR
        story = claimed(given(), "respond")
        assert story.refused(name, task=unknown, actor=actor) == "task_not_open"


def test_those_above_may_step_in_and_pass_it_on() -> None:
    story = given().walked("accepted")
    claimed(story, "agree_appointment", actor=SUPERVISOR)
    assert the(story, "agree_appointment").assignee is not None
    story = given().did("complained").did("complaint_taken_over")
    other = {"role": "supervisor", "id": "S2"}
    assert story.refused("task_claimed", task=the(story, "offer_remedy").id, actor=other) == (
        "task_taken"
    )
    claimed(story, "offer_remedy", actor=MANAGER)
    story.did("task_reassigned", task=the(story, "offer_remedy").id, actor=MANAGER, to="S2")
    found = the(story, "offer_remedy")
    assert found.assignee is not None
    assert (found.assignee.role, found.assignee.id) == ("supervisor", "S2")


def test_a_supervisor_claims_for_an_agent_and_releases_it_again() -> None:
    story = claimed(given(), "respond", actor=SUPERVISOR, assignee="A7")
    found = the(story, "respond").assignee
    assert found is not None
    assert (found.role, found.id) == ("agent", "A7")
    story.did("task_released", task=the(story, "respond").id, actor=SUPERVISOR)
    assert story.request.claims == {}


def test_claims_are_possible_on_hold_and_end_with_their_task() -> None:
    story = claimed(given().did("held"), "respond")
    assert story.request.claims
    assert story.did("resumed").did("responded").request.claims == {}
    assert claimed(given(), "respond").did("cancelled").request.claims == {}


def test_a_claim_moves_no_time_of_the_process() -> None:
    """News from before the claim still counts from when it happened."""
    story = claimed(given(), "respond", at="9m59s").did("responded", at="10m", occurred_at="8m")
    assert story.request.responded_at == at("8m")
    assert story.state_of("first_response") == "kept"
    assert claimed(given(), "respond", at="5m").stage == "response"


# --- acknowledged by claiming ---------------------------------------------------------------------


def told(story: Story, rule: str = "first_response") -> list[tuple[Any, str]]:
    return [(t.at, t.to.value) for t in story.tells if t.rule == rule and t.level]


def acknowledgements(story: Story) -> list[tuple[str, Any]]:
    return [
        (line.name.partition(".")[2], line.at)
        for line in story.lines
        if line.name.endswith("acknowledged")
    ]


@pytest.mark.parametrize("kind", ["respond", "call_about_a_breach"])
def test_a_broken_promise_that_somebody_has_in_hand_climbs_no_further(kind: str) -> None:
    story = claimed(given().passes("12m"), kind, actor=SUPERVISOR).passes("9h")
    assert told(story) == [(at("10m"), "supervisor")]
    assert acknowledgements(story) == [("acknowledged", at("12m"))]
    assert story.request.next_due() is None or "first_response" not in story.request.next_due().what  # type: ignore[union-attr]
    story.did("responded")
    assert told(story.passes("20h")) == [(at("10m"), "supervisor")]


def test_a_level_whose_time_went_by_is_told_at_the_release_and_once() -> None:
    story = claimed(given().passes("12m"), "respond", actor=agent()).passes("40m")
    story.did("task_released", task=the(story, "respond").id, actor=agent()).passes("40m")
    assert told(story) == [(at("10m"), "supervisor"), (at("40m"), "manager")]
    assert acknowledgements(story) == [("acknowledged", at("12m")), ("unacknowledged", at("40m"))]
    assert story.happened("first_response.escalated")[-1].data["cause"] == "released"
    claimed(story, "respond", at="41m", actor=agent())
    story.did("task_released", task=the(story, "respond").id, actor=agent()).passes("9h")
    assert len(told(story)) == 2


def test_a_level_still_ahead_at_the_release_keeps_its_time() -> None:
    story = claimed(given().passes("12m"), "respond", actor=agent())
    story.did("task_released", at="20m", task=the(story, "respond").id, actor=agent())
    assert told(story.passes("9h")) == [(at("10m"), "supervisor"), (at("30m"), "manager")]


def test_every_level_missed_is_told_at_the_release_in_the_ladders_order() -> None:
    between = '{ tell = "dispatcher", after = "5m" }, { tell = "manager", after = "20m" }'
    policy = standard(('{ tell = "manager", after = "20m" }', between))
    story = claimed(given(policy=policy).passes("10m"), "respond", actor=agent())
    story.did("task_released", at="1h", task=the(story, "respond").id, actor=agent()).passes("1h")
    assert told(story)[1:] == [(at("1h"), "dispatcher"), (at("1h"), "manager")]


def test_what_is_claimed_before_the_breach_still_tells_at_the_breach_and_rests_then() -> None:
    story = claimed(given(), "respond", at="1m")
    announced = [d.what for d in story.request.agenda() if d.what.startswith("first_response")]
    assert announced == [
        "first_response: warned",
        "first_response: breached",
        "first_response: escalated",
    ]
    assert told(story.passes("9h")) == [(at("10m"), "supervisor")]
    assert acknowledgements(story) == [("acknowledged", at("10m"))]


def test_the_call_ends_its_own_acknowledgement() -> None:
    story = claimed(given().passes("12m"), "call_about_a_breach", actor=SUPERVISOR)
    story.did("breach_called", at="20m", actor=SUPERVISOR)
    assert acknowledgements(story)[-1] == ("unacknowledged", at("20m"))
    assert told(story.passes("9h"))[-1] == (at("30m"), "manager")


def test_whoever_has_the_task_anyway_acknowledges_by_claiming_it() -> None:
    rule, call = "appointment_call", {"role": "engineer", "id": "E1"}
    story = given().walked("accepted").passes("30m")
    assert [to for _, to in told(story, rule)] == ["dispatcher"]
    claimed(story, "agree_appointment", at="40m", actor=call).passes("5h")
    assert [to for _, to in told(story, rule)] == ["dispatcher"]
    unclaimed = given().walked("accepted").passes("5h")
    assert [to for _, to in told(unclaimed, rule)] == ["dispatcher", "supervisor"]


def test_one_claim_is_enough_of_the_task_and_the_call() -> None:
    story = claimed(given().passes("12m"), "respond", actor=agent())
    claimed(story, "call_about_a_breach", actor=SUPERVISOR)
    story.did("task_released", task=the(story, "respond").id, actor=agent()).passes("9h")
    assert told(story) == [(at("10m"), "supervisor")]


def test_an_obligation_names_who_has_it_and_since_when() -> None:
    story = claimed(given().passes("12m"), "respond", actor=agent())
    owed = next(o for o in obligations(story.request, story.now) if o["rule"] == "first_response")
    assert owed["task"] == f"{NUMBER}.respond.1"
    assert owed["assignee"] == {"role": "agent", "id": "A1"}
    assert owed["acknowledged_at"] == "2024-05-20T01:12:00Z"
    others = [o for o in obligations(story.request, story.now) if o["rule"] != "first_response"]
    assert {o["rule"] for o in others} >= {"solution_feedback", "resolution"}
    assert all(o["assignee"] is o["acknowledged_at"] is None for o in others)


# --- on any journey -------------------------------------------------------------------------------


@settings(max_examples=EXAMPLES)
@hypothesis_given(briefs, steps)
def test_each_live_clock_has_exactly_one_task_and_no_task_outlives_its_clock(
    start: Brief, path: list[Step]
) -> None:
    for journey, _ in journeys(start, path):
        request = journey.request
        tasks = [o for o in owing(request) if o.task.kind is not TaskKind.call_about_a_breach]
        ids = [o.task.id for o in owing(request)]
        assert len(ids) == len(set(ids))
        assert set(request.claims) <= set(ids)
        for clock in request.clocks:
            its = [o for o in tasks if any(c is clock for c in o.clocks)]
            # Until somebody must dispatch by hand, the matching owes the offer.
            is_machines = clock.rule is Rule.dispatch and not request.needs_dispatcher
            owed = clock.is_live and PROMISES[clock.rule].owed_by is not Role.customer
            assert len(its) == int(owed and not is_machines), clock.rule


@settings(max_examples=EXAMPLES)
@hypothesis_given(briefs, steps)
def test_an_id_once_closed_never_opens_again_unless_the_promise_itself_does(
    start: Brief, path: list[Step]
) -> None:
    before: set[str] = set()
    closed: set[str] = set()
    for journey, _ in journeys(start, path):
        now = {t.id for t in open_tasks(journey.request)}
        closed |= before - now
        again = {id.split(".")[1] for id in closed & now}
        # A promise that a change of type or urgency dropped and made again is the same promise.
        assert again <= {"tell_plan", "agree_appointment", "arrive", "complete", "answer"}, again
        before = now


@settings(max_examples=EXAMPLES)
@hypothesis_given(briefs, steps, st.integers(0, 1000))
def test_claims_change_no_clock_but_how_far_its_ladder_climbs(
    start: Brief, path: list[Step], pick: int
) -> None:
    """The same journey with and without somebody who claims: every reading is the same."""
    plain, claiming = Journey(start), Journey(start)
    for step in path:
        allowed = set(plain.request.allowed_events)
        if step.what not in ("silence", "offered", "nobody"):
            step = step._replace(what="onward" if allowed & set(ONWARD) else "silence")
        for journey in (plain, claiming):
            journey.go(step)
            journey.request.tick(journey.now)
        if tasks := open_tasks(claiming.request):
            chosen = tasks[(pick + step.pick) % len(tasks)]
            claims = event("task_claimed", task=chosen.id, actor=MANAGER)
            claiming.request.hear(claims, claiming.now)
    readings = [
        [clock.reading(journey.now) for clock in journey.request.clocks]
        for journey in (plain, claiming)
    ]
    assert readings[0] == readings[1]
