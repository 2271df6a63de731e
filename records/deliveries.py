"""The events on their way to subscriptions: knocked for, sent, given up, replayed.

A stream is what one subscription hears of one request. Its events are sent in the order of the
timeline, and no stream waits for another.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, delete, func, tuple_, update
from sqlmodel import Session, col, select

from domain.deliveries import LAST_CHANCE, DeliveryState, Due, Stream
from domain.outgoing import PING
from records.cursors import after, place
from records.engine import reading, writing
from records.sealing import Unsealable
from records.tables import NEVER, Webhook, WebhookDelivery
from records.webhooks import secrets_of

LEASE = timedelta(seconds=60)
"""How long whoever claimed a stream has to knock for it."""

KNOCK_AGAIN = timedelta(hours=1)
"""A stream still not empty is knocked for again: its workflow may have been lost."""

KEPT = timedelta(days=30)
"""How long it is known what was delivered."""

queued = col(WebhookDelivery.state) == DeliveryState.queued


# --- a trial --------------------------------------------------------------------------------------


def ping(engine: Engine, webhook: str) -> WebhookDelivery:
    """Queue a trial; it goes the way of every event, in a stream of its own."""
    now = datetime.now(UTC)
    with writing(engine) as session:
        session.get_one(Webhook, webhook, with_for_update=True)  # Two pings at once wait here.
        last = select(func.max(WebhookDelivery.seq)).where(
            WebhookDelivery.webhook == webhook, WebhookDelivery.number == webhook
        )
        trial = WebhookDelivery(
            webhook=webhook,
            number=webhook,
            seq=(session.exec(last).one() or 0) + 1,
            type=PING,
            at=now,
            data={"webhook": webhook},
            created_at=now,
            queued_at=now,
        )
        session.add(trial)
    return trial


# --- knocked for ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Knock:
    """A stream that has something to send; hurried: without waiting for the end of a pause."""

    stream: Stream
    hurried: bool


def claim(engine: Engine, now: datetime, most: int) -> list[Knock]:
    """Take streams in hand to knock for; whoever dies over it gives them back when the lease ends.

    Nothing of a paused subscription is claimed.
    """
    knock_at = col(WebhookDelivery.knock_at)
    ripe = queued & (knock_at.is_(None) | (knock_at <= now))
    active = select(Webhook.id).where(Webhook.state == "active")
    due = (
        select(WebhookDelivery)
        .where(ripe, col(WebhookDelivery.webhook).in_(active))
        .order_by(col(WebhookDelivery.created_at))
        .limit(most)
    )
    with reading(engine) as session:
        if session.exec(select(WebhookDelivery.seq).where(ripe).limit(1)).first() is None:
            return []
    streams: dict[tuple[str, str], bool] = {}
    with writing(engine) as session:
        _put_off_paused(session, ripe)
        for row in session.exec(due.with_for_update(skip_locked=True)):
            key = (row.webhook, row.number)
            streams[key] = streams.get(key, False) or row.hurried
            row.knock_at, row.hurried = now + LEASE, False
    return [
        Knock(Stream(webhook=webhook, number=number), hurried)
        for (webhook, number), hurried in streams.items()
    ]


def _put_off_paused(session: Session, ripe: ColumnElement[bool]) -> None:
    """Look no more, round after round, at what waits for a paused subscription.

    Who resumes it has all of it knocked for, and holds the subscription meanwhile: one that is held
    is left to the next round.
    """
    paused = select(Webhook.id).where(Webhook.state != "active")
    held = session.exec(paused.with_for_update(skip_locked=True)).all()
    if held:
        waiting = ripe & col(WebhookDelivery.webhook).in_(held)
        session.exec(update(WebhookDelivery).where(waiting).values(knock_at=NEVER))


def knocked(engine: Engine, knock: Knock, now: datetime, *, heard: bool) -> None:
    """What was claimed is in the hands of its workflow; not heard: to be claimed again at once."""
    claimed = _of(knock.stream).where(queued, col(WebhookDelivery.knock_at) == now + LEASE)
    with writing(engine) as session:
        if heard:
            session.exec(claimed.values(knock_at=now + KNOCK_AGAIN))
        else:
            session.exec(claimed.values(knock_at=None, hurried=knock.hurried))


# --- sent -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parcel:
    """One event, ready to be sent.

    Attributes:
        secrets: what it is signed with, never to be logged; none: they do not open.
    """

    url: str
    secrets: list[str]
    row: WebhookDelivery


def next_due(engine: Engine, stream: Stream, give_up: timedelta) -> Due | None:
    """What stands next in a stream; None: nothing, or its subscription is paused or gone.

    Args:
        give_up: how long to try, where the subscription does not say.
    """
    first = (
        select(WebhookDelivery)
        .where(*_in(stream), queued)
        .order_by(col(WebhookDelivery.seq))
        .limit(1)
    )
    with reading(engine) as session:
        webhook = session.get(Webhook, stream.webhook)
        row = session.exec(first).first()
    if webhook is None or not webhook.is_active or row is None:
        return None
    patience = give_up if webhook.give_up_seconds is None else _seconds(webhook.give_up_seconds)
    return Due(seq=row.seq, until=row.queued_at + (LAST_CHANCE if row.type == PING else patience))


def parcel(engine: Engine, stream: Stream, seq: int, now: datetime) -> Parcel | None:
    """What to send; None: it is not to be sent any more."""
    with reading(engine) as session:
        webhook = session.get(Webhook, stream.webhook)
        row = session.get(WebhookDelivery, (stream.webhook, stream.number, seq))
        if webhook is None or not webhook.is_active or row is None:
            return None
        if row.state != DeliveryState.queued:
            return None
        try:
            secrets = secrets_of(session, webhook, now)
        except Unsealable:
            secrets = []
        return Parcel(url=webhook.url, secrets=secrets, row=row)


def record(engine: Engine, stream: Stream, seq: int, columns: dict[str, Any]) -> None:
    """Note what came of an attempt at what is queued."""
    attempted = _of(stream).where(col(WebhookDelivery.seq) == seq, queued)
    with writing(engine) as session:
        session.exec(attempted.values(**columns))


def give_up(engine: Engine, stream: Stream, seq: int) -> bool:
    """Park what was tried in vain until its time was over; the stream goes on without it.

    Returns:
        Whether it was parked. What was never tried, because its subscription was busy or no worker
        ran, stays queued.
    """
    tried = col(WebhookDelivery.attempts) > 0
    parked = _of(stream).where(col(WebhookDelivery.seq) == seq, queued, tried)
    with writing(engine) as session:
        result = session.exec(parked.values(state=DeliveryState.dead, next_attempt_at=None))
        return int(result.rowcount) > 0


def pause_gone(engine: Engine, webhook: str) -> None:
    """Send nothing more to a receiver that says it is gone for good; what waits, waits."""
    with writing(engine) as session:
        found = session.get(Webhook, webhook, with_for_update=True)
        if found and found.is_active:
            found.state, found.paused_because = "paused", "gone"
            found.updated_at = datetime.now(UTC)


def tidy(engine: Engine, now: datetime) -> None:
    """Forget what was delivered or dropped long ago, and drop what has no subscription any more.

    What is dead stays until somebody replays it.
    """
    over = col(WebhookDelivery.state).in_([DeliveryState.delivered, DeliveryState.dropped])
    old = over & (col(WebhookDelivery.created_at) < now - KEPT)
    orphaned = queued & col(WebhookDelivery.webhook).not_in(select(Webhook.id))
    with writing(engine) as session:
        session.exec(delete(WebhookDelivery).where(old))
        # It was fanned out while its subscription was being removed.
        session.exec(update(WebhookDelivery).where(orphaned).values(state=DeliveryState.dropped))


# --- looked at, and sent again --------------------------------------------------------------------


@dataclass(frozen=True)
class DeliveryPage:
    """Some deliveries of a list, and the cursor of those that follow; None: there are no more."""

    items: list[WebhookDelivery]
    next: str | None


def deliveries(
    engine: Engine,
    webhook: str,
    *,
    state: DeliveryState | None = None,
    number: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> DeliveryPage:
    """The deliveries of a subscription, the latest first.

    Raises:
        BadCursor: the cursor did not come from a page of this list.
    """
    order = (
        col(WebhookDelivery.created_at),
        col(WebhookDelivery.number),
        col(WebhookDelivery.seq),
    )
    found = select(WebhookDelivery).where(WebhookDelivery.webhook == webhook)
    if state is not None:
        found = found.where(WebhookDelivery.state == state)
    if number is not None:
        found = found.where(WebhookDelivery.number == number)
    if cursor is not None:
        found = found.where(tuple_(*order) < tuple_(*place(cursor, datetime, str, int)))
    found = found.order_by(*(column.desc() for column in order)).limit(limit + 1)
    with reading(engine) as session:
        rows = list(session.exec(found))
    shown, last = rows[:limit], rows[limit - 1] if len(rows) > limit else None
    onward = after(last.created_at, last.number, last.seq) if last else None
    return DeliveryPage(shown, onward)


def delivery(engine: Engine, webhook: str, number: str, seq: int) -> WebhookDelivery | None:
    """One delivery of a subscription."""
    with reading(engine) as session:
        return session.get(WebhookDelivery, (webhook, number, seq))


def replay(
    engine: Engine, webhook: str, *, number: str | None = None, seq: int | None = None
) -> int:
    """Queue again, at their place in their stream: all that are dead, or the one that is named.

    The one named goes again even if it was delivered. Returns how many.
    """
    again = update(WebhookDelivery).where(col(WebhookDelivery.webhook) == webhook)
    if number is None:
        again = again.where(col(WebhookDelivery.state) == DeliveryState.dead)
    else:
        again = again.where(
            col(WebhookDelivery.number) == number,
            col(WebhookDelivery.seq) == seq,
            col(WebhookDelivery.state) != DeliveryState.dropped,
        )
    with writing(engine) as session:
        result = session.exec(
            again.values(
                state=DeliveryState.queued,
                queued_at=datetime.now(UTC),
                knock_at=None,
                hurried=True,
                next_attempt_at=None,
                delivered_at=None,
            )
        )
        return int(result.rowcount)


def _in(stream: Stream) -> tuple[Any, Any]:
    return (
        col(WebhookDelivery.webhook) == stream.webhook,
        col(WebhookDelivery.number) == stream.number,
    )


def _of(stream: Stream) -> Any:
    return update(WebhookDelivery).where(*_in(stream))


def _seconds(number: float) -> timedelta:
    return timedelta(seconds=number)
