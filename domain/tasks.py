"""What the workflow asks of the outside: the inputs and results of its activities."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Self

from .effects import Effect, Entry, Tell
from .request import ServiceRequest
from .values import State

FIND_ENGINEER = "find_engineer"
WRITE_DOWN = "write_down"
ARCHIVE = "archive"


class Search(State):
    """Find an engineer for a request's work and keep a place for it with them.

    Attributes:
        offer: the place of the offer within the request, from 1; the same search asked again
            finds the same engineer.
        asked_before: engineers who are not to be asked again.
    """

    request: ServiceRequest
    offer: int
    asked_before: list[str]

    @property
    def digest(self) -> str:
        """Tells one search from another; the request as a whole is too much to count."""
        return _digest(self.model_dump_json(exclude={"request"}))


class Found(State):
    """The engineer who is offered the work; None: nobody fits.

    Attributes:
        asked: the digest of the search, so that the history shows what was searched for.
    """

    engineer: str | None = None
    asked: str = ""


class WriteDown(State):
    """Project the request, its timeline, forms and messages; idempotent by the revision."""

    request: ServiceRequest
    entries: list[Entry]
    messages: list[Tell]
    at: datetime

    @property
    def digest(self) -> str:
        """Tells apart what is written: lines and messages."""
        # Defaults do not count, so that a new field with one leaves old digests as they are.
        effects = (*self.entries, *self.messages)
        return _digest(*(effect.model_dump_json(exclude_defaults=True) for effect in effects))

    @classmethod
    def of(cls, request: ServiceRequest, effects: Sequence[Effect], at: datetime) -> Self:
        """What these effects of the request ask to be kept."""
        return cls(
            request=request,
            entries=[effect for effect in effects if isinstance(effect, Entry)],
            messages=[effect for effect in effects if isinstance(effect, Tell)],
            at=at,
        )


class Written(State):
    """The numbers newly given to forms, by the form's key (`WO/1`).

    Attributes:
        asked: the digest of what was written down, so that the history shows it.
    """

    numbers: dict[str, str] = {}
    asked: str = ""


def _digest(*texts: str) -> str:
    """Short, because it stays in the history."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
