"""The worker process: it moves the requests, and sends what they have to tell."""

import asyncio
import contextlib
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import PollerBehaviorAutoscaling, Worker, WorkerDeploymentConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.channels import Channels
from activities.courier import Courier, Link
from activities.dispatcher import Dispatcher
from activities.messages import Templates
from activities.registry import Activities
from activities.targets import Targets
from activities.webhooks import Sender, Webhooks
from audit.archivist import Archivist
from audit.store import Store
from domain.deliveries import WEBHOOK_QUEUE
from domain.outgoing import SOURCE
from domain.policy import Policy
from records.engine import migrate, open_engine
from runtime import tracing
from runtime.delivery import channels, templates
from runtime.deployments import FOLLOWS, PINNED, build_id, deployment
from runtime.keys import key_ring, look_for_missing_keys, signing_key
from runtime.settings import Settings
from runtime.temporal import connect, prepare
from runtime.tokens import token_key
from runtime.tracking import tracking_url
from runtime.upkeep import build_upkeep_worker, keep_schedule
from runtime.worker_metrics import worker_runtime
from workflows.knock import knock
from workflows.messages import TASK_QUEUE
from workflows.service_request import ServiceRequestWorkflow
from workflows.webhook_stream import WebhookStreamWorkflow

log = structlog.get_logger()

# Our own pure code is passed through: a workflow then costs 9 ms and 177 kB instead of 57 and 990.
SANDBOX = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "domain", "pydantic", "pydantic_core", "workflows.messages", "workflows.search_attributes"
    )
)


def build_worker(
    client: Client,
    activities: Activities,
    *,
    max_cached_workflows: int = 2000,
    deployment: WorkerDeploymentConfig | None = None,
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
        deployment_config=deployment,
    )


def build_webhook_worker(
    client: Client,
    webhooks: Webhooks,
    *,
    max_cached_workflows: int = 1000,
    grace: timedelta = timedelta(seconds=8),
    deployment: WorkerDeploymentConfig | None = None,
) -> Worker:
    """A worker for every stream of webhooks, on a queue of its own: no request waits for one."""
    return Worker(
        client,
        task_queue=WEBHOOK_QUEUE,
        workflows=[WebhookStreamWorkflow],
        activities=webhooks.all(),
        workflow_runner=SANDBOX,
        max_cached_workflows=max_cached_workflows,
        # An attempt costs a socket, not a thread; each subscription has only its share of them.
        max_concurrent_activities=500,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(maximum=4, initial=2),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(maximum=8, initial=2),
        graceful_shutdown_timeout=grace,
        deployment_config=deployment,
    )


def build_activities(
    engine: Engine,
    policy: Policy,
    channels: Channels,
    templates: Templates,
    dispatcher: Dispatcher,
    link: Link | None = None,
) -> tuple[Activities, Courier]:
    """The activities, and the courier that delivers what they put into the outbox."""
    courier = Courier(
        engine,
        channels,
        templates=templates,
        timezone=policy.timezone,
        quiet=policy.quiet_hours,
        link=link,
    )
    activities = Activities(engine, wake_courier=courier.wake, wake_dispatcher=dispatcher.wake)
    return activities, courier


def build_archivist(settings: Settings, engine: Engine, client: Client) -> Archivist:
    """Brings the histories of closed requests into the archive."""
    return Archivist(
        engine,
        client,
        Store(settings.archive),
        key_ring(settings),
        signing_key(settings),
        timezone=settings.timing_policy.timezone,
        kept_for=settings.timing_policy.retention.records,
    )


def tracking_links(settings: Settings) -> Link:
    """Makes the link by which a customer follows their request."""
    key = token_key(settings)
    return lambda number: tracking_url(settings, key, number, datetime.now(UTC))


async def run_worker(settings: Settings) -> None:
    """Work until told to stop (SIGINT, SIGTERM or cancellation).

    Raises:
        Trouble: the channels file or a template is wrong.
    """
    outlets, words = channels(settings), templates(settings)
    engine = open_engine(settings.database, key_ring(settings))
    if settings.deployment is None:  # An older build, started again, meets newer tables.
        migrate(engine)
    look_for_missing_keys(engine)
    client = await connect(settings, runtime=worker_runtime(settings))
    await prepare(client)
    dispatcher = Dispatcher(engine, partial(knock, client))
    activities, courier = build_activities(
        engine, settings.timing_policy, outlets, words, dispatcher, tracking_links(settings)
    )
    sender = Sender(Targets(settings.webhook_allowance), source=settings.public_url or SOURCE)
    webhooks = Webhooks(engine, sender, give_up=settings.webhook_give_up)
    archivist = build_archivist(settings, engine, client)
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    try:
        await keep_schedule(client, settings)
    except RPCError as error:  # The requests shall not wait for their upkeep.
        log.warning("schedule_not_kept", error=error.status.name.lower())
    async with (
        build_worker(client, activities, deployment=deployment(settings, PINNED)),
        build_webhook_worker(client, webhooks, deployment=deployment(settings, FOLLOWS)),
        build_upkeep_worker(client, engine, deployment=deployment(settings, FOLLOWS)),
    ):
        working = asyncio.gather(courier.run(), dispatcher.run(), archivist.run())
        log.info(
            "worker_started",
            task_queue=TASK_QUEUE,
            namespace=client.namespace,
            deployment=settings.deployment,
            build=build_id(settings),
        )
        await stop.wait()
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        await archivist.finish()
    await sender.close()
    engine.dispose()
    tracing.shutdown()
    log.info("worker_stopped")


if __name__ == "__main__":
    asyncio.run(run_worker(Settings()))
