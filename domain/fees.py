"""Fees: quote and bill lines from the price list; what is in warranty costs nothing (S1 2.5)."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from .events import QuoteLine
from .refusals import Refused
from .state import PricedLine
from .values import yuan


def price_lines(lines: Iterable[QuoteLine], prices: Mapping[str, Decimal]) -> list[PricedLine]:
    """Quote lines with their amounts; a line without a price takes the price list's.

    Raises:
        Refused: a line has no price and is not on the list (`no_list_price`).
    """
    return [_priced(line, prices.get(line.item)) for line in lines]


def total(lines: Iterable[PricedLine]) -> Decimal:
    """What the customer pays for these lines."""
    return yuan(sum((line.amount for line in lines), Decimal(0)))


def _priced(line: QuoteLine, listed: Decimal | None) -> PricedLine:
    price = line.unit_price if line.unit_price is not None else listed
    if price is None:
        if not line.in_warranty:
            raise Refused("no_list_price", item=line.item)
        price = Decimal(0)
    return PricedLine(
        item=line.item,
        quantity=line.quantity,
        unit_price=price,
        in_warranty=line.in_warranty,
        amount=Decimal(0) if line.in_warranty else yuan(price * line.quantity),
        list_price=listed if listed is not None and listed != price else None,
    )
