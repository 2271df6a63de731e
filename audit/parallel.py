"""Work on many histories: on every core, a few in memory at a time."""

import asyncio
import logging
import multiprocessing
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

from rich.console import Console
from rich.progress import Progress
from temporalio.runtime import Runtime, TelemetryConfig

from audit.filed import story
from audit.histories import NoHistory, Story
from audit.manifests import Manifest
from audit.replaying import Replayed, check_replay
from audit.semantics import CannotReplay
from audit.store import Missing, Store, Unreachable
from records.sealing import KeyRing
from runtime.bound import die_with

T = TypeVar("T")

Source = Callable[[KeyRing], Story]
"""Gives a history; called where the work is done, so that it crosses over only once."""

FEW = 10
"""So many are sooner worked on here than other processes are started."""

AHEAD = 2
"""How many histories wait for each core."""

_ring: KeyRing


class Untold(NamedTuple):
    """A history that nothing could be made of.

    Attributes:
        why: a sentence of `audit.details`.
        is_gone: its file or its key is not there, or not any more.
    """

    why: str
    is_gone: bool = False


def from_store(store: Store, manifest: Manifest) -> Source:
    """A history in the archive."""
    return partial(_read, store.url, store.options, manifest)


def _read(url: str, options: dict[str, object], manifest: Manifest, ring: KeyRing) -> Story:
    return story(Store(url, **options), ring, manifest)


def in_hand(told: Story) -> Source:
    """A history already fetched."""
    return partial(_unpack, told.written())


def _unpack(written: bytes, ring: KeyRing) -> Story:
    return Story.read(written)


async def check_all(
    sources: AsyncIterator[tuple[str, Source]] | Iterable[tuple[str, Source]],
    ring: str,
    processes: int | None = None,
) -> AsyncIterator[tuple[str, Replayed | Untold]]:
    """What came of each history under its name, replayed, in whatever order they are ready.

    Args:
        ring: the key ring in writing.
        processes: as in `on_every_core`.
    """
    async for each in on_every_core(_check, sources, ring, processes):
        yield each


async def on_every_core(
    work: Callable[[Source, KeyRing], T],
    sources: AsyncIterator[tuple[str, Source]] | Iterable[tuple[str, Source]],
    ring: str,
    processes: int | None = None,
) -> AsyncGenerator[tuple[str, T | Untold], None]:
    """What the work makes of each history, under its name, in whatever order they are ready.

    One that is broken, in whatever way, stops none of the others.

    Args:
        work: a function of a module; it is called in another process, unless there are only a few.
        processes: how many, however few there are; default: one per core.
    """
    if processes is None:
        first, sources = await _peeked(sources)
        if len(first) <= FEW:
            read = KeyRing.read(ring)
            for name, source in first:
                yield name, await asyncio.to_thread(_tried, work, source, read)
            return
    count = processes or cores()
    # Not forked: the SDK's core has threads of its own, which a fork would leave behind.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, _begin, (ring, os.getpid())) as pool:
        loop = asyncio.get_running_loop()
        under_way: dict[asyncio.Future[T | Untold], str] = {}
        async for name, source in _each(sources):
            under_way[loop.run_in_executor(pool, _do, work, source)] = name
            while len(under_way) >= count * AHEAD:
                for each in await _some(under_way):
                    yield each
        while under_way:
            for each in await _some(under_way):
                yield each


def cores() -> int:
    """How many processors this process may use."""
    # Only Linux knows, and it does not count a container's share of the time.
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


async def _some(under_way: dict[asyncio.Future[T], str]) -> list[tuple[str, T]]:
    done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    return [(under_way.pop(future), future.result()) for future in done]


async def _peeked(
    sources: AsyncIterator[tuple[str, Source]] | Iterable[tuple[str, Source]],
) -> tuple[list[tuple[str, Source]], AsyncIterator[tuple[str, Source]]]:
    """One more than a few of them, and all of them."""
    each = _each(sources)
    first: list[tuple[str, Source]] = []
    while len(first) <= FEW and (item := await anext(each, None)) is not None:
        first.append(item)

    async def whole() -> AsyncIterator[tuple[str, Source]]:
        for item in first:
            yield item
        async for item in each:
            yield item

    return first, whole()


async def _each(
    sources: AsyncIterator[tuple[str, Source]] | Iterable[tuple[str, Source]],
) -> AsyncIterator[tuple[str, Source]]:
    if isinstance(sources, AsyncIterator):
        async for each in sources:
            yield each
    else:
        for each in sources:
            yield each


def progress(console: Console | None) -> Progress:
    """Progress bars, if the console is a terminal."""
    return Progress(console=console, disable=console is None or not console.is_terminal)


def hush() -> None:
    """Let the SDK say nothing of a replay that fails: it quotes what stands in the history.

    What failed, and where, is said by the findings. For a process that does nothing else.
    """
    logging.getLogger("temporalio").setLevel(logging.CRITICAL + 1)
    with suppress(RuntimeError):  # It was set before.
        Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)))


def _begin(ring: str, parent: int) -> None:
    """Leave it to the parent when to stop: Ctrl-C is meant for it, and its end is ours."""
    global _ring
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hush()
    _ring = KeyRing.read(ring)


def _do(work: Callable[[Source, KeyRing], T], source: Source) -> T | Untold:
    return _tried(work, source, _ring)


def _tried(work: Callable[[Source, KeyRing], T], source: Source, ring: KeyRing) -> T | Untold:
    try:
        return work(source, ring)
    except Missing as error:
        return Untold(f"{error} is not there", is_gone=True)
    except (NoHistory, CannotReplay) as error:
        return Untold(str(error))
    except Unreachable:
        raise
    except Exception as error:  # Whatever stands in it, our code did not write it.
        return Untold(f"what stands in it makes no sense ({type(error).__name__})")


def _check(source: Source, ring: KeyRing) -> Replayed:
    return asyncio.run(check_replay(ring, source(ring)))
