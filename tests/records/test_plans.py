"""With realistic requests: every list is exact, and no question reads a whole table."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlmodel import select

from bench.requests import ENGINEERS, STATIONS
from bench.seeding import Rows, fill, requests
from domain.clocks import Ticking
from domain.request import ServiceRequest
from domain.view import view
from records import board, changes
from records.engine import reading
from records.queries import MOST_COUNTED, Conditions, list_requests, open_numbers
from records.tables import Request
from tests.pure.builders import STANDARD

NOW = datetime(2026, 5, 20, 3, 0, tzinfo=UTC)
LISTS: list[Conditions] = [
    {},
    {"stage": "service"},
    {"urgency": "critical"},
    {"request_type": "consultation"},
    {"station": STATIONS[3]},
    {"engineer": ENGINEERS[7]},
    {"held_by": ENGINEERS[7]},
    {"clock_state": "breached"},
    {"breached": "first_response"},
    {"breached": "arrival", "stage": "closed", "request_type": "repair"},
    {"due_before": NOW + timedelta(hours=2)},
    {"number": "CR2026"},
    {"number": "CR20260519"},
    {"external_id": "ERP-77"},
    {"station": STATIONS[3], "stage": "closed", "urgency": "normal"},
]


@pytest.fixture
def many(engine: Engine) -> Engine:
    fill(engine, rows())
    return engine


@cache
def rows() -> list[Rows]:
    return list(requests(STANDARD, 300, NOW, variations=2))


def meets(shown: dict[str, Any], name: str, value: Any) -> bool:
    match name:
        case "number":
            return bool(shown["number"].startswith(value))
        case "breached":
            return any(c["rule"] == value and c["breached_at"] for c in shown["clocks"])
        case "held_by":
            unfinished = shown["completed_at"] is None and shown["stage"] != "closed"
            offered = any(o["engineer"] == value and o["state"] == "open" for o in shown["offers"])
            return shown["engineer"] == value or (unfinished and offered)
        case "due_before":
            live = [c for c in shown["clocks"] if c["state"] in ("running", "breached")]
            dues = [c["due_at"] for c in live if c["due_at"] and not c["stopped_at"]]
            return any(datetime.fromisoformat(due) < value for due in dues)
        case _:
            return bool(shown[{"request_type": "type"}.get(name, name)] == value)


def test_every_list_is_exact(many: Engine) -> None:
    with reading(many) as session:
        states = session.exec(select(Request.state)).all()
    everything = [view(ServiceRequest.model_validate_json(state), NOW) for state in states]
    by_number = {shown["number"]: shown for shown in everything}
    assert len(by_number) == 300
    for conditions in LISTS:
        found = list_requests(many, NOW, **conditions, limit=300)
        numbers = [item["number"] for item in found.items]
        if "due_before" not in conditions:  # An offer nobody answered stands as breached, too.
            expected = {
                shown["number"]
                for shown in everything
                if all(meets(shown, *condition) for condition in conditions.items())
            }
            assert set(numbers) == expected, conditions
        assert found.total == len(numbers) == len(set(numbers)) <= MOST_COUNTED
        for item in found.items:
            assert item == by_number[item["number"]]


def test_the_board_counts_what_the_requests_say(many: Engine) -> None:
    with reading(many) as session:
        states = session.exec(select(Request.state)).all()
    everything = [ServiceRequest.model_validate_json(state) for state in states]
    is_open = [request for request in everything if not request.is_closed]
    counts = board.counts(many, NOW)
    assert counts["open"] == len(is_open) > 20
    for stage, count in counts["by_stage"].items():
        assert count == sum(request.stage == stage for request in is_open)
    owed = [clock for request in everything for clock in request.live_clocks]
    past = [
        clock
        for clock in owed
        if clock.tally.state is Ticking.breached
        or (clock.tally.state is Ticking.running and clock.due_at and clock.due_at < NOW)
    ]
    assert counts["promises_breached"] == len(past) == board.breached(many, NOW).total
    told = board.punctuality(many, NOW - timedelta(days=400), NOW + timedelta(days=1))
    kept = [
        clock
        for request in everything
        for clock in request.clocks
        if clock.tally.state is Ticking.kept
    ]
    assert sum(row["kept"] for row in told) == len(kept)


def test_no_question_reads_a_whole_table(many: Engine) -> None:
    asked: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    questions: list[Callable[[], object]] = [
        *(lambda c=c: list_requests(many, NOW, **c) for c in LISTS),
        lambda: open_numbers(many, 500, station=STATIONS[3]),
        lambda: board.board(many, NOW),
        lambda: board.board(many, NOW, station=STATIONS[3]),
        lambda: board.due(many, NOW, timedelta(hours=1)),
        lambda: board.breached(many, NOW, station=STATIONS[3]),
        lambda: board.workload(many, NOW, 3),
        lambda: board.punctuality(many, NOW - timedelta(days=1), NOW),
        lambda: changes.present(many),
    ]
    event.listen(many, "before_cursor_execute", note)
    for question in questions:
        question()
    event.remove(many, "before_cursor_execute", note)
    asked = [(statement, given) for statement, given in asked if statement.startswith("SELECT")]
    assert len(asked) > len(questions)
    whole = [
        (statement, line)
        for statement, given in asked
        for line in plan(many, statement, given)
        if reads_all(line)
    ]
    assert whole == []


def plan(engine: Engine, statement: str, given: Any) -> list[str]:
    """How the database would go about it."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            explained = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)
            return [row[3] for row in explained]
        # With few rows it would rightly read them all: could it do otherwise?
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        return [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", given)]


def reads_all(line: str) -> bool:
    for table in ("request", "clock", "shown"):
        if f"Seq Scan on {table}" in line:
            return True
        if line.startswith(f"SCAN {table}") and "COVERING INDEX" not in line:
            return True
    return False
