"""A semantic replay: what today's code would do, compared with what the history says was done.

The SDK's replayer compares the kinds and the order of commands, not what they say: under a rule of
16 minutes instead of 15 it finds nothing wrong. Here every timer's duration and name, every step's
input and result, every search attribute and every answer is compared as well.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_commands import WorkflowCommand
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import WorkflowHistory
from temporalio.converter import PayloadCodec
from temporalio.worker import (
    Replayer,
    UnsandboxedWorkflowRunner,
    WorkflowInstance,
    WorkflowInstanceDetails,
    WorkflowRunner,
)
from temporalio.workflow import _Definition

from audit.commands import Course, Parting, is_change_version, parting
from domain.effects import Entry
from domain.masking import mask_text
from domain.tasks import FIND_ENGINEER, WRITE_DOWN, Search, WriteDown
from domain.vocabulary import Stage
from records.sealing import KeyRing
from runtime.codec import SealedPayloads
from runtime.temporal import plugin
from workflows.messages import Closing, Receipt, Receipts, Start
from workflows.service_request import ServiceRequestWorkflow

Key = tuple[str, str]
"""What was done, and which one of its kind: `("timer", "3")`, `("answer", "<update id>")`."""

Deeds = dict[Key, Any]
Written = tuple[str, Entry, Stage | None]
OnActivation = Callable[[str, datetime, ServiceRequestWorkflow], None]

STEP_INPUT = "step input"
"""What differs when a step was asked something else: only the hash of what it was asked is kept."""


class _Search(Search):
    """As it is read here: the request has no part in the hash and is most of the work."""

    request: Any


class _WriteDown(WriteDown):
    request: Any


_INPUTS: dict[str, type[_Search] | type[_WriteDown]] = {
    FIND_ENGINEER: _Search,
    WRITE_DOWN: _WriteDown,
}
_MODELS = (Receipt, Receipts, Closing, Start)


class Difference(NamedTuple):
    """One thing that the history has otherwise than today's code.

    Attributes:
        event: the id of the history's event; None: there is none.
    """

    event: int | None
    what: str
    recorded: Any
    computed: Any

    def place(self, run: WorkflowHistory) -> Parting:
        """Where that is in the run's history, in words a person reads."""
        event = next((each for each in run.events if each.event_id == self.event), None)
        return Parting.of(
            run.run_id, event, self.what, _in_words(self.recorded), _in_words(self.computed)
        )


class CannotReplay(Exception):
    """Today's code would have done something else than the history says."""


class Watcher(WorkflowRunner):
    """Runs workflows without the sandbox, and keeps what they do, by run.

    Args:
        on_activation: called with run id, workflow time and the workflow after each activation.

    Attributes:
        deeds: what each run did.
        courses: the same in words, in order.
        lines: the timeline's lines that each run wrote, with the step that wrote them and, beside
            the last of a step's lines, the stage of the request then.
        workflows: each run's workflow as it was left.
        until: the last moment of which each run knew.
    """

    def __init__(self, on_activation: OnActivation | None = None) -> None:
        self._runner = UnsandboxedWorkflowRunner()
        self._on_activation = on_activation
        self.deeds: dict[str, Deeds] = {}
        self.lines: dict[str, list[Written]] = {}
        self.workflows: dict[str, ServiceRequestWorkflow] = {}
        self.courses: dict[str, Course] = {}
        self.until: dict[str, datetime] = {}

    def prepare_workflow(self, defn: _Definition) -> None:
        """As without us."""
        self._runner.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """An instance whose activations are watched."""
        instance = self._runner.create_instance(det)
        run, activate = det.info.run_id, instance.activate
        deeds = self.deeds[run] = {}
        lines = self.lines[run] = []
        course = self.courses[run] = Course()

        def watched(act: WorkflowActivation) -> WorkflowActivationCompletion:
            completion = activate(act)
            self.workflows[run] = instance._object  # type: ignore[attr-defined]
            course.follow(act, completion)
            # Now, because what is sent on will be sealed in place.
            for command in completion.successful.commands:
                deeds.update(_done(command, len(deeds), lines))
            # Being dropped from the cache is an activation too, at no time at all.
            if act.HasField("timestamp"):
                moment = self.until[run] = act.timestamp.ToDatetime(tzinfo=UTC)
                if self._on_activation is not None:
                    self._on_activation(run, moment, instance._object)  # type: ignore[attr-defined]
            return completion

        instance.activate = watched  # type: ignore[method-assign]
        return instance


def watching_replayer(ring: KeyRing, watcher: Watcher) -> Replayer:
    """Replays on today's code under the watcher's eyes."""
    return Replayer(
        workflows=[ServiceRequestWorkflow], plugins=[plugin(ring)], workflow_runner=watcher
    )


async def replay_whole(ring: KeyRing, run: WorkflowHistory, watcher: Watcher) -> Parting | None:
    """Replay one run under the watcher's eyes; where today's code would have gone another way."""
    replayer = watching_replayer(ring, watcher)
    result = await replayer.replay_workflow(run, raise_on_replay_failure=False)
    if result.replay_failure is None:
        return None
    course = watcher.courses.get(run.run_id, Course())
    return await parting(run, course, result.replay_failure, SealedPayloads(ring))


async def differences(history: WorkflowHistory, computed: Deeds, ring: KeyRing) -> list[Difference]:
    """Where the history of one run says otherwise than today's code, in the history's order."""
    codec = SealedPayloads(ring)
    recorded: dict[Key, tuple[int, Any]] = {}
    accepted: dict[str, str] = {}
    attributes = 0
    for event in history.events:
        if event.HasField("workflow_execution_update_accepted_event_attributes"):
            update = event.workflow_execution_update_accepted_event_attributes
            accepted[update.accepted_request.meta.update_id] = update.protocol_instance_id
        if event.HasField("upsert_workflow_search_attributes_event_attributes"):
            if is_change_version(event):
                continue
            attributes += 1
        found = await _recorded(event, codec, accepted, attributes)
        if found is not None:
            recorded[found[0]] = (event.event_id, found[1])
    return list(_compared(recorded, _numbered(computed)))


def _compared(recorded: dict[Key, tuple[int, Any]], computed: Deeds) -> Iterator[Difference]:
    for key, (event, what) in recorded.items():
        if key not in computed:
            yield Difference(event, " ".join(key), what, None)
            continue
        ours = computed[key]
        # An old history does not say what its steps were asked.
        parts = what if key[0] == "step" else sorted({*what, *ours})
        for part in parts:
            path, (theirs, mine) = _parted(what.get(part), ours.get(part))
            if theirs != mine:
                yield Difference(event, " ".join([key[0], part, *path]), theirs, mine)


def _parted(one: Any, other: Any) -> tuple[list[str], tuple[Any, Any]]:
    """The innermost place at which two documents part first, and what each has there."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted({*one, *other}):
            if one.get(name) != other.get(name):
                path, both = _parted(one.get(name), other.get(name))
                return [name, *path], both
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            if mine != theirs:
                path, both = _parted(mine, theirs)
                return [f"[{place}]", *path], both
    return [], (one, other)


# --- what the code does ---------------------------------------------------------------------------


def _done(command: WorkflowCommand, count: int, lines: list[Written]) -> Deeds:
    match command.WhichOneof("variant"):
        case "start_timer":
            started = command.start_timer
            return {
                ("timer", str(started.seq)): {
                    "duration": started.start_to_fire_timeout.ToTimedelta(),
                    "name": _json(command.user_metadata.summary),
                }
            }
        case "schedule_local_activity":
            step = command.schedule_local_activity
            asked: dict[str, Any] = {"activity": step.activity_type}
            if model := _INPUTS.get(step.activity_type):
                (argument,) = step.arguments
                given = model.model_validate_json(argument.data)
                asked["input"] = given.digest
                if isinstance(given, WriteDown):
                    seq, stage = str(step.seq), Stage(given.request["stage"])
                    lines += [(seq, line, None) for line in given.entries[:-1]]
                    lines += [(seq, line, stage) for line in given.entries[-1:]]
            return {("step", str(step.seq)): asked}
        case "upsert_workflow_search_attributes":
            shown = command.upsert_workflow_search_attributes.search_attributes
            return {("shown", f"#{count}"): _fields(shown.indexed_fields)}
        case "update_response" if command.update_response.HasField("completed"):
            answer = command.update_response
            return {("answer", answer.protocol_instance_id): _said([answer.completed])}
        case "complete_workflow_execution":
            return {("result", ""): _said([command.complete_workflow_execution.result])}
        case "continue_as_new_workflow_execution":
            return {("continued", ""): _said(command.continue_as_new_workflow_execution.arguments)}
    return {}


def _numbered(computed: Deeds) -> Deeds:
    """Search attributes have no id: they are told apart by their order."""
    numbered: Deeds = {}
    upserts = 0
    for (kind, which), what in computed.items():
        if kind == "shown":
            upserts += 1
            which = str(upserts)
        numbered[kind, which] = what
    return numbered


# --- what the history says ------------------------------------------------------------------------


async def _recorded(
    event: HistoryEvent, codec: PayloadCodec, accepted: dict[str, str], attributes: int
) -> tuple[Key, dict[str, Any]] | None:
    match event.WhichOneof("attributes"):
        case "timer_started_event_attributes":
            started = event.timer_started_event_attributes
            (summary,) = await codec.decode([event.user_metadata.summary])
            span = started.start_to_fire_timeout.ToTimedelta()
            return ("timer", started.timer_id), {"duration": span, "name": _json(summary)}
        case "marker_recorded_event_attributes":
            details = event.marker_recorded_event_attributes.details
            if "data" not in details:
                return None
            data = json.loads((await codec.decode(details["data"].payloads))[0].data)
            step: dict[str, Any] = {"activity": data["activity_type"]}
            if "result" in details and data["activity_type"] in _INPUTS:
                (result,) = await codec.decode(details["result"].payloads)
                if digest := json.loads(result.data).get("asked"):
                    step["input"] = digest
            return ("step", str(data["seq"])), step
        case "upsert_workflow_search_attributes_event_attributes":
            shown = event.upsert_workflow_search_attributes_event_attributes.search_attributes
            return ("shown", str(attributes)), _fields(shown.indexed_fields)
        case "workflow_execution_update_completed_event_attributes":
            answer = event.workflow_execution_update_completed_event_attributes
            if not answer.outcome.HasField("success"):
                return None
            said = await codec.decode(answer.outcome.success.payloads)
            update_id = answer.meta.update_id
            return ("answer", accepted.get(update_id, update_id)), _said(said)
        case "workflow_execution_completed_event_attributes":
            final = event.workflow_execution_completed_event_attributes.result.payloads
            return ("result", ""), _said(await codec.decode(final))
        case "workflow_execution_continued_as_new_event_attributes":
            carried = event.workflow_execution_continued_as_new_event_attributes.input.payloads
            return ("continued", ""), _said(await codec.decode(carried))
    return None


# --- said to a person -----------------------------------------------------------------------------

_TOKEN = re.compile(r"[\w:.+\-]{1,80}(: [\w.+\-]{1,20})?", re.ASCII)
"""A word of ours, or a timer's name such as `accept: warned`; people write with spaces."""


def _in_words(value: Any) -> str:
    """A value in short; free text only by its length, because people stand in it."""
    match value:
        case None:
            return "nothing"
        case str() if not _TOKEN.fullmatch(value):
            return f"a text of {len(value)} characters"
        case list() if all(isinstance(each, str) and _TOKEN.fullmatch(each) for each in value):
            return f"[{', '.join(map(mask_text, value))}]"
        case str():
            return mask_text(value)
        case dict() | list():
            return f"{'fields' if isinstance(value, dict) else 'a list'}, {len(value)}"
    return str(value)


# --- said alike -----------------------------------------------------------------------------------


def _json(payload: Payload) -> Any:
    return json.loads(payload.data) if payload.data else None


def _fields(fields: Any) -> dict[str, Any]:
    return {name: _json(payload) for name, payload in sorted(fields.items())}


def _said(payloads: Iterable[Payload]) -> dict[str, Any]:
    """Documents as today's models read them, so that a field added since does not count."""
    return {f"document {n}": _normal(_json(p)) for n, p in enumerate(payloads)}


def _normal(document: Any) -> Any:
    for model in _MODELS:
        if isinstance(document, dict) and set(document) <= set(model.model_fields):
            try:
                return model.model_validate(document).model_dump(mode="json")
            except ValueError:
                continue
    return document
