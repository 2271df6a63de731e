"""The names and models by which others speak to the workflow (design §4)."""

from datetime import datetime
from typing import Any, Literal

from domain.intake import Brief
from domain.refusals import Refused, explain
from domain.request import ServiceRequest
from domain.values import State
from domain.vocabulary import Outcome, Stage

WORKFLOW = "ServiceRequest"
TASK_QUEUE = "service-requests"

RECORD = "record"
SUBMIT = "submit"
SUBMIT_ALL = "submit_all"
STATE = "state"
OBLIGATIONS = "obligations"
SNAPSHOT = "snapshot"

MOST_EVENTS_AT_ONCE = 20

MALFORMED = "malformed"
"""The error type of an update whose event is no event."""


class Start(State):
    """The workflow's input: a new request's brief, or a running one carried over.

    Attributes:
        history_limit: after so many events in one run the workflow continues as new.
    """

    brief: Brief | None = None
    carried: ServiceRequest | None = None
    history_limit: int = 5000


class Receipt(State):
    """What an accepted update answers: small, because it stays in the history for years.

    When it arrives, the records show the request after the event; read it there.
    """

    number: str
    stage: Stage
    event_count: int
    repeated: bool = False


class EventResult(State):
    """What became of one event of a list."""

    id: str
    status: Literal["applied", "repeated", "refused", "skipped"]
    code: str | None = None
    reason: str | None = None
    facts: dict[str, str] = {}


class Receipts(State):
    """What became of a list of events: applied in order up to the first refused.

    `allowed_events` is what the request could take when one was refused.
    """

    number: str
    stage: Stage
    event_count: int
    results: list[EventResult]
    allowed_events: list[str] = []


class RefusalDetail(State):
    """The single detail of the failure when an update is refused; its type is `code`."""

    code: str
    reason: str
    facts: dict[str, str]
    allowed_events: list[str]
    stage: Stage

    @classmethod
    def of(cls, refused: Refused, request: ServiceRequest) -> "RefusalDetail":
        """The detail for this refusal, with what the request could take instead."""
        return cls(
            code=refused.code,
            reason=explain(refused.code, refused.facts),
            facts=refused.facts,
            allowed_events=request.allowed_events,
            stage=request.stage,
        )


class Closing(State):
    """The workflow's result."""

    number: str
    outcome: Outcome | None
    closed_at: datetime | None
    event_count: int
    breached: list[str]


Json = dict[str, Any]
