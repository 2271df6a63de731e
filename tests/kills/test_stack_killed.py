"""The whole installation is killed hard under twenty concurrent requests, and goes on.

Every call is repeated with the same key or event id until it is acknowledged. Then everything
acknowledged must be there, once.
"""

import os
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from runtime.settings import STANDARD_POLICY
from tests.desk import HAPPY_SCORES, window
from tests.installation import Installation, eventually

REQUESTS = 20
CRITICAL_IN_8_SECONDS = """
[[rules.first_response.when]]
urgency = "critical"
goal = "8s"
"""


class Caller:
    """An integrator's back end: repeats each call until it is acknowledged."""

    def __init__(self, http: httpx.Client) -> None:
        self.http, self.cut_off = http, 0

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        give_up_at = time.monotonic() + 90
        while True:
            try:
                answer = self.http.request(method, path, json=body, headers=headers)
                if answer.status_code not in (409, 503) or "not_allowed" in answer.text:
                    assert answer.is_success, answer.text
                    return answer.json()
            except httpx.TransportError:
                self.cut_off += 1
            assert time.monotonic() < give_up_at, f"{method} {path} was never acknowledged"
            time.sleep(0.3)

    def takes_in(self, urgency: str = "normal") -> Any:
        body = {
            "type": "repair",
            "channel": "phone",
            "urgency": urgency,
            "description": "空调开机后不制冷,外机有嗡嗡声",
            "customer": {
                "name": "欧阳小明",
                "phone": "13812345678",
                "address": "上海市浦东新区世纪大道1号",
                "latitude": 31.23,
                "longitude": 121.47,
            },
            "product": {"model": "KFR-35GW/ABC123", "serial": f"SN-{uuid4().hex[:6]}"},
        }
        return self.call("POST", "/v1/requests", body, **{"Idempotency-Key": str(uuid4())})

    def says(self, number: str, type_: str, role: str, **payload: Any) -> Any:
        event = {
            "id": str(uuid4()),
            "type": type_,
            "actor": {"role": role, "id": f"{role}-1"},
            **payload,
        }
        return self.call("POST", f"/v1/requests/{number}/events", event)

    def whole_repair(self) -> str:
        """Ten acknowledged events from intake to archive; the number."""
        number: str = self.takes_in()["number"]
        offers = self.says(number, "responded", "agent")["offers"]
        self.says(number, "plan_told", "agent", plan="今天上门")
        engineer = offers[-1]["engineer"]
        self.says(number, "accepted", "engineer", engineer=engineer)
        self.says(number, "appointed", "engineer", **window(datetime.now(UTC)))
        self.says(number, "arrived", "engineer")
        self.says(number, "diagnosed", "engineer", fault="a", cause="b", remedy="c")
        self.says(number, "completed", "engineer", test_result="16℃")
        self.says(number, "signed", "customer", signature="欧*")
        closed = self.says(number, "surveyed", "agent", scores=HAPPY_SCORES, channel="phone")
        assert closed["outcome"] == "completed"
        assert closed["event_count"] == 9
        return number


@pytest.fixture
def caller(installation: Installation) -> Iterator[Caller]:
    headers = {"Authorization": f"Bearer {installation.token('integration')}"}
    # One client for all calls: each new one would read every certificate of the machine.
    with httpx.Client(
        base_url=installation.url, headers=headers, timeout=20, trust_env=False
    ) as http:
        yield Caller(http)


@pytest.mark.slow(45)
@pytest.mark.timeout(240)
def test_killed_hard_under_twenty_concurrent_requests(
    installation: Installation, caller: Caller
) -> None:
    policy = installation.folder / "policy.toml"
    standard = STANDARD_POLICY.read_text(encoding="utf-8")
    before, after = standard.split("[rules.solution_feedback]", 1)
    hurried = f"{before}{CRITICAL_IN_8_SECONDS}\n[rules.solution_feedback]{after}"
    policy.write_text(hurried, encoding="utf-8")
    installation.environment["AFTERSALES_POLICY"] = str(policy)
    up = installation.up()
    unanswered = caller.takes_in("critical")
    killed = threading.Event()

    def kill_and_restart() -> None:
        time.sleep(2.5)
        os.kill(up.pid, signal.SIGKILL)
        up.wait()
        killed.set()
        assert eventually(lambda: not installation.processes(), within=10)
        installation.up()

    with ThreadPoolExecutor(REQUESTS + 1) as crowd:
        restarted = crowd.submit(kill_and_restart)
        numbers = list(crowd.map(lambda _: caller.whole_repair(), range(REQUESTS)))
        restarted.result()
    assert killed.is_set()
    assert caller.cut_off >= REQUESTS / 2, "the kill came too early or too late to hurt"

    assert len(set(numbers)) == REQUESTS
    serials = sorted(int(n.rsplit("-")[1]) for n in [*numbers, unanswered["number"]])
    assert serials == list(range(1, REQUESTS + 2))  # No number lost, none given twice.
    with closing(sqlite3.connect(installation.data / "aftersales.db")) as db:
        for number in numbers:
            said = db.execute(
                "SELECT name FROM timeline WHERE number = ? AND kind = 'event'", (number,)
            ).fetchall()
            assert Counter(said) == Counter(set(said)), f"{number}: an event was applied twice"
            assert len(said) == 9
            forms = db.execute("SELECT key FROM form WHERE request = ?", (number,)).fetchall()
            assert sorted(key for (key,) in forms) == ["AP/1", "CR/1", "CS/1", "OS/1", "WO/1"]
            told = db.execute(
                "SELECT message FROM notification WHERE number = ?", (number,)
            ).fetchall()
            once = Counter(message for (message,) in told)
            assert once["request_received"] == once["work_offered"] == once["please_sign"] == 1
        orders = db.execute("SELECT number FROM form WHERE number LIKE 'WO%'").fetchall()
        serials = sorted(int(n.rsplit("-")[1]) for (n,) in orders)
        assert serials == list(range(1, REQUESTS + 1))

    # Nobody answered the critical request while we were down: late, but on the platform's account.
    clock = _first_response(caller, unanswered["number"])
    due = datetime.fromisoformat(clock["due_at"])
    assert datetime.fromisoformat(clock["breached_at"]) == due
    assert datetime.fromisoformat(clock["fired_at"]) > due
    started = datetime.fromisoformat(clock["started_at"])
    assert due - started == timedelta(seconds=8)


def _first_response(caller: Caller, number: str) -> Any:
    clocks = caller.call("GET", f"/v1/requests/{number}")["clocks"]
    return next(clock for clock in clocks if clock["rule"] == "first_response")
