"""Whose request it is: which requests a person may see, and report on, within their role.

An engineer works on what was offered to them, a customer follows what is theirs. Every other role
is bounded by its scopes alone.
"""

from .events import BaseEvent, Declined
from .request import ServiceRequest
from .vocabulary import OfferState, Role

BOUNDED = frozenset({Role.engineer, Role.customer})
"""The roles that see some requests only."""


def may_see(
    request: ServiceRequest,
    role: Role,
    id: str,
    *,
    link: str | None = None,
    taken_by: str | None = None,
) -> bool:
    """Whether this person may read the request.

    An engineer may while an offer to them is open, while the work is theirs, and where they were.

    Args:
        link: the number of the only request that a customer's tracking link opens.
        taken_by: who had the request taken in (`customer/张三`), as its form SA-CR-001 says.
    """
    if role is Role.engineer:
        return _has_it(request, id) or _was_there(request, id)
    return may_report(request, role, id, link=link, taken_by=taken_by)


def may_report(
    request: ServiceRequest,
    role: Role,
    id: str,
    *,
    link: str | None = None,
    taken_by: str | None = None,
) -> bool:
    """Whether this person may say what happened to the request; arguments as in `may_see`.

    An engineer may while an offer to them is open or the work is theirs.
    """
    if role is Role.engineer:
        return _has_it(request, id)
    if role is Role.customer:
        if link is not None:
            return link == request.number
        return id == request.number or taken_by == f"{Role.customer}/{id}"
    return True


def is_declined_again(request: ServiceRequest, event: BaseEvent) -> bool:
    """Whether an engineer sends their own refusal once more, which has cost them the work.

    Whoever did not decline gets nowhere by the id of somebody else's event.
    """
    return (
        isinstance(event, Declined)
        and str(event.id) in request.seen
        and any(
            offer.engineer == event.engineer and offer.state is OfferState.declined
            for offer in request.offers
        )
    )


def _has_it(request: ServiceRequest, engineer: str) -> bool:
    offer = request.open_offer
    return engineer in (request.engineer, offer and offer.engineer)


def _was_there(request: ServiceRequest, engineer: str) -> bool:
    """They set out, came, or found the fault from afar; a visit that never began is none."""
    return any(
        visit.engineer == engineer and (visit.departed_at or visit.arrived_at or visit.diagnosis)
        for visit in request.visits
    )
