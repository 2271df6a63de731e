"""Histories as they are kept: the raw events of every run, just as the server had them, sealed with
a key of the record's own."""

import contextlib
import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from records.sealing import DataKey, Unsealable


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
    def is_whole(self) -> bool:
        """Whether it begins where the request began, and not with a later run."""
        started = self.runs[0].events[0].workflow_execution_started_event_attributes
        return not started.continued_execution_run_id

    @property
    def is_about(self) -> set[str]:
        """The requests that the file and its runs say they belong to: one, if all is well."""
        started = (run.events[0].workflow_execution_started_event_attributes for run in self.runs)
        return {self.number, *(each.workflow_id for each in started)}

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
            if not runs or not all(run.events for run in runs):
                raise ValueError
            return cls(kept["number"], runs)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise NoHistory(f"no history in this file ({type(error).__name__})") from None


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


async def fetch(client: Client, number: str) -> Story:
    """The history of a request as far as it goes, every run of it.

    Raises:
        HistoryGone: the server does not have it any more.
        temporalio.service.RPCError: the server did not answer.
    """
    try:
        described = await client.get_workflow_handle(number).describe()
        run = described.raw_description.workflow_execution_info.first_run_id
        runs = []
        while run:
            handle = client.get_workflow_handle(number, run_id=run)
            history = await handle.fetch_history()
            runs.append(WorkflowHistory(number, history.events))
            run = _continued_as(history)
    except RPCError as error:
        raise _gone(error, number) from None
    return Story(number, tuple(runs))


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


def _continued_as(history: WorkflowHistory) -> str:
    last = history.events[-1].workflow_execution_continued_as_new_event_attributes
    return last.new_execution_run_id
