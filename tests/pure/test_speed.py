"""The pure request is quick enough to be walked a million times: measured against a floor.

The floor is reading one event with pydantic, in the same run on the same machine; what a step
costs is compared with it, so that a slow machine fails nobody.
"""

import json
from datetime import timedelta
from time import process_time
from typing import Any
from uuid import uuid4

from domain.events import parse_event
from domain.intake import Brief
from domain.request import ServiceRequest
from tests.pure.builders import ENGINEER, PAYLOADS, START, brief

MOST_FLOORS_A_STEP = 30
"""Generous: it was 15 to 18 when this was written."""

WALK = [
    *("plan_told", "responded", "offered", "accepted", "appointed", "departed", "arrived"),
    *("diagnosed", "quoted", "quote_approved"),
    *("complained", "complaint_taken_over", "remedy_offered", "complaint_settled"),
    *("completed", "signed", "paid", "surveyed"),
]


def _sent(name: str) -> dict[str, Any]:
    payload = {"engineer": ENGINEER} if name == "accepted" else {}
    data = {"id": uuid4(), "type": name, **PAYLOADS[name], **payload}
    sent: dict[str, Any] = json.loads(json.dumps(data, default=str))
    return sent


def _walk(start: Brief, sent: list[dict[str, Any] | None]) -> None:
    request, _ = ServiceRequest.receive(start)
    now = START
    for data in sent:
        now += timedelta(seconds=30)
        if data is None:
            request.offer(ENGINEER, now)
        else:
            request.apply(parse_event(data), now)
    assert request.is_closed


def test_a_step_costs_no_more_than_reading_a_few_events() -> None:
    start = brief(warranty={"in_force": False})
    floors, steps = [], []
    for _ in range(60):
        sent = [None if name == "offered" else _sent(name) for name in WALK]
        began = process_time()
        for data in sent:
            if data is not None:
                parse_event(data)
        middle = process_time()
        _walk(start, sent)
        floors.append((middle - began) / (len(WALK) - 1))
        steps.append((process_time() - middle) / len(WALK))
    floor, step = min(floors), min(steps)
    print(f"{1 / step:,.0f} steps a second; a step costs {step / floor:.1f} readings")
    assert step < floor * MOST_FLOORS_A_STEP
