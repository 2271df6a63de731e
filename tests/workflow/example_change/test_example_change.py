"""A real change shipped both ways, gated with `patched` and as a build of its own: old and new
histories replay. The histories were recorded on the development server and are never changed.

To record: `pytest tests/workflow/example_change --record example`.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer, Worker, WorkerDeploymentConfig
from temporalio.workflow import NondeterminismError

from activities.registry import Activities
from audit.semantics import Watcher, differences
from domain.policy import Policy
from runtime.deployments import PINNED, deployment
from runtime.temporal import plugin
from tests.databases import RING
from tests.workflow.rollout import (
    becomes_current,
    build,
    builds,
    dev_server,
    moves_on,
    opens,
    runs,
)
from worker import SANDBOX
from workflows.messages import TASK_QUEUE

from .builds import Before, Patched, Ungated

HISTORIES = Path(__file__).parent / "histories"

REPLAYS = [
    pytest.param("before", Before, id="old on the build before"),
    pytest.param("before", Patched, id="old on the patched build"),
    pytest.param("patched", Patched, id="new on the patched build"),
    pytest.param("moved", Patched, id="begun before and gone on under the patched build"),
    pytest.param("pinned-1", Before, id="pinned, its first run on the build before"),
    pytest.param("pinned-2", Ungated, id="pinned, its second run on the new build"),
]
DIFFER = [
    pytest.param("before", Ungated, id="old on a build with the change ungated"),
    pytest.param("moved", Ungated, id="moved on a build with the change ungated"),
    pytest.param("pinned-1", Ungated, id="pinned to the build before"),
    pytest.param("patched", Before, id="new on the build before: no way back"),
]


@pytest.mark.parametrize(("name", "code"), REPLAYS)
async def test_it_replays(name: str, code: type) -> None:
    history = kept(name)
    await replay(history, code)
    watcher = Watcher()
    replayer = Replayer(workflows=[code], plugins=[plugin(RING)], workflow_runner=watcher)
    await replayer.replay_workflow(history)
    assert await differences(history, watcher.deeds[history.run_id], RING) == []


@pytest.mark.parametrize(("name", "code"), DIFFER)
async def test_it_does_not_replay(name: str, code: type) -> None:
    with pytest.raises(NondeterminismError):
        await replay(kept(name), code)


def test_pinned_histories_name_the_builds_that_replay_them() -> None:
    assert [builds(kept(name)) for name in ("pinned-1", "pinned-2")] == [{"before"}, {"after"}]


@pytest.mark.server
@pytest.mark.slow(8)
async def test_both_ways_work_on_requests_that_are_under_way(
    engine: Engine,
    activities: Activities,
    standard: Policy,
    request: pytest.FixtureRequest,
) -> None:
    async def ended(code: type, *others: type) -> WorkflowHistory:
        """A request of one run, begun on one build and gone on under the next."""
        async with worker(client, activities, code):
            desk = await opens(client, engine, standard)
            await desk.says("responded")
            if not others:
                await desk.says("cancelled", reason="不修了")
        for other in others:
            async with worker(client, activities, other):
                await desk.says("cancelled", reason="不修了")
        (run,) = await runs(desk)
        return run

    async with dev_server() as client:
        found = {
            "before": await ended(Before),
            "patched": await ended(Patched),
            "moved": await ended(Before, Patched),
        }
        old, new = build("before"), build("after")
        async with worker(client, activities, Before, deployment(old, PINNED)):
            await becomes_current(client, old)
            desk = await opens(client, engine, standard)
            await desk.says("responded")
            async with worker(client, activities, Ungated, deployment(new, PINNED)):
                await becomes_current(client, new)
                await moves_on(desk)
                await desk.says("cancelled", reason="不修了")
        found["pinned-1"], found["pinned-2"] = await runs(desk)
    assert {name: in_memo(history) for name, history in found.items()} == {
        "before": 0,
        "patched": 1,
        "moved": 0,
        "pinned-1": 0,
        "pinned-2": 1,
    }
    for name, code in (each.values for each in REPLAYS):
        await replay(found[str(name)], code)  # type: ignore[arg-type]
    if request.config.getoption("--record"):
        for name, history in found.items():
            path = HISTORIES / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(history.to_json() + "\n", encoding="utf-8")


def worker(
    client: Client,
    activities: Activities,
    code: type,
    deployment: WorkerDeploymentConfig | None = None,
) -> Worker:
    """As `build_worker` makes it, with the workflow of one of the builds."""
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[code],
        activities=activities.all(),
        activity_executor=ThreadPoolExecutor(4),
        workflow_runner=SANDBOX,
        deployment_config=deployment,
    )


async def replay(history: WorkflowHistory, code: type) -> None:
    replayer = Replayer(workflows=[code], plugins=[plugin(RING)], workflow_runner=SANDBOX)
    await replayer.replay_workflow(history)


def kept(name: str) -> WorkflowHistory:
    text = (HISTORIES / f"{name}.json").read_text(encoding="utf-8")
    return WorkflowHistory.from_json(name, text)


def in_memo(history: WorkflowHistory) -> int:
    """How often the memo was changed."""
    return sum(
        event.HasField("workflow_properties_modified_event_attributes") for event in history.events
    )
