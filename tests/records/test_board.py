"""The supervisor's questions, on both databases: each checked against the requests themselves."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from domain.vocabulary import Stage
from records.board import board, breached, due, punctuality, workload
from records.projection import write_down
from records.queries import list_requests
from records.seed import seed
from tests.databases import written
from tests.pure.builders import START, Story, at, given

DAY = timedelta(days=1)


def kept(engine: Engine, *stories: Story) -> list[Story]:
    for story in stories:
        write_down(engine, written(story))
    return list(stories)


@pytest.fixture
def some(engine: Engine) -> Engine:
    """Offered, late for the first response, urgent at a station, on hold, closed."""
    kept(
        engine,
        given(number="CR20240520-001").walked("offered"),
        given(number="CR20240520-002").passes("20m"),
        given(number="CR20240520-003", urgency="urgent", station="ST-1"),
        given(number="CR20240520-004").did("held"),
        given(number="CR20240520-005").did("cancelled"),
    )
    return engine


def test_the_board_counts_what_is_open_and_shows_what_is_due_next(some: Engine) -> None:
    told = board(some, at("20m"))
    counts = told.counts
    assert counts["open"] == 4
    assert counts["by_stage"]["response"] == 3
    assert counts["by_stage"]["dispatch"] == 1
    assert "closed" not in counts["by_stage"]
    assert counts["by_clock_state"] == {"on_track": 2, "at_risk": 0, "breached": 1, "paused": 1}
    assert counts["by_urgency"] == {"normal": 3, "urgent": 1, "critical": 0}
    everything = list_requests(some, at("20m")).items
    queue = [row["number"] for row in told.queue]
    assert queue == [item["number"] for item in everything if item["stage"] != "closed"]
    first = told.queue[0]
    assert first["number"] == "CR20240520-002"
    assert (first["rule"], first["owed_by"]) == ("first_response", {"role": "agent", "id": None})
    assert first["jumped_queue"] is True
    assert [row["on_hold"] for row in told.queue].count(True) == 1


def test_the_board_of_a_station_is_its_own(some: Engine) -> None:
    told = board(some, START, station="ST-1")
    assert told.counts["open"] == 1
    assert [row["number"] for row in told.queue] == ["CR20240520-003"]
    assert board(some, START, station="nowhere").counts["open"] == 0
    assert len(board(some, START, limit=2).queue) == 2


def test_an_empty_board_says_so(engine: Engine) -> None:
    told = board(engine, START)
    assert (told.counts["open"], told.queue, told.written_at) == (0, [], None)
    assert set(told.counts["by_stage"]) == set(Stage) - {Stage.closed}


def test_what_breaks_in_the_next_hour_is_told_with_who_owes_it_and_what_then(some: Engine) -> None:
    told = due(some, at("9m"), timedelta(minutes=10))
    assert [(each["number"][-1], each["rule"]) for each in told.items] == [
        ("3", "first_response"),
        ("1", "accept"),
    ]
    response, offer = told.items
    assert response["on_breach"] == {"tells": "supervisor", "does": "jumps_queue"}
    assert offer["owed_by"] == {"role": "engineer", "id": "E1"}
    assert offer["on_breach"] == {"tells": None, "does": "next_engineer"}
    assert offer["request"]["stage"] == "dispatch"
    assert told.total == 2
    assert due(some, at("9m"), timedelta(minutes=10), station="ST-1").total == 1
    assert len(due(some, at("9m"), timedelta(minutes=10), limit=1).items) == 1
    assert due(some, at("9m"), timedelta(minutes=1)).total == 0


def test_what_is_broken_is_told_until_it_is_met(engine: Engine) -> None:
    story, *_ = kept(engine, given().passes("20m"))
    told = breached(engine, story.now)
    assert [each["rule"] for each in told.items] == ["first_response"]
    assert told.items[0]["breached_at"] == "2024-05-20T01:10:00Z"
    assert told.by_rule == [{"rule": "first_response", "zh": "响应需求", "count": 1}]
    assert told.by_owner == [{"role": "agent", "id": None, "count": 1}]
    kept(engine, story.did("responded"))
    assert breached(engine, story.now).total == 0


def test_an_offer_that_nobody_answered_is_over_and_no_longer_owed(engine: Engine) -> None:
    story, *_ = kept(engine, given().walked("offered").passes("16m"))
    assert story.state_of("accept", "1") == "breached"
    assert "accept" not in [each["rule"] for each in breached(engine, story.now).items]


def test_what_no_worker_noticed_is_broken_all_the_same(engine: Engine) -> None:
    kept(engine, given())
    assert breached(engine, at("9m")).total == 0
    told = breached(engine, at("11m"))
    assert [(each["rule"], each["breached_at"]) for each in told.items] == [
        ("first_response", None)
    ]
    assert board(engine, at("11m")).counts["promises_breached"] == 1


def test_engineers_are_told_with_what_they_hold_the_overloaded_first(engine: Engine) -> None:
    seed(engine)
    busy, idle = "GY2024001", "GY2024002"
    stories = [given(number=f"CR20240520-{n:03d}").did("responded") for n in range(1, 6)]
    for story in stories[:4]:
        story.offered(busy).did("accepted")
    stories[4].offered(busy)
    kept(engine, *stories)
    told = {row["engineer"]: row for row in workload(engine, at("1m"), 3)}
    assert next(iter(told)) == busy
    assert told[busy] == {
        "engineer": busy,
        "station": told[busy]["station"],
        "active": True,
        "open_work": 5,
        "offers_open": 1,
        "due_within_hour": 5,
        "breached": 0,
        "capacity": 3,
        "overloaded": True,
    }
    assert (told[idle]["open_work"], told[idle]["overloaded"]) == (0, False)
    after = {row["engineer"]: row for row in workload(engine, at("40m"), 3)}
    assert (after[busy]["breached"], after[busy]["offers_open"]) == (5, 0)
    station = told[busy]["station"]
    theirs = workload(engine, at("1m"), 3, station=station)
    assert {row["station"] for row in theirs} == {station}


def test_an_outside_provider_is_told_too(engine: Engine) -> None:
    kept(engine, given().walked("accepted"))
    assert [row["engineer"] for row in workload(engine, START, 3)] == ["E1"]
    assert workload(engine, START, 3, station="ST-1") == []


def of(told: list[dict[str, Any]], rule: str) -> dict[str, Any]:
    (row,) = (row for row in told if row["rule"] == rule)
    return row


def test_a_promise_counts_on_the_day_it_was_kept_or_broken(engine: Engine) -> None:
    kept(
        engine,
        given(number="CR20240520-001").did("responded", at="5m"),
        given(number="CR20240520-002").did("responded", at="12m"),
        given(number="CR20240520-003").did("responded", at="16m"),
        given(number="CR20240520-004").passes("1h"),
        given(number="CR20240520-005").passes("11m").did("responded", at="30h"),
    )
    begins = START - timedelta(hours=9)  # Midnight in Shanghai.
    today = of(punctuality(engine, begins, begins + DAY), "first_response")
    assert (today["kept"], today["late"], today["breached"]) == (1, 3, 1)
    assert today["percentage"] == 20.0
    assert today["median_late_seconds"] == 360
    assert today["p90_late_seconds"] == timedelta(hours=30, minutes=-10).total_seconds()
    tomorrow = of(punctuality(engine, begins + DAY, begins + 2 * DAY), "first_response")
    assert (tomorrow["kept"], tomorrow["late"], tomorrow["percentage"]) == (0, 0, None)


def test_the_targets_are_those_of_the_standard(engine: Engine) -> None:
    for n, late in enumerate([False] * 9 + [True], 1):
        story = given(number=f"CR20240520-{n:03d}").walked("appointed")
        kept(engine, story.did("arrived", at="5h30m" if late else "4h"))
    told = punctuality(engine, START - DAY, START + DAY)
    arrival = of(told, "arrival")
    assert (arrival["percentage"], arrival["target_percentage"]) == (90.0, 95.0)
    assert arrival["on_target"] is False
    assert arrival["median_late_seconds"] == 1800
    assert of(told, "revisit")["target_percentage"] == 90.0
    assert of(told, "revisit")["on_target"] is None
    assert of(told, "sign_off")["target_percentage"] is None
    assert of(punctuality(engine, START - DAY, START + DAY, station="X"), "arrival")["kept"] == 0
