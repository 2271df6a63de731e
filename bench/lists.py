"""How quick the lists and the board are with many requests: `python -m bench.lists`.

Seeds the requests, starts the real API, and asks each question over HTTP. `/livez`, which touches
nothing, is the floor of the same run. Fails when a median is over the bound.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles

import httpx
from sqlmodel import col, func, select

from bench.databases import BACKENDS, database
from bench.requests import ENGINEERS, STATIONS
from bench.seeding import seed
from bench.serving import Api, serving
from records.cursors import after
from records.engine import open_engine, reading
from records.tables import Request
from runtime.settings import Settings

BOUND = 50.0
"""Milliseconds that the median may take."""

WARM_UP = 3
"""The first calls open connections and fill caches; they do not count."""

LIST = "/v1/requests"
QUESTIONS = {
    "the list": LIST,
    "· stage": f"{LIST}?stage=service",
    "· stage closed": f"{LIST}?stage=closed",
    "· urgency": f"{LIST}?urgency=critical",
    "· type": f"{LIST}?type=consultation",
    "· station": f"{LIST}?station={STATIONS[3]}",
    "· engineer": f"{LIST}?engineer={ENGINEERS[7]}",
    "· held_by": f"{LIST}?held_by={ENGINEERS[7]}",
    "· clock_state": f"{LIST}?clock_state=breached",
    "· breached": f"{LIST}?breached=first_response",
    "· breached, rare": f"{LIST}?breached=complaint_contact",
    "· due_before": f"{LIST}?due_before={{soon}}",
    "· number": f"{LIST}?number={{month}}",
    "· external_id": f"{LIST}?external_id=ERP-77",
    "· station, stage, urgency": f"{LIST}?station={STATIONS[3]}&stage=service&urgency=urgent",
    "· type, breached, stage": f"{LIST}?type=repair&breached=first_response&stage=closed",
    "· type, clock_state": f"{LIST}?type=complaint&clock_state=paused",
    "· a page far down": f"{LIST}?cursor={{cursor}}",
    "the board": "/v1/board",
    "· of a station": f"/v1/board?station={STATIONS[3]}",
    "due within the hour": "/v1/board/due",
    "breached": "/v1/board/breached",
    "workload": "/v1/board/workload",
    "punctuality": "/v1/board/punctuality",
    "· of a station, yesterday": f"/v1/board/punctuality?station={STATIONS[3]}&day={{yesterday}}",
}


def main() -> None:
    """Measure on the databases named, print a table each, and fail when one is too slow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=40, help="how often each question is asked")
    parser.add_argument("--database", choices=BACKENDS, action="append")
    wanted = parser.parse_args()
    slow = [
        f"{backend}: {name}"
        for backend in wanted.database or BACKENDS
        for name, took in measured(backend, wanted.requests, wanted.times)
        if median(took) > BOUND
    ]
    if slow:
        sys.exit(f"over {BOUND:.0f} ms: {'; '.join(slow)}")


def measured(backend: str, count: int, times: int) -> Iterator[tuple[str, list[float]]]:
    """Each question with the milliseconds that it took, printed as they come."""
    now = datetime.now(UTC)
    with database(backend) as url:
        began = time.monotonic()
        engine = open_engine(url)
        seed(engine, Settings(_env_file=None).timing_policy, count, now)
        engine.dispose()
        print(f"\n{backend}: {count} requests, seeded in {time.monotonic() - began:.0f} s")
        yield from asked(url, now, times)


def asked(url: str, now: datetime, times: int) -> Iterator[tuple[str, list[float]]]:
    """The same of a database that is filled already."""
    places = _places(url, now)
    print(f"{'question':32} {'median':>8} {'p95':>8} {'CPU':>8} {'answer':>9}")
    with serving(url) as api:
        for name, path in {"/livez, the floor": "/livez", **QUESTIONS}.items():
            worked = api.worked()
            took, size = _asked(api, path.format(**places), times)
            worked = (api.worked() - worked) / (times + WARM_UP)
            p95 = quantiles(took, n=20)[-1]
            print(
                f"{name:32} {median(took):>5.1f} ms {p95:>5.1f} ms {worked:>5.1f} ms"
                f" {size / 1024:>6.0f} kB",
                flush=True,
            )
            yield name, took


def _places(url: str, now: datetime) -> dict[str, str]:
    """What the questions name: moments near the present one, and a place far down the list."""
    order = (col(Request.turn), col(Request.next_due), col(Request.number))
    in_order = select(Request.turn, Request.next_due, Request.number).order_by(*order)
    engine = open_engine(url)
    with reading(engine) as session:
        count = session.exec(select(func.count()).select_from(Request)).one()
        far_down = session.exec(in_order.offset(count * 9 // 10).limit(1)).one()
    engine.dispose()
    return {
        "soon": f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
        "month": f"CR{now - timedelta(days=60):%Y%m}",
        "yesterday": f"{now - timedelta(days=1):%Y-%m-%d}",
        "cursor": after(*far_down),
    }


def _asked(api: Api, path: str, times: int) -> tuple[list[float], int]:
    took, size = [], 0
    with httpx.Client(base_url=api.url, headers=api.headers, trust_env=False) as client:
        for place in range(times + WARM_UP):
            began = time.perf_counter()
            answer = client.get(path)
            if place >= WARM_UP:
                took.append((time.perf_counter() - began) * 1000)
            answer.raise_for_status()
            size = len(answer.content)
    return took, size


if __name__ == "__main__":
    main()
