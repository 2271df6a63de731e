"""Role by event over HTTP: 403 for what a role may never do, 409 for what is not possible now."""

import asyncio
from datetime import UTC, datetime

import pytest

from domain.admission import ADMISSIONS
from domain.events import EVENTS
from domain.vocabulary import Role, Stage
from runtime.tokens import SCOPES, Scope, token_key
from runtime.tracking import tracking_link
from tests.api.caller import Caller, Json, event
from tests.pure.builders import event as valid_event

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("worker")]

ENGINEER = "E-matrix"


def reported(name: str) -> Json:
    """A valid event that does not say who did it."""
    about = {"engineer": ENGINEER} if name in ("accepted", "declined", "assigned") else {}
    valid: Json = valid_event(name, **about).model_dump(mode="json", by_alias=True)
    return {**valid, "actor": None}


def everyone(caller: Caller, number: str) -> dict[Role, Caller]:
    """Someone of every role who may see the request."""
    people = {role: caller.acting_as(role) for role in Role}
    people[Role.engineer] = caller.acting_as(Role.engineer, ENGINEER)
    link = tracking_link(caller.settings, token_key(caller.settings), number, datetime.now(UTC))
    people[Role.customer].headers = {"Authorization": f"Bearer {link.token}"}
    return people


@pytest.mark.parametrize("stage", [Stage.dispatch, Stage.closed])
async def test_the_role_is_asked_before_the_stage(caller: Caller, stage: Stage) -> None:
    """In `dispatch` an offer is open; a `closed` request was taken off the engineer's hands."""
    number = await caller.takes_in()
    assigned = event("assigned", engineer=ENGINEER, reason="就近")
    await caller.brings(number, event("responded"), assigned)
    if stage is Stage.closed:
        await caller.brings(number, event("cancelled", reason="买了新的"))

    async def status(person: Caller, name: str) -> tuple[int, str]:
        answer = await person.reports(number, reported(name))
        return answer.status_code, answer.json().get("code", "")

    for role, person in everyone(caller, number).items():
        impossible = [
            name
            for name in EVENTS
            if role not in EVENTS[name].by or stage not in ADMISSIONS[name].stages
        ]
        answers = await asyncio.gather(*(status(person, name) for name in impossible))
        for name, answer in zip(impossible, answers, strict=True):
            if Scope.report not in SCOPES[role]:
                expected = (403, "scope_missing")
            elif role not in EVENTS[name].by:
                expected = (403, "role_not_allowed")
            elif role is Role.engineer and stage is Stage.closed:
                expected = (403, "not_yours")
            elif stage is Stage.closed:
                expected = (410, "request_closed")
            else:
                expected = (409, "event_not_allowed")
            assert answer == expected, (role, name)
    shown = (await caller.get(f"/v1/requests/{number}")).json()
    assert shown["stage"] == stage
