"""Many requests at once: what would happen, what happens, and the same again."""

from typing import Any
from uuid import uuid4

import pytest

from domain import shown as models
from domain.vocabulary import Role
from tests.api.caller import Caller, event

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("worker")]

Json = dict[str, Any]


@pytest.fixture
def supervisor(caller: Caller) -> Caller:
    return caller.acting_as(Role.supervisor)


async def orders(caller: Caller, what: str, key: str | None = None, **order: Any) -> Json:
    headers = {"Idempotency-Key": key} if key else {}
    answer = await caller.post(f"/v1/bulk/{what}", {"dry_run": False, **order}, headers)
    assert answer.status_code == 200, answer.text
    models.ShownOrder.model_validate_json(answer.text)
    told: Json = answer.json()
    assert sum(told["counts"].values()) == len(told["items"])
    return told


async def with_engineer(caller: Caller, engineer: str) -> str:
    """The number of a request that has been offered to this engineer."""
    number = await caller.takes_in()
    assigned = event("assigned", "dispatcher", engineer=engineer, reason="就近")
    await caller.brings(number, event("responded"), assigned)
    return number


async def test_the_work_of_an_ill_engineer_goes_to_others_in_turn(
    caller: Caller, supervisor: Caller
) -> None:
    numbers = [await with_engineer(caller, "E-ILL") for _ in range(3)]
    await caller.brings(numbers[0], event("accepted", engineer="E-ILL"))
    order = {"from_engineer": "E-ILL", "to": ["E-A", "E-B"], "reason": "病假"}
    key = uuid4().hex

    dry = await orders(supervisor, "reassign", key, **order, dry_run=True)
    assert dry["counts"] == {"would_apply": 3}
    assert {item["number"] for item in dry["items"]} == set(numbers)
    shown = (await caller.get(f"/v1/requests/{numbers[0]}")).json()
    assert shown["engineer"] == "E-ILL"

    done = await orders(supervisor, "reassign", key, **order)
    assert done["counts"] == {"applied": 3}
    assert [item["event"] for item in done["items"]] == [item["event"] for item in dry["items"]]
    offered = {}
    for number in numbers:
        shown = (await caller.get(f"/v1/requests/{number}")).json()
        offered[number] = shown["offers"][-1]["engineer"]
        assert shown["engineer"] is None
    assert sorted(offered.values()) == ["E-A", "E-A", "E-B"]

    # They hold nothing any more, so there is nothing left to do.
    assert (await orders(supervisor, "reassign", key, **order))["items"] == []


async def test_the_same_key_happens_once_and_goes_on_where_it_stopped(
    caller: Caller, supervisor: Caller
) -> None:
    done, left = await caller.takes_in(), await caller.takes_in()
    key = uuid4().hex
    order = {"numbers": [done, left], "reason": "客户出差"}
    first = await orders(supervisor, "hold", key, **order)
    assert first["counts"] == {"applied": 2}
    await caller.brings(done, event("resumed", "agent"))
    again = await orders(supervisor, "hold", key, **order)
    assert again["counts"] == {"repeated": 2}
    shown = (await caller.get(f"/v1/requests/{done}")).json()
    assert shown["on_hold"] is False
    # Another order under the same key is another order.
    other = await orders(supervisor, "hold", key, **{**order, "reason": "台风"})
    assert other["counts"] == {"applied": 1, "refused": 1}


async def test_each_request_answers_for_itself(caller: Caller, supervisor: Caller) -> None:
    fine, closed = await caller.takes_in(), await caller.takes_in()
    await caller.brings(closed, event("cancelled", reason="重复"))
    numbers = [fine, closed, "CR20200101-001", "nonsense", fine]
    expected = {
        fine: (None, "applied"),
        closed: ("request_closed", "refused"),
        "CR20200101-001": ("request_not_found", "refused"),
        "nonsense": ("request_not_found", "refused"),
    }
    for dry_run in (True, False):
        told = await orders(supervisor, "hold", numbers=numbers, reason="台风", dry_run=dry_run)
        became = {item["number"]: (item.get("code"), item["status"]) for item in told["items"]}
        if dry_run:
            assert became.pop(fine) == (None, "would_apply")
            assert became == {n: e for n, e in expected.items() if n != fine}
        else:
            assert became == expected
    in_chinese = await caller.acting_as(Role.supervisor).post(
        "/v1/bulk/hold",
        {"numbers": [closed], "reason": "台风", "dry_run": True},
        {"Accept-Language": "zh-CN"},
    )
    assert in_chinese.json()["items"][0]["reason"] == "该服务请求已归档。"


async def test_a_filter_chooses_open_requests(caller: Caller, supervisor: Caller) -> None:
    held = [await with_engineer(caller, "E-STORM") for _ in range(2)]
    chosen: Json = {"filter": {"held_by": "E-STORM", "stage": "dispatch"}}
    done = await orders(supervisor, "hold", **chosen, reason="台风")
    assert {item["number"] for item in done["items"]} == set(held)
    assert done["counts"] == {"applied": 2}
    resumed = await orders(supervisor, "resume", **chosen)
    assert resumed["counts"] == {"applied": 2}
    assert (await orders(supervisor, "resume", **chosen))["counts"] == {"refused": 2}


GOOD: Json = {"numbers": ["CR20200101-001"], "reason": "台风", "dry_run": True}


@pytest.mark.parametrize(
    ("what", "changes", "field"),
    [
        ("hold", {"dry_run": None}, "/dry_run"),
        ("hold", {"dry_run": "no"}, "/dry_run"),
        ("hold", {"numbers": None}, ""),
        ("hold", {"filter": {"stage": "response"}}, ""),
        ("hold", {"numbers": None, "filter": {}}, "/filter"),
        ("hold", {"numbers": []}, "/numbers"),
        ("hold", {"numbers": ["CR20200101-001"] * 501}, "/numbers"),
        ("hold", {"reason": ""}, "/reason"),
        ("hold", {"until": "tomorrow"}, "/until"),
        ("hold", {"to": "E1"}, "/to"),
        ("reassign", {}, "/to"),
        ("reassign", {"to": []}, "/to"),
        ("reassign", {"to": "E1", "from_engineer": "E2"}, ""),
        ("resume", {"reason": "台风"}, "/reason"),
    ],
)
async def test_an_order_that_is_not_clear_is_refused(
    supervisor: Caller, what: str, changes: Json, field: str
) -> None:
    body = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    answer = await supervisor.post(f"/v1/bulk/{what}", body, {"Accept-Language": "zh-CN"})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    if field in ("", "/dry_run", "/filter") and changes.get("dry_run") != "no":
        assert not answer.json()["errors"][0]["message"].isascii()


async def test_only_those_who_may_steer_do_and_only_what_their_role_may(caller: Caller) -> None:
    for role in (Role.agent, Role.engineer, Role.integration, Role.customer):
        answer = await caller.acting_as(role).post("/v1/bulk/hold", GOOD)
        assert answer.json()["code"] == "scope_missing"
    for role in (Role.manager, Role.dispatcher):
        answer = await caller.acting_as(role).post("/v1/bulk/hold", GOOD)
        assert answer.json()["code"] == "role_not_allowed"
