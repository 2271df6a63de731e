"""How a stream hears that something is queued: its workflow is signalled, or started."""

from datetime import timedelta

from temporalio.client import Client

from domain.deliveries import KNOCK, WEBHOOK_QUEUE, Stream

from .webhook_stream import WebhookStreamWorkflow

PATIENCE = timedelta(seconds=5)


async def knock(client: Client, stream: Stream, hurried: bool) -> None:
    """Have the stream look for what stands next. Needs no worker.

    Raises:
        temporalio.service.RPCError: Temporal did not answer in time.
    """
    await client.start_workflow(
        WebhookStreamWorkflow.run,
        stream,
        id=stream.workflow_id,
        task_queue=WEBHOOK_QUEUE,
        start_signal=KNOCK,
        start_signal_args=[hurried],
        static_summary=stream.number,
        rpc_timeout=PATIENCE,
    )
