"""The statements that each database spells its own way."""

from datetime import date
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col

from domain.numbering import Prefix, number
from records.base import Record
from records.tables import Serial

_INSERT = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def _insert(session: Session, table: type[Record]) -> Any:
    return _INSERT[session.get_bind().dialect.name](table)


def insert_new(session: Session, *rows: Record) -> None:
    """Insert rows of one table; those whose key is already there are left as they stand."""
    if rows:
        values = [_values(row) for row in rows]
        session.exec(_insert(session, type(rows[0])).on_conflict_do_nothing(), params=values)


def put(session: Session, row: Record) -> None:
    """Insert a row, or write it over the one with its key."""
    table = type(row)
    key = [column.name for column in inspect(table).primary_key]
    values = _values(row)
    others = {name: value for name, value in values.items() if name not in key}
    statement = _insert(session, table).values(values)
    session.exec(statement.on_conflict_do_update(index_elements=key, set_=others))


def _values(row: Record) -> dict[str, Any]:
    """The row's columns, but for an id that the database is to give."""
    return {name: v for name, v in row.model_dump().items() if (name, v) != ("id", None)}


def next_number(session: Session, prefix: Prefix, day: date) -> str:
    """The next number of this prefix on a local day.

    Others wait until this transaction ends, and a rollback gives the serial back: no gaps.
    """
    counted = (
        _insert(session, Serial)
        .values(prefix=prefix.value, day=day, last=1)
        .on_conflict_do_update(
            index_elements=["prefix", "day"], set_={"last": col(Serial.last) + 1}
        )
        .returning(col(Serial.last))
    )
    return number(prefix, day, session.exec(counted).scalar_one())
