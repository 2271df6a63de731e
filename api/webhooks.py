"""Webhooks: who is told of what happens, and what became of telling them."""

import asyncio
import re
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from activities.targets import BadTarget, Targets
from api import webhook_models as shown
from api.access import Subscriber, SubscriptionReader
from api.bodies import JsonBody, OptionalJsonBody
from api.language import Text
from api.problems import FieldError, Problem
from api.services import Served, Services
from api.validation import read_as
from api.webhook_models import (
    NewWebhook,
    Rotation,
    ShownDelivery,
    ShownWebhook,
    ShownWebhookWithSecret,
    WebhookChange,
)
from domain.deliveries import DeliveryState
from domain.numbering import is_request_number
from domain.values import Name
from domain.vocabulary import Role
from records import deliveries, webhooks
from records.tables import Webhook
from runtime.tokens import Principal

T = TypeVar("T")

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


JUDGE_SECONDS = 5.0
_PLACE = re.compile(r"[0-9]{1,9}")

BAD_TARGETS: dict[str, Text] = {
    "not_a_url": ("must be an absolute URL", "应为完整的网址"),
    "scheme": ("must begin with https://", "应以 https:// 开头"),
    "userinfo": ("must not contain a user name or password", "不得包含用户名或密码"),
    "fragment": ("must not contain a fragment (#)", "不得包含片段(#)"),
    "host": ("must name a host, or an address in its usual spelling", "主机名或地址的写法不正确"),
    "port": (
        "this port is not for webhooks; use 443 or one above 1023",
        "请使用443或1023以上的端口",
    ),
    "unknown_host": ("this host is not known to the name service", "无法解析该主机名"),
    "inside": (
        "leads to an address inside a private network; the operator can allow it",
        "指向内部网络地址；如有需要，请联系运维人员放行",
    ),
}
"""What is wrong with a URL."""


class Wanted(BaseModel):
    """Which deliveries to list."""

    state: DeliveryState | None = None
    number: Name | None = None
    cursor: str | None = Field(default=None, max_length=500)
    limit: int = Field(default=50, ge=1, le=200)


@router.post("", **shown.CREATE)
async def create_webhook(
    services: Served, caller: Subscriber, call: Request, body: JsonBody
) -> Response:
    """Subscribe to events; the answer alone shows the secret that they are signed with."""
    new = read_as(NewWebhook, body)
    await _judge(services, new.url)
    try:
        made, secret = await services.records(
            webhooks.subscribe,
            owner=f"{caller.role}/{caller.id}",
            url=new.url,
            types=new.types,
            stations=new.stations,
            description=new.description,
            give_up=new.give_up_after,
        )
    except webhooks.TooMany:
        most = str(webhooks.MOST_WEBHOOKS)
        raise Problem("too_many_webhooks", facts={"most": most}) from None
    return _secret(made, secret, 201, Location=str(call.url_for("get_webhook", id=made.id).path))


@router.get("", **shown.LIST)
async def list_webhooks(services: Served, caller: SubscriptionReader) -> Response:
    """List the subscriptions that the caller made; managers and auditors see everyone's."""
    found = await services.records(webhooks.webhooks, _owner(caller))
    return _answer(shown.ShownWebhooks(items=[ShownWebhook.of(each) for each in found]))


@router.get("/{id}", **shown.GET)
async def get_webhook(services: Served, caller: SubscriptionReader, id: str) -> Response:
    """Show one subscription."""
    return _answer(ShownWebhook.of(await _found(services, caller, id)))


@router.patch("/{id}", **shown.CHANGE)
async def change_webhook(services: Served, caller: Subscriber, id: str, body: JsonBody) -> Response:
    """Change a subscription. What happens while it is paused is sent when it is resumed."""
    await _found(services, caller, id)
    wanted = read_as(WebhookChange, body)
    if wanted.url is not None:
        await _judge(services, wanted.url)
    changed = _still(await services.records(webhooks.change, id, wanted.columns))
    return _answer(ShownWebhook.of(changed))


@router.delete("/{id}", **shown.REMOVE)
async def remove_webhook(services: Served, caller: Subscriber, id: str) -> Response:
    """Remove a subscription; what waits for it is dropped."""
    await _found(services, caller, id)
    await services.records(webhooks.unsubscribe, id)
    return Response(status_code=204)


@router.post("/{id}/rotate-secret", **shown.ROTATE)
async def rotate_secret(
    services: Served, caller: Subscriber, id: str, body: OptionalJsonBody
) -> Response:
    """Give a subscription a new secret; until the overlap ends, events carry both signatures."""
    await _found(services, caller, id)
    wanted = read_as(Rotation, body)
    rotated, secret = _still(await services.records(webhooks.rotate, id, wanted.overlap))
    return _secret(rotated, secret, 200)


@router.post("/{id}/test", **shown.TEST)
async def test_webhook(services: Served, caller: Subscriber, id: str) -> Response:
    """Send a ping; its delivery shows what came of it."""
    if not (await _found(services, caller, id)).is_active:
        raise Problem("webhook_paused")
    return _answer(ShownDelivery.of(await services.records(deliveries.ping, id)), 202)


@router.get("/{id}/deliveries", **shown.DELIVERIES)
async def list_deliveries(
    services: Served, caller: SubscriptionReader, id: str, wanted: Annotated[Wanted, Query()]
) -> Response:
    """List what was sent to a subscription, what waits, and what was given up."""
    await _found(services, caller, id)
    page = await services.records(deliveries.deliveries, id, **wanted.model_dump())
    items = [ShownDelivery.of(row) for row in page.items]
    return _answer(shown.ShownDeliveries(items=items, next=page.next))


@router.post("/{id}/deliveries/{delivery}/replay", **shown.REPLAY)
async def replay_delivery(services: Served, caller: Subscriber, id: str, delivery: str) -> Response:
    """Send one event again, even one that was delivered, before what follows it in its request."""
    await _found(services, caller, id)
    number, _, place = delivery.rpartition(":")
    if (number != id and not is_request_number(number)) or not _PLACE.fullmatch(place):
        raise Problem("delivery_not_found")
    seq = int(place)
    found = await services.records(deliveries.replay, id, number=number, seq=seq)
    again = await services.records(deliveries.delivery, id, number, seq)
    if not found or again is None:
        raise Problem("delivery_not_found")
    return _answer(ShownDelivery.of(again), 202)


@router.post("/{id}/replay", **shown.REPLAY_ALL)
async def replay_dead(services: Served, caller: Subscriber, id: str) -> Response:
    """Send every event again that was given up, each at its place in its request."""
    await _found(services, caller, id)
    return _answer(shown.ShownReplay(replayed=await services.records(deliveries.replay, id)), 202)


def _owner(caller: Principal) -> str | None:
    """Whose subscriptions the caller may see; None: everyone's."""
    return None if caller.role in (Role.manager, Role.auditor) else f"{caller.role}/{caller.id}"


async def _found(services: Services, caller: Principal, id: str) -> Webhook:
    if not webhooks.ID.fullmatch(id):
        raise Problem("webhook_not_found")
    return _still(await services.records(webhooks.webhook, id, _owner(caller)))


def _still(found: T | None) -> T:
    """What is still there.

    Raises:
        Problem: `webhook_not_found`.
    """
    if found is None:
        raise Problem("webhook_not_found")
    return found


async def _judge(services: Services, url: str) -> None:
    """Refuse what nothing could be sent to; at each attempt it is judged again.

    Raises:
        Problem: `validation_failed`.
    """
    targets = Targets(services.settings.webhook_allowance)
    try:
        async with asyncio.timeout(JUDGE_SECONDS):
            await targets.judge(url)
    except (BadTarget, TimeoutError) as error:
        code = error.code if isinstance(error, BadTarget) else "unknown_host"
        wrong = FieldError("/url", BAD_TARGETS[code])
        raise Problem("validation_failed", errors=[wrong]) from None


def _secret(row: Webhook, secret: str, status: int, **headers: str) -> Response:
    """An answer that no cache may keep."""
    told = ShownWebhookWithSecret.told(row, secret)
    return JSONResponse(
        told.model_dump(mode="json"), status, headers={"Cache-Control": "no-store", **headers}
    )


def _answer(model: BaseModel, status: int = 200) -> Response:
    return JSONResponse(model.model_dump(mode="json"), status)
