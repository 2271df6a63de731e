"""The same events under another policy: who would have been late, who would not, and why."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from rich.console import Console

from activities.messages import Language
from audit.what_if import Change, WhatIf, judge_month, lines, render
from audit.wording import ASSUMPTIONS
from domain.policy import Policy
from tests.audit.test_tampering import MONTH, Archive
from tests.databases import RING_TEXT
from tests.pure.builders import standard

AT = datetime(2026, 12, 1, tzinfo=UTC)
STRICT = ('goal = "15m"\npauses_on_hold', 'goal = "0.001s"\npauses_on_hold')
"""Every engineer is to accept within a millisecond."""


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


async def judged(archive: Archive, policy: Policy) -> WhatIf:
    return await judge_month(archive.store, RING_TEXT, MONTH, policy, AT, Console())


def of(found: WhatIf, rule: str) -> list[Any]:
    return [each for each in found.changes if each.promise.rule == rule]


async def test_a_stricter_rule_breaks_what_was_kept(archive: Archive) -> None:
    found = await judged(archive, standard(STRICT))
    assert (found.judged, found.skipped) == (len(archive.manifests), [])
    kept = [each for each in of(found, "accept") if each.was.standing == "kept"]
    assert len(kept) == 5
    for each in kept:
        assert each.change is Change.broken
        assert each.would.goal_seconds == 0.001
        assert each.engineer == each.promise.who is not None
        # People act when they did.
        assert each.would.done_at == each.was.done_at
    sums = found.sums()
    assert sums["rules"]["accept"][Change.broken] >= 5
    for kind in ("stations", "engineers"):
        assert sum(each[Change.broken] for each in sums[kind].values()) >= 5


async def test_a_patient_rule_keeps_what_was_broken(archive: Archive) -> None:
    """The scenario in which nobody answers was told under durations 300 times shorter."""
    found = await judged(archive, standard())
    (unanswered,) = (each for each in of(found, "accept") if each.change is Change.kept)
    assert unanswered.was.standing == "breached"
    assert unanswered.would.standing == "cancelled"


async def test_what_is_no_longer_promised_is_said_so(archive: Archive) -> None:
    nothing = standard(
        (
            '[rules.sign_off]           # 确认签字 (S1 2.5)\ngoal = "10m"',
            '[rules.sign_off]\ngoal = "none"',
        )
    )
    changes = {each.change for each in of(await judged(archive, nothing), "sign_off")}
    assert changes == {Change.unpromised}


async def test_what_cannot_be_opened_is_skipped_and_counted(archive: Archive) -> None:
    archive.path(archive.manifests[2].file).unlink()
    found = await judged(archive, standard())
    assert found.skipped == [archive.manifests[2].number]
    assert any("1" in line and "Skipped" in line for line in lines(found))


async def test_every_form_of_it_names_the_assumption(archive: Archive) -> None:
    found = await judged(archive, standard(STRICT))
    (english, chinese), *_ = ASSUMPTIONS
    assert english in json.loads(found.as_json())["assumptions"]
    assert any(english in line and chinese in line for line in lines(found))
    for language, said in zip(get_args(Language), (chinese, english), strict=True):
        page = render(found, language)
        assert f'lang="{language}"' in page
        assert said in page
