"""What is promised, said a second time: the timing rules as timed response constraints.

A constraint says which moment calls for which answer and by whom, as the service standard does in
its section 2; goals, ladders and working days are read from the policy as it stands in JSON. None
of it is shared with the clocks: whoever changes those changes nothing here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

ZERO = timedelta(0)
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Constraint:
    """`response(calls, answers, ≤ goal)`: when one of `calls` happens, one of `answers` follows.

    Attributes:
        zh: the source's term; source: where the rule stands.
        owed_by: the role that must act.
        about: what it is made for, each by itself: `offer` or `complaint`; empty: the request.
    """

    rule: str
    zh: str
    source: str
    calls: tuple[str, ...]
    answers: tuple[str, ...]
    owed_by: str
    about: str

    def stated(self, goal: str) -> str:
        """As a formula, with the time that is allowed."""
        return f"response({'|'.join(self.calls)}, {'|'.join(self.answers)}, ≤ {goal})"


_TABLE = """
first_response       | 响应需求       | S1 2.1 | received                  | responded answered | agent      |
solution_feedback    | 反馈方案       | S1 2.1 | received                  | plan_told          | agent      |
dispatch             | 触发派单       | S1 2.2 | work_order                | offered            | dispatcher |
accept               | 确认接收       | S1 2.2 | offered                   | accepted declined  | engineer   | offer
appointment_call     | 预约           | S1 2.3 | accepted appointment_lost | appointed          | engineer   |
appointment          | 完成预约       | S1 1   | received                  | appointed          | engineer   |
arrival              | 上门准时       | S1 2.4 | window                    | arrived            | engineer   |
on_site              | 到达现场       | S2, S3 | received                  | arrived            | engineer   |
resolution           | 修复           | S2, S3 | received                  | completed          | engineer   |
depot_repair         | 送修           | S3     | depot_received            | shipped_back       | engineer   |
sign_off             | 确认签字       | S1 2.5 | completed                 | signed             | engineer   |
revisit              | 回访           | S1 2.6 | completed answered        | surveyed           | agent      |
complaint_escalation | 转交售后主管   | S1 2.6 | dissatisfied              | taken_over         | supervisor | complaint
complaint_contact    | 致歉并给出方案 | S1 2.6 | dissatisfied              | remedy             | supervisor | complaint
consultation         | 咨询响应       | S2, S4 | received                  | answered           | agent      |
"""  # noqa: E501


def _read(row: str) -> Constraint:
    rule, zh, source, calls, answers, owed_by, about = (cell.strip() for cell in row.split("|"))
    return Constraint(
        rule, zh, source, tuple(calls.split()), tuple(answers.split()), owed_by, about
    )


CONSTRAINTS = {each.rule: each for each in map(_read, _TABLE.strip().splitlines())}
"""The constraints of one request, by rule."""


class Hours:
    """Working time as windows of epoch seconds; none: around the clock."""

    def __init__(self, windows: Sequence[Sequence[int]] = ()) -> None:
        self._windows = [(float(opens), float(closes)) for opens, closes in windows]

    def after(self, start: datetime, amount: timedelta) -> datetime | None:
        """When so much working time has passed; None: beyond the days that are known."""
        if not self._windows:
            return start + amount
        left = amount.total_seconds()
        for opens, closes in self._windows:
            begins = max(opens, start.timestamp())
            if begins >= closes:
                continue
            if left <= closes - begins:
                return datetime.fromtimestamp(begins + left, UTC)
            left -= closes - begins
        return None

    def within(self, start: datetime, end: datetime) -> timedelta:
        """How much working time lies between two moments; none if they are the other way round."""
        if end <= start:
            return ZERO
        if not self._windows:
            return end - start
        first, last = start.timestamp(), end.timestamp()
        inside = (min(last, closes) - max(first, opens) for opens, closes in self._windows)
        return timedelta(seconds=sum(each for each in inside if each > 0))


@dataclass(frozen=True)
class Terms:
    """What the policy grants a rule under given circumstances."""

    goal: timedelta
    warn_at: float
    ladder: tuple[timedelta, ...]
    rests_on_hold: bool
    working_days: bool


class Rules:
    """A policy's rules as they stand in JSON, read anew.

    Args:
        policy: the policy in JSON types.
    """

    def __init__(self, policy: Json) -> None:
        self.policy = policy

    def terms(self, rule: str, now: Json) -> Terms | None:
        """What is granted under these circumstances; None: nothing is promised."""
        stated = self.policy["rules"][rule]
        if stated["request_types"] and now["request_type"] not in stated["request_types"]:
            return None
        fitting = [each for each in stated["when"] if _fits(each, now)]
        goal = next((each["goal"] for each in fitting if each["goal"]), stated["goal"])
        ladder = next(
            (each["ladder"] for each in fitting if each["ladder"] is not None), stated["ladder"]
        )
        if goal == "none":
            return None
        return Terms(
            goal=_span(goal),
            warn_at=stated["warn_at"],
            ladder=tuple(_span(level["after"]) for level in ladder),
            rests_on_hold=stated["pauses_on_hold"],
            working_days=stated["working_days"],
        )

    def dissatisfied(self, survey: Json) -> bool:
        """Whether a survey says so: a low score, or a negative word in the remark."""
        terms = self.policy["dissatisfaction"]
        if min(survey["scores"].values()) <= terms["score_at_most"]:
            return True
        remark = str(survey.get("remark") or "").lower()
        return any(word.lower() in remark for word in terms["negative_words"])


def _fits(override: Json, now: Json) -> bool:
    within, distance = override["within_km"], now["distance_km"]
    if within is not None and (distance is None or distance > within):
        return False
    wanted = ("urgency", "request_type", "tier", "product_class", "service_type")
    return all(override[each] in (None, now[each]) for each in wanted)


_SPAN: TypeAdapter[timedelta] = TypeAdapter(timedelta)


def _span(text: str) -> timedelta:
    return _SPAN.validate_python(text)
