"""What a supervisor orders for many requests at once: the bodies of the bulk calls."""

from typing import Any, ClassVar, Self

from pydantic import Field, StrictBool, field_validator, model_validator

from domain.events import BaseEvent, parse_event
from domain.rules import Rule
from domain.values import Moment, Name, Prose, Value
from domain.vocabulary import ClockState, RequestType, Stage, Urgency

MOST_AT_ONCE = 500


class Filter(Value):
    """Open requests that meet every condition; one at least."""

    stage: Stage | None = None
    urgency: Urgency | None = None
    request_type: RequestType | None = Field(default=None, alias="type")
    station: Name | None = None
    engineer: Name | None = None
    held_by: Name | None = None
    clock_state: ClockState | None = None
    breached: Rule | None = None
    due_before: Moment | None = None

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError("give at least one condition")
        return self


class Order(Value):
    """Which requests, and whether to act or only to say what would happen."""

    event: ClassVar[str]
    """The event that each of the requests gets."""

    numbers: tuple[Name, ...] | None = Field(default=None, min_length=1, max_length=MOST_AT_ONCE)
    filter: Filter | None = None
    dry_run: StrictBool = Field(default=None, validate_default=True)

    @field_validator("dry_run", mode="before")
    @classmethod
    def _on_purpose(cls, given: object) -> object:
        """Neither is a safe guess: one does nothing, the other moves hundreds of requests."""
        if given is None:
            raise ValueError("say dry_run: true to see what would happen, or false to do it")
        return given

    @model_validator(mode="after")
    def _chooses_once(self) -> Self:
        if sum(chosen is not None for chosen in self.choices()) != 1:
            raise ValueError("choose the requests in one way: " + ", ".join(self.ways()))
        return self

    @classmethod
    def ways(cls) -> list[str]:
        """The ways to choose requests."""
        return ["numbers", "filter"]

    def choices(self) -> list[Any]:
        """What is given of each way."""
        return [getattr(self, way) for way in self.ways()]

    def event_for(self, place: int) -> BaseEvent:
        """The event for the request at this place of the chosen ones."""
        event: BaseEvent = parse_event({"type": self.event, **self.payload(place)})
        return event

    def payload(self, place: int) -> dict[str, Any]:
        """What the event says."""
        return {}


class Reassign(Order):
    """Give work to another engineer, or to several in turn: someone is ill (改派)."""

    event = "assigned"

    from_engineer: Name | None = None
    to: tuple[Name, ...] = Field(min_length=1, max_length=50)
    reason: Prose

    @field_validator("to", mode="before")
    @classmethod
    def _one_or_several(cls, given: object) -> object:
        return (given,) if isinstance(given, str) else given

    @classmethod
    def ways(cls) -> list[str]:
        """All that an engineer holds is one more way."""
        return ["from_engineer", *super().ways()]

    def payload(self, place: int) -> dict[str, Any]:
        """Each engineer in turn."""
        return {"engineer": self.to[place % len(self.to)], "reason": self.reason}


class PutOnHold(Order):
    """Let requests rest, because the customers asked for it (暂停)."""

    event = "held"

    reason: Prose
    until: Moment | None = None

    def payload(self, place: int) -> dict[str, Any]:
        """The same for all."""
        return {"reason": self.reason, "until": self.until}


class Resume(Order):
    """Go on with requests that rest (恢复)."""

    event = "resumed"
