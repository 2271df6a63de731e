"""Events that come without anyone waiting: early ones wait, impossible ones stay on the record."""

from typing import Any

import pytest

from domain.events import EVENTS
from tests.pure.builders import Story, at, event, given


def test_an_early_event_waits_for_its_turn() -> None:
    story = given().heard("plan_told", at="1m").heard("appointed", at="2m")
    assert [p.event.name for p in story.request.parked] == ["appointed"]
    assert not story.happened("appointed")
    story.did("responded", at="3m").offered(at="4m").did("accepted", at="5m")
    assert story.stage == "service"
    assert story.request.parked == []


def test_early_events_are_taken_in_the_order_they_happened() -> None:
    story = given().did("responded").offered()
    for minute, name in [(4, "diagnosed"), (3, "arrived"), (2, "appointed"), (5, "completed")]:
        story.heard(name, at="6m", occurred_at=f"{minute}m")
    assert len(story.request.parked) == 4
    story.did("accepted", at="7m", occurred_at="1m")
    assert story.stage == "sign_off"
    assert story.request.visits[0].arrived_at == at("3m")
    assert story.request.completed_at == at("5m")


def test_an_early_event_is_refused_on_the_record_after_a_quarter_of_an_hour() -> None:
    story = given().heard("signed", at="1m").passes("15m59s")
    assert story.request.parked
    story.passes("16m")
    assert story.request.parked == []
    (line,) = [line for line in story.happened("signed") if line.kind == "refused"]
    assert (line.at, line.data["code"]) == (at("16m"), "expired_early")


def test_its_turn_at_the_last_moment_is_in_time() -> None:
    story = given().heard("plan_told", at="1m").heard("accepted", at="2m", engineer="E1")
    story.did("responded", at="3m").did("assigned", at="17m", engineer="E1")
    assert story.request.engineer == "E1"


def test_what_can_never_happen_is_refused_on_the_record_at_once() -> None:
    story = given().did("responded").heard("responded", at="1m")
    (line,) = [line for line in story.lines if line.kind == "refused"]
    assert line.data["code"] == "wrong_stage"
    assert story.request.parked == []


def test_an_event_refused_on_the_record_stays_refused() -> None:
    story = given().did("responded")
    late = event("responded")
    story.request.hear(late, at("1m"))
    revision = story.request.revision
    assert story.request.hear(late, at("2m")) == []
    assert story.request.revision == revision


def test_an_event_that_waits_is_not_taken_twice() -> None:
    story = given()
    early = event("appointed")
    story.request.hear(early, at("1m"))
    assert story.request.hear(early, at("2m")) == []
    assert len(story.request.parked) == 1


def test_an_event_that_waits_can_be_submitted_in_the_meantime() -> None:
    story = given().walked("responded")
    early = event("accepted", engineer="E1")
    story.request.hear(early, at("1m"))
    story.offered(at="2m")
    assert story.request.engineer == "E1"
    assert story.request.apply(early, at("3m")) == []


def test_the_event_that_closes_the_request_is_not_refused_by_the_closing() -> None:
    story = given().walked("completed").heard("surveyed", at="1m").heard("signed", at="2m")
    assert story.stage == "closed"
    assert [line for line in story.lines if line.kind == "refused"] == []
    assert set(story.request.seen.values()) == {None}


def test_whoever_still_waits_when_the_request_closes_is_refused() -> None:
    story = given().heard("signed", at="1m").did("cancelled", at="2m")
    refused = [line for line in story.lines if line.kind == "refused"]
    assert [line.data["code"] for line in refused] == ["request_closed"]
    assert story.request.next_due() is None


def test_what_falls_due_before_an_event_that_waited_happens_before_it() -> None:
    story = given().did("held", at="1m").heard("responded", at="5m", occurred_at="5m")
    story.did("resumed", at="25m", occurred_at="4m")
    assert story.state_of("first_response") == "kept"
    story = given().did("held", at="1m").heard("responded", at="14m")
    story.did("resumed", at="26m", occurred_at="2m")
    assert story.happened("first_response.breached")[0].at == at("11m")
    assert story.state_of("first_response") == "late"


def test_what_happened_ahead_of_our_clock_waits_until_it_has_happened() -> None:
    story = given().heard("complained", at="1m", occurred_at="5m").reloaded()
    assert story.request.complaints == []
    story.passes("5m")
    assert story.request.complaints[0].opened_at == at("5m")


def test_hearing_anything_on_a_closed_request_changes_nothing_but_the_record() -> None:
    story = given().walked("surveyed")
    before = story.request.model_dump(exclude={"seen", "revision"})
    for name in EVENTS:
        story.heard(name, at="1m")
    assert story.request.model_dump(exclude={"seen", "revision"}) == before
    assert {line.data["code"] for line in story.lines if line.kind == "refused"} == {
        "request_closed"
    }


@pytest.mark.parametrize(
    ("first", "second", "payload"),
    [
        ("arrived", "departed", {}),
        ("diagnosed", "arrived", {}),
        ("completed", "diagnosed", {}),
    ],
)
def test_reports_that_overtook_each_other_on_the_way_end_well(
    first: str, second: str, payload: dict[str, Any]
) -> None:
    def told(*names: str) -> Story:
        story = given().walked("appointed")
        for name in names:
            story.heard(name, at="3h", **payload)
        return story

    assert told(second, first).stage == told(first, second).stage
