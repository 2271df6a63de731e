"""The tables of the process: requests, forms, the timeline, the outbox, the archive.

Values of the standard's vocabularies are kept as their text. Personal data stands only in
`customer`, `intake` and the form SA-CR-001.
"""

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import JSON, Index, Text, UniqueConstraint
from sqlmodel import Field

from records.base import Record

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""`Request.next_due` when nothing is due: it sorts last."""


class Request(Record, table=True):
    """A service request as the workflow last wrote it down.

    Attributes:
        state: the whole `ServiceRequest` as JSON; the other columns are for finding it.
        turn: 0: it jumped the queue; 1: it waits its turn.
        breached: the rules breached so far.
        written_at: when this row last changed, by the database's writer.
    """

    __table_args__ = (
        Index(None, "turn", "next_due", "number"),
        Index(None, "stage", "clock_state"),
    )

    number: str = Field(primary_key=True)
    revision: int
    event_count: int
    state: str = Field(sa_type=Text)
    stage: str
    urgency: str
    request_type: str
    station: str | None = Field(index=True)
    engineer: str | None = Field(index=True)
    clock_state: str
    breached: list[str] = Field(sa_type=JSON)
    next_due: datetime
    turn: int
    outcome: str | None
    tier: str
    serial: str | None = Field(index=True)
    received_at: datetime = Field(index=True)
    closed_at: datetime | None
    written_at: datetime = Field(index=True)


class Customer(Record, table=True):
    """A customer, known by phone number in one spelling; the other data are the latest given.

    Attributes:
        tier: as someone whose word counts last gave it; None: nobody ever did.
    """

    id: int | None = Field(default=None, primary_key=True)
    phone: str = Field(unique=True)
    name: str
    email: str | None = None
    address: str
    latitude: float | None = None
    longitude: float | None = None
    tier: str | None = None


class Intake(Record, table=True):
    """What was asked for, word for word, and whether its workflow was started.

    Attributes:
        key: the idempotency key with its caller (`integration/erp/KEY`); body_hash tells whether
            the same key brings another body.
        latitude, longitude: where the work is, for the matching.
        lease_until: until then the caller that took it in is starting its workflow.
    """

    __table_args__ = (Index(None, "started", "received_at"),)

    number: str = Field(primary_key=True, foreign_key="request.number")
    key: str | None = Field(unique=True)
    body_hash: str
    body: str = Field(sa_type=Text)
    customer_id: int = Field(foreign_key="customer.id", index=True)
    latitude: float | None
    longitude: float | None
    received_at: datetime
    started: bool = False
    lease_until: datetime | None


class Clock(Record, table=True):
    """One promise of a request, for finding what is due, what is broken, and who owes it.

    Attributes:
        place: where it stands among the request's clocks, from 0.
        subject: the offer or complaint it is about.
        state: running, paused, kept, late, breached or cancelled.
        late_seconds: how much longer than promised it took; None: not stopped, or in time.
        fired_at: when the platform noticed the breach: what it was late by is nobody's fault.
        owed_role, owed_by: who must act, and the person where one is known.
    """

    __table_args__ = (
        Index(None, "state", "due_at"),
        Index(None, "rule", "state", "breached_at", "late_seconds"),
    )

    number: str = Field(primary_key=True, foreign_key="request.number")
    place: int = Field(primary_key=True)
    rule: str
    subject: str
    state: str
    started_at: datetime
    due_at: datetime | None
    breached_at: datetime | None
    fired_at: datetime | None
    stopped_at: datetime | None
    late_seconds: float | None
    owed_role: str
    owed_by: str | None


class Form(Record, table=True):
    """A filled-in form; `key` is its kind and place within the request (`AP/2`)."""

    __table_args__ = (UniqueConstraint("request", "key"),)

    number: str = Field(primary_key=True)
    request: str = Field(foreign_key="request.number")
    key: str
    code: str
    title: str
    title_zh: str
    content: dict[str, Any] = Field(sa_type=JSON)


class Serial(Record, table=True):
    """The last serial given to a prefix on a local day."""

    prefix: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    last: int


class Timeline(Record, table=True):
    """One line of a request's timeline."""

    number: str = Field(primary_key=True, foreign_key="request.number")
    seq: int = Field(primary_key=True)
    at: datetime
    recorded_at: datetime
    kind: str
    name: str
    actor_role: str | None
    actor_id: str | None
    event_id: str | None
    data: dict[str, Any] = Field(sa_type=JSON)


class Notification(Record, table=True):
    """A message in the outbox, `id` = `<number>:<seq>`.

    Attributes:
        state: queued, sent or failed; restored: it had gone missing and was put back for the
            record, not to be sent.
        not_before: a courier has it in hand, or it failed and waits, until then; None: try at once.
        attempts: how often it was tried.
        digest: the digest it went out with.
    """

    __table_args__ = (Index(None, "state", "created_at"), Index(None, "state", "channel"))

    id: str = Field(primary_key=True)
    number: str = Field(foreign_key="request.number", index=True)
    to_role: str
    to_id: str | None
    channel: str
    message: str
    rule: str | None
    level: int | None
    facts: dict[str, str] = Field(sa_type=JSON)
    state: str = "queued"
    attempts: int = 0
    created_at: datetime
    not_before: datetime | None = None
    sent_at: datetime | None = None
    digest: str | None = None


class Workload(Record, table=True):
    """Unfinished work an engineer holds, or a place kept for it.

    Attributes:
        offer: the place within the request of the offer that brought it.
    """

    engineer: str = Field(primary_key=True)
    number: str = Field(primary_key=True, index=True)
    offer: int
    since: datetime


class Archive(Record, table=True):
    """A closed request as it was shown at its end; `sha256` is of the view's text.

    Attributes:
        state: the whole `ServiceRequest` as JSON, and timeline: its lines and messages: enough to
            restore the records when Temporal has long forgotten it. None: archived before they
            were kept.
    """

    number: str = Field(primary_key=True, foreign_key="request.number")
    closed_at: datetime
    outcome: str | None
    view: str = Field(sa_type=Text)
    sha256: str
    policy_version: str
    state: str | None = Field(default=None, sa_type=Text)
    timeline: str | None = Field(default=None, sa_type=Text)


class Upkeep(Record, table=True):
    """How a task of the house's own upkeep went when it last ran.

    Attributes:
        differences: how many were found, and repaired: how many of them were mended.
        took: seconds.
    """

    name: str = Field(primary_key=True)
    ran_at: datetime
    checked: int
    differences: int
    repaired: int
    took: float
