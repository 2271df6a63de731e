"""The courier delivers what stands in the outbox.

Why an outbox and not an activity per message: it keeps the request's history small, and a slow
provider away from its clocks. A message is written in the transaction of what it tells, so it is
never lost; it is sent at least once, and its id lets a provider drop what comes twice.
"""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import groupby
from typing import Protocol
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Engine
from sqlmodel import col, select

from activities.messages import Text, digest, render
from domain.vocabulary import Role
from records.engine import reading, writing
from records.tables import Notification

log = structlog.get_logger()

ROUND_SECONDS = 2.0
SEND_SECONDS = 10.0
LEASE = timedelta(seconds=60)
BATCH = 200
HANDS = 8
DIGEST_ABOVE = 5
BACK_OFF = [timedelta(seconds=s) for s in (1, 5, 30, 300, 1800, 7200, 21600)]
"""How long a message rests after each failed attempt; after the last it has failed for good."""


@dataclass(frozen=True)
class Message:
    """One message on its way, or a digest of several.

    Attributes:
        id: the same whenever it is sent again.
        numbers: the requests it is about.
        to_id: the engineer's id; None: everyone of the role, or the customer of the request, whose
            address a gateway finds in the records.
        name: which text (`activities/messages.py`), or `digest`.
    """

    id: str
    numbers: tuple[str, ...]
    to_role: str
    to_id: str | None
    channel: str
    name: str
    text: Text


class Gateway(Protocol):
    """Where messages leave the house: a provider of text messages, an app's push service …"""

    def send(self, message: Message) -> None:
        """Send it, or raise; called from several threads at once.

        It must give up by itself within ten seconds: a thread cannot be stopped from outside.
        """


class LogGateway:
    """Writes one line per message into the log, without personal data."""

    def send(self, message: Message) -> None:
        """Write the line."""
        log.info(
            "message_sent",
            id=message.id,
            to=message.to_role,
            who=message.to_id,
            channel=message.channel,
            message=message.name,
            said=message.text.zh,
        )


@dataclass(frozen=True)
class _Parcel:
    """What goes out as one message, and until when it is ours to send."""

    rows: list[Notification]
    lease_until: datetime

    @property
    def ids(self) -> list[str]:
        return [row.id for row in self.rows]

    @property
    def digest(self) -> str | None:
        """A digest's own id, the same for the same messages; None: it is a single message."""
        if len(self.rows) == 1:
            return None
        return f"digest:{sha256(' '.join(self.ids).encode()).hexdigest()[:16]}"

    def message(self, zone: ZoneInfo) -> Message:
        first = self.rows[0]
        texts = [render(row.message, row.number, row.facts, zone) for row in self.rows]
        return Message(
            id=self.digest or first.id,
            numbers=tuple(dict.fromkeys(row.number for row in self.rows)),
            to_role=first.to_role,
            to_id=first.to_id,
            channel=first.channel,
            name="digest" if self.digest else first.message,
            text=digest(texts) if self.digest else texts[0],
        )


def _now() -> datetime:
    return datetime.now(UTC)


class Courier:
    """Delivers queued messages, each by itself: one that fails or hangs holds up no other.

    Several couriers may work on the same outbox; a message in hand belongs to one of them.

    Args:
        timezone: in which the texts tell the time.
    """

    def __init__(
        self,
        engine: Engine,
        gateway: Gateway,
        *,
        timezone: str = "Asia/Shanghai",
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._engine, self._gateway, self._now = engine, gateway, now
        self._zone = ZoneInfo(timezone)
        self._hands = ThreadPoolExecutor(HANDS, thread_name_prefix="courier")
        self._free_hands = asyncio.Semaphore(HANDS)
        self._under_way: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def wake(self) -> None:
        """Have a look at the outbox now; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Deliver until cancelled; what is under way then is still brought to its end."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._woken.clear()
                await self._look()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), ROUND_SECONDS)
        finally:
            self._loop = None
            if self._under_way:
                _, late = await asyncio.wait(self._under_way, timeout=SEND_SECONDS)
                for task in late:
                    task.cancel()

    async def deliver_due(self) -> None:
        """Deliver what is due now, and wait until each was sent or has failed."""
        await self._look()
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _look(self) -> None:
        try:
            while len(self._under_way) < BATCH:
                parcels = await asyncio.to_thread(self._claim)
                for parcel in parcels:
                    task = asyncio.create_task(self._deliver(parcel))
                    self._under_way.add(task)
                    task.add_done_callback(self._put_away)
                if not parcels:
                    return
        except Exception:
            # Whatever it was, the outbox is still there in the next round.
            log.exception("courier_stumbled")

    def _put_away(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("courier_stumbled", exc_info=error)

    def _claim(self) -> list[_Parcel]:
        """Take queued messages in hand; a courier that dies gives them back when the lease ends."""
        now = self._now()
        ripe = col(Notification.not_before).is_(None) | (col(Notification.not_before) <= now)
        due = (
            select(Notification)
            .where(Notification.state == "queued", ripe)
            .order_by(col(Notification.created_at))
            .limit(BATCH)
        )
        with reading(self._engine) as session:
            if session.exec(due.limit(1)).first() is None:
                return []
        lease_until = now + LEASE
        with writing(self._engine) as session:
            rows = list(session.exec(due.with_for_update(skip_locked=True)))
            for row in rows:
                row.not_before = lease_until
        return [_Parcel(together, lease_until) for together in _gathered(rows)]

    async def _deliver(self, parcel: _Parcel) -> None:
        async with self._free_hands:
            if self._now() + timedelta(seconds=SEND_SECONDS) > parcel.lease_until:
                return  # It waited too long for a free hand; the lease's end gives it back.
            sent = await self._send(parcel)
        await asyncio.to_thread(self._record, parcel, sent=sent)

    async def _send(self, parcel: _Parcel) -> bool:
        try:
            message = parcel.message(self._zone)
            loop = asyncio.get_running_loop()
            sending = loop.run_in_executor(self._hands, self._gateway.send, message)
            await asyncio.wait_for(sending, SEND_SECONDS)
        except Exception as error:
            # Not the error's own words: they may quote an address.
            log.warning("message_failed", id=parcel.ids[0], error=type(error).__name__)
            return False
        return True

    def _record(self, parcel: _Parcel, *, sent: bool) -> None:
        still_ours = (
            select(Notification)
            .where(col(Notification.id).in_(parcel.ids))
            .where(Notification.not_before == parcel.lease_until)
            .with_for_update()
        )
        now = self._now()
        with writing(self._engine) as session:
            for row in session.exec(still_ours):
                row.attempts += 1
                if sent:
                    row.state, row.sent_at, row.digest = "sent", now, parcel.digest
                elif row.attempts > len(BACK_OFF):
                    row.state = "failed"
                else:
                    row.not_before = now + BACK_OFF[row.attempts - 1]


def _gathered(rows: list[Notification]) -> list[list[Notification]]:
    """What goes out together: a burst to the same role within the house is one digest.

    Of one channel: an alarm that is to go out as a text message too must not end in a digest that
    waits for somebody to look at the console.
    """
    parcels = [[row] for row in rows if row.to_role in (Role.customer, Role.engineer)]
    internal = sorted(
        (row for row in rows if row.to_role not in (Role.customer, Role.engineer)),
        key=_way,
    )
    for _, group in groupby(internal, key=_way):
        burst = list(group)
        parcels += [burst] if len(burst) > DIGEST_ABOVE else [[row] for row in burst]
    return parcels


def _way(row: Notification) -> tuple[str, str]:
    return row.to_role, row.channel
