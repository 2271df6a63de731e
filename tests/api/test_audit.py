"""The auditor asks over HTTP: how it stood, what the history says, whether it holds."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from audit.archivist import Archivist
from audit.store import Store
from domain.vocabulary import Role
from records.engine import open_engine
from runtime.keys import signing_key
from tests.api.caller import Caller, event
from tests.api.test_shredding import Tools
from tests.databases import RING

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("worker")]


@pytest.fixture
def auditor(caller: Caller) -> Caller:
    return caller.acting_as(Role.auditor)


async def test_a_request_is_shown_as_it_stood(caller: Caller, auditor: Caller) -> None:
    number = await caller.takes_in()
    await caller.brings(number, event("responded"))
    then = datetime.now(UTC)
    await caller.brings(number, event("cancelled", "customer", reason="不修了"))
    path = f"/v1/audit/requests/{number}"
    stood = (await auditor.get(path, at=then.isoformat())).json()
    assert stood["request"]["stage"] == "dispatch"
    assert stood["request"]["outcome"] is None
    assert "dispatch" in {owed["rule"] for owed in stood["obligations"]}
    now = (await auditor.get(path)).json()
    assert now["request"]["outcome"] == "cancelled"
    early = await auditor.get(path, at="2020-01-01T00:00:00Z")
    assert (early.status_code, early.json()["errors"][0]["field"]) == (422, "/at")


async def test_the_command_verifies_a_running_request_too(caller: Caller, auditor: Caller) -> None:
    number = await caller.takes_in()
    await caller.brings(number, event("responded"))
    tools = Tools(caller, number)
    ways = ((), ("--json",), ("--offline",), ("--html", "report.html"))
    called = (asyncio.to_thread(tools.run, "audit", "verify", number, *way) for way in ways)
    shown, plain, offline, report = await asyncio.gather(*called)
    assert shown.returncode == plain.returncode == 0
    assert "first_response" in shown.stdout
    assert f"{number} is not archived yet; the server's history: 0 faults." in shown.stdout
    (told,) = json.loads(plain.stdout)["requests"]
    assert told == (await auditor.get(f"/v1/audit/requests/{number}/verification")).json()
    assert (offline.returncode, "manifest_missing" in offline.stdout) == (1, True)
    assert "a report is on what is archived" in report.stderr
    tools.environment["AFTERSALES_TEMPORAL_ADDRESS"] = "127.0.0.1:1"
    away = await asyncio.to_thread(tools.run, "audit", "verify", number)
    assert (away.returncode, away.stdout) == (1, "")
    assert f"{number} is not archived yet, and Temporal at 127.0.0.1:1 does not" in away.stderr


async def test_a_running_and_an_archived_request_are_verified(
    caller: Caller, auditor: Caller, temporal: WorkflowEnvironment
) -> None:
    number = await caller.takes_in()
    running: dict[str, Any] = {"promises": []}
    while not running["promises"]:  # Until a worker has taken it up.
        running = (await auditor.get(f"/v1/audit/requests/{number}/verification")).json()
    assert (running["archived"], running["verdict"]) == (False, "sound")
    (first, *_) = running["promises"]
    assert (first["rule"], first["standing"]) == ("first_response", "running")
    assert first["evidence"] == {"started": {"event": 1, "run": None}}
    await caller.brings(number, event("cancelled", "customer", reason="不修了"))
    settings = caller.settings
    archivist = Archivist(
        open_engine(settings.database, RING),
        temporal.client,
        Store(settings.archive),
        RING,
        signing_key(settings),
    )
    path = f"/v1/audit/requests/{number}"
    shown = running
    for _ in range(100):
        await archivist.archive_all()
        shown = (await auditor.get(f"{path}/verification")).json()
        if shown["archived"]:
            break
        await asyncio.sleep(0.05)
    assert (shown["archived"], shown["verdict"], shown["findings"]) == (True, "sound", [])
    standings = {each["rule"]: each["standing"] for each in shown["promises"]}
    assert standings["first_response"] == "cancelled"
    history = (await auditor.get(f"{path}/history")).json()
    assert "不修了" not in str(history)
    (run,) = history["runs"]
    assert len(run["history"]["events"]) == shown["events"]
    assert (await auditor.get(path)).json()["request"]["stage"] == "closed"

    folder = settings.data_dir / "archive"
    away = folder.rename(folder.with_name("elsewhere"))
    folder.touch()
    for what in ("", "/history", "/verification"):
        answer = await auditor.get(f"{path}{what}")
        assert (answer.status_code, answer.json()["code"]) == (503, "archive_unavailable")
    folder.unlink()
    away.rename(folder)


@pytest.mark.parametrize("role", [Role.agent, Role.supervisor, Role.integration, Role.customer])
async def test_nobody_else_reads_histories(caller: Caller, role: Role) -> None:
    number = await caller.takes_in()
    for path in ("", "/history", "/verification"):
        answer = await caller.acting_as(role).get(f"/v1/audit/requests/{number}{path}")
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


async def test_an_unknown_request_has_no_history(auditor: Caller) -> None:
    answer = await auditor.get("/v1/audit/requests/CR20200101-001/history")
    assert (answer.status_code, answer.json()["code"]) == (404, "request_not_found")
