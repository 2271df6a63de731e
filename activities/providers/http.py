"""A gateway for text messages or push, spoken to by signed HTTP.

The call is signed as Standard Webhooks describes it (headers `webhook-id`, `webhook-timestamp`,
`webhook-signature`: HMAC-SHA256 over `id.timestamp.body`), so that a gateway can check it with a
ready-made library.
"""

import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from standardwebhooks import Webhook

from activities.providers.port import Address, Message, NotSent

LONGEST_ANSWER = 64_000
LONGEST_WAIT = timedelta(hours=6)
_OURS_TO_MEND = (401, 403)
"""Statuses that say something of our credentials, not of the message."""
_TRY_AGAIN = (408, 429)


class HttpProvider:
    """Posts `{id, to, text, template, language}` to a URL, once for each recipient.

    Args:
        secret: `whsec_` and base64, as Standard Webhooks has it.
        id_path: where the answer names the message, such as `data.message_id`.
        proxy: an HTTP proxy on the way out; the environment's own is not used.
        timeout: for connecting and for each part of the answer.
    """

    def __init__(
        self,
        *,
        url: str,
        secret: str,
        address: Address,
        id_path: str | None = None,
        headers: dict[str, str] | None = None,
        proxy: str | None = None,
        timeout: timedelta,
    ) -> None:
        self.address: Address = address
        self._url, self._id_path = url, id_path.split(".") if id_path else None
        self._signer = Webhook(secret)
        self._client = httpx.Client(
            headers=headers, proxy=proxy, timeout=timeout.total_seconds(), trust_env=False
        )

    def send(self, message: Message) -> str | None:
        """Post it to every recipient; sent again, the gateway can drop by id what it has."""
        ids = [self._post(message, place, to) for place, to in enumerate(message.to, 1)]
        return ids[0]

    def check(self) -> None:
        """Ask for the options: whatever it answers, it answers."""
        with _told_apart():
            self._client.options(self._url)

    def _post(self, message: Message, place: int, to: str) -> str | None:
        # Several recipients get a message each, so each has an id of its own.
        id_ = message.id if len(message.to) == 1 else f"{message.id}#{place}"
        content = {
            "id": id_,
            "to": to,
            "text": message.text.body,
            "template": message.name,
            "language": message.language,
        }
        body = json.dumps(content, ensure_ascii=False)
        moment = datetime.now(UTC)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": id_,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": self._signer.sign(id_, moment, body),
        }
        with (
            _told_apart(),
            self._client.stream("POST", self._url, content=body.encode(), headers=headers) as reply,
        ):
            _judge(reply)
            return self._id_in(_start_of(reply), message.to) if self._id_path else None

    def _id_in(self, answer: bytes, addresses: tuple[str, ...]) -> str | None:
        """The gateway's id, unless it is none: what may hold an address is not kept."""
        try:
            found: Any = json.loads(answer)
            for step in self._id_path or ():
                found = found[int(step)] if isinstance(found, list) else found[step]
        except (ValueError, LookupError, TypeError):
            return None
        told = str(found) if isinstance(found, str | int) else ""
        plain = told.isascii() and told.isprintable() and 0 < len(told) <= 100
        return told if plain and not any(_same(told, each) for each in addresses) else None


def _same(told: str, address: str) -> bool:
    """Whether an id quotes an address, in whatever spelling."""
    letters, wanted = ("".join(c for c in text.lower() if c.isalnum()) for text in (told, address))
    return wanted in letters


def _judge(reply: httpx.Response) -> None:
    """Raise what the status says."""
    status = reply.status_code
    if reply.is_success:
        return
    for_good = 400 <= status < 500 and status not in (*_TRY_AGAIN, *_OURS_TO_MEND)
    retry_after = _retry_after(reply.headers.get("Retry-After"))
    raise NotSent(f"http_{status}", for_good=for_good, down=not for_good, retry_after=retry_after)


def _retry_after(given: str | None) -> timedelta | None:
    """Seconds, or a date (RFC 9110, section 10.2.3), within reason."""
    try:
        if given is None:
            return None
        if given.isdigit():
            wait = timedelta(seconds=min(int(given), LONGEST_WAIT.total_seconds()))
        else:
            wait = parsedate_to_datetime(given) - datetime.now(UTC)
    except (ValueError, TypeError):
        return None
    return min(max(wait, timedelta(0)), LONGEST_WAIT)


def _start_of(reply: httpx.Response) -> bytes:
    """The answer, as far as anyone could need it."""
    answer = b""
    for part in reply.iter_bytes():
        answer += part
        if len(answer) > LONGEST_ANSWER:
            break
    return answer


class _told_apart:  # noqa: N801 - reads as what it does
    """What httpx raises, as ours."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case httpx.TimeoutException():
                raise NotSent("timeout", down=True) from None
            case httpx.ConnectError():
                raise NotSent("connect", down=True) from None
            case httpx.HTTPError():
                raise NotSent("disconnected", down=True) from None
