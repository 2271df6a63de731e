"""What was told about a request, what became of it, and sending it again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from api.notifications import ShownNotification, ShownNotificationList
from domain.vocabulary import Role, SendingState
from records.cursors import after
from records.engine import writing
from records.tables import Notification, NotificationAttempt
from tests.api.caller import Caller

pytestmark = pytest.mark.server

NOW = datetime(2026, 5, 20, 1, 0, tzinfo=UTC)


@pytest.fixture
def supervisor(caller: Caller) -> Caller:
    return caller.acting_as(Role.supervisor)


@pytest.fixture
async def failed(caller: Caller, records: Engine) -> str:
    """The confirmation of a new request, failed for good."""
    number = await caller.takes_in()
    with writing(records) as session:
        (row,) = session.exec(select(Notification).where(Notification.number == number))
        row.state = row.outcome = "failed"
        row.attempts, row.provider, row.last_error, row.failed_at = 8, "gate", "http_503", NOW
        row.refused_by = ["mail"]
        session.add(
            NotificationAttempt(
                notification=row.id,
                at=NOW,
                provider="gate",
                outcome="failed",
                error="http_503",
                took_ms=12,
            )
        )
        return row.id


async def test_everyone_who_watches_sees_what_became_of_a_message(
    supervisor: Caller, failed: str
) -> None:
    number = failed.partition(":")[0]
    answer = await supervisor.get(f"/v1/requests/{number}/notifications")
    assert answer.status_code == 200
    (shown,) = answer.json()["items"]
    ShownNotification.model_validate(shown)
    assert shown == {
        "id": failed,
        "number": number,
        "to_role": "customer",
        "to_id": None,
        "channel": "sms",
        "message": "request_received",
        "rule": None,
        "level": None,
        "state": "failed",
        "outcome": "failed",
        "attempts": 8,
        "provider": "gate",
        "provider_id": None,
        "last_error": "http_503",
        "created_at": shown["created_at"],
        "next_try_at": None,
        "sent_at": None,
        "failed_at": "2026-05-20T01:00:00Z",
        "digest": None,
        "tries": [
            {
                "at": "2026-05-20T01:00:00Z",
                "provider": "gate",
                "outcome": "failed",
                "error": "http_503",
                "took_ms": 12,
            }
        ],
    }
    assert "13812345678" not in answer.text


async def test_what_failed_is_sent_again_once(
    supervisor: Caller, records: Engine, failed: str
) -> None:
    answer = await supervisor.post(f"/v1/notifications/{failed}/resend")
    assert answer.status_code == 202, answer.text
    shown = answer.json()
    assert (shown["id"], shown["state"], shown["outcome"]) == (failed, "queued", None)
    assert (shown["attempts"], len(shown["tries"])) == (0, 1)
    with writing(records) as session:
        row = session.get(Notification, failed)
        assert row
        assert (row.not_before, row.refused_by) == (None, None)
    again = await supervisor.post(f"/v1/notifications/{failed}/resend")
    assert (again.status_code, again.json()["code"]) == (409, "notification_not_failed")


@pytest.mark.parametrize("id_", ["CR20200101-001:1", "nonsense", "%00"])
async def test_a_message_that_is_not_there_is_not_found(supervisor: Caller, id_: str) -> None:
    answer = await supervisor.post(f"/v1/notifications/{id_}/resend")
    assert (answer.status_code, answer.json()["code"]) == (404, "notification_not_found")


async def test_a_request_that_is_not_there_is_not_found(supervisor: Caller) -> None:
    answer = await supervisor.get("/v1/requests/CR20200101-001/notifications")
    assert (answer.status_code, answer.json()["code"]) == (404, "request_not_found")


async def test_the_list_filters_and_pages_the_latest_first(
    supervisor: Caller, caller: Caller, records: Engine
) -> None:
    number = await caller.takes_in()
    with writing(records) as session:
        for place in range(5):
            session.add(
                Notification(
                    id=f"{number}:{900 + place}",
                    number=number,
                    to_role="manager",
                    to_id=None,
                    channel="enterprise_chat",
                    message="breached",
                    rule=None,
                    level=2,
                    facts={},
                    state="failed",
                    # Two of the same moment: the id decides.
                    created_at=NOW + timedelta(seconds=place // 2),
                )
            )
    wanted: dict[str, Any] = {"state": "failed", "channel": "enterprise_chat", "role": "manager"}
    found: list[str] = []
    cursor: dict[str, Any] = {"limit": 2}
    while True:
        answer = await supervisor.get("/v1/notifications", **wanted, **cursor)
        page = ShownNotificationList.model_validate(answer.json())
        assert len(page.items) <= 2
        found += [item.id for item in page.items]
        if page.next is None:
            break
        cursor["cursor"] = page.next
    assert found == [f"{number}:{900 + place}" for place in (4, 3, 2, 1, 0)]
    none = await supervisor.get("/v1/notifications", **(wanted | {"state": "dropped"}))
    assert none.json() == {"items": [], "next": None}
    with writing(records) as session:
        session.get_one(Notification, f"{number}:900").state = SendingState.restored.value
    restored = await supervisor.get("/v1/notifications", **(wanted | {"state": "restored"}))
    (back,) = ShownNotificationList.model_validate(restored.json()).items
    assert (back.id, back.state) == (f"{number}:900", SendingState.restored)
    blank = await supervisor.get("/v1/notifications", **(wanted | {"state": "", "cursor": ""}))
    assert len(blank.json()["items"]) == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", "lost"),
        ("channel", "pigeon"),
        ("role", "nobody"),
        ("limit", "0"),
        ("cursor", "W10"),
        ("cursor", "a\x00b"),
        ("cursor", after(datetime(2026, 5, 20, tzinfo=UTC), "a\x00b")),
    ],
)
async def test_a_wrong_filter_is_named(supervisor: Caller, name: str, value: str) -> None:
    params: dict[str, Any] = {name: value}
    answer = await supervisor.get("/v1/notifications", **params)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [f"/{name}"]


@pytest.mark.parametrize(
    ("role", "watches", "resends"),
    [
        (Role.manager, 200, 404),
        (Role.supervisor, 200, 404),
        (Role.dispatcher, 200, 403),
        (Role.agent, 200, 403),
        (Role.auditor, 200, 403),
        (Role.engineer, 403, 403),
        (Role.customer, 403, 403),
        (Role.integration, 403, 403),
    ],
)
async def test_who_may_watch_and_who_may_send_again(
    caller: Caller, role: Role, watches: int, resends: int
) -> None:
    someone = caller.acting_as(role)
    assert (await someone.get("/v1/notifications")).status_code == watches
    answer = await someone.post("/v1/notifications/CR20200101-001:1/resend")
    assert answer.status_code == resends
    assert answer.json()["code"] in ("notification_not_found", "role_not_allowed", "scope_missing")


async def test_the_app_of_old_rows_counts_as_push(
    supervisor: Caller, records: Engine, failed: str
) -> None:
    with writing(records) as session:
        row = session.get(Notification, failed)
        assert row
        row.channel = "app"
    for spelling in ("app", "app_push"):
        answer = await supervisor.get("/v1/notifications", channel=spelling, limit=200)
        assert failed in [item["id"] for item in answer.json()["items"]]
