"""What the outside must do or keep after the request moved: the timeline, and who is told what."""

from datetime import datetime
from typing import Any, Literal

from .values import State
from .vocabulary import MessageChannel, Role


class Entry(State):
    """One line of the request's timeline.

    Attributes:
        seq: rising from 1; messages take numbers of the same count.
        at: the moment that counts; recorded_at: when it was written down.
        kind: `event` (someone reported it), `clock`, `offer`, `refused`, `system`.
        name: the event's type, or what the clock did (`accept.breached`).
    """

    seq: int
    at: datetime
    recorded_at: datetime
    kind: Literal["event", "clock", "offer", "refused", "system"]
    name: str
    actor_role: Role | None = None
    actor_id: str | None = None
    event_id: str | None = None
    data: dict[str, Any] = {}


class Tell(State):
    """A message to someone, kept in the outbox under `number` and `seq`: never twice the same.

    Attributes:
        to: the role that is told.
        who: the engineer's id when `to` is the engineer.
        message: which text; see `activities/messages.py`.
        rule: the timing rule behind it, if any, and level: the ladder's level.
        facts: what the text names; no personal data.
        channels: how they are told, each of them; empty: as the role usually is.
    """

    seq: int
    at: datetime
    to: Role
    who: str | None = None
    message: str
    rule: str | None = None
    level: int | None = None
    facts: dict[str, str] = {}
    channels: tuple[MessageChannel, ...] = ()


Effect = Entry | Tell
