"""Sending a webhook: only where it may go, to the very address that was judged."""

import asyncio
import re
import ssl
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from sqlalchemy import Engine
from standardwebhooks.webhooks import WebhookVerificationError

from activities import webhooks as module
from activities.dispatcher import Dispatcher
from activities.registry import Activities
from activities.targets import BadTarget, Targets
from activities.webhooks import Sender
from domain.addresses import Address, Allowance
from domain.deliveries import FIRST_PAUSE, LONGEST_PAUSE, Stream, pause
from records.deliveries import Parcel
from records.projection import write_down
from records.tables import WebhookDelivery
from records.webhooks import change, subscribe
from tests.databases import written
from tests.pure.builders import given
from tests.receiver import Call, Receiver, hangs, listening, says

NOW = datetime(2026, 5, 20, 1, 0, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OUTER, INNER = "93.184.216.34", "127.0.0.1"


class Names:
    """A name service that gives its answers one after another, the last for ever."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def __call__(self, host: str, port: int) -> list[Address]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [ip_address(each) for each in answer.split()]


def parcel(url: str) -> Parcel:
    row = WebhookDelivery(
        webhook="wh_1",
        number="CR20240520-001",
        seq=7,
        type="aftersales.request.closed",
        at=NOW,
        data={"stage": "closed"},
        created_at=NOW,
        queued_at=NOW,
    )
    return Parcel(url=url, secrets=[SECRET], row=row)


async def refused(url: str, *names: str, allow: str = "") -> str | None:
    """Why nothing is sent there; None: it may be."""
    targets = Targets(Allowance.read(allow), Names(*(names or (OUTER,))))
    try:
        await targets.judge(url)
    except BadTarget as bad:
        return bad.code
    return None


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/x",
        "https://hooks.example:8443/x?token=1",
        f"https://{OUTER}/",
        "https://钩子.example/x",
        "https://[2606:4700::1111]/",
    ],
)
async def test_an_ordinary_address_is_fine(url: str) -> None:
    assert await refused(url) is None


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://hooks.example/", "scheme"),
        ("ftp://hooks.example/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("hooks.example/x", "scheme"),
        ("https:///x", "host"),
        ("https://a:b@hooks.example/", "userinfo"),
        ("https://@hooks.example/", "userinfo"),
        ("https://hooks.example/#x", "fragment"),
        ("https://hooks.example:22/", "port"),
        ("https://hooks.example:0/", "port"),
        ("https://hooks.example:99999/", "port"),
        ("https://hooks.example\\@evil/", "not_a_url"),
        ("https://hooks.example/ x", "not_a_url"),
        ("https://hooks.example/\r\nx: y", "not_a_url"),
        ("https://hooks.example/" + "x" * 2000, "not_a_url"),
        ("https://[fe80::1%25eth0]/", "host"),
        # Loopback, in every spelling that some resolver takes.
        ("https://127.0.0.1/", "inside"),
        ("https://2130706433/", "host"),
        ("https://0x7f000001/", "host"),
        ("https://0x7f.1/", "host"),
        ("https://017700000001/", "host"),
        ("https://0177.0.0.1/", "not_a_url"),
        ("https://127.1/", "host"),
        ("https://127.0.0.1./", "host"),
        ("https://[::1]/", "inside"),
        ("https://[::ffff:127.0.0.1]/", "inside"),
        ("https://[::ffff:7f00:1]/", "inside"),
        ("https://[64:ff9b::7f00:1]/", "inside"),
        ("https://１２７.0.0.1/", "not_a_url"),
        ("https://169.254.169.254/latest/meta-data", "inside"),
    ],
)
async def test_what_is_no_place_for_a_webhook_is_refused(url: str, code: str) -> None:
    assert await refused(url) == code


async def test_a_name_is_judged_by_every_address_that_it_has() -> None:
    assert await refused("https://hooks.example/", f"{OUTER} {INNER}") == "inside"
    assert await refused("https://hooks.example/", f"{INNER} {OUTER}") == "inside"
    assert await refused("https://hooks.example/", f"{OUTER} 2606:4700::1111") is None
    assert await refused("https://hooks.example/", "::ffff:10.0.0.1") == "inside"


async def test_what_is_allowed_may_lie_inside_and_speak_plain_http() -> None:
    url = "http://erp.internal:81/"
    assert await refused(url, "10.1.2.3", allow="erp.internal") is None
    assert await refused(url, "10.1.2.3", allow="10.1.0.0/16") is None
    assert await refused(url, f"10.1.2.3 {OUTER}", allow="10.1.0.0/16") == "scheme"
    assert await refused(url, "10.2.2.3", allow="10.1.0.0/16") == "scheme"
    assert await refused("https://erp.internal/", "10.2.2.3", allow="10.1.0.0/16") == "inside"


async def test_the_operating_systems_own_spellings_are_judged_by_what_they_mean() -> None:
    targets = Targets(Allowance())
    with pytest.raises(BadTarget, match="inside"):
        await targets.judge("https://localhost/")
    with pytest.raises(BadTarget, match="unknown_host"):
        await targets.judge("https://x.invalid/")


async def test_a_name_that_moves_inside_after_it_was_judged_gets_nothing() -> None:
    async with listening() as receiver:
        url = f"https://hooks.example:{receiver.port}/"
        targets = Targets(Allowance(), Names(OUTER, INNER))
        await targets.judge(url)  # when it subscribed
        sender = Sender(targets)
        answer = await sender.send(parcel(url), datetime.now(UTC))
        await sender.close()
    assert answer.error == "target_inside"
    assert receiver.calls == []


async def test_the_connection_goes_to_the_judged_address_under_the_hosts_name() -> None:
    async with listening() as receiver:
        # No name service but ours knows it, and ours is asked once.
        names = Names(INNER, "10.255.255.1")
        sender = Sender(Targets(Allowance.read("hooks.example"), names))
        url = f"http://hooks.example:{receiver.port}/x?token=1"
        answer = await sender.send(parcel(url), datetime.now(UTC))
        await sender.close()
    assert (answer.error, answer.status) == (None, 204)
    (call,) = receiver.calls
    assert call.headers["host"] == f"hooks.example:{receiver.port}"
    assert call.target == "/x?token=1"
    assert call.headers["user-agent"].startswith("Aftersales")
    call.signed_with(SECRET)


async def test_an_address_that_does_not_answer_is_followed_by_the_next() -> None:
    async with listening() as receiver:
        targets = Targets(Allowance.read("hooks.example"), Names(f"127.0.0.9 {INNER}"))
        sender = Sender(targets)
        url = f"http://hooks.example:{receiver.port}/"
        assert (await sender.send(parcel(url), datetime.now(UTC))).error is None
        await sender.close()


async def test_a_receiver_that_never_answers_is_left_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ATTEMPT_SECONDS", 0.3)
    async with listening(Receiver(always=hangs)) as receiver:
        sender = Sender(Targets(Allowance.read(INNER)))
        assert (await sender.send(parcel(receiver.url), datetime.now(UTC))).error == "timeout"
        await sender.close()


async def test_a_status_counts_however_slowly_its_text_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def drips(writer: asyncio.StreamWriter, call: Call) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nda")
        await hangs(writer, call)

    monkeypatch.setattr(module, "READ_SECONDS", 0.2)
    async with listening(Receiver(always=drips)) as receiver:
        sender = Sender(Targets(Allowance.read(INNER)))
        answer = await sender.send(parcel(receiver.url), datetime.now(UTC))
        await sender.close()
    assert (answer.error, answer.status, answer.text) == (None, 200, "da")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("999999", 3600),
        ("99999999999999999999", 3600),
        ("0", None),
        ("-1", None),
        ("soon", None),
        ("Wed, 20 May 2015 07:28:00 GMT", None),
        ("Wed, 20 May 2099 07:28:00 GMT", 3600),
    ],
)
async def test_a_receiver_may_ask_for_a_rest_within_reason(
    header: str, seconds: int | None
) -> None:
    async with listening(Receiver(always=says(503, retry_after=header))) as receiver:
        sender = Sender(Targets(Allowance.read(INNER)))
        answer = await sender.send(parcel(receiver.url), datetime.now(UTC))
        await sender.close()
    assert answer.wait == (seconds and timedelta(seconds=seconds))


@pytest.mark.parametrize("page", ["webhooks.md", "webhooks.zh-CN.md"])
async def test_the_documents_receiver_verifies_what_we_send(page: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8")
    (sample,) = re.findall(r"(?s)```python\n(.*?)```", text)
    names: dict[str, Any] = {}
    exec(sample, names)
    async with listening() as receiver:
        sender = Sender(Targets(Allowance.read(INNER)))
        await sender.send(parcel(receiver.url), datetime.now(UTC))
        await sender.close()
    (call,) = receiver.calls
    assert names["receive"](SECRET, call.headers, call.body) == call.event
    with pytest.raises(WebhookVerificationError):
        names["receive"](SECRET, call.headers, call.body.replace(b"closed", b"opened"))


async def test_writing_down_wakes_the_dispatcher(engine: Engine) -> None:
    heard: list[Stream] = []
    came = asyncio.Event()

    async def start(stream: Stream, hurried: bool) -> None:
        heard.append(stream)
        came.set()

    made, _ = subscribe(engine, owner="x", url="https://x.example", types=["*"])
    dispatcher = Dispatcher(engine, start)
    activities = Activities(engine, wake_dispatcher=dispatcher.wake)
    knocking = asyncio.create_task(dispatcher.run())
    await asyncio.sleep(0.3)  # It has looked once, and rests now.
    began = time.monotonic()
    story = given()
    await asyncio.to_thread(activities.write_down, written(story))
    await asyncio.wait_for(came.wait(), 5)
    took = time.monotonic() - began
    knocking.cancel()
    with suppress(asyncio.CancelledError):
        await knocking
    assert heard == [Stream(webhook=made.id, number=story.request.number)]
    assert took < 1.5
    dispatcher.wake()  # Nobody listens any more; nothing breaks.


async def test_a_temporal_that_is_away_delays_and_loses_nothing(engine: Engine) -> None:
    heard: list[bool] = []

    async def start(stream: Stream, hurried: bool) -> None:
        heard.append(hurried)
        if len(heard) == 1:
            raise RuntimeError("nobody answers")

    made, _ = subscribe(engine, owner="x", url="https://x.example", types=["*"])
    write_down(engine, written(given()))
    change(engine, made.id, {"url": "https://y.example"})
    dispatcher = Dispatcher(engine, start)
    for _ in range(3):
        await dispatcher.knock_for_all()
    assert heard == [True, True]  # Once in vain, once heard; and as hurried as before.


def test_pauses_grow_up_to_an_hour() -> None:
    pauses = [pause(attempts) for attempts in range(1, 100)]
    assert pauses[:3] == [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for hooks.example with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "hooks.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + made.public_bytes(Encoding.PEM))
    return file


@pytest.mark.parametrize(("host", "error"), [("hooks.example", None), ("other.example", "tls")])
async def test_the_certificate_is_the_names_not_the_addresss(
    certificate: Path, host: str, error: str | None
) -> None:
    receiver, tls = Receiver(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    told: list[Any] = []
    tls.sni_callback = lambda _, name, __: told.append(name)
    server = await asyncio.start_server(receiver, INNER, 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    trust = ssl.create_default_context(cafile=str(certificate))
    sender = Sender(Targets(Allowance.read(INNER), Names(INNER)), trust=trust)
    answer = await sender.send(parcel(f"https://{host}:{port}/"), datetime.now(UTC))
    await sender.close()
    server.close()
    assert told == [host]
    assert answer.error == error
    assert len(receiver.calls) == (0 if error else 1)
