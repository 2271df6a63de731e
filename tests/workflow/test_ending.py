"""The last moments of a run: whatever comes while it ends is answered and written down."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from activities import archive
from domain.request import ServiceRequest
from workflows.messages import SUBMIT, SUBMIT_ALL, Receipts

from .conftest import OpenDesk


@pytest.fixture
def archive_is_down(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """The archive fails until the event is set."""
    up, works = asyncio.Event(), archive.archive

    def failing(engine: Engine, request: ServiceRequest) -> str:
        if not up.is_set():
            raise OSError("the archive is down")
        return works(engine, request)

    monkeypatch.setattr(archive, "archive", failing)
    return up


async def test_what_comes_during_the_archiving_is_answered_and_written_down(
    live_desk: OpenDesk, archive_is_down: asyncio.Event
) -> None:
    request = await live_desk(task_timeout=timedelta(seconds=2))
    await request.says("responded")
    again = request.sent[-1]
    closing = asyncio.create_task(request.says("cancelled", reason="不修了"))
    await asyncio.sleep(0.5)
    await request.signals("noted", text="太晚了")
    late = asyncio.create_task(_submit_all(request, request.event("noted", text="更晚")))
    repeat = asyncio.create_task(request.handle.execute_update(SUBMIT, again, id="again"))
    await asyncio.sleep(4)  # The workflow task beats, and so hears of them.
    archive_is_down.set()

    assert (await asyncio.wait_for(closing, 30)).stage == "closed"
    assert (await asyncio.wait_for(late, 30)).results[0].code == "request_closed"
    await asyncio.wait_for(repeat, 30)
    await asyncio.wait_for(request.handle.result(), 30)
    refused = [line for line in request.timeline() if line.kind == "refused"]
    assert [(line.name, line.data["code"]) for line in refused] == [("noted", "request_closed")]


async def _submit_all(request: Any, *events: Any) -> Receipts:
    receipts: Receipts = await request.handle.execute_update(
        SUBMIT_ALL, list(events), result_type=Receipts
    )
    return receipts
