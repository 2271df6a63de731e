"""The projection comes out the same whatever is written twice, late or in the wrong order."""

import random
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import SQLModel, col, select

from domain.forms import Form as FilledIn
from domain.forms import forms as fill_in
from domain.request import ServiceRequest
from domain.tasks import WriteDown
from records import projection
from records.engine import reading
from records.projection import write_down
from records.queries import forms, stored, timeline
from records.tables import NEVER, Clock, Form, Notification, Request, Task, Timeline, Workload
from tests.databases import all_at_once, written
from tests.pure.builders import START, Story, given, standard

NUMBER = "CR20240520-001"


def rows(engine: Engine, table: type[SQLModel]) -> list[dict[str, Any]]:
    with reading(engine) as session:
        found = [row.model_dump() for row in session.exec(select(table))]
    return sorted(found, key=str)


def everything(engine: Engine) -> list[list[dict[str, Any]]]:
    return [rows(engine, t) for t in (Request, Clock, Task, Timeline, Notification, Form, Workload)]


def holders(engine: Engine) -> dict[str, int]:
    return {row["engineer"]: row["offer"] for row in rows(engine, Workload)}


def steps() -> list[WriteDown]:
    """An ordinary repair, written down after every step; each step knows the numbers before it."""
    story = given()
    taken = [written(story)]
    for name in ("responded", "offered", "accepted", "appointed", "arrived", "diagnosed"):
        story.offered() if name == "offered" else story.did(name)
        taken.append(written(story))
    for name in ("completed", "signed", "surveyed"):
        taken.append(written(story.did(name)))
    return taken


def test_writing_down_twice_changes_nothing(engine: Engine) -> None:
    for step in steps():
        first = write_down(engine, step)
        before = everything(engine)
        assert write_down(engine, step) == first
        assert everything(engine) == before


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_writing_does_not_matter(engine: Engine, seed: int) -> None:
    in_order = steps()
    shuffled = random.Random(seed).sample(in_order, len(in_order))
    for step in shuffled:
        write_down(engine, step)
    kept = stored(engine, NUMBER)
    assert kept is not None
    last = in_order[-1].request
    assert kept.revision == last.revision
    assert kept.request.stage == last.stage
    assert [line.seq for line in timeline(engine, NUMBER)] == [e.seq for e in in_order[-1].entries]
    assert len(rows(engine, Notification)) == len(in_order[-1].messages)
    assert holders(engine) == {}
    assert sorted(row["key"] for row in rows(engine, Form)) == ["AP/1", "CS/1", "OS/1", "WO/1"]


def test_an_older_state_does_not_come_back(engine: Engine) -> None:
    older, newer = steps()[2], steps()[4]
    write_down(engine, newer)
    before = rows(engine, Request) + rows(engine, Workload)
    write_down(engine, older)
    assert rows(engine, Request) + rows(engine, Workload) == before


def test_the_columns_say_what_the_state_says(engine: Engine) -> None:
    story = given(tier="vip").passes("11m")
    write_down(engine, written(story))
    row = rows(engine, Request)[0]
    assert (row["stage"], row["tier"], row["serial"]) == ("response", "vip", "SN1")
    assert (row["clock_state"], row["breached"], row["turn"]) == ("breached", ["first_response"], 0)
    assert row["next_due"] == story.clock("first_response").due_at  # Overdue, so the first.
    write_down(engine, written(story.did("cancelled")))
    row = rows(engine, Request)[0]
    assert (row["stage"], row["outcome"], row["turn"]) == ("closed", "cancelled", 1)
    assert (row["closed_at"], row["next_due"]) == (story.now, NEVER)


# --- forms ----------------------------------------------------------------------------------------


def test_forms_are_numbered_once_and_filled_in_further(engine: Engine) -> None:
    story = given().did("responded")
    new = write_down(engine, written(story)).numbers
    assert new == {"WO/1": "WO20240520-001"}
    story.request.name_forms(new)
    story.offered().did("accepted").did("appointed")
    assert write_down(engine, written(story)).numbers == {"AP/1": "AP20240520-001"}
    work_order, sheet = forms(engine, NUMBER)
    assert work_order.content["status"] == "appointed"
    assert sheet.content["work_order"] == "WO20240520-001"
    kept = stored(engine, NUMBER)
    assert kept is not None
    assert kept.request.numbers == {"WO/1": "WO20240520-001", "AP/1": "AP20240520-001"}


def test_numbers_that_the_workflow_never_heard_of_are_told_again(engine: Engine) -> None:
    story = given().did("responded")
    first = write_down(engine, written(story))
    assert write_down(engine, written(story.did("plan_told"))) == first


def test_forms_are_filled_in_once_unless_a_number_is_new(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[int] = []

    def counted(request: ServiceRequest) -> list[FilledIn]:
        times.append(request.revision)
        return fill_in(request)

    monkeypatch.setattr(projection, "forms", counted)
    story = given().did("responded")
    story.request.name_forms(write_down(engine, written(story)).numbers)
    assert len(times) == 2
    write_down(engine, written(story.did("plan_told")))
    assert len(times) == 3


def test_a_form_quotes_the_work_order_numbered_with_it(engine: Engine) -> None:
    write_down(engine, written(given().walked("appointed")))
    sheet = next(form for form in forms(engine, NUMBER) if form.key == "AP/1")
    assert sheet.content["work_order"] == "WO20240520-001"


def test_each_local_day_counts_from_001(engine: Engine) -> None:
    story = given().did("responded")
    late = write_down(engine, written(story, after=timedelta(hours=15)))
    assert late.numbers == {"WO/1": "WO20240521-001"}


def test_requests_at_once_are_numbered_without_gaps(engine: Engine) -> None:
    def one(place: int) -> Any:
        story = given(number=f"CR20240520-{place + 1:03d}").walked("appointed")
        return write_down(engine, written(story)).numbers

    numbered = all_at_once(8, one)
    for key, prefix in (("WO/1", "WO"), ("AP/1", "AP")):
        assert sorted(numbers[key] for numbers in numbered) == [
            f"{prefix}20240520-{n:03d}" for n in range(1, 9)
        ]


def test_the_same_step_at_once_leaves_one_of_everything(engine: Engine) -> None:
    story = given().did("responded")
    write_down(engine, written(story))
    step = written(story.offered().did("accepted").did("appointed"))
    results = all_at_once(6, lambda place: write_down(engine, step))
    assert len({str(result) for result in results}) == 1
    assert len(rows(engine, Form)) == 2


# --- clocks ---------------------------------------------------------------------------------------


def test_each_promise_has_a_row_that_says_who_owes_what_until_when(engine: Engine) -> None:
    story = given().walked("offered")
    write_down(engine, written(story))
    clocks = {row["rule"]: row for row in rows(engine, Clock)}
    assert clocks["first_response"]["state"] == "kept"
    accept = clocks["accept"]
    assert (accept["state"], accept["owed_role"], accept["owed_by"]) == (
        "running",
        "engineer",
        "E1",
    )
    assert accept["due_at"] == accept["started_at"] + timedelta(minutes=15)
    assert accept["late_seconds"] is accept["breached_at"] is None


def test_a_promise_met_too_late_says_by_how_much(engine: Engine) -> None:
    write_down(engine, written(given().passes("12m").did("responded", at="13m")))
    (late,) = (row for row in rows(engine, Clock) if row["rule"] == "first_response")
    assert (late["state"], late["late_seconds"]) == ("late", 180.0)
    assert late["breached_at"] == START + timedelta(minutes=10)
    assert late["fired_at"] == START + timedelta(minutes=12)


# --- messages -------------------------------------------------------------------------------------


def test_each_recipient_has_a_channel(engine: Engine) -> None:
    write_down(engine, written(given().walked("offered").passes("3h")))
    with reading(engine) as session:
        told = session.exec(select(Notification).order_by(col(Notification.created_at))).all()
    channels = {row.to_role: row.channel for row in told}
    assert channels["customer"] == "sms"
    assert channels["engineer"] == "app_push"
    assert channels["supervisor"] == "console"
    assert {row.to_id for row in told if row.to_role == "engineer"} == {"E1"}


def test_a_level_goes_out_by_each_of_its_channels_and_only_once(engine: Engine) -> None:
    by_two = '{ tell = "manager", after = "20m", channels = ["enterprise_chat", "sms"] }'
    policy = standard(('{ tell = "manager", after = "20m" }', by_two))
    story = given(policy=policy).passes("31m")
    for _ in range(2):
        write_down(engine, written(story))
    (tell,) = [t for t in story.tells if (t.rule, t.level) == ("first_response", 2)]
    with reading(engine) as session:
        told = session.exec(select(Notification).where(Notification.level == 2)).all()
    assert {row.id: row.channel for row in told} == {
        f"{NUMBER}:{tell.seq}": "enterprise_chat",
        f"{NUMBER}:{tell.seq}:sms": "sms",
    }


# --- workload -------------------------------------------------------------------------------------


def held_after(engine: Engine, story: Story) -> dict[str, int]:
    write_down(engine, written(story))
    return holders(engine)


def test_the_engineer_who_was_offered_or_has_the_work_holds_it(engine: Engine) -> None:
    story = given().did("responded")
    assert held_after(engine, story.offered("E1")) == {"E1": 1}
    assert held_after(engine, story.did("declined")) == {}
    assert held_after(engine, story.offered("E2")) == {"E2": 2}
    assert held_after(engine, story.did("accepted")) == {"E2": 2}
    assert held_after(engine, story.did("assigned", engineer="E3")) == {"E3": 3}
    assert held_after(engine, story.did("accepted")) == {"E3": 3}
    story.did("appointed").did("arrived").did("diagnosed")
    assert held_after(engine, story) == {"E3": 3}
    assert held_after(engine, story.did("completed")) == {}


def test_a_cancelled_request_gives_the_place_back(engine: Engine) -> None:
    story = given().did("responded").offered()
    write_down(engine, written(story))
    assert holders(engine) == {"E1": 1}
    write_down(engine, written(story.did("cancelled")))
    assert holders(engine) == {}
