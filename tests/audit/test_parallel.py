"""However many histories there are, a few are in memory at a time, and nobody is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory

from audit.histories import NoHistory, Story
from audit.parallel import AHEAD, Source, Untold, check_all, in_hand, on_every_core
from audit.replaying import Replayed
from audit.store import Missing
from records.sealing import KeyRing
from tests.databases import RING_TEXT

GOLDEN = Path(__file__).parents[1] / "workflow" / "histories" / "v1" / "nobody_answers.json"
ROOT = Path(__file__).parents[2]
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
        assert isinstance(replayed, Replayed)
        assert replayed.findings == []
    assert answered == MANY
    assert most <= AHEAD + 1  # One more is at hand as soon as another is done.


def breaks(source: Source, ring: KeyRing) -> str:
    return source(ring).number


def whole(ring: KeyRing) -> Story:
    return Story("CR", ())


def nonsense(ring: KeyRing) -> Story:
    raise KeyError("seq")


def gone(ring: KeyRing) -> Story:
    raise Missing("keys/CR.key")


def unreadable(ring: KeyRing) -> Story:
    raise NoHistory("its key does not open it")


@pytest.mark.parametrize("processes", [None, 1])
async def test_a_broken_one_stops_none_of_the_others(processes: int | None) -> None:
    sources = [(each.__name__, each) for each in (nonsense, gone, unreadable, whole)]
    found = {n: made async for n, made in on_every_core(breaks, sources, RING_TEXT, processes)}
    assert found == {
        "nonsense": Untold("what stands in it makes no sense (KeyError)"),
        "gone": Untold("keys/CR.key is not there", is_gone=True),
        "unreadable": Untold("its key does not open it"),
        "whole": "CR",
    }


def test_it_takes_no_more_cores_than_it_may_use() -> None:
    counted = "from audit.parallel import cores, os; os.sched_setaffinity(0, {0}); print(cores())"
    told = subprocess.run(
        [sys.executable, "-c", counted], cwd=ROOT, capture_output=True, check=True, text=True
    )
    assert told.stdout.strip() == "1"


@pytest.mark.slow(5)
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_whoever_works_for_it_ends_with_it_and_says_nothing(tmp_path: Path, end: int) -> None:
    """Ctrl-C reaches all of them at once; a kill reaches only the one."""
    said, deadline = tmp_path / "said", time.monotonic() + 30
    with said.open("wb") as complaints:
        working = subprocess.Popen(
            [sys.executable, "-m", "tests.audit.test_parallel", str(tmp_path)],
            cwd=ROOT,
            stderr=complaints,
            start_new_session=True,
        )
    while len(hands := [int(each.name) for each in tmp_path.glob("[0-9]*")]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    if end == signal.SIGKILL:
        working.kill()
    else:
        os.killpg(working.pid, end)
    working.wait(deadline - time.monotonic())
    while any(map(is_alive, hands)):
        assert time.monotonic() < deadline, "one is left"
        time.sleep(0.05)
    assert "in lingers" not in said.read_text(encoding="utf-8"), "a traceback of one of them"


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def lingers(source: Source, ring: KeyRing) -> None:
    """The source is a folder here: it is told who works."""
    (Path(str(source)) / str(os.getpid())).touch()
    time.sleep(1)


async def work(folder: str) -> None:
    sources = ((str(n), folder) for n in range(100))
    async for _ in on_every_core(lingers, sources, RING_TEXT, 2):  # type: ignore[arg-type]
        pass


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
