"""Realistic requests, walked through the domain: the same ones for the same seed.

A request lives from its receipt until a moment that is given, so that some are closed, some are
open, some are late. Nobody is a copy of another; `bench.seeding` makes many of them.
"""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from domain.events import EVENTS, parse_event
from domain.intake import Brief
from domain.numbering import Prefix, number
from domain.policy import Policy
from domain.refusals import Refused
from domain.request import ServiceRequest
from domain.vocabulary import RequestType, Stage

STATIONS = [f"ST-{n:02d}" for n in range(1, 31)]
ENGINEERS = [f"GY{n:07d}" for n in range(2024001, 2024401)]
SCORES = ("response", "professionalism", "attitude", "effect", "overall", "recommend")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)

Step = tuple[timedelta, str | None, dict[str, Any]]
"""After so long this happens; None: nobody does anything."""


def walked(
    chance: random.Random, policy: Policy, serial: int, received_at: datetime, until: datetime
) -> ServiceRequest:
    """A request received then, as far as it has come by `until`."""
    request, _ = ServiceRequest.receive(_brief(chance, policy, serial, received_at))
    now = received_at
    while not request.is_closed:
        after, name, payload = _NEXT[request.stage](chance, request, now)
        now += after
        if now > until:
            request.tick(until)
            break
        _step(chance, request, name, payload, now)
    return request


def _brief(chance: random.Random, policy: Policy, serial: int, received_at: datetime) -> Brief:
    kinds = [*["repair"] * 14, *["installation"] * 3, "maintenance", "consultation", "complaint"]
    tier = chance.choices(["standard", "vip", "contract"], [90, 8, 2])[0]
    return Brief.model_validate(
        {
            "number": number(Prefix.request, received_at.date(), serial),
            "received_at": received_at,
            "type": chance.choice(kinds),
            "channel": chance.choice(["phone", "phone", "app", "wechat", "website"]),
            "urgency": chance.choices(["normal", "urgent", "critical"], [78, 18, 4])[0],
            "service_type": chance.choices(["on_site", "remote"], [92, 8])[0],
            "mood": chance.choice(["calm", "anxious", "angry", None]),
            "customer": {
                "name": "张*",
                "phone": "138****5678",
                "address": "上海市浦东新区***",
                "tier": tier,
            },
            "product": {"model": "KFR-35GW", "serial": f"SN{serial:08d}"},
            "warranty": {"in_force": chance.random() < 0.7},
            "station": chance.choice(STATIONS),
            "distance_km": round(chance.uniform(0.5, 30), 2),
            "external_id": f"ERP-{serial}" if chance.random() < 0.3 else None,
            "policy": policy,
            "prices": {"compressor": "480.00", "call-out": "50.00"},
        }
    )


def _step(
    chance: random.Random,
    request: ServiceRequest,
    name: str | None,
    payload: dict[str, Any],
    now: datetime,
) -> None:
    request.tick(now)
    if name == "offered":
        request.offer(chance.choice(ENGINEERS), now)
    elif name is not None and name in request.allowed_events:
        role = sorted(EVENTS[name].by)[0]
        who = payload.get("engineer") or f"{role}-{chance.randrange(40)}"
        event = {"type": name, "actor": {"role": role, "id": who}, **payload}
        try:
            request.apply(parse_event({"id": _uuid(chance), **event}), now)
        except Refused:
            request.tick(now + MINUTE)


def _uuid(chance: random.Random) -> str:
    return f"{chance.getrandbits(128):032x}"


def _soon(chance: random.Random, median: timedelta, spread: float = 0.8) -> timedelta:
    return median * chance.lognormvariate(0, spread)


def _response(chance: random.Random, request: ServiceRequest, now: datetime) -> Step:
    if chance.random() < 0.03:
        return _soon(chance, 20 * MINUTE), "cancelled", {"reason": "客户自行解决"}
    if request.hold is not None:
        return _soon(chance, 6 * HOUR), "resumed", {}
    if chance.random() < 0.02:
        return _soon(chance, 5 * MINUTE), "held", {"reason": "客户出差"}
    if request.request_type is RequestType.consultation:
        return _soon(chance, 6 * MINUTE), "answered", {"answer": "长按复位键三秒"}
    if request.plan is None and chance.random() < 0.4:
        return _soon(chance, 3 * MINUTE), "plan_told", {"plan": "上门检查"}
    return _soon(chance, 4 * MINUTE), "responded", {}


def _dispatch(chance: random.Random, request: ServiceRequest, now: datetime) -> Step:
    if request.hold is not None:
        return _soon(chance, 6 * HOUR), "resumed", {}
    if request.seeks_engineer:
        return timedelta(seconds=chance.uniform(1, 20)), "offered", {}
    offer = request.open_offer
    if offer is None:
        engineer = {"engineer": chance.choice(ENGINEERS), "reason": "就近"}
        return _soon(chance, 10 * MINUTE), "assigned", engineer
    answer = chance.choices(["accepted", "declined", None], [86, 9, 5])[0]
    if answer is None:
        return 16 * MINUTE, None, {}
    reason = {"reason": "距离太远"} if answer == "declined" else {}
    return _soon(chance, 5 * MINUTE), answer, {"engineer": offer.engineer, **reason}


def _appointment(chance: random.Random, request: ServiceRequest, now: datetime) -> Step:
    if request.hold is not None:
        return _soon(chance, 6 * HOUR), "resumed", {}
    after = _soon(chance, 14 * MINUTE)
    opens = now + after + chance.uniform(2, 40) * HOUR
    window = {"window_start": opens, "window_end": opens + 2 * HOUR}
    return after, "appointed", window


def _service(chance: random.Random, request: ServiceRequest, now: datetime) -> Step:
    visit = request.visit
    if request.hold is not None:
        name = "parts_arrived" if request.awaited else "resumed"
        return _soon(chance, 30 * HOUR, 0.4), name, {}
    arrived = visit is not None and visit.arrived_at is not None
    if not arrived and request.appointment is not None:
        at = request.appointment.window_start + chance.gauss(70, 32) * MINUTE
        return max(at - now, MINUTE), "arrived", {}
    if visit is None or visit.diagnosis is None:
        found = {"fault": "不制冷", "cause": "压缩机不启动", "remedy": "更换压缩机"}
        return _soon(chance, 20 * MINUTE, 0.4), "diagnosed", found
    if chance.random() < 0.04:
        return 5 * MINUTE, "parts_awaited", {"parts": [{"part": "compressor"}]}
    return _soon(chance, 50 * MINUTE, 0.5), "completed", {"test_result": "出风口温度16℃"}


def _sign_off(chance: random.Random, request: ServiceRequest, now: datetime) -> Step:
    if request.signed_at is None:
        return _soon(chance, 4 * MINUTE), "signed", {"signature": "张*"}
    return 3 * MINUTE, "paid", {"amount": str(request.bill.owed), "method": "scan"}


def _revisit(chance: random.Random, request: ServiceRequest, now: datetime) -> Step:
    if request.complaints and chance.random() < 0.5:
        return _complaint(chance, request, now)
    worst = chance.choices([5, 4, 2], [70, 26, 4])[0]
    scores = {**dict.fromkeys(SCORES, 5), "overall": worst}
    return _soon(chance, 11 * HOUR, 0.5), "surveyed", {"scores": scores, "channel": "phone"}


def _complaint(chance: random.Random, request: ServiceRequest, now: datetime) -> Step:
    for name, payload in (
        ("complaint_taken_over", {}),
        ("remedy_offered", {"remedy": "voucher", "value": "50"}),
        ("complaint_settled", {}),
    ):
        if name in request.allowed_events and chance.random() < 0.6:
            return _soon(chance, 2 * HOUR), name, payload
    return _soon(chance, HOUR), None, {}


_NEXT: dict[Stage, Callable[[random.Random, ServiceRequest, datetime], Step]] = {
    Stage.response: _response,
    Stage.dispatch: _dispatch,
    Stage.appointment: _appointment,
    Stage.service: _service,
    Stage.sign_off: _sign_off,
    Stage.revisit: _revisit,
    Stage.complaint: _complaint,
}
