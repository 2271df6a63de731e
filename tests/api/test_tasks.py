"""The task inbox over HTTP: listed, claimed once, released, passed on, closed by the event."""

import asyncio

import pytest
import pytest_asyncio

from domain.vocabulary import Role
from tests.api.caller import Caller, Json, event

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("worker")]


@pytest_asyncio.fixture(loop_scope="session")
async def number(caller: Caller) -> str:
    """A new request, and its first tasks written down."""
    number = await caller.takes_in()
    await caller.brings(number, event("noted", text="请尽快"))
    return number


async def post(caller: Caller, task: str, verb: str, json: Json | None = None) -> tuple[int, Json]:
    answer = await caller.post(f"/v1/tasks/{task}/{verb}", json)
    return answer.status_code, answer.json()


async def test_of_two_who_claim_at_once_one_wins_and_the_other_hears_who(
    caller: Caller, number: str
) -> None:
    agents = [caller.acting_as(Role.agent, f"A-{n}") for n in range(4)]
    task = f"{number}.respond.1"
    answers = await asyncio.gather(*(post(agent, task, "claim") for agent in agents))
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409]
    won = next(answer for status, answer in answers if status == 200)
    winner = won["assignee"]["id"]
    for status, answer in answers:
        if status == 409:
            assert (answer["code"], answer["assignee"]) == ("task_taken", winner)
            assert winner in answer["detail"]
    again = caller.acting_as(Role.agent, winner)
    assert await post(again, task, "claim") == (200, won)


async def test_a_task_is_listed_claimed_released_and_closed_by_its_event(
    caller: Caller, number: str
) -> None:
    agent, task = caller.acting_as(Role.agent, f"A-{number}"), f"{number}.respond.1"
    listed = (await agent.get("/v1/tasks", kind="respond", limit=200)).json()["items"]
    assert task in [each["id"] for each in listed]
    assert {each["role"] for each in listed} == {"agent"}
    supervisor = caller.acting_as(Role.supervisor)
    theirs = (await supervisor.get("/v1/tasks", kind="respond", limit=200)).json()["items"]
    assert task in [each["id"] for each in theirs]
    status, claimed = await post(agent, task, "claim", {})
    assert (status, claimed["assignee"]["id"]) == (200, f"A-{number}")
    assert claimed["closes_with"] == ["responded", "answered"]
    mine = (await agent.get("/v1/tasks", assignee="me")).json()["items"]
    assert [each["id"] for each in mine] == [task]
    for _ in range(2):
        status, released = await post(agent, task, "release")
        assert (status, released["assignee"]) == (200, None)

    responded = event("responded")
    await caller.brings(number, responded)
    closed = (await agent.get(f"/v1/tasks/{task}")).json()
    assert (closed["state"], closed["closed_by"]) == ("closed", responded["id"])
    for verb in ("claim", "release"):
        status, problem = await post(agent, task, verb)
        assert (status, problem["code"]) == (410, "task_closed")
        assert (problem["closed_by"], problem["closed_with"]) == (responded["id"], "responded")
    lines = (await agent.get(f"/v1/requests/{number}/timeline")).json()["items"]
    assert [line["name"] for line in lines if line["name"].startswith("task_")] == [
        "task_claimed",
        "task_released",
    ]


async def test_a_supervisor_gives_a_task_to_somebody_and_takes_it_away(
    caller: Caller, number: str
) -> None:
    supervisor, task = caller.acting_as(Role.supervisor, "S-1"), f"{number}.tell_plan.1"
    status, given = await post(supervisor, task, "claim", {"assignee": "A-7"})
    assert (status, given["assignee"]) == (200, {"role": "agent", "id": "A-7"})
    other = caller.acting_as(Role.agent, "A-8")
    status, problem = await post(other, task, "release")
    assert (status, problem["code"], problem["reason_code"]) == (
        403,
        "task_not_yours",
        "task_not_yours",
    )
    status, problem = await post(other, task, "reassign", {"to": "A-8", "reason": "x"})
    assert (status, problem["code"]) == (403, "role_not_allowed")
    status, passed = await post(supervisor, task, "reassign", {"to": "A-8", "reason": "下班"})
    assert (status, passed["assignee"]["id"]) == (200, "A-8")
    assert (await post(other, task, "release"))[0] == 200
    status, problem = await post(other, task, "claim", {"assignee": "A-9"})
    assert (status, problem["reason_code"]) == (403, "task_for_others")
    # An integration acts for people and has no tasks of its own.
    assert (await post(caller, task, "claim"))[1]["reason_code"] == "task_person_missing"
    assert (await post(caller, task, "claim", {"assignee": "A-9"}))[0] == 200


async def test_an_engineer_sees_their_own_tasks_and_a_customer_none(
    caller: Caller, number: str
) -> None:
    engineer = f"E-{number}"
    assigned = event("assigned", engineer=engineer, reason="熟悉该机型")
    await caller.brings(number, event("responded"), assigned)
    theirs, task = caller.acting_as(Role.engineer, engineer), f"{number}.accept.1"
    assert (await theirs.get(f"/v1/tasks/{task}")).json()["assignee"]["id"] == engineer
    listed = (await theirs.get("/v1/tasks", limit=200)).json()["items"]
    assert task in [each["id"] for each in listed]
    assert {each["assignee"]["id"] for each in listed} == {engineer}
    other = caller.acting_as(Role.engineer, "nobody")
    assert (await other.get("/v1/tasks", assignee=engineer)).json()["items"] == []
    for answer in (
        await other.get(f"/v1/tasks/{task}"),
        await other.post(f"/v1/tasks/{task}/claim"),
        await theirs.get(f"/v1/tasks/{number}.tell_plan.1"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "task_not_found")
    customer = caller.acting_as(Role.customer, "C-1")
    for answer in (
        await customer.get("/v1/tasks"),
        await customer.get(f"/v1/tasks/{task}"),
        await customer.post(f"/v1/tasks/{task}/claim"),
        await caller.acting_as(Role.analyst).post(f"/v1/tasks/{task}/claim"),
    ):
        assert answer.status_code == 403
    assert (await caller.acting_as(Role.analyst).get(f"/v1/tasks/{task}")).status_code == 200


@pytest.mark.parametrize(
    "unknown", ["CR20200101-001.respond.1", "nonsense", "CR20200101-001.accept.1%00", "任务"]
)
async def test_an_unknown_task_is_not_found(caller: Caller, unknown: str) -> None:
    for answer in (
        await caller.get(f"/v1/tasks/{unknown}"),
        await caller.post(f"/v1/tasks/{unknown}/claim"),
        await caller.post(f"/v1/tasks/{unknown}/release"),
        await caller.post(f"/v1/tasks/{unknown}/reassign", {"to": "A-1", "reason": "x"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "task_not_found")


@pytest.mark.parametrize(
    ("verb", "body", "field"),
    [
        ("claim", {"assignee": ""}, "/assignee"),
        ("claim", {"assignee": "x" * 65}, "/assignee"),
        ("claim", {"who": "A-1"}, "/who"),
        ("claim", [], ""),
        ("reassign", {"to": "A-1"}, "/reason"),
        ("reassign", {}, "/to"),
    ],
)
async def test_a_malformed_body_names_its_field(
    caller: Caller, verb: str, body: Json, field: str
) -> None:
    answer = await caller.post(f"/v1/tasks/CR20200101-001.respond.1/{verb}", body)
    assert answer.status_code == 422, answer.text
    assert field in [error["field"] for error in answer.json()["errors"]]


async def test_a_list_is_paged_and_its_filters_are_checked(caller: Caller, number: str) -> None:
    page = (await caller.get("/v1/tasks", role="agent", limit=1)).json()
    assert len(page["items"]) == 1
    following = (await caller.get("/v1/tasks", role="agent", cursor=page["next"])).json()
    assert page["items"][0]["id"] not in [each["id"] for each in following["items"]]
    for wrong in ({"cursor": "x"}, {"state": "done"}, {"kind": "x"}, {"limit": 0}, {"role": "x"}):
        assert (await caller.get("/v1/tasks", **wrong)).status_code == 422, wrong
