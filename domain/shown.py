"""The request as shown, as a model: what the OpenAPI document promises of `domain.view`."""

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from .clocks import Ticking
from .events import Scores
from .intake import KnownProduct, MaskedCustomer, Warranty
from .rules import Rule
from .state import Appointment, Awaited, Hold, Payment, Person, PricedLine, Quote, Visit
from .todo import StoredTask
from .values import Money, State, Value
from .vocabulary import (
    Channel,
    ClockState,
    ComplaintClass,
    ComplaintState,
    Mood,
    OfferState,
    Outcome,
    Remedy,
    RequestType,
    Role,
    ServiceType,
    Stage,
    Urgency,
    WorkOrderStatus,
)


class ShownOffer(State):
    """The work offered to one engineer."""

    engineer: str
    offered_at: datetime
    due_at: datetime | None
    state: OfferState
    reason: str | None
    closed_at: datetime | None
    by_hand: bool


class ShownFees(State):
    """What the work costs, and what was paid."""

    lines: list[PricedLine]
    total: Money
    paid: Money
    owed: Money
    payments: list[Payment]


class ShownSurvey(State):
    """The revisit's scores."""

    scores: Scores
    remark: str | None
    channel: str
    surveyed_at: datetime
    by: Role | None


class ShownComplaint(State):
    """A complaint, counted from 1 within its request."""

    id: int
    class_: ComplaintClass = Field(alias="class")
    text: str
    source: Literal["intake", "survey", "complaint"]
    opened_at: datetime
    state: ComplaintState
    owner_role: Role
    owner: str | None
    remedy: str | None
    remedy_kind: Remedy | None
    value: Money | None
    settled_at: datetime | None
    reopened: list[str]


class ShownClock(State):
    """One promise and how it stands."""

    rule: Rule
    subject: str | None
    state: Ticking
    started_at: datetime
    due_at: datetime | None
    warned_at: datetime | None
    breached_at: datetime | None
    fired_at: datetime | None
    stopped_at: datetime | None
    remaining_seconds: float


class ShownPolicy(State):
    """The timing policy that the request started under."""

    name: str
    version: str


class ServiceRequest(State):
    """A service request as shown, personal data masked."""

    number: str
    work_order: str | None
    type: RequestType
    channel: Channel
    received_at: datetime
    stage: Stage
    outcome: Outcome | None
    urgency: Urgency
    mood: Mood | None
    service_type: ServiceType
    status: WorkOrderStatus
    clock_state: ClockState
    on_hold: bool
    hold: Hold | None
    customer: MaskedCustomer
    product: KnownProduct
    warranty: Warranty
    station: str | None
    external_id: str | None
    earlier_requests: list[str]
    repeat_fault: bool
    jumped_queue: bool
    manual_dispatch: bool
    outside_provider_allowed: bool
    at_depot: bool
    plan: str | None
    answer: str | None
    engineer: str | None
    offers: list[ShownOffer]
    appointment: Appointment | None
    visits: list[Visit]
    parts_awaited: list[Awaited]
    quote: Quote | None
    fees: ShownFees
    signed_at: datetime | None
    completed_at: datetime | None
    survey: ShownSurvey | None
    complaints: list[ShownComplaint]
    clocks: list[ShownClock]
    allowed_events: list[str]
    event_count: int
    policy: ShownPolicy
    closed_at: datetime | None


class ShownList(State):
    """A page of requests, the cursor of the next page, and how many match (1,000: or more)."""

    items: list[ServiceRequest]
    next: str | None
    total: int


class ShownResult(State):
    """What became of one event; `code`, `reason` and `facts` when it was refused."""

    id: str
    status: Literal["applied", "repeated", "refused", "skipped", "accepted"]
    code: str | None = None
    reason: str | None = None
    facts: dict[str, str] | None = None


class ShownResults(State):
    """What became of a list of events, and the request after them."""

    results: list[ShownResult]
    request: ServiceRequest


class ShownReceipts(State):
    """Events that were accepted and not yet judged."""

    results: list[ShownResult]


class ShownFault(State):
    """What is wrong with one field, named by JSON pointer."""

    field: str
    message: str


class ShownOutcome(State):
    """What became of one CloudEvent, by the `id` and `subject` it came with.

    `accepted`: left with the request, to be judged when its turn comes. `repeated`: it was taken
    before. `refused`: it will never be taken. `unavailable`: it could not be left; send it again.
    """

    id: str | None
    status: Literal["accepted", "repeated", "refused", "unavailable"]
    subject: str | None
    code: str | None = None
    reason: str | None = None
    errors: list[ShownFault] | None = None


class ShownOutcomes(State):
    """What became of each event, in the order in which they were sent."""

    results: list[ShownOutcome]


class ShownClocks(State):
    """Promises in the order in which they began."""

    items: list[ShownClock]


class ShownForm(State):
    """A filled-in form; `key` is its kind and place within the request (`AP/2`)."""

    number: str
    request: str
    key: str
    code: str
    title: str
    title_zh: str
    content: dict[str, object]


class ShownForms(State):
    """Forms in the order of the request's course."""

    items: list[ShownForm]


class ShownLine(State):
    """One line of a timeline."""

    seq: int
    at: datetime
    recorded_at: datetime
    kind: str
    name: str
    actor_role: Role | None
    actor_id: str | None
    event_id: str | None
    data: dict[str, object]


class ShownTimeline(State):
    """A timeline in order."""

    items: list[ShownLine]


class ShownOwner(State):
    """Who owes the act."""

    role: Role
    id: str | None


class ShownObligation(State):
    """One thing that will happen if nobody acts.

    `assignee` has the task behind it. `acknowledged_at`: since when somebody has the broken promise
    in hand, so that its ladder rests.
    """

    rule: str
    subject: str | None
    zh: str | None
    what: str
    due_at: datetime | None
    fires_at: datetime | None
    owed_by: ShownOwner | None
    tells: Role | None
    level: int | None
    task: str | None
    assignee: Person | None
    acknowledged_at: datetime | None


class ShownTask(StoredTask):
    """A task, and what would close it; `closed_by` and `closed_with` say which event did."""

    kind_zh: str
    state: Literal["open", "closed"]
    closes_with: list[str]


class ShownTasks(State):
    """A page of tasks, and the cursor of the next page."""

    items: list[ShownTask]
    next: str | None


class ShownObligations(State):
    """Obligations in the order in which they fire, broken ones first."""

    items: list[ShownObligation]


class ShownMoment(State):
    """A request as it stood at a moment, and what was due then."""

    at: datetime
    request: ServiceRequest
    obligations: list[ShownObligation]


class ShownRun(State):
    """One run of a workflow: the events as Temporal exports them, payloads sealed."""

    run: str
    history: dict[str, object]


class ShownHistory(State):
    """The whole history of a request."""

    number: str
    runs: list[ShownRun]


class ShownFinding(State):
    """One thing that is wrong, and where."""

    fault: str
    where: str
    detail: str


class ShownErasure(State):
    """When the personal data of a request was destroyed, and why."""

    number: str
    at: datetime
    why: Literal["asked", "retention"]


class ShownEvidence(Value):
    """An event of the history, and of which run of it, counted from 1; null: it has only one."""

    event: int
    run: int | None = None


class ShownVerdict(Value):
    """The verdict on one promise, as the audit judges it from what happened alone.

    `who` owed it, where that is known; `met_by` ended it. What the platform was down for after the
    promise was due is the platform's lateness, the rest of the overrun the person's.
    """

    rule: Rule
    zh: str
    source: str
    constraint: str
    subject: str | None
    goal_seconds: float
    started_at: datetime
    due_at: datetime | None
    done_at: datetime | None
    breached_at: datetime | None
    noticed_at: datetime | None
    standing: Ticking
    owed_by: Role
    who: str | None
    met_by: str | None
    person_late_seconds: float
    platform_late_seconds: float
    evidence: dict[Literal["started", "breached", "ended"], ShownEvidence]


class ShownOutage(Value):
    """A time in which something was due and the platform noticed nothing."""

    began_at: datetime
    ended_at: datetime


class ShownVerification(State):
    """What the verification of one request found; the manifest's facts once it is archived.

    `erased`: its personal data was destroyed, as the chain says; the rest of it holds.
    `promises`: the verdict on each, in the order in which they were made; none when the history
    does not open or does not replay. `until`: the last moment that the request knew of.
    """

    archived: bool
    number: str
    verdict: Literal["sound", "faulty", "erased"]
    erased: ShownErasure | None = None
    findings: list[ShownFinding]
    events: int | None = None
    sha256: str | None = None
    policy_version: str | None = None
    builds: list[str] | None = None
    closed_at: datetime | None = None
    until: datetime | None = None
    promises: list[ShownVerdict] = []
    outages: list[ShownOutage] = []


class ShownCustomer(State):
    """The customer in clear; `erased`: their data was destroyed, and `***` stands for it."""

    name: str
    phone: str
    email: str | None = None
    address: str
    latitude: float | None = None
    longitude: float | None = None
    tier: str
    erased: bool


class ShownHit(State):
    """A request of the customer who was looked for."""

    number: str
    type: RequestType
    stage: Stage
    received_at: datetime
    closed_at: datetime | None
    customer: MaskedCustomer


class ShownFound(State):
    """A customer's requests, the latest first; none: nobody is known by this number."""

    items: list[ShownHit]


class ShownRead(State):
    """Who saw personal data, when and why; without `number`, customers were looked for."""

    at: datetime
    role: str
    who: str
    number: str | None
    what: Literal["customer", "forms", "find"]
    reason: str
    request_id: str


class ShownReads(State):
    """A page of reads, and the cursor of the next page."""

    items: list[ShownRead]
    next: str | None


class ShownAccess(State):
    """Who read what, when, and why if they had to say so.

    `what` of personal data is `customer`, `forms` or `find`; else the operation or the command.
    `about`: what else was asked for.
    """

    at: datetime
    role: str
    who: str
    kind: Literal["personal", "audit"]
    what: str
    number: str | None
    about: str | None
    reason: str | None
    request_id: str


class ShownAccesses(State):
    """A page of the access log, and the cursor of the next page."""

    items: list[ShownAccess]
    next: str | None


class ShownLiveness(State):
    """The process lives."""

    status: Literal["alive"]


class ShownReadiness(State):
    """Database, Temporal and a worker are there."""

    status: Literal["ready"]
    checks: dict[str, Literal["ok"]]


class ShownRow(State):
    """A request as one short line of the queue: what is due next, and who owes it."""

    number: str
    stage: Stage
    type: RequestType
    urgency: Urgency
    station: str | None
    engineer: str | None
    clock_state: ClockState
    next_due: datetime | None
    rule: Rule | None
    owed_by: ShownOwner | None
    jumped_queue: bool
    on_hold: bool
    event_count: int


class ShownCounts(State):
    """How many requests are open and how they stand, and how many promises press."""

    open: int
    by_stage: dict[str, int]
    by_clock_state: dict[str, int]
    by_urgency: dict[str, int]
    promises_breached: int
    promises_due_within_hour: int


class ShownBoard(State):
    """The counts and the head of the queue; the stream goes on from `last_event_id`."""

    counts: ShownCounts
    queue: list[ShownRow]
    last_event_id: str


class ShownAftermath(State):
    """What a breach leads to: who hears of it first, and what else it does."""

    tells: Role | None
    does: Literal["jumps_queue", "dispatch_by_hand", "next_engineer", "manager_takes_over"] | None


class ShownPromise(State):
    """A promise that presses; `breached_at` is empty while no worker has noticed the breach."""

    number: str
    rule: Rule
    zh: str
    subject: str | None
    due_at: datetime | None
    breached_at: datetime | None
    owed_by: ShownOwner
    on_breach: ShownAftermath
    request: ShownRow


class ShownDue(State):
    """What breaks soon, the next first, and how much there is of it."""

    items: list[ShownPromise]
    total: int


class ShownByRule(State):
    """How many promises of one rule."""

    rule: Rule
    zh: str
    count: int


class ShownByOwner(State):
    """How many promises one person or role owes."""

    role: Role
    id: str | None
    count: int


class ShownBreached(State):
    """What is broken and not met yet, the oldest first."""

    items: list[ShownPromise]
    total: int
    by_rule: list[ShownByRule]
    by_owner: list[ShownByOwner]


class ShownLoad(State):
    """What an engineer holds; the matching gives them no more than `capacity`."""

    engineer: str
    station: str | None
    active: bool
    open_work: int
    offers_open: int
    due_within_hour: int
    breached: int
    capacity: int
    overloaded: bool


class ShownWorkload(State):
    """Every engineer, the overloaded first."""

    items: list[ShownLoad]


class ShownRule(State):
    """How well one rule was kept; `breached`: broken, and not met so far."""

    rule: Rule
    zh: str
    kept: int
    late: int
    breached: int
    percentage: float | None
    target_percentage: float | None
    on_target: bool | None
    median_late_seconds: float | None
    p90_late_seconds: float | None


class ShownPunctuality(State):
    """How well the rules were kept on a local day."""

    day: date
    timezone: str
    rules: list[ShownRule]


class ShownBecame(State):
    """What became of an order for one request; `code`, `reason` and `facts` when it was not so."""

    number: str
    event: str
    status: Literal["would_apply", "applied", "repeated", "refused", "unanswered", "skipped"]
    code: str | None = None
    reason: str | None = None
    facts: dict[str, str] | None = None


class ShownOrder(State):
    """What became of an order, or would; `counts` by status."""

    dry_run: bool
    counts: dict[str, int]
    items: list[ShownBecame]
