"""What the records say compared with what the workflow says, and how that went.

The comparison needs no knowledge of the tables: the truth is projected again, by force and without
keeping it, and whatever that would change is a difference.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Engine, Table, select
from sqlmodel import Session, col
from sqlmodel import select as rows_of

from domain.effects import Effect
from domain.request import ServiceRequest
from records.base import Record
from records.engine import reading, writing
from records.projection import effects_of, restore
from records.tables import OPEN, Archive, Intake, Request, Shown, Upkeep

TIMELINE = "timeline"
_NOT_COMPARED = {"written_at"}
_NOT_PROJECTED = {Intake.__tablename__, Archive.__tablename__}
_MADE_ANEW = {Shown.__tablename__}
"""What another version of the code made counts for nothing, and is no difference either."""
_BY_NUMBER_ALONE = {"workload"}


@dataclass(frozen=True)
class Difference:
    """One way in which the records of a request are not what they should be; no values.

    Attributes:
        where: the table, or `workflow` or `archive`.
    """

    number: str
    where: str
    what: str


def differences(
    engine: Engine, request: ServiceRequest, effects: Iterable[Effect] | None = None
) -> list[Difference]:
    """Where the records differ from the request, which must be the truth; nothing is changed.

    Args:
        effects: its lines and messages, to compare them word for word; None: only whether one is
            missing.
    """
    number = request.number
    with Session(engine) as session, session.begin() as transaction:
        before = _rows(session, number)
        found = [] if effects is not None else _gaps(session, request)
        restore(session, request, effects)
        after = _rows(session, number)
        transaction.rollback()
    for table in before:
        if said := _said(before[table], after[table]):
            found.append(Difference(number, table, said))
    return found


def repair(engine: Engine, request: ServiceRequest, effects: Iterable[Effect] | None) -> None:
    """Make the records what the request says; see `projection.restore`."""
    with writing(engine) as session:
        restore(session, request, effects)


def page(
    engine: Engine,
    *,
    after: str | None,
    since: datetime | None,
    limit: int,
    and_open: bool = False,
) -> list[str]:
    """Some requests of the records by number: those taken in or written down since a moment.

    Args:
        and_open: also those that are open, whenever they moved.
    """
    wanted = rows_of(Request.number).order_by(col(Request.number)).limit(limit)
    if after is not None:
        wanted = wanted.where(Request.number > after)
    if since is not None:
        moved = (col(Request.written_at) >= since) | (col(Request.received_at) >= since)
        wanted = wanted.where(moved | OPEN if and_open else moved)
    with reading(engine) as session:
        return list(session.exec(wanted))


def unknown(engine: Engine, numbers: list[str]) -> list[str]:
    """Which of these numbers the records do not know."""
    known = rows_of(Request.number).where(col(Request.number).in_(numbers))
    with reading(engine) as session:
        found: set[str] = set(session.exec(known))
    return sorted(set(numbers) - found)


def was_started(engine: Engine, number: str) -> bool:
    """Whether the request's workflow was ever started, as intake knows it."""
    with reading(engine) as session:
        intake = session.get(Intake, number)
        return intake is None or intake.started


def record(engine: Engine, outcome: Upkeep) -> None:
    """Remember how a task went, in place of the time before."""
    with writing(engine) as session:
        session.merge(outcome)


def recorded(engine: Engine, name: str) -> Upkeep | None:
    """How a task went when it last ran; None: it never did."""
    with reading(engine) as session:
        return session.get(Upkeep, name)


def _rows(session: Session, number: str) -> dict[str, dict[Any, dict[str, Any]]]:
    """Every row that is about the request, by table and primary key."""
    session.flush()
    found: dict[str, dict[Any, dict[str, Any]]] = {}
    for table in Record.metadata.sorted_tables:
        column = _about(table)
        if column is None:
            continue
        rows = (
            session.connection().execute(select(table).where(table.c[column] == number)).mappings()
        )
        keys = [key.name for key in table.primary_key]
        found[table.name] = {tuple(row[k] for k in keys): _compared(table, row) for row in rows}
    return found


def _about(table: Table) -> str | None:
    """The column by which a row of this table belongs to a request; None: it does not."""
    if table.name in _NOT_PROJECTED | _MADE_ANEW:
        return None
    if table.name == Request.__tablename__ or table.name in _BY_NUMBER_ALONE:
        return "number"
    for key in table.foreign_keys:
        if key.target_fullname == "request.number":
            return key.parent.name
    return None


def _compared(table: Table, row: Any) -> dict[str, Any]:
    values = {name: value for name, value in row.items() if name not in _NOT_COMPARED}
    if table.name == Request.__tablename__:
        values["state"] = _without_what_waits(values["state"])
    return values


def _without_what_waits(state: str) -> str:
    """Events before their turn are the workflow's alone until something else is written down."""
    with suppress(ValidationError):
        request = ServiceRequest.model_validate_json(state)
        return request.model_copy(update={"parked": []}).model_dump_json()
    return state


def _said(before: dict[Any, dict[str, Any]], after: dict[Any, dict[str, Any]]) -> str:
    """What it takes to come from one to the other."""
    missing = len(after.keys() - before.keys())
    strange = len(before.keys() - after.keys())
    changed = sorted(
        {
            name
            for key in before.keys() & after.keys()
            for name, value in after[key].items()
            if before[key].get(name) != value
        }
    )
    parts = [
        f"{missing} missing" if missing else "",
        f"{strange} too many" if strange else "",
        f"wrong: {', '.join(changed)}" if changed else "",
    ]
    return "; ".join(filter(None, parts))


def _gaps(session: Session, request: ServiceRequest) -> list[Difference]:
    """Lines and messages share one count without gaps, from 1 to the revision."""
    try:
        seqs = [effect.seq for effect in effects_of(session, request.number)]
    except ValidationError:
        return [Difference(request.number, TIMELINE, "a line that cannot be read")]
    missing = len(set(range(1, request.revision + 1)) - set(seqs))
    strange = len(seqs) - len(set(seqs) & set(range(1, request.revision + 1)))
    said = [f"{missing} missing" if missing else "", f"{strange} too many" if strange else ""]
    what = "; ".join(filter(None, said))
    return [Difference(request.number, TIMELINE, what)] if what else []
