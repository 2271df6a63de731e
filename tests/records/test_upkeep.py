"""The records are compared with the truth, and made whole from it, whatever happened to them."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from activities.archive import Damaged, archive, follow, kept
from records.base import Record
from records.engine import reading, writing
from records.projection import write_down
from records.statements import insert_new
from records.tables import Archive, Notification, Request
from records.upkeep import differences, page, repair, unknown
from tests.databases import written
from tests.pure.builders import Story, given
from tests.records.test_projection import NUMBER, rows

from .test_projection import everything


@pytest.fixture
def story(engine: Engine) -> Story:
    """A repair on its way to the customer, whole in the records."""
    story = given().walked("diagnosed")
    named = write_down(engine, written(story))
    story.request.name_forms(named.numbers)
    write_down(engine, written(story))
    return story


def whole(engine: Engine) -> Any:
    """Everything that is projected, but for when it was written."""
    return [
        [{k: v for k, v in row.items() if k != "written_at"} for row in table]
        for table in everything(engine)
    ]


DAMAGE: dict[str, tuple[str, str]] = {
    "a stage": ("UPDATE request SET stage = 'revisit'", "request"),
    "a state": ("UPDATE request SET state = '{}'", "request"),
    "a revision that is too high": ("UPDATE request SET revision = 900", "request"),
    "a due time": ("UPDATE request SET next_due = received_at", "request"),
    "clocks gone": ("DELETE FROM clock", "clock"),
    "a clock wrong": ("UPDATE clock SET state = 'late', late_seconds = 3 WHERE place = 1", "clock"),
    "forms gone": ("DELETE FROM form", "form"),
    "a form's content": ("""UPDATE form SET content = '{"a": 1}' WHERE "key" = 'WO/1'""", "form"),
    "a form's number": ("UPDATE form SET number = 'WO19990101-001' WHERE \"key\" = 'WO/1'", "form"),
    "a form's key": ("UPDATE form SET \"key\" = 'OS/7' WHERE \"key\" = 'AP/1'", "form"),
    "workload gone": ("DELETE FROM workload", "workload"),
    "workload of another": ("UPDATE workload SET engineer = 'EZ'", "workload"),
    "lines gone": ("DELETE FROM timeline WHERE seq > 2", "timeline"),
    "a line's words": ("UPDATE timeline SET name = 'nonsense' WHERE seq = 1", "timeline"),
    "a line's kind": ("UPDATE timeline SET kind = 'nonsense' WHERE seq = 1", "timeline"),
    "a line too many": ("UPDATE timeline SET seq = 800 WHERE seq = 1", "timeline"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_whatever_was_damaged_is_found_and_mended(
    engine: Engine, story: Story, damage: str
) -> None:
    before = whole(engine)
    assert differences(engine, story.request, story.effects) == []
    statement, where = DAMAGE[damage]
    with engine.begin() as connection:
        connection.execute(text(statement))
    damaged = whole(engine)
    assert damaged != before
    found = differences(engine, story.request, story.effects)
    assert where in [difference.where for difference in found]
    assert whole(engine) == damaged  # Looking changed nothing.
    repair(engine, story.request, story.effects)
    assert whole(engine) == before
    assert differences(engine, story.request, story.effects) == []


def test_all_at_once_and_no_row_at_all(engine: Engine, story: Story) -> None:
    before = whole(engine)
    with engine.begin() as connection:
        for table in reversed(Record.metadata.sorted_tables):
            connection.execute(table.delete())
    assert unknown(engine, [NUMBER, "CR1"]) == ["CR1", NUMBER]
    repair(engine, story.request, story.effects)
    messages = rows(engine, Notification)
    assert {message["state"] for message in messages} == {"restored"}  # And so never sent.
    with engine.begin() as connection:
        connection.execute(text("UPDATE notification SET state = 'queued'"))
    assert whole(engine) == before


def test_a_missing_line_is_noticed_without_knowing_the_lines(engine: Engine, story: Story) -> None:
    assert differences(engine, story.request) == []
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM timeline WHERE seq IN (1, 2)"))
    (found,) = differences(engine, story.request)
    assert (found.number, found.where, found.what) == (NUMBER, "timeline", "2 missing")
    repair(engine, story.request, None)  # Without the lines there is nothing to mend it with.
    assert differences(engine, story.request) == [found]


def test_a_message_already_sent_stays_as_it_is(engine: Engine, story: Story) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE notification SET state = 'sent', attempts = 2"))
    before = whole(engine)
    repair(engine, story.request, story.effects)
    assert whole(engine) == before


def test_what_another_version_made_to_be_shown_is_no_difference(
    engine: Engine, story: Story
) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE shown SET made_by = 'another', document = '{}'"))
    assert differences(engine, story.request, story.effects) == []


def test_an_event_that_waits_for_its_turn_is_no_difference(engine: Engine, story: Story) -> None:
    revision = story.request.revision
    story.heard("signed", signature="张*")
    assert story.request.parked
    assert story.request.revision == revision
    assert differences(engine, story.request, story.effects) == []


def test_pages_go_through_every_request(engine: Engine, story: Story) -> None:
    with writing(engine) as session:
        row = session.get_one(Request, NUMBER).model_dump()
        insert_new(session, Request(**{**row, "number": "CR20240520-002", "stage": "closed"}))
    assert page(engine, after=None, since=None, limit=1) == [NUMBER]
    assert page(engine, after=NUMBER, since=None, limit=1) == ["CR20240520-002"]
    assert page(engine, after=None, since=row["written_at"].replace(year=9000), limit=9) == []


# --- the archive ----------------------------------------------------------------------------------


@pytest.fixture
def closed(engine: Engine) -> Story:
    """A closed request, archived."""
    story = given().walked("surveyed")
    story.request.name_forms(write_down(engine, written(story)).numbers)
    write_down(engine, written(story))
    archive(engine, story.request)
    return story


def test_the_archive_holds_all_that_the_records_are_restored_from(
    engine: Engine, closed: Story
) -> None:
    before = whole(engine)
    found = kept(engine, NUMBER)
    assert found is not None
    with engine.begin() as connection:
        for table in ("timeline", "form", "clock"):
            connection.execute(text(f"DELETE FROM {table}"))
        connection.execute(text("UPDATE request SET state = '', stage = 'response', revision = 1"))
    repair(engine, *found)
    assert whole(engine) == before


def test_what_comes_too_late_is_archived_as_well(engine: Engine, closed: Story) -> None:
    first = archive(engine, closed.request)
    closed.heard("noted", text="太晚了")
    write_down(engine, written(closed))
    follow(engine, closed.request)
    found = kept(engine, NUMBER)
    assert found is not None
    assert found[0].revision == closed.request.revision
    assert archive(engine, closed.request) == first


RUIN: dict[str, Callable[[Connection], Any]] = {
    "hash": lambda c: c.execute(text("UPDATE archive SET view = '{}'")),
    "read": lambda c: c.execute(text("UPDATE archive SET state = '{}'")),
    "gaps": lambda c: c.execute(text("UPDATE archive SET timeline = '[]'")),
}


@pytest.mark.parametrize("what", RUIN)
def test_a_damaged_archive_is_no_truth(engine: Engine, closed: Story, what: str) -> None:
    with engine.begin() as connection:
        RUIN[what](connection)
    with pytest.raises(Damaged, match=what):
        kept(engine, NUMBER)


def test_an_archive_of_before_knows_nothing_to_restore(engine: Engine, closed: Story) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE archive SET state = NULL, timeline = NULL"))
    assert kept(engine, NUMBER) is None
    follow(engine, closed.request)
    assert kept(engine, NUMBER) is not None
    with reading(engine) as session:
        assert session.get_one(Archive, NUMBER).sha256
