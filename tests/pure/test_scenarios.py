"""Requests walked from first contact to archive, the ordinary way and the others."""

from decimal import Decimal
from typing import Any

import pytest

from domain.forms import forms
from domain.rules import Rule
from domain.view import obligations
from tests.pure.builders import Story, at, event, given, scores

OUT_OF_WARRANTY: dict[str, Any] = {"warranty": {"in_force": False}}


def test_a_repair_in_warranty_costs_nothing_and_closes_with_the_survey() -> None:
    story = given().walked("surveyed")
    request = story.request
    assert (request.stage, request.outcome, request.status) == ("closed", "completed", "completed")
    assert request.bill.total == 0
    assert {clock.reading(story.now).state for clock in request.clocks} <= {"kept", "cancelled"}
    assert [form.key for form in forms(request)] == ["WO/1", "AP/1", "OS/1", "CS/1"]


def test_a_repair_out_of_warranty_leaves_sign_off_when_signed_and_paid() -> None:
    story = given(**OUT_OF_WARRANTY).walked("diagnosed")
    story.did("quoted").did("quote_approved").did("completed")
    assert story.request.bill.owed == Decimal("530.00")
    assert story.did("signed").stage == "sign_off"
    assert story.did("paid").stage == "revisit"
    assert story.request.bill.owed == 0


def test_paying_first_and_signing_later_is_the_same() -> None:
    story = given(**OUT_OF_WARRANTY).walked("diagnosed")
    story.did("quoted").did("quote_approved").did("completed").did("paid")
    assert story.stage == "sign_off"
    assert story.did("signed").stage == "revisit"


def test_payment_in_parts_never_takes_more_than_is_owed() -> None:
    story = given(**OUT_OF_WARRANTY).walked("diagnosed")
    story.did("quoted").did("quote_approved").did("completed").did("signed")
    story.did("paid", amount="529.99")
    assert story.stage == "sign_off"
    assert story.refused("paid", amount="0.02") == "overpaid"
    story.did("paid", amount="0.01", method="cash")
    assert story.stage == "revisit"
    assert [str(p.amount) for p in story.request.bill.payments] == ["529.99", "0.01"]


def test_what_is_in_warranty_is_free_on_a_mixed_quote() -> None:
    lines = [{"item": "compressor", "in_warranty": True}, {"item": "call-out"}]
    story = given().walked("diagnosed").did("quoted", lines=lines)
    story.did("quote_approved").did("completed")
    assert story.request.bill.total == 50


def test_a_quote_that_costs_nothing_needs_no_answer() -> None:
    story = given().walked("diagnosed")
    story.did("quoted", lines=[{"item": "compressor", "in_warranty": True}]).did("completed")
    assert story.stage == "sign_off"
    assert not story.told("quote")


def test_nobody_fits_and_a_dispatcher_finds_someone() -> None:
    story = given().walked("responded").offered(None)
    assert story.told("dispatch_by_hand")[0].facts == {"reason": "nobody_fits"}
    assert not story.request.seeks_engineer
    story.did("assigned", engineer="E7").did("accepted")
    assert not story.request.by_hand
    assert (story.request.engineer, story.stage) == ("E7", "appointment")
    assert story.state_of("dispatch") == "kept"


def test_after_a_decline_the_next_engineer_is_asked() -> None:
    story = given().walked("offered").did("declined", at="1m", reason="too far")
    assert story.state_of("accept", "1") == "kept"
    story.offered("E2", at="2m").did("accepted", at="3m")
    assert [(o.engineer, o.state) for o in story.request.offers] == [
        ("E1", "declined"),
        ("E2", "accepted"),
    ]


def test_a_reassignment_takes_the_work_from_the_first_engineer() -> None:
    story = given().walked("appointed").did("departed").did("assigned", engineer="E2")
    assert [t.who for t in story.told("work_withdrawn")] == ["E1"]
    assert story.request.visits[0].result == "reassigned"
    assert (story.stage, story.request.engineer) == ("dispatch", None)
    story.did("accepted")
    assert story.stage == "service", "the appointment stands"
    assert story.request.appointments[-1].engineer == "E2"
    assert not [c for c in story.request.live_clocks if c.rule is Rule.appointment_call]


def test_an_offer_taken_back_is_not_a_refusal_of_the_engineer() -> None:
    story = given().walked("offered").did("assigned", engineer="E2")
    assert story.request.offers[0].state == "withdrawn"
    assert story.state_of("accept", "1") == "cancelled"


def test_a_reschedule_makes_the_promise_of_arrival_anew() -> None:
    story = given().walked("appointed").did("rescheduled", at="1h")
    assert [a.state for a in story.request.appointments] == ["rescheduled", "standing"]
    assert story.clock("arrival").due_at == at("8h")
    story.passes("5h30m")
    assert not story.happened("arrival.breached")
    assert [t.at for t in story.told("visit_reminder")] == [at("5h")] * 2
    story.did("arrived", at="7h")
    assert story.state_of("arrival") == "kept"


def test_a_customer_who_is_not_at_home_gets_a_new_appointment() -> None:
    story = given().walked("appointed").did("no_show", at="4h")
    assert story.stage == "appointment"
    assert story.request.appointments[0].state == "no_show"
    assert story.request.visits[0].result == "no_show"
    assert story.state_of("arrival") == "kept", "the engineer was there"
    assert story.clock("appointment_call").due_at == at("4h30m")
    story.did("appointed", window_start=at("26h"), window_end=at("28h"))
    assert len(story.request.visits) == 2
    assert story.clock("arrival").due_at == at("28h")


def test_waiting_for_parts_pauses_the_repair_and_their_arrival_resumes_it() -> None:
    story = given().walked("diagnosed").did("parts_awaited", at="4h")
    assert (story.request.hold and story.request.hold.owner) == "parts"
    assert story.told("parts_awaited")[0].facts == {"expected_on": "2024-05-23"}
    assert story.state_of("resolution") == "paused"
    story.did("parts_arrived", at="76h").did("completed", at="77h")
    assert story.spent_on("resolution") == at("5h") - at("0s")
    assert story.state_of("resolution") == "kept"


def test_parts_that_arrive_while_the_work_changes_hands_end_the_wait() -> None:
    story = given().walked("diagnosed").did("parts_awaited").did("assigned", engineer="E2")
    story.did("accepted")
    assert story.stage == "appointment"
    story.did("parts_arrived")
    assert story.request.hold is None
    story.did("appointed")


def test_remote_help_that_fails_becomes_a_visit_without_a_second_intake() -> None:
    story = given(service_type="remote").walked("diagnosed").did("visit_needed")
    assert (story.request.service_type, story.stage) == ("on_site", "appointment")
    assert story.request.engineer == "E1"
    assert story.request.visits[0].result == "further_visit"
    story.did("appointed").did("departed").did("arrived").did("diagnosed").did("completed")
    assert [visit.kind for visit in story.request.visits] == ["remote", "on_site"]


def test_a_fault_that_one_visit_cannot_end_continues_with_another() -> None:
    story = given().walked("diagnosed").did("visit_needed").did("appointed").did("arrived")
    story.did("completed")
    assert [visit.result for visit in story.request.visits] == ["further_visit", "completed"]


def test_a_repair_at_the_depot_is_completed_after_it_was_sent_back() -> None:
    story = given().walked("diagnosed").did("depot_received")
    assert story.refused("completed") == "at_depot"
    story.did("shipped_back").did("completed")
    assert story.stage == "sign_off"


def test_a_declined_quote_can_end_in_a_cancellation() -> None:
    story = given(**OUT_OF_WARRANTY).walked("diagnosed").did("quoted").did("quote_declined")
    assert story.request.quote is not None
    assert story.request.quote.reason == "too expensive"
    story.did("cancelled")
    assert (story.request.outcome, story.request.status) == ("cancelled", "cancelled")
    assert story.request.live_clocks == []


def test_a_declined_quote_is_not_charged() -> None:
    story = given(**OUT_OF_WARRANTY).walked("diagnosed").did("quoted").did("quote_declined")
    assert story.did("completed").request.bill.total == 0


def test_a_new_quote_replaces_the_one_before() -> None:
    story = given(**OUT_OF_WARRANTY).walked("diagnosed").did("quoted").did("quote_declined")
    story.did("quoted", lines=[{"item": "call-out"}]).did("quote_approved").did("completed")
    assert story.request.bill.total == 50


def test_a_low_score_becomes_a_complaint_and_the_request_waits_for_its_settlement() -> None:
    story = given().walked("signed").did("surveyed", scores=scores(3, of="attitude"))
    (complaint,) = story.request.complaints
    assert (complaint.complaint_class, complaint.source) == ("attitude", "survey")
    assert story.stage == "complaint"
    story.did("complaint_taken_over").did("remedy_offered").did("complaint_settled")
    assert (story.stage, story.request.outcome) == ("closed", "completed")


@pytest.mark.parametrize(
    ("remark", "complains"),
    [
        ("师傅很好", False),
        ("等了三天,太慢", True),
        ("He was RUDE to my mother", True),
        (None, False),
    ],
)
def test_a_negative_remark_is_dissatisfaction_even_with_good_scores(
    remark: str | None, complains: bool
) -> None:
    story = given().walked("signed").did("surveyed", remark=remark)
    assert bool(story.request.complaints) is complains


@pytest.mark.parametrize(
    ("remedy", "outcome"),
    [
        ("replacement", "replaced"),
        ("换货", "replaced"),
        ("refund", "refunded"),
        ("退款", "refunded"),
        ("voucher", "completed"),
        ("a bunch of flowers", "completed"),
    ],
)
def test_the_remedy_decides_how_the_request_ended(remedy: str, outcome: str) -> None:
    story = given().walked("signed").did("surveyed", scores=scores(1))
    story.did("remedy_offered", remedy=remedy).did("complaint_settled")
    assert story.request.outcome == outcome


def test_a_consultation_is_answered_without_a_work_order() -> None:
    story = given(type="consultation").did("answered", at="5m")
    assert story.stage == "revisit"
    assert not story.request.has_work_order
    assert {story.state_of(rule) for rule in ("first_response", "consultation")} == {"kept"}
    story.did("surveyed")
    assert story.request.outcome == "answered"
    assert [form.key for form in forms(story.request)] == ["CS/1"]


def test_a_consultation_that_is_a_fault_becomes_a_repair() -> None:
    story = given(type="consultation").did("responded")
    assert story.stage == "response"
    story.did("reclassified", request_type="repair", at="5m")
    assert story.stage == "dispatch"
    assert story.request.seeks_engineer
    assert story.clock("resolution").due_at == at("48h")
    assert story.request.clock(Rule.consultation) is not None
    story.passes("20m")
    assert not story.happened("consultation.breached")


def test_a_complaint_request_lives_in_complaint_until_it_is_settled() -> None:
    story = given(type="complaint")
    assert story.stage == "complaint"
    assert story.told("complaint_opened")[0].to == "supervisor"
    assert story.request.clock(Rule.first_response) is None
    story.did("complaint_taken_over").did("remedy_offered").did("complaint_settled")
    assert (story.stage, story.request.outcome) == ("closed", "settled")


def test_a_hold_until_a_moment_ends_by_itself() -> None:
    story = given().did("held", at="1m", until=at("3h")).passes("2h59m")
    assert story.request.clock_state == "paused"
    story.passes("3h30m")
    assert story.request.hold is None
    assert story.happened("resumed")[0].at == at("3h")
    assert story.clock("first_response").due_at == at("3h9m")
    assert story.happened("first_response.breached")[0].at == at("3h9m")


def test_the_promise_of_arrival_does_not_wait_but_is_made_again() -> None:
    story = given().walked("appointed").did("held", at="1h")
    assert story.state_of("arrival") == "cancelled"
    story.did("resumed", at="4h")
    assert story.clock("arrival").due_at == at("5h")


def test_a_window_that_went_by_during_a_hold_is_agreed_anew() -> None:
    story = given().walked("appointed").did("held", at="1h").did("resumed", at="6h")
    assert story.stage == "appointment"
    assert story.request.appointments[0].state == "withdrawn"
    assert not story.passes("20h").happened("arrival.breached")


def test_the_arrival_is_promised_again_when_the_work_changed_hands_during_a_hold() -> None:
    story = given().walked("appointed").did("held", at="1h").did("assigned", engineer="E2")
    story.did("resumed", at="65m").did("accepted", at="70m")
    assert story.stage == "service"
    assert story.state_of("arrival") == "running"


def test_a_window_that_went_by_while_the_work_changed_hands_is_agreed_anew() -> None:
    story = given().walked("appointed").did("held", at="1h").did("assigned", engineer="E2")
    story.did("resumed", at="6h").offered("E3").did("accepted")
    assert story.stage == "appointment"


def test_a_cancellation_waits_for_an_open_complaint() -> None:
    story = given().walked("appointed").did("complained").did("cancelled")
    assert (story.stage, story.request.status) == ("complaint", "cancelled")
    assert {clock.rule for clock in story.request.live_clocks} == {
        Rule.complaint_escalation,
        Rule.complaint_contact,
    }
    assert not story.passes("4h").told("visit_reminder")
    story.did("complaint_settled")
    assert (story.stage, story.request.outcome) == ("closed", "cancelled")


def test_a_cancellation_tells_the_engineer_who_has_or_was_offered_the_work() -> None:
    for last in ("offered", "accepted", "appointed"):
        story = given().walked(last).did("cancelled")
        assert [t.who for t in story.told("work_withdrawn")] == ["E1"]


def test_a_reopened_complaint_keeps_the_request_open() -> None:
    story = given().walked("signed").did("complained").did("complaint_settled")
    story.did("complaint_reopened").did("surveyed")
    assert story.stage == "complaint"
    assert story.request.complaints[0].reopened == ["the voucher never came"]
    assert story.did("complaint_settled").stage == "closed"


def test_two_complaints_are_settled_one_by_one() -> None:
    story = given(type="complaint").did("complained")
    assert story.did("complaint_settled", complaint=2).stage == "complaint"
    assert story.did("complaint_settled").stage == "closed"


def test_an_unanswered_revisit_call_becomes_an_sms_survey() -> None:
    story = given().walked("signed").did("call_unanswered")
    assert story.told("survey_sms")[0].to == "customer"
    story.did("surveyed", channel="sms")
    assert story.stage == "closed"


def test_the_status_of_the_work_order_follows_the_work() -> None:
    story = given()
    seen = [story.request.status.value]
    for name in ("responded", "", "accepted", "appointed", "departed", "completed"):
        if name == "completed":
            story.did("arrived")
        _ = story.did(name) if name else story.offered()
        seen.append(story.request.status.value)
    assert list(dict.fromkeys(seen)) == ["pending", "appointed", "in_service", "completed"]


# --- repeats and time ---------------------------------------------------------------------------


def test_the_same_id_twice_is_the_same_event() -> None:
    story = given()
    note = event("noted")
    assert story.request.apply(note, at("1m"))
    before = story.request.model_dump()
    assert story.request.apply(note, at("2m")) == []
    assert story.request.hear(note, at("2m")) == []
    assert story.request.model_dump() == before


def test_an_event_counts_from_when_it_happened() -> None:
    story = given().did("responded", at="20m", occurred_at="9m")
    assert story.request.responded_at == at("9m")
    assert story.state_of("first_response") == "kept"
    line = story.happened("responded")[0]
    assert (line.at, line.recorded_at) == (at("9m"), at("20m"))


def test_without_a_time_of_its_own_an_event_counts_from_when_our_door_heard_of_it() -> None:
    story = given().did("responded", at="20m", heard_at="9m")
    assert story.request.responded_at == at("9m")
    story = given().did("responded", at="20m", heard_at="12m", occurred_at="9m")
    assert story.request.responded_at == at("9m"), "what happened counts before what was heard"


def test_time_within_a_request_never_runs_backwards() -> None:
    story = given().did("responded", at="20m").did("plan_told", at="21m", occurred_at="5m")
    assert story.happened("plan_told")[0].at == at("20m")


def test_what_fell_due_before_an_event_happens_before_it() -> None:
    story = given().did("responded", at="11m")
    names = [line.name for line in story.lines]
    assert names.index("first_response.breached") < names.index("responded")


def test_obligations_say_who_owes_what_and_when_they_fire() -> None:
    story = given().walked("offered").passes("13m")
    owed = obligations(story.request, story.now)
    breach = next(o for o in owed if o["rule"] == "accept")
    assert breach["owed_by"] == {"role": "engineer", "id": "E1"}
    assert breach["fires_at"] == "2024-05-20T01:15:00Z"
    moments = [o["fires_at"] for o in owed if o["fires_at"]]
    assert moments == sorted(moments)


def test_a_broken_promise_stays_an_obligation_until_it_is_met() -> None:
    story = given().passes("3h")
    overdue = [o for o in obligations(story.request, story.now) if o["what"] == "overdue"]
    assert {o["rule"] for o in overdue} == {"first_response", "solution_feedback"}


def _with_dear_parts() -> Story:
    lines = [{"item": "gold", "quantity": 9999, "unit_price": "10000000"}] * 50
    return given(**OUT_OF_WARRANTY).walked("diagnosed").did("quoted", lines=lines)


def test_no_quote_is_too_large_to_be_told() -> None:
    story = _with_dear_parts().reloaded()
    assert story.request.quote is not None
    assert story.request.quote.total == Decimal("4999500000000.00")


# --- money, parts and places ----------------------------------------------------------------------


def quoted(story: Story, price: int, answer: str) -> Story:
    lines = [{"item": "零件", "unit_price": price}]
    return story.did("quoted", lines=lines).did(f"quote_{answer}")


def test_what_was_approved_on_an_earlier_visit_stays_owed() -> None:
    story = quoted(given().walked("diagnosed"), 100, "approved")
    story.did("visit_needed").did("appointed").did("arrived").did("diagnosed")
    quoted(story, 30, "declined").did("completed")
    assert story.request.bill.owed == 100


def test_a_second_quote_of_the_same_visit_replaces_the_first_once_approved() -> None:
    story = quoted(quoted(given().walked("diagnosed"), 100, "approved"), 130, "approved")
    assert story.did("completed").request.bill.owed == 130
    story = quoted(quoted(given().walked("diagnosed"), 100, "approved"), 130, "declined")
    assert story.did("completed").request.bill.owed == 100


def test_nobody_is_expected_at_home_while_the_product_is_at_the_depot() -> None:
    story = given().walked("appointed").did("depot_received").passes("26h")
    assert not story.happened("arrival.breached")
    assert "arrived" not in story.request.allowed_events
    story.did("shipped_back").did("diagnosed").did("completed")
    assert story.request.stage == "sign_off"


def test_parts_on_order_outlive_the_hold() -> None:
    story = given().walked("diagnosed").did("parts_awaited").did("resumed")
    assert len(story.request.awaited) == 1
    assert len(story.did("parts_arrived").request.awaited) == 0


def test_a_cancellation_leaves_nothing_open() -> None:
    story = given().walked("diagnosed").did("quoted").did("cancelled")
    assert story.request.visits[-1].result == "cancelled"
    assert story.request.quote is not None
    assert story.request.quote.state == "declined"
