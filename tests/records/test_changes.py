"""Who asks again and again what has changed hears of every change, in whatever order it commits."""

from datetime import timedelta

from sqlalchemy import Engine
from sqlmodel import col, update

from records.changes import OVERLAP, missed, news, present
from records.engine import writing
from records.projection import write_down
from records.tables import Request
from tests.databases import written
from tests.pure.builders import Story, given


def numbers(rows: list[str]) -> list[str]:
    return [row[22:25] for row in rows]


def one(engine: Engine, place: int) -> Story:
    story = given(number=f"CR20240520-{place:03d}")
    write_down(engine, written(story))
    return story


def test_each_change_is_news_once(engine: Engine) -> None:
    assert present(engine).until is None
    before = news(engine, present(engine), 10)
    story = one(engine, 1)
    one(engine, 2)
    after = news(engine, before, 10)
    assert numbers(after.rows) == ["001", "002"]
    assert news(engine, after, 10).rows == []
    write_down(engine, written(story.did("responded")))
    assert numbers(news(engine, after, 10).rows) == ["001"]


def test_what_was_there_before_is_no_news(engine: Engine) -> None:
    one(engine, 1)
    assert news(engine, present(engine), 10).rows == []


def test_a_change_that_becomes_visible_late_is_still_heard_of(engine: Engine) -> None:
    """On PostgreSQL a transaction may commit after another that wrote a later time."""
    one(engine, 1)
    known = news(engine, present(engine), 10)
    one(engine, 2)
    with writing(engine) as session:
        assert known.until is not None
        late = known.until - OVERLAP + timedelta(seconds=1)
        session.exec(
            update(Request).where(col(Request.number).endswith("002")).values(written_at=late)
        )
    after = news(engine, known, 10)
    assert numbers(after.rows) == ["002"]
    assert after.until == known.until
    assert news(engine, after, 10).rows == []


def test_many_changes_come_in_portions_and_none_is_lost(engine: Engine) -> None:
    known = present(engine)
    stories = [one(engine, place) for place in range(1, 8)]
    heard: list[str] = []
    left = []
    while True:
        known = news(engine, known, 3)
        if not known.rows:
            break
        heard += numbers(known.rows)
        left.append(known.left)
        if len(heard) == 3:
            write_down(engine, written(stories[6].did("responded")))
    assert heard == [f"{place:03d}" for place in range(1, 8)]
    assert left == [4, 1, 0]


def test_whoever_was_away_hears_what_changed_or_that_it_was_too_much(engine: Engine) -> None:
    for place in range(1, 4):
        one(engine, place)
    since = present(engine).until
    assert since is not None
    assert numbers(missed(engine, since, 3) or []) == ["001", "002", "003"]
    assert missed(engine, since, 2) is None
    assert missed(engine, since + OVERLAP, 3) == []
