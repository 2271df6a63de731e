"""`aftersales reconcile`: the records compared with the requests themselves, and made whole.

A request's truth is its archive once it is archived, and its workflow until then. What moves while
it is being looked at is no difference: it is read again until both books stand still.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, IntegrityError
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from temporalio.common import QueryRejectCondition
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.workflow import NondeterminismError

from activities import archive
from domain.effects import Effect
from domain.request import ServiceRequest
from records import upkeep
from records.intake import mark_started, not_started
from records.personal import is_erased
from records.tables import Upkeep
from records.upkeep import Difference
from workflows.messages import SNAPSHOT, WORKFLOW
from workflows.reconcile import RECONCILE, Reconciled
from workflows.retelling import retell
from workflows.start import start_request

log = structlog.get_logger("reconcile")

T = TypeVar("T")

PAGE = 100
AT_ONCE = 4
TRIES = 3
STANDS_STILL = 0.5
"""Seconds between two looks at the same request."""

ON_ITS_WAY = timedelta(seconds=30)
"""So long a request may be taken in and not begun: somebody is just starting it."""

PATIENCE = timedelta(seconds=10)

WHOLE = "reconcile_whole"
"""The note of the last time that every closed request was compared as well."""
WHOLE_EVERY = timedelta(days=7)

NEVER_STARTED = "never started"
NO_SUCH = (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT)
"""How Temporal says that it knows no workflow of this id, or that none could have it."""


class Unreachable(Exception):
    """Temporal, or every worker, is silent: nothing can be compared."""


class Found(NamedTuple):
    """A difference, and whether it is still there."""

    difference: Difference
    repaired: bool


@dataclass(frozen=True)
class _Truth:
    """A request as it really is; `over`: what is wrong besides the projection.

    Attributes:
        effects: its lines and messages, where they are at hand.
    """

    request: ServiceRequest
    effects: list[Effect] | None = None
    over: tuple[Difference, ...] = ()


class _NoTruth(Exception):
    """Nothing tells how the request really is; `difference`: why, None: that is in order."""

    def __init__(self, difference: Difference | None = None) -> None:
        super().__init__()
        self.difference = difference


class Reconciler:
    """Compares the records of requests with the truth, and repairs them when asked to.

    Args:
        repair: mend what is found; otherwise nothing is changed anywhere.
        thorough: compare the timeline word for word, which replays every history; otherwise only
            whether a line is missing.
        tell: called with everything found, as it is found.
        checked: called after each request.
    """

    def __init__(
        self,
        client: Client,
        engine: Engine,
        *,
        repair: bool,
        thorough: bool = False,
        tell: Callable[[Found], None],
        checked: Callable[[], None] = lambda: None,
    ) -> None:
        self._client, self._engine, self._tell = client, engine, tell
        self._repair, self._thorough, self._checked = repair, thorough, checked

    async def one(self, number: str) -> Reconciled:
        """Compare one request.

        Raises:
            Unreachable: Temporal or the workers do not answer.
            LookupError: neither the records nor Temporal know it.
        """
        if await self._ask(upkeep.unknown, [number]):
            try:
                await self._snapshot(number)
            except _NoTruth:
                raise LookupError(number) from None
        return await self._each([number])

    async def all(
        self,
        *,
        since: datetime | None = None,
        and_open: bool = False,
        after: str | None = None,
        progress: Callable[[str, Reconciled], None] = lambda number, so_far: None,
    ) -> Reconciled:
        """Compare every request of the records, page by page, then look for those they lack.

        Args:
            since: only what was taken in or written down since then.
            and_open: and what is open.
            after: go on after this number.
            progress: called after each page with its last number.

        Raises:
            Unreachable: Temporal or the workers do not answer.
        """
        done = Reconciled()
        while numbers := await self._ask(
            upkeep.page, after=after, since=since, and_open=and_open, limit=PAGE
        ):
            done = _sum(done, await self._each(numbers))
            after = numbers[-1]
            progress(after, done)
        async for numbers in self._unknown(since, and_open=and_open):
            done = _sum(done, await self._each(numbers))
            progress(after or "", done)
        return done

    async def _each(self, numbers: Iterable[str]) -> Reconciled:
        free = asyncio.Semaphore(AT_ONCE)

        async def one(number: str) -> list[Found]:
            async with free:
                found = await self._check(number)
                self._checked()
                return found

        try:
            # A group, so that nothing goes on repairing after the run was given up.
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(number)) for number in numbers]
        except ExceptionGroup as trouble:
            raise trouble.exceptions[0] from None
        found = [each for task in tasks for each in task.result()]
        for each in found:
            self._tell(each)
        repaired = sum(each.repaired for each in found)
        return Reconciled(checked=len(tasks), differences=len(found), repaired=repaired)

    # --- one request ------------------------------------------------------------------------------

    async def _check(self, number: str) -> list[Found]:
        if await self._ask(is_erased, number):
            return []  # What was blanked for good is meant to differ.
        try:
            truth, found = await self._still(number)
            if not found or not self._repair:
                return [Found(difference, repaired=False) for difference in found]
            return await self._mend(number, truth, found)
        except _NoTruth as none:
            if none.difference is None:
                return []
            return [await self._without_truth(none.difference)]
        except (NondeterminismError, IntegrityError, DataError, ValueError) as error:
            # Its words stay untold: they may quote a row.
            what = f"cannot be compared: {type(error).__name__}"
            return [Found(Difference(number, "workflow", what), repaired=False)]

    async def _still(self, number: str) -> tuple[_Truth, list[Difference]]:
        """The truth and what differs from it, the same in two looks; nothing if it keeps moving."""
        truth = await self._truth(number)
        for _ in range(TRIES):
            if not await self._differences(truth):
                return truth, []
            await asyncio.sleep(STANDS_STILL)
            again = await self._truth(number)
            if again.request.revision == truth.request.revision:
                return again, await self._differences(again)
            truth = again
        return truth, []

    async def _mend(self, number: str, truth: _Truth, found: list[Difference]) -> list[Found]:
        again = truth
        for _ in range(TRIES):
            truth = again
            effects = truth.effects or await self._told_again(number)
            await self._ask(upkeep.repair, truth.request, effects)
            if truth.request.is_closed and await self._has_ended(number):
                await self._ask(archive.mend, truth.request)
            # If it moved meanwhile, an older state may have covered a newer one: once more.
            again = await self._truth(number)
            if again.request.revision == truth.request.revision:
                break
        left = {each.where for each in await self._differences(again)}
        return [Found(difference, repaired=difference.where not in left) for difference in found]

    async def _differences(self, truth: _Truth) -> list[Difference]:
        effects = truth.effects
        if effects is None and self._thorough:
            effects = await self._told_again(truth.request.number)
        found = await self._ask(upkeep.differences, truth.request, effects)
        return [*truth.over, *found]

    async def _without_truth(self, difference: Difference) -> Found:
        """Only a request that was never begun can be helped: it is begun."""
        if not self._repair or difference.what != NEVER_STARTED:
            return Found(difference, repaired=False)
        left = await self._ask(not_started, ON_ITS_WAY, datetime.now(UTC), number=difference.number)
        for brief in left:
            with suppress(WorkflowAlreadyStartedError):  # Somebody else was quicker.
                await start_request(self._client, brief)
            await self._ask(mark_started, brief.number)
        return Found(difference, repaired=bool(left))

    # --- where the truth is -----------------------------------------------------------------------

    async def _truth(self, number: str) -> _Truth:
        try:
            if (kept := await self._ask(archive.kept, number)) is not None:
                return _Truth(*kept)
        except archive.Damaged as damage:
            return await self._snapshot(number, str(damage))
        return await self._snapshot(number)

    async def _snapshot(self, number: str, damage: str = "") -> _Truth:
        try:
            return await self._of_a_running_one(number)
        except WorkflowQueryRejectedError as ended:
            if ended.status is not WorkflowExecutionStatus.COMPLETED:
                word = ended.status.name.lower() if ended.status else "ended"
                raise _NoTruth(Difference(number, "workflow", f"{word} before its end")) from None
            request = await self._query(number)
            what = damage or "incomplete"
            return _Truth(request, over=(Difference(number, "archive", what),))
        except RPCError as error:
            if error.status not in NO_SUCH:
                raise
        if damage:
            raise _NoTruth(Difference(number, "archive", damage))
        raise _NoTruth(await self._why_there_is_none(number))

    async def _of_a_running_one(self, number: str) -> _Truth:
        return _Truth(await self._query(number, QueryRejectCondition.NOT_OPEN))

    async def _why_there_is_none(self, number: str) -> Difference | None:
        if await self._ask(archive.is_archived, number):
            return None  # Before archives kept what records are restored from.
        if await self._ask(upkeep.unknown, [number]):
            return None  # Deleted since it was listed.
        if await self._ask(upkeep.was_started, number):
            return Difference(number, "workflow", "gone")
        left = await self._ask(not_started, ON_ITS_WAY, datetime.now(UTC), number=number)
        return Difference(number, "workflow", NEVER_STARTED) if left else None

    async def _query(
        self, number: str, reject: QueryRejectCondition | None = None
    ) -> ServiceRequest:
        for attempt in range(TRIES):
            try:
                request: ServiceRequest = await self._client.get_workflow_handle(number).query(
                    SNAPSHOT,
                    result_type=ServiceRequest,
                    reject_condition=reject,
                    rpc_timeout=PATIENCE,
                )
            except RPCError as error:
                if error.status in NO_SUCH:
                    raise
                if attempt == TRIES - 1:
                    raise Unreachable(error.status.name.lower()) from None
            except WorkflowQueryFailedError:
                raise _NoTruth(Difference(number, "workflow", "does not answer")) from None
            else:
                return request
        raise Unreachable

    async def _has_ended(self, number: str) -> bool:
        """Whether its workflow is over; a closed request is archived by its own workflow first."""
        try:
            described = await self._client.get_workflow_handle(number).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return True
            raise Unreachable(error.status.name.lower()) from None
        return described.status is not WorkflowExecutionStatus.RUNNING

    async def _told_again(self, number: str) -> list[Effect]:
        try:
            return await retell(self._client, number)
        except RPCError as error:
            raise Unreachable(error.status.name.lower()) from None

    async def _unknown(self, since: datetime | None, *, and_open: bool) -> AsyncIterator[list[str]]:
        """Requests that Temporal knows and the records do not, a page at a time."""
        wanted = f"WorkflowType = '{WORKFLOW}'"
        if since is not None:
            moved = f"StartTime >= '{since.isoformat()}'"
            if and_open:
                moved += f" OR CloseTime >= '{since.isoformat()}' OR ExecutionStatus = 'Running'"
            wanted += f" AND ({moved})"
        page: list[str] = []
        try:
            async for execution in self._client.list_workflows(wanted, page_size=PAGE):
                if execution.status is not WorkflowExecutionStatus.CONTINUED_AS_NEW:
                    page.append(execution.id)
                if len(page) == PAGE:
                    yield await self._ask(upkeep.unknown, page)
                    page = []
        except RPCError as error:
            raise Unreachable(error.status.name.lower()) from None
        if page:
            yield await self._ask(upkeep.unknown, page)

    async def _ask(self, question: Callable[..., T], *args: object, **kwargs: object) -> T:
        return await asyncio.to_thread(question, self._engine, *args, **kwargs)


async def reconcile_all(
    reconciler: Reconciler,
    engine: Engine,
    *,
    began: datetime | None = None,
    since: datetime | None = None,
    after: str | None = None,
    before: Reconciled | None = None,
    progress: Callable[[str, Reconciled], None] = lambda number, so_far: None,
) -> Reconciled:
    """Every request, with a note in the records of how it went.

    Args:
        began: when the first attempt did; None: just now.
        since: of those that are closed only what was written down since then; None: every one.
        after, before: where an earlier attempt stopped, and what it had found by then.

    Raises:
        Unreachable: Temporal or the workers do not answer; nothing is noted.
    """
    began, earlier = began or datetime.now(UTC), before or Reconciled()
    done = _sum(
        earlier,
        await reconciler.all(
            since=since,
            and_open=True,
            after=after,
            progress=lambda number, now: progress(number, _sum(earlier, now)),
        ),
    )
    ended = datetime.now(UTC)
    took = round((ended - began).total_seconds(), 3)
    for name in (RECONCILE, *([WHOLE] if since is None else [])):
        note = Upkeep(name=name, ran_at=ended, took=took, **done.model_dump())
        await asyncio.to_thread(upkeep.record, engine, note)
    return done


def still_to_compare(engine: Engine, now: datetime) -> datetime | None:
    """Since when a closed request must have moved to be compared again; None: every one is.

    Every one is once a week, and as long as the last time left a difference, so that it stays
    known until somebody has seen to it.
    """
    whole, last = upkeep.recorded(engine, WHOLE), upkeep.recorded(engine, RECONCILE)
    if whole is None or last is None or whole.differences > whole.repaired:
        return None
    if now - whole.ran_at >= WHOLE_EVERY:
        return None
    return last.ran_at - timedelta(seconds=last.took) - ON_ITS_WAY


def report(found: Found) -> None:
    """A line in the log."""
    number, where, what = found.difference.number, found.difference.where, found.difference.what
    log.warning("records_differ", number=number, where=where, what=what, repaired=found.repaired)


def _sum(one: Reconciled, other: Reconciled) -> Reconciled:
    return Reconciled(
        checked=one.checked + other.checked,
        differences=one.differences + other.differences,
        repaired=one.repaired + other.repaired,
    )
