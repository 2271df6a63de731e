"""`aftersales audit verify`: the archive inspected, and what was found told to a person."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from audit.manifests import Erasure, Manifest
from audit.parallel import check_all, from_store
from audit.store import Store
from audit.verification import (
    Finding,
    check_month,
    check_one,
    check_replay,
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
    for each in wanted:
        if isinstance(each, Manifest):
            result.verdicts.append(Verdict(each))
        elif isinstance(each, Erasure) and result.verdicts:
            result.verdicts[-1].erased = each
        elif isinstance(each, Erasure):
            result.gone = each
        elif result.verdicts and each.where == result.verdicts[-1].manifest.number:
            result.verdicts[-1].findings.append(each)
        else:
            result.stray.append(each)
    whole = {v.manifest.number: v for v in result.verdicts if v.word == "sound"}
    if len(whole) <= FEW:
        for verdict in whole.values():
            told = story(store, read, verdict.manifest)
            verdict.findings += [finding async for finding in check_replay(read, told)]
        return result
    files = [(number, from_store(store.url, v.manifest)) for number, v in whole.items()]
    with Progress(console=console, disable=console is None or not console.is_terminal) as progress:
        bar = progress.add_task("Replaying 重放", total=len(files))
        async for number, findings in check_all(files, ring):
            whole[number].findings += findings
            progress.advance(bar)
    return result


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
