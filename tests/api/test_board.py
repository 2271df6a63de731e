"""The board's questions and its stream, over real HTTP; a worker is not needed for any of them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import BaseModel
from sqlalchemy import Engine, text, update
from sqlmodel import col

import bench.stream
from api import stream
from api.marks import mark, moment_of
from api.stream import Listener
from bench.stream import measured
from domain import shown as models
from domain.request import ServiceRequest
from domain.vocabulary import Role
from records.projection import write_down
from records.tables import Request
from records.upkeep import repair
from runtime.settings import Settings
from tests.api.caller import Caller
from tests.api.conftest import serving
from tests.databases import written
from tests.pure.builders import Story, given

pytestmark = pytest.mark.server

Json = dict[str, Any]
SERIALS = iter(range(1, 1000))


def some(**changes: Any) -> Story:
    """A request received just now, which nobody has written down."""
    number = f"CR20260101-{next(SERIALS):03d}"
    return given(number=number, received_at=datetime.now(UTC), **changes)


@pytest.fixture
def supervisor(caller: Caller) -> Caller:
    return caller.acting_as(Role.supervisor)


# --- questions ------------------------------------------------------------------------------------


async def test_every_question_is_answered_as_promised(supervisor: Caller, records: Engine) -> None:
    story = some(station="ST-BOARD")
    write_down(records, written(story.did("responded").offered("E-BOARD")))
    promised: dict[str, type[BaseModel]] = {
        "": models.ShownBoard,
        "/due": models.ShownDue,
        "/breached": models.ShownBreached,
        "/workload": models.ShownWorkload,
        "/punctuality": models.ShownPunctuality,
    }
    for path, model in promised.items():
        for station in ("", "ST-BOARD"):
            answer = await supervisor.get(f"/v1/board{path}", station=station)
            assert answer.status_code == 200, answer.text
            model.model_validate_json(answer.text)
    board = (await supervisor.get("/v1/board", station="ST-BOARD")).json()
    assert [row["number"] for row in board["queue"]] == [story.request.number]
    due = (await supervisor.get("/v1/board/due", station="ST-BOARD", within="20m")).json()
    assert [each["rule"] for each in due["items"]] == ["accept"]


async def test_an_unchanged_board_is_not_sent_again(supervisor: Caller, records: Engine) -> None:
    story = some(station="ST-TAG")
    write_down(records, written(story))
    first = await supervisor.get("/v1/board", station="ST-TAG")
    tag = {"If-None-Match": first.headers["etag"]}
    assert (await supervisor.get("/v1/board", tag, station="ST-TAG")).status_code == 304
    write_down(records, written(story.did("responded")))
    assert (await supervisor.get("/v1/board", tag, station="ST-TAG")).status_code == 200


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("?limit=0", "/limit"),
        ("?limit=201", "/limit"),
        ("/due?within=soon", "/within"),
        ("/due?within=0s", "/within"),
        ("/due?within=8d", "/within"),
        ("/breached?limit=501", "/limit"),
        ("/punctuality?day=yesterday", "/day"),
        ("/punctuality?day=1779239417", "/day"),
        ("/punctuality?day=9999-12-31", "/day"),
    ],
)
async def test_what_cannot_be_asked_is_told_by_field(
    supervisor: Caller, path: str, field: str
) -> None:
    answer = await supervisor.http.get(f"/v1/board{path}", headers=supervisor.headers)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("path", ["", "/stream", "/due", "/breached", "/workload", "/punctuality"])
async def test_only_those_who_may_see_the_board_do(caller: Caller, path: str) -> None:
    assert (await caller.http.get(f"/v1/board{path}")).status_code == 401
    for role in (Role.engineer, Role.customer, Role.integration):
        answer = await caller.acting_as(role).get(f"/v1/board{path}")
        assert answer.json()["code"] == "scope_missing"


async def test_the_list_counts_and_finds(supervisor: Caller, records: Engine) -> None:
    stories = [some(external_id="ERP/1") for _ in range(3)]
    for story in stories:
        write_down(records, written(story))
    page = (await supervisor.get("/v1/requests", external_id="ERP/1", limit=2)).json()
    models.ShownList.model_validate(page)
    assert (len(page["items"]), page["total"]) == (2, 3)
    number = stories[0].request.number
    assert (await supervisor.get("/v1/requests", number=number)).json()["total"] == 1
    refused = await supervisor.get("/v1/requests", number="CR%")
    assert refused.json()["errors"][0]["field"] == "/number"


# --- the stream -----------------------------------------------------------------------------------


class Heard:
    """What a listener heard, event by event."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.last_id: str | None = None

    async def next(self) -> tuple[str, Json]:
        name = ""
        async with asyncio.timeout(10):
            async for line in self._lines:
                field, _, value = line.partition(": ")
                if field == "id":
                    self.last_id = value
                elif field == "event":
                    name = value
                elif field == "data":
                    return name, json.loads(value)
        raise EOFError

    async def until(self, request: ServiceRequest) -> list[str]:
        """The numbers told until this state of the request is."""
        numbers = []
        while True:
            name, told = await self.next()
            if name == "request":
                numbers.append(told["number"])
                if (told["number"], told["event_count"]) == (request.number, request.event_count):
                    return numbers


@asynccontextmanager
async def listening(caller: Caller, last_id: str | None = None) -> AsyncIterator[Heard]:
    headers = {**caller.headers, **({"Last-Event-ID": last_id} if last_id is not None else {})}
    async with caller.http.stream("GET", "/v1/board/stream", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Heard(answer.aiter_lines())


async def test_a_change_is_heard_once_with_the_counts_it_changed(
    supervisor: Caller, records: Engine
) -> None:
    async with listening(supervisor) as heard:
        name, counts = await heard.next()
        assert name == "counts"
        models.ShownCounts.model_validate(counts)
        story = some()
        write_down(records, written(story))
        name, row = await heard.next()
        assert (name, row["number"]) == ("request", story.request.number)
        models.ShownRow.model_validate(row)
        name, changed = await heard.next()
        assert name == "counts"
        assert changed["open"] == counts["open"] + 1
        assert set(changed["by_stage"]) == {"response"}
        write_down(records, written(story.did("responded")))
        assert await heard.until(story.request) == [story.request.number]


async def test_whoever_comes_back_has_missed_nothing(supervisor: Caller, records: Engine) -> None:
    stories = [some() for _ in range(5)]
    async with listening(supervisor) as heard:
        await heard.next()
        write_down(records, written(stories[0]))
        await heard.until(stories[0].request)
        while (await heard.next())[0] != "counts":
            pass
        last_id = heard.last_id
    for story in stories[1:]:
        write_down(records, written(story))
    async with listening(supervisor, last_id) as heard:
        missed = await heard.until(stories[-1].request)
        assert {s.request.number for s in stories[1:]} <= set(missed)
        # And from here on as if they had never been away.
        write_down(records, written(stories[2].did("responded")))
        await heard.until(stories[2].request)


async def test_another_process_goes_on_where_the_first_stopped(
    supervisor: Caller, records: Engine, settings: Settings
) -> None:
    board = (await supervisor.get("/v1/board")).json()
    story = some()
    write_down(records, written(story))
    async with (
        serving(settings) as address,
        httpx.AsyncClient(base_url=address, timeout=30, trust_env=False) as http,
        listening(Caller(http, settings, Role.supervisor), board["last_event_id"]) as heard,
    ):
        assert story.request.number in await heard.until(story.request)


async def test_a_row_that_cannot_be_read_silences_nobody(
    supervisor: Caller, records: Engine
) -> None:
    ruined, after = some(), some()
    write_down(records, written(ruined))
    async with listening(supervisor) as heard:
        await heard.next()
        last_id = heard.last_id
        with records.begin() as connection:
            of = {"number": ruined.request.number}
            connection.execute(text("DELETE FROM shown WHERE number = :number"), of)
            connection.execute(text("UPDATE request SET state = '{}' WHERE number = :number"), of)
            connection.execute(
                update(Request)
                .where(col(Request.number) == ruined.request.number)
                .values(written_at=datetime.now(UTC))
            )
        try:
            while (await heard.next())[0] != "reset":
                pass
            async with listening(supervisor, last_id) as back:
                assert await back.next() == ("reset", {})
            write_down(records, written(after))
            assert after.request.number in await heard.until(after.request)
        finally:
            repair(records, ruined.request, None)


@pytest.mark.parametrize("last_id", ["nonsense", "-1", "1" * 18, "0"])
async def test_whoever_missed_too_much_or_names_no_mark_of_ours_begins_anew(
    supervisor: Caller, records: Engine, last_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MOST_MISSED", 1)
    for _ in range(2):
        write_down(records, written(some()))
    async with listening(supervisor, last_id) as heard:
        assert await heard.next() == ("reset", {})
        assert (await heard.next())[0] == "counts"
    assert heard.last_id is not None


async def test_silence_is_broken_by_a_sign_of_life(
    supervisor: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT", 0.05)
    async with supervisor.http.stream(
        "GET", "/v1/board/stream", headers=supervisor.headers
    ) as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        async with asyncio.timeout(5):
            assert ": alive" in [line async for line in _until_comment(lines)]


async def _until_comment(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if line.startswith(":"):
            return


async def test_whoever_does_not_keep_up_is_cut_off() -> None:
    slow, quick = Listener(), Listener()
    for tick in range(stream.MOST_BEHIND):
        assert slow.tell(b"%d" % tick)
        assert quick.tell(b"%d" % tick)
        assert await quick.next() == b"%d" % tick
    assert not slow.tell(b"one too many")
    assert await slow.next() is None
    assert quick.tell(b"and on")


def test_a_mark_stands_for_its_moment() -> None:
    moment = datetime(2026, 5, 20, 1, 10, 17, 123456, tzinfo=UTC)
    assert moment_of(mark(moment)) == moment
    assert mark(None) == "0"
    assert moment_of("१२३") is None


@pytest.mark.slow(15)
async def test_twenty_listeners_hear_everything_in_time(
    empty_records: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.stream, "REQUESTS", 60)  # One for each change.
    report = await measured(empty_records, clients=20, seconds=3, rate=20)
    assert report.changes == 60
    assert len(report.lags) > 20 * 50
    assert report.failures == [], str(report)


async def test_whoever_takes_nothing_is_let_go(
    supervisor: Caller, records: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a real socket that nobody reads: the buffers fill, and then the connection is ended."""
    monkeypatch.setattr(stream, "PATIENCE", 0.2)
    monkeypatch.setattr(stream, "HEARTBEAT", 0.001)
    monkeypatch.setattr(stream, "ALIVE", b": " + b"x" * 200_000 + b"\n\n")
    host, port = supervisor.http.base_url.host, supervisor.http.base_url.port
    assert port is not None
    reader, writer = await asyncio.open_connection(host, port, limit=1)
    head = f"GET /v1/board/stream HTTP/1.1\r\nHost: {host}\r\n"
    writer.write(f"{head}Authorization: {supervisor.headers['Authorization']}\r\n\r\n".encode())
    await asyncio.sleep(3)
    heard = 0
    with suppress(ConnectionError):
        async with asyncio.timeout(10):
            while chunk := await reader.read(1 << 20):
                heard += len(chunk)
    assert heard > 0
    writer.close()
