"""How a request's workflow is started, in one place for the API, the recovery and the tests."""

from datetime import timedelta

from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from domain.intake import Brief

from . import search_attributes
from .messages import TASK_QUEUE, Closing, Start
from .service_request import ServiceRequestWorkflow


async def start_request(
    client: Client,
    brief: Brief,
    *,
    history_limit: int = 5000,
    task_timeout: timedelta | None = None,
    rpc_timeout: timedelta = timedelta(seconds=5),
) -> WorkflowHandle[ServiceRequestWorkflow, Closing]:
    """Start the workflow of a request; started twice it is the same workflow. Needs no worker.

    Raises:
        temporalio.service.RPCError: Temporal did not answer in time.
        temporalio.exceptions.WorkflowAlreadyStartedError: the request ran before and is closed.
    """
    return await client.start_workflow(
        ServiceRequestWorkflow.run,
        Start(brief=brief, history_limit=history_limit),
        id=brief.number,
        task_queue=TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        search_attributes=search_attributes.initial(brief),
        static_summary=f"{brief.type.zh} · {brief.urgency.zh} · {brief.product.model}"[:200],
        task_timeout=task_timeout,
        rpc_timeout=rpc_timeout,
    )
