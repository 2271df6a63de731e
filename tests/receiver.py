"""A receiver of webhooks on loopback: a real socket that answers as it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook

Answering = Callable[[asyncio.StreamWriter, "Call"], Awaitable[None]]


@dataclass
class Call:
    """One request as it came in."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed

    def signed_with(self, secret: str) -> dict[str, Any]:
        """The event, verified as any receiver would."""
        verified: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return verified


def says(status: int, body: str = "", **headers: str) -> Answering:
    """An answer in HTTP; a header's underscore is a hyphen."""

    async def answer(writer: asyncio.StreamWriter, call: Call) -> None:
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        head = "\r\n".join([f"HTTP/1.1 {status} X", *lines, f"content-length: {len(body)}"])
        writer.write(f"{head}\r\n\r\n{body}".encode())
        await writer.drain()

    return answer


def writes(raw: bytes) -> Answering:
    """Whatever bytes, then the end."""

    async def answer(writer: asyncio.StreamWriter, call: Call) -> None:
        writer.write(raw)
        await writer.drain()

    return answer


async def hangs(writer: asyncio.StreamWriter, call: Call) -> None:
    """No answer, until the caller goes."""
    await asyncio.sleep(60)


OK = says(204)


@dataclass
class Receiver:
    """Answers each call with the next of `answers`, then with `always`."""

    port: int = 0
    always: Answering = OK
    answers: list[Answering] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=t"

    @property
    def seqs(self) -> list[int]:
        """What came, by its place in the timeline."""
        return [int(call.event["sequence"]) for call in self.calls]

    async def hears(self, calls: int, patience: float = 20) -> list[Call]:
        """The calls, once there are so many."""
        async with asyncio.timeout(patience), self.came:
            await self.came.wait_for(lambda: len(self.calls) >= calls)
        return self.calls

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers["content-length"]))
            call = Call(head[0].split(" ")[1], headers, body)
            answer = self.answers.pop(0) if self.answers else self.always
            async with self.came:
                self.calls.append(call)
                self.came.notify_all()
            await answer(writer, call)
        writer.close()


@asynccontextmanager
async def listening(receiver: Receiver | None = None) -> AsyncIterator[Receiver]:
    """A receiver for as long as the block lasts; on the port that it had, if it had one."""
    receiver = receiver or Receiver()
    server = await asyncio.start_server(receiver, "127.0.0.1", receiver.port)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
