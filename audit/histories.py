"""Histories as they are kept: the raw events of every run, just as the server had them, sealed with
a key of the record's own."""

import contextlib
import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import WorkflowExecutionStartedEventAttributes
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from records.sealing import DataKey, Unsealable
from workflows.messages import WORKFLOW

_ATTRIBUTES = {
    kind: f"{name.removeprefix('EVENT_TYPE_').lower()}_event_attributes"
    for name, kind in EventType.items()
    if kind
}

_ENDS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
}


class HistoryGone(Exception):
    """The server does not have the history, or not any more."""


class NoHistory(ValueError):
    """A file that holds no history."""


@dataclass(frozen=True)
class Story:
    """The history of one request: one run after another, each continued as the next."""

    number: str
    runs: tuple[WorkflowHistory, ...]

    @property
    def events(self) -> int:
        """How many events there are in all."""
        return sum(len(run.events) for run in self.runs)

    @property
    def lacks(self) -> str | None:
        """Which run is not there although the others tell of it; None: none."""
        if earlier := _started(self.runs[0]).continued_execution_run_id:
            return f"the run before the first, {earlier}, is not there"
        for run, later in pairwise(self.runs):
            if (next_run := _continued_as(run)) != later.run_id:
                return f"the run after {run.run_id}, {next_run or 'the last'}, is not there"
        return None

    @property
    def is_over(self) -> bool:
        """Whether it ends for good, and not in the middle or by going on in another run."""
        return self.runs[-1].events[-1].event_type in _ENDS

    @property
    def is_about(self) -> set[str]:
        """The requests that the file and its runs say they belong to: one, if all is well."""
        return {self.number, *(_started(run).workflow_id for run in self.runs)}

    @property
    def builds(self) -> tuple[str, ...]:
        """The code versions that ran it, in order."""
        return tuple(
            dict.fromkeys(
                build
                for run in self.runs
                for event in run.events
                if (build := event.workflow_task_completed_event_attributes.worker_version.build_id)
            )
        )

    def as_json(self) -> dict[str, Any]:
        """The events in JSON types, payloads still sealed."""
        runs = [{"run": run.run_id, "history": run.to_json_dict()} for run in self.runs]
        return {"number": self.number, "runs": runs}

    def written(self) -> bytes:
        """The history in bytes: always the same for the same history."""
        # Sorted: a map of protobuf's has no order of its own.
        content = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return gzip.compress(content.encode(), compresslevel=6, mtime=0)

    def sealed(self, key: DataKey) -> bytes:
        """The file's content: it opens only with this key, as this request's history."""
        return key.seal_bytes(self.written(), _about(self.number))

    @classmethod
    def opened(cls, sealed: bytes, key: DataKey, number: str) -> "Story":
        """The history in a request's file.

        Raises:
            NoHistory: the key does not open it, or there is none in it.
        """
        try:
            return cls.read(key.open_bytes(sealed, _about(number)))
        except Unsealable:
            raise NoHistory("its key does not open it") from None

    @classmethod
    def read(cls, content: bytes) -> "Story":
        """The history in what was `written`.

        Raises:
            NoHistory: there is none in it.
        """
        try:
            kept: Any = json.loads(gzip.decompress(content))
            runs = tuple(
                WorkflowHistory.from_json(kept["number"], run["history"]) for run in kept["runs"]
            )
        except Exception as error:  # Of gzip, zlib, JSON and protobuf, and none is ours.
            raise NoHistory(f"no history in this file ({type(error).__name__})") from None
        if not runs or not all(map(_is_sensible, runs)):
            raise NoHistory("the runs in this file are not whole, one event after another")
        return cls(kept["number"], runs)


async def is_running(client: Client, number: str) -> bool:
    """Whether the request's workflow still runs.

    Raises:
        HistoryGone: the server does not know it any more.
        temporalio.service.RPCError: the server did not answer.
    """
    try:
        described = await client.get_workflow_handle(number).describe()
    except RPCError as error:
        raise _gone(error, number) from None
    return described.status is WorkflowExecutionStatus.RUNNING


async def fetch(
    client: Client, number: str, kept: Mapping[str, WorkflowHistory] | None = None
) -> Story:
    """The history of a request as far as it goes, every run of it.

    Args:
        kept: earlier runs by their ids, which the server need not have any more. What is lacking
            in both leaves a gap.

    Raises:
        HistoryGone: the server does not have it any more.
        temporalio.service.RPCError: the server did not answer.
    """
    # Not by what a run says of itself: after a reset it gives the id of the one before.
    known = dict(kept or {})

    async def run_of(run: str) -> WorkflowHistory:
        if run not in known:
            known[run] = await fetch_run(client, number, run)
        return known[run]

    runs = [await run_of("")]
    with contextlib.suppress(HistoryGone):
        while earlier := _started(runs[0]).continued_execution_run_id:
            runs.insert(0, await run_of(earlier))
    while later := _continued_as(runs[-1]):
        runs.append(await run_of(later))
    reached = set(map(id, runs))
    beyond = [run for run in known.values() if id(run) not in reached]
    return Story(number, (*sorted(beyond, key=_began), *runs))


async def fetch_run(client: Client, number: str, run: str) -> WorkflowHistory:
    """One run of a request, as far as it goes.

    Args:
        run: its id; empty: the last one.

    Raises:
        HistoryGone: the server does not have it any more.
        temporalio.service.RPCError: the server did not answer.
    """
    try:
        history = await client.get_workflow_handle(number, run_id=run or None).fetch_history()
    except RPCError as error:
        raise _gone(error, number) from None
    return WorkflowHistory(number, history.events)


async def delete(client: Client, number: str, known: Iterable[str] = ()) -> bool:
    """Delete every run of a closed request from the server; whether there may be more to delete.

    The server does it in its own time: ask again until nothing is left.

    Args:
        known: run ids that belong to it; the server's own list may lag behind.

    Raises:
        temporalio.service.RPCError: the server did not answer.
    """
    with contextlib.suppress(HistoryGone):
        if await is_running(client, number):
            return True  # Its last workflow task is still to come.
    # The last run at the end: through it the others are found.
    runs = [*known, *[each.run_id async for each in client.list_workflows(_all_runs(number))], ""]
    return any([await _delete(client, number, run) for run in dict.fromkeys(runs)])


def _all_runs(number: str) -> str:
    return f"WorkflowId = '{number}'"


async def _delete(client: Client, number: str, run: str) -> bool:
    execution = WorkflowExecution(workflow_id=number, run_id=run)
    try:
        await client.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(
                namespace=client.namespace, workflow_execution=execution
            ),
            retry=True,
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


def _about(number: str) -> str:
    return f"history/{number}"


def _gone(error: RPCError, number: str) -> Exception:
    return HistoryGone(number) if error.status is RPCStatusCode.NOT_FOUND else error


def _began(history: WorkflowHistory) -> int:
    return history.events[0].event_time.ToNanoseconds()


def _started(history: WorkflowHistory) -> WorkflowExecutionStartedEventAttributes:
    return history.events[0].workflow_execution_started_event_attributes


def _is_sensible(history: WorkflowHistory) -> bool:
    """Whether it begins as a request does, and goes on event by event, each what it says it is.

    To replay another might wait for ever.
    """
    if not history.events or _started(history).workflow_type.name != WORKFLOW:
        return False
    kinds = ((_ATTRIBUTES.get(each.event_type), each) for each in history.events)
    return all(
        kind and each.event_id == place and each.HasField(kind)  # type: ignore[arg-type]
        for place, (kind, each) in enumerate(kinds, 1)
    )


def _continued_as(history: WorkflowHistory) -> str:
    last = history.events[-1].workflow_execution_continued_as_new_event_attributes
    return last.new_execution_run_id
