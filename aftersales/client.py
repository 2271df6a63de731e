"""The client: `Aftersales` waits, `AsyncAftersales` is awaited; both have the same names.

A call is repeated by itself when the service is busy, away, or cut off. That is safe: a new
request carries an idempotency key and every event its id, made once per call.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Self, TypeVar

import httpx

from aftersales import calls
from aftersales.calls import Batch, Call, Given, Retries, Sent
from aftersales.problems import (
    Closed,
    Malformed,
    NotFound,
    NotPermitted,
    Problem,
    Refused,
    Unavailable,
)
from domain.cloud_events import CloudEvent
from domain.intake import NewRequest
from domain.shown import (
    ServiceRequest,
    ShownClocks,
    ShownForm,
    ShownForms,
    ShownLine,
    ShownObligations,
    ShownOutcome,
    ShownReceipts,
    ShownResults,
    ShownTimeline,
)

__all__ = [
    "Aftersales",
    "AsyncAftersales",
    "Closed",
    "Malformed",
    "NotFound",
    "NotPermitted",
    "Problem",
    "Refused",
    "Retries",
    "Unavailable",
]

T = TypeVar("T")

PATIENCE = 30.0
SOURCE = "aftersales-client"


def _settings(address: str, token: str, language: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}", "Accept-Language": language}
    return {"base_url": address, "headers": headers, "timeout": PATIENCE}


class Aftersales:
    """A connection to the service; a context manager.

    Args:
        address: such as `http://127.0.0.1:8000`.
        token: a bearer token, as `aftersales token` prints.
        language: of the reasons and texts, `en` or `zh-CN`.
        source: who sends, in the CloudEvents that `send` makes.
        retries: how often and how patiently a call is repeated.
        http: further settings of `httpx.Client`, such as `verify` or `proxy`.

    Every method raises `Problem`, or one of its kinds, when the service does not do as asked, and
    `httpx.TransportError` when it cannot be reached even after several tries.
    """

    def __init__(
        self,
        address: str,
        token: str,
        *,
        language: str = "en",
        source: str = SOURCE,
        retries: Retries = Retries(),
        **http: Any,
    ) -> None:
        self._http = httpx.Client(**{**_settings(address, token, language), **http})
        self._source, self._retries = source, retries

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    # --- requests ---

    def create(
        self, new: NewRequest | Mapping[str, Any], *, key: str | None = None
    ) -> ServiceRequest:
        """Take in a new request; the same `key` and body again give the same request."""
        return self._do(calls.create(new, key))

    def show(self, number: str) -> ServiceRequest:
        """The request as it stands."""
        return self._do(calls.show(number))

    def requests(self, **filters: Any) -> Iterator[ServiceRequest]:
        """Every request that fits (`stage`, `urgency`, `type`, `engineer`, …), next due first."""
        cursor = None
        while True:
            page = self._do(calls.page(cursor, filters))
            yield from page.items
            cursor = page.next
            if cursor is None:
                return

    def timeline(self, number: str) -> list[ShownLine]:
        """Everything that happened, in order."""
        return self._do(calls.behind(number, "timeline", ShownTimeline)).items

    def clocks(self, number: str) -> ShownClocks:
        """Every promise and how it stands."""
        return self._do(calls.behind(number, "clocks", ShownClocks))

    def obligations(self, number: str) -> ShownObligations:
        """What happens if nobody acts."""
        return self._do(calls.behind(number, "obligations", ShownObligations))

    def forms(self, number: str) -> list[ShownForm]:
        """Every form filled in so far."""
        return self._do(calls.behind(number, "forms", ShownForms)).items

    def form(self, number: str, form: str) -> ShownForm:
        """One form, by its number or its code."""
        return self._do(calls.behind(number, f"forms/{form}", ShownForm))

    # --- events ---

    def report(self, number: str, event: Given) -> ServiceRequest:
        """Report what happened; the request after it. Raises `Refused` when it may not happen."""
        return self._do(calls.report(number, event))

    def report_all(self, number: str, events: Sequence[Given]) -> ShownResults:
        """Report up to 20 events, applied in order up to the first refused."""
        return self._do(calls.report_all(number, events))

    def leave(self, number: str, events: Sequence[Given]) -> ShownReceipts:
        """Leave up to 20 events without waiting until they are judged."""
        return self._do(calls.leave(number, events))

    def send(self, events: Iterable[Sent]) -> list[ShownOutcome]:
        """Leave any number of events as CloudEvents, a thousand at a time.

        What could not be left is sent again; what still could not is `unavailable` in the answer.

        Returns:
            What became of each, in order.
        """
        told: list[ShownOutcome] = []
        for chunk in calls.chunks(events, self._source):
            told += self._send(chunk)
        return told

    def _send(self, chunk: list[CloudEvent]) -> list[ShownOutcome]:
        batch = Batch(chunk)
        for tries in count(1):
            answer = self._answer(batch.call, in_parts=True)
            batch.hear(answer)
            pause = self._retries.pause_after(tries, answer) if batch.left else None
            if pause is None:
                break
            time.sleep(pause)
        return batch.outcomes

    # --- the waiting ---

    def _do(self, call: Call[T]) -> T:
        return call.read(self._answer(call))

    def _answer(self, call: Call[Any], *, in_parts: bool = False) -> httpx.Response:
        """The answer after as many tries as it takes; `in_parts`: one that names what it did is
        one, even if it could not do all."""
        failure: httpx.TransportError | None = None
        for tries in count(1):
            answer = None
            try:
                answer = self._http.request(
                    call.method,
                    call.path,
                    json=call.json,
                    params=call.params,
                    headers=call.headers,
                )
            except httpx.TransportError as error:
                failure = error
            pause = self._retries.pause_after(tries, answer)
            if answer is not None and (pause is None or (in_parts and _names_parts(answer))):
                return answer
            if pause is None:
                break
            time.sleep(pause)
        raise failure or RuntimeError("neither an answer nor an error")


class AsyncAftersales:
    """`Aftersales` for asyncio: the same names, awaited; an asynchronous context manager."""

    def __init__(
        self,
        address: str,
        token: str,
        *,
        language: str = "en",
        source: str = SOURCE,
        retries: Retries = Retries(),
        **http: Any,
    ) -> None:
        self._http = httpx.AsyncClient(**{**_settings(address, token, language), **http})
        self._source, self._retries = source, retries

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    # --- requests ---

    async def create(
        self, new: NewRequest | Mapping[str, Any], *, key: str | None = None
    ) -> ServiceRequest:
        """Take in a new request; the same `key` and body again give the same request."""
        return await self._do(calls.create(new, key))

    async def show(self, number: str) -> ServiceRequest:
        """The request as it stands."""
        return await self._do(calls.show(number))

    async def requests(self, **filters: Any) -> AsyncIterator[ServiceRequest]:
        """Every request that fits (`stage`, `urgency`, `type`, `engineer`, …), next due first."""
        cursor = None
        while True:
            page = await self._do(calls.page(cursor, filters))
            for item in page.items:
                yield item
            cursor = page.next
            if cursor is None:
                return

    async def timeline(self, number: str) -> list[ShownLine]:
        """Everything that happened, in order."""
        return (await self._do(calls.behind(number, "timeline", ShownTimeline))).items

    async def clocks(self, number: str) -> ShownClocks:
        """Every promise and how it stands."""
        return await self._do(calls.behind(number, "clocks", ShownClocks))

    async def obligations(self, number: str) -> ShownObligations:
        """What happens if nobody acts."""
        return await self._do(calls.behind(number, "obligations", ShownObligations))

    async def forms(self, number: str) -> list[ShownForm]:
        """Every form filled in so far."""
        return (await self._do(calls.behind(number, "forms", ShownForms))).items

    async def form(self, number: str, form: str) -> ShownForm:
        """One form, by its number or its code."""
        return await self._do(calls.behind(number, f"forms/{form}", ShownForm))

    # --- events ---

    async def report(self, number: str, event: Given) -> ServiceRequest:
        """Report what happened; the request after it. Raises `Refused` when it may not happen."""
        return await self._do(calls.report(number, event))

    async def report_all(self, number: str, events: Sequence[Given]) -> ShownResults:
        """Report up to 20 events, applied in order up to the first refused."""
        return await self._do(calls.report_all(number, events))

    async def leave(self, number: str, events: Sequence[Given]) -> ShownReceipts:
        """Leave up to 20 events without waiting until they are judged."""
        return await self._do(calls.leave(number, events))

    async def send(self, events: Iterable[Sent]) -> list[ShownOutcome]:
        """Leave any number of events as CloudEvents, a thousand at a time.

        What could not be left is sent again; what still could not is `unavailable` in the answer.

        Returns:
            What became of each, in order.
        """
        told: list[ShownOutcome] = []
        for chunk in calls.chunks(events, self._source):
            told += await self._send(chunk)
        return told

    async def _send(self, chunk: list[CloudEvent]) -> list[ShownOutcome]:
        batch = Batch(chunk)
        for tries in count(1):
            answer = await self._answer(batch.call, in_parts=True)
            batch.hear(answer)
            pause = self._retries.pause_after(tries, answer) if batch.left else None
            if pause is None:
                break
            await asyncio.sleep(pause)
        return batch.outcomes

    # --- the waiting ---

    async def _do(self, call: Call[T]) -> T:
        return call.read(await self._answer(call))

    async def _answer(self, call: Call[Any], *, in_parts: bool = False) -> httpx.Response:
        """The answer after as many tries as it takes; `in_parts`: one that names what it did is
        one, even if it could not do all."""
        failure: httpx.TransportError | None = None
        for tries in count(1):
            answer = None
            try:
                answer = await self._http.request(
                    call.method,
                    call.path,
                    json=call.json,
                    params=call.params,
                    headers=call.headers,
                )
            except httpx.TransportError as error:
                failure = error
            pause = self._retries.pause_after(tries, answer)
            if answer is not None and (pause is None or (in_parts and _names_parts(answer))):
                return answer
            if pause is None:
                break
            await asyncio.sleep(pause)
        raise failure or RuntimeError("neither an answer nor an error")


def _names_parts(answer: httpx.Response) -> bool:
    return answer.status_code == 503 and b'"some_not_left"' in answer.content
