"""The benchmarks run, and what they measure is right."""

import re

import httpx
import pytest

from bench import audit
from bench.databases import database
from bench.lists import QUESTIONS, WARM_UP, measured
from bench.serving import serving


def test_every_question_is_asked_and_answered(capsys: pytest.CaptureFixture[str]) -> None:
    asked = dict(measured("sqlite", 300, 2))
    assert set(asked) == {"/livez, the floor", *QUESTIONS}
    assert "300 requests" in capsys.readouterr().out


def test_whoever_measures_may_ask_as_often_as_it_takes() -> None:
    with database("sqlite") as url, serving(url) as api:
        answer = httpx.get(f"{api.url}/v1/board", headers=api.headers, trust_env=False)
    allowed = re.search(r"q=(\d+)", answer.headers["RateLimit-Policy"])
    assert allowed is not None
    assert int(allowed[1]) > 100 * len(QUESTIONS) * (40 + WARM_UP)


@pytest.mark.slow(10)
def test_an_archive_is_verified_and_replayed_by_the_sdk(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """How quick it is, is not asked here: of so few the start of the processes takes the most."""
    found = audit.measured(21, 14)
    assert found.inspection.findings == []
    assert len(found.inspection.verdicts) == 21
    assert min(found.verified, found.bare) > 0
    told = capsys.readouterr().out
    assert "21 requests" in told
    assert "at a tenth" in told
