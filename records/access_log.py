"""Who read what: every reading of personal data in clear, and everything that auditors read.

A row is added before anything is shown, and never changed. The archivist takes new rows into the
chain, from where nobody removes them unseen.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import cast

from sqlalchemy import Engine
from sqlmodel import Session, col, select

from domain.masking import mask_text
from records.cursors import after, place
from records.engine import reading, writing
from records.tables import Access, AccessPending

LONGEST = 200


class Kind(StrEnum):
    """What is read."""

    personal = "personal"
    audit = "audit"


@dataclass(frozen=True)
class Reader:
    """Who reads, why if they said so, and under which id the log knows the call."""

    role: str
    id: str
    reason: str | None
    request_id: str


@dataclass(frozen=True)
class ReadPage:
    """Some reads, the latest first, and the cursor of those before; None: there are no more."""

    items: list[Access]
    next: str | None


def write_down(
    engine: Engine,
    what: str,
    reader: Reader,
    now: datetime,
    *,
    number: str | None = None,
    about: str | None = None,
) -> None:
    """Write down what an auditor is about to read; if this fails, nothing is to be shown."""
    with writing(engine) as session:
        add(session, Kind.audit, what, reader, now, number=number, about=about)


def add(
    session: Session,
    kind: Kind,
    what: str,
    reader: Reader,
    now: datetime,
    *,
    number: str | None = None,
    about: str | None = None,
) -> None:
    """Write it down in the transaction of the read itself.

    A mobile number or an address that slipped into it is not kept: nothing erases it later.
    """
    row = Access(
        at=now,
        role=reader.role,
        who=reader.id,
        kind=kind,
        what=what,
        number=number,
        about=about and mask_text(about)[:LONGEST],
        reason=reader.reason and mask_text(reader.reason),
        request_id=reader.request_id,
    )
    session.add(row)
    session.flush()
    session.add(AccessPending(id=cast(int, row.id)))
    session.flush()


def reads(
    engine: Engine,
    *,
    kind: Kind | None = None,
    number: str | None = None,
    who: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> ReadPage:
    """Who read what, of this request or of any.

    Raises:
        BadCursor: the cursor did not come from a page of ours.
    """
    wanted = select(Access).order_by(col(Access.id).desc()).limit(limit + 1)
    for column, value in ((Access.kind, kind), (Access.number, number), (Access.who, who)):
        if value is not None:
            wanted = wanted.where(col(column) == value)
    if cursor is not None:
        (last_id,) = place(cursor, int)
        wanted = wanted.where(col(Access.id) < last_id)
    with reading(engine) as session:
        rows = list(session.exec(wanted))
    shown, last = rows[:limit], rows[limit - 1] if len(rows) > limit else None
    return ReadPage(shown, after(last.id) if last and last.id is not None else None)


def pending(engine: Engine, limit: int = 1000) -> list[Access]:
    """Rows that the chain does not have yet, in their order."""
    wanted = select(Access).join(AccessPending, col(AccessPending.id) == col(Access.id))
    with reading(engine) as session:
        return list(session.exec(wanted.order_by(col(Access.id)).limit(limit)))
