"""The second opinion on every promise agrees with the request's own, on whatever journey."""

from datetime import timedelta

import pytest
from hypothesis import given, settings

from audit.constraints import CONSTRAINTS
from audit.judging import Judgement, judge
from audit.promises import Promise, Standing
from domain.events import BaseEvent
from domain.intake import Brief
from domain.policy import Circumstances, Policy, Terms
from domain.refusals import Refused
from domain.rules import PROMISES, Rule
from tests.pure.builders import STORIES, Story, at, length, standard
from tests.pure.builders import given as given_request
from tests.pure.journeys import Journey, Step, arrived, briefs, steps
from tests.pure.second_opinion import second_opinion, told

EXAMPLES = 25


@settings(max_examples=EXAMPLES)
@given(briefs, steps)
def test_both_opinions_agree(start: Brief, path: list[Step]) -> None:
    journey = arrived(start, path)
    found = second_opinion(journey.request, journey.effects, journey.applied, journey.now)
    assert [str(doubt) for doubt in found.doubts] == []


def test_the_constraints_are_the_standards_own() -> None:
    """Both tables were written from the same standard, by rule, source, role and subject."""
    ours = {rule: (c.zh, c.source, c.owed_by, bool(c.about)) for rule, c in CONSTRAINTS.items()}
    theirs = {r.value: (p.zh, p.source, p.owed_by.value, p.subject) for r, p in PROMISES.items()}
    assert ours == theirs


def judged(story: Story) -> Judgement:
    return second_opinion(story.request, story.effects, story.sent, story.now)


def promise(found: Judgement, rule: str) -> Promise:
    return next(each for each in found.promises if each.rule == rule)


def test_a_build_with_another_rule_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The goal in the history is fifteen minutes, and the build counted sixteen."""
    granted = Policy.terms

    def drifted(self: Policy, rule: Rule, now: Circumstances) -> Terms | None:
        terms = granted(self, rule, now)
        return terms and (terms._replace(goal=length("16m")) if rule is Rule.accept else terms)

    monkeypatch.setattr(Policy, "terms", drifted)
    story = given_request().walked("responded").offered().passes("15m30s")
    STORIES.clear()
    found = {doubt.what: (doubt.recorded, doubt.judged) for doubt in judged(story).doubts}
    assert found["state"] == ("running", "breached")
    assert found["due"] == (at("16m"), at("15m"))
    assert found["warned"] == (at("12m48s"), at("12m"))


def test_a_fact_that_counts_from_another_time_is_caught() -> None:
    story = given_request().did("responded", at="9m")
    line = next(each for each in story.lines if each.name == "responded")
    line.at = at("8m")
    STORIES.clear()
    assert any(d.what == "counts from" for d in judged(story).doubts)


def test_what_the_platform_missed_is_nobodys_lateness() -> None:
    """Down from the ninth minute to the 29th, over the end of the ten; answered after the 29th."""
    story = given_request().passes("29m").did("responded", at="29m30s")
    answer = promise(judged(story), "first_response")
    assert answer.standing is Standing.late
    assert (answer.breached_at, answer.noticed_at) == (at("10m"), at("29m"))
    assert (answer.overrun, answer.platform_late) == (length("19m30s"), length("19m"))
    assert answer.person_late == length("30s")


def test_an_outage_before_a_hold_stays_the_platforms() -> None:
    """Down for 25 minutes from the due moment on, held for two hours, done 15 minutes after."""
    story = given_request().passes("35m").did("held", at="40m", reason="客户出差")
    story = story.did("resumed", at="160m").did("responded", at="175m")
    answer = promise(judged(story), "first_response")
    assert answer.standing is Standing.late
    assert (answer.overrun, answer.platform_late) == (length("45m"), length("25m"))
    assert answer.person_late == length("20m")


def test_an_outage_within_a_hold_is_not_what_a_promise_at_rest_was_late_for() -> None:
    """An offer fell due in the hold, at 45 minutes, and was noticed only half an hour later."""
    story = given_request(urgency="urgent").walked("responded")
    for minute in range(1, 43):  # So that nothing before is noticed late.
        story.passes(f"{minute}m")
        if minute == 30:
            story.offered()
        if minute == 35:
            story.did("held", reason="客户出差")
    story.passes("75m")
    found = judged(story.did("resumed", at="80m").did("plan_told", at="90m"))
    assert found.outages == [(at("45m"), at("75m"))]
    plan = promise(found, "solution_feedback")
    assert (plan.standing, plan.overrun) == (Standing.late, length("15m"))
    assert plan.platform_late == timedelta(0)


class Attentive(Journey):
    """A request on a platform that is never down: it wakes at every due moment."""

    def go(self, step: Step) -> Refused | None:
        until = self.now + timedelta(seconds=step.jump)
        while (due := self.request.next_due()) and due.at <= until:
            self.now = max(self.now, due.at)
            self._keep(self.request.tick(self.now))
        self.now = until
        refused = super().go(step._replace(jump=0))
        self._keep(self.request.tick(self.now))
        return refused

    def event(self, step: Step) -> BaseEvent:
        """What it hears it takes in at once, however long ago it happened."""
        return super().event(step).model_copy(update={"heard_at": self.now})


@settings(max_examples=EXAMPLES)
@given(briefs, steps)
def test_a_platform_that_is_never_down_has_no_outage(start: Brief, path: list[Step]) -> None:
    """However late people tell what happened."""
    journey = Attentive(start)
    for step in path:
        journey.go(step)
    found = second_opinion(journey.request, journey.effects, journey.applied, journey.now)
    assert found.outages == []
    assert not any(each.platform_late for each in found.promises)


def test_what_was_done_in_time_is_kept_however_late_the_platform_hears_of_it() -> None:
    story = given_request().passes("29m").did("responded", at="31m", occurred_at="9m")
    answer = promise(judged(story), "first_response")
    assert (answer.standing, answer.overrun) == (Standing.kept, timedelta(0))


def test_the_same_facts_under_another_policy() -> None:
    """Answered after nine minutes: in time by the standard, too late by a policy of eight."""
    story = given_request().did("responded", at="9m")
    facts = told(story.request, story.effects, story.sent, story.now)
    other = standard(('goal = "10m"', 'goal = "8m"')).model_dump(mode="json")
    assert promise(judge(facts), "first_response").standing is Standing.kept
    found = judge(facts, other)
    assert promise(found, "first_response").standing is Standing.late
    assert promise(found, "first_response").overrun == length("1m")
    assert found.doubts == []
