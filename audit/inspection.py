"""`aftersales audit verify`: the archive inspected, and what was found told to a person."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from audit.manifests import Erasure, Manifest
from audit.parallel import Source, check_all, from_store
from audit.store import Store
from audit.verification import (
    Checked,
    Finding,
    check_month,
    check_one,
    check_replay,
    how_many,
    story,
)
from records.sealing import KeyRing

FEW = 10
"""So many are sooner replayed here than other processes are started."""


@dataclass
class Verdict:
    """One archived request, and everything that is wrong with it.

    Attributes:
        erased: the entry that says that it was erased; None: it was not.
    """

    manifest: Manifest
    erased: Erasure | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def word(self) -> str:
        """The verdict in a word."""
        return "faulty" if self.findings else "erased" if self.erased else "sound"


@dataclass
class Inspection:
    """Everything that was looked at.

    Attributes:
        stray: what is wrong with the archive itself rather than with one request.
        gone: a request that was erased before it was archived.
    """

    verdicts: list[Verdict] = field(default_factory=list)
    stray: list[Finding] = field(default_factory=list)
    gone: Erasure | None = None

    @property
    def findings(self) -> list[Finding]:
        """All of them."""
        return [*self.stray, *(f for verdict in self.verdicts for f in verdict.findings)]

    def as_json(self) -> str:
        """For machines."""
        content: dict[str, Any] = {
            "requests": [
                {
                    **verdict.manifest.model_dump(mode="json"),
                    "verdict": verdict.word,
                    "erased": _said_of(verdict.erased),
                    "findings": [plain(finding) for finding in verdict.findings],
                }
                for verdict in self.verdicts
            ],
            "erased": _said_of(self.gone),
            "findings": [plain(finding) for finding in self.stray],
            "sound": not self.findings,
        }
        return json.dumps(content, ensure_ascii=False, indent=1)


async def inspect(
    store: Store,
    ring: str,
    keys: Sequence[str],
    *,
    number: str | None = None,
    month: str | None = None,
    console: Console | None = None,
) -> Inspection:
    """Inspect one request or one month: files, chain, signature, and each history replayed.

    What was erased is not replayed: nobody opens it any more.

    Args:
        ring: the key ring in writing.
        keys: the public keys that may have signed.
        console: where progress is shown, if it is a terminal.
    """
    read = KeyRing.read(ring)
    wanted = (
        check_one(store, read, number) if number else check_month(store, read, month or "", keys)
    )
    result = Inspection()
    whole = _whole(wanted, result)
    count = 1 if number else how_many(store, month or "")
    if count <= FEW:
        for verdict in whole:
            told = story(store, read, verdict.manifest)
            verdict.findings += [finding async for finding in check_replay(read, told)]
        return result
    replaying: dict[str, Verdict] = {}

    def files() -> Iterator[tuple[str, Source]]:
        for verdict in whole:
            replaying[verdict.manifest.number] = verdict
            yield verdict.manifest.number, from_store(store.url, verdict.manifest)

    with Progress(console=console, disable=console is None or not console.is_terminal) as progress:
        bar = progress.add_task("Replaying 重放", total=count)
        async for name, findings in check_all(files(), ring):
            replaying.pop(name).findings += findings
            progress.update(bar, completed=len(result.verdicts) - len(replaying))
    return result


def _whole(checked: Iterator[Checked], result: Inspection) -> Iterator[Verdict]:
    """Note what is checked, and give each verdict that is sound so far as soon as that is known.

    So the other processes replay while this one goes on checking files.
    """
    last: Verdict | None = None
    for each in checked:
        if isinstance(each, Manifest):
            if last is not None and last.word == "sound":
                yield last
            last = Verdict(each)
            result.verdicts.append(last)
        elif isinstance(each, Erasure) and last is not None:
            last.erased = each
        elif isinstance(each, Erasure):
            result.gone = each
        elif last is not None and each.where == last.manifest.number:
            last.findings.append(each)
        else:
            result.stray.append(each)
    if last is not None and last.word == "sound":
        yield last


def table(result: Inspection) -> Table:
    """For people, in both languages."""
    shown = Table("request 服务请求", "closed 归档", "events 事件", "outcome 结果", "verdict 结论")
    for verdict in result.verdicts:
        kept = verdict.manifest
        shown.add_row(
            kept.number,
            f"{kept.closed_at:%Y-%m-%d %H:%M}Z",
            str(kept.events),
            kept.outcome or "—",
            "\n".join(_told(finding) for finding in verdict.findings) or _SHOWN[verdict.word],
        )
    return shown


_SHOWN = {"sound": "sound 完好", "erased": "erased 已清除"}


def lines(result: Inspection) -> Iterator[str]:
    """What is wrong with the archive itself, and the whole in one line."""
    for finding in result.stray:
        yield f"{finding.where}: {_told(finding)}"
    if result.gone:
        told = f"{result.gone.number}: erased before it was archived. 归档之前已清除。"
        yield told
    faulty = len(result.findings)
    yield (
        f"{len(result.verdicts)} requests, {faulty} faults. 共 {len(result.verdicts)} 个服务请求，"
        f"{faulty} 处问题。"
    )


_TOLD = {"number", "at", "why"}


def _said_of(erasure: Erasure | None) -> dict[str, Any] | None:
    return None if erasure is None else erasure.model_dump(mode="json", include=_TOLD)


def _told(finding: Finding) -> str:
    return f"{finding.fault}: {finding.detail}"


def plain(finding: Finding) -> dict[str, str]:
    """A finding in JSON types."""
    return {"fault": finding.fault.value, "where": finding.where, "detail": finding.detail}
