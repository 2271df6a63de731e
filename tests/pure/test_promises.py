"""Every timing rule of the service standard: when it warns, when it breaks, who hears of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from domain.rules import PROMISES, Rule
from tests.pure.builders import SECOND, START, Story, at, given, length, working_days

FAR_WINDOW = {"window_start": at("1h"), "window_end": at("80h")}
WEEKDAYS = working_days(*(day for day in range(60) if day % 7 < 5))


def _wide_appointment() -> dict[str, dict[str, Any]]:
    return {"appointed": FAR_WINDOW}


@dataclass(frozen=True)
class Promised:
    """A row of the standard's table.

    `begin` tells the story up to the running clock, all at the start; `due` is counted from
    there, `opens` is where the clock starts counting; `kept_by` is the event that keeps it.
    """

    rule: str
    due: str
    kept_by: str
    told: list[tuple[str, str]]
    begin: Callable[[], Story]
    subject: str = ""
    warns: str = "agent"
    opens: str = "0s"
    name: str = ""
    kept_with: dict[str, Any] = field(default_factory=dict)

    @property
    def due_at(self) -> datetime:
        return at(self.opens) + length(self.due)

    @property
    def warned_at(self) -> datetime:
        return at(self.opens) + length(self.due) * 0.8


def _repair(last: str = "", **changes: Any) -> Callable[[], Story]:
    def begin() -> Story:
        story = given(**changes)
        return story.walked(last, **_wide_appointment()) if last else story

    return begin


def _ordinary(last: str) -> Callable[[], Story]:
    return lambda: given().walked(last)


def _depot() -> Story:
    return given(calendar=WEEKDAYS).walked("diagnosed").did("depot_received")


def _complaint(*then: str) -> Callable[[], Story]:
    def begin() -> Story:
        story = given().did("complained")
        for name in then:
            story.did(name)
        return story

    return begin


SUPERVISOR, MANAGER = ("supervisor", "0s"), ("manager", "0s")
RESPONSE = [SUPERVISOR, ("manager", "20m")]
PLAN = [SUPERVISOR, ("manager", "2h")]
OFFER = [("dispatcher", "0s"), ("supervisor", "15m")]
CALL = [("dispatcher", "0s"), ("supervisor", "1h")]
DAILY = [SUPERVISOR, ("manager", "24h")]

TABLE = [
    Promised("first_response", "10m", "responded", RESPONSE, _repair()),
    Promised("solution_feedback", "2h", "plan_told", PLAN, _repair()),
    Promised(
        "solution_feedback", "30m", "plan_told", PLAN, _repair(urgency="urgent"), name="urgent"
    ),
    Promised(
        "solution_feedback",
        "10m",
        "plan_told",
        [MANAGER],
        _repair(urgency="critical"),
        name="critical",
    ),
    Promised("dispatch", "5m", "offered", OFFER, _repair("responded"), warns="dispatcher"),
    Promised("accept", "15m", "accepted", [], _repair("offered"), subject="1", warns="engineer"),
    Promised(
        "accept",
        "15m",
        "declined",
        [],
        _repair("offered"),
        subject="1",
        warns="engineer",
        name="declined",
    ),
    Promised("appointment_call", "30m", "appointed", CALL, _repair("accepted"), warns="engineer"),
    Promised(
        "appointment",
        "24h",
        "appointed",
        DAILY,
        _repair("accepted"),
        warns="engineer",
        kept_with={"window_start": at("30h"), "window_end": at("32h")},
    ),
    Promised(
        "arrival",
        "2h",
        "arrived",
        [("customer", "0s"), SUPERVISOR],
        _ordinary("appointed"),
        opens="3h",
        warns="engineer",
    ),
    *(
        Promised(
            "on_site",
            due,
            "arrived",
            [MANAGER],
            _repair("appointed", tier=tier, distance_km=km),
            warns="engineer",
            name=f"{tier}, {km} km",
        )
        for tier, km, due in [
            ("vip", None, "4h"),
            ("contract", 30, "4h"),
            ("contract", 30.1, "8h"),
            ("contract", 300, "24h"),
            ("contract", 301, "48h"),
            ("contract", None, "48h"),
        ]
    ),
    *(
        Promised(
            "resolution",
            due,
            "completed",
            [MANAGER],
            _repair("diagnosed", **circumstances),
            warns="engineer",
            name=", ".join(circumstances.values()),
        )
        for due, circumstances in [
            ("48h", {}),
            ("72h", {"product_class": "complex"}),
            ("24h", {"tier": "contract"}),
            ("24h", {"tier": "contract", "product_class": "complex"}),
            ("8h", {"tier": "contract_8h"}),
        ]
    ),
    # Monday 09:00 and five working days: the weekend does not count, so it is due next Monday.
    Promised("depot_repair", "7d", "shipped_back", [MANAGER], _depot, warns="engineer"),
    Promised("sign_off", "10m", "signed", [SUPERVISOR], _repair("completed"), warns="engineer"),
    Promised("revisit", "24h", "surveyed", DAILY, _repair("signed")),
    Promised(
        "complaint_escalation",
        "1h",
        "complaint_taken_over",
        [MANAGER],
        _complaint(),
        subject="1",
        warns="supervisor",
    ),
    Promised(
        "complaint_contact",
        "24h",
        "remedy_offered",
        [MANAGER],
        _complaint("complaint_taken_over"),
        subject="1",
        warns="supervisor",
    ),
    Promised(
        "consultation",
        "15m",
        "answered",
        [SUPERVISOR],
        _repair(type="consultation"),
    ),
    Promised(
        "consultation",
        "2h",
        "answered",
        [SUPERVISOR],
        _repair(type="consultation", service_type="remote"),
        name="remote",
    ),
]


def _each(rows: list[Promised]) -> pytest.MarkDecorator:
    names = [f"{p.rule}{f' ({p.name})' if p.name else ''}" for p in rows]
    return pytest.mark.parametrize("promised", rows, ids=names)


every_promise = _each(TABLE)
every_promise_that_outlives_its_breach = _each(
    [p for p in TABLE if p.rule not in ("accept", "dispatch")]
)


def _keep(story: Story, promised: Promised, when: datetime) -> Story:
    if promised.kept_by == "offered":
        return story.offered(at=when)
    return story.did(promised.kept_by, at=when, **promised.kept_with)


def test_every_rule_stands_in_the_table() -> None:
    assert {p.rule for p in TABLE} == {rule.value for rule in Rule} == set(PROMISES)


@every_promise
def test_whoever_owes_it_is_warned_at_four_fifths_and_not_before(promised: Promised) -> None:
    story = promised.begin()
    # Four of five working days are over on Friday at 09:00.
    warned_at = at("4d") if promised.rule == "depot_repair" else promised.warned_at
    assert not story.passes(warned_at - SECOND).told("due_soon", promised.rule)
    (warning,) = story.passes(warned_at).told("due_soon", promised.rule)
    assert (warning.to, warning.at) == (promised.warns, warned_at)


@every_promise
def test_it_breaks_at_the_exact_moment_and_not_before(promised: Promised) -> None:
    story = promised.begin().passes(promised.due_at - SECOND)
    assert story.clock(promised.rule, promised.subject).due_at == promised.due_at
    assert not story.happened(f"{promised.rule}.breached")
    story.passes(promised.due_at + timedelta(hours=3))
    (breach,) = story.happened(f"{promised.rule}.breached")
    assert breach.at == promised.due_at
    assert breach.recorded_at == promised.due_at + timedelta(hours=3)


@every_promise
def test_it_is_kept_when_met_one_second_earlier(promised: Promised) -> None:
    story = _keep(promised.begin(), promised, promised.due_at - SECOND)
    assert story.state_of(promised.rule, promised.subject) == "kept"
    story.passes(promised.due_at + timedelta(seconds=1))
    assert not story.happened(f"{promised.rule}.breached")
    assert not [t for t in story.tells if t.rule == promised.rule and t.level is not None]


@every_promise
def test_it_is_kept_when_met_at_exactly_the_due_time(promised: Promised) -> None:
    story = _keep(promised.begin(), promised, promised.due_at)
    assert story.state_of(promised.rule, promised.subject) == "kept"


@every_promise
def test_the_standards_people_are_told_each_at_their_time_and_once(promised: Promised) -> None:
    story = promised.begin()
    for hours in range(0, 24 * 12, 4):
        story.passes(START + timedelta(hours=hours))
    told = [(t.to.value, t.at) for t in story.tells if t.rule == promised.rule and t.level]
    assert told == [(role, promised.due_at + length(after)) for role, after in promised.told]


@every_promise_that_outlives_its_breach
def test_met_too_late_it_counts_as_late_and_nobody_further_is_told(promised: Promised) -> None:
    story = promised.begin().passes(promised.due_at)
    told = len([t for t in story.tells if t.rule == promised.rule and t.level])
    _keep(story, promised, promised.due_at + SECOND)
    assert story.state_of(promised.rule, promised.subject) == "late"
    story.passes(promised.due_at + timedelta(days=20))
    assert len([t for t in story.tells if t.rule == promised.rule and t.level]) == told


@every_promise_that_outlives_its_breach
def test_news_of_a_kept_promise_that_comes_after_the_alarm_still_keeps_it(
    promised: Promised,
) -> None:
    story = promised.begin().passes(promised.due_at + SECOND)
    story.did(
        promised.kept_by,
        at=promised.due_at + timedelta(minutes=2),
        occurred_at=promised.due_at - SECOND,
        **promised.kept_with,
    )
    assert story.state_of(promised.rule, promised.subject) == "kept"
    assert story.happened(f"{promised.rule}.breached"), "the alarm stays on the timeline"


# --- what a breach does --------------------------------------------------------------------------


def test_a_missed_first_response_jumps_the_queue() -> None:
    assert not given().passes("9m59s").request.jumped_queue
    assert given().passes("10m").request.jumped_queue


def test_without_an_offer_in_time_a_dispatcher_dispatches_by_hand() -> None:
    story = given().did("responded").passes("5m")
    assert story.request.by_hand
    assert [t.to for t in story.told("dispatch_by_hand")] == ["dispatcher"]
    assert not story.request.seeks_engineer


def test_someone_found_after_the_dispatch_promise_broke_is_asked_all_the_same() -> None:
    story = given().did("responded").offered(at="6m")
    assert story.happened("dispatch.breached")[0].at == at("5m")
    assert story.state_of("dispatch") == "late"
    assert story.did("accepted").request.engineer == "E1"


def test_a_search_that_finds_someone_who_has_just_declined_is_in_vain() -> None:
    story = given().did("responded").did("assigned", engineer="E1").did("declined").offered("E1")
    assert [offer.state for offer in story.request.offers] == ["declined"]
    assert story.request.seeks_engineer


def test_no_answer_is_recorded_against_the_engineer_and_the_next_one_is_sought() -> None:
    story = given().walked("offered").passes("15m")
    (offer,) = story.request.offers
    assert (offer.state, offer.engineer, offer.closed_at) == ("no_answer", "E1", at("15m"))
    assert [t.who for t in story.told("no_answer")] == ["E1"]
    assert story.request.seeks_engineer
    assert story.request.asked_before == ["E1"]


def test_the_next_engineer_has_a_promise_of_their_own() -> None:
    story = given().walked("offered").passes("15m").offered("E2")
    assert story.clock("accept", "2").due_at == at("30m")
    assert story.did("accepted", at="29m").request.engineer == "E2"


def test_an_answer_that_comes_after_the_offer_went_on_is_refused() -> None:
    story = given().walked("offered").passes("15m").offered("E2")
    assert story.refused("accepted", at="16m", engineer="E1") == "no_open_offer"
    assert story.refused("declined", engineer="E1") == "no_open_offer"


def test_an_engineer_who_did_not_answer_in_time_cannot_accept_even_before_anyone_noticed() -> None:
    story = given().walked("offered")
    assert story.refused("accepted", at="20m", engineer="E1") == "no_open_offer"
    assert story.request.offers[0].state == "no_answer"


def test_the_manager_takes_an_escalated_complaint_over() -> None:
    story = given().did("complained").passes("1h")
    assert story.request.complaints[0].owner_role == "manager"
    assert story.happened("complaint_escalated")


def test_a_contract_repair_past_its_time_may_go_to_an_outside_provider() -> None:
    assert given(tier="contract").passes("24h").request.outside_allowed
    assert not given(tier="contract").passes("23h59m59s").request.outside_allowed
    assert not given().passes("48h").request.outside_allowed


def test_nothing_is_promised_on_site_without_a_contract() -> None:
    assert given().request.clock(Rule.on_site) is None


def test_nobody_is_promised_at_the_door_for_a_question() -> None:
    """It becomes a promise, from the receipt on, when the question turns out to be a fault."""
    question = given(type="consultation", tier="vip")
    assert question.request.clock(Rule.on_site) is None
    question.did("reclassified", at="30m", request_type="repair")
    promised = question.request.clock(Rule.on_site)
    assert promised is not None
    assert promised.due_at == at("4h")


def test_only_a_consultation_promises_an_answer() -> None:
    assert given().request.clock(Rule.consultation) is None
    consultation = given(type="consultation").request
    assert {c.rule for c in consultation.live_clocks} == {"first_response", "consultation"}


def test_the_customer_is_reminded_an_hour_before_the_window_opens() -> None:
    story = given().walked("appointed").passes("1h59m59s")
    assert not story.told("visit_reminder")
    story.passes("2h")
    assert [(t.to, t.at) for t in story.told("visit_reminder")] == [
        ("customer", at("2h")),
        ("engineer", at("2h")),
    ]


def test_a_window_agreed_within_the_hour_is_reminded_of_at_once_and_only_once() -> None:
    soon = {"window_start": at("30m"), "window_end": at("2h")}
    story = given().walked("appointed", appointed=soon).passes("1s").passes("10m")
    assert len(story.told("visit_reminder")) == 2


def test_nobody_is_reminded_of_a_window_that_went_by_during_a_hold() -> None:
    story = given(service_type="remote").walked("appointed").did("held", at="1h")
    story.did("resumed", at="4h").passes("6h")
    assert not story.told("visit_reminder")


def test_running_late_is_in_time_half_an_hour_before_the_window_ends() -> None:
    for told_at, in_time in [("4h30m", True), ("4h30m1s", False)]:
        story = given().walked("appointed").did("running_late", at=told_at)
        notice = story.request.visits[-1].late_notice
        assert notice is not None
        assert notice.in_time is in_time
        assert story.told("engineer_late")[0].to == "customer"
