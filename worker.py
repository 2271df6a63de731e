"""The worker process: it moves the requests, and sends what they have to tell."""

import asyncio
import contextlib
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import structlog
from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import PollerBehaviorAutoscaling, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.courier import Courier, LogGateway
from activities.registry import Activities
from records.engine import migrate, open_engine
from runtime import tracing
from runtime.keys import key_ring
from runtime.settings import Settings
from runtime.temporal import connect, prepare
from runtime.upkeep import build_upkeep_worker, keep_schedule
from runtime.worker_metrics import with_metrics
from workflows.messages import TASK_QUEUE
from workflows.service_request import ServiceRequestWorkflow

log = structlog.get_logger()

# Our own pure code is passed through: a workflow then costs 9 ms and 177 kB instead of 57 and 990.
SANDBOX = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "domain", "pydantic", "pydantic_core", "workflows.messages", "workflows.search_attributes"
    )
)


def build_worker(
    client: Client, activities: Activities, *, max_cached_workflows: int = 2000
) -> Worker:
    """A worker for every request; `max_cached_workflows=0` replays at each step, for tests."""
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[ServiceRequestWorkflow],
        activities=activities.all(),
        activity_executor=ThreadPoolExecutor(8, thread_name_prefix="activity"),
        workflow_runner=SANDBOX,
        max_cached_workflows=max_cached_workflows,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(maximum=10),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(maximum=2, initial=1),
        # How long a request waits for the worker that knew it last before any other takes it over.
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=3),
        graceful_shutdown_timeout=timedelta(seconds=8),
    )


def build_activities(engine: Engine, timezone: str) -> tuple[Activities, Courier]:
    """The activities, and the courier that delivers what they put into the outbox."""
    courier = Courier(engine, LogGateway(), timezone=timezone)
    return Activities(engine, wake_courier=courier.wake), courier


async def run_worker(settings: Settings) -> None:
    """Work until told to stop (SIGINT, SIGTERM or cancellation)."""
    engine = open_engine(settings.database, key_ring(settings))
    migrate(engine)
    client = await connect(settings, runtime=with_metrics(settings))
    await prepare(client)
    activities, courier = build_activities(engine, settings.timing_policy.timezone)
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    try:
        await keep_schedule(client, settings)
    except RPCError as error:  # The requests shall not wait for their upkeep.
        log.warning("schedule_not_kept", error=error.status.name.lower())
    async with build_worker(client, activities), build_upkeep_worker(client, engine):
        delivering = asyncio.create_task(courier.run())
        log.info("worker_started", task_queue=TASK_QUEUE, namespace=client.namespace)
        await stop.wait()
        delivering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await delivering
    engine.dispose()
    tracing.shutdown()
    log.info("worker_stopped")


if __name__ == "__main__":
    asyncio.run(run_worker(Settings()))
