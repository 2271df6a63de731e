"""Webhook subscriptions as they are sent in and shown, and what their calls answer."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from api.openapi import ANY, AUTH, BODIES, BODY, REF, body, operation
from domain.deliveries import DeliveryState
from domain.outgoing import full
from domain.values import WRITTEN_SPAN, Line, Name, State, Value, parse_duration
from records.tables import Webhook, WebhookDelivery

WRONG_TYPE = "give a type of event that is sent, a family such as request.*, or *"
NOT_NULL = "must not be null; leave it out to keep it"


def _written_out(pattern: str) -> str:
    written = full(pattern)
    if written is None:
        raise ValueError(WRONG_TYPE)
    return written


def _each_once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


Url = Annotated[str, Field(min_length=1, max_length=2000)]
Types = Annotated[
    list[Annotated[str, Field(max_length=100), AfterValidator(_written_out)]],
    Field(min_length=1, max_length=100),
    AfterValidator(_each_once),
]
Stations = Annotated[list[Name], Field(max_length=500), AfterValidator(_each_once)]
GiveUp = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    Field(ge=timedelta(minutes=10), le=timedelta(days=30)),
    WRITTEN_SPAN,
]


class NewWebhook(Value):
    """A subscription to make.

    Attributes:
        types: types of events (`request.closed`), families (`clock.*`) or `*`.
        stations: only requests of these stations; empty: of every one.
        give_up_after: how long a delivery is tried; by default as the installation is set.
    """

    url: Url
    types: Types
    stations: Stations = []
    description: Line | None = None
    give_up_after: GiveUp | None = None


class WebhookChange(Value):
    """What is to become of a subscription; what is left out stays."""

    url: Url | None = None
    types: Types | None = None
    stations: Stations | None = None
    description: Line | None = None
    give_up_after: GiveUp | None = None
    state: Literal["active", "paused"] | None = None

    @field_validator("url", "types", "stations", "state", mode="before")
    @classmethod
    def _is_something(cls, given: object) -> object:
        if given is None:
            raise ValueError(NOT_NULL)
        return given

    @property
    def columns(self) -> dict[str, Any]:
        """What changes, as the records name it."""
        columns = self.model_dump(exclude_unset=True)
        if "give_up_after" in columns:
            span = columns.pop("give_up_after")
            columns["give_up_seconds"] = span and span.total_seconds()
        if "state" in columns:
            columns["paused_because"] = "asked" if columns["state"] == "paused" else None
        return columns


class Rotation(Value):
    """How long the secret so far signs as well."""

    overlap: Annotated[
        timedelta,
        BeforeValidator(parse_duration),
        Field(ge=timedelta(0), le=timedelta(days=30)),
        WRITTEN_SPAN,
    ] = timedelta(days=1)


class ShownWebhook(State):
    """A subscription.

    Attributes:
        paused_because: `asked`, or `gone`: the receiver answered 410.
        old_secret_until: until then events are signed with the secret before as well.
    """

    id: str
    url: str
    types: list[str]
    stations: list[str]
    description: str | None
    owner: str
    state: Literal["active", "paused"]
    paused_because: Literal["asked", "gone"] | None
    give_up_after: timedelta | None
    old_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Webhook) -> Self:
        """Everything but the secrets."""
        return cls.model_validate(_shown(row))


class ShownWebhookWithSecret(ShownWebhook):
    """A subscription with its secret, which is not shown again."""

    secret: str

    @classmethod
    def told(cls, row: Webhook, secret: str) -> Self:
        """The subscription and its new secret."""
        return cls.model_validate({**_shown(row), "secret": secret})


class ShownWebhooks(State):
    """Subscriptions, the oldest first."""

    items: list[ShownWebhook]


class ShownDelivery(State):
    """One event on its way to one subscription.

    Attributes:
        last_error: why the last attempt failed; None: it did not.
        last_answer: the beginning of what the receiver said.
        next_attempt_at: when it is tried again, where that is known.
    """

    id: str
    number: str
    sequence: int
    type: str
    time: datetime
    state: DeliveryState
    attempts: int
    last_status: int | None
    last_error: str | None
    last_answer: str | None
    created_at: datetime
    attempted_at: datetime | None
    next_attempt_at: datetime | None
    delivered_at: datetime | None

    @classmethod
    def of(cls, row: WebhookDelivery) -> Self:
        """As the sender knows it."""
        own = {"id": row.id, "sequence": row.seq, "time": row.at}
        same = {name: getattr(row, name) for name in cls.model_fields if name not in own}
        return cls.model_validate({**own, **same})


class ShownDeliveries(State):
    """A page of deliveries, the latest first."""

    items: list[ShownDelivery]
    next: str | None


class ShownReplay(State):
    """How many deliveries were queued again."""

    replayed: int


def _shown(row: Webhook) -> dict[str, Any]:
    same = set(ShownWebhook.model_fields) - {"give_up_after", "old_secret_until"}
    patience = row.give_up_seconds
    return {
        **{name: getattr(row, name) for name in same},
        "give_up_after": None if patience is None else timedelta(seconds=patience),
        "old_secret_until": row.old_until,
    }


# --- what the calls answer ------------------------------------------------------------------------

BODIES += [NewWebhook, WebhookChange, Rotation]
_FOUND = (*AUTH, "webhook_not_found", *ANY)
_NEW = {
    "url": "https://erp.example.com/hooks/aftersales",
    "types": ["request.closed", "clock.*"],
    "stations": ["pudong"],
    "description": "ERP 结算",
}

CREATE = operation(
    "createWebhook",
    "Subscribe to events",
    {201: ("Subscribed; the secret is shown this once", ShownWebhookWithSecret)},
    (*AUTH, *BODY, "too_many_webhooks", *ANY),
    openapi_extra=body({"$ref": REF + "NewWebhook"}, erp=_NEW),
)
LIST = operation(
    "listWebhooks",
    "List the caller's subscriptions; a manager sees all",
    {200: ("The subscriptions", ShownWebhooks)},
    (*AUTH, *ANY),
)
GET = operation(
    "getWebhook", "Show a subscription", {200: ("The subscription", ShownWebhook)}, _FOUND
)
CHANGE = operation(
    "changeWebhook",
    "Change, pause or resume a subscription",
    {200: ("The subscription after it", ShownWebhook)},
    (*_FOUND, *BODY),
    openapi_extra=body(
        {"$ref": REF + "WebhookChange"}, pause={"state": "paused"}, types={"types": ["*"]}
    ),
)
REMOVE = operation(
    "removeWebhook",
    "Remove a subscription and drop what waits for it",
    {204: ("Gone", None)},
    _FOUND,
)
ROTATE = operation(
    "rotateWebhookSecret",
    "Give a subscription a new secret",
    {200: ("The subscription with its new secret", ShownWebhookWithSecret)},
    (*_FOUND, *BODY),
    openapi_extra=body({"$ref": REF + "Rotation"}, at_once={"overlap": "0s"}),
)
TEST = operation(
    "testWebhook",
    "Send a ping",
    {202: ("The ping is on its way", ShownDelivery)},
    (*_FOUND, "webhook_paused"),
)
DELIVERIES = operation(
    "listDeliveries",
    "List the deliveries of a subscription, the latest first",
    {200: ("One page", ShownDeliveries)},
    (*_FOUND, "validation_failed"),
)
REPLAY = operation(
    "replayDelivery",
    "Send one event again",
    {202: ("It is queued again, at its place", ShownDelivery)},
    (*_FOUND, "delivery_not_found"),
)
REPLAY_ALL = operation(
    "replayDead",
    "Send every event again that was given up",
    {202: ("They are queued again, each at its place", ShownReplay)},
    _FOUND,
)
