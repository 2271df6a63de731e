"""Requests as their histories would tell them, for the audit's second opinion."""

from collections.abc import Iterable
from datetime import datetime

from audit.facts import Fact, Place, Told
from audit.judging import Judgement, judge
from domain.effects import Effect, Entry
from domain.events import BaseEvent
from domain.request import ServiceRequest


def told(
    request: ServiceRequest, effects: Iterable[Effect], sent: Iterable[BaseEvent], until: datetime
) -> Told:
    """The request as its history would tell it."""
    request = request.model_copy(deep=True)
    lines = [each for each in (*effects, *request.tick(until)) if isinstance(each, Entry)]
    as_sent = {str(each.id): each.model_dump(mode="json") for each in sent}
    return Told(
        number=request.number,
        brief=request.brief.model_dump(mode="json"),
        facts=tuple(
            Fact(line, Place("run", line.seq), as_sent.get(line.event_id or "")) for line in lines
        ),
        until=until,
        request=request,
    )


def second_opinion(
    request: ServiceRequest, effects: Iterable[Effect], sent: Iterable[BaseEvent], until: datetime
) -> Judgement:
    """All of its promises, judged again."""
    return judge(told(request, effects, sent, until))
