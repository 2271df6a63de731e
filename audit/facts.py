"""What a history tells: each fact that the request took in, and the event of the history behind it.

The facts are the lines that the request wrote into its timeline. They are not in the history
itself, which only holds their digests; replaying it brings them back, and the digests prove them.
Beside each event stands how it was sent, word for word.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.converter import PayloadCodec

from audit.histories import Story
from audit.semantics import CannotReplay, Watcher, replay_whole
from domain.effects import Entry
from domain.request import ServiceRequest
from domain.tasks import FIND_ENGINEER
from domain.vocabulary import Stage
from records.sealing import KeyRing
from runtime.codec import SealedPayloads
from workflows.messages import Closing


class Place(NamedTuple):
    """Where something stands: the event `event` of the run `run`."""

    run: str
    event: int

    def __str__(self) -> str:
        return f"#{self.event}"


class Sent(NamedTuple):
    """An event as it was sent, the history's event that brought it, and when that was."""

    place: Place
    event: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True)
class Fact:
    """One line of a request's timeline.

    Attributes:
        line: the line, with `at`, the moment that counts, and `recorded_at`, when it was noticed.
        place: the history's event that brought it; for what the request did by itself, the one
            that woke it.
        sent: the event as it was sent; None: nobody sent it, or without an id.
        came_at: when the platform had it, even if no worker was up to take it in; None: when it
            was recorded.
        stage: where the request stood when this had been written down; None: more was written down
            together with it.
    """

    line: Entry
    place: Place
    sent: Mapping[str, Any] | None = None
    came_at: datetime | None = None
    stage: Stage | None = None


@dataclass(frozen=True)
class Told:
    """A request as its history tells it.

    Attributes:
        brief: all it was given at its start, policy and working days included, as it stands in
            the history.
        facts: in the order in which the request took them.
        until: the last moment that the request knew of: what lies after it in the history, nobody
            has handled yet.
        request: the request as it stood then.
    """

    number: str
    brief: Mapping[str, Any]
    facts: tuple[Fact, ...]
    until: datetime
    request: ServiceRequest


async def tell(ring: KeyRing, story: Story) -> Told:
    """What a history tells, by replaying it on today's code.

    Raises:
        CannotReplay: today's code would have done something else, or a run is not there.
    """
    if story.lacks:
        raise CannotReplay(story.lacks)
    watcher = Watcher()
    for run in story.runs:
        if (place := await replay_whole(ring, run, watcher)) is not None:
            raise CannotReplay(str(place))
    return await told_by(ring, story, watcher)


async def closing(ring: KeyRing, story: Story) -> Closing | None:
    """How the request ended by its own account; None: it did not come to its end.

    Raises:
        Unsealable: the ring does not open it.
    """
    last = story.runs[-1].events[-1]
    if not last.HasField("workflow_execution_completed_event_attributes"):
        return None
    said = last.workflow_execution_completed_event_attributes.result.payloads
    return Closing.model_validate((await _decoded(SealedPayloads(ring), said))[0])


async def told_by(ring: KeyRing, story: Story, watcher: Watcher) -> Told:
    """What a history told to the watcher who saw all of it replayed."""
    codec = SealedPayloads(ring)
    facts: list[Fact] = []
    sent: dict[str, Sent] = {}
    for run in story.runs:
        written, arrived = await _places(run, codec)
        sent = {**arrived, **sent}  # What came first counts: the same id is the same event.
        for step, line, stage in watcher.lines.get(run.run_id, ()):
            came = sent.get(line.event_id or "")
            place = came.place if came else written.get(step, Place(run.run_id, 1))
            event, at = (came.event, came.at) if came else (None, None)
            facts.append(Fact(line, place, event, at, stage))
    (start,) = await _decoded(
        codec, story.runs[0].events[0].workflow_execution_started_event_attributes.input.payloads
    )
    last = story.runs[-1].run_id
    return Told(
        number=story.number,
        brief=start["brief"],
        facts=tuple(facts),
        until=watcher.until[last],
        request=watcher.workflows[last].request,
    )


async def _places(
    run: WorkflowHistory, codec: PayloadCodec
) -> tuple[dict[str, Place], dict[str, Sent]]:
    """Which event woke each step that wrote lines, and which brought each event that was sent."""
    written: dict[str, Place] = {}
    sent: dict[str, Sent] = {}
    woken = Place(run.run_id, 1)
    for event in run.events:
        place = Place(run.run_id, event.event_id)
        if event.HasField("timer_fired_event_attributes"):
            woken = place
        elif event.HasField("marker_recorded_event_attributes"):
            details = event.marker_recorded_event_attributes.details
            if "data" not in details:
                continue
            (step,) = await _decoded(codec, details["data"].payloads)
            written[str(step["seq"])] = woken
            if step["activity_type"] == FIND_ENGINEER:
                woken = place
        else:
            for each in await _brought(event, codec):
                woken = place
                at = event.event_time.ToDatetime(tzinfo=UTC)
                sent.setdefault(str(each.get("id") or ""), Sent(place, each, at))
    return written, sent


async def _brought(event: HistoryEvent, codec: PayloadCodec) -> list[dict[str, Any]]:
    """The events that a signal or an accepted update brought."""
    match event.WhichOneof("attributes"):
        case "workflow_execution_signaled_event_attributes":
            payloads = event.workflow_execution_signaled_event_attributes.input.payloads
        case "workflow_execution_update_accepted_event_attributes":
            update = event.workflow_execution_update_accepted_event_attributes
            payloads = update.accepted_request.input.args.payloads
        case _:
            return []
    given = await _decoded(codec, payloads)
    several = given[0] if given and isinstance(given[0], list) else given
    return [each for each in several if isinstance(each, dict)]


async def _decoded(codec: PayloadCodec, payloads: Iterable[Payload]) -> list[Any]:
    return [json.loads(payload.data) for payload in await codec.decode(list(payloads))]
