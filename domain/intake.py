"""The body of a new request, and the brief of it that the workflow carries (no personal data)."""

import re
from datetime import date, datetime, timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from .calendars import Calendar
from .policy import Policy
from .values import Line, Money, Name, Value, _no_control
from .vocabulary import Channel, Mood, RequestType, ServiceType, Urgency

_EMPTY = (
    "我的|我家的|我家|家里的|这台|这个|它|的|了|又|就是|突然|空调|冰箱|洗衣机|电视|热水器|油烟机|"
    "产品|机器|电器|设备|东西|"
    "坏掉|坏|有问题|出问题|出故障|故障|有毛病|不好使|不好用|不能用|用不了|不行|不正常|维修|修理|修"
)
_EMPTY_WORDS = (
    "it's|its|it|is|the|my|an|a|has|product|device|machine|appliance|"
    "broken|broke|not working|doesn't work|does not work|problem|faulty|fault|defective|repair|help"
)
# Possessive (`++`): what matched is not tried in other ways, so no text takes long.
_EMPTY_TALK = re.compile(rf"(?:{_EMPTY}|\b(?:{_EMPTY_WORDS})\b|[\W_])++", re.IGNORECASE)

VAGUE_ADVICE = (
    "description is too vague. Ask what the product does or does not do, since when and how often, "
    "any error code, sound or smell, and what the customer has tried"
)


def _specific(description: str) -> str:
    """S1 3.1: avoid a vague description such as “坏了”."""
    if _EMPTY_TALK.fullmatch(description):
        raise ValueError(VAGUE_ADVICE)
    return description


Phone = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"^\+?[0-9][0-9 \-]{4,19}$")
]
Email = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, max_length=200, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s.]+$"
    ),
    AfterValidator(_no_control),
]
Description = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=4000),
    AfterValidator(_no_control),
    AfterValidator(_specific),
]


class Customer(Value):
    """Who needs it. Personal data: stored by the records, masked everywhere else."""

    name: Name
    phone: Phone
    email: Email | None = None
    address: Line
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    tier: Name | None = None


class Product(Value):
    """What it is about: verified by serial number, or by `proof`, an order or invoice number."""

    model: Name
    serial: Name | None = None
    purchased_on: Annotated[date, Field(ge=date(1970, 1, 1), lt=date(2100, 1, 1))] | None = None
    proof: Line | None = None

    @model_validator(mode="after")
    def _can_be_verified(self) -> Self:
        if self.serial is None and self.proof is None:
            raise ValueError("give the product's serial, or an order or invoice number as proof")
        return self


class NewRequest(Value):
    """The body of `POST /v1/requests` (form SA-CR-001 需求受理记录表)."""

    type: RequestType
    channel: Channel
    urgency: Urgency = Urgency.normal
    description: Description
    mood: Mood | None = None
    customer: Customer
    product: Product
    service_type: ServiceType = ServiceType.on_site
    external_id: Name | None = None
    remark: Line | None = None


class Warranty(Value):
    """Whether the product is in warranty; `in_force` is None when nobody knows."""

    in_force: bool | None = None
    until: date | None = None


class MaskedCustomer(Value):
    """The customer as anyone may see them: `张*`, `138****5678`."""

    name: str
    phone: str
    email: str | None = None
    address: str
    tier: str


class KnownProduct(Value):
    """The product with what the master data knows of it."""

    model: str
    serial: str | None = None
    purchased_on: date | None = None
    category: str = "general"
    product_class: str = "normal"


EDITION = 2
"""The edition that new requests start under.

It goes up when the rules of the domain change in a way that a request already running must not
notice: its history has to replay as it happened. What changed:

2. A change of ladder is kept on the clock, and who was told before is not told again. Events left
   without waiting are taken in the order in which they happened, and one that only a step back
   would allow waits for it.
"""


class Brief(Value):
    """All that the workflow knows of a request from the start, frozen with it.

    Attributes:
        received_at: when intake took the request; every promise counts from here.
        station: the nearest station; distance_km: how far the customer is from it.
        earlier: the customer's earlier requests on this product; repeat_fault: one was a repair
            of the same product within 90 days.
        prices: the price list, by item.
        edition: which reading of the rules the request lives by; see `EDITION`.
        settling: how long an event left without waiting rests, after the last one was heard, for
            those it overtook; three times as long once some are seen to have come out of order.
    """

    number: Name
    received_at: datetime
    type: RequestType
    channel: Channel
    urgency: Urgency
    mood: Mood | None = None
    service_type: ServiceType
    customer: MaskedCustomer
    product: KnownProduct
    warranty: Warranty = Warranty()
    station: str | None = None
    distance_km: float | None = None
    external_id: str | None = None
    earlier: tuple[str, ...] = ()
    repeat_fault: bool = False
    policy: Policy
    calendar: Calendar = Calendar()
    prices: dict[str, Money] = {}
    edition: int = 1
    settling: timedelta = timedelta(seconds=5)
