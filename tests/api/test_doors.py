"""What holds at every door: headers, methods, how often one may knock, and an issuer's tokens."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from domain.vocabulary import Role
from runtime.settings import Settings
from tests.api.caller import Caller, body
from tests.api.conftest import serving
from tests.runtime.test_oidc import AUDIENCE, House, Token, house, token

__all__ = ["house", "token"]

pytestmark = pytest.mark.server

DOORS = ["/v1/requests", "/v1/requests/CR20200101-001", "/livez", "/nowhere", "/docs", "/track/x"]


@asynccontextmanager
async def another(settings: Settings, **changes: Any) -> AsyncIterator[Caller]:
    """The same installation under other settings, and an agent who calls it."""
    ours = settings.model_copy(update=changes)
    async with (
        serving(ours) as address,
        httpx.AsyncClient(base_url=address, timeout=30, trust_env=False) as http,
    ):
        yield Caller(http, ours, Role.agent)


@pytest.mark.parametrize("path", DOORS)
async def test_every_answer_says_what_a_browser_may_do_with_it(caller: Caller, path: str) -> None:
    for answer in (await caller.get(path), await caller.http.get(path)):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert ("script-src" in policy) == (path == "/docs")
        assert "strict-transport-security" not in answer.headers


@pytest.mark.usefixtures("worker")
async def test_what_was_shown_to_one_caller_is_not_kept(caller: Caller) -> None:
    number = await caller.takes_in()
    for path in ("/v1/requests", f"/v1/requests/{number}/timeline"):
        assert (await caller.get(path)).headers["cache-control"] == "no-store"
    tagged = await caller.get(f"/v1/requests/{number}")
    assert tagged.headers["cache-control"] == "private, no-cache"


async def test_behind_https_browsers_are_told_to_keep_to_it(settings: Settings) -> None:
    async with another(settings, public_url="https://help.example") as agent:
        answer = await agent.http.get("/livez")
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        made = await agent.takes_in()
        link = await agent.post(f"/v1/requests/{made}/tracking-link")
        assert link.json()["url"].startswith("https://help.example/track/")


@pytest.mark.parametrize(
    "path", ["/v1/requests?engineer=nobody", "/livez", "/docs", "/openapi.json", "/nowhere"]
)
async def test_head_answers_like_get_without_the_body(caller: Caller, path: str) -> None:
    got = await caller.http.get(path, headers=caller.headers)
    head = await caller.http.head(path, headers=caller.headers)
    assert head.status_code == got.status_code
    assert head.content == b""
    changing = {"date", "x-request-id", "ratelimit"}
    assert {n: v for n, v in head.headers.items() if n not in changing} == {
        n: v for n, v in got.headers.items() if n not in changing
    }


async def test_head_is_no_way_around_the_token(caller: Caller) -> None:
    assert (await caller.http.head("/v1/requests")).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/requests", "GET, HEAD, POST"),
        ("DELETE", "/v1/requests/CR20200101-001", "GET, HEAD"),
        ("GET", "/v1/requests/CR20200101-001/events", "POST"),
        ("HEAD", "/v1/requests/CR20200101-001/events", "POST"),
        ("POST", "/livez", "GET, HEAD"),
        ("POST", "/static-offline-docs/favicon.png", "GET, HEAD"),
    ],
)
async def test_allow_names_every_method_of_the_address(
    caller: Caller, method: str, path: str, allow: str
) -> None:
    answer = await caller.http.request(method, path, headers=caller.headers)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize("name", ["sort", "request_type", "Stage", "limit[]", "级别"])
async def test_an_unknown_filter_is_named(caller: Caller, name: str) -> None:
    params: dict[str, Any] = {name: "x"}
    answer = await caller.get("/v1/requests", {"Accept-Language": "zh-CN"}, **params)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": f"/{name}", "message": "没有这个字段"}]


async def test_whoever_calls_too_often_is_told_when_to_come_back(settings: Settings) -> None:
    rates = {
        "rate_limit": "5/minute",
        "rate_limit_integration": "8/minute",
        "rate_limit_failures": "3/minute",
    }
    async with another(settings, **rates) as agent:
        answers = [await agent.get("/v1/requests") for _ in range(7)]
        assert [a.status_code for a in answers] == [200] * 5 + [429] * 2
        assert [a.headers["ratelimit"].partition(";t")[0] for a in answers] == [
            f'"caller";r={left}' for left in (4, 3, 2, 1, 0, 0, 0)
        ]
        assert {a.headers["ratelimit-policy"] for a in answers} == {'"caller";q=5;w=60'}
        refused = answers[-1]
        assert refused.json()["code"] == "rate_limited"
        assert 1 <= int(refused.headers["retry-after"]) <= 120
        # Another person, and a system, have limits of their own.
        assert (await agent.acting_as(Role.agent, "a2").get("/v1/requests")).status_code == 200
        system = agent.acting_as(Role.integration)
        taken = [(await system.post("/v1/requests", body())).status_code for _ in range(9)]
        assert taken == [201] * 8 + [429]
        # Nobody is refused a look at the health of it.
        assert {(await agent.http.get("/livez")).status_code for _ in range(20)} == {200}

        wrong = {"Authorization": "Bearer nonsense"}
        guesses = [await agent.http.get("/v1/requests", headers=wrong) for _ in range(5)]
        assert [g.status_code for g in guesses] == [401] * 3 + [429] * 2
        assert guesses[-1].headers["retry-after"]
        assert (await agent.http.get("/track/nonsense")).status_code == 429
        # A good token from the same address is served all the same.
        assert (await agent.acting_as(Role.agent, "a3").get("/v1/requests")).status_code == 200


async def test_an_issuers_token_opens_the_door_and_ours_do_as_well(
    settings: Settings, house: House, token: Token
) -> None:
    issued = {"oidc_issuer": house.name, "oidc_audience": AUDIENCE}
    async with another(settings, **issued) as agent:

        async def with_token(given: str) -> httpx.Response:
            return await agent.http.get(
                "/v1/requests", headers={"Authorization": f"Bearer {given}"}
            )

        house.up = False
        unknown = await with_token(token())
        assert (unknown.status_code, unknown.json()["code"]) == (503, "identity_unavailable")
        assert unknown.headers["retry-after"]
        assert (await agent.get("/v1/requests")).status_code == 200


async def test_what_an_issuers_token_lacks_is_named(
    settings: Settings, house: House, token: Token
) -> None:
    issued = {"oidc_issuer": house.name, "oidc_audience": AUDIENCE}
    async with another(settings, **issued) as agent:

        async def answer(**claims: Any) -> tuple[int, str]:
            bearer = {"Authorization": f"Bearer {token(**claims)}"}
            got = await agent.http.get("/v1/requests", headers=bearer)
            return got.status_code, got.json().get("code", "")

        assert await answer() == (200, "")
        assert await answer(exp=1) == (401, "token_expired")
        assert await answer(aud="x") == (401, "token_invalid")
        assert await answer(role=None) == (403, "role_unclear")
        assert await answer(role=["agent", "manager"]) == (403, "role_unclear")
        assert await answer(role="customer") == (403, "not_yours")


WRONG = ["bla", "长" * 2000]
WRONG_AS = {
    "'date-time'": ["2026-11-20", "2026-13-01T00:00:00Z", "1999-01-01T00:00:00Z"],
    "'integer'": ["9" * 5000],
}


@pytest.mark.slow(10)
async def test_whatever_is_wrong_with_a_query_is_told_in_chinese(caller: Caller) -> None:
    number = await caller.takes_in()
    described = (await caller.get("/openapi.json")).json()["paths"]
    told: dict[str, set[str]] = {}
    for path, get in ((path, each["get"]) for path, each in described.items() if "get" in each):
        asked = {e["name"]: str(e) for e in get.get("parameters", []) if e["in"] == "query"}
        needed = {"reason": "查证"} if "reason" in asked else {}
        reader = caller.acting_as(Role.auditor if "/audit/" in path else Role.manager)
        if "text/event-stream" in get["responses"]["200"].get("content", {}):
            continue
        tried = (
            (name, wrong)
            for name, schema in asked.items()
            for wrong in sum((more for kind, more in WRONG_AS.items() if kind in schema), WRONG)
        )
        for name, wrong in tried:
            params: dict[str, Any] = {**needed, name: wrong}
            address = re.sub(r"{\w+}", number, path)
            answer = await reader.get(address, {"Accept-Language": "zh-CN"}, **params)
            if answer.status_code == 422:
                messages = (each["message"] for each in answer.json()["errors"])
                told.setdefault(f"{path} {name}", set()).update(messages)
    assert len(told) > 20
    said = {message for messages in told.values() for message in messages}
    assert {each for each in said if not re.search("[\u4e00-\u9fff]", each)} == set()
