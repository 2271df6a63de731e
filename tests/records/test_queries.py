"""Lists by next due, whole and in pages; timeline and forms."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from records.projection import write_down
from records.queries import BadCursor, form, forms, list_requests, stored, timeline
from tests.databases import written
from tests.pure.builders import START, given

FIRST = "CR20240520-001"


@pytest.fixture
def some(engine: Engine) -> Engine:
    """Six requests, by the order of their numbers: two alike, urgent, late, offered, closed."""
    stories = [
        given(number="CR20240520-001"),
        given(number="CR20240520-002"),
        given(number="CR20240520-003", urgency="critical", station="ST-1"),
        given(number="CR20240520-004", type="consultation").passes("20m"),
        given(number="CR20240520-005").walked("accepted"),
        given(number="CR20240520-006").did("cancelled"),
    ]
    for story in stories:
        write_down(engine, written(story))
    return engine


def found(engine: Engine, **conditions: Any) -> str:
    """The last digits of the numbers found, in order."""
    items = list_requests(engine, **conditions).items
    return "".join(item.number[-1] for item in items)


def test_those_that_jumped_the_queue_come_first_then_the_next_due(some: Engine) -> None:
    assert found(some) == "412356"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"stage": "response"}, "4123"),
        ({"urgency": "critical"}, "3"),
        ({"request_type": "consultation"}, "4"),
        ({"station": "ST-1"}, "3"),
        ({"engineer": "E1"}, "5"),
        ({"clock_state": "breached"}, "4"),
        ({"breached": "first_response"}, "4"),
        ({"breached": "first"}, ""),
        ({"breached": "first%"}, ""),
        ({"stage": "response", "urgency": "normal"}, "412"),
        ({"due_before": START + timedelta(minutes=10)}, ""),
        ({"due_before": START + timedelta(minutes=10, seconds=1)}, "4123"),
        ({"stage": "closed"}, "6"),
        ({"held_by": "E1"}, "5"),
        ({"held_by": "E2"}, ""),
        ({"held_by": "E1", "stage": "closed"}, ""),
    ],
)
def test_every_condition_must_hold(some: Engine, conditions: dict[str, Any], expected: str) -> None:
    assert found(some, **conditions) == expected


@pytest.mark.parametrize("limit", [1, 2, 5, 6])
def test_pages_show_everything_once_and_in_order(some: Engine, limit: int) -> None:
    shown, cursor, pages = "", None, 0
    while pages == 0 or cursor:
        page = list_requests(some, cursor=cursor, limit=limit)
        assert len(page.items) <= limit
        shown += "".join(item.number[-1] for item in page.items)
        cursor, pages = page.next, pages + 1
    assert shown == "412356"
    assert pages == -(-6 // limit)


def test_a_page_goes_on_where_the_last_one_ended_whatever_came_in(some: Engine) -> None:
    first = list_requests(some, limit=3)
    write_down(some, written(given(number="CR20240520-000")))
    assert [i.number[-1] for i in list_requests(some, cursor=first.next).items] == list("356")


@pytest.mark.parametrize(
    "cursor",
    ["nonsense", "W10", "eyJhIjoxfQ", "é", "WzEsMiwzXQ", "WzEsICJ0b2RheSIsICIwMDEiXQ"],
)
def test_a_cursor_that_is_not_ours_is_refused(some: Engine, cursor: str) -> None:
    with pytest.raises(BadCursor):
        list_requests(some, cursor=cursor)


def test_what_is_not_there_is_not_found(engine: Engine) -> None:
    assert stored(engine, FIRST) is None
    assert timeline(engine, FIRST) == []
    assert forms(engine, FIRST) == []
    assert form(engine, FIRST, "SA-WO-002") is None
    assert list_requests(engine).items == []


def test_the_timeline_comes_back_as_it_was_written(engine: Engine) -> None:
    story = given().walked("completed")
    write_down(engine, written(story))
    assert timeline(engine, FIRST) == story.lines


def test_forms_come_in_the_order_of_their_course_and_by_number_or_code(engine: Engine) -> None:
    story = given().walked("appointed").did("rescheduled").did("arrived").did("diagnosed")
    write_down(engine, written(story.did("completed")))
    assert [f.key for f in forms(engine, FIRST)] == ["WO/1", "AP/1", "AP/2", "OS/1"]
    latest = form(engine, FIRST, "SA-AP-003")
    assert latest is not None
    assert latest.key == "AP/2"
    by_number = form(engine, FIRST, "AP20240520-001")
    assert by_number is not None
    assert by_number.key == "AP/1"
    assert form(engine, FIRST, "AP20240520-009") is None


def test_an_offer_to_answer_is_in_the_engineers_list(engine: Engine) -> None:
    write_down(engine, written(given(number=FIRST).walked("offered")))
    assert found(engine, held_by="E1") == "1"
    assert found(engine, held_by="E2") == ""
