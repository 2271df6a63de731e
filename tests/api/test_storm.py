"""A thousand events sent twice, shuffled, from fifty connections, end as once in order."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from domain.cloud_events import BATCH, STRUCTURED
from domain.vocabulary import Role
from runtime.settings import Settings
from tests.api.caller import SCORES, Caller
from tests.api.test_cloud_events import cloud

pytestmark = [pytest.mark.server, pytest.mark.slow(40), pytest.mark.usefixtures("worker")]

Json = dict[str, Any]

REQUESTS, CONNECTIONS = 50, 50
SPAN = timedelta(milliseconds=50)
DIAGNOSIS = {"fault": "不制冷", "cause": "电容失效", "remedy": "更换电容"}


def window(received: datetime, days: int) -> Json:
    opens = received + timedelta(days=days)
    return {"window_start": opens.isoformat(), "window_end": (opens + SPAN).isoformat()}


def course(number: str, received: datetime) -> list[Json]:
    """Twenty events with two steps back, each later than the one before.

    A complaint keeps the request open at the end, so that its workflow can still be asked.
    """
    steps: list[tuple[str, str, Json]] = [
        ("held", "customer", {"reason": "出差"}),
        ("resumed", "customer", {}),
        ("responded", "agent", {}),
        ("plan_told", "agent", {"plan": "上门检查"}),
        ("assigned", "dispatcher", {"engineer": "E-1", "reason": "就近"}),
        ("declined", "engineer", {"engineer": "E-1", "reason": "太远"}),
        ("assigned", "dispatcher", {"engineer": "E-2", "reason": "次近"}),
        ("accepted", "engineer", {"engineer": "E-2"}),
        ("appointed", "agent", window(received, 1)),
        ("departed", "engineer", {}),
        ("no_show", "engineer", {}),
        ("appointed", "agent", window(received, 2)),
        ("departed", "engineer", {}),
        ("arrived", "engineer", {}),
        ("diagnosed", "engineer", DIAGNOSIS),
        ("noted", "engineer", {"text": "需要梯子"}),
        ("completed", "engineer", {"test_result": "出风口 16 °C"}),
        ("complained", "customer", {"class": "attitude", "text": "态度差"}),
        ("signed", "customer", {"signature": "张三"}),
        ("surveyed", "agent", {"scores": dict.fromkeys(SCORES, 5), "channel": "phone"}),
    ]
    return [
        cloud(type_, number, role, data=payload, time=(received + SPAN * place).isoformat())
        for place, (type_, role, payload) in enumerate(steps)
    ]


async def known(caller: Caller, number: str, received: datetime) -> Json:
    """What must be the same: the request with its clocks, its forms, its event lines.

    Everything but names that differ anyway (numbers, ids, serials) and the moments of arrival
    (`received_at`, `recorded_at`, `fired_at`, what remains now); the others are counted from the
    receipt.
    """
    paths = ("", "/forms", "/timeline")
    answers = await asyncio.gather(*(caller.get(f"/v1/requests/{number}{path}") for path in paths))
    shown, forms, timeline = (answer.json() for answer in answers)
    # How many lines the matching wrote in between depends on the arrival: no event needs it.
    lines = [line for line in timeline["items"] if line["kind"] == "event"]
    names = {form["number"]: form["key"] for form in forms["items"]}
    names |= {number: "the request", shown["product"]["serial"]: "the serial"}
    names[shown["customer"]["phone"]] = "the phone"
    same: Json = _relative({"view": shown, "forms": forms, "lines": lines}, received, names)
    return same


async def _all_taken(caller: Caller, numbers: list[str]) -> None:
    """Until the records know each request's twenty events, or patience is at its end."""
    for _ in range(100):
        page = (await caller.get("/v1/requests", limit=200)).json()["items"]
        counts = {each["number"]: each["event_count"] for each in page}
        if all(counts.get(number) == 20 for number in numbers):
            return
        await asyncio.sleep(0.3)


def _differences(told: Any, expected: Any, where: str = "") -> list[str]:
    """Where the two differ, and how."""
    if isinstance(told, dict) and isinstance(expected, dict) and told.keys() == expected.keys():
        pairs = [(f"{where}/{key}", told[key], expected[key]) for key in told]
    elif isinstance(told, list) and isinstance(expected, list) and len(told) == len(expected):
        pairs = [(f"{where}/{i}", *both) for i, both in enumerate(zip(told, expected, strict=True))]
    else:
        return [] if told == expected else [f"{where}: {told!r} is not {expected!r}"]
    return [each for place, one, other in pairs for each in _differences(one, other, place)]


_ARRIVAL = {"received_at", "recorded_at", "fired_at", "remaining_seconds", "seq", "event_id"}


def _relative(told: Any, received: datetime, names: dict[str, str]) -> Any:
    if isinstance(told, dict):
        kept = {key: value for key, value in told.items() if key not in _ARRIVAL}
        return {key: _relative(value, received, names) for key, value in kept.items()}
    if isinstance(told, list):
        return [_relative(each, received, names) for each in told]
    if not isinstance(told, str):
        return told
    try:
        return names.get(told) or (datetime.fromisoformat(told) - received).total_seconds()
    except (TypeError, ValueError):
        return told


@pytest.fixture
async def connections(address: str) -> AsyncIterator[list[httpx.AsyncClient]]:
    tls = ssl.create_default_context()  # Nobody needs it, and each client would make its own.
    clients = [
        httpx.AsyncClient(base_url=address, timeout=60, trust_env=False, verify=tls)
        for _ in range(CONNECTIONS)
    ]
    yield clients
    await asyncio.gather(*(client.aclose() for client in clients))


async def test_a_storm_ends_as_the_calm(
    caller: Caller, settings: Settings, connections: list[httpx.AsyncClient]
) -> None:
    phones = (f"1365555{place:04d}" for place in range(REQUESTS + 1))  # nobody else's
    numbers = await asyncio.gather(*(caller.takes_in(customer={"phone": p}) for p in phones))
    shown = await asyncio.gather(*(caller.get(f"/v1/requests/{number}") for number in numbers))
    received = {
        each.json()["number"]: datetime.fromisoformat(each.json()["received_at"]) for each in shown
    }
    courses = [course(number, received[number]) for number in numbers]
    # Nothing of it lies ahead: the last of them has happened.
    await asyncio.sleep((SPAN * len(courses[0])).total_seconds())

    calm, *stormy = numbers
    batch = {"Content-Type": BATCH}
    for each in courses[0]:
        assert (await caller.post("/v1/events", [each], batch)).status_code == 202

    queue = [each for events in courses[1:] for each in events] * 2
    assert len(queue) == 2000
    random.Random(20240520).shuffle(queue)

    async def sends(http: httpx.AsyncClient) -> None:
        one = Caller(http, settings, Role.integration)
        while queue:
            sent = [queue.pop() for _ in range(min(len(queue), 40))]
            if len(queue) % 200:
                answers = [await one.post("/v1/events", sent, batch)]
            else:
                structured = {"Content-Type": STRUCTURED}
                answers = [await one.post("/v1/events", each, structured) for each in sent]
            results = [result for answer in answers for result in answer.json()["results"]]
            for event, result in zip(sent, results, strict=True):
                assert result["status"] in ("accepted", "repeated", "unavailable"), result
                if result["status"] == "unavailable":
                    queue.append(event)  # As the answer says: just those again.

    await asyncio.gather(*map(sends, connections))
    await _all_taken(caller, numbers)
    expected = await known(caller, calm, received[calm])
    assert (expected["view"]["stage"], expected["view"]["event_count"]) == ("complaint", 20)
    assert [line["name"] for line in expected["lines"]] == [each["type"] for each in courses[0]]
    found = await asyncio.gather(*(known(caller, n, received[n]) for n in stormy))
    assert [each for told in found for each in _differences(told, expected)] == []
