"""What the delivery of webhooks asks of the outside: the inputs and results of its activities."""

from datetime import datetime, timedelta
from enum import StrEnum

from .values import State

STREAM = "WebhookStream"
WEBHOOK_QUEUE = "webhooks"
KNOCK = "knock"

LOOK = "look"
DELIVER = "deliver"
GIVE_UP = "give_up"

FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(hours=1)
LAST_CHANCE = timedelta(minutes=10)
"""How long a delivery is tried at least, however old it is: we ourselves may have been away."""


class DeliveryState(StrEnum):
    """What became of one event on its way to one subscription."""

    queued = "queued"
    delivered = "delivered"
    dead = "dead"
    dropped = "dropped"


class Stream(State):
    """The events of one request on their way to one subscription, in order."""

    webhook: str
    number: str

    @property
    def workflow_id(self) -> str:
        """The id of the workflow that delivers it."""
        return f"webhook/{self.webhook}/{self.number}"


class Due(State):
    """What stands next in a stream, and until when it is tried."""

    seq: int
    until: datetime


class Step(State):
    """What stands next after a step; None: nothing does."""

    next: Due | None = None


def pause(attempts: int) -> timedelta:
    """How long to rest after so many failed attempts."""
    doublings = min(max(attempts - 1, 0), 20)
    return min(FIRST_PAUSE * int(2**doublings), LONGEST_PAUSE)
