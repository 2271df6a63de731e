"""What leaves the house by webhook: which lines of the timeline, as what, and what is in them.

A line is a CloudEvents 1.0 event. Nothing that anybody typed leaves: only times, amounts, ids of
engineers, and words of the standard's own vocabularies. What is not in the table stays at home.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field, create_model

from .clocks import Kind
from .effects import Entry
from .events import EVENTS
from .rules import Rule
from .values import State, rfc3339
from .vocabulary import Channel, Outcome, Role, Stage, Urgency

PREFIX = "aftersales."
PING = f"{PREFIX}webhook.ping"
SOURCE = "/aftersales"
MEDIA_TYPE = "application/cloudevents+json"
ANY = "*"


class Told(State):
    """What the `data` of every event about a request holds.

    Attributes:
        stage: where the request stood when the line was written down.
        station: the service outlet; None: none is known.
        actor_role: who acted; None: the platform itself.
        event_id: the id under which the event was reported.
    """

    stage: Stage
    station: str | None = None
    actor_role: Role | None = None
    event_id: str | None = None


class Ping(State):
    """The `data` of a ping."""

    model_config = ConfigDict(json_schema_extra={"description": "A trial; nothing happened."})

    webhook: str


@dataclass(frozen=True)
class Outgoing:
    """One type of event that leaves.

    Attributes:
        name: its CloudEvents type.
        says: what happened, one sentence.
        fields: what of the line's own data leaves.
        model: of the event's `data`.
    """

    name: str
    says: str
    fields: tuple[str, ...]
    model: type[State]


_OF_EVENTS = {
    "reclassified": "urgency request_type",
    "assigned": "engineer",
    "accepted": "engineer",
    "declined": "engineer",
    "appointed": "window_start window_end wished_by",
    "rescheduled": "window_start window_end",
    "running_late": "eta",
    "parts_awaited": "expected_on",
    "paid": "amount method",
    "surveyed": "scores",
    "complained": "class",
    "complaint_taken_over": "complaint",
    "remedy_offered": "complaint value",
    "complaint_settled": "complaint",
    "complaint_reopened": "complaint",
    "held": "until",
}
"""What leaves of an event that was reported; of the others, only that it happened."""

_OF_CLOCKS = {
    "rule": Rule,
    "subject": str,
    "due_at": datetime,
    "level": int,
    "cause": Literal["retarget"],
}
_CLOCKS = {
    Kind.started: "A promise began to run",
    Kind.paused: "It rests while the request waits",
    Kind.resumed: "It runs again",
    Kind.retargeted: "It got another goal",
    Kind.warned: "It is due soon",
    Kind.breached: "It was not kept in time",
    Kind.escalated: "The next level was told of the breach",
    Kind.acknowledged: "Somebody has the broken promise in hand; its ladder rests",
    Kind.unacknowledged: "Nobody has it in hand any more; its ladder goes on",
    Kind.called: "The customer was called about it",
    Kind.stopped: "It was kept, if late",
    Kind.reopened: "What had stopped it was taken back; it runs again",
    Kind.cancelled: "It is not owed any more",
}


def _made(name: str, says: str, **fields: Any) -> Outgoing:
    """The type and its model; a field the line lacks is left out."""
    optional: dict[str, Any] = {
        field if field != "class" else "class_": (
            annotation | None,
            Field(default=None, alias="class") if field == "class" else None,
        )
        for field, annotation in fields.items()
    }
    title = "".join(word.capitalize() for word in name.replace(".", "_").split("_")) + "Data"
    model = create_model(title, __base__=Told, __doc__=says, **optional)
    return Outgoing(PREFIX + name, says, tuple(fields), model)


def _reported(name: str) -> Outgoing:
    model = EVENTS[name]
    types = {
        info.alias or field: info.rebuild_annotation() for field, info in model.model_fields.items()
    }
    fields = {field: types[field] for field in _OF_EVENTS.get(name, "").split()}
    says = (model.__doc__ or "").partition("\n")[0].rstrip(".").partition(" (")[0]
    return _made(f"request.{name}", says, **fields)


OUTGOING: dict[str, Outgoing] = {
    each.name: each
    for each in (
        _made("request.received", "A request was taken in", channel=Channel, urgency=Urgency),
        *map(_reported, EVENTS),
        _made("request.visit_reminder", "Customer and engineer were reminded of the visit"),
        _made(
            "request.complaint_escalated",
            "A complaint went to the manager",
            complaint=int,
            owner=Role,
        ),
        _made("request.closed", "The request was archived", outcome=Outcome),
        _made("offer.offered", "The work was offered to an engineer", engineer=str, by_hand=bool),
        _made("offer.by_hand", "No engineer fits; a dispatcher must choose"),
        _made("offer.accepted", "The engineer took the work", engineer=str),
        _made("offer.declined", "The engineer refused the work", engineer=str),
        _made("offer.no_answer", "The engineer did not answer in time", engineer=str),
        _made("offer.withdrawn", "The offer was taken back", engineer=str),
        *(_made(f"clock.{kind}", says, **_OF_CLOCKS) for kind, says in _CLOCKS.items()),
        _made("event.refused", "An event sent without waiting was refused", event=str, code=str),
        Outgoing(PING, "A trial that was asked for; nothing happened", (), Ping),
    )
}
"""Every type that leaves, by its name."""


def type_of(line: Entry) -> str | None:
    """The type as which a line leaves; None: it stays at home."""
    what = line.name.rpartition(".")[2]
    name = {
        "event": f"request.{what}",
        "system": f"request.{what}",
        "offer": f"offer.{what}",
        "clock": f"clock.{what}",
        "refused": "event.refused",
    }[line.kind]
    return PREFIX + name if PREFIX + name in OUTGOING else None


def told(line: Entry, type_: str, stage: Stage, station: str | None) -> dict[str, Any]:
    """The `data` of a line that leaves, in JSON types.

    Args:
        type_: as which it leaves.
        stage, station: of the request when the line was written down.
    """
    own = {**line.data, "event": line.name} if line.kind == "refused" else line.data
    data = {
        "stage": stage.value,
        "station": station,
        "actor_role": line.actor_role and line.actor_role.value,
        "event_id": line.event_id,
        **{field: own[field] for field in OUTGOING[type_].fields if field in own},
    }
    return {field: value for field, value in data.items() if value is not None}


def cloud_event(
    *,
    id: str,
    source: str,
    subject: str,
    seq: int,
    type: str,
    time: datetime,
    data: Mapping[str, Any],
) -> dict[str, Any]:
    """The event as it travels, in JSON types (CloudEvents 1.0, structured).

    `sequence` is padded, because the extension wants text that sorts as text.
    """
    return {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": type,
        "subject": subject,
        "time": rfc3339(time),
        "sequence": f"{seq:010}",
        "datacontenttype": "application/json",
        "data": dict(data),
    }


def full(pattern: str) -> str | None:
    """A wanted type written out: a type, `*`, or a family such as `aftersales.request.*`.

    The prefix may be left out. None: no type that we know fits it.
    """
    pattern = pattern.strip()
    if pattern == ANY:
        return ANY
    written = pattern if pattern.startswith(PREFIX) else PREFIX + pattern
    return written if any(_fits(written, type_) for type_ in OUTGOING) else None


def wanted(patterns: Iterable[str], type_: str) -> bool:
    """Whether one of these patterns, written out, takes in the type."""
    return any(_fits(pattern, type_) for pattern in patterns)


def _fits(pattern: str, type_: str) -> bool:
    if pattern.endswith(ANY):
        return type_.startswith(pattern.removesuffix(ANY)) and pattern.removesuffix(ANY)[-1:] in (
            "",
            ".",
        )
    return pattern == type_
