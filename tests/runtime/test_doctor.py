"""`aftersales doctor`: what it says of a server that answers, and whose that is."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment

from activities.archive import archive
from activities.registry import Activities
from records.engine import migrate, open_engine, writing
from records.projection import write_down
from records.tables import Archive
from runtime import preflight
from runtime.doctor import Finding, Verdict, findings
from runtime.settings import Settings
from runtime.temporal import plugin, prepare, worker_is_polling
from runtime.up import as_started, remember_addresses
from tests.activities.outside import Mailbox, mail_server
from tests.conftest import BIN
from tests.databases import RING, RING_TEXT, written
from tests.installation import free_ports
from tests.pure.builders import given
from worker import build_worker


async def found(settings: Settings) -> dict[str, Finding]:
    return {finding.what: finding async for finding in findings(settings)}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bare() -> AsyncIterator[WorkflowEnvironment]:
    """A server that nobody has prepared, and that nobody else uses."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"),
        plugins=[plugin(RING)],
        dev_server_log_level="error",
    ) as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    api, temporal, ui = map(int, free_ports(3))
    return Settings(
        _env_file=None,
        data_dir=tmp_path / "data",
        data_keys=SecretStr(RING_TEXT),
        port=api,
        temporal_port=temporal,
        temporal_ui_port=ui,
    )


@pytest.mark.server
async def test_it_sees_what_the_namespace_and_the_queue_lack(
    bare: WorkflowEnvironment, engine: Engine, settings: Settings
) -> None:
    target = bare.client.service_client.config.target_host
    ours = settings.model_copy(update={"temporal_address": target})
    before = await found(ours)
    assert "NextDue" in before["Search attributes"].found
    assert before["Worker"].verdict is Verdict.failed

    await prepare(bare.client)
    async with build_worker(bare.client, Activities(engine)):
        for _ in range(100):
            if await worker_is_polling(bare.client):
                break
            await asyncio.sleep(0.1)
        during = await found(ours)
    assert during["Search attributes"].verdict is Verdict.ok
    assert during["Worker"].verdict is Verdict.ok
    nothing_current = await found(ours.model_copy(update={"deployment": "aftersales"}))
    assert nothing_current["Current build"].verdict is Verdict.failed
    assert "set-current-version" in nothing_current["Current build"].advice
    # Its last poll is seconds old, but it said goodbye.
    assert (await found(ours))["Worker"].verdict is Verdict.failed


@pytest.mark.server
async def test_another_installation_is_not_taken_for_this_one(
    bare: WorkflowEnvironment, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(bare.client.service_client.config.target_host.rpartition(":")[2])
    monkeypatch.setattr("runtime.doctor.is_ready", lambda _: True)
    rows = await found(settings.model_copy(update={"temporal_port": port}))
    for what, place in (("Temporal", port), ("API", settings.port)):
        assert rows[what].verdict is Verdict.idle
        assert rows[what].found.startswith("another installation answers")
        assert rows[what].found.endswith(f"127.0.0.1:{place}")
    assert "Worker" not in rows


async def test_the_port_of_an_api_that_is_ours_is_not_missed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container, where each process runs alone."""
    with socket.create_server((settings.host, settings.port)):
        ours = settings.model_copy(update={"temporal_address": f"127.0.0.1:{free_ports(1)[0]}"})
        assert (await found(ours))["Ports"].verdict is Verdict.failed
        monkeypatch.setattr("runtime.doctor.is_ready", lambda _: True)
        rows = await found(ours)
        assert rows["Ports"].verdict is Verdict.ok
        assert rows["Ports"].found == f"{settings.port}, in use by the API that runs here"
        assert rows["API"].verdict is Verdict.ok
        assert (await found(settings))["Ports"].verdict is Verdict.failed


async def test_it_asks_where_the_one_that_runs_here_was_started(settings: Settings) -> None:
    with preflight.alone_in(preflight.folder(settings)):
        remember_addresses(settings)
        elsewhere = settings.model_copy(update={"port": 1, "temporal_port": 2})
        assert as_started(elsewhere) == settings
        rows = await found(elsewhere)
    assert str(settings.port) in rows["Ports"].found
    assert rows["Temporal"].found.endswith(f":{settings.temporal_port}")
    assert rows["API"].verdict is Verdict.failed


async def test_a_database_file_that_is_not_there_is_not_made(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "kept elsewhere.db"
    rows = await found(settings.model_copy(update={"database_url": f"sqlite:///{file}"}))
    assert rows["Database"].verdict is Verdict.ok
    assert not file.exists()


async def test_it_tries_the_texts_and_the_channels(settings: Settings, tmp_path: Path) -> None:
    rows = await found(settings)
    assert rows["Message texts"].verdict is Verdict.ok
    assert (rows["Channels"].verdict, rows["Channels"].found) == (
        Verdict.advice,
        "messages go to the log only",
    )
    words, channels = tmp_path / "words", tmp_path / "channels.toml"
    (words / "zh-CN").mkdir(parents=True)
    (words / "zh-CN" / "quote.txt.j2").write_text("报价\n\n{{ totl }}", encoding="utf-8")
    channels.write_text('[routes.customer]\nsms = ["gate"]\n', encoding="utf-8")
    rows = await found(settings.model_copy(update={"templates": words, "channels": channels}))
    assert rows["Message texts"].verdict is Verdict.failed
    assert "zh-CN/quote.txt.j2: 'totl' is undefined" in rows["Message texts"].found
    assert rows["Channels"].verdict is Verdict.failed
    assert "there is no provider gate" in rows["Channels"].found


async def test_it_asks_the_providers_only_when_told_to(settings: Settings, tmp_path: Path) -> None:
    channels = tmp_path / "channels.toml"
    with mail_server(Mailbox()) as port:
        channels.write_text(
            "".join(
                f'[providers.{name}]\nkind = "smtp"\nhost = "127.0.0.1"\nport = {place}\n'
                'security = "none"\nsender = "a@b.example"\n'
                for name, place in (("there", port), ("gone", free_ports(1)[0]))
            )
            + '[routes.customer]\nsms = ["there"]\n[routes.manager]\nconsole = ["gone"]\n',
            encoding="utf-8",
        )
        ours = settings.model_copy(update={"channels": channels})
        silent = await found(ours)
        rows = {finding.what: finding async for finding in findings(ours, providers=True)}
    assert "Provider there" not in silent
    assert "manager.console" in silent["Channels"].advice
    assert rows["Provider there"].verdict is Verdict.ok
    assert rows["Provider gone"].verdict is Verdict.failed
    assert rows["Provider gone"].found == "does not answer: connect"


async def test_it_says_what_has_closed_and_is_not_archived(settings: Settings) -> None:
    settings.data_dir.mkdir(parents=True)
    engine = open_engine(settings.database, RING)
    migrate(engine)
    story = given().walked("surveyed")
    write_down(engine, written(story))
    archive(engine, story.request)
    waiting = (await found(settings))["Archive"]
    assert waiting.verdict is Verdict.advice
    number = story.request.number
    assert waiting.found == f"1 closed requests are not archived, the oldest is {number}"
    with writing(engine) as session:
        session.get_one(Archive, number).closed_at = datetime.now(UTC) - timedelta(minutes=50)
    assert (await found(settings))["Archive"].verdict is Verdict.ok
    engine.dispose()
