"""The outbox: who holds a message, what became of it, and how it is looked after."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, Table
from sqlmodel import select

from domain.vocabulary import SendingState
from records import outbox
from records.cursors import BadCursor
from records.engine import migrate, open_engine, reading, writing
from records.outbox import NotFailed, Try, Verdict
from records.projection import write_down
from records.tables import Notification, NotificationAttempt
from tests.databases import written
from tests.pure.builders import START, given

NUMBER = "CR20240520-001"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def some(engine: Engine) -> Engine:
    """Five messages, two of them told at the same moment."""
    task = written(given())
    task.messages = []
    write_down(engine, task)
    with writing(engine) as session:
        for place, channel in enumerate(["sms", "sms", "console", "app", "app_push"]):
            session.add(message(place, channel, created_at=START + place // 2 * MINUTE))
    return engine


def message(place: int, channel: str = "sms", **changes: Any) -> Notification:
    columns = {
        "id": f"{NUMBER}:{place}",
        "number": NUMBER,
        "to_role": "customer" if channel == "sms" else "engineer",
        "to_id": None,
        "channel": channel,
        "message": "quote",
        "rule": None,
        "level": None,
        "facts": {"total": "1.00"},
        "created_at": START,
        **changes,
    }
    return Notification(**columns)


def taken(engine: Engine, most: int = 10) -> list[Notification]:
    return outbox.claim(engine, [("customer", "sms")], START, START + MINUTE, most)


def row(engine: Engine, place: int) -> Notification:
    with reading(engine) as session:
        found = session.get(Notification, f"{NUMBER}:{place}")
        assert found
        return found


def a_try(outcome: str, provider: str = "gate") -> Try:
    error = None if outcome == "sent" else "http_500"
    return Try(START, provider, outcome, error, 12)


def test_it_says_for_whom_there_is_something(some: Engine) -> None:
    waiting = outbox.waiting(some, START)
    assert waiting == {
        ("customer", "sms"),
        ("engineer", "console"),
        ("engineer", "app"),
        ("engineer", "app_push"),
    }
    assert len(taken(some)) == 2
    assert outbox.waiting(some, START) == waiting - {("customer", "sms")}
    assert outbox.waiting(some, START + MINUTE) == waiting


def test_the_oldest_go_first_and_no_one_elses(some: Engine) -> None:
    assert [r.id for r in taken(some, most=1)] == [f"{NUMBER}:0"]
    assert [r.id for r in taken(some)] == [f"{NUMBER}:1"]
    assert taken(some) == []


def test_every_attempt_is_kept(some: Engine) -> None:
    ids = [r.id for r in taken(some)]
    lease, again = START + MINUTE, START + 2 * MINUTE
    failed = Verdict(SendingState.queued, not_before=again)
    tries = [a_try("refused", "mail"), a_try("failed")]
    outbox.settle(some, ids, lease, failed, START, tries=tries)
    kept = row(some, 0)
    assert (kept.state, kept.attempts, kept.not_before, kept.refused_by) == (
        "queued",
        1,
        again,
        ["mail"],
    )
    assert (kept.provider, kept.last_error, kept.outcome) == ("gate", "http_500", None)
    sent = Verdict(SendingState.sent, "sent", provider_id="MSG-1", digest="digest:1")
    outbox.settle(some, ids, again, sent, again, tries=[a_try("sent")])
    kept = row(some, 1)
    assert (kept.state, kept.outcome, kept.sent_at) == ("sent", "sent", again)
    assert (kept.provider_id, kept.digest, kept.last_error) == ("MSG-1", "digest:1", None)
    for sending in outbox.of_request(some, NUMBER)[:2]:
        assert [t.outcome for t in sending.tries] == ["refused", "failed", "sent"]


def test_a_message_that_another_courier_took_over_is_left_to_it(some: Engine) -> None:
    ids = [r.id for r in taken(some)]
    outbox.claim(some, [("customer", "sms")], START + MINUTE, START + 2 * MINUTE, 10)
    outbox.settle(
        some, ids, START + MINUTE, Verdict(SendingState.sent, "sent"), START, tries=[a_try("sent")]
    )
    assert (row(some, 0).state, row(some, 0).attempts) == ("queued", 0)
    with reading(some) as session:
        assert session.exec(select(NotificationAttempt)).all() == []


def test_what_is_to_be_said_of_it_is_said_once(some: Engine) -> None:
    notice = {"message": "delivery_failed", "to_role": "supervisor"}
    for place in (0, 1):
        (one,) = taken(some, most=1)
        further = [message(90, "console", **notice)]
        verdict = Verdict(SendingState.failed, "failed")
        outbox.settle(some, [one.id], START + MINUTE, verdict, START, further=further)
        assert row(some, place).failed_at == START
    assert row(some, 90).message == "delivery_failed"


def test_only_what_failed_is_sent_again(some: Engine) -> None:
    ids = [r.id for r in taken(some)]
    tries = [a_try("refused")]
    failed = Verdict(SendingState.failed, "refused")
    outbox.settle(some, ids, START + MINUTE, failed, START, tries=tries)
    sending = outbox.resend(some, ids[0])
    assert sending
    assert len(sending.tries) == 1
    kept = row(some, 0)
    assert (kept.state, kept.outcome, kept.attempts) == ("queued", None, 0)
    assert (kept.not_before, kept.refused_by, kept.failed_at) == (None, None, START)
    with pytest.raises(NotFailed):
        outbox.resend(some, ids[0])
    assert outbox.resend(some, "nothing") is None
    assert [r.id for r in taken(some)] == [ids[0]]


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_pages_show_everything_once_the_latest_first(some: Engine, limit: int) -> None:
    shown, cursor, pages = "", None, 0
    while pages == 0 or cursor:
        page = outbox.list_notifications(some, cursor=cursor, limit=limit)
        shown += "".join(item.notification.id[-1] for item in page.items)
        cursor, pages = page.next, pages + 1
    assert shown == "43210"
    assert pages == -(-5 // limit)


def test_the_app_of_old_rows_is_push(some: Engine) -> None:
    def found(**conditions: Any) -> str:
        items = outbox.list_notifications(some, **conditions).items
        return "".join(item.notification.id[-1] for item in items)

    assert found(channel="app_push") == "43"
    assert found(channel="sms", state=SendingState.queued) == "10"
    assert found(state=SendingState.failed) == ""


@pytest.mark.parametrize("cursor", ["", "nonsense", "WyIyMDI2IiwgIngiXQ"])
def test_a_cursor_that_is_not_ours_is_refused(some: Engine, cursor: str) -> None:
    with pytest.raises(BadCursor):
        outbox.list_notifications(some, cursor=cursor)


def test_what_an_older_version_sent_has_an_outcome(empty_database: str) -> None:
    engine = open_engine(empty_database)
    migrate(engine, "0002")
    request: dict[str, Any] = {
        **dict.fromkeys(("state", "stage", "urgency", "request_type", "tier"), "old")
    }
    request |= {"clock_state": "old", "number": NUMBER, "breached": [], "turn": 1}
    request |= dict.fromkeys(("revision", "event_count"), 0)
    moments = {"request": ("next_due", "received_at", "written_at"), "notification": ()}
    with engine.begin() as connection:
        tables = {
            name: Table(name, MetaData(), autoload_with=connection, resolve_fks=False)
            for name in moments
        }
        moment = Notification.__table__.c.created_at.type  # type: ignore[attr-defined]
        for table, names in (("request", moments["request"]), ("notification", ("created_at",))):
            for name in names:
                tables[table].c[name].type = moment
        told = dict.fromkeys(moments["request"], START)
        connection.execute(tables["request"].insert().values(**request, **told))
        for place, state in enumerate(("sent", "failed", "queued")):
            columns = message(place, state=state).model_dump()
            kept = {name: v for name, v in columns.items() if name in tables["notification"].c}
            connection.execute(tables["notification"].insert().values(kept))
    migrate(engine, "0008")
    assert [row(engine, place).outcome for place in range(3)] == ["sent", "failed", None]
    engine.dispose()
