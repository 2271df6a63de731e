"""Who is let in, and what for."""

import re
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from domain.vocabulary import Role
from runtime.settings import Settings
from runtime.tokens import mint
from tests.api.caller import Caller, body, event
from tests.api.conftest import serving

pytestmark = pytest.mark.server

DOORS = [
    ("POST", "/v1/requests"),
    ("GET", "/v1/requests"),
    ("GET", "/v1/requests/CR20200101-001"),
    ("POST", "/v1/requests/CR20200101-001/events"),
    ("GET", "/v1/requests/CR20200101-001/timeline"),
    ("GET", "/v1/requests/CR20200101-001/clocks"),
    ("GET", "/v1/requests/CR20200101-001/obligations"),
    ("GET", "/v1/requests/CR20200101-001/forms"),
    ("GET", "/v1/requests/CR20200101-001/forms/SA-CR-001"),
    ("GET", "/v1/requests/CR20200101-001/customer"),
    ("POST", "/v1/customers/find"),
    ("GET", "/v1/personal-reads"),
]


@pytest.mark.parametrize(("method", "path"), DOORS)
@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "token_missing"),
        ("Basic YTpi", "token_missing"),
        ("Bearer", "token_missing"),
        ("Bearer nonsense", "token_invalid"),
    ],
)
async def test_no_door_opens_without_a_token(
    caller: Caller, method: str, path: str, authorization: str | None, code: str
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    answer = await caller.http.request(method, path, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["code"] == code
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_an_expired_token_is_told_so(caller: Caller) -> None:
    expired = mint(caller.settings, Role.agent, "1", timedelta(seconds=-5))
    answer = await caller.http.get(
        "/v1/requests", headers={"Authorization": f"Bearer {expired}", "Accept-Language": "zh-CN"}
    )
    assert answer.status_code == 401
    assert answer.json()["code"] == "token_expired"
    assert answer.json()["title"] == "令牌已过期"


async def test_an_analyst_reads_and_leaves_notes_and_does_nothing_else(
    caller: Caller, worker: None
) -> None:
    role, number = Role.analyst, await caller.takes_in()
    onlooker = caller.acting_as(role)
    assert (await onlooker.get("/v1/requests")).status_code == 200
    noted = await onlooker.reports(number, event("noted", role, text="x"))
    assert (noted.status_code, noted.json()["event_count"]) == (200, 1)
    new = await onlooker.post("/v1/requests", body())
    assert (new.status_code, new.json()["code"]) == (403, "scope_missing")
    held = await onlooker.reports(number, event("held", role, reason="x"))
    assert (held.status_code, held.json()["code"]) == (403, "role_not_allowed")


async def test_whoever_lacks_a_token_learns_nothing_of_the_body(caller: Caller) -> None:
    answer = await caller.http.post("/v1/requests", content=b"{")
    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/livez", "/openapi.json", "/docs"])
async def test_some_doors_are_open(caller: Caller, path: str) -> None:
    assert (await caller.http.get(path)).status_code == 200


async def test_the_pages_about_the_api_need_no_other_host(caller: Caller) -> None:
    for page in ("/docs", "/redoc"):
        shown = (await caller.http.get(page)).text
        assert "https://" not in shown
        for asset in re.findall(r'(?:src|href)="(/[^"]+)"', shown):
            assert (await caller.http.get(asset)).status_code == 200


async def test_the_key_is_read_once_not_by_every_call(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path)
    async with (
        serving(settings) as address,
        httpx.AsyncClient(base_url=address, timeout=30, trust_env=False) as http,
    ):
        caller = Caller(http, settings)
        (tmp_path / "keys" / "token.key").unlink()
        assert (await caller.get("/v1/requests")).status_code == 200
