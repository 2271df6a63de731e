"""A build whose rules drifted replays without complaint, and is found all the same."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory

from audit.semantics import Difference, Watcher, differences, watching_replayer
from domain.policy import Circumstances, Policy, Terms
from domain.request import ServiceRequest
from domain.rules import Rule
from domain.vocabulary import Role
from tests.databases import RING
from tests.workflow.conftest import OpenDesk
from workflows import search_attributes

HISTORIES = Path(__file__).parents[1] / "workflow" / "histories"
GOLDENS = sorted(HISTORIES.glob("v*/*.json"))


def golden(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text(encoding="utf-8"))


async def found_in(path: Path) -> list[Difference]:
    return await found(golden(path))


async def found(history: WorkflowHistory) -> list[Difference]:
    watcher = Watcher()
    result = await watching_replayer(RING, watcher).replay_workflow(history)
    assert result.replay_failure is None
    ((_, deeds),) = watcher.deeds.items()
    return await differences(history, deeds, RING)


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: f"{path.parent.name}-{path.stem}")
async def test_todays_code_does_what_the_histories_say(path: Path) -> None:
    assert await found_in(path) == []


async def test_a_rule_of_sixteen_minutes_instead_of_fifteen_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The engineer accepted in time, so that no timer fired and the SDK's replayer is content."""
    promised = Policy.terms

    def drifted(self: Policy, rule: Rule, now: Circumstances) -> Terms | None:
        terms = promised(self, rule, now)
        return terms._replace(goal=terms.goal * 16 / 15) if terms and rule is Rule.accept else terms

    monkeypatch.setattr(Policy, "terms", drifted)
    differing = await found_in(HISTORIES / "v1" / "happy_path.json")
    (first, *_) = (each for each in differing if each.what == "timer duration")
    assert first.event == 15
    assert first.computed - first.recorded == timedelta(minutes=1) * 0.8


async def test_a_changed_result_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ServiceRequest, "breached_rules", property(lambda self: ["accept"]))
    differing = await found_in(HISTORIES / "v1" / "happy_path.json")
    assert [each.what for each in differing] == ["result document 0 breached"]


async def test_a_changed_attribute_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_attributes, "next_due", lambda request: request.received_at)
    differing = await found_in(HISTORIES / "v1" / "happy_path.json")
    assert {each.what for each in differing} == {"shown NextDue"}


async def test_a_changed_input_of_a_step_is_found(
    desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = await desk()
    await request.says("cancelled", reason="不修了")
    history = await request.handle.fetch_history()
    assert await found(history) == []
    promised = ServiceRequest.tell

    def another_is_told(self: ServiceRequest, to: Role, *told: Any, **more: Any) -> None:
        promised(self, Role.manager, *told, **more)

    monkeypatch.setattr(ServiceRequest, "tell", another_is_told)
    assert {each.what for each in await found(history)} == {"step input"}
