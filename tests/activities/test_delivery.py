"""From the outbox through real providers: routes, addresses, retries, quiet hours, what is kept."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import col, select
from structlog.testing import capture_logs

from activities.channels import Channels, open_channels
from activities.courier import BACK_OFF, GATHERING, RESTS, TROUBLE_AFTER, Courier
from activities.working_days import calendar_for
from domain.policy import QuietHours
from records.engine import reading, writing
from records.intake import take_in
from records.master_data import Engineer, Station
from records.projection import write_down
from records.statements import insert_new
from records.tables import Notification, NotificationAttempt
from tests.activities.outside import Calls, Mailbox, gateway, mail_server, silence
from tests.databases import written
from tests.desk import intake
from tests.installation import free_ports
from tests.pure.builders import STANDARD, START, Story, given

ENVIRONMENT = {"SMS_SECRET": "whsec_" + base64.b64encode(b"k" * 32).decode()}
PHONE, EMAIL = "13812345678", "zhang@customer.example"
HOUR = timedelta(hours=1)
_serials = count(1)

# What these are about is outside the database; `test_courier.py` runs on both.
pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


class Clock:
    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def number(engine: Engine) -> str:
    """A request that was taken in; its own confirmation is out of the way."""
    new = intake(customer={"phone": PHONE, "email": EMAIL})
    taken = take_in(engine, new, key=None, policy=STANDARD, calendar_for=calendar_for, now=START)
    with writing(engine) as session:
        for row in session.exec(select(Notification)):
            session.delete(row)
    return taken.number


def tell(engine: Engine, number: str, message: str, **changes: Any) -> str:
    """A message in the outbox."""
    given = {
        "id": f"{number}:{1000 + next(_serials)}",
        "to_role": "customer",
        "to_id": None,
        "channel": "sms",
        "rule": None,
        "level": None,
        "facts": {},
        "created_at": START,
        **changes,
    }
    with writing(engine) as session:
        insert_new(session, Notification(number=number, message=message, **given))
    return str(given["id"])


def row(engine: Engine, id_: str) -> Notification:
    with reading(engine) as session:
        found = session.get(Notification, id_)
        assert found
        return found


def told(engine: Engine, message: str) -> list[Notification]:
    with reading(engine) as session:
        wanted = select(Notification).where(Notification.message == message)
        return list(session.exec(wanted.order_by(col(Notification.id))))


def tries(engine: Engine, id_: str) -> list[tuple[str, str, str | None]]:
    with reading(engine) as session:
        wanted = select(NotificationAttempt).where(NotificationAttempt.notification == id_)
        found = session.exec(wanted.order_by(col(NotificationAttempt.id))).all()
    assert all(each.took_ms >= 0 for each in found)
    return [(each.provider, each.outcome, each.error) for each in found]


def channels(tmp_path: Path, **parts: str) -> Channels:
    """Channels as a file describes them: `mail` and `gate`, where these are given."""
    written = []
    if "mail" in parts:
        written.append(
            f'[providers.mail]\nkind = "smtp"\nhost = "127.0.0.1"\nport = {parts["mail"]}\n'
            'security = "none"\nsender = "service@shop.example"\nhands = 2\ntimeout = "1s"\n'
        )
    if "gate" in parts:
        written.append(
            f'[providers.gate]\nkind = "http"\nurl = "{parts["gate"]}"\nid_path = "id"\n'
            'secret = "env:SMS_SECRET"\ntimeout = "1s"\n'
        )
    file = tmp_path / "channels.toml"
    file.write_text("\n".join([*written, parts.get("rest", "")]), encoding="utf-8")
    return open_channels(file, ENVIRONMENT)


async def test_each_channel_has_its_way_and_its_address(
    engine: Engine, number: str, tmp_path: Path
) -> None:
    with writing(engine) as session:
        place: dict[str, Any] = {"latitude": 31.2, "longitude": 121.5}
        session.add(Station(id="ST-1", name="一站", address="上海", phone="021-1", **place))
        session.flush()
        session.add(
            Engineer(
                id="E1", name="李", station="ST-1", phone="13700000001", qualifications=[], **place
            )
        )
    calls, box = Calls(answer={"id": "MSG-7"}), Mailbox()
    rest = (
        '[routes.any]\nsms = ["gate"]\nemail = ["mail"]\n[routes.engineer]\napp_push = ["gate"]\n'
        '[routes.supervisor]\nconsole = ["mail"]\n'
        '[people.supervisor]\nemail = ["boss@shop.example"]\n'
    )
    with gateway(calls) as url, mail_server(box) as port:
        ways = channels(tmp_path, gate=url, mail=str(port), rest=rest)
        sms = tell(engine, number, "quote", facts={"total": "530.00"})
        mail = tell(engine, number, "request_cancelled", channel="email")
        tell(engine, number, "work_offered", to_role="engineer", to_id="E1", channel="app")
        tell(engine, number, "breached", to_role="supervisor", channel="console")
        log = tell(engine, number, "breached", to_role="manager", channel="console")
        await Courier(engine, ways, now=Clock()).deliver_due()
    assert sorted(m["to"] for m in calls.messages) == ["13700000001", PHONE]
    assert sorted(e.rcpt_tos[0] for e in box.envelopes) == ["boss@shop.example", EMAIL]
    kept = row(engine, sms)
    assert (kept.state, kept.outcome, kept.provider, kept.provider_id) == (
        "sent",
        "sent",
        "gate",
        "MSG-7",
    )
    assert (kept.attempts, kept.last_error, kept.sent_at) == (1, None, START)
    assert tries(engine, sms) == [("gate", "sent", None)]
    assert (row(engine, mail).provider, row(engine, log).provider) == ("mail", "log")


async def test_the_next_provider_of_the_route_takes_over(
    engine: Engine, number: str, tmp_path: Path
) -> None:
    calls, box = Calls(503), Mailbox()
    with gateway(calls) as url, mail_server(box) as port:
        rest = '[routes.customer]\nsms = ["gate", "mail"]\n'
        ways = channels(tmp_path, gate=url, mail=str(port), rest=rest)
        id_ = tell(engine, number, "quote", facts={"total": "1.00"})
        await Courier(engine, ways, now=Clock()).deliver_due()
    assert tries(engine, id_) == [("gate", "failed", "http_503"), ("mail", "sent", None)]
    assert (row(engine, id_).state, row(engine, id_).attempts) == ("sent", 1)
    assert len(box.envelopes) == 1


async def test_a_recipient_refused_is_not_asked_for_again(
    engine: Engine, number: str, tmp_path: Path
) -> None:
    calls, box, clock = Calls(422), Mailbox(rcpt="450 later"), Clock()
    with gateway(calls) as url, mail_server(box) as port:
        rest = '[routes.customer]\nsms = ["gate", "mail"]\nemail = ["mail"]\n'
        ways = channels(tmp_path, gate=url, mail=str(port), rest=rest)
        id_ = tell(engine, number, "quote", facts={"total": "1.00"})
        courier = Courier(engine, ways, now=clock)
        await courier.deliver_due()
        assert (row(engine, id_).state, row(engine, id_).refused_by) == ("queued", ["gate"])
        clock.now += BACK_OFF[0]
        box.rcpt = "550 no such user"
        await courier.deliver_due()
    assert [each[0] for each in tries(engine, id_)] == ["gate", "mail", "mail"]
    kept = row(engine, id_)
    assert (kept.state, kept.outcome, kept.last_error, kept.attempts, kept.failed_at) == (
        "failed",
        "refused",
        "smtp_550",
        2,
        clock.now,
    )


async def test_greylisted_then_taken(engine: Engine, number: str, tmp_path: Path) -> None:
    box, clock = Mailbox(rcpt="451 greylisted"), Clock()
    with mail_server(box) as port:
        ways = channels(tmp_path, mail=str(port), rest='[routes.any]\nemail = ["mail"]\n')
        id_ = tell(engine, number, "quote", channel="email", facts={"total": "1.00"})
        courier = Courier(engine, ways, now=clock)
        await courier.deliver_due()
        box.rcpt = "250 OK"
        clock.now += BACK_OFF[0]
        await courier.deliver_due()
    assert tries(engine, id_) == [("mail", "failed", "smtp_451"), ("mail", "sent", None)]


async def test_a_provider_that_asks_for_time_gets_it(
    engine: Engine, number: str, tmp_path: Path
) -> None:
    calls, clock = Calls(429, Retry_After="120"), Clock()
    with gateway(calls) as url:
        ways = channels(tmp_path, gate=url, rest='[routes.any]\nsms = ["gate"]\n')
        id_ = tell(engine, number, "quote", facts={"total": "1.00"})
        await Courier(engine, ways, now=clock).deliver_due()
    assert row(engine, id_).not_before == START + timedelta(seconds=120)


# --- one that is down -----------------------------------------------------------------------------


@asynccontextmanager
async def delivering(courier: Courier) -> AsyncIterator[None]:
    running = asyncio.create_task(courier.run())
    try:
        yield
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def taken(calls: Calls, wanted: int) -> float:
    """How long it takes until the gateway has them all."""
    began = monotonic()
    while len(calls.bodies) < wanted:
        assert monotonic() - began < 20, f"only {len(calls.bodies)} of {wanted} arrived"
        await asyncio.sleep(0.01)
    return monotonic() - began


async def test_a_mail_server_that_hangs_does_not_slow_the_gateway(
    engine: Engine, number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.courier.TROUBLE_AFTER", 1000)  # without a rest, the worst case
    monkeypatch.setattr("activities.courier.GOODBYE_SECONDS", 0.1)
    rest = '[routes.any]\nsms = ["gate"]\nemail = ["mail"]\n'
    quote: dict[str, Any] = {"message": "quote", "facts": {"total": "1.00"}}
    now, took = datetime.now(UTC), {}
    with gateway(calls := Calls()) as url, silence() as port:
        ways = channels(tmp_path, gate=url, mail=str(port), rest=rest)
        for case, mails in (("alone", 0), ("beside", 40)):
            calls.bodies.clear()
            for _ in range(mails):
                tell(engine, number, channel="email", created_at=now - HOUR, **quote)
            for _ in range(40):
                tell(engine, number, created_at=now, **quote)
            async with delivering(Courier(engine, ways)):
                took[case] = await taken(calls, 40)
    # An attempt at a mail takes a second; forty of them keep two hands busy for twenty.
    assert took["beside"] < 2 * took["alone"] + 3, took
    assert {r.state for r in told(engine, "quote") if r.channel == "email"} == {"queued"}


async def test_a_provider_in_trouble_rests_and_no_message_is_used_up(
    engine: Engine, number: str, tmp_path: Path
) -> None:
    calls, clock = Calls(500), Clock()
    with gateway(calls) as url:
        ways = channels(tmp_path, gate=url, rest='[routes.any]\nsms = ["gate"]\n')
        ids = [tell(engine, number, "quote", facts={"total": "1.00"}) for _ in range(30)]
        courier = Courier(engine, ways, now=clock)
        await courier.deliver_due()
        asked = len(calls.bodies)
        assert TROUBLE_AFTER <= asked <= TROUBLE_AFTER + 4  # those that were in hand already
        assert sum(row(engine, id_).attempts for id_ in ids) == asked
        clock.now += RESTS[0] - timedelta(seconds=1)
        await courier.deliver_due()
        assert len(calls.bodies) == asked
        clock.now += RESTS[0]
        await courier.deliver_due()
        assert len(calls.bodies) == asked + 1  # one goes ahead to see
        calls.status = 200
        for _ in range(4):
            clock.now += RESTS[-1]
            await courier.deliver_due()
    assert {row(engine, id_).state for id_ in ids} == {"sent"}


async def fails_for_good(engine: Engine, courier: Courier, clock: Clock) -> None:
    for rest in (timedelta(0), *BACK_OFF):
        clock.now += rest
        await courier.deliver_due()


async def test_failures_are_told_once_for_each_provider_and_hour(
    engine: Engine, number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.courier.BACK_OFF", BACK_OFF[:2])
    clock = Clock()
    gone = f"http://127.0.0.1:{free_ports(1)[0]}/"
    ways = channels(tmp_path, gate=gone, rest='[routes.customer]\nsms = ["gate"]\n')
    ids = [tell(engine, number, "quote", facts={"total": "1.00"}) for _ in range(3)]
    courier = Courier(engine, ways, now=clock)
    for _ in range(8):
        await courier.deliver_due()
        clock.now += RESTS[-1]
    for id_ in ids:
        kept = row(engine, id_)
        assert (kept.state, kept.outcome, kept.last_error) == ("failed", "failed", "connect")
    (notice,) = told(engine, "delivery_failed")
    assert (notice.to_role, notice.channel, notice.state) == ("supervisor", "console", "sent")
    assert notice.facts == {"provider": "gate", "error": "connect"}


async def test_what_nobody_can_be_reached_by_fails_at_once(
    engine: Engine, number: str, tmp_path: Path
) -> None:
    rest = '[routes.supervisor]\nconsole = ["mail"]\n'
    ways = channels(tmp_path, mail="1", rest=rest)
    id_ = tell(engine, number, "breached", to_role="supervisor", channel="console")
    clock = Clock()
    courier = Courier(engine, ways, now=clock)
    await courier.deliver_due()
    clock.now += GATHERING
    await courier.deliver_due()
    assert (row(engine, id_).state, row(engine, id_).outcome) == ("failed", "unaddressed")
    # The notice of it cannot be delivered either, and that is the end of it.
    assert [notice.outcome for notice in told(engine, "delivery_failed")] == ["unaddressed"]


async def test_a_reminder_that_failed_is_told_while_there_is_time_to_call(
    engine: Engine, number: str, tmp_path: Path
) -> None:
    gone = f"http://127.0.0.1:{free_ports(1)[0]}/"
    ways = channels(tmp_path, gate=gone, rest='[routes.customer]\nsms = ["gate"]\n')
    clock, window = Clock(), {"window_start": (START + HOUR).isoformat()}
    id_ = tell(engine, number, "visit_reminder", rule="visit_reminder", facts=window)
    courier = Courier(engine, ways, now=clock)
    await fails_for_good(engine, courier, clock)
    kept = row(engine, id_)
    assert kept.state == "failed"
    assert kept.failed_at
    assert kept.failed_at < START + HOUR / 2 + HOUR / 6
    (notice,) = told(engine, "reminder_failed")
    assert (notice.id, notice.to_role, notice.state) == (f"{id_}:failed", "dispatcher", "sent")
    assert notice.facts == {"told": "customer", **window}


# --- when it is said ------------------------------------------------------------------------------


async def test_what_can_wait_rests_at_night_and_goes_out_once_in_the_morning(
    engine: Engine, number: str, tmp_path: Path
) -> None:
    night = START.replace(hour=14)  # 22:00 in Shanghai
    morning = (START + timedelta(days=1)).replace(hour=0)
    quiet = QuietHours.model_validate({"from": "21:00", "until": "08:00"})
    calls, clock = Calls(), Clock(night)
    with gateway(calls) as url:
        ways = channels(tmp_path, gate=url, rest='[routes.any]\nsms = ["gate"]\n')
        receipt = tell(engine, number, "receipt", facts={"amount": "5.00"})
        tell(engine, number, "quote", facts={"total": "1.00"})
        courier = Courier(engine, ways, quiet=quiet, now=clock)
        await courier.deliver_due()
        assert [m["template"] for m in calls.messages] == ["quote"]
        waiting = row(engine, receipt)
        assert (waiting.state, waiting.attempts, waiting.not_before) == ("queued", 0, morning)
        for moment in (morning - timedelta(seconds=1), morning, morning):
            clock.now = moment
            await courier.deliver_due()
    assert [m["template"] for m in calls.messages] == ["quote", "receipt"]


async def test_the_house_is_never_quiet(engine: Engine, number: str) -> None:
    quiet = QuietHours.model_validate({"from": "00:00", "until": "23:59"})
    ids = [tell(engine, number, "breached", to_role=role) for role in ("supervisor", "manager")]
    courier = Courier(engine, open_channels(None, {}), quiet=quiet, now=Clock())
    await courier.deliver_due()
    assert {row(engine, id_).state for id_ in ids} == {"sent"}


def a_story(**changes: Any) -> Story:
    return given(number=f"CR20240520-{500 + next(_serials)}", **changes)


@pytest.mark.parametrize(
    ("story", "message", "obsolete"),
    [
        (a_story().walked("signed"), "survey_sms", False),
        (a_story().walked("surveyed"), "survey_sms", True),
        (a_story().walked("offered"), "work_offered", False),
        (a_story().walked("accepted"), "work_offered", True),
        (a_story().walked("diagnosed").did("quoted"), "quote", False),
        (a_story().walked("diagnosed").did("quoted").did("quote_declined"), "quote", True),
        (a_story().walked("completed"), "please_sign", False),
        (a_story().walked("signed"), "please_sign", True),
        (a_story().walked("appointed"), "visit_reminder", False),
        (a_story().walked("appointed").did("rescheduled"), "visit_reminder", True),
        (a_story().walked("appointed").did("cancelled"), "visit_reminder", True),
    ],
)
async def test_what_was_overtaken_is_dropped(
    story: Story, message: str, *, obsolete: bool, engine: Engine
) -> None:
    number = story.request.number
    task = written(story)
    task.messages = []
    write_down(engine, task)
    window = {"window_start": (START + 3 * HOUR).isoformat()}
    id_ = tell(engine, number, message, to_id="E1", facts=window)
    await Courier(engine, open_channels(None, {}), now=Clock()).deliver_due()
    kept = row(engine, id_)
    expected = ("dropped", "obsolete", 0) if obsolete else ("sent", "sent", 1)
    assert (kept.state, kept.outcome, kept.attempts) == expected


async def test_a_reminder_of_a_visit_that_has_begun_is_not_sent(
    engine: Engine, number: str
) -> None:
    id_ = tell(engine, number, "visit_reminder", facts={"window_start": START.isoformat()})
    await Courier(engine, open_channels(None, {}), now=Clock()).deliver_due()
    assert row(engine, id_).outcome == "obsolete"


# --- what is said, and what is kept ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("late", "expected"), [(False, "09:10 前与您联系"), (True, "尽快与您联系")]
)
async def test_the_confirmation_says_when_and_where_to_look(
    engine: Engine, number: str, tmp_path: Path, *, late: bool, expected: str
) -> None:
    with gateway(calls := Calls()) as url:
        ways = channels(tmp_path, gate=url, rest='[routes.any]\nsms = ["gate"]\n')
        tell(engine, number, "request_received", facts={"number": number})
        clock = Clock(START + HOUR if late else START)
        link = "https://service.example/t/"
        await Courier(engine, ways, link=lambda n: link + n, now=clock).deliver_due()
    (sent,) = calls.messages
    for part in (number, expected, link + number):
        assert part in sent["text"]


async def test_neither_outbox_nor_log_ever_holds_an_address(
    engine: Engine, number: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls, box, clock = Calls(422, answer={"id": PHONE}), Mailbox(rcpt=f"550 <{EMAIL}>"), Clock()
    with (
        gateway(calls) as url,
        mail_server(box) as port,
        capture_logs() as lines,
        caplog.at_level("DEBUG", "httpx"),
    ):
        rest = '[routes.any]\nsms = ["gate", "mail"]\nconsole = ["log"]\n'
        ways = channels(tmp_path, gate=url, mail=str(port), rest=rest)
        courier = Courier(engine, ways, link=lambda n: "https://secret.example/t", now=clock)
        tell(engine, number, "request_received")
        await courier.deliver_due()
        calls.status, box.rcpt = 200, "250 OK"
        tell(engine, number, "request_received")
        await courier.deliver_due()
    assert calls.messages
    with reading(engine) as session:
        kept = [r.model_dump(mode="json") for r in session.exec(select(Notification))]
        kept += [r.model_dump(mode="json") for r in session.exec(select(NotificationAttempt))]
    told_everywhere = json.dumps([kept, lines], default=str) + caplog.text
    for personal in (PHONE, EMAIL, "张三", "secret.example"):
        assert personal not in told_everywhere
    assert any(line["event"] == "message_failed" for line in lines)
