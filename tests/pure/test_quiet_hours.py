"""Quiet hours: when a customer is not disturbed, in any zone and on any night."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from domain.policy import Policy, PolicyError, QuietHours, read_policy
from tests.pure.builders import STANDARD, TOML

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")


def quiet(from_: str, until: str) -> QuietHours:
    return QuietHours.model_validate({"from": from_, "until": until})


def local(text: str, zone: ZoneInfo, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("hours", "now", "end"),
    [
        ("21:00-08:00", "2024-05-20T20:59:59", None),
        ("21:00-08:00", "2024-05-20T21:00", "2024-05-21T08:00"),
        ("21:00-08:00", "2024-05-20T23:59", "2024-05-21T08:00"),
        ("21:00-08:00", "2024-05-21T00:00", "2024-05-21T08:00"),
        ("21:00-08:00", "2024-05-21T07:59:59", "2024-05-21T08:00"),
        ("21:00-08:00", "2024-05-21T08:00", None),
        ("21:00-08:00", "2024-12-31T22:00", "2025-01-01T08:00"),
        ("12:00-14:00", "2024-05-20T11:59", None),
        ("12:00-14:00", "2024-05-20T13:00", "2024-05-20T14:00"),
        ("12:00-14:00", "2024-05-20T14:00", None),
        ("00:00-08:00", "2024-05-20T00:00", "2024-05-20T08:00"),
        ("22:00-00:00", "2024-05-20T22:30", "2024-05-21T00:00"),
        ("22:00-00:00", "2024-05-21T00:00", None),
    ],
)
def test_the_quiet_ends_in_the_morning(hours: str, now: str, end: str | None) -> None:
    ends = quiet(*hours.split("-")).end(local(now, SHANGHAI), SHANGHAI)
    assert ends == (end and local(end, SHANGHAI))


@pytest.mark.parametrize(
    ("hours", "now", "end"),
    [
        # The night of 31 March 2024 has no hour from two to three, that of 27 October has it twice.
        ("21:00-08:00", "2024-03-30T22:00+01:00", "2024-03-31T08:00+02:00"),
        ("21:00-08:00", "2024-03-31T01:59+01:00", "2024-03-31T08:00+02:00"),
        ("21:00-02:30", "2024-03-31T01:59+01:00", "2024-03-31T03:30+02:00"),
        ("21:00-02:30", "2024-03-31T03:00+02:00", None),
        ("21:00-08:00", "2024-10-26T22:00+02:00", "2024-10-27T08:00+01:00"),
        ("21:00-02:30", "2024-10-27T02:15+02:00", "2024-10-27T02:30+02:00"),
        ("21:00-02:30", "2024-10-27T02:45+02:00", None),
        ("21:00-02:30", "2024-10-27T02:15+01:00", "2024-10-27T02:30+01:00"),
    ],
)
def test_a_night_in_which_the_clock_changes(hours: str, now: str, end: str | None) -> None:
    ends = quiet(*hours.split("-")).end(datetime.fromisoformat(now).astimezone(UTC), BERLIN)
    assert ends == (datetime.fromisoformat(end) if end else None)


def test_a_policy_may_have_them_and_the_standard_has_none() -> None:
    assert STANDARD.quiet_hours is None
    asked_for = "\n".join(
        line.removeprefix("# ") if line.startswith(("# [quiet", "# from", "# until")) else line
        for line in TOML.splitlines()
    )
    policy = read_policy(asked_for)
    assert policy.quiet_hours == quiet("21:00", "08:00")
    assert policy.at_speed(60).quiet_hours == policy.quiet_hours  # nights are no promise
    assert Policy.model_validate_json(policy.model_dump_json()) == policy


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ('from = "21:00"\nuntil = "21:00"', "from and until must differ"),
        ('from = "25:00"\nuntil = "08:00"', "quiet_hours.from"),
        ('from = "21:00+08:00"\nuntil = "08:00"', "without a zone"),
        ('from = "21:00"', "quiet_hours.until"),
        ('from = "21:00"\nuntil = "08:00"\nzone = "UTC"', "quiet_hours.zone"),
    ],
)
def test_hours_that_make_no_sense_are_refused(written: str, fault: str) -> None:
    with pytest.raises(PolicyError, match=fault):
        read_policy(f"{TOML}\n[quiet_hours]\n{written}\n")
