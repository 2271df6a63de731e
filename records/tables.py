"""The tables of the process: requests, forms, the timeline, the outbox, the archive.

Values of the standard's vocabularies are kept as their text. Personal data stands only in
`customer`, `intake` and the form SA-CR-001, and there it is sealed: see `records/personal.py`.
"""

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import JSON, Index, Text, UniqueConstraint, text
from sqlmodel import Field

from domain.vocabulary import SendingState
from records.base import Record

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""When nothing is due: it sorts last."""


_IN_TURN = ("turn", "next_due", "number")
_FILTERS = ("stage", "urgency", "request_type", "station", "engineer", "clock_state")


def _first(name: str) -> list[str]:
    return [name, *_IN_TURN, *(other for other in _FILTERS if other != name)]


_COUNTED = ("stage", "clock_state", "urgency")
OPEN = text("stage <> 'closed'")
"""Open requests, in the very words of the indexes that hold only these; SQLite compares words."""


class Request(Record, table=True):
    """A service request as the workflow last wrote it down.

    Attributes:
        state: the whole `ServiceRequest` as JSON; the other columns are for finding it.
        turn: 0: it jumped the queue; 1: it waits its turn.
        breached: the rules breached so far.
        written_at: when this row last changed, by the database's writer.
    """

    # SQLite reads a column that stands after the long `state` slowly, so every list is answered
    # from an index alone, whatever is asked for together.
    __table_args__ = (
        Index("ix_request_in_turn", *_IN_TURN, *_FILTERS),
        *(Index(f"ix_request_by_{name}", *_first(name)) for name in _FILTERS),
        Index("ix_request_open", *_COUNTED, sqlite_where=OPEN, postgresql_where=OPEN),
        Index(
            "ix_request_open_at",
            "station",
            *_COUNTED,
            sqlite_where=OPEN,
            postgresql_where=OPEN,
        ),
        Index(None, "written_at", "number"),
    )

    number: str = Field(primary_key=True)
    revision: int
    event_count: int
    state: str = Field(sa_type=Text)
    stage: str
    urgency: str
    request_type: str
    station: str | None
    engineer: str | None
    clock_state: str
    breached: list[str] = Field(sa_type=JSON)
    next_due: datetime
    turn: int
    outcome: str | None
    tier: str
    serial: str | None = Field(index=True)
    received_at: datetime = Field(index=True)
    closed_at: datetime | None
    written_at: datetime
    external_id: str | None = Field(default=None, index=True)


class Shown(Record, table=True):
    """A request as it is shown, made when it is written so that a list need not make it.

    Attributes:
        made_by: the code that made it; what another made is not trusted, but made anew.
        document: `domain.view.lasting` as JSON.
        row: `domain.view.row` as JSON.
    """

    number: str = Field(primary_key=True, foreign_key="request.number")
    made_by: str
    document: str = Field(sa_type=Text)
    row: str = Field(sa_type=Text)


class Customer(Record, table=True):
    """A customer, known by phone number; everything about them is sealed with their own key.

    Attributes:
        phone_index: the blind index of the phone number in one spelling.
        data_key: their key, wrapped by the ring; None: they were erased. One that was never
            anybody takes the requests that are erased while their customer stays.
        sealed: name, phone, e-mail, address and coordinates, the latest given.
        tier: as someone whose word counts last gave it; None: nobody ever did.
    """

    # Not by the convention: SQLite cannot rename a constraint, and the column was once the phone.
    __table_args__ = (UniqueConstraint("phone_index", name="uq_customer_phone"),)

    id: int | None = Field(default=None, primary_key=True)
    phone_index: str
    data_key: str | None = None
    sealed: str | None = Field(default=None, sa_type=Text)
    tier: str | None = None
    erased_at: datetime | None = None


class Intake(Record, table=True):
    """What was asked for, word for word, and whether its workflow was started.

    Attributes:
        key: the idempotency key with its caller (`integration/erp KEY`); body_hash, made with the
            ring's index key, tells whether the same key brings another body.
        body: sealed with the customer's key.
        place: where the work is, for the matching; sealed likewise. None: nobody knows.
        lease_until: until then the caller that took it in is starting its workflow.
    """

    __table_args__ = (Index(None, "started", "received_at"),)

    number: str = Field(primary_key=True, foreign_key="request.number")
    key: str | None = Field(unique=True)
    body_hash: str
    body: str = Field(sa_type=Text)
    customer_id: int = Field(foreign_key="customer.id", index=True)
    place: str | None = Field(default=None, sa_type=Text)
    received_at: datetime
    started: bool = False
    lease_until: datetime | None


class Erasure(Record, table=True):
    """A request whose personal data was destroyed; a row is added in that transaction.

    Attributes:
        why: `asked`, or `retention`: it was older than records are kept.
        swept: whether the archive's chain says so, and Temporal has nothing left of it.
    """

    number: str = Field(primary_key=True, foreign_key="request.number")
    at: datetime
    why: str
    swept: bool = Field(default=False, index=True)


class Access(Record, table=True):
    """Who read what, when and why. Rows are added and never changed.

    Attributes:
        who: the id in the caller's token; on the command line, the operating system's user.
        kind: `personal`: personal data in clear; `audit`: what auditors read.
        what: of personal data `customer`, `forms` or `find`; else the operation or the command.
        number: the request it was about; None: it was about none, or about several.
        about: what else was asked for, such as a moment or a month.
        reason: None: none was asked for.
        request_id: under which the log knows the call.
    """

    __tablename__ = "access_log"

    id: int | None = Field(default=None, primary_key=True)
    at: datetime
    role: str
    who: str = Field(index=True)
    kind: str
    what: str
    number: str | None = Field(default=None, index=True)
    about: str | None = None
    reason: str | None = None
    request_id: str


class AccessPending(Record, table=True):
    """A row of the access log that the archive's chain does not have yet.

    Rows of the log itself stay as they are; and a transaction that ends late is not passed by.
    """

    __tablename__ = "access_pending"

    id: int = Field(
        primary_key=True,
        foreign_key="access_log.id",
        sa_column_kwargs={"autoincrement": False},
    )


_OWED = ("state", "due_at", "rule", "owed_role", "owed_by", "station", "breached_at")
LIVE = text("live")
"""Promises that are owed, likewise."""
_BROKE = text("breached_at IS NOT NULL")


class Clock(Record, table=True):
    """One promise of a request, for finding what is due, what is broken, and who owes it.

    Attributes:
        place: where it stands among the request's clocks, from 0.
        subject: the offer or complaint it is about.
        state: running, paused, kept, late, breached or cancelled.
        late_seconds: how much longer than promised it took; None: not stopped, or in time.
        fired_at: when the platform noticed the breach: what it was late by is nobody's fault.
        owed_role, owed_by: who must act, and the person where one is known.
        station: the request's.
        live: neither stopped nor cancelled: it is still owed.
        decided_at: when it was kept or broken; None: neither so far.
        tells: the role that hears of the breach first.
    """

    # Most promises are past; those that are owed, and those that broke, are few and quickly found.
    __table_args__ = (
        Index("ix_clock_live", *_OWED, sqlite_where=LIVE, postgresql_where=LIVE),
        Index("ix_clock_breached", "rule", "number", sqlite_where=_BROKE, postgresql_where=_BROKE),
        Index("ix_clock_decided", "rule", "state", "decided_at", "station", "late_seconds"),
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
    station: str | None = None
    live: bool = True
    decided_at: datetime | None = None
    tells: str | None = None


class Task(Record, table=True):
    """Something that a person owes or owed on a request, for the task inbox.

    Attributes:
        assignee_role, assignee: who has it.
        due_at: `NEVER` when nothing is promised.
        closed_by, closed_with: the id and the type of the event that closed it.
    """

    __table_args__ = (
        Index(None, "role", "closed_at", "due_at"),
        Index(None, "assignee", "closed_at", "due_at"),
    )

    id: str = Field(primary_key=True)
    number: str = Field(foreign_key="request.number", index=True)
    kind: str
    role: str
    assignee_role: str | None
    assignee: str | None
    due_at: datetime
    rules: list[str] = Field(sa_type=JSON)
    subject: str
    station: str | None
    opened_at: datetime
    claimed_at: datetime | None
    closed_at: datetime | None
    closed_by: str | None
    closed_with: str | None


class Form(Record, table=True):
    """A filled-in form; `key` is its kind and place within the request (`AP/2`).

    Attributes:
        sealed: what `content` holds back, sealed with the customer's key; SA-CR-001 only.
    """

    __table_args__ = (UniqueConstraint("request", "key"),)

    number: str = Field(primary_key=True)
    request: str = Field(foreign_key="request.number")
    key: str
    code: str
    title: str
    title_zh: str
    content: dict[str, Any] = Field(sa_type=JSON)
    sealed: str | None = Field(default=None, sa_type=Text)


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

    What goes out in several ways has a row for each: `<number>:<seq>:<channel>` after the first.
    What the courier itself has to tell has an id of its own.

    Attributes:
        seq: its place among what the request told; None: the courier told it.
        state: a `SendingState`.
        not_before: a courier has it in hand, or it waits, until then; None: try at once.
        attempts: how often it was tried.
        digest: the digest it went out with.
        provider: who was asked last; provider_id: that one's own id of it.
        last_error: why it was not sent: a short word of ours, no provider's.
        outcome: how it ended: sent, failed, refused (for good, at once), unaddressed or obsolete.
        refused_by: the providers that are not asked again.
    """

    __table_args__ = (Index(None, "state", "created_at"), Index(None, "state", "channel"))

    id: str = Field(primary_key=True)
    number: str = Field(foreign_key="request.number", index=True)
    seq: int | None = None
    to_role: str
    to_id: str | None
    channel: str
    message: str
    rule: str | None
    level: int | None
    facts: dict[str, str] = Field(sa_type=JSON)
    state: str = SendingState.queued.value
    attempts: int = 0
    created_at: datetime
    not_before: datetime | None = None
    sent_at: datetime | None = None
    digest: str | None = None
    provider: str | None = None
    provider_id: str | None = None
    last_error: str | None = None
    failed_at: datetime | None = None
    outcome: str | None = None
    refused_by: list[str] | None = Field(default=None, sa_type=JSON(none_as_null=True))


class NotificationAttempt(Record, table=True):
    """One provider asked once to deliver a message; rows are only ever added.

    Attributes:
        outcome: sent, refused (for good) or failed (for now).
        took_ms: until the answer, the wait for one of the provider's hands included.
    """

    __tablename__ = "notification_attempt"

    id: int | None = Field(default=None, primary_key=True)
    notification: str = Field(foreign_key="notification.id", index=True)
    at: datetime
    provider: str
    outcome: str
    error: str | None
    took_ms: int


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
    closed_at: datetime = Field(index=True)
    outcome: str | None
    view: str = Field(sa_type=Text)
    sha256: str
    policy_version: str
    state: str | None = Field(default=None, sa_type=Text)
    timeline: str | None = Field(default=None, sa_type=Text)


class Link(Record, table=True):
    """An entry of the archive's chain (`audit/manifests.py`).

    Attributes:
        kind: the entry's.
        number: the request that it is about; None: it is about none.
        content: the entry as JSON, as it is filed in the archive.
        key: of a history, the record's own key, wrapped by the ring; None: it was erased.
        filed: whether the archive has the entry and, of a history, its key as they are here; a
            crash may come between our writing and its.
    """

    __tablename__ = "chain"
    __table_args__ = (UniqueConstraint("number", "kind"),)

    seq: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    kind: str
    number: str | None = Field(foreign_key="request.number")
    month: str = Field(index=True)
    hash: str
    content: str = Field(sa_type=Text)
    key: str | None = None
    filed: bool = Field(default=False, index=True)


class EarlierRun(Record, table=True):
    """A run of a request that went on in a new one, until the whole request is archived.

    Attributes:
        content: its history, sealed with the customer's key.
    """

    __tablename__ = "earlier_run"

    run: str = Field(primary_key=True)
    number: str = Field(foreign_key="intake.number", index=True)
    content: bytes


class Webhook(Record, table=True):
    """A subscription.

    Attributes:
        types: patterns of `domain.outgoing`, written out.
        stations: only requests of these stations; none: of every one.
        owner: who made it (`integration/erp`).
        state: active or paused; what happens while it is paused waits for it.
        paused_because: `gone`: the receiver answered 410; `asked`: somebody paused it.
        give_up_seconds: how long a delivery is tried; None: as the settings say.
        secret, old_secret: sealed; the old one signs as well until `old_until`.
    """

    id: str = Field(primary_key=True)
    url: str = Field(sa_type=Text)
    types: list[str] = Field(sa_type=JSON)
    stations: list[str] = Field(sa_type=JSON)
    description: str | None
    owner: str = Field(index=True)
    state: str = "active"
    paused_because: str | None = None
    give_up_seconds: float | None = None
    secret: str = Field(sa_type=Text)
    old_secret: str | None = Field(default=None, sa_type=Text)
    old_until: datetime | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def is_active(self) -> bool:
        """Whether anything is sent to it."""
        return self.state == "active"


class WebhookDelivery(Record, table=True):
    """One event on its way to one subscription; in order by `seq` within the request `number`.

    It outlives its subscription: what was sent stays known.

    Attributes:
        number: the request; of a ping, the subscription itself.
        type, at, data: the event that is sent.
        state: queued, delivered, dead (given up) or dropped (its subscription was removed).
        last_status, last_answer, last_error: what the last attempt met; the answer's beginning.
        queued_at: since when it is tried: its birth, or when it was replayed or resumed.
        knock_at: not before then is its workflow told of it again; None: tell it now.
        hurried: its workflow is not to wait for the end of a pause.
    """

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index(None, "state", "knock_at"),
        Index(None, "webhook", "created_at"),
    )

    webhook: str = Field(primary_key=True)
    number: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    type: str
    at: datetime
    data: dict[str, Any] = Field(sa_type=JSON)
    state: str = "queued"
    attempts: int = 0
    last_status: int | None = None
    last_answer: str | None = Field(default=None, sa_type=Text)
    last_error: str | None = None
    created_at: datetime
    queued_at: datetime
    attempted_at: datetime | None = None
    next_attempt_at: datetime | None = None
    delivered_at: datetime | None = None
    knock_at: datetime | None = None
    hurried: bool = False

    @property
    def id(self) -> str:
        """The event's id, the same in every attempt."""
        return f"{self.number}:{self.seq}"


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
