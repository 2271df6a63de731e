"""The demonstration: its scenarios make sense, and all of them end as they should."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from activities.working_days import calendar_for
from domain.events import EVENTS
from domain.intake import NewRequest
from domain.policy import read_policy
from runtime.demo import evergreen_policy
from runtime.scenarios import SCENARIOS, Scenario
from runtime.settings import STANDARD_POLICY
from tests.installation import Installation


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.title)
def test_a_scenario_uses_the_words_of_the_contract(scenario: Scenario) -> None:
    NewRequest.model_validate(scenario.body)
    for step in scenario.steps:
        assert step.role in EVENTS[step.event].by
        assert set(step.payload) - {"window"} <= {
            field.alias or name for name, field in EVENTS[step.event].model_fields.items()
        }


@pytest.mark.parametrize("year", [2026, 2027, 2040])
def test_it_works_in_any_year(tmp_path: Path, year: int) -> None:
    now = datetime(year, 12, 30, tzinfo=UTC)
    policy = read_policy(evergreen_policy(tmp_path, now).read_text("utf-8"))
    assert calendar_for(policy, now).until


def test_it_uses_the_standard_policy_where_it_can(tmp_path: Path) -> None:
    assert evergreen_policy(tmp_path, datetime(2026, 3, 2, tzinfo=UTC)) == STANDARD_POLICY


@pytest.mark.server
@pytest.mark.slow(30)
def test_every_scenario_ends_as_expected(installation: Installation) -> None:
    done = installation.run("demo", "--once", "--speed", "300")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unexpected" not in done.stdout
    for scenario in SCENARIOS:
        assert scenario.title in done.stdout
    assert "complaint escalated 投诉升级: manager" in done.stdout
    assert installation.processes() == {}
