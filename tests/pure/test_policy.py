"""The timing policy as data: read, refused with one clear sentence, identified, scaled."""

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.policy import Circumstances, Policy, PolicyError, RulePolicy, read_policy
from domain.rules import Rule
from domain.vocabulary import RequestType, ServiceType, Urgency
from tests.pure.builders import STANDARD, TOML, given, length, standard

ROOT = Path(__file__).parents[2]


def _circumstances(**changes: Any) -> Circumstances:
    ordinary: dict[str, Any] = {
        "urgency": Urgency.normal,
        "request_type": RequestType.repair,
        "tier": "standard",
        "product_class": "normal",
        "service_type": ServiceType.on_site,
        "distance_km": None,
    }
    return Circumstances(**{**ordinary, **changes})


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('goal = "10m"', 'goal = "ten"', "rules.first_response.goal"),
        ('goal = "10m"', 'goal = "-10m"', "rules.first_response.goal"),
        ('goal = "10m"', 'goal = "0s"', "rules.first_response.goal"),
        ('goal = "10m"', 'goal = "4000000d"', "rules.first_response.goal"),
        ('goal = "10m"', 'goal = "99999999999999999999d"', "rules.first_response.goal"),
        ('goal = "5wd"', 'goal = "99999999999wd"', "rules.depot_repair.goal"),
        ('goal = "5wd"', 'goal = "²wd"', "rules.depot_repair.goal"),
        ('tell = "supervisor" }', 'tell = "boss" }', "rules.first_response.ladder.0.tell"),
        ('after = "20m"', 'after = "soon"', "rules.first_response.ladder.1.after"),
        (
            'tell = "supervisor" }',
            'tell = "supervisor", channels = ["pigeon"] }',
            "rules.first_response.ladder.0.channels.0",
        ),
        (
            'tell = "supervisor" }',
            'tell = "supervisor", channels = ["sms", "短信"] }',
            "rules.first_response.ladder.0.channels",
        ),
        (
            '{ tell = "supervisor" }, { tell',
            '{ tell = "supervisor", after = "1h" }, { tell',
            "rules",
        ),
        ("[rules.sign_off]", "[rules.sing_off]", "rules.sing_off"),
        ('urgency = "urgent"', 'urgency = "very"', "rules.solution_feedback.when.0.urgency"),
        ("near_km = 5", "near_km = 0", "matching.near_km"),
        ("score_at_most = 3", "score_at_most = 9", "dissatisfaction.score_at_most"),
        ('name = "standard"', 'nmae = "standard"', "nam"),
        ("hours = []", 'hours = ["9am-5pm"]', "working_time.hours"),
        ("hours = []", 'hours = ["13:00-12:00"]', "working_time"),
        ("hours = []", 'hours = ["09:00-12:00", "11:00-13:00"]', "working_time"),
        ("[matching]", "[matching", "TOML"),
    ],
)
def test_a_mistake_is_told_in_one_sentence_that_names_the_place(
    old: str, new: str, place: str
) -> None:
    assert old in TOML
    with pytest.raises(PolicyError) as mistake:
        read_policy(TOML.replace(old, new, 1), "policies/ours.toml")
    told = str(mistake.value)
    assert told.startswith("policies/ours.toml")
    assert place in told
    assert "\n" not in told
    assert "function-" not in told


def test_a_policy_without_a_rule_says_which() -> None:
    start, end = TOML.index("[rules.sign_off]"), TOML.index("[rules.revisit]")
    with pytest.raises(PolicyError, match="rules are missing: sign_off"):
        read_policy(TOML[:start] + TOML[end:])


def test_the_version_is_the_contents() -> None:
    assert read_policy(TOML + "\n# a remark\n").version == STANDARD.version
    assert standard(('goal = "10m"', 'goal = "600s"')).version == STANDARD.version
    assert standard(('goal = "10m"', 'goal = "11m"')).version != STANDARD.version
    assert Policy.model_validate_json(STANDARD.model_dump_json()).version == STANDARD.version


def test_a_setting_that_the_code_learns_later_leaves_the_version_alone() -> None:
    class LaterRule(RulePolicy):
        grace: int = 0

    class LaterPolicy(Policy):
        rules: dict[Rule, LaterRule]  # type: ignore[assignment]
        greeting: str = "您好"

    later = LaterPolicy.model_validate(STANDARD.model_dump(exclude_defaults=True))
    assert later.version == STANDARD.version
    greets = later.model_copy(update={"greeting": "早上好"})
    assert LaterPolicy.model_validate(greets.model_dump()).version != STANDARD.version


def test_a_setting_given_as_its_default_is_the_same_policy() -> None:
    spelt_out = standard(('goal = "10m"', 'goal = "10m"\nwarn_at = 0.8'))
    assert spelt_out.version == STANDARD.version
    assert standard(('goal = "10m"', 'goal = "10m"\nwarn_at = 0.7')).version != STANDARD.version


def test_the_version_is_the_same_in_every_process() -> None:
    tell = (
        "from pathlib import Path; from domain.policy import read_policy; "
        "print(read_policy(Path('policies/standard.toml').read_text(encoding='utf-8')).version)"
    )
    for seed in ("1", "42"):
        told = subprocess.run(
            [sys.executable, "-c", tell],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.strip() == STANDARD.version


def test_at_speed_divides_every_duration_and_nothing_else() -> None:
    fast = STANDARD.at_speed(60)
    assert fast.rules[Rule.first_response].goal == timedelta(seconds=10)
    assert fast.rules[Rule.first_response].ladder[1].after == timedelta(seconds=20)
    assert fast.rules[Rule.solution_feedback].when[0].goal == timedelta(seconds=30)
    assert fast.rules[Rule.on_site].goal == "none"
    assert fast.early_event_wait == timedelta(seconds=15)
    assert fast.rules[Rule.first_response].warn_at == 0.8
    assert fast.working_time == STANDARD.working_time
    assert fast.matching == STANDARD.matching
    assert STANDARD.at_speed(1) is STANDARD
    for impossible in (0, -1):
        with pytest.raises(PolicyError, match="speed"):
            STANDARD.at_speed(impossible)


def test_the_first_override_that_fits_wins_for_goal_and_ladder_apart() -> None:
    rule = STANDARD.rules[Rule.solution_feedback]
    urgent = rule.terms(_circumstances(urgency=Urgency.urgent))
    critical = rule.terms(_circumstances(urgency=Urgency.critical))
    assert urgent is not None
    assert critical is not None
    assert (urgent.goal, [level.tell for level in urgent.ladder]) == (
        length("30m"),
        ["supervisor", "manager"],
    )
    assert (critical.goal, [level.tell for level in critical.ladder]) == (
        length("10m"),
        ["manager"],
    )


def test_a_rule_holds_only_for_its_request_types() -> None:
    rule = STANDARD.rules[Rule.consultation]
    assert rule.terms(_circumstances()) is None
    assert rule.terms(_circumstances(request_type=RequestType.consultation)) is not None


def test_a_goal_of_none_switches_a_rule_off() -> None:
    off = standard(('goal = "10m"', 'goal = "none"'))
    assert given(policy=off).request.clock(Rule.first_response) is None


def test_a_working_day_is_as_long_as_the_organisations_hours() -> None:
    office = standard(("hours = []", 'hours = ["09:00-12:00", "13:00-18:00"]'))
    assert office.rules[Rule.depot_repair].goal == length("40h")
    assert STANDARD.rules[Rule.depot_repair].goal == length("5d")


def test_negative_words_are_found_in_any_case() -> None:
    shouting = standard(('"rude"', '"Rude"'))
    story = given(policy=shouting).walked("signed").did("surveyed", remark="quite RUDE")
    assert story.request.complaints


def test_records_are_kept_for_three_years_at_any_speed() -> None:
    assert STANDARD.retention.records >= timedelta(days=3 * 365 + 1)
    assert STANDARD.at_speed(1000).retention == STANDARD.retention
    ten = read_policy(TOML.replace('records = "1096d"', 'records = "3650d"'))
    assert ten.retention.records == timedelta(days=3650)
    assert ten.version != STANDARD.version
    without = read_policy(re.sub(r"\[retention\].*\nrecords.*\n", "", TOML))
    assert without.version == STANDARD.version
