"""Whose request it is, at every door that shows or moves one."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio

from domain.vocabulary import Role
from tests.api.caller import Caller, at, body, event

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("worker")]

PAGES = ["", "/timeline", "/clocks", "/obligations", "/forms", "/forms/SA-CR-001"]


class Work:
    """A request offered to one engineer, and who they and their colleague are."""

    def __init__(self, number: str, caller: Caller) -> None:
        self.number, self.caller = number, caller
        self.mine = caller.acting_as(Role.engineer, f"E-{uuid4().hex[:8]}")
        self.other = caller.acting_as(Role.engineer, f"E-{uuid4().hex[:8]}")

    async def offer_to(self, engineer: Caller) -> None:
        await self.caller.brings(
            self.number, event("assigned", engineer=engineer.id, reason="就近")
        )

    async def pages(self, caller: Caller) -> set[int]:
        """What this caller gets at every page of the request."""
        path = f"/v1/requests/{self.number}"
        return {(await caller.get(path + page)).status_code for page in PAGES}


@pytest_asyncio.fixture(loop_scope="session")
async def work(caller: Caller) -> AsyncIterator[Work]:
    work = Work(await caller.takes_in(), caller)
    await caller.brings(work.number, event("responded"))
    await work.offer_to(work.mine)
    yield work


async def listed(caller: Caller) -> list[str]:
    answer = await caller.get("/v1/requests")
    return [item["number"] for item in answer.json()["items"]]


async def test_an_engineer_sees_what_is_offered_and_nobody_elses(work: Work) -> None:
    assert await work.pages(work.mine) == {200}
    assert await work.pages(work.other) == {403}
    assert await listed(work.mine) == [work.number]
    assert await listed(work.other) == []
    refused = await work.other.get(f"/v1/requests/{work.number}", {"Accept-Language": "zh-CN"})
    assert refused.json()["code"] == "not_yours"
    assert "不在您名下" in refused.json()["detail"]


async def test_a_colleague_moves_nothing_by_any_door(work: Work) -> None:
    noted, accepted = (
        event("noted", text="x"),
        event("accepted", engineer=work.other.id),
    )
    for answer in (
        await work.other.reports(work.number, noted | {"actor": None}),
        await work.other.reports(work.number, accepted),
        await work.other.reports(work.number, accepted, accepted | {"id": str(uuid4())}),
        await work.other.reports(work.number, accepted, Prefer="respond-async"),
        await work.mine.reports(work.number, event("accepted", engineer=work.other.id)),
        await work.mine.reports(work.number, event("declined", engineer=work.other.id, reason="x")),
    ):
        assert answer.status_code == 403, answer.text
        assert answer.json()["code"] == "not_yours"
    shown = await work.caller.get(f"/v1/requests/{work.number}")
    assert shown.json()["offers"][-1]["state"] == "open"


async def test_a_declined_offer_ends_it_but_a_repeat_is_harmless(work: Work) -> None:
    declined = event("declined", engineer=work.mine.id, reason="太远")
    assert (await work.mine.reports(work.number, declined)).status_code == 200
    assert (await work.mine.reports(work.number, declined)).status_code == 200
    assert await work.pages(work.mine) == {403}
    again = await work.mine.reports(work.number, event("noted", Role.engineer, text="x"))
    assert again.json()["code"] == "not_yours"


async def test_whoever_was_there_reads_on_but_reports_no_more(work: Work) -> None:
    window = {"window_start": at(hours=2), "window_end": at(hours=4)}
    for each in (
        event("accepted", engineer=work.mine.id),
        event("appointed", **window),
        event("departed"),
    ):
        assert (await work.mine.reports(work.number, each)).status_code == 200
    await work.offer_to(work.other)
    assert await work.pages(work.mine) == {200}
    assert await listed(work.mine) == []
    late = await work.mine.reports(work.number, event("arrived"))
    assert late.json()["code"] == "not_yours"
    await work.other.brings(work.number, event("accepted", engineer=work.other.id))


async def test_a_customer_has_what_they_took_in_themselves(caller: Caller) -> None:
    me, stranger = (caller.acting_as(Role.customer, name) for name in ("客户/1", "客户/2"))
    number = (await me.post("/v1/requests", body())).json()["number"]
    path = f"/v1/requests/{number}"
    for page in PAGES:
        seen = 403 if page == "/obligations" else 200
        assert (await me.get(path + page)).status_code == seen
        assert (await stranger.get(path + page)).status_code == 403
    held = event("held", Role.customer, reason="出差")
    assert (await stranger.reports(number, held)).json()["code"] == "not_yours"
    assert (await me.reports(number, held)).status_code == 200
    by_number = caller.acting_as(Role.customer, number)
    assert (await by_number.get(path)).status_code == 200
    others = await caller.takes_in()
    assert (await me.get(f"/v1/requests/{others}")).json()["code"] == "not_yours"
    assert (await me.get("/v1/requests")).json()["code"] == "not_yours"
    assert (await me.get("/v1/requests/CR20200101-001")).status_code == 404


async def test_a_customer_reads_what_happened_to_them_and_not_what_was_said_about_them(
    caller: Caller,
) -> None:
    number = await caller.takes_in()
    await caller.brings(number, event("responded", note="客户难缠"))
    await caller.brings(number, event("noted", "agent", text="邻居电话13912345678"))
    me = caller.acting_as(Role.customer, number)
    await me.brings(number, event("held", Role.customer, reason="出差"))
    path = f"/v1/requests/{number}"
    lines = (await me.get(f"{path}/timeline")).json()["items"]
    assert [(line["name"], line["data"]) for line in lines] == [
        ("responded", {}),
        ("held", {"reason": "出差"}),
    ]
    assert {line["actor_id"] for line in lines} == {None}
    owed = await me.get(f"{path}/obligations")
    assert (owed.status_code, owed.json()["code"]) == (403, "not_yours")
