"""Events from other systems, as CloudEvents: modes, identity, and an answer for each."""

import json
import re
import shlex
from base64 import b64encode
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import httpx
import pytest
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent as Sent

from api.cloud_events import MOST_BYTES_OF_A_BATCH
from domain.cloud_events import BATCH, STRUCTURED
from domain.vocabulary import Role
from runtime.settings import Settings
from tests.api.caller import SCORES, Caller, event
from tests.api.conftest import serving

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("worker")]

Json = dict[str, Any]
NOWHERE = "CR20200101-001"


def cloud(type_: str, number: str, actor: str | None = "agent", **changes: Any) -> Json:
    """A plausible CloudEvent."""
    named = {"actorrole": actor, "actorid": f"{actor}-1"} if actor else {}
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "https://crm.example.com",
        "type": type_,
        "subject": number,
        **named,
        **changes,
    }


async def send(caller: Caller, *events: Any, **headers: str) -> httpx.Response:
    headers["Content-Type"] = BATCH
    return await caller.post("/v1/events", list(events), headers)


async def results(caller: Caller, *events: Any, **headers: str) -> list[Json]:
    answer = await send(caller, *events, **headers)
    assert answer.status_code == 202, answer.text
    found: list[Json] = answer.json()["results"]
    return found


async def after(caller: Caller, number: str) -> Json:
    """The request once what was left is judged: an update waits its turn behind the signals."""
    return await caller.brings(number, event("noted", text="到此为止"))


async def names(caller: Caller, number: str) -> list[str]:
    lines = (await caller.get(f"/v1/requests/{number}/timeline")).json()["items"]
    return [line["name"] for line in lines if line["kind"] == "event"]


# --- three modes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to_message", "actor"), [(to_binary, "agent/A-07"), (to_structured, "客服 07%")]
)
async def test_what_the_reference_library_sends_is_understood(
    caller: Caller, to_message: Any, actor: str
) -> None:
    number = await caller.takes_in()
    told = cloud("responded", number, actorid=actor) | {"datacontenttype": "application/json"}
    headers, content = to_message(Sent(told, {"note": "已致电"}))
    answer = await caller.post("/v1/events", content=content, headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.json() == {
        "results": [{"id": told["id"], "status": "accepted", "subject": number}]
    }
    assert (await after(caller, number))["stage"] == "dispatch"
    lines = (await caller.get(f"/v1/requests/{number}/timeline")).json()["items"]
    line = next(line for line in lines if line["name"] == "responded")
    assert (line["actor_id"], line["event_id"]) == (actor, told["id"])
    assert line["data"] == {"note": "已致电"}


async def test_an_id_that_is_no_text_is_refused_rather_than_taken_for_another(
    caller: Caller,
) -> None:
    number = await caller.takes_in()
    headers = {f"ce-{name}": value for name, value in cloud("noted", number).items()}
    answer = await caller.post("/v1/events", {"text": "x"}, headers | {"ce-id": "id-%FF"})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_a_quoted_header_is_read_as_it_was_meant(caller: Caller) -> None:
    number = await caller.takes_in()
    attributes = cloud("noted", number, actorid='"A \\"7\\" %E5%BC%A0"')
    headers = {f"ce-{name}": value for name, value in attributes.items()}
    answer = await caller.post("/v1/events", {"text": "x"}, headers)
    assert answer.status_code == 202, answer.text
    await after(caller, number)
    lines = (await caller.get(f"/v1/requests/{number}/timeline")).json()["items"]
    assert next(line for line in lines if line["name"] == "noted")["actor_id"] == 'A "7" 张'


async def test_a_batch_is_applied_in_order(caller: Caller) -> None:
    number, other = await caller.takes_in(), await caller.takes_in()
    sent = [
        cloud("responded", number),
        cloud("cn.aftersales.request.responded", other),
        cloud("aftersales.noted", number, data={"text": "一"}),
        cloud("noted", number, data_base64=b64encode('{"text": "二"}'.encode()).decode()),
    ]
    found = await results(caller, *sent)
    assert [each["status"] for each in found] == ["accepted"] * 4
    assert [(each["id"], each["subject"]) for each in found] == [
        (each["id"], each["subject"]) for each in sent
    ]
    await after(caller, number)
    assert await names(caller, number) == ["responded", "noted", "noted", "noted"]
    assert (await after(caller, other))["stage"] == "dispatch"


async def test_an_empty_batch_is_answered_with_nothing(caller: Caller) -> None:
    assert await results(caller) == []


async def test_an_event_before_its_turn_waits(caller: Caller) -> None:
    number = await caller.takes_in()
    early = cloud("assigned", number, "dispatcher", data={"engineer": "E-1", "reason": "就近"})
    assert (await results(caller, early, cloud("responded", number)))[0]["status"] == "accepted"
    assert (await after(caller, number))["offers"][-1]["engineer"] == "E-1"


# --- one event, however it comes ------------------------------------------------------------------


async def test_a_uuid_is_the_same_event_through_both_doors_and_every_mode(
    caller: Caller, settings: Settings
) -> None:
    number = await caller.takes_in()
    responded = event("responded")
    left = cloud("responded", number, id=responded["id"].upper())
    await caller.brings(number, responded)
    assert (await results(caller, left, left))[1]["status"] == "repeated"
    binary = {f"ce-{name}": value for name, value in left.items()}
    assert (await caller.post("/v1/events", headers=binary)).status_code == 202
    assert (await caller.reports(number, responded, Prefer="respond-async")).status_code == 202
    async with serving(settings) as address, httpx.AsyncClient(trust_env=False) as http:
        # Another process, as after a restart.
        again = await http.post(
            f"{address}/v1/events",
            json=left,
            headers={**caller.headers, "Content-Type": STRUCTURED},
        )
        assert again.json()["results"][0]["status"] == "accepted"
    assert (await after(caller, number))["event_count"] == 2


async def test_any_other_id_counts_together_with_its_source(caller: Caller) -> None:
    number = await caller.takes_in()
    one = cloud("noted", number, id="42", source="crm", data={"text": "一"})
    await results(caller, one, one)
    await results(caller, one, {**one, "source": "erp"}, {**one, "id": "43"})
    known = str(uuid5(uuid5(NAMESPACE_URL, "crm"), "42"))
    shown = await caller.brings(number, {**event("noted", text="一"), "id": known})
    assert shown["event_count"] == 3


async def test_a_closed_request_knows_what_it_took(caller: Caller) -> None:
    number = await caller.takes_in(type="consultation")
    answered = cloud("answered", number, data={"answer": "请清洗滤网"})
    scores: Json = {"scores": dict.fromkeys(SCORES, 5), "channel": "phone"}
    surveyed = cloud("surveyed", number, data=scores)
    await results(caller, answered)
    await caller.brings(number, {**event("surveyed", **scores), "id": surveyed["id"]})
    found = await results(caller, answered, surveyed, cloud("noted", number, data={"text": "晚"}))
    assert [each["status"] for each in found] == ["repeated", "repeated", "refused"]
    assert found[2]["code"] == "request_closed"


# --- refused --------------------------------------------------------------------------------------


async def test_one_bad_event_never_spoils_the_others(caller: Caller) -> None:
    number = await caller.takes_in()
    good = cloud("responded", number)
    wrong: list[tuple[Any, str, str | None]] = [
        ("text", "validation_failed", ""),
        (None, "validation_failed", ""),
        ({}, "validation_failed", "/specversion"),
        (cloud("responded", number, specversion="0.3"), "validation_failed", "/specversion"),
        (cloud("responded", number, id=7), "validation_failed", "/id"),
        (cloud("responded", number, source=""), "validation_failed", "/source"),
        (cloud("responded", number, subject=None), "validation_failed", "/subject"),
        (cloud("responded", number, time="2026-05-20"), "validation_failed", "/time"),
        (cloud("responded", number, actorrole="boss"), "validation_failed", "/actorrole"),
        (cloud("responded", number, actorid=None), "validation_failed", ""),
        (cloud("responded", number, data="x"), "validation_failed", "/data"),
        (cloud("responded", number, data={"a": 1}), "validation_failed", "/data/a"),
        (
            cloud("responded", number, data_base64="!"),
            "validation_failed",
            "/data_base64",
        ),
        (cloud("responded", number, data_base64=7), "validation_failed", "/data_base64"),
        (
            cloud("responded", number, data_base64=b64encode(b"<a/>").decode()),
            "validation_failed",
            "/data_base64",
        ),
        (
            cloud("responded", number, datacontenttype="text/xml", data={}),
            "validation_failed",
            "/datacontenttype",
        ),
        (cloud("secret-138", number), "unknown_event_type", "/type"),
        (cloud("responded", NOWHERE), "request_not_found", None),
        (cloud("responded", "../../etc"), "request_not_found", None),
        (cloud("responded", number, "engineer"), "role_not_allowed", None),
    ]
    found = await results(caller, *(each for each, *_ in wrong), good, **{"Accept-Language": "zh"})
    assert found[-1]["status"] == "accepted"
    for result, (sent, code, field) in zip(found, wrong, strict=False):
        assert (result["status"], result["code"]) == ("refused", code), (sent, result)
        assert any("一" <= letter <= "鿿" for letter in result["reason"])
        if field is not None:
            assert field in [each["field"] for each in result["errors"]], (sent, result)
    assert "secret-138" not in json.dumps(found)
    assert (await after(caller, number))["event_count"] == 2


async def test_everyone_but_an_integration_speaks_for_themselves(caller: Caller) -> None:
    number = await caller.takes_in()
    agent = caller.acting_as(Role.agent, "agent-7")
    found = await results(
        agent,
        cloud("noted", number, "engineer", data={"text": "代"}),
        cloud("noted", number, "agent", data={"text": "冒"}),
        cloud("responded", number, None),
    )
    assert [each["status"] for each in found] == ["refused", "accepted", "accepted"]
    assert found[0]["code"] == "actor_mismatch"
    await after(caller, number)
    lines = (await caller.get(f"/v1/requests/{number}/timeline")).json()["items"]
    actors = {line["actor_id"] for line in lines if line["name"] in ("noted", "responded")}
    assert actors == {"agent-7", "engineer-1"}  # the engineer is `after`'s


async def test_data_may_name_the_actor(caller: Caller) -> None:
    number = await caller.takes_in()
    actor = {"role": "agent", "id": "A-9"}
    (found,) = await results(caller, cloud("responded", number, None, data={"actor": actor}))
    assert found["status"] == "accepted"
    await after(caller, number)
    lines = (await caller.get(f"/v1/requests/{number}/timeline")).json()["items"]
    assert next(line for line in lines if line["name"] == "responded")["actor_id"] == "A-9"


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"{}", {}, 415),
        (b"<a/>", {"Content-Type": "application/cloudevents+xml", "ce-id": "1"}, 415),
        (b"hello", {"Content-Type": "text/plain", "ce-id": "1"}, 415),
        (b"{", {"Content-Type": "application/json", "ce-id": "1"}, 422),
        (b"{", {"Content-Type": STRUCTURED}, 422),
        (b"[]", {"Content-Type": STRUCTURED}, 422),
        (b"{}", {"Content-Type": BATCH}, 422),
        (b"[" + b"{}," * 1000 + b"{}]", {"Content-Type": BATCH}, 422),
        (b'["%s"]' % (b"x" * MOST_BYTES_OF_A_BATCH), {"Content-Type": BATCH}, 413),
        (b'"%s"' % (b"x" * 300_000), {"Content-Type": STRUCTURED}, 413),
    ],
)
async def test_an_envelope_that_cannot_be_read_is_the_callers_to_mend(
    caller: Caller, content: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await caller.post("/v1/events", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    if status == 415:
        assert STRUCTURED in answer.headers["accept-post"]


async def test_the_door_is_locked(caller: Caller) -> None:
    sent = cloud("responded", NOWHERE)
    headers = {"Content-Type": STRUCTURED}
    assert (await caller.http.post("/v1/events", json=sent, headers=headers)).status_code == 401
    analyst = caller.acting_as(Role.analyst)
    (result,) = (await analyst.post("/v1/events", sent, headers)).json()["results"]
    assert (result["status"], result["code"]) == ("refused", "actor_mismatch")


@pytest.mark.parametrize("page", ["integration.md", "integration.zh-CN.md"])
async def test_the_examples_of_the_documents_work(caller: Caller, page: str) -> None:
    number = await caller.takes_in()
    text = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8")
    said = []
    for line in re.findall(r"^curl .*", text, re.M):
        told = line.replace("$NUMBER", number).replace("$URL", "").replace("$TOKEN", "…")
        _, _, path, *rest = shlex.split(told)
        given = list(zip(rest[::2], rest[1::2], strict=True))
        headers = dict(value.split(": ", 1) for flag, value in given if flag == "-H")
        (content,) = (value for flag, value in given if flag == "-d")
        sent = headers | caller.headers
        answer = await caller.http.post(path, content=content.encode(), headers=sent)
        assert answer.status_code == 202, answer.text
        said += [each["status"] for each in answer.json()["results"]]
    assert said == ["accepted"] * 3 + ["refused"]
    shown = await after(caller, number)
    assert (shown["stage"], shown["event_count"]) == ("dispatch", 4)
