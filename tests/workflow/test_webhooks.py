"""Webhooks on their way: at least once, in order per request, whatever the receiver does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from activities.dispatcher import Dispatcher
from activities.targets import Targets
from activities.webhooks import Sender, Webhooks
from domain.addresses import Allowance
from domain.deliveries import Stream
from records import deliveries
from records.engine import migrate, open_engine
from records.projection import write_down
from records.tables import WebhookDelivery
from records.webhooks import subscribe
from tests.databases import RING, written
from tests.pure.builders import given
from tests.receiver import Receiver, listening
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
        self.streams: list[Stream] = []

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
        async with asyncio.timeout(patience):
            while not expected():
                await asyncio.sleep(0.05)

    async def ends(self, webhook: str, number: str) -> None:
        """Wait until the stream has nothing left, and see that its history replays."""
        await self.sees(lambda: not [r for r in self.rows(webhook, number) if r.state == "queued"])
        handle = self.client.get_workflow_handle(f"webhook/{webhook}/{number}")
        await asyncio.wait_for(handle.result(), 30)
        await replay(await handle.fetch_history())


@asynccontextmanager
async def working(house: House) -> AsyncIterator[None]:
    """The worker and the dispatcher, for as long as the block lasts."""
    sender = Sender(Targets(LOOPBACK))
    async with build_webhook_worker(house.client, Webhooks(house.engine, sender)):
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
