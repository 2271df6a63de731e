"""Requests as they are shown, kept beside them as text: a list of fifty is read, not worked out."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import Engine
from sqlmodel import Session, col, select

import domain
from domain.request import ServiceRequest
from domain.view import lasting, row, seen_at
from records.engine import writing
from records.statements import put
from records.tables import Request, Shown


def _fingerprint_of_the_domain() -> str:
    """Another version of the domain may show the same state in another way."""
    digest = blake2b(digest_size=8)
    for source in sorted(Path(domain.__path__[0]).glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


MADE_BY = _fingerprint_of_the_domain()


def keep(session: Session, request: ServiceRequest) -> None:
    """Keep the request as it is shown from now on."""
    put(session, _made(request))


def documents(
    session: Session, numbers: Sequence[str], now: datetime
) -> tuple[list[dict[str, Any]], list[str]]:
    """The view of each of these requests at `now`, in this order, and which were not kept.

    Nobody kept them, or another version did: they had to be worked out, which `make` saves the
    next one who asks.
    """
    all_of_them, left = _each(session, numbers)
    return [seen_at(from_json(each.document), now) for each in all_of_them], left


def rows(session: Session, numbers: Sequence[str]) -> list[str]:
    """Each of these requests as one short line, in this order, as JSON."""
    return [each.row for each in _each(session, numbers)[0]]


def make(engine: Engine, numbers: Sequence[str]) -> None:
    """Keep these requests as the records know them, in short transactions: an upgrade is over."""
    for number in numbers:
        with writing(engine) as session:
            found = session.get(Request, number, with_for_update=True)
            if found is not None:
                keep(session, ServiceRequest.model_validate_json(found.state))


def _made(request: ServiceRequest) -> Shown:
    return Shown(
        number=request.number,
        made_by=MADE_BY,
        document=to_json(lasting(request)).decode(),
        row=to_json(row(request)).decode(),
    )


def _each(session: Session, numbers: Sequence[str]) -> tuple[list[Shown], list[str]]:
    wanted = select(Shown).where(col(Shown.number).in_(numbers), col(Shown.made_by) == MADE_BY)
    kept = {shown.number: shown for shown in session.exec(wanted)}
    left = [number for number in numbers if number not in kept]
    if left:
        states = select(Request.number, Request.state).where(col(Request.number).in_(left))
        for number, state in session.exec(states):
            kept[number] = _made(ServiceRequest.model_validate_json(state))
    return [kept[number] for number in numbers], left
