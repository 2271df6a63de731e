"""Role by event by stage: whatever the tables do not allow is refused, and the role is asked first.

The cells come from the domain's own tables, so a new event or role is in here from its first day.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache

import pytest

from api.access import as_reported_by
from api.problems import Problem
from domain.admission import ADMISSIONS
from domain.events import EVENTS
from domain.refusals import Refused
from domain.request import ServiceRequest
from domain.vocabulary import Role, Stage
from runtime.tokens import SCOPES, Principal, Scope
from tests.pure.builders import ENGINEER, Story, event, given

IN_STAGE: dict[Stage, Callable[[], Story]] = {
    Stage.response: given,
    Stage.dispatch: lambda: given().walked("offered"),
    Stage.appointment: lambda: given().walked("accepted"),
    Stage.service: lambda: given().walked("arrived"),
    Stage.sign_off: lambda: given().walked("completed"),
    Stage.revisit: lambda: given().walked("signed"),
    Stage.complaint: lambda: given(type="complaint"),
    Stage.closed: lambda: given().walked("surveyed"),
}


@cache
def in_stage(stage: Stage) -> tuple[ServiceRequest, datetime]:
    story = IN_STAGE[stage]()
    assert story.request.stage is stage
    return story.request, story.now


def verdict(role: Role, name: str, stage: Stage) -> str:
    """What the domain says to this event by this role in this stage; empty: it is taken."""
    request, now = in_stage(stage)
    try:
        request.check(event(name, actor={"role": role.value, "id": "x"}), now)
    except Refused as refused:
        return refused.code
    return ""


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("role", Role)
def test_every_cell_that_the_tables_do_not_allow_is_refused(role: Role, stage: Stage) -> None:
    said = {name: verdict(role, name, stage) for name in EVENTS}
    for name, code in said.items():
        if role not in EVENTS[name].by:
            assert code == "role_not_allowed", name
        elif stage is Stage.closed:
            assert code == "request_closed", name
        elif stage not in ADMISSIONS[name].stages:
            assert code == "wrong_stage", name
        else:
            assert code not in ("role_not_allowed", "request_closed", "wrong_stage"), name


def test_the_requests_above_do_take_events() -> None:
    """A request that took nothing would make every cell above pass."""
    taken = {
        name
        for name in EVENTS
        for stage in ADMISSIONS[name].stages
        if verdict(next(iter(EVENTS[name].by)), name, stage) == ""
    }
    assert len(taken) > len(EVENTS) / 2


@pytest.mark.parametrize("role", Role)
def test_the_door_lets_through_exactly_what_a_role_may_report(role: Role) -> None:
    caller = Principal(role=role, id=ENGINEER)
    for name, model in EVENTS.items():
        own = event(name, actor=None)
        try:
            passed = as_reported_by(caller, own, datetime.now(UTC))
        except Problem as problem:
            assert role not in model.by, name
            assert (problem.status, problem.code) == (403, "role_not_allowed")  # noqa: PT017
        else:
            assert role in model.by, name
            assert passed.actor is not None
            assert (passed.actor.role, passed.actor.id) == (role, ENGINEER)


@pytest.mark.parametrize("actor", Role)
@pytest.mark.parametrize("role", [role for role in Role if role is not Role.integration])
def test_nobody_but_an_integration_speaks_for_another_role(role: Role, actor: Role) -> None:
    if role is actor:
        return
    given_actor = event("noted", actor={"role": actor.value, "id": "x"})
    with pytest.raises(Problem) as refused:
        as_reported_by(Principal(role=role, id="x"), given_actor, datetime.now(UTC))
    assert refused.value.code == "actor_mismatch"


@pytest.mark.parametrize("role", Role)
def test_whoever_may_report_something_has_the_scope_for_it(role: Role) -> None:
    # An auditor writes nothing, not even the note that is for anyone.
    reports = any(role in model.by for model in EVENTS.values()) and role is not Role.auditor
    assert (Scope.report in SCOPES[role]) is reports
