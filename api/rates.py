"""How often one may call: a window that slides, per caller, counted in this process."""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from limits import parse
from starlette.types import Scope

from api.problems import Problem
from domain.vocabulary import Role
from runtime.settings import Settings
from runtime.tokens import Principal

Clock = Callable[[], float]


class Standing(NamedTuple):
    """How a caller stands after a call.

    Attributes:
        quota, seconds: how many calls are let in, in how long.
        remaining: how many more would be let in now.
        wait: seconds until the next would be; 0 while some remain.
    """

    quota: int
    seconds: int
    remaining: int
    wait: float

    def headers(self, name: str) -> dict[str, str]:
        """The fields of draft-ietf-httpapi-ratelimit-headers, for the policy called `name`."""
        resets_in = math.ceil(self.wait) if self.wait else self.seconds
        return {
            "RateLimit-Policy": f'"{name}";q={self.quota};w={self.seconds}',
            "RateLimit": f'"{name}";r={self.remaining};t={resets_in}',
        }


class Limiter:
    """At most so many calls of each caller in any window, however they are spread.

    The window before counts by the share of it that is still in view. The memory storage of
    `limits` would start a thread for most calls, and look through every caller in it.
    """

    def __init__(self, rate: str, clock: Clock = time.monotonic) -> None:
        item = parse(rate)
        self.quota, self.seconds = item.amount, item.get_expiry()
        self._clock = clock
        self._counts: dict[str, tuple[int, int, int]] = {}
        self._window = 0

    def hit(self, who: str) -> Standing | None:
        """Count a call; None: it is one too many, and is not counted."""
        window, into = self._now()
        before, here = self._seen(who, window)
        if self._used(before, here, into) + 1 > self.quota:
            return None
        self._counts[who] = (window, before, here + 1)
        return self.standing(who)

    def standing(self, who: str) -> Standing:
        """How this caller stands, without counting."""
        window, into = self._now()
        before, here = self._seen(who, window)
        remaining = max(0, math.floor(self.quota - self._used(before, here, into)))
        wait = 0.0 if remaining else self._wait(before, here, into)
        return Standing(self.quota, self.seconds, remaining, wait)

    def _now(self) -> tuple[int, float]:
        """Which window it is, and what share of it is over."""
        window, into = divmod(self._clock(), self.seconds)
        if window != self._window:
            self._window = int(window)
            self._forget()
        return int(window), into / self.seconds

    def _forget(self) -> None:
        """Whoever did not call since the window before has a clean slate."""
        self._counts = {
            w: count for w, count in self._counts.items() if count[0] >= self._window - 1
        }

    def _seen(self, who: str, window: int) -> tuple[int, int]:
        """The calls in the window before, and in this one."""
        last, before, here = self._counts.get(who, (window, 0, 0))
        return (before, here) if last == window else (here, 0)

    def _used(self, before: int, here: int, into: float) -> float:
        return before * (1 - into) + here

    def _wait(self, before: int, here: int, into: float) -> float:
        """Seconds until there is room for one: in this window, or else in the next."""
        room = self.quota - 1
        if here <= room and before:
            share = 1 - (room - here) / before - into
        else:
            share = (1 - into) + (1 - room / here)
        return max(share, 0.0) * self.seconds


class Rates:
    """The limits of this installation: for people, for systems, and for whoever nobody knows."""

    def __init__(self, settings: Settings, clock: Clock = time.monotonic) -> None:
        self._people = Limiter(settings.rate_limit, clock)
        self._systems = Limiter(settings.rate_limit_integration, clock)
        self._failures = Limiter(settings.rate_limit_failures, clock)

    def count(self, scope: Scope, caller: Principal) -> None:
        """Count a call, and remember for the answer's headers how its caller stands.

        Raises:
            Problem: 429, `rate_limited`.
        """
        limiter = self._systems if caller.role is Role.integration else self._people
        who = f"{caller.role}/{caller.id}"
        let_in = limiter.hit(who)
        standing = let_in or limiter.standing(who)
        scope.setdefault("state", {})["rate"] = standing.headers("caller")
        if let_in is None:
            raise _too_many(standing)

    def count_failure(self, scope: Scope) -> None:
        """Count a call without a token that counts, by the address it came from.

        A good token is never refused for it: others may share the address, and nobody guesses one.

        Raises:
            Problem: 429, `rate_limited`.
        """
        address = (scope.get("client") or ("",))[0]
        if self._failures.hit(address) is None:
            raise _too_many(self._failures.standing(address))


def _too_many(standing: Standing) -> Problem:
    facts = {"quota": str(standing.quota), "seconds": str(standing.seconds)}
    return Problem(
        "rate_limited", facts=facts, headers={"Retry-After": str(max(1, math.ceil(standing.wait)))}
    )
