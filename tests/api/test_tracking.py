"""Tracking links: who makes one, what it opens, and what it does not."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from api.tracking import MAY_SHARE, Tracked
from domain.vocabulary import Role
from runtime.tokens import mint, token_key
from runtime.tracking import tracking_link
from tests.api.caller import Caller, body

pytestmark = pytest.mark.server


async def test_a_link_shows_the_request_to_whoever_has_it(caller: Caller) -> None:
    number = await caller.takes_in()
    made = await caller.post(f"/v1/requests/{number}/tracking-link")
    assert made.status_code == 201
    assert set(made.json()) == {"url", "token", "expires_at"}
    path = made.json()["url"].partition("8000")[2]
    assert path == f"/track/{made.json()['token']}"
    answer = await caller.http.get(path, headers={"Accept-Language": "zh-CN"})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    shown = Tracked.model_validate(answer.json())
    assert (shown.number, shown.stage, shown.next_text) == (number, "response", "客服将与您联系。")
    assert "cancelled" in shown.allowed_events
    assert "responded" not in shown.allowed_events
    assert "张" not in answer.text.replace("客服", "")


@pytest.mark.usefixtures("worker")
async def test_its_token_speaks_for_the_customer_of_that_request_alone(caller: Caller) -> None:
    number, other = await caller.takes_in(), await caller.takes_in()
    link = (await caller.post(f"/v1/requests/{number}/tracking-link")).json()
    customer = caller.acting_as(Role.customer)
    customer.headers = {"Authorization": f"Bearer {link['token']}"}
    assert (await customer.get(f"/v1/requests/{number}")).status_code == 200
    held = {"id": str(uuid4()), "type": "held", "reason": "出差"}
    assert (await customer.reports(number, held)).status_code == 200
    timeline = (await caller.get(f"/v1/requests/{number}/timeline")).json()["items"]
    [line] = [line for line in timeline if line["name"] == "held"]
    assert (line["actor_role"], line["actor_id"]) == ("customer", number)
    for answer in (
        await customer.get(f"/v1/requests/{other}"),
        await customer.reports(other, held),
        await customer.get("/v1/requests"),
    ):
        assert answer.json()["code"] == "not_yours"
    assert (await customer.post("/v1/requests", body())).json()["code"] == "scope_missing"
    again = await customer.post(f"/v1/requests/{number}/tracking-link")
    assert again.json()["code"] == "role_not_allowed"


@pytest.mark.parametrize("role", Role)
async def test_those_who_talk_to_customers_make_links(caller: Caller, role: Role) -> None:
    answer = await caller.acting_as(role).post("/v1/requests/CR20200101-001/tracking-link")
    assert answer.json()["code"] == (
        "request_not_found" if role in MAY_SHARE else "role_not_allowed"
    )


async def test_a_forged_or_old_link_opens_nothing(caller: Caller) -> None:
    number = await caller.takes_in()
    key = token_key(caller.settings)
    long_ago = datetime.now(UTC) - timedelta(days=31)
    old = tracking_link(caller.settings, key, number, long_ago).token
    good = tracking_link(caller.settings, key, number, datetime.now(UTC)).token
    answer = await caller.http.get(f"/track/{old}", headers={"Accept-Language": "zh-CN"})
    assert (answer.status_code, answer.json()["code"]) == (410, "tracking_expired")
    assert answer.json()["title"] == "链接已过期"
    head, payload, signature = good.split(".")
    for forged in (
        "x",
        "%00",
        "x" * 5000,
        good[:-8],
        f"{head}.{payload}.{signature[::-1]}",
        mint(caller.settings, Role.manager, "m1"),
        mint(caller.settings, Role.customer, number),
        tracking_link(caller.settings, b"another key" * 4, number, datetime.now(UTC)).token,
    ):
        answer = await caller.http.get(f"/track/{forged}")
        assert (answer.status_code, answer.json()["code"]) == (404, "tracking_unknown")
    gone = tracking_link(caller.settings, key, "CR20200101-001", datetime.now(UTC)).token
    assert (await caller.http.get(f"/track/{gone}")).json()["code"] == "request_not_found"


async def test_a_link_expires_as_a_bearer_token_too(caller: Caller) -> None:
    number = await caller.takes_in()
    long_ago = datetime.now(UTC) - timedelta(days=31)
    token = tracking_link(caller.settings, token_key(caller.settings), number, long_ago).token
    customer = caller.acting_as(Role.customer)
    customer.headers = {"Authorization": f"Bearer {token}"}
    answer = await customer.get(f"/v1/requests/{number}")
    assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")
