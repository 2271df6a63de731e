"""The archive keeps the final view once, with a hash to prove it by."""

import hashlib
import json

import pytest
from sqlalchemy import Engine

from activities.archive import archive
from domain.view import view
from records.engine import reading
from records.projection import write_down
from records.tables import Archive
from tests.databases import written
from tests.pure.builders import given


def test_the_final_view_is_kept_once(engine: Engine) -> None:
    story = given().walked("surveyed")
    write_down(engine, written(story))
    first = archive(engine, story.request)
    story.request.name_forms({"WO/1": "WO20240520-009"})
    assert archive(engine, story.request) == first
    with reading(engine) as session:
        kept = session.get_one(Archive, story.request.number)
    shown = json.loads(kept.view)
    assert shown["stage"] == "closed"
    assert {**shown, "work_order": "WO20240520-009"} == view(story.request, story.now)
    assert hashlib.sha256(kept.view.encode()).hexdigest() == kept.sha256 == first
    assert (kept.outcome, kept.closed_at) == ("completed", story.request.closed_at)
    assert kept.policy_version == story.request.policy.version


def test_an_open_request_is_not_archived(engine: Engine) -> None:
    with pytest.raises(ValueError, match="not closed"):
        archive(engine, given().request)
