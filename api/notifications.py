"""Messages to people: what was told about a request, what became of it, and sending it again."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field, model_validator

from api import openapi, reading
from api.access import Steerer, Watcher
from api.problems import Problem
from api.services import Served
from domain.values import State, rfc3339
from domain.vocabulary import MessageChannel, Role, SendingState
from records import outbox

router = APIRouter(prefix="/v1", tags=["notifications"])


MAY_RESEND = (Role.supervisor, Role.manager)


class ShownTry(State):
    """One provider asked once."""

    at: str
    provider: str
    outcome: str = Field(description="`sent`, `refused` (for good) or `failed` (for now).")
    error: str | None
    took_ms: int


class ShownNotification(State):
    """A message, without its words and without any address."""

    id: str
    number: str
    to_role: str
    to_id: str | None
    channel: str
    message: str
    rule: str | None
    level: int | None
    state: SendingState
    outcome: str | None = Field(
        description="`sent`, `failed`, `refused` (for good, at once), `unaddressed` or `obsolete`."
    )
    attempts: int
    provider: str | None
    provider_id: str | None
    last_error: str | None
    created_at: str
    next_try_at: str | None
    sent_at: str | None
    failed_at: str | None
    digest: str | None
    tries: list[ShownTry]


class ShownNotifications(State):
    """Messages in the order in which they were told."""

    items: list[ShownNotification]


class ShownNotificationList(State):
    """A page of messages, the latest first, and the cursor of the next page."""

    items: list[ShownNotification]
    next: str | None


class Wanted(BaseModel):
    """Which messages to list; a filter left blank is none."""

    state: SendingState | None = None
    channel: MessageChannel | None = None
    to_role: Role | None = Field(default=None, alias="role")
    cursor: str | None = Field(
        default=None, max_length=500, description="`next` of the page before."
    )
    limit: int = Field(default=50, ge=1, le=200)

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in given.items() if value != ""}


OF_REQUEST = openapi.operation(
    "getNotifications",
    "Every message about a request",
    {200: ("Every message about a request, in order", ShownNotifications)},
    (*openapi.AUTH, "request_not_found", *openapi.ANY),
)
LIST = openapi.operation(
    "listNotifications",
    "List messages, the latest first",
    {200: ("One page", ShownNotificationList)},
    (*openapi.AUTH, "validation_failed", *openapi.ANY),
)
RESEND = openapi.operation(
    "resendNotification",
    "Send a message that has failed once more",
    {202: ("Queued again, under the same id", ShownNotification)},
    (
        *openapi.AUTH,
        "role_not_allowed",
        "notification_not_found",
        "notification_not_failed",
        *openapi.ANY,
    ),
)


@router.get("/requests/{number}/notifications", **OF_REQUEST)
async def get_notifications(services: Served, caller: Watcher, number: str) -> Response:
    """Show every message about the request: to whom, through what, and what became of it."""
    await reading.recorded(services, number)
    found = await services.records(outbox.of_request, number)
    return JSONResponse({"items": [_shown(sending) for sending in found]})


@router.get("/notifications", **LIST)
async def list_notifications(
    services: Served, caller: Watcher, wanted: Annotated[Wanted, Query()]
) -> Response:
    """List messages, the latest first: those that failed, those of one channel or role."""
    page = await services.records(outbox.list_notifications, **wanted.model_dump())
    return JSONResponse({"items": [_shown(each) for each in page.items], "next": page.next})


@router.post("/notifications/{id}/resend", **RESEND)
async def resend_notification(services: Served, caller: Steerer, id: str) -> Response:
    """Queue a message that has failed once more, for supervisors and managers."""
    if caller.role not in MAY_RESEND:
        reason = (
            "only a supervisor or a manager sends messages again",
            "只有售后主管或售后经理可以重发消息",
        )
        raise Problem("role_not_allowed", facts={"reason": reason})
    try:
        found = await services.records(outbox.resend, id) if id.isprintable() else None
    except outbox.NotFailed:
        raise Problem("notification_not_failed") from None
    if found is None:
        raise Problem("notification_not_found")
    return JSONResponse(_shown(found), status_code=202)


def _shown(sending: outbox.Sending) -> dict[str, Any]:
    row = sending.notification
    kept = row.model_dump()
    return {
        **{name: kept[name] for name in ShownNotification.model_fields if name in kept},
        "created_at": rfc3339(row.created_at),
        "next_try_at": rfc3339(row.not_before) if row.state == SendingState.queued else None,
        "sent_at": rfc3339(row.sent_at),
        "failed_at": rfc3339(row.failed_at),
        "tries": [
            {
                "at": rfc3339(each.at),
                "provider": each.provider,
                "outcome": each.outcome,
                "error": each.error,
                "took_ms": each.took_ms,
            }
            for each in sending.tries
        ],
    }
