"""Every call of the service as a value: what to send, and how to read the answer.

No call is made here, so that the two clients share all but the waiting.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import BaseModel, TypeAdapter

from aftersales.problems import problem, retry_after
from domain import shown
from domain.cloud_events import BATCH, MOST_IN_A_BATCH, CloudEvent, wrapped
from domain.events import BaseEvent, parse_event
from domain.intake import NewRequest

T = TypeVar("T")
Answer = TypeVar("Answer", bound=BaseModel)

Given = BaseEvent | Mapping[str, Any]
"""An event as a model (`Responded(note="…")`) or as its JSON object."""

Sent = CloudEvent | tuple[str, Given]
"""A CloudEvent, or a request's number with what happened to it."""

WORTH_ANOTHER_TRY = {429, 502, 503, 504}
LONGEST_PAUSE = 30.0


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call; however often it is tried, it carries the same key and the same event ids."""

    method: str
    path: str
    answers: TypeAdapter[T]
    json: Any = None
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def read(self, answer: httpx.Response) -> T:
        """The answer as a model.

        Raises:
            Problem: the service says why there is none.
        """
        if not answer.is_success:
            raise problem(answer)
        return self.answers.validate_json(answer.content)


@dataclass(frozen=True)
class Retries:
    """How often and how patiently a call is repeated.

    Attributes:
        most: tries in all.
        pause: seconds before the second try; every further one waits twice as long.
    """

    most: int = 6
    pause: float = 0.5

    def pause_after(self, tries: int, answer: httpx.Response | None) -> float | None:
        """Seconds to wait before the next try; None: what came is the answer.

        Args:
            tries: how many there were.
            answer: None when the connection failed.
        """
        if tries >= self.most:
            return None
        if answer is not None and not _is_passing(answer):
            return None
        asked = retry_after(answer) if answer is not None else None
        # Spread, so that all who were turned away do not come back together.
        spread: float = self.pause * 2 ** (tries - 1) * random.uniform(0.5, 1.0)  # noqa: S311
        return min(max(spread, asked or 0.0), LONGEST_PAUSE)


def _is_passing(answer: httpx.Response) -> bool:
    if answer.status_code in WORTH_ANOTHER_TRY:
        return True
    return answer.status_code == 409 and problem(answer).code == "request_in_flight"


# --- requests -------------------------------------------------------------------------------------


def create(new: NewRequest | Mapping[str, Any], key: str | None) -> Call[shown.ServiceRequest]:
    """Take in a new request."""
    given = new if isinstance(new, NewRequest) else NewRequest.model_validate(new)
    return Call(
        "POST",
        "/v1/requests",
        _of(shown.ServiceRequest),
        json=given.model_dump(mode="json", exclude_none=True),
        headers={"Idempotency-Key": key or str(uuid4())},
    )


def show(number: str) -> Call[shown.ServiceRequest]:
    """Show a request."""
    return Call("GET", _path(number), _of(shown.ServiceRequest))


def page(cursor: str | None, filters: Mapping[str, Any]) -> Call[shown.ShownList]:
    """Show a page of the list."""
    wanted = {"cursor": cursor, **filters}
    params = {name: value for name, value in wanted.items() if value is not None}
    return Call("GET", "/v1/requests", _of(shown.ShownList), params=params)


def behind(number: str, what: str, model: type[Answer]) -> Call[Answer]:
    """Show what lies behind a request: `timeline`, `clocks` and so on."""
    return Call("GET", _path(number, *what.split("/")), _of(model))


# --- events ---------------------------------------------------------------------------------------


def report(number: str, event: Given) -> Call[shown.ServiceRequest]:
    """Report one event and wait until it is judged."""
    return Call("POST", _path(number, "events"), _of(shown.ServiceRequest), json=_json(event))


def report_all(number: str, events: Sequence[Given]) -> Call[shown.ShownResults]:
    """Report up to 20 events that are applied in order in one step."""
    sent = [_json(event) for event in events]
    return Call("POST", _path(number, "events"), _of(shown.ShownResults), json=sent)


def leave(number: str, events: Sequence[Given]) -> Call[shown.ShownReceipts]:
    """Leave up to 20 events without waiting."""
    sent = [_json(event) for event in events]
    headers = {"Prefer": "respond-async"}
    return Call("POST", _path(number, "events"), _of(shown.ShownReceipts), sent, headers=headers)


def chunks(events: Iterable[Sent], source: str) -> Iterator[list[CloudEvent]]:
    """The events as CloudEvents, in batches that the service takes."""
    each = iter(events)
    while batch := [_wrapped(event, source) for event in islice(each, MOST_IN_A_BATCH)]:
        yield batch


class Batch:
    """A batch on its way: what could not be left is sent again, and nothing else."""

    def __init__(self, events: Sequence[CloudEvent]) -> None:
        self._events = events
        self._told: dict[int, shown.ShownOutcome] = {}
        self.left = list(range(len(events)))
        """The places of those still to be left."""

    @property
    def call(self) -> Call[shown.ShownOutcomes]:
        """What to send next."""
        sent = [
            self._events[place].model_dump(mode="json", exclude_none=True) for place in self.left
        ]
        headers = {"Content-Type": BATCH}
        return Call("POST", "/v1/events", _of(shown.ShownOutcomes), sent, headers=headers)

    def hear(self, answer: httpx.Response) -> None:
        """Take in what became of those sent.

        Raises:
            Problem: the batch as a whole was not taken.
        """
        results = _results_of_a_part(answer)
        if results is None:
            results = self.call.read(answer).results
        self._told |= dict(zip(self.left, results, strict=True))
        self.left = [place for place in self.left if self._told[place].status == "unavailable"]

    @property
    def outcomes(self) -> list[shown.ShownOutcome]:
        """What became of each, in order."""
        return [self._told[place] for place in range(len(self._events))]


def _results_of_a_part(answer: httpx.Response) -> list[shown.ShownOutcome] | None:
    """What became of each event when some of them could not be left."""
    if answer.status_code != 503:
        return None
    told = problem(answer)
    if told.code != "some_not_left":
        return None
    return TypeAdapter(list[shown.ShownOutcome]).validate_python(told.more["results"])


def _of(model: type[Answer]) -> TypeAdapter[Answer]:
    return TypeAdapter(model)


def _path(*steps: str) -> str:
    return "/v1/requests/" + "/".join(quote(step, safe="") for step in steps)


def _event(given: Given) -> BaseEvent:
    event: BaseEvent = given if isinstance(given, BaseEvent) else parse_event(dict(given))
    return event


def _json(given: Given) -> dict[str, Any]:
    return _event(given).model_dump(mode="json", by_alias=True, exclude_none=True)


def _wrapped(sent: Sent, source: str) -> CloudEvent:
    if isinstance(sent, CloudEvent):
        return sent
    number, given = sent
    return wrapped(_event(given), number, source)
