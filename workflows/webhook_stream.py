"""The workflow `WebhookStream`: what one subscription hears of one request, in order.

The rows in the database are the truth of what is queued. The workflow carries only its patience:
it asks for what stands next, has it delivered however long that takes, and ends when nothing is
left.
"""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, RetryState, is_cancelled_exception
from temporalio.workflow import ActivityCancellationType

with workflow.unsafe.imports_passed_through():
    from domain.deliveries import (
        DELIVER,
        FIRST_PAUSE,
        GIVE_UP,
        KNOCK,
        LAST_CHANCE,
        LONGEST_PAUSE,
        LOOK,
        STREAM,
        Due,
        Step,
        Stream,
    )

MOST_IN_A_RUN = 300


@workflow.defn(name=STREAM)
class WebhookStreamWorkflow:
    """One stream, for as long as it has something to send."""

    @workflow.init
    def __init__(self, stream: Stream) -> None:
        """Begin to deliver the stream; it says itself what stands next."""
        self._stream = stream
        self._knocks = 0
        self._hurried = False

    @workflow.run
    async def run(self, stream: Stream) -> int:
        """Deliver until nothing is left; how many steps this run took."""
        steps = 0
        due = await self._look()
        while due is not None:
            due = await self._deliver(due) or await self._look()
            steps += 1
            if due is not None and self._history_is_long(steps):
                workflow.continue_as_new(stream)
        return steps

    @workflow.signal(name=KNOCK)
    def knock(self, hurried: bool = False) -> None:
        """Hear that something was queued; hurried: do not wait for the end of a pause."""
        self._knocks += 1
        self._hurried = self._hurried or hurried

    async def _look(self) -> Due | None:
        """What stands next. None only if nobody knocked meanwhile: then the run may end.

        Nothing may be awaited between that and the end: a knock before it is seen here, and one
        after it starts a new run.
        """
        while True:
            heard, self._hurried = self._knocks, False
            due = await self._step(LOOK)
            if due is not None or self._knocks == heard:
                return due

    async def _deliver(self, due: Due) -> Due | None:
        """Have it delivered, tried again and again until its time is over; what stands next."""
        patience = max(due.until - workflow.now(), LAST_CHANCE)
        sending = workflow.start_activity(
            DELIVER,
            args=[self._stream, due],
            result_type=Step,
            start_to_close_timeout=timedelta(seconds=25),
            schedule_to_close_timeout=patience,
            # The activity names its own pauses; these hold when a worker dies.
            retry_policy=RetryPolicy(
                initial_interval=FIRST_PAUSE,
                backoff_coefficient=2,
                maximum_interval=LONGEST_PAUSE,
            ),
            # An attempt under way is waited for: two at once would break the order.
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"{due.seq}",
        )
        await workflow.wait_condition(lambda: sending.done() or self._hurried)
        if not sending.done():
            sending.cancel()
        try:
            step: Step = await sending
            return step.next
        except ActivityError as error:
            # An attempt that fails although it was cancelled says so only by its retry state.
            if is_cancelled_exception(error) or error.retry_state is RetryState.CANCEL_REQUESTED:
                return None  # Somebody is in a hurry: look again what stands next.
            return await self._step(GIVE_UP, due)

    async def _step(self, activity: str, *more: Any) -> Due | None:
        """Ask the records, however often it takes."""
        step: Step = await workflow.execute_activity(
            activity,
            args=[self._stream, *more],
            result_type=Step,
            start_to_close_timeout=timedelta(seconds=20),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(milliseconds=500),
                maximum_interval=timedelta(seconds=30),
            ),
        )
        return step.next

    def _history_is_long(self, steps: int) -> bool:
        return steps >= MOST_IN_A_RUN or workflow.info().is_continue_as_new_suggested()
