"""What a workflow asks for, in words: the same words for a history's events and a build's commands.

A replay that fails is told by the first place at which the two lists part.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_commands import WorkflowCommand
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import WorkflowHistory
from temporalio.converter import PayloadCodec

_OWN_CODE = ("/workflows/", "/domain/")
_CHANGE_VERSION = "TemporalChangeVersion"

_PLAIN_EVENTS = {
    "timer_canceled_event_attributes": "timer cancelled",
    "workflow_execution_update_accepted_event_attributes": "update accepted",
    "workflow_execution_update_completed_event_attributes": "update answered",
    "workflow_execution_completed_event_attributes": "closed",
    "workflow_execution_failed_event_attributes": "failed",
    "workflow_execution_canceled_event_attributes": "cancelled",
    "workflow_execution_continued_as_new_event_attributes": "continued as new",
    "workflow_properties_modified_event_attributes": "memo",
}
_PLAIN_COMMANDS = {
    "complete_workflow_execution": "closed",
    "fail_workflow_execution": "failed",
    "cancel_workflow_execution": "cancelled",
    "continue_as_new_workflow_execution": "continued as new",
    "modify_workflow_properties": "memo",
}
_NO_COMMANDS = ("respond_to_query", "request_cancel_local_activity")


class Raised(NamedTuple):
    """An error that the build raised: of what type and where, not with which words.

    Attributes:
        task: the history's event at which it was raised.
    """

    task: int
    error: str
    where: str

    def __str__(self) -> str:
        return f"raised {self.error}{self.where and f' at {self.where}'}"


class Course:
    """What one run does, command by command, in the order in which a history would have them."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.raised: Raised | None = None
        self._steps: dict[int, str] = {}
        self._timers: dict[int, int] = {}
        self._task = 0

    def follow(self, act: WorkflowActivation, completion: WorkflowActivationCompletion) -> None:
        """Note what was answered to an activation."""
        if act.history_length != self._task:
            self._task = act.history_length
            self._timers.clear()
        for job in act.jobs:
            # A local step stands in the history where it ended, not where it began.
            if job.HasField("resolve_activity") and job.resolve_activity.seq in self._steps:
                self.commands.append(f"step {self._steps.pop(job.resolve_activity.seq)}")
        if completion.HasField("failed"):
            self.raised = _raised(self._task, completion)
        for command in completion.successful.commands:
            self._note(command)

    def _note(self, command: WorkflowCommand) -> None:
        variant = command.WhichOneof("variant") or ""
        match variant:
            case "schedule_local_activity":
                step = command.schedule_local_activity
                self._steps[step.seq] = step.activity_type
            case "start_timer":
                self._timers[command.start_timer.seq] = len(self.commands)
                self.commands.append(f"timer {_text(command.user_metadata.summary)}".rstrip())
            case "cancel_timer":
                begun = self._timers.pop(command.cancel_timer.seq, None)
                # Started and cancelled within one task: the history has neither.
                if begun is None:
                    self.commands.append("timer cancelled")
                else:
                    del self.commands[begun]
            case "upsert_workflow_search_attributes":
                shown = command.upsert_workflow_search_attributes.search_attributes
                self.commands.append(_shown(shown.indexed_fields))
            case "update_response":
                answer = command.update_response.WhichOneof("response")
                if answer != "rejected":
                    said = "accepted" if answer == "accepted" else "answered"
                    self.commands.append(f"update {said}")
            case "set_patch_marker":
                self.commands.append(f"patch {command.set_patch_marker.patch_id}")
            case _ if variant not in _NO_COMMANDS:
                self.commands.append(_PLAIN_COMMANDS.get(variant, variant.replace("_", " ")))


class Parting(NamedTuple):
    """Where a run of a request parts from its history.

    Attributes:
        run: the run's id.
        event: the history's event; None: the history has none there.
        type: that event's type, as Temporal's pages show it.
        at: when it was written.
        what: what differs.
        history: what the history has.
        build: what the build does.
    """

    run: str
    event: int | None
    type: str | None
    at: datetime | None
    what: str
    history: str
    build: str

    @classmethod
    def of(
        cls, run: str, event: HistoryEvent | None, what: str, history: str, build: str
    ) -> "Parting":
        """At this event."""
        if event is None:
            return cls(run, None, None, None, what, history, build)
        at = event.event_time.ToDatetime(tzinfo=UTC)
        return cls(run, event.event_id, event_type(event), at, what, history, build)

    def __str__(self) -> str:
        where = f"event {self.event} {self.type}" if self.event else "not in the history"
        return f"{self.what} ({where}): history {self.history}, build {self.build}"


async def parting(
    run: WorkflowHistory, course: Course, error: Exception, codec: PayloadCodec
) -> Parting:
    """The first place at which a build that does not replay a run does something else.

    An error that the build raised counts first: nothing it would have done after is known.

    Args:
        error: what the replayer said, for want of anything better.
    """
    events = run.events
    if course.raised is not None:
        event = next((each for each in events if each.event_id == course.raised.task), None)
        return Parting.of(run.run_id, event, "the build fails", "went on", str(course.raised))
    recorded = [(event, word) for event in events if (word := await _recorded(event, codec))]
    for place, (event, word) in enumerate(recorded):
        done = course.commands[place] if place < len(course.commands) else "nothing"
        if done != word:
            return Parting.of(run.run_id, event, "another command", word, done)
    more = course.commands[len(recorded) :]
    said = more[0] if more else " ".join(str(error).split())[:300]
    return Parting.of(run.run_id, None, "another command", "nothing", said)


def event_type(event: HistoryEvent) -> str:
    """`TimerStarted`, as Temporal's pages and the SDK's messages have it."""
    name = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")
    return "".join(word.capitalize() for word in name.split("_"))


def is_change_version(event: HistoryEvent) -> bool:
    """Whether an upsert of search attributes is `patched`'s own, not the workflow's."""
    upserted = event.upsert_workflow_search_attributes_event_attributes.search_attributes
    return set(upserted.indexed_fields) == {_CHANGE_VERSION}


async def _recorded(event: HistoryEvent, codec: PayloadCodec) -> str | None:
    kind = event.WhichOneof("attributes") or ""
    match kind:
        case "timer_started_event_attributes":
            (summary,) = await codec.decode([event.user_metadata.summary])
            return f"timer {_text(summary)}".rstrip()
        case "marker_recorded_event_attributes":
            return await _marker(event, codec)
        case "upsert_workflow_search_attributes_event_attributes" if not is_change_version(event):
            upserted = event.upsert_workflow_search_attributes_event_attributes.search_attributes
            return _shown(upserted.indexed_fields)
        case "activity_task_scheduled_event_attributes":
            return "schedule activity"
    return _PLAIN_EVENTS.get(kind)


async def _marker(event: HistoryEvent, codec: PayloadCodec) -> str:
    marker = event.marker_recorded_event_attributes
    (key, word) = {
        "core_local_activity": ("activity_type", "step"),
        "core_patch": ("id", "patch"),
    }.get(marker.marker_name, ("", marker.marker_name))
    detail = "patch-data" if marker.marker_name == "core_patch" else "data"
    payloads = marker.details[detail].payloads if detail in marker.details else ()
    data: list[Any] = [json.loads(p.data) for p in await codec.decode(payloads)]
    return " ".join([word, *(str(each.get(key, "")) for each in data[:1])])


def _shown(names: Iterable[str]) -> str:
    return f"search attributes {' '.join(sorted(names))}"


def _text(payload: Payload) -> str:
    return str(json.loads(payload.data)) if payload.data else ""


def _raised(task: int, completion: WorkflowActivationCompletion) -> Raised:
    failure = completion.failed.failure
    error = failure.application_failure_info.type or "an error"
    stack = failure.stack_trace
    if failure.encoded_attributes.data:
        stack = json.loads(failure.encoded_attributes.data).get("stack_trace", "")
    return Raised(task, error, next(_frames(stack), ""))


def _frames(stack: str) -> Iterator[str]:
    """Our own lines in a stack, the innermost first."""
    for line in reversed(stack.splitlines()):
        path, _, rest = line.strip().removeprefix('File "').partition('", line ')
        if rest and any(folder in path for folder in _OWN_CODE):
            number, _, function = rest.partition(", in ")
            yield f"{'/'.join(path.split('/')[-2:])}:{number} in {function}"
