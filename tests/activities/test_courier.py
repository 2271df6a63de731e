"""The courier: each message by itself, at least once, bursts as one digest."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import col, select
from structlog.testing import capture_logs

from activities import courier as module
from activities.channels import Channels
from activities.courier import BACK_OFF, DIGEST_ABOVE, GATHERING, LEASE, Courier
from activities.providers.log import LogProvider
from activities.providers.port import Message, Provider
from activities.registry import Activities
from domain.effects import Tell
from domain.vocabulary import MessageChannel, Role
from records import outbox as outbox_of
from records.engine import reading
from records.projection import write_down
from records.tables import Notification
from runtime.logs import hide_personal
from tests.databases import written
from tests.pure.builders import START, given

SECOND = timedelta(seconds=1)


class Recorder:
    """A provider that remembers, and fails where it is told to."""

    address = None

    def __init__(self, fails: Callable[[Message], bool] = lambda message: False) -> None:
        self.sent: list[Message] = []
        self.fails = fails
        self.lock, self.has_sent = threading.Lock(), threading.Event()

    def send(self, message: Message) -> None:
        if self.fails(message):
            raise ConnectionError("the provider quotes 13812345678")
        with self.lock:
            self.sent.append(message)
        self.has_sent.set()

    def check(self) -> None:
        pass

    @property
    def names(self) -> list[str]:
        return sorted(message.name for message in self.sent)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> Any:
        return self.now


def courier_of(engine: Engine, provider: Provider, **more: Any) -> Courier:
    """A courier that sends everything through one provider."""
    return Courier(engine, Channels.through(provider), **more)


_requests = count(1)


def queue(engine: Engine, *tells: tuple[Role, str], each: int = 1) -> str:
    """Messages of one request in the outbox."""
    story = given(number=f"CR20240520-{next(_requests):03d}")
    task = written(story)
    task.messages = [
        Tell(seq=seq, at=START, to=to, message=message, who="E1" if to is Role.engineer else None)
        for seq, (to, message) in enumerate(tells * each, 1)
    ]
    write_down(engine, task)
    return story.request.number


def outbox(engine: Engine) -> list[Notification]:
    with reading(engine) as session:
        return list(session.exec(select(Notification).order_by(col(Notification.id))))


async def test_everyone_is_told_once(engine: Engine) -> None:
    number = queue(
        engine,
        (Role.customer, "request_received"),
        (Role.engineer, "work_offered"),
        (Role.supervisor, "breached"),
    )
    gateway, clock = Recorder(), Clock()
    courier = courier_of(engine, gateway, now=clock)
    await courier.deliver_due()
    await courier.deliver_due()
    assert gateway.names == ["breached", "request_received", "work_offered"]
    assert {(m.to_role, m.to_id, m.channel) for m in gateway.sent} == {
        ("customer", None, "sms"),
        ("engineer", "E1", "app_push"),
        ("supervisor", None, "console"),
    }
    assert all(number in m.text.body and m.numbers == (number,) for m in gateway.sent)
    assert [(row.state, row.attempts, row.sent_at, row.digest) for row in outbox(engine)] == [
        ("sent", 1, START, None)
    ] * 3


async def test_two_couriers_do_not_send_the_same_message(engine: Engine) -> None:
    for _ in range(4):
        queue(engine, (Role.customer, "request_received"), each=5)
    gateway = Recorder()
    couriers = [courier_of(engine, gateway) for _ in range(2)]
    await asyncio.gather(*(courier.deliver_due() for courier in couriers))
    ids = [message.id for message in gateway.sent]
    assert len(ids) == len(set(ids)) == 20


async def test_a_burst_within_the_house_is_one_digest(engine: Engine) -> None:
    queue(engine, (Role.supervisor, "breached"), (Role.customer, "breached_customer"), each=4)
    queue(engine, (Role.supervisor, "due_soon"), (Role.manager, "breached"), each=2)
    gateway = Recorder()
    await courier_of(engine, gateway).deliver_due()
    assert gateway.names == ["breached"] * 2 + ["breached_customer"] * 4 + ["digest"]
    digest = next(m for m in gateway.sent if m.name == "digest")
    assert digest.to_role == "supervisor"
    assert len(digest.numbers) == 2
    assert digest.text.body.startswith("共 6 条提醒")
    rows = [row for row in outbox(engine) if row.to_role == "supervisor"]
    assert {(row.state, row.digest) for row in rows} == {("sent", digest.id)}


async def test_a_burst_that_comes_one_by_one_is_a_message_and_a_digest(engine: Engine) -> None:
    gateway, clock = Recorder(), Clock()
    courier = courier_of(engine, gateway, now=clock)
    for _ in range(DIGEST_ABOVE + 2):
        queue(engine, (Role.supervisor, "breached"), (Role.customer, "breached_customer"))
        await courier.deliver_due()
        clock.now += SECOND
    assert gateway.names == ["breached"] + ["breached_customer"] * (DIGEST_ABOVE + 2)
    clock.now = START + GATHERING
    await courier.deliver_due()
    assert gateway.names[-1] == "digest"
    assert len(gateway.sent[-1].numbers) == DIGEST_ABOVE + 1
    clock.now += GATHERING
    queue(engine, (Role.supervisor, "breached"))
    await courier.deliver_due()
    assert gateway.sent[-1].name == "breached"  # After quiet it is told at once again.


async def test_a_digest_never_swallows_what_goes_out_by_another_channel(engine: Engine) -> None:
    story = given(number=f"CR20240520-{next(_requests):03d}")
    task = written(story)
    quiet = [
        Tell(seq=seq, at=START, to=Role.manager, message="breached", level=1)
        for seq in range(1, DIGEST_ABOVE + 2)
    ]
    both = (MessageChannel.console, MessageChannel.sms)
    alarm = Tell(seq=99, at=START, to=Role.manager, message="breached", level=2, channels=both)
    task.messages = [*quiet, alarm]
    write_down(engine, task)
    gateway = Recorder()
    await courier_of(engine, gateway).deliver_due()
    assert {(m.channel, m.name) for m in gateway.sent} == {
        ("console", "digest"),
        ("sms", "breached"),
    }


async def test_five_are_not_yet_a_burst(engine: Engine) -> None:
    queue(engine, (Role.supervisor, "breached"), each=5)
    gateway = Recorder()
    await courier_of(engine, gateway).deliver_due()
    assert gateway.names == ["breached"] * 5


async def test_a_failing_message_backs_off_and_holds_up_no_other(engine: Engine) -> None:
    queue(engine, (Role.customer, "quote"), (Role.engineer, "work_offered"))
    gateway, clock = Recorder(lambda message: message.channel == "sms"), Clock()
    courier = courier_of(engine, gateway, now=clock)
    await courier.deliver_due()
    assert gateway.names == ["work_offered"]
    for attempt, rest in enumerate(BACK_OFF, 1):
        failing = outbox(engine)[0]
        assert (failing.state, failing.attempts) == ("queued", attempt)
        clock.now += rest - timedelta(milliseconds=1)
        await courier.deliver_due()
        assert outbox(engine)[0].attempts == attempt
        clock.now += timedelta(milliseconds=1)
        await courier.deliver_due()
    assert (outbox(engine)[0].state, outbox(engine)[0].attempts) == ("failed", len(BACK_OFF) + 1)
    clock.now += timedelta(days=1)
    await courier.deliver_due()
    assert outbox(engine)[0].attempts == len(BACK_OFF) + 1


async def test_a_gateway_that_recovers_is_used_again(engine: Engine) -> None:
    queue(engine, (Role.customer, "quote"))
    gateway, clock = Recorder(lambda message: True), Clock()
    courier = courier_of(engine, gateway, now=clock)
    await courier.deliver_due()
    gateway.fails = lambda message: False
    clock.now += BACK_OFF[0]
    await courier.deliver_due()
    assert [(row.state, row.attempts) for row in outbox(engine)] == [("sent", 2)]


async def test_a_message_of_an_unknown_name_holds_up_no_other(engine: Engine) -> None:
    queue(engine, (Role.customer, "unheard_of"), (Role.customer, "quote"))
    gateway = Recorder()
    await courier_of(engine, gateway).deliver_due()
    assert gateway.names == ["quote"]


async def test_what_a_dead_courier_had_in_hand_goes_out_after_its_lease(engine: Engine) -> None:
    queue(engine, (Role.customer, "quote"))
    clock = Clock()
    outbox_of.claim(engine, [("customer", "sms")], clock(), clock() + LEASE, 10)
    gateway = Recorder()
    another = courier_of(engine, gateway, now=clock)
    clock.now += LEASE - SECOND
    await another.deliver_due()
    assert gateway.sent == []
    clock.now += SECOND
    await another.deliver_due()
    assert gateway.names == ["quote"]


async def test_a_hanging_gateway_holds_up_no_other(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEND_SECONDS", 0.2)
    queue(engine, (Role.customer, "quote"), (Role.engineer, "work_offered"))
    let_go = threading.Event()

    def hangs(message: Message) -> bool:
        return message.channel == "sms" and let_go.wait(10)

    gateway = Recorder(hangs)
    await courier_of(engine, gateway).deliver_due()
    let_go.set()
    assert gateway.names == ["work_offered"]
    assert [row.state for row in outbox(engine)] == ["queued", "sent"]


async def test_writing_down_wakes_the_courier(engine: Engine) -> None:
    gateway = Recorder()
    courier = courier_of(engine, gateway)
    activities = Activities(engine, wake_courier=courier.wake)
    delivering = asyncio.create_task(courier.run())
    await asyncio.sleep(0.3)  # it has looked once, and rests now
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.to_thread(activities.write_down, written(given()))
    assert await asyncio.to_thread(gateway.has_sent.wait, 5)
    took = loop.time() - began
    delivering.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await delivering
    assert gateway.names == ["request_received"]
    assert took < 1.5
    courier.wake()  # nobody listens any more; nothing breaks
    assert [row.state for row in outbox(engine)] == ["sent"]


async def test_the_log_has_a_line_for_each_message_and_no_personal_data(engine: Engine) -> None:
    number = queue(engine, (Role.customer, "request_received"))
    with capture_logs() as lines:
        await courier_of(engine, LogProvider()).deliver_due()
    assert [(line["event"], line["message"], line["to"]) for line in lines] == [
        ("message_sent", "request_received", "customer")
    ]
    hidden = hide_personal(None, "info", dict(lines[0]))
    assert number in hidden["said"]


async def test_a_failure_is_logged_without_its_words(engine: Engine) -> None:
    queue(engine, (Role.customer, "request_received"))
    with capture_logs() as lines:
        await courier_of(engine, Recorder(lambda message: True)).deliver_due()
    assert [line["event"] for line in lines] == ["message_failed"]
    assert "13812345678" not in str(lines)


async def test_a_message_that_nobody_knows_spoils_no_digest(engine: Engine) -> None:
    queue(engine, (Role.supervisor, "breached"), each=6)
    queue(engine, (Role.supervisor, "unheard_of"))
    gateway = Recorder()
    await courier_of(engine, gateway).deliver_due()
    assert gateway.names == ["digest"]
    assert len(gateway.sent[0].numbers) == 1
