"""An event in the envelope that systems exchange: CloudEvents 1.0.

`subject` is the request's number, `time` when it happened, `data` the event's own fields. Other
extension attributes than ours are ignored, as the specification asks.
"""

from typing import Annotated, Any, Literal, Self
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, model_validator

from .events import BaseEvent
from .values import Moment, Name, _no_control
from .vocabulary import Role

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
MOST_IN_A_BATCH = 1000

_ENVELOPE = {"id", "type", "occurred_at", "heard_at", "actor"}


Attribute = Annotated[
    str, StringConstraints(min_length=1, max_length=255), AfterValidator(_no_control)
]
Source = Annotated[
    str, StringConstraints(min_length=1, max_length=2000), AfterValidator(_no_control)
]


class CloudEvent(BaseModel):
    """One event on its way between systems.

    Attributes:
        id: with `source` it identifies the event. A UUID is our event's own id.
        type: the event's type, alone or as the last part of a dotted name.
        data: the event's own fields; it may name the `actor` as well.
        data_base64: the same, as base64 of its JSON; only on the way.
        actorrole: with `actorid`, who did it; an integration relays for people.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    specversion: Literal["1.0"]
    id: Attribute
    source: Source
    type: Attribute
    subject: Attribute
    time: Moment | None = None
    datacontenttype: Attribute | None = None
    data: dict[str, Any] | None = None
    data_base64: str | None = None
    actorrole: Role | None = None
    actorid: Name | None = None

    @model_validator(mode="after")
    def _actor_is_whole(self) -> Self:
        if (self.actorrole is None) is not (self.actorid is None):
            raise ValueError("give actorrole and actorid, or neither")
        return self

    @property
    def name(self) -> str:
        """The event's type as we know it: what follows the last dot."""
        return self.type.rpartition(".")[2]

    @property
    def event(self) -> dict[str, Any]:
        """The event as `parse_event` reads it."""
        told: dict[str, Any] = {"id": event_id(self.source, self.id), "type": self.name}
        if self.time is not None:
            told["occurred_at"] = self.time
        if self.actorrole is not None:
            told["actor"] = {"role": self.actorrole, "id": self.actorid}
        # What the envelope says is not said again in the data.
        return {**(self.data or {}), **told}


def event_id(source: str, id: str) -> UUID:
    """The id under which a request knows the event: a UUID as it stands, whichever door it takes;
    anything else together with its source."""
    try:
        return UUID(id)
    except ValueError:
        return uuid5(uuid5(NAMESPACE_URL, source), id)


def wrapped(event: BaseEvent, number: str, source: str) -> CloudEvent:
    """The event of a request as `source` sends it to another system."""
    actor = event.actor
    return CloudEvent(
        specversion="1.0",
        id=str(event.id),
        source=source,
        type=event.name,
        subject=number,
        time=event.occurred_at,
        datacontenttype="application/json",
        data=event.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=_ENVELOPE),
        actorrole=actor.role if actor else None,
        actorid=actor.id if actor else None,
    )
