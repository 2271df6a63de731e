"""However many histories there are, only a few are in memory at a time."""

from collections.abc import Iterator
from pathlib import Path

from temporalio.client import WorkflowHistory

from audit.histories import Story
from audit.parallel import AHEAD, Source, check_all, in_hand
from tests.databases import RING_TEXT

GOLDEN = Path(__file__).parents[1] / "workflow" / "histories" / "v1" / "nobody_answers.json"
MANY = 40


async def test_only_a_few_histories_wait_however_many_there_are() -> None:
    history = WorkflowHistory.from_json("", GOLDEN.read_text(encoding="utf-8"))
    asked = answered = most = 0

    def sources() -> Iterator[tuple[str, Source]]:
        nonlocal asked, most
        for number in range(MANY):
            asked += 1
            most = max(most, asked - answered)
            yield str(number), in_hand(Story("CR", (history,)))

    async for _, replayed in check_all(sources(), RING_TEXT, 1):
        answered += 1
        assert replayed.findings == []
    assert answered == MANY
    assert most <= AHEAD + 1  # One more is at hand as soon as another is done.
