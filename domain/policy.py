"""The timing policy of an organisation: durations, warnings and ladders, as data.

A policy is read from TOML, identified by a hash of its content, and frozen into every request
that starts under it. `policies/standard.toml` is the service standard's own.
"""

import hashlib
import json
import re
import tomllib
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, field_validator, model_validator

from .rules import PROMISES, Rule
from .values import LONGEST, Duration, Line, Name, Value
from .vocabulary import MessageChannel, RequestType, Role, ServiceType, Urgency

Positive = Annotated[Duration, Field(gt=timedelta(0), le=LONGEST)]
NotNegative = Annotated[Duration, Field(ge=timedelta(0), le=LONGEST)]


_WORKING_DAYS = re.compile(r"[0-9]{1,4}wd")


class PolicyError(ValueError):
    """A policy that cannot be used; the message says where and why."""


class Level(Value):
    """One step of the escalation ladder: who is told, how long after the breach, and how.

    Attributes:
        channels: each of them is used; empty: the role's usual one.
    """

    tell: Role
    after: NotNegative = timedelta(0)
    channels: tuple[MessageChannel, ...] = ()

    @field_validator("channels")
    @classmethod
    def _each_once(cls, channels: tuple[MessageChannel, ...]) -> tuple[MessageChannel, ...]:
        if len(set(channels)) < len(channels):
            raise ValueError("a channel is named twice")
        return channels


class Circumstances(NamedTuple):
    """What a rule's duration may depend on."""

    urgency: Urgency
    request_type: RequestType
    tier: str
    product_class: str
    service_type: ServiceType
    distance_km: float | None = None


class Override(Value):
    """A goal or ladder for particular circumstances; every condition given must hold."""

    urgency: Urgency | None = None
    request_type: RequestType | None = None
    tier: str | None = None
    product_class: str | None = None
    service_type: ServiceType | None = None
    within_km: float | None = None
    goal: Positive | Literal["none"] | None = None
    ladder: tuple[Level, ...] | None = None

    def fits(self, now: Circumstances) -> bool:
        """Whether every condition of this override holds."""
        if self.within_km is not None and (
            now.distance_km is None or now.distance_km > self.within_km
        ):
            return False
        wanted = ("urgency", "request_type", "tier", "product_class", "service_type")
        return all(getattr(self, w) in (None, getattr(now, w)) for w in wanted)


class Terms(NamedTuple):
    """A rule's terms for one request: the goal, when to warn, and who is told on breach."""

    goal: timedelta
    warn_at: float
    ladder: tuple[Level, ...]
    working_days: bool
    pauses_on_hold: bool


class RulePolicy(Value):
    """One timing rule's data.

    Attributes:
        goal: how long the promise allows; `none` promises nothing unless an override does.
        warn_at: the fraction of the goal at which the one who owes it is warned.
        working_days: time counts only on working days (weekends, holidays and 调休 honoured).
        pauses_on_hold: the clock rests while the request is on hold.
        request_types: the types it holds for; empty: all.
        ladder: who is told on breach, and later while nothing happens.
        when: overrides; the first that fits wins, separately for goal and ladder.
    """

    goal: Positive | Literal["none"]
    warn_at: Annotated[float, Field(gt=0, lt=1)] = 0.8
    working_days: bool = False
    pauses_on_hold: bool = True
    request_types: tuple[RequestType, ...] = ()
    ladder: tuple[Level, ...] = ()
    when: tuple[Override, ...] = ()

    @model_validator(mode="after")
    def _ladders_rise(self) -> Self:
        for ladder in (self.ladder, *(o.ladder for o in self.when if o.ladder is not None)):
            delays = [level.after for level in ladder]
            if delays != sorted(delays):
                raise ValueError("a ladder's levels must be in the order of their delays")
        return self

    def terms(self, now: Circumstances) -> Terms | None:
        """The terms under these circumstances; None when nothing is promised."""
        if self.request_types and now.request_type not in self.request_types:
            return None
        fitting = [override for override in self.when if override.fits(now)]
        goal = next((o.goal for o in fitting if o.goal is not None), self.goal)
        ladder = next((o.ladder for o in fitting if o.ladder is not None), self.ladder)
        if not isinstance(goal, timedelta):
            return None
        return Terms(
            goal=goal,
            warn_at=self.warn_at,
            ladder=ladder,
            working_days=self.working_days,
            pauses_on_hold=self.pauses_on_hold,
        )


class YearDays(Value):
    """A year's public holidays and make-up working days (调休), set by the organisation itself."""

    holidays: tuple[date, ...]
    workdays: tuple[date, ...] = ()


class WorkingTime(Value):
    """When working-day rules count: whole days, or only hours (lunch breaks, split shifts).

    Attributes:
        hours: `09:00-12:00` and so on, in order; empty: the whole working day.
        years: days that the organisation sets itself; other years come from the national calendar.
        horizon: how far ahead a request's calendar is resolved when it starts.
    """

    hours: tuple[tuple[time, time], ...] = ()
    years: dict[int, YearDays] = {}
    horizon: Positive = timedelta(days=120)

    @model_validator(mode="before")
    @classmethod
    def _read_hours(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("hours"), list | tuple):
            hours = [h.split("-") if isinstance(h, str) else h for h in data["hours"]]
            data = {**data, "hours": hours}
        return data

    @model_validator(mode="after")
    def _hours_in_order(self) -> Self:
        edges = [edge for pair in self.hours for edge in pair]
        if edges != sorted(set(edges)):
            raise ValueError("hours must be in order and not overlap")
        return self

    @property
    def day_seconds(self) -> int:
        """How long one working day (`1wd`) is."""
        if not self.hours:
            return 86400

        def seconds(t: time) -> int:
            return t.hour * 3600 + t.minute * 60 + t.second

        return sum(seconds(end) - seconds(start) for start, end in self.hours)


class Matching(Value):
    """How engineers are chosen (S1 2.2): qualified, then near, then with room for more."""

    near_km: Annotated[float, Field(gt=0)] = 5
    far_km: Annotated[float, Field(gt=0)] = 50
    most_unfinished: Annotated[int, Field(ge=1)] = 3


class Limits(Value):
    """What one request may grow to before only its progress is still recorded.

    Frozen with the request like everything else here: another limit would replay differently.

    Attributes:
        events: applied events.
        text: characters that they brought; the whole state must stay below Temporal's 2 MB.
        waiting: events waiting for their turn.
    """

    events: Annotated[int, Field(ge=50, le=2000)] = 1000
    text: Annotated[int, Field(ge=10_000, le=400_000)] = 300_000
    waiting: Annotated[int, Field(ge=10, le=100)] = 50


class Dissatisfaction(Value):
    """What makes a survey a complaint (S1 2.6: 评分≤3分或负面意见)."""

    score_at_most: Annotated[int, Field(ge=0, le=5)] = 3
    negative_words: tuple[Line, ...] = ()


class Retention(Value):
    """How long records are kept.

    Attributes:
        records: so long after its closing a request is erased, in the records and in the archive;
            three years, however many leap days are in them.
    """

    records: Positive = timedelta(days=1096)


class QuietHours(Value):
    """When customers are not disturbed with what can wait; the hours may go over midnight."""

    from_: time = Field(alias="from")
    until: time

    @model_validator(mode="after")
    def _plain_and_not_all_day(self) -> Self:
        if self.from_.tzinfo or self.until.tzinfo:
            raise ValueError("write the hours without a zone, such as 21:00: the policy has one")
        if self.from_ == self.until:
            raise ValueError("from and until must differ: all day long is not quiet, but silent")
        return self

    def end(self, now: datetime, zone: ZoneInfo) -> datetime | None:
        """When the quiet that reigns at `now` ends; None: there is none."""
        local = now.astimezone(zone)
        clock = local.time()
        over_midnight = self.from_ > self.until
        evening, morning = clock >= self.from_, clock < self.until
        if not (evening or morning if over_midnight else evening and morning):
            return None
        day = local.date() + timedelta(days=over_midnight and evening)
        # The same side of a clock change: the hour that comes twice must not end before it began.
        fold = local.fold if day == local.date() else 0
        end = datetime.combine(day, self.until, zone).replace(fold=fold).astimezone(UTC)
        return end if end > now else None


class Policy(Value):
    """Everything an organisation may set.

    Attributes:
        timezone: of local days and working hours.
        early_event_wait: how long an event that came by signal before its turn waits.
        clock_skew: how far ahead of ours another machine's clock may be.
        reminder_before: how long before the window opens the customer is reminded.
        outside_provider_tiers: the customers whose overdue repair may go to an outside provider at
            our cost (S3).
        late_notice: how early an engineer must say that they are running late.
        quiet_hours: None: customers are told everything at any hour.
    """

    name: Name
    timezone: Name = "Asia/Shanghai"
    early_event_wait: Positive = timedelta(minutes=15)
    clock_skew: NotNegative = timedelta(minutes=2)
    reminder_before: Positive = timedelta(hours=1)
    late_notice: NotNegative = timedelta(minutes=30)
    outside_provider_tiers: tuple[Name, ...] = ()
    working_time: WorkingTime = WorkingTime()
    matching: Matching = Matching()
    dissatisfaction: Dissatisfaction = Dissatisfaction()
    limits: Limits = Limits()
    quiet_hours: QuietHours | None = None
    retention: Retention = Retention()
    rules: dict[Rule, RulePolicy]

    @model_validator(mode="before")
    @classmethod
    def _measure_working_days(cls, data: Any) -> Any:
        """Goals such as `5wd` in the organisation's own working-day length."""
        if not isinstance(data, dict) or not isinstance(data.get("rules"), dict):
            return data
        try:
            day = WorkingTime.model_validate(data.get("working_time", {})).day_seconds
        except ValidationError:
            return data  # The field's own validation says what is wrong with it.

        def measured(value: Any) -> Any:
            if isinstance(value, dict):
                return {k: measured(v) for k, v in value.items()}
            if isinstance(value, list):
                return [measured(v) for v in value]
            if isinstance(value, str) and _WORKING_DAYS.fullmatch(value):
                return f"{int(value[:-2]) * day}s"
            return value

        return {**data, "rules": measured(data["rules"])}

    @model_validator(mode="after")
    def _knows_every_rule(self) -> Self:
        missing = [rule.value for rule in PROMISES if rule not in self.rules]
        if missing:
            raise ValueError(
                f"rules are missing: {', '.join(missing)}; goal = 'none' switches one off"
            )
        return self

    @cached_property
    def version(self) -> str:
        """A hash of the content: two policies with the same version are the same.

        Only what differs from the defaults counts, so that a setting which our code learns later
        gives no policy a new version. For the same reason a default, once released, stays.
        """
        content = self.model_dump(mode="json", exclude_defaults=True)
        canonical = json.dumps(content, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def terms(self, rule: Rule, now: Circumstances) -> Terms | None:
        """The terms of `rule` under these circumstances; None when nothing is promised."""
        return self.rules[rule].terms(now)

    def at_speed(self, factor: float) -> "Policy":
        """This policy with every duration divided by `factor`, for demonstrations and tests."""
        if factor <= 0:
            raise PolicyError(f"speed must be more than 0, not {factor}")

        def scaled(value: Any) -> Any:
            if isinstance(value, timedelta):
                return value / factor
            if isinstance(value, dict):
                return {k: scaled(v) for k, v in value.items()}
            if isinstance(value, list | tuple):
                return type(value)(scaled(v) for v in value)
            return value

        if factor == 1:
            return self
        content = self.model_dump()
        # Neither the calendar nor other machines' clocks go faster, nor do the years.
        kept = {name: content[name] for name in ("working_time", "clock_skew", "retention")}
        return Policy.model_validate({**scaled(content), **kept})


def read_policy(toml: str, where: str = "the policy") -> Policy:
    """The policy in a TOML text.

    Raises:
        PolicyError: not TOML, or not a policy; one line that says where and why.
    """
    try:
        policy = Policy.model_validate(tomllib.loads(toml))
        ZoneInfo(policy.timezone)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{where} is not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        # pydantic also names the branch of a union (`function-after[…]`), which says nothing here.
        place = ".".join(p for p in map(str, first["loc"]) if "[" not in p) or "top level"
        reason = first["msg"].removeprefix("Value error, ")
        raise PolicyError(f"{where}: {place}: {reason}") from None
    except ZoneInfoNotFoundError as error:
        raise PolicyError(f"{where}: timezone: {error.args[0]}") from None
    except ValueError as error:
        raise PolicyError(f"{where}: {error}") from None
    return policy
