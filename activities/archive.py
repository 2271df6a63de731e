"""The archive: how a closed request was shown at its end, with a hash to prove it by, and what its
records are restored from when Temporal has forgotten it."""

import hashlib

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine
from sqlmodel import Session

from domain.effects import Effect
from domain.masking import forgotten
from domain.request import ServiceRequest
from domain.values import canonical
from domain.view import view
from records.chain import is_chained
from records.engine import reading, writing
from records.personal import was_erased
from records.projection import effects_of
from records.statements import insert_new
from records.tables import Archive

_EFFECTS: TypeAdapter[list[Effect]] = TypeAdapter(list[Effect])


class Damaged(Exception):
    """The archive of a request is not whole; the message says in what."""


def archive(engine: Engine, request: ServiceRequest) -> str:
    """Archive a closed request and return the SHA-256 of its view.

    The view and its hash are kept once, unless the request came to its end at another moment: a
    worker that dies after this step and before Temporal hears of it has it come to its end again.
    Once its history is in the chain, nothing gives way any more. State and timeline follow what is
    still written down after the end, such as an event that came too late.

    Raises:
        ValueError: the request is not closed.
    """
    with writing(engine) as session:
        final = _final(session, request)
        insert_new(session, final)
        kept = session.get_one(Archive, request.number)
        if kept.closed_at != final.closed_at and not is_chained(session, request.number):
            kept.sqlmodel_update(final.model_dump(exclude={"state", "timeline"}))
        _follow(session, kept, request)
        return kept.sha256


def follow(engine: Engine, request: ServiceRequest) -> None:
    """Bring state and timeline of an archived request up to date; others are left alone."""
    with writing(engine) as session:
        if kept := session.get(Archive, request.number):
            _follow(session, kept, request)


def kept(engine: Engine, number: str) -> tuple[ServiceRequest, list[Effect]] | None:
    """A closed request with its lines and messages; None: the archive does not hold them.

    Raises:
        Damaged: what it holds is not what was archived.
    """
    with reading(engine) as session:
        found = session.get(Archive, number)
    if found is None:
        return None
    if _hash(found.view) != found.sha256:
        raise Damaged("the view does not match its hash")
    if found.state is None or found.timeline is None:
        return None
    try:
        request = ServiceRequest.model_validate_json(found.state)
        effects = _EFFECTS.validate_json(found.timeline)
    except ValidationError:
        raise Damaged("state or timeline cannot be read") from None
    if request.number != number or not request.is_closed:
        raise Damaged("the state is not this closed request's")
    if [effect.seq for effect in effects] != list(range(1, request.revision + 1)):
        raise Damaged("the timeline has gaps")
    return request, effects


def is_archived(engine: Engine, number: str) -> bool:
    """Whether the request was archived, whatever the archive holds of it."""
    with reading(engine) as session:
        return session.get(Archive, number) is not None


def mend(engine: Engine, request: ServiceRequest) -> None:
    """Make the archive of a closed request whole again; its records must be.

    A view that no longer matches its hash is put right only by one that does: the hash is proof.
    """
    with writing(engine) as session:
        final = _final(session, request)
        insert_new(session, final)
        found = session.get_one(Archive, request.number)
        if final.sha256 == found.sha256:
            found.view = final.view
        _follow(session, found, request)


def _final(session: Session, request: ServiceRequest) -> Archive:
    if request.closed_at is None:
        raise ValueError(f"{request.number} is not closed")
    # The customer may have been erased between the end of the request and this.
    shown = _shown(request, erased=was_erased(session, request.number))
    return Archive(
        number=request.number,
        closed_at=request.closed_at,
        outcome=request.outcome and request.outcome.value,
        view=shown,
        sha256=_hash(shown),
        policy_version=request.policy.version,
    )


def _shown(request: ServiceRequest, *, erased: bool) -> str:
    final = view(request, request.closed_at or request.moved_at)
    return canonical(forgotten(final) if erased else final)


def _follow(session: Session, kept: Archive, request: ServiceRequest) -> None:
    if was_erased(session, request.number):
        return
    effects = effects_of(session, request.number)
    kept.state = request.model_dump_json()
    kept.timeline = _EFFECTS.dump_json(effects).decode()


def _hash(shown: str) -> str:
    return hashlib.sha256(shown.encode()).hexdigest()
