"""Matching work with engineers (S1 2.2): qualified, on shift, near, then with the lowest load.

A chosen engineer's place is kept in the same transaction, so that two searches can never both get
the last one.
"""

from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Engine, func
from sqlmodel import Session, col, select

from domain.policy import Matching
from domain.tasks import Found, Search
from records.engine import writing
from records.geography import Place, distance_km
from records.master_data import Engineer, RequiredQualification
from records.personal import place_of
from records.sealing import Unsealable
from records.tables import Request, Workload

log = structlog.get_logger()


@dataclass(frozen=True)
class _Candidate:
    id: str
    distance_km: float
    load: int

    def rank(self, terms: Matching) -> tuple[bool, float, int, str]:
        """Near ones first, the nearest (to 100 m) first, then by load; the id decides the rest."""
        return self.distance_km > terms.near_km, round(self.distance_km, 1), self.load, self.id


def find_engineer(engine: Engine, search: Search, now: datetime) -> Found:
    """The engineer who is to be offered the work, with a place kept for it; None: nobody fits.

    Asked again for the same offer, it finds the same engineer. A search that comes too late, when
    more was written down than it knows of, finds nobody: the place would be kept for ever. Without
    the customer's coordinates distance does not count.
    """
    full: set[str] = set()
    while True:
        with writing(engine) as session:
            # Locked, so that the same search running twice keeps one place.
            row = session.get(Request, search.request.number, with_for_update=True)
            # First: after a crash the workflow may search again for an offer written down already.
            if held := _held(session, search):
                return Found(engineer=held)
            if row is not None and row.revision > search.request.revision:
                return Found()
            best = _best(session, search, now, full)
            if best is None:
                return Found()
            if _keep_place(session, best, search, now):
                return Found(engineer=best)
        # A new transaction: waiting for one engineer while holding another could deadlock.
        full.add(best)


def _held(session: Session, search: Search) -> str | None:
    number = search.request.number
    held = select(Workload.engineer).where(
        Workload.number == number, Workload.offer == search.offer
    )
    return session.exec(held).first()


def _best(session: Session, search: Search, now: datetime, full: set[str]) -> str | None:
    terms = search.request.policy.matching
    local = now.astimezone(ZoneInfo(search.request.policy.timezone)).time()
    required, place = _required(session, search), _place(session, search)
    loads = _loads(session, search.request.number)
    candidates = (
        _Candidate(
            engineer.id,
            distance_km(place, (engineer.latitude, engineer.longitude)) if place else 0,
            loads.get(engineer.id, 0),
        )
        for engineer in session.exec(select(Engineer).where(Engineer.active))
        if engineer.id not in full
        and engineer.id not in search.asked_before
        and required <= set(engineer.qualifications)
        and _on_shift(engineer, local)
    )
    fitting = [
        c for c in candidates if c.load < terms.most_unfinished and c.distance_km <= terms.far_km
    ]
    best = min(fitting, key=lambda c: c.rank(terms), default=None)
    return best.id if best else None


def _required(session: Session, search: Search) -> set[str]:
    request = search.request
    required = select(RequiredQualification.qualification).where(
        RequiredQualification.category == request.brief.product.category,
        RequiredQualification.request_type == request.request_type.value,
    )
    return set(session.exec(required))


def _place(session: Session, search: Search) -> Place | None:
    """Where the work is: from the records, because the workflow carries no personal data."""
    try:
        return place_of(session, search.request.number)
    except Unsealable as error:
        # Better an engineer who is far away than a request that stands still.
        log.error("place_unreadable", number=search.request.number, reason=str(error))
        return None


def _loads(session: Session, number: str) -> dict[str, int]:
    """Unfinished work by engineer, apart from this request's own."""
    counted = (
        select(Workload.engineer, func.count())
        .where(Workload.number != number)
        .group_by(col(Workload.engineer))
    )
    return dict(session.exec(counted).all())


def _on_shift(engineer: Engineer, local: time) -> bool:
    start, end = engineer.shift_start, engineer.shift_end
    if start is None or end is None:
        return True
    if start <= end:
        return start <= local < end
    return local >= start or local < end


def _keep_place(session: Session, engineer: str, search: Search, now: datetime) -> bool:
    """Whether the engineer, counted again under a lock, still has a place for this work."""
    session.get(Engineer, engineer, with_for_update=True)
    number = search.request.number
    others = select(func.count()).where(Workload.engineer == engineer, Workload.number != number)
    if session.exec(others).one() >= search.request.policy.matching.most_unfinished:
        return False
    kept = session.get(Workload, (engineer, number)) or Workload(
        engineer=engineer, number=number, offer=search.offer, since=now
    )
    kept.offer = search.offer
    session.add(kept)
    return True
