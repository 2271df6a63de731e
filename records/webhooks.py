"""Webhook subscriptions: who wants to hear what, where it is sent, and what it is signed with."""

import base64
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, func, update
from sqlmodel import Session, col, select

from domain.deliveries import DeliveryState
from records.engine import reading, ring_of, writing
from records.tables import Webhook, WebhookDelivery

MOST_WEBHOOKS = 50
"""How many one owner may have: each line of a timeline is compared with every one of them."""

SECRET_BYTES = 32
ID = re.compile(r"wh_[0-9a-f]{16}")


class TooMany(ValueError):
    """The owner has as many subscriptions as one may have."""


def subscribe(
    engine: Engine,
    *,
    owner: str,
    url: str,
    types: Sequence[str],
    stations: Sequence[str] = (),
    description: str | None = None,
    give_up: timedelta | None = None,
) -> tuple[Webhook, str]:
    """A new subscription, and its secret, which is never shown again.

    Raises:
        TooMany: the owner has enough of them.
    """
    secret, now = _fresh_secret(), datetime.now(UTC)
    with writing(engine) as session:
        of_owner = select(func.count()).select_from(Webhook).where(Webhook.owner == owner)
        if session.exec(of_owner).one() >= MOST_WEBHOOKS:
            raise TooMany(owner)
        id_ = f"wh_{secrets.token_hex(8)}"
        webhook = Webhook(
            id=id_,
            url=url,
            types=list(types),
            stations=list(stations),
            description=description,
            owner=owner,
            give_up_seconds=None if give_up is None else give_up.total_seconds(),
            secret=_sealed(session, id_, secret),
            created_at=now,
            updated_at=now,
        )
        session.add(webhook)
    return webhook, secret


def webhooks(engine: Engine, owner: str | None = None) -> list[Webhook]:
    """The subscriptions of an owner, or all of them, the oldest first."""
    wanted = select(Webhook).order_by(col(Webhook.created_at), col(Webhook.id))
    if owner is not None:
        wanted = wanted.where(Webhook.owner == owner)
    with reading(engine) as session:
        return list(session.exec(wanted))


def webhook(engine: Engine, id: str, owner: str | None = None) -> Webhook | None:
    """One subscription; None: there is none, or it is another owner's."""
    with reading(engine) as session:
        found = session.get(Webhook, id)
    return found if found and owner in (None, found.owner) else None


def change(engine: Engine, id: str, columns: dict[str, Any]) -> Webhook | None:
    """The subscription with these columns; what waits goes out at once if it was resumed or moved.

    None: it is gone.
    """
    now = datetime.now(UTC)
    with writing(engine) as session:
        found = session.get(Webhook, id, with_for_update=True)
        if found is None:
            return None
        resumed = columns.get("state") == "active" and not found.is_active
        moved = columns.get("url", found.url) != found.url
        found.sqlmodel_update({**columns, "updated_at": now})
        if resumed or moved:
            hurry: dict[str, Any] = {"hurried": True, "knock_at": None, "next_attempt_at": None}
            if resumed:  # The time it rested does not count against what waited.
                hurry["queued_at"] = now
            session.exec(_queued(id).values(**hurry))
    return found


def unsubscribe(engine: Engine, id: str) -> bool:
    """Remove the subscription and drop what waits for it; whether there was one."""
    with writing(engine) as session:
        found = session.get(Webhook, id, with_for_update=True)
        if found is None:
            return False
        session.exec(_queued(id).values(state=DeliveryState.dropped, next_attempt_at=None))
        session.delete(found)
    return True


def rotate(engine: Engine, id: str, overlap: timedelta) -> tuple[Webhook, str] | None:
    """A new secret; the one before signs as well until the overlap ends. None: it is gone."""
    secret, now = _fresh_secret(), datetime.now(UTC)
    with writing(engine) as session:
        found = session.get(Webhook, id, with_for_update=True)
        if found is None:
            return None
        found.old_secret, found.old_until = (
            (found.secret, now + overlap) if overlap > timedelta(0) else (None, None)
        )
        found.secret, found.updated_at = _sealed(session, id, secret), now
    return found, secret


def secrets_of(session: Session, webhook: Webhook, now: datetime) -> list[str]:
    """What a message is signed with now: the secret, and the old one while they overlap."""
    sealed = [webhook.secret]
    if webhook.old_secret and webhook.old_until and now < webhook.old_until:
        sealed.append(webhook.old_secret)
    ring = ring_of(session)
    return [ring.open(each, _about(webhook.id)).decode() for each in sealed]


def rekey(engine: Engine) -> int:
    """Seal every secret with the ring's current key; how many were sealed with another.

    Raises:
        Unsealable: one does not open with this ring.
    """
    done = 0
    with writing(engine) as session:
        ring = ring_of(session)
        for webhook in session.exec(select(Webhook).with_for_update()):
            for name in ("secret", "old_secret"):
                sealed = getattr(webhook, name)
                if sealed and ring.key_of(sealed) != ring.current:
                    secret = ring.open(sealed, _about(webhook.id)).decode()
                    setattr(webhook, name, _sealed(session, webhook.id, secret))
                    done += 1
    return done


def _sealed(session: Session, id: str, secret: str) -> str:
    return ring_of(session).seal(secret.encode(), _about(id))


def _about(id: str) -> str:
    return f"webhook/{id}"


def _fresh_secret() -> str:
    """As Standard Webhooks writes it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"


def _queued(id: str) -> Any:
    return update(WebhookDelivery).where(
        col(WebhookDelivery.webhook) == id, col(WebhookDelivery.state) == DeliveryState.queued
    )
