"""The whole demonstration: it ends as it should, and nobody learns who its customers are.

Everything that it leaves behind is searched for the names, phones and addresses that were sent in:
logs, the terminal, both databases, the archive, traces, metrics and the bodies of problems.
"""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from domain.vocabulary import Role
from runtime.scenarios import SCENARIOS
from runtime.settings import Settings
from runtime.tokens import mint
from tests.installation import Installation

CUSTOMERS = [scenario.body["customer"] for scenario in SCENARIOS]
SECRETS = sorted(
    {
        str(customer[name])
        for customer in CUSTOMERS
        for name in ("name", "phone", "email", "address")
        if customer.get(name)
    }
)


def spellings(secret: str) -> set[bytes]:
    """How a text may stand in a file: as it is, escaped in JSON, or as part of an address."""
    return {each.encode() for each in (secret, json.dumps(secret)[1:-1], quote(secret))}


class Collector:
    """Takes traces as an OTLP collector does, and keeps what it was sent."""

    def __init__(self) -> None:
        taken = self.taken = bytearray()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                zipped = self.headers.get("Content-Encoding") == "gzip"
                taken.extend(gzip.decompress(body) if zipped else body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Prober:
    """Reads the metrics and provokes problems for as long as the demonstration runs."""

    def __init__(self, data: Path) -> None:
        self.data, self.metrics, self.problems = data, "", ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.5):
            with suppress(OSError, ValueError, httpx.HTTPError):
                self._probe()

    def _probe(self) -> None:
        found = json.loads((self.data / "addresses.json").read_text("utf-8"))
        url = f"http://127.0.0.1:{found['port']}"
        settings = Settings(_env_file=None, data_dir=self.data)
        bearer = {"Authorization": f"Bearer {mint(settings, Role.agent, 'prober')}"}
        with httpx.Client(base_url=url, headers=bearer, trust_env=False) as http:
            metrics = http.get("/metrics").text
            if "aftersales_clocks" in metrics:
                self.metrics = metrics
            for customer in CUSTOMERS[:3]:
                secret = customer["phone"]
                for answer in (
                    http.post(
                        "/v1/requests", json={"type": customer["name"], "customer": customer}
                    ),
                    http.post("/v1/requests", json={secret: customer}),
                    http.post("/v1/customers/find", json={"phone": secret}),
                    http.get(f"/v1/requests/{secret}"),
                    http.get("/v1/requests", params={"stage": customer["name"], secret: "1"}),
                    http.post("/v1/requests/CR20200101-001/events", json={"type": secret}),
                ):
                    assert answer.is_error
                    # What the caller asked for is said back in `instance`, and as unknown fields.
                    body = answer.json()
                    self.problems += json.dumps(
                        {**body, "instance": "", "errors": body.get("errors", [])},
                        ensure_ascii=False,
                    )


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


@pytest.mark.server
@pytest.mark.slow(30)
def test_every_scenario_ends_as_expected_and_nobody_learns_who_the_customers_are(
    installation: Installation, collector: Collector
) -> None:
    data = installation.data / "demo"
    prober = Prober(data)
    try:
        done = installation.run(
            "demo",
            "--once",
            "--speed",
            "300",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            AFTERSALES_LOG_LEVEL="debug",
        )
    finally:
        prober.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unexpected" not in done.stdout
    for scenario in SCENARIOS:
        assert scenario.title in done.stdout
    assert "complaint escalated 投诉升级: manager" in done.stdout
    assert installation.processes() == {}
    told = {
        "terminal": (done.stdout + done.stderr).encode(),
        "metrics": prober.metrics.encode(),
        "problems": prober.problems.encode(),
        "traces": bytes(collector.taken),
        **{
            str(path.relative_to(data)): path.read_bytes()
            for path in data.rglob("*")
            if path.is_file() and "keys" not in path.parts
        },
    }
    archived = [name for name in told if name.endswith(".manifest.json")]
    assert len(archived) == len(SCENARIOS), "the worker left with some not archived"
    # Each of them has something to say, or nothing would have been looked at.
    for kept in ("terminal", "metrics", "problems", "traces", "aftersales.db", "temporal.db"):
        assert len(told[kept]) > 1000, kept
    assert any(name.startswith("logs") and len(said) > 1000 for name, said in told.items())
    leaks = [
        (where, secret)
        for where, said in told.items()
        for secret in SECRETS
        if any(spelling in said for spelling in spellings(secret))
    ]
    assert not leaks, leaks
