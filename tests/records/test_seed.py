"""The demonstration data are plausible, and the same every time."""

from datetime import UTC, date, datetime, time
from typing import Any

from sqlalchemy import Engine
from sqlmodel import SQLModel, select

from records.engine import reading
from records.geography import distance_km
from records.master_data import (
    Engineer,
    PriceItem,
    Product,
    ProductModel,
    RequiredQualification,
    Station,
)
from records.seed import CENTRE, REFRIGERATION, is_empty, seed
from records.tables import Customer
from tests.databases import person

TABLES: tuple[type[SQLModel], ...] = (
    Station,
    Engineer,
    ProductModel,
    RequiredQualification,
    PriceItem,
    Customer,
    Product,
)


def everything(engine: Engine) -> list[list[Any]]:
    with reading(engine) as session:
        return [
            sorted((row.model_dump() for row in session.exec(select(t))), key=str) for t in TABLES
        ]


def test_seeding_twice_is_seeding_once(engine: Engine) -> None:
    assert is_empty(engine)
    seed(engine)
    once = everything(engine)
    assert not is_empty(engine)
    seed(engine)
    assert everything(engine) == once
    assert [len(rows) for rows in once] == [6, 50, 25, 5, 31, 200, 304]


def test_at_any_hour_someone_can_do_any_work(engine: Engine) -> None:
    seed(engine)
    with reading(engine) as session:
        engineers = session.exec(select(Engineer)).all()
        required = session.exec(select(RequiredQualification.qualification)).all()
        customers = [person(session, row) for row in session.exec(select(Customer))]
        products = session.exec(select(Product)).all()
    always = [e for e in engineers if e.shift_start is None]
    assert len(always) == 36
    assert len({e.shift_start for e in engineers} - {None}) == 3
    assert sum(REFRIGERATION in e.qualifications for e in engineers) >= 20
    assert all(sum(q in e.qualifications for e in always) >= 10 for q in required)
    places = [(e.latitude, e.longitude) for e in engineers]
    assert max(distance_km(CENTRE, place) for place in places) < 25
    assert all(
        min(distance_km(place, (c.latitude, c.longitude)) for place in places) < 25
        for c in customers
        if c.latitude is not None and c.longitude is not None
    )
    today = datetime.now(UTC).date()
    assert any(p.sold_on and p.sold_on > date(today.year - 1, 1, 1) for p in products)
    assert any(p.sold_on and p.sold_on < date(today.year - 4, 1, 1) for p in products)
    assert {e.shift_end for e in engineers} == {None, time(0), time(8), time(16)}
