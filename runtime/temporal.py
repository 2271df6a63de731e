"""The Temporal connection: one plugin for client, worker and replayer, and one place that makes the
namespace ready and knows whether it is."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType, WorkerStatus
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.worker.v1 import WorkerHeartbeat
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, ListWorkersRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.plugin import SimplePlugin
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from records.sealing import KeyRing
from workflows.messages import TASK_QUEUE
from workflows.search_attributes import REGISTRY

from .codec import sealed_converter
from .keys import key_ring
from .settings import Settings
from .tracing import Tracing

PATIENCE = timedelta(seconds=10)
POLLED_LATELY = timedelta(seconds=75)
"""A worker's poll waits for up to a minute before it is sent again."""

_KINDS = {
    "workflow": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    "activity": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
}

LAST_BREATH = timedelta(seconds=1)
"""A poll that ends with its worker may be noted just after the worker's goodbye."""

HEARTBEAT = timedelta(seconds=5)
"""How often our workers give a sign of life."""

MOST_MISSED = 4
"""A worker that leaves out so many signs of life is taken for dead: it was killed, or is frozen."""


def plugin(ring: KeyRing) -> SimplePlugin:
    """What client, worker and replayer have in common, so that none can drift from the others."""
    return SimplePlugin("aftersales", data_converter=sealed_converter(ring))


async def connect(
    settings: Settings, *, lazy: bool = False, runtime: Runtime | None = None
) -> Client:
    """A client of the configured server; `lazy` connects on first use.

    Args:
        runtime: where the SDK's own metrics go.

    Raises:
        RuntimeError: nobody answers at the configured address.
        Trouble: the configured key ring cannot be used.
    """
    return await Client.connect(
        settings.temporal_target,
        namespace=settings.temporal_namespace,
        plugins=[plugin(key_ring(settings))],
        lazy=lazy,
        interceptors=[Tracing()],
        runtime=runtime,
    )


async def prepare(client: Client) -> None:
    """Register the search attributes that are missing. Before any worker polls: an unknown
    attribute makes workflow tasks retry for ever.

    Raises:
        temporalio.service.RPCError: the server refused.
    """
    missing = {
        key.name: IndexedValueType.ValueType(key.indexed_value_type)
        for key in await missing_attributes(client)
    }
    if not missing:
        return
    request = AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
    try:
        await client.operator_service.add_search_attributes(request, timeout=PATIENCE)
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise


async def missing_attributes(client: Client) -> list[SearchAttributeKey[Any]]:
    """The search attributes that the namespace does not know.

    Raises:
        temporalio.service.RPCError: the server did not answer, or has no such namespace.
    """
    try:
        listed = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace), timeout=PATIENCE
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.UNIMPLEMENTED:  # the time-skipping test server
            raise
        return list(REGISTRY)
    return [key for key in REGISTRY if key.name not in listed.custom_attributes]


async def worker_is_polling(client: Client) -> bool:
    """Whether a worker polled lately, and has not said goodbye since.

    A poller stays listed for minutes after its worker stopped; its goodbye is known at once, and
    one that could not say any is missed after some signs of life.

    Raises:
        temporalio.service.RPCError: the server did not answer, or has no such namespace.
    """
    goodbyes = await _goodbyes(client)
    described = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=TASK_QUEUE),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        ),
        timeout=PATIENCE,
    )
    long_ago = datetime.now(UTC) - POLLED_LATELY
    return any(
        poller.last_access_time.ToDatetime(tzinfo=UTC)
        > max(long_ago, goodbyes.get(poller.identity, long_ago))
        for poller in described.pollers
    )


@dataclass(frozen=True)
class Backlog:
    """Roughly how many tasks wait for a worker, and how long the oldest has been waiting."""

    count: int
    age: timedelta


async def backlog(client: Client) -> dict[str, Backlog]:
    """What waits in the requests' queue, by kind of task.

    Raises:
        temporalio.service.RPCError: the server did not answer, or has no such namespace.
    """
    found: dict[str, Backlog] = {}
    for kind, type_ in _KINDS.items():
        described = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=TASK_QUEUE),
                task_queue_type=type_,
                report_stats=True,
            ),
            timeout=PATIENCE,
        )
        age = described.stats.approximate_backlog_age.ToTimedelta()
        found[kind] = Backlog(described.stats.approximate_backlog_count, age)
    return found


async def _goodbyes(client: Client) -> dict[str, datetime]:
    """When those workers left that did, or fell silent; nobody is known to have when the server
    keeps no list."""
    try:
        listed = await client.workflow_service.list_workers(
            ListWorkersRequest(namespace=client.namespace, query=f"TaskQueue = '{TASK_QUEUE}'"),
            timeout=PATIENCE,
        )
    except RPCError:
        return {}
    goodbyes: dict[str, datetime] = {}
    for worker in listed.workers_info:
        if left := _left(worker.worker_heartbeat, datetime.now(UTC)):
            identity = worker.worker_heartbeat.worker_identity
            goodbyes[identity] = max(left, goodbyes.get(identity, left))
    return goodbyes


def _left(report: WorkerHeartbeat, now: datetime) -> datetime | None:
    """When the worker cannot have polled any more, by its last report; None: it is there."""
    heard = report.heartbeat_time.ToDatetime(tzinfo=UTC)
    if report.status != WorkerStatus.WORKER_STATUS_RUNNING:
        return heard + LAST_BREATH
    # What it says of its own pace: another release may have another one.
    pace = report.elapsed_since_last_heartbeat.ToTimedelta()
    return heard + pace + LAST_BREATH if pace and now - heard > MOST_MISSED * pace else None
