"""Webhooks over HTTP: made, changed, tried and looked at by those who may, and by nobody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment

from activities.dispatcher import Dispatcher
from activities.targets import Targets
from activities.webhooks import Sender, Webhooks
from domain.vocabulary import Role
from records.engine import reading
from records.tables import Webhook
from runtime.settings import Settings
from tests.api.caller import Caller
from tests.receiver import Receiver, listening, says
from worker import build_webhook_worker
from workflows.knock import knock

pytestmark = pytest.mark.server

PUBLIC = "https://93.184.216.34/hook"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def webhook_worker(
    temporal: WorkflowEnvironment, records: Engine, settings: Settings
) -> AsyncIterator[None]:
    sender = Sender(Targets(settings.webhook_allowance))
    webhooks = Webhooks(records, sender)
    async with build_webhook_worker(temporal.client, webhooks, grace=timedelta(seconds=1)):
        knocking = asyncio.create_task(Dispatcher(records, partial(knock, temporal.client)).run())
        yield
        knocking.cancel()
        with suppress(asyncio.CancelledError):
            await knocking
    await sender.close()


async def made(caller: Caller, **changes: Any) -> dict[str, Any]:
    response = await caller.post("/v1/webhooks", {"url": PUBLIC, "types": ["*"], **changes})
    assert response.status_code == 201, response.text
    answer: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/v1/webhooks/{answer['id']}"
    assert response.headers["cache-control"] == "no-store"
    return answer


async def patched(caller: Caller, id: str, **changes: Any) -> Any:
    return await caller.http.patch(f"/v1/webhooks/{id}", json=changes, headers=caller.headers)


async def test_the_secret_is_shown_once_and_sealed(caller: Caller, records: Engine) -> None:
    new = await made(caller, types=["request.*", "clock.breached"], description="ERP 对接")
    assert new["secret"].startswith("whsec_")
    assert new["types"] == ["aftersales.request.*", "aftersales.clock.breached"]
    shown = (await caller.get(f"/v1/webhooks/{new['id']}")).json()
    assert shown == {name: value for name, value in new.items() if name != "secret"}
    listed = (await caller.get("/v1/webhooks")).json()["items"]
    assert shown in listed
    with reading(records) as session:
        row = session.get_one(Webhook, new["id"])
    assert new["secret"][6:20] not in str(row)


async def test_an_integration_sees_its_own_and_a_manager_all(caller: Caller) -> None:
    new = await made(caller)
    path = f"/v1/webhooks/{new['id']}"
    other = caller.acting_as(Role.integration, "another")
    for call in (
        other.get(path),
        other.get(f"{path}/deliveries"),
        other.post(f"{path}/test"),
        other.post(f"{path}/rotate-secret"),
        other.post(f"{path}/replay"),
        patched(other, new["id"], state="paused"),
        other.http.delete(path, headers=other.headers),
        other.get("/v1/webhooks/wh_%00"),
    ):
        response = await call
        assert (response.status_code, response.json()["code"]) == (404, "webhook_not_found")
    assert new["id"] not in (await other.get("/v1/webhooks")).text
    manager = caller.acting_as(Role.manager)
    assert new["id"] in (await manager.get("/v1/webhooks")).text
    assert (await manager.get(path)).status_code == 200
    agent = await caller.acting_as(Role.agent).get("/v1/webhooks")
    assert (agent.status_code, agent.json()["code"]) == (403, "scope_missing")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"types": ["request.exploded"]}, "/types/0"),
        ({"types": []}, "/types"),
        ({"types": None}, "/types"),
        ({"url": "http://93.184.216.34/hook"}, "/url"),
        ({"url": "https://127.0.0.2/hook"}, "/url"),
        ({"url": "https://169.254.169.254/latest/meta-data"}, "/url"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "/url"),
        ({"url": "https://user:pass@93.184.216.34/"}, "/url"),
        ({"url": "https://93.184.216.34:25/"}, "/url"),
        ({"url": "https://2130706433/"}, "/url"),
        ({"url": "https://x.invalid/"}, "/url"),
        ({"url": "例え"}, "/url"),
        ({"stations": ["a\0b"]}, "/stations/0"),
        ({"give_up_after": "1m"}, "/give_up_after"),
        ({"give_up_after": "bald"}, "/give_up_after"),
        ({"secret": "whsec_mine"}, "/secret"),
    ],
)
async def test_what_cannot_be_is_refused_with_the_field(
    caller: Caller, wrong: dict[str, Any], field: str
) -> None:
    body = {"url": PUBLIC, "types": ["*"], **wrong}
    response = await caller.post("/v1/webhooks", body, {"Accept-Language": "zh-CN"})
    assert response.status_code == 422, response.text
    (error,) = response.json()["errors"]
    assert error["field"] == field
    assert not error["message"].isascii()


async def test_a_subscription_is_changed_paused_and_resumed(caller: Caller) -> None:
    new = await made(caller, give_up_after="1d", description="x", stations=["S1", "S1"])
    assert (new["stations"], new["give_up_after"]) == (["S1"], "P1D")
    changed = (
        await patched(
            caller, new["id"], types=["*"], give_up_after=None, description=None, state="paused"
        )
    ).json()
    assert (changed["types"], changed["give_up_after"], changed["description"]) == (
        ["*"],
        None,
        None,
    )
    assert (changed["state"], changed["paused_because"], changed["stations"]) == (
        "paused",
        "asked",
        ["S1"],
    )
    tried = await caller.post(f"/v1/webhooks/{new['id']}/test")
    assert (tried.status_code, tried.json()["code"]) == (409, "webhook_paused")
    resumed = (await patched(caller, new["id"], state="active")).json()
    assert (resumed["state"], resumed["paused_because"]) == ("active", None)
    for empty in ("types", "url", "state", "stations"):
        response = await patched(caller, new["id"], **{empty: None})
        assert response.json()["errors"][0]["field"] == f"/{empty}"
    refused = await patched(caller, new["id"], url="https://127.0.0.2:1/x\\@example.com")
    assert refused.json()["errors"][0]["field"] == "/url"


async def test_a_rotated_secret_overlaps_with_the_old_one(caller: Caller) -> None:
    new = await made(caller)
    path = f"/v1/webhooks/{new['id']}/rotate-secret"
    rotated = (await caller.post(path)).json()
    assert rotated["secret"] != new["secret"]
    until = datetime.fromisoformat(rotated["old_secret_until"])
    assert until - datetime.now(until.tzinfo) > timedelta(hours=23)
    at_once = (await caller.post(path, {"overlap": "0s"})).json()
    assert at_once["old_secret_until"] is None
    assert (await caller.post(path, {"overlap": "99d"})).status_code == 422


async def test_a_request_is_heard_of_looked_at_and_sent_again(
    caller: Caller, worker: None, webhook_worker: None
) -> None:
    async with listening(Receiver(always=says(200, "danke"))) as receiver:
        new = await made(caller, url=receiver.url, types=["request.received", "webhook.ping"])
        path = f"/v1/webhooks/{new['id']}"
        ping = (await caller.post(f"{path}/test")).json()
        assert ping["type"] == "aftersales.webhook.ping"
        await receiver.hears(1)
        assert receiver.calls[0].signed_with(new["secret"])["data"] == {"webhook": new["id"]}

        number = await caller.takes_in()
        await receiver.hears(2)
        call = receiver.calls[1]
        assert call.signed_with(new["secret"])["subject"] == number
        delivered = await _one(caller, path, number, "delivered")
        assert (delivered["attempts"], delivered["last_status"]) == (1, 200)
        assert delivered["last_answer"] == "danke"
        assert delivered["id"] == call.headers["webhook-id"]
        for personal in ("张三丰", "13812345678", "世纪大道", "不制冷"):
            assert personal not in call.body.decode()

        again = await caller.post(f"{path}/deliveries/{delivered['id']}/replay")
        assert (again.status_code, again.json()["state"]) == (202, "queued")
        await receiver.hears(3)
        assert receiver.calls[2].headers["webhook-id"] == delivered["id"]
        for unknown in (f"{number}:999", "nothing", f"{number}:x", "a%00b:1"):
            response = await caller.post(f"{path}/deliveries/{unknown}/replay")
            assert (response.status_code, response.json()["code"]) == (404, "delivery_not_found")
        assert (await caller.post(f"{path}/replay")).json() == {"replayed": 0}

        first = (await caller.get(f"{path}/deliveries", limit=1)).json()
        second = (await caller.get(f"{path}/deliveries", limit=1, cursor=first["next"])).json()
        assert {first["items"][0]["number"], second["items"][0]["number"]} == {number, new["id"]}
        assert second["next"] is None
        assert (await caller.get(f"{path}/deliveries", cursor="x")).status_code == 422

        assert (await caller.http.delete(path, headers=caller.headers)).status_code == 204
        assert (await caller.get(path)).status_code == 404


async def _one(caller: Caller, path: str, number: str, state: str) -> dict[str, Any]:
    """The delivery about this request, once it is in this state."""
    for _ in range(200):
        items = (await caller.get(f"{path}/deliveries", number=number, state=state)).json()["items"]
        if items:
            (found,) = items
            return dict(found)
        await asyncio.sleep(0.05)
    raise AssertionError(f"no delivery of {number} is {state}")
