"""The benchmark of the lists runs, and its answers are answers."""

import pytest

from bench.lists import QUESTIONS, measured


def test_every_question_is_asked_and_answered(capsys: pytest.CaptureFixture[str]) -> None:
    asked = dict(measured("sqlite", 300, 2))
    assert set(asked) == {"/livez, the floor", *QUESTIONS}
    assert "300 requests" in capsys.readouterr().out
