"""How far the board's stream carries: `python -m bench.stream`.

Starts the real API over SQLite, opens so many connections to it, writes changes as the worker
would, and measures how much later than its commit each change reaches each listener. Fails when
one was too far behind, one heard too little, or the memory grew.
"""

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from statistics import quantiles

from sqlalchemy import Engine

from bench.databases import database
from bench.requests import walked
from bench.serving import Api, serving
from domain.events import parse_event
from domain.request import ServiceRequest
from domain.tasks import WriteDown
from records.engine import open_engine
from records.projection import write_down
from runtime.settings import Settings

MOST_BEHIND = 2.0
"""Seconds that a listener may be behind."""
MOST_GROWTH = 64.0
"""Megabytes that the API may grow once everybody listens."""
REQUESTS = 200
_ROW = re.compile(rb'"number":"([^"]+)"[^{}]*(?:\{[^{}]*\})?[^{}]*"event_count":(\d+)')

Change = tuple[str, int]
"""A request's number, and how many events it has had."""


@dataclass
class Report:
    """What was measured.

    Attributes:
        lags: seconds from the commit of a change to its arrival, for every listener.
        unheard: changes that some listener never heard of, nor of a later one of the request.
        memory: of the API in megabytes, when everybody listened and at the end.
    """

    clients: int
    changes: int = 0
    lags: list[float] = field(default_factory=list)
    unheard: int = 0
    memory: tuple[float, float] = (0.0, 0.0)
    worked: float = 0.0

    @property
    def failures(self) -> list[str]:
        """Every bound that was broken."""
        grown = self.memory[1] - self.memory[0]
        return [
            said
            for broken, said in (
                (max(self.lags) > MOST_BEHIND, f"behind by {max(self.lags):.2f} s"),
                (self.unheard > 0, f"{self.unheard} changes unheard"),
                (grown > MOST_GROWTH, f"grown by {grown:.0f} MB"),
            )
            if broken
        ]

    def __str__(self) -> str:
        percentiles = quantiles(self.lags, n=100)
        return (
            f"{self.clients} listeners, {self.changes} changes, {len(self.lags)} deliveries\n"
            f"behind: median {percentiles[49]:.2f} s, p95 {percentiles[94]:.2f} s, "
            f"p99 {percentiles[98]:.2f} s, most {max(self.lags):.2f} s\n"
            f"memory: {self.memory[0]:.0f} MB when all listened, {self.memory[1]:.0f} MB at the "
            f"end; processor: {self.worked:.0%} of one core"
        )


class Client:
    """One open connection that notes when it hears of each change."""

    def __init__(self) -> None:
        self.heard: dict[Change, float] = {}
        self.last_id = b""

    async def listen(self, api: Api, listening: asyncio.Semaphore) -> None:
        """Until cancelled."""
        reader, writer = await asyncio.open_connection(api.host, api.port)
        try:
            head = f"GET /v1/board/stream HTTP/1.1\r\nHost: {api.host}\r\n"
            writer.write(f"{head}Authorization: {api.headers['Authorization']}\r\n\r\n".encode())
            await reader.readuntil(b"event: counts")
            listening.release()
            while line := await reader.readline():
                if line.startswith(b"data: ") and (told := _ROW.search(line)):
                    self.heard.setdefault((told[1].decode(), int(told[2])), time.monotonic())
        finally:
            writer.close()


async def measured(database: str, clients: int, seconds: float, rate: float) -> Report:
    """The stream under so many clients for so long, at so many changes a second."""
    engine = open_engine(database)
    requests = await asyncio.to_thread(_made, engine)
    report = Report(clients)
    with serving(database) as api:
        listening = asyncio.Semaphore(0)
        everyone = [Client() for _ in range(clients)]
        tasks = [asyncio.create_task(client.listen(api, listening)) for client in everyone]
        for _ in everyone:
            await listening.acquire()
        before, worked, began = api.memory(), api.worked(), time.monotonic()
        written = await asyncio.to_thread(_change, engine, requests, seconds, rate)
        report.worked = (api.worked() - worked) / 1000 / (time.monotonic() - began)
        await asyncio.sleep(MOST_BEHIND)
        report.memory = before, api.memory()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    engine.dispose()
    _compare(report, everyone, written)
    return report


def _made(engine: Engine) -> list[ServiceRequest]:
    now, policy = datetime.now(UTC), Settings(_env_file=None).timing_policy
    requests = [walked(Random(n), policy, n + 1, now, now) for n in range(REQUESTS)]
    for request in requests:
        write_down(engine, WriteDown.of(request, [], now))
    return requests


def _change(
    engine: Engine, requests: Sequence[ServiceRequest], seconds: float, rate: float
) -> dict[Change, float]:
    """Write changes down at this rate; when each was committed."""
    written: dict[Change, float] = {}
    began = time.monotonic()
    for place in range(int(seconds * rate)):
        time.sleep(max(0.0, began + place / rate - time.monotonic()))
        request, now = requests[place % len(requests)], datetime.now(UTC)
        effects = request.apply(parse_event({"type": "noted", "text": "已联系客户"}), now)
        write_down(engine, WriteDown.of(request, effects, now))
        written[request.number, request.event_count] = time.monotonic()
    return written


def _compare(report: Report, everyone: Sequence[Client], written: dict[Change, float]) -> None:
    report.changes = len(written)
    latest = dict(written.keys())
    for client in everyone:
        for change, committed_at in written.items():
            if (heard_at := client.heard.get(change)) is not None:
                report.lags.append(max(0.0, heard_at - committed_at))
            elif latest[change[0]] == change[1]:  # Earlier ones may be passed over.
                report.unheard += 1


def main() -> None:
    """Measure, print, and fail when a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--rate", type=float, default=20, help="changes a second")
    wanted = parser.parse_args()
    with database("sqlite") as url:
        report = asyncio.run(measured(url, wanted.clients, wanted.seconds, wanted.rate))
    print(report)
    if report.failures:
        sys.exit("; ".join(report.failures))


if __name__ == "__main__":
    main()
