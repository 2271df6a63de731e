"""The forms in the records beside those that the histories give rise to."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from audit.faults import Fault, Finding
from audit.replaying import Replayed
from domain.forms import Form
from records.engine import open_engine
from records.personal import is_erased
from records.queries import StoredForm, forms_of_the_process
from records.upkeep import unknown
from runtime import preflight
from runtime.settings import Settings
from runtime.trouble import Trouble


@dataclass
class Comparison:
    """How many requests were compared, and how many not because their customer was erased."""

    compared: int = 0
    erased: int = 0

    def plain(self) -> dict[str, int]:
        """In JSON types."""
        return asdict(self)


def reachable(settings: Settings) -> Engine | None:
    """The records; None: there are none here, or they do not answer. Nothing is created."""
    url = make_url(settings.database)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return None
    try:
        preflight.reachable_database(settings)
        engine = open_engine(settings.database)
        unknown(engine, [])
    except (Trouble, SQLAlchemyError):
        return None
    return engine


def compare(engine: Engine, number: str, replayed: Replayed, so_far: Comparison) -> list[Finding]:
    """Where the records' forms are not the history's.

    SA-CR-001 is not compared: it is filled in at intake and holds what no history may.
    """
    if is_erased(engine, number):
        so_far.erased += 1
        return []
    so_far.compared += 1
    if unknown(engine, [number]):
        return [Finding(Fault.form_differs, number, "the records do not know the request")]
    stored = {form.key: form for form in forms_of_the_process(engine, number)}
    made = {form.key: form for form in replayed.forms}
    return [
        Finding(Fault.form_differs, number, f"{key}: {what}")
        for key in dict.fromkeys([*made, *stored])
        for what in _differing(made.get(key), stored.get(key), replayed.numbers.get(key))
    ]


def _differing(made: Form | None, stored: StoredForm | None, number: str | None) -> Iterator[str]:
    if made is None:
        yield "the history gives rise to no such form"
    elif stored is None:
        yield "the records do not have it"
    else:
        if stored.number != number:
            yield f"numbered {stored.number}, in the history {number}"
        if stored.code != made.code:
            yield f"it is a form {stored.code}, in the history {made.code}"
        ours: dict[str, Any] = json.loads(json.dumps(made.content))
        fields = sorted({*ours, *stored.content})
        if others := [name for name in fields if ours.get(name) != stored.content.get(name)]:
            yield f"otherwise in {', '.join(others)}"
