"""The workflow `Reconcile`: the records are compared with the requests, and mended; a schedule
starts it."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from domain.values import State

WORKFLOW = "Reconcile"
RECONCILE = "reconcile"
UPKEEP_QUEUE = "upkeep"
"""A queue of its own: upkeep takes its time, and no request shall wait behind it."""


class Reconciling(State):
    """What is to be done about what is found: mended, or only counted."""

    repair: bool = True


class Reconciled(State):
    """How it went.

    Attributes:
        checked: requests looked at.
        differences: ways in which their records were wrong, and repaired: how many no longer are.
    """

    checked: int = 0
    differences: int = 0
    repaired: int = 0

    @property
    def left(self) -> int:
        """Differences that are still there."""
        return self.differences - self.repaired


@workflow.defn(name=WORKFLOW)
class ReconcileWorkflow:
    """One pass over the requests."""

    @workflow.run
    async def run(self, task: Reconciling) -> Reconciled:
        """Compare page by page; an attempt that dies is followed by one that goes on from there."""
        done: Reconciled = await workflow.execute_activity(
            RECONCILE,
            task,
            result_type=Reconciled,
            schedule_to_close_timeout=timedelta(hours=12),
            heartbeat_timeout=timedelta(minutes=2),
            retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=1)),
        )
        return done
