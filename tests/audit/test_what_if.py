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
from domain.policy import Policy, PolicyError
from runtime.settings import STANDARD_POLICY
from tests.audit.test_tampering import MONTH, Archive
from tests.audit.test_verdicts import Page, says
from tests.databases import RING_TEXT
from tests.pure.builders import standard

AT = datetime(2026, 12, 1, tzinfo=UTC)
STRICT = ('goal = "15m"\npauses_on_hold', 'goal = "0.001s"\npauses_on_hold')
"""Every engineer is to accept within a millisecond."""

__all__ = ["says"]


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
    # Whose offer it was is known, though nothing was announced.
    assert found.sums()["engineers"][unanswered.engineer][Change.kept] == 1


async def test_what_is_no_longer_promised_is_said_so(archive: Archive) -> None:
    nothing = standard(
        (
            '[rules.sign_off]           # 确认签字 (S1 2.5)\ngoal = "10m"',
            '[rules.sign_off]\ngoal = "none"',
        )
    )
    changes = {each.change for each in of(await judged(archive, nothing), "sign_off")}
    assert changes == {Change.unpromised}


async def test_under_the_policy_in_force_nothing_changes(archive: Archive) -> None:
    """One request lived by a policy 300 times as fast, the others by the standard itself."""
    fast = archive.manifests[4].number
    assert {each.number for each in (await judged(archive, standard())).changes} == {fast}
    found = await judged(archive, standard().at_speed(300))
    assert fast not in {each.number for each in found.changes}


async def test_working_days_are_resolved_and_unknown_ones_are_an_error(archive: Archive) -> None:
    content = standard().model_dump(mode="json")
    content["rules"]["resolution"] |= {"goal": "5d", "when": [], "working_days": True}
    found = await judged(archive, Policy.model_validate(content))
    assert found.judged == len(archive.manifests)
    content["working_time"]["horizon"] = "P1D"
    with pytest.raises(PolicyError, match="horizon"):
        await judged(archive, Policy.model_validate(content))


async def test_what_cannot_be_opened_is_skipped_and_counted(archive: Archive) -> None:
    archive.path(archive.manifests[2].file).unlink()
    found = await judged(archive, standard())
    assert found.skipped == [archive.manifests[2].number]
    assert any(found.skipped[0] in line and "Skipped" in line for line in lines(found))


async def test_what_the_records_call_erased_is_not_judged(archive: Archive) -> None:
    """The chain follows half a minute later."""
    number = archive.manifests[2].number
    found = await judge_month(
        archive.store, RING_TEXT, MONTH, standard(), AT, Console(), erased={number}
    )
    assert (found.erased, found.skipped) == (1, [])
    assert found.judged == len(archive.manifests) - 1
    assert number not in "".join(found.as_json())


def test_a_month_that_cannot_be_judged_whole_is_a_failure(archive: Archive, says: Any) -> None:
    archive.path(archive.manifests[2].file).unlink()
    code, told = says("what-if", "--month", MONTH, "--policy", str(STANDARD_POLICY))
    assert code == 1
    assert archive.manifests[2].number in told


async def test_every_form_of_it_names_the_assumption(archive: Archive) -> None:
    found = await judged(archive, standard(STRICT))
    (english, chinese), *_ = ASSUMPTIONS
    assert english in json.loads("".join(found.as_json()))["assumptions"]
    assert any(english in line and chinese in line for line in lines(found))
    for language, said in zip(get_args(Language), (chinese, english), strict=True):
        page = "".join(render(found, language))
        assert said in page
        made = Page(page)
        assert (made.language, made.outside) == (language, [])


def test_the_command(archive: Archive, tmp_path: Path, says: Any) -> None:
    policy = ("--policy", str(STANDARD_POLICY))
    code, told = says("what-if", "--month", MONTH, *policy, "--html", "what-if.html")
    assert code == 0
    assert ASSUMPTIONS[0][0] in told
    assert (tmp_path / "what-if.html").exists()
    code, told = says("what-if", "--month", MONTH, *policy, "--json")
    assert code == 0
    assert json.loads(told)["judged"] == len(archive.manifests)


@pytest.mark.parametrize(
    ("policy", "month", "code", "said"),
    [
        (None, MONTH, 1, "other.toml: No such file or directory"),
        ('name = "broken"\n[rules.accept]\ngoal = "soon"\n', MONTH, 1, "rules.accept.goal"),
        (
            STANDARD_POLICY.read_text(encoding="utf-8"),
            "2019-01",
            1,
            f"holds nothing of that time: it has {MONTH}",
        ),
        (STANDARD_POLICY.read_text(encoding="utf-8"), "November", 2, "is not a month"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    tmp_path: Path, says: Any, policy: str | None, month: str, code: int, said: str
) -> None:
    other = tmp_path / "other.toml"
    if policy is not None:
        other.write_text(policy, encoding="utf-8")
    ended, told = says("what-if", "--month", month, "--policy", str(other))
    assert ended == code
    assert said in told
    assert told.strip().count("\n") == 0
