"""Whether a history is what today's code would have done, by the same rules, and its promises what
its events alone make of them.
"""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from temporalio.client import WorkflowHistory

from audit.event_log import Trace, trace
from audit.facts import told_by
from audit.faults import Fault, Finding
from audit.histories import Story
from audit.judging import judge
from audit.semantics import Watcher, differences, replay_whole
from audit.verdicts import Judged, judged
from domain.forms import Form, forms
from records.sealing import KeyRing


class Replayed(NamedTuple):
    """What came of one history.

    Attributes:
        judged: every promise, judged from what happened alone; None: it does not replay, it is not
            a request's whole history, or no worker has taken it up yet.
        trace: the request as an event log has it; None: likewise.
        forms: the forms that the request gave rise to.
        numbers: their numbers, by key.
        says: what its manifest has to say of how it went; empty: it does not replay.
    """

    findings: list[Finding]
    judged: Judged | None = None
    trace: Trace | None = None
    forms: list[Form] = []
    numbers: dict[str, str] = {}
    says: dict[str, Any] = {}


async def check_replay(ring: KeyRing, story: Story) -> Replayed:
    """Where today's code would have done something else than the history says, and whether the
    promises were what the events alone make of them.

    Without the sandbox, which only guards against code that is not deterministic: the tests run
    every workflow inside it, and an archive is read twice as fast without.
    """
    watcher = Watcher()
    findings = [finding async for finding in _replay(ring, story, watcher)]
    seen = not story.lacks and story.runs[-1].run_id in watcher.until
    if not seen or any(each.fault is Fault.replay_differs for each in findings):
        return Replayed(findings)
    told = await told_by(ring, story, watcher)
    try:
        found = judge(told)
    except (LookupError, TypeError, ValueError) as error:
        about = f"cannot be judged: {type(error).__name__}"
        findings.append(Finding(Fault.promise_differs, story.number, about))
        return Replayed(findings)
    findings += (Finding(Fault.promise_differs, story.number, str(each)) for each in found.doubts)
    request = told.request
    says = {
        "policy_version": request.policy.version,
        "outcome": request.outcome,
        "closed_at": request.closed_at,
    }
    verdict = judged(story, told, found)
    return Replayed(findings, verdict, trace(told), forms(request), dict(request.numbers), says)


async def check_unarchived(ring: KeyRing, story: Story) -> Replayed:
    """The same of a request that the server still has: it need not be over, but must be whole."""
    replayed = await check_replay(ring, story)
    if story.lacks:
        gap = Finding(Fault.history_incomplete, story.number, story.lacks)
        return replayed._replace(findings=[gap, *replayed.findings])
    return replayed


async def _replay(ring: KeyRing, story: Story, watcher: Watcher) -> AsyncIterator[Finding]:
    for run in story.runs:
        if not _was_worked_on(run):
            continue
        if (place := await replay_whole(ring, run, watcher)) is not None:
            yield Finding(Fault.replay_differs, story.number, str(place), place)
            continue
        for difference in await differences(run, watcher.deeds[run.run_id], ring):
            place = difference.place(run)
            yield Finding(Fault.rules_differ, story.number, str(place), place)


def _was_worked_on(run: WorkflowHistory) -> bool:
    """Whether a worker has taken it up yet; until then there is nothing to replay."""
    return any(event.HasField("workflow_task_completed_event_attributes") for event in run.events)
