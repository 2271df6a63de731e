"""How quick an archive is verified, against the SDK's bare replayer: `python -m bench.audit`.

Archives copies of the recorded histories under numbers of their own, verifies the month as
`aftersales audit verify` does, and has the SDK replay a part of the same files, in as many
processes and without a sandbox either. Fails when the verification is slower than half of that, or
when its memory grows.
"""

import argparse
import asyncio
import gzip
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from threading import Event, Thread
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from audit.filed import story
from audit.histories import Story
from audit.inspection import Inspection, inspect
from audit.keys import key_file, wrapped
from audit.manifests import BEGINNING, Head, Manifest, described, public_key
from audit.replaying import check_replay
from audit.store import Store
from records.sealing import DataKey, KeyRing
from runtime.temporal import plugin
from tests.databases import RING, RING_TEXT
from workflows.service_request import ServiceRequestWorkflow

LEAST = 0.5
"""The share of the bare replayer's rate that the verification must reach."""

MOST_GROWTH = 64.0
"""Megabytes by which its memory may grow, all processes together."""

MONTH = "2026-11"
RECORDED = Path(__file__).parents[1] / "tests" / "workflow" / "histories"


@dataclass(frozen=True)
class Copy(Story):
    """A recorded history under another number, written without being worked out anew.

    Attributes:
        says: what its manifest has to say.
    """

    text: str = ""
    says: dict[str, Any] = field(default_factory=dict)

    def written(self) -> bytes:
        """As if it had been recorded so."""
        return gzip.compress(self.text.encode(), compresslevel=6, mtime=0)


@dataclass
class Memory:
    """What this process and its children hold, in megabytes, once a while."""

    held: list[float] = field(default_factory=list)

    def at(self, share: float) -> float:
        """After this share of the time, the most within the twentieth before it."""
        end = max(1, round(len(self.held) * share))
        return max(self.held[max(0, end - max(1, len(self.held) // 20)) : end])


@dataclass(frozen=True)
class Measured:
    """What came of it.

    Attributes:
        verified: requests a second.
        bare: what the SDK's replayer does, likewise.
        grown: megabytes, from a tenth of the time to its end.
    """

    inspection: Inspection
    verified: float
    bare: float
    grown: float


def main() -> None:
    """Measure, print, and fail when a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--bare", type=int, default=2_000, help="how many the SDK replays")
    wanted = parser.parse_args()
    found = measured(wanted.requests, wanted.bare)
    if found.inspection.findings:
        sys.exit(f"not sound: {found.inspection.findings[0].detail}")
    if found.verified < LEAST * found.bare:
        sys.exit(f"slower than {LEAST:.0%} of the bare replayer")
    if found.grown > MOST_GROWTH:
        sys.exit(f"memory grew by more than {MOST_GROWTH:.0f} MB")


def measured(count: int, bare: int) -> Measured:
    """Verify so many archived requests, and let the SDK replay some of them before and after."""
    key = Ed25519PrivateKey.generate()
    with tempfile.TemporaryDirectory(prefix="aftersales-") as folder:
        began = time.monotonic()
        store = Store(folder)
        manifests = archive(store, key, count)
        events = sum(each.events for each in manifests)
        took = time.monotonic() - began
        print(f"{count} requests, {events} events, archived in {took:.0f} s", flush=True)

        chosen = manifests[:: max(1, count // bare)]
        half = len(chosen) // 2
        alone = replayed(store, chosen[:half])
        began, memory = time.monotonic(), Memory()
        with watched(memory):
            found = asyncio.run(
                inspect(store, RING_TEXT, [public_key(key)], month=MONTH, console=Console())
            )
        verified = count / (time.monotonic() - began)
        alone += replayed(store, chosen[half:])
    rate = len(chosen) / alone
    start, middle, end = (memory.at(share) for share in (0.1, 0.5, 1))
    print(f"verified:       {verified:6.1f} requests/s, {verified * events / count:6.0f} events/s")
    print(f"bare replayer:  {rate:6.1f} requests/s, {rate * events / count:6.0f} events/s")
    print(f"share:          {verified / rate:6.2f}")
    print(f"memory:         {start:.0f} MB at a tenth, {middle:.0f} at half, {end:.0f} at the end")
    return Measured(found, verified, rate, end - start)


def archive(store: Store, key: Ed25519PrivateKey, count: int) -> list[Manifest]:
    """A signed month of so many requests."""
    now = datetime(2026, 11, 30, 16, 0, tzinfo=UTC)
    manifests: list[Manifest] = []
    for place, told in enumerate(islice(_copies(), count)):
        own = DataKey()
        content = told.sealed(own)
        manifest = Manifest(
            seq=place + 1,
            month=MONTH,
            file=f"{MONTH}/{told.number}.history",
            archived_at=now,
            previous=manifests[-1].hash if manifests else BEGINNING,
            **{**described(told, content), **told.says},
        )
        store.put(manifest.file, content)
        store.put(key_file(told.number), wrapped(RING, told.number, own).encode())
        store.put(manifest.name, manifest.written())
        manifests.append(manifest)
    last = manifests[-1]
    head = Head(
        month=MONTH,
        count=count,
        seq=last.seq,
        hash=last.hash,
        signed_at=now,
        key=public_key(key),
    )
    store.put(head.name, head.signed(key).written())
    return manifests


def _copies() -> Iterator[Copy]:
    recorded = [_recorded(path) for path in sorted(RECORDED.glob("v*/*.json"))]
    for place, (told, text, says) in enumerate(cycle(recorded)):
        number = f"CR20261101-{place + 1:06d}"
        yield Copy(number, told.runs, text.replace(told.number, number), says)


def _recorded(path: Path) -> tuple[Story, str, dict[str, Any]]:
    history = WorkflowHistory.from_json("", path.read_text(encoding="utf-8"))
    number = history.events[0].workflow_execution_started_event_attributes.workflow_id
    told = Story(number, (WorkflowHistory(number, history.events),))
    says = asyncio.run(check_replay(RING, told)).says
    return told, gzip.decompress(told.written()).decode(), says


# --- the bare replayer ----------------------------------------------------------------------------


def replayed(store: Store, manifests: list[Manifest]) -> float:
    """The seconds that the SDK takes to replay these, in a process per core."""
    count = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context) as pool:
        list(pool.map(_replay, [(store.url, manifests[:1])] * count))  # They have begun.
        began = time.monotonic()
        list(pool.map(_replay, [(store.url, manifests[place::count]) for place in range(count)]))
        return time.monotonic() - began


def _replay(task: tuple[str, list[Manifest]]) -> None:
    url, manifests = task
    store, ring = Store(url), KeyRing.read(RING_TEXT)

    async def histories() -> AsyncIterator[WorkflowHistory]:
        for manifest in manifests:
            for run in story(store, ring, manifest).runs:
                yield run

    replayer = Replayer(
        workflows=[ServiceRequestWorkflow],
        plugins=[plugin(ring)],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    asyncio.run(replayer.replay_workflows(histories()))


# --- memory ---------------------------------------------------------------------------------------


@contextmanager
def watched(memory: Memory) -> Iterator[None]:
    """Note what is held until the end."""
    over = Event()

    def look() -> None:
        while not over.wait(0.25):
            memory.held.append(_held())

    watching = Thread(target=look)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def _held() -> float:
    family = [os.getpid(), *(child.pid for child in multiprocessing.active_children() if child.pid)]
    return sum(map(_resident, family)) / 1024


def _resident(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:  # It has just ended.
        return 0
    found = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(found[0].split()[1]) if found else 0


if __name__ == "__main__":
    main()
