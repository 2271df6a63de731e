"""Marks and profiles of the pure tests. `HYPOTHESIS_PROFILE=hunt` looks longer, at other cases."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.pure.builders import STORIES
from tests.pure.second_opinion import second_opinion

settings.register_profile("quick", deadline=None, database=None, derandomize=True)
settings.register_profile("hunt", deadline=None, database=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("pure")


@pytest.fixture(autouse=True)
def every_story_is_judged_twice() -> Iterator[None]:
    """Whatever a test tells of a request, the audit's second opinion agrees on its promises."""
    STORIES.clear()
    yield
    for story in STORIES:
        found = second_opinion(story.request, story.effects, story.sent, story.now)
        assert [str(doubt) for doubt in found.doubts] == []
