"""How often one may call: never more in any window than the rate says, and again as promised."""

import math
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from api.problems import Problem
from api.rates import Limiter, Rates, Standing
from domain.vocabulary import Role
from runtime.settings import Settings
from runtime.tokens import Principal


class Time:
    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def calls(limiter: Limiter, times: int, who: str = "a") -> int:
    """How many of these calls are let in."""
    return sum(limiter.hit(who) is not None for _ in range(times))


def test_no_more_than_the_rate() -> None:
    limiter = Limiter("10/minute", Time())
    assert calls(limiter, 15) == 10
    assert calls(limiter, 15, "another") == 10


def test_the_end_of_a_window_is_no_new_start() -> None:
    now = Time(59.0)
    limiter = Limiter("10/minute", now)
    assert calls(limiter, 10) == 10
    now.now = 60.0
    assert calls(limiter, 10) == 0
    now.now = 90.0
    assert calls(limiter, 10) == 5
    now.now = 300.0
    assert calls(limiter, 20) == 10


@given(
    quota=st.integers(1, 50),
    start=st.floats(0, 1000),
    gaps=st.lists(st.floats(0, 20), min_size=1, max_size=200),
)
def test_whoever_waits_as_told_is_let_in(quota: int, start: float, gaps: list[float]) -> None:
    now = Time(start)
    limiter = Limiter(f"{quota}/minute", now)
    for gap in gaps:
        now.now += gap
        if limiter.hit("a") is None:
            standing = limiter.standing("a")
            assert standing.remaining == 0
            assert 0 < standing.wait <= 120
            now.now += math.ceil(standing.wait)
            assert limiter.hit("a") is not None


def test_those_who_left_are_forgotten() -> None:
    now = Time()
    limiter = Limiter("10/minute", now)
    for i in range(1000):
        limiter.hit(f"caller-{i}")
    now.now = 200.0
    limiter.hit("a")
    assert list(limiter._counts) == ["a"]


def test_the_headers_are_structured_fields() -> None:
    assert Standing(600, 60, 599, 0).headers("caller") == {
        "RateLimit-Policy": '"caller";q=600;w=60',
        "RateLimit": '"caller";r=599;t=60',
    }
    assert Standing(600, 60, 0, 1.2).headers("caller")["RateLimit"] == '"caller";r=0;t=2'


def test_a_system_may_call_more_often_than_a_person() -> None:
    rates = Rates(
        Settings(_env_file=None, rate_limit="2/minute", rate_limit_integration="5/minute"), Time()
    )

    def let_in(role: Role) -> int:
        for done in range(10):
            scope: dict[str, Any] = {}
            try:
                rates.count(scope, Principal(role=role, id="x"))
            except Problem as problem:
                refused.append(problem)
                return done
            finally:
                assert scope["state"]["rate"]
        return 10

    refused: list[Problem] = []
    assert (let_in(Role.agent), let_in(Role.integration), let_in(Role.engineer)) == (2, 5, 2)
    assert {problem.status for problem in refused} == {429}
    assert all(int(problem.headers["Retry-After"]) >= 1 for problem in refused)


def test_counting_costs_microseconds() -> None:
    rates = Rates(Settings(_env_file=None, rate_limit="1000000/minute"))
    callers = [Principal(role=Role.agent, id=f"a{i}") for i in range(1000)]
    best = math.inf
    for _ in range(5):
        began = time.perf_counter()
        for caller in callers:
            rates.count({}, caller)
        best = min(best, (time.perf_counter() - began) / len(callers))
    print(f"{best * 1e6:.1f} µs a call")
    assert best < 200e-6
