"""What a customer sees of their request: how far it is, what is asked of them, and no more."""

from collections.abc import Callable
from typing import get_args

import pytest

from api.tracking import NEXT, Tracked
from domain.customer_view import Coming, TrackedRequest, as_customer_sees
from domain.events import EVENTS
from domain.vocabulary import Role
from tests.pure.builders import Story, given


def _quoted() -> Story:
    return given(warranty={"in_force": False}).walked("diagnosed").did("quoted")


MOMENTS: dict[Coming, Callable[[], Story]] = {
    Coming.call: given,
    Coming.engineer: lambda: given().walked("offered"),
    Coming.appointment: lambda: given().walked("accepted"),
    Coming.visit: lambda: given().walked("appointed"),
    Coming.remote_session: lambda: given(service_type="remote").walked("appointed"),
    Coming.arrival: lambda: given().walked("appointed").did("departed"),
    Coming.work: lambda: given().walked("arrived"),
    Coming.your_answer_to_the_quote: _quoted,
    Coming.parts: lambda: given().walked("diagnosed").did("parts_awaited"),
    Coming.depot: lambda: given().walked("diagnosed").did("depot_received"),
    Coming.resumption: lambda: given().walked("accepted").did("held"),
    Coming.your_signature: lambda: given().walked("completed"),
    Coming.your_payment: lambda: _quoted().did("quote_approved").did("completed").did("signed"),
    Coming.survey: lambda: given().walked("signed"),
    Coming.remedy: lambda: given(type="complaint"),
    Coming.nothing: lambda: given().walked("surveyed"),
}


@pytest.mark.parametrize("coming", Coming)
def test_the_customer_is_told_what_comes_next(coming: Coming) -> None:
    shown = as_customer_sees(MOMENTS[coming]().request)
    TrackedRequest.model_validate(shown)
    assert shown["next"] == coming
    assert all(NEXT[coming])


@pytest.mark.parametrize("moment", MOMENTS.values())
def test_only_what_a_customer_may_do_is_offered(moment: Callable[[], Story]) -> None:
    request = moment().request
    allowed = as_customer_sees(request)["allowed_events"]
    assert set(allowed) == {e for e in request.allowed_events if Role.customer in EVENTS[e].by}


def test_a_late_engineer_is_shown_with_the_new_time() -> None:
    story = given().walked("appointed").did("departed").did("running_late")
    shown = as_customer_sees(story.request)
    assert shown["visit"]["departed_at"]
    assert shown["visit"]["eta"]
    assert shown["appointment"]["state"] == "standing"
    assert shown["engineer_found"]


def test_nobody_is_named() -> None:
    story = _quoted().did("quote_approved").did("completed", actor={"role": "engineer", "id": "E1"})
    shown = str(as_customer_sees(story.request))
    customer = story.request.brief.customer
    for secret in (customer.name, customer.phone, "E1", story.request.policy.name):
        assert secret not in shown


def test_the_model_promises_the_text_as_well() -> None:
    assert set(Tracked.model_fields) - set(TrackedRequest.model_fields) == {"next_text"}
    assert get_args(Tracked.model_fields["next_due"].annotation)
