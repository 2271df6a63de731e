"""Webhooks on their way: at least once, in order per request, whatever the receiver does."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from standardwebhooks.webhooks import WebhookVerificationError
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from activities.dispatcher import Dispatcher
from activities.targets import Targets
from activities.webhooks import SHARE, Sender, Webhooks
from domain.addresses import Allowance
from records import deliveries
from records.engine import migrate, open_engine
from records.projection import write_down
from records.tables import Webhook, WebhookDelivery
from records.webhooks import change, rotate, subscribe, unsubscribe, webhook
from tests.databases import RING, written
from tests.pure.builders import given
from tests.receiver import Answering, Call, Receiver, hangs, listening, says, writes
from tests.workflow.replay import replay
from worker import build_webhook_worker
from workflows.knock import knock

pytestmark = pytest.mark.server

LOOPBACK = Allowance.read("127.0.0.0/8")
_serials = count(1)


class House:
    """A database, a dispatcher and a worker for webhooks, on a Temporal server."""

    def __init__(self, env: WorkflowEnvironment, engine: Engine) -> None:
        self.env, self.engine = env, engine
        self.dispatcher = Dispatcher(engine, partial(knock, env.client))

    @property
    def client(self) -> Client:
        return self.env.client

    async def subscribes(self, receiver: Receiver, **more: Any) -> tuple[str, str]:
        """The subscription's id and its secret."""
        more.setdefault("types", ["*"])
        made, secret = subscribe(self.engine, owner="integration/erp", url=receiver.url, **more)
        return made.id, secret

    async def takes_in(self, *, walks: str | None = None) -> str:
        """The number of a request whose lines were written down now."""
        serial = next(_serials)
        story = given(number=f"CR20240520-{serial:03d}")
        if walks is not None:
            story.walked(walks)
        task = written(story).model_copy(update={"at": await self.env.get_current_time()})
        await asyncio.to_thread(write_down, self.engine, task)
        self.dispatcher.wake()
        return story.request.number

    def rows(self, webhook: str, number: str | None = None) -> list[WebhookDelivery]:
        found = deliveries.deliveries(self.engine, webhook, number=number, limit=1000).items
        return sorted(found, key=lambda row: (row.number, row.seq))

    async def sees(self, expected: Callable[[], object], patience: float = 20) -> None:
        """Wait until it is as expected."""
        deadline = time.monotonic() + patience
        while not expected():
            assert time.monotonic() < deadline, "it did not come to be"
            await asyncio.sleep(0.05)

    async def ends(self, webhook: str, number: str) -> None:
        """Wait until the stream has nothing left, and see that its history replays."""
        await self.sees(lambda: not [r for r in self.rows(webhook, number) if r.state == "queued"])
        handle = self.client.get_workflow_handle(f"webhook/{webhook}/{number}")
        await asyncio.wait_for(handle.result(), 30)
        await replay(await handle.fetch_history())


@asynccontextmanager
async def working(house: House, **more: Any) -> AsyncIterator[None]:
    """The worker and the dispatcher, for as long as the block lasts."""
    sender = Sender(Targets(LOOPBACK))
    webhooks = Webhooks(house.engine, sender)
    # Without any grace the SDK's core, on a busy machine, may never say that it has stopped.
    async with build_webhook_worker(house.client, webhooks, grace=timedelta(seconds=1), **more):
        knocking = asyncio.create_task(house.dispatcher.run())
        try:
            yield
        finally:
            knocking.cancel()
            with suppress(asyncio.CancelledError):
                await knocking
    await sender.close()


@pytest.fixture
def own_engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'webhooks.db'}", RING)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
async def house(skipping: WorkflowEnvironment, own_engine: Engine) -> AsyncIterator[House]:
    """On the time-skipping server."""
    house = House(skipping, own_engine)
    async with working(house):
        yield house


async def test_events_arrive_in_order_signed_and_with_nothing_personal(house: House) -> None:
    async with listening() as receiver:
        webhook, secret = await house.subscribes(receiver)
        number = await house.takes_in(walks="signed")
        await house.ends(webhook, number)
        rows = house.rows(webhook)
        assert {row.state for row in rows} == {"delivered"}
        assert receiver.seqs == [row.seq for row in rows]
        assert len(rows) > 15
        for call in receiver.calls:
            event = call.signed_with(secret)
            assert event["subject"] == number
            assert call.headers["webhook-id"] == event["id"] == f"{number}:{int(event['sequence'])}"
            assert "application/cloudevents+json" in call.headers["content-type"]
            assert "张三" not in call.body.decode()  # the signature
        assert receiver.calls[0].event["type"] == "aftersales.request.received"


async def test_a_worker_without_a_memory_delivers_in_order(
    skipping: WorkflowEnvironment, own_engine: Engine
) -> None:
    """Each step replays the whole history."""
    house = House(skipping, own_engine)
    async with listening(Receiver(answers=[says(200), says(500)])) as receiver:
        async with working(house, max_cached_workflows=0):
            webhook, _ = await house.subscribes(receiver)
            number = await house.takes_in(walks="responded")
            await receiver.hears(2)
            await house.env.sleep(timedelta(seconds=10))
            await house.ends(webhook, number)
        seqs = [row.seq for row in house.rows(webhook)]
        assert receiver.seqs == [seqs[0], seqs[1], *seqs[1:]]


async def test_gone_for_two_days_then_everything_arrives(house: House) -> None:
    async with listening() as receiver:
        pass  # Its port is known; nobody listens there now.
    webhook, secret = await house.subscribes(receiver)
    number = await house.takes_in(walks="accepted")
    await asyncio.sleep(0.5)
    await house.env.sleep(timedelta(days=2))
    assert {row.state for row in house.rows(webhook)} == {"queued"}
    first, *others = house.rows(webhook)
    assert first.last_error == "not_connected"
    assert 45 < first.attempts < 65
    assert {row.attempts for row in others} == {0}
    async with listening(receiver):
        await house.env.sleep(timedelta(hours=2))
        await house.ends(webhook, number)
    assert receiver.seqs == [row.seq for row in house.rows(webhook)]
    for call in receiver.calls:
        call.signed_with(secret)


async def test_gone_for_four_days_is_parked_and_replayed(house: House) -> None:
    async with listening() as receiver:
        pass
    webhook, secret = await house.subscribes(receiver)
    early = await house.takes_in(walks="accepted")
    await asyncio.sleep(0.5)
    await house.env.sleep(timedelta(days=3, hours=12))
    late = await house.takes_in()
    await house.env.sleep(timedelta(hours=12))
    assert {row.state for row in house.rows(webhook, early)} == {"dead"}
    assert {row.state for row in house.rows(webhook, late)} == {"queued"}
    first, *others = house.rows(webhook, early)
    assert first.attempts > 70
    assert min(row.attempts for row in others) > 1  # Each had its last chance.
    async with listening(receiver):
        await house.env.sleep(timedelta(hours=2))
        await house.ends(webhook, late)
        assert {call.event["subject"] for call in receiver.calls} == {late}
        receiver.calls.clear()
        assert deliveries.replay(house.engine, webhook) == 1 + len(others)
        house.dispatcher.wake()
        await house.ends(webhook, early)
    assert receiver.seqs == [row.seq for row in house.rows(webhook, early)]
    assert {call.signed_with(secret)["subject"] for call in receiver.calls} == {early}


BAD = {
    "failing": (says(500, "鈍い whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "status", 500),
    "redirecting": (says(302, location="http://127.0.0.1:1/"), "redirect", 302),
    "closing early": (writes(b""), "closed_early", None),
    "half an answer": (writes(b"HTTP/1.1 500 X\r\ncontent-length: 9\r\n\r\nno"), "status", 500),
    "garbage": (writes(b"\x16\x03\x01\x00hello\r\n\r\n"), "not_http", None),
    "endless head": (writes(b"HTTP/1.1 200 X\r\nx: " + b"y" * 300_000), "not_http", None),
    "huge": (says(500, "\0" + "x" * 3_000_000), "status", 500),
    "busy": (says(429, retry_after="3"), "status", 429),
}


@pytest.mark.parametrize("how", BAD)
async def test_a_bad_answer_is_noted_and_tried_again(house: House, how: str) -> None:
    answer, error, status = BAD[how]
    async with listening(Receiver(answers=[answer])) as receiver:
        webhook, secret = await house.subscribes(receiver, types=["aftersales.request.received"])
        number = await house.takes_in()
        await receiver.hears(1)
        await house.sees(lambda: house.rows(webhook)[0].last_error)
        (row,) = house.rows(webhook)
        assert (row.state, row.attempts, row.last_error, row.last_status) == (
            "queued",
            1,
            error,
            status,
        )
        assert len(row.last_answer or "") <= 500
        assert "whsec_" not in (row.last_answer or "")
        assert row.attempted_at is not None
        assert row.next_attempt_at is not None
        rest = row.next_attempt_at - row.attempted_at
        asked = 3 if status == 429 else 5
        assert timedelta(seconds=asked) <= rest <= timedelta(seconds=6)
        await house.env.sleep(timedelta(seconds=7))
        await house.ends(webhook, number)
        ids = {call.headers["webhook-id"] for call in receiver.calls}
        assert (len(receiver.calls), len(ids)) == (2, 1)
        receiver.calls[1].signed_with(secret)
        assert house.rows(webhook)[0].last_error is None


async def test_a_success_is_a_success_however_its_answer_ends(house: House) -> None:
    endless = writes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense")
    async with listening(Receiver(always=endless)) as receiver:
        webhook, _ = await house.subscribes(receiver, types=["aftersales.request.received"])
        await house.ends(webhook, await house.takes_in())
        assert len(receiver.calls) == 1


async def test_both_secrets_sign_while_they_overlap(house: House) -> None:
    async with listening() as receiver:
        webhook, old = await house.subscribes(receiver, types=["aftersales.request.received"])
        rotated = rotate(house.engine, webhook, timedelta(hours=24))
        assert rotated is not None
        await house.ends(webhook, await house.takes_in())
        assert len(receiver.calls[0].headers["webhook-signature"].split(" ")) == 2
        receiver.calls[0].signed_with(old)
        receiver.calls[0].signed_with(rotated[1])
        again = rotate(house.engine, webhook, timedelta(0))
        assert again is not None
        await house.ends(webhook, await house.takes_in())
        receiver.calls[1].signed_with(again[1])
        with pytest.raises(WebhookVerificationError):
            receiver.calls[1].signed_with(rotated[1])


async def test_a_receiver_that_is_gone_pauses_its_subscription_and_loses_nothing(
    house: House,
) -> None:
    async with listening(Receiver(always=says(410))) as receiver:
        webhook_id, _ = await house.subscribes(receiver)
        number = await house.takes_in(walks="accepted")
        await receiver.hears(1)
        await house.sees(lambda: not _found(house, webhook_id).is_active)
        assert _found(house, webhook_id).paused_because == "gone"
        later = await house.takes_in()
        await asyncio.sleep(0.3)
        assert len(receiver.calls) == 1
        assert {row.state for row in house.rows(webhook_id)} == {"queued"}
        receiver.always = says(200)
        change(house.engine, webhook_id, {"state": "active", "paused_because": None})
        house.dispatcher.wake()
        await house.ends(webhook_id, number)
        await house.ends(webhook_id, later)
        rows = house.rows(webhook_id, number)
        assert [c.event["id"] for c in receiver.calls[1:] if c.event["subject"] == number] == [
            row.id for row in rows
        ]


async def test_a_new_address_is_tried_at_once(house: House) -> None:
    async with listening() as receiver:
        pass
    webhook, _ = await house.subscribes(receiver, types=["aftersales.request.received"])
    number = await house.takes_in()
    await house.sees(lambda: house.rows(webhook)[0].last_error)
    async with listening() as other:
        change(house.engine, webhook, {"url": other.url})
        house.dispatcher.wake()
        await house.ends(webhook, number)  # No time was skipped: it did not wait for the pause.
        assert len(other.calls) == 1


def slowly(status: int) -> Answering:
    """An answer that takes a second."""

    async def answer(writer: asyncio.StreamWriter, call: Call) -> None:
        await asyncio.sleep(1)
        await says(status)(writer, call)

    return answer


async def test_hurry_waits_for_the_attempt_under_way(
    live: WorkflowEnvironment, own_engine: Engine
) -> None:
    house = House(live, own_engine)
    async with listening(Receiver(answers=[slowly(200)])) as receiver, working(house):
        webhook, _ = await house.subscribes(receiver)
        number = await house.takes_in()
        await receiver.hears(1)
        change(house.engine, webhook, {"url": receiver.url + "&moved=1"})
        house.dispatcher.wake()
        await house.ends(webhook, number)
        # Neither sent twice nor overtaken.
        assert receiver.seqs == [row.seq for row in house.rows(webhook)]
        assert "moved" in receiver.calls[1].target


async def test_hurry_while_an_attempt_fails_gives_nothing_up(
    live: WorkflowEnvironment, own_engine: Engine
) -> None:
    house = House(live, own_engine)
    async with listening(Receiver(answers=[slowly(500)])) as receiver, working(house):
        webhook, _ = await house.subscribes(receiver)
        number = await house.takes_in()
        await receiver.hears(1)
        change(house.engine, webhook, {"url": receiver.url + "&moved=1"})
        house.dispatcher.wake()
        await house.ends(webhook, number)
        rows = house.rows(webhook)
        assert {row.state for row in rows} == {"delivered"}
        assert receiver.seqs == [rows[0].seq, *(row.seq for row in rows)]
        assert "moved" in receiver.calls[1].target


async def test_a_removed_subscription_gets_nothing_more(house: House) -> None:
    async with listening() as receiver:
        pass
    webhook, _ = await house.subscribes(receiver)
    number = await house.takes_in(walks="accepted")
    await house.sees(lambda: house.rows(webhook)[0].last_error)
    assert unsubscribe(house.engine, webhook)
    async with listening(receiver):
        await house.env.sleep(timedelta(seconds=10))
        await house.ends(webhook, number)
    assert receiver.calls == []
    assert {row.state for row in house.rows(webhook)} == {"dropped"}


async def test_a_worker_that_dies_in_the_middle_loses_nothing(
    live: WorkflowEnvironment, own_engine: Engine
) -> None:
    house = House(live, own_engine)
    async with listening(Receiver(answers=[says(200), hangs])) as receiver:
        webhook, _ = await house.subscribes(receiver)
        async with working(house):
            number = await house.takes_in(walks="responded")
            await receiver.hears(2)
        assert [row.state for row in house.rows(webhook)][:2] == ["delivered", "queued"]
        async with working(house):
            await house.ends(webhook, number)
        # What was under way comes twice, and still before what follows it.
        seqs = [row.seq for row in house.rows(webhook)]
        assert receiver.seqs == [seqs[0], seqs[1], *seqs[1:]]


async def test_an_event_that_comes_while_the_stream_ends_is_not_left_behind(house: House) -> None:
    """A new line and the end of the run meet again and again."""
    async with listening() as receiver:
        webhook, _ = await house.subscribes(receiver)
        story = given(number=f"CR20240520-{next(_serials):03d}")
        for text in map(str, range(12)):
            task = written(story).model_copy(update={"at": await house.env.get_current_time()})
            await asyncio.to_thread(write_down, house.engine, task)
            house.dispatcher.wake()
            story.did("noted", text=text)
            await asyncio.sleep(0.02 * int(text))
        await house.sees(lambda: {row.state for row in house.rows(webhook)} == {"delivered"}, 5)
        assert receiver.seqs == [row.seq for row in house.rows(webhook)]


async def test_a_dead_receiver_slows_nobody_else(
    live: WorkflowEnvironment, own_engine: Engine
) -> None:
    """Twenty requests, with and without a second subscription that never answers."""
    house = House(live, own_engine)

    async def all_arrive(receiver: Receiver, webhook: str) -> float:
        began = time.monotonic()
        receiver.calls.clear()
        for _ in range(20):
            await house.takes_in()
        await receiver.hears(20)
        await house.sees(lambda: {row.state for row in house.rows(webhook)} == {"delivered"})
        return time.monotonic() - began

    hole = Receiver(always=hangs)
    async with listening() as good, listening(hole), working(house):
        webhook, _ = await house.subscribes(good, types=["aftersales.request.received"])
        alone = await all_arrive(good, webhook)
        black, _ = await house.subscribes(hole, types=["aftersales.request.received"])
        beside = await all_arrive(good, webhook)
        assert len(hole.calls) <= SHARE, "more than its share of attempts at once"
        print(f"alone {alone:.2f} s, beside a dead one {beside:.2f} s")
        assert beside < 2 * alone + 1
        unsubscribe(house.engine, black)


async def test_record(
    live: WorkflowEnvironment, own_engine: Engine, request: pytest.FixtureRequest
) -> None:
    """A stream that fails, is hurried, delivers and ends, on the plain development server."""
    house = House(live, own_engine)
    async with listening(Receiver(answers=[says(200), says(500)])) as receiver, working(house):
        webhook, _ = await house.subscribes(receiver)
        number = await house.takes_in(walks="responded")
        await house.sees(lambda: house.rows(webhook)[1].last_error)
        change(house.engine, webhook, {"url": receiver.url + "&moved=1"})
        house.dispatcher.wake()
        await house.ends(webhook, number)
        handle = house.client.get_workflow_handle(f"webhook/{webhook}/{number}")
        history = await handle.fetch_history()
    if folder := request.config.getoption("--record"):
        file = Path(__file__).parent / "histories" / folder / "webhook_stream.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(history.to_json() + "\n", encoding="utf-8")


def _found(house: House, id: str) -> Webhook:
    found = webhook(house.engine, id)
    assert found is not None
    return found
