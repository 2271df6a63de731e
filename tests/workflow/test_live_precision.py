"""The four headline rules on a live server: late by less than a second, and it is written down."""

import asyncio
from datetime import datetime, timedelta

from domain.policy import Policy
from domain.rules import Rule
from tests.desk import Desk

from .conftest import OpenDesk

GOAL = timedelta(seconds=3)
HEADLINES = (Rule.first_response, Rule.accept, Rule.revisit, Rule.complaint_escalation)


def hurried(standard: Policy) -> Policy:
    """The standard, with the four headline promises due after three seconds."""
    rules = {
        rule: terms.model_copy(update={"goal": GOAL}) if rule in HEADLINES else terms
        for rule, terms in standard.rules.items()
    }
    return standard.model_copy(update={"rules": rules})


async def test_the_headline_rules_breach_within_a_second(
    live_desk: OpenDesk, standard: Policy
) -> None:
    policy = hurried(standard)

    async def breach(rule: Rule) -> None:
        request: Desk = await live_desk(policy)
        if rule is Rule.accept:
            await request.says("responded")
        elif rule is Rule.revisit:
            await request.goes_to("revisit")
        elif rule is Rule.complaint_escalation:
            await request.says("complained", **{"class": "other"}, text="无人处理")
        due = datetime.fromisoformat((await request.clock(rule))["due_at"])
        await request.pass_until(due + timedelta(seconds=1))
        clocks = [c for c in (await request.state())["clocks"] if c["rule"] == rule]
        breached = next(c for c in clocks if c["breached_at"])
        assert datetime.fromisoformat(breached["breached_at"]) == due
        late = datetime.fromisoformat(breached["fired_at"]) - due
        assert timedelta(0) <= late < timedelta(seconds=1)

    await asyncio.gather(*map(breach, HEADLINES))
