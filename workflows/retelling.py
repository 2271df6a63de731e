"""What the workflow of a request wrote down, told again from its histories.

The timeline cannot be had from the request's state. But a replay does everything again, and what is
handed to the records passes by here.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import TypeAdapter
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import (
    Interceptor,
    Replayer,
    StartLocalActivityInput,
    UnsandboxedWorkflowRunner,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from temporalio.workflow import ActivityHandle

from domain.effects import Effect
from domain.tasks import WRITE_DOWN

from .service_request import ServiceRequestWorkflow

_EFFECTS: TypeAdapter[list[Effect]] = TypeAdapter(list[Effect])


async def retell(client: Client, number: str) -> list[Effect]:
    """The lines and messages of a request, in order, from all of its runs that are still kept.

    Raises:
        temporalio.service.RPCError: there is no such workflow, or the server did not answer.
        temporalio.workflow.NondeterminismError: today's code would have done something else.
    """
    listener = _Listener()
    run: str | None = None
    while run != "":
        try:
            history = await client.get_workflow_handle(number, run_id=run).fetch_history()
        except RPCError as error:
            if run is None or error.status is not RPCStatusCode.NOT_FOUND:
                raise
            break  # A run that ended longer ago than the server keeps them.
        await _replay(client, history, listener)
        run = _run_before(history)
    return [listener.heard[seq] for seq in sorted(listener.heard)]


def _run_before(history: WorkflowHistory) -> str:
    began = history.events[0].workflow_execution_started_event_attributes
    return began.continued_execution_run_id


async def _replay(client: Client, history: WorkflowHistory, listener: "_Listener") -> None:
    with ThreadPoolExecutor(1) as thread:
        replayer = Replayer(
            workflows=[ServiceRequestWorkflow],
            # The sandbox would keep what is heard to itself; it is of use to new code only.
            workflow_runner=UnsandboxedWorkflowRunner(),
            workflow_task_executor=thread,
            data_converter=client.data_converter,
            interceptors=[listener],
        )
        await replayer.replay_workflow(history)


class _Listener(Interceptor):
    """Hears what replayed workflows hand to the records, by its running number."""

    def __init__(self) -> None:
        self.heard: dict[int, Effect] = {}

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor]:
        heard = self.heard

        class Inbound(WorkflowInboundInterceptor):
            def init(self, outbound: WorkflowOutboundInterceptor) -> None:
                super().init(_Outbound(outbound, heard))

        return Inbound


class _Outbound(WorkflowOutboundInterceptor):
    def __init__(self, next: WorkflowOutboundInterceptor, heard: dict[int, Effect]) -> None:
        super().__init__(next)
        self._heard = heard

    def start_local_activity(self, input: StartLocalActivityInput) -> ActivityHandle[Any]:
        if input.activity == WRITE_DOWN:
            task = input.args[0]
            # As it comes out at the other end.
            travelled = _EFFECTS.dump_json([*task.entries, *task.messages])
            self._heard |= {effect.seq: effect for effect in _EFFECTS.validate_json(travelled)}
        return super().start_local_activity(input)
