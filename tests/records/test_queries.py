"""Lists by next due, whole and in pages; timeline and forms."""

import random
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import update

from domain.tasks import WriteDown
from domain.view import view
from records.cursors import BadCursor
from records.engine import writing
from records.projection import write_down
from records.queries import form, forms, list_requests, stored, timeline
from records.shown import make
from records.tables import Shown
from tests.databases import written
from tests.pure.builders import START, brief, given
from tests.pure.journeys import CALENDAR, JUMPS, WHATS, Step, arrived

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
    items = list_requests(engine, START, **conditions).items
    return "".join(item["number"][-1] for item in items)


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
        page = list_requests(some, START, cursor=cursor, limit=limit)
        assert len(page.items) <= limit
        shown += "".join(item["number"][-1] for item in page.items)
        cursor, pages = page.next, pages + 1
    assert shown == "412356"
    assert pages == -(-6 // limit)


def test_a_page_goes_on_where_the_last_one_ended_whatever_came_in(some: Engine) -> None:
    first = list_requests(some, START, limit=3)
    write_down(some, written(given(number="CR20240520-000")))
    assert [i["number"][-1] for i in list_requests(some, START, cursor=first.next).items] == list(
        "356"
    )


@pytest.mark.parametrize(
    "cursor",
    ["nonsense", "W10", "eyJhIjoxfQ", "é", "WzEsMiwzXQ", "WzEsICJ0b2RheSIsICIwMDEiXQ"],
)
def test_a_cursor_that_is_not_ours_is_refused(some: Engine, cursor: str) -> None:
    with pytest.raises(BadCursor):
        list_requests(some, START, cursor=cursor)


def test_what_is_not_there_is_not_found(engine: Engine) -> None:
    assert stored(engine, FIRST) is None
    assert timeline(engine, FIRST) == []
    assert forms(engine, FIRST) == []
    assert form(engine, FIRST, "SA-WO-002") is None
    assert list_requests(engine, START).items == []


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


# --- as shown -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_the_list_shows_what_the_state_says_at_that_moment(engine: Engine, seed: int) -> None:
    chance = random.Random(seed)
    requests = {}
    for place in range(6):
        start = brief(number=f"CR20240520-{place + 1:03d}", calendar=CALENDAR)
        path = [
            Step(chance.choice(JUMPS), chance.choice(WHATS), chance.randrange(10_000), None)
            for _ in range(chance.randrange(5, 25))
        ]
        journey = arrived(start, path)
        task = WriteDown.of(journey.request, journey.effects, journey.now)
        journey.request.name_forms(write_down(engine, task).numbers)
        requests[journey.request.number] = journey.request
    for later in (timedelta(0), timedelta(minutes=7), timedelta(days=9)):
        moment = START + timedelta(days=30) + later
        page = list_requests(engine, moment)
        assert page.total == len(page.items) == len(requests)
        assert page.missing == []
        for item in page.items:
            assert item == view(requests[item["number"]], moment)


def test_what_another_version_kept_is_made_anew(some: Engine) -> None:
    as_it_is = list_requests(some, START).items
    with writing(some) as session:
        session.exec(update(Shown).values(made_by="another", document="{}", row="{}"))
    page = list_requests(some, START, limit=4)
    assert page.items == as_it_is[:4]
    assert sorted(page.missing) == sorted(item["number"] for item in page.items)
    make(some, page.missing)
    assert list_requests(some, START, limit=4).missing == []
    assert list_requests(some, START).items == as_it_is


def test_pages_neither_repeat_nor_skip_what_does_not_move(engine: Engine) -> None:
    """Between the pages others come in, jump the queue, are finished."""
    chance = random.Random(7)
    stories = {n: given(number=f"CR20240520-{n:03d}", received_at=START) for n in range(1, 41)}
    for story in stories.values():
        write_down(engine, written(story))
    moved: set[str] = set()
    shown: list[str] = []
    cursor = None
    while True:
        page = list_requests(engine, START, cursor=cursor, limit=7)
        shown += [item["number"] for item in page.items]
        if page.next is None:
            break
        cursor = page.next
        for story in chance.sample(list(stories.values()), 3):
            if story.request.is_closed:
                continue
            step = chance.choice(["cancelled", "passes", "responded"])
            if step == "passes":
                story.passes("11m")
            elif step in story.request.allowed_events:
                story.did(step)
            write_down(engine, written(story))
            moved.add(story.request.number)
        late = given(number=f"CR20240521-{len(shown):03d}")
        write_down(engine, written(late))
        moved.add(late.request.number)
    still = [number for number in shown if number not in moved]
    assert len(still) == len(set(still))
    assert {s.request.number for s in stories.values()} - moved <= set(still)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"number": "CR20240520-005"}, "5"),
        ({"number": "CR20240520-00"}, "412356"),
        ({"number": "CR2024"}, "412356"),
        ({"number": "CR20240521"}, ""),
        ({"external_id": "ERP/7"}, ""),
        ({"held_by": "E1"}, "5"),
        ({"held_by": "E2"}, ""),
        ({"breached": "first_response", "stage": "closed"}, ""),
    ],
)
def test_further_conditions(some: Engine, conditions: dict[str, Any], expected: str) -> None:
    assert found(some, **conditions) == expected
    assert list_requests(some, START, limit=2, **conditions).total == len(expected)


def test_an_engineer_holds_what_was_offered_and_what_was_done(engine: Engine) -> None:
    write_down(engine, written(given(number="CR20240520-001").walked("offered")))
    write_down(engine, written(given(number="CR20240520-002").walked("surveyed")))
    write_down(engine, written(given(number="CR20240520-003", external_id="ERP/7")))
    assert found(engine, held_by="E1") == "12"
    assert found(engine, engineer="E1") == "2"
    assert found(engine, external_id="ERP/7") == "3"
