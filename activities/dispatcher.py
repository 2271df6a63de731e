"""The dispatcher knocks for every stream that has something to send, so that its workflow runs.

The rows are the truth: a knock is only news. A dispatcher that dies, or a Temporal that is away,
delays them and loses none.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Engine

from domain.deliveries import Stream
from records import deliveries
from records.deliveries import Knock

log = structlog.get_logger()

ROUND_SECONDS = 2.0
BATCH = 200
HANDS = 16
TIDY_EVERY = timedelta(hours=1)

Start = Callable[[Stream, bool], Awaitable[None]]
"""A port to Temporal: have the stream's workflow look, hurried or not; start it if need be."""


def _now() -> datetime:
    return datetime.now(UTC)


class Dispatcher:
    """Watches the queue; several may watch the same one."""

    def __init__(self, engine: Engine, start: Start, *, now: Callable[[], datetime] = _now) -> None:
        self._engine, self._start, self._now = engine, start, now
        self._hands = asyncio.Semaphore(HANDS)
        self._tidied = datetime.min.replace(tzinfo=UTC)
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def wake(self) -> None:
        """Have a look at the queue now; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Knock until cancelled."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._woken.clear()
                try:
                    await self.knock_for_all()
                    await self._tidy_now_and_then()
                except Exception as error:
                    # Whatever it was, the queue is still there in the next round.
                    log.error("dispatcher_stumbled", error=type(error).__name__)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), ROUND_SECONDS)
        finally:
            self._loop = None

    async def knock_for_all(self) -> None:
        """Knock once for every stream that has news, until none has or Temporal is away."""
        while True:
            now = self._now()
            knocks = await asyncio.to_thread(deliveries.claim, self._engine, now, BATCH)
            heard = await asyncio.gather(*(self._knock(knock, now) for knock in knocks))
            if not knocks or not all(heard):
                return

    async def _tidy_now_and_then(self) -> None:
        now = self._now()
        if now - self._tidied > TIDY_EVERY:
            await asyncio.to_thread(deliveries.tidy, self._engine, now)
            self._tidied = now

    async def _knock(self, knock: Knock, now: datetime) -> bool:
        async with self._hands:
            try:
                await self._start(knock.stream, knock.hurried)
                heard = True
            except Exception as error:  # Whatever keeps Temporal from hearing it now.
                log.warning("webhook_knock_failed", error=type(error).__name__)
                heard = False
        await asyncio.to_thread(deliveries.knocked, self._engine, knock, now, heard=heard)
        return heard
