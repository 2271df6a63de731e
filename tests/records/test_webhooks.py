"""Subscriptions and deliveries in the records, alike on both databases."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from domain.deliveries import DeliveryState, Stream
from records import deliveries
from records import webhooks as module
from records.cursors import BadCursor
from records.deliveries import KNOCK_AGAIN, LEASE, claim, knocked, next_due, replay
from records.engine import open_engine, reading, writing
from records.projection import project, write_down
from records.sealing import KeyRing
from records.tables import NEVER, Timeline, Webhook, WebhookDelivery
from records.webhooks import TooMany, change, rekey, rotate, secrets_of, subscribe, unsubscribe
from tests.databases import RING_TEXT, all_at_once, written
from tests.pure.builders import START, Story, given

NOW = datetime(2026, 5, 20, 1, 0, tzinfo=UTC)
DAY = timedelta(days=1)
_serials = count(1)


def subscribed(engine: Engine, **more: Any) -> str:
    made, _ = subscribe(
        engine, **{"owner": "integration/erp", "url": "https://x.example", "types": ["*"], **more}
    )
    return made.id


def story(**changes: Any) -> Story:
    return given(number=f"CR20240520-{next(_serials):03d}", **changes)


def rows(engine: Engine, webhook: str) -> list[WebhookDelivery]:
    found = deliveries.deliveries(engine, webhook, limit=200).items
    return sorted(found, key=lambda row: (row.number, row.seq))


def test_each_new_line_is_queued_once_for_those_who_want_it(engine: Engine) -> None:
    everything = subscribed(engine)
    clocks = subscribed(engine, types=["aftersales.clock.*"])
    elsewhere = subscribed(engine, stations=["hongqiao"])
    here = subscribed(engine, stations=["hongqiao", "pudong"])
    told = story(station="pudong")
    write_down(engine, written(told))
    write_down(engine, written(told.did("responded")))
    write_down(engine, written(told))
    assert [row.seq for row in rows(engine, everything)] == [line.seq for line in told.lines]
    assert {row.type.split(".")[1] for row in rows(engine, clocks)} == {"clock"}
    assert rows(engine, elsewhere) == []
    assert len(rows(engine, here)) == len(told.lines)
    assert {row.data["station"] for row in rows(engine, here)} == {"pudong"}


def test_who_subscribes_later_hears_only_what_happens_later(engine: Engine) -> None:
    told = story()
    write_down(engine, written(told))
    before = len(told.lines)
    webhook = subscribed(engine)
    write_down(engine, written(told))
    assert rows(engine, webhook) == []
    write_down(engine, written(told.did("responded")))
    assert [row.seq for row in rows(engine, webhook)] == [e.seq for e in told.lines[before:]]


def test_a_line_and_its_deliveries_are_written_together_or_not_at_all(engine: Engine) -> None:
    webhook = subscribed(engine)

    def fails() -> None:
        with writing(engine) as session:
            project(session, written(story()))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert rows(engine, webhook) == []
    with reading(engine) as session:
        assert session.exec(select(Timeline)).all() == []


def test_two_dispatchers_do_not_knock_for_the_same_stream(engine: Engine) -> None:
    subscribed(engine)
    for _ in range(6):
        write_down(engine, written(story()))
    claimed = all_at_once(2, lambda _: claim(engine, NOW, 200))
    streams = [(k.stream.webhook, k.stream.number) for knocks in claimed for k in knocks]
    assert len(streams) == len(set(streams)) == 6


def test_a_knock_that_nobody_heard_is_made_again(engine: Engine) -> None:
    subscribed(engine)
    write_down(engine, written(story()))
    (knock,) = claim(engine, NOW, 200)
    assert claim(engine, NOW, 200) == []
    assert len(claim(engine, NOW + LEASE, 200)) == 1  # Whoever had it died.
    knocked(engine, knock, NOW + LEASE, heard=False)
    (again,) = claim(engine, NOW + LEASE, 200)
    knocked(engine, again, NOW + LEASE, heard=True)
    assert claim(engine, NOW + LEASE * 3, 200) == []
    assert len(claim(engine, NOW + LEASE + KNOCK_AGAIN, 200)) == 1


def test_what_is_paused_waits_and_starts_afresh_when_resumed(engine: Engine) -> None:
    webhook = subscribed(engine)
    change(engine, webhook, {"state": "paused"})
    told = story()
    write_down(engine, written(told))
    stream = Stream(webhook=webhook, number=told.request.number)
    assert rows(engine, webhook) != []
    assert claim(engine, NOW, 200) == []
    assert next_due(engine, stream, DAY) is None
    change(engine, webhook, {"state": "active"})
    (knock,) = claim(engine, NOW, 200)
    assert knock.hurried
    due = next_due(engine, stream, DAY)
    assert due is not None
    assert due.until > datetime.now(UTC) + DAY - timedelta(minutes=1)


def test_what_is_paused_is_looked_at_once_until_it_is_resumed(engine: Engine) -> None:
    webhook, other = subscribed(engine), subscribed(engine)
    change(engine, webhook, {"state": "paused"})
    write_down(engine, written(story()))
    assert {knock.stream.webhook for knock in claim(engine, NOW, 200)} == {other}
    assert {row.knock_at for row in rows(engine, webhook)} == {NEVER}
    write_down(engine, written(story()))
    claim(engine, NOW, 200)
    assert {row.knock_at for row in rows(engine, webhook)} == {NEVER}
    change(engine, webhook, {"state": "active"})
    assert len(claim(engine, NOW, 200)) == 2


def test_patience_is_the_subscriptions_own_if_it_has_one(engine: Engine) -> None:
    told, lasting = story(), timedelta(days=7)
    webhook = subscribed(engine, give_up=lasting)
    write_down(engine, written(told))
    due = next_due(engine, Stream(webhook=webhook, number=told.request.number), DAY)
    assert due is not None
    assert due.until == told.now + lasting


def test_a_stream_goes_on_behind_what_was_given_up_until_it_is_replayed(engine: Engine) -> None:
    webhook, told = subscribed(engine), story()
    write_down(engine, written(told))
    stream = Stream(webhook=webhook, number=told.request.number)
    first, second = rows(engine, webhook)[:2]
    deliveries.record(engine, stream, first.seq, {"attempts": 1})
    assert deliveries.give_up(engine, stream, first.seq)
    due = next_due(engine, stream, DAY)
    assert due is not None
    assert due.seq == second.seq
    claim(engine, NOW, 200)
    assert replay(engine, webhook) == 1
    due = next_due(engine, stream, DAY)
    assert due is not None
    assert due.seq == first.seq
    (knock,) = claim(engine, NOW, 200)
    assert knock.hurried
    assert replay(engine, webhook) == 0


def test_what_was_never_tried_is_not_given_up(engine: Engine) -> None:
    webhook, told = subscribed(engine), story()
    write_down(engine, written(told))
    stream = Stream(webhook=webhook, number=told.request.number)
    first = rows(engine, webhook)[0]
    assert not deliveries.give_up(engine, stream, first.seq)
    assert rows(engine, webhook)[0].state == DeliveryState.queued
    due = next_due(engine, stream, DAY)
    assert due is not None
    assert due.seq == first.seq  # And nothing overtakes it.


def test_what_was_sent_outlives_its_subscription(engine: Engine) -> None:
    webhook, told = subscribed(engine), story()
    write_down(engine, written(told))
    number = told.request.number
    stream, first = Stream(webhook=webhook, number=number), rows(engine, webhook)[0]
    deliveries.record(engine, stream, first.seq, {"state": DeliveryState.delivered})
    assert unsubscribe(engine, webhook)
    assert not unsubscribe(engine, webhook)
    states = [row.state for row in rows(engine, webhook)]
    assert states == ["delivered", *["dropped"] * (len(states) - 1)]
    # An attempt that was under way then changes nothing any more.
    deliveries.record(engine, stream, rows(engine, webhook)[1].seq, {"state": "delivered"})
    assert rows(engine, webhook)[1].state == "dropped"
    assert replay(engine, webhook, number=number, seq=rows(engine, webhook)[1].seq) == 0
    assert change(engine, webhook, {"state": "active"}) is None
    assert rotate(engine, webhook, DAY) is None


def test_secrets_are_sealed_for_their_subscription_and_overlap(engine: Engine) -> None:
    made, first = subscribe(engine, owner="x", url="https://x.example", types=["*"])
    rotated = rotate(engine, made.id, DAY)
    assert rotated is not None
    row, second = rotated
    with writing(engine) as session:
        now = datetime.now(UTC)
        assert secrets_of(session, row, now) == [second, first]
        assert secrets_of(session, row, now + DAY * 2) == [second]
    assert not {first[6:], second[6:]} & {row.secret, row.old_secret}
    other = subscribed(engine)
    with writing(engine) as session:
        session.get_one(Webhook, other).secret = row.secret
    told = story()
    write_down(engine, written(told))
    line = rows(engine, other)[0]
    stream = Stream(webhook=other, number=line.number)
    parcel = deliveries.parcel(engine, stream, line.seq, now)
    assert parcel is not None
    assert parcel.secrets == []  # It does not open for another.


def test_secrets_are_sealed_anew_when_the_keys_are_rotated(engine: Engine) -> None:
    webhook = subscribed(engine)
    later = KeyRing.read(f"{KeyRing.make('later').partition(',')[0]},{RING_TEXT}")
    rotated = open_engine(engine.url.render_as_string(hide_password=False), later)
    with reading(engine) as session:
        secrets = secrets_of(session, session.get_one(Webhook, webhook), START)
    assert (rekey(rotated), rekey(rotated)) == (1, 0)
    with reading(rotated) as session:
        row = session.get_one(Webhook, webhook)
        assert KeyRing.key_of(row.secret) == "later"
        assert secrets_of(session, row, START) == secrets
    rotated.dispose()


def test_one_owner_cannot_have_all_of_them(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WEBHOOKS", 2)
    subscribed(engine)
    subscribed(engine)
    with pytest.raises(TooMany):
        subscribed(engine)
    subscribed(engine, owner="integration/other")


def test_deliveries_are_listed_page_by_page(engine: Engine) -> None:
    webhook = subscribed(engine)
    for _ in range(3):
        write_down(engine, written(story().did("responded")))
    found: list[str] = []
    cursor = None
    while True:
        page = deliveries.deliveries(engine, webhook, cursor=cursor, limit=4)
        found += [row.id for row in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert len(found) == len(set(found)) == len(rows(engine, webhook)) > 8
    for wrong in ("x", "MQ", "%"):
        with pytest.raises(BadCursor):
            deliveries.deliveries(engine, webhook, cursor=wrong)


def test_pings_are_counted_by_themselves(engine: Engine) -> None:
    webhook = subscribed(engine)
    pings = all_at_once(3, lambda _: deliveries.ping(engine, webhook))
    assert sorted(ping.seq for ping in pings) == [1, 2, 3]
    due = next_due(engine, Stream(webhook=webhook, number=webhook), DAY)
    assert due is not None
    assert due.until < datetime.now(UTC) + timedelta(minutes=11)


def test_what_was_delivered_long_ago_is_forgotten_and_the_dead_are_not(engine: Engine) -> None:
    webhook, told = subscribed(engine), story()
    write_down(engine, written(told.did("responded")))
    stream = Stream(webhook=webhook, number=told.request.number)
    delivered, dead, *others = [row.seq for row in rows(engine, webhook)]
    deliveries.record(engine, stream, delivered, {"state": DeliveryState.delivered})
    deliveries.record(engine, stream, dead, {"attempts": 1})
    deliveries.give_up(engine, stream, dead)
    now = datetime.now(UTC)
    deliveries.tidy(engine, now)
    assert len(rows(engine, webhook)) == 2 + len(others)
    deliveries.tidy(engine, now + deliveries.KEPT + DAY)
    left = rows(engine, webhook)
    assert [row.state for row in left] == ["dead", *["queued"] * len(others)]
    with writing(engine) as session:
        session.delete(session.get_one(Webhook, webhook))  # as if a fan-out had come too late
    deliveries.tidy(engine, now)
    assert {row.state for row in rows(engine, webhook)} == {"dead", "dropped"}
