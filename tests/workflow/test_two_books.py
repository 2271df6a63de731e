"""The workflow and the records never tell different stories (peers' defect 4)."""

import pytest

from domain.request import ServiceRequest
from records.queries import stored
from workflows.messages import SNAPSHOT

from .conftest import OpenDesk
from .scenarios import SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
async def test_the_records_hold_what_the_workflow_holds(name: str, desk: OpenDesk) -> None:
    request = await desk()
    await SCENARIOS[name](request)
    await request.handle.result()
    truth = await request.handle.query(SNAPSHOT, result_type=ServiceRequest)
    kept = stored(request.engine, request.number)
    assert kept is not None
    assert kept.request.model_dump() == truth.model_dump()
    assert kept.revision == truth.revision
    seqs = [line.seq for line in request.timeline()]
    messages = [int(message.id.split(":")[1]) for message in request.told()]
    assert sorted(seqs + messages) == list(range(1, truth.revision + 1))


async def test_every_acknowledged_event_is_in_the_records_when_it_is_acknowledged(
    desk: OpenDesk,
) -> None:
    request = await desk()
    for text in ("一", "二", "三"):
        receipt = await request.says("noted", text=text)
        kept = stored(request.engine, request.number)
        assert kept is not None
        assert kept.request.event_count == receipt.event_count
        assert request.timeline()[-1].data == {"text": text}
