"""Events that overtook each other on the way end as if they had come in order."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given as any_
from hypothesis import settings
from hypothesis import strategies as st

from domain.events import BaseEvent
from domain.refusals import Refused
from domain.view import view
from tests.pure.builders import Story, at, event, given, scores

VISIT = {"window_start": at("3h"), "window_end": at("5h")}
AGAIN = {"window_start": at("26h"), "window_end": at("28h")}
UNSOLD = {"warranty": {"in_force": False}}

Course = list[tuple[str, dict[str, Any]]]

COURSES: dict[str, Course] = {
    "ordinary": [
        ("responded", {}),
        ("plan_told", {}),
        ("assigned", {"engineer": "E1"}),
        ("accepted", {"engineer": "E1"}),
        ("appointed", VISIT),
        ("departed", {}),
        ("arrived", {}),
        ("diagnosed", {}),
        ("quoted", {"lines": [{"item": "compressor"}]}),
        ("quote_approved", {}),
        ("noted", {"text": "bring a ladder"}),
        ("completed", {}),
        ("paid", {"amount": "480"}),
        ("signed", {}),
        ("surveyed", {}),
    ],
    "nobody at home, then twice to another engineer": [
        ("responded", {}),
        ("assigned", {"engineer": "E1"}),
        ("accepted", {"engineer": "E1"}),
        ("appointed", VISIT),
        ("departed", {}),
        ("no_show", {}),
        ("appointed", AGAIN),
        ("assigned", {"engineer": "E2"}),
        ("declined", {"engineer": "E2"}),
        ("assigned", {"engineer": "E3"}),
        ("accepted", {"engineer": "E3"}),
        ("departed", {}),
        ("arrived", {}),
        ("diagnosed", {}),
        ("completed", {}),
        ("signed", {}),
        ("surveyed", {}),
    ],
    "held, waiting for parts, complained": [
        ("held", {}),
        ("resumed", {}),
        ("responded", {}),
        ("reclassified", {"urgency": "urgent"}),
        ("assigned", {"engineer": "E1"}),
        ("accepted", {"engineer": "E1"}),
        ("appointed", VISIT),
        ("arrived", {}),
        ("diagnosed", {}),
        ("parts_awaited", {}),
        ("parts_arrived", {}),
        ("visit_needed", {}),
        ("appointed", AGAIN),
        ("arrived", {}),
        ("completed", {}),
        ("signed", {}),
        ("surveyed", {"scores": scores(2)}),
        ("complaint_taken_over", {}),
        ("remedy_offered", {}),
        ("complaint_settled", {}),
    ],
}


def told(course: Course) -> list[BaseEvent]:
    """The events of a course, a minute apart."""
    return [
        event(name, occurred_at=at(f"{minute}m"), **payload)
        for minute, (name, payload) in enumerate(course, start=1)
    ]


def ends(events: list[BaseEvent], **changes: Any) -> tuple[Any, Any]:
    """The request and its event lines after these were heard in this order."""
    story = given(edition=2, **changes)
    for place, each in enumerate(events):
        moment = at("2h") + timedelta(seconds=place / 10)
        story._keep(story.request.hear(each, moment))
        if place % 7 == 3:
            story.reloaded()
    story.passes(at("2h") + timedelta(minutes=1))
    lines = [(line.name, line.at, line.data) for line in story.lines if line.kind == "event"]
    assert [line for line in story.lines if line.kind == "refused"] == []
    return view(story.request, at("3h")), lines


@pytest.mark.parametrize("name", COURSES)
@settings(max_examples=30)
@any_(data=st.data())
def test_any_order_ends_as_the_true_one(name: str, data: st.DataObject) -> None:
    events = told(COURSES[name])
    twice = data.draw(st.permutations(events + events))
    changes = UNSOLD if name == "ordinary" else {}
    assert ends(twice, **changes) == ends(events, **changes)


@pytest.mark.parametrize("name", COURSES)
def test_each_course_reaches_its_end(name: str) -> None:
    shown, lines = ends(told(COURSES[name]), **(UNSOLD if name == "ordinary" else {}))
    assert shown["stage"] == "closed"
    assert [line[0] for line in lines] == [each for each, _ in COURSES[name]]


def test_what_was_left_waits_five_seconds_for_what_it_overtook() -> None:
    story = given(edition=2).heard("assigned", at="2m", occurred_at="1m30s", engineer="E1")
    story.passes("2m4s")
    due = story.request.next_due()
    assert due is not None
    assert (due.at, due.what) == (at("2m5s"), "events left: taken in order")
    story.heard("responded", at="2m4s", occurred_at="1m")
    story.passes("2m18s")
    assert story.stage == "response"
    story.passes("2m19s")
    assert story.request.open_offer is not None
    assert story.request.responded_at == at("1m")


def test_what_comes_in_order_waits_no_longer_than_five_seconds() -> None:
    story = given(edition=2).heard("responded", at="2m", occurred_at="1m")
    story.heard("assigned", at="2m3s", occurred_at="1m30s", engineer="E1").passes("2m8s")
    assert story.request.open_offer is not None


def test_an_event_that_does_not_say_when_it_happened_is_taken_at_once() -> None:
    story = given(edition=2).heard("responded", at="2m")
    assert story.stage == "dispatch"


def test_whoever_waits_for_an_answer_finds_what_was_left_before() -> None:
    story = given(edition=2).heard("responded", at="2m", occurred_at="1m").reloaded()
    story.request.check(event("assigned", engineer="E1"), at("2m1s"))
    assert story.stage == "response"
    story.did("assigned", at="2m1s", engineer="E1")
    assert story.request.open_offer is not None
    again = event("responded")
    with pytest.raises(Refused):
        story.request.check(again, at("2m1s"))


def test_a_promise_kept_at_the_last_second_is_kept() -> None:
    story = given(edition=2).heard("responded", at="9m59s", occurred_at="9m58s").passes("10m")
    assert story.state_of("first_response") == "kept"


def test_waiting_has_an_end_however_much_is_left() -> None:
    story = given(edition=2)
    for second in range(51):
        story.heard("noted", at=f"{60 + second}s", occurred_at=f"{second}s")
    assert len(story.happened("noted")) == 51
    assert story.request.parked == []


def test_an_event_that_only_a_step_back_allows_waits_for_it() -> None:
    story = _at_work().heard("appointed", at="3h", occurred_at="2h30m", **AGAIN).passes("3h1m")
    assert not story.happened("appointed")[1:]
    story.heard("no_show", at="3h2m", occurred_at="2h20m").passes("3h3m")
    assert story.stage == "service"
    assert story.request.appointments[-1].window_start == at("26h")


def test_an_agreement_from_before_the_step_back_is_no_new_one() -> None:
    story = _at_work().heard("appointed", at="3h", occurred_at="2h30m").passes("3h1m")
    story.heard("no_show", at="3h2m", occurred_at="3h").passes("3h3m")
    assert story.stage == "appointment"
    (line,) = [line for line in story.lines if line.kind == "refused"]
    assert line.data["code"] == "overtaken"


def test_a_request_of_the_first_edition_goes_on_as_before() -> None:
    story = given(edition=1).heard("responded", at="2m", occurred_at="1m")
    assert story.stage == "dispatch"
    story = _at_work(edition=1).heard("appointed", at="3h", occurred_at="2h30m", **AGAIN)
    (line,) = [line for line in story.lines if line.kind == "refused"]
    assert line.data["code"] == "wrong_stage"
    assert story.request.parked == []


def _at_work(edition: int = 2) -> Story:
    return given(edition=edition).walked("accepted").did("appointed", **VISIT)
