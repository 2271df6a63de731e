"""`aftersales reconcile` and `doctor` as a person meets them."""

import asyncio
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine, text
from temporalio.testing import WorkflowEnvironment

from runtime.doctor import Verdict, findings
from runtime.settings import Settings

from .conftest import OpenDesk

CLI = Path(__file__).parents[2] / "cli.py"


@pytest.fixture
def settings(server: WorkflowEnvironment, engine: Engine, tmp_path: Path) -> Settings:
    return Settings(
        _env_file=None,
        data_dir=tmp_path,
        database_url=str(engine.url),
        temporal_address=server.client.service_client.config.target_host,
    )


def aftersales(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, CLI, *words],
        env={
            "PATH": "",
            "AFTERSALES_DATA_DIR": str(settings.data_dir),
            "AFTERSALES_DATABASE_URL": settings.database,
            "AFTERSALES_TEMPORAL_ADDRESS": settings.temporal_target,
        },
        capture_output=True,
        text=True,
        check=False,
        cwd=settings.data_dir,
    )


@pytest.mark.server
async def test_what_it_prints_and_how_it_ends(
    desk: OpenDesk, settings: Settings, engine: Engine
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
    mended = await asyncio.to_thread(aftersales, settings, "reconcile", "--number", number)
    assert mended.returncode == 0, mended.stderr
    assert f"{number}  repaired 已修复  request: wrong: stage" in mended.stdout
    again = await asyncio.to_thread(aftersales, settings, "reconcile", "--since", "1h")
    assert (again.returncode, again.stdout.splitlines()[0]) == (
        0,
        "1 requests checked, 0 differences, 0 repaired, 0 left.",
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--number", "CR20200101-999"), "There is no request CR20200101-999"),
        (("--number", ""), "There is no request"),
        (("--number", "'; DROP TABLE request; --"), "There is no request"),
        (("--since", "gestern"), "is no time; write 2026-05-20 or 24h"),
    ],
)
async def test_a_wrong_word_is_told(settings: Settings, words: tuple[str, str], said: str) -> None:
    done = await asyncio.to_thread(aftersales, settings, "reconcile", *words)
    assert done.returncode in (1, 2)
    assert said in done.stderr


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
