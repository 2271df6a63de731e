"""Messages that the request has overtaken while they waited: they are dropped rather than sent."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Engine

from domain.request import ServiceRequest
from domain.vocabulary import OfferState, QuoteState
from records import outbox
from records.tables import Notification


def is_obsolete(engine: Engine, row: Notification) -> bool:
    """Whether what the message asks for is done, or off."""
    overtaken = OVERTAKEN.get(row.message)
    request = outbox.about(engine, row.number) if overtaken else None
    return bool(overtaken and request and overtaken(request, row))


def _answered(request: ServiceRequest, row: Notification) -> bool:
    return request.survey is not None or request.is_closed


def _quote_closed(request: ServiceRequest, row: Notification) -> bool:
    return request.quote is not None and request.quote.state is not QuoteState.open


def _signed(request: ServiceRequest, row: Notification) -> bool:
    return request.signed_at is not None and request.bill.owed == 0


def _offer_closed(request: ServiceRequest, row: Notification) -> bool:
    offers = [offer for offer in request.offers if offer.engineer == row.to_id]
    return bool(offers) and offers[-1].state is not OfferState.open


def _visit_moved(request: ServiceRequest, row: Notification) -> bool:
    standing, told = request.standing_appointment, row.facts.get("window_start")
    if not request.appointments or not told:
        return False
    return standing is None or standing.window_start != datetime.fromisoformat(told)


OVERTAKEN: dict[str, Callable[[ServiceRequest, Notification], bool]] = {
    "survey_sms": _answered,
    "quote": _quote_closed,
    "please_sign": _signed,
    "work_offered": _offer_closed,
    "visit_reminder": _visit_moved,
}
"""What makes a message obsolete, by its name; any other is worth sending however late."""
