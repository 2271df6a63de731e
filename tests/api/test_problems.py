"""Every error as problem details, in the reader's language, telling nothing it should not."""

import string

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from api import handlers
from api.language import preferred
from api.middleware import CallId
from api.problems import KINDS
from domain.refusals import REASONS
from tests.api.caller import Caller


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("zh-CN", "zh-CN"),
        ("zh", "zh-CN"),
        ("ZH-hant-TW", "zh-CN"),
        ("en-GB, zh;q=0.9", "en"),
        ("fr, zh;q=0.2, en;q=0.1", "zh-CN"),
        ("zh;q=0, en;q=0.1", "en"),
        ("zh;q=0", "en"),
        ("*", "en"),
        ("de", "en"),
        ("zh;q=nonsense", "en"),
        ("zh;q=2", "en"),
        ("en;q=0.5,zh;q=0.500", "en"),
        (" zh ; q=0.8 , en ; q=0.7", "zh-CN"),
        ("zh;level=1;q=0.4, en;q=0.3", "zh-CN"),
        (",,;q=,=", "en"),
        ("zhx", "en"),
    ],
)
def test_the_language_with_the_highest_weight_wins(header: str | None, language: str) -> None:
    assert preferred(header) == language


def test_both_languages_name_the_same_facts() -> None:
    texts = [(kind.detail, kind.title) for kind in KINDS.values()]
    for pair in [each for both in texts for each in both] + list(REASONS.values()):
        named = [{field for _, field, _, _ in string.Formatter().parse(t) if field} for t in pair]
        assert named[0] == named[1]


@pytest.mark.server
@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nowhere", "not_found"),
        ("GET", "/v1", "not_found"),
        ("DELETE", "/v1/requests", "method_not_allowed"),
        ("PUT", "/v1/requests/CR20200101-001", "method_not_allowed"),
    ],
)
async def test_the_frameworks_errors_are_problems_too(
    caller: Caller, method: str, path: str, code: str
) -> None:
    answer = await caller.http.request(method, path, headers={"X-Request-Id": "mine-1"})
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == problem["status"]
    assert problem["code"] == code
    assert problem["instance"] == path
    assert problem["request_id"] == answer.headers["x-request-id"] == "mine-1"
    if code == "method_not_allowed":
        assert answer.headers["allow"]


@pytest.mark.server
async def test_a_strange_request_id_is_replaced(caller: Caller) -> None:
    answer = await caller.http.get("/livez", headers={"X-Request-Id": "a b\t<script>"})
    assert len(answer.headers["x-request-id"]) == 36


async def test_the_unforeseen_is_logged_without_its_text_and_told_without_anything() -> None:
    app = FastAPI()
    app.add_middleware(CallId)
    handlers.register(app)

    @app.get("/broken")
    async def broken() -> None:
        try:
            raise KeyError("13812345678")
        except KeyError as error:
            raise RuntimeError("张三 lives at 世纪大道1号") from error

    transport = httpx.ASGITransport(app=app)
    with capture_logs() as logs:
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            answer = await http.get("/broken", headers={"Accept-Language": "zh"})
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "RuntimeError" not in answer.text
    (line,) = logs
    assert line["error"] == "RuntimeError < KeyError"
    assert line["where"][-1].endswith(" broken")
    assert "13812345678" not in str(line)
    assert "张三" not in str(line)


async def test_a_database_that_is_away_is_told_apart() -> None:
    app = FastAPI()
    app.add_middleware(CallId)
    handlers.register(app)

    @app.get("/away")
    async def away() -> None:
        raise OperationalError("INSERT …", {"phone": "13812345678"}, Exception("13812345678"))

    transport = httpx.ASGITransport(app=app)
    with capture_logs() as logs:
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            answer = await http.get("/away")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "13812345678" not in answer.text + str(logs)
