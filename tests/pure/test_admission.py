"""Which event may happen when: every event in its right moment, and refused elsewhere."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from domain.admission import ADMISSIONS
from domain.events import ASIDE, EVENTS
from domain.refusals import REASONS, Refused, explain
from domain.vocabulary import Role
from tests.pure.builders import START, Story, at, event, given, length

Moment = Callable[[], Story]


def _quoted() -> Story:
    return given(warranty={"in_force": False}).walked("diagnosed").did("quoted")


def _owing() -> Story:
    return _quoted().did("quote_approved").did("completed")


def _complaining() -> Story:
    return given().did("complained")


MOMENTS: dict[str, Moment] = {
    "received": given,
    "a consultation": lambda: given(type="consultation"),
    "a consultation responded to": lambda: given(type="consultation").did("responded"),
    "responded": lambda: given().walked("responded"),
    "offered": lambda: given().walked("offered"),
    "accepted": lambda: given().walked("accepted"),
    "appointed": lambda: given().walked("appointed"),
    "departed": lambda: given().walked("appointed").did("departed"),
    "a remote session": lambda: given(service_type="remote").walked("appointed"),
    "arrived": lambda: given().walked("arrived"),
    "diagnosed": lambda: given().walked("diagnosed"),
    "quoted": _quoted,
    "quote approved": lambda: _quoted().did("quote_approved"),
    "parts awaited": lambda: given().walked("diagnosed").did("parts_awaited"),
    "at the depot": lambda: given().walked("diagnosed").did("depot_received"),
    "held": lambda: given().walked("accepted").did("held"),
    "completed": lambda: given().walked("completed"),
    "owing": _owing,
    "owing and signed": lambda: _owing().did("signed"),
    "signed": lambda: given().walked("signed"),
    "complained": _complaining,
    "complaint taken over": lambda: _complaining().did("complaint_taken_over"),
    "complaint settled": lambda: _complaining().did("complaint_settled"),
    "a complaint": lambda: given(type="complaint"),
    "claimed": lambda: given().did("task_claimed"),
    "response missed": lambda: given().passes("10m"),
    "customer called": lambda: given().passes("10m").did("breach_called"),
    "closed": lambda: given().walked("surveyed"),
}

TABLE: dict[str, tuple[list[str], dict[str, str]]] = {
    # event: (moments at which it is taken, moments at which it is refused and with what)
    "responded": (
        ["received", "a consultation", "complained"],
        {
            "responded": "wrong_stage",
            "a consultation responded to": "already_responded",
            "a complaint": "wrong_stage",
            "closed": "request_closed",
        },
    ),
    "plan_told": (
        ["received", "responded", "accepted", "arrived", "a consultation"],
        {"held": "on_hold", "completed": "wrong_stage", "a complaint": "wrong_stage"},
    ),
    "answered": (
        ["a consultation", "a consultation responded to"],
        {"received": "not_a_consultation", "responded": "wrong_stage"},
    ),
    "reclassified": (
        ["received", "responded", "arrived", "held", "completed", "a consultation"],
        {"signed": "wrong_stage", "a complaint": "wrong_stage", "closed": "request_closed"},
    ),
    "assigned": (
        ["responded", "offered", "accepted", "appointed", "held"],
        {"received": "wrong_stage", "at the depot": "at_depot", "completed": "wrong_stage"},
    ),
    "accepted": (
        ["offered"],
        {"received": "wrong_stage", "responded": "no_open_offer", "accepted": "wrong_stage"},
    ),
    "declined": (
        ["offered"],
        {"received": "wrong_stage", "responded": "no_open_offer", "accepted": "wrong_stage"},
    ),
    "appointed": (
        ["accepted"],
        {"offered": "wrong_stage", "appointed": "wrong_stage", "held": "on_hold"},
    ),
    "rescheduled": (
        ["appointed", "departed"],
        {
            "accepted": "wrong_stage",
            "arrived": "no_standing_appointment",
            "completed": "wrong_stage",
        },
    ),
    "departed": (
        ["appointed"],
        {
            "accepted": "wrong_stage",
            "departed": "already_departed",
            "arrived": "already_arrived",
            "a remote session": "is_remote",
        },
    ),
    "running_late": (
        ["appointed", "departed"],
        {"arrived": "already_arrived", "a remote session": "is_remote", "accepted": "wrong_stage"},
    ),
    "arrived": (
        ["appointed", "departed", "a remote session"],
        {"accepted": "wrong_stage", "arrived": "already_arrived"},
    ),
    "no_show": (
        ["appointed", "departed", "arrived"],
        {"accepted": "wrong_stage", "diagnosed": "work_begun"},
    ),
    "diagnosed": (
        ["arrived", "diagnosed", "a remote session"],
        {"appointed": "not_arrived", "accepted": "wrong_stage", "parts awaited": "on_hold"},
    ),
    "quoted": (
        ["diagnosed", "quoted", "quote approved"],
        {"arrived": "not_diagnosed", "completed": "wrong_stage"},
    ),
    "quote_approved": (
        ["quoted"],
        {"diagnosed": "no_open_quote", "quote approved": "no_open_quote"},
    ),
    "quote_declined": (
        ["quoted"],
        {"diagnosed": "no_open_quote", "quote approved": "no_open_quote"},
    ),
    "parts_awaited": (
        ["appointed", "arrived", "diagnosed"],
        {"accepted": "wrong_stage", "parts awaited": "on_hold", "completed": "wrong_stage"},
    ),
    "parts_arrived": (
        ["parts awaited"],
        {"diagnosed": "parts_not_awaited", "received": "wrong_stage"},
    ),
    "visit_needed": (
        ["arrived", "diagnosed", "a remote session"],
        {"appointed": "not_arrived", "at the depot": "at_depot", "completed": "wrong_stage"},
    ),
    "depot_received": (
        ["arrived", "diagnosed"],
        {"at the depot": "at_depot", "accepted": "wrong_stage"},
    ),
    "shipped_back": (
        ["at the depot"],
        {"diagnosed": "not_at_depot", "completed": "wrong_stage"},
    ),
    "completed": (
        ["arrived", "diagnosed", "a remote session", "quote approved"],
        {"appointed": "not_arrived", "quoted": "quote_open", "at the depot": "at_depot"},
    ),
    "signed": (
        ["completed", "owing"],
        {"diagnosed": "wrong_stage", "owing and signed": "already_signed", "signed": "wrong_stage"},
    ),
    "paid": (
        ["owing", "owing and signed"],
        {"completed": "nothing_owed", "diagnosed": "wrong_stage"},
    ),
    "call_unanswered": (["signed"], {"completed": "wrong_stage", "closed": "request_closed"}),
    "surveyed": (["signed"], {"completed": "wrong_stage", "a complaint": "wrong_stage"}),
    "complained": (
        ["received", "held", "signed", "a complaint", "complained", "a consultation"],
        {"closed": "request_closed"},
    ),
    "complaint_taken_over": (
        ["complained", "a complaint"],
        {"received": "no_open_complaint", "complaint taken over": "no_open_complaint"},
    ),
    "remedy_offered": (
        ["complained", "complaint taken over", "a complaint"],
        {"received": "no_open_complaint", "complaint settled": "no_open_complaint"},
    ),
    "complaint_settled": (
        ["complained", "complaint taken over", "a complaint"],
        {"received": "no_open_complaint", "complaint settled": "no_open_complaint"},
    ),
    "complaint_reopened": (
        ["complaint settled"],
        {"complained": "no_open_complaint", "closed": "request_closed"},
    ),
    "held": (
        ["received", "offered", "appointed", "diagnosed"],
        {"held": "on_hold", "parts awaited": "on_hold", "completed": "wrong_stage"},
    ),
    "resumed": (
        ["held", "parts awaited"],
        {"received": "not_on_hold", "completed": "wrong_stage"},
    ),
    "cancelled": (
        ["received", "offered", "held", "diagnosed", "quoted", "a consultation"],
        {"completed": "wrong_stage", "a complaint": "wrong_stage", "closed": "request_closed"},
    ),
    "noted": (
        [moment for moment in MOMENTS if moment != "closed"],
        {"closed": "request_closed"},
    ),
    "task_claimed": (["received", "claimed", "response missed"], {"closed": "request_closed"}),
    "task_released": (["claimed"], {"received": "task_not_claimed", "closed": "request_closed"}),
    "task_reassigned": (["received", "claimed"], {"closed": "request_closed"}),
    "breach_called": (
        ["response missed"],
        {"received": "no_call_owed", "customer called": "no_call_owed", "closed": "request_closed"},
    ),
}

TAKEN = [(name, moment) for name, (moments, _) in TABLE.items() for moment in moments]
REFUSED = [(name, m, code) for name, (_, codes) in TABLE.items() for m, code in codes.items()]


def test_every_event_stands_in_the_table() -> None:
    assert set(TABLE) == set(EVENTS) == set(ADMISSIONS)


@pytest.mark.parametrize(("name", "moment"), TAKEN)
def test_an_event_is_taken_in_its_moment(name: str, moment: str) -> None:
    story = MOMENTS[moment]()
    assert name in story.request.allowed_events
    count = story.request.event_count
    story.did(name)
    assert story.request.event_count == count + 1
    assert "event" in {line.kind for line in story.happened(name)}


@pytest.mark.parametrize(("name", "moment", "code"), REFUSED)
def test_an_event_is_refused_elsewhere(name: str, moment: str, code: str) -> None:
    story = MOMENTS[moment]()
    before = story.request.model_dump()
    assert story.refused(name) == code
    assert name not in story.request.allowed_events
    assert story.request.model_dump() == before


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_of_the_wrong_role_is_refused_before_anything_else(name: str) -> None:
    for role in set(Role) - EVENTS[name].by:
        story = MOMENTS["closed"]()
        assert story.refused(name, actor={"role": role, "id": "X"}) == "role_not_allowed"


# Who may take a task is the task's affair: `test_todo.py`.
OF_ANY_TASK = [(n, m[0]) for n, (m, _) in TABLE.items() if n not in ASIDE]


@pytest.mark.parametrize(("name", "moment"), OF_ANY_TASK)
def test_every_role_of_the_table_may_send_it(name: str, moment: str) -> None:
    for role in EVENTS[name].by:
        MOMENTS[moment]().did(name, actor={"role": role, "id": "X"})


# --- what depends on the event's own content ----------------------------------------------------

CONTENT: list[tuple[str, str, dict[str, Any], str]] = [
    ("offered", "accepted", {"engineer": "E2"}, "no_open_offer"),
    ("offered", "declined", {"engineer": "E2"}, "no_open_offer"),
    ("offered", "assigned", {"engineer": "E1"}, "already_with_engineer"),
    ("accepted", "assigned", {"engineer": "E1"}, "already_with_engineer"),
    (
        "accepted",
        "appointed",
        {"window_start": at("0s"), "window_end": at("1s"), "at": "1s"},
        "window_in_past",
    ),
    (
        "appointed",
        "rescheduled",
        {"window_start": at("0s"), "window_end": at("1m"), "at": "1h"},
        "window_in_past",
    ),
    ("received", "reclassified", {"urgency": "normal"}, "nothing_changes"),
    ("received", "reclassified", {"request_type": "repair"}, "nothing_changes"),
    ("received", "reclassified", {"request_type": "complaint"}, "type_not_possible"),
    ("responded", "reclassified", {"request_type": "consultation"}, "type_not_possible"),
    ("completed", "reclassified", {"request_type": "maintenance"}, "type_not_possible"),
    ("received", "held", {"until": at("0s")}, "until_in_past"),
    ("diagnosed", "quoted", {"lines": [{"item": "moon dust"}]}, "no_list_price"),
    ("owing", "paid", {"amount": "530.01"}, "overpaid"),
    ("complained", "complaint_taken_over", {"complaint": 2}, "no_open_complaint"),
    ("received", "noted", {"occurred_at": at("3m"), "at": "0s"}, "occurred_in_future"),
    (
        "received",
        "noted",
        {"occurred_at": START - length("2m1s")},
        "occurred_before_request",
    ),
]


@pytest.mark.parametrize(("moment", "name", "payload", "code"), CONTENT)
def test_an_event_whose_content_cannot_be_is_refused(
    moment: str, name: str, payload: dict[str, Any], code: str
) -> None:
    assert MOMENTS[moment]().refused(name, **payload) == code


def test_priced_parts_out_of_warranty_need_an_approved_quote() -> None:
    parts = [{"part": "compressor", "quantity": 1, "unit_price": "480"}]
    story = given(warranty={"in_force": False}).walked("diagnosed")
    assert story.refused("completed", parts=parts) == "quote_needed"
    story.did("quoted")
    assert story.refused("completed", parts=parts) == "quote_open"
    story.did("quote_approved").did("completed", parts=parts)
    assert story.request.bill.owed == 530


def test_another_machines_clock_may_be_two_minutes_ahead() -> None:
    story = given().did("responded", at="1m", occurred_at="3m")
    assert story.request.responded_at == at("1m")


def test_a_hold_that_ended_while_nobody_looked_holds_nothing_up() -> None:
    story = given().did("held", until=at("1h"))
    assert story.refused("responded", at="59m") == "on_hold"
    story.did("responded", at="61m")
    assert story.happened("resumed")[0].at == at("1h")


def test_whoever_goes_round_in_circles_is_stopped_but_the_request_goes_on() -> None:
    story = given()
    for _ in range(story.request.policy.limits.events):
        story.did("noted")
    for endless in ("noted", "held", "complained", "plan_told"):
        assert story.refused(endless) == "too_many_events"
    story.did("responded").offered()
    for step in (
        "accepted",
        "appointed",
        "arrived",
        "diagnosed",
        "completed",
        "signed",
        "surveyed",
    ):
        story.did(step)
    assert story.request.is_closed


def test_the_state_stays_small_however_much_is_written() -> None:
    story = given()
    with suppress(Refused):
        for _ in range(1000):
            story.did("complained", text="漏" * 4000)
    assert story.refused("complained") == "too_many_events"
    assert len(story.request.model_dump_json().encode()) < 1_900_000


# --- the reasons --------------------------------------------------------------------------------


def test_every_reason_can_be_said_in_both_languages() -> None:
    class Anything(dict[str, str]):
        def __missing__(self, key: str) -> str:
            return "…"

    for code, (english, chinese) in REASONS.items():
        assert english.format_map(Anything()).endswith(".")
        assert chinese.format_map(Anything()).endswith("。")
        assert explain(code, _facts(english), "zh-CN") != explain(code, _facts(english), "en")


def _facts(sentence: str) -> dict[str, str]:
    names = [part.split("}")[0] for part in sentence.split("{")[1:]]
    return dict.fromkeys(names, "…")


def test_a_refusal_names_what_it_is_about() -> None:
    with pytest.raises(Refused) as refused:
        given().request.apply(event("signed"), at("1s"))
    assert refused.value.reason == (
        "signed is not possible in stage response; it belongs to: sign_off."
    )
    assert "阶段" in explain(refused.value.code, refused.value.facts, "zh-CN")
