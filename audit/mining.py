"""`aftersales audit mine`: the archive told as event logs, and what the logs say."""

import asyncio
import json
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from typing import Protocol, Self, TextIO

from rich.console import Console

from activities.messages import LANGUAGES
from audit.event_log import Trace, trace
from audit.facts import tell
from audit.faults import Finding
from audit.figures import Figures
from audit.filed import NothingThere, by_request, entry_files, entry_in, how_many, months
from audit.manifests import Erasure, Manifest
from audit.ocel import OcelWriter
from audit.parallel import Source, Untold, from_store, on_every_core, progress
from audit.process_map import process_map
from audit.sheets import Sheet
from audit.store import Store
from audit.tables import outside
from audit.verification import kept, was_erased
from audit.wording import Count, span
from audit.xes import XesWriter
from domain.vocabulary import Stage
from records.sealing import KeyRing


class Format(StrEnum):
    """How a log is written."""

    xes = "xes"
    ocel = "ocel"


class Writer(Protocol):
    """Writes a log."""

    def add(self, trace: Trace) -> None:
        """Write one request."""

    def close(self) -> None:
        """Write the end."""

    def release(self) -> None:
        """Give back what it holds, whether or not it came to the end."""


WRITERS: dict[Format, tuple[str, Callable[[TextIO], Writer]]] = {
    Format.xes: (".xes", XesWriter),
    Format.ocel: (".ocel.json", OcelWriter),
}


@dataclass
class Mined:
    """What came of it.

    Attributes:
        files: what was written.
        unreadable: what was skipped, with why.
        erased: how many requests of that time have no history any more, because their customer
            was erased.
    """

    figures: Figures = field(default_factory=Figures)
    files: list[Path] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    erased: int = 0


async def mine(
    store: Store,
    ring: str,
    out: Path,
    *,
    month: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    formats: Sequence[Format] = tuple(Format),
    erased: Collection[str] = frozenset(),
    processes: int | None = None,
    console: Console | None = None,
) -> Mined:
    """Write the logs, the figures and the process maps of what the archive holds.

    Args:
        ring: the key ring in writing.
        out: the folder that the files are put into.
        erased: requests that are not to be told, besides those that the chain knows.
        month: those archived in it; or else since, until: those closed then.
        processes: as in `audit.parallel.on_every_core`.
        console: where progress is shown, if it is a terminal.

    Raises:
        NothingThere: the archive holds nothing of it.
        OSError: the files cannot be written.
    """
    mined = Mined()
    wanted = _wanted(store, mined, month, since, until, erased)
    first = list(islice(wanted, 1))
    if not first and not mined.unreadable and not mined.erased:
        raise NothingThere(store)
    sources = ((each.number, from_store(store, each)) for each in chain(first, wanted))
    name = month or _named(since, until)
    count = how_many(store, month) if month else None
    with _Logs(out, name, formats) as logs, progress(console) as shown:
        bar = shown.add_task("Mining 挖掘", total=count)
        async for number, each in on_every_core(_trace, sources, ring, processes):
            shown.advance(bar)
            if isinstance(each, Untold):
                if each.is_gone and was_erased(store, number):
                    mined.erased += 1
                else:
                    mined.unreadable.append((number, each.why))
                continue
            mined.figures.add(each)
            logs.add(each)
        mined.files += logs.finish()
    mined.files += _write_figures(mined, out, name)
    return mined


class _Logs:
    """The logs while they are written, under other names until they are whole.

    Half a log looks like a log, so that nothing is left of one that was not finished.
    """

    def __init__(self, out: Path, name: str, formats: Sequence[Format]) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self._writers: list[Writer] = []
        self._files: list[tuple[TextIO, Path, Path]] = []
        for kind in dict.fromkeys(formats):
            ending, writer = WRITERS[kind]
            path = out / f"{name}{ending}"
            part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
            file = part.open("w", encoding="utf-8")
            self._files.append((file, part, path))
            self._writers.append(writer(file))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers:
            writer.release()
        for file, part, _path in self._files:
            file.close()
            part.unlink(missing_ok=True)

    def add(self, told: Trace) -> None:
        """Write one request."""
        for writer in self._writers:
            writer.add(told)

    def finish(self) -> list[Path]:
        """Write the ends, and give the logs their names."""
        for writer in self._writers:
            writer.close()
        for file, part, path in self._files:
            file.close()
            part.replace(path)
        return [path for _, _, path in self._files]


def _wanted(
    store: Store,
    mined: Mined,
    month: str | None,
    since: datetime | None,
    until: datetime | None,
    erased: Collection[str],
) -> Iterator[Manifest]:
    for each in [month] if month else months(store):
        files = by_request(entry_files(store, each), "manifest")
        for entry in kept(store, each):
            match entry:
                case Finding():
                    mined.unreadable.append((entry.where, entry.detail))
                case Erasure():
                    closed_at = _closed_at(store, files.get(entry.number))
                    mined.erased += closed_at is None or _closed_within(closed_at, since, until)
                case _ if not _closed_within(entry.closed_at, since, until):
                    pass
                case Manifest() if entry.number in erased:
                    mined.erased += 1
                case _:
                    yield entry


def _closed_at(store: Store, file: str | None) -> datetime | None:
    """When a request closed, as its manifest says whether or not it was erased since."""
    entry = entry_in(store, file)[0] if file else None
    return entry.closed_at if isinstance(entry, Manifest) else None


def _closed_within(closed: datetime, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or since <= closed) and (until is None or closed < until)


def _trace(source: Source, ring: KeyRing) -> Trace:
    return trace(asyncio.run(tell(ring, source(ring))), ring)


def _named(since: datetime | None, until: datetime | None) -> str:
    """A file's name for a span of days."""
    days = [f"{moment:%Y-%m-%d}" for moment in (since, until) if moment is not None]
    return "_".join(days) if len(days) == 2 else f"{'since' if since else 'until'}-{days[0]}"


# --- what the logs say ----------------------------------------------------------------------------


def _write_figures(mined: Mined, out: Path, name: str) -> Iterator[Path]:
    content = {
        **mined.figures.as_json(),
        "erased": mined.erased,
        "unreadable": [{"request": number, "why": why} for number, why in mined.unreadable],
    }
    summary = out / f"{name}.summary.json"
    summary.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    yield summary
    if not mined.figures.requests:
        return
    for language in sorted(LANGUAGES):
        drawn = out / f"{name}.map.{language}.svg"
        drawn.write_text(process_map(mined.figures, language), encoding="utf-8")
        yield drawn


def tables(figures: Figures) -> Iterator[Sheet]:
    """For people, in both languages: stages, the commonest ways, what goes wrong."""
    stages = Sheet("stage 阶段", "stays 次数", "median 中位数", "9 in 10 within 九成以内")
    for stage in Stage:
        if spans := figures.stages.get(stage):
            lengths = (_span(spans.median), _span(spans.within(0.9)))
            stages.add(f"{stage} {stage.zh}", str(len(spans)), *lengths)
    yield stages
    ways = Sheet("requests 请求", "share 占比", "way 路径")
    for way, count in figures.commonest(5):
        ways.add(str(count), f"{count / figures.requests:.0%}", " → ".join(way))
    yield ways
    problems = Sheet("top three problems 三大问题", "requests 请求", "share 占比")
    for problem in figures.problems[:3]:
        share = f"{problem.requests / figures.requests:.0%}"
        problems.add(f"{problem.name} {problem.zh}", str(problem.requests), share)
    if figures.problems:
        yield problems


def lines(mined: Mined) -> Iterator[str]:
    """What was skipped and what did not fit, and the whole in one line."""
    for number, why in mined.unreadable:
        yield f"{number}: skipped 已跳过: {why}"
    yield from outside(mined.figures)
    for path in mined.files:
        yield str(path)
    requests, events = Count(mined.figures.requests), Count(mined.figures.happenings)
    skipped, erased = len(mined.unreadable), mined.erased
    yield (
        f"{requests:request}, {events:event}; {skipped} skipped, {erased} erased. "
        f"共 {requests} 个服务请求，{events} 个事件；跳过 {skipped} 个，已清除 {erased} 个。"
    )


def _span(length: timedelta | None) -> str:
    return span(length.total_seconds(), roughly=True) if length is not None else "—"
