"""A cursor that somebody made up is refused before a database sees it."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import pytest
from sqlalchemy import Engine

from records.access_log import reads
from records.cursors import LONGEST, BadCursor, after, place
from records.deliveries import deliveries
from records.inbox import list_tasks
from records.outbox import list_notifications
from records.queries import list_requests
from tests.pure.builders import START

LISTS: list[tuple[Callable[..., object], list[type]]] = [
    (partial(list_requests, now=START), [int, datetime, str]),
    (list_tasks, [datetime, str]),
    (partial(deliveries, webhook="wh_1"), [datetime, str, int]),
    (list_notifications, [datetime, str]),
    (reads, [int]),
]
SOUND: dict[type, list[str]] = {
    int: ["7", str(2**31 - 1), str(-(2**31))],
    str: ['"CR20240520-001"', '""', '"张三"', '"\' OR 1=1 --"'],
    datetime: [
        '"2026-05-20T09:00:00+08:00"',
        '"0001-01-01T00:00:00+00:00"',
        '"9999-12-31T23:59:59.999999Z"',
    ],
}
"""As it stands in JSON: the usual, and the farthest that there is."""

HOSTILE: dict[type, list[str]] = {
    int: ["1e400", "NaN", "1.0", "true", "null", '"7"', str(2**31), str(2**63), "9" * 300],
    str: ["7", "null", "[]", '"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"a\\nb"'],
    datetime: [
        "1e400",
        "null",
        '"today"',
        '"2026-05-20T01:00:00"',
        '"2026-05-20\\u0000"',
        '"0001-01-01T00:00:00+14:00"',
        '"9999-12-31T23:59:59-14:00"',
    ],
}


def crafted(*values: str) -> str:
    """The cursor of these values, each as it stands in JSON."""
    return urlsafe_b64encode(f"[{','.join(values)}]".encode()).decode().rstrip("=")


def places(kinds: list[type], values: dict[type, list[str]]) -> Iterator[list[str]]:
    """Places that are sound but for one of their values, which is each of these in turn."""
    sound = [SOUND[kind][0] for kind in kinds]
    for at, kind in enumerate(kinds):
        for value in values[kind]:
            yield [*sound[:at], value, *sound[at + 1 :]]


def test_the_farthest_place_is_answered(engine: Engine) -> None:
    for asks, kinds in LISTS:
        for values in places(kinds, SOUND):
            asks(engine, cursor=crafted(*values))


def test_a_hostile_place_is_refused(engine: Engine) -> None:
    for asks, kinds in LISTS:
        (usual, *_) = places(kinds, SOUND)
        for values in ([], usual * 2, *places(kinds, HOSTILE)):
            with pytest.raises(BadCursor):
                asks(engine, cursor=crafted(*values))


@pytest.mark.parametrize("cursor", ["", "é", "e30", "IiI", "W" * LONGEST, "W1" * LONGEST, "\x00"])
def test_what_is_no_place_at_all_is_refused(cursor: str) -> None:
    for kinds in ((), (int,), (str,)):
        with pytest.raises(BadCursor):
            place(cursor, *kinds)


def test_a_place_comes_back_as_it_was() -> None:
    moment = datetime(2026, 5, 20, 9, 0, tzinfo=timezone(timedelta(hours=8)))
    found = place(after(moment, "CR20240520-001", 7), datetime, str, int)
    assert found == (moment, "CR20240520-001", 7)
    assert found[0].tzinfo is UTC
