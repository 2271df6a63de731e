"""Whose request it is: what an engineer and a customer may see and report on, as it moves."""

from collections.abc import Callable

import pytest

from domain.entitlement import BOUNDED, is_declined_again, may_report, may_see
from domain.vocabulary import Role
from tests.pure.builders import ENGINEER, Story, event, given

OTHER = "E-other"


def rights(story: Story, engineer: str) -> tuple[bool, bool]:
    """Whether the engineer may see it, and report on it."""
    request = story.request
    return (
        may_see(request, Role.engineer, engineer),
        may_report(request, Role.engineer, engineer),
    )


@pytest.mark.parametrize("last", ["offered", "accepted", "appointed", "arrived", "signed"])
def test_an_engineer_has_what_is_offered_to_them_or_theirs(last: str) -> None:
    story = given().walked(last)
    assert rights(story, ENGINEER) == (True, True)
    assert rights(story, OTHER) == (False, False)


def test_nobody_has_what_was_not_offered_yet() -> None:
    assert rights(given().walked("responded"), ENGINEER) == (False, False)


def test_an_offer_declined_or_left_unanswered_is_over() -> None:
    declined = given().walked("offered").did("declined", engineer=ENGINEER)
    assert rights(declined, ENGINEER) == (False, False)
    unanswered = given().walked("offered")
    unanswered.passes("20m")
    assert rights(unanswered, ENGINEER) == (False, False)


def test_only_ones_own_refusal_may_come_again() -> None:
    story = given().walked("responded").offered().did("declined")
    declined = story.sent[-1]
    assert is_declined_again(story.request, declined)
    somebody_elses = next(id for id in story.request.seen if id != str(declined.id))
    assert not is_declined_again(story.request, event("declined", engineer=ENGINEER))
    assert not is_declined_again(story.request, event("noted", id=str(declined.id)))
    assert not is_declined_again(
        story.request, event("declined", engineer=OTHER, id=somebody_elses)
    )


def test_work_given_to_another_before_the_visit_is_gone() -> None:
    story = given().walked("appointed").did("assigned", engineer=OTHER)
    assert rights(story, ENGINEER) == (False, False)
    assert rights(story, OTHER) == (True, True)


def test_whoever_was_there_may_still_read() -> None:
    story = given().walked("arrived").did("assigned", engineer=OTHER)
    assert rights(story, ENGINEER) == (True, False)
    assert rights(story, OTHER) == (True, True)


def test_the_engineer_of_a_closed_request_may_still_read() -> None:
    assert may_see(given().walked("surveyed").request, Role.engineer, ENGINEER)


@pytest.mark.parametrize("may", [may_see, may_report])
def test_a_customer_has_what_they_had_taken_in(may: Callable[..., bool]) -> None:
    request = given().request
    assert may(request, Role.customer, "张三", taken_by="customer/张三")
    assert may(request, Role.customer, request.number)
    for stranger in ("customer/张三丰", "agent/张三", "张三", None):
        assert not may(request, Role.customer, "张三", taken_by=stranger)


@pytest.mark.parametrize("may", [may_see, may_report])
def test_a_tracking_link_opens_one_request_and_no_other(may: Callable[..., bool]) -> None:
    request = given().request
    assert may(request, Role.customer, "x", link=request.number)
    other = "CR20200101-001"
    assert not may(request, Role.customer, request.number, link=other, taken_by="customer/x")
    assert not may(request, Role.customer, "x", link=other, taken_by="customer/x")


@pytest.mark.parametrize("role", [role for role in Role if role not in BOUNDED])
def test_every_other_role_is_bounded_by_its_scopes_alone(role: Role) -> None:
    request = given().request
    assert may_see(request, role, "anyone")
    assert may_report(request, role, "anyone")
