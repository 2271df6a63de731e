"""The tables of master data: stations, engineers, products, prices."""

from datetime import date, time
from decimal import Decimal

from sqlalchemy import JSON, Dialect, Integer, TypeDecorator
from sqlmodel import Field

from records.base import Record


class Yuan(TypeDecorator[Decimal]):
    """An amount in yuan, kept in whole fen: SQLite has no exact decimals."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        """Yuan to fen."""
        return None if value is None else int(value * 100)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        """Fen to yuan."""
        return None if value is None else Decimal(value) / 100


class Station(Record, table=True):
    """A service outlet (网点)."""

    id: str = Field(primary_key=True)
    name: str
    address: str
    phone: str
    latitude: float
    longitude: float


class Engineer(Record, table=True):
    """A service engineer; no shift times: always on call. A shift may end after midnight."""

    id: str = Field(primary_key=True)
    name: str
    station: str = Field(foreign_key="station.id")
    phone: str
    qualifications: list[str] = Field(sa_type=JSON)
    latitude: float
    longitude: float
    shift_start: time | None = None
    shift_end: time | None = None
    active: bool = True


class ProductModel(Record, table=True):
    """What is known of a model; `product_class` is normal or complex."""

    __tablename__ = "product_model"

    model: str = Field(primary_key=True)
    category: str
    product_class: str = "normal"
    warranty_months: int = 12


class Product(Record, table=True):
    """A product that was sold; `regular_channel`: through a channel that we know."""

    serial: str = Field(primary_key=True)
    model: str = Field(foreign_key="product_model.model")
    sold_on: date | None = None
    customer_id: int | None = Field(default=None, foreign_key="customer.id", index=True)
    regular_channel: bool = True


class RequiredQualification(Record, table=True):
    """What an engineer must hold for this kind of work on this category."""

    __tablename__ = "required_qualification"

    category: str = Field(primary_key=True)
    request_type: str = Field(primary_key=True)
    qualification: str = Field(primary_key=True)


class PriceItem(Record, table=True):
    """An item of the price list (价目表), in yuan."""

    __tablename__ = "price_item"

    item: str = Field(primary_key=True)
    price: Decimal = Field(sa_type=Yuan)
