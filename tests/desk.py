"""A small language for tests that drive a real request: who says what, and what is seen then."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine
from sqlmodel import Session, select
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.working_days import calendar_for
from domain.events import EVENTS
from domain.intake import NewRequest
from domain.policy import Policy
from domain.view import view
from domain.vocabulary import Role
from records.intake import mark_started, take_in
from records.queries import stored, timeline
from records.tables import Notification
from workflows.messages import OBLIGATIONS, RECORD, STATE, SUBMIT, Closing, Json, Receipt
from workflows.service_request import ServiceRequestWorkflow
from workflows.start import start_request

HAPPY_SCORES = dict.fromkeys(
    ["response", "professionalism", "attitude", "effect", "overall", "recommend"], 5
)
# Whom a test lets act when several may.
LIKELY = [
    Role.engineer,
    Role.agent,
    Role.supervisor,
    Role.dispatcher,
    Role.customer,
    Role.manager,
    Role.integration,
]


def intake(**changes: Any) -> NewRequest:
    """A plausible new request; `customer` and `product` are merged, the rest replaced."""
    body: dict[str, Any] = {
        "type": "repair",
        "channel": "phone",
        "urgency": "normal",
        "description": "空调开机后不制冷,外机有嗡嗡声但风扇不转",
        "mood": "anxious",
        "customer": {
            "name": "张三丰",
            "phone": "13812345678",
            "address": "上海市浦东新区世纪大道1号",
            "latitude": 31.23,
            "longitude": 121.47,
        },
        "product": {"model": "KFR-35GW/ABC123", "serial": f"SN-{uuid4().hex[:8]}"},
    }
    for key, value in changes.items():
        body[key] = {**body[key], **value} if isinstance(value, dict) else value
    return NewRequest.model_validate(body)


@dataclass
class Desk:
    """One request under test, over the real server and the real database."""

    client: Client
    engine: Engine
    handle: WorkflowHandle[ServiceRequestWorkflow, Closing]
    now: Callable[[], Awaitable[datetime]]
    sleep: Callable[[timedelta], Awaitable[None]]
    sent: list[Json] = field(default_factory=list)

    @property
    def number(self) -> str:
        return self.handle.id

    async def says(self, type_: str, role: str | None = None, **payload: Any) -> Receipt:
        """Submit an event and wait for the answer; raises ApplicationError when refused."""
        event = self.event(type_, role, **payload)
        try:
            receipt: Receipt = await self.handle.execute_update(
                SUBMIT,
                event,
                id=event["id"],
                result_type=Receipt,
                rpc_timeout=timedelta(seconds=30),
            )
        except WorkflowUpdateFailedError as error:
            if isinstance(error.cause, ApplicationError):
                raise error.cause from None
            raise
        return receipt

    async def signals(self, type_: str, role: str | None = None, **payload: Any) -> Json:
        """Send an event without waiting for an answer."""
        event = self.event(type_, role, **payload)
        await self.handle.signal(RECORD, event)
        return event

    def event(self, type_: str, role: str | None = None, **payload: Any) -> Json:
        """The event as it travels."""
        allowed = EVENTS[type_].by if type_ in EVENTS else frozenset(Role)
        actor = role or next(r for r in LIKELY if r in allowed)
        event = {
            "id": str(uuid4()),
            "type": type_,
            "actor": {"role": str(actor), "id": f"{actor}-1"},
            **payload,
        }
        self.sent.append(event)
        return event

    async def state(self) -> Json:
        shown: Json = await self.handle.query(STATE)
        return shown

    async def sees(self, expected: Callable[[Json], bool], patience: float = 30) -> Json:
        """The state, once it is as expected; the last one when that takes too long."""
        deadline = time.monotonic() + patience
        while True:
            state = await self.state()
            if expected(state) or time.monotonic() > deadline:
                return state
            await self.sleep(timedelta(milliseconds=100))

    async def state_or_records(self) -> Json:
        """The request as it stands, or as it was archived."""
        kept = stored(self.engine, self.number)
        assert kept is not None
        return (
            view(kept.request, await self.now()) if kept.request.is_closed else await self.state()
        )

    async def obligations(self) -> list[Json]:
        owed: list[Json] = await self.handle.query(OBLIGATIONS)
        return owed

    async def clock(self, rule: str) -> Json:
        """The latest clock of a rule."""
        found: Json = [c for c in (await self.state())["clocks"] if c["rule"] == rule][-1]
        return found

    def told(self, rule: str | None = None, message: str | None = None) -> list[Notification]:
        """The messages in the outbox, in order."""
        with Session(self.engine) as session:
            rows = session.exec(
                select(Notification).where(Notification.number == self.number)
            ).all()
        kept = [row for row in rows if rule in (None, row.rule) and message in (None, row.message)]
        return sorted(kept, key=lambda row: int(row.id.split(":")[1]))

    def timeline(self) -> list[Any]:
        """The lines of the timeline that are written down."""
        return list(timeline(self.engine, self.number))

    async def pass_until(self, moment: datetime) -> None:
        """Let time pass until `moment`."""
        left = moment - await self.now()
        if left > timedelta(0):
            await self.sleep(left)

    # --- the way through the stages -------------------------------------------------------------

    async def engineer(self) -> str:
        """The engineer with an open offer, or the one assigned."""
        state = await self.state()
        open_offers = [o["engineer"] for o in state["offers"] if o["state"] == "open"]
        engineer: str = open_offers[-1] if open_offers else state["engineer"]
        return engineer

    async def accepts(self) -> Receipt:
        return await self.says("accepted", engineer=await self.engineer())

    async def appoints(
        self, starts_in: timedelta = timedelta(hours=2), long: timedelta = timedelta(hours=2)
    ) -> Receipt:
        start = await self.now() + starts_in
        return await self.says("appointed", **window(start, long))

    async def diagnoses(self) -> Receipt:
        return await self.says(
            "diagnosed", fault="外机风扇不转", cause="电容失效", remedy="更换电容"
        )

    async def completes(self, **payload: Any) -> Receipt:
        return await self.says("completed", test_result="出风口温度16℃", **payload)

    async def is_surveyed(self, **scores: int) -> Receipt:
        return await self.says(
            "surveyed", "agent", scores={**HAPPY_SCORES, **scores}, channel="phone"
        )

    async def goes_to(self, stage: str) -> "Desk":
        """Walk the shortest way to a stage."""
        for here, step in STEPS:
            if (await self.state())["stage"] == stage:
                return self
            assert (await self.state())["stage"] == here
            await step(self)
        assert (await self.state())["stage"] == stage
        return self


async def _through_service(desk: Desk) -> None:
    await desk.says("arrived")
    await desk.diagnoses()
    await desk.completes()


STEPS: list[tuple[str, Callable[[Desk], Awaitable[object]]]] = [
    ("response", lambda desk: desk.says("responded")),
    ("dispatch", lambda desk: desk.accepts()),
    ("appointment", lambda desk: desk.appoints()),
    ("service", _through_service),
    ("sign_off", lambda desk: desk.says("signed", signature="张*")),
    ("revisit", lambda desk: desk.is_surveyed()),
]


def window(start: datetime, long: timedelta = timedelta(hours=2)) -> Json:
    """A visit window as an event carries it."""
    return {"window_start": start.isoformat(), "window_end": (start + long).isoformat()}


async def open_desk(
    client: Client,
    engine: Engine,
    policy: Policy,
    now: Callable[[], Awaitable[datetime]],
    sleep: Callable[[timedelta], Awaitable[None]],
    *,
    history_limit: int = 5000,
    task_timeout: timedelta | None = None,
    **changes: Any,
) -> Desk:
    """Take a request in and start its workflow."""
    # Whole seconds make due times that read well.
    moment = (await now()).replace(microsecond=0)
    taken = take_in(
        engine, intake(**changes), key=None, policy=policy, calendar_for=calendar_for, now=moment
    )
    await start_request(client, taken.brief, history_limit=history_limit, task_timeout=task_timeout)
    mark_started(engine, taken.number)
    # A handle of one's own: waiting for its result does not skip time on the test server.
    handle = client.get_workflow_handle_for(ServiceRequestWorkflow.run, taken.number)
    return Desk(client, engine, handle, now, sleep)
