"""`/metrics`: how the house stands, for Prometheus.

What is counted stands in the records, so the counts are exact and outlive every process; only the
HTTP figures are this process's own. No series carries a name or an id.
"""

import asyncio
import hmac
import time
from collections.abc import Iterator
from datetime import datetime

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from temporalio.service import RPCError

from api.health import database_answers
from api.middleware import what_happened
from api.problems import Problem
from api.services import Served, Services, now
from records.figures import LATENESS, Figures, figures
from runtime.settings import metrics_are_open
from runtime.temporal import Backlog, backlog, worker_is_polling
from runtime.version import version
from workflows.reconcile import RECONCILE

log = structlog.get_logger("api")

router = APIRouter()

FRESH_SECONDS = 10.0
"""Scrapes that follow each other this closely share one look at the records."""

PATIENCE = 2.0
_CHALLENGE = 'Bearer realm="aftersales metrics"'


class Metrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._house = HouseCollector()
        self.registry.register(self._house)
        self._looking = asyncio.Lock()
        self.requests = Counter(
            "aftersales_http_requests",
            "Calls answered by this process, by method, route and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.durations = Histogram(
            "aftersales_http_request_duration_seconds",
            "How long this process took to answer a call, by method and route.",
            ["method", "route"],
            registry=self.registry,
        )

    async def exposition(self, services: Services) -> bytes:
        """The text that Prometheus reads."""
        async with self._looking:
            if self._house.age() > FRESH_SECONDS:
                await self._house.look(services)
        return generate_latest(self.registry)


class HouseCollector(Collector):
    """The house as it was last looked at."""

    def __init__(self) -> None:
        self._looked: float | None = None
        self._figures: Figures | None = None
        self._counted: float | None = None
        self._counting: asyncio.Task[tuple[Figures, float]] | None = None
        self._backlog: dict[str, Backlog] = {}
        self._up: dict[str, bool] = {}

    def age(self) -> float:
        """Seconds since the last look."""
        return float("inf") if self._looked is None else time.monotonic() - self._looked

    async def look(self, services: Services) -> None:
        """Look at the records and at Temporal; what does not answer is missing, and told so."""
        self._backlog, polling = {}, False
        database = await database_answers(services)
        if database:
            await self._count(services)
        else:
            self._figures = self._counted = None
        try:
            async with asyncio.timeout(PATIENCE):
                self._backlog = await backlog(services.client)
                polling = await worker_is_polling(services.client)
        except (RPCError, RuntimeError, TimeoutError):
            pass
        self._up = {
            "database": database,
            "temporal": bool(self._backlog),
            "worker": polling,
        }
        self._looked = time.monotonic()

    async def _count(self, services: Services) -> None:
        """Count anew; a count that takes long goes on, and until it ends the last one stands."""
        if self._counting is None:
            self._counting = asyncio.create_task(_counted(services))
        await asyncio.wait([self._counting], timeout=PATIENCE)
        if not self._counting.done():
            return
        counted, self._counting = self._counting, None
        if (error := counted.exception()) is None:
            self._figures, self._counted = counted.result()
        else:
            log.warning("figures_failed", **what_happened(error))

    def collect(self) -> Iterator[Metric]:
        """Every family, also those that nothing is known of now."""
        build = GaugeMetricFamily(
            "aftersales_build_info", "Which version runs.", labels=["version"]
        )
        build.add_metric([version()], 1)
        yield build
        up = GaugeMetricFamily(
            "aftersales_part_up", "Whether this part of the house answers.", labels=["part"]
        )
        for part, is_up in self._up.items():
            up.add_metric([part], is_up)
        yield up
        age = GaugeMetricFamily(
            "aftersales_figures_age_seconds", "Since the figures of the records were counted."
        )
        if self._counted is not None:
            age.add_metric([], time.monotonic() - self._counted)
        yield age
        yield from _clocks(self._figures)
        yield from _requests(self._figures)
        yield from _messages(self._figures)
        yield from _archive(self._figures)
        yield from _reconciled(self._figures)
        yield from _queue(self._backlog)


async def _counted(services: Services) -> tuple[Figures, float]:
    """The figures, and when the count began."""
    began = time.monotonic()
    return await services.records(figures), began


def _clocks(known: Figures | None) -> Iterator[Metric]:
    """Exact counts from the records: never twice, whoever restarts."""
    said = {
        "started": "Promises made, by rule.",
        "kept": "Promises met in time, by rule.",
        "late": "Promises met too late, by rule.",
        "breached": "Promises broken, whether met later or not, by rule.",
    }
    promises = known.promises if known else {}
    for name, help_text in said.items():
        family = CounterMetricFamily(f"aftersales_clocks_{name}", help_text, labels=["rule"])
        for rule, counted in promises.items():
            family.add_metric([rule], getattr(counted, name))
        yield family
    late = HistogramMetricFamily(
        "aftersales_clock_lateness_seconds",
        "By how much promises met too late were late, by rule.",
        labels=["rule"],
    )
    for rule, counted in promises.items():
        bounds = zip(map(str, LATENESS), counted.lateness, strict=True)
        late.add_metric([rule], [*bounds, ("+Inf", counted.late)], counted.late_seconds)
    yield late


def _requests(known: Figures | None) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "aftersales_open_requests",
        "Requests not yet closed, by stage and by how their clocks stand.",
        labels=["stage", "clock_state"],
    )
    for labels, count in (known.open_requests if known else {}).items():
        family.add_metric(labels, count)
    yield family


def _archive(known: Figures | None) -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        "aftersales_archive_waiting_seconds",
        "How long ago the request closed that has waited longest for its archive; 0: none waits.",
    )
    if known:
        since = known.unarchived_since
        waiting.add_metric([], _since(since) if since else 0)
    yield waiting


def _messages(known: Figures | None) -> Iterator[Metric]:
    outbox = GaugeMetricFamily(
        "aftersales_outbox_messages",
        "Messages in the outbox, by state and channel.",
        labels=["state", "channel"],
    )
    for labels, count in (known.outbox if known else {}).items():
        outbox.add_metric(labels, count)
    yield outbox
    oldest = GaugeMetricFamily(
        "aftersales_outbox_oldest_seconds", "How long the oldest queued message has been waiting."
    )
    if known:
        oldest.add_metric([], _since(known.oldest) if known.oldest else 0)
    yield oldest
    webhooks = GaugeMetricFamily(
        "aftersales_webhook_deliveries", "Webhook deliveries, by state.", labels=["state"]
    )
    for state, count in (known.webhooks if known else {}).items():
        webhooks.add_metric([state], count)
    yield webhooks


def _reconciled(known: Figures | None) -> Iterator[Metric]:
    last = known.upkeep.get(RECONCILE) if known else None
    age = GaugeMetricFamily(
        "aftersales_reconcile_age_seconds", "Since records and requests were last compared."
    )
    differences = GaugeMetricFamily(
        "aftersales_reconcile_differences",
        "Differences that the last comparison found, by whether they were repaired.",
        labels=["outcome"],
    )
    took = GaugeMetricFamily(
        "aftersales_reconcile_duration_seconds", "How long the last comparison took."
    )
    if last is not None:
        age.add_metric([], _since(last.ran_at))
        differences.add_metric(["repaired"], last.repaired)
        differences.add_metric(["left"], last.differences - last.repaired)
        took.add_metric([], last.took)
    yield from (age, differences, took)


def _queue(known: dict[str, Backlog]) -> Iterator[Metric]:
    count = GaugeMetricFamily(
        "aftersales_task_queue_backlog",
        "Tasks that wait for a worker, roughly, by kind.",
        labels=["kind"],
    )
    age = GaugeMetricFamily(
        "aftersales_task_queue_backlog_age_seconds",
        "How long the oldest of them has been waiting, by kind.",
        labels=["kind"],
    )
    for kind, found in known.items():
        count.add_metric([kind], found.count)
        age.add_metric([kind], found.age.total_seconds())
    yield from (count, age)


def _since(moment: datetime) -> float:
    return max((now() - moment).total_seconds(), 0)


@router.get("/metrics", include_in_schema=False)
async def get_metrics(request: Request, services: Served) -> Response:
    """Show the metrics, to whoever may see them."""
    _check(request, services)
    metrics: Metrics = request.app.state.metrics
    return Response(await metrics.exposition(services), media_type=CONTENT_TYPE_LATEST)


def _check(request: Request, services: Services) -> None:
    """Whether the caller brings the metrics' own token, where one is needed.

    Raises:
        Problem: 401, `token_missing` or `token_invalid`.
    """
    if metrics_are_open(services.settings):
        return
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    token = services.settings.metrics_token
    if scheme.lower() != "bearer" or not given or token is None:
        raise Problem("token_missing", headers={"WWW-Authenticate": _CHALLENGE})
    if not hmac.compare_digest(given.encode(), token.get_secret_value().encode()):
        raise Problem("token_invalid", headers={"WWW-Authenticate": _CHALLENGE})
