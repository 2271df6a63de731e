"""The house's own upkeep in the worker process: its queue, its activity and its schedule."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine
from temporalio import activity
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

from runtime.reconcile import Reconciler, reconcile_all, report, still_to_compare
from runtime.settings import Settings
from workflows.reconcile import (
    RECONCILE,
    UPKEEP_QUEUE,
    Reconciled,
    ReconcileWorkflow,
    Reconciling,
)

SCHEDULE = "aftersales-reconcile"
PATIENCE = timedelta(seconds=10)


class UpkeepActivities:
    """Long, heartbeating work on the whole house."""

    def __init__(self, client: Client, engine: Engine) -> None:
        self._client, self._engine = client, engine

    def all(self) -> list[Callable[..., Any]]:
        """Every activity, for the worker."""
        return [self.reconcile]

    @activity.defn(name=RECONCILE)
    async def reconcile(self, task: Reconciling) -> Reconciled:
        """Compare requests with their records; an attempt goes on where the last one stopped.

        Those that are open, and those that closed since the last time; every one once a week.

        Raises:
            Unreachable: no worker answers for the requests; it is tried again.
        """
        stood = Reconciled()
        after = ""
        if details := activity.info().heartbeat_details:
            after, stood = str(details[0]), Reconciled.model_validate(details[1])

        def heartbeat() -> None:
            # A page of repairs takes long: it lives, and another attempt begins that page again.
            activity.heartbeat(after, stood.model_dump())

        def progress(number: str, so_far: Reconciled) -> None:
            nonlocal after, stood
            after, stood = number, so_far
            heartbeat()

        reconciler = Reconciler(
            self._client, self._engine, repair=task.repair, tell=report, checked=heartbeat
        )
        began = activity.info().scheduled_time  # The same for every attempt.
        return await reconcile_all(
            reconciler,
            self._engine,
            began=began,
            since=await asyncio.to_thread(still_to_compare, self._engine, began),
            after=after or None,
            before=stood,
            progress=progress,
        )


def build_upkeep_worker(
    client: Client, engine: Engine, *, deployment: WorkerDeploymentConfig | None = None
) -> Worker:
    """A worker for the upkeep: one thing at a time."""
    return Worker(
        client,
        task_queue=UPKEEP_QUEUE,
        workflows=[ReconcileWorkflow],
        activities=UpkeepActivities(client, engine).all(),
        # It decides nothing, so there is nothing to keep it from.
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_workflow_task_polls=2,
        max_concurrent_activity_task_polls=1,
        max_concurrent_activities=1,
        graceful_shutdown_timeout=timedelta(seconds=2),
        deployment_config=deployment,
    )


async def keep_schedule(client: Client, settings: Settings) -> None:
    """Make the schedule what the settings ask for; called by every worker that starts.

    Raises:
        temporalio.service.RPCError: the server refused.
    """
    handle = client.get_schedule_handle(SCHEDULE)
    every = settings.reconcile_interval
    try:
        if every is None:
            await handle.delete(rpc_timeout=PATIENCE)
            return
        wanted = _schedule(every, repair=settings.reconcile_repair)
        try:
            await client.create_schedule(SCHEDULE, wanted, rpc_timeout=PATIENCE)
        except ScheduleAlreadyRunningError:
            await handle.update(lambda found: _as_wanted(found, wanted), rpc_timeout=PATIENCE)
    except RPCError as error:
        # The time-skipping test server has no schedules; what is not there need not be deleted.
        if error.status not in (RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.NOT_FOUND):
            raise


def _schedule(every: timedelta, *, repair: bool) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            ReconcileWorkflow.run,
            Reconciling(repair=repair),
            id=f"{SCHEDULE}-run",
            task_queue=UPKEEP_QUEUE,
            execution_timeout=timedelta(hours=12),
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(
            overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=10)
        ),
    )


def _as_wanted(found: ScheduleUpdateInput, wanted: Schedule) -> ScheduleUpdate:
    """Everything of ours; whether somebody paused it stays theirs to say."""
    wanted.state = found.description.schedule.state
    return ScheduleUpdate(wanted)
