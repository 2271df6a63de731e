"""What breaks in comparable systems, one test each, numbered as in their list.

4 (state kept twice drifts), 5 (polling until the history is full) and the digest of 7 are shown
where there is a database and a workflow; here stands what the pure request contributes to them.
"""

from datetime import timedelta

from domain.calendars import Calendar
from domain.rules import Rule
from domain.view import obligations
from tests.pure.builders import START, at, given, length, standard, working_days


def test_defect_01_a_clock_paused_in_its_last_stretch_breaches_after_the_resume() -> None:
    story = given().passes("1h50m").did("held", at="1h59m").did("resumed", at="5h")
    assert story.told("due_soon", "solution_feedback"), "it was paused after the warning"
    story.passes("5h59s")
    assert not story.happened("solution_feedback.breached")
    story.passes("5h1m")
    assert story.happened("solution_feedback.breached")[0].at == at("5h1m")


def test_defect_02_a_hold_is_subtracted_to_the_microsecond() -> None:
    odd = timedelta(minutes=7, seconds=59, microseconds=999_999)
    story = given().did("held", at="10s").did("resumed", at=at("10s") + odd)
    assert story.clock("solution_feedback").due_at == at("2h") + odd
    assert story.spent_on("solution_feedback") == length("10s")


def test_defect_02_a_promise_met_while_on_hold_counts_only_the_time_it_ran() -> None:
    story = given().did("responded", at="1m").offered(None)
    story.did("held", at="3m").did("assigned", at="61m", engineer="GY2024002")
    clock = story.clock("dispatch")
    assert clock.tally.state == "kept"
    assert story.spent_on("dispatch") == length("2m")
    assert clock.due_at == at("64m")  # What was left, from when it was met.


def test_defect_02_a_hold_counts_in_the_clocks_own_calendar() -> None:
    office_hours = working_days(*range(5), hours=((9, 12), (13, 18)))
    story = given(
        calendar=office_hours,
        policy=standard(('goal = "5wd"', 'goal = "10h"')),
    ).walked("diagnosed")
    story.did("depot_received", at="2h")  # one hour before lunch
    clock = story.clock("depot_repair")
    assert clock.due_at == START + timedelta(days=1, hours=5)  # 1 h + 5 h + 4 h: Tuesday 14:00
    story.did("shipped_back", at=START + timedelta(days=1, hours=5))
    assert story.state_of("depot_repair") == "kept"
    assert story.spent_on("depot_repair") == length("10h")


def test_defect_02_an_overnight_pause_adds_no_hours_off_the_calendar() -> None:
    office_hours = working_days(*range(5), hours=((9, 18),))
    policy = standard(('goal = "5wd"', 'goal = "10h"'))
    story = given(calendar=office_hours, policy=policy).walked("diagnosed")
    story.did("depot_received", at="1h")
    clock = story.clock("depot_repair")
    before = clock.due_at
    story.did("held", at="9h")  # 18:00, when the office closes
    story.did("resumed", at=START + timedelta(days=1))  # 09:00, when it opens
    assert clock.due_at == before == START + timedelta(days=1, hours=2)


def test_defect_03_a_change_of_urgency_keeps_the_start_and_the_pauses() -> None:
    story = given().did("held", at="5m").did("resumed", at="20m")
    story.did("reclassified", at="21m", urgency="urgent")
    clock = story.clock("solution_feedback")
    assert clock.events[0].at == START
    assert clock.due_at == at("45m")  # 30 min, and the 15 of the hold


def test_defect_03_a_new_goal_that_is_already_past_breaches_once_and_says_why() -> None:
    story = given().did("reclassified", at="40m", urgency="urgent").passes("40m").passes("2h")
    (breach,) = story.happened("solution_feedback.breached")
    assert (breach.at, breach.data["cause"]) == (at("40m"), "retarget")
    assert not story.told("due_soon", "solution_feedback"), "a warning would come too late"
    assert [t.to for t in story.told("breached", "solution_feedback")] == ["supervisor"]


def test_defect_03_a_goal_that_went_by_during_a_hold_breaches_at_the_resume() -> None:
    story = given().did("held", at="1h").did("reclassified", at="90m", urgency="urgent")
    assert not story.passes("3h").happened("solution_feedback.breached"), "it rests"
    story.did("resumed", at="4h").passes("4h1m")
    (breach,) = story.happened("solution_feedback.breached")
    assert (breach.at, breach.data["cause"]) == (at("4h"), "retarget")


def test_defect_03_a_relaxed_goal_gives_the_time_back() -> None:
    story = given(urgency="urgent").did("reclassified", at="29m", urgency="normal").passes("119m")
    assert not story.happened("solution_feedback.breached")
    assert story.clock("solution_feedback").due_at == at("2h")


def test_defect_03_a_promise_that_comes_with_the_new_type_counts_from_the_receipt() -> None:
    story = given(type="consultation").did("reclassified", at="1m", request_type="repair")
    assert story.state_of("consultation") == "cancelled"
    assert story.clock("solution_feedback").due_at == at("2h")
    assert story.clock("resolution").due_at == at("48h")


def test_defect_03_a_promise_that_comes_with_the_new_type_knows_the_earlier_holds() -> None:
    story = given(type="consultation").did("held", at="1m").did("resumed", at="31m")
    story.did("held", at="35m").did("reclassified", at="40m", request_type="repair")
    assert story.clock("solution_feedback").is_paused
    story.did("resumed", at="45m")
    assert story.clock("solution_feedback").due_at == at("2h40m")


def test_defect_03_a_promise_dropped_by_mistake_comes_back_as_it_was() -> None:
    story = given().did("reclassified", at="1m", request_type="consultation")
    assert story.state_of("solution_feedback") == "cancelled"
    story.did("reclassified", at="5m", request_type="repair")
    assert story.state_of("solution_feedback") == "running"
    assert story.clock("solution_feedback").due_at == at("2h")
    story.passes("2h")
    assert len(story.happened("solution_feedback.breached")) == 1


def test_defect_03_what_was_already_told_is_not_promised_again() -> None:
    story = given(type="consultation").did("plan_told", at="1m")
    story.did("reclassified", at="2m", request_type="repair")
    assert story.request.clock(Rule.solution_feedback) is None


def test_defect_03_only_the_ladder_may_change() -> None:
    policy = standard(('goal = "10m"\nladder = [{ tell = "manager" }]', 'goal = "2h"\nladder = []'))
    story = given(policy=policy).did("reclassified", at="1m", urgency="critical")
    assert story.request.agenda()
    assert not story.passes("5h").told("breached", "solution_feedback")


def test_defect_04_the_request_alone_knows_its_clocks_after_every_round_trip() -> None:
    story = given(calendar=working_days(*range(30), hours=((9, 12), (13, 18))))
    story.walked("diagnosed").did("depot_received").did("held", at="1h")
    before = [clock.reading(story.now) for clock in story.request.clocks]
    story.reloaded()
    assert [clock.reading(story.now) for clock in story.request.clocks] == before


def test_defect_05_nothing_is_due_while_nothing_is_due() -> None:
    story = given().did("responded")
    due = story.request.next_due()
    assert due is not None
    assert story.request.tick(due.at - timedelta(microseconds=1)) == []
    assert story.request.tick(due.at)


def test_defect_06_a_breach_carries_its_own_time_however_late_it_is_noticed() -> None:
    story = given().passes("3h25m")
    for rule, due in [("first_response", "10m"), ("solution_feedback", "2h")]:
        (breach,) = story.happened(f"{rule}.breached")
        assert (breach.at, breach.recorded_at) == (at(due), at("3h25m"))
        reading = story.clock(rule).reading(story.now)
        assert (reading.breached_at, reading.fired_at) == (at(due), at("3h25m"))


def test_defect_06_what_fell_due_in_one_go_is_noted_in_the_order_it_fell_due() -> None:
    story = given().passes("10d")
    moments = [line.at for line in story.lines]
    assert moments == sorted(moments)


def test_defect_07_every_breach_is_told_to_someone() -> None:
    story = given().walked("offered").passes("10d")
    breached = {line.name.split(".")[0] for line in story.lines if line.name.endswith(".breached")}
    assert "accept" in breached
    assert breached <= {tell.rule for tell in story.tells}


def test_defect_07_nobody_is_told_the_same_level_twice() -> None:
    story = given()
    for hour in range(1, 100, 3):
        story.passes(f"{hour}h").reloaded()
    told = [(t.rule, t.level) for t in story.tells if t.level]
    assert len(told) == len(set(told))
    assert ("first_response", 2) in told


def test_defect_08_reopening_a_complaint_keeps_the_time_it_had_used() -> None:
    story = given().did("complained").did("complaint_settled", at="40m")
    story.did("complaint_reopened", at="3h")
    assert story.spent_on("complaint_escalation", "1") == length("40m")
    assert story.clock("complaint_escalation", "1").due_at == at("3h20m")
    story.passes("3h20m")
    assert story.happened("complaint_escalation.breached")[0].at == at("3h20m")


def test_defect_08_no_clock_runs_on_after_the_end() -> None:
    story = given().walked("surveyed")
    assert story.stage == "closed"
    assert story.request.live_clocks == []
    assert story.request.next_due() is None
    assert story.request.tick(at("1000d")) == []


def test_defect_09_a_lunch_break_and_a_split_shift_do_not_count() -> None:
    split = working_days(0, hours=((9, 12), (13, 15), (19, 21)))
    assert split.add(START, length("4h")) == at("5h")  # 14:00
    assert split.add(START, length("6h")) == at("11h")  # 20:00
    assert split.between(at("2h30m"), at("11h")) == length("3h30m")


def test_defect_09_no_deadline_falls_outside_the_working_hours() -> None:
    shifts = working_days(0, 1, 4, hours=((9, 12), (13, 15)))
    for minutes in range(0, 15 * 60, 7):
        due = shifts.add(START, timedelta(minutes=minutes))
        assert any(opens <= due.timestamp() <= closes for opens, closes in shifts.windows)


def test_defect_09_holidays_and_make_up_days_are_the_calendars() -> None:
    # Wednesday and Thursday are holidays, Saturday is worked instead.
    story = given(calendar=working_days(0, 1, 4, 5, 7, 8)).walked("diagnosed")
    story.did("depot_received")
    assert story.clock("depot_repair").due_at == START + timedelta(days=8)
    assert story.passes(START + timedelta(days=5)).told("due_soon", "depot_repair") == []


def test_defect_10_clocks_of_the_same_rule_are_told_apart_by_their_subject() -> None:
    story = given().did("complained").did("complained", at="30m")
    story.did("complaint_taken_over", at="59m", complaint=2)
    assert story.state_of("complaint_escalation", "1") == "running"
    assert story.state_of("complaint_escalation", "2") == "kept"
    story.passes("2h")
    (breach,) = story.happened("complaint_escalation.breached")
    assert breach.data["subject"] == "1"


def test_defect_11_a_request_keeps_the_policy_it_started_under() -> None:
    story = given()
    version = story.request.policy.version
    strict = given(policy=standard(('goal = "10m"', 'goal = "1m"')))
    story.reloaded().passes("9m")
    assert story.request.policy.version == version != strict.request.policy.version
    assert not story.happened("first_response.breached")


def test_defect_12_a_due_date_moves_with_its_goal() -> None:
    story = given().did("held", at="1m").did("resumed", at="31m").reloaded()
    assert story.clock("first_response").due_at == at("40m")


def test_defect_12_everything_overdue_after_a_restore_happens_at_once_and_no_more_often() -> None:
    story = given().walked("accepted").reloaded().passes("60h")
    overdue = ["first_response", "solution_feedback", "appointment_call", "appointment"]
    for rule in overdue[1:]:
        assert len(story.happened(f"{rule}.breached")) == 1
    assert not story.happened("first_response.breached"), "it had been kept"
    assert story.reloaded().request.tick(story.now) == []


def test_defect_13_an_engineer_who_declined_is_not_asked_again() -> None:
    story = given().walked("offered").did("declined", at="1m")
    assert story.request.offers[0].reason == "too far"
    assert story.request.seeks_engineer
    assert story.request.asked_before == ["E1"]
    story.offered("E2").did("declined", at="2m").offered(None)
    assert story.request.asked_before == ["E1", "E2"]
    assert story.request.by_hand


def test_a_promise_pushed_past_the_known_days_stays_an_obligation() -> None:
    story = given(calendar=working_days(*range(10))).walked("diagnosed").did("depot_received")
    story.did("held", at="1d").did("resumed", at="20d")
    owed = [o for o in obligations(story.request, story.now) if o["rule"] == "depot_repair"]
    assert [o["what"] for o in owed] == ["due after the last known working day"]


def test_an_exhausted_calendar_is_refused_at_the_door() -> None:
    story = given(calendar=working_days(0, 1)).walked("diagnosed")
    assert story.refused("depot_received") == "calendar_exhausted"
    assert Calendar().until is None
