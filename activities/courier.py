"""The courier delivers what stands in the outbox.

Why an outbox and not an activity per message: it keeps the request's history small, and a slow
provider away from its clocks. A message is written in the transaction of what it tells, so it is
never lost; it is sent at least once, and its id lets a provider drop what comes twice.

Each provider has hands of its own: one that hangs or is down delays only its own messages.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from itertools import groupby
from time import monotonic
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Engine

from activities.channels import Channels, Outgoing
from activities.messages import MESSAGES, Templates
from activities.obsolete import is_obsolete
from activities.providers.port import Address, Message, NotSent
from domain.policy import QuietHours
from domain.vocabulary import Role, SendingState
from records import outbox, queries
from records.outbox import Recipient, Try, Verdict
from records.tables import Notification

log = structlog.get_logger()

ROUND_SECONDS = 2.0
SEND_SECONDS = 20.0
GOODBYE_SECONDS = 8.0
LEASE = timedelta(seconds=60)
BATCH = 200
DIGEST_ABOVE = 5
GATHERING = timedelta(seconds=10)
"""After a message to a role within the house the next ones wait so long for each other: the
breaches of a burst come one after another, and each alone would be no burst."""
BACK_OFF = [timedelta(seconds=s) for s in (1, 5, 30, 300, 1800, 7200, 21600)]
"""How long a message rests after each failed attempt; after the last it has failed for good."""
PATIENCE = sum(BACK_OFF, timedelta(0))
"""How long a message waits at most for a provider that is down."""
TROUBLE_AFTER = 5
"""After so many failures in a row a provider rests, and then is tried with one message first."""
RESTS = [timedelta(seconds=s) for s in (15, 30, 60, 120, 300)]

Link = Callable[[str], str]
"""Makes the address under which the customer of a request may follow it."""


@dataclass(frozen=True)
class _Parcel:
    """What goes out as one message, and until when it is ours to send."""

    rows: list[Notification]
    lease_until: datetime

    @property
    def first(self) -> Notification:
        return self.rows[0]

    @property
    def ids(self) -> list[str]:
        return [row.id for row in self.rows]

    @property
    def numbers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.number for row in self.rows))

    @property
    def digest(self) -> str | None:
        """A digest's own id, the same for the same messages; None: it is a single message."""
        if len(self.rows) == 1:
            return None
        return f"digest:{sha256(' '.join(self.ids).encode()).hexdigest()[:16]}"


def _now() -> datetime:
    return datetime.now(UTC)


class _Lane:
    """The way to one provider: its hands, what waits for them, and whether it rests.

    A provider that failed several times in a row is left alone for a while; then one message tries
    whether it is back. Otherwise everything that waits for it would use up its attempts.
    """

    def __init__(self, outlet: Outgoing, now: Callable[[], datetime]) -> None:
        self.outlet, self.name, self._now = outlet, outlet.name, now
        self.under_way: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(outlet.hands, thread_name_prefix=f"to-{outlet.name}")
        self._free_hands = asyncio.Semaphore(outlet.hands)
        self._failures = 0
        self._rests_until: datetime | None = None

    async def send(self, prepare: Callable[[], Message], lease_until: datetime) -> str | None:
        """Send a message as soon as a hand is free. Returns the provider's own id of it.

        Args:
            prepare: makes the message, at the last moment: most of what waits for a provider in
                trouble is never made, and nobody's address is opened for it.

        Raises:
            NotSent: it was not taken.
            _NoTime: the lease ends before it could be.
            _Resting: the provider is left alone.
            _NotNow, _NoAddress: `prepare` says so.
        """
        async with self._free_hands:
            if self._now() + timedelta(seconds=SEND_SECONDS) > lease_until:
                raise _NoTime
            is_probe = self._step_up()
            try:
                sending = asyncio.get_running_loop().run_in_executor(
                    self._threads, lambda: self.outlet.provider.send(prepare())
                )
                sent = await asyncio.wait_for(sending, SEND_SECONDS)
            except (_NotNow, _NoAddress):
                if is_probe:
                    self._rests_until = self._now()  # The next one goes ahead.
                raise
            except Exception as error:
                failure = _as_not_sent(error)
                if failure.down:
                    self._failed(is_probe=is_probe)
                elif failure is error:
                    self._answered()
                raise failure from None
            self._answered()
            return sent

    @property
    def rests_until(self) -> datetime | None:
        """Until when it is left alone; None: it is not."""
        resting = self._rests_until is not None and self._now() < self._rests_until
        return self._rests_until if resting else None

    def _step_up(self) -> bool:
        """Take a turn, or learn that it rests. The first after a rest goes alone: whether it is."""
        if until := self.rests_until:
            raise _Resting(until)
        if self._rests_until is None:
            return False
        self._rests_until = self._now() + timedelta(seconds=SEND_SECONDS)
        return True

    def _answered(self) -> None:
        self._failures, self._rests_until = 0, None

    def _failed(self, *, is_probe: bool) -> None:
        if self._rests_until is not None and not is_probe:
            return  # It was on its way when the rest began, and says nothing new.
        self._failures += 1
        if self._failures >= TROUBLE_AFTER:
            rest = RESTS[min(self._failures - TROUBLE_AFTER, len(RESTS) - 1)]
            self._rests_until = self._now() + rest
            log.warning("provider_rests", provider=self.name, seconds=rest.total_seconds())


class _NoTime(Exception):
    """The lease ends too soon; what is not sent goes back to the outbox with it."""


class _Resting(Exception):
    """The provider is left alone until then."""

    def __init__(self, until: datetime) -> None:
        self.until = until


class _NotNow(Exception):
    """The message is not to be sent now, by nobody."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict


class _NoAddress(Exception):
    """The provider cannot reach the recipient: nobody knows where."""


class Courier:
    """Delivers queued messages, each by itself: one that fails or hangs holds up no other.

    Several couriers may work on the same outbox; a message in hand belongs to one of them.

    Args:
        timezone: in which the texts tell the time, and in which quiet hours are meant.
        quiet: when customers are not disturbed with what can wait.
        link: makes the customer's address of a request for those messages that may carry it.
    """

    def __init__(
        self,
        engine: Engine,
        channels: Channels,
        *,
        templates: Templates | None = None,
        timezone: str = "Asia/Shanghai",
        quiet: QuietHours | None = None,
        link: Link | None = None,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._engine, self._channels, self._now = engine, channels, now
        self._templates = templates or Templates()
        self._zone, self._quiet, self._link = ZoneInfo(timezone), quiet, link
        self._lanes = {name: _Lane(outlet, now) for name, outlet in channels.outlets.items()}
        self._told_at: dict[Recipient, datetime] = {}
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
            if under_way := self._under_way:
                _, late = await asyncio.wait(under_way, timeout=GOODBYE_SECONDS)
                for task in late:
                    task.cancel()

    async def deliver_due(self) -> None:
        """Deliver what is due now, and wait until each was sent or has failed."""
        await self._look()
        while under_way := self._under_way:
            await asyncio.wait(under_way)

    @property
    def _under_way(self) -> set[asyncio.Task[None]]:
        return {task for lane in self._lanes.values() for task in lane.under_way}

    async def _look(self) -> None:
        try:
            while any([await self._set_off(lane, whom) for lane, whom in await self._due()]):
                pass
        except Exception:
            # Whatever it was, the outbox is still there in the next round.
            log.exception("courier_stumbled")

    async def _due(self) -> list[tuple[_Lane, list[Recipient]]]:
        """The lanes that have something to send and do not rest, each with whom it is for."""
        due: dict[str, list[Recipient]] = {}
        for whom in await asyncio.to_thread(outbox.waiting, self._engine, self._now()):
            if self._gathers(whom):
                continue
            for name in self._channels.route(*whom):
                if not self._lanes[name].rests_until:
                    due.setdefault(name, []).append(whom)
                    break
        return [(self._lanes[name], whom) for name, whom in due.items()]

    def _gathers(self, whom: Recipient) -> bool:
        """Whether they were told something just now, and what is new waits for more."""
        told_at = self._told_at.get(whom)
        return told_at is not None and self._now() - told_at < GATHERING

    async def _set_off(self, lane: _Lane, whom: list[Recipient]) -> bool:
        """Start to deliver some of what waits; whether there was anything."""
        most = BATCH - len(lane.under_way)
        if most <= 0:
            return False
        now = self._now()
        rows = await asyncio.to_thread(outbox.claim, self._engine, whom, now, now + LEASE, most)
        for together in _gathered(rows):
            parcel = _Parcel(together, now + LEASE)
            if not _goes_alone(parcel.first):
                self._told_at[_way(parcel.first)] = now
            task = asyncio.create_task(self._deliver(parcel))
            lane.under_way.add(task)
            task.add_done_callback(lane.under_way.discard)
            task.add_done_callback(_put_away)
        return bool(rows)

    # --- one parcel -------------------------------------------------------------------------------

    async def _deliver(self, parcel: _Parcel) -> None:
        tries: list[Try] = []
        rests: list[datetime] = []
        retry_after = timedelta(0)
        for name in self._channels.route(parcel.first.to_role, parcel.first.channel):
            if name in (parcel.first.refused_by or ()):
                continue
            lane, began, at = self._lanes[name], monotonic(), self._now()
            prepare = partial(self._message, parcel, lane.outlet.provider.address)
            try:
                provider_id = await lane.send(prepare, parcel.lease_until)
            except _NotNow as waits:
                await self._settle(parcel, waits.verdict)
                return
            except _NoAddress:
                continue
            except _NoTime:
                if not tries:
                    return  # The lease's end gives it back.
                break
            except _Resting as resting:
                rests.append(resting.until)
                continue
            except Exception as error:
                failure = _as_not_sent(error)
                outcome = "refused" if failure.for_good else "failed"
                retry_after = max(retry_after, failure.retry_after or timedelta(0))
                took = round((monotonic() - began) * 1000)
                tries.append(Try(at, name, outcome, failure.reason, took))
                # Not the error's own words: they may quote an address.
                log.warning("message_failed", id=parcel.ids[0], provider=name, error=failure.reason)
                continue
            tries.append(Try(at, name, "sent", None, round((monotonic() - began) * 1000)))
            sent = Verdict(SendingState.sent, "sent", provider_id=provider_id, digest=parcel.digest)
            await self._settle(parcel, sent, tries)
            return
        verdict = self._not_delivered(parcel.first, tries, rests, retry_after)
        await self._settle(parcel, verdict, tries)

    def _not_now(self, row: Notification) -> Verdict | None:
        """What becomes of a message that is not to be sent now; None: it is."""
        moment = _moment_of(row)
        if (moment and moment <= self._now()) or is_obsolete(self._engine, row):
            return Verdict(SendingState.dropped, "obsolete", counts=False)
        kind = MESSAGES.get(row.message)
        if self._quiet and kind and kind.waits and row.to_role == Role.customer:
            until = self._quiet.end(self._now(), self._zone)
            return Verdict(SendingState.queued, not_before=until, counts=False) if until else None
        return None

    def _message(self, parcel: _Parcel, kind: Address | None) -> Message:
        """The message for a provider that reaches people by this kind of address.

        Raises:
            _NotNow: it is obsolete, or waits for the morning.
            _NoAddress: nobody knows where the recipient is reached.
        """
        first = parcel.first
        if verdict := self._not_now(first):
            raise _NotNow(verdict)
        to = self._addresses(parcel, kind) if kind else ()
        if kind and not to:
            raise _NoAddress
        texts = [
            self._templates.render(
                row.message,
                row.number,
                {**row.facts, **self._opened(row, personal=kind is not None)},
                self._zone,
            )
            for row in parcel.rows
        ]
        return Message(
            id=parcel.digest or first.id,
            numbers=parcel.numbers,
            to_role=first.to_role,
            to_id=first.to_id,
            channel=first.channel,
            name="digest" if parcel.digest else first.message,
            language=self._templates.language,
            text=self._templates.digest(texts) if parcel.digest else texts[0],
            to=to,
        )

    def _addresses(self, parcel: _Parcel, kind: Address) -> tuple[str, ...]:
        whom = parcel.first.to_role, parcel.first.to_id
        found = (
            address
            for number in parcel.numbers
            for address in self._channels.addresses(self._engine, number, *whom, kind)
        )
        return tuple(dict.fromkeys(found))

    def _opened(self, row: Notification, *, personal: bool) -> dict[str, str]:
        """What a message may say that no outbox keeps."""
        opened = {}
        names = MESSAGES[row.message].facts if row.message in MESSAGES else ()
        if "response_by" in names:
            due = outbox.due_at(self._engine, row.number, "first_response")
            if due and due > self._now():
                opened["response_by"] = due.isoformat()
        if personal and row.to_role == Role.customer:
            if customer := queries.customer(self._engine, row.number):
                opened["name"] = customer.name
            if self._link and "link" in names:
                opened["link"] = self._link(row.number)
        return opened

    def _not_delivered(
        self,
        row: Notification,
        tries: Sequence[Try],
        rests: Sequence[datetime],
        retry_after: timedelta,
    ) -> Verdict:
        """Whether a message that nobody took is tried again, and when."""
        now = self._now()
        # A message that failed and was sent again has waited only since.
        waited = now - (row.failed_at or row.created_at)
        postponed = bool(rests) and not tries and waited < PATIENCE
        if not rests and all(one.outcome == "refused" for one in tries):
            outcome = "refused" if tries else "unaddressed"
            return Verdict(SendingState.failed, outcome, counts=bool(tries))
        left = BACK_OFF[row.attempts :]
        if postponed:
            again: datetime | None = min(rests)
        else:
            again = now + max(left[0], retry_after) if left else None
        moment = _moment_of(row)
        if again is None or (moment and again >= moment):
            return Verdict(SendingState.failed, "failed", counts=not postponed)
        return Verdict(SendingState.queued, not_before=again, counts=not postponed)

    async def _settle(self, parcel: _Parcel, verdict: Verdict, tries: Sequence[Try] = ()) -> None:
        now = self._now()
        further: list[Notification] = []
        if verdict.state is SendingState.failed:
            further = [told for row in parcel.rows for told in _told_of(row, tries, now)]
        await asyncio.to_thread(
            outbox.settle,
            self._engine,
            parcel.ids,
            parcel.lease_until,
            verdict,
            now,
            tries=tries,
            further=further,
        )
        if further:
            self.wake()


def _put_away(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("courier_stumbled", exc_info=error)


def _as_not_sent(error: Exception) -> NotSent:
    """What went wrong, in a word of ours."""
    match error:
        case NotSent():
            return error
        case TimeoutError():
            return NotSent("timeout", down=True)
        case OSError():
            return NotSent(type(error).__name__, down=True)
        case _:  # It may be this one message that nobody can write.
            return NotSent(type(error).__name__)


def _moment_of(row: Notification) -> datetime | None:
    """When a message is of no use any more: a reminder, once the visit has begun."""
    if row.message != "visit_reminder":
        return None
    with contextlib.suppress(KeyError, ValueError):
        return datetime.fromisoformat(row.facts["window_start"])
    return None


_OF_OURS = ("reminder_failed", "delivery_failed")
"""What the courier itself tells; that this fails is told nobody, or it would never end."""


def _told_of(row: Notification, tries: Sequence[Try], now: datetime) -> list[Notification]:
    """What is told because a message has failed for good: of a reminder, and of the provider."""
    told = []
    if row.message == "visit_reminder":
        facts = {"told": row.to_role, "window_start": row.facts.get("window_start", "—")}
        id_ = f"{row.id}:failed"
        told.append(_further(row, id_, Role.dispatcher, "reminder_failed", facts, now))
    if row.message not in _OF_OURS:
        provider = tries[-1].provider if tries else row.channel
        facts = {"provider": provider, "error": tries[-1].error or "" if tries else "unaddressed"}
        # Once for each provider and hour, however many fail.
        id_ = f"delivery:{provider}:{now:%Y%m%d%H}"
        told.append(_further(row, id_, Role.supervisor, "delivery_failed", facts, now))
    return told


def _further(
    row: Notification, id_: str, to: Role, message: str, facts: dict[str, str], now: datetime
) -> Notification:
    return Notification(
        id=id_,
        number=row.number,
        to_role=to.value,
        to_id=None,
        channel="console",
        message=message,
        rule=row.rule,
        level=None,
        facts=facts,
        created_at=now,
    )


def _goes_alone(row: Notification) -> bool:
    """Whether it never joins a digest: it leaves the house, or nobody can tell what it says."""
    return row.to_role in (Role.customer, Role.engineer) or row.message not in MESSAGES


def _gathered(rows: list[Notification]) -> list[list[Notification]]:
    """What goes out together: a burst to the same role within the house is one digest.

    Of one channel: an alarm that is to go out as a text message too must not end in a digest that
    waits for somebody to look at the console.
    """
    parcels = [[row] for row in rows if _goes_alone(row)]
    internal = sorted((row for row in rows if not _goes_alone(row)), key=_way)
    for _, group in groupby(internal, key=_way):
        burst = list(group)
        parcels += [burst] if len(burst) > DIGEST_ABOVE else [[row] for row in burst]
    return parcels


def _way(row: Notification) -> tuple[str, str]:
    return row.to_role, row.channel
