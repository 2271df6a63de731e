"""Bodies that are too large, no JSON, or JSON meant to hurt."""

from collections.abc import AsyncIterator

import pytest

from tests.api.caller import Caller, body

pytestmark = pytest.mark.server

MEGABYTE = 1024 * 1024


async def test_a_description_of_a_megabyte_is_too_large(caller: Caller) -> None:
    answer = await caller.post("/v1/requests", body() | {"description": "空" * (MEGABYTE // 3)})
    assert answer.status_code == 413
    assert answer.json()["code"] == "body_too_large"
    assert answer.json()["limit"] == 256 * 1024


async def test_so_it_is_when_it_comes_in_pieces_of_no_announced_length(caller: Caller) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(16):
            yield b"x" * 65536

    answer = await caller.http.post("/v1/requests", content=pieces(), headers=caller.headers)
    assert answer.status_code == 413


async def test_a_body_just_within_the_limit_is_read(caller: Caller) -> None:
    answer = await caller.post("/v1/requests", {"x": "y" * (255 * 1024)})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"latitude": NaN}',
        b'{"latitude": Infinity}',
        b"[" * 100_000,
        b"[" * 5_000 + b"]" * 5_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b'{"description": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"type": "\xff\xfe"}',
        b"\xff\xfe{\x00}\x00",
        b'{"latitude": ' + b"9" * 5_000 + b"}",
        b'{"description": "a\x00b"}',
        b"null",
        b"[]",
        b'"text"',
        b'{"customer": {"latitude": 1e999}}',
    ],
)
async def test_no_body_breaks_the_door(caller: Caller, raw: bytes) -> None:
    for path in ("/v1/requests", "/v1/requests/CR20200101-001/events"):
        headers = {**caller.headers, "Content-Type": "application/json"}
        answer = await caller.http.post(path, content=raw, headers=headers)
        assert answer.status_code == 422, (path, raw[:40], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"


async def test_another_media_type_is_refused(caller: Caller) -> None:
    headers = {**caller.headers, "Content-Type": "text/plain"}
    answer = await caller.http.post("/v1/requests", content=b"{}", headers=headers)
    assert answer.status_code == 415


async def test_a_field_named_to_hurt_is_named_short(caller: Caller) -> None:
    answer = await caller.post("/v1/requests", body() | {"n" * 100_000: 1})
    assert answer.status_code == 422
    assert len(answer.content) < 2_000
