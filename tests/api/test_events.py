"""The one door: what is taken, what is refused, and how both are answered."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from domain.vocabulary import Role
from tests.api.caller import SCORES, Caller, at, event

NUMBER = "CR20200101-001"
"""Where nobody need be asked: what is malformed is malformed for any number."""

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("worker")]


async def test_an_event_answers_with_the_request_after_it(caller: Caller) -> None:
    number = await caller.takes_in()
    shown = await caller.brings(number, event("responded"))
    assert shown["number"] == number
    assert shown["stage"] == "dispatch"
    assert shown["event_count"] == 1
    assert shown["work_order"].startswith("WO")


async def test_the_same_event_twice_is_the_same_event(caller: Caller) -> None:
    number = await caller.takes_in()
    responded = event("responded")
    first = await caller.brings(number, responded)
    again = await caller.brings(number, responded)
    assert again["event_count"] == first["event_count"] == 1


async def test_an_event_needs_neither_id_nor_time_nor_actor(caller: Caller) -> None:
    number = await caller.takes_in()
    agent = caller.acting_as(Role.agent)
    shown = await agent.brings(number, {"type": "responded"})
    assert shown["stage"] == "dispatch"
    lines = (await caller.get(f"/v1/requests/{number}/timeline")).json()["items"]
    line = next(line for line in lines if line["name"] == "responded")
    assert (line["actor_role"], line["actor_id"]) == ("agent", "agent-1")
    assert line["event_id"]


async def test_an_event_before_its_turn_is_refused_with_what_is_allowed(caller: Caller) -> None:
    number = await caller.takes_in()
    signed = event("signed", signature="张三")
    refused = await caller.reports(number, signed)
    problem = refused.json()
    assert refused.status_code == 409
    assert refused.headers["content-type"] == "application/problem+json"
    assert problem["code"] == "event_not_allowed"
    assert problem["type"].endswith("/event_not_allowed")
    assert problem["reason_code"] == "wrong_stage"
    assert problem["stage"] == "response"
    assert "responded" in problem["allowed_events"]
    assert problem["detail"] == problem["reason"]
    assert "stage response" in problem["reason"]


async def test_a_refused_event_may_be_tried_again_later(caller: Caller) -> None:
    number = await caller.takes_in()
    assigned = event("assigned", engineer="E-1", reason="熟悉该机型")
    assert (await caller.reports(number, assigned)).status_code == 409
    await caller.brings(number, event("responded"))
    assert (await caller.brings(number, assigned))["offers"][-1]["engineer"] == "E-1"


async def test_a_refusal_reads_chinese_to_whoever_reads_chinese(caller: Caller) -> None:
    number = await caller.takes_in()
    wishes = {"Accept-Language": "fr, en;q=0.5, zh-CN;q=0.9"}
    refused = await caller.post(
        f"/v1/requests/{number}/events", event("signed", signature="张三"), wishes
    )
    assert refused.headers["content-language"] == "zh-CN"
    assert refused.json()["title"] == "当前不能提交该事件"
    assert refused.json()["reason"].startswith("当前阶段为response")


async def test_a_list_is_applied_up_to_the_first_refused(caller: Caller) -> None:
    number = await caller.takes_in()
    first, second = event("responded"), event("signed", signature="张三")
    third = event("noted", text="未处理")
    answer = await caller.reports(number, first, second, third)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [r["status"] for r in results] == ["applied", "refused", "skipped"]
    assert [r["id"] for r in results] == [first["id"], second["id"], third["id"]]
    assert results[1]["code"] == "wrong_stage"
    assert results[1]["reason"]
    assert answer.json()["request"]["event_count"] == 1


async def test_a_list_sent_again_is_judged_again_from_the_refused_one(caller: Caller) -> None:
    number = await caller.takes_in()
    wanted = [event("noted", text="一"), event("assigned", engineer="E-1", reason="就近")]
    refused = (await caller.reports(number, *wanted)).json()["results"]
    assert [r["status"] for r in refused] == ["applied", "refused"]
    await caller.brings(number, event("responded"))
    again = (await caller.reports(number, *wanted)).json()["results"]
    assert [r["status"] for r in again] == ["repeated", "applied"]


async def test_a_refusal_within_a_list_reads_chinese_too(caller: Caller) -> None:
    number = await caller.takes_in()
    answer = await caller.post(
        f"/v1/requests/{number}/events",
        [event("signed", signature="张三")],
        {"Accept-Language": "zh"},
    )
    assert answer.json()["results"][0]["reason"].startswith("当前阶段为")


@pytest.mark.parametrize("count", [0, 21])
async def test_a_list_holds_one_to_twenty_events(caller: Caller, count: int) -> None:
    events = [event("noted", text=str(i)) for i in range(count)]
    answer = await caller.post(f"/v1/requests/{NUMBER}/events", events)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == ""


async def test_twenty_events_at_once_are_applied(caller: Caller) -> None:
    number = await caller.takes_in()
    shown = await caller.brings(number, *(event("noted", text=str(i)) for i in range(20)))
    assert shown["event_count"] == 20


async def test_an_event_may_be_left_without_waiting(caller: Caller) -> None:
    number = await caller.takes_in()
    responded = event("responded")
    left = await caller.reports(number, responded, Prefer="wait=5, Respond-Async")
    assert left.status_code == 202
    assert left.headers["preference-applied"] == "respond-async"
    assert left.json() == {"results": [{"id": responded["id"], "status": "accepted"}]}
    # The update waits its turn behind the signal.
    assert (await caller.brings(number, event("noted", text="好")))["event_count"] == 2


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        ({"type": "plan_told"}, "/plan"),
        ({"type": "plan_told", "plan": " "}, "/plan"),
        ({"type": "plan_told", "plan": "x", "surprise": 1}, "/surprise"),
        ({"type": "plan_told", "plan": "x", "id": "no-uuid"}, "/id"),
        ({"type": "plan_told", "plan": "a\u0000b"}, "/plan"),
        ({"type": "plan_told", "plan": "x", "occurred_at": "2026-05-20T09:00:00"}, "/occurred_at"),
        ({"type": "plan_told", "plan": "x", "actor": {"role": "boss", "id": "1"}}, "/actor/role"),
        ({"type": "reclassified", "reason": "x"}, ""),
        ({"type": "appointed", "window_start": "2026-05-20T09:00:00"}, "/window_start"),
        ({"type": "quoted", "lines": [{"item": "电容", "quantity": 0}]}, "/lines/0/quantity"),
        ({"type": "paid", "amount": "NaN", "method": "scan"}, "/amount"),
        ({"type": "surveyed", "channel": "phone", "scores": {"response": 6}}, "/scores/response"),
    ],
)
async def test_a_malformed_event_names_its_field(
    caller: Caller, broken: dict[str, Any], field: str
) -> None:
    answer = await caller.reports(NUMBER, broken)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "validation_failed"
    assert field in [error["field"] for error in answer.json()["errors"]]


async def test_a_window_that_ends_before_it_starts_is_malformed(caller: Caller) -> None:
    window = {"window_start": at(hours=4), "window_end": at(hours=2)}
    answer = await caller.reports(NUMBER, event("appointed", **window), **{"Accept-Language": "zh"})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "", "message": "预约结束时间必须晚于开始时间"}]


async def test_a_malformed_event_in_a_list_is_named_by_its_place(caller: Caller) -> None:
    number = await caller.takes_in()
    answer = await caller.reports(number, event("responded"), {"type": "plan_told"})
    assert answer.json()["errors"][0]["field"] == "/1/plan"
    assert (await caller.get(f"/v1/requests/{number}")).json()["event_count"] == 0


async def test_an_unknown_type_is_told_the_known_ones(caller: Caller) -> None:
    answer = await caller.reports(NUMBER, {"type": "secret-138"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "unknown_event_type"
    assert "responded" in answer.json()["known_types"]
    assert "secret-138" not in answer.text


@pytest.mark.parametrize(
    "unknown", ["CR20200101-001", "CR20200101-1", "nonsense", "WO20240520-001"]
)
async def test_an_unknown_number_is_not_found(caller: Caller, unknown: str) -> None:
    for answer in (
        await caller.reports(unknown, event("responded")),
        await caller.reports(unknown, event("responded"), event("noted", text="x")),
        await caller.reports(unknown, event("responded"), Prefer="respond-async"),
    ):
        assert answer.status_code == 404
        assert answer.json()["code"] == "request_not_found"


async def test_the_event_that_closes_a_request_answers_with_it_closed(caller: Caller) -> None:
    number = await caller.takes_in()
    shown = await caller.brings(number, event("cancelled", reason="客户已自行解决"))
    assert (shown["stage"], shown["outcome"]) == ("closed", "cancelled")


async def test_a_closed_request_takes_nothing_but_knows_what_it_took(caller: Caller) -> None:
    number = await caller.takes_in(type="consultation")
    answered = event("answered", answer="请清洗滤网")
    surveyed = event("surveyed", scores=dict.fromkeys(SCORES, 5), channel="phone")
    await caller.brings(number, answered)
    closed = await caller.brings(number, surveyed)
    assert (closed["stage"], closed["outcome"]) == ("closed", "answered")

    late = await caller.reports(number, event("noted", text="太晚了"))
    assert late.status_code == 410
    assert late.json()["code"] == "request_closed"

    again = await caller.reports(number, surveyed)
    assert again.status_code == 200
    assert again.json()["stage"] == "closed"

    both = await caller.reports(number, answered, event("noted", text="太晚了"))
    assert [r["status"] for r in both.json()["results"]] == ["repeated", "refused"]
    none = await caller.reports(number, event("noted", text="晚"), event("noted", text="晚"))
    assert none.status_code == 410
    left = await caller.reports(number, event("noted", text="晚"), Prefer="respond-async")
    assert left.status_code == 410
    left_again = await caller.reports(number, answered, Prefer="respond-async")
    assert left_again.status_code == 202

    shown = await caller.get(f"/v1/requests/{number}")
    assert shown.json()["stage"] == "closed"
    assert shown.json()["allowed_events"] == []


async def test_a_list_may_close_the_request_on_its_way(caller: Caller) -> None:
    number = await caller.takes_in(type="consultation")
    answer = await caller.reports(
        number,
        event("answered", answer="请清洗滤网"),
        event("surveyed", scores=dict.fromkeys(SCORES, 5), channel="phone"),
        event("noted", text="太晚了"),
    )
    assert [r["status"] for r in answer.json()["results"]] == ["applied", "applied", "refused"]
    assert answer.json()["results"][2]["code"] == "request_closed"
    assert answer.json()["request"]["stage"] == "closed"


async def test_only_an_integration_speaks_for_others(caller: Caller) -> None:
    agent = caller.acting_as(Role.agent)
    answer = await agent.reports(NUMBER, event("noted", "engineer", text="代"))
    assert answer.status_code == 403
    assert answer.json()["code"] == "actor_mismatch"


async def test_nobody_reports_under_a_colleagues_name(caller: Caller) -> None:
    number = await caller.takes_in()
    agent = caller.acting_as(Role.agent, "agent-7")
    forged = event("noted", text="代签") | {"actor": {"role": "agent", "id": "agent-8"}}
    await agent.brings(number, forged)
    timeline = (await caller.get(f"/v1/requests/{number}/timeline")).json()["items"]
    assert timeline[-1]["actor_id"] == "agent-7"


@pytest.mark.parametrize("role", [Role.engineer, Role.customer, Role.dispatcher])
async def test_a_role_sends_only_its_own_events(caller: Caller, role: Role) -> None:
    answer = await caller.acting_as(role).reports(NUMBER, {"type": "responded"})
    assert answer.status_code == 403
    assert answer.json()["code"] == "role_not_allowed"
    assert answer.json()["allowed_roles"] == ["agent"]
    relayed = await caller.reports(NUMBER, event("responded", role))
    assert relayed.status_code == 403


async def test_an_event_with_emoji_and_rare_characters_is_kept_as_written(caller: Caller) -> None:
    number = await caller.takes_in()
    plan = "更换电容 🔧 𠮷野家 👨‍👩‍👧"
    assert (await caller.brings(number, event("plan_told", plan=plan)))["plan"] == plan


async def test_a_whole_repair_runs_through_the_one_door(caller: Caller) -> None:
    number = await caller.takes_in()
    await caller.brings(
        number, event("responded"), event("assigned", engineer="E-1", reason="就近")
    )
    window = {"window_start": at(hours=2), "window_end": at(hours=4)}
    await caller.brings(number, event("accepted", engineer="E-1"), event("appointed", **window))
    shown = await caller.brings(
        number,
        event("departed"),
        event("arrived"),
        event("diagnosed", fault="不制冷", cause="电容失效", remedy="更换电容"),
        event("completed", test_result="出风口 16 °C"),
    )
    assert shown["stage"] == "sign_off"
    await caller.brings(number, event("signed", signature="张三"))
    scores = dict.fromkeys(SCORES, 5)
    closed = await caller.brings(number, event("surveyed", scores=scores, channel="phone"))
    assert (closed["stage"], closed["outcome"], closed["status"]) == (
        "closed",
        "completed",
        "completed",
    )


async def test_an_event_from_before_the_request_or_from_the_future_is_refused(
    caller: Caller,
) -> None:
    number = await caller.takes_in()
    future = await caller.reports(number, event("responded", occurred_at=at(hours=3)))
    past = await caller.reports(number, event("responded", occurred_at=at(days=-3)))
    assert future.json()["reason_code"] == "occurred_in_future"
    assert past.json()["reason_code"] == "occurred_before_request"


async def test_an_unknown_body_shape_is_malformed(caller: Caller) -> None:
    for shape in ("text", 7, None, [1], [[event("responded")]], {"id": str(uuid4())}):
        answer = await caller.post(f"/v1/requests/{NUMBER}/events", shape)
        assert answer.status_code == 422, (shape, answer.text)


async def test_the_same_event_many_times_at_once_is_one_event(caller: Caller) -> None:
    number = await caller.takes_in()
    responded = event("responded")
    answers = await asyncio.gather(
        *(caller.reports(number, responded) for _ in range(10)),
        *(caller.reports(number, responded, event("noted", text="x")) for _ in range(5)),
        *(caller.reports(number, responded, Prefer="respond-async") for _ in range(5)),
    )
    assert {answer.status_code for answer in answers} == {200, 202}
    shown = (await caller.get(f"/v1/requests/{number}")).json()
    assert shown["event_count"] == 1 + 5


async def test_those_who_close_it_at_once_all_get_an_answer(caller: Caller) -> None:
    number = await caller.takes_in()
    closing = [event("cancelled", reason=str(i)) for i in range(8)]
    answers = await asyncio.gather(*(caller.reports(number, each) for each in closing))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 1
    assert set(statuses) == {200, 410}
