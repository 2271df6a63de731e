"""Requests shown, listed, and what lies behind them."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from pydantic_core import to_jsonable_python

from api.reading import entity_tag
from domain import shown as models
from domain.view import view
from records.cursors import after
from tests.api.caller import Caller, at, event

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("worker")]


async def test_the_workflow_is_asked_first(caller: Caller) -> None:
    number = await caller.takes_in()
    answer = await caller.get(f"/v1/requests/{number}")
    assert answer.headers["aftersales-source"] == "workflow"


async def test_an_unchanged_request_is_not_sent_again(caller: Caller) -> None:
    number = await caller.takes_in()
    path = f"/v1/requests/{number}"
    await caller.brings(number, event("noted", text="第一"))
    tag = (await caller.get(path)).headers["etag"]
    assert tag.startswith('W/"')
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        unchanged = await caller.get(path, {"If-None-Match": known})
        assert unchanged.status_code == 304
        assert unchanged.content == b""
        assert unchanged.headers["etag"] == tag
    await caller.brings(number, event("noted", text="第二"))
    changed = await caller.get(path, {"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


@pytest.mark.parametrize(
    "path", ["", "/timeline", "/clocks", "/obligations", "/forms", "/forms/SA-WO-002"]
)
@pytest.mark.parametrize("number", ["CR20200101-001", "nonsense", "CR20200101-001%0A", "%00"])
async def test_an_unknown_number_is_not_found(caller: Caller, number: str, path: str) -> None:
    answer = await caller.get(f"/v1/requests/{number}{path}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "request_not_found"


async def test_both_books_say_the_same(caller: Caller) -> None:
    number = await caller.takes_in()
    written = await caller.brings(number, event("responded"), event("plan_told", plan="上门"))
    told = (await caller.get(f"/v1/requests/{number}")).json()
    assert entity_tag(written) == entity_tag(told)


@pytest.mark.parametrize("moment", ["2026-05-20T09:00:00+08:00", "2026-05-20T01:00:00Z"])
async def test_a_plus_sign_need_not_be_escaped(caller: Caller, moment: str) -> None:
    answer = await caller.http.get(f"/v1/requests?due_before={moment}", headers=caller.headers)
    assert answer.status_code == 200, answer.text


async def test_the_list_filters_and_pages(caller: Caller) -> None:
    made = {await caller.takes_in(type="installation", urgency="critical") for _ in range(5)}
    wanted: dict[str, Any] = {"type": "installation", "urgency": "critical", "stage": "response"}
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        params = {"limit": 2, **wanted, **cursor}
        page = (await caller.get("/v1/requests", **params)).json()
        assert len(page["items"]) <= 2
        found += [item["number"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert made <= set(found)
    assert len(found) == len(set(found))
    none = await caller.get("/v1/requests", **(wanted | {"stage": "revisit"}))
    assert none.json() == {"items": [], "next": None, "total": 0}
    blank = await caller.get("/v1/requests", **(wanted | {"station": "", "cursor": ""}))
    assert len(blank.json()["items"]) == len(found)
    soon = await caller.get("/v1/requests", due_before=at(days=-1), **wanted)
    assert soon.json()["items"] == []


async def test_long_answers_are_made_beside_the_loop_that_serves_others(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await caller.takes_in()
    makers: set[int] = set()

    def noted(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*given: Any) -> Any:
            makers.add(threading.get_ident())
            return make(*given)

        return made

    monkeypatch.setattr("api.requests.view", noted(view))
    monkeypatch.setattr("api.details.to_jsonable_python", noted(to_jsonable_python))
    for path in ("", f"/{number}/timeline", f"/{number}/forms"):
        assert (await caller.get(f"/v1/requests{path}")).json()["items"]
    assert makers
    assert threading.get_ident() not in makers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "201"),
        ("limit", "many"),
        ("cursor", "not-a-cursor"),
        ("cursor", "W10"),
        ("cursor", after(1, "0001-01-01T00:00:00+14:00", "CR20240520-001")),
        ("cursor", after(2**63, "2026-05-20T01:00:00Z", "CR20240520-001")),
        ("stage", "nowhere"),
        ("urgency", "13812345678"),
        ("clock_state", "late"),
        ("breached", "nothing"),
        ("due_before", "2026-05-20T09:00:00"),
        ("due_before", "yesterday"),
        ("engineer", "a\x00b"),
    ],
)
async def test_a_wrong_filter_is_named(caller: Caller, name: str, value: str) -> None:
    params: dict[str, Any] = {name: value}
    answer = await caller.get("/v1/requests", **params)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [f"/{name}"]
    assert "13812345678" not in answer.text


async def test_what_lies_behind_a_request_comes_in_order(caller: Caller) -> None:
    number = await caller.takes_in()
    await caller.brings(number, event("responded"), event("plan_told", plan="上门检测"))
    path = f"/v1/requests/{number}"

    timeline = (await caller.get(f"{path}/timeline")).json()["items"]
    assert [line["seq"] for line in timeline] == sorted(line["seq"] for line in timeline)
    names = [line["name"] for line in timeline]
    assert names.index("responded") < names.index("plan_told")

    clocks = await caller.get(f"{path}/clocks")
    assert clocks.headers["aftersales-source"] == "workflow"
    by_rule = {clock["rule"]: clock for clock in clocks.json()["items"]}
    assert by_rule["first_response"]["state"] == "kept"

    owed = (await caller.get(f"{path}/obligations")).json()["items"]
    fires = [item["fires_at"] for item in owed if item["fires_at"]]
    assert fires == sorted(fires)
    assert "resolution" in {item["rule"] for item in owed} | set(by_rule)

    forms = (await caller.get(f"{path}/forms")).json()["items"]
    assert [form["code"] for form in forms] == ["SA-CR-001", "SA-WO-002"]
    one = await caller.get(f"{path}/forms/{forms[1]['number']}")
    assert one.json() == forms[1]
    assert (await caller.get(f"{path}/forms/SA-WO-002")).json() == forms[1]
    missing = await caller.get(f"{path}/forms/SA-OS-004")
    assert missing.status_code == 404
    assert missing.json()["code"] == "form_not_found"


async def test_what_is_shown_is_what_the_document_promises(caller: Caller) -> None:
    number = await caller.takes_in(mood="angry", external_id="ORDER-1")
    await caller.brings(
        number, event("responded"), event("assigned", engineer="E-1", reason="就近")
    )
    window = {"window_start": at(hours=2), "window_end": at(hours=4)}
    await caller.brings(number, event("accepted", engineer="E-1"), event("appointed", **window))
    lines = [{"item": "压缩机", "quantity": 1, "unit_price": 380.5}]
    scores = dict.fromkeys(
        ["response", "professionalism", "attitude", "effect", "overall", "recommend"], 2
    )
    shown: dict[str, Any] = {}
    for each in (
        [event("departed"), event("running_late", eta=at(hours=3)), event("arrived")],
        [event("diagnosed", fault="a", cause="b", remedy="c"), event("quoted", lines=lines)],
        [event("quote_approved"), event("completed", test_result="16 °C")],
        [event("signed", signature="张三"), event("paid", amount=380.5, method="scan")],
        [event("call_unanswered"), event("surveyed", scores=scores, channel="sms")],
        [event("noted", text="完")],
    ):
        await caller.reports(number, *each)
        shown = (await caller.get(f"/v1/requests/{number}")).json()
        models.ServiceRequest.model_validate(shown)
    assert shown["survey"] is not None
    promised: Iterable[tuple[str, Any]] = {
        "timeline": models.ShownTimeline,
        "clocks": models.ShownClocks,
        "obligations": models.ShownObligations,
        "forms": models.ShownForms,
    }.items()
    for page, model in promised:
        model.model_validate((await caller.get(f"/v1/requests/{number}/{page}")).json())
