"""The chain of manifests in the database: what waits for its archive, and the next link."""

from collections.abc import Callable

from sqlalchemy import Engine, func
from sqlmodel import col, select

from records.engine import reading, writing
from records.tables import Archive, Manifest


def waiting(engine: Engine, after: str = "", limit: int = 100) -> list[Archive]:
    """Closed requests whose history is not in the archive, by number from after this one."""
    wanted = (
        select(Archive)
        .join(Manifest, col(Manifest.number) == col(Archive.number), isouter=True)
        .where(col(Manifest.number).is_(None), Archive.number > after)
        .order_by(col(Archive.number))
        .limit(limit)
    )
    with reading(engine) as session:
        return list(session.exec(wanted))


def add(engine: Engine, number: str, link: Callable[[int, str | None], Manifest]) -> bool:
    """Add a request's manifest to the chain, once; whether it is new.

    Args:
        link: makes the manifest from its place and the hash of the one before; None: the first.

    Raises:
        sqlalchemy.exc.IntegrityError: another archivist added one meanwhile; try again.
    """
    with writing(engine) as session:
        if session.exec(select(Manifest.seq).where(Manifest.number == number)).first():
            return False
        last = session.exec(select(Manifest).order_by(col(Manifest.seq).desc()).limit(1)).first()
        session.add(link(last.seq + 1 if last else 1, last.hash if last else None))
        return True


def unfiled(engine: Engine, limit: int = 100) -> list[Manifest]:
    """Manifests that the archive does not have yet."""
    with reading(engine) as session:
        wanted = select(Manifest).where(col(Manifest.filed).is_(False))
        return list(session.exec(wanted.order_by(col(Manifest.seq)).limit(limit)))


def mark_filed(engine: Engine, seq: int) -> None:
    """Remember that the archive has it."""
    with writing(engine) as session:
        session.get_one(Manifest, seq).filed = True


def months(engine: Engine) -> list[tuple[str, int, int]]:
    """Every month with how many manifests it has, and the place of its last one."""
    counted = (
        select(Manifest.month, func.count(), func.max(Manifest.seq))
        .group_by(Manifest.month)
        .order_by(Manifest.month)
    )
    with reading(engine) as session:
        return [(month, count, last) for month, count, last in session.exec(counted)]


def of(engine: Engine, number: str) -> Manifest | None:
    """The manifest of a request; None: its history is not archived."""
    with reading(engine) as session:
        return session.exec(select(Manifest).where(Manifest.number == number)).first()


def get(engine: Engine, seq: int) -> Manifest:
    """The manifest at this place."""
    with reading(engine) as session:
        return session.get_one(Manifest, seq)
