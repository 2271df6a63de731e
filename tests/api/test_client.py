"""The Python client, against the real service."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from aftersales.client import (
    Aftersales,
    AsyncAftersales,
    Closed,
    Malformed,
    NotFound,
    NotPermitted,
    Refused,
    Retries,
    Unavailable,
)
from domain.cloud_events import CloudEvent
from domain.events import Actor, Cancelled, Noted, Responded, Signed
from domain.vocabulary import Role
from runtime.settings import Settings
from runtime.tokens import mint
from tests.api.caller import body

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("worker")]

ROOT = Path(__file__).parents[2]
IMPATIENT = Retries(most=3, pause=0.01)
AGENT, CUSTOMER = Actor(role=Role.agent, id="A-7"), Actor(role=Role.customer, id="张三")


@pytest.fixture
def token(settings: Settings) -> str:
    return mint(settings, Role.integration, "crm")


@pytest.fixture
async def service(address: str, token: str) -> AsyncIterator[AsyncAftersales]:
    async with AsyncAftersales(address, token, trust_env=False) as service:
        yield service


class Unlucky(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """A way to the service on which the first tries meet with something."""

    def __init__(self, *troubles: Callable[[], httpx.Response]) -> None:
        self.troubles, self.sent = list(troubles), list[httpx.Request]()
        self._async, self._sync = httpx.AsyncHTTPTransport(), httpx.HTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self._trouble(request) or await self._async.handle_async_request(request)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._trouble(request) or self._sync.handle_request(request)

    async def aclose(self) -> None:
        await self._async.aclose()

    def close(self) -> None:
        self._sync.close()

    def _trouble(self, request: httpx.Request) -> httpx.Response | None:
        self.sent.append(request)
        return self.troubles.pop(0)() if self.troubles else None


def cut_off() -> httpx.Response:
    raise httpx.ReadError("cut off")


def busy() -> httpx.Response:
    return httpx.Response(429, headers={"Retry-After": "0"}, json={"code": "too_many_calls"})


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
async def test_the_lines_in_the_readme_do_what_they_say(
    page: str, address: str, settings: Settings
) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    (code,) = re.findall(r"<!-- the client,[^\n]*\n```python\n(.*?)```", text, re.S)
    token = mint(settings, Role.agent, "a1")
    said = StringIO()

    def run() -> None:
        with redirect_stdout(said):
            exec(code.replace("http://127.0.0.1:8000", address), {"TOKEN": token})

    await asyncio.to_thread(run)
    assert said.getvalue() == "dispatch\n"


@pytest.mark.parametrize("page", ["integration.md", "integration.zh-CN.md"])
async def test_the_lines_in_the_documents_run(page: str, address: str, token: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    # Other tests write down requests that no workflow runs for.
    ours = f"docs-{uuid4()}"
    async with AsyncAftersales(address, token, trust_env=False) as service:
        await service.create(body(external_id=ours))
    run = code.replace("http://127.0.0.1:8000", address)
    run = run.replace('stage="response"', f'stage="response", external_id="{ours}"')
    told: dict[str, Any] = {"TOKEN": token}
    await asyncio.to_thread(exec, run, told)
    assert [each.status for each in told["results"]] == ["refused"]


async def test_both_clients_have_the_same_names() -> None:
    names = [{n for n in vars(each) if n[0] != "_"} for each in (Aftersales, AsyncAftersales)]
    assert names[0] == names[1]


async def test_a_request_is_taken_in_moved_and_read(service: AsyncAftersales) -> None:
    request = await service.create(body())
    assert request.stage == "response"
    moved = await service.report(request.number, Responded(actor=AGENT, note="已致电"))
    assert (moved.stage, moved.event_count) == ("dispatch", 1)
    assert (await service.show(request.number)).number == request.number
    both = await service.report_all(
        request.number, [Noted(actor=AGENT, text="一"), Signed(actor=CUSTOMER, signature="张三")]
    )
    assert [each.status for each in both.results] == ["applied", "refused"]
    left = await service.leave(request.number, [Noted(actor=AGENT, text="二")])
    assert [each.status for each in left.results] == ["accepted"]
    await service.report(request.number, {"type": "noted", "text": "三"})
    assert [line.name for line in await service.timeline(request.number)].count("noted") == 3
    assert (await service.clocks(request.number)).items[0].rule == "first_response"
    assert (await service.obligations(request.number)).items
    forms = await service.forms(request.number)
    assert (await service.form(request.number, forms[0].number)).code == "SA-CR-001"


async def test_every_page_of_a_list_is_read(service: AsyncAftersales) -> None:
    made = {(await service.create(body())).number for _ in range(3)}
    found = [each.number async for each in service.requests(stage="response", limit=2)]
    assert made <= set(found)
    assert len(found) == len(set(found))


async def test_problems_are_told_apart(service: AsyncAftersales, address: str, token: str) -> None:
    number = (await service.create(body())).number
    with pytest.raises(Refused) as refused:
        await service.report(number, Signed(actor=CUSTOMER, signature="张三"))
    assert (refused.value.status, refused.value.code) == (409, "event_not_allowed")
    assert refused.value.reason_code == "wrong_stage"
    assert "responded" in refused.value.allowed_events
    assert refused.value.stage == "response"
    assert refused.value.request_id
    with pytest.raises(NotFound):
        await service.show("CR20200101-001")
    with pytest.raises(NotFound):
        await service.show("../../livez")
    with pytest.raises(Malformed) as malformed:
        await service.create(body(), key="a b")
    assert malformed.value.errors
    await service.report(number, Cancelled(actor=AGENT, reason="已解决"))
    with pytest.raises(Closed):
        await service.report(number, Noted(actor=AGENT, text="晚"))
    async with AsyncAftersales(address, "none", language="zh-CN", trust_env=False) as stranger:
        with pytest.raises(NotPermitted, match="令牌"):
            await stranger.show(number)


async def test_a_call_is_repeated_and_done_once(address: str, token: str) -> None:
    way = Unlucky(busy, cut_off)
    async with AsyncAftersales(address, token, retries=IMPATIENT, transport=way) as service:
        number = (await service.create(body())).number
        assert len({each.headers["idempotency-key"] for each in way.sent}) == 1
        assert len(way.sent) == 3
        way.troubles = [cut_off, busy]
        shown = await service.report(number, {"type": "noted", "text": "一次"})
        assert shown.event_count == 1
        assert len({each.content for each in way.sent[3:]}) == 1
        way.troubles = [busy] * 3
        with pytest.raises(Unavailable) as unavailable:
            await service.show(number)
        assert unavailable.value.retry_after == 0
        way.troubles = [cut_off] * 3
        with pytest.raises(httpx.ReadError):
            await service.show(number)


async def test_only_what_could_not_be_left_is_sent_again(address: str, token: str) -> None:
    def partly() -> httpx.Response:
        results = [
            {"id": "1", "status": status, "subject": "x"} for status in ("accepted", "unavailable")
        ]
        return httpx.Response(503, json={"code": "some_not_left", "results": results})

    way = Unlucky()
    async with AsyncAftersales(address, token, retries=IMPATIENT, transport=way) as service:
        number = (await service.create(body())).number
        notes = [
            CloudEvent.model_validate(
                {"specversion": "1.0", "id": str(uuid4()), "source": "crm", "type": "noted"}
                | {"subject": number, "data": {"text": str(place)}}
            )
            for place in range(2)
        ]
        way.troubles = [partly]
        told = await service.send(notes)
        assert [each.status for each in told] == ["accepted", "accepted"]
        assert told[1].id == notes[1].id
        assert notes[0].id not in way.sent[-1].content.decode()
        way.troubles = [partly] + [lambda: httpx.Response(503, json={"code": "x"})] * 3
        with pytest.raises(Unavailable):
            await service.send(notes)


async def test_many_events_go_in_batches(address: str, token: str) -> None:
    def all_taken() -> Iterator[httpx.Response]:
        for size in (1000, 1):
            results = [{"id": "1", "status": "accepted", "subject": "x"}] * size
            yield httpx.Response(202, json={"results": results})

    answers = all_taken()
    way = Unlucky(lambda: next(answers), lambda: next(answers))
    note: dict[str, Any] = {"type": "noted", "text": "好"}

    def run() -> int:
        with Aftersales(address, token, transport=way) as service:
            return len(service.send((f"CR20260520-{place:03d}", note) for place in range(1001)))

    assert await asyncio.to_thread(run) == 1001


async def test_what_is_wrong_with_each_event_is_told(service: AsyncAftersales) -> None:
    number = (await service.create(body())).number
    wrong = CloudEvent.model_validate(
        {"specversion": "1.0", "id": "1", "source": "crm", "type": "nonsense", "subject": number}
    )
    told = await service.send(
        [
            (number, Responded(actor=AGENT)),
            wrong,
            ("CR20200101-001", {"type": "noted", "text": "?"}),
        ]
    )
    assert [each.status for each in told] == ["accepted", "refused", "refused"]
    assert told[1].code == "unknown_event_type"
    assert told[2].code == "request_not_found"
