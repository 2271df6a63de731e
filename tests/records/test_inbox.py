"""The task inbox: opened, claimed, closed, listed; the same whatever is written twice or late."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from domain.todo import StoredTask
from domain.vocabulary import Role, TaskKind
from records.cursors import BadCursor
from records.inbox import list_tasks, task
from records.projection import write_down
from tests.databases import written
from tests.pure.builders import START, Story, at, given

NUMBER = "CR20240520-001"
MANAGER = {"role": "manager", "id": "M1"}


def kept(engine: Engine, kind: str, serial: str = "1") -> StoredTask:
    found = task(engine, f"{NUMBER}.{kind}.{serial}")
    assert found is not None, kind
    return found


def step(engine: Engine, story: Story, since: int = 0) -> int:
    """Write down what happened since so many effects, as the workflow does."""
    new = written(story)
    known = story.effects[:since]
    new.entries = [entry for entry in new.entries if entry not in known]
    write_down(engine, new)
    return len(story.effects)


def ids(engine: Engine, **wanted: Any) -> list[str]:
    return [found.id.removeprefix("CR20240520-") for found in list_tasks(engine, **wanted).items]


def test_a_task_keeps_its_row_and_says_which_event_closed_it(engine: Engine) -> None:
    story = given()
    known = step(engine, story)
    opened = kept(engine, "respond")
    assert (opened.role, opened.due_at, opened.closed_at) == ("agent", at("10m"), None)
    story.did("noted", at="1m").did("responded", at="2m").did("noted", at="3m")
    known = step(engine, story, known)
    closed = kept(engine, "respond")
    (line,) = story.happened("responded")
    assert (closed.closed_at, closed.closed_by, closed.closed_with) == (
        at("2m"),
        line.event_id,
        "responded",
    )
    step(engine, story.did("cancelled", at="4m"), known)
    assert kept(engine, "complete").closed_with == "cancelled"
    assert kept(engine, "respond") == closed


def test_what_a_clock_closed_was_closed_by_no_event(engine: Engine) -> None:
    story = given().walked("offered")
    known = step(engine, story)
    step(engine, story.passes("15m"), known)
    offer = kept(engine, "accept")
    assert offer.closed_at is not None
    assert (offer.closed_by, offer.closed_with) == (None, None)


def test_a_claim_stands_in_its_row(engine: Engine) -> None:
    story = given().did("task_claimed", at="1m")
    step(engine, story)
    found = kept(engine, "respond")
    assert found.assignee is not None
    assert (found.assignee.id, found.claimed_at) == ("A1", at("1m"))
    step(engine, story.did("task_released", actor={"role": "agent", "id": "A1"}))
    assert (kept(engine, "respond").assignee, kept(engine, "respond").claimed_at) == (None, None)


def test_an_older_state_neither_opens_nor_closes_anything(engine: Engine) -> None:
    story = given()
    old = written(story)
    step(engine, story.walked("accepted"))
    before = list_tasks(engine).items
    write_down(engine, old)
    assert list_tasks(engine).items == before


def test_the_inbox_lists_next_due_first_page_by_page(engine: Engine) -> None:
    for place in (2, 1, 3):
        received_at = START + timedelta(minutes=place)
        step(engine, given(number=f"CR20240520-00{place}", received_at=received_at))
    everything = ids(engine, role=Role.agent)
    assert everything == [
        f"00{place}.{kind}.1" for kind in ("respond", "tell_plan") for place in (1, 2, 3)
    ]
    pages, cursor = [], None
    while True:
        page = list_tasks(engine, role=Role.agent, limit=2, cursor=cursor)
        pages.append([found.id.removeprefix("CR20240520-") for found in page.items])
        cursor = page.next
        if cursor is None:
            break
    assert pages == [everything[:2], everything[2:4], everything[4:]]
    assert ids(engine, kind=TaskKind.respond, due_before=at("12m")) == ["001.respond.1"]
    assert ids(engine, is_open=False) == []
    assert ids(engine, station="nowhere") == []


def test_an_assignee_finds_what_is_theirs_and_nobody_elses(engine: Engine) -> None:
    step(engine, given().walked("accepted").did("task_claimed", task=f"{NUMBER}.tell_plan.1"))
    assert ids(engine, assignee="E1", assignee_role=Role.engineer) == [
        "001.agree_appointment.1",
        "001.complete.1",
    ]
    assert ids(engine, assignee="A1", assignee_role=Role.agent) == ["001.tell_plan.1"]
    assert ids(engine, assignee="A1", assignee_role=Role.engineer) == []


def test_a_task_without_a_promise_comes_last(engine: Engine) -> None:
    story = given(warranty={"in_force": False}).walked("diagnosed").did("quoted")
    step(engine, story.did("quote_approved").did("completed").did("signed"))
    assert ids(engine)[-1] == "001.collect_payment.1"
    assert kept(engine, "collect_payment").due_at is None


@pytest.mark.parametrize("cursor", ["x", "bm8", "WzEsMl0"])
def test_a_cursor_of_another_list_is_refused(engine: Engine, cursor: str) -> None:
    with pytest.raises(BadCursor):
        list_tasks(engine, cursor=cursor)
