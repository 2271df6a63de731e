"""Runs of requests that went on in a new one, kept until the request is archived as a whole.

Temporal counts its retention from the end of each run: a request that lives on for longer than that
after it was continued would be archived without its beginning.
"""

from sqlalchemy import Engine, delete
from sqlmodel import Session, col, select

from records.chain import Kind, is_chained
from records.engine import reading, writing
from records.personal import key_for, was_erased
from records.sealing import DataKey
from records.tables import EarlierRun, Link


def is_wanted(engine: Engine, number: str, run: str) -> bool:
    """Whether the run is not kept yet, and its request neither archived nor erased."""
    with reading(engine) as session:
        return _is_wanted(session, number, run)


def keep(engine: Engine, number: str, run: str, history: bytes) -> bool:
    """Keep a run that is wanted, sealed with the customer's key; whether it was.

    Raises:
        sqlalchemy.exc.IntegrityError: another archivist kept it meanwhile.
        Unsealable: the customer's key does not open.
    """
    with writing(engine) as session:
        # Locked: who is erased meanwhile leaves nothing behind.
        key = key_for(session, number, lock=True)
        if key is None or not _is_wanted(session, number, run):
            return False
        content = key.seal_bytes(history, _about(run))
        session.add(EarlierRun(run=run, number=number, content=content))
        return True


def drop_what_is_archived(engine: Engine) -> None:
    """Let go what was kept while another was just archiving the whole request."""
    whole = select(Link.number).where(Link.kind == Kind.history)
    with writing(engine) as session:
        session.exec(delete(EarlierRun).where(col(EarlierRun.number).in_(whole)))


def kept(engine: Engine, number: str) -> dict[str, bytes]:
    """The runs that were kept of a request, by their ids.

    Raises:
        Unsealable: one of them does not open.
    """
    with reading(engine) as session:
        rows = session.exec(select(EarlierRun).where(EarlierRun.number == number)).all()
        key = key_for(session, number) if rows else None
        return {} if key is None else {row.run: _opened(row, key) for row in rows}


def _is_wanted(session: Session, number: str, run: str) -> bool:
    there = session.get(EarlierRun, run) is not None or is_chained(session, number)
    return not there and not was_erased(session, number)


def _opened(row: EarlierRun, key: DataKey) -> bytes:
    return key.open_bytes(row.content, _about(row.run))


def _about(run: str) -> str:
    return f"run/{run}"
