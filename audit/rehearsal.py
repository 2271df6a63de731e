"""A rehearsal: what production really holds, replayed on this build before it is deployed."""

import json
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

from rich.console import Console
from temporalio.client import Client
from temporalio.common import WorkerDeploymentVersion

from audit.faults import Fault, Finding
from audit.histories import HistoryGone, Story, fetch_run
from audit.parallel import Source, Untold, check_all, in_hand, progress
from audit.semantics import STEP_INPUT
from audit.wording import Count
from workflows.messages import WORKFLOW


class Run(NamedTuple):
    """One run of a request's workflow."""

    number: str
    run: str


async def sample(
    client: Client,
    size: int,
    since: datetime | None = None,
    *,
    version: WorkerDeploymentVersion | None = None,
    seed: int | None = None,
) -> list[Run]:
    """That many runs at random, or all if there are fewer.

    Args:
        since: only those that started since then.
        version: only those that are pinned to this build, or were run by it last.

    Raises:
        temporalio.service.RPCError: the server did not answer.
    """
    query = f"WorkflowType = '{WORKFLOW}'"
    if since is not None:
        query += f" AND StartTime >= '{since.astimezone(UTC).isoformat()}'"
    if version is not None:
        name = f"{version.deployment_name}:{version.build_id}"
        query += f" AND TemporalWorkerDeploymentVersion = '{name}'"
    # No secret depends on it.
    chance = random.Random(seed)  # noqa: S311
    chosen: list[Run] = []
    seen = 0
    async for found in client.list_workflows(query):
        seen += 1
        run = Run(found.id, found.run_id)
        if len(chosen) < size:
            chosen.append(run)
        elif (place := chance.randrange(seen)) < size:
            chosen[place] = run
    return chosen


@dataclass
class Rehearsal:
    """What came of it.

    Attributes:
        replayed: how many runs.
        gone: how many the server had no more when they were to be replayed.
        differing: what this build would have done otherwise, by run.
    """

    replayed: int = 0
    gone: int = 0
    differing: list[tuple[Run, list[Finding]]] = field(default_factory=list)

    def as_json(self) -> str:
        """For machines."""
        content = {
            "replayed": self.replayed,
            "gone": self.gone,
            "differing": len(self.differing),
            "runs": [_plain(run, findings) for run, findings in self.differing],
        }
        return json.dumps(content, ensure_ascii=False, indent=1)


async def rehearse(
    client: Client,
    runs: list[Run],
    ring: str,
    processes: int | None = None,
    console: Console | None = None,
) -> Rehearsal:
    """Replay the runs on this build, a few in memory at a time.

    Args:
        ring: the key ring in writing.
        console: where progress is shown, if it is a terminal.

    Raises:
        temporalio.service.RPCError: the server did not answer.
    """
    result = Rehearsal()
    with progress(console) as shown:
        bar = shown.add_task("Replaying 重放", total=len(runs))
        async for name, replayed in check_all(_fetched(client, runs, result), ring, processes):
            result.replayed += 1
            run = Run(*name.split())
            if isinstance(replayed, Untold):
                findings = [Finding(Fault.history_unreadable, run.number, replayed.why)]
            else:
                findings = replayed.findings
            if findings:
                result.differing.append((run, findings))
            shown.advance(bar)
    return result


def lines(result: Rehearsal) -> Iterator[str]:
    """For people, in both languages: where each run first differs, then the whole in one line."""
    for run, findings in result.differing:
        told = _telling(findings)
        yield f"{run.number}  run 运行 {run.run}  {findings[0].fault}"
        for finding in told:
            yield from _told(finding)
        if more := len(findings) - len(told):
            yield f"  and {more} more 另有 {more} 处"
    runs, differing = Count(result.replayed), Count(len(result.differing))
    gone = ("", "")
    if result.gone:
        gone = f", {result.gone} gone meanwhile", f"，{result.gone} 次已不在"
    yield f"{runs:run} replayed, {differing:differs|differ}{gone[0]}."
    yield f"共重放 {runs} 次运行，{differing} 次不一致{gone[1]}。"


def _telling(findings: list[Finding]) -> list[Finding]:
    """The first; of a step's input only a hash is known, so with it the first that says more."""
    first = findings[0]
    if first.place is None or first.place.what != STEP_INPUT:
        return [first]
    others = (each for each in findings if each.place and each.place.what != STEP_INPUT)
    return [first, *islice(others, 1)]


def _told(finding: Finding) -> Iterator[str]:
    place = finding.place
    if place is None:
        yield f"  {finding.detail}"
        return
    event = "not in the history 历史中没有"
    if place.event is not None:
        event = f"{place.event} {place.type}, {place.at:%Y-%m-%d %H:%M:%S}Z"
    yield f"  event 事件: {event}"
    yield f"    differs 差异: {place.what}"
    yield f"    history 历史: {place.history}"
    yield f"    build 此版本: {place.build}"


def _plain(run: Run, findings: list[Finding]) -> dict[str, Any]:
    """A run and everything in it that differs, in JSON types."""
    differences = []
    for each in findings:
        place: dict[str, Any] = each.place._asdict() if each.place else {}
        place["at"] = each.place.at.isoformat() if each.place and each.place.at else None
        differences.append({"fault": each.fault.value, "detail": each.detail, **place})
    return {"number": run.number, "run": run.run, "differences": differences}


async def _fetched(
    client: Client, runs: list[Run], result: Rehearsal
) -> AsyncIterator[tuple[str, Source]]:
    for number, run in runs:
        try:
            history = await fetch_run(client, number, run)
        except HistoryGone:
            result.gone += 1
            continue
        yield f"{number} {run}", in_hand(Story(number, (history,)))
