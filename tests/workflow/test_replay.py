"""Histories recorded in the past replay on today's code, for ever; its commands do not drift.

To record: `pytest tests/workflow/test_replay.py --record NAME` writes `histories/NAME/`. Old ones
are never changed or removed. A changed fingerprint means a changed command sequence: gate the
change with `workflow.patched`, see the old histories replay, then run with
`--accept-fingerprint`.
"""

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory

from domain.policy import Policy

from .conftest import OpenDesk
from .replay import commands, replay
from .scenarios import SCENARIOS, paced

HERE = Path(__file__).parent
HISTORIES = sorted((HERE / "histories").glob("*/*.json"))
FINGERPRINT = HERE / "fingerprint.json"


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}-{path.stem}")
async def test_a_recorded_history_replays(path: Path) -> None:
    await replay(WorkflowHistory.from_json(path.stem, read(path)))


def test_there_are_recorded_histories_of_every_scenario() -> None:
    assert {path.stem for path in HISTORIES} >= set(SCENARIOS)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_the_command_sequence_is_the_committed_one(
    name: str, desk: OpenDesk, request: pytest.FixtureRequest
) -> None:
    opened = await desk(product={"serial": name})
    # Answered only after the first task: on a busy machine an event could else be part of that.
    await opened.state()
    await SCENARIOS[name](opened)
    await opened.handle.result()
    now = await commands(await opened.handle.fetch_history())
    kept = json.loads(read(FINGERPRINT)) if FINGERPRINT.exists() else {}
    if request.config.getoption("--accept-fingerprint"):
        shown = json.dumps({**kept, name: now}, ensure_ascii=False, indent=1, sort_keys=True)
        write(FINGERPRINT, shown)
        return
    assert now == kept.get(name), "the workflow's commands changed: see this file's docstring"


@pytest.mark.parametrize("name", SCENARIOS)
async def test_record(
    name: str, live_desk: OpenDesk, standard: Policy, request: pytest.FixtureRequest
) -> None:
    """Every scenario on the plain development server, recorded when asked to."""
    opened = await live_desk(paced(name, standard), product={"serial": name})
    expected = await SCENARIOS[name](opened)
    closing = await opened.handle.result()
    assert closing.outcome == expected
    if folder := request.config.getoption("--record"):
        history = await opened.handle.fetch_history()
        write(HERE / "histories" / folder / f"{name}.json", history.to_json())


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
