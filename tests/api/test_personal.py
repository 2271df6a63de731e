"""Personal data in clear: only for those entitled, for a reason, and never without a trace."""

from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Engine

from api.personal import is_theirs
from domain.vocabulary import Role
from records.engine import writing
from records.personal import erase
from records.tables import Customer, Intake, Request
from runtime.tokens import Principal
from tests.api.caller import Caller, Json, body, event
from tests.pure.builders import given

pytestmark = [pytest.mark.server]

PERSON: Json = {
    "name": "诸葛明",
    "phone": "+86 136-0000-1234",
    "email": "zhuge@example.org",
    "address": "上海市静安区延平路9号",
    "latitude": 31.2,
    "longitude": 121.4,
}
WHY: Json = {"reason": "回电确认预约"}


@pytest_asyncio.fixture(loop_scope="session")
async def number(caller: Caller) -> str:
    return await caller.takes_in(customer=PERSON, remark="另电 13511112222")


async def reads(caller: Caller, **wanted: Any) -> list[dict[str, Any]]:
    answer = await caller.acting_as(Role.auditor).get("/v1/personal-reads", **wanted)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_whoever_is_entitled_sees_the_customer_and_leaves_a_trace(
    caller: Caller, number: str
) -> None:
    agent = caller.acting_as(Role.agent, "A-9")
    answer = await agent.get(f"/v1/requests/{number}/customer", {"X-Request-Id": "call-77"}, **WHY)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {**PERSON, "tier": "standard", "erased": False}
    (read,) = await reads(caller, number=number)
    assert read.pop("at")
    assert read == {
        "role": "agent",
        "who": "A-9",
        "number": number,
        "what": "customer",
        "reason": WHY["reason"],
        "request_id": "call-77",
    }


@pytest.mark.parametrize("reason", [{}, {"reason": ""}, {"reason": "  "}, {"reason": "x" * 201}])
@pytest.mark.parametrize("path", ["customer", "forms?unmasked=true", "forms/SA-CR-001?unmasked=1"])
async def test_without_a_reason_nothing_is_shown(
    caller: Caller, number: str, path: str, reason: Json
) -> None:
    path, _, query = path.partition("?")
    wanted: Json = {**dict([query.split("=")] if query else []), **reason}
    answer = await caller.acting_as(Role.agent).get(f"/v1/requests/{number}/{path}", **wanted)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["/reason"]
    assert await reads(caller, number=number) == []


@pytest.mark.parametrize(
    ("role", "code"),
    [
        (Role.integration, "scope_missing"),
        (Role.analyst, "scope_missing"),
        (Role.engineer, "not_yours"),
        (Role.customer, "not_yours"),
    ],
)
async def test_whoever_is_not_entitled_sees_nothing(
    caller: Caller, number: str, role: Role, code: str
) -> None:
    other = caller.acting_as(role)
    for path in ("customer", "forms", "forms/SA-CR-001"):
        answer = await other.get(f"/v1/requests/{number}/{path}", unmasked="true", **WHY)
        assert (answer.status_code, answer.json()["code"]) == (403, code)
        assert "诸葛明" not in answer.text
    assert await reads(caller, number=number) == []


def test_engineers_see_whom_they_work_for_and_customers_themselves() -> None:
    request = given().walked("accepted").request

    def may(role: Role, id_: str, of: str | None = None) -> bool:
        return is_theirs(Principal(role=role, id=id_, request=of), request)

    assert may(Role.engineer, str(request.engineer))
    assert not may(Role.engineer, "E-other")
    assert may(Role.customer, "c", request.number)
    assert not may(Role.customer, "c", "CR20240520-002")
    assert may(Role.dispatcher, "d")


async def test_forms_are_masked_unless_asked_for_otherwise(caller: Caller, number: str) -> None:
    agent, path = caller.acting_as(Role.agent), f"/v1/requests/{number}/forms"
    for masked in (await agent.get(path), await agent.get(f"{path}/SA-CR-001")):
        assert masked.status_code == 200
        assert not any(secret in masked.text for secret in ("诸葛明", "13511112222", "延平路"))
    whole = await agent.get(path, unmasked="true", **WHY)
    one = await agent.get(f"{path}/SA-CR-001", unmasked="true", **WHY)
    assert whole.json()["items"][0] == one.json()
    assert one.json()["content"]["customer"]["name"] == "诸葛明"
    assert one.json()["content"]["remark"] == "另电 13511112222"
    assert whole.headers["cache-control"] == one.headers["cache-control"] == "no-store"
    assert [read["what"] for read in await reads(caller, number=number)] == ["forms", "forms"]
    missing = await agent.get(f"{path}/SA-OS-004", unmasked="true", **WHY)
    assert missing.json()["code"] == "form_not_found"


@pytest.mark.parametrize("phone", ["13600001234", "+8613600001234", "0086 136 0000 1234"])
async def test_a_customer_is_found_by_phone_however_it_is_spelled(
    caller: Caller, number: str, phone: str
) -> None:
    agent = caller.acting_as(Role.agent)
    answer = await agent.post("/v1/customers/find", {"phone": phone, **WHY})
    assert answer.status_code == 200, answer.text
    found = answer.json()["items"][0]
    assert (found["number"], found["customer"]["name"]) == (number, "诸*")
    assert "13600001234" not in answer.text
    assert (await reads(caller))[0]["what"] == "find"
    engineer = caller.acting_as(Role.engineer)
    hidden = await engineer.post("/v1/customers/find", {"phone": phone, **WHY})
    assert hidden.json() == {"items": []}


async def test_nobody_is_found_by_a_number_that_nobody_has(caller: Caller) -> None:
    agent = caller.acting_as(Role.agent)
    unknown = await agent.post("/v1/customers/find", {"phone": "13600009999", **WHY})
    assert unknown.json() == {"items": []}
    for wrong, field in (
        ({"phone": "13600009999"}, "/reason"),
        ({"phone": "诸葛明13600009999", **WHY}, "/phone"),
        ({"phone": None, **WHY}, "/phone"),
        ({"phone": "13600009999", "name": "x", **WHY}, "/name"),
    ):
        answer = await agent.post("/v1/customers/find", wrong)
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [field]
        assert "13600009999" not in answer.text
    analyst = await caller.acting_as(Role.analyst).post("/v1/customers/find", {})
    assert analyst.json()["code"] == "scope_missing"


async def test_who_has_seen_it_is_for_auditors_and_managers(caller: Caller) -> None:
    for role, status in ((Role.auditor, 200), (Role.manager, 200), (Role.agent, 403)):
        answer = await caller.acting_as(role).get("/v1/personal-reads")
        assert answer.status_code == status
    auditor = caller.acting_as(Role.auditor)
    none = await auditor.get("/v1/personal-reads", number="CR20200101-001")
    assert none.json() == {"items": [], "next": None}
    wrong = await auditor.get("/v1/personal-reads", cursor="nonsense")
    assert [error["field"] for error in wrong.json()["errors"]] == ["/cursor"]


@pytest.mark.usefixtures("worker")
async def test_what_does_not_open_is_said_so_and_the_rest_goes_on(
    caller: Caller, number: str, records: Engine
) -> None:
    with writing(records) as session:
        row = session.get_one(Customer, session.get_one(Intake, number).customer_id)
        kept, row.data_key = row.data_key, "gone.AAAA"
    agent = caller.acting_as(Role.agent)
    path = f"/v1/requests/{number}"
    try:
        for answer in (
            await agent.get(f"{path}/customer", {"Accept-Language": "zh-CN"}, **WHY),
            await agent.get(f"{path}/forms"),
            await caller.post("/v1/requests", body(customer=PERSON)),
        ):
            assert answer.status_code == 503
            assert answer.json()["code"] == "personal_data_unavailable"
        assert (await agent.get(path)).status_code == 200
        assert (await agent.get("/v1/requests")).status_code == 200
        after = await caller.brings(number, event("responded"))
        assert after["stage"] == "dispatch"
    finally:
        with writing(records) as session:
            session.get_one(Customer, session.get_one(Intake, number).customer_id).data_key = kept
    assert (await agent.get(f"{path}/customer", **WHY)).status_code == 200
    assert len(await reads(caller, number=number)) == 1


async def test_an_erased_customer_is_shown_as_erased(caller: Caller, records: Engine) -> None:
    other = await caller.takes_in(customer={**PERSON, "phone": "13600005678"})
    with writing(records) as session:
        session.get_one(Request, other).closed_at = datetime.now(UTC)
    erase(records, other, datetime.now(UTC))
    agent = caller.acting_as(Role.agent)
    shown = (await agent.get(f"/v1/requests/{other}/customer", **WHY)).json()
    assert shown == {
        "name": "***",
        "phone": "***",
        "email": None,
        "address": "***",
        "latitude": None,
        "longitude": None,
        "tier": "standard",
        "erased": True,
    }
    forms = await agent.get(f"/v1/requests/{other}/forms", unmasked="true", **WHY)
    assert forms.json()["items"][0]["content"]["description"] == "***"
    gone = await agent.post("/v1/customers/find", {"phone": "13600005678", **WHY})
    assert gone.json() == {"items": []}
