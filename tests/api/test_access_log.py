"""An auditor reads everything and changes nothing, and whatever they read is written down."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from api.app import create_app
from domain.vocabulary import Role
from runtime.tokens import token_key
from runtime.tracking import tracking_link
from tests.api.caller import Caller, Json, event

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("worker")]

READ_BY_POST = {"findCustomer", "decodePayloads", "encodePayloads"}
"""What is asked for stands in their body; nothing is changed by them."""


@pytest.fixture
def auditor(caller: Caller) -> Caller:
    return caller.acting_as(Role.auditor, "AUD-7")


async def log_of(auditor: Caller, **wanted: Any) -> list[Json]:
    answer = await auditor.get("/v1/audit/reads", **wanted)
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items


async def test_an_auditor_reads_everything_and_writes_nothing(
    caller: Caller, auditor: Caller
) -> None:
    number = await caller.takes_in()
    await caller.brings(number, event("responded"))
    manager = caller.acting_as(Role.manager)
    hook = {"url": "http://127.0.0.1:9/", "types": ["*"]}
    made = await manager.post("/v1/webhooks", hook)
    (task, *_) = (await manager.get("/v1/tasks", role="agent")).json()["items"]
    link = tracking_link(caller.settings, token_key(caller.settings), number, datetime.now(UTC))
    places = {
        "/v1/webhooks/{id}": {"id": made.json()["id"], "delivery": f"{number}:1"},
        "/v1/tasks/{id}": {"id": task["id"]},
        "/v1/notifications/{id}": {"id": f"{number}:1"},
        "": {"number": number, "form": "SA-CR-001", "token": link.token},
    }
    before = (await caller.get(f"/v1/requests/{number}")).json()["event_count"]
    answers: dict[str, int] = {}
    for path, operations in create_app(caller.settings).openapi()["paths"].items():
        known = next(each for prefix, each in places.items() if path.startswith(prefix))
        address = path.format(**{**places[""], **known})
        for method, operation in operations.items():
            answers[operation["operationId"]] = await _status(auditor, method, address, operation)
            name = operation["operationId"]
            reads = method == "get" or name in READ_BY_POST
            if name == "getReadiness":  # A question to the house: a busy one may say 503.
                continue
            assert answers[name] == (200 if reads else 403), name
    assert len(answers) >= 49
    after = await caller.get(f"/v1/requests/{number}")
    assert after.json()["event_count"] == before
    assert (await manager.get("/v1/webhooks/" + made.json()["id"])).status_code == 200
    await manager.http.request(
        "DELETE", "/v1/webhooks/" + made.json()["id"], headers=manager.headers
    )


async def _status(auditor: Caller, method: str, address: str, operation: Json) -> int:
    wanted = {"reason": "stichprobe", "role": "agent", "date": "2026-05-20"}
    needed = [each for each in operation.get("parameters", []) if each["in"] == "query"]
    query = {e["name"]: wanted[e["name"]] for e in needed if e.get("required")}
    bodies = {
        "findCustomer": {"phone": "13812345678", "reason": "抽查"},
        "decodePayloads": {"payloads": []},
        "encodePayloads": {"payloads": []},
    }
    body = bodies.get(operation["operationId"], {}) if method in ("post", "patch") else None
    async with auditor.http.stream(
        method.upper(), address, params=query, json=body, headers=auditor.headers
    ) as answer:
        return answer.status_code


async def test_every_audit_read_is_in_the_log(caller: Caller, auditor: Caller) -> None:
    number = await caller.takes_in()
    path = f"/v1/audit/requests/{number}"
    at = datetime.now(UTC).isoformat()
    await auditor.get(path, {"X-Request-Id": "call-1"}, at=at)
    await auditor.get(f"{path}/history", {"X-Request-Id": "call-2"})
    await auditor.get(f"{path}/verification", {"X-Request-Id": "call-3"})
    personal = await auditor.get(f"/v1/requests/{number}/customer", reason="抽查 13812345678")
    assert personal.status_code == 200
    await auditor.get("/v1/personal-reads", number=number)
    first, *rest = await log_of(auditor, number=number)
    assert (first["what"], first["about"]) == ("listReads", f"number={number}")
    assert [(row["what"], row["kind"]) for row in rest] == [
        ("listPersonalReads", "audit"),
        ("customer", "personal"),
        ("getVerification", "audit"),
        ("getHistory", "audit"),
        ("getRequestAt", "audit"),
    ]
    assert {(row["role"], row["who"]) for row in rest} == {("auditor", "AUD-7")}
    assert [row["request_id"] for row in rest[2:]] == ["call-3", "call-2", "call-1"]
    assert rest[1]["reason"] == "抽查 ***"
    assert rest[4]["about"].startswith("at=")
    assert await log_of(auditor, kind="personal", number=number) == [rest[1]]
    theirs = await log_of(auditor, who="AUD-7")
    assert {row["who"] for row in theirs} == {"AUD-7"}


async def test_the_log_is_read_page_by_page(caller: Caller, auditor: Caller) -> None:
    number = await caller.takes_in()
    for _ in range(3):
        await auditor.get(f"/v1/audit/requests/{number}")
    first = (await auditor.get("/v1/audit/reads", number=number, kind="audit", limit=2)).json()
    rest = await auditor.get("/v1/audit/reads", number=number, limit=2, cursor=first["next"])
    names = [row["what"] for row in (*first["items"], *rest.json()["items"])]
    assert names == ["listReads", "getRequestAt", "getRequestAt", "getRequestAt"]
    wrong = await auditor.get("/v1/audit/reads", cursor="nonsense")
    assert [error["field"] for error in wrong.json()["errors"]] == ["/cursor"]


@pytest.fixture
def full(records: Engine) -> Iterator[None]:
    """Nothing more goes into the access log."""
    with records.begin() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER full BEFORE INSERT ON access_log "
                "BEGIN SELECT RAISE(ABORT, 'no room'); END"
            )
        )
    yield
    with records.begin() as connection:
        connection.execute(text("DROP TRIGGER full"))


@pytest.mark.usefixtures("full")
async def test_what_cannot_be_written_down_is_not_shown(caller: Caller, auditor: Caller) -> None:
    number = await caller.takes_in()
    path = f"/v1/audit/requests/{number}"
    for address in (path, f"{path}/history", f"{path}/verification", "/v1/audit/reads"):
        answer = await auditor.get(address)
        assert (answer.status_code, answer.json()["code"]) == (503, "records_unavailable")
        assert "runs" not in answer.text
    opened = await auditor.post("/codec/decode", {"payloads": []})
    assert opened.status_code == 503


async def test_nobody_else_reads_the_log(caller: Caller) -> None:
    for role in (Role.agent, Role.supervisor, Role.analyst, Role.customer, Role.integration):
        answer = await caller.acting_as(role).get("/v1/audit/reads")
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    refused: httpx.Response = await caller.http.get("/v1/audit/reads")
    assert refused.status_code == 401
