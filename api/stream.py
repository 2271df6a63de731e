"""The board's stream of changes: server-sent events, one reader of the database per process.

The reader runs while somebody listens. Twice a second it asks what has changed, writes each change
out once, and hands the same bytes to everyone. Whoever does not keep up is cut off; they come back
with `Last-Event-ID`, to whichever process, and miss nothing.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Send

from api import openapi
from api.access import Watcher
from api.marks import mark, moment_of
from api.middleware import what_happened
from api.services import Services, now
from records import board, changes
from records.changes import News

log = structlog.get_logger("api")

router = APIRouter(prefix="/v1/board", tags=["board"])

TICK = 0.5
"""Seconds from one look at the database to the next."""
HEARTBEAT = 15.0
"""Seconds of silence after which a comment says that the connection lives."""
ALIVE = b": alive\n\n"
RETRY = 2000
"""Milliseconds that a browser waits before it comes back."""
COUNTS_EVERY = 5.0
"""Seconds after which the counts are taken again though nothing changed: time passes."""
MOST_BEHIND = 8
"""Ticks that may wait for a listener."""
PATIENCE = 5.0
"""Seconds in which a listener must take what is sent."""
LONGEST = 3600.0
"""Seconds after which a listener must come back, and show their token again."""
MOST_AT_ONCE = 200
"""Requests told in one tick; the others wait for the next."""
MOST_MISSED = 1000
"""Changes that are made up for; whoever missed more loads the board anew."""


class Listener:
    """One open connection: what waits to be sent, and whether it is given up."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(MOST_BEHIND)

    def tell(self, chunk: bytes) -> bool:
        """Whether there was room for it; otherwise the listener is cut off."""
        try:
            self._waiting.put_nowait(chunk)
        except asyncio.QueueFull:
            while not self._waiting.empty():
                self._waiting.get_nowait()
            self._waiting.put_nowait(None)
            return False
        return True

    async def next(self) -> bytes | None:
        """What is sent next: news, or a sign of life; None: no more."""
        try:
            async with asyncio.timeout(HEARTBEAT):
                return await self._waiting.get()
        except TimeoutError:
            return ALIVE


class Stream:
    """Everyone who listens to the changes in this process, and the one reader for all of them."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._listeners: set[Listener] = set()
        self._reader: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()

    @property
    def listening(self) -> int:
        """How many listen."""
        return len(self._listeners)

    async def close(self) -> None:
        """Stop reading."""
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader

    async def listen(self, last_event_id: str | None) -> AsyncGenerator[bytes, None]:
        """The stream for one listener who last heard this; None: who has just come."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + LONGEST
        listener = Listener()
        # From here on nothing is missed: what comes before is asked for, what comes after waits.
        self._listeners.add(listener)
        try:
            await self._is_read()
            yield await self._services.records(_opening, last_event_id)
            while loop.time() < ends and (chunk := await listener.next()) is not None:
                yield chunk
        finally:
            self._listeners.discard(listener)

    async def _is_read(self) -> None:
        if self._reader is None or self._reader.done():
            self._begun.clear()
            self._reader = asyncio.create_task(self._read())
        async with asyncio.timeout(PATIENCE):  # Whoever waits in vain comes back.
            await self._begun.wait()

    async def _read(self) -> None:
        """While anybody listens: tell what changes. It outlives any trouble of the database.

        What it cannot read it forgets, with all that was known: the listeners get a `reset`.
        """
        loop = asyncio.get_running_loop()
        known: News | None = None
        counts: dict[str, Any] = {}
        counted_at = 0.0
        while self._listeners:
            woke_at = loop.time()
            try:
                if known is None:
                    present = await self._services.records(changes.present)
                    counts = await self._services.records(board.counts, now())
                    known = present
                    if self._begun.is_set():
                        self._tell(_event("reset", "{}", mark(known.until)))
                    self._begun.set()
                known = await self._services.records(changes.news, known, MOST_AT_ONCE)
                changed = {}
                if known.rows or woke_at - counted_at > COUNTS_EVERY:
                    counted_at = woke_at
                    latest = await self._services.records(board.counts, now())
                    changed, counts = _difference(counts, latest), latest
                if known.left > MOST_MISSED:
                    known = await self._services.records(changes.present)
                    self._tell(_event("reset", "{}", mark(known.until)))
                elif known.rows or changed:
                    self._tell(_chunk(known.rows, changed, known))
            except SQLAlchemyError as error:
                log.warning("stream_interrupted", **what_happened(error))
            except Exception as error:
                # A row that cannot be read would be met at every tick: everybody begins anew.
                log.warning("stream_interrupted", **what_happened(error))
                known = None
            took = loop.time() - woke_at
            await asyncio.sleep(max(TICK - took, TICK / 10))

    def _tell(self, chunk: bytes) -> None:
        behind = [listener for listener in self._listeners if not listener.tell(chunk)]
        self._listeners.difference_update(behind)
        if behind:
            log.info("listeners_cut_off", count=len(behind))


class StreamResponse(EventSourceResponse):
    """A stream whose listener must take what is sent in time."""

    def __init__(self, chunks: AsyncGenerator[bytes, None], headers: dict[str, str]) -> None:
        super().__init__(chunks, headers=headers)
        self._chunks = chunks

    async def stream_response(self, send: Send) -> None:
        """Send until there is no more, or the listener takes no more."""
        head = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        await send(head)
        with suppress(TimeoutError):
            async with aclosing(self._chunks) as chunks:
                async for chunk in chunks:
                    async with asyncio.timeout(PATIENCE):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def stream(request: Request) -> Stream:
    """The stream of the application that serves this call."""
    found: Stream = request.app.state.stream
    return found


@router.get("/stream", **openapi.STREAM)
async def get_stream(
    changes: Annotated[Stream, Depends(stream)],
    caller: Watcher,
    last_event_id: Annotated[
        str | None, Header(description="The `id` last heard, or the board's `last_event_id`.")
    ] = None,
) -> Response:
    """Send every change as it happens: a request's short line, and the counts that are others."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamResponse(changes.listen(last_event_id), headers=headers)


def _opening(engine: Engine, last_event_id: str | None) -> bytes:
    """What a listener hears first: what they missed, and the counts as they are."""
    known = changes.present(engine)
    rows: list[str] | None = []
    if last_event_id is not None:
        rows = _missed(engine, last_event_id)
    retry = f"retry: {RETRY}\n\n".encode()
    reset = b"" if rows is not None else _event("reset", "{}")
    return retry + reset + _chunk(rows or [], board.counts(engine, now()), known)


def _missed(engine: Engine, last_event_id: str) -> list[str] | None:
    """What somebody missed; None: too much, or it cannot be told."""
    since = moment_of(last_event_id)
    try:
        return changes.missed(engine, since, MOST_MISSED) if since else None
    except SQLAlchemyError:
        raise
    except Exception as error:  # They would ask for the same again, for ever.
        log.warning("stream_interrupted", **what_happened(error))
        return None


def _chunk(rows: list[str], counts: dict[str, Any], known: News) -> bytes:
    """One tick's events; the last carries the id, so that half a tick is no tick."""
    told = [("request", row) for row in rows]
    if counts:
        told.append(("counts", json.dumps(counts, separators=(",", ":"))))
    *others, last = told
    return b"".join(_event(*each) for each in others) + _event(*last, mark(known.until))


def _event(name: str, data: str, id: str | None = None) -> bytes:
    marked = f"id: {id}\n" if id is not None else ""
    return f"{marked}event: {name}\ndata: {data}\n\n".encode()


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The entries of `after` that are others than before."""
    changed: dict[str, Any] = {}
    for name, value in after.items():
        if isinstance(value, dict):
            value = _difference(before.get(name, {}), value)
            if value:
                changed[name] = value
        elif before.get(name) != value:
            changed[name] = value
    return changed
