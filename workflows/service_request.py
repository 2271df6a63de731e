"""The workflow `ServiceRequest`: one customer need, from first contact to archive.

What the process is stands in `domain`: `admission` says what may happen, `transitions` what it
does, the policy how long it may take. Here is only what makes it durable: events come in, time
passes, and what must be done outside is done, one thing after another.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any, NoReturn, TypeVar
from uuid import NAMESPACE_URL, uuid5

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError

    from domain.effects import Effect
    from domain.events import BaseEvent, parse_event
    from domain.refusals import Refused
    from domain.request import ServiceRequest
    from domain.tasks import ARCHIVE, FIND_ENGINEER, WRITE_DOWN, Found, Search, WriteDown, Written
    from domain.view import obligations, view

    from . import messages, search_attributes
    from .messages import Closing, EventResult, Json, Receipt, Receipts, RefusalDetail, Start

Result = TypeVar("Result")


@workflow.defn(name=messages.WORKFLOW)
class ServiceRequestWorkflow:
    """A service request as a durable process (design §2 and §4)."""

    @workflow.init
    def __init__(self, start: Start) -> None:
        """Begin with a brief, or go on with a request carried over from the run before."""
        self._history_limit = start.history_limit
        self._unwritten: list[Effect] = []
        self._written = 0
        self._news = False
        self._alarm: _Alarm | None = None
        if start.carried is not None:
            self._request = start.carried
            self._written = self._request.revision
        elif start.brief is not None:
            self._request, effects = ServiceRequest.receive(start.brief)
            self._keep(effects)
        else:
            raise ApplicationError("neither a brief nor a carried request", type="bad_start")
        self._shown = search_attributes.attributes(self._request)

    @workflow.run
    async def run(self, start: Start) -> Closing:
        """Keep every promise of the request until it is archived."""
        await self._do_what_must_be_done()
        while not self._request.is_closed:
            await self._wait_for_news_or_the_next_deadline()
            self._let_time_pass()
            await self._do_what_must_be_done()
            if self._should_go_on_afresh() and not self._request.is_closed:
                await self._continue_as_new()
        await _step(ARCHIVE, self._request, str)
        await self._settle()
        return Closing(
            number=self._request.number,
            outcome=self._request.outcome,
            closed_at=self._request.closed_at,
            event_count=self._request.event_count,
            breached=self._request.breached_rules,
        )

    # --- what others say ----------------------------------------------------------------------

    @workflow.signal(name=messages.RECORD)
    def record(self, event: Any) -> None:
        """Hear an event that nobody waits for: early ones wait, impossible ones are recorded.

        Must never raise: an error here would fail the whole request.
        """
        try:
            heard = _event(event, workflow.uuid4)
        except ValidationError as error:
            self._keep(self._request.refuse_malformed(_what_is_wrong(error), workflow.now()))
        else:
            self._keep(self._request.hear(heard, workflow.now()))
        self._news = True

    @workflow.update(name=messages.SUBMIT)
    async def submit(self, event: Any) -> Receipt:
        """Apply an event and answer when it is written down.

        Raises:
            ApplicationError: refused; the type is the refusal's code, the detail says why.
        """
        submitted = _event(event, _update_id)
        repeated = str(submitted.id) in self._request.seen
        try:
            self._keep(self._request.apply(submitted, workflow.now()))
        except Refused as refused:
            _fail(refused, self._request)
        finally:
            self._news = True
        await self._until_written()
        return Receipt(
            number=self._request.number,
            stage=self._request.stage,
            event_count=self._request.event_count,
            repeated=repeated,
        )

    @submit.validator
    def _may_submit(self, event: Any) -> None:
        """Refuse at the door: it costs the history nothing."""
        try:
            self._request.check(_event(event, _update_id), workflow.now())
        except ValidationError as error:
            raise ApplicationError(_what_is_wrong(error), type=messages.MALFORMED) from None
        except Refused as refused:
            _fail(refused, self._request)

    @workflow.update(name=messages.SUBMIT_ALL)
    async def submit_all(self, events: list[Any]) -> Receipts:
        """Apply several events in order, up to the first refused, and say what became of each."""
        results: list[EventResult] = []
        refusal = False
        for event in map(_event, events):
            key = str(event.id)
            if refusal:
                results.append(EventResult(id=key, status="skipped"))
                continue
            known = key in self._request.seen
            try:
                self._keep(self._request.apply(event, workflow.now()))
            except Refused as refused:
                refusal = True
                results.append(
                    EventResult(
                        id=key,
                        status="refused",
                        code=refused.code,
                        reason=refused.reason,
                        facts=refused.facts,
                    )
                )
            else:
                results.append(EventResult(id=key, status="repeated" if known else "applied"))
        self._news = True
        await self._until_written()
        return Receipts(
            number=self._request.number,
            stage=self._request.stage,
            event_count=self._request.event_count,
            results=results,
            allowed_events=self._request.allowed_events if refusal else [],
        )

    @submit_all.validator
    def _may_submit_all(self, events: list[Any]) -> None:
        if not 1 <= len(events) <= messages.MOST_EVENTS_AT_ONCE:
            raise ApplicationError(
                f"send 1 to {messages.MOST_EVENTS_AT_ONCE} events", type=messages.MALFORMED
            )
        for place, event in enumerate(events):
            try:
                if not isinstance(event, dict) or not event.get("id"):
                    raise ApplicationError(f"event {place} has no id", type=messages.MALFORMED)
                _event(event)
            except ValidationError as error:
                raise ApplicationError(
                    f"event {place}: {_what_is_wrong(error)}", type=messages.MALFORMED
                ) from None

    @workflow.query(name=messages.STATE)
    def state(self, at: datetime | None = None) -> Json:
        """The request as the API shows it; `at` reads the clocks at a later moment than ours."""
        return view(self._request, at or workflow.now())

    @workflow.query(name=messages.OBLIGATIONS)
    def obligations(self) -> list[Json]:
        """Every pending clock: when it fires, who owes the act, who is told."""
        return obligations(self._request, workflow.now())

    @workflow.query(name=messages.SNAPSHOT)
    def snapshot(self) -> ServiceRequest:
        """The whole request, for comparing it with the records."""
        return self._request

    @property
    def request(self) -> ServiceRequest:
        """The whole request, for those who replay a history."""
        return self._request

    # --- what must be done --------------------------------------------------------------------

    async def _wait_for_news_or_the_next_deadline(self) -> None:
        """The one wait. Its timer carries the rule's name and moves only with the deadline."""
        due = self._request.next_due()
        if self._alarm is not None and not self._alarm.is_for(due and due.at):
            self._alarm.cancel()
            self._alarm = None
        if self._alarm is None and due is not None:
            self._alarm = _Alarm(due.at, due.what)
        await workflow.wait_condition(lambda: self._news or self._alarm_rang())
        self._news = False

    def _alarm_rang(self) -> bool:
        return self._alarm is not None and self._alarm.rang

    def _let_time_pass(self) -> None:
        self._keep(self._request.tick(workflow.now()))

    async def _do_what_must_be_done(self) -> None:
        while self._unwritten or self._request.seeks_engineer:
            if self._request.seeks_engineer:
                await self._offer_the_work()
            await self._write_down()
        self._show()

    async def _settle(self) -> None:
        """Until nothing is unwritten and nobody waits for an answer: only then may a run end."""
        while True:
            self._news = False
            self._let_time_pass()
            await self._do_what_must_be_done()
            if not self._news and workflow.all_handlers_finished():
                return
            await workflow.wait_condition(lambda: self._news or workflow.all_handlers_finished())

    async def _offer_the_work(self) -> None:
        search = Search(
            request=self._request,
            offer=len(self._request.offers) + 1,
            asked_before=self._request.asked_before,
        )
        found = await _step(FIND_ENGINEER, search, Found)
        # Events may have come in while we searched; the request knows whether it still wants one.
        self._keep(self._request.offer(found.engineer, workflow.now()))

    async def _write_down(self) -> None:
        effects, self._unwritten = self._unwritten, []
        revision = self._request.revision
        task = WriteDown.of(self._request, effects, workflow.now())
        written = await _step(WRITE_DOWN, task, Written)
        self._request.name_forms(written.numbers)
        self._written = revision

    def _show(self) -> None:
        """Keep Temporal's own lists and pages true, without personal data."""
        now = search_attributes.attributes(self._request)
        if updates := search_attributes.changes(self._shown, now):
            workflow.upsert_search_attributes(updates)
            self._shown = now
        workflow.set_current_details(_details(self._request))

    def _keep(self, effects: list[Effect]) -> None:
        self._unwritten += effects

    async def _until_written(self) -> None:
        """Whoever is answered now finds the event in the records."""
        revision = self._request.revision
        await workflow.wait_condition(lambda: self._written >= revision)

    def _should_go_on_afresh(self) -> bool:
        """When the history is long, or a request pinned to a build may move to the current one."""
        info = workflow.info()
        return (
            info.is_continue_as_new_suggested()
            or info.get_current_history_length() >= self._history_limit
            or info.is_target_worker_deployment_version_changed()
        )

    async def _continue_as_new(self) -> NoReturn:
        """Go on in a fresh history, on the current build, with everything carried over intact."""
        await self._settle()
        workflow.continue_as_new(
            Start(carried=self._request, history_limit=self._history_limit),
            initial_versioning_behavior=workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE,
        )


async def _step(activity: str, argument: Any, result: type[Result]) -> Result:
    """Do one thing outside, however often it takes.

    A step that fails is tried again until it works: nothing acknowledged is ever dropped because
    a database was down. Up to ten seconds apart it waits inside the workflow task, longer pauses
    become timers.
    """
    done: Result = await workflow.execute_local_activity(
        activity,
        argument,
        result_type=result,
        start_to_close_timeout=timedelta(seconds=10),
        retry_policy=RetryPolicy(
            initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(seconds=30)
        ),
        local_retry_threshold=timedelta(seconds=10),
    )
    return done


class _Alarm:
    """A durable timer for one deadline that survives the waits in between.

    It is the one background task, for its price: a timer per deadline instead of one per event.
    Danger: temporalio/sdk-python#1591 (a cold cache may record an update at the wrong place when
    a workflow mixes an initial timer, a background task and `all_handlers_finished`).
    `tests/workflow/test_cold_cache.py` keeps watch.
    """

    def __init__(self, at: datetime, what: str) -> None:
        self._at = at
        self._timer = asyncio.create_task(
            workflow.sleep(max(at - workflow.now(), timedelta(0)), summary=what)
        )

    def is_for(self, at: datetime | None) -> bool:
        return self._at == at and not self._timer.done()

    def cancel(self) -> None:
        self._timer.cancel()

    @property
    def rang(self) -> bool:
        return self._timer.done()


def _event(data: Any, make_id: Any = None) -> BaseEvent:
    """The event in `data`; one without an id gets one that replay gives again."""
    if isinstance(data, dict) and not data.get("id") and make_id is not None:
        data = {**data, "id": str(make_id())}
    event: BaseEvent = parse_event(data)
    return event


def _update_id() -> str:
    info = workflow.current_update_info()
    return str(uuid5(NAMESPACE_URL, f"aftersales:update:{info.id if info else ''}"))


def _fail(refused: Refused, request: ServiceRequest) -> NoReturn:
    raise ApplicationError(
        refused.reason,
        RefusalDetail.of(refused, request),
        type=refused.code,
        non_retryable=True,
    ) from None


def _what_is_wrong(error: ValidationError) -> str:
    """Where and why, without the value: it may be personal data."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'event'}: {first['msg']}"


def _details(request: ServiceRequest) -> str:
    """What Temporal's own page shows of the request, in Markdown."""
    due = request.next_due()
    lines = [
        f"**{request.stage.zh} {request.stage}** · {request.request_type.zh} {request.urgency.zh}",
        f"- clocks: {request.clock_state.zh} {request.clock_state}",
        f"- engineer: {request.engineer or '—'} · station: {request.brief.station or '—'}",
    ]
    if due is not None:
        lines.append(f"- next: {due.what} at {due.at.isoformat(timespec='seconds')}")
    if request.breached_rules:
        lines.append(f"- breached: {', '.join(request.breached_rules)}")
    return "\n".join(lines)
