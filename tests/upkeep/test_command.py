"""`aftersales reconcile` and `doctor` as a person meets them."""

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from pydantic import SecretStr, ValidationError
from sqlalchemy import Engine, text
from temporalio.testing import WorkflowEnvironment

from runtime.arguments import moment
from runtime.doctor import Verdict, findings
from runtime.reconcile_command import run
from runtime.settings import Settings
from runtime.trouble import Trouble
from tests.databases import RING_TEXT
from tests.installation import free_ports

from .conftest import OpenDesk

CLI = Path(__file__).parents[2] / "cli.py"


@pytest.fixture
def settings(server: WorkflowEnvironment, engine: Engine, tmp_path: Path) -> Settings:
    return Settings(
        _env_file=None,
        data_dir=tmp_path,
        database_url=str(engine.url),
        data_keys=SecretStr(RING_TEXT),
        temporal_address=server.client.service_client.config.target_host,
        temporal_namespace=server.client.namespace,
    )


def aftersales(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, CLI, *words],
        env={
            "PATH": "",
            "AFTERSALES_DATA_DIR": str(settings.data_dir),
            "AFTERSALES_DATABASE_URL": settings.database,
            "AFTERSALES_DATA_KEYS": RING_TEXT,
            "AFTERSALES_TEMPORAL_ADDRESS": settings.temporal_target,
            "AFTERSALES_TEMPORAL_NAMESPACE": settings.temporal_namespace,
        },
        capture_output=True,
        text=True,
        check=False,
        cwd=settings.data_dir,
    )


@pytest.mark.server
async def test_what_it_prints_and_how_it_ends(
    desk: OpenDesk, settings: Settings, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    number = (await (await desk()).goes_to("dispatch")).number
    bad = text("UPDATE request SET stage = 'revisit' WHERE number = :n")
    with engine.begin() as connection:
        connection.execute(bad, {"n": number})
    looked = await asyncio.to_thread(aftersales, settings, "reconcile", "--dry-run")
    assert looked.returncode == 1, looked.stderr
    assert f"{number}  differs 不一致  request: wrong: stage" in looked.stdout
    assert "1 left" in looked.stdout
    checks = {finding.what: finding async for finding in findings(settings)}
    assert checks["Reconcile"].verdict is Verdict.failed
    assert await run(settings, repair=True, number=number)
    assert f"{number}  repaired 已修复  request: wrong: stage" in capsys.readouterr().out
    assert await run(settings, repair=True, since=datetime.now(UTC) - timedelta(hours=1))
    assert capsys.readouterr().out.splitlines()[0] == (
        "1 requests checked, 0 differences, 0 repaired, 0 left."
    )


@pytest.mark.server
@pytest.mark.parametrize("number", ["CR20200101-999", "", "'; DROP TABLE request; --"])
async def test_a_request_that_nobody_knows(settings: Settings, number: str) -> None:
    with pytest.raises(Trouble, match="There is no request"):
        await run(settings, repair=True, number=number)


async def test_no_server_at_all(settings: Settings) -> None:
    (port,) = free_ports(1)
    nowhere = settings.model_copy(update={"temporal_address": f"127.0.0.1:{port}"})
    with pytest.raises(Trouble, match=str(port)):
        await run(nowhere, repair=False)


def test_since_is_a_date_or_so_long_ago() -> None:
    assert moment("2026-05-20T08:00:00+08:00") == datetime(2026, 5, 20, tzinfo=UTC)
    began = moment("24h")
    ago = datetime.now(UTC) - began
    assert timedelta(hours=24) <= ago < timedelta(hours=24, minutes=1)
    with pytest.raises(typer.BadParameter, match=r"write 2026-05-20, .* or 24h"):
        moment("gestern")


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York"])
@pytest.mark.parametrize("text", ["2026-05-20", "2026-05-20T00:00", "2026-05-20T08:00+08:00"])
def test_a_time_without_an_offset_is_utc_wherever_the_machine_stands(
    text: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", zone)
        time.tzset()
        found = moment(text)
    time.tzset()
    assert found == datetime(2026, 5, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["0001-01-01", "0001-01-01T00:00+08:00", "9999-12-31T23:00-08:00", "P999999D"]
)
def test_a_time_beyond_all_requests_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="does not lie between the years 2000 and 2100"):
        moment(text)


@pytest.mark.parametrize(
    ("given", "every"),
    [("1h", timedelta(hours=1)), ("90s", timedelta(seconds=90)), ("off", None), ("0", None)],
)
def test_how_often_it_runs_by_itself(given: str, every: timedelta | None) -> None:
    assert Settings(_env_file=None, reconcile_every=given).reconcile_interval == every


@pytest.mark.parametrize("given", ["10s", "often", "-1h", ""])
def test_no_pace_at_all(given: str) -> None:
    with pytest.raises(ValidationError):
        Settings(_env_file=None, reconcile_every=given)
