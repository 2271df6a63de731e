"""Many realistic requests in a database, quickly: some thousand walked ones, each in variations.

A variation has its own number, station, engineers and product, and happened at another time.
The forms, timelines and messages that no list reads are left out.
"""

import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, islice, zip_longest
from typing import Any

from sqlalchemy import Connection, Engine, insert, text

from bench.requests import ENGINEERS, HOUR, STATIONS, walked
from domain.policy import Policy
from domain.request import ServiceRequest
from domain.view import lasting, row
from records import master_data
from records.base import Record
from records.projection import clocks_of, columns_of, holders_of
from records.shown import MADE_BY
from records.tables import NEVER, Clock, Request, Shown, Workload

RECENT = 0.2
"""The share of requests received of late, most of which are open; the rest is the past year's."""
VARIATIONS = 30
"""How often a walked request is used: another walk costs far more than another variation."""
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_ENGINEER = re.compile(r"GY\d{7}")
_PLACE = {engineer: place for place, engineer in enumerate(ENGINEERS)}
_CHUNK = 1000

Row = dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """The rows of one request, by table."""

    request: Row
    shown: Row
    clocks: list[Row]
    workload: list[Row]


def seed(engine: Engine, policy: Policy, count: int, now: datetime) -> None:
    """Fill an empty, migrated database with so many requests as they stand at `now`."""
    fill(engine, requests(policy, count, now))


def fill(engine: Engine, rows: Iterable[Rows]) -> None:
    """Write these requests into an empty, migrated database, and the master data they name."""
    _master_data(engine)
    left = iter(rows)
    while some := list(islice(left, _CHUNK)):
        with engine.begin() as connection:
            _insert(connection, Request, [each.request for each in some])
            _insert(connection, Shown, [each.shown for each in some])
            _insert(connection, Clock, [clock for each in some for clock in each.clocks])
            _insert(connection, Workload, [held for each in some for held in each.workload])
    if engine.dialect.name == "postgresql":  # As its autovacuum would do soon.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _insert(connection: Connection, table: type[Record], rows: list[Row]) -> None:
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        connection.execute(insert(table), rows)
        return
    columns = list(rows[0])
    into = f"COPY {table.__tablename__} ({', '.join(columns)}) FROM STDIN"
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(into) as copy:
        for each in rows:
            copy.write_row([json.dumps(v) if isinstance(v, list) else v for v in each.values()])


def _master_data(engine: Engine) -> None:
    place = {"latitude": 31.23, "longitude": 121.47, "phone": "021-00000000"}
    stations = [{"id": id, "name": id, "address": "上海", **place} for id in STATIONS]
    engineers = [
        {
            "id": id,
            "name": "工程师",
            "station": STATIONS[n % len(STATIONS)],
            "qualifications": [],
            "active": True,
            **place,
        }
        for n, id in enumerate(ENGINEERS)
    ]
    with engine.begin() as connection:
        connection.execute(insert(master_data.Station), stations)
        connection.execute(insert(master_data.Engineer), engineers)


def requests(
    policy: Policy, count: int, now: datetime, variations: int = VARIATIONS
) -> Iterator[Rows]:
    """The rows of so many requests as they stand at `now`; the same ones every time."""
    chance = random.Random(1)
    serial = 0
    while serial < count:
        recent = chance.random() < RECENT
        age = chance.expovariate(1 / 60) * HOUR if recent else chance.uniform(4, 300) * 24 * HOUR
        pattern = walked(chance, policy, 0, now - age, now)
        original = _rows(pattern)
        for place in range(min(variations, count - serial)):
            serial += 1
            # Of the open ones nothing more may have fallen due than a worker could be late by.
            step = timedelta(seconds=7) if recent else timedelta(days=1, minutes=13)
            yield _variation(original, serial, -place * step)


def _rows(request: ServiceRequest) -> Rows:
    return Rows(
        columns_of(request),
        {"document": json.dumps(lasting(request)), "row": json.dumps(row(request))},
        clocks_of(request),
        [
            {"number": request.number, "engineer": who, "offer": offer, "since": request.moved_at}
            for who, offer in holders_of(request).items()
        ],
    )


def _variation(of: Rows, serial: int, shift: timedelta) -> Rows:
    day = (of.request["received_at"] + shift).date()
    names = {
        of.request["number"]: f"CR{day:%Y%m%d}-{serial:06d}",
        of.request["serial"]: f"SN{serial:08d}",
        of.request["station"]: STATIONS[serial % len(STATIONS)],
    }
    if of.request["external_id"]:
        names[of.request["external_id"]] = f"ERP-{serial}"

    def moved(moment: datetime) -> datetime:
        return moment if moment == NEVER else moment + shift

    def another(found: re.Match[str]) -> str:
        return ENGINEERS[(_PLACE[found[0]] + serial) % len(ENGINEERS)]

    def changed(value: Any) -> Any:
        if isinstance(value, datetime):
            return moved(value)
        if not isinstance(value, str):
            return value
        if not value.startswith("{"):
            return names.get(value) or _ENGINEER.sub(another, value)
        value = _told_later(value, shift)
        for old, new in names.items():
            value = value.replace(f'"{old}"', f'"{new}"')
        return _ENGINEER.sub(another, value)

    def all_changed(row: Row) -> Row:
        return {name: changed(value) for name, value in row.items()}

    request = all_changed(of.request)
    shown = {"number": request["number"], "made_by": MADE_BY, **all_changed(of.shown)}
    return Rows(
        {**request, "written_at": changed(of.request["closed_at"] or of.request["received_at"])},
        shown,
        [all_changed(clock) for clock in of.clocks],
        [all_changed(held) for held in of.workload],
    )


def _told_later(text: str, shift: timedelta) -> str:
    around, moments = _taken_apart(text)
    later = ((moment + shift).isoformat().replace("+00:00", "Z") for moment in moments)
    return "".join(chain.from_iterable(zip_longest(around, later, fillvalue="")))


@lru_cache(maxsize=8)
def _taken_apart(text: str) -> tuple[list[str], list[datetime]]:
    """What stands around the moments of a text, and the moments: the same for every variation."""
    moments = [datetime.fromisoformat(found).astimezone(UTC) for found in _MOMENT.findall(text)]
    return _MOMENT.split(text), moments
