"""The chain of the archive in the database: what waits for its archive, and the next link."""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeVar

from sqlalchemy import Engine, delete, func, update
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from records.engine import reading, writing
from records.personal import was_erased
from records.tables import AccessPending, Archive, EarlierRun, Erasure, Link

Q = TypeVar("Q")


class Kind(StrEnum):
    """What an entry of the chain tells of."""

    history = "history"
    erasure = "erasure"
    reads = "reads"


def waiting(engine: Engine, after: str = "", limit: int = 100) -> list[Archive]:
    """Closed requests whose history is to be archived, by number from after this one."""
    wanted = _waiting().where(Archive.number > after).order_by(col(Archive.number)).limit(limit)
    with reading(engine) as session:
        return list(session.exec(wanted))


def overdue(engine: Engine, closed_before: datetime) -> list[str]:
    """Requests that closed before then and wait for their archive still, the oldest first."""
    wanted = _waiting().where(col(Archive.closed_at) < closed_before)
    with reading(engine) as session:
        rows = session.exec(wanted.order_by(col(Archive.closed_at), col(Archive.number)))
        return [row.number for row in rows]


def waiting_since(session: Session) -> datetime | None:
    """When the one closed that has waited longest for its archive; None: none waits."""
    oldest = _that_wait(select(func.min(Archive.closed_at)).select_from(Archive))
    return session.exec(oldest).one()


def _waiting() -> SelectOfScalar[Archive]:
    return _that_wait(select(Archive))


def _that_wait(closed: SelectOfScalar[Q]) -> SelectOfScalar[Q]:
    archived = (col(Link.number) == col(Archive.number)) & (col(Link.kind) == Kind.history)
    return (
        closed.join(Link, archived, isouter=True)
        .join(Erasure, col(Erasure.number) == col(Archive.number), isouter=True)
        .where(col(Link.seq).is_(None), col(Erasure.number).is_(None))
    )


def add(
    engine: Engine,
    kind: Kind,
    number: str | None,
    link: Callable[[Link | None], Link],
    *,
    takes: Sequence[int] = (),
) -> bool:
    """Add an entry to the chain, once for each request; whether it is new.

    With a history, which has them all, the runs that were kept of the request go.

    Nobody's history is added once they were erased, and no history keeps its key beside its
    erasure, whichever of the two came first.

    Args:
        link: makes it from the one before; None: it is the first.
        takes: the rows of the access log that it tells of, which another may have taken.

    Raises:
        sqlalchemy.exc.IntegrityError: another archivist added one meanwhile; try again.
    """
    there = select(Link.seq).where(Link.number == number, Link.kind == kind)
    with writing(engine) as session:
        if number is not None and session.exec(there).first():
            return False
        if kind is Kind.history and was_erased(session, number or ""):
            return False
        taken = delete(AccessPending).where(col(AccessPending.id).in_(takes))
        if takes and session.exec(taken).rowcount != len(takes):
            session.rollback()
            return False
        last = session.exec(select(Link).order_by(col(Link.seq).desc()).limit(1)).first()
        session.add(link(last))
        if kind is Kind.erasure:
            session.exec(update(Link).where(col(Link.number) == number).values(key=None))
        elif kind is Kind.history:
            session.exec(delete(EarlierRun).where(col(EarlierRun.number) == number))
        return True


def unswept(engine: Engine) -> list[Erasure]:
    """Erasures that the chain does not tell of yet, or that Temporal has to follow."""
    with reading(engine) as session:
        wanted = select(Erasure).where(col(Erasure.swept).is_(False))
        return list(session.exec(wanted.order_by(col(Erasure.at), col(Erasure.number))))


def mark_swept(engine: Engine, number: str) -> None:
    """Remember that nothing is left to be done about an erasure."""
    with writing(engine) as session:
        session.get_one(Erasure, number).swept = True


def unfiled(engine: Engine, limit: int = 100) -> list[Link]:
    """Entries that the archive does not have as they are, in their order."""
    with reading(engine) as session:
        wanted = select(Link).where(col(Link.filed).is_(False))
        return list(session.exec(wanted.order_by(col(Link.seq)).limit(limit)))


def mark_filed(engine: Engine, link: Link) -> None:
    """Remember that the archive has it; unless its key became another one meanwhile."""
    with writing(engine) as session:
        same_key = col(Link.key).is_not_distinct_from(link.key)
        session.exec(update(Link).where(col(Link.seq) == link.seq, same_key).values(filed=True))


class Filed(NamedTuple):
    """What an entry in the archive must come to."""

    kind: Kind
    hash: str


def filed(engine: Engine, month: str) -> dict[int, Filed]:
    """The entries of a month that the archive has, by their places."""
    with reading(engine) as session:
        wanted = select(Link.seq, Link.kind, Link.hash).where(
            Link.month == month, col(Link.filed).is_(True)
        )
        rows = session.exec(wanted.order_by(col(Link.seq)))
        return {seq: Filed(Kind(kind), hash_) for seq, kind, hash_ in rows}


def hash_at(engine: Engine, seq: int) -> str | None:
    """What the entry at this place comes to; None: there is none."""
    with reading(engine) as session:
        return session.exec(select(Link.hash).where(Link.seq == seq)).first()


def places(engine: Engine, month: str) -> set[int]:
    """The places of every entry of a month, filed or not."""
    with reading(engine) as session:
        return set(session.exec(select(Link.seq).where(Link.month == month)))


def months(engine: Engine) -> list[tuple[str, int, int]]:
    """Every month with how many entries it has, and the place of its last one."""
    counted = (
        select(Link.month, func.count(), func.max(Link.seq))
        .group_by(Link.month)
        .order_by(Link.month)
    )
    with reading(engine) as session:
        return [(month, count, last) for month, count, last in session.exec(counted)]


def is_chained(session: Session, number: str) -> bool:
    """Whether the chain tells of a request's history."""
    wanted = select(Link.seq).where(Link.number == number, Link.kind == Kind.history)
    return session.exec(wanted).first() is not None


def of(engine: Engine, number: str) -> Link | None:
    """The manifest of a request's history; None: it is not archived."""
    with reading(engine) as session:
        wanted = select(Link).where(Link.number == number, Link.kind == Kind.history)
        return session.exec(wanted).first()


def get(engine: Engine, seq: int) -> Link:
    """The entry at this place."""
    with reading(engine) as session:
        return session.get_one(Link, seq)
