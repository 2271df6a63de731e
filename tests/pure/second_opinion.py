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
    as_sent = {str(each.id): each for each in sent}
    return Told(
        number=request.number,
        brief=request.brief.model_dump(mode="json"),
        facts=tuple(_fact(line, as_sent.get(line.event_id or "")) for line in lines),
        until=until,
        request=request,
    )


def _fact(line: Entry, event: BaseEvent | None) -> Fact:
    place = Place("run", line.seq)
    if event is None:
        return Fact(line, place)
    return Fact(line, place, event.model_dump(mode="json"), event.heard_at)


def second_opinion(
    request: ServiceRequest, effects: Iterable[Effect], sent: Iterable[BaseEvent], until: datetime
) -> Judgement:
    """All of its promises, judged again."""
    return judge(told(request, effects, sent, until))
