"""Runs of requests that went on in a new one, kept until the request is archived as a whole.

Temporal counts its retention from the end of each run: a request that lives on for longer than that
after it was continued would be archived without its beginning.
"""

from sqlalchemy import Engine
from sqlmodel import select

from records.engine import reading, writing
from records.personal import key_for, was_erased
from records.sealing import DataKey
from records.tables import EarlierRun, Link


def is_wanted(engine: Engine, number: str, run: str) -> bool:
    """Whether the run is not kept yet, and its request neither archived nor erased."""
    with reading(engine) as session:
        archived = select(Link.seq).where(Link.number == number)
        there = session.get(EarlierRun, run) is not None or session.exec(archived).first()
        return not there and not was_erased(session, number)


def keep(engine: Engine, number: str, run: str, history: bytes) -> bool:
    """Keep a run, sealed with the customer's key; whether we know whose it is.

    Raises:
        sqlalchemy.exc.IntegrityError: another archivist kept it meanwhile.
        Unsealable: the customer's key does not open.
    """
    with writing(engine) as session:
        key = key_for(session, number)
        if key is not None:
            content = key.seal_bytes(history, _about(run))
            session.add(EarlierRun(run=run, number=number, content=content))
        return key is not None


def kept(engine: Engine, number: str) -> list[bytes]:
    """The runs that were kept of a request.

    Raises:
        Unsealable: one of them does not open.
    """
    with reading(engine) as session:
        rows = session.exec(select(EarlierRun).where(EarlierRun.number == number)).all()
        key = key_for(session, number) if rows else None
        return [] if key is None else [_opened(row, key) for row in rows]


def _opened(row: EarlierRun, key: DataKey) -> bytes:
    return key.open_bytes(row.content, _about(row.run))


def _about(run: str) -> str:
    return f"run/{run}"
