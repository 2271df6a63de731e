"""The outbox as the courier, and those who look after it, use it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, tuple_
from sqlmodel import col, select

from domain.request import ServiceRequest
from domain.vocabulary import Role, SendingState
from records.cursors import after, place
from records.engine import reading, writing
from records.master_data import Engineer
from records.queries import stored
from records.statements import insert_new
from records.tables import Clock, Notification, NotificationAttempt, Request

Recipient = tuple[str, str]
"""The role that is told, and the channel."""


@dataclass(frozen=True)
class Try:
    """What one provider made of a message.

    Attributes:
        outcome: sent, refused (for good) or failed (for now).
        error: a short word of ours; None: it was sent.
    """

    at: datetime
    provider: str
    outcome: str
    error: str | None
    took_ms: int


@dataclass(frozen=True)
class Verdict:
    """What becomes of messages after an attempt.

    Attributes:
        state: sent, failed, or queued to be tried again at `not_before`.
        outcome: how it ended; None: it has not.
        counts: whether somebody was asked, so that it counts as an attempt.
    """

    state: SendingState
    outcome: str | None = None
    not_before: datetime | None = None
    provider_id: str | None = None
    digest: str | None = None
    counts: bool = True


# --- delivering -----------------------------------------------------------------------------------


def waiting(engine: Engine, now: datetime) -> set[Recipient]:
    """For whom something is to be sent."""
    for_whom = select(Notification.to_role, Notification.channel).distinct()
    with reading(engine) as session:
        return {(role, channel) for role, channel in session.exec(for_whom.where(*_ripe(now)))}


def claim(
    engine: Engine, whom: Iterable[Recipient], now: datetime, lease_until: datetime, most: int
) -> list[Notification]:
    """Take messages in hand until the lease ends, the oldest first."""
    ripe = (
        select(Notification)
        .where(*_ripe(now))
        .where(tuple_(col(Notification.to_role), col(Notification.channel)).in_(list(whom)))
        .order_by(col(Notification.created_at))
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    with writing(engine) as session:
        rows = list(session.exec(ripe))
        for row in rows:
            row.not_before = lease_until
        return rows


def settle(
    engine: Engine,
    ids: Sequence[str],
    lease_until: datetime,
    verdict: Verdict,
    now: datetime,
    *,
    tries: Sequence[Try] = (),
    further: Sequence[Notification] = (),
) -> None:
    """Write down what became of messages in hand, and what is to be said because of it.

    Messages that went to another courier meanwhile, for the lease had ended, are left to it.
    """
    still_ours = (
        select(Notification)
        .where(col(Notification.id).in_(ids))
        .where(Notification.not_before == lease_until)
        .with_for_update()
    )
    with writing(engine) as session:
        for row in session.exec(still_ours):
            row.state, row.outcome = verdict.state.value, verdict.outcome
            row.not_before = verdict.not_before
            row.attempts += verdict.counts
            if tries:
                last = tries[-1]
                row.provider, row.last_error = last.provider, last.error
                refused = {t.provider for t in tries if t.outcome == "refused"}
                row.refused_by = sorted({*(row.refused_by or ()), *refused}) or None
                session.add_all(NotificationAttempt(notification=row.id, **vars(t)) for t in tries)
            match verdict.state:
                case SendingState.sent:
                    row.sent_at, row.digest = now, verdict.digest
                    row.provider_id = verdict.provider_id
                case SendingState.failed:
                    row.failed_at = now
        session.flush()
        insert_new(session, *further)


def _ripe(now: datetime) -> tuple[ColumnElement[bool], ...]:
    not_before = col(Notification.not_before)
    return col(Notification.state) == SendingState.queued.value, not_before.is_(None) | (
        not_before <= now
    )


# --- what a message needs to know -----------------------------------------------------------------


def about(engine: Engine, number: str) -> ServiceRequest | None:
    """The request that a message is about, as last written down."""
    found = stored(engine, number)
    return found.request if found else None


def due_at(engine: Engine, number: str, rule: str) -> datetime | None:
    """When the first promise of this rule is due; None: nothing is promised."""
    promise = select(Clock.due_at).where(Clock.number == number, Clock.rule == rule)
    with reading(engine) as session:
        return session.exec(promise.order_by(col(Clock.place))).first()


def station(engine: Engine, number: str) -> str | None:
    """The station that looks after a request."""
    with reading(engine) as session:
        return session.exec(select(Request.station).where(Request.number == number)).first()


def engineer_phone(engine: Engine, engineer: str) -> str | None:
    """Where an engineer is called."""
    with reading(engine) as session:
        return session.exec(select(Engineer.phone).where(Engineer.id == engineer)).first()


# --- looking after it -----------------------------------------------------------------------------


_SPELLINGS = {"app_push": ("app_push", "app")}
"""Channels that older rows name otherwise."""


class NotFailed(Exception):
    """Only a message that has failed may be sent again."""


@dataclass(frozen=True)
class Sending:
    """A message, and everyone who was asked to deliver it."""

    notification: Notification
    tries: list[NotificationAttempt]


@dataclass(frozen=True)
class Sendings:
    """Some messages, and the cursor of those that follow; None: there are no more."""

    items: list[Sending]
    next: str | None


def of_request(engine: Engine, number: str) -> list[Sending]:
    """Every message about a request, in the order they were told."""
    told = select(Notification).where(Notification.number == number)
    with reading(engine) as session:
        rows = session.exec(told.order_by(col(Notification.created_at), col(Notification.id))).all()
    return _with_tries(engine, rows)


def list_notifications(
    engine: Engine,
    *,
    state: SendingState | None = None,
    channel: str | None = None,
    to_role: Role | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Sendings:
    """Messages that meet every condition, the latest first.

    Raises:
        BadCursor: the cursor did not come from a page of ours.
    """
    equal = {"state": state and state.value, "to_role": to_role and to_role.value}
    order = (col(Notification.created_at), col(Notification.id))
    wanted = select(Notification).order_by(*(column.desc() for column in order)).limit(limit + 1)
    wanted = wanted.filter_by(**{name: value for name, value in equal.items() if value is not None})
    if channel is not None:
        wanted = wanted.where(col(Notification.channel).in_(_SPELLINGS.get(channel, (channel,))))
    if cursor is not None:
        wanted = wanted.where(tuple_(*order) < tuple_(*place(cursor, datetime, str)))
    with reading(engine) as session:
        rows = session.exec(wanted).all()
    shown, last = rows[:limit], rows[limit - 1] if len(rows) > limit else None
    onward = after(last.created_at, last.id) if last else None
    return Sendings(_with_tries(engine, shown), onward)


def resend(engine: Engine, id_: str) -> Sending | None:
    """Queue a message that has failed once more, under its old id; None: there is none.

    Raises:
        NotFailed: it has not failed.
    """
    wanted = select(Notification).where(Notification.id == id_).with_for_update()
    with writing(engine) as session:
        row = session.exec(wanted).first()
        if row is None:
            return None
        if row.state != SendingState.failed:
            raise NotFailed
        row.state, row.outcome, row.attempts = SendingState.queued.value, None, 0
        row.not_before = row.refused_by = None
    return _with_tries(engine, [row])[0]


def _with_tries(engine: Engine, rows: Sequence[Notification]) -> list[Sending]:
    of_them = col(NotificationAttempt.notification).in_([row.id for row in rows])
    with reading(engine) as session:
        tries = session.exec(
            select(NotificationAttempt).where(of_them).order_by(col(NotificationAttempt.id))
        ).all()
    return [Sending(row, [t for t in tries if t.notification == row.id]) for row in rows]
