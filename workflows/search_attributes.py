"""The one registry of search attributes (design §4). No personal data in any of them."""

from datetime import datetime
from typing import Any

from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    SearchAttributeUpdate,
    TypedSearchAttributes,
)

from domain.intake import Brief
from domain.request import ServiceRequest
from domain.view import next_due

STAGE = SearchAttributeKey.for_keyword("Stage")
REQUEST_TYPE = SearchAttributeKey.for_keyword("RequestType")
URGENCY = SearchAttributeKey.for_keyword("Urgency")
STATION = SearchAttributeKey.for_keyword("Station")
ENGINEER = SearchAttributeKey.for_keyword("Engineer")
CUSTOMER_TIER = SearchAttributeKey.for_keyword("CustomerTier")
CLOCK_STATE = SearchAttributeKey.for_keyword("ClockState")
NEXT_DUE = SearchAttributeKey.for_datetime("NextDue")
BREACHED = SearchAttributeKey.for_keyword_list("Breached")

REGISTRY: tuple[SearchAttributeKey[Any], ...] = (
    STAGE,
    REQUEST_TYPE,
    URGENCY,
    STATION,
    ENGINEER,
    CUSTOMER_TIER,
    CLOCK_STATE,
    NEXT_DUE,
    BREACHED,
)

Attributes = dict[SearchAttributeKey[Any], Any]


def attributes(request: ServiceRequest) -> Attributes:
    """Every attribute of a request; None where it has no value."""
    due: datetime | None = next_due(request)
    return {
        STAGE: request.stage.value,
        REQUEST_TYPE: request.request_type.value,
        URGENCY: request.urgency.value,
        STATION: request.brief.station,
        ENGINEER: request.engineer,
        CUSTOMER_TIER: request.brief.customer.tier,
        CLOCK_STATE: request.clock_state.value,
        NEXT_DUE: due,
        BREACHED: request.breached_rules or None,
    }


def initial(brief: Brief) -> TypedSearchAttributes:
    """The attributes that a request starts with."""
    request, _ = ServiceRequest.receive(brief)
    return TypedSearchAttributes(
        [SearchAttributePair(key, value) for key, value in attributes(request).items() if value]
    )


def changes(shown: Attributes, now: Attributes) -> list[SearchAttributeUpdate[Any]]:
    """The updates that bring what is shown up to date.

    `NextDue` alone is not worth an event in the history: it rides along with the next change of
    anything else. Lists by due time read the records, which know every change.
    """
    changed = [key for key in now if now[key] != shown.get(key)]
    if not changed or changed == [NEXT_DUE]:
        return []
    return [key.value_unset() if now[key] is None else key.value_set(now[key]) for key in changed]
