"""New lines of the timeline, queued for everyone who subscribed to them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlmodel import Session, select

from domain.effects import Entry
from domain.outgoing import told, type_of, wanted
from domain.request import ServiceRequest
from records.statements import insert_new
from records.tables import Webhook, WebhookDelivery


def fan_out(session: Session, request: ServiceRequest, new: Sequence[Entry], at: datetime) -> None:
    """Queue them within the transaction that writes them.

    A paused subscription gets its rows as well: they wait for it.
    """
    leaving = [(line, type_) for line in new if (type_ := type_of(line)) is not None]
    if not leaving:
        return
    station, now = request.brief.station, datetime.now(UTC)
    insert_new(
        session,
        *(
            WebhookDelivery(
                webhook=webhook.id,
                number=request.number,
                seq=line.seq,
                type=type_,
                at=line.at,
                data=told(line, type_, request.stage, station),
                created_at=now,
                queued_at=at,
            )
            for webhook in session.exec(select(Webhook))
            if not webhook.stations or station in webhook.stations
            for line, type_ in leaving
            if wanted(webhook.types, type_)
        ),
    )
