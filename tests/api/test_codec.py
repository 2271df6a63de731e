"""Temporal's own pages have histories opened by us, for those who may read them."""

import base64
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from structlog.testing import capture_logs
from temporalio.api.common.v1 import Payloads

from domain.vocabulary import Role
from runtime.codec import sealed_converter
from runtime.tokens import codec_token
from tests.api.caller import Caller
from tests.databases import RING

pytestmark = pytest.mark.server

SAID = "客户张三要求改期"


@pytest.fixture
async def sealed() -> dict[str, Any]:
    payloads = await sealed_converter(RING).encode([SAID])
    return dict(MessageToDict(Payloads(payloads=payloads)))


def words(content: dict[str, Any]) -> list[str]:
    return [base64.b64decode(payload["data"]).decode() for payload in content["payloads"]]


async def test_an_auditor_reads_what_a_history_says(caller: Caller, sealed: dict[str, Any]) -> None:
    auditor = caller.acting_as(Role.auditor)
    answer = await auditor.post("/codec/decode", sealed)
    assert answer.status_code == 200
    assert words(answer.json()) == [f'"{SAID}"']
    again = await auditor.post("/codec/encode", answer.json())
    assert SAID not in again.text
    assert words((await auditor.post("/codec/decode", again.json())).json()) == [f'"{SAID}"']


async def test_a_token_of_its_own_may_stand_in_the_address(
    caller: Caller, sealed: dict[str, Any]
) -> None:
    token = codec_token(caller.settings)
    answer = await caller.http.post(f"/codec/{token}/decode", json=sealed)
    assert words(answer.json()) == [f'"{SAID}"']
    # It opens nothing else, and no other token stands there.
    elsewhere = await caller.http.get("/v1/board", headers={"Authorization": f"Bearer {token}"})
    assert elsewhere.status_code == 401
    bearer = caller.acting_as(Role.auditor).headers["Authorization"].removeprefix("Bearer ")
    refused = await caller.http.post(f"/codec/{bearer}/decode", json=sealed)
    assert (refused.status_code, refused.json()["code"]) == (401, "token_invalid")
    assert refused.json()["instance"] == "/codec/***/decode"


@pytest.mark.parametrize("role", [Role.agent, Role.customer, Role.integration])
async def test_nobody_else_does(caller: Caller, sealed: dict[str, Any], role: Role) -> None:
    answer = await caller.acting_as(role).post("/codec/decode", sealed)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert (await caller.http.post("/codec/decode", json=sealed)).status_code == 401


async def test_only_pages_of_the_allowed_origins_may_ask(caller: Caller) -> None:
    ours = caller.settings.codec_origins[0]
    for origin, allowed in ((ours, ours), ("http://evil.example", None)):
        answer = await caller.http.options("/codec/decode", headers={"Origin": origin})
        assert answer.status_code == 204
        assert answer.headers.get("access-control-allow-origin") == allowed


async def test_who_had_what_opened_or_sealed_is_logged(
    caller: Caller, sealed: dict[str, Any]
) -> None:
    auditor = caller.acting_as(Role.auditor)
    spoiled = {"payloads": [{"metadata": sealed["payloads"][0]["metadata"], "data": "eA=="}]}
    with capture_logs() as lines:
        await auditor.post("/codec/decode", {"payloads": sealed["payloads"] * 2})
        await auditor.post("/codec/decode", spoiled)
        await caller.http.post(f"/codec/{codec_token(caller.settings)}/decode", json=sealed)
        await auditor.post("/codec/encode", sealed)
    kept = [line for line in lines if line["event"].startswith("payloads_")]
    assert [(line["event"], line["count"], line.get("unopened")) for line in kept] == [
        ("payloads_opened", 2, 0),
        ("payloads_opened", 1, 1),
        ("payloads_opened", 1, 0),
        ("payloads_sealed", 1, None),
    ]
    assert all(line["by"].startswith("auditor/") for line in kept)
    assert kept[2]["by"] == "auditor/temporal-ui"
    assert SAID not in str(lines)


async def test_what_does_not_open_comes_back_as_it_is(
    caller: Caller, sealed: dict[str, Any]
) -> None:
    sealed["payloads"][0]["data"] = base64.b64encode(b"changed").decode()
    answer = await caller.acting_as(Role.auditor).post("/codec/decode", sealed)
    assert answer.json() == sealed


@pytest.mark.parametrize("rubbish", [{"payloads": 1}, [], "x", {"payload": []}, {"payloads": [3]}])
async def test_rubbish_is_told_what_to_send(caller: Caller, rubbish: Any) -> None:
    answer = await caller.acting_as(Role.auditor).post("/codec/decode", rubbish)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
