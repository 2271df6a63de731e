"""Delivering webhooks: signed by Standard Webhooks, each attempt short, bounded and on its own.

A stream's workflow asks for one event after another. Here is one attempt, what counts as success,
and how long to rest after a failure.
"""

import asyncio
import json
import random
import re
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx
import structlog
from sqlalchemy import Engine
from standardwebhooks import Webhook as Signer
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.targets import BadTarget, Targets
from domain.addresses import Address
from domain.deliveries import (
    DELIVER,
    GIVE_UP,
    LONGEST_PAUSE,
    LOOK,
    DeliveryState,
    Due,
    Step,
    Stream,
    pause,
)
from domain.outgoing import MEDIA_TYPE, SOURCE, cloud_event
from records import deliveries
from records.deliveries import Parcel

log = structlog.get_logger()
P = ParamSpec("P")
T = TypeVar("T")

ATTEMPT_SECONDS = 10.0
CONNECT_SECONDS = 4.0
READ_SECONDS = 1.0
"""How long the text of an answer is waited for, once its status is known."""

SHARE = 8
"""How many attempts one subscription may have under way in a worker: a receiver that answers
nobody then holds up no one else's."""

BUSY = (timedelta(seconds=1), timedelta(seconds=30))
"""The first and the longest rest of a stream whose subscription has its share in use."""

MOST_READ = 4096
MOST_KEPT = 500
USER_AGENT = "Aftersales-Webhooks/1"
_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")
_NOT_TEXT = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]")


@dataclass(frozen=True)
class Answer:
    """What came of one attempt.

    Attributes:
        error: `status`, `redirect`, `gone`, `timeout`, `not_connected`, `tls`, `closed_early`,
            `not_http`, `unsealable`, or `target_` and a code of `BadTarget`; None: delivered.
        text: the beginning of the answer.
        wait: what the receiver asked us to wait.
    """

    error: str | None
    status: int | None = None
    text: str | None = None
    wait: timedelta | None = None


def _now() -> datetime:
    return datetime.now(UTC)


class Sender:
    """Sends one event to one URL, over a connection of its own.

    Args:
        source: the `source` of every event: the installation's public address.
        trust: whose certificates are believed; by default as SSL_CERT_FILE says, or the usual ones.
    """

    def __init__(
        self, targets: Targets, *, source: str = SOURCE, trust: ssl.SSLContext | None = None
    ) -> None:
        self._targets, self._source = targets, source
        # Kept connections would outlive the judgement of their address; a proxy would evade it.
        self._client = httpx.AsyncClient(
            verify=trust or httpx.create_ssl_context(),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(ATTEMPT_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def close(self) -> None:
        """Let go of what is open."""
        await self._client.aclose()

    async def send(self, parcel: Parcel, now: datetime) -> Answer:
        """Try once, for ten seconds at most; never raises for what the receiver does."""
        if not parcel.secrets:
            return Answer("unsealable")
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                target = await self._targets.judge(parcel.url)
                return await self._post(target.url, target.addresses, parcel, now)
        except BadTarget as bad:
            return Answer(f"target_{bad.code}")
        except (TimeoutError, httpx.TimeoutException):
            return Answer("timeout")
        except httpx.ConnectError as error:
            return Answer("tls" if "ssl" in str(error).lower() else "not_connected")
        except httpx.RemoteProtocolError as error:
            early = "disconnected" in str(error) or "incomplete" in str(error)
            return Answer("closed_early" if early else "not_http")
        except (httpx.NetworkError, OSError):
            return Answer("closed_early")
        except (httpx.HTTPError, httpx.StreamError, UnicodeError, ValueError):
            return Answer("not_http")

    async def _post(
        self, url: httpx.URL, addresses: list[Address], parcel: Parcel, now: datetime
    ) -> Answer:
        """To the first of the addresses that takes the connection."""
        for address in addresses[:-1]:
            try:
                return await self._post_to(address, url, parcel, now)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._post_to(addresses[-1], url, parcel, now)

    async def _post_to(
        self, address: Address, url: httpx.URL, parcel: Parcel, now: datetime
    ) -> Answer:
        """The connection goes to the address; certificate and Host are the name's."""
        body = self._body(parcel)
        request = self._client.build_request(
            "POST",
            url.copy_with(host=str(address)),
            content=body.encode(),
            headers={
                "host": url.netloc.decode("ascii"),
                "content-type": f"{MEDIA_TYPE}; charset=utf-8",
                "user-agent": USER_AGENT,
                "accept": "*/*",
                "accept-encoding": "identity",
                "connection": "close",
                **_signed(parcel, body, now),
            },
            extensions={"sni_hostname": url.raw_host.decode("ascii")},
        )
        response = await self._client.send(request, stream=True)
        try:
            # The status decides. What follows is only read to be shown.
            return _judged(response, await _beginning(response))
        finally:
            await response.aclose()

    def _body(self, parcel: Parcel) -> str:
        row = parcel.row
        event = cloud_event(
            id=row.id,
            source=self._source,
            subject=row.number,
            seq=row.seq,
            type=row.type,
            time=row.at,
            data=row.data,
        )
        return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _signed(parcel: Parcel, body: str, now: datetime) -> dict[str, str]:
    """The three headers of Standard Webhooks, with one signature per secret."""
    id_ = parcel.row.id
    signatures = (Signer(secret).sign(id_, now, body) for secret in parcel.secrets)
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


async def _beginning(response: httpx.Response) -> str:
    """The start of the answer as text that can be stored and shown; of no more is any read."""
    read = b""
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in response.aiter_raw():
                read += chunk
                if len(read) >= MOST_READ:
                    break
    text = _NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", read[:MOST_READ].decode(errors="replace"))
    return _SECRET.sub("***", text)[:MOST_KEPT]


def _judged(response: httpx.Response, text: str) -> Answer:
    status = response.status_code
    if response.is_success:
        error = None
    elif response.is_redirect or 300 <= status < 400:
        error = "redirect"
    else:
        error = "gone" if status == 410 else "status"
    wait = _asked_to_wait(response.headers.get("retry-after")) if status in (429, 503) else None
    return Answer(error, status, text, wait)


def _asked_to_wait(header: str | None) -> timedelta | None:
    """Retry-After, as seconds or as a date; None when it says neither or looks back."""
    if header is None:
        return None
    try:
        if header.strip().isdecimal():
            asked = timedelta(seconds=min(int(header), 10**7))
        else:
            at = parsedate_to_datetime(header)
            asked = (at if at.tzinfo else at.replace(tzinfo=UTC)) - _now()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(asked, LONGEST_PAUSE) if asked > timedelta(0) else None


class Webhooks:
    """The steps of a stream, as activities; the database is asked in threads of their own.

    Args:
        give_up: how long to try, where a subscription does not say.
    """

    def __init__(
        self,
        engine: Engine,
        sender: Sender,
        *,
        give_up: timedelta = timedelta(days=3),
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._engine, self._sender, self._give_up, self._now = engine, sender, give_up, now
        self._under_way: Counter[str] = Counter()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="webhooks")

    def all(self) -> list[Callable[..., Any]]:
        """Every activity, for the worker."""
        return [self.look, self.deliver, self.give_up]

    @activity.defn(name=LOOK)
    async def look(self, stream: Stream) -> Step:
        """What stands next in the stream."""
        return Step(next=await self._ask(deliveries.next_due, stream, self._give_up))

    @activity.defn(name=DELIVER)
    async def deliver(self, stream: Stream, due: Due) -> Step:
        """Send one event, and say what stands next.

        Raises:
            ApplicationError: it was not delivered; tried again after the pause that it names.
        """
        with self._a_share_of(stream.webhook):
            parcel = await self._ask(deliveries.parcel, stream, due.seq, self._now())
            if parcel is not None:  # else it was delivered, dropped or paused since
                answer = await self._sender.send(parcel, self._now())
                await self._note(stream, parcel, answer)
        return await self.look(stream)

    @activity.defn(name=GIVE_UP)
    async def give_up(self, stream: Stream, due: Due) -> Step:
        """Park what was tried in vain until its time was over, and say what stands next."""
        if await self._ask(deliveries.give_up, stream, due.seq):
            about = {"webhook": stream.webhook, "number": stream.number, "seq": due.seq}
            log.warning("webhook_given_up", **about)
        return await self.look(stream)

    async def _note(self, stream: Stream, parcel: Parcel, answer: Answer) -> None:
        """Keep what came of the attempt.

        Raises:
            ApplicationError: it failed.
        """
        now, tried = self._now(), parcel.row.attempts + 1
        rest = answer.wait or _spread(pause(tried))
        fails = answer.error not in (None, "gone")
        met: dict[str, Any] = {
            "attempts": tried,
            "attempted_at": now,
            "last_status": answer.status,
            "last_answer": answer.text,
            "last_error": answer.error,
            "next_attempt_at": now + rest if fails else None,
        }
        if answer.error is None:
            met |= {"state": DeliveryState.delivered, "delivered_at": now}
        await self._ask(deliveries.record, stream, parcel.row.seq, met)
        if answer.error == "gone":
            await self._ask(deliveries.pause_gone, stream.webhook)
            log.warning("webhook_gone", webhook=stream.webhook)
        elif answer.error is not None:
            log.info("webhook_failed", webhook=stream.webhook, error=answer.error, attempts=tried)
            raise _failed(answer.error, rest)

    @contextmanager
    def _a_share_of(self, webhook: str) -> Iterator[None]:
        """One of the subscription's places.

        Raises:
            ApplicationError: none is free; the stream makes room for others and comes back.
        """
        if self._under_way[webhook] >= SHARE:
            first, longest = BUSY
            attempt = activity.info().attempt if activity.in_activity() else 1
            rest = _spread(min(first * 2 ** min(attempt - 1, 10), longest))
            raise _failed("busy", rest)
        self._under_way[webhook] += 1
        try:
            yield
        finally:
            self._under_way[webhook] -= 1
            if not self._under_way[webhook]:
                del self._under_way[webhook]

    async def _ask(
        self, ask: Callable[Concatenate[Engine, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, partial(ask, self._engine, *args, **kwargs)
        )


def _failed(error: str, rest: timedelta) -> ApplicationError:
    """Tried again after the rest; benign: a receiver's trouble is no line in our log of errors."""
    return ApplicationError(
        error, type=error, next_retry_delay=rest, category=ApplicationErrorCategory.BENIGN
    )


def _spread(rest: timedelta) -> timedelta:
    """A little longer, each time another little: those who failed together come back apart."""
    return rest * random.uniform(1.0, 1.2)  # noqa: S311 - nobody gains by guessing it
