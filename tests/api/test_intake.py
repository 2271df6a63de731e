"""Taking in: what is accepted, what is refused, and once for every key."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest

from domain.vocabulary import Role
from tests.api.caller import Caller, body

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("worker")]


async def test_a_new_request_is_answered_as_shown(caller: Caller) -> None:
    answer = await caller.post("/v1/requests", body(urgency="critical"))
    shown = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/requests/{shown['number']}"
    assert shown["stage"] == "response"
    assert shown["urgency"] == "critical"
    assert shown["customer"]["name"] == "张*"
    assert shown["customer"]["phone"] == "138****5678"
    assert {clock["rule"] for clock in shown["clocks"]} >= {"first_response", "solution_feedback"}
    found = await caller.get(answer.headers["location"])
    assert found.json()["number"] == shown["number"]


async def test_personal_data_leaves_masked_only(caller: Caller) -> None:
    given = body(customer={"name": "欧阳小明", "email": "ouyang@example.com"})
    answer = await caller.post("/v1/requests", given)
    number = answer.json()["number"]
    pages = ["", "/timeline", "/clocks", "/obligations", "/forms", "/forms/SA-CR-001"]
    texts = [answer.text]
    texts += [(await caller.get(f"/v1/requests/{number}{page}")).text for page in pages]
    for text in texts:
        assert "欧阳小明" not in text
        assert "13812345678" not in text
        assert "ouyang@example.com" not in text
        assert "世纪大道" not in text


async def test_the_same_key_and_body_is_the_same_request(caller: Caller) -> None:
    key, given = {"Idempotency-Key": f"order-{uuid4()}"}, body()
    first = await caller.post("/v1/requests", given, key)
    again = await caller.post("/v1/requests", given, key)
    assert first.status_code == again.status_code == 201
    assert first.json()["number"] == again.json()["number"]
    assert first.headers["location"] == again.headers["location"]


async def test_the_same_key_with_another_body_is_refused(caller: Caller) -> None:
    key = {"Idempotency-Key": f"order-{uuid4()}"}
    await caller.post("/v1/requests", body(), key)
    other = await caller.post("/v1/requests", body(urgency="urgent"), key)
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_key_reused"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((Role.integration, "shop", "1"), (Role.integration, "erp", "1")),
        ((Role.integration, "same", "1"), (Role.agent, "same", "1")),
        ((Role.integration, "shop", "cn/1"), (Role.integration, "shop/cn", "1")),
        ((Role.integration, "shop", "2"), (Role.integration, "shop 2", "2")),
    ],
)
async def test_the_same_key_of_two_callers_is_two_keys(
    caller: Caller, one: tuple[Role, str, str], other: tuple[Role, str, str]
) -> None:
    made = []
    for urgency, (role, id, key) in zip(("normal", "urgent"), (one, other), strict=True):
        given = body(urgency=urgency)
        answer = await caller.acting_as(role, id).post(
            "/v1/requests", given, {"Idempotency-Key": key}
        )
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["number"])
    assert len(set(made)) == 2


async def test_customers_do_not_promote_themselves(caller: Caller) -> None:
    given = body(customer={"phone": "13900000001", "tier": "vip"})
    asked = await caller.acting_as(Role.customer).post("/v1/requests", given)
    assert asked.json()["customer"]["tier"] == "standard"
    known = await caller.acting_as(Role.agent).post("/v1/requests", given)
    assert known.json()["customer"]["tier"] == "vip"


@pytest.mark.parametrize("key", ["", "has space", "x" * 256, "ключ".encode(), b"\xff"])
async def test_a_key_is_1_to_255_visible_characters(caller: Caller, key: Any) -> None:
    answer = await caller.post("/v1/requests", body(), {"Idempotency-Key": key})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "/idempotency-key"


async def test_the_same_key_many_times_at_once_makes_one_request(caller: Caller) -> None:
    key, given = {"Idempotency-Key": f"order-{uuid4()}"}, body()
    answers = await asyncio.gather(*(caller.post("/v1/requests", given, key) for _ in range(20)))
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {201, 409}
    assert len({a.json()["number"] for a in answers if a.status_code == 201}) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "request_in_flight"
            assert answer.headers["retry-after"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "war"}, "/type"),
        ({"channel": None}, "/channel"),
        ({"urgency": 3}, "/urgency"),
        ({"description": "坏了"}, "/description"),
        ({"description": "x" * 4001}, "/description"),
        ({"description": ["a"]}, "/description"),
        ({"customer": {"phone": "not a phone"}}, "/customer/phone"),
        ({"customer": {"name": ""}}, "/customer/name"),
        ({"customer": {"latitude": 91}}, "/customer/latitude"),
        ({"customer": {"a/b~c": 1}}, "/customer/a~1b~0c"),
        ({"product": {"serial": None, "proof": None}}, "/product"),
        ({"product": {"purchased_on": "2024-13-01"}}, "/product/purchased_on"),
        ({"number": "CR20240520-001"}, "/number"),
        ({"external_id": "a\u0000b"}, "/external_id"),
    ],
)
async def test_a_malformed_request_names_its_field_and_no_value(
    caller: Caller, changes: dict[str, Any], field: str
) -> None:
    given = body()
    for key, value in changes.items():
        given[key] = {**given[key], **value} if isinstance(value, dict) else value
    answer = await caller.post("/v1/requests", given)
    problem = answer.json()
    assert answer.status_code == 422, answer.text
    assert problem["code"] == "validation_failed"
    assert field in [error["field"] for error in problem["errors"]]
    assert "not a phone" not in answer.text
    assert "13812345678" not in answer.text


async def test_a_vague_description_is_answered_with_advice(caller: Caller) -> None:
    vague = body() | {"description": "空调坏了"}
    for language, advice in (("en", "Ask what the product does"), ("zh-CN", "请询问故障现象")):
        answer = await caller.post("/v1/requests", vague, {"Accept-Language": language})
        said = answer.json()["errors"][0]["message"]
        assert advice in said
        assert ("描述" in said) is (language == "zh-CN")


async def test_what_is_wrong_is_told_in_chinese(caller: Caller) -> None:
    given = body()
    del given["channel"]
    answer = await caller.post("/v1/requests", given, {"Accept-Language": "zh-Hans-CN"})
    assert answer.json()["title"] == "校验未通过"
    assert answer.json()["errors"] == [{"field": "/channel", "message": "此项必填"}]


async def test_what_a_field_may_hold_is_told_in_chinese_to_the_last_word(caller: Caller) -> None:
    given = body() | {"urgency": "很急"}
    answer = await caller.post("/v1/requests", given, {"Accept-Language": "zh-CN"})
    (error,) = answer.json()["errors"]
    assert error["message"] == "应为以下之一：'normal'、'urgent'或'critical'"
    given = body()
    given["product"] |= {"purchased_on": "2026-11-20T09:00"}
    answer = await caller.post("/v1/requests", given, {"Accept-Language": "zh-CN"})
    (error,) = answer.json()["errors"]
    assert error == {"field": "/product/purchased_on", "message": "应为日期(YYYY-MM-DD)"}


async def test_chinese_words_emoji_and_rare_characters_are_taken(caller: Caller) -> None:
    given = body() | {"type": "维修", "urgency": "特急", "channel": "电话"}
    given["customer"] |= {"name": "𠮷田😀"}
    given["description"] = "面板显示 😡 𠀋 后停机,风扇不转"
    answer = await caller.post("/v1/requests", given)
    assert answer.status_code == 201, answer.text
    assert answer.json()["urgency"] == "critical"
    assert answer.json()["customer"]["name"] == "𠮷*"
    form = await caller.get(f"/v1/requests/{answer.json()['number']}/forms/SA-CR-001")
    assert form.json()["content"]["description"] == given["description"]


async def test_the_form_says_who_took_it_in(caller: Caller) -> None:
    agent = caller.acting_as(Role.agent)
    number = await agent.takes_in()
    form = await caller.get(f"/v1/requests/{number}/forms/{number}")
    assert form.json()["content"]["taken_by"] == "agent/agent-1"
