"""`aftersales audit verify`: the archive inspected, and what was found told to a person."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from audit.manifests import Manifest
from audit.store import Store
from audit.verification import (
    Finding,
    check_month,
    check_one,
    check_replay,
    story,
)
from records.sealing import KeyRing


@dataclass
class Verdict:
    """One archived request, and everything that is wrong with it."""

    manifest: Manifest
    findings: list[Finding] = field(default_factory=list)


@dataclass
class Inspection:
    """Everything that was looked at.

    Attributes:
        stray: what is wrong with the archive itself rather than with one request.
    """

    verdicts: list[Verdict] = field(default_factory=list)
    stray: list[Finding] = field(default_factory=list)

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
                    "verdict": "faulty" if verdict.findings else "sound",
                    "findings": [plain(finding) for finding in verdict.findings],
                }
                for verdict in self.verdicts
            ],
            "findings": [plain(finding) for finding in self.stray],
            "sound": not self.findings,
        }
        return json.dumps(content, ensure_ascii=False, indent=1)


async def inspect(
    store: Store,
    ring: KeyRing,
    keys: Sequence[str],
    *,
    number: str | None = None,
    month: str | None = None,
    console: Console | None = None,
) -> Inspection:
    """Inspect one request or one month: files, chain, signature, and each history replayed.

    Args:
        keys: the public keys that may have signed.
        console: where progress is shown, if it is a terminal.
    """
    wanted = check_one(store, number) if number else check_month(store, month or "", keys)
    result = Inspection()
    for each in wanted:
        if isinstance(each, Manifest):
            result.verdicts.append(Verdict(each))
        elif result.verdicts and each.where == result.verdicts[-1].manifest.number:
            result.verdicts[-1].findings.append(each)
        else:
            result.stray.append(each)
    whole = [verdict for verdict in result.verdicts if not verdict.findings]
    with Progress(console=console, disable=console is None or not console.is_terminal) as progress:
        for verdict in progress.track(whole, description="Replaying 重放"):
            verdict.findings += [f async for f in _replayed(store, ring, verdict.manifest)]
    return result


async def _replayed(store: Store, ring: KeyRing, manifest: Manifest) -> AsyncIterator[Finding]:
    async for finding in check_replay(ring, story(store, manifest)):
        yield finding


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
            "\n".join(_told(finding) for finding in verdict.findings) or "sound 完好",
        )
    return shown


def lines(result: Inspection) -> Iterator[str]:
    """What is wrong with the archive itself, and the whole in one line."""
    for finding in result.stray:
        yield f"{finding.where}: {_told(finding)}"
    faulty = len(result.findings)
    yield (
        f"{len(result.verdicts)} requests, {faulty} faults. 共 {len(result.verdicts)} 个服务请求，"
        f"{faulty} 处问题。"
    )


def _told(finding: Finding) -> str:
    return f"{finding.fault}: {finding.detail}"


def plain(finding: Finding) -> dict[str, str]:
    """A finding in JSON types."""
    return {"fault": finding.fault.value, "where": finding.where, "detail": finding.detail}
