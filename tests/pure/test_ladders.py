"""The ladders: who is told of a broken promise, when, by what, and what another ladder changes."""

from typing import Any

import pytest

from domain.clocks import Kind
from domain.policy import Policy
from domain.rules import Rule
from tests.pure.builders import STANDARD, Story, at, given, length, standard

PLAN = "[rules.solution_feedback]"
STEEP = """
[[rules.first_response.when]]
urgency = "urgent"
ladder = [
  { tell = "supervisor", channels = ["enterprise_chat"] },
  { tell = "manager", after = "5m", channels = ["enterprise_chat", "sms"] },
]

[[rules.first_response.when]]
urgency = "critical"
goal = "5m"
ladder = [{ tell = "manager", channels = ["sms", "email"] }]

"""
BY_URGENCY: dict[str, list[tuple[str, str, list[str]]]] = {
    "normal": [("10m", "supervisor", []), ("30m", "manager", [])],
    "urgent": [
        ("10m", "supervisor", ["enterprise_chat"]),
        ("15m", "manager", ["enterprise_chat", "sms"]),
    ],
    "critical": [("5m", "manager", ["sms", "email"])],
}


def steep() -> Policy:
    """The first response has a ladder of its own for each urgency."""
    return standard((PLAN, STEEP + PLAN))


def told(story: Story, rule: str = "first_response") -> list[tuple[Any, str, int | None]]:
    """Who was told of the breach, when and at which level."""
    return [(t.at, t.to.value, t.level) for t in story.tells if t.rule == rule and t.level]


@pytest.mark.parametrize("urgency", BY_URGENCY)
def test_each_urgency_climbs_its_own_ladder(urgency: str) -> None:
    story = given(urgency=urgency, policy=steep()).passes("3h")
    levels = [t for t in story.tells if t.rule == "first_response" and t.level]
    assert [(t.at, t.to.value, [str(c) for c in t.channels]) for t in levels] == [
        (at(when), role, channels) for when, role, channels in BY_URGENCY[urgency]
    ]


def test_the_standard_ladders_are_the_standards() -> None:
    ladders = {
        rule.value: [(level.tell.value, level.after) for level in data.ladder]
        for rule, data in STANDARD.rules.items()
    }
    assert ladders["first_response"] == [
        ("supervisor", length("0s")),
        ("manager", length("20m")),
    ]
    assert ladders["accept"] == []
    assert [rule.value for rule in Rule if not ladders[rule]] == ["accept"]


def test_a_new_ladder_tells_those_who_were_not_told_before_and_only_them() -> None:
    """By place alone the manager, first on the new ladder, would count as told."""
    story = given(policy=steep()).passes("12m").did("reclassified", urgency="critical")
    story.passes("5h")
    assert told(story) == [(at("10m"), "supervisor", 1), (at("12m"), "manager", 1)]
    second = story.happened("first_response.escalated")[1]
    assert (second.data["cause"], second.data["told"]) == ("retarget", "manager")


def test_whoever_was_told_is_not_told_again_because_the_ladder_is_another() -> None:
    story = given(urgency="critical", policy=steep()).passes("6m")
    story.did("reclassified", urgency="normal").passes("5h")
    # The goal is the longer one again: the supervisor hears when that is past, the manager did.
    assert told(story) == [(at("5m"), "manager", 1), (at("10m"), "supervisor", 1)]


def test_to_and_fro_tells_nobody_twice() -> None:
    story = given(policy=steep()).passes("16m")
    for minute, urgency in enumerate(["urgent", "critical", "normal", "urgent"], 16):
        story.did("reclassified", at=f"{minute}m", urgency=urgency)
    story.passes("5h")
    assert sorted(role for _, role, _ in told(story)) == ["manager", "supervisor"]


def test_a_change_of_ladder_alone_stands_on_the_clock_and_in_the_timeline() -> None:
    story = given(policy=steep()).passes("11m").did("reclassified", urgency="urgent")
    (line,) = story.happened("first_response.retargeted")
    assert [level["tell"] for level in line.data["ladder"]] == ["supervisor", "manager"]
    assert story.clock("first_response").events[-1].ladder is not None
    story.passes("15m")
    assert told(story) == [(at("10m"), "supervisor", 1), (at("15m"), "manager", 2)]
    assert not given().did("reclassified", urgency="urgent").happened("first_response.retargeted")


def test_a_ladder_changed_before_the_breach_is_the_one_that_is_climbed() -> None:
    story = given(policy=steep()).did("reclassified", at="1m", urgency="urgent").passes("5h")
    assert told(story) == [(at("10m"), "supervisor", 1), (at("15m"), "manager", 2)]


def test_a_ladder_changed_on_hold_waits_for_the_resume() -> None:
    story = given(policy=steep()).passes("12m").did("held").did("reclassified", urgency="critical")
    assert told(story.passes("1h")) == [(at("10m"), "supervisor", 1)]
    assert told(story.did("resumed", at="2h").passes("2h"))[1:] == [(at("2h"), "manager", 1)]


def test_a_request_of_the_first_edition_goes_on_as_it_began() -> None:
    story = given(policy=steep(), edition=1).passes("12m").did("reclassified", urgency="critical")
    story.passes("5h")
    assert told(story) == [(at("10m"), "supervisor", 1)]
    clock = story.clock("first_response")
    assert [e.ladder for e in clock.events if e.kind is Kind.retargeted] == [None]
    assert "told" not in story.happened("first_response.escalated")[0].data
