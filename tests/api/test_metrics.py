"""What Prometheus reads: true, parsable, and without a name or a number of anybody."""

import asyncio
import json
import re
import threading
from functools import partial
from pathlib import Path

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import Engine, delete, text
from sqlmodel import col
from temporalio.testing import WorkflowEnvironment

from activities.registry import Activities
from api import metrics
from records import chain
from records.chain import Kind
from records.engine import writing
from records.figures import Figures, figures
from records.tables import Link
from runtime.settings import Settings
from runtime.temporal import LAST_BREATH
from tests.api.caller import Caller, event
from tests.api.conftest import serving
from worker import build_worker

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "FRESH_SECONDS", -1.0)


async def scraped(http: httpx.AsyncClient) -> dict[str, Metric]:
    response = await http.get("/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain")
    return {family.name: family for family in text_string_to_metric_families(response.text)}


def value(families: dict[str, Metric], sample: str, **labels: str) -> float:
    found = [
        each.value
        for family in families.values()
        for each in family.samples
        if each.name == sample and labels.items() <= each.labels.items()
    ]
    return sum(found)


async def test_it_tells_whether_a_worker_is_there(
    caller: Caller, temporal: WorkflowEnvironment, records: Engine
) -> None:
    # The first test here, while no other keeps a worker. One of the same process, and so of the
    # same name, may just have left.
    await asyncio.sleep(LAST_BREATH.total_seconds())
    assert value(await scraped(caller.http), "aftersales_part_up", part="worker") == 0
    async with build_worker(temporal.client, Activities(records)):
        for _ in range(50):
            if value(await scraped(caller.http), "aftersales_part_up", part="worker") == 1:
                return
            await asyncio.sleep(0.1)
    raise AssertionError("no worker was seen")


async def test_the_figures_are_those_of_the_records(
    caller: Caller, worker: None, records: Engine
) -> None:
    before = await scraped(caller.http)
    number = await caller.takes_in()
    await caller.brings(number, event("responded"))
    after = await scraped(caller.http)

    def more(sample: str, **labels: str) -> float:
        return value(after, sample, **labels) - value(before, sample, **labels)

    assert more("aftersales_clocks_started_total", rule="first_response") == 1
    assert more("aftersales_clocks_kept_total", rule="first_response") == 1
    assert more("aftersales_clocks_breached_total") == 0
    assert more("aftersales_open_requests", stage="dispatch", clock_state="on_track") == 1
    route = "/v1/requests/{number}/events"
    assert more("aftersales_http_requests_total", route="/v1/requests", status="201") == 1
    assert value(after, "aftersales_http_request_duration_seconds_count", route=route) >= 1
    assert value(after, "aftersales_part_up", part="database") == 1
    assert value(after, "aftersales_part_up", part="temporal") == 1
    assert value(after, "aftersales_task_queue_backlog", kind="workflow") >= 0
    assert value(after, "aftersales_build_info") == 1
    assert value(after, "process_resident_memory_bytes") > 0


async def test_lateness_is_told_in_classes(caller: Caller, worker: None, records: Engine) -> None:
    number = await caller.takes_in()
    await caller.brings(number, event("responded"))
    late = text(
        "UPDATE clock SET state = 'late', breached_at = started_at, late_seconds = 75 "
        "WHERE number = :n AND rule = 'first_response'"
    )
    with records.begin() as connection:
        connection.execute(late, {"n": number})
    families = await scraped(caller.http)
    of = {"rule": "first_response"}
    assert value(families, "aftersales_clock_lateness_seconds_bucket", le="60.0", **of) == 0
    assert value(families, "aftersales_clock_lateness_seconds_bucket", le="300.0", **of) == 1
    assert value(families, "aftersales_clock_lateness_seconds_bucket", le="+Inf", **of) == 1
    assert value(families, "aftersales_clock_lateness_seconds_sum", **of) == 75
    assert value(families, "aftersales_clocks_late_total", **of) == 1
    assert value(families, "aftersales_clocks_breached_total", **of) == 1


async def test_no_series_names_a_request_a_path_or_a_person(caller: Caller, worker: None) -> None:
    number = await caller.takes_in()
    await caller.get(f"/v1/requests/{number}")
    await caller.get("/v1/requests/CR20990101-001")
    await caller.get("/wp-admin/张三/13812345678")
    shown = (await caller.http.get("/metrics")).text
    # The whole number: a figure such as 0.13812…e+09 may begin like one.
    assert not re.search(r"CR\d{8}|张三|wp-admin|13812345678", shown)
    families = {family.name: family for family in text_string_to_metric_families(shown)}
    assert value(families, "aftersales_http_requests_total", route="unmatched", status="404") >= 1


async def test_names_follow_the_conventions(caller: Caller) -> None:
    for name, family in (await scraped(caller.http)).items():
        assert re.fullmatch(r"(aftersales|process)_[a-z][a-z_]*", name)
        assert family.documentation
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name.endswith(("_total", "_created"))
            elif family.type == "gauge":
                assert not sample.name.endswith(("_total", "_count", "_sum", "_bucket"))
            assert not {"number", "path", "id", "customer", "engineer"} & sample.labels.keys()


async def test_what_has_closed_waits_for_its_archive(
    caller: Caller, worker: None, records: Engine
) -> None:
    number = await caller.takes_in()
    await caller.brings(number, event("cancelled", "customer", reason="不修了"))
    waits = 0.0
    for _ in range(100):
        if waits := value(await scraped(caller.http), "aftersales_archive_waiting_seconds"):
            break
        await asyncio.sleep(0.05)
    assert waits > 0
    waiting = [each.number for each in chain.waiting(records, limit=1000)]
    for number in waiting:
        chain.add(records, Kind.history, number, partial(_link, number))
    families = await scraped(caller.http)
    with writing(records) as session:
        session.exec(delete(Link).where(col(Link.number).in_(waiting)))
    assert value(families, "aftersales_archive_waiting_seconds") == 0


def _link(number: str, last: Link | None) -> Link:
    place = {"seq": last.seq + 1 if last else 1, "kind": Kind.history, "number": number}
    nothing = {"month": "", "hash": "", "content": "", "filed": True}
    return Link.model_validate({**place, **nothing})


async def test_webhooks_and_the_upkeep_are_told_once_there_are_any(
    caller: Caller, records: Engine
) -> None:
    assert (await scraped(caller.http))["aftersales_reconcile_age_seconds"].samples == []
    with records.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO upkeep VALUES "
                "('reconcile', '2026-05-20 00:00:00.000000+00:00', 10, 3, 2, 0.5)"
            )
        )
    families = await scraped(caller.http)
    with records.begin() as connection:
        connection.execute(text("DELETE FROM upkeep"))
    assert value(families, "aftersales_reconcile_differences", outcome="left") == 1
    assert value(families, "aftersales_reconcile_differences", outcome="repaired") == 2
    assert value(families, "aftersales_reconcile_age_seconds") > 0


async def test_elsewhere_than_on_loopback_a_token_is_needed(settings: Settings) -> None:
    bare = settings.model_copy(update={"host": "0.0.0.0"})
    kept = settings.model_copy(update={"metrics_token": SecretStr("m" * 20)})
    for chosen in (bare, kept):
        async with (
            serving(chosen) as address,
            httpx.AsyncClient(base_url=address, trust_env=False) as http,
        ):
            refused = await http.get("/metrics")
            assert (refused.status_code, refused.json()["code"]) == (401, "token_missing")
            answers = {
                token: (
                    await http.get("/metrics", headers={"Authorization": f"Bearer {token}"})
                ).status_code
                for token in ("m" * 20, "wrong", "m" * 19)
            }
            right = 200 if chosen is kept else 401
            assert answers == {"m" * 20: right, "wrong": 401, "m" * 19: 401}


async def test_what_is_asked_again_soon_is_not_counted_again(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "FRESH_SECONDS", 60.0)
    await scraped(caller.http)
    looks = 0

    async def look(self: object, services: object) -> None:
        nonlocal looks
        looks += 1

    monkeypatch.setattr(metrics.HouseCollector, "look", look)
    await scraped(caller.http)
    assert looks == 0


async def test_a_count_that_takes_long_is_awaited_and_the_last_one_shown(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "PATIENCE", 1.0)
    before = await scraped(caller.http)
    go_on, begun = threading.Event(), []

    def slow(engine: Engine) -> Figures:
        begun.append(engine)
        go_on.wait(30)
        return figures(engine)

    monkeypatch.setattr(metrics, "figures", slow)
    try:
        for _ in range(2):
            shown = await scraped(caller.http)
            assert value(shown, "aftersales_part_up", part="database") == 1
            for family in ("aftersales_open_requests", "aftersales_clocks_started"):
                assert shown[family].samples == before[family].samples
            assert value(shown, "aftersales_figures_age_seconds") >= 1
    finally:
        go_on.set()
    assert value(await scraped(caller.http), "aftersales_figures_age_seconds") >= 1
    assert len(begun) == 1  # No second count on top of the first.
    assert value(await scraped(caller.http), "aftersales_figures_age_seconds") < 1


async def test_dashboard_and_alerts_name_only_what_is_there(caller: Caller) -> None:
    there = {
        sample
        for name, family in (await scraped(caller.http)).items()
        for sample in (
            name,
            f"{name}_total",
            *(f"{name}{suffix}" for suffix in ("_bucket", "_sum", "_count")),
            *(each.name for each in family.samples),
        )
    }
    dashboard = json.loads((ROOT / "deploy/grafana/aftersales.json").read_text("utf-8"))
    asked = [t["expr"] for panel in dashboard["panels"] for t in panel.get("targets", [])]
    alerts = (ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8")
    named = set(re.findall(r"\b(?:aftersales|process)_[a-z_]+", "\n".join([*asked, alerts])))
    assert len(named) > 10
    assert named - there == set()
