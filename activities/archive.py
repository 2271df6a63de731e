"""The archive: how a closed request was shown at its end, and a hash to prove it by."""

import hashlib
import json

from sqlalchemy import Engine

from domain.request import ServiceRequest
from domain.view import view
from records.engine import writing
from records.statements import insert_new
from records.tables import Archive


def archive(engine: Engine, request: ServiceRequest) -> str:
    """Archive a closed request and return the SHA-256 of its view; a second time changes nothing.

    Raises:
        ValueError: the request is not closed.
    """
    if request.closed_at is None:
        raise ValueError(f"{request.number} is not closed")
    shown = json.dumps(
        view(request, request.closed_at), ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )
    final = Archive(
        number=request.number,
        closed_at=request.closed_at,
        outcome=request.outcome and request.outcome.value,
        view=shown,
        sha256=hashlib.sha256(shown.encode()).hexdigest(),
        policy_version=request.policy.version,
    )
    with writing(engine) as session:
        insert_new(session, final)
        kept = session.get_one(Archive, request.number)
        return kept.sha256
