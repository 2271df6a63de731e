"""The archive keeps the final view once, with a hash to prove it by."""

import hashlib
import json
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from activities.archive import archive, kept, mend
from domain.view import view
from records.chain import Kind
from records.engine import reading, writing
from records.projection import write_down
from records.tables import Archive, Link, Notification
from tests.databases import written
from tests.pure.builders import START, given


def test_the_final_view_is_kept_once(engine: Engine) -> None:
    story = given().walked("surveyed")
    write_down(engine, written(story))
    first = archive(engine, story.request)
    story.request.name_forms({"WO/1": "WO20240520-009"})
    assert archive(engine, story.request) == first
    with reading(engine) as session:
        final = session.get_one(Archive, story.request.number)
    shown = json.loads(final.view)
    assert shown["stage"] == "closed"
    assert {**shown, "work_order": "WO20240520-009"} == view(story.request, story.now)
    assert hashlib.sha256(final.view.encode()).hexdigest() == final.sha256 == first
    assert (final.outcome, final.closed_at) == ("completed", story.request.closed_at)
    assert final.policy_version == story.request.policy.version


def test_an_end_that_temporal_never_heard_of_gives_way(engine: Engine) -> None:
    """The worker died after the step; the request closed again, a moment later."""
    story = given().walked("surveyed")
    write_down(engine, written(story))
    lost = archive(engine, story.request)
    assert story.request.closed_at is not None
    story.request.closed_at += timedelta(milliseconds=218)
    true = archive(engine, story.request)
    with reading(engine) as session:
        final = session.get_one(Archive, story.request.number)
    assert lost != true == final.sha256 == hashlib.sha256(final.view.encode()).hexdigest()
    assert final.closed_at == story.request.closed_at
    assert kept(engine, story.request.number) is not None


def test_what_stands_in_the_chain_gives_way_no_more(engine: Engine) -> None:
    """An operator reset the workflow after its history was archived."""
    story = given().walked("surveyed")
    write_down(engine, written(story))
    first, number = archive(engine, story.request), story.request.number
    with writing(engine) as session:
        place = {"seq": 1, "kind": Kind.history, "month": "2024-05", "hash": "0" * 64}
        session.add(Link.model_validate({**place, "number": number, "content": "{}"}))
    assert story.request.closed_at is not None
    story.request.closed_at += timedelta(hours=1)
    assert archive(engine, story.request) == first


def test_mending_makes_no_view_give_way(engine: Engine) -> None:
    """What it mends from is protected by no hash: the view's own is the proof."""
    story = given().walked("surveyed")
    write_down(engine, written(story))
    first, number = archive(engine, story.request), story.request.number
    assert story.request.closed_at is not None
    story.request.closed_at += timedelta(hours=1)
    mend(engine, story.request)
    with reading(engine) as session:
        final = session.get_one(Archive, number)
    assert final.sha256 == first == hashlib.sha256(final.view.encode()).hexdigest()


def test_what_the_courier_told_of_its_own_is_no_part_of_the_request(engine: Engine) -> None:
    """A message that failed for good leaves further rows behind, with ids of their own."""
    story = given().walked("surveyed")
    write_down(engine, written(story))
    number = story.request.number
    with writing(engine) as session:
        for id_ in (f"{number}:2:failed", "delivery:smtp:2026112206"):
            row = Notification(
                id=id_,
                number=number,
                to_role="supervisor",
                to_id=None,
                channel="console",
                message="delivery_failed",
                rule=None,
                level=None,
                facts={},
                created_at=START,
            )
            session.add(row)
    archive(engine, story.request)
    found = kept(engine, number)
    assert found is not None
    assert [effect.seq for effect in found[1]] == list(range(1, story.request.revision + 1))


def test_an_open_request_is_not_archived(engine: Engine) -> None:
    with pytest.raises(ValueError, match="not closed"):
        archive(engine, given().request)
