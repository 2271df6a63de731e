"""Whose request it is: which requests a person may see, and report on, within their role.

An engineer works on what was offered to them, a customer follows what is theirs. Every other role
is bounded by its scopes alone.
"""

from .request import ServiceRequest
from .vocabulary import Role

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


def _has_it(request: ServiceRequest, engineer: str) -> bool:
    offer = request.open_offer
    return engineer in (request.engineer, offer and offer.engineer)


def _was_there(request: ServiceRequest, engineer: str) -> bool:
    """They set out, came, or found the fault from afar; a visit that never began is none."""
    return any(
        visit.engineer == engineer and (visit.departed_at or visit.arrived_at or visit.diagnosis)
        for visit in request.visits
    )
