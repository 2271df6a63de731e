"""Builds that drifted, run as they would be: other processes with other code and the real commands.

A drift is a few lines that Python runs before any of ours, in the command and in each process that
it starts.
"""

import asyncio
import json
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment

from audit.archivist import Archivist
from audit.manifests import public_key
from audit.rehearsal import sample
from audit.store import Store
from domain.policy import Policy
from tests.databases import RING, RING_TEXT
from tests.desk import open_desk

pytestmark = pytest.mark.server

KEY = Ed25519PrivateKey.generate()
SECRET = "13912345678"
CLI = Path(__file__).parents[2] / "cli.py"

SIXTEEN_MINUTES = """
from domain.policy import Policy
from domain.rules import Rule
promised = Policy.terms
def terms(self, rule, now):
    found = promised(self, rule, now)
    return found._replace(goal=found.goal * 16 / 15) if found and rule is Rule.accept else found
Policy.terms = terms
"""
ANOTHER_IS_TOLD = """
from domain.request import ServiceRequest
from domain.vocabulary import Role
tell = ServiceRequest.tell
ServiceRequest.tell = lambda self, to, *told, **more: tell(self, Role.manager, *told, **more)
"""
ANOTHER_RESULT = """
from domain.request import ServiceRequest
ServiceRequest.breached_rules = property(lambda self: ["accept"])
"""
NOTHING_SHOWN = """
from workflows.service_request import ServiceRequestWorkflow
ServiceRequestWorkflow._show = lambda self: None
"""
IT_BREAKS = f"""
from workflows.service_request import ServiceRequestWorkflow
def broken(self):
    raise KeyError("{SECRET}")
ServiceRequestWorkflow._let_time_pass = broken
"""
ALL_WENT = """
from audit import rehearsal
async def sample(*_, **__):
    return [rehearsal.Run("CR20990101-001", "00000000-0000-4000-8000-000000000000")]
rehearsal.sample = sample
"""
BARE_REPLAYER = """
import asyncio, json, os, sys
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from runtime.temporal import plugin
from tests.databases import RING
from workflows.service_request import ServiceRequestWorkflow
(run,) = json.load(open(sys.argv[1]))["runs"]
replayer = Replayer(workflows=[ServiceRequestWorkflow], plugins=[plugin(RING)],
                    workflow_runner=UnsandboxedWorkflowRunner())
asyncio.run(replayer.replay_workflow(WorkflowHistory.from_json("CR", run["history"])))
os._exit(0)  # The SDK's core may abort an interpreter that goes down after a replay.
"""


class Closed:
    """A request that was accepted in time and closed, on the server and in an archive."""

    def __init__(self, folder: Path, number: str, since: datetime, server: str) -> None:
        self.folder, self.number, self.since = folder, number, since
        self.environment = {
            **os.environ,
            "AFTERSALES_DATA_DIR": str(folder / "data"),
            "AFTERSALES_ARCHIVE_URL": str(folder / "archive"),
            "AFTERSALES_DATA_KEYS": RING_TEXT,
            "AFTERSALES_TEMPORAL_ADDRESS": server,
        }

    async def runs(self, *command: str, drift: str = "") -> tuple[int, str, str]:
        """Run Python under a drift: its exit code, what it printed, what it complained of."""
        build = self.folder / f"build-{abs(hash(drift))}"
        if not build.exists():  # Written once: a process may be reading it.
            build.mkdir()
            (build / "sitecustomize.py").write_text(drift, encoding="utf-8")
        path = os.pathsep.join([str(build), str(CLI.parent)])
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            env={**self.environment, "PYTHONPATH": path},
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complained = await process.communicate()
        return process.returncode or 0, said.decode(), complained.decode()

    async def verifies(self, drift: str = "") -> tuple[int, str, str]:
        key = ["--public-key", public_key(KEY)]
        command = ["audit", "verify", self.number, "--json", "--offline", *key]
        return await self.runs(str(CLI), *command, drift=drift)

    async def replays(self, drift: str = "", *more: str) -> tuple[int, str, str]:
        since = ["--since", self.since.isoformat(), "--processes", "1"]
        return await self.runs(str(CLI), "audit", "replay", "--offline", *since, *more, drift=drift)

    async def replays_in_the_sdk(self, drift: str) -> tuple[int, str, str]:
        exported = str(self.folder / "exported.json")
        return await self.runs("-c", BARE_REPLAYER, exported, drift=drift)


async def test_a_gate_that_tried_nothing_does_not_open(closed: "Closed") -> None:
    """A mistyped time must not let a deployment through."""
    command = ("audit", "replay", "--offline", "--since", "2099-01-01T00:00+00:00")
    code, _, complained = await closed.runs(str(CLI), *command)
    assert (code, "nothing was tried" in complained) == (1, True)
    code, said, complained = await closed.replays(ALL_WENT)
    assert (code, said.splitlines()[0]) == (1, "0 runs replayed, 0 differ, 1 gone meanwhile.")
    assert complained.endswith("nothing was tried: run it again.\n")
    code, said, _ = await closed.replays(ALL_WENT, "--json")
    assert (code, json.loads(said)["gone"]) == (1, 1)


@pytest.fixture(scope="module")
async def closed(
    live_worker: WorkflowEnvironment,
    engine: Engine,
    standard: Policy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Closed:
    async def now() -> datetime:
        return datetime.now(UTC)

    async def sleep(span: timedelta) -> None:
        await asyncio.sleep(span.total_seconds())

    since = datetime.now(UTC)
    client = live_worker.client
    desk = await open_desk(client, engine, standard, now, sleep)
    await desk.says("responded")
    await desk.accepts()
    await desk.says("cancelled", reason=f"不修了，电话 {SECRET}")
    await desk.handle.result()
    folder = tmp_path_factory.mktemp("drift")
    archivist = Archivist(engine, client, Store(str(folder / "archive")), RING, KEY)
    while await archivist.archive_all():
        pass
    while not await sample(client, 1, since):  # The list of workflows follows a little later.
        pass
    found = Closed(folder, desk.number, since, client.service_client.config.target_host)
    history = await desk.handle.fetch_history()
    exported = {"runs": [{"history": history.to_json_dict()}]}
    (folder / "exported.json").write_text(json.dumps(exported), encoding="utf-8")
    return found


async def test_the_build_that_wrote_a_history_passes_both_gates(closed: Closed) -> None:
    (verified, told, _), (replayed, said, _) = await asyncio.gather(
        closed.verifies(), closed.replays()
    )
    (request,) = json.loads(told)["requests"]
    assert (request["verdict"], request["findings"]) == ("sound", [])
    # Other tests' requests may stand in the chain before it, in archives of their own.
    assert verified == (1 if json.loads(told)["findings"] else 0)
    assert (replayed, said.splitlines()[0]) == (0, "1 run replayed, 0 differ.")


@pytest.mark.slow(8)
@pytest.mark.parametrize(
    ("drift", "what"),
    [
        pytest.param(SIXTEEN_MINUTES, "timer duration", id="16 minutes"),
        pytest.param(ANOTHER_IS_TOLD, "step input", id="a step's input"),
        pytest.param(ANOTHER_RESULT, "result document 0 breached", id="a result"),
    ],
)
async def test_what_the_sdk_replays_cleanly_is_caught_by_both_commands(
    closed: Closed, drift: str, what: str
) -> None:
    sdk, verify, replay = await asyncio.gather(
        closed.replays_in_the_sdk(drift), closed.verifies(drift), closed.replays(drift, "--json")
    )
    assert sdk == (0, "", "")
    code, told, _ = verify
    (request,) = json.loads(told)["requests"]
    assert code == 1
    faults = {finding["fault"] for finding in request["findings"]}
    # The second opinion on the promises sees a rule that drifted as well.
    assert faults - {"promise_differs"} == {"rules_differ"}
    assert ("promise_differs" in faults) >= (drift is SIXTEEN_MINUTES)
    assert any(finding["detail"].startswith(f"{what} (") for finding in request["findings"])
    code, said, _ = replay
    rehearsed = json.loads(said)
    assert (code, rehearsed["replayed"], rehearsed["differing"]) == (1, 1, 1)
    (run,) = rehearsed["runs"]
    assert run["number"] == closed.number
    found = [each for each in run["differences"] if each.get("what") == what]
    assert found
    assert all(each["history"] != each["build"] and each["type"] for each in found)


@pytest.mark.slow(6)
async def test_the_first_differing_event_is_shown_so_that_a_person_can_read_it(
    closed: Closed,
) -> None:
    others, broken = await asyncio.gather(closed.replays(NOTHING_SHOWN), closed.replays(IT_BREAKS))
    code, said, complained = others
    assert code == 1
    shown = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "THEN", said)
    first, event, differs, history, build, *_ = shown.splitlines()
    assert re.fullmatch(rf"{closed.number}  run 运行 [0-9a-f-]{{36}}  replay_differs", first)
    assert re.fullmatch(r"  event 事件: \d+ UpsertWorkflowSearchAttributes, THEN", event)
    assert differs == "    differs 差异: another command"
    assert history == "    history 历史: search attributes NextDue Stage"
    assert build.startswith("    build 此版本: timer ")
    assert said.splitlines()[-2] == "1 run replayed, 1 differs."
    code, said, complained_too = broken
    assert code == 1
    assert "    build 此版本: raised KeyError at " in said
    # Neither the error's words nor the history's are told.
    assert SECRET not in said + complained + complained_too
    assert "Traceback" not in complained_too
