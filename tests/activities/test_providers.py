"""The providers against real servers on loopback: what is taken, refused, late or silent."""

import base64
import logging
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from activities.messages import Templates
from activities.providers.http import HttpProvider
from activities.providers.port import Message, NotSent, Provider
from activities.providers.push import AppriseMissing, AppriseProvider
from activities.providers.smtp import SmtpProvider
from tests.activities.outside import (
    PASSWORD,
    Calls,
    Mailbox,
    gateway,
    mail_server,
    self_signed,
    silence,
)
from tests.installation import free_ports

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
NUMBER = "CR20240520-001"
EMAIL, PHONE = "zhang@customer.example", "13812345678"


def message(*to: str, **changes: Any) -> Message:
    text = Templates().render("quote", NUMBER, {"total": "530.00"})
    given = {"id": f"{NUMBER}:7", "name": "quote", "channel": "sms", **changes}
    return Message(
        numbers=(NUMBER,),
        to_role="customer",
        to_id=None,
        language="zh-CN",
        text=text,
        to=to,
        **given,
    )


def smtp(port: int, **changes: Any) -> SmtpProvider:
    given: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "sender": "售后服务 <service@shop.example>",
        "timeout": timedelta(seconds=5),
        **changes,
    }
    return SmtpProvider(**given)


def http(url: str, **changes: Any) -> HttpProvider:
    given: dict[str, Any] = {
        "url": url,
        "secret": SECRET,
        "address": "phone",
        "timeout": timedelta(seconds=5),
        **changes,
    }
    return HttpProvider(**given)


def refusal(provider: Provider, *to: str) -> NotSent:
    with pytest.raises(NotSent) as refused:
        provider.send(message(*to))
    for address in to:
        assert address not in str(refused.value)
    assert refused.value.__cause__ is None
    return refused.value


# --- e-mail ---------------------------------------------------------------------------------------


def test_a_mail_arrives_in_chinese_as_text_and_html() -> None:
    box = Mailbox()
    with mail_server(box) as port:
        smtp(port, envelope_from="bounces@shop.example").send(message(EMAIL))
        smtp(port).send(message(EMAIL))
    (mail, again), envelope = box.mails, box.envelopes[0]
    assert mail["Subject"] == f"请确认报价：{NUMBER}"
    assert mail["From"].addresses[0].display_name == "售后服务"
    assert mail["To"] == EMAIL
    assert (envelope.mail_from, envelope.rcpt_tos) == ("bounces@shop.example", [EMAIL])
    assert box.envelopes[1].mail_from == "service@shop.example"
    assert mail["Message-ID"] == again["Message-ID"] == f"<{NUMBER}.7@shop.example>"
    plain, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert plain
    assert html
    assert plain.get_content().strip() == message().text.body
    assert "530.00 元" in html.get_content()
    assert html.get_content_charset() == "utf-8"


@pytest.mark.parametrize(
    ("box", "reason", "for_good"),
    [
        (Mailbox(rcpt="550 5.1.1 zhang@customer.example unknown"), "smtp_550", True),
        (Mailbox(rcpt="451 4.7.1 greylisted, come back later"), "smtp_451", False),
        (Mailbox(data="554 5.7.1 this looks like spam"), "smtp_554", True),
        (Mailbox(data="452 4.3.1 no room"), "smtp_452", False),
    ],
)
def test_a_mail_refused_is_tried_again_only_if_that_may_help(
    box: Mailbox, reason: str, for_good: bool
) -> None:
    with mail_server(box) as port:
        refused = refusal(smtp(port), EMAIL)
    assert (refused.reason, refused.for_good, refused.down) == (reason, for_good, False)


def test_a_mail_is_encrypted_and_the_server_known(tmp_path: Path) -> None:
    certificate, box = self_signed(tmp_path), Mailbox()
    login = {"username": "aftersales", "password": PASSWORD, "ca_file": certificate}
    with mail_server(box, certificate=certificate, auth=True) as port:
        provider = smtp(port, security="starttls", **login)
        provider.check()
        provider.send(message(EMAIL))
        wrong = smtp(port, security="starttls", **{**login, "password": "wrong"})
        refused = refusal(wrong, EMAIL)
        assert (refused.reason, refused.for_good, refused.down) == ("authentication", False, True)
        stranger = refusal(smtp(port, security="starttls"), EMAIL)
        assert (stranger.reason, stranger.down) == ("tls", True)
    with mail_server(box, certificate=certificate, tls=True) as port:
        smtp(port, security="tls", ca_file=certificate).send(message(EMAIL))
    with mail_server(box) as port:
        assert refusal(smtp(port, security="starttls"), EMAIL).reason == "not_supported"
    assert box.encrypted == [True, True]


def test_a_mail_server_that_hangs_or_is_gone_is_given_up() -> None:
    with silence() as port:
        began = datetime.now(UTC)
        hanging = refusal(smtp(port, timeout=timedelta(seconds=0.3)), EMAIL)
        assert datetime.now(UTC) - began < timedelta(seconds=2)
    assert (hanging.reason, hanging.for_good, hanging.down) == ("timeout", False, True)
    gone = refusal(smtp(int(free_ports(1)[0])), EMAIL)
    assert (gone.reason, gone.for_good, gone.down) == ("connect", False, True)
    with pytest.raises(NotSent, match="connect"):
        smtp(int(free_ports(1)[0])).check()


# --- signed HTTP ----------------------------------------------------------------------------------


def test_a_text_message_is_posted_and_signed() -> None:
    calls = Calls(answer={"data": [{"id": "MSG-1"}]})
    with gateway(calls) as url:
        assert http(url, id_path="data.0.id").send(message(PHONE)) == "MSG-1"
    assert calls.messages == [
        {
            "id": f"{NUMBER}:7",
            "to": PHONE,
            "text": message().text.body,
            "template": "quote",
            "language": "zh-CN",
        }
    ]
    headers = calls.sent_headers[0]
    assert headers["webhook-id"] == f"{NUMBER}:7"
    Webhook(SECRET).verify(calls.bodies[0], headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(calls.bodies[0] + b" ", headers)


def test_several_recipients_get_a_message_each() -> None:
    calls = Calls()
    with gateway(calls) as url:
        http(url).send(message(PHONE, "13987654321"))
    assert [(m["id"], m["to"]) for m in calls.messages] == [
        (f"{NUMBER}:7#1", PHONE),
        (f"{NUMBER}:7#2", "13987654321"),
    ]


@pytest.mark.parametrize(
    ("status", "for_good"),
    [
        (400, True),
        (404, True),
        (422, True),
        (401, False),
        (403, False),
        (408, False),
        (429, False),
        (500, False),
        (503, False),
        (302, False),
    ],
)
def test_the_gateways_status_decides_about_another_try(status: int, for_good: bool) -> None:
    with gateway(Calls(status, answer=f"bad number {PHONE}", Location="http://x/")) as url:
        refused = refusal(http(url), PHONE)
    assert (refused.reason, refused.for_good) == (f"http_{status}", for_good)
    assert refused.down is not for_good


def test_the_gateway_may_say_when_to_come_back() -> None:
    with gateway(Calls(429, Retry_After="90")) as url:
        assert refusal(http(url), PHONE).retry_after == timedelta(seconds=90)
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60))
    for given, least, most in ((soon, 50, 61), ("9" * 30, 21600, 21600)):
        with gateway(Calls(503, Retry_After=given)) as url:
            wait = refusal(http(url), PHONE).retry_after
        assert wait
        assert least <= wait.total_seconds() <= most
    with gateway(Calls(503, Retry_After="soon")) as url:
        assert refusal(http(url), PHONE).retry_after is None


@pytest.mark.parametrize(
    "answer", [None, [], {"data": {}}, {"data": {"id": None}}, {"data": {"id": "x" * 101}}]
)
def test_an_answer_without_an_id_is_an_answer_all_the_same(answer: Any) -> None:
    with gateway(Calls(answer=answer)) as url:
        assert http(url, id_path="data.id").send(message(PHONE)) is None


@pytest.mark.parametrize("told", ["13812345678-1", "+86 138 1234 5678", "李-1"])
def test_an_id_that_may_quote_an_address_is_not_kept(told: str) -> None:
    with gateway(Calls(answer={"id": told})) as url:
        assert http(url, id_path="id").send(message(PHONE)) is None


def test_a_gateway_that_hangs_or_is_gone_is_given_up() -> None:
    with silence() as port:
        hanging = http(f"http://127.0.0.1:{port}/", timeout=timedelta(seconds=0.3))
        assert (refusal(hanging, PHONE).reason, refusal(hanging, PHONE).down) == ("timeout", True)
    gone = http(f"http://127.0.0.1:{free_ports(1)[0]}/")
    assert refusal(gone, PHONE).reason == "connect"
    with pytest.raises(NotSent, match="connect"):
        gone.check()
    with gateway(Calls()) as url:
        http(url).check()  # it answers 501, which is an answer


# --- Apprise --------------------------------------------------------------------------------------


def test_apprise_notifies_whom_its_url_names(caplog: pytest.LogCaptureFixture) -> None:
    calls = Calls()
    with gateway(calls) as url, caplog.at_level(logging.DEBUG):
        place = url.removeprefix("http://")
        AppriseProvider(url=f"json://{place}?to={{to}}", address="phone").send(message(PHONE))
        everyone = AppriseProvider(url=f"json://{place}", address="phone")
        assert everyone.address is None
        everyone.send(message())
        calls.status = 500
        assert refusal(everyone).reason == "apprise"
    assert calls.messages[0]["message"] == message().text.body
    assert calls.messages[0]["title"] == message().text.subject
    assert PHONE not in caplog.text


def test_a_url_that_apprise_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="does not know"):
        AppriseProvider(url="carrier-pigeon://token", address="phone")


def test_without_apprise_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(AppriseMissing, match=r"aftersales\[apprise\]"):
        AppriseProvider(url="json://localhost", address="phone")


def test_a_message_does_not_show_whom_it_is_for() -> None:
    assert PHONE not in repr(message(PHONE))
