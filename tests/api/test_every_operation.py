"""Whatever is sent to any operation by anyone: no failure, and the answers that were promised.

The cases are made by schemathesis from the document, so a new operation is held to it as well.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import cycle, islice
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as limits
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import Case as AnyCase
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from domain.vocabulary import Role
from runtime.settings import Settings
from runtime.tokens import mint
from tests.api.caller import Caller, event

pytestmark = [pytest.mark.server, pytest.mark.slow(30), pytest.mark.usefixtures("worker")]

BUDGET = 12.0
"""Seconds: after them no new round begins."""

ROUNDS = 2
AT_ONCE = 4
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]

Operation = APIOperation[Any, Any, Any, Any]
Case = AnyCase[Operation]


@pytest.fixture
async def app(settings: Settings, address: str) -> AsyncIterator[FastAPI]:
    """The application itself, without a server around it."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


async def test_no_call_fails_and_every_answer_is_as_described(
    app: FastAPI, caller: Caller, settings: Settings
) -> None:
    number = await caller.takes_in()
    await caller.brings(number, event("responded"))
    schema = schemathesis.openapi.from_dict(app.openapi())
    operations: list[Operation] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    waiting = [operation for operation in operations if not _streams(operation)]
    tokens = {role: mint(settings, role, f"{role}-1") for role in Role}
    started, sent = time.monotonic(), 0
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
        gate = asyncio.Semaphore(AT_ONCE)

        async def call(case: Case, role: Role) -> None:
            async with gate:
                await _call(http, case, tokens[role])

        for round_ in range(ROUNDS):
            for operation in waiting:
                if round_ and time.monotonic() - started > BUDGET:
                    break
                cases = _cases(operation, number, round_)
                sent += len(cases)
                await asyncio.gather(*map(call, cases, cycle(Role)))
    assert sent >= len(waiting) * len(Role)


def _streams(operation: Operation) -> bool:
    """Whether its answer has no end."""
    raw = operation.definition.raw
    kinds = [kind for each in raw["responses"].values() for kind in each.get("content", {})]
    return bool(raw.get("x-stream")) or "text/event-stream" in kinds


def _cases(operation: Operation, number: str, round_: int) -> list[Case]:
    """One for each role: most of them well-formed, and about a request that is there."""
    there = {"number": number, "form": "SA-CR-001"}
    real = {name: known for name, known in there.items() if f"{{{name}}}" in operation.path}
    count = len(Role)
    strategies = [
        (operation.as_strategy(path_parameters=real or None), count - 3),
        (operation.as_strategy(), 1),
        (operation.as_strategy(GenerationMode.NEGATIVE, path_parameters=real or None), 2),
    ]
    made = [case for each, few in strategies for case in _drawn(each, few, round_)]
    # Where there is little to choose, everybody sends the same; who begins changes with the round.
    return list(islice(cycle(made), round_, round_ + max(count, len(made))))


def _drawn(strategy: SearchStrategy[Case], few: int, round_: int) -> list[Case]:
    """The same cases in every run."""
    drawn: list[Case] = []

    @seed(round_)
    @limits(
        max_examples=few,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def draw(case: Case) -> None:
        drawn.append(case)

    with suppress(Unsatisfiable):  # Where nothing can be sent, nothing can be sent wrongly.
        draw()
    return drawn


async def _call(http: httpx.AsyncClient, case: Case, token: str) -> None:
    told = case.as_transport_kwargs(base_url="http://here")
    sent: Any = requests.Request(**told).prepare()
    sent.headers["Authorization"] = f"Bearer {token}"
    # As bytes: a header may hold more than ASCII.
    headers = [(name.encode(), _bytes(value)) for name, value in sent.headers.items()]
    answer = await http.request(case.method, sent.url, headers=headers, content=sent.body)
    case.validate_response(answer, checks=CHECKS)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")
